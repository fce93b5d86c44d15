//! Every call: who called whom, what for, and how it ended.

use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::filter::Thing;
use buildtap_decoder::trace::{Call, Id, Subject};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::details;
use crate::keys::Action;
use crate::text::{bytes, thousands};
use crate::view::{Context, Outcome, Tab, View};
use crate::widgets::{Cell, Click, Column, List, Table};
use crate::words;

/// The view.
#[derive(Debug, Default)]
pub(super) struct Calls {
    list: List,
    /// The calls in the order in which they are shown, as of the last drawing.
    rows: Vec<Id<Call>>,
    sort: usize,
    reverse: bool,
}

const COLUMNS: &[Column] = &[
    Column::right("call", 6),
    Column::right("at", 8).from(100),
    Column::left("caller", 8),
    Column::rest("method"),
    Column::right("took", 7),
    Column::right("client", 8),
    Column::right("msgs", 7).from(110),
    Column::right("daemon", 8),
    Column::right("msgs", 7).from(110),
    Column::left("status", 12),
    Column::left("in words", 44).from(150),
];

impl Calls {
    fn arrange(&mut self, cx: &Context<'_>) {
        let calls = &cx.store.trace().calls;
        let now = cx.now;
        let sent = |call: &Call, side| call.sent_by(side).bytes;
        let kept = self.rows.get(self.list.selected()).copied();
        self.rows.clear();
        let shown = calls.iter().filter(|call| cx.shows(Thing::Call(call)));
        self.rows.extend(shown.map(|call| call.id));
        let by = |key: &dyn Fn(&Call) -> u64, rows: &mut Vec<Id<Call>>| {
            rows.sort_by_cached_key(|id| calls.get(*id).map_or(0, key));
        };
        let nanos = |call: &Call| call.end.unwrap_or(now).since(call.start).as_nanos() as u64;
        match self.sort {
            2 => by(&|call| call.caller as u64, &mut self.rows),
            3 => self
                .rows
                .sort_by_cached_key(|id| calls.get(*id).map(words::call)),
            4 => by(&nanos, &mut self.rows),
            5 => by(&|call| sent(call, Side::Client), &mut self.rows),
            6 => by(&|call| call.sent_by(Side::Client).messages, &mut self.rows),
            7 => by(&|call| sent(call, Side::Daemon), &mut self.rows),
            8 => by(&|call| call.sent_by(Side::Daemon).messages, &mut self.rows),
            9 => by(
                &|call| {
                    call.status
                        .as_ref()
                        .map_or(u64::MAX, |status| status.code.into())
                },
                &mut self.rows,
            ),
            // By number, which is by time.
            _ => {}
        }
        if self.reverse {
            self.rows.reverse();
        }
        // The cursor stays on its call, where rows move.
        if (self.sort > 1 || self.reverse)
            && let Some(kept) = kept
            && !self.list.is_following()
            && let Some(at) = self.rows.iter().position(|id| *id == kept)
        {
            self.list.select(at);
        }
    }

    fn call<'a>(&self, cx: &Context<'a>, line: usize) -> Option<&'a Call> {
        cx.store.trace().calls.get(*self.rows.get(line)?)
    }
}

impl View for Calls {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        self.arrange(cx);
        let area = details::below(cx, self.selected(cx), self.rows.len(), area, buf);
        let trace = cx.store.trace();
        let (palette, origin) = (cx.palette, cx.store.origin());
        let table = Table {
            columns: COLUMNS,
            sorted: Some((self.sort, self.reverse)),
            palette,
            active: true,
        };
        let rows = &self.rows;
        table.draw(buf, area, &mut self.list, rows.len(), |line| {
            let call = rows.get(line).and_then(|id| trace.calls.get(*id));
            let Some(call) = call else { return Vec::new() };
            let (state, style) = words::call_state(trace, call, palette);
            let sent = |side| call.sent_by(side);
            vec![
                Cell::new(call.id.to_string(), palette.dim()),
                Cell::new(words::offset(call.start, origin), palette.dim()),
                Cell::new(format!("{} →", call.caller), palette.side(call.caller)),
                Cell::plain(words::call(call)),
                Cell::plain(words::took(call.start, call.end, cx.now)),
                Cell::plain(bytes(sent(Side::Client).bytes)),
                Cell::new(thousands(sent(Side::Client).messages), palette.dim()),
                Cell::plain(bytes(sent(Side::Daemon).bytes)),
                Cell::new(thousands(sent(Side::Daemon).messages), palette.dim()),
                Cell::new(state, style),
                Cell::new(words::ending(trace, call), palette.dim()),
            ]
        });
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        match action {
            Action::Open => {
                let Some(call) = self.call(cx, self.list.selected()) else {
                    return Outcome::Done;
                };
                let tab = match call.transfer {
                    Some(_) => Tab::Transfer,
                    None => Tab::Messages,
                };
                Outcome::Go(tab, Some(Subject::Call(call.id)))
            }
            Action::Sort => {
                self.sort = (self.sort + 1) % (COLUMNS.len() - 1);
                Outcome::Done
            }
            Action::Reverse => {
                self.reverse = !self.reverse;
                Outcome::Done
            }
            _ => match self.list.act(action, self.rows.len()) {
                true => Outcome::Done,
                false => Outcome::Ignored,
            },
        }
    }

    fn selected(&self, cx: &Context<'_>) -> Option<Subject> {
        self.subject(cx, self.list.selected())
    }

    fn click(&mut self, at: Position, cx: &Context<'_>) -> Outcome {
        match self.list.click(at.y.checked_sub(1), self.rows.len()) {
            Click::Open => self.act(Action::Open, cx),
            Click::Select => Outcome::Done,
            Click::Miss => Outcome::Ignored,
        }
    }

    fn lines(&self, _: &Context<'_>) -> usize {
        self.rows.len()
    }

    fn line(&self, cx: &Context<'_>, line: usize) -> String {
        let Some(call) = self.call(cx, line) else {
            return String::new();
        };
        let ending = words::ending(cx.store.trace(), call);
        format!("{} {} {ending}", call.id, words::call(call))
    }

    fn subject(&self, cx: &Context<'_>, line: usize) -> Option<Subject> {
        self.call(cx, line).map(|call| Subject::Call(call.id))
    }

    fn cursor(&self) -> usize {
        self.list.selected()
    }

    fn move_to(&mut self, line: usize) {
        self.list.select(line);
    }

    fn go_to(&mut self, at: Time, cx: &Context<'_>) {
        let later = |id: &Id<Call>| {
            let call = cx.store.trace().calls.get(*id);
            call.is_some_and(|call| call.start >= at)
        };
        if let Some(line) = self.rows.iter().position(later) {
            self.list.select(line);
        }
    }

    fn follow(&mut self) -> Option<bool> {
        let following = !self.list.is_following();
        self.list.set_following(following);
        Some(following)
    }

    fn hints(&self) -> &'static [Action] {
        &[
            Action::Open,
            Action::Messages,
            Action::Findings,
            Action::Sort,
            Action::Filter,
            Action::Follow,
        ]
    }
}
