//! A capture in which what is inside other connections stands beside them.
//!
//! [`Nested`] writes what a tap saw as it was, and has it decoded meanwhile. What the decoder
//! finds inside a connection, in an exec tunnel or in a `Control.Session` call, becomes a TCP
//! conversation of its own, with the times at which its bytes passed. Who dials there is who makes
//! the calls on it (the HTTP/2 client), on a session therefore the daemon: that is what
//! Wireshark expects.
//!
//! What follows an upgrade of HTTP/1 stays where it is: Wireshark reads it there.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;

use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_decoder::trace::{Call, Connection, Flavour, Id, Protocol, Said, Update};
use buildtap_decoder::{Decoder, Limits, Options};
use buildtap_fixtures::capture::write::Writer;

/// The port of what is inside exec tunnels.
pub const EXEC_PORT: u16 = 23_750;
/// The port of sessions inside `Control.Session` calls.
pub const SESSION_PORT: u16 = 23_751;

/// Connections inside others are numbered from here on; those that were tapped come nowhere near.
const FIRST_TAP: u64 = 1 << 63;
/// Their callers have ports from here on.
const FIRST_PORT: u16 = 20_000;
/// So many, before the next address.
const PORTS: u32 = 40_000;

/// Bytes and pieces that one event may lead to: what a large packet holds, on every level. It bounds
/// what becomes of packets that hold much more than they seem to, as compressed messages may.
const PENDING_BYTES: usize = 256 << 20;
const PENDING: usize = 4 << 20;

/// What is spoken behind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1, at first at least, on some connection to it.
    Http1,
    /// HTTP/2 from the first byte, on all of them.
    Http2,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Connections that were tapped.
    pub connections: u64,
    /// Connections inside others.
    pub inside: u64,
    /// What is spoken behind the ports of the file.
    pub ports: BTreeMap<u16, Speaks>,
    /// Whether a `FileSend` carried fsutil Packets, which its declaration does not say.
    pub sends_packets: bool,
    /// Pieces of what is inside connections that are missing in the file: there were too many at
    /// a time.
    pub left_out: u64,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.connections == 1 { "" } else { "s" };
        let Written {
            connections,
            inside,
            ..
        } = self;
        write!(f, "{connections} connection{s} and {inside} inside them")?;
        match self.left_out {
            0 => Ok(()),
            n => write!(f, " ({n} pieces of those are missing)"),
        }
    }
}

/// Writes events, and what is inside of connections once more.
#[derive(Debug)]
pub struct Nested<W> {
    decoder: Decoder,
    writer: Writer<W>,
    inside: HashMap<Id<Connection>, Inside>,
    /// The calls that those are in.
    calls: HashMap<Id<Call>, Id<Connection>>,
    written: Written,
}

/// A connection inside another.
#[derive(Clone, Copy, Debug)]
struct Inside {
    /// Its number in the file.
    tap: TapId,
    /// Who makes the calls.
    caller: Side,
    /// The call that it is in.
    call: Option<Id<Call>>,
}

impl Inside {
    /// Which end of the conversation this side is.
    fn end(self, side: Side) -> Side {
        if side == self.caller {
            Side::Client
        } else {
            Side::Daemon
        }
    }
}

impl<W: Write> Nested<W> {
    /// Writes into `writer`, of which nothing was asked yet.
    pub fn new(writer: Writer<W>) -> Self {
        let options = Options {
            limits: Limits {
                pending_previews: PENDING_BYTES,
                pending_updates: PENDING,
                ..Limits::default()
            },
            updates: true,
            said: true,
            ..Options::default()
        };
        Nested {
            decoder: Decoder::new(options),
            writer,
            inside: HashMap::new(),
            calls: HashMap::new(),
            written: Written::default(),
        }
    }

    /// Writes what a tap saw, and what that was inside.
    pub fn event(&mut self, at: Time, id: TapId, event: TapEvent<'_>) -> io::Result<()> {
        // Once a connection is closed, the writer does not know its addresses any more.
        let ends = self.writer.addresses(id);
        let half_closed = match &event {
            TapEvent::HalfClose { from } => Some(*from),
            _ => None,
        };
        self.writer.event(at, id, &event)?;
        if matches!(event, TapEvent::Open(_)) {
            self.written.connections = self.written.connections.saturating_add(1);
        }
        self.decoder.event(at, id, event);
        self.take_updates(at, ends)?;
        if let Some(from) = half_closed {
            self.half_close_tunnel(at, id, from)?;
        }
        Ok(())
    }

    /// Nothing more will come. Gives where it was written, and what there is to say about it.
    pub fn finish(mut self) -> io::Result<(W, Written)> {
        self.decoder.finish();
        let now = self.decoder.now();
        self.take_updates(now, None)?;
        self.written.left_out = self.decoder.take_dropped();
        Ok((self.writer.into_inner(), self.written))
    }

    fn take_updates(&mut self, at: Time, ends: Option<[SocketAddr; 2]>) -> io::Result<()> {
        while let Some(update) = self.decoder.take_update() {
            match update {
                Update::Said(said) => match *said {
                    Said::Inner {
                        connection,
                        from,
                        bytes,
                    } => self.said(at, connection, from, &bytes)?,
                    Said::HalfClosed(call, from) => {
                        if let Some(connection) = self.calls.get(&call) {
                            self.half_close(at, *connection, from)?;
                        }
                    }
                    _ => {}
                },
                Update::ConnectionClosed(connection) => {
                    self.note_port(connection, ends);
                    self.close(at, connection)?;
                }
                Update::TransferEnded(transfer) => {
                    let transfer = self.decoder.trace().transfers.get(transfer);
                    self.written.sends_packets |= transfer.is_some_and(|transfer| {
                        transfer.service == "FileSend" && transfer.flavour == Flavour::Packet
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn said(
        &mut self,
        at: Time,
        connection: Id<Connection>,
        from: Side,
        bytes: &[u8],
    ) -> io::Result<()> {
        let inside = match self.inside.get(&connection) {
            Some(inside) => *inside,
            None => self.open(at, connection)?,
        };
        let from = inside.end(from);
        self.writer
            .event(at, inside.tap, &TapEvent::Chunk { from, bytes })
    }

    /// The first bytes of a connection inside another came.
    fn open(&mut self, at: Time, id: Id<Connection>) -> io::Result<Inside> {
        let number = self.written.inside;
        let row = self.decoder.trace().connections.get(id);
        let call = row.and_then(|row| row.parent).map(|(_, call)| call);
        let (otherwise, port) = match call {
            Some(_) => (Side::Daemon, SESSION_PORT),
            None => (Side::Client, EXEC_PORT),
        };
        let inside = Inside {
            tap: TapId(FIRST_TAP.saturating_add(number)),
            caller: row
                .and_then(|row| row.http2.as_ref())
                .map_or(otherwise, |http2| http2.caller),
            call,
        };
        let what = self.describe(id);
        self.writer
            .open_inside(at, inside.tap, &ends(number, port), &what)?;
        let port = self
            .writer
            .addresses(inside.tap)
            .map_or(port, |[_, callee]| callee.port());
        self.written.ports.entry(port).or_insert(Speaks::Http2);
        self.written.inside = number.saturating_add(1);
        self.inside.insert(id, inside);
        if let Some(call) = call {
            self.calls.insert(call, id);
        }
        Ok(inside)
    }

    /// What a connection inside another is, for the comment on its first packet.
    fn describe(&self, id: Id<Connection>) -> String {
        let trace = self.decoder.trace();
        let Some(row) = trace.connections.get(id) else {
            return "nothing more is known of it".to_owned();
        };
        let Some((outer, call)) = row.parent else {
            let place = self.place(id, self.writer.addresses(row.tap));
            let by = row.upgraded_by.and_then(|by| trace.exchanges.get(by));
            let by = by.map_or(String::new(), |by| format!(", {} {}", by.method, by.target));
            return format!("the HTTP/2 in the exec tunnel of {place}{by}");
        };
        let tap = match (self.inside.get(&outer), trace.connections.get(outer)) {
            (Some(inside), _) => Some(inside.tap),
            (None, outer) => outer.map(|outer| outer.tap),
        };
        let place = self.place(outer, tap.and_then(|tap| self.writer.addresses(tap)));
        let session = trace
            .sessions
            .iter()
            .find(|session| session.connection == id)
            .map_or("a session", |session| session.uuid.as_str());
        let name = trace
            .calls
            .get(call)
            .map_or_else(|| "Control.Session".to_owned(), Call::short_name);
        format!("session {session} inside call {call} ({name}) of {place}; the daemon calls here")
    }

    /// How a connection is called in `buildtap show`, and where it is in the file.
    fn place(&self, id: Id<Connection>, ends: Option<[SocketAddr; 2]>) -> String {
        match ends {
            Some([client, _]) => format!("connection {id} (tcp.port == {})", client.port()),
            None => format!("connection {id}"),
        }
    }

    fn half_close(&mut self, at: Time, connection: Id<Connection>, from: Side) -> io::Result<()> {
        match self.inside.get(&connection) {
            Some(inside) => {
                let from = inside.end(from);
                self.writer
                    .event(at, inside.tap, &TapEvent::HalfClose { from })
            }
            None => Ok(()),
        }
    }

    /// What is in an exec tunnel ends with the connection that it is in.
    fn half_close_tunnel(&mut self, at: Time, tap: TapId, from: Side) -> io::Result<()> {
        let connections = &self.decoder.trace().connections;
        let tunnels = self.inside.iter().filter(|(_, it)| it.call.is_none());
        let mut ids = tunnels.map(|(id, _)| *id);
        let id = ids.find(|id| connections.get(*id).is_some_and(|row| row.tap == tap));
        match id {
            Some(id) => self.half_close(at, id, from),
            None => Ok(()),
        }
    }

    fn close(&mut self, at: Time, connection: Id<Connection>) -> io::Result<()> {
        let Some(inside) = self.inside.remove(&connection) else {
            return Ok(());
        };
        if let Some(call) = inside.call {
            self.calls.remove(&call);
        }
        let row = self.decoder.trace().connections.get(connection);
        let how = row.and_then(|row| row.closed).map(|(_, how)| how);
        let how = match how.unwrap_or(Closed::Abandoned) {
            Closed::Reset { by } => Closed::Reset {
                by: by.map(|by| inside.end(by)),
            },
            Closed::Finished => {
                // A call is over when its callee says so, whatever its caller had to say.
                for from in [Side::Daemon, Side::Client] {
                    self.writer
                        .event(at, inside.tap, &TapEvent::HalfClose { from })?;
                }
                Closed::Finished
            }
            other => other,
        };
        self.writer.event(at, inside.tap, &TapEvent::Close { how })
    }

    /// Notes what was spoken on a tapped connection, which had these `ends` in the file.
    fn note_port(&mut self, connection: Id<Connection>, ends: Option<[SocketAddr; 2]>) {
        let Some(row) = self.decoder.trace().connections.get(connection) else {
            return;
        };
        if row.depth > 0 {
            return;
        }
        let Some([_, daemon]) = ends.or_else(|| self.writer.addresses(row.tap)) else {
            return;
        };
        let speaks = match row.protocol {
            Protocol::Http1 | Protocol::ExecTunnel => Speaks::Http1,
            _ if row.upgraded_by.is_some() => Speaks::Http1,
            Protocol::Http2 => Speaks::Http2,
            Protocol::Unknown | Protocol::Opaque => return,
        };
        let port = self.written.ports.entry(daemon.port()).or_insert(speaks);
        if speaks == Speaks::Http1 {
            *port = speaks;
        }
    }
}

/// The addresses of a connection inside another: numbered callers on a part of the loopback that
/// nobody else uses.
fn ends(number: u64, port: u16) -> Endpoints {
    let number = (number % (1 << 31)) as u32;
    let caller = FIRST_PORT.saturating_add((number % PORTS) as u16);
    let [.., a, b] = (number / PORTS).to_be_bytes();
    Endpoints {
        client: format!("127.{}.{b}.1:{caller}", 200_u8.saturating_add(a % 50)),
        daemon: format!("127.200.0.2:{port}"),
        client_process: None,
    }
}
