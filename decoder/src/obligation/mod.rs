//! Obligations: for everything that is open, who must act next, what they must do, and since when.
//!
//! An obligation is read off the trace, never guessed from silence: it comes from the machines of
//! the protocols ([`Machine::turn`](crate::protocol::diffcopy::Machine::turn) for fsutil packets)
//! and from HTTP/2's flow control. Silence only says for how long. Some obligations explain
//! others: a build waits for a transfer, the transfer for a packet, and the packet for a window.
//! [`chain`] puts these in a row and into a sentence. Rules about what is wrong are not here, but
//! in the doctor, which asks here whose turn it is.

mod chain;
mod hindrance;
mod rows;

pub use chain::{Chain, chain};

use crate::event::{Side, Time};
use crate::trace::{CallState, Subject, Trace, TransferState};

/// What somebody must do, or that nobody must do anything, for something open to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obligation {
    /// What is open.
    pub subject: Subject,
    /// Where the obligation comes from.
    pub layer: Layer,
    /// Who must act; `None`: nobody owes anything.
    pub side: Option<Side>,
    /// What they must do.
    pub act: Act,
    /// The same in words, as they follow "must": `send REQ for 3 files, or FIN`. Empty if nobody
    /// owes anything.
    pub action: String,
    /// Since when it is their turn, or since when they have done nothing about it.
    pub since: Time,
    /// Whether it is waited for, or being done.
    pub state: State,
    /// What has to move before this can: the next link of its [`Chain`].
    pub behind: Option<Subject>,
    /// What cannot go on before this is done: at most [`Obligation::BLOCKS`], the nearest first.
    pub blocks: Vec<Subject>,
}

impl Obligation {
    /// How many blocked things are listed.
    pub const BLOCKS: usize = 16;

    /// What the others wait for, as it follows "waits for": `REQ for 3 files, or FIN`.
    pub fn awaited(&self) -> &str {
        match (self.act, self.action.strip_prefix("send ")) {
            (_, Some(sent)) => sent,
            (Act::Announce, _) => "the listing of its files (STAT)",
            (Act::SayFin | Act::AnswerFin, _) => "FIN",
            (Act::Answer | Act::Solve, _) => "the answer",
            (Act::EndCall, _) => "the end of the call",
            (Act::BeginHttp2, _) => "SETTINGS",
            (Act::AcceptSession, _) => "the session to be accepted",
            (Act::OpenSession, _) => "the session to be opened",
            _ => &self.action,
        }
    }
}

/// Where an obligation comes from. The outermost first: a socket that is not read explains all
/// that stands below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The socket of a tapped connection.
    Socket,
    /// The flow-control window of an HTTP/2 connection (RFC 9113 §6.9).
    ConnectionWindow,
    /// The flow-control window of a stream.
    StreamWindow,
    /// The beginning of HTTP/2 on a connection.
    Http2,
    /// An HTTP request that is no gRPC call.
    Exchange,
    /// A gRPC call.
    Call,
    /// The fsutil packets, or the archive, of a transfer.
    Packets,
    /// A session.
    Session,
    /// A build.
    Build,
}

impl Layer {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Layer::Socket => "socket",
            Layer::ConnectionWindow => "connection-window",
            Layer::StreamWindow => "stream-window",
            Layer::Http2 => "http2",
            Layer::Exchange => "exchange",
            Layer::Call => "call",
            Layer::Packets => "packets",
            Layer::Session => "session",
            Layer::Build => "build",
        }
    }
}

/// What must be done. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Nothing: what is open is idle.
    Nothing,
    /// Read from the socket.
    ReadSocket,
    /// WINDOW_UPDATE for the connection.
    OpenConnectionWindow,
    /// WINDOW_UPDATE for a stream.
    OpenStreamWindow,
    /// SETTINGS, with which HTTP/2 begins.
    BeginHttp2,
    /// The rest of a request, or of its body.
    SendRequest,
    /// The answer to a request.
    Answer,
    /// The end of a call.
    EndCall,
    /// STATs, up to the empty one that ends the listing.
    Announce,
    /// REQ for files that were announced.
    Request,
    /// DATA of files that were asked for.
    SendContents,
    /// FIN of the receiver.
    SayFin,
    /// FIN of the sender, which answers the receiver's.
    AnswerFin,
    /// The rest of an archive.
    SendArchive,
    /// A session that a build names.
    OpenSession,
    /// The answer to the request for a session.
    AcceptSession,
    /// The end of the build.
    Solve,
}

impl Act {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Act::Nothing => "nothing",
            Act::ReadSocket => "read-socket",
            Act::OpenConnectionWindow => "open-connection-window",
            Act::OpenStreamWindow => "open-stream-window",
            Act::BeginHttp2 => "begin-http2",
            Act::SendRequest => "send-request",
            Act::Answer => "answer",
            Act::EndCall => "end-call",
            Act::Announce => "announce",
            Act::Request => "request",
            Act::SendContents => "send-contents",
            Act::SayFin => "say-fin",
            Act::AnswerFin => "answer-fin",
            Act::SendArchive => "send-archive",
            Act::OpenSession => "open-session",
            Act::AcceptSession => "accept-session",
            Act::Solve => "solve",
        }
    }
}

/// Whether something is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nobody owes anything.
    Idle,
    /// It is being done, as far as can be seen: bytes move, or a daemon works on a step.
    Busy,
    /// Somebody must act, and nothing shows that they do. For how long says
    /// [`Obligation::since`]; a moment of it is nothing to worry about.
    Waiting,
}

impl State {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Busy => "busy",
            State::Waiting => "waiting",
        }
    }
}

/// How many obligations are given at most.
pub const LIMIT: usize = 4_096;

impl Trace {
    /// The obligations of everything that is open at `now`: builds, then sessions, calls,
    /// transfers, other requests, connections, each the oldest first; at most [`LIMIT`].
    ///
    /// What is open and idle has one too, with [`State::Idle`]; a connection has one only where
    /// it holds something up. Takes time in proportion to the tables and to what is open: meant
    /// to be asked about once a second, not for every event.
    pub fn obligations(&self, now: Time) -> Vec<Obligation> {
        let builds = self.builds.iter().map(|row| Subject::Build(row.id));
        let sessions = self.sessions.iter().filter(|row| row.closed.is_none());
        let calls = self.calls.iter();
        let calls = calls.filter(|row| row.state == CallState::Open && row.transfer.is_none());
        let transfers = self.transfers.iter();
        let transfers = transfers.filter(|row| row.state == TransferState::Open);
        let exchanges = self.exchanges.iter().filter(|row| row.end.is_none());
        let connections = self.connections.iter();
        builds
            .chain(sessions.map(|row| Subject::Session(row.id)))
            .chain(calls.map(|row| Subject::Call(row.id)))
            .chain(transfers.map(|row| Subject::Transfer(row.id)))
            .chain(exchanges.map(|row| Subject::Exchange(row.id)))
            .filter_map(|subject| self.obligation(subject, now))
            .chain(connections.flat_map(|row| hindrance::of_connection(self, row)))
            .take(LIMIT)
            .map(|obligation| Obligation {
                blocks: rows::blocked(self, &obligation),
                ..obligation
            })
            .collect()
    }

    /// The obligation of one thing at `now`, without what it blocks; `None` if it is not open, or
    /// is a connection that holds nothing up.
    pub fn obligation(&self, subject: Subject, now: Time) -> Option<Obligation> {
        match subject {
            Subject::Build(id) => rows::build(self, self.builds.get(id)?, now),
            Subject::Session(id) => rows::session(self, self.sessions.get(id)?, now),
            Subject::Call(id) => rows::call(self, self.calls.get(id)?, now),
            Subject::Transfer(id) => rows::transfer(self, self.transfers.get(id)?, now),
            Subject::Exchange(id) => rows::exchange(self, self.exchanges.get(id)?, now),
            Subject::Connection(id) => {
                hindrance::of_connection(self, self.connections.get(id)?).next()
            }
        }
    }
}
