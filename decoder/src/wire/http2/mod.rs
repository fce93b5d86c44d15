//! HTTP/2 (RFC 9113), watched: both directions of one connection.
//!
//! Frames are cut (`frame`), header blocks joined and decompressed (`connection`), flow-control
//! windows kept (`flow`). Nothing is refused: what breaks the rules is reported and, if it cannot
//! be followed, that direction is passed over from there. What streams carry is not known here.

mod connection;
mod flow;
mod frame;
mod header;
#[cfg(test)]
mod tests;

pub use connection::{Block, Connection, Handler, Violation};
pub use flow::{WINDOW_DEFAULT, WINDOW_MAX};
pub use frame::{FrameHeader, FrameType, error_code_name, flags, setting_name};
pub use header::{Header, Headers};

/// What an HTTP/2 client sends first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
