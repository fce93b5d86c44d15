//! Packet or BytesMessage? Decided once per stream, on evidence, never by trying to decode.
//!
//! Both Go's protobuf and prost accept a STAT packet as an empty `BytesMessage`, so that
//! "it decodes" proves nothing. What the solve asked for, and the first byte of the first
//! message, do.

use crate::trace::Flavour;

/// A fact that tells the two languages apart, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The method only ever carries one of them.
    Method(&'static str),
    /// The solve's exporter with this index has this type.
    Exporter {
        /// The index that the call names.
        index: u64,
        /// `local`, `tar`, `oci`, `docker`.
        kind: String,
    },
    /// The first message of the sender with any bytes begins with this one.
    FirstByte(u8),
    /// The first message of the sender is empty.
    EmptyFirstMessage,
    /// A header that only archives have.
    ArchiveHeader(String),
    /// A header that only multi-platform trees have.
    MultiPlatformHeader,
    /// The receiver of the files sent a message.
    ReceiverSpoke,
    /// The sender ended without a message.
    EndedEmpty,
}

/// What a piece of evidence says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The language.
    pub flavour: Flavour,
    /// Why, as a sentence.
    pub because: String,
}

impl Evidence {
    /// What follows from it; `None` when it tells nothing.
    pub fn decide(&self) -> Option<Decision> {
        let decision = |flavour, because: String| Some(Decision { flavour, because });
        match self {
            Evidence::Method(name @ ("FileSync.DiffCopy" | "FileSync.TarStream")) => {
                decision(Flavour::Packet, format!("{name} always carries fsutil Packets"))
            }
            Evidence::Method(name) => {
                decision(Flavour::Bytes, format!("{name} always carries BytesMessages"))
            }
            Evidence::Exporter { index, kind } => match kind.as_str() {
                "local" => decision(
                    Flavour::Packet,
                    format!("the build's exporter {index} is `local`, which sends a tree as fsutil Packets"),
                ),
                "tar" | "oci" | "docker" => decision(
                    Flavour::Bytes,
                    format!("the build's exporter {index} is `{kind}`, which sends an archive as BytesMessages"),
                ),
                _ => None,
            },
            Evidence::FirstByte(0x0a) => decision(
                Flavour::Bytes,
                "the first message begins with field 1 as bytes (0a), which a Packet cannot".into(),
            ),
            Evidence::FirstByte(0x12) => decision(
                Flavour::Packet,
                "the first message begins with field 2 (12), a Packet's stat; a BytesMessage has no field 2".into(),
            ),
            Evidence::FirstByte(0x08) => decision(
                Flavour::Packet,
                "the first message begins with field 1 as a number (08), a Packet's type; a BytesMessage's is bytes"
                    .into(),
            ),
            Evidence::FirstByte(_) => None,
            Evidence::EmptyFirstMessage => decision(
                Flavour::Packet,
                "the first message is empty, as the STAT that ends the listing of an empty tree".into(),
            ),
            Evidence::ArchiveHeader(name) => decision(
                Flavour::Bytes,
                format!("the call has the header {name}, which the oci and docker exporters send with an archive"),
            ),
            Evidence::MultiPlatformHeader => decision(
                Flavour::Packet,
                "the call has the header buildkit-exporter-multi-platform, which only goes with a tree".into(),
            ),
            Evidence::ReceiverSpoke => decision(
                Flavour::Packet,
                "the receiver of the files sent messages, as the protocol of Packets asks for".into(),
            ),
            Evidence::EndedEmpty => decision(
                Flavour::Bytes,
                "the sender ended without a message; a tree has at least the STAT that ends the listing".into(),
            ),
        }
    }
}
