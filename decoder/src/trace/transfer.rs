//! Transfers: streams that carry files or an archive.

use super::{Call, Id, Session};
use crate::event::{Side, Time};
use crate::obligation::Act;
use crate::protocol::diffcopy::Machine;

/// One DiffCopy stream, or another call that carries a stream of bytes (`Upload.Pull`).
#[derive(Debug)]
pub struct Transfer {
    /// Its number.
    pub id: Id<Transfer>,
    /// The call that carries it.
    pub call: Id<Call>,
    /// The session of that call.
    pub session: Option<Id<Session>>,
    /// `FileSync`, `FileSend`, `Upload`.
    pub service: String,
    /// The name of the local source (`dir-name`), or the exporter's id, or the upload's path.
    pub name: String,
    /// The type of the exporter that it serves, when the solve was seen: `local`, `tar`.
    pub exporter: Option<String>,
    /// Which way the files go.
    pub direction: Direction,
    /// What the messages are.
    pub flavour: Flavour,
    /// What that rests on, a sentence each, the strongest first.
    pub evidence: Vec<String>,
    /// The fsutil state machine: entries, requests, files. Only moved when the flavour is packets.
    pub machine: Machine,
    /// Bytes of file contents or of the archive so far.
    pub bytes: u64,
    /// Since when what was sent of an archive ends as a tar archive does, in blocks of zeros.
    pub archive_end: Option<Time>,
    /// How it stands.
    pub state: TransferState,
    /// What ended it when it failed.
    pub error: Option<String>,
    /// When the call began.
    pub start: Time,
    /// When it was complete, or failed.
    pub end: Option<Time>,
}

impl Transfer {
    /// Who sends the files.
    pub fn sender(&self) -> Side {
        self.direction.sender()
    }

    /// A copy without the entries: they may be a million.
    pub(super) fn outline(&self) -> Self {
        Transfer {
            service: self.service.clone(),
            name: self.name.clone(),
            exporter: self.exporter.clone(),
            evidence: self.evidence.clone(),
            machine: self.machine.outline(),
            error: self.error.clone(),
            ..*self
        }
    }
}

/// Which way the files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The build context, secrets' files: from the client to the daemon.
    ToDaemon,
    /// An export: from the daemon to the client.
    ToClient,
}

impl Direction {
    /// Who sends the files.
    pub fn sender(self) -> Side {
        match self {
            Direction::ToDaemon => Side::Client,
            Direction::ToClient => Side::Daemon,
        }
    }

    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::ToDaemon => "to-daemon",
            Direction::ToClient => "to-client",
        }
    }
}

/// What the messages of a transfer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// fsutil `Packet`s: a tree of files, which the receiver must ask for.
    Packet,
    /// `BytesMessage`s: an archive, which only needs to be read.
    Bytes,
    /// Not decided: nothing was sent that tells.
    Unknown,
}

impl Flavour {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Flavour::Packet => "packet",
            Flavour::Bytes => "bytes",
            Flavour::Unknown => "unknown",
        }
    }
}

/// How a transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferState {
    /// It goes on, or its end was not seen.
    Open,
    /// Everything arrived: FIN was answered by FIN, or the archive was read to its end.
    Complete,
    /// It ended in another way.
    Failed,
}

impl TransferState {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            TransferState::Open => "open",
            TransferState::Complete => "complete",
            TransferState::Failed => "failed",
        }
    }
}

/// Whose turn it is on a stream of packets, by its packets alone. Whether anything keeps that side
/// from acting is in its [`Obligation`](crate::obligation::Obligation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who must act.
    pub side: Side,
    /// What they must do.
    pub act: Act,
    /// What they must do, as it follows "must": `send REQ for 3 files`.
    pub action: String,
    /// Since when.
    pub since: Time,
}

/// A file of a transfer whose contents were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its id on the stream: the 0-based index of its STAT.
    pub id: u32,
    /// Its path, where it was kept.
    pub path: Option<String>,
    /// The size that its STAT announced, where it was kept.
    pub size: Option<u64>,
    /// Bytes of contents that were sent.
    pub bytes: u64,
    /// When the receiver asked for it.
    pub requested: Time,
    /// When the first of its contents was sent; its end, if it has none.
    pub began: Option<Time>,
    /// When its end was sent.
    pub completed: Option<Time>,
    /// How it stands.
    pub state: FileState,
}

/// How a file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// Asked for, its end not sent.
    Open,
    /// Its end was sent.
    Complete,
}
