//! What is wrong: with what it rests on and what to do about it beside it.

use buildtap_decoder::filter::Thing;
use buildtap_decoder::findings;
use buildtap_decoder::trace::{Finding, Id, Severity, Subject};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use crate::keys::Action;
use crate::text::{Pen, wrap};
use crate::view::{Context, Outcome, Tab, View};
use crate::widgets::{Cell, Click, Column, List, Table, rule};
use crate::words;

/// The view.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: List,
    rows: Vec<Id<Finding>>,
    /// What was shown because another view asked for it.
    shown: Option<Id<Finding>>,
    /// How far down one has read what is beside.
    read: usize,
    reading: bool,
}

const COLUMNS: &[Column] = &[
    Column::left("", 9),
    Column::right("at", 8),
    Column::rest("finding"),
    Column::left("waits for", 9).from(76),
];

impl Findings {
    fn finding<'a>(&self, cx: &Context<'a>) -> Option<&'a Finding> {
        let id = self.rows.get(self.list.selected())?;
        cx.store.trace().findings.get(*id)
    }

    fn arrange(&mut self, cx: &Context<'_>) {
        let findings = &cx.store.trace().findings;
        let selected = self.rows.get(self.list.selected()).copied();
        self.rows.clear();
        let shown = findings.iter().filter(|it| cx.shows(Thing::Finding(it)));
        self.rows.extend(shown.map(|finding| finding.id));
        self.rows.sort_by_key(|id| {
            let severity = findings.get(*id).map(|finding| finding.severity);
            std::cmp::Reverse(severity.unwrap_or(Severity::Info))
        });
        let asked = cx.focus.finding.filter(|id| self.shown != Some(*id));
        if asked.is_some() {
            self.shown = asked;
        }
        if let Some(at) = self
            .rows
            .iter()
            .position(|id| Some(*id) == asked.or(selected))
        {
            self.list.select(at);
        }
    }
}

/// A finding in lines: what is wrong, what to do, what it rests on, what is known of its kind.
fn page(cx: &Context<'_>, finding: &Finding, width: usize) -> Vec<(String, Style)> {
    let palette = cx.palette;
    let trace = cx.store.trace();
    let mut lines = Vec::new();
    let mut text = |text: &str, indent: &str, style: Style| {
        for line in wrap(text, width.saturating_sub(indent.len())) {
            lines.push((format!("{indent}{line}"), style));
        }
    };
    text(&finding.summary, "", palette.strong());
    text("", "", palette.plain());
    text(&format!("→ {}", finding.advice), "", palette.good());
    text("", "", palette.plain());
    text("rests on", "", palette.heading());
    text(
        &words::subject(trace, finding.subject),
        "  ",
        palette.plain(),
    );
    for evidence in &finding.evidence {
        text(evidence, "  ", palette.plain());
    }
    if let Some(side) = finding.waiting_on {
        text(&format!("the {side} must act"), "  ", palette.side(side));
    }
    if let Some(entry) = findings::find(finding.code) {
        let parts = [
            ("what happens", Some(entry.what)),
            ("on the wire", Some(entry.wire)),
            ("why", Some(entry.why)),
            ("in the client", entry.client_fix),
            ("in the daemon", entry.daemon_fix),
            ("healthy", entry.healthy),
        ];
        for (title, part) in parts {
            let Some(part) = part.filter(|part| !part.is_empty()) else {
                continue;
            };
            text("", "", palette.plain());
            text(title, "", palette.heading());
            for line in part.lines() {
                text(line, "  ", palette.plain());
            }
        }
        for link in entry.links {
            text(&link.to_string(), "  ", palette.dim());
        }
    }
    lines
}

/// Where the list is, and where what is beside it.
fn halves(area: Rect, rows: usize) -> (Rect, Rect) {
    if area.width >= 120 {
        let left = area.width * 2 / 5;
        let list = Rect {
            width: left,
            ..area
        };
        let page = Rect {
            x: area.x + left + 2,
            width: area.width - left - 3,
            ..area
        };
        return (list, page);
    }
    let above = (rows as u16)
        .saturating_add(1)
        .clamp(2, (area.height / 3).max(2))
        .min(area.height);
    let list = Rect {
        height: above,
        ..area
    };
    let page = Rect {
        x: area.x + 1,
        y: area.y + above,
        width: area.width.saturating_sub(2),
        height: area.height - above,
    };
    (list, page)
}

impl View for Findings {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        self.arrange(cx);
        let palette = cx.palette;
        let trace = cx.store.trace();
        if self.rows.is_empty() {
            let text = match cx.store.is_live() {
                true => " ✓ nothing abnormal so far",
                false => " ✓ nothing abnormal",
            };
            Pen::new(buf, area, 1).put(text, palette.good());
            return;
        }
        let (above, mut beside) = halves(area, self.rows.len());
        let table = Table {
            columns: COLUMNS,
            sorted: None,
            palette,
            active: true,
        };
        let rows = &self.rows;
        let origin = cx.store.origin();
        table.draw(buf, above, &mut self.list, rows.len(), |line| {
            let finding = rows.get(line).and_then(|id| trace.findings.get(*id));
            let Some(finding) = finding else {
                return Vec::new();
            };
            let side = finding.waiting_on;
            vec![
                Cell::new(
                    words::severity(finding.severity),
                    palette.severity(finding.severity),
                ),
                Cell::new(words::offset(finding.at, origin), palette.dim()),
                Cell::plain(words::finding(trace, finding)),
                Cell::new(
                    side.map_or("", |side| side.as_str()),
                    side.map_or(palette.plain(), |side| palette.side(side)),
                ),
            ]
        });
        let Some(finding) = self.finding(cx) else {
            return;
        };
        rule(buf, beside, 0, finding.code, palette);
        beside.y += 1;
        beside.height = beside.height.saturating_sub(1);
        let lines = page(cx, finding, beside.width.into());
        let most = lines.len().saturating_sub(beside.height.into());
        self.read = self.read.min(most);
        for (at, (line, style)) in lines
            .iter()
            .skip(self.read)
            .take(beside.height.into())
            .enumerate()
        {
            Pen::new(buf, beside, at as u16).put(line, *style);
        }
        if most > self.read && beside.height > 0 {
            let last = beside.height - 1;
            let hint = match self.reading {
                true => "  … more: ↓".to_owned(),
                false => "  … more: w, then ↓".to_owned(),
            };
            let line = Rect {
                y: beside.y + last,
                height: 1,
                ..beside
            };
            ratatui::widgets::Widget::render(ratatui::widgets::Clear, line, buf);
            Pen::new(buf, beside, last).put(&hint, palette.dim());
        }
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        if action == Action::Pane {
            self.reading = !self.reading;
            return Outcome::Done;
        }
        if self.reading {
            let read = match action {
                Action::Up => self.read.saturating_sub(1),
                Action::Down => self.read + 1,
                Action::PageUp | Action::HalfPageUp => self.read.saturating_sub(8),
                Action::PageDown | Action::HalfPageDown => self.read + 8,
                Action::Top => 0,
                Action::Bottom => usize::MAX,
                Action::Back => {
                    self.reading = false;
                    return Outcome::Done;
                }
                _ => self.read,
            };
            if read != self.read {
                self.read = read;
                return Outcome::Done;
            }
        }
        if action == Action::Open {
            let Some(finding) = self.finding(cx) else {
                return Outcome::Done;
            };
            let trace = cx.store.trace();
            let tab = match finding.subject {
                Subject::Transfer(_) => Tab::Transfer,
                Subject::Call(id) => match trace.calls.get(id).and_then(|call| call.transfer) {
                    Some(_) => Tab::Transfer,
                    None => Tab::Messages,
                },
                Subject::Connection(_) | Subject::Exchange(_) => Tab::Connections,
                Subject::Session(_) => Tab::Overview,
                Subject::Build(_) => Tab::Timeline,
            };
            return Outcome::Go(tab, Some(finding.subject));
        }
        let was = self.list.selected();
        let moved = self.list.act(action, self.rows.len());
        if self.list.selected() != was {
            self.read = 0;
        }
        match moved {
            true => Outcome::Done,
            false => Outcome::Ignored,
        }
    }

    fn selected(&self, cx: &Context<'_>) -> Option<Subject> {
        self.finding(cx).map(|finding| finding.subject)
    }

    fn click(&mut self, at: Position, cx: &Context<'_>) -> Outcome {
        match self.list.click(at.y.checked_sub(1), self.rows.len()) {
            Click::Open => self.act(Action::Open, cx),
            Click::Select => {
                self.read = 0;
                Outcome::Done
            }
            Click::Miss => Outcome::Ignored,
        }
    }

    fn lines(&self, _: &Context<'_>) -> usize {
        self.rows.len()
    }

    fn line(&self, cx: &Context<'_>, line: usize) -> String {
        let trace = cx.store.trace();
        let finding = self.rows.get(line).and_then(|id| trace.findings.get(*id));
        finding.map_or(String::new(), |finding| {
            format!("{} {}", words::finding(trace, finding), finding.summary)
        })
    }

    fn subject(&self, cx: &Context<'_>, line: usize) -> Option<Subject> {
        let finding = cx.store.trace().findings.get(*self.rows.get(line)?);
        finding.map(|finding| finding.subject)
    }

    fn cursor(&self) -> usize {
        self.list.selected()
    }

    fn move_to(&mut self, line: usize) {
        self.list.select(line);
    }

    fn hints(&self) -> &'static [Action] {
        &[Action::Open, Action::Messages, Action::Pane, Action::Back]
    }
}
