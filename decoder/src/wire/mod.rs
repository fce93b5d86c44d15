//! The framings a build session is carried in, each decoded passively: a decoder is told what
//! was sent and says what it was. It never answers, and it never refuses: what breaks the rules
//! of a framing is described and the rest of that direction is passed over.
//!
//! Nothing here knows what Docker or BuildKit mean by the bytes; that is `protocol`.

pub mod grpc;
pub mod hpack;
pub mod http1;
pub mod http2;
pub mod protobuf;
pub mod stdcopy;

/// Whether the first bytes of a stream fit a framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniff {
    /// They do.
    Yes,
    /// They do not, whatever follows.
    No,
    /// There are too few of them to tell.
    Maybe,
}
