//! A cursor in many lines, of which a few are seen.

use std::ops::Range;

use crate::keys::Action;

/// What a click in a list asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Click {
    /// To open the line that the cursor is on.
    Open,
    /// Another line, on which the cursor is now.
    Select,
    /// Nothing: there is no line.
    Miss,
}

/// Where the user stands in a list. The lines themselves are elsewhere: only those in the
/// [`window`](List::window) need to be made.
#[derive(Clone, Debug, Default)]
pub struct List {
    selected: usize,
    offset: usize,
    height: usize,
    following: bool,
}

impl List {
    /// The line under the cursor.
    pub fn selected(&self) -> usize {
        self.selected
    }

    /// Puts the cursor on a line.
    pub fn select(&mut self, line: usize) {
        self.selected = line;
        self.following = false;
    }

    /// What the cursor is on has moved to this line.
    pub fn keep(&mut self, line: usize) {
        if !self.following {
            self.selected = line;
        }
    }

    /// Whether it stays at the last line.
    pub fn is_following(&self) -> bool {
        self.following
    }

    /// Stays at the last line, or not.
    pub fn set_following(&mut self, following: bool) {
        self.following = following;
    }

    /// The lines that are seen, of `len`, where `height` fit; the cursor is among them.
    pub fn window(&mut self, len: usize, height: usize) -> Range<usize> {
        self.height = height;
        let last = len.saturating_sub(1);
        if self.following {
            self.selected = last;
        }
        self.selected = self.selected.min(last);
        let lowest = (self.selected + 1).saturating_sub(height.max(1));
        self.offset = self.offset.clamp(lowest, self.selected);
        self.offset = self.offset.min(len.saturating_sub(height));
        self.offset..len.min(self.offset + height)
    }

    /// Moves as a key asks; false if it asks for something else.
    pub fn act(&mut self, action: Action, len: usize) -> bool {
        let last = len.saturating_sub(1);
        let page = self.height.saturating_sub(1).max(1);
        let half = (self.height / 2).max(1);
        let was = self.following;
        self.following = false;
        match action {
            Action::Up => self.selected = self.selected.saturating_sub(1),
            Action::Down => self.selected = (self.selected + 1).min(last),
            Action::PageUp => self.selected = self.selected.saturating_sub(page),
            Action::PageDown => self.selected = (self.selected + page).min(last),
            Action::HalfPageUp => self.selected = self.selected.saturating_sub(half),
            Action::HalfPageDown => self.selected = (self.selected + half).min(last),
            Action::Top => self.selected = 0,
            Action::Bottom => {
                self.selected = last;
                self.following = true;
            }
            _ => {
                self.following = was;
                return false;
            }
        }
        true
    }

    /// A click so many lines below the first one that is seen, of `len`; `None`: above it.
    pub fn click(&mut self, below: Option<u16>, len: usize) -> Click {
        match below.and_then(|below| self.seen_at(below, len)) {
            Some(line) if line == self.selected => Click::Open,
            Some(line) => {
                self.select(line);
                Click::Select
            }
            None => Click::Miss,
        }
    }

    /// The line that is seen so many lines below the first, of `len`.
    pub fn seen_at(&self, below: u16, len: usize) -> Option<usize> {
        let line = self.offset + usize::from(below);
        (usize::from(below) < self.height && line < len).then_some(line)
    }

    /// The first line that is seen.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_always_seen() {
        let mut list = List::default();
        assert_eq!(list.window(100, 10), 0..10);
        list.select(50);
        assert_eq!(list.window(100, 10), 41..51);
        list.act(Action::Up, 100);
        assert_eq!(list.window(100, 10), 41..51);
        list.act(Action::Top, 100);
        assert_eq!(list.window(100, 10), 0..10);
        list.act(Action::Bottom, 100);
        assert_eq!(list.window(200, 10), 190..200);
        // What it stood on is gone.
        assert_eq!(list.window(3, 10), 0..3);
        assert_eq!(list.window(0, 10), 0..0);
        assert_eq!(list.window(5, 0), 4..4);
    }
}
