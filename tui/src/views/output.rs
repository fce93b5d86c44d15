//! What the command prints, in a terminal of its own; without one, what was said for people on
//! the way, and what buildtap has to say of itself.

use buildtap_decoder::trace::Text;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::keys::Action;
use crate::text::Pen;
use crate::view::{Context, Outcome, View};
use crate::widgets::{List, terminal};
use crate::words;

/// The view.
#[derive(Debug, Default)]
pub(super) struct Output {
    list: List,
    /// Lines that one has scrolled up.
    up: usize,
    /// Whether there is a command to type into.
    runs: bool,
}

/// The text on a line: notes stand above the first.
fn text<'a>(cx: &Context<'a>, line: usize) -> Option<&'a Text> {
    cx.store
        .texts()
        .nth(line.checked_sub(cx.store.notes.len())?)
}

impl Output {
    fn scroll(&mut self, action: Action, page: usize) -> bool {
        self.up = match action {
            Action::Up => self.up.saturating_add(1),
            Action::Down => self.up.saturating_sub(1),
            Action::PageUp | Action::HalfPageUp => self.up.saturating_add(page / 2),
            Action::PageDown | Action::HalfPageDown => self.up.saturating_sub(page / 2),
            Action::Top => usize::MAX,
            Action::Bottom => 0,
            _ => return false,
        };
        true
    }
}

impl View for Output {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        let palette = cx.palette;
        let pane = cx.store.pane.as_ref();
        self.runs = pane.is_some_and(|pane| pane.ended().is_none());
        if let Some(pane) = pane {
            let colour = palette.has_colour();
            if self.up == 0 {
                terminal(pane.screen(), colour, pane.ended().is_none(), area, buf);
            } else {
                let (screen, up) = pane.scrolled(self.up);
                self.up = up;
                terminal(&screen, colour, false, area, buf);
            }
            return;
        }
        let notes = &cx.store.notes;
        let len = self.lines(cx);
        if len == 0 {
            Pen::new(buf, area, 1).put(
                " nothing was printed, and nobody said anything for people",
                palette.dim(),
            );
            return;
        }
        let origin = cx.store.origin();
        let window = self.list.window(len, area.height.into());
        for (line, at) in (0u16..).zip(window) {
            let mut pen = Pen::new(buf, area, line);
            match (notes.get(at), text(cx, at)) {
                (Some(note), _) => {
                    pen.put(" ", palette.plain()).put(note, palette.plain());
                }
                (None, Some(text)) => {
                    pen.right(&words::offset(text.at, origin), 9, palette.dim())
                        .skip(1)
                        .put(text.text.trim_end(), palette.plain());
                }
                (None, None) => {}
            }
        }
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        let moved = match &cx.store.pane {
            Some(pane) => self.scroll(action, pane.size().1.into()),
            None => self.list.act(action, self.lines(cx)),
        };
        match moved {
            true => Outcome::Done,
            false => Outcome::Ignored,
        }
    }

    fn lines(&self, cx: &Context<'_>) -> usize {
        match cx.store.pane {
            Some(_) => 0,
            None => cx.store.notes.len() + cx.store.texts().count(),
        }
    }

    fn line(&self, cx: &Context<'_>, line: usize) -> String {
        match (cx.store.notes.get(line), text(cx, line)) {
            (Some(note), _) => note.clone(),
            (None, Some(text)) => text.text.clone(),
            (None, None) => String::new(),
        }
    }

    fn cursor(&self) -> usize {
        self.list.selected()
    }

    fn move_to(&mut self, line: usize) {
        self.list.select(line);
    }

    fn hints(&self) -> &'static [Action] {
        match self.runs {
            true => &[Action::Type, Action::Up, Action::Bottom, Action::Back],
            false => &[Action::Up, Action::Bottom, Action::Back],
        }
    }
}
