//! The terminal of a command, drawn in a part of ours.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use vt100::Screen;

/// Draws the last lines of `screen` that fit into `area`, down to where its cursor or its last
/// text is. `colour` says whether its colours are wanted.
pub fn terminal(screen: &Screen, colour: bool, cursor: bool, area: Rect, buf: &mut Buffer) {
    let (lines, columns) = screen.size();
    let (cursor_line, cursor_column) = screen.cursor_position();
    let used = (0..lines)
        .rev()
        .find(|line| (0..columns).any(|column| has_text(screen, *line, column)));
    let last = used.unwrap_or(0).max(cursor_line);
    let first = (last + 1).saturating_sub(area.height);
    for (line, y) in (first..lines).zip(area.y..area.bottom()) {
        for (column, x) in (0..columns).zip(area.x..area.right()) {
            let (Some(from), Some(to)) = (screen.cell(line, column), buf.cell_mut((x, y))) else {
                continue;
            };
            if from.is_wide_continuation() {
                continue;
            }
            let text = match from.contents() {
                "" => " ",
                // Half of it would be outside.
                _ if from.is_wide() && x + 1 >= area.right() => " ",
                text => text,
            };
            to.set_symbol(text).set_style(style(from, colour));
        }
    }
    if cursor && !screen.hide_cursor() && cursor_line >= first {
        let at = (area.x + cursor_column, area.y + cursor_line - first);
        if at.0 < area.right()
            && at.1 < area.bottom()
            && let Some(cell) = buf.cell_mut(at)
        {
            cell.set_style(Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}

fn has_text(screen: &Screen, line: u16, column: u16) -> bool {
    screen
        .cell(line, column)
        .is_some_and(vt100::Cell::has_contents)
}

fn style(cell: &vt100::Cell, colour: bool) -> Style {
    let of = |wanted| match wanted {
        vt100::Color::Default => None,
        vt100::Color::Idx(index) => Some(Color::Indexed(index)),
        vt100::Color::Rgb(r, g, b) => Some(Color::Rgb(r, g, b)),
    };
    let mut style = Style::new();
    if colour {
        style.fg = of(cell.fgcolor());
        style.bg = of(cell.bgcolor());
    }
    let modifiers = [
        (cell.bold(), Modifier::BOLD),
        (cell.dim(), Modifier::DIM),
        (cell.italic(), Modifier::ITALIC),
        (cell.underline(), Modifier::UNDERLINED),
        (cell.inverse(), Modifier::REVERSED),
    ];
    for (_, modifier) in modifiers.into_iter().filter(|(is_on, _)| *is_on) {
        style = style.add_modifier(modifier);
    }
    style
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_was_printed_is_seen() {
        let mut parser = vt100::Parser::new(10, 20, 0);
        parser.process("one\r\n\x1b[31mtwo\x1b[0m\r\n日本".as_bytes());
        let area = Rect::new(0, 0, 4, 2);
        let mut buf = Buffer::empty(area);
        terminal(parser.screen(), true, false, area, &mut buf);
        let text: Vec<&str> = buf.content.iter().map(|cell| cell.symbol()).collect();
        assert_eq!(text, ["t", "w", "o", " ", "日", " ", "本", " "]);
        assert_eq!(buf.content[0].fg, Color::Indexed(1));
    }
}
