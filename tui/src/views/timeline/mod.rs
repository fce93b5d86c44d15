//! What took how long: builds, their steps, and the calls and transfers that these made, on one
//! axis of time.

mod axis;
mod critical;
mod rows;

use std::time::Duration;

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Call, Id, Subject};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use crate::keys::Action;
use crate::palette::Palette;
use crate::text::{Pen, columns, duration};
use crate::view::{Context, Outcome, Tab, View};
use crate::widgets::{Click, List, rule};
use crate::words;
use axis::{Span, moment};
use rows::{How, Row, Rows, What};

/// Lines above the rows: what the time went into, and the axis.
const ABOVE: u16 = 2;
/// Lines below them: a rule, and what is under the cursor.
const BELOW: u16 = 3;
/// Columns for how long something took.
const TOOK: u16 = 8;
/// How old the rows may be while more comes.
const ANEW: Duration = Duration::from_millis(200);
/// Columns between two ticks of the axis, at least.
const APART: u16 = 12;

/// The view.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    list: List,
    rows: Rows,
    /// When the rows were made, and for which filter.
    made_of: Option<(Time, Option<String>)>,
    /// The call that was chosen elsewhere, which the cursor was put on.
    came_for: Option<Id<Call>>,
    /// What is seen, if not all.
    seen: Option<Span>,
    /// All there is, as of the last drawing.
    all: Span,
}

impl Timeline {
    fn make(&mut self, cx: &Context<'_>) {
        let filter = cx.filter.map(|filter| filter.as_str().to_owned());
        let is_new = match &self.made_of {
            None => true,
            Some((_, was)) if *was != filter => true,
            // What goes on is drawn as long as it is by now whether or not the rows are made anew.
            Some((at, _)) if cx.store.is_live() => cx.now.since(*at) >= ANEW || cx.now < *at,
            Some((at, _)) => *at != cx.now,
        };
        if is_new {
            self.rows = rows::rows(cx);
            self.made_of = Some((cx.now, filter));
        }
        let rows = || self.rows.rows.iter();
        let start = rows().map(|row| row.start).min();
        let start = start.map_or(cx.store.origin(), |start| start.min(cx.store.origin()));
        let end = rows().map(|row| row.end.unwrap_or(cx.now)).max();
        self.all = Span::new(start, end.unwrap_or(cx.now));
    }

    /// Puts the cursor on the call that was chosen in another view.
    fn come_for(&mut self, call: Option<Id<Call>>) {
        let Some(id) = call.filter(|_| self.came_for != call) else {
            return;
        };
        let is_it = |row: &Row| row.subject == Subject::Call(id);
        if let Some(line) = self.rows.rows.iter().position(is_it) {
            self.came_for = call;
            self.list.select(line);
        }
    }

    fn row(&self) -> Option<&Row> {
        self.rows.rows.get(self.list.selected())
    }

    fn span(&self) -> Span {
        self.seen.unwrap_or(self.all)
    }

    /// Looks at a part, or at all if that is what it is.
    fn look_at(&mut self, span: Span) {
        self.seen = Some(span).filter(|span| *span != self.all);
    }

    fn zoom(&mut self, numerator: u64, denominator: u64) {
        let span = self.span();
        let middle = Time(span.from.0 + span.nanos() / 2);
        // Around what is under the cursor, if that is seen.
        let at = self.row().map(|row| row.start);
        let at = at.filter(|at| (span.from..=span.to).contains(at));
        let zoomed = span.zoomed(at.unwrap_or(middle), numerator, denominator, self.all);
        self.look_at(zoomed);
    }

    /// Makes what is under the cursor as wide as the screen, or shows all again.
    fn fit(&mut self, now: Time) {
        let Some(row) = self.row() else { return };
        let (start, end) = (row.start, row.end.unwrap_or(now));
        let margin = (end.since(start).as_nanos() / 16) as u64 + 1;
        let from = Time(start.0.saturating_sub(margin)).max(self.all.from);
        let to = Time(end.0.saturating_add(margin)).min(self.all.to);
        match self.seen {
            Some(_) => self.seen = None,
            None => self.look_at(Span::new(from, to)),
        }
    }

    fn draw_axis(&self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        let span = self.span();
        let origin = cx.store.origin();
        for tick in span.ticks(origin, area.width, APART) {
            let at = Time(origin.0.saturating_add(tick));
            let Ok(column) = u16::try_from(span.column(at, area.width)) else {
                continue;
            };
            let label = format!("│{}", moment(tick));
            let rest = Rect {
                x: area.x + column.min(area.width),
                width: area.width.saturating_sub(column),
                height: 1,
                ..area
            };
            // Rather none than half of it.
            if columns(&label) <= usize::from(rest.width) {
                Pen::new(buf, rest, 0).put(&label, cx.palette.dim());
            }
        }
    }
}

/// How a line is drawn: its sign, its bar, and in which style.
struct Look {
    sign: &'static str,
    bar: &'static str,
    style: Style,
}

fn look(row: &Row, palette: Palette) -> Look {
    let bar = match (row.how, row.critical, row.what) {
        (How::Cached, ..) => "░",
        (_, _, What::Build) => "━",
        (_, true, _) => "█",
        (_, false, _) => "▒",
    };
    let sign = match (row.how, row.critical) {
        (How::Failed, _) => "✗",
        (How::Open, _) => "●",
        (_, true) => "◆",
        (How::Cached, _) => "=",
        _ => " ",
    };
    let style = match (row.how, row.critical, row.what) {
        (How::Failed, ..) => palette.bad(),
        (How::Open, ..) => palette.busy(),
        (How::Cached, ..) => palette.dim(),
        (_, true, _) => palette.accent(),
        (_, _, What::Build) => palette.strong(),
        _ => palette.plain(),
    };
    Look { sign, bar, style }
}

/// The columns of a bar, of `width`; `None` if nothing of it is seen.
fn bar(span: Span, start: Time, end: Time, width: u16) -> Option<(u16, u16)> {
    let from = span.column(start, width);
    let to = span.column(end, width).max(from + 1);
    let last = i64::from(width);
    if to <= 0 || from >= last {
        return None;
    }
    let clamp = |column: i64| u16::try_from(column.clamp(0, last)).unwrap_or(width);
    Some((clamp(from), clamp(to)))
}

/// Draws a row on a line of the places.
fn draw_row(cx: &Context<'_>, row: &Row, span: Span, places: &Places, line: u16, buf: &mut Buffer) {
    let (palette, now) = (cx.palette, cx.now);
    let look = look(row, palette);
    let label = rows::label(cx.store.trace(), row);
    let mut pen = Pen::new(buf, places.labels, line);
    pen.put(&"  ".repeat(row.depth.into()), palette.plain())
        .put(look.sign, look.style)
        .put(" ", palette.plain());
    let style = match row.what {
        What::Build => palette.strong(),
        What::Step(..) => palette.plain(),
        What::Call | What::Transfer => palette.dim(),
    };
    pen.put(&label, style);
    let end = row.end.unwrap_or(now);
    if let Some((from, to)) = bar(span, row.start, end, places.bars.width) {
        let mut pen = Pen::new(buf, places.bars, line);
        pen.skip(from);
        // The listing of a tree comes before what is in its files.
        let listed = row.listed.unwrap_or(row.start);
        let parted = span.column(listed, places.bars.width);
        let parted = u16::try_from(parted.clamp(from.into(), to.into())).unwrap_or(from);
        let before = usize::from(parted.saturating_sub(from));
        let behind = usize::from(to.saturating_sub(parted));
        pen.put(&"┈".repeat(before), look.style)
            .put(&look.bar.repeat(behind), look.style);
    } else {
        // On which side of what is seen it is.
        let is_before = end < span.from;
        let mut pen = Pen::new(buf, places.bars, line);
        match is_before {
            true => pen.put("‹", palette.dim()),
            false => pen
                .skip(places.bars.width.saturating_sub(1))
                .put("›", palette.dim()),
        };
    }
    let took = match row.how {
        How::Cached => "cached".to_owned(),
        _ => duration(end.since(row.start)),
    };
    Pen::new(buf, places.took, line).right(&took, TOOK - 1, look.style);
}

/// Where the columns are.
#[derive(Clone, Copy, Debug)]
struct Places {
    labels: Rect,
    bars: Rect,
    took: Rect,
}

impl Places {
    fn of(area: Rect) -> Self {
        let label = (area.width * 3 / 8).min(64);
        let bars = area.width.saturating_sub(label + 1 + TOOK);
        let column = |x: u16, width: u16| Rect {
            x: area.x + x,
            width,
            ..area
        };
        Places {
            labels: column(0, label),
            bars: column(label + 1, bars),
            took: column(label + 1 + bars, TOOK.min(area.width)),
        }
    }
}

impl View for Timeline {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        self.make(cx);
        self.come_for(cx.focus.call);
        let palette = cx.palette;
        if self.rows.rows.is_empty() {
            let why = match cx.filter {
                Some(_) => " nothing that fits the filter took any time",
                None => " no build and no call yet",
            };
            Pen::new(buf, area, 0).put(why, palette.dim());
            return;
        }
        let mut pen = Pen::new(buf, area, 0);
        pen.put(" ", palette.plain())
            .put(&self.rows.summary, palette.strong());
        let places = Places::of(area);
        let axis = Rect {
            y: area.y + 1,
            height: area.height.saturating_sub(1).min(1),
            ..places.bars
        };
        let part = match self.seen {
            None => " all of it".to_owned(),
            Some(span) => {
                let nanos = Duration::from_nanos(span.nanos());
                format!(
                    " {} of {}",
                    duration(nanos),
                    duration(Duration::from_nanos(self.all.nanos()))
                )
            }
        };
        Pen::new(
            buf,
            Rect {
                width: places.labels.width,
                ..axis.union(places.labels)
            },
            1,
        )
        .put(&part, palette.dim());
        self.draw_axis(cx, axis, buf);
        let height = area.height.saturating_sub(ABOVE + BELOW);
        let window = self.list.window(self.rows.rows.len(), height.into());
        let span = self.span();
        for (below, line) in window.enumerate() {
            let Some(row) = self.rows.rows.get(line) else {
                break;
            };
            let y = ABOVE + u16::try_from(below).unwrap_or_default();
            draw_row(cx, row, span, &places, y, buf);
            if line == self.list.selected() {
                let cursor = Rect {
                    y: area.y + y,
                    height: 1,
                    width: places.labels.width,
                    ..area
                };
                buf.set_style(cursor.intersection(area), palette.cursor());
            }
        }
        self.draw_detail(cx, area, buf);
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        self.make(cx);
        match action {
            Action::ZoomIn => self.zoom(1, 2),
            Action::ZoomOut => self.zoom(2, 1),
            Action::Left => self.look_at(self.span().moved(-1, self.all)),
            Action::Right => self.look_at(self.span().moved(1, self.all)),
            Action::Toggle => self.fit(cx.now),
            Action::Open => {
                return match self.row().map(|row| (row.what, row.subject)) {
                    Some((What::Transfer, subject)) => Outcome::Go(Tab::Transfer, Some(subject)),
                    Some((What::Call, subject)) => Outcome::Go(Tab::Messages, Some(subject)),
                    Some((_, Subject::Build(id))) => {
                        let call = cx.store.trace().builds.get(id).and_then(|build| build.call);
                        match call {
                            Some(call) => Outcome::Go(Tab::Messages, Some(Subject::Call(call))),
                            None => Outcome::Go(Tab::Overview, Some(Subject::Build(id))),
                        }
                    }
                    _ => Outcome::Done,
                };
            }
            _ if self.list.act(action, self.rows.rows.len()) => {}
            _ => return Outcome::Ignored,
        }
        Outcome::Done
    }

    fn selected(&self, _: &Context<'_>) -> Option<Subject> {
        self.row().map(|row| row.subject)
    }

    fn click(&mut self, at: Position, cx: &Context<'_>) -> Outcome {
        match self
            .list
            .click(at.y.checked_sub(ABOVE), self.rows.rows.len())
        {
            Click::Open => self.act(Action::Open, cx),
            Click::Select => Outcome::Done,
            Click::Miss => Outcome::Ignored,
        }
    }

    fn lines(&self, _: &Context<'_>) -> usize {
        self.rows.rows.len()
    }

    fn line(&self, cx: &Context<'_>, line: usize) -> String {
        let row = self.rows.rows.get(line);
        row.map_or(String::new(), |row| rows::label(cx.store.trace(), row))
    }

    fn subject(&self, _: &Context<'_>, line: usize) -> Option<Subject> {
        self.rows.rows.get(line).map(|row| row.subject)
    }

    fn cursor(&self) -> usize {
        self.list.selected()
    }

    fn move_to(&mut self, line: usize) {
        self.list.select(line);
    }

    fn go_to(&mut self, at: Time, cx: &Context<'_>) {
        self.make(cx);
        let later = |row: &Row| row.start >= at || row.end.is_none_or(|end| end >= at);
        let inner = |row: &Row| row.what != What::Build && later(row);
        let rows = &self.rows.rows;
        let line = rows
            .iter()
            .position(inner)
            .or_else(|| rows.iter().position(later));
        if let Some(line) = line {
            self.list.select(line);
        }
        if let Some(span) = self.seen {
            let half = span.nanos() / 2;
            let from = Time(at.0.saturating_sub(half));
            let moved = Span::new(from, Time(from.0.saturating_add(span.nanos())));
            self.look_at(moved.moved(0, self.all));
        }
    }

    fn follow(&mut self) -> Option<bool> {
        let following = !self.list.is_following();
        self.list.set_following(following);
        if following {
            self.seen = None;
        }
        Some(following)
    }

    fn hints(&self) -> &'static [Action] {
        &[
            Action::Open,
            Action::ZoomIn,
            Action::ZoomOut,
            Action::Toggle,
            Action::Right,
            Action::Filter,
        ]
    }
}

impl Timeline {
    /// What is under the cursor, in two lines.
    fn draw_detail(&self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        let Some(row) = self.row().filter(|_| area.height > ABOVE + BELOW) else {
            return;
        };
        let palette = cx.palette;
        let top = area.height - BELOW;
        let legend = match self.rows.shifted {
            0 => "█ ◆ critical path  ▒ beside it  ░ = cached  ┈ listing".to_owned(),
            by => {
                let by = Duration::from_nanos(by.unsigned_abs());
                format!("the daemon's clock is off by {}: moved", duration(by))
            }
        };
        rule(buf, area, top, &legend, palette);
        let origin = cx.store.origin();
        let end = row
            .end
            .map_or("now".to_owned(), |end| words::offset(end, origin));
        let when = format!(
            " {} – {end}  {} ",
            words::offset(row.start, origin),
            duration(row.end.unwrap_or(cx.now).since(row.start))
        );
        let label = rows::label(cx.store.trace(), row);
        let mut pen = Pen::new(buf, area, top + 1);
        pen.put(&when, palette.dim()).put(&label, palette.strong());
        let detail = rows::detail(cx, row);
        Pen::new(buf, area, top + 2)
            .put(" ", palette.plain())
            .put(&detail, palette.plain());
    }
}
