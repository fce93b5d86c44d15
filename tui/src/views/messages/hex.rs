//! Bytes in hexadecimal and as ASCII, sixteen on a line.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::palette::Palette;
use crate::text::Pen;

/// Bytes on a line.
pub(super) const WIDTH: usize = 16;
/// Columns that a line takes.
pub(super) const COLUMNS: u16 = 6 + 2 + 16 * 3 + 1 + 1 + 16;
/// The column of the first byte, and of the first character.
const FIRST_BYTE: u16 = 8;
const FIRST_CHARACTER: u16 = FIRST_BYTE + 16 * 3 + 2;

/// What of the bytes is seen, and which of them are marked.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// The first line.
    pub(super) top: usize,
    /// A field with its tag.
    pub(super) range: Range<usize>,
    /// What is in it.
    pub(super) content: Range<usize>,
    /// The byte under the cursor.
    pub(super) cursor: Option<usize>,
}

/// Draws as many lines of `bytes` as there is room for.
pub(super) fn draw(bytes: &[u8], marks: &Marks, palette: Palette, area: Rect, buf: &mut Buffer) {
    let lines = bytes.chunks(WIDTH).enumerate().skip(marks.top);
    for (below, (number, line)) in lines.take(area.height.into()).enumerate() {
        let start = number * WIDTH;
        let below = u16::try_from(below).unwrap_or(u16::MAX);
        let style = |at: usize| style(at, marks, palette);
        let mut pen = Pen::new(buf, area, below);
        pen.put(&format!("{start:06x}"), palette.dim());
        for (column, byte) in line.iter().enumerate() {
            let at = start + column;
            pen.go_to(area.x + column_of(column));
            pen.put(&format!("{byte:02x}"), style(at));
            // What is marked is seen as one.
            let joined = column + 1 < line.len() && style(at) == style(at + 1);
            if joined && column + 1 != WIDTH / 2 {
                pen.put(" ", style(at));
            }
        }
        pen.go_to(area.x + FIRST_CHARACTER);
        for (column, byte) in line.iter().enumerate() {
            let shown = match byte {
                0x20..=0x7e => char::from(*byte),
                _ => '.',
            };
            let mut text = [0; 4];
            pen.put(shown.encode_utf8(&mut text), style(start + column));
        }
    }
}

/// The column of a byte; between the eighth and the ninth there is a gap.
fn column_of(byte: usize) -> u16 {
    let gap = u16::from(byte >= WIDTH / 2);
    FIRST_BYTE + byte as u16 * 3 + gap
}

fn style(at: usize, marks: &Marks, palette: Palette) -> Style {
    if marks.cursor == Some(at) {
        palette.cursor().patch(palette.accent())
    } else if marks.content.contains(&at) {
        palette.cursor()
    } else if marks.range.contains(&at) {
        palette.found()
    } else {
        palette.plain()
    }
}

/// The byte that is drawn so many columns and lines from the corner, if there is one.
pub(super) fn byte_at(column: u16, line: u16, top: usize) -> Option<usize> {
    let place = match column.checked_sub(FIRST_CHARACTER) {
        Some(place) => usize::from(place),
        None => (0..WIDTH).rev().find(|byte| column >= column_of(*byte))?,
    };
    (place < WIDTH).then(|| (top + usize::from(line)) * WIDTH + place)
}
