//! HTTP/2 as it carries calls: streams become calls (gRPC) or exchanges (anything else).

use std::collections::HashMap;

use super::call::CallStream;
use super::node::{undecodable, who_ended};
use super::{masked, session};
use crate::core::Core;
use crate::doctor;
use crate::event::{Closed, Side};
use crate::redact::{self, Patch};
use crate::trace::{
    self, Awaited, CallState, Connection, Exchange, Frame, GoAway, Id, PerSide, Reset, Session,
    Update,
};
use crate::wire::hpack;
use crate::wire::http2::{
    self, Block, FrameHeader, FrameType, Headers, Violation, WINDOW_DEFAULT, flags,
};

/// An HTTP/2 connection at any level.
#[derive(Debug)]
pub(crate) struct Http2 {
    wire: http2::Connection,
    calls: Calls,
}

/// The streams of one connection.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) connection: Id<Connection>,
    /// The HTTP/2 client: who makes the calls.
    pub(super) caller: Side,
    /// The session whose calls these are.
    pub(super) session: Option<Id<Session>>,
    streams: HashMap<u32, Stream>,
}

#[derive(Debug)]
enum Stream {
    Call(Box<CallStream>),
    Exchange(Id<Exchange>),
}

impl Http2 {
    pub(crate) fn new(
        core: &mut Core,
        connection: Id<Connection>,
        caller: Side,
        session: Option<Id<Session>>,
    ) -> Self {
        if let Some(row) = core.trace.connections.get_mut(connection) {
            row.http2 = Some(trace::Http2 {
                caller,
                settings: PerSide::default(),
                window: PerSide([WINDOW_DEFAULT; 2]),
                no_window: PerSide::default(),
                goaway: PerSide::default(),
                frames: PerSide::default(),
                acknowledges: PerSide::default(),
                unanswered_ping: PerSide::default(),
            });
        }
        let wire = http2::Connection::new(caller, core.limits());
        Http2 {
            wire,
            calls: Calls {
                connection,
                caller,
                session,
                streams: HashMap::new(),
            },
        }
    }

    /// Whose calls these are, once that is known.
    pub(crate) fn set_session(&mut self, session: Id<Session>) {
        self.calls.session = Some(session);
    }

    pub(crate) fn feed(&mut self, core: &mut Core, from: Side, bytes: &[u8]) {
        let Http2 { wire, calls } = self;
        wire.feed(from, bytes, &mut Heard { core, calls });
    }

    pub(crate) fn gap(&mut self, core: &mut Core, from: Side, why: &str) {
        self.wire.lose(from);
        for stream in self.calls.streams.values_mut() {
            if let Stream::Call(call) = stream {
                call.lose(core, from, why);
            }
        }
    }

    /// Where the first byte of `from` stands of which it is not known yet whether it is secret.
    pub(crate) fn undecided(&self, from: Side) -> Option<u64> {
        let block = self.wire.unfinished(from);
        let block = block.filter_map(|part| part.origins.first());
        let calls = self.calls.streams.values();
        let calls = calls.filter_map(|stream| match stream {
            Stream::Call(call) => call.undecided(from),
            Stream::Exchange(_) => None,
        });
        block.chain(calls).min()
    }

    /// Masks what is undecided, as far as it may be secret.
    pub(crate) fn give_up(&mut self, core: &mut Core) {
        for side in Side::BOTH {
            for part in self.wire.unfinished(side) {
                core.blank_joined(side, &part.bytes, &part.origins);
            }
        }
        for stream in self.calls.streams.values_mut() {
            if let Stream::Call(call) = stream {
                call.give_up(core);
            }
        }
    }

    pub(crate) fn half_close(&mut self, core: &mut Core, from: Side) {
        if let Some(session) = self.calls.session {
            session::closed(core, session, Some(from));
        }
    }

    /// The connection is gone, and every open call with it.
    pub(crate) fn close(&mut self, core: &mut Core, how: Closed) {
        let now = core.now;
        let by = who_ended(core, self.calls.connection, Some(how));
        let abandoned = how == Closed::Abandoned;
        let mut streams: Vec<_> = self.calls.streams.drain().collect();
        streams.sort_unstable_by_key(|(stream_id, _)| *stream_id);
        for (_, stream) in streams {
            match stream {
                Stream::Call(mut call) if abandoned => call.abandon(core),
                Stream::Call(mut call) => call.reset(
                    core,
                    Reset {
                        at: now,
                        by,
                        code: None,
                    },
                    how,
                ),
                Stream::Exchange(id) => {
                    if let Some(exchange) = core.trace.exchanges.get_mut(id) {
                        exchange.cut_short = exchange.end.is_none() && !abandoned;
                    }
                    core.update(Update::ExchangeEnded(id));
                }
            }
        }
        if let Some(session) = self.calls.session
            && !abandoned
        {
            session::closed(core, session, by);
        }
    }
}

/// Writes down what the wire layer hears.
struct Heard<'a> {
    core: &'a mut Core,
    calls: &'a mut Calls,
}

impl Heard<'_> {
    fn state(&mut self) -> Option<&mut trace::Http2> {
        self.core
            .trace
            .connections
            .get_mut(self.calls.connection)?
            .http2
            .as_mut()
    }

    fn tell_frame(&mut self, from: Side, header: &FrameHeader, value: Option<u32>) {
        if self.core.options.frames {
            self.core.update(Update::Frame(Frame {
                connection: self.calls.connection,
                from,
                at: self.core.now,
                header: *header,
                value,
            }));
        }
    }

    fn is_over(&self, stream: &Stream) -> bool {
        match stream {
            Stream::Call(call) => call.is_over(),
            Stream::Exchange(id) => self
                .core
                .trace
                .exchanges
                .get(*id)
                .is_none_or(|exchange| exchange.end.is_some()),
        }
    }

    fn open_stream(&mut self, stream_id: u32, headers: Headers, end_stream: bool) {
        if self.calls.streams.len() >= self.core.limits().streams {
            let over: Vec<u32> = self
                .calls
                .streams
                .iter()
                .filter(|(_, stream)| self.is_over(stream))
                .map(|(stream_id, _)| *stream_id)
                .collect();
            for stream_id in over {
                self.calls.streams.remove(&stream_id);
            }
            if self.calls.streams.len() >= self.core.limits().streams {
                return;
            }
        }
        let grpc = headers
            .get("content-type")
            .is_some_and(|kind| kind.starts_with("application/grpc"));
        let stream = if grpc {
            Stream::Call(Box::new(CallStream::open(
                self.core, self.calls, stream_id, headers, end_stream,
            )))
        } else {
            Stream::Exchange(self.open_exchange(&headers, end_stream))
        };
        self.calls.streams.insert(stream_id, stream);
        self.check_stream_limit();
    }

    /// Looks whether as many calls are open as the peer allows. Streams that are over are in the
    /// table, too, so they are counted one by one only when there are that many at all.
    fn check_stream_limit(&mut self) {
        let (connection, caller) = (self.calls.connection, self.calls.caller);
        let reaches = |count: usize, limit: u32| count as u64 >= u64::from(limit);
        let Some(limit) = doctor::stream_limit(self.core, connection, caller)
            .filter(|limit| reaches(self.calls.streams.len(), *limit))
        else {
            return;
        };
        let streams = self.calls.streams.values();
        let open = streams.filter(|stream| !self.is_over(stream)).count();
        if reaches(open, limit) {
            doctor::stream_limit_reached(self.core, connection, caller, open, limit);
        }
    }

    fn open_exchange(&mut self, headers: &Headers, end_stream: bool) -> Id<Exchange> {
        let now = self.core.now;
        let target = masked::target(self.core, headers.get(":path").unwrap_or_default());
        let request_headers = masked::headers(self.core, headers.pairs());
        let weight = target
            .len()
            .saturating_add(masked::weight(&request_headers));
        let id = self.core.trace.exchanges.add(weight, |id| Exchange {
            id,
            connection: self.calls.connection,
            method: headers.get(":method").unwrap_or_default().to_owned(),
            target,
            status: None,
            request_headers,
            response_headers: Vec::new(),
            start: now,
            request_end: end_stream.then_some(now),
            answered: None,
            end: None,
            cut_short: false,
            request_bytes: 0,
            response_bytes: 0,
            upgrade: None,
            error: None,
            build: None,
        });
        self.core.update(Update::ExchangeStarted(id));
        id
    }

    fn end_exchange(&mut self, id: Id<Exchange>, from: Side) {
        let now = self.core.now;
        let caller = self.calls.caller;
        if let Some(exchange) = self.core.trace.exchanges.get_mut(id) {
            if from == caller {
                exchange.request_end.get_or_insert(now);
            } else if exchange.end.is_none() {
                exchange.end = Some(now);
                self.core.update(Update::ExchangeEnded(id));
            }
        }
    }

    fn end_stream(&mut self, from: Side, stream_id: u32) {
        match self.calls.streams.get_mut(&stream_id) {
            Some(Stream::Call(call)) => {
                let over = call.end_stream(self.core, from);
                if over {
                    self.calls.streams.remove(&stream_id);
                }
            }
            Some(Stream::Exchange(id)) => {
                let id = *id;
                self.end_exchange(id, from);
                if from != self.calls.caller {
                    self.calls.streams.remove(&stream_id);
                }
            }
            None => {}
        }
    }
}

impl http2::Handler for Heard<'_> {
    fn frame(&mut self, from: Side, header: &FrameHeader) {
        if let Some(http2) = self.state() {
            let frames = http2.frames.get_mut(from);
            *frames = frames.saturating_add(1);
            if header.kind == FrameType::Settings && header.flags & flags::ACK != 0 {
                *http2.acknowledges.get_mut(from) = true;
            }
        }
        // The others are told with what is in them.
        if !header.kind.is_control() {
            self.tell_frame(from, header, None);
        }
    }

    fn control(&mut self, from: Side, header: &FrameHeader, payload: &[u8]) {
        let number = |at: usize| payload.get(at..)?.first_chunk().copied();
        let value = match header.kind {
            FrameType::WindowUpdate => number(0).map(|it| u32::from_be_bytes(it) & 0x7fff_ffff),
            FrameType::RstStream => number(0).map(u32::from_be_bytes),
            FrameType::GoAway => number(4).map(u32::from_be_bytes),
            _ => None,
        };
        self.tell_frame(from, header, value);
    }

    fn ping(&mut self, from: Side, ack: bool, _payload: u64) {
        let now = self.core.now;
        if let Some(http2) = self.state() {
            let asked = if ack { from.peer() } else { from };
            http2.unanswered_ping.note(asked, !ack, now);
        }
    }

    fn headers(&mut self, from: Side, stream_id: u32, headers: Headers, end_stream: bool) {
        let connection = self.calls.connection;
        doctor::header_list(self.core, connection, from, stream_id, headers.list_size());
        match self.calls.streams.get_mut(&stream_id) {
            Some(Stream::Call(call)) => {
                let over = call.headers(self.core, from, headers, end_stream);
                if over {
                    self.calls.streams.remove(&stream_id);
                }
                return;
            }
            Some(Stream::Exchange(id)) => {
                let now = self.core.now;
                let response_headers = masked::headers(self.core, headers.pairs());
                if let Some(exchange) = self.core.trace.exchanges.get_mut(*id)
                    && from != self.calls.caller
                    && exchange.status.is_none()
                {
                    let status = headers
                        .get(":status")
                        .and_then(|status| status.parse().ok())
                        .unwrap_or(0);
                    exchange.status = Some((status, String::new()));
                    exchange.answered = Some(now);
                    exchange.response_headers = response_headers;
                }
            }
            // Only the HTTP/2 client opens streams here; trailers of a stream that is over may still come.
            None if from == self.calls.caller && headers.get(":path").is_some() => {
                self.open_stream(stream_id, headers, end_stream);
            }
            None => return,
        }
        if end_stream {
            self.end_stream(from, stream_id);
        }
    }

    fn data(&mut self, from: Side, stream_id: u32, bytes: &[u8]) {
        match self.calls.streams.get_mut(&stream_id) {
            Some(Stream::Call(call)) => call.data(self.core, from, bytes),
            Some(Stream::Exchange(id)) => {
                if let Some(exchange) = self.core.trace.exchanges.get_mut(*id) {
                    let count = if from == self.calls.caller {
                        &mut exchange.request_bytes
                    } else {
                        &mut exchange.response_bytes
                    };
                    *count = count.saturating_add(bytes.len() as u64);
                }
                self.core.redact_here(bytes, redact::text);
            }
            None => self.core.blank(bytes),
        }
    }

    fn data_end(&mut self, from: Side, stream_id: u32, end_stream: bool, window: i64) {
        if let Some(Stream::Call(call)) = self.calls.streams.get(&stream_id) {
            call.window(self.core, from, window);
        }
        if end_stream {
            self.end_stream(from, stream_id);
        }
    }

    fn rst_stream(&mut self, from: Side, stream_id: u32, code: u32) {
        let reset = Reset {
            at: self.core.now,
            by: Some(from),
            code: Some(code),
        };
        match self.calls.streams.remove(&stream_id) {
            Some(Stream::Call(mut call)) => call.reset(self.core, reset, Closed::Finished),
            Some(Stream::Exchange(id)) => {
                let now = self.core.now;
                if let Some(exchange) = self.core.trace.exchanges.get_mut(id) {
                    exchange.cut_short = exchange.end.is_none();
                    exchange.end.get_or_insert(now);
                }
                self.core.update(Update::ExchangeEnded(id));
            }
            None => late_reset(self.core, self.calls.connection, stream_id, reset),
        }
    }

    fn settings(&mut self, from: Side, parameters: &[(u16, u32)]) {
        if let Some(http2) = self.state() {
            let settings = http2.settings.get_mut(from).get_or_insert_default();
            for (number, value) in parameters {
                if let Some(setting) = settings.get_mut(usize::from(*number)) {
                    *setting = Some(*value);
                }
            }
        }
    }

    fn goaway(&mut self, from: Side, last_stream_id: u32, code: u32, debug: &[u8]) {
        let at = self.core.now;
        let debug = masked::text(
            self.core.options.show_secrets,
            &String::from_utf8_lossy(debug),
        );
        if let Some(http2) = self.state() {
            *http2.goaway.get_mut(from) = Some(GoAway {
                at,
                last_stream_id,
                code,
                debug,
            });
        }
        doctor::goaway(self.core, self.calls.connection, from);
    }

    fn window(&mut self, to: Side, stream_id: u32, window: i64) {
        if stream_id != 0 {
            if let Some(Stream::Call(call)) = self.calls.streams.get(&stream_id) {
                call.window(self.core, to, window);
            }
            return;
        }
        let now = self.core.now;
        let mut since = None;
        if let Some(http2) = self.state() {
            since = *http2.no_window.get(to);
            *http2.window.get_mut(to) = window;
            http2.no_window.note(to, window <= 0, now);
        }
        if let Some(since) = since.filter(|_| window > 0) {
            let connection = self.calls.connection;
            let awaited = Awaited::Window { window };
            self.core
                .waited(connection, None, since, to.peer(), awaited);
        }
    }

    fn field(&mut self, from: Side, field: &hpack::Field<'_>, block: &Block<'_>) {
        let Some(literal) = field.value_literal.as_ref().filter(|_| self.core.redacts()) else {
            return;
        };
        self.core
            .redact(from, block.bytes, block.origins, |redaction, bytes, out| {
                let raw = bytes.get(literal.range.clone()).unwrap_or_default();
                let (name, value) = (field.name, field.value);
                let masked =
                    redact::header_value(&redaction.rules, name, value, raw, literal.huffman);
                out.extend(masked.map(|bytes| Patch {
                    at: literal.range.start,
                    bytes,
                }));
            });
    }

    fn passed_over(&mut self, _: Side, bytes: &[u8]) {
        self.core.blank(bytes);
    }

    fn locate(&self, bytes: &[u8]) -> Option<u64> {
        self.core.locate(bytes)
    }

    fn violation(&mut self, from: Side, violation: Violation) {
        let what = describe(&violation);
        if violation.is_fatal() {
            undecodable(self.core, self.calls.connection, from, what);
        } else {
            doctor::http2_violation(self.core, self.calls.connection, from, &what);
        }
    }
}

/// A RST_STREAM for a call that had ended: harmless, and worth keeping.
fn late_reset(core: &mut Core, connection: Id<Connection>, stream_id: u32, reset: Reset) {
    let call = core
        .trace
        .calls
        .iter_mut()
        .rev()
        .take(64)
        .find(|call| call.connection == connection && call.stream_id == stream_id);
    if let Some(call) = call.filter(|call| call.state != CallState::Open) {
        call.reset.get_or_insert(reset);
    }
}

fn describe(violation: &Violation) -> String {
    match violation {
        Violation::NoPreface { first } => format!(
            "HTTP/2 should begin with its preface, but the first bytes are {:?}",
            String::from_utf8_lossy(first.get(..24).unwrap_or(first))
        ),
        Violation::Hpack(error) => format!("a header block could not be decompressed: {error}"),
        Violation::HeaderBlockTooLong => "a header block is longer than buildtap keeps".to_owned(),
        Violation::Interleaved(kind) => {
            format!("a {kind:?} frame stands where a header block goes on")
        }
        Violation::FrameSize { kind, length } => {
            format!("a {kind:?} frame has an impossible length of {length} bytes")
        }
        Violation::WindowUpdate {
            stream_id,
            increment: 0,
        } => format!("a WINDOW_UPDATE of stream {stream_id} adds nothing"),
        Violation::WindowUpdate {
            stream_id,
            increment,
        } => format!(
            "a WINDOW_UPDATE of {increment} bytes makes the window of stream {stream_id} larger than 2^31-1"
        ),
        Violation::NoSettings { first } => {
            format!("the first frame should be SETTINGS, but the first bytes are {first:02x?}")
        }
    }
}
