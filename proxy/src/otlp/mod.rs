//! OpenTelemetry: what was seen as spans and metrics, for Jaeger, Tempo or any other backend.
//!
//! | module | what lives there |
//! |---|---|
//! | [`spans`] | from the trace to spans, without I/O |
//! | [`span`] | what a span is here, and what made it |
//! | `ids` | ids that are the same for the same thing |
//! | `context` | trace contexts that the peers send along |
//! | `forward` | spans of the peers that pass by, handed on |
//! | `request` | spans as a collector wants them |
//! | [`settings`] | where spans go: arguments and the standard variables |
//! | [`sink`] | the thread that sends them |
//! | [`live`] | both, while a session runs |
//! | [`metrics`] | what is counted meanwhile |
//! | [`resource`] | what is said of buildtap itself |
//!
//! What does not live here: files of spans (`crate::export`).

mod context;
mod forward;
mod ids;
pub mod live;
pub mod metrics;
pub(crate) mod request;
pub mod resource;
pub mod settings;
pub mod sink;
pub mod span;
pub mod spans;
