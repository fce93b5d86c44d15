//! BuildKit sessions: the connection on which the daemon calls the client.

use super::{Connection, Id};
use crate::event::{Side, Time};

/// One BuildKit session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its number.
    pub id: Id<Session>,
    /// The session id that the client chose (`X-Docker-Expose-Session-Uuid`).
    pub uuid: String,
    /// How it came to be.
    pub path: SessionPath,
    /// The connection on which the daemon calls.
    pub connection: Id<Connection>,
    /// The context's name, from clients before BuildKit 0.16.
    pub name: Option<String>,
    /// The key under which the daemon caches uploads of this client.
    pub shared_key: Option<String>,
    /// The methods that the client offers, as it wrote them.
    pub methods: Vec<String>,
    /// When it was asked for.
    pub opened: Time,
    /// When the daemon accepted it (101, or response headers of `Control.Session`).
    pub accepted: Option<Time>,
    /// When it ended, and who ended it, where that can be told.
    pub closed: Option<(Time, Option<Side>)>,
    /// Why the daemon refused it.
    pub refused: Option<String>,
}

impl Session {
    /// `open`, `closed` or `refused`: as it stands in JSON.
    pub fn state(&self) -> &'static str {
        match (&self.refused, self.closed) {
            (Some(_), _) => "refused",
            (None, Some(_)) => "closed",
            (None, None) => "open",
        }
    }

    /// Whether a build that names its session like this means this one.
    pub fn is_named(&self, named: &str) -> bool {
        same_session(named, &self.uuid)
    }

    /// Whether the client offers `method` (`/package.Service/Method`); BuildKit compares
    /// without regard to case (`session/manager.go`).
    pub fn offers(&self, method: &str) -> bool {
        self.methods
            .iter()
            .any(|offered| offered.eq_ignore_ascii_case(method))
    }
}

/// The session id in a build's session field: BuildKit strips a prefix up to the first colon
/// (`session/manager.go`).
pub fn bare_session(named: &str) -> &str {
    match named.split_once(':') {
        Some((_, rest)) if !rest.is_empty() => rest,
        _ => named,
    }
}

/// Whether a build's session field names this session.
pub(crate) fn same_session(named: &str, uuid: &str) -> bool {
    named == uuid || bare_session(named) == uuid
}

/// How a session came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionPath {
    /// `POST /session` of the Engine API, upgraded to h2c.
    EngineSession,
    /// The method `Control.Session` of a BuildKit control connection.
    ControlSession,
}

impl SessionPath {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            SessionPath::EngineSession => "engine-session",
            SessionPath::ControlSession => "control-session",
        }
    }
}
