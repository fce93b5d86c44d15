//! What was said, whole: for those who keep it (recordings) or write it elsewhere (exports).

use bytes::Bytes;

use super::{Call, Connection, Exchange, Id};
use crate::event::Side;

/// A piece of what was said, with its bytes. Queued only if
/// [`Options::said`](crate::Options::said) asks for it, in the order in which it was said.
#[derive(Clone, Debug)]
pub enum Said {
    /// A message of a call other than a tunnel's slices: its bytes as they are after
    /// decompression, file contents and all.
    Message {
        /// The call.
        call: Id<Call>,
        /// Who sent it.
        from: Side,
        /// The message, without the gRPC prefix.
        body: Bytes,
        /// Whether there was more: it was longer than [`Limits::message`](crate::Limits), or is
        /// compressed in an unknown way.
        cut: bool,
    },
    /// Bytes of an HTTP/1 body, without the framing of chunks.
    Body {
        /// The request, or the request that is answered.
        exchange: Id<Exchange>,
        /// Who sent it: the client its request's, the daemon the answer's.
        from: Side,
        /// A piece of it.
        bytes: Bytes,
    },
    /// The head of the answer to an HTTP/1 request: status and headers are in its row.
    ExchangeAnswered(Id<Exchange>),
    /// The response headers of a call, which are in its row. Where they are the trailers too,
    /// only [`Said::HalfClosed`] is queued.
    CallAnswered(Id<Call>),
    /// A side of a call will send no more. The callee's end is the end of the call.
    HalfClosed(Id<Call>, Side),
    /// Bytes of a connection inside another: of the tunnel in an exec stream, of the session in
    /// a `Control.Session`.
    Inner {
        /// The connection inside; for an exec tunnel the one that it is in.
        connection: Id<Connection>,
        /// Who sent them.
        from: Side,
        /// What was sent.
        bytes: Bytes,
    },
}

impl Said {
    /// Bytes that it holds.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Said::Message { body: bytes, .. }
            | Said::Body { bytes, .. }
            | Said::Inner { bytes, .. } => bytes.len(),
            Said::ExchangeAnswered(_) | Said::CallAnswered(_) | Said::HalfClosed(..) => 0,
        }
    }
}
