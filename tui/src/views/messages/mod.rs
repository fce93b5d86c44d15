//! The messages of a call: both directions on one axis of time; of the one under the cursor, what
//! it says as a tree, and the bytes that say so.

mod copy;
mod hex;
mod kept;
mod panes;
mod parts;

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Call, Id, Subject};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::keys::Action;
use crate::model::{Kind, Message};
use crate::text::{Pen, bytes, count, duration};
use crate::view::{Context, Outcome, View};
use crate::widgets::{List, rule};
use crate::words;
use hex::Marks;
use kept::Kept;
use panes::Panes;
use parts::Parts;

/// The view.
#[derive(Debug, Default)]
pub(super) struct Messages {
    list: List,
    call: Option<Id<Call>>,
    kept: Kept,
    pane: Pane,
    /// The message under the cursor, and its number among all.
    open: Option<(u64, Parts)>,
    tree: List,
    /// What is seen of the bytes, and where the cursor is in them.
    marks: Marks,
    /// Where things were drawn last, for the mouse.
    drawn: Panes,
}

/// Where the keys go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pane {
    #[default]
    List,
    Tree,
    Bytes,
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

impl Messages {
    /// The call that is looked at: the newest if none was chosen.
    fn call<'a>(cx: &Context<'a>) -> Option<&'a Call> {
        let calls = &cx.store.trace().calls;
        match cx.focus.call {
            Some(id) => calls.get(id),
            None => calls.iter().next_back(),
        }
    }

    /// The message on a line of the list.
    fn message<'a>(&self, cx: &Context<'a>, call: &Call, line: usize) -> Option<Message<'a>> {
        cx.store.messages.of_call(call.id, self.kept.place(line)?)
    }

    fn selected_message<'a>(&self, cx: &Context<'a>) -> Option<(&'a Call, Message<'a>)> {
        let call = Self::call(cx)?;
        Some((call, self.message(cx, call, self.list.selected())?))
    }

    /// Opens the message under the cursor, if it is not open.
    fn look(&mut self, cx: &Context<'_>) {
        let Some((call, message)) = self.selected_message(cx) else {
            self.open = None;
            return;
        };
        if self
            .open
            .as_ref()
            .is_some_and(|(seq, _)| *seq == message.seq)
        {
            return;
        }
        let tree = copy::tree(cx, call, &message);
        self.open = tree.map(|tree| (message.seq, Parts::new(tree)));
        self.tree = List::default();
        self.marks = Marks::default();
    }

    fn parts(&self) -> Option<&Parts> {
        self.open.as_ref().map(|(_, parts)| parts)
    }

    /// Marks the bytes of the node under the cursor, and scrolls to them.
    fn mark(&mut self) {
        let Some((_, parts)) = &self.open else {
            return;
        };
        let Some((at, part)) = parts.on(self.tree.selected()) else {
            return;
        };
        let node = &part.node;
        // All of it would hide what it is to show.
        (self.marks.range, self.marks.content) = match at {
            0 => (0..0, 0..0),
            _ => (node.range.clone(), node.content.clone()),
        };
        let height = usize::from(self.drawn.bytes.height).max(1);
        let first = self.marks.cursor.unwrap_or(node.range.start) / hex::WIDTH;
        if first < self.marks.top || first >= self.marks.top + height {
            self.marks.top = first.saturating_sub(height / 3);
        }
        let lines = parts.bytes.len().div_ceil(hex::WIDTH);
        self.marks.top = self.marks.top.min(lines.saturating_sub(height));
    }

    /// Moves in the tree.
    fn act_in_tree(&mut self, action: Action) -> Outcome {
        let Some((_, parts)) = &mut self.open else {
            return Outcome::Ignored;
        };
        let line = self.tree.selected();
        self.marks.cursor = None;
        match action {
            Action::Left => self.tree.select(parts.left(line)),
            Action::Right => self.tree.select(parts.right(line)),
            Action::Toggle | Action::Open => parts.toggle(line),
            _ if self.tree.act(action, parts.seen.len()) => {}
            _ => return Outcome::Ignored,
        }
        Outcome::Done
    }

    /// Moves in the bytes: the tree follows to what the byte under the cursor is of.
    fn act_in_bytes(&mut self, action: Action) -> Outcome {
        let Some((_, parts)) = &mut self.open else {
            return Outcome::Ignored;
        };
        let Some(last) = parts.bytes.len().checked_sub(1) else {
            return Outcome::Ignored;
        };
        let at = self.marks.cursor.unwrap_or(self.marks.content.start);
        let page = usize::from(self.drawn.bytes.height).max(1) * hex::WIDTH;
        let at = match action {
            Action::Left => at.saturating_sub(1),
            Action::Right => at + 1,
            Action::Up => at.checked_sub(hex::WIDTH).unwrap_or(at),
            Action::Down if at + hex::WIDTH <= last => at + hex::WIDTH,
            Action::Down => at,
            Action::PageUp | Action::HalfPageUp => at.saturating_sub(page),
            Action::PageDown | Action::HalfPageDown => at + page,
            Action::Top => 0,
            Action::Bottom => last,
            _ => return Outcome::Ignored,
        };
        self.point_at(at.min(last));
        Outcome::Done
    }

    /// Puts the cursor on a byte, and the one of the tree on what that is of.
    fn point_at(&mut self, byte: usize) {
        let Some((_, parts)) = &mut self.open else {
            return;
        };
        self.marks.cursor = Some(byte);
        let node = parts.at_byte(byte);
        self.tree.select(parts.reveal(node));
    }
}

impl View for Messages {
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer) {
        let Some(call) = Self::call(cx) else {
            Pen::new(buf, area, 0).put(" no call yet", cx.palette.dim());
            return;
        };
        if self.call.replace(call.id) != Some(call.id) {
            self.list = List::default();
            self.pane = Pane::List;
        }
        let len = self.kept.update(cx, call);
        let mut pen = Pen::new(buf, area, 0);
        pen.put(&format!(" call {} ", call.id), cx.palette.dim())
            .put(&words::call(call), cx.palette.strong());
        let all = cx.store.messages.count(call.id) as u64;
        let many = match len as u64 == all {
            true => count(all, "message"),
            false => format!("{len} of {}", count(all, "message")),
        };
        pen.put(&format!("  {many}"), cx.palette.dim());
        let trace = cx.store.trace();
        let is_about = |wait: &&crate::model::Wait| wait.is_about(trace, Subject::Call(call.id));
        match cx.waits.iter().find(is_about) {
            Some(wait) => {
                let (side, action) = (wait.side, &wait.action);
                let age = duration(wait.age(cx.now));
                pen.put("  ● ", cx.palette.busy()).put(
                    &format!("the {side} must {action}, for {age}"),
                    cx.palette.busy(),
                );
            }
            None => {
                let ending = words::ending(trace, call);
                pen.put(&format!("  {ending}"), cx.palette.dim());
            }
        }
        let below = Rect {
            y: area.y + 1,
            height: area.height.saturating_sub(1),
            ..area
        };
        self.drawn = self.panes(below, len);
        self.draw_list(cx, call, len, buf);
        self.look(cx);
        self.mark();
        let Panes { tree, bytes, .. } = self.drawn;
        if tree.height == 0 {
            return;
        }
        let over = |pane: Rect| Rect {
            y: pane.y.saturating_sub(1),
            height: 1,
            ..pane
        };
        let number = self.list.selected() + 1;
        let title = match len {
            0 => "no message".to_owned(),
            _ => format!("message {number}"),
        };
        rule(buf, over(tree), 0, &title, cx.palette);
        rule(buf, over(bytes), 0, &self.place(), cx.palette);
        self.draw_tree(cx, buf);
        self.draw_bytes(cx, buf);
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome {
        let len = Self::call(cx).map_or(0, |call| self.kept.update(cx, call));
        match (action, self.pane) {
            (Action::CopyJson | Action::CopyHex | Action::CopyGrpcurl, _) => {
                self.copied(action, cx)
            }
            (Action::Pane, _) if self.open.is_some() => {
                self.pane = match self.pane {
                    Pane::List => Pane::Tree,
                    Pane::Tree => Pane::Bytes,
                    Pane::Bytes => Pane::List,
                };
                Outcome::Done
            }
            (Action::Back, Pane::Tree | Pane::Bytes) => {
                self.pane = Pane::List;
                Outcome::Done
            }
            (Action::Open | Action::Right, Pane::List) if self.open.is_some() => {
                self.pane = Pane::Tree;
                Outcome::Done
            }
            // Out of the tree where nothing more can be folded.
            (Action::Left, Pane::Tree) if self.tree.selected() == 0 => {
                self.pane = Pane::List;
                Outcome::Done
            }
            (_, Pane::List) => match self.list.act(action, len) {
                true => Outcome::Done,
                false => Outcome::Ignored,
            },
            (_, Pane::Tree) => self.act_in_tree(action),
            (_, Pane::Bytes) => self.act_in_bytes(action),
        }
    }

    fn selected(&self, cx: &Context<'_>) -> Option<Subject> {
        Self::call(cx).map(|call| Subject::Call(call.id))
    }

    fn click(&mut self, at: Position, cx: &Context<'_>) -> Outcome {
        let Some(call) = Self::call(cx) else {
            return Outcome::Ignored;
        };
        // Places of the mouse count from the corner of the view, the panes from that of the
        // screen; the heading is the first line of both.
        let corner = (self.drawn.list.x, self.drawn.list.y.saturating_sub(1));
        let at = Position::new(at.x + corner.0, at.y + corner.1);
        let Panes { list, tree, bytes } = self.drawn;
        if list.contains(at) {
            let len = self.kept.update(cx, call);
            self.pane = Pane::List;
            // The first line has the headings.
            let line = (at.y - list.y).checked_sub(1);
            if let Some(line) = line.and_then(|line| self.list.seen_at(line, len)) {
                self.list.select(line);
            }
        } else if tree.contains(at) {
            let len = self.parts().map_or(0, |parts| parts.seen.len());
            if let Some(line) = self.tree.seen_at(at.y - tree.y, len) {
                let again = self.pane == Pane::Tree && line == self.tree.selected();
                self.pane = Pane::Tree;
                self.tree.select(line);
                self.marks.cursor = None;
                if again {
                    return self.act_in_tree(Action::Toggle);
                }
            }
        } else if bytes.contains(at)
            && let Some(byte) = hex::byte_at(at.x - bytes.x, at.y - bytes.y, self.marks.top)
            && self.parts().is_some_and(|parts| byte < parts.bytes.len())
        {
            self.pane = Pane::Bytes;
            self.point_at(byte);
        }
        Outcome::Done
    }

    fn lines(&self, cx: &Context<'_>) -> usize {
        match (self.pane, self.parts()) {
            (Pane::Tree | Pane::Bytes, Some(parts)) => parts.nodes.len(),
            _ => Self::call(cx).map_or(0, |call| self.kept.len(cx, call)),
        }
    }

    fn line(&self, cx: &Context<'_>, line: usize) -> String {
        match (self.pane, self.parts(), Self::call(cx)) {
            (Pane::Tree | Pane::Bytes, Some(parts), _) => parts.text(line),
            (_, _, Some(call)) => match self.message(cx, call, line) {
                Some(message) => summary(cx, call, &message),
                None => String::new(),
            },
            _ => String::new(),
        }
    }

    fn cursor(&self) -> usize {
        match (self.pane, self.parts()) {
            (Pane::Tree | Pane::Bytes, Some(parts)) => {
                parts.on(self.tree.selected()).map_or(0, |(at, _)| at)
            }
            _ => self.list.selected(),
        }
    }

    fn move_to(&mut self, line: usize) {
        match (self.pane, &mut self.open) {
            (Pane::Tree | Pane::Bytes, Some((_, parts))) => {
                self.tree.select(parts.reveal(line));
                self.marks.cursor = None;
            }
            _ => self.list.select(line),
        }
    }

    fn go_to(&mut self, at: Time, cx: &Context<'_>) {
        if let Some(call) = Self::call(cx) {
            let place = cx.store.messages.place_at(call.id, at);
            self.list.select(self.kept.line(place));
        }
    }

    fn follow(&mut self) -> Option<bool> {
        let following = !self.list.is_following();
        self.list.set_following(following);
        Some(following)
    }

    fn hints(&self) -> &'static [Action] {
        match self.pane {
            Pane::List => &[
                Action::Open,
                Action::Pane,
                Action::CopyJson,
                Action::CopyHex,
                Action::GoTo,
                Action::Back,
            ],
            Pane::Tree => &[
                Action::Toggle,
                Action::Pane,
                Action::CopyJson,
                Action::CopyHex,
                Action::Back,
            ],
            Pane::Bytes => &[Action::Pane, Action::CopyHex, Action::Back],
        }
    }
}
