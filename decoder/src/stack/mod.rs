//! The stack of layers of one connection, from the tap's bytes up to the trace.
//!
//! ```text
//! node ─ sniff ─┬─ http1 ─┬─ exchanges, /build
//!               │         ├─ (101) http2     /session, /grpc
//!               │         └─ (101) exec      stdcopy → http2
//!               ├─ http2 ─── call ─┬─ messages → builds, sessions
//!               │                  ├─ transfer (packets or bytes)
//!               │                  └─ node (Control.Session: a connection inside)
//!               └─ opaque
//! ```
//!
//! [`crate::wire`] cuts bytes, [`crate::protocol`] knows what things mean; here the two are
//! joined and written down in the [`crate::trace`].

mod build;
mod call;
mod documents;
mod exec;
mod http1;
mod http2;
mod masked;
mod message;
mod node;
mod seam;
mod session;
mod slices;
mod transfer;
mod unit;

pub(crate) use node::Node;
