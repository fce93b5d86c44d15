//! The panes of the view: where they are, and how they are drawn.

use buildtap_decoder::describe::tree::NodeKind;
use buildtap_decoder::event::Side;
use buildtap_decoder::trace::Call;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::hex::{self, Marks};
use super::parts::Part;
use super::{Messages, Pane, summary};
use crate::palette::Palette;
use crate::text::{Pen, bytes, count, duration};
use crate::view::Context;
use crate::widgets::{Cell, Column, Table};
use crate::words;

/// From how many columns on the bytes stand beside the tree.
const WIDE: u16 = 150;

/// Where the panes are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Panes {
    pub(super) list: Rect,
    pub(super) tree: Rect,
    pub(super) bytes: Rect,
}

const COLUMNS: &[Column] = &[
    Column::right("at", 9),
    Column::right("after", 7).from(110),
    Column::left("client   daemon", 15),
    Column::right("bytes", 8),
    Column::rest("what"),
];

impl Messages {
    pub(super) fn panes(&self, area: Rect, len: usize) -> Panes {
        let height = area.height;
        // One line for each heading.
        let list = match (self.pane, height) {
            (_, 0..10) => height,
            (Pane::List, _) => height * 2 / 5,
            (_, ..40) => 5,
            _ => height / 4,
        };
        // No more than there are messages, and the headings.
        let list = list.min(u16::try_from(len + 1).unwrap_or(u16::MAX));
        let below = height.saturating_sub(list + 1);
        let at = |y: u16, height: u16| Rect {
            y: area.y + y,
            height,
            ..area
        };
        if area.width >= WIDE {
            let tree = at(list + 1, below);
            let left = area.width - hex::COLUMNS - 3;
            return Panes {
                list: at(0, list),
                tree: Rect {
                    width: left,
                    ..tree
                },
                bytes: Rect {
                    x: area.x + left + 2,
                    width: hex::COLUMNS + 1,
                    ..tree
                },
            };
        }
        let bytes = match self.pane {
            Pane::Bytes => below.saturating_sub(1) / 2,
            _ => below.saturating_sub(1) / 3,
        };
        Panes {
            list: at(0, list),
            tree: at(list + 1, below.saturating_sub(bytes + 1)),
            bytes: at(height.saturating_sub(bytes), bytes),
        }
    }

    pub(super) fn draw_list(
        &mut self,
        cx: &Context<'_>,
        call: &Call,
        len: usize,
        buf: &mut Buffer,
    ) {
        let origin = cx.store.origin();
        let table = Table {
            columns: COLUMNS,
            sorted: None,
            palette: cx.palette,
            active: self.pane == Pane::List,
        };
        let kept = &self.kept;
        table.draw(buf, self.drawn.list, &mut self.list, len, |line| {
            let get = |line: usize| cx.store.messages.of_call(call.id, kept.place(line)?);
            let Some(message) = get(line) else {
                return Vec::new();
            };
            let before = line.checked_sub(1).and_then(get);
            let after = before.map(|before| duration(message.at.since(before.at)));
            // Each side has a lane of its own.
            let lane = match message.from {
                Side::Client => "client ▶",
                Side::Daemon => "       ◀ daemon",
            };
            vec![
                Cell::new(words::offset(message.at, origin), cx.palette.dim()),
                Cell::new(after.unwrap_or_default(), cx.palette.dim()),
                Cell::new(lane, cx.palette.side(message.from)),
                Cell::plain(bytes(message.length)),
                Cell::plain(summary(cx, call, &message)),
            ]
        });
        let below = self.list.selected().saturating_sub(self.list.offset()) + 1;
        if self.pane != Pane::List && len > 0 {
            let area = self.drawn.list;
            let line = Rect {
                y: area.y + u16::try_from(below).unwrap_or_default(),
                height: 1,
                ..area
            };
            buf.set_style(line.intersection(area), cx.palette.strong());
        }
    }

    pub(super) fn draw_tree(&mut self, cx: &Context<'_>, buf: &mut Buffer) {
        let area = self.drawn.tree;
        let Some((_, parts)) = &self.open else {
            let why = match self.list.selected() {
                _ if cx.store.messages.is_empty() => "",
                _ => " its bytes are not kept any more",
            };
            Pen::new(buf, area, 0).put(why, cx.palette.dim());
            return;
        };
        let len = parts.seen.len();
        let window = self.tree.window(len, area.height.into());
        for (below, line) in window.enumerate() {
            let Some((at, part)) = parts.on(line) else {
                continue;
            };
            let below = u16::try_from(below).unwrap_or(u16::MAX);
            let mut pen = Pen::new(buf, area, below);
            draw_part(at, part, cx.palette, &mut pen);
            if line == self.tree.selected() {
                let line = Rect {
                    y: area.y + below,
                    height: 1,
                    ..area
                };
                let style = match self.pane {
                    Pane::List => cx.palette.strong(),
                    Pane::Tree | Pane::Bytes => cx.palette.cursor(),
                };
                buf.set_style(line, style);
            }
        }
    }

    pub(super) fn draw_bytes(&self, cx: &Context<'_>, buf: &mut Buffer) {
        let Some(parts) = self.parts() else {
            return;
        };
        let marks = Marks {
            cursor: self.marks.cursor.filter(|_| self.pane == Pane::Bytes),
            ..self.marks.clone()
        };
        hex::draw(&parts.bytes, &marks, cx.palette, self.drawn.bytes, buf);
    }

    /// What stands over the bytes: which of them are marked.
    pub(super) fn place(&self) -> String {
        let Some(parts) = self.parts() else {
            return "bytes".to_owned();
        };
        let all = parts.bytes.len();
        match self.marks.range.is_empty() {
            true => format!("{} in hex", count(all as u64, "byte")),
            false => {
                let (start, end) = (self.marks.range.start, self.marks.range.end);
                let hidden = match parts.on(self.tree.selected()) {
                    Some((_, part)) if part.node.kind == NodeKind::Secret => " · masked",
                    Some((_, part)) if part.node.kind == NodeKind::Contents => {
                        " · contents are not shown"
                    }
                    _ => "",
                };
                format!("bytes {start}–{} of {all}{hidden}", end.saturating_sub(1))
            }
        }
    }
}

/// Draws `▸ name: value`.
fn draw_part(at: usize, part: &Part, palette: Palette, pen: &mut Pen<'_>) {
    let mark = match (part.is_branch(at), part.folded) {
        (false, _) => "  ",
        (true, true) => "▸ ",
        (true, false) => "▾ ",
    };
    let indent = "  ".repeat(part.depth);
    pen.put(" ", palette.plain())
        .put(&indent, palette.plain())
        .put(mark, palette.dim());
    if !part.node.name.is_empty() {
        let style = match part.depth {
            0 => palette.strong(),
            _ => palette.heading(),
        };
        pen.put(&part.node.name, style).put("  ", palette.plain());
    }
    pen.put(&part.node.value, value_style(part.node.kind, palette));
}

fn value_style(kind: NodeKind, palette: Palette) -> Style {
    match kind {
        NodeKind::Rest => palette.busy(),
        NodeKind::Secret | NodeKind::Contents => palette.dim(),
        NodeKind::Enum | NodeKind::Flag | NodeKind::Time | NodeKind::Graph => palette.accent(),
        _ => palette.plain(),
    }
}
