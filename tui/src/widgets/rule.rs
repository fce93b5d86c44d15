//! A line with a heading.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::palette::Palette;
use crate::text::Pen;

/// Draws `── title ───────` on line `line` of `area`.
pub fn rule(buf: &mut Buffer, area: Rect, line: u16, title: &str, palette: Palette) {
    let mut pen = Pen::new(buf, area, line);
    if !title.is_empty() {
        pen.put("── ", palette.dim())
            .put(title, palette.heading())
            .put(" ", palette.plain());
    }
    let rest = "─".repeat(pen.room().into());
    pen.put(&rest, palette.dim());
}
