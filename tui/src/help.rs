//! The keys, on top of everything: made from the table of keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Block, BorderType, Clear, Widget};

use crate::keys::{Action, KEYS, Scope};
use crate::palette::Palette;
use crate::text::{Pen, columns};

/// The help, and how far down one has read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Help {
    offset: usize,
    hidden: usize,
}

/// A line of the help.
enum Line {
    Title(&'static str),
    Key(String, &'static str),
    Empty,
}

impl Help {
    /// Moves as a key asks.
    pub(crate) fn act(&mut self, action: Action) {
        self.offset = match action {
            Action::Up => self.offset.saturating_sub(1),
            Action::Down => self.offset + 1,
            Action::PageUp | Action::HalfPageUp => self.offset.saturating_sub(10),
            Action::PageDown | Action::HalfPageDown => self.offset + 10,
            Action::Top => 0,
            Action::Bottom => self.hidden,
            _ => return,
        };
        self.offset = self.offset.min(self.hidden);
    }

    /// Draws it over the middle of `area`, for the view with this title.
    pub(crate) fn draw(&mut self, view: &str, palette: Palette, area: Rect, buf: &mut Buffer) {
        let lines = lines(view);
        let width = area.width.saturating_sub(4).min(76);
        let height = area.height.saturating_sub(2).min(lines.len() as u16 + 2);
        let window = Rect {
            x: area.x + (area.width - width) / 2,
            y: area.y + (area.height - height) / 2,
            width,
            height,
        };
        Clear.render(window, buf);
        let block = Block::bordered()
            .border_type(BorderType::Rounded)
            .border_style(palette.dim())
            .title(" keys ")
            .title_style(palette.heading());
        let inside = block.inner(window);
        block.render(window, buf);
        self.hidden = lines.len().saturating_sub(inside.height.into());
        self.offset = self.offset.min(self.hidden);
        for (at, line) in lines.iter().skip(self.offset).enumerate() {
            let Ok(at) = u16::try_from(at) else { break };
            let mut pen = Pen::new(buf, inside, at);
            match line {
                Line::Empty => {}
                Line::Title(title) => {
                    pen.put(" ", palette.plain()).put(title, palette.heading());
                }
                Line::Key(keys, help) => {
                    pen.put("   ", palette.plain())
                        .left(keys, 17, palette.accent())
                        .put(help, palette.plain());
                }
            }
        }
        if self.hidden > self.offset {
            let more = format!(" {} more ↓ ", self.hidden - self.offset);
            let at = window.width.saturating_sub(columns(&more) as u16 + 2);
            let last = window.height.saturating_sub(1);
            Pen::new(buf, window, last)
                .skip(at)
                .put(&more, palette.dim());
        }
    }
}

fn lines(view: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let of_view = KEYS.iter().find_map(|binding| match binding.scope {
        Scope::View(title) if title == view => Some(title),
        _ => None,
    });
    let of_view = of_view.map(|title| (Scope::View(title), title));
    let rest = [
        (Scope::Moving, "moving"),
        (Scope::Looking, "looking"),
        (Scope::General, "everywhere"),
    ];
    for (scope, title) in of_view.into_iter().chain(rest) {
        if !lines.is_empty() {
            lines.push(Line::Empty);
        }
        lines.push(Line::Title(title));
        for binding in KEYS.iter().filter(|binding| binding.scope == scope) {
            lines.push(Line::Key(binding.keys.join("  "), binding.help));
        }
    }
    lines
}
