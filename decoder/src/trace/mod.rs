//! What was said: the one model that every view is a function of.
//!
//! ```text
//! connections ▸ sessions ▸ calls ▸ messages
//! connections ▸ exchanges
//! builds ▸ vertices        transfers ▸ files        findings
//! ```
//!
//! The trace holds what is true so far, in bounded tables; [`Update`] says what just changed.
//! Nothing here parses bytes (see [`crate::wire`]) and nothing here formats text.

mod build;
mod call;
mod connection;
mod exchange;
mod finding;
mod follow;
mod said;
mod session;
mod table;
mod transfer;
mod update;

pub use build::{Build, BuildState, Exporter, Vertex, VertexProgress};
pub use call::{Call, CallState, Flow, Reset, Status};
pub use connection::{Connection, GoAway, Http2, Protocol, Undecodable, Versions};
pub use exchange::Exchange;
pub use finding::{Confidence, Finding, Severity, Subject};
pub use follow::Follower;
pub use said::Said;
pub(crate) use session::same_session;
pub use session::{Session, SessionPath, bare_session};
pub use table::{Id, Table};
pub use transfer::{Direction, File, FileState, Flavour, Transfer, TransferState, Turn};
pub use update::{Awaited, Content, Frame, Message, Printed, Text, TextSource, Update, Wait};

use crate::event::Time;
use crate::limits::Limits;

/// A value for each side of a connection, indexed by [`crate::event::Side`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerSide<T>(pub [T; 2]);

impl<T> PerSide<T> {
    /// The value of `side`.
    pub fn get(&self, side: crate::event::Side) -> &T {
        let [client, daemon] = &self.0;
        match side {
            crate::event::Side::Client => client,
            crate::event::Side::Daemon => daemon,
        }
    }

    /// The value of `side`, to change it.
    pub fn get_mut(&mut self, side: crate::event::Side) -> &mut T {
        let [client, daemon] = &mut self.0;
        match side {
            crate::event::Side::Client => client,
            crate::event::Side::Daemon => daemon,
        }
    }
}

impl PerSide<Option<Time>> {
    /// Takes note that something holds for `side` at `now`, or does not; keeps since when.
    pub(crate) fn note(&mut self, side: crate::event::Side, holds: bool, now: Time) {
        let since = self.get_mut(side);
        *since = since.or(Some(now)).filter(|_| holds);
    }
}

/// Everything that was seen, in bounded tables.
#[derive(Debug)]
pub struct Trace {
    /// Transport connections and those nested inside them.
    pub connections: Table<Connection>,
    /// BuildKit sessions.
    pub sessions: Table<Session>,
    /// gRPC calls.
    pub calls: Table<Call>,
    /// HTTP requests that are not gRPC calls.
    pub exchanges: Table<Exchange>,
    /// DiffCopy streams and other carriers of files.
    pub transfers: Table<Transfer>,
    /// Builds.
    pub builds: Table<Build>,
    /// What is abnormal.
    pub findings: Table<Finding>,
    /// The programs at the two ends, as far as they named themselves.
    pub versions: Versions,
}

impl Trace {
    pub(crate) fn new(limits: &Limits) -> Self {
        Trace {
            connections: Table::new(limits.connections, limits.text),
            sessions: Table::new(limits.sessions, limits.text),
            calls: Table::new(limits.calls, limits.text),
            exchanges: Table::new(limits.exchanges, limits.text),
            transfers: Table::new(limits.transfers, limits.text),
            builds: Table::new(limits.builds, limits.text),
            findings: Table::new(limits.findings, limits.text),
            versions: Versions::default(),
        }
    }

    /// The newest session that a build calls by this name.
    pub fn session_named(&self, named: &str) -> Option<&Session> {
        let mut sessions = self.sessions.iter().rev();
        sessions.find(|session| session.is_named(named))
    }

    /// The tapped connection that carries a connection in the end.
    pub fn root(&self, connection: Id<Connection>) -> Id<Connection> {
        let mut root = connection;
        // Always one that was opened before: this ends.
        while let Some((outer, _)) = self.connections.get(root).and_then(|row| row.parent) {
            root = outer;
        }
        root
    }

    /// The connection on which a build was asked for, and is answered.
    pub fn asked_on(&self, build: &Build) -> Option<Id<Connection>> {
        let call = build.call.and_then(|call| self.calls.get(call));
        let exchange = build.exchange.and_then(|id| self.exchanges.get(id));
        call.map(|call| call.connection)
            .or(exchange.map(|exchange| exchange.connection))
    }

    /// Whether some of what was said on a connection, or on one that carries it, could not be
    /// decoded: then what is not in the trace may have been said all the same.
    pub fn is_partial(&self, connection: Id<Connection>) -> bool {
        let mut next = Some(connection);
        while let Some(connection) = next.and_then(|id| self.connections.get(id)) {
            if connection.undecodable.0.iter().any(Option::is_some) {
                return true;
            }
            // Always one that was opened before: this ends.
            next = connection.parent.map(|(outer, _)| outer);
        }
        false
    }
}
