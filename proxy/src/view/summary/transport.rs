//! What carried everything: HTTP requests, and connections of which there is something to say.

use buildtap_decoder::describe::printable;
use buildtap_decoder::event::{Closed, Side};
use buildtap_decoder::trace::Connection;

use super::super::paint::{Style, Table, bytes, count, offset, shorten};
use super::super::words;
use super::calls::took;
use super::{ROWS, Summary, TEXT};

impl Summary<'_> {
    /// HTTP requests that are no gRPC calls.
    pub(super) fn exchanges(&mut self) {
        let exchanges = &self.trace.exchanges;
        if exchanges.is_empty() {
            return;
        }
        self.line(0, &[(Style::Bold, "\nHTTP requests")]);
        let mut table = Table::new(&[0, 1, 5, 6, 7]);
        let head = [
            "conn", "at", "method", "target", "status", "took", "request", "answer",
        ];
        table.row(head.map(|text| (Style::Dim, text.to_owned())));
        for exchange in exchanges.iter().take(ROWS) {
            let (style, status) = match &exchange.status {
                _ if exchange.cut_short => (Style::Yellow, "cut short".to_owned()),
                None => (Style::Yellow, "no answer".to_owned()),
                Some((status @ 400.., reason)) => (Style::Red, format!("{status} {reason}")),
                Some((status, _)) => (Style::Plain, status.to_string()),
            };
            table.row([
                (Style::Dim, exchange.connection.to_string()),
                (Style::Dim, offset(exchange.start, self.origin)),
                (Style::Plain, printable(&exchange.method).into_owned()),
                (Style::Cyan, shorten(&words::target(exchange), TEXT)),
                (style, printable(&status).into_owned()),
                (Style::Plain, took(exchange.start, exchange.end)),
                (Style::Plain, bytes(exchange.request_bytes)),
                (Style::Plain, bytes(exchange.response_bytes)),
            ]);
            if let Some(error) = &exchange.error {
                table.note(Style::Plain, shorten(&printable(error), 2 * TEXT));
            }
        }
        self.table(&table, 2);
        if exchanges.len() > ROWS {
            let text = format!(
                "and {} more",
                count((exchanges.len() - ROWS) as u64, "request")
            );
            self.line(2, &[(Style::Dim, &text)]);
        }
    }

    /// Connections that there is something to say of beyond what they carried.
    pub(super) fn connections(&mut self) {
        let mut table = Table::new(&[0]);
        for connection in self.trace.connections.iter() {
            let words = self.oddities(connection);
            if words.is_empty() {
                continue;
            }
            let [client, daemon] = connection.bytes.0;
            table.row([
                (Style::Dim, connection.id.to_string()),
                (Style::Plain, connection.protocol.as_str().to_owned()),
                (
                    Style::Plain,
                    format!("{} → {}", bytes(client), bytes(daemon)),
                ),
                (
                    Style::Yellow,
                    shorten(&printable(&words.join("; ")), 2 * TEXT),
                ),
            ]);
        }
        if !table.is_empty() {
            self.line(0, &[(Style::Bold, "\nconnections")]);
            self.table(&table, 2);
        }
    }

    fn oddities(&self, connection: &Connection) -> Vec<String> {
        let mut words = Vec::new();
        for side in Side::BOTH {
            if let Some(undecodable) = connection.undecodable.get(side) {
                let offset = bytes(undecodable.offset);
                words.push(format!(
                    "not decoded from {offset} of the {side} on: {}",
                    undecodable.why
                ));
            }
            if connection.closed.is_none() && connection.not_reading.get(side).is_some() {
                words.push(format!("the {side} does not read"));
            }
        }
        match connection.closed {
            Some((_, Closed::Unreachable)) => {
                words.push("the daemon could not be reached".to_owned());
            }
            // Many programs leave with bytes unread; it matters when something was going on.
            Some((_, Closed::Reset { by: Some(by) })) if self.was_cut(connection) => {
                words.push(format!("reset by the {by}"));
            }
            _ => {}
        }
        words.dedup();
        words
    }

    /// Whether something on the connection ended only because the connection did.
    fn was_cut(&self, connection: &Connection) -> bool {
        let mut calls = self.trace.calls.iter();
        let mut exchanges = self.trace.exchanges.iter();
        calls.any(|call| {
            let reset = call.reset.as_ref().filter(|_| call.status.is_none());
            call.connection == connection.id && reset.is_some_and(|reset| reset.code.is_none())
        }) || exchanges.any(|exchange| exchange.connection == connection.id && exchange.cut_short)
    }
}
