//! From the trace to spans: a fold over the decoder's updates, without a clock and without I/O.
//!
//! ```text
//! build
//! ├─ connection ▸ HTTP requests, calls that serve no build
//! ├─ session ▸ calls of the daemon ▸ transfer ▸ files, waits
//! ├─ calls of the client (Solve, Status, …)
//! └─ steps, by the daemon's clock
//! ```
//!
//! A row becomes a span when it has ended: [`Spans::update`]. What goes on is told in slices by
//! [`Spans::open`], and at the end as it stands by [`Spans::finish`]. Something of which it is not
//! known yet to which build it belongs is held back until it is, or its connection ends; what is
//! held are ids of rows, in bounded number.
//!
//! What does not live here: how ids are made (`ids`), how a row reads (`rows`), where it
//! belongs (`place`), who sends it ([`super::sink`]).

mod builds;
mod clock;
mod found;
mod open;
mod origin;
mod place;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use buildtap_decoder::event::{Closed, Time};
use buildtap_decoder::redact::Regex;
use buildtap_decoder::trace::{
    Build, BuildState, Call, CallState, Connection, Exchange, File, Finding, Id, Printed, Session,
    Subject, Trace, Transfer, TransferState, Update, Wait,
};
use opentelemetry::KeyValue;

use self::builds::ClockOffset;
pub(crate) use self::clock::rfc3339;
use self::open::Slices;
use self::origin::Origins;
use self::place::{Places, call_id, connection_id, session_id, transfer_id};
pub(crate) use self::rows::Words;
use super::forward::Forward;
use super::ids;
use super::span::{Draft, Origin, Span};

/// How long after a build was answered its last steps may still be reported.
const AFTERWORD: Duration = Duration::from_secs(2);
/// From which length on a wait is a span.
const WAIT: Duration = Duration::from_millis(50);
/// Rows that are held back together.
const HELD: usize = 16_384;
/// Lines of a step, bytes of a build's, and builds, whose output is kept until they are told.
const PRINTS: usize = 200;
const PRINT_BYTES: usize = 1 << 20;
const PRINTING_BUILDS: usize = 16;
/// Files of a transfer that are told of while they are open.
const OPEN_FILES: usize = 64;

/// What is wanted of the spans.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether secrets stay readable.
    pub show_secrets: bool,
    /// Whether paths of files are replaced by digests.
    pub hash_paths: bool,
    /// Whether spans that the peers send each other are handed on.
    pub forward_spans: bool,
    /// What is masked, beyond what is known to be secret.
    pub mask: Vec<Regex>,
    /// Whether the daemon's own spans are in the backend, so that the calls which it makes hang
    /// below them.
    pub daemon_exports: bool,
    /// What is said of buildtap itself, as attributes of the resource.
    pub own: Vec<KeyValue>,
}

/// What a decoder is asked for, so that it tells what spans are made of.
pub fn for_spans(options: buildtap_decoder::Options) -> buildtap_decoder::Options {
    buildtap_decoder::Options {
        updates: true,
        spans: true,
        printed: true,
        waits: Some(WAIT),
        ..options
    }
}

/// A row that is held back.
#[derive(Clone, Debug)]
enum Held {
    Exchange(Id<Exchange>),
    Call(Id<Call>),
    Transfer(Id<Transfer>),
    File(Id<Transfer>, Box<File>),
}

/// Rows that go on.
#[derive(Debug, Default)]
struct Open {
    connections: BTreeSet<Id<Connection>>,
    sessions: BTreeSet<Id<Session>>,
    calls: BTreeSet<Id<Call>>,
    exchanges: BTreeSet<Id<Exchange>>,
    builds: BTreeSet<Id<Build>>,
}

/// Makes spans of a trace.
#[derive(Debug)]
pub struct Spans {
    words: Words,
    places: Places,
    origins: Origins,
    open: Open,
    held: BTreeMap<Id<Connection>, Vec<Held>>,
    held_count: usize,
    /// Builds that were answered, and whose steps may not have been told to the end.
    ending: Vec<Id<Build>>,
    findings: BTreeMap<(u8, u64), Vec<Id<Finding>>>,
    findings_count: usize,
    clock: Option<ClockOffset>,
    slices: Slices,
    printed: BTreeMap<Id<Build>, Prints>,
    forward: Option<Forward>,
    /// What else is masked.
    patterns: Vec<Regex>,
}

/// What the steps of a build printed.
#[derive(Debug, Default)]
struct Prints {
    /// By the step's digest; what did not fit is counted.
    steps: BTreeMap<String, (Vec<Printed>, u32)>,
    bytes: usize,
}

impl Spans {
    /// Nothing was seen yet.
    pub fn new(options: Options) -> Self {
        Spans {
            words: Words {
                show_secrets: options.show_secrets,
                hash_paths: options.hash_paths,
            },
            places: Places::new(options.daemon_exports),
            origins: Origins::new(options.own),
            open: Open::default(),
            held: BTreeMap::new(),
            held_count: 0,
            ending: Vec::new(),
            findings: BTreeMap::new(),
            findings_count: 0,
            clock: None,
            slices: Slices::default(),
            printed: BTreeMap::new(),
            forward: options.forward_spans.then(Forward::default),
            patterns: options.mask,
        }
    }

    /// Takes a change of the trace, and gives the spans that are complete by it.
    pub fn update(&mut self, trace: &Trace, update: &Update, now: Time, out: &mut Vec<Span>) {
        let before = out.len();
        self.take(trace, update, now, out);
        self.mask(&mut out[before..]);
    }

    fn mask(&self, spans: &mut [Span]) {
        if !self.patterns.is_empty() {
            spans.iter_mut().for_each(|span| span.mask(&self.patterns));
        }
    }

    fn take(&mut self, trace: &Trace, update: &Update, now: Time, out: &mut Vec<Span>) {
        match update {
            Update::ConnectionOpened(id) => {
                self.open.connections.insert(*id);
            }
            Update::ConnectionClosed(id) => self.connection_closed(trace, *id, now, out),
            Update::SessionOpened(id) => {
                self.open.sessions.insert(*id);
                self.places.session_opened(trace, *id);
            }
            Update::SessionClosed(id) => self.session(trace, *id, now, out),
            Update::CallStarted(id) => {
                self.open.calls.insert(*id);
                match trace.calls.get(*id) {
                    Some(row) if row.session.is_some() => self.places.call_of_daemon(row),
                    Some(row) => self.places.trace_on(trace, row.connection, &row.metadata),
                    None => {}
                }
            }
            Update::CallEnded(id) => {
                self.open.calls.remove(id);
                if let Some(forward) = &mut self.forward {
                    forward.call_ended(*id, self.words, out);
                }
                if let Some(row) = trace.calls.get(*id) {
                    self.note_clock(clock::of_call(row), true);
                    if let (Some(build), None) = (row.build, row.session) {
                        self.places.build_on(trace, row.connection, build);
                    }
                    if !self.call(trace, row, now, false, out) {
                        self.hold(trace, row.connection, Held::Call(*id), now, out);
                    }
                }
            }
            Update::ExchangeStarted(id) => {
                self.open.exchanges.insert(*id);
                if let Some(row) = trace.exchanges.get(*id) {
                    self.places
                        .trace_on(trace, row.connection, &row.request_headers);
                }
            }
            Update::ExchangeEnded(id) => {
                self.open.exchanges.remove(id);
                if let Some(row) = trace.exchanges.get(*id) {
                    self.note_clock(clock::of_exchange(row), false);
                    if !self.exchange(trace, row, now, false, out) {
                        self.hold(trace, row.connection, Held::Exchange(*id), now, out);
                    }
                }
            }
            Update::File(id, file) => {
                let Some(row) = trace.transfers.get(*id) else {
                    return;
                };
                if !self.file(trace, row, file, now, false, out)
                    && let Some(call) = trace.calls.get(row.call)
                {
                    let held = Held::File(*id, file.clone());
                    self.hold(trace, call.connection, held, now, out);
                }
            }
            Update::TransferEnded(id) => {
                let Some(row) = trace.transfers.get(*id) else {
                    return;
                };
                if !self.transfer(trace, row, now, false, out)
                    && let Some(call) = trace.calls.get(row.call)
                {
                    let held = Held::Transfer(*id);
                    self.hold(trace, call.connection, held, now, out);
                }
            }
            Update::BuildStarted(id) => {
                self.open.builds.insert(*id);
                if let Some(row) = trace.builds.get(*id) {
                    self.places.build_started(trace, row);
                }
                self.release_known(trace, now, out);
            }
            Update::BuildEnded(id) => {
                if self.open.builds.remove(id) {
                    self.ending.push(*id);
                }
            }
            Update::Finding(id) => self.finding(trace, *id, out),
            Update::Waited(wait) => self.waited(trace, wait, out),
            Update::Printed(build, printed) => self.note_printed(*build, printed),
            Update::Said(said) => {
                if let Some(forward) = &mut self.forward {
                    let before = out.len();
                    forward.said(trace, said, self.words, out);
                    for span in &mut out[before..] {
                        let context = &span.data.span_context;
                        let parent = span.data.parent_span_id;
                        if let Some(call) = self.places.instead_of(context.trace_id(), parent) {
                            span.hang_below(call);
                        }
                    }
                }
            }
            // No span has anything of it.
            Update::Frame(_) => return,
            Update::TransferDecided(_)
            | Update::Message(_)
            | Update::Vertex(..)
            | Update::Text(_) => {}
        }
        self.settle(trace, now, false, out);
    }

    /// Nothing more will come: what is open is told as it stands.
    pub fn finish(&mut self, trace: &Trace, now: Time, out: &mut Vec<Span>) {
        let before = out.len();
        self.end(trace, now, out);
        self.mask(&mut out[before..]);
    }

    fn end(&mut self, trace: &Trace, now: Time, out: &mut Vec<Span>) {
        for id in std::mem::take(&mut self.open.exchanges) {
            if let Some(row) = trace.exchanges.get(id) {
                self.exchange(trace, row, now, true, out);
            }
        }
        for id in std::mem::take(&mut self.open.calls) {
            let Some(row) = trace.calls.get(id) else {
                continue;
            };
            if let Some(transfer) = row.transfer.and_then(|id| trace.transfers.get(id))
                && transfer.state == TransferState::Open
            {
                for file in transfer.machine.open_files().take(OPEN_FILES) {
                    self.file(trace, transfer, &file, now, true, out);
                }
                self.transfer(trace, transfer, now, true, out);
            }
            self.call(trace, row, now, true, out);
        }
        let held = std::mem::take(&mut self.held);
        self.held_count = 0;
        for (_, rows) in held {
            for row in rows {
                self.tell(trace, &row, now, true, out);
            }
        }
        for id in std::mem::take(&mut self.open.sessions) {
            self.session(trace, id, now, out);
        }
        for id in std::mem::take(&mut self.open.connections) {
            if let Some(row) = trace.connections.get(id) {
                self.connection(trace, row, now, out);
            }
        }
        self.settle(trace, now, true, out);
        for id in std::mem::take(&mut self.open.builds) {
            self.build(trace, id, now, out);
        }
    }

    fn note_clock(&mut self, told: Option<ClockOffset>, exact: bool) {
        if told.is_some() && (exact || self.clock.is_none()) {
            self.clock = told;
        }
    }

    /// Tells of builds that were answered, once their steps are told.
    fn settle(&mut self, trace: &Trace, now: Time, all: bool, out: &mut Vec<Span>) {
        if self.ending.is_empty() {
            return;
        }
        let is_told = |id: &Id<Build>| {
            let Some(build) = trace.builds.get(*id) else {
                return true;
            };
            let is_late = build.end.is_some_and(|end| now.since(end) >= AFTERWORD);
            let is_status = |call: &Call| call.build == Some(*id) && call.method == "Status";
            let mut open = self.open.calls.iter().filter_map(|id| trace.calls.get(*id));
            all || is_late || !open.any(is_status)
        };
        let (told, ending) = std::mem::take(&mut self.ending)
            .into_iter()
            .partition(is_told);
        self.ending = ending;
        let told: Vec<Id<Build>> = told;
        for id in told {
            self.build(trace, id, now, out);
        }
    }

    fn hold(
        &mut self,
        trace: &Trace,
        connection: Id<Connection>,
        row: Held,
        now: Time,
        out: &mut Vec<Span>,
    ) {
        self.held.entry(connection).or_default().push(row);
        self.held_count += 1;
        if self.held_count > HELD {
            // The one that waits longest belongs to nothing.
            if let Some(oldest) = self.held.keys().next().copied() {
                self.release(trace, oldest, now, out);
            }
        }
    }

    /// Tells what was held back for a connection; what is not known is decided.
    fn release(&mut self, trace: &Trace, id: Id<Connection>, now: Time, out: &mut Vec<Span>) {
        let rows = self.held.remove(&id).unwrap_or_default();
        self.held_count = self.held_count.saturating_sub(rows.len());
        for row in rows {
            self.tell(trace, &row, now, true, out);
        }
    }

    /// Tells what belongs to a build that was just asked for.
    fn release_known(&mut self, trace: &Trace, now: Time, out: &mut Vec<Span>) {
        if self.held.is_empty() {
            return;
        }
        for (id, rows) in std::mem::take(&mut self.held) {
            let count = rows.len();
            let mut kept = Vec::new();
            for row in rows {
                if !self.tell(trace, &row, now, false, out) {
                    kept.push(row);
                }
            }
            self.held_count = self.held_count.saturating_sub(count - kept.len());
            if !kept.is_empty() {
                self.held.insert(id, kept);
            }
        }
    }

    /// Whether it is told, or gone.
    fn tell(
        &mut self,
        trace: &Trace,
        row: &Held,
        now: Time,
        decide: bool,
        out: &mut Vec<Span>,
    ) -> bool {
        match row {
            Held::Exchange(id) => match trace.exchanges.get(*id) {
                Some(row) => self.exchange(trace, row, now, decide, out),
                None => true,
            },
            Held::Call(id) => match trace.calls.get(*id) {
                Some(row) => self.call(trace, row, now, decide, out),
                None => true,
            },
            Held::Transfer(id) => match trace.transfers.get(*id) {
                Some(row) => self.transfer(trace, row, now, decide, out),
                None => true,
            },
            Held::File(id, file) => match trace.transfers.get(*id) {
                Some(row) => self.file(trace, row, file, now, decide, out),
                None => true,
            },
        }
    }

    fn connection_closed(
        &mut self,
        trace: &Trace,
        id: Id<Connection>,
        now: Time,
        out: &mut Vec<Span>,
    ) {
        let Some(row) = trace.connections.get(id) else {
            self.open.connections.remove(&id);
            return;
        };
        if matches!(row.closed, Some((_, Closed::Abandoned))) {
            // It did not end: we stopped watching.
            return;
        }
        self.release(trace, id, now, out);
        if self.open.connections.remove(&id) {
            self.connection(trace, row, now, out);
        }
    }

    fn connection(&mut self, trace: &Trace, row: &Connection, now: Time, out: &mut Vec<Span>) {
        let Some(place) = self.places.of_connection(trace, row, true) else {
            return;
        };
        let mut draft = rows::connection(self.words, &place, row, now);
        self.found(trace, Subject::Connection(row.id), &mut draft);
        let origin = self.origins.of(trace, row.id);
        out.push(draft.finish(&origin));
    }

    fn exchange(
        &mut self,
        trace: &Trace,
        row: &Exchange,
        now: Time,
        decide: bool,
        out: &mut Vec<Span>,
    ) -> bool {
        let Some(place) = self.places.of_exchange(trace, row, decide) else {
            return false;
        };
        let mut draft = rows::exchange(self.words, &place, trace, row, now);
        self.found(trace, Subject::Exchange(row.id), &mut draft);
        let origin = self.origins.of(trace, row.connection);
        out.push(draft.finish(&origin));
        true
    }

    fn session(&mut self, trace: &Trace, id: Id<Session>, now: Time, out: &mut Vec<Span>) {
        self.open.sessions.remove(&id);
        let Some(row) = trace.sessions.get(id) else {
            return;
        };
        let Some(place) = self.places.of_session(trace, row, true) else {
            return;
        };
        let mut draft = rows::session(self.words, &place, row, now);
        self.found(trace, Subject::Session(id), &mut draft);
        if row.closed.is_none() {
            self.waits(trace, Subject::Session(id), now, &mut draft);
        }
        let carrier = trace.connections.get(row.connection);
        if let Some((_, call)) = carrier.and_then(|row| row.parent)
            && let Some(call) = trace.calls.get(call)
            && let Some(place) = self.places.of_call(trace, call, true)
        {
            draft.link(place.context(call_id(call)), "the call that carries it");
        }
        let origin = self.origins.of(trace, row.connection);
        out.push(draft.finish(&origin));
    }

    fn call(
        &mut self,
        trace: &Trace,
        row: &Call,
        now: Time,
        decide: bool,
        out: &mut Vec<Span>,
    ) -> bool {
        let Some(place) = self.places.of_call(trace, row, decide) else {
            return false;
        };
        let mut draft = rows::call(self.words, &place, trace, row, now);
        self.found(trace, Subject::Call(row.id), &mut draft);
        if row.state == CallState::Open {
            self.waits(trace, Subject::Call(row.id), now, &mut draft);
        }
        let build = row.build.and_then(|id| trace.builds.get(id));
        if let (Some(digest), Some(build)) = (&row.vertex, build) {
            let place = self.places.of_build(trace, build);
            let step = place.context(ids::of_vertex(build, digest));
            draft.link(step, "the step that asked for it");
            draft.text("buildkit.vertex.digest", digest);
        }
        if let Some(context) = self.places.beside(trace, row) {
            draft.link(context, "the caller's span");
        }
        if row.service == "moby.buildkit.v1.Control" && row.method == "Session" {
            let carried = |session: &&Session| {
                let connection = trace.connections.get(session.connection);
                connection.and_then(|row| row.parent).map(|(_, call)| call) == Some(row.id)
            };
            if let Some(session) = trace.sessions.iter().find(carried)
                && let Some(place) = self.places.of_session(trace, session, decide)
            {
                draft.link(place.context(session_id(session)), "the session inside");
            }
        }
        let origin = self.origins.of(trace, row.connection);
        out.push(draft.finish(&origin));
        true
    }

    fn transfer(
        &mut self,
        trace: &Trace,
        row: &Transfer,
        now: Time,
        decide: bool,
        out: &mut Vec<Span>,
    ) -> bool {
        let Some(place) = self.places.of_transfer(trace, row, decide) else {
            // Nobody knows any more what carried it.
            return trace.calls.get(row.call).is_none();
        };
        let mut draft = rows::transfer(self.words, &place, row, now);
        self.found(trace, Subject::Transfer(row.id), &mut draft);
        if row.state == TransferState::Open {
            self.waits(trace, Subject::Transfer(row.id), now, &mut draft);
        }
        let origin = self.origin_of_call(trace, row.call);
        out.push(draft.finish(&origin));
        true
    }

    /// Who must act, on something that goes on.
    fn waits(&self, trace: &Trace, subject: Subject, now: Time, draft: &mut Draft) {
        if let Some(waits) = self.who_waits(trace, subject, now) {
            waits.note(draft);
        }
    }

    /// Somebody was waited for: a span below what waited.
    fn waited(&mut self, trace: &Trace, wait: &Wait, out: &mut Vec<Span>) {
        let call = wait.call.and_then(|id| trace.calls.get(id));
        let transfer = call.and_then(|call| trace.transfers.get(call.transfer?));
        let (place, above) = match (transfer, call) {
            (Some(row), _) => (self.places.of_transfer(trace, row, true), transfer_id(row)),
            (None, Some(row)) => (self.places.of_call(trace, row, true), call_id(row)),
            (None, None) => {
                let Some(row) = trace.connections.get(wait.connection) else {
                    return;
                };
                (
                    self.places.of_connection(trace, row, true),
                    connection_id(row),
                )
            }
        };
        let Some(place) = place else { return };
        let number = wait.since.0 ^ (wait.side.index() as u64);
        let draft = rows::wait(&place.below(above), ids::below(above, "wait", number), wait);
        let origin = self.origins.of(trace, wait.connection);
        out.push(draft.finish(&origin));
    }

    fn note_printed(&mut self, build: Id<Build>, printed: &Printed) {
        let prints = self.printed.entry(build).or_default();
        let step = prints.steps.entry(printed.vertex.clone()).or_default();
        let bytes = printed.text.len() + 64;
        if step.0.len() < PRINTS && prints.bytes + bytes <= PRINT_BYTES {
            prints.bytes += bytes;
            step.0.push(printed.clone());
        } else {
            step.1 = step.1.saturating_add(1);
        }
        if self.printed.len() > PRINTING_BUILDS {
            self.printed.pop_first();
        }
    }

    fn file(
        &mut self,
        trace: &Trace,
        row: &Transfer,
        file: &File,
        now: Time,
        decide: bool,
        out: &mut Vec<Span>,
    ) -> bool {
        let Some(place) = self.places.in_transfer(trace, row, decide) else {
            return trace.calls.get(row.call).is_none();
        };
        let draft = rows::file(self.words, &place, row, file, now);
        let origin = self.origin_of_call(trace, row.call);
        out.push(draft.finish(&origin));
        true
    }

    fn origin_of_call(&mut self, trace: &Trace, id: Id<Call>) -> Arc<Origin> {
        match trace.calls.get(id) {
            Some(call) => self.origins.of(trace, call.connection),
            None => self.origins.nobody(),
        }
    }

    fn origin_of_build(&mut self, trace: &Trace, row: &Build) -> Arc<Origin> {
        let call = row.call.and_then(|id| trace.calls.get(id));
        let exchange = row.exchange.and_then(|id| trace.exchanges.get(id));
        let connection = call.map(|call| call.connection);
        match connection.or(exchange.map(|exchange| exchange.connection)) {
            Some(connection) => self.origins.of(trace, connection),
            None => self.origins.nobody(),
        }
    }

    /// A build and its steps.
    fn build(&mut self, trace: &Trace, id: Id<Build>, now: Time, out: &mut Vec<Span>) {
        let Some(row) = trace.builds.get(id) else {
            return;
        };
        let origin = self.origin_of_build(trace, row);
        let place = self.places.of_build(trace, row);
        let below = place.below(ids::of_build(row));
        let mut prints = self.printed.remove(&id).unwrap_or_default();
        for vertex in &row.vertices {
            let clock = self.clock;
            if let Some(mut draft) = builds::vertex(self.words, &below, row, vertex, clock, now) {
                if let Some((printed, left_out)) = prints.steps.remove(&vertex.digest) {
                    for line in printed {
                        builds::printed(self.words, &line, vertex, &mut draft);
                    }
                    draft.dropped_events(left_out);
                }
                out.push(draft.finish(&origin));
            }
        }
        let mut draft = builds::build(self.words, &place, row, self.clock, now);
        self.found(trace, Subject::Build(id), &mut draft);
        if row.state == BuildState::Open {
            self.waits(trace, Subject::Build(id), now, &mut draft);
        }
        out.push(draft.finish(&origin));
    }
}
