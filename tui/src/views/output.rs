//! What the command prints that runs in its own terminal, and what was said for people on the way.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::keys::Action;
use crate::text::Pen;
use crate::view::{Context, Outcome, View};
use crate::widgets::List;
use crate::words;

/// The view.
#[derive(Debug, Default)]
pub(super) struct Output {
    list: List,
}

impl View for Output {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        let texts = &cx.store.texts;
        if texts.is_empty() {
            Pen::new(buf, area, 0).put(" nothing was printed", cx.palette.dim());
            return;
        }
        let origin = cx.store.origin();
        let window = self.list.window(texts.len(), area.height.into());
        for (line, text) in texts.range(window).enumerate() {
            let Ok(line) = u16::try_from(line) else { break };
            let mut pen = Pen::new(buf, area, line);
            pen.right(&words::offset(text.at, origin), 9, cx.palette.dim())
                .skip(1)
                .put(text.text.trim_end(), cx.palette.plain());
        }
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        match self.list.act(action, cx.store.texts.len()) {
            true => Outcome::Done,
            false => Outcome::Ignored,
        }
    }
}
