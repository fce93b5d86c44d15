//! Bookmarks: they stay with what they were set on, wherever that has moved since.

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::Subject;

use super::App;
use crate::model::Store;
use crate::view::{Context, Focus, View};

/// What the user wants to come back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bookmark {
    tab: usize,
    focus: Focus,
    place: Place,
}

/// A line, and how it is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    line: usize,
    subject: Option<Subject>,
    text: String,
}

/// Lines that are looked at for it, up and down.
const FAR: usize = 20_000;

impl Place {
    /// Where the cursor of a view is.
    fn of(view: &dyn View, cx: &Context<'_>) -> Self {
        let line = view.cursor();
        Place {
            line,
            subject: view.selected(cx),
            text: view.line(cx, line),
        }
    }

    /// Whether it is the same thing, wherever it stands.
    fn is(&self, other: &Self) -> bool {
        let same = self.line == other.line || self.text == other.text;
        same && self.subject == other.subject
    }

    /// The line on which it stands now: the nearest that says the same, else the nearest about the
    /// same thing.
    pub(super) fn find(&self, view: &dyn View, cx: &Context<'_>) -> Option<usize> {
        let lines = view.lines(cx);
        let near = (0..=lines.max(self.line).min(FAR))
            .flat_map(|away| [self.line.checked_sub(away), self.line.checked_add(away)]);
        let near = near.flatten().filter(|line| *line < lines);
        let about = |line: &usize| view.subject(cx, *line);
        let says = |line: &usize| {
            let may_be = about(line).is_none_or(|it| Some(it) == self.subject);
            may_be && view.line(cx, *line) == self.text
        };
        let is_about = |line: &usize| self.subject.is_some() && about(line) == self.subject;
        near.clone()
            .find(says)
            .or_else(|| near.clone().find(is_about))
    }
}

impl App {
    fn place(&mut self, store: &Store, now: Time) -> Option<Place> {
        self.with_view(store, now, |view, cx| Place::of(view, cx))
    }

    /// Sets a bookmark, or removes it.
    pub(super) fn bookmark(&mut self, store: &Store, now: Time) {
        let Some(place) = self.place(store, now) else {
            return;
        };
        if let Some(at) = self.bookmark_at(&place) {
            self.bookmarks.remove(at);
            self.say("the bookmark is gone");
            return;
        }
        let mut focus = self.sight.focus;
        if let Some(subject) = place.subject {
            focus.turn_to(subject, store);
        }
        self.bookmarks.push(Bookmark {
            tab: self.tab,
            focus,
            place,
        });
        let number = self.bookmarks.len();
        self.say(format!("bookmark {number}; ' goes to the next one"));
    }

    fn bookmark_at(&self, place: &Place) -> Option<usize> {
        let is_here = |it: &Bookmark| it.tab == self.tab && it.place.is(place);
        self.bookmarks.iter().position(is_here)
    }

    /// Goes to the bookmark behind the one under the cursor, or to the first.
    pub(super) fn next_bookmark(&mut self, store: &Store, now: Time) {
        let here = self.place(store, now);
        let here = here.and_then(|place| self.bookmark_at(&place));
        let next = here.map_or(0, |here| here + 1) % self.bookmarks.len().max(1);
        match self.bookmarks.get(next).cloned() {
            None => self.say("there is no bookmark: b sets one"),
            Some(bookmark) => {
                self.leave();
                self.tab = bookmark.tab;
                self.sight.focus = bookmark.focus;
                self.come_back = Some(bookmark.place);
                self.say(format!("bookmark {} of {}", next + 1, self.bookmarks.len()));
            }
        }
    }
}
