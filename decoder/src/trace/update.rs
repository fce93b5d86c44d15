//! Updates: what just changed in the trace, in order, for views that follow.

use bytes::Bytes;

use super::{Build, Call, Connection, Exchange, File, Finding, Id, Said, Session, Transfer};
use crate::event::{Side, Time};
use crate::protocol::diffcopy::PacketType;
use crate::wire::http2::FrameHeader;

/// Something in the trace changed. Ids point into the trace, which holds the present state.
#[derive(Clone, Debug)]
pub enum Update {
    /// A connection was opened.
    ConnectionOpened(Id<Connection>),
    /// A connection ended.
    ConnectionClosed(Id<Connection>),
    /// A session was asked for.
    SessionOpened(Id<Session>),
    /// A session ended, or was refused.
    SessionClosed(Id<Session>),
    /// A call began.
    CallStarted(Id<Call>),
    /// A message of a call was sent.
    Message(Box<Message>),
    /// A call ended.
    CallEnded(Id<Call>),
    /// An HTTP request was sent.
    ExchangeStarted(Id<Exchange>),
    /// An HTTP request was answered, to the end.
    ExchangeEnded(Id<Exchange>),
    /// What a transfer's messages are was decided, or decided anew.
    TransferDecided(Id<Transfer>),
    /// A file of a transfer is complete.
    File(Id<Transfer>, Box<File>),
    /// A transfer ended.
    TransferEnded(Id<Transfer>),
    /// A build was asked for.
    BuildStarted(Id<Build>),
    /// The vertex at this position of the build changed.
    Vertex(Id<Build>, usize),
    /// A build was answered.
    BuildEnded(Id<Build>),
    /// Something abnormal was found, or what was likely became certain.
    Finding(Id<Finding>),
    /// A text that somebody meant for people.
    Text(Box<Text>),
    /// Somebody was waited for, and acted.
    Waited(Box<Wait>),
    /// A step of a build printed something.
    Printed(Id<Build>, Box<Printed>),
    /// A piece of what was said, whole.
    Said(Box<Said>),
    /// An HTTP/2 frame was sent.
    Frame(Frame),
}

/// One HTTP/2 frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The connection, at any level.
    pub connection: Id<Connection>,
    /// Who sent it.
    pub from: Side,
    /// When its header was complete or, where it has a [`value`](Frame::value), its payload.
    pub at: Time,
    /// What kind of frame it is, its flags, its stream and the bytes of its payload.
    pub header: FrameHeader,
    /// Of WINDOW_UPDATE by how many bytes, of RST_STREAM and GOAWAY the error code.
    pub value: Option<u32>,
}

/// One gRPC message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The call that it belongs to.
    pub call: Id<Call>,
    /// Who sent it.
    pub from: Side,
    /// Its place among the messages of that side, from 1.
    pub number: u64,
    /// Its length in bytes, without the gRPC prefix.
    pub length: u64,
    /// When its last byte was sent.
    pub at: Time,
    /// What it is.
    pub content: Content,
}

/// What a message is.
#[derive(Clone, Debug)]
pub enum Content {
    /// A protobuf message: its bytes, cut at the preview limit.
    Protobuf {
        /// The bytes, perhaps not all.
        body: Bytes,
        /// Whether there is more than `body`.
        cut: bool,
    },
    /// An fsutil packet.
    Packet {
        /// What it says.
        packet: crate::protocol::diffcopy::Packet,
        /// The path of the entry whose id it carries, where that was announced and kept. The transfer
        /// forgets it at its end, which may come before this message is looked at.
        path: Option<Box<str>>,
        /// The beginning of the message as it was sent; contents of files are not kept.
        body: Bytes,
    },
    /// A slice of an archive, of a tunnel or of a socket: contents are not kept.
    Bytes {
        /// How many bytes it carries.
        payload: u64,
        /// The beginning of the message as it was sent; empty for tunnels and sockets.
        body: Bytes,
    },
}

/// A text that somebody meant for people: standard error of an exec tunnel, a build step's output.
#[derive(Clone, Debug)]
pub struct Text {
    /// Where it was seen.
    pub connection: Id<Connection>,
    /// When.
    pub at: Time,
    /// Whose it is.
    pub source: TextSource,
    /// The text: not safe for a terminal as it stands.
    pub text: String,
}

/// Whose text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextSource {
    /// Standard error inside an exec tunnel.
    ExecStderr,
    /// The `stream` of `POST /build`.
    BuildStream,
}

/// A wait that is over. Queued only if [`Options::waits`](crate::Options::waits) asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The connection that it is on.
    pub connection: Id<Connection>,
    /// The call that waited; `None` if the whole connection did.
    pub call: Option<Id<Call>>,
    /// Since when.
    pub since: Time,
    /// When it was over.
    pub until: Time,
    /// Who was waited for: who acted at its end.
    pub side: Side,
    /// What was waited for.
    pub awaited: Awaited,
}

/// What somebody was waited for to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// To send this packet of a transfer, after nobody had sent one.
    Packet(PacketType),
    /// To send a message of an archive, after nobody had sent one.
    Slice,
    /// To let its peer send again, whose window was used up (RFC 9113 §6.9). `window` is what the
    /// peer may send now, in bytes.
    Window {
        /// The new window.
        window: i64,
    },
    /// To read from its socket again.
    Read,
}

/// What a step printed. Queued only if [`Options::printed`](crate::Options::printed) asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The step.
    pub vertex: String,
    /// When, by the daemon's clock.
    pub at: Option<Time>,
    /// The file descriptor: 1 or 2.
    pub stream: i64,
    /// The text, secrets masked: not safe for a terminal as it stands.
    pub text: String,
}
