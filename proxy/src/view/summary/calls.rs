//! Calls in a table: those of a session, and those that clients made.

use std::collections::{BTreeMap, BTreeSet};

use buildtap_decoder::describe::printable;
use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::trace::{Build, Call, Connection, Id, Protocol, Subject};

use super::super::paint::{Style, Table, bytes, count, duration, offset, shorten};
use super::super::words;
use super::{ROWS, Summary, TEXT};

/// Characters of a method and what it is about.
const NAME: usize = 60;

impl<'a> Summary<'a> {
    /// A table of calls, with their transfers; health checks on one line.
    pub(super) fn calls(&mut self, calls: &[&Call], indent: usize) {
        let (health, others): (Vec<&Call>, Vec<&Call>) = calls
            .iter()
            .partition(|call| call.service == "grpc.health.v1.Health");
        let mut table = Table::new(&[0, 1, 4, 5, 6, 7, 8]);
        if !others.is_empty() {
            let head = [
                "call", "at", "caller", "", "took", "client", "sent", "daemon", "sent", "ended",
            ];
            table.row(head.map(|text| (Style::Dim, text.to_owned())));
        }
        for call in others.iter().take(ROWS) {
            self.call(&mut table, call);
        }
        self.table(&table, indent);
        if others.len() > ROWS {
            let text = format!("and {} more", count((others.len() - ROWS) as u64, "call"));
            self.line(indent, &[(Style::Dim, &text)]);
        }
        if !health.is_empty() {
            let (style, text) = words::health(&health);
            self.line(indent, &[(style, &text)]);
        }
    }

    fn call(&self, table: &mut Table, call: &Call) {
        let subject = call.subject.as_ref();
        let subject = subject.map_or(String::new(), |subject| format!(" {subject}"));
        let name = format!("{}{subject}", call.short_name());
        let messages = |side: Side| format!("{} msg", call.sent_by(side).messages);
        let sent = |side: Side| bytes(call.sent_by(side).bytes);
        let (style, ended) = words::ending(self.trace, call);
        table.row([
            (Style::Dim, call.id.to_string()),
            (Style::Dim, offset(call.start, self.origin)),
            (Style::Plain, format!("{} →", call.caller)),
            (Style::Cyan, shorten(&printable(&name), NAME)),
            (Style::Plain, took(call.start, call.end)),
            (Style::Dim, messages(Side::Client)),
            (Style::Plain, sent(Side::Client)),
            (Style::Dim, messages(Side::Daemon)),
            (Style::Plain, sent(Side::Daemon)),
            (style, ended),
        ]);
        if let Some(status) = call.status.as_ref().filter(|status| status.code != 0) {
            table.note(style, shorten(&printable(&status.message), 2 * TEXT));
            for detail in status.details.iter().take(4) {
                table.note(Style::Dim, shorten(&printable(detail), 2 * TEXT));
            }
        }
        if let Some(transfer) = call.transfer.and_then(|id| self.trace.transfers.get(id)) {
            let (style, text) = words::transfer(transfer);
            table.note(style, shorten(&printable(&text), 2 * TEXT));
        }
        if let Some(turn) = words::turn(self.trace, Subject::Call(call.id), self.now) {
            table.note(Style::Yellow, shorten(&printable(&turn), 3 * TEXT));
        }
        if let Some(transfer) = call.transfer.and_then(|id| self.trace.transfers.get(id))
            && let Some(evidence) = words::evidence(transfer)
        {
            table.note(Style::Dim, shorten(&printable(&evidence), 3 * TEXT));
        }
        let step = call
            .build
            .zip(call.vertex.as_deref())
            .and_then(|(build, digest)| self.trace.builds.get(build)?.vertex(digest));
        if let Some(vertex) = step.filter(|vertex| !vertex.name.is_empty()) {
            let name = shorten(&printable(&vertex.name), TEXT);
            table.note(Style::Dim, format!("for the step {name}"));
        }
    }

    /// The calls of a build that solves nothing, which are told with it.
    pub(super) fn calls_of_probe(&self, build: &Build) -> impl Iterator<Item = &'a Call> {
        let asked = build.call.and_then(|call| self.trace.calls.get(call));
        let (id, connection) = (build.id, asked.map(|call| call.connection));
        let is_ok = |call: &Call| call.status.as_ref().is_some_and(|status| status.code == 0);
        self.trace.calls.iter().filter(move |call| {
            call.build == Some(id)
                && call.session.is_none()
                && Some(call.connection) == connection
                && is_ok(call)
        })
    }

    /// The calls that clients made.
    pub(super) fn control_calls(&mut self) {
        let mut by_connection: BTreeMap<Id<Connection>, Vec<&Call>> = BTreeMap::new();
        let probes = self
            .trace
            .builds
            .iter()
            .filter(|build| words::is_probe(build));
        let told: BTreeSet<Id<Call>> = probes
            .flat_map(|build| self.calls_of_probe(build))
            .map(|call| call.id)
            .collect();
        for call in self
            .trace
            .calls
            .iter()
            .filter(|call| call.session.is_none() && !told.contains(&call.id))
        {
            by_connection.entry(call.connection).or_default().push(call);
        }
        for (id, calls) in by_connection {
            let Some(connection) = self.trace.connections.get(id) else {
                continue;
            };
            let title = format!("\ncalls on connection {id}");
            let way = match (connection.protocol, connection.upgraded_by) {
                (Protocol::ExecTunnel, _) => "  docker exec, HTTP/2 inside",
                (_, Some(_)) => "  POST /grpc",
                _ => "  HTTP/2",
            };
            self.line(0, &[(Style::Bold, &title), (Style::Dim, way)]);
            self.calls(&calls, 2);
        }
    }
}

/// How long something went on; `…` for what goes on.
pub(super) fn took(start: Time, end: Option<Time>) -> String {
    end.map_or_else(|| "…".to_owned(), |end| duration(end.since(start)))
}
