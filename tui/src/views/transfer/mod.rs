//! One transfer as it stands: its state machine, who must move, its files, and what flow control
//! lets each side send.

mod machine;
mod windows;

use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::trace::{
    File, FileState, Flavour, Id, Subject, Transfer as Row, TransferState,
};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::keys::Action;
use crate::text::{Pen, bytes, duration, fit_path, thousands};
use crate::view::{Context, Outcome, Tab, View};
use crate::widgets::{Cell, Column, List, Table, gauge, rule};
use crate::words;

/// The view.
#[derive(Debug, Default)]
pub(super) struct Transfer {
    list: List,
    /// The transfer that is shown.
    shown: Option<Id<Row>>,
    /// The one that was in focus when it was chosen.
    focus: Option<Id<Row>>,
    /// Where the files are.
    files: Rect,
    area: Rect,
}

const COLUMNS: &[Column] = &[
    Column::right("id", 6),
    Column::rest("file"),
    Column::right("sent", 9),
    Column::right("of", 9),
    Column::left("", 12),
    Column::right("took", 7),
    Column::left("state", 8),
];

impl Transfer {
    /// The transfer to show: the one in focus, else one that stands still, one that goes on, or
    /// the newest.
    fn choose(&mut self, cx: &Context<'_>) -> Option<Id<Row>> {
        let trace = cx.store.trace();
        if cx.focus.transfer.is_some() && cx.focus.transfer != self.focus {
            self.focus = cx.focus.transfer;
            self.shown = cx.focus.transfer;
            self.list = List::default();
        }
        if self
            .shown
            .is_none_or(|id| trace.transfers.get(id).is_none())
        {
            let stalled = cx.waits.iter().find_map(|wait| match wait.subject {
                Subject::Transfer(id) => Some(id),
                Subject::Call(id) => trace.calls.get(id)?.transfer,
                _ => None,
            });
            let open = trace
                .transfers
                .iter()
                .find(|row| row.state == TransferState::Open);
            let newest = trace.transfers.iter().next_back();
            let chosen = stalled.or(open.or(newest).map(|row| row.id));
            // It is chosen anew until the user moves.
            return chosen;
        }
        self.shown
    }

    /// To the transfer before or behind.
    fn step(&mut self, cx: &Context<'_>, forward: bool) -> Outcome {
        let ids: Vec<Id<Row>> = cx
            .store
            .trace()
            .transfers
            .iter()
            .map(|row| row.id)
            .collect();
        let shown = self.choose(cx);
        let at = ids.iter().position(|id| Some(*id) == shown);
        let next = match (at, forward) {
            (Some(at), true) => at + 1,
            (Some(at), false) => at.saturating_sub(1),
            (None, _) => 0,
        };
        if let Some(next) = ids.get(next) {
            self.shown = Some(*next);
            self.focus = cx.focus.transfer;
            self.list = List::default();
        }
        Outcome::Done
    }

    fn row<'a>(&mut self, cx: &Context<'a>) -> Option<&'a Row> {
        let id = self.choose(cx)?;
        cx.store.trace().transfers.get(id)
    }
}

/// The files of a transfer: those that are open first, then those that are complete, the newest
/// first.
fn files<'a>(cx: &Context<'a>, row: &'a Row) -> Vec<File> {
    let open = row.machine.open_files();
    let done = cx.store.files_of(row.id).rev().cloned();
    open.chain(done).collect()
}

impl View for Transfer {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        self.area = area;
        let palette = cx.palette;
        let Some(row) = self.row(cx) else {
            Pen::new(buf, area, 1).put(" no transfer yet", palette.dim());
            return;
        };
        let inside = Rect {
            x: area.x + 1,
            width: area.width.saturating_sub(2),
            ..area
        };
        let mut line = title(cx, row, inside, buf);
        line += turn(cx, row, inside, line, buf);
        if row.flavour == Flavour::Packet && area.height > 16 {
            line += 1;
            line += machine::draw(cx, row, inside, line, buf);
            line += 1;
        }
        line += progress(cx, row, inside, line, buf);
        if area.height > 16 {
            line += 1;
        }
        line += windows::draw(cx, row, inside, line, buf);
        if area.height > 16 {
            line += 1;
        }
        let left = area.height.saturating_sub(line);
        if left < 2 {
            return;
        }
        if row.flavour != Flavour::Packet {
            evidence(cx, row, inside, line, buf);
            return;
        }
        rule(buf, inside, line, "files", palette);
        let below = Rect {
            y: inside.y + line + 1,
            height: left - 1,
            ..inside
        };
        self.files = below;
        let files = files(cx, row);
        // What there is to ask for, as long as nothing was.
        let unasked: Vec<_> = row.machine.unasked().collect();
        let len = files.len() + unasked.len();
        let table = Table {
            columns: COLUMNS,
            sorted: None,
            palette,
            active: len > 0,
        };
        let room = usize::from(below.width.saturating_sub(58));
        table.draw(buf, below, &mut self.list, len, |line| {
            let announced = || line.checked_sub(files.len()).and_then(|it| unasked.get(it));
            match (files.get(line), announced()) {
                (Some(file), _) => file_cells(cx, file, room),
                (None, Some((id, path, size))) => vec![
                    Cell::new(id.to_string(), palette.dim()),
                    Cell::plain(fit_path(path, room.max(8)).into_owned()),
                    Cell::default(),
                    Cell::plain(bytes(*size)),
                    Cell::default(),
                    Cell::default(),
                    Cell::new("○ listed", palette.dim()),
                ],
                (None, None) => Vec::new(),
            }
        });
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        match action {
            Action::Left => self.step(cx, false),
            Action::Right => self.step(cx, true),
            Action::Open => match self.row(cx) {
                Some(row) => Outcome::Go(Tab::Messages, Some(Subject::Transfer(row.id))),
                None => Outcome::Done,
            },
            _ => {
                let len = self.row(cx).map_or(0, |row| {
                    files(cx, row).len() + row.machine.unasked().count()
                });
                match self.list.act(action, len) {
                    true => Outcome::Done,
                    false => Outcome::Ignored,
                }
            }
        }
    }

    fn selected(&self, cx: &Context<'_>) -> Option<Subject> {
        let mut view = Transfer {
            shown: self.shown,
            focus: self.focus,
            ..Transfer::default()
        };
        view.choose(cx).map(Subject::Transfer)
    }

    fn click(&mut self, at: Position, _: &Context<'_>) -> Outcome {
        let y = at.y + self.area.y;
        if let Some(line) = y.checked_sub(self.files.y + 1)
            && let Some(line) = self.list.seen_at(line, usize::MAX)
        {
            self.list.select(line);
            return Outcome::Done;
        }
        Outcome::Ignored
    }

    fn hints(&self) -> &'static [Action] {
        &[
            Action::Left,
            Action::Right,
            Action::Messages,
            Action::Findings,
            Action::Back,
        ]
    }

    fn go_to(&mut self, at: Time, cx: &Context<'_>) {
        let mut transfers = cx.store.trace().transfers.iter();
        if let Some(row) = transfers.find(|row| row.start >= at) {
            self.shown = Some(row.id);
            self.focus = cx.focus.transfer;
        }
    }
}

/// Which one it is.
fn title(cx: &Context<'_>, row: &Row, area: Rect, buf: &mut Buffer) -> u16 {
    let palette = cx.palette;
    let transfers = &cx.store.trace().transfers;
    let sender = row.sender();
    let mut pen = Pen::new(buf, area, 0);
    pen.put(
        &format!(
            "‹{}/{}› ",
            row.id,
            transfers.gone() + transfers.len() as u64
        ),
        palette.dim(),
    )
    .put(&words::transfer(row), palette.strong())
    .put("  ", palette.plain())
    .put(sender.as_str(), palette.side(sender))
    .put(" → ", palette.dim())
    .put(sender.peer().as_str(), palette.side(sender.peer()))
    .put("  ", palette.plain())
    .put(words::flavour(row.flavour), palette.dim())
    .put(&format!("  call {}", row.call), palette.dim());
    1
}

/// Whose turn it is, or how it ended.
fn turn(cx: &Context<'_>, row: &Row, area: Rect, line: u16, buf: &mut Buffer) -> u16 {
    let palette = cx.palette;
    let took = words::took(row.start, row.end, cx.now);
    let mut pen = Pen::new(buf, area, line);
    match (row.state, &row.error) {
        (TransferState::Complete, _) => {
            pen.put("✓ complete", palette.good())
                .put(&format!(" in {took}"), palette.plain());
        }
        (TransferState::Failed, error) => {
            pen.put("✗ failed", palette.bad())
                .put(&format!(" after {took}"), palette.plain());
            if let Some(error) = error {
                pen.put(": ", palette.plain()).put(error, palette.plain());
            }
        }
        (TransferState::Open, _) => {
            let trace = cx.store.trace();
            let about = Subject::Transfer(row.id);
            let wait = cx.waits.iter().find(|wait| wait.is_about(trace, about));
            match wait {
                Some(wait) => {
                    let (sign, style) = match wait.finding {
                        Some(_) => ("✗ ", palette.bad()),
                        None => ("▶ ", palette.busy()),
                    };
                    pen.put(sign, style)
                        .put("the ", palette.plain())
                        .put(wait.side.as_str(), palette.side(wait.side))
                        .put(" must ", palette.plain())
                        .put(&wait.action, style)
                        .put(
                            &format!("  since {}", duration(wait.age(cx.now))),
                            palette.plain(),
                        );
                }
                None => {
                    pen.put("● goes on", palette.busy())
                        .put(&format!(" for {took}"), palette.plain());
                }
            }
        }
    }
    1
}

/// How much of it is done, as bars.
fn progress(cx: &Context<'_>, row: &Row, area: Rect, line: u16, buf: &mut Buffer) -> u16 {
    let palette = cx.palette;
    let machine = &row.machine;
    let width = (area.width / 3).clamp(10, 40);
    let mut at = line;
    let mut bar = |name: &str, part: u64, whole: u64, text: String, area: Rect| {
        let mut pen = Pen::new(buf, area, at);
        pen.left(name, 11, palette.dim())
            .put(&gauge(part, whole, width), palette.side(row.sender()))
            .put("  ", palette.plain())
            .put(&text, palette.plain());
        at += 1;
    };
    if row.flavour != Flavour::Packet {
        let mut pen = Pen::new(buf, area, line);
        pen.left("carried", 11, palette.dim())
            .put(&bytes(row.bytes), palette.strong());
        return 1;
    }
    let of = |part: u64, whole: u64, what: &str| {
        format!("{} of {} {what}", thousands(part), thousands(whole))
    };
    bar(
        "asked for",
        machine.requested(),
        machine.files(),
        of(machine.requested(), machine.files(), "files"),
        area,
    );
    let flying = machine.requested().saturating_sub(machine.completed());
    bar(
        "complete",
        machine.completed(),
        machine.requested(),
        format!(
            "{}, {} in flight",
            of(machine.completed(), machine.requested(), "asked for"),
            thousands(flying)
        ),
        area,
    );
    bar(
        "contents",
        row.bytes,
        machine.announced_bytes(),
        format!(
            "{} of {} announced",
            bytes(row.bytes),
            bytes(machine.announced_bytes())
        ),
        area,
    );
    3
}

/// Why it is taken for what it is.
fn evidence(cx: &Context<'_>, row: &Row, area: Rect, line: u16, buf: &mut Buffer) {
    rule(buf, area, line, "taken for this because", cx.palette);
    let lines = row
        .evidence
        .iter()
        .flat_map(|it| crate::text::wrap(it, area.width.into()));
    for (text, at) in lines.zip(line + 1..area.height) {
        Pen::new(buf, area, at).put(&text, cx.palette.plain());
    }
}

fn file_cells<'a>(cx: &Context<'_>, file: &File, room: usize) -> Vec<Cell<'a>> {
    let palette = cx.palette;
    let (state, style) = match file.state {
        FileState::Complete => ("✓ done", palette.good()),
        FileState::Open if file.bytes == 0 => ("○ asked", palette.busy()),
        FileState::Open => ("● sent", palette.busy()),
    };
    let path = match &file.path {
        Some(path) => fit_path(path, room.max(8)).into_owned(),
        None => "(path not kept)".to_owned(),
    };
    // Of a file that is complete the bar says no more than the word.
    let bar = match (file.state, file.size) {
        (FileState::Open, Some(size)) => gauge(file.bytes, size, 12),
        _ => String::new(),
    };
    vec![
        Cell::new(file.id.to_string(), palette.dim()),
        Cell::plain(path),
        Cell::plain(bytes(file.bytes)),
        Cell::plain(file.size.map_or_else(|| "?".to_owned(), bytes)),
        Cell::new(bar, palette.side(Side::Daemon)),
        Cell::plain(words::took(file.requested, file.completed, cx.now)),
        Cell::new(state, style),
    ]
}
