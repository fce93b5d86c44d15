//! One call: a gRPC stream, from its headers to its end.

use bytes::Bytes;

use super::http2::Calls;
use super::message::{self, Meaning};
use super::node::{Node, undecodable};
use super::slices::Slices;
use super::transfer::TransferStream;
use super::unit::Unit;
use super::{masked, session};
use crate::core::{Core, filled};
use crate::doctor;
use crate::event::{Closed, Side};
use crate::inflate;
use crate::origin::Origins;
use crate::protocol::grpc_status::GrpcStatus;
use crate::protocol::mask::mask_text;
use crate::redact;
use crate::trace::{
    Awaited, Call, CallState, Content, Flow, Id, Message, PerSide, Reset, Said, Session, Status,
    Update,
};
use crate::wire::grpc::{Deframer, Piece};
use crate::wire::http2::Headers;

/// Bytes of `grpc-status-details-bin` that are kept as they stand.
const DETAILS_BYTES: usize = 64 << 10;

/// The decoder of one call.
#[derive(Debug)]
pub(super) struct CallStream {
    call: Id<Call>,
    caller: Side,
    carries: Carries,
    halves: PerSide<Half>,
    is_over: bool,
}

/// What the messages of a call are for.
#[derive(Debug)]
enum Carries {
    /// Messages that stand for themselves.
    Messages {
        meaning: Meaning,
        /// Whether they may hold secrets, and that matters.
        concerned: bool,
        /// Whether they are spans, or tell of spans, and are wanted whole.
        spans: bool,
    },
    /// Files or an archive.
    Transfer(Box<TransferStream>),
    /// An HTTP/2 connection, in slices (`Control.Session`).
    Tunnel {
        node: Option<Box<Node>>,
        session: Id<Session>,
        slices: PerSide<Slices>,
    },
    /// A socket or another stream of bytes, in slices: only counted.
    Socket(PerSide<Slices>),
}

/// One direction.
#[derive(Debug, Default)]
struct Half {
    deframer: Deframer,
    /// The encoding that the headers name.
    gzip: bool,
    /// Whether the message that is being read is compressed.
    compressed: bool,
    /// Bytes of that message, as it stands on the wire.
    length: u32,
    /// What is kept of it.
    kept: Vec<u8>,
    /// Where that stands.
    origins: Origins,
    /// Whether there was more.
    cut: bool,
    /// The whole message, if what is said is wanted.
    said: Vec<u8>,
    /// The bytes are not known to be whole messages any more.
    lost: bool,
}

impl CallStream {
    pub(super) fn open(
        core: &mut Core,
        calls: &Calls,
        stream_id: u32,
        headers: Headers,
        end_stream: bool,
    ) -> Self {
        let path = headers.get(":path").unwrap_or_default();
        let (service, method) = path
            .trim_start_matches('/')
            .rsplit_once('/')
            .unwrap_or(("", path));
        let (service, method) = (service.to_owned(), method.to_owned());
        let now = core.now;
        let caller = calls.caller;
        let metadata = masked::headers(core, headers.pairs());
        if let Some(agent) = headers.get("user-agent") {
            core.trace.versions.note(caller, agent.to_owned());
        }
        let window = |side: Side| {
            let peer = side.peer();
            let announced = core
                .trace
                .connections
                .get(calls.connection)
                .and_then(|connection| connection.http2.as_ref()?.setting(peer, 4));
            announced.map_or(crate::wire::http2::WINDOW_DEFAULT, i64::from)
        };
        let window = PerSide([window(Side::Client), window(Side::Daemon)]);
        let subject = message::subject_of_headers(&service, &metadata);
        let weight = path.len().saturating_add(masked::weight(&metadata));
        let id = core.trace.calls.add(weight, |id| Call {
            id,
            connection: calls.connection,
            session: calls.session,
            stream_id,
            service,
            method,
            caller,
            subject,
            metadata,
            response_metadata: Vec::new(),
            trailers: Vec::new(),
            start: now,
            answered: None,
            end: None,
            state: CallState::Open,
            status: None,
            reset: None,
            request: Flow {
                ended: end_stream.then_some(now),
                ..Flow::default()
            },
            response: Flow::default(),
            window,
            no_window: PerSide(window.0.map(|window| (window <= 0).then_some(now))),
            transfer: None,
            build: None,
            vertex: None,
        });
        core.update(Update::CallStarted(id));
        let carries = Carries::of(core, id, path, &headers);
        let mut halves = PerSide::<Half>::default();
        halves.get_mut(caller).gzip = headers.get("grpc-encoding") == Some("gzip");
        let stream = CallStream {
            call: id,
            caller,
            carries,
            halves,
            is_over: false,
        };
        message::call_opened(core, id);
        stream
    }

    /// A header block after the first: the response's headers or its trailers. Gives whether the
    /// stream is over.
    pub(super) fn headers(
        &mut self,
        core: &mut Core,
        from: Side,
        headers: Headers,
        end_stream: bool,
    ) -> bool {
        let now = core.now;
        // An interim answer (RFC 9110 §15.2) says nothing of the call.
        let interim = headers
            .get(":status")
            .is_some_and(|status| status.starts_with('1'));
        if interim && !end_stream {
            return false;
        }
        if from != self.caller {
            let pairs = masked::headers(core, headers.pairs());
            let half = self.halves.get_mut(from);
            half.gzip |= headers.get("grpc-encoding") == Some("gzip");
            let is_answer = headers.get(":status").is_some();
            // A proxy or a server without gRPC: what follows is its page, not messages.
            let is_error = is_answer && headers.get(":status") != Some("200");
            half.lost |= is_error;
            let status = if end_stream || is_error {
                status(core, &headers)
            } else {
                None
            };
            let mut answered = false;
            core.trace
                .calls
                .add_weight(self.call, masked::weight(&pairs));
            if let Some(call) = core.trace.calls.get_mut(self.call) {
                let plain = pairs
                    .into_iter()
                    .filter(|(name, _)| !name.starts_with("grpc-status"));
                if call.answered.is_none() {
                    call.answered = Some(now);
                    call.response_metadata = plain.collect();
                    answered = true;
                } else {
                    call.trailers = plain
                        .filter(|(name, _)| !name.starts_with("grpc-"))
                        .collect();
                }
                call.status = call.status.take().or(status);
                if is_answer && let Carries::Tunnel { session, .. } = &self.carries {
                    match &call.status {
                        Some(status) if status.code != 0 => {
                            let why = format!("{}: {}", status.name(), status.message);
                            session::refused(core, *session, why);
                        }
                        _ => session::accepted(core, *session),
                    }
                }
            }
            if answered && !end_stream {
                core.say(|| Said::CallAnswered(self.call));
            }
        }
        end_stream && self.end_stream(core, from)
    }

    /// Bytes of one side.
    pub(super) fn data(&mut self, core: &mut Core, from: Side, bytes: &[u8]) {
        let CallStream {
            call,
            caller,
            carries,
            halves,
            ..
        } = self;
        let call = *call;
        let concerned = carries.is_concerned();
        let is_request = from == *caller;
        let half = halves.get_mut(from);
        if half.lost {
            core.blank(bytes);
            return;
        }
        let now = core.now;
        if let Some(row) = core.trace.calls.get_mut(call) {
            let flow = row.sent_by_mut(from);
            flow.first.get_or_insert(now);
            flow.last = Some(now);
        }
        let Half {
            deframer,
            gzip,
            compressed,
            length,
            kept,
            origins,
            cut,
            said,
            ..
        } = half;
        deframer.feed(bytes, |piece| match piece {
            Piece::Start {
                compressed: flag,
                length: bytes,
            } => {
                *compressed = flag;
                *length = bytes;
                *cut = false;
                origins.clear();
                doctor::message_began(core, call, from, bytes);
            }
            Piece::Body(body) if *compressed => {
                if kept.len().saturating_add(body.len()) > core.limits().message {
                    core.blank(body);
                }
                origins.append(body.len(), core.locate(body));
                *cut |= !keep(core, kept, body, core.limits().message);
            }
            Piece::Body(body) => {
                carries.say(core, said, body);
                origins.append(body.len(), core.locate(body));
                let before = kept.len();
                carries.body(core, call, from, body, kept, cut);
                if concerned && kept.len().saturating_sub(before) < body.len() {
                    // Nobody can tell what is in the rest of a message.
                    core.blank(body);
                }
            }
            Piece::End => {
                let mut unreadable = false;
                let unit = Unit {
                    call,
                    from,
                    is_request,
                    cut: *cut,
                };
                match carries {
                    Carries::Messages { .. } if *compressed => {
                        unit.redact_compressed(core, kept, origins);
                    }
                    // Nobody compresses what is bytes anyway: nothing is left of it.
                    _ if *compressed => core.blank_joined(from, kept, origins),
                    _ if concerned => unit.redact(core, kept, origins),
                    _ => {}
                }
                origins.clear();
                if std::mem::take(compressed) {
                    let inflated = match *gzip && !*cut {
                        true => inflate::gzip(kept, core.limits().message),
                        false => None,
                    };
                    release(core, kept);
                    match inflated {
                        Some(inflated) => {
                            carries.say(core, said, &inflated);
                            carries.body(core, call, from, &inflated, kept, cut);
                        }
                        None => {
                            unreadable = true;
                            *cut = true;
                            carries.unreadable(core, call, from);
                        }
                    }
                }
                let number = count(core, call, from, *length);
                let content = carries.end(core, call, from, kept, *cut);
                if let Carries::Messages { spans: true, .. } = carries {
                    core.update(Update::Said(Box::new(Said::Message {
                        call,
                        from,
                        body: Bytes::copy_from_slice(kept),
                        cut: unreadable || *cut,
                    })));
                }
                release(core, kept);
                if core.options.said && !matches!(carries, Carries::Tunnel { .. }) {
                    let body = Bytes::from(std::mem::take(said));
                    let cut = unreadable || body.len() >= core.limits().message;
                    core.say(|| Said::Message {
                        call,
                        from,
                        body,
                        cut,
                    });
                }
                if core.options.messages {
                    core.update(Update::Message(Box::new(Message {
                        call,
                        from,
                        number,
                        length: u64::from(*length),
                        at: now,
                        content,
                    })));
                }
            }
        });
    }

    /// `from` will send no more on the stream. Gives whether the stream is over.
    pub(super) fn end_stream(&mut self, core: &mut Core, from: Side) -> bool {
        let now = core.now;
        let over = match core.trace.calls.get_mut(self.call) {
            Some(call) => {
                call.sent_by_mut(from).ended.get_or_insert(now);
                call.request.ended.is_some() && call.response.ended.is_some()
            }
            None => from != self.caller,
        };
        core.say(|| Said::HalfClosed(self.call, from));
        if let Carries::Tunnel {
            node: Some(node), ..
        } = &mut self.carries
        {
            node.half_close(core, from);
        }
        if let Carries::Transfer(transfer) = &mut self.carries {
            transfer.half_closed(core, from);
        }
        if from != self.caller {
            let by = Some(from);
            self.ended_by(core, CallState::Complete, Closed::Finished, by);
        }
        over
    }

    /// The stream was reset, or its connection ended.
    pub(super) fn reset(&mut self, core: &mut Core, reset: Reset, how: Closed) {
        let by = reset.by;
        if let Some(call) = core.trace.calls.get_mut(self.call) {
            // What comes after the trailers changes nothing: grpc-go resets streams which it had not
            // half-closed when the trailers came.
            if call.reset.is_none() && (call.end.is_none() || reset.code.is_some()) {
                call.reset = Some(reset);
            }
        }
        self.ended_by(core, CallState::Reset, how, by);
    }

    /// Nobody watches any more: everything stays as it is.
    pub(super) fn abandon(&mut self, core: &mut Core) {
        if let Carries::Tunnel {
            node: Some(node), ..
        } = &mut self.carries
        {
            node.close(core, Closed::Abandoned);
        }
    }

    /// The call is over. Its row may be gone by now; what hangs on the call ends all the same.
    fn ended_by(&mut self, core: &mut Core, state: CallState, how: Closed, by: Option<Side>) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let now = core.now;
        if let Some(call) = core.trace.calls.get_mut(self.call) {
            call.state = state;
            call.end = Some(now);
        }
        for side in Side::BOTH {
            release(core, &mut self.halves.get_mut(side).kept);
        }
        match &mut self.carries {
            Carries::Tunnel { node, session, .. } => {
                if let Some(mut node) = node.take() {
                    node.close(core, how);
                }
                session::closed(core, *session, by);
            }
            Carries::Transfer(transfer) => transfer.call_ended(core, self.call),
            Carries::Messages { .. } | Carries::Socket(_) => {}
        }
        message::call_ended(core, self.call);
        core.update(Update::CallEnded(self.call));
        doctor::call_ended(core, self.call);
    }

    /// Whether the callee has ended it, so that nothing that matters can come any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Where the first byte of `from` stands of which it is not known yet whether it is secret.
    pub(super) fn undecided(&self, from: Side) -> Option<u64> {
        let half = self.halves.get(from);
        let message = match &self.carries {
            carries if carries.is_concerned() => half.origins.first(),
            _ if half.compressed => half.origins.first(),
            _ => None,
        };
        let inner = match &self.carries {
            Carries::Tunnel {
                node: Some(node), ..
            } => node.undecided(from),
            Carries::Transfer(transfer) => transfer.undecided(from),
            _ => None,
        };
        message.into_iter().chain(inner).min()
    }

    /// Masks what is undecided, as far as it may be secret.
    pub(super) fn give_up(&mut self, core: &mut Core) {
        for from in Side::BOTH {
            let half = self.halves.get_mut(from);
            let unit = Unit {
                call: self.call,
                from,
                is_request: from == self.caller,
                cut: true,
            };
            if half.compressed {
                core.blank_joined(from, &half.kept, &half.origins);
            } else if self.carries.is_concerned() {
                unit.redact(core, &half.kept, &half.origins);
            }
            half.origins.clear();
        }
        match &mut self.carries {
            Carries::Tunnel {
                node: Some(node), ..
            } => node.give_up(core),
            Carries::Transfer(transfer) => transfer.give_up(core),
            _ => {}
        }
    }

    /// What `side` may still send.
    pub(super) fn window(&self, core: &mut Core, side: Side, window: i64) {
        let Some(call) = core.trace.calls.get_mut(self.call) else {
            return;
        };
        let since = call.no_window.get(side).filter(|_| window > 0);
        let connection = call.connection;
        *call.window.get_mut(side) = window;
        call.no_window.note(side, window <= 0, core.now);
        if let Some(since) = since {
            let awaited = Awaited::Window { window };
            core.waited(connection, Some(self.call), since, side.peer(), awaited);
        }
    }

    /// Bytes of `from` are missing.
    pub(super) fn lose(&mut self, core: &mut Core, from: Side, why: &str) {
        self.halves.get_mut(from).lost = true;
        if let Carries::Tunnel {
            node: Some(node), ..
        } = &mut self.carries
        {
            node.lose(core, from, why);
        }
    }
}

impl Carries {
    fn of(core: &mut Core, call: Id<Call>, path: &str, headers: &Headers) -> Self {
        match path {
            "/moby.buildkit.v1.Control/Session" => {
                let outer = core.trace.calls.get(call).map(|call| call.connection);
                let mut node = outer.and_then(|outer| Node::nested(core, outer, call));
                let connection = node.as_ref().map(Node::id).or(outer);
                let session = connection
                    .map(|connection| session::control_session(core, connection, headers));
                match session {
                    Some(session) => {
                        if let Some(http2) = node.as_mut().and_then(Node::http2) {
                            http2.set_session(session);
                        }
                        let slices = PerSide::default();
                        Carries::Tunnel {
                            node: node.map(Box::new),
                            session,
                            slices,
                        }
                    }
                    None => Carries::Socket(PerSide::default()),
                }
            }
            "/moby.sshforward.v1.SSH/ForwardAgent" => Carries::Socket(PerSide::default()),
            _ => match TransferStream::open(core, call, path) {
                Some(transfer) => Carries::Transfer(Box::new(transfer)),
                None => Carries::Messages {
                    meaning: Meaning::of(path),
                    concerned: core
                        .options
                        .redact
                        .as_ref()
                        .is_some_and(|redaction| redact::concerns(&redaction.rules, path)),
                    spans: core.options.spans && !core.options.said && {
                        let row = core.trace.calls.get(call);
                        row.is_some_and(|row| row.session.is_none()) && message::is_spans(path)
                    },
                },
            },
        }
    }

    /// Whether its messages may hold secrets, and that matters.
    fn is_concerned(&self) -> bool {
        matches!(
            self,
            Carries::Messages {
                concerned: true,
                ..
            }
        )
    }

    /// Keeps bytes of a message whole, if what is said is wanted. The slices of a tunnel are said
    /// as what is inside of it.
    fn say(&self, core: &Core, said: &mut Vec<u8>, body: &[u8]) {
        if core.options.said && !matches!(self, Carries::Tunnel { .. }) {
            let room = core.limits().message.saturating_sub(said.len());
            said.extend_from_slice(body.get(..room).unwrap_or(body));
        }
    }

    /// Bytes of a message that is not compressed, or no longer.
    fn body(
        &mut self,
        core: &mut Core,
        call: Id<Call>,
        from: Side,
        body: &[u8],
        kept: &mut Vec<u8>,
        cut: &mut bool,
    ) {
        match self {
            Carries::Messages {
                meaning,
                concerned,
                spans,
            } => {
                let limit = if *concerned || *spans || meaning.is_needed(core, call, from) {
                    core.limits().message
                } else if core.options.messages {
                    core.limits().preview
                } else {
                    0
                };
                *cut |= !keep(core, kept, body, limit);
            }
            Carries::Transfer(transfer) => transfer.body(core, from, body),
            Carries::Tunnel { node, slices, .. } => slices.get_mut(from).feed(body, |slice| {
                if let Some(node) = node {
                    core.say(|| Said::Inner {
                        connection: node.id(),
                        from,
                        bytes: Bytes::copy_from_slice(slice),
                    });
                    node.chunk(core, from, slice);
                }
            }),
            Carries::Socket(slices) => slices.get_mut(from).feed(body, |slice| {
                core.redact_here(slice, |_, slice, out| out.extend(filled(slice, b'*')));
            }),
        }
    }

    /// A message that cannot be read. Where messages are slices of something, what follows would
    /// be taken for something else.
    fn unreadable(&mut self, core: &mut Core, call: Id<Call>, from: Side) {
        let Some(connection) = core.trace.calls.get(call).map(|call| call.connection) else {
            return;
        };
        if !matches!(self, Carries::Messages { .. }) {
            let why = format!(
                "a message of call {call} is compressed in a way that buildtap cannot read"
            );
            undecodable(core, connection, from, why);
        }
    }

    /// The message is complete.
    fn end(
        &mut self,
        core: &mut Core,
        call: Id<Call>,
        from: Side,
        kept: &mut [u8],
        cut: bool,
    ) -> Content {
        match self {
            Carries::Messages { meaning, .. } => {
                if !cut && meaning.is_needed(core, call, from) {
                    meaning.message(core, call, from, kept);
                }
                let whole = kept.len();
                let preview = kept.get(..core.limits().preview).unwrap_or(kept);
                let body = match core.options.messages {
                    true => Bytes::copy_from_slice(preview),
                    false => Bytes::new(),
                };
                let cut = cut || body.len() < whole;
                Content::Protobuf { body, cut }
            }
            Carries::Transfer(transfer) => transfer.end_message(core, from),
            Carries::Tunnel { slices, .. } | Carries::Socket(slices) => Content::Bytes {
                payload: slices.get_mut(from).finish(),
                body: Bytes::new(),
            },
        }
    }
}

/// Keeps `body` as far as there is room for this message and for all messages together; gives
/// whether all of it was kept.
fn keep(core: &mut Core, kept: &mut Vec<u8>, body: &[u8], limit: usize) -> bool {
    let together = core.limits().messages.saturating_sub(core.message_bytes);
    let room = limit.saturating_sub(kept.len()).min(together);
    core.message_bytes = core.message_bytes.saturating_add(room.min(body.len()));
    kept.extend_from_slice(body.get(..room).unwrap_or(body));
    body.len() <= room
}

/// Gives back what a message took.
fn release(core: &mut Core, kept: &mut Vec<u8>) {
    core.message_bytes = core.message_bytes.saturating_sub(kept.len());
    kept.clear();
    // A Solve may be 16 MiB; that much is not held for every call.
    if kept.capacity() > core.limits().preview {
        *kept = Vec::new();
    }
}

/// Counts a message; gives its number.
fn count(core: &mut Core, call: Id<Call>, from: Side, length: u32) -> u64 {
    let Some(call) = core.trace.calls.get_mut(call) else {
        return 0;
    };
    let flow = call.sent_by_mut(from);
    flow.messages = flow.messages.saturating_add(1);
    flow.bytes = flow.bytes.saturating_add(u64::from(length));
    flow.messages
}

/// The status in the trailers, or the one that an HTTP error stands for
/// (gRPC `doc/http-grpc-status-mapping.md`).
fn status(core: &Core, headers: &Headers) -> Option<Status> {
    if let Some(status) = GrpcStatus::from_trailers(headers.pairs()) {
        let text = |text: &str| match core.options.show_secrets {
            true => text.to_owned(),
            false => mask_text(text).into_owned(),
        };
        return Some(Status {
            code: status.code,
            message: text(&status.message),
            details: status
                .details
                .iter()
                .map(|detail| text(&detail.to_string()))
                .collect(),
            details_bin: headers
                .get("grpc-status-details-bin")
                .filter(|raw| core.options.said && raw.len() <= DETAILS_BYTES)
                .map(str::to_owned),
        });
    }
    let http = headers.get(":status").filter(|status| *status != "200")?;
    let code = match http {
        "400" => 13,
        "401" => 16,
        "403" => 7,
        "404" => 12,
        "429" | "502" | "503" | "504" => 14,
        _ => 2,
    };
    Some(Status {
        code,
        message: format!("HTTP status {http}"),
        details: Vec::new(),
        details_bin: None,
    })
}
