//! DiffCopy: fsutil's protocol for trees of files.
//!
//! One method path carries two languages: `Packet`s (a tree: STAT, REQ, DATA, FIN, ERR) and
//! `BytesMessage`s (an archive). Here: reading a packet from chunks (`packet`), the machine
//! that knows what both sides announced and owe (`machine`), the entries of the tree
//! (`entries`) and the rules that tell the two languages apart (`flavour`).
//!
//! Facts: fsutil `types/wire.proto`, `send.go`, `receive.go`, `validator.go`.

mod entries;
mod flavour;
mod machine;
mod packet;

pub use entries::{Entries, Entry, EntryKind};
pub use flavour::{Decision, Evidence};
pub use machine::{Machine, Step, Violation};
pub(crate) use packet::PacketReader;
pub use packet::{Packet, PacketType, Stat};
