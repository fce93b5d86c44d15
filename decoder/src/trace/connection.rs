//! Connections: what carries everything else.

use super::{Call, Exchange, Id, PerSide};
use crate::event::{Closed, Endpoints, Side, TapId, Time};

/// A transport connection, or one that is carried inside another.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its number.
    pub id: Id<Connection>,
    /// The tapped connection that carries it in the end.
    pub tap: TapId,
    /// For a connection carried by a call (`Control.Session`): that call's connection and the call.
    pub parent: Option<(Id<Connection>, Id<Call>)>,
    /// 0 for a tapped connection, one more for every level of nesting.
    pub depth: u8,
    /// Where from, where to.
    pub endpoints: Endpoints,
    /// What is spoken on it now.
    pub protocol: Protocol,
    /// The request that turned HTTP/1.1 into what is spoken now.
    pub upgraded_by: Option<Id<Exchange>>,
    /// When it was opened.
    pub opened: Time,
    /// When and how it ended.
    pub closed: Option<(Time, Closed)>,
    /// Bytes that each side sent.
    pub bytes: PerSide<u64>,
    /// When each side sent last.
    pub last_bytes: PerSide<Option<Time>>,
    /// When each side said that it will send no more.
    pub half_closed: PerSide<Option<Time>>,
    /// Since when each side does not read (the relay cannot deliver).
    pub not_reading: PerSide<Option<Time>>,
    /// Since when, and why, what a side sends is not decoded.
    pub undecodable: PerSide<Option<Undecodable>>,
    /// The state of HTTP/2, when that is what is spoken.
    pub http2: Option<Http2>,
}

impl Connection {
    /// Who ended it: who reset it, or who was the first to send no more. `how` is how it ends, if
    /// that is not in the row yet.
    pub fn ended_by(&self, how: Option<Closed>) -> Option<Side> {
        if let Some(Closed::Reset { by }) = how.or(self.closed.map(|(_, how)| how)) {
            return by;
        }
        match self.half_closed.0 {
            [Some(client), Some(daemon)] if client <= daemon => Some(Side::Client),
            [Some(_), None] => Some(Side::Client),
            [_, Some(_)] => Some(Side::Daemon),
            [None, None] => None,
        }
    }

    /// `open` or `closed`: as it stands in JSON. One whose end was not seen is open.
    pub fn state(&self) -> &'static str {
        match self.closed {
            Some((_, Closed::Abandoned)) | None => "open",
            Some(_) => "closed",
        }
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Nothing was sent yet, or not enough to tell.
    Unknown,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 (RFC 9113), from the start, after an upgrade or inside a tunnel.
    Http2,
    /// The stream of `docker exec`, multiplexed towards the client, with HTTP/2 inside or not known yet.
    ExecTunnel,
    /// Something else: relayed and counted, not decoded.
    Opaque,
}

impl Protocol {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Unknown => "unknown",
            Protocol::Http1 => "http1",
            Protocol::Http2 => "http2",
            Protocol::ExecTunnel => "exec-tunnel",
            Protocol::Opaque => "opaque",
        }
    }
}

/// From here on what a side sends could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable {
    /// When that began.
    pub at: Time,
    /// How many bytes the side had sent before.
    pub offset: u64,
    /// Why, as part of a sentence.
    pub why: String,
}

/// What is known of an HTTP/2 connection.
#[derive(Clone, Debug)]
pub struct Http2 {
    /// Who is the HTTP/2 client: the caller of the calls on it.
    pub caller: Side,
    /// The parameters that each side announced, by number (RFC 9113 §6.5.2), latest value.
    pub settings: PerSide<Option<[Option<u32>; 7]>>,
    /// What each side may still send on the whole connection, in bytes (RFC 9113 §6.9).
    pub window: PerSide<i64>,
    /// Since when each side may send nothing at all, because that is used up.
    pub no_window: PerSide<Option<Time>>,
    /// The GOAWAY that each side sent last.
    pub goaway: PerSide<Option<GoAway>>,
    /// Frames that each side sent.
    pub frames: PerSide<u64>,
    /// Whether each side has acknowledged SETTINGS of its peer.
    pub acknowledges: PerSide<bool>,
    /// Since when a PING of each side has had no answer.
    pub unanswered_ping: PerSide<Option<Time>>,
}

impl Http2 {
    /// The value of a parameter that `side` announced.
    pub fn setting(&self, side: Side, number: u16) -> Option<u32> {
        self.settings
            .get(side)
            .as_ref()
            .and_then(|all| all.get(usize::from(number)))
            .copied()
            .flatten()
    }
}

/// A GOAWAY frame (RFC 9113 §6.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// When it was sent.
    pub at: Time,
    /// The last stream that was or might be handled.
    pub last_stream_id: u32,
    /// The error code.
    pub code: u32,
    /// The debug data, as text.
    pub debug: String,
}

/// How the two programs named themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// `User-Agent` values of the client (and of gRPC calls that it made), in order of appearance.
    pub client: Vec<String>,
    /// What the daemon said of itself: `Server` header, API version, BuildKit version.
    pub daemon: Vec<String>,
}

impl Versions {
    const LIMIT: usize = 16;

    pub(crate) fn note(&mut self, side: Side, name: String) {
        let names = match side {
            Side::Client => &mut self.client,
            Side::Daemon => &mut self.daemon,
        };
        if !name.is_empty() && names.len() < Self::LIMIT && !names.contains(&name) {
            names.push(name);
        }
    }
}
