//! One connection: finds out what is spoken on it and hands its bytes to that layer.

use super::exec::Exec;
use super::http1::{Http1, Upgrade};
use super::http2::Http2;
use crate::core::{Core, filled};
use crate::doctor;
use crate::event::{Closed, Endpoints, Side, TapId, Time};
use crate::origin::Joined;
use crate::redact::{self, Patch};
use crate::trace::{Awaited, Call, Connection, Id, PerSide, Protocol, Undecodable, Update};
use crate::wire::Sniff;
use crate::wire::http1::looks_like_request;
use crate::wire::http2::PREFACE;

/// One connection, tapped or carried inside another.
#[derive(Debug)]
pub(crate) struct Node {
    id: Id<Connection>,
    layer: Layer,
    /// Bytes that each side has sent.
    taken: PerSide<u64>,
}

#[derive(Debug)]
enum Layer {
    /// Not enough was sent to tell; what each side sent so far. A gRPC server may send its
    /// SETTINGS before it has read anything.
    Sniff(PerSide<Joined>),
    Http1(Box<Http1>),
    Http2(Box<Http2>),
    Exec(Box<Exec>),
    /// Counted, not decoded.
    Opaque,
}

/// Bytes of one side that are held back until the protocol is known.
const SNIFF_LIMIT: usize = 64 << 10;

/// What the first bytes look like.
enum Guess {
    Wait,
    Http1,
    Http2(Side),
    Neither(&'static str),
}

fn guess(seen: &PerSide<Joined>) -> Guess {
    let client = &seen.get(Side::Client).bytes;
    let daemon = &seen.get(Side::Daemon).bytes;
    match (preface(client), preface(daemon)) {
        (Some(true), _) => Guess::Http2(Side::Client),
        // A session connection that was tapped without the request that made it one.
        (_, Some(true)) => Guess::Http2(Side::Daemon),
        (None, _) => Guess::Wait,
        (Some(false), _) => match looks_like_request(client) {
            Sniff::Yes => Guess::Http1,
            Sniff::Maybe => Guess::Wait,
            Sniff::No if client.first() == Some(&0x16) => Guess::Neither(
                "it begins with a TLS handshake, and buildtap was not given the keys",
            ),
            Sniff::No => Guess::Neither("it is neither HTTP/1.1 nor HTTP/2"),
        },
    }
}

/// Whether these bytes begin with the HTTP/2 preface; `None` while they are too few to tell.
fn preface(bytes: &[u8]) -> Option<bool> {
    let shorter = bytes.len().min(PREFACE.len());
    match bytes.get(..shorter) == PREFACE.get(..shorter) {
        true if shorter >= 4 => Some(true),
        true => None,
        false => Some(false),
    }
}

impl Node {
    /// A connection that a tap reports.
    pub(crate) fn tapped(core: &mut Core, tap: TapId, endpoints: Endpoints) -> Self {
        let id = open(core, tap, endpoints, None, 0);
        Node {
            id,
            layer: Layer::Sniff(PerSide::default()),
            taken: PerSide::default(),
        }
    }

    /// The connection that a `Control.Session` call carries: HTTP/2 with the daemon as client.
    pub(crate) fn nested(core: &mut Core, outer: Id<Connection>, call: Id<Call>) -> Option<Self> {
        let parent = core.trace.connections.get(outer)?;
        let (tap, endpoints) = (parent.tap, parent.endpoints.clone());
        let depth = parent
            .depth
            .checked_add(1)
            .filter(|depth| *depth <= core.limits().depth)?;
        let id = open(core, tap, endpoints, Some((outer, call)), depth);
        let layer = Layer::Http2(Box::new(Http2::new(core, id, Side::Daemon, None)));
        let taken = PerSide::default();
        Some(Node { id, layer, taken })
    }

    pub(crate) fn id(&self) -> Id<Connection> {
        self.id
    }

    /// How many bytes `from` has sent.
    pub(crate) fn taken(&self, from: Side) -> u64 {
        *self.taken.get(from)
    }

    /// Where the first byte of `from` stands of which it is not known yet whether it is secret.
    pub(crate) fn undecided(&self, from: Side) -> Option<u64> {
        match &self.layer {
            Layer::Sniff(seen) => seen.get(from).origins.first(),
            Layer::Http1(http1) => http1.undecided(from),
            Layer::Http2(http2) => http2.undecided(from),
            Layer::Exec(exec) => exec.undecided(from),
            Layer::Opaque => None,
        }
    }

    /// Masks what is undecided, as far as it may be secret.
    pub(crate) fn give_up(&mut self, core: &mut Core) {
        match &mut self.layer {
            Layer::Sniff(seen) => {
                for side in Side::BOTH {
                    unknown(core, side, seen.get(side));
                }
            }
            Layer::Http1(http1) => http1.give_up(core),
            Layer::Http2(http2) => http2.give_up(core),
            Layer::Exec(exec) => exec.give_up(core),
            Layer::Opaque => {}
        }
    }

    /// The HTTP/2 layer, when that is what is spoken.
    pub(crate) fn http2(&mut self) -> Option<&mut Http2> {
        match &mut self.layer {
            Layer::Http2(http2) => Some(http2),
            _ => None,
        }
    }

    /// `from` sent `bytes`.
    pub(crate) fn chunk(&mut self, core: &mut Core, from: Side, bytes: &[u8]) {
        let now = core.now;
        let taken = self.taken.get_mut(from);
        let is_first = *taken == 0;
        if is_first || matches!(self.layer, Layer::Opaque) {
            doctor::tls(core, self.id, from, bytes, is_first);
        }
        *taken = taken.saturating_add(bytes.len() as u64);
        if let Some(connection) = core.trace.connections.get_mut(self.id) {
            let count = connection.bytes.get_mut(from);
            *count = count.saturating_add(bytes.len() as u64);
            *connection.last_bytes.get_mut(from) = Some(now);
            if connection.undecodable.get(from).is_some() {
                core.blank(bytes);
                return;
            }
        } else if core.redacts() && !matches!(self.layer, Layer::Opaque) {
            // Nothing says any more from where on it cannot be decoded.
            self.give_up(core);
            self.layer = Layer::Opaque;
        }
        self.decode(core, from, bytes);
    }

    fn decode(&mut self, core: &mut Core, from: Side, bytes: &[u8]) {
        match &mut self.layer {
            Layer::Sniff(_) => self.sniff(core, from, bytes),
            Layer::Http1(http1) => {
                let consumed = http1.feed(core, from, bytes);
                if let Some(upgrade) = http1.upgraded() {
                    let (held, at) = http1.take_held();
                    self.upgrade(core, upgrade);
                    if !held.is_empty() {
                        core.chunks
                            .enter(Side::Client, &held, at.unwrap_or_default());
                        self.decode(core, Side::Client, &held);
                        core.chunks.leave();
                    }
                    let rest = bytes.get(consumed..).unwrap_or_default();
                    if !rest.is_empty() {
                        self.decode(core, from, rest);
                    }
                }
            }
            Layer::Http2(http2) => http2.feed(core, from, bytes),
            Layer::Exec(exec) => exec.feed(core, from, bytes),
            Layer::Opaque => core.blank(bytes),
        }
    }

    fn sniff(&mut self, core: &mut Core, from: Side, bytes: &[u8]) {
        let Layer::Sniff(seen) = &mut self.layer else {
            return;
        };
        let of_side = seen.get_mut(from);
        of_side.append(bytes, core.locate(bytes));
        // A request may come together with all of a large body.
        let is_much = of_side.bytes.len() > SNIFF_LIMIT;
        match guess(seen) {
            Guess::Wait if is_much => self.opaque(core, "it is neither HTTP/1.1 nor HTTP/2"),
            Guess::Wait => (),
            Guess::Http1 => {
                self.layer_is(core, Protocol::Http1, |_, id| {
                    Layer::Http1(Box::new(Http1::new(id)))
                });
            }
            Guess::Http2(client) => {
                self.layer_is(core, Protocol::Http2, |core, id| {
                    Layer::Http2(Box::new(Http2::new(core, id, client, None)))
                });
            }
            Guess::Neither(why) => self.opaque(core, why),
        }
    }

    /// The protocol is known: what was held back while it was not is decoded.
    fn layer_is(
        &mut self,
        core: &mut Core,
        protocol: Protocol,
        layer: impl FnOnce(&mut Core, Id<Connection>) -> Layer,
    ) {
        self.protocol(core, protocol);
        let layer = layer(core, self.id);
        let Layer::Sniff(seen) = std::mem::replace(&mut self.layer, layer) else {
            return;
        };
        // An HTTP/2 server may speak before it hears, and the client's first bytes may answer that.
        let order = match protocol {
            Protocol::Http2 => [Side::Daemon, Side::Client],
            _ => Side::BOTH,
        };
        for side in order {
            seen.get(side)
                .each_run(core, side, |core, held| self.decode(core, side, held));
        }
    }

    fn upgrade(&mut self, core: &mut Core, upgrade: Upgrade) {
        let (protocol, by) = match &upgrade {
            Upgrade::Session { by, .. } | Upgrade::Grpc { by } => (Protocol::Http2, *by),
            Upgrade::Exec { by, .. } => (Protocol::ExecTunnel, *by),
            Upgrade::Other { by } => (Protocol::Opaque, *by),
        };
        self.protocol(core, protocol);
        if let Some(connection) = core.trace.connections.get_mut(self.id) {
            connection.upgraded_by = Some(by);
        }
        self.layer = match upgrade {
            // After the upgrade the daemon is the HTTP/2 client (BuildKit session/grpc.go).
            Upgrade::Session { session, .. } => Layer::Http2(Box::new(Http2::new(
                core,
                self.id,
                Side::Daemon,
                Some(session),
            ))),
            Upgrade::Grpc { .. } => {
                Layer::Http2(Box::new(Http2::new(core, self.id, Side::Client, None)))
            }
            Upgrade::Exec {
                multiplexed,
                dial_stdio,
                ..
            } => Layer::Exec(Box::new(Exec::new(self.id, multiplexed, dial_stdio))),
            Upgrade::Other { .. } => Layer::Opaque,
        };
    }

    fn protocol(&self, core: &mut Core, protocol: Protocol) {
        if let Some(connection) = core.trace.connections.get_mut(self.id) {
            connection.protocol = protocol;
        }
    }

    fn opaque(&mut self, core: &mut Core, why: &str) {
        self.protocol(core, Protocol::Opaque);
        self.give_up(core);
        self.layer = Layer::Opaque;
        for side in Side::BOTH {
            undecodable(core, self.id, side, why.to_owned());
        }
    }

    /// Bytes of `from` are missing here.
    pub(crate) fn gap(&mut self, core: &mut Core, from: Side, missing: Option<u64>) {
        let nothing_before = core
            .trace
            .connections
            .get(self.id)
            .is_some_and(|connection| *connection.bytes.get(from) == 0);
        let why = match missing {
            Some(bytes) => format!("{bytes} bytes are missing in the capture"),
            None if nothing_before => "the start of the connection was not seen".to_owned(),
            None => "bytes are missing in the capture".to_owned(),
        };
        undecodable(core, self.id, from, why.clone());
        match &mut self.layer {
            Layer::Http2(http2) => http2.gap(core, from, &why),
            Layer::Exec(exec) => exec.gap(core, from, &why),
            Layer::Sniff(_) | Layer::Http1(_) | Layer::Opaque => {}
        }
    }

    /// The layer outside lost bytes of `from`.
    pub(super) fn lose(&mut self, core: &mut Core, from: Side, why: &str) {
        undecodable(core, self.id, from, why.to_owned());
        if let Layer::Http2(http2) = &mut self.layer {
            http2.gap(core, from, why);
        }
    }

    /// `from` will send no more.
    pub(crate) fn half_close(&mut self, core: &mut Core, from: Side) {
        let now = core.now;
        if let Some(connection) = core.trace.connections.get_mut(self.id) {
            connection.half_closed.get_mut(from).get_or_insert(now);
        }
        match &mut self.layer {
            Layer::Http1(http1) => http1.end(core, from),
            Layer::Http2(http2) => http2.half_close(core, from),
            Layer::Exec(exec) => exec.half_close(core, from),
            Layer::Sniff(_) | Layer::Opaque => {}
        }
    }

    /// `to` reads again, or does not.
    pub(crate) fn reading(&mut self, core: &mut Core, to: Side, reads: bool) {
        let now = core.now;
        let mut since = None;
        if let Some(connection) = core.trace.connections.get_mut(self.id) {
            since = *connection.not_reading.get(to);
            connection.not_reading.note(to, !reads, now);
        }
        if let Some(since) = since.filter(|_| reads) {
            core.waited(self.id, None, since, to, Awaited::Read);
        }
    }

    /// The connection is gone.
    pub(crate) fn close(&mut self, core: &mut Core, how: Closed) {
        match &mut self.layer {
            Layer::Http1(http1) => http1.close(core, how),
            Layer::Http2(http2) => http2.close(core, how),
            Layer::Exec(exec) => exec.close(core, how),
            Layer::Sniff(_) | Layer::Opaque => {}
        }
        let now = core.now;
        if let Some(connection) = core.trace.connections.get_mut(self.id) {
            connection.closed.get_or_insert((now, how));
        }
        core.update(Update::ConnectionClosed(self.id));
        doctor::connection_closed(core, self.id);
    }
}

/// Masks bytes of an unknown protocol: what comes first may tell which one it is.
pub(super) fn unknown(core: &mut Core, from: Side, bytes: &Joined) {
    const SHOWN: usize = 64;
    core.redact(
        from,
        &bytes.bytes,
        &bytes.origins,
        |redaction, bytes, out| {
            let (shown, rest) = bytes.split_at_checked(SHOWN).unwrap_or((bytes, &[]));
            redact::text(&redaction.rules, shown, out);
            out.extend(filled(rest, 0).map(|patch| Patch { at: SHOWN, ..patch }));
        },
    );
}

fn open(
    core: &mut Core,
    tap: TapId,
    endpoints: Endpoints,
    parent: Option<(Id<Connection>, Id<Call>)>,
    depth: u8,
) -> Id<Connection> {
    let opened: Time = core.now;
    let id = core.trace.connections.add(0, |id| Connection {
        id,
        tap,
        parent,
        depth,
        endpoints,
        protocol: if parent.is_some() {
            Protocol::Http2
        } else {
            Protocol::Unknown
        },
        upgraded_by: None,
        opened,
        closed: None,
        bytes: PerSide::default(),
        last_bytes: PerSide::default(),
        half_closed: PerSide::default(),
        not_reading: PerSide::default(),
        undecodable: PerSide::default(),
        http2: None,
    });
    core.update(Update::ConnectionOpened(id));
    id
}

/// Who ended a connection: who reset it, or who was the first to send no more.
pub(super) fn who_ended(core: &Core, id: Id<Connection>, how: Option<Closed>) -> Option<Side> {
    core.trace.connections.get(id)?.ended_by(how)
}

/// Notes that what `from` sends is not decoded from here on.
pub(super) fn undecodable(core: &mut Core, id: Id<Connection>, from: Side, why: String) {
    let at = core.now;
    if let Some(connection) = core.trace.connections.get_mut(id) {
        let offset = *connection.bytes.get(from);
        let mark = connection.undecodable.get_mut(from);
        if mark.is_none() {
            *mark = Some(Undecodable { at, offset, why });
            doctor::undecodable(core, id, from);
        }
    }
}
