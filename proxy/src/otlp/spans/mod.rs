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
//! known yet to which build it belongs is held back until it is, or its connection ends (`held`).
//!
//! What does not live here: how ids are made (`ids`), how a row reads (`rows`), where it
//! belongs (`place`), how these make a span (`tell`), who sends it ([`super::sink`]).

mod builds;
mod clock;
mod files;
mod found;
mod held;
mod open;
mod origin;
mod place;
mod printed;
mod rows;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use buildtap_decoder::event::Time;
use buildtap_decoder::redact::Regex;
use buildtap_decoder::trace::{
    Build, Call, Connection, Exchange, Finding, Id, Session, Trace, TransferState, Update,
};
use opentelemetry::KeyValue;

use self::builds::ClockOffset;
pub(crate) use self::clock::rfc3339;
pub use self::files::FileSpans;
use self::files::Files;
use self::held::{Held, Row};
use self::open::Slices;
use self::origin::Origins;
use self::place::Places;
use self::printed::Prints;
pub(crate) use self::rows::Words;
use super::forward::Forward;
use super::span::{Origin, Span};

/// How long after a build was answered its last steps may still be reported.
const AFTERWORD: Duration = Duration::from_secs(2);
/// From which length on a wait is a span.
const WAIT: Duration = Duration::from_millis(50);

/// What is wanted of the spans.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether secrets stay readable.
    pub show_secrets: bool,
    /// Whether paths of files are replaced by digests.
    pub hash_paths: bool,
    /// Which files of a transfer have a span of their own.
    pub file_spans: FileSpans,
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
    files: Files,
    origins: Origins,
    open: Open,
    held: Held,
    /// Builds that were answered, and whose steps may not have been told to the end.
    ending: Vec<Id<Build>>,
    findings: BTreeMap<(u8, u64), Vec<Id<Finding>>>,
    findings_count: usize,
    clock: Option<ClockOffset>,
    slices: Slices,
    printed: Prints,
    forward: Option<Forward>,
    /// What else is masked.
    patterns: Vec<Regex>,
    /// An origin, and the same without what is masked.
    masked: Option<(Arc<Origin>, Arc<Origin>)>,
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
            files: Files::new(options.file_spans),
            origins: Origins::new(options.own),
            open: Open::default(),
            held: Held::default(),
            ending: Vec::new(),
            findings: BTreeMap::new(),
            findings_count: 0,
            clock: None,
            slices: Slices::default(),
            printed: Prints::default(),
            forward: options.forward_spans.then(Forward::default),
            patterns: options.mask,
            masked: None,
        }
    }

    /// Takes a change of the trace, and gives the spans that are complete by it.
    pub fn update(&mut self, trace: &Trace, update: &Update, now: Time, out: &mut Vec<Span>) {
        let before = out.len();
        self.take(trace, update, now, out);
        self.mask(&mut out[before..]);
    }

    fn mask(&mut self, spans: &mut [Span]) {
        if self.patterns.is_empty() {
            return;
        }
        for span in spans {
            span.mask(&self.patterns);
            // The same for many, one after the other.
            span.origin = match &self.masked {
                Some((plain, masked)) if Arc::ptr_eq(plain, &span.origin) => Arc::clone(masked),
                _ => {
                    let plain = Arc::clone(&span.origin);
                    let masked = plain.masked(&self.patterns);
                    let masked = masked.map_or_else(|| Arc::clone(&plain), Arc::new);
                    self.masked = Some((plain, Arc::clone(&masked)));
                    masked
                }
            };
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
                    forward.call_ended(*id);
                }
                if let Some(row) = trace.calls.get(*id) {
                    self.note_clock(clock::of_call(row), true);
                    if let (Some(build), None) = (row.build, row.session) {
                        self.places.build_on(trace, row.connection, build);
                    }
                    if !self.call(trace, row, now, false, out) {
                        self.hold(trace, row.connection, Row::Call(*id), now, out);
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
                        self.hold(trace, row.connection, Row::Exchange(*id), now, out);
                    }
                }
            }
            Update::File(id, file) => {
                let Some(row) = trace.transfers.get(*id) else {
                    return;
                };
                if !self.files.takes(*id, file) {
                    return;
                }
                if !self.file(trace, row, file, now, false, out)
                    && let Some(call) = trace.calls.get(row.call)
                {
                    let held = Row::File(*id, file.clone());
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
                    let held = Row::Transfer(*id);
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
            Update::Printed(build, printed) => self.printed.note(*build, printed),
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
                let files = transfer.machine.open_files();
                for file in files.take(self.files.open_ones()) {
                    self.file(trace, transfer, &file, now, true, out);
                }
                self.transfer(trace, transfer, now, true, out);
            }
            self.call(trace, row, now, true, out);
        }
        for row in self.held.take_all() {
            self.tell(trace, &row, now, true, out);
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
}
