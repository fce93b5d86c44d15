//! A row that has ended, or stands as it does at the end, becomes a span: where it belongs, what it
//! says, what was found about it, what it is linked to. Each says whether it was told, where it may
//! not be known yet to which build it belongs.

use std::sync::Arc;

use buildtap_decoder::event::{Closed, Time};
use buildtap_decoder::trace::{
    Build, BuildState, Call, CallState, Connection, Exchange, File, Id, Session, Subject, Trace,
    Transfer, TransferState, Wait,
};

use super::place::{call_id, connection_id, session_id, transfer_id};
use super::{Spans, builds, rows};
use crate::otlp::ids;
use crate::otlp::span::{Draft, Origin, Span};

impl Spans {
    pub(super) fn connection_closed(
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

    pub(super) fn connection(
        &mut self,
        trace: &Trace,
        row: &Connection,
        now: Time,
        out: &mut Vec<Span>,
    ) {
        let Some(place) = self.places.of_connection(trace, row, true) else {
            return;
        };
        let mut draft = rows::connection(self.words, &place, trace, row, now);
        self.found(trace, Subject::Connection(row.id), &mut draft);
        let origin = self.origins.of(trace, row.id);
        out.push(draft.finish(&origin));
    }

    pub(super) fn exchange(
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
        if let Some(context) = self.places.beside_exchange(trace, row, &place) {
            draft.link(context, "the caller's span");
        }
        let origin = self.origins.of(trace, row.connection);
        out.push(draft.finish(&origin));
        true
    }

    pub(super) fn session(
        &mut self,
        trace: &Trace,
        id: Id<Session>,
        now: Time,
        out: &mut Vec<Span>,
    ) {
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

    pub(super) fn call(
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
        if let Some(context) = self.places.beside_call(trace, row, &place) {
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

    pub(super) fn transfer(
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
        let left_out = self.files.left_out(row.id);
        if left_out > 0 {
            draft.number("buildkit.transfer.files_without_span", left_out);
        }
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
    pub(super) fn waited(&mut self, trace: &Trace, wait: &Wait, out: &mut Vec<Span>) {
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
    pub(super) fn file(
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
    pub(super) fn build(&mut self, trace: &Trace, id: Id<Build>, now: Time, out: &mut Vec<Span>) {
        let Some(row) = trace.builds.get(id) else {
            return;
        };
        let origin = self.origin_of_build(trace, row);
        let place = self.places.of_build(trace, row);
        let below = place.below(ids::of_build(row));
        let mut prints = self.printed.take(id);
        for vertex in &row.vertices {
            let clock = self.clock;
            if let Some(mut draft) = builds::vertex(self.words, &below, row, vertex, clock, now) {
                let (printed, left_out) = prints.take(&vertex.digest);
                for line in printed {
                    builds::printed(self.words, &line, vertex, &mut draft);
                }
                draft.dropped_events(left_out);
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
