//! The messages of a call, both directions on one axis of time.

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Call, Id, Subject};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::keys::Action;
use crate::model::{Kind, Message};
use crate::text::{Pen, bytes};
use crate::view::{Context, Outcome, View};
use crate::widgets::{Cell, Column, List, Table};
use crate::words;

/// The view.
#[derive(Debug, Default)]
pub(super) struct Messages {
    list: List,
    call: Option<Id<Call>>,
}

const COLUMNS: &[Column] = &[
    Column::right("at", 9),
    Column::left("from", 6),
    Column::right("bytes", 9),
    Column::rest("what"),
];

impl Messages {
    fn call(cx: &Context<'_>) -> Option<Id<Call>> {
        let newest = || {
            cx.store
                .trace()
                .calls
                .iter()
                .next_back()
                .map(|call| call.id)
        };
        cx.focus.call.or_else(newest)
    }

    fn len(cx: &Context<'_>) -> usize {
        Self::call(cx).map_or(0, |call| cx.store.messages.count(call))
    }
}

/// What a message says, in one line.
pub(super) fn summary(cx: &Context<'_>, call: &Call, message: &Message<'_>) -> String {
    let request = message.from == call.caller;
    let line = || {
        let body = message.body?;
        Some(cx.describer.line(&call.path(), request, body, message.cut))
    };
    match message.kind {
        Kind::Slice => format!("slice of {}", bytes(message.length)),
        Kind::Protobuf | Kind::Packet => {
            let mut line = line().unwrap_or_else(|| "(not kept any more)".to_owned());
            if let Some(path) = message.path {
                line.push_str(" · ");
                line.push_str(path);
            }
            line
        }
    }
}

impl View for Messages {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        let call = Self::call(cx).and_then(|id| cx.store.trace().calls.get(id));
        let Some(call) = call else {
            Pen::new(buf, area, 0).put(" no call yet", cx.palette.dim());
            return;
        };
        if self.call.replace(call.id) != Some(call.id) {
            self.list = List::default();
        }
        let mut pen = Pen::new(buf, area, 0);
        pen.put(&format!(" call {} ", call.id), cx.palette.dim())
            .put(&words::call(call), cx.palette.strong());
        let origin = cx.store.origin();
        let table = Table {
            columns: COLUMNS,
            sorted: None,
            palette: cx.palette,
            active: true,
        };
        let below = Rect {
            y: area.y + 1,
            height: area.height.saturating_sub(1),
            ..area
        };
        let len = cx.store.messages.count(call.id);
        table.draw(buf, below, &mut self.list, len, |place| {
            let Some(message) = cx.store.messages.of_call(call.id, place) else {
                return Vec::new();
            };
            vec![
                Cell::new(words::offset(message.at, origin), cx.palette.dim()),
                Cell::new(message.from.as_str(), cx.palette.side(message.from)),
                Cell::plain(bytes(message.length)),
                Cell::plain(summary(cx, call, &message)),
            ]
        });
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        match self.list.act(action, Self::len(cx)) {
            true => Outcome::Done,
            false => Outcome::Ignored,
        }
    }

    fn selected(&self, cx: &Context<'_>) -> Option<Subject> {
        Self::call(cx).map(Subject::Call)
    }

    fn click(&mut self, at: Position, cx: &Context<'_>) -> Outcome {
        let line = at.y.checked_sub(2);
        if let Some(line) = line.and_then(|line| self.list.seen_at(line, Self::len(cx))) {
            self.list.select(line);
        }
        Outcome::Done
    }

    fn lines(&self, cx: &Context<'_>) -> usize {
        Self::len(cx)
    }

    fn line(&self, cx: &Context<'_>, line: usize) -> String {
        let call = Self::call(cx).and_then(|id| cx.store.trace().calls.get(id));
        let message = call.and_then(|call| cx.store.messages.of_call(call.id, line));
        match (call, message) {
            (Some(call), Some(message)) => summary(cx, call, &message),
            _ => String::new(),
        }
    }

    fn cursor(&self) -> usize {
        self.list.selected()
    }

    fn move_to(&mut self, line: usize) {
        self.list.select(line);
    }

    fn go_to(&mut self, at: Time, cx: &Context<'_>) {
        if let Some(call) = Self::call(cx) {
            self.list.select(cx.store.messages.place_at(call, at));
        }
    }

    fn follow(&mut self) -> Option<bool> {
        let following = !self.list.is_following();
        self.list.set_following(following);
        Some(following)
    }

    fn hints(&self) -> &'static [Action] {
        &[Action::Down, Action::Bottom, Action::GoTo, Action::Back]
    }
}
