//! The protobuf messages of container build sessions.
//!
//! What lives here: `schemas/`, the `.proto` files written for this project, wire-compatible with what BuildKit,
//! fsutil, containerd, gRPC and OTLP speak; and three things made of them:
//!
//! - [`pool`], descriptors for everything that is only shown ([`DESCRIPTOR_SET`] is the same in bytes, [`SOURCES`]
//!   in the text that people write);
//! - generated types, for what the code reads by field: [`pb`], [`fsutil`], [`moby`] and so on, one module for each
//!   protobuf package;
//! - [`schema::Schemas`], the pool plus the schemas that a user brings.
//!
//! What does not: gRPC, framing, JSON, and any judgement about what a message means.
//!
//! ```
//! use buildtap_proto::fsutil::types::{Packet, packet::PacketType};
//! use prost::Message;
//!
//! let fin = Packet { r#type: PacketType::PacketFin.into(), ..Packet::default() };
//! assert_eq!(fin.encode_to_vec(), [0x08, 0x03]);
//!
//! let packet = buildtap_proto::pool().get_message_by_name("fsutil.types.Packet").unwrap();
//! assert_eq!(packet.get_field(3).unwrap().name(), "ID");
//! ```
//!
//! # Which releases
//!
//! The fields are those of BuildKit 0.32 and of fsutil and containerd at the time (August 2026). In `schemas/` a comment
//! `BuildKit 0.N` behind a field or a method names the first release that has it; without one it is as old as its message
//! or its service, and a message without "Since" was there in BuildKit 0.3. Fields that were renamed keep their number and
//! carry the newest name. Field names are spelt as upstream spells them, in whatever case: the wire does not see them, but
//! everything that is shown does.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

mod generated;
pub mod schema;

pub use generated::{
    containerd, contenthash, errdefs, fsutil, google, grpc, moby, opentelemetry, pb, stack,
};

/// The schemas as an encoded `google.protobuf.FileDescriptorSet`, imports included and comments left out.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// The `.proto` files of `schemas/`: the name by which one imports another, and the text. What they
/// import of `google/protobuf` is not among them.
pub const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// The descriptors of all the schemas, parsed on first use.
///
/// Cloning the pool is cheap. For schemas of a user on top of these, see [`schema::Schemas`].
pub fn pool() -> &'static DescriptorPool {
    #[allow(
        clippy::expect_used,
        reason = "the bytes are our own, fixed at build time and parsed by the tests"
    )]
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(DESCRIPTOR_SET).expect("build.rs embeds a valid descriptor set")
    });
    &POOL
}
