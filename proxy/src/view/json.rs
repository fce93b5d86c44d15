//! JSON lines: one object for each thing that was said, when it is over.
//!
//! Here is decided when an object is written, so that each is written once. What it holds is in
//! `objects`, where that comes from in `fill`. `docs/json.md` describes all of it to its readers.

mod fill;
mod objects;
pub(crate) mod values;

use std::collections::{BTreeMap, BTreeSet};

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{
    Build, Call, Content, Finding, Id, Message, Table, Trace, Transfer, Update,
};
use serde::Serialize;

use super::Keep;
use fill::Filler;
use values::SafeFormatter;

/// Gives what a protobuf message says, with the secrets masked; `None` if that is not known.
pub type Describe<'a> = dyn Fn(&Call, &Message) -> Option<serde_json::Value> + 'a;

/// Writes objects, and remembers which ones it wrote.
#[derive(Debug, Default)]
pub struct Writer {
    show_secrets: bool,
    keep: Option<Keep>,
    connections: Written,
    sessions: Written,
    calls: Written,
    exchanges: Written,
    transfers: Written,
    builds: Written,
    findings: Written,
    /// Calls that have ended and wait for the name of the step that they are for.
    unnamed: Vec<Id<Call>>,
    /// Those that were written as certain.
    certain: Written,
    /// How many vertices of each build were written.
    vertices: BTreeMap<u64, usize>,
    /// Files that were written when their transfer ended before they did, by transfer and id.
    cut_files: BTreeSet<(u64, u32)>,
    line: Vec<u8>,
    /// The time it is, once nothing more comes.
    now: Time,
}

/// The numbers of the rows of a table that were written, as far as the table still has them.
#[derive(Debug, Default)]
struct Written(BTreeSet<u64>);

impl Written {
    /// Whether the row was not written before; from now on it is.
    fn first<T>(&mut self, table: &Table<T>, id: Id<T>) -> bool {
        while self.0.first().is_some_and(|first| *first <= table.gone()) {
            self.0.pop_first();
        }
        self.0.insert(id.number())
    }

    fn contains<T>(&self, id: Id<T>) -> bool {
        self.0.contains(&id.number())
    }
}

impl Writer {
    /// A writer that has written nothing. It masks texts that hold secrets, unless `show_secrets`:
    /// say there what the decoder's options say, which govern headers and attributes.
    pub fn new(show_secrets: bool) -> Self {
        Writer {
            show_secrets,
            ..Writer::default()
        }
    }

    /// Writes objects of what is kept, and no others.
    pub(super) fn keep_only(&mut self, keep: Keep) {
        self.keep = Some(keep);
    }

    /// What follows is written at this time: ages count up to it.
    pub(super) fn at(&mut self, now: Time) {
        if let Some(keep) = &mut self.keep {
            keep.at(now);
        }
    }

    fn keeps(&self, trace: &Trace, update: &Update) -> bool {
        self.keep
            .as_ref()
            .is_none_or(|keep| keep.update(trace, update))
    }

    /// Appends to `out` the lines that `update` gives: none, one, or a few. Each ends with a line
    /// feed and has no other control character in it.
    pub fn update(
        &mut self,
        trace: &Trace,
        update: &Update,
        describe: &Describe<'_>,
        out: &mut String,
    ) {
        let fill = self.filler(trace);
        match update {
            Update::ConnectionClosed(id) => self.connection(trace, *id, out),
            Update::SessionClosed(id) => self.session(trace, *id, out),
            Update::Message(_) | Update::File(..) | Update::Text(_)
                if !self.keeps(trace, update) => {}
            Update::Message(message) => {
                let body = match (&message.content, trace.calls.get(message.call)) {
                    (Content::Protobuf { .. }, Some(call)) => describe(call, message),
                    _ => None,
                };
                self.line(&fill.message(message, body), out);
            }
            Update::CallEnded(id) => {
                self.call_ended(trace, *id, out);
                self.status_ended(trace, *id, out);
            }
            Update::ExchangeEnded(id) => self.exchange(trace, *id, out),
            Update::File(transfer, file) => {
                if !self.cut_files.contains(&(transfer.number(), file.id)) {
                    self.line(&fill.file(*transfer, file), out);
                }
            }
            Update::TransferEnded(id) => self.transfer(trace, *id, out),
            Update::BuildEnded(id) => {
                self.build(trace, *id, out);
                if !status_goes_on(trace, *id) {
                    self.steps_ended(trace, *id, out);
                }
            }
            Update::Vertex(..) => self.named(trace, out),
            Update::Finding(id) => self.found(trace, *id, out),
            Update::Text(text) => self.line(&fill.text(text), out),
            Update::ConnectionOpened(_)
            | Update::SessionOpened(_)
            | Update::CallStarted(_)
            | Update::ExchangeStarted(_)
            | Update::TransferDecided(_)
            | Update::BuildStarted(_)
            | Update::Waited(_)
            | Update::Printed(..)
            | Update::Frame(_)
            | Update::Said(_) => {}
        }
    }

    /// Appends to `out` what did not get its object, mostly because it did not end. To be called
    /// once, when no update will come any more: at `now`.
    pub fn remaining(&mut self, trace: &Trace, now: Time, out: &mut String) {
        self.now = now;
        for row in trace.connections.iter() {
            self.connection(trace, row.id, out);
        }
        for row in trace.sessions.iter() {
            self.session(trace, row.id, out);
        }
        for row in trace.exchanges.iter() {
            self.exchange(trace, row.id, out);
        }
        for row in trace.calls.iter() {
            self.call(trace, row.id, out);
        }
        for row in trace.transfers.iter() {
            self.transfer(trace, row.id, out);
        }
        for row in trace.builds.iter() {
            self.build(trace, row.id, out);
            self.vertices(trace, row.id, out);
        }
        for row in trace.findings.iter() {
            self.finding(trace, row.id, out);
        }
    }

    fn filler<'a>(&self, trace: &'a Trace) -> Filler<'a> {
        Filler {
            trace,
            show_secrets: self.show_secrets,
            now: self.now,
        }
    }

    fn line(&mut self, object: &impl Serialize, out: &mut String) {
        self.line.clear();
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.line, SafeFormatter);
        // Neither memory nor these types can fail to serialize.
        if object.serialize(&mut serializer).is_ok() {
            out.push_str(&String::from_utf8_lossy(&self.line));
            out.push('\n');
        }
    }
}

/// The method by which each row of a table gets its one line.
macro_rules! once {
    ($($name:ident in $table:ident: $Row:ident, by $Update:ident);* $(;)?) => {
        impl Writer {
            $(fn $name(
                &mut self,
                trace: &Trace,
                id: Id<buildtap_decoder::trace::$Row>,
                out: &mut String,
            ) {
                let Some(row) = trace.$table.get(id) else {
                    return;
                };
                let first = self.$table.first(&trace.$table, id);
                if first && self.keeps(trace, &Update::$Update(id)) {
                    self.line(&self.filler(trace).$name(row), out);
                }
            })*
        }
    };
}

once! {
    connection in connections: Connection, by ConnectionClosed;
    session in sessions: Session, by SessionClosed;
    call in calls: Call, by CallEnded;
    exchange in exchanges: Exchange, by ExchangeEnded;
    build in builds: Build, by BuildEnded;
    finding in findings: Finding, by Finding;
}

impl Writer {
    /// A finding, which gets a second line when it becomes certain.
    fn found(&mut self, trace: &Trace, id: Id<Finding>, out: &mut String) {
        let Some(row) = trace.findings.get(id) else {
            return;
        };
        let is_new = self.findings.first(&trace.findings, id);
        let is_surer = row.certain.is_some() && self.certain.first(&trace.findings, id);
        if (is_new || is_surer) && self.keeps(trace, &Update::Finding(id)) {
            self.line(&self.filler(trace).finding(row), out);
        }
    }

    /// A transfer, after its files that were asked for and did not come to their end.
    fn transfer(&mut self, trace: &Trace, id: Id<Transfer>, out: &mut String) {
        let Some(row) = trace.transfers.get(id) else {
            return;
        };
        if !self.transfers.first(&trace.transfers, id) {
            return;
        }
        let gone = trace.transfers.gone();
        while self
            .cut_files
            .first()
            .is_some_and(|(transfer, _)| *transfer <= gone)
        {
            self.cut_files.pop_first();
        }
        for file in row.machine.open_files() {
            self.cut_files.insert((id.number(), file.id));
            let update = Update::File(id, Box::new(file));
            if let Update::File(_, file) = &update
                && self.keeps(trace, &update)
            {
                self.line(&self.filler(trace).file(id, file), out);
            }
        }
        if self.keeps(trace, &Update::TransferEnded(id)) {
            self.line(&self.filler(trace).transfer(row), out);
        }
    }

    /// The vertices of a build that were not written yet.
    fn vertices(&mut self, trace: &Trace, id: Id<Build>, out: &mut String) {
        let Some(build) = trace.builds.get(id) else {
            return;
        };
        while let Some(oldest) = self.vertices.first_entry() {
            if *oldest.key() > trace.builds.gone() {
                break;
            }
            oldest.remove();
        }
        let written = self.vertices.insert(id.number(), build.vertices.len());
        let new = build.vertices.iter().enumerate();
        for (at, vertex) in new.skip(written.unwrap_or(0)) {
            if self.keeps(trace, &Update::Vertex(id, at)) {
                self.line(&self.filler(trace).vertex(build, vertex), out);
            }
        }
    }

    /// The daemon goes on reporting for a moment after it has answered Solve: when that is over
    /// too, the vertices are what they will stay.
    fn status_ended(&mut self, trace: &Trace, call: Id<Call>, out: &mut String) {
        let Some(call) = trace.calls.get(call).filter(|call| is_status(call)) else {
            return;
        };
        if let Some(build) = call.build.filter(|build| self.builds.contains(*build)) {
            self.steps_ended(trace, build, out);
        }
    }

    /// Nothing more will be said of the steps of a build.
    fn steps_ended(&mut self, trace: &Trace, build: Id<Build>, out: &mut String) {
        let is_of = |id: &Id<Call>| {
            let call = trace.calls.get(*id);
            call.is_none_or(|call| call.build == Some(build))
        };
        for call in self
            .unnamed
            .extract_if(.., |id| is_of(id))
            .collect::<Vec<_>>()
        {
            self.call(trace, call, out);
        }
        self.vertices(trace, build, out);
    }

    /// A call ended. The daemon may name the step that it is for only now: then the call waits for
    /// that, but not for ever.
    fn call_ended(&mut self, trace: &Trace, id: Id<Call>, out: &mut String) {
        let build = trace.calls.get(id).filter(|call| call.may_get_vertex());
        let build = build.and_then(|call| trace.builds.get(call.build?));
        let reports = build.is_some_and(|build| {
            !self.builds.contains(build.id) || status_goes_on(trace, build.id)
        });
        if !reports {
            return self.call(trace, id, out);
        }
        self.unnamed.push(id);
        if self.unnamed.len() > UNNAMED {
            let oldest = self.unnamed.remove(0);
            self.call(trace, oldest, out);
        }
    }

    /// Steps were named: perhaps those that calls wait for.
    fn named(&mut self, trace: &Trace, out: &mut String) {
        let is_known = |id: &Id<Call>| {
            let call = trace.calls.get(*id);
            call.is_none_or(|call| call.vertex.is_some())
        };
        for call in self
            .unnamed
            .extract_if(.., |id| is_known(id))
            .collect::<Vec<_>>()
        {
            self.call(trace, call, out);
        }
    }
}

/// Calls that wait for the name of their step.
const UNNAMED: usize = 256;

fn is_status(call: &Call) -> bool {
    call.service == "moby.buildkit.v1.Control" && call.method == "Status"
}

/// Whether the daemon still reports on a build.
fn status_goes_on(trace: &Trace, build: Id<Build>) -> bool {
    trace
        .calls
        .iter()
        .any(|call| call.build == Some(build) && is_status(call) && call.end.is_none())
}
