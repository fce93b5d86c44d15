//! Connections, what is spoken on them, and the HTTP requests that they carry; one level further
//! down the frames of one of them, or everything that is known of it.

mod frames;
mod page;

use std::collections::{HashMap, HashSet};

use buildtap_decoder::event::{Closed, Time};
use buildtap_decoder::filter::Thing;
use buildtap_decoder::trace::{Connection, Exchange, Id, Protocol, Subject};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use self::frames::Frames;
use crate::keys::Action;
use crate::text::{Pen, bytes};
use crate::view::{Context, Outcome, Tab, View};
use crate::widgets::{Cell, Click, Column, List, Table, rule};
use crate::words;

/// The view.
#[derive(Debug, Default)]
pub(super) struct Connections {
    list: List,
    lines: Vec<Line>,
    /// What was shown because another view asked for it.
    shown: Option<Subject>,
    level: Level,
}

/// How far down one has gone.
#[derive(Debug, Default)]
enum Level {
    /// The list, with something about the line under the cursor.
    #[default]
    List,
    /// The frames of a connection.
    Frames(Box<Frames>),
    /// All about a line, from this line on.
    Page(Line, usize),
}

/// A line is about a connection or about a request on the one above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Connection(Id<Connection>),
    Exchange(Id<Exchange>),
}

const COLUMNS: &[Column] = &[
    Column::right("at", 8),
    Column::rest("connection, request"),
    Column::left("state", 13),
    Column::right("took", 7),
    Column::right("client", 8),
    Column::right("daemon", 8),
];

impl Connections {
    fn arrange(&mut self, cx: &Context<'_>) {
        let trace = cx.store.trace();
        let at = self.at();
        let mut requests: HashMap<_, Vec<Line>> = HashMap::new();
        let exchanges = trace.exchanges.iter();
        for exchange in exchanges.filter(|it| cx.shows(Thing::Exchange(it))) {
            let of = requests.entry(exchange.connection).or_default();
            of.push(Line::Exchange(exchange.id));
        }
        // Those inside stand below the one that carries them, if that is known.
        let mut inside: HashMap<_, Vec<Id<Connection>>> = HashMap::new();
        let mut outside = Vec::new();
        for connection in trace.connections.iter() {
            match connection.parent {
                Some((parent, _)) if trace.connections.get(parent).is_some() => {
                    inside.entry(parent).or_default().push(connection.id);
                }
                _ => outside.push(connection.id),
            }
        }
        outside.reverse();
        self.lines.clear();
        let mut seen = HashSet::new();
        while let Some(id) = outside.pop() {
            let Some(connection) = trace.connections.get(id).filter(|_| seen.insert(id)) else {
                continue;
            };
            let requests = requests.remove(&id).unwrap_or_default();
            if !requests.is_empty() || cx.shows(Thing::Connection(connection)) {
                self.lines.push(Line::Connection(id));
                self.lines.extend(requests);
            }
            outside.extend(inside.remove(&id).unwrap_or_default().into_iter().rev());
        }
        // The cursor stays on its line, wherever that is now.
        if let Some(at) = self.lines.iter().position(|line| Some(*line) == at) {
            self.list.keep(at);
        }
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
                    Some((_, call)) => format!(" in call {call}"),
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
                let carrier = trace.connections.get(exchange.connection);
                let indent = "  ".repeat(carrier.map_or(0, |it| it.depth).into());
                format!(
                    "{indent}    {} {}{upgrade}",
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
                Some((_, Closed::Abandoned)) => ("● open at end", palette.dim()),
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

impl Connections {
    fn draw_list(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        let palette = cx.palette;
        if self.lines.is_empty() {
            let text = match cx.filter {
                Some(_) => " the filter leaves no connection",
                None => " no connection yet",
            };
            Pen::new(buf, area, 1).put(text, palette.dim());
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
        let page = page::wrapped(cx, line, beside.width.into());
        let len = page.len();
        for (at, (text, style)) in (1..beside.height).zip(page) {
            Pen::new(buf, beside, at).put(&text, style);
        }
        let room = usize::from(beside.height.saturating_sub(1));
        if len > room && room > 0 {
            more(cx, len + 1 - room, "w", beside, buf);
        }
    }
}

/// Draws all about a line, from line `from` of that on; gives from where on that is in fact.
fn draw_page(cx: &Context<'_>, line: Line, from: usize, area: Rect, buf: &mut Buffer) -> usize {
    rule(buf, area, 0, name(cx, line).trim_start(), cx.palette);
    let inside = Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        ..area
    };
    let page = page::wrapped(cx, line, inside.width.into());
    let room = usize::from(area.height.saturating_sub(1));
    let from = from.min(page.len().saturating_sub(room));
    for (at, (text, style)) in (1..area.height).zip(page.iter().skip(from)) {
        Pen::new(buf, inside, at).put(text, *style);
    }
    let below = page.len().saturating_sub(from + room);
    if below > 0 {
        more(cx, below + 1, "↓", inside, buf);
    }
    from
}

/// Says in the last line of `area` that there is more, and which key leads there.
fn more(cx: &Context<'_>, lines: usize, key: &str, area: Rect, buf: &mut Buffer) {
    let last = area.height.saturating_sub(1);
    let line = Rect {
        y: area.y + last,
        height: 1,
        ..area
    };
    ratatui::widgets::Widget::render(ratatui::widgets::Clear, line, buf);
    let text = format!("… {lines} more lines: {key}");
    Pen::new(buf, area, last).put(&text, cx.palette.dim());
}

impl View for Connections {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        self.arrange(cx);
        if cx.focus.wire != self.shown {
            self.shown = cx.focus.wire;
            self.level = Level::List;
            if let Some(subject) = self.shown {
                self.show(subject);
            }
        }
        match &mut self.level {
            Level::List => self.draw_list(cx, area, buf),
            Level::Frames(frames) => frames.draw(cx, area, buf),
            Level::Page(line, from) => *from = draw_page(cx, *line, *from, area, buf),
        }
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        match (&mut self.level, action) {
            (Level::Frames(_) | Level::Page(..), Action::Back | Action::Left) => {
                self.level = Level::List;
                return Outcome::Done;
            }
            (Level::Frames(frames), _) => return frames.act(action, cx),
            (Level::Page(_, from), _) => {
                *from = match action {
                    Action::Up => from.saturating_sub(1),
                    Action::Down => *from + 1,
                    Action::PageUp | Action::HalfPageUp => from.saturating_sub(10),
                    Action::PageDown | Action::HalfPageDown => *from + 10,
                    Action::Top => 0,
                    Action::Bottom => usize::MAX,
                    Action::Pane => {
                        self.level = Level::List;
                        return Outcome::Done;
                    }
                    _ => return Outcome::Ignored,
                };
                return Outcome::Done;
            }
            (Level::List, _) => {}
        }
        match (action, self.at()) {
            (Action::Open | Action::Right, Some(Line::Connection(id)))
                if cx.store.frames.count(id) > 0 =>
            {
                self.level = Level::Frames(Box::new(Frames::of(id)));
            }
            (Action::Open | Action::Right | Action::Pane, Some(line)) => {
                self.level = Level::Page(line, 0);
            }
            // The first of the calls that it carries.
            (Action::Messages, Some(Line::Connection(id))) => {
                let mut calls = cx.store.trace().calls.iter();
                return match calls.find(|call| call.connection == id) {
                    Some(call) => Outcome::Go(Tab::Messages, Some(Subject::Call(call.id))),
                    None => Outcome::Say("no call is on it".to_owned()),
                };
            }
            _ => {
                return match self.list.act(action, self.lines.len()) {
                    true => Outcome::Done,
                    false => Outcome::Ignored,
                };
            }
        }
        Outcome::Done
    }

    fn selected(&self, cx: &Context<'_>) -> Option<Subject> {
        if let Level::Frames(frames) = &self.level {
            return Some(frames.selected(cx));
        }
        self.subject(cx, self.list.selected())
    }

    fn click(&mut self, at: Position, cx: &Context<'_>) -> Outcome {
        match &mut self.level {
            Level::Frames(frames) => return frames.click(at, cx),
            Level::Page(..) => return Outcome::Ignored,
            Level::List => {}
        }
        match self.list.click(at.y.checked_sub(1), self.lines.len()) {
            Click::Open => self.act(Action::Open, cx),
            Click::Select => Outcome::Done,
            Click::Miss => Outcome::Ignored,
        }
    }

    fn lines(&self, cx: &Context<'_>) -> usize {
        match &self.level {
            Level::Frames(frames) => frames.len(cx),
            _ => self.lines.len(),
        }
    }

    fn line(&self, cx: &Context<'_>, line: usize) -> String {
        match &self.level {
            Level::Frames(frames) => frames.line(cx, line),
            _ => self
                .lines
                .get(line)
                .map_or(String::new(), |line| name(cx, *line)),
        }
    }

    fn subject(&self, _: &Context<'_>, line: usize) -> Option<Subject> {
        match (&self.level, self.lines.get(line)?) {
            (Level::Frames(_), _) => None,
            (_, Line::Connection(id)) => Some(Subject::Connection(*id)),
            (_, Line::Exchange(id)) => Some(Subject::Exchange(*id)),
        }
    }

    fn cursor(&self) -> usize {
        match &self.level {
            Level::Frames(frames) => frames.cursor(),
            _ => self.list.selected(),
        }
    }

    fn move_to(&mut self, line: usize) {
        match &mut self.level {
            Level::Frames(frames) => frames.move_to(line),
            _ => self.list.select(line),
        }
    }

    fn go_to(&mut self, at: Time, cx: &Context<'_>) {
        if let Level::Frames(frames) = &mut self.level {
            frames.go_to(at, cx);
            return;
        }
        let trace = cx.store.trace();
        let later = |line: &Line| match line {
            Line::Connection(id) => trace.connections.get(*id).is_some_and(|it| it.opened >= at),
            Line::Exchange(id) => trace.exchanges.get(*id).is_some_and(|it| it.start >= at),
        };
        if let Some(line) = self.lines.iter().position(later) {
            self.list.select(line);
        }
    }

    fn follow(&mut self) -> Option<bool> {
        match &mut self.level {
            Level::Frames(frames) => Some(frames.follow()),
            _ => None,
        }
    }

    fn hints(&self) -> &'static [Action] {
        match self.level {
            Level::List => &[Action::Open, Action::Pane, Action::Messages, Action::GoTo],
            Level::Frames(_) => &[Action::Open, Action::GoTo, Action::Follow, Action::Back],
            Level::Page(..) => &[Action::Up, Action::Down, Action::Back],
        }
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
