//! What took how long: steps, calls and transfers on one axis of time.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::keys::Action;
use crate::text::Pen;
use crate::view::{Context, Outcome, View};

/// The view.
#[derive(Debug, Default)]
pub(super) struct Timeline;

impl View for Timeline {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        Pen::new(buf, area, 0).put(" the timeline is not drawn yet", cx.palette.dim());
    }

    fn act(&mut self, _: Action, _: &Context<'_>) -> Outcome {
        Outcome::Ignored
    }
}
