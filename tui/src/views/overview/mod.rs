//! The first screen: who is waited for and what is wrong, and below it builds ▸ sessions ▸ calls as
//! a tree.

mod rows;
mod top;
mod tree;

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::Subject;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use self::rows::{name, row};
use self::top::Top;
use self::tree::{Line, Tree, What};
use crate::details;
use crate::keys::Action;
use crate::text::Pen;
use crate::view::{Context, Outcome, Tab, View};
use crate::widgets::{Column, List, Table};

/// The view.
#[derive(Debug, Default)]
pub(super) struct Overview {
    tree: Tree,
    lines: Vec<Line>,
    top: Top,
    /// Whether the cursor is at the top.
    above: Option<bool>,
    list: List,
    /// Lines that are drawn above the tree.
    height: u16,
}

const NARROW: &[Column] = &[
    Column::rest("what"),
    Column::left("state", 11),
    Column::right("took", 7),
    Column::right("client", 8),
    Column::right("daemon", 8),
    Column::left("waits for", 9),
];

/// The same while nobody is waited for.
const NARROW_AND_CALM: &[Column] = NARROW.split_at(5).0;

const WIDE: &[Column] = &wide(40);

/// From which width on the table has all its columns.
const WIDE_FROM: u16 = 140;

const WIDEST: &[Column] = &wide(64);

/// From which width on there is room for what somebody is waited for in many words.
const WIDEST_FROM: u16 = 180;

/// All columns, with so much room for what somebody is waited for.
const fn wide(waiting: u16) -> [Column; 7] {
    [
        Column::rest("what"),
        Column::left("state", 12),
        Column::right("took", 8),
        Column::right("client sent", 11),
        Column::right("daemon sent", 11),
        Column::left("activity", 16),
        Column::left("waiting for", waiting),
    ]
}

impl Overview {
    fn is_above(&self) -> bool {
        self.above.unwrap_or(true) && !self.top.is_empty()
    }

    fn update(&mut self, cx: &Context<'_>) {
        self.top.update(cx);
        self.lines = self.tree.lines(cx);
    }

    fn line_at(&self) -> Option<&Line> {
        self.lines.get(self.list.selected())
    }
}

impl View for Overview {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        self.update(cx);
        let is_above = self.is_above();
        let above = self.top.draw(cx, is_above, area, buf);
        self.height = above;
        let below = Rect {
            y: area.y + above,
            height: area.height - above,
            ..area
        };
        let below = details::below(cx, self.selected(cx), self.lines.len(), below, buf);
        let is_wide = area.width >= WIDE_FROM;
        let table = Table {
            columns: match (is_wide, cx.waits.is_empty()) {
                (true, false) if area.width >= WIDEST_FROM => WIDEST,
                (true, _) => WIDE,
                (false, false) => NARROW,
                (false, true) => NARROW_AND_CALM,
            },
            sorted: None,
            palette: cx.palette,
            active: !is_above,
        };
        let lines = &self.lines;
        if lines.is_empty() && below.height > 2 {
            let text = match (cx.filter, cx.store.is_live()) {
                (Some(_), _) => " the filter leaves nothing: f changes it",
                (None, true) => " no connection yet: buildtap listens",
                (None, false) => " nothing is in it that buildtap can read",
            };
            Pen::new(buf, below, 1).put(text, cx.palette.dim());
            // Where it listens, and what makes clients go there.
            if cx.filter.is_none() && cx.store.is_live() {
                for (line, note) in (3..below.height).zip(&cx.store.notes) {
                    Pen::new(buf, below, line)
                        .put("   ", cx.palette.plain())
                        .put(note, cx.palette.plain());
                }
            }
            return;
        }
        table.draw(buf, below, &mut self.list, lines.len(), |line| {
            let Some(line) = lines.get(line) else {
                return Vec::new();
            };
            row(cx, line, is_wide)
        });
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        let is_above = self.is_above();
        match action {
            Action::Down if is_above && self.top.is_at_end() => {
                self.above = Some(false);
                self.list.select(0);
            }
            Action::Up if !is_above && self.list.selected() == 0 && !self.top.is_empty() => {
                self.above = Some(true);
            }
            Action::Top => {
                self.above = Some(true);
                self.top.list().select(0);
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
                let trace = cx.store.trace();
                match (action, self.top.finding(), self.top.subject(trace)) {
                    (Action::Open, Some(id), _) if self.top.is_finding() => {
                        return Outcome::Finding(id);
                    }
                    (Action::Open, _, Some(subject)) => return open(cx, subject),
                    (Action::Findings, Some(finding), _) => return Outcome::Finding(finding),
                    _ => {}
                }
                return match self.top.act(action) {
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
            return self.top.subject(cx.store.trace());
        }
        self.subject(cx, self.list.selected())
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
        } else if let Some(entry) = self.top.at_line(at.y) {
            let again = self.is_above() && entry == self.top.list().selected();
            self.above = Some(true);
            self.top.list().select(entry);
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

    fn subject(&self, cx: &Context<'_>, line: usize) -> Option<Subject> {
        match self.lines.get(line)?.what {
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
