//! Calls: one gRPC method invocation.

use super::{Build, Connection, Id, PerSide, Session, Transfer};
use crate::event::{Side, Time};
use crate::protocol::grpc_status::code_name;

/// One gRPC call: one HTTP/2 stream.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its number.
    pub id: Id<Call>,
    /// The connection it runs on.
    pub connection: Id<Connection>,
    /// The session it belongs to, when it is the daemon that calls.
    pub session: Option<Id<Session>>,
    /// The HTTP/2 stream.
    pub stream_id: u32,
    /// `package.Service`.
    pub service: String,
    /// The method without its service.
    pub method: String,
    /// Who calls; the other side is the callee.
    pub caller: Side,
    /// What it is about, where its method does not say: the directory of a FileSync, `exporter 0`
    /// of a FileSend, the path of an upload, the id of a secret or an agent, the host of a registry.
    pub subject: Option<String>,
    /// Request headers but for the HTTP/2 pseudo headers, secrets masked.
    pub metadata: Vec<(String, String)>,
    /// Response headers, secrets masked.
    pub response_metadata: Vec<(String, String)>,
    /// Trailers but for the status.
    pub trailers: Vec<(String, String)>,
    /// When the request headers were sent.
    pub start: Time,
    /// When the response headers were sent.
    pub answered: Option<Time>,
    /// When nothing more could be said.
    pub end: Option<Time>,
    /// Open, complete or reset.
    pub state: CallState,
    /// The status in the trailers.
    pub status: Option<Status>,
    /// The RST_STREAM that ended it, if one did; also a harmless one after the trailers.
    pub reset: Option<Reset>,
    /// What the caller sent.
    pub request: Flow,
    /// What the callee sent.
    pub response: Flow,
    /// What each side may still send on this stream, in bytes.
    pub window: PerSide<i64>,
    /// Since when each side may send nothing on it, because that is used up.
    pub no_window: PerSide<Option<Time>>,
    /// The transfer that it carries.
    pub transfer: Option<Id<Transfer>>,
    /// The build that it serves, where that can be told.
    pub build: Option<Id<Build>>,
    /// The digest of the vertex that caused it, where that can be told.
    pub vertex: Option<String>,
}

impl Call {
    /// `Service.Method` without the package: how people say it.
    pub fn short_name(&self) -> String {
        let service = self.service.rsplit('.').next().unwrap_or(&self.service);
        format!("{service}.{}", self.method)
    }

    /// `/package.Service/Method`.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.service, self.method)
    }

    /// Whether the step that caused it is not known, and may become so when the daemon names it.
    pub fn may_get_vertex(&self) -> bool {
        let is_tied = matches!(
            self.service.as_str(),
            "moby.filesync.v1.FileSync" | "moby.filesync.v1.FileSend" | "moby.filesync.v1.Auth"
        );
        is_tied && self.session.is_some() && self.build.is_some() && self.vertex.is_none()
    }

    /// What `side` sent on it.
    pub fn sent_by(&self, side: Side) -> &Flow {
        if side == self.caller {
            &self.request
        } else {
            &self.response
        }
    }

    pub(crate) fn sent_by_mut(&mut self, side: Side) -> &mut Flow {
        if side == self.caller {
            &mut self.request
        } else {
            &mut self.response
        }
    }

    /// The first value of a request header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.metadata
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// How a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// It goes on, or its end was not seen.
    Open,
    /// The callee ended it with a status.
    Complete,
    /// It was ended without a status: by RST_STREAM, or because its connection ended.
    Reset,
}

impl CallState {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            CallState::Open => "open",
            CallState::Complete => "complete",
            CallState::Reset => "reset",
        }
    }
}

/// What one side sent on a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Messages, whole ones.
    pub messages: u64,
    /// Bytes of messages, without the gRPC prefixes.
    pub bytes: u64,
    /// When the first message began.
    pub first: Option<Time>,
    /// When the last bytes were sent.
    pub last: Option<Time>,
    /// When the side said that it will send no more (END_STREAM).
    pub ended: Option<Time>,
}

/// The status of a call (gRPC trailers).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `grpc-status`.
    pub code: u32,
    /// `grpc-message`, percent-decoded.
    pub message: String,
    /// `grpc-status-details-bin`, one line each.
    pub details: Vec<String>,
    /// `grpc-status-details-bin` as it stands on the wire, not masked, up to 64 KiB. Kept only
    /// for those who want what was said whole ([`Options::said`](crate::Options::said)).
    pub details_bin: Option<String>,
}

impl Status {
    /// The name of the code: `NOT_FOUND`.
    pub fn name(&self) -> String {
        code_name(self.code).map_or_else(|| self.code.to_string(), str::to_owned)
    }
}

/// A stream that was reset, or whose connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// When.
    pub at: Time,
    /// Who did it, where that can be told.
    pub by: Option<Side>,
    /// The RST_STREAM error code (RFC 9113 §7); `None` when the connection ended.
    pub code: Option<u32>,
}
