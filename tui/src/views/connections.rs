//! Connections, what is spoken on them, and the HTTP requests that they carry.

use buildtap_decoder::event::{Closed, Side, Time};
use buildtap_decoder::filter::Thing;
use buildtap_decoder::trace::{Connection, Exchange, Id, Protocol, Subject};
use buildtap_decoder::wire::http2::error_code_name;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use crate::keys::Action;
use crate::text::{Pen, bytes, thousands, wrap};
use crate::view::{Context, Outcome, Tab, View};
use crate::widgets::{Cell, Column, List, Table, rule};
use crate::words;

/// The view.
#[derive(Debug, Default)]
pub(super) struct Connections {
    list: List,
    lines: Vec<Line>,
    /// What was shown because another view asked for it.
    shown: Option<Subject>,
}

/// A line is about a connection or about a request on the one above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Connection(Id<Connection>),
    Exchange(Id<Exchange>),
}

const COLUMNS: &[Column] = &[
    Column::right("at", 9),
    Column::rest("connection, request"),
    Column::left("state", 14),
    Column::right("took", 7),
    Column::right("client", 9),
    Column::right("daemon", 9),
];

impl Connections {
    fn arrange(&mut self, cx: &Context<'_>) {
        let trace = cx.store.trace();
        self.lines.clear();
        let mut with_shown = std::collections::HashSet::new();
        for exchange in trace.exchanges.iter() {
            if cx.shows(Thing::Exchange(exchange)) {
                with_shown.insert(exchange.connection);
            }
        }
        for connection in trace.connections.iter() {
            if !with_shown.contains(&connection.id) && !cx.shows(Thing::Connection(connection)) {
                continue;
            }
            self.lines.push(Line::Connection(connection.id));
        }
        // Requests stand below their connection; both tables are in the order of appearance.
        let mut with_requests = Vec::with_capacity(self.lines.len() + trace.exchanges.len());
        let mut by_connection: std::collections::HashMap<_, Vec<_>> = Default::default();
        let shown = trace
            .exchanges
            .iter()
            .filter(|it| cx.shows(Thing::Exchange(it)));
        for exchange in shown {
            let of = by_connection.entry(exchange.connection).or_default();
            of.push(Line::Exchange(exchange.id));
        }
        for line in self.lines.drain(..) {
            with_requests.push(line);
            if let Line::Connection(id) = line {
                with_requests.extend(by_connection.remove(&id).unwrap_or_default());
            }
        }
        self.lines = with_requests;
    }

    fn at(&self) -> Option<Line> {
        self.lines.get(self.list.selected()).copied()
    }

    /// Puts the cursor on what another view turned to.
    pub(super) fn show(&mut self, subject: Subject) {
        let line = match subject {
            Subject::Connection(id) => Line::Connection(id),
            Subject::Exchange(id) => Line::Exchange(id),
            _ => return,
        };
        if let Some(at) = self.lines.iter().position(|it| *it == line) {
            self.list.select(at);
        }
    }
}

fn protocol(connection: &Connection) -> &'static str {
    match connection.protocol {
        Protocol::Unknown => "nothing said yet",
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 if connection.upgraded_by.is_some() => "HTTP/1.1, then HTTP/2",
        Protocol::Http2 => "HTTP/2",
        Protocol::ExecTunnel => "exec tunnel",
        Protocol::Opaque => "not HTTP",
    }
}

fn name(cx: &Context<'_>, line: Line) -> String {
    let trace = cx.store.trace();
    match line {
        Line::Connection(id) => match trace.connections.get(id) {
            None => format!("connection {id}"),
            Some(connection) => {
                let indent = "  ".repeat(connection.depth.into());
                let inside = match connection.parent {
                    Some((_, call)) => format!(" inside call {call}"),
                    None => String::new(),
                };
                format!("{indent}connection {id}  {}{inside}", protocol(connection))
            }
        },
        Line::Exchange(id) => match trace.exchanges.get(id) {
            None => format!("    request {id}"),
            Some(exchange) => {
                let upgrade = match &exchange.upgrade {
                    Some(to) => format!("  upgrades to {to}"),
                    None => String::new(),
                };
                format!(
                    "    {} {}{upgrade}",
                    exchange.method,
                    words::target(exchange)
                )
            }
        },
    }
}

fn cells<'a>(cx: &Context<'_>, line: Line) -> Vec<Cell<'a>> {
    let palette = cx.palette;
    let trace = cx.store.trace();
    let origin = cx.store.origin();
    let text = name(cx, line);
    let sizes = |client: u64, daemon: u64| [client, daemon].map(|it| Cell::plain(bytes(it)));
    match line {
        Line::Connection(id) => {
            let Some(row) = trace.connections.get(id) else {
                return vec![];
            };
            let (state, style) = match row.closed {
                None => ("● open", palette.busy()),
                Some((_, Closed::Finished)) => ("■ closed", palette.dim()),
                Some((_, Closed::Reset { .. })) => ("! reset", palette.busy()),
                Some((_, Closed::Unreachable)) => ("✗ unreachable", palette.bad()),
                Some((_, Closed::Abandoned)) => ("■ not seen", palette.dim()),
            };
            let [client, daemon] = sizes(row.bytes.0[0], row.bytes.0[1]);
            vec![
                Cell::new(words::offset(row.opened, origin), palette.dim()),
                Cell::new(text, palette.strong()),
                Cell::new(state, style),
                Cell::plain(words::took(
                    row.opened,
                    row.closed.map(|(at, _)| at),
                    cx.now,
                )),
                client,
                daemon,
            ]
        }
        Line::Exchange(id) => {
            let Some(row) = trace.exchanges.get(id) else {
                return vec![];
            };
            let (state, style) = words::exchange_state(row, palette);
            let [client, daemon] = sizes(row.request_bytes, row.response_bytes);
            vec![
                Cell::new(words::offset(row.start, origin), palette.dim()),
                Cell::plain(text),
                Cell::new(state, style),
                Cell::plain(words::took(row.start, row.end, cx.now)),
                client,
                daemon,
            ]
        }
    }
}

/// Everything that is known of what a line is about.
fn page(cx: &Context<'_>, line: Line) -> Vec<(String, Style)> {
    let trace = cx.store.trace();
    match line {
        Line::Connection(id) => trace
            .connections
            .get(id)
            .map_or(vec![], |row| of_connection(cx, row)),
        Line::Exchange(id) => trace
            .exchanges
            .get(id)
            .map_or(vec![], |row| of_exchange(cx, row)),
    }
}

fn of_connection(cx: &Context<'_>, row: &Connection) -> Vec<(String, Style)> {
    /// The parameters by number (RFC 9113 §6.5.2).
    const NAMES: [&str; 7] = [
        "",
        "HEADER_TABLE_SIZE",
        "ENABLE_PUSH",
        "MAX_CONCURRENT_STREAMS",
        "INITIAL_WINDOW_SIZE",
        "MAX_FRAME_SIZE",
        "MAX_HEADER_LIST_SIZE",
    ];
    let palette = cx.palette;
    let mut lines = vec![
        (format!("client  {}", row.endpoints.client), palette.plain()),
        (format!("daemon  {}", row.endpoints.daemon), palette.plain()),
    ];
    if let Some(process) = &row.endpoints.client_process {
        lines.push((format!("process {process}"), palette.plain()));
    }
    let origin = cx.store.origin();
    for side in Side::BOTH {
        if let Some(at) = row.half_closed.get(side) {
            let at = words::offset(*at, origin);
            lines.push((
                format!("{at}  the {side} will send no more"),
                palette.plain(),
            ));
        }
        if let Some(since) = row.not_reading.get(side) {
            let took = words::took(*since, None, cx.now);
            lines.push((format!("the {side} has not read for {took}"), palette.bad()));
        }
        if let Some(undecodable) = row.undecodable.get(side) {
            let why = format!(
                "from byte {} on what the {side} sends is not decoded: {}",
                undecodable.offset, undecodable.why
            );
            lines.push((why, palette.bad()));
        }
    }
    if let Some(http2) = &row.http2 {
        lines.push(("HTTP/2".into(), palette.heading()));
        lines.push((
            format!("  the {} makes the calls", http2.caller),
            palette.plain(),
        ));
        for side in Side::BOTH {
            let frames = thousands(*http2.frames.get(side));
            let window = *http2.window.get(side);
            let text = format!("  {side}: {frames} frames sent, may send {window} bytes more");
            lines.push((text, palette.side(side)));
            for (number, name) in (0u16..).zip(NAMES) {
                if let Some(value) = http2.setting(side, number) {
                    lines.push((
                        format!("    {name} {}", thousands(value.into())),
                        palette.plain(),
                    ));
                }
            }
            if let Some(goaway) = http2.goaway.get(side) {
                let code = error_code_name(goaway.code);
                let text = format!(
                    "    GOAWAY {code}, last stream {} {}",
                    goaway.last_stream_id, goaway.debug
                );
                lines.push((text, palette.busy()));
            }
        }
    }
    lines
}

fn of_exchange(cx: &Context<'_>, row: &Exchange) -> Vec<(String, Style)> {
    let palette = cx.palette;
    let mut lines = vec![(format!("{} {}", row.method, row.target), palette.strong())];
    for (name, value) in &row.request_headers {
        lines.push((format!("  {name}: {value}"), palette.plain()));
    }
    match &row.status {
        Some((code, reason)) => lines.push((format!("{code} {reason}"), palette.strong())),
        None => lines.push(("not answered".to_owned(), palette.busy())),
    }
    for (name, value) in &row.response_headers {
        lines.push((format!("  {name}: {value}"), palette.plain()));
    }
    if let Some(error) = &row.error {
        lines.push((format!("the daemon says: {error}"), palette.bad()));
    }
    lines
}

impl View for Connections {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        self.arrange(cx);
        if cx.focus.wire != self.shown {
            self.shown = cx.focus.wire;
            if let Some(subject) = self.shown {
                self.show(subject);
            }
        }
        let palette = cx.palette;
        if self.lines.is_empty() {
            Pen::new(buf, area, 1).put(" no connection yet", palette.dim());
            return;
        }
        let (above, beside) = halves(area);
        let table = Table {
            columns: COLUMNS,
            sorted: None,
            palette,
            active: true,
        };
        let lines = &self.lines;
        table.draw(buf, above, &mut self.list, lines.len(), |line| {
            lines.get(line).map_or(Vec::new(), |line| cells(cx, *line))
        });
        let Some(line) = self.at() else { return };
        rule(buf, beside, 0, name(cx, line).trim_start(), palette);
        let room = usize::from(beside.width);
        let wrapped = page(cx, line).into_iter().flat_map(|(text, style)| {
            let indent: String = text.chars().take_while(|c| *c == ' ').collect();
            let lines = wrap(text.trim_start(), room.saturating_sub(indent.len()));
            lines
                .into_iter()
                .map(move |line| (format!("{indent}{line}"), style))
        });
        for (at, (text, style)) in (1..beside.height).zip(wrapped) {
            Pen::new(buf, beside, at).put(&text, style);
        }
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        if action == Action::Open {
            let trace = cx.store.trace();
            let call = match self.at() {
                Some(Line::Connection(id)) => trace
                    .calls
                    .iter()
                    .find(|call| call.connection == id)
                    .map(|call| call.id),
                _ => None,
            };
            return match call {
                Some(call) => Outcome::Go(Tab::Calls, Some(Subject::Call(call))),
                None => Outcome::Done,
            };
        }
        match self.list.act(action, self.lines.len()) {
            true => Outcome::Done,
            false => Outcome::Ignored,
        }
    }

    fn selected(&self, _: &Context<'_>) -> Option<Subject> {
        self.at().map(|line| match line {
            Line::Connection(id) => Subject::Connection(id),
            Line::Exchange(id) => Subject::Exchange(id),
        })
    }

    fn click(&mut self, at: Position, _: &Context<'_>) -> Outcome {
        let line = at.y.checked_sub(1);
        let line = line.and_then(|line| self.list.seen_at(line, self.lines.len()));
        match line {
            Some(line) => {
                self.list.select(line);
                Outcome::Done
            }
            None => Outcome::Ignored,
        }
    }

    fn lines(&self, _: &Context<'_>) -> usize {
        self.lines.len()
    }

    fn line(&self, cx: &Context<'_>, line: usize) -> String {
        self.lines
            .get(line)
            .map_or(String::new(), |line| name(cx, *line))
    }

    fn cursor(&self) -> usize {
        self.list.selected()
    }

    fn move_to(&mut self, line: usize) {
        self.list.select(line);
    }

    fn go_to(&mut self, at: Time, cx: &Context<'_>) {
        let trace = cx.store.trace();
        let later = |line: &Line| match line {
            Line::Connection(id) => trace.connections.get(*id).is_some_and(|it| it.opened >= at),
            Line::Exchange(id) => trace.exchanges.get(*id).is_some_and(|it| it.start >= at),
        };
        if let Some(line) = self.lines.iter().position(later) {
            self.list.select(line);
        }
    }

    fn hints(&self) -> &'static [Action] {
        &[Action::Down, Action::Open, Action::GoTo, Action::Back]
    }
}

/// Where the list is, and where what is known of the line under the cursor.
fn halves(area: Rect) -> (Rect, Rect) {
    if area.width >= 140 {
        let left = area.width * 11 / 20;
        let beside = Rect {
            x: area.x + left + 2,
            width: area.width - left - 3,
            ..area
        };
        return (
            Rect {
                width: left,
                ..area
            },
            beside,
        );
    }
    let above = area.height * 3 / 5;
    let below = Rect {
        x: area.x + 1,
        y: area.y + above,
        width: area.width.saturating_sub(2),
        height: area.height - above,
    };
    (
        Rect {
            height: above,
            ..area
        },
        below,
    )
}
