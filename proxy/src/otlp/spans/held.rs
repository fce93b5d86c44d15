//! Rows of which it is not known yet to which build they belong: held back until it is, or their
//! connection ends. What is held are ids of rows, in bounded number.

use std::collections::BTreeMap;

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Call, Connection, Exchange, File, Id, Trace, Transfer};

use super::Spans;
use crate::otlp::span::Span;

/// Rows that are held back together.
const LIMIT: usize = 16_384;

/// A row that is held back.
#[derive(Clone, Debug)]
pub(super) enum Row {
    Exchange(Id<Exchange>),
    Call(Id<Call>),
    Transfer(Id<Transfer>),
    File(Id<Transfer>, Box<File>),
}

/// What is held back, by connection.
#[derive(Debug, Default)]
pub(super) struct Held {
    rows: BTreeMap<Id<Connection>, Vec<Row>>,
    count: usize,
}

impl Held {
    /// Whether such a row is held.
    pub(super) fn any(&self, wanted: impl Fn(&Row) -> bool) -> bool {
        self.rows.values().flatten().any(wanted)
    }

    /// All of it, which is not held any more.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Row> + use<> {
        self.count = 0;
        std::mem::take(&mut self.rows).into_values().flatten()
    }

    fn take(&mut self, id: Id<Connection>) -> Vec<Row> {
        let rows = self.rows.remove(&id).unwrap_or_default();
        self.count = self.count.saturating_sub(rows.len());
        rows
    }
}

impl Spans {
    pub(super) fn hold(
        &mut self,
        trace: &Trace,
        connection: Id<Connection>,
        row: Row,
        now: Time,
        out: &mut Vec<Span>,
    ) {
        self.held.rows.entry(connection).or_default().push(row);
        self.held.count += 1;
        if self.held.count > LIMIT {
            // The one that waits longest belongs to nothing.
            if let Some(oldest) = self.held.rows.keys().next().copied() {
                self.release(trace, oldest, now, out);
            }
        }
    }

    /// Tells what was held back for a connection; what is not known is decided.
    pub(super) fn release(
        &mut self,
        trace: &Trace,
        id: Id<Connection>,
        now: Time,
        out: &mut Vec<Span>,
    ) {
        for row in self.held.take(id) {
            self.tell(trace, &row, now, true, out);
        }
    }

    /// Tells what belongs to a build that was just asked for.
    pub(super) fn release_known(&mut self, trace: &Trace, now: Time, out: &mut Vec<Span>) {
        for (id, rows) in std::mem::take(&mut self.held.rows) {
            let count = rows.len();
            let mut kept = Vec::new();
            for row in rows {
                if !self.tell(trace, &row, now, false, out) {
                    kept.push(row);
                }
            }
            self.held.count = self.held.count.saturating_sub(count - kept.len());
            if !kept.is_empty() {
                self.held.rows.insert(id, kept);
            }
        }
    }

    /// Whether it is told, or gone.
    pub(super) fn tell(
        &mut self,
        trace: &Trace,
        row: &Row,
        now: Time,
        decide: bool,
        out: &mut Vec<Span>,
    ) -> bool {
        match row {
            Row::Exchange(id) => match trace.exchanges.get(*id) {
                Some(row) => self.exchange(trace, row, now, decide, out),
                None => true,
            },
            Row::Call(id) => match trace.calls.get(*id) {
                Some(row) => self.call(trace, row, now, decide, out),
                None => true,
            },
            Row::Transfer(id) => match trace.transfers.get(*id) {
                Some(row) => self.transfer(trace, row, now, decide, out),
                None => true,
            },
            Row::File(id, file) => match trace.transfers.get(*id) {
                Some(row) => self.file(trace, row, file, now, decide, out),
                None => true,
            },
        }
    }
}
