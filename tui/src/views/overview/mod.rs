//! The first screen: who is waited for, and below it builds ▸ sessions ▸ calls as a tree.

mod tree;

use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::trace::{Subject, Trace};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use self::tree::{Line, Tree, What};
use crate::details;
use crate::keys::Action;
use crate::model::{Activity, Wait, sparkline};
use crate::text::{Pen, bytes, columns, count, duration};
use crate::view::{Context, Outcome, Tab, View};
use crate::widgets::{Cell, Column, List, Table, rule};
use crate::words;

/// The view.
#[derive(Debug, Default)]
pub(super) struct Overview {
    tree: Tree,
    lines: Vec<Line>,
    waits: Vec<Wait>,
    /// Whether the cursor is among those who are waited for.
    above: Option<bool>,
    waiting: List,
    list: List,
    /// Lines that are drawn above the tree.
    height: u16,
    /// Waits among them.
    seen: u16,
}

/// Waits that are shown at once.
const SEEN: usize = 5;

const NARROW: &[Column] = &[
    Column::rest("what"),
    Column::left("state", 11),
    Column::right("took", 7),
    Column::right("client", 8),
    Column::right("daemon", 8),
    Column::left("waits for", 13),
];

/// The same while nobody is waited for.
const NARROW_AND_CALM: &[Column] = NARROW.split_at(5).0;

const WIDE: &[Column] = &[
    Column::rest("what"),
    Column::left("state", 12),
    Column::right("took", 8),
    Column::right("client sent", 11),
    Column::right("daemon sent", 11),
    Column::left("activity", 16),
    Column::left("waiting for", 40),
];

/// From which width on the table has all its columns.
const WIDE_FROM: u16 = 140;

impl Overview {
    fn is_above(&self) -> bool {
        self.above.unwrap_or(true) && !self.waits.is_empty()
    }

    fn update(&mut self, cx: &Context<'_>) {
        self.waits = cx.waits.to_vec();
        self.lines = self.tree.lines(cx);
    }

    fn line_at(&self) -> Option<&Line> {
        self.lines.get(self.list.selected())
    }

    fn draw_waits(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        let palette = cx.palette;
        let trace = cx.store.trace();
        let stalled = self
            .waits
            .iter()
            .filter(|wait| wait.finding.is_some())
            .count();
        let title = match (stalled, self.waits.len()) {
            (0, 0) => "nobody is waited for".to_owned(),
            (0, all) => format!("waiting: {all}"),
            (stalled, all) if stalled == all => format!("stands still: {stalled}"),
            (stalled, all) => format!("stands still: {stalled} of {all} that wait"),
        };
        rule(buf, area, 0, &title, palette);
        let is_above = self.is_above();
        let mut line = 1;
        let window = self
            .waiting
            .window(self.waits.len(), usize::from(self.seen));
        for (at, wait) in window
            .clone()
            .zip(self.waits.get(window).unwrap_or_default())
        {
            headline(cx, wait, area, line, buf);
            if is_above && at == self.waiting.selected() {
                let line = Rect {
                    y: area.y + line,
                    height: 1,
                    ..area
                };
                buf.set_style(line, palette.cursor());
            }
            line += 1;
            if at == self.waiting.offset() && area.height > self.seen + 1 {
                for text in details(trace, wait) {
                    Pen::new(buf, area, line)
                        .put("     ", palette.plain())
                        .put(&text, palette.dim());
                    line += 1;
                }
            }
        }
    }
}

/// Who must do what, and since when.
fn headline(cx: &Context<'_>, wait: &Wait, area: Rect, line: u16, buf: &mut Buffer) {
    let palette = cx.palette;
    let age = duration(wait.age(cx.now));
    let (sign, style) = match wait.finding {
        Some(_) => (" ✗ ", palette.bad()),
        None => (" · ", palette.plain()),
    };
    let behind = columns(&age) + 1;
    let before = Rect {
        width: area.width.saturating_sub(behind as u16 + 1),
        ..area
    };
    Pen::new(buf, before, line)
        .put(sign, style)
        .put("the ", palette.plain())
        .put(wait.side.as_str(), palette.side(wait.side))
        .put(" must ", palette.plain())
        .put(&wait.action, style)
        .put("  ", palette.plain())
        .put(&about(cx.store.trace(), wait), palette.dim());
    Pen::new(buf, area, line)
        .go_to(area.right().saturating_sub(behind as u16))
        .put(&age, style);
}

/// Why, and by which rule.
fn details(trace: &Trace, wait: &Wait) -> [String; 2] {
    let blocks: Vec<String> = wait
        .blocks
        .iter()
        .map(|it| words::subject(trace, *it))
        .collect();
    let blocks = match blocks.is_empty() {
        true => String::new(),
        false => format!("holds up {}", blocks.join(", ")),
    };
    let finding = wait.finding.and_then(|id| trace.findings.get(id));
    let because = finding.map_or(String::new(), |finding| finding.code.to_owned());
    let both: Vec<String> = [because, blocks]
        .into_iter()
        .filter(|it| !it.is_empty())
        .collect();
    [wait.sentence.clone(), both.join(" · ")]
}

/// What a wait is about.
fn about(trace: &Trace, wait: &Wait) -> String {
    words::subject(trace, wait.subject)
}

impl View for Overview {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        self.update(cx);
        let most = usize::from(area.height / 4).clamp(1, SEEN);
        self.seen = self.waits.len().min(most) as u16;
        // With more about the first one, where there is room for it.
        let details = match self.seen > 0 && area.height >= 16 {
            true => 2,
            false => 0,
        };
        let above = (1 + self.seen + details).min(area.height);
        self.height = above;
        self.draw_waits(
            cx,
            Rect {
                height: above,
                ..area
            },
            buf,
        );
        let below = Rect {
            y: area.y + above,
            height: area.height - above,
            ..area
        };
        let below = details::below(cx, self.selected(cx), below, buf);
        let is_wide = area.width >= WIDE_FROM;
        let table = Table {
            columns: match (is_wide, self.waits.is_empty()) {
                (true, _) => WIDE,
                (false, false) => NARROW,
                (false, true) => NARROW_AND_CALM,
            },
            sorted: None,
            palette: cx.palette,
            active: !self.is_above(),
        };
        let (lines, waits) = (&self.lines, &self.waits);
        if lines.is_empty() && below.height > 2 {
            let text = match cx.store.is_live() {
                true => " no connection yet: buildtap listens",
                false => " nothing is in it that buildtap can read",
            };
            Pen::new(buf, below, 1).put(text, cx.palette.dim());
            return;
        }
        table.draw(buf, below, &mut self.list, lines.len(), |line| {
            let Some(line) = lines.get(line) else {
                return Vec::new();
            };
            row(cx, line, waits, is_wide)
        });
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        let is_above = self.is_above();
        match action {
            Action::Down if is_above && self.waiting.selected() + 1 >= self.waits.len() => {
                self.above = Some(false);
                self.list.select(0);
            }
            Action::Up if !is_above && self.list.selected() == 0 && !self.waits.is_empty() => {
                self.above = Some(true);
            }
            Action::Top => {
                self.above = Some(true);
                self.waiting.select(0);
                self.list.select(0);
            }
            Action::Bottom => {
                self.above = Some(false);
                self.list.act(action, self.lines.len());
            }
            Action::PageDown | Action::HalfPageDown | Action::Pane if is_above => {
                self.above = Some(false);
            }
            Action::Pane => self.above = Some(true),
            _ if is_above => {
                let Some(wait) = self.waits.get(self.waiting.selected()) else {
                    return Outcome::Ignored;
                };
                match (action, wait.finding) {
                    (Action::Open, _) => return open(cx, wait.subject),
                    (Action::Findings, Some(finding)) => return Outcome::Finding(finding),
                    _ => {}
                }
                return match self.waiting.act(action, self.waits.len()) {
                    true => Outcome::Done,
                    false => Outcome::Ignored,
                };
            }
            Action::Left | Action::Right | Action::Toggle => {
                let at = self.list.selected();
                let Some(line) = self.lines.get(at).copied() else {
                    return Outcome::Done;
                };
                match (line.fold, action) {
                    (Some((key, false)), Action::Right | Action::Toggle)
                    | (Some((key, true)), Action::Left | Action::Toggle) => self.tree.toggle(key),
                    (_, Action::Left) => {
                        // To what it belongs to.
                        let before = self.lines.get(..at).unwrap_or_default();
                        if let Some(up) = before.iter().rposition(|it| it.depth < line.depth) {
                            self.list.select(up);
                        }
                    }
                    _ => {}
                }
            }
            Action::Open => {
                let Some(line) = self.line_at().copied() else {
                    return Outcome::Done;
                };
                match (line.what, line.fold) {
                    (What::Finding(id), _) => return Outcome::Finding(id),
                    (What::Call(id), _) => return open(cx, Subject::Call(id)),
                    (What::Exchange(id), _) => return open(cx, Subject::Exchange(id)),
                    (_, Some((key, _))) => self.tree.toggle(key),
                    _ => {}
                }
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
        if self.is_above() {
            return self
                .waits
                .get(self.waiting.selected())
                .map(|wait| wait.subject);
        }
        match self.line_at()?.what {
            What::Build(id) | What::Steps(id) | What::Step(id, _) => Some(Subject::Build(id)),
            What::Session(id) | What::Finished(id) => Some(Subject::Session(id)),
            What::Call(id) => Some(Subject::Call(id)),
            What::Exchange(id) => Some(Subject::Exchange(id)),
            What::Finding(id) => cx
                .store
                .trace()
                .findings
                .get(id)
                .map(|finding| finding.subject),
            What::OtherCalls | What::Requests => None,
        }
    }

    fn click(&mut self, at: Position, cx: &Context<'_>) -> Outcome {
        if let Some(line) = at.y.checked_sub(self.height + 1) {
            let Some(line) = self.list.seen_at(line, self.lines.len()) else {
                return Outcome::Ignored;
            };
            let again = !self.is_above() && line == self.list.selected();
            self.above = Some(false);
            self.list.select(line);
            if again {
                return self.act(Action::Open, cx);
            }
        } else if let Some(line) = at.y.checked_sub(1) {
            // The first one has lines below it.
            let details = self.height.saturating_sub(self.seen + 1);
            let line = line.saturating_sub(details.min(line));
            let Some(line) = self.waiting.seen_at(line, self.waits.len()) else {
                return Outcome::Ignored;
            };
            let again = self.is_above() && line == self.waiting.selected();
            self.above = Some(true);
            self.waiting.select(line);
            if again {
                return self.act(Action::Open, cx);
            }
        }
        Outcome::Done
    }

    fn lines(&self, _: &Context<'_>) -> usize {
        self.lines.len()
    }

    fn line(&self, cx: &Context<'_>, line: usize) -> String {
        self.lines.get(line).map_or(String::new(), |line| {
            name(cx.store.trace(), line.what, true)
        })
    }

    fn cursor(&self) -> usize {
        self.list.selected()
    }

    fn move_to(&mut self, line: usize) {
        self.above = Some(false);
        self.list.select(line);
    }

    fn go_to(&mut self, at: Time, cx: &Context<'_>) {
        let trace = cx.store.trace();
        let later = |line: &Line| match line.what {
            What::Call(id) => trace.calls.get(id).is_some_and(|call| call.start >= at),
            _ => false,
        };
        if let Some(line) = self.lines.iter().position(later) {
            self.move_to(line);
        }
    }

    fn hints(&self) -> &'static [Action] {
        match self.is_above() {
            true => &[
                Action::Open,
                Action::Messages,
                Action::Findings,
                Action::Pane,
                Action::Pause,
            ],
            false => &[
                Action::Open,
                Action::Toggle,
                Action::Messages,
                Action::Findings,
                Action::Pause,
            ],
        }
    }
}

/// Where one sees more of it.
fn open(cx: &Context<'_>, subject: Subject) -> Outcome {
    let of_call = |id| match cx
        .store
        .trace()
        .calls
        .get(id)
        .and_then(|call| call.transfer)
    {
        Some(_) => Tab::Transfer,
        None => Tab::Messages,
    };
    let tab = match subject {
        Subject::Transfer(_) => Tab::Transfer,
        Subject::Call(id) => of_call(id),
        Subject::Connection(_) | Subject::Exchange(_) => Tab::Connections,
        Subject::Session(_) => Tab::Calls,
        Subject::Build(_) => Tab::Timeline,
    };
    Outcome::Go(tab, Some(subject))
}

/// What a line is about.
fn name(trace: &Trace, what: What, is_wide: bool) -> String {
    match what {
        What::Build(id) => trace.builds.get(id).map_or(String::new(), words::build),
        What::Steps(id) => {
            let steps = trace
                .builds
                .get(id)
                .map_or(0, |build| build.vertices.len() as u64);
            count(steps, "step")
        }
        What::Step(id, at) => {
            let build = trace.builds.get(id);
            let step = build.and_then(|build| build.vertices.get(at));
            step.map_or(String::new(), |step| step.name.clone())
        }
        What::Session(id) => match trace.sessions.get(id) {
            Some(session) => format!("session {id} {}", session.uuid),
            None => format!("session {id}"),
        },
        What::Finished(id) => {
            let calls = tree::finished(trace, id).count() as u64;
            format!("{} that ended well", count(calls, "call"))
        }
        What::Call(id) => match trace.calls.get(id) {
            Some(call) if is_wide || call.session.is_none() => {
                format!("{id} {} → {}", call.caller, words::call(call))
            }
            Some(call) => format!("{id} {}", words::call(call)),
            None => format!("call {id}"),
        },
        What::OtherCalls => {
            format!(
                "{} to the daemon",
                count(tree::other_calls(trace).count() as u64, "call")
            )
        }
        What::Requests => count(
            trace.exchanges.len() as u64 + trace.exchanges.gone(),
            "HTTP request",
        ),
        What::Exchange(id) => match trace.exchanges.get(id) {
            Some(exchange) => format!("{} {}", exchange.method, words::target(exchange)),
            None => format!("request {id}"),
        },
        What::Finding(id) => match trace.findings.get(id) {
            Some(finding) => format!("{} {}", words::severity(finding.severity), finding.code),
            None => format!("finding {id}"),
        },
    }
}

fn row<'a>(cx: &Context<'a>, line: &Line, waits: &[Wait], is_wide: bool) -> Vec<Cell<'a>> {
    let trace = cx.store.trace();
    let palette = cx.palette;
    let plain = palette.plain();
    let fold = match line.fold {
        Some((_, true)) => "▾ ",
        Some((_, false)) => "▸ ",
        None => "  ",
    };
    let indent = "  ".repeat(line.depth.into());
    let text = format!("{indent}{fold}{}", name(trace, line.what, is_wide));
    let mut cells = Cells::default();
    let mut style = plain;
    match line.what {
        What::Build(id) => {
            if let Some(build) = trace.builds.get(id) {
                let (state, state_style) = words::build_state(build, palette);
                style = palette.strong();
                cells.state = Cell::new(state, state_style);
                cells.took = words::took(build.start, build.end, cx.now);
            }
        }
        What::Steps(id) => {
            style = palette.dim();
            if let Some(build) = trace.builds.get(id) {
                let steps = build.vertices.iter();
                let done = steps.filter(|step| step.completed.is_some()).count();
                cells.state = Cell::new(format!("{done} done"), palette.dim());
            }
        }
        What::Step(id, at) => {
            let build = trace.builds.get(id);
            if let Some(step) = build.and_then(|build| build.vertices.get(at)) {
                let (state, state_style) = match (&step.error, step.started, step.completed) {
                    (Some(_), ..) => ("✗ failed", palette.bad()),
                    _ if step.cached => ("✓ cached", palette.dim()),
                    (None, Some(_), Some(_)) => ("✓ done", palette.good()),
                    (None, Some(_), None) => ("● running", palette.busy()),
                    (None, None, _) => ("○ announced", palette.dim()),
                };
                cells.state = Cell::new(state, state_style);
                if let Some(started) = step.started {
                    cells.took = words::took(started, step.completed, cx.now);
                }
            }
        }
        What::Session(id) => {
            if let Some(session) = trace.sessions.get(id) {
                let (state, state_style) = words::session_state(session, palette);
                cells.state = Cell::new(state, state_style);
                let closed = session.closed.map(|(at, _)| at);
                cells.took = words::took(session.opened, closed, cx.now);
                let sent = trace
                    .connections
                    .get(session.connection)
                    .map(|it| it.bytes.0);
                cells.sent = sent;
                cells.activity = cx.store.activity_of_session(id).map(|it| (it, closed));
            }
        }
        What::Call(id) => {
            if let Some(call) = trace.calls.get(id) {
                let (state, state_style) = words::call_state(trace, call, palette);
                cells.state = Cell::new(state, state_style);
                cells.took = words::took(call.start, call.end, cx.now);
                cells.sent = Some(Side::BOTH.map(|side| call.sent_by(side).bytes));
                cells.activity = cx.store.activity_of_call(id).map(|it| (it, call.end));
                cells.waits_for = waits
                    .iter()
                    .find(|wait| wait.is_about(trace, Subject::Call(id)));
            }
        }
        What::Exchange(id) => {
            if let Some(exchange) = trace.exchanges.get(id) {
                let (state, state_style) = words::exchange_state(exchange, palette);
                cells.state = Cell::new(state, state_style);
                cells.took = words::took(exchange.start, exchange.end, cx.now);
                cells.sent = Some([exchange.request_bytes, exchange.response_bytes]);
            }
        }
        What::Finding(id) => {
            if let Some(finding) = trace.findings.get(id) {
                style = palette.severity(finding.severity);
            }
        }
        What::Finished(_) | What::OtherCalls | What::Requests => style = palette.dim(),
    }
    cells.row(cx, Cell::new(text, style), is_wide)
}

/// What stands beside a name.
#[derive(Default)]
struct Cells<'a> {
    state: Cell<'a>,
    took: String,
    sent: Option<[u64; 2]>,
    activity: Option<(&'a Activity, Option<Time>)>,
    waits_for: Option<&'a Wait>,
}

impl Cells<'_> {
    fn row<'a>(self, cx: &Context<'_>, what: Cell<'a>, is_wide: bool) -> Vec<Cell<'a>> {
        let palette = cx.palette;
        let sent = self.sent.map(|sent| {
            sent.map(|sent| match sent {
                0 => "-".to_owned(),
                sent => bytes(sent),
            })
        });
        let [client, daemon] = sent.unwrap_or_default();
        let waits_for = match self.waits_for {
            None => Cell::default(),
            Some(wait) => {
                let age = duration(wait.age(cx.now));
                let text = match is_wide {
                    true => format!("{} {age}: {}", wait.side, wait.action),
                    false => format!("{} {age}", wait.side),
                };
                let style = match wait.finding {
                    Some(_) => palette.bad(),
                    None => palette.side(wait.side),
                };
                Cell::new(text, style)
            }
        };
        let mut row = vec![
            what,
            Cell::new(self.state.text.into_owned(), self.state.style),
            Cell::plain(self.took),
            Cell::plain(client),
            Cell::plain(daemon),
        ];
        if is_wide {
            let activity = self
                .activity
                .map(|(activity, end)| sparkline(&activity.until(end.unwrap_or(cx.now))));
            row.push(Cell::new(
                activity.unwrap_or_default(),
                palette.side(Side::Client),
            ));
        }
        row.push(waits_for);
        row
    }
}
