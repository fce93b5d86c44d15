//! What is abnormal, on the span at fault; and where that span is.

use buildtap_decoder::trace::{Connection, Finding, Id, Severity, Subject, Trace, TransferState};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId};

use super::Spans;
use super::held::Row;
use super::place::{call_id, connection_id, exchange_id, session_id, transfer_id};
use crate::otlp::context;
use crate::otlp::ids;
use crate::otlp::span::{Draft, Place, Span, texts};

/// Findings that are kept for spans that go on.
const FINDINGS: usize = 4_096;

impl Spans {
    pub(super) fn finding(&mut self, trace: &Trace, id: Id<Finding>, out: &mut Vec<Span>) {
        let Some(row) = trace.findings.get(id) else {
            return;
        };
        if !self.is_over(trace, row.subject) {
            if self.findings_count < FINDINGS {
                self.findings.entry(key(row.subject)).or_default().push(id);
                self.findings_count += 1;
            }
            return;
        }
        // The span at fault is told already: this one hangs below it.
        let Some((place, at_fault, connection)) = self.place_of(trace, row.subject, true) else {
            return;
        };
        let span = ids::below(at_fault, "finding", id.number());
        let below = place.below(at_fault);
        let mut draft = Draft::new(
            &below,
            span,
            format!("finding {}", row.code),
            row.at,
            row.at,
        );
        draft.extend(self.say(row));
        if row.severity == Severity::Error {
            draft.error(&self.summary(row));
        }
        let origin = match connection {
            Some(connection) => self.origins.of(trace, connection),
            None => self.origins.nobody(),
        };
        out.push(draft.finish(&origin));
    }

    /// The findings about a span, as its events.
    pub(super) fn found(&mut self, trace: &Trace, subject: Subject, draft: &mut Draft) {
        let Some(found) = self.findings.remove(&key(subject)) else {
            return;
        };
        self.findings_count = self.findings_count.saturating_sub(found.len());
        for row in found.into_iter().filter_map(|id| trace.findings.get(id)) {
            self.tell_finding(row, draft);
        }
    }

    pub(super) fn tell_finding(&self, row: &Finding, draft: &mut Draft) {
        draft.event(row.at, format!("finding {}", row.code), self.say(row));
        if row.severity == Severity::Error {
            draft.error(&self.summary(row));
        }
    }

    fn summary(&self, row: &Finding) -> String {
        match self.words.prose(&row.summary) {
            Some(summary) => format!("{}: {summary}", row.code),
            None => row.code.to_owned(),
        }
    }

    fn say(&self, row: &Finding) -> Vec<KeyValue> {
        let mut said = vec![
            KeyValue::new("buildkit.finding.code", row.code),
            KeyValue::new("buildkit.finding.severity", row.severity.as_str()),
        ];
        let waits = row
            .waiting_on
            .map(|side| KeyValue::new("buildkit.wait.side", side.as_str()));
        said.extend(waits);
        if let Some(summary) = self.words.prose(&row.summary) {
            said.push(KeyValue::new(
                "buildkit.finding.summary",
                summary.into_owned(),
            ));
        }
        said.push(KeyValue::new("buildkit.finding.advice", row.advice.clone()));
        let evidence: Vec<_> = row
            .evidence
            .iter()
            .filter_map(|text| self.words.prose(text))
            .collect();
        if !evidence.is_empty() {
            let evidence = texts(evidence.iter().map(|text| &**text));
            said.push(KeyValue::new("buildkit.finding.evidence", evidence));
        }
        said
    }

    /// Whether a span was told already in its final form.
    fn is_over(&self, trace: &Trace, subject: Subject) -> bool {
        match subject {
            Subject::Connection(id) => !self.open.connections.contains(&id),
            Subject::Session(id) => !self.open.sessions.contains(&id),
            Subject::Call(id) => {
                !self.open.calls.contains(&id)
                    && !self.is_held(|row| matches!(row, Row::Call(held) if *held == id))
            }
            Subject::Exchange(id) => {
                !self.open.exchanges.contains(&id)
                    && !self.is_held(|row| matches!(row, Row::Exchange(held) if *held == id))
            }
            Subject::Transfer(id) => {
                let row = trace.transfers.get(id);
                row.is_none_or(|row| row.state != TransferState::Open)
                    && !self.is_held(|row| matches!(row, Row::Transfer(held) if *held == id))
            }
            Subject::Build(id) => !self.open.builds.contains(&id) && !self.ending.contains(&id),
        }
    }

    fn is_held(&self, wanted: impl Fn(&Row) -> bool) -> bool {
        self.held.any(wanted)
    }

    /// The same for what goes on: its place need not be decided, only its trace be known.
    pub(super) fn known_place_of(
        &mut self,
        trace: &Trace,
        subject: Subject,
    ) -> Option<(Place, SpanId, Option<Id<Connection>>)> {
        let brought = |headers: &[(String, String)]| {
            let context = context::of_headers(headers).filter(SpanContext::is_sampled);
            context.map(|context| Place::root(context.trace_id()))
        };
        let known = self.place_of(trace, subject, false);
        known.or_else(|| match subject {
            Subject::Call(id) => {
                let row = trace.calls.get(id)?;
                Some((brought(&row.metadata)?, call_id(row), Some(row.connection)))
            }
            Subject::Exchange(id) => {
                let row = trace.exchanges.get(id)?;
                let place = brought(&row.request_headers)?;
                Some((place, exchange_id(row), Some(row.connection)))
            }
            _ => None,
        })
    }

    /// Where the span of something is, its id, and the connection that it was seen on.
    fn place_of(
        &mut self,
        trace: &Trace,
        subject: Subject,
        decide: bool,
    ) -> Option<(Place, SpanId, Option<Id<Connection>>)> {
        let places = &mut self.places;
        Some(match subject {
            Subject::Connection(id) => {
                let row = trace.connections.get(id)?;
                let place = places.of_connection(trace, row, decide)?;
                (place, connection_id(row), Some(id))
            }
            Subject::Session(id) => {
                let row = trace.sessions.get(id)?;
                let place = places.of_session(trace, row, decide)?;
                (place, session_id(row), Some(row.connection))
            }
            Subject::Call(id) => {
                let row = trace.calls.get(id)?;
                let place = places.of_call(trace, row, decide)?;
                (place, call_id(row), Some(row.connection))
            }
            Subject::Exchange(id) => {
                let row = trace.exchanges.get(id)?;
                let place = places.of_exchange(trace, row, decide)?;
                (place, exchange_id(row), Some(row.connection))
            }
            Subject::Transfer(id) => {
                let row = trace.transfers.get(id)?;
                let place = places.of_transfer(trace, row, decide)?;
                let call = trace.calls.get(row.call);
                (place, transfer_id(row), call.map(|call| call.connection))
            }
            Subject::Build(id) => {
                let row = trace.builds.get(id)?;
                let call = row.call.and_then(|id| trace.calls.get(id));
                let connection = call.map(|call| call.connection);
                (places.of_build(trace, row), ids::of_build(row), connection)
            }
        })
    }
}

/// A key by which what was found of something is looked up.
pub(super) fn key(subject: Subject) -> (u8, u64) {
    match subject {
        Subject::Connection(id) => (0, id.number()),
        Subject::Session(id) => (1, id.number()),
        Subject::Call(id) => (2, id.number()),
        Subject::Exchange(id) => (3, id.number()),
        Subject::Transfer(id) => (4, id.number()),
        Subject::Build(id) => (5, id.number()),
    }
}
