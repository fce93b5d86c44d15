//! Two captures side by side: the calls that are the same on one line, and below them what is
//! different.

use std::collections::HashMap;

use buildtap_decoder::event::Side;
use buildtap_decoder::trace::{Call, Id, Subject};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::keys::Action;
use crate::model::{Diff as Two, Store};
use crate::text::{Pen, bytes, count, duration, fit_path, wrap};
use crate::view::{Context, Outcome, Tab, View};
use crate::widgets::{Cell, Column, List, Table, rule};
use crate::words;

/// The view.
#[derive(Debug, Default)]
pub(super) struct Diff {
    calls: List,
    differences: List,
    /// Whether the cursor is among the differences.
    below: bool,
    rows: Vec<Row>,
}

/// Calls that are about the same thing, where both captures have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    good: Option<Id<Call>>,
    bad: Option<Id<Call>>,
}

const COLUMNS: &[Column] = &[
    Column::left("", 2),
    Column::rest("call"),
    Column::right("GOOD took", 9),
    Column::right("client", 8).from(120),
    Column::right("daemon", 8),
    Column::left("status", 12),
    Column::right("BAD took", 9),
    Column::right("client", 8).from(120),
    Column::right("daemon", 8),
    Column::left("status", 12),
];

/// The calls of both: the nth about a thing stands beside the nth about the same thing.
fn rows(good: &Store, bad: &Store) -> Vec<Row> {
    let mut of_bad: HashMap<String, Vec<Id<Call>>> = HashMap::new();
    for call in bad.trace().calls.iter().rev() {
        of_bad.entry(words::call(call)).or_default().push(call.id);
    }
    let mut rows = Vec::new();
    for call in good.trace().calls.iter() {
        rows.push(Row {
            good: Some(call.id),
            bad: of_bad.get_mut(&words::call(call)).and_then(Vec::pop),
        });
    }
    let mut rest: Vec<Id<Call>> = of_bad.into_values().flatten().collect();
    rest.sort_unstable();
    rows.extend(rest.into_iter().map(|id| Row {
        good: None,
        bad: Some(id),
    }));
    rows
}

fn cells<'a>(cx: &Context<'_>, two: &Two, row: Row) -> Vec<Cell<'a>> {
    let palette = cx.palette;
    let good = row.good.and_then(|id| cx.store.trace().calls.get(id));
    let bad = row.bad.and_then(|id| two.other.trace().calls.get(id));
    let half = |store: &Store, call: Option<&Call>| match call {
        None => [(); 4].map(|()| Cell::new("-", palette.dim())),
        Some(call) => {
            let (state, style) = words::call_state(store.trace(), call, palette);
            [
                Cell::plain(words::took(call.start, call.end, store.now)),
                Cell::plain(bytes(call.sent_by(Side::Client).bytes)),
                Cell::plain(bytes(call.sent_by(Side::Daemon).bytes)),
                Cell::new(state, style),
            ]
        }
    };
    let sent = |call: &Call| Side::BOTH.map(|side| call.sent_by(side).bytes);
    let ended = |call: &Call| call.status.as_ref().map(|status| status.code);
    let (sign, style) = match (good, bad) {
        (Some(good), Some(bad)) if sent(good) == sent(bad) && ended(good) == ended(bad) => {
            ("=", palette.dim())
        }
        (Some(_), Some(_)) => ("≠", palette.busy()),
        (Some(_), None) => ("−", palette.bad()),
        _ => ("+", palette.bad()),
    };
    let name = good.or(bad).map_or(String::new(), words::call);
    let mut cells = vec![Cell::new(sign, style), Cell::plain(name)];
    cells.extend(half(cx.store, good));
    cells.extend(half(&two.other, bad));
    cells
}

impl View for Diff {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        let palette = cx.palette;
        let Some(two) = &cx.store.diff else {
            let text = " one capture is open: buildtap diff --tui GOOD BAD opens two";
            Pen::new(buf, area, 1).put(text, palette.dim());
            return;
        };
        let half = usize::from(area.width / 2).saturating_sub(10);
        let name = |store: &Store| fit_path(&store.source.to_string(), half).into_owned();
        Pen::new(buf, area, 0)
            .put(" GOOD ", palette.good())
            .put(&name(cx.store), palette.plain())
            .put("   BAD ", palette.bad())
            .put(&name(&two.other), palette.plain());
        self.rows = rows(cx.store, &two.other);
        let below = (area.height / 2).max(3).min(area.height);
        let above = Rect {
            y: area.y + 1,
            height: area.height.saturating_sub(below + 1),
            ..area
        };
        let table = Table {
            columns: COLUMNS,
            sorted: None,
            palette,
            active: !self.below,
        };
        let rows = &self.rows;
        table.draw(buf, above, &mut self.calls, rows.len(), |line| {
            rows.get(line)
                .map_or(Vec::new(), |row| cells(cx, two, *row))
        });
        let place = Rect {
            y: area.bottom() - below,
            height: below,
            ..area
        };
        let title = match two.differences.len() {
            0 => format!(
                "no difference in {}",
                count(two.common as u64, "call or request")
            ),
            all => format!(
                "{} ({} in both)",
                count(all as u64, "difference"),
                count(two.common as u64, "call")
            ),
        };
        rule(buf, place, 0, &title, palette);
        let room = usize::from(place.height.saturating_sub(1));
        let window = self.differences.window(two.differences.len(), room);
        let mut line = 1;
        let shown = two.differences.get(window.start..).unwrap_or_default();
        for (at, difference) in (window.start..).zip(shown) {
            let when = difference
                .good_at
                .or(difference.bad_at)
                .map_or(String::new(), duration);
            let text = format!("{}: {}", difference.place, difference.what);
            let lines = wrap(&text, usize::from(place.width).saturating_sub(12));
            for (part, text) in lines.iter().enumerate() {
                let mut pen = Pen::new(buf, place, line);
                let when = if part == 0 { when.as_str() } else { "" };
                pen.right(when, 9, palette.dim())
                    .skip(2)
                    .put(text, palette.plain());
                if self.below && part == 0 && at == self.differences.selected() && line < below {
                    let line = Rect {
                        y: place.y + line,
                        height: 1,
                        ..place
                    };
                    buf.set_style(line, palette.cursor());
                }
                line += 1;
            }
            if line >= below {
                break;
            }
        }
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        let differences = cx
            .store
            .diff
            .as_ref()
            .map_or(0, |two| two.differences.len());
        let moved = match (action, self.below) {
            (Action::Pane, _) => {
                self.below = !self.below;
                true
            }
            (Action::Open, false) => {
                let call = self
                    .rows
                    .get(self.calls.selected())
                    .and_then(|row| row.good);
                return match call {
                    Some(call) => Outcome::Go(Tab::Messages, Some(Subject::Call(call))),
                    None => Outcome::Say("only BAD has it".to_owned()),
                };
            }
            (_, false) => self.calls.act(action, self.rows.len()),
            (_, true) => self.differences.act(action, differences),
        };
        match moved {
            true => Outcome::Done,
            false => Outcome::Ignored,
        }
    }

    fn selected(&self, _: &Context<'_>) -> Option<Subject> {
        let row = self.rows.get(self.calls.selected())?;
        row.good.map(Subject::Call)
    }

    fn lines(&self, cx: &Context<'_>) -> usize {
        cx.store
            .diff
            .as_ref()
            .map_or(0, |two| two.differences.len())
    }

    fn line(&self, cx: &Context<'_>, line: usize) -> String {
        let two = cx.store.diff.as_ref();
        let difference = two.and_then(|two| two.differences.get(line));
        difference.map_or(String::new(), |it| format!("{} {}", it.place, it.what))
    }

    fn cursor(&self) -> usize {
        self.differences.selected()
    }

    fn move_to(&mut self, line: usize) {
        self.below = true;
        self.differences.select(line);
    }

    fn hints(&self) -> &'static [Action] {
        &[Action::Open, Action::Pane, Action::Down]
    }
}
