//! A table of which only the lines that are seen are made.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::List;
use crate::palette::Palette;
use crate::text::Pen;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// Columns of the screen; the one with 0 takes what is left.
    pub width: u16,
    /// Whether what is in it stands at the right.
    pub right: bool,
    /// How wide the table must be for it to be there.
    pub from: u16,
}

impl Column {
    /// One that takes what is left.
    pub const fn rest(title: &'static str) -> Self {
        Column::left(title, 0)
    }

    /// One with text.
    pub const fn left(title: &'static str, width: u16) -> Self {
        Column {
            title,
            width,
            right: false,
            from: 0,
        }
    }

    /// One with numbers.
    pub const fn right(title: &'static str, width: u16) -> Self {
        Column {
            right: true,
            ..Column::left(title, width)
        }
    }

    /// The same, only in a table that is so wide.
    pub const fn from(self, from: u16) -> Self {
        Column { from, ..self }
    }
}

/// What stands in one column of one line.
#[derive(Clone, Debug, Default)]
pub struct Cell<'a> {
    /// The text, as it came off the wire.
    pub text: Cow<'a, str>,
    /// How it looks.
    pub style: Style,
}

impl<'a> Cell<'a> {
    /// A text that looks so.
    pub fn new(text: impl Into<Cow<'a, str>>, style: Style) -> Self {
        Cell {
            text: text.into(),
            style,
        }
    }

    /// A plain text.
    pub fn plain(text: impl Into<Cow<'a, str>>) -> Self {
        Cell::new(text, Style::new())
    }
}

/// A table.
#[derive(Debug)]
pub struct Table<'a> {
    /// Its columns.
    pub columns: &'a [Column],
    /// The column that it is sorted by, and whether the other way around.
    pub sorted: Option<(usize, bool)>,
    /// Colours.
    pub palette: Palette,
    /// Whether the cursor is in it.
    pub active: bool,
}

impl Table<'_> {
    /// Draws the headings and as many of `len` lines as there is room for; `line` makes one, of a
    /// cell for each column or of a single one that has the whole line.
    pub fn draw<'c>(
        &self,
        buf: &mut Buffer,
        area: Rect,
        list: &mut List,
        len: usize,
        mut line: impl FnMut(usize) -> Vec<Cell<'c>>,
    ) {
        if area.is_empty() {
            return;
        }
        let widths = self.widths(area.width);
        let mut pen = Pen::new(buf, area, 0);
        for (at, (column, width)) in self.columns.iter().zip(&widths).enumerate() {
            let Some(width) = *width else { continue };
            let title: Cow<'_, str> = match self.sorted {
                Some((by, false)) if by == at => format!("{}↓", column.title).into(),
                Some((by, true)) if by == at => format!("{}↑", column.title).into(),
                _ => column.title.into(),
            };
            let style = self.palette.heading();
            match column.right {
                true => pen.right(&title, width, style),
                false => pen.left(&title, width, style),
            };
            pen.skip(1);
        }
        let body = Rect {
            y: area.y + 1,
            height: area.height - 1,
            ..area
        };
        let window = list.window(len, body.height.into());
        for (at, row) in window.enumerate() {
            let at = at as u16;
            let cells = line(row);
            let mut pen = Pen::new(buf, body, at);
            // One cell alone has the whole line.
            if let [cell] = cells.as_slice() {
                pen.left(&cell.text, body.width.saturating_sub(1), cell.style);
            }
            let cells = if cells.len() == 1 {
                &[]
            } else {
                cells.as_slice()
            };
            for ((cell, column), width) in cells.iter().zip(self.columns).zip(&widths) {
                let Some(width) = *width else { continue };
                match column.right {
                    true => pen.right(&cell.text, width, cell.style),
                    false => pen.left(&cell.text, width, cell.style),
                };
                pen.skip(1);
            }
            if row == list.selected() && self.active {
                let line = Rect {
                    y: body.y + at,
                    height: 1,
                    ..body
                };
                buf.set_style(line, self.palette.cursor());
            }
        }
        scrollbar(buf, body, list.offset(), len, self.palette);
    }

    /// How wide each column is; `None` for those that are not there.
    fn widths(&self, total: u16) -> Vec<Option<u16>> {
        let there = |column: &&Column| column.from <= total;
        let fixed: u16 = self
            .columns
            .iter()
            .filter(there)
            .map(|column| column.width + 1)
            .sum();
        // The scrollbar has the last column.
        let rest = total.saturating_sub(fixed + 1);
        self.columns
            .iter()
            .map(|column| {
                there(&column).then_some(match column.width {
                    0 => rest + 1,
                    width => width,
                })
            })
            .collect()
    }
}

/// Draws which part of `len` lines is seen, at the right of `area`, if not all are.
fn scrollbar(buf: &mut Buffer, area: Rect, offset: usize, len: usize, palette: Palette) {
    let height = usize::from(area.height);
    if len <= height || height == 0 || area.width == 0 {
        return;
    }
    let thumb = (height * height / len).max(1);
    let room = height - thumb;
    let top = (offset * room).div_ceil((len - height).max(1)).min(room);
    for line in 0..height {
        let is_thumb = (top..top + thumb).contains(&line);
        let position = (area.right() - 1, area.y + line as u16);
        if let Some(cell) = buf.cell_mut(position) {
            cell.set_symbol(if is_thumb { "┃" } else { "│" });
            cell.set_style(palette.dim());
        }
    }
}
