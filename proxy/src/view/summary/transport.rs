//! What carried everything: HTTP requests, and connections of which there is something to say.

use buildtap_decoder::describe::printable;
use buildtap_decoder::event::{Closed, Side, Time};
use buildtap_decoder::trace::{Connection, Exchange};

use super::super::paint::{Style, Table, bytes, count, offset, shorten};
use super::super::words;
use super::calls::took;
use super::{ROWS, Summary, TEXT};

/// Characters of the numbers of connections.
const CONNECTIONS: usize = 24;

impl Summary<'_> {
    /// HTTP requests that are no gRPC calls; those that are the same in one row.
    pub(super) fn exchanges(&mut self) {
        let exchanges = &self.trace.exchanges;
        if exchanges.is_empty() {
            return;
        }
        let mut rows: Vec<Requests> = Vec::new();
        for exchange in exchanges.iter() {
            let became = self.became(exchange);
            match rows.iter_mut().find(|row| row.takes(exchange, &became)) {
                Some(row) => row.exchanges.push(exchange),
                None => rows.push(Requests {
                    exchanges: vec![exchange],
                    became,
                }),
            }
        }
        self.line(0, &[(Style::Bold, "\nHTTP requests")]);
        let mut table = Table::new(&[1, 6, 7, 8]);
        let head = [
            "conn", "at", "method", "target", "", "status", "took", "request", "answer", "",
        ];
        table.row(head.map(|text| (Style::Dim, text.to_owned())));
        for row in rows.iter().take(ROWS) {
            row.push(&mut table, self.origin);
        }
        self.table(&table, 2);
        let hidden = rows.iter().skip(ROWS).map(|row| row.exchanges.len() as u64);
        let hidden: u64 = hidden.sum();
        if hidden > 0 {
            let text = format!("and {} more", count(hidden, "request"));
            self.line(2, &[(Style::Dim, &text)]);
        }
    }

    /// What a connection was used for after the request that turned it into something else.
    fn became(&self, exchange: &Exchange) -> Option<String> {
        let connection = self.trace.connections.get(exchange.connection)?;
        if connection.upgraded_by != Some(exchange.id) {
            return None;
        }
        let calls = self.trace.calls.iter();
        Some(
            match calls
                .filter(|call| call.connection == connection.id)
                .count()
            {
                0 if connection.http2.is_some() => "no call followed".to_owned(),
                0 => String::new(),
                calls => count(calls as u64, "call"),
            },
        )
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

/// Requests that one row stands for: several, if they are the same and there is nothing else to
/// say of any.
struct Requests<'a> {
    exchanges: Vec<&'a Exchange>,
    /// What their connections became by them.
    became: Option<String>,
}

impl Requests<'_> {
    /// Whether another request needs no row of its own.
    fn takes(&self, other: &Exchange, became: &Option<String>) -> bool {
        let is_plain = |exchange: &Exchange| {
            exchange.build.is_none()
                && exchange.error.is_none()
                && exchange.end.is_some()
                && !exchange.cut_short
        };
        let Some(first) = self.exchanges.first() else {
            return false;
        };
        is_plain(first)
            && is_plain(other)
            && first.method == other.method
            && first.target == other.target
            && first.status == other.status
            && &self.became == became
    }

    fn push(&self, table: &mut Table, origin: Time) {
        let Some(first) = self.exchanges.first() else {
            return;
        };
        let (style, status) = match &first.status {
            _ if first.cut_short => (Style::Yellow, "cut short".to_owned()),
            None => (Style::Yellow, "no answer".to_owned()),
            Some((status @ 400.., reason)) => (Style::Red, format!("{status} {reason}")),
            Some((status, _)) => (Style::Plain, status.to_string()),
        };
        let times = self.exchanges.len();
        let slowest = self
            .exchanges
            .iter()
            .max_by_key(|exchange| exchange.end.map(|end| end.since(exchange.start)))
            .unwrap_or(first);
        let took = took(slowest.start, slowest.end);
        let sum = |of: fn(&Exchange) -> u64| {
            let sizes = self.exchanges.iter().map(|exchange| of(exchange));
            bytes(sizes.fold(0, u64::saturating_add))
        };
        let mut connections: Vec<String> = self
            .exchanges
            .iter()
            .map(|exchange| exchange.connection.to_string())
            .collect();
        connections.dedup();
        table.row([
            (Style::Dim, shorten(&connections.join(", "), CONNECTIONS)),
            (Style::Dim, offset(first.start, origin)),
            (Style::Plain, printable(&first.method).into_owned()),
            (Style::Cyan, shorten(&words::target(first), TEXT)),
            match times {
                1 => (Style::Plain, String::new()),
                times => (Style::Plain, format!("× {times}")),
            },
            (style, printable(&status).into_owned()),
            match times {
                1 => (Style::Plain, took),
                _ => (Style::Plain, format!("≤ {took}")),
            },
            (Style::Plain, sum(|exchange| exchange.request_bytes)),
            (Style::Plain, sum(|exchange| exchange.response_bytes)),
            (Style::Dim, self.became.clone().unwrap_or_default()),
        ]);
        if let Some(error) = &first.error {
            table.note(Style::Plain, shorten(&printable(error), 2 * TEXT));
        }
    }
}
