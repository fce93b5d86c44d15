//! The HTTP/2 frames of one connection, both directions on one axis of time.

use std::collections::HashMap;

use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::trace::{Call, Connection, Frame, Id, Subject};
use buildtap_decoder::wire::http2::{FrameType, error_code_name, flags};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::keys::Action;
use crate::text::{Pen, count, thousands};
use crate::view::{Context, Outcome, Tab};
use crate::widgets::{Cell, Click, Column, List, Table};
use crate::words;

/// The frames of a connection, and where the user stands in them.
#[derive(Debug)]
pub(super) struct Frames {
    connection: Id<Connection>,
    list: List,
    /// The calls on it by their streams.
    calls: HashMap<u32, Id<Call>>,
}

const COLUMNS: &[Column] = &[
    Column::right("at", 9),
    Column::left("from", 8),
    Column::left("frame", 13),
    Column::right("stream", 6),
    Column::right("bytes", 7),
    Column::rest("flags, what it changes, call"),
];

/// The names of the flags that are set (RFC 9113 §6).
fn flag_names(frame: &Frame) -> impl Iterator<Item = &'static str> {
    use FrameType::{Continuation, Data, Headers, Ping, PushPromise, Settings};
    let kind = frame.header.kind;
    let set = frame.header.flags;
    let names = [
        (flags::END_STREAM, "END_STREAM", &[Data, Headers][..]),
        (flags::ACK, "ACK", &[Settings, Ping]),
        (
            flags::END_HEADERS,
            "END_HEADERS",
            &[Headers, PushPromise, Continuation],
        ),
        (flags::PADDED, "PADDED", &[Data, Headers, PushPromise]),
        (flags::PRIORITY, "PRIORITY", &[Headers]),
    ];
    let is_set = move |(flag, name, kinds): (u8, &'static str, &[FrameType])| {
        (set & flag != 0 && kinds.contains(&kind)).then_some(name)
    };
    names.into_iter().filter_map(is_set)
}

/// Flags, what a frame changes, and the call that it is of.
fn what(frame: &Frame, call: Option<&Call>) -> String {
    let mut parts: Vec<String> = flag_names(frame).map(str::to_owned).collect();
    match (frame.header.kind, frame.value) {
        (FrameType::WindowUpdate, Some(more)) => {
            let peer = frame.from.peer();
            parts.push(format!("the {peer} may send +{}", thousands(more.into())));
        }
        (FrameType::RstStream | FrameType::GoAway, Some(code)) => {
            parts.push(error_code_name(code).to_owned());
        }
        (FrameType::Settings, _) if frame.header.length > 0 => {
            parts.push(count(u64::from(frame.header.length / 6), "parameter"));
        }
        _ => {}
    }
    if let Some(call) = call {
        parts.push(format!("call {} {}", call.id, words::call(call)));
    }
    parts.join(" · ")
}

impl Frames {
    pub(super) fn of(connection: Id<Connection>) -> Self {
        Frames {
            connection,
            list: List::default(),
            calls: HashMap::new(),
        }
    }

    fn update(&mut self, cx: &Context<'_>) {
        let calls = cx.store.trace().calls.iter();
        let on_it = calls.filter(|call| call.connection == self.connection);
        self.calls = on_it.map(|call| (call.stream_id, call.id)).collect();
    }

    /// The call that a frame is of.
    fn call<'a>(&self, cx: &Context<'a>, frame: &Frame) -> Option<&'a Call> {
        let id = self.calls.get(&frame.header.stream_id)?;
        cx.store.trace().calls.get(*id)
    }

    pub(super) fn len(&self, cx: &Context<'_>) -> usize {
        cx.store.frames.count(self.connection)
    }

    fn at<'a>(&self, cx: &Context<'a>) -> Option<Frame> {
        cx.store.frames.get(self.connection, self.list.selected())
    }

    pub(super) fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        let palette = cx.palette;
        self.update(cx);
        let len = self.len(cx);
        let mut pen = Pen::new(buf, area, 0);
        pen.put(
            &format!(" connection {} ", self.connection),
            palette.strong(),
        )
        .put(&format!(" {}", count(len as u64, "frame")), palette.dim());
        let gone = cx.store.frames.gone(self.connection);
        if gone > 0 {
            let text = format!(", {} older ones are not kept any more", thousands(gone));
            pen.put(&text, palette.dim());
        }
        let below = Rect {
            y: area.y + 1,
            height: area.height.saturating_sub(1),
            ..area
        };
        let table = Table {
            columns: COLUMNS,
            sorted: None,
            palette,
            active: true,
        };
        let origin = cx.store.origin();
        let connection = self.connection;
        let mut list = std::mem::take(&mut self.list);
        table.draw(buf, below, &mut list, len, |line| {
            let Some(frame) = cx.store.frames.get(connection, line) else {
                return Vec::new();
            };
            let from = match frame.from {
                Side::Client => "client ▶",
                Side::Daemon => "◀ daemon",
            };
            let style = match frame.header.kind {
                FrameType::RstStream | FrameType::GoAway => palette.bad(),
                FrameType::WindowUpdate | FrameType::Settings => palette.accent(),
                FrameType::Data => palette.plain(),
                _ => palette.strong(),
            };
            vec![
                Cell::new(words::offset(frame.at, origin), palette.dim()),
                Cell::new(from, palette.side(frame.from)),
                Cell::new(frame.header.kind.to_string(), style),
                Cell::plain(frame.header.stream_id.to_string()),
                Cell::plain(thousands(frame.header.length.into())),
                Cell::plain(what(&frame, self.call(cx, &frame))),
            ]
        });
        self.list = list;
    }

    pub(super) fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        if matches!(action, Action::Open | Action::Messages) {
            self.update(cx);
            let frame = self.at(cx);
            let call = frame.and_then(|frame| self.call(cx, &frame));
            return match call {
                Some(call) => Outcome::Go(Tab::Messages, Some(Subject::Call(call.id))),
                None => Outcome::Say("the frame is of no call".to_owned()),
            };
        }
        match self.list.act(action, self.len(cx)) {
            true => Outcome::Done,
            false => Outcome::Ignored,
        }
    }

    pub(super) fn selected(&self, cx: &Context<'_>) -> Subject {
        let frame = self.at(cx);
        let call = frame.and_then(|frame| self.call(cx, &frame));
        call.map_or(Subject::Connection(self.connection), |call| {
            Subject::Call(call.id)
        })
    }

    pub(super) fn click(&mut self, at: Position, cx: &Context<'_>) -> Outcome {
        // Below what is said of all, and the headings.
        let len = self.len(cx);
        match self.list.click(at.y.checked_sub(2), len) {
            Click::Open => self.act(Action::Open, cx),
            Click::Select => Outcome::Done,
            Click::Miss => Outcome::Ignored,
        }
    }

    pub(super) fn line(&self, cx: &Context<'_>, line: usize) -> String {
        let frame = cx.store.frames.get(self.connection, line);
        frame.map_or(String::new(), |frame| {
            let what = what(&frame, self.call(cx, &frame));
            let stream_id = frame.header.stream_id;
            format!(
                "{} {} stream {stream_id} {what}",
                frame.from, frame.header.kind
            )
        })
    }

    pub(super) fn cursor(&self) -> usize {
        self.list.selected()
    }

    pub(super) fn move_to(&mut self, line: usize) {
        self.list.select(line);
    }

    pub(super) fn go_to(&mut self, at: Time, cx: &Context<'_>) {
        self.list
            .select(cx.store.frames.place_at(self.connection, at));
    }

    pub(super) fn follow(&mut self) -> bool {
        let following = !self.list.is_following();
        self.list.set_following(following);
        following
    }
}
