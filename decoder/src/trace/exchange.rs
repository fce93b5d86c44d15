//! Exchanges: HTTP requests that are not gRPC calls.

use super::{Build, Connection, Id};
use crate::event::Time;

/// One HTTP request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its number.
    pub id: Id<Exchange>,
    /// The connection it runs on.
    pub connection: Id<Connection>,
    /// `GET`, `POST`.
    pub method: String,
    /// The request target, secrets masked.
    pub target: String,
    /// The status code, and the reason phrase where there was one.
    pub status: Option<(u16, String)>,
    /// Request headers, secrets masked.
    pub request_headers: Vec<(String, String)>,
    /// Response headers, secrets masked.
    pub response_headers: Vec<(String, String)>,
    /// When the request began.
    pub start: Time,
    /// When the request body ended.
    pub request_end: Option<Time>,
    /// When the response head came.
    pub answered: Option<Time>,
    /// When the response body ended, or the connection was handed to another protocol.
    pub end: Option<Time>,
    /// Whether the response body was cut short.
    pub cut_short: bool,
    /// Bytes of the request body.
    pub request_bytes: u64,
    /// Bytes of the response body.
    pub response_bytes: u64,
    /// The protocol asked for in `Upgrade`.
    pub upgrade: Option<String>,
    /// What the daemon said was wrong: the `message` of an error body, or of the progress stream.
    pub error: Option<String>,
    /// The build that it is the front door of.
    pub build: Option<Id<Build>>,
}

impl Exchange {
    /// `open`, `complete` or `cut-short`: as it stands in JSON.
    pub fn state(&self) -> &'static str {
        match (self.cut_short, self.end) {
            (true, _) => "cut-short",
            (false, Some(_)) => "complete",
            (false, None) => "open",
        }
    }
}
