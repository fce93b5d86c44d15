//! The terminal of the command that runs: what it prints, as a terminal would show it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vt100::{Parser, Screen};

/// Lines that are kept above those that are seen.
const SCROLLBACK: usize = 5_000;

/// The smallest terminal that a command has: in one of a single line or column nothing can be
/// wrapped, and [`vt100`] panics.
pub(crate) const SMALLEST: u16 = 2;

/// What is done to the command's terminal from the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToCommand {
    /// It has so many columns and lines now.
    Resize(u16, u16),
    /// These bytes were typed into it.
    Type(Vec<u8>),
}

/// A command and its terminal.
pub struct Pane {
    parser: Parser,
    /// How the command ended, in words.
    ended: Option<String>,
}

impl fmt::Debug for Pane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pane").field("ended", &self.ended).finish()
    }
}

impl Pane {
    /// An empty terminal of so many columns and lines.
    pub fn new(columns: u16, lines: u16) -> Self {
        let (columns, lines) = (columns.max(SMALLEST), lines.max(SMALLEST));
        Pane {
            parser: Parser::new(lines, columns, SCROLLBACK),
            ended: None,
        }
    }

    /// The command printed this. If the emulator cannot cope with it, the terminal is cleared.
    pub fn print(&mut self, bytes: &[u8]) {
        let parser = AssertUnwindSafe(&mut self.parser);
        if catch_unwind(move || { parser }.process(bytes)).is_err() {
            let (columns, lines) = self.size();
            self.parser = Parser::new(lines, columns, SCROLLBACK);
        }
    }

    /// What is seen on it.
    pub fn screen(&self) -> &Screen {
        self.parser.screen()
    }

    /// What is seen on it so many lines further up, and how many lines up that is in fact.
    pub fn scrolled(&self, up: usize) -> (Screen, usize) {
        let mut screen = self.parser.screen().clone();
        screen.set_scrollback(up);
        let up = screen.scrollback();
        (screen, up)
    }

    /// Makes it so large.
    pub fn resize(&mut self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.max(SMALLEST), lines.max(SMALLEST));
        self.parser.screen_mut().set_size(lines, columns);
    }

    /// How many columns and lines it has.
    pub fn size(&self) -> (u16, u16) {
        let (lines, columns) = self.parser.screen().size();
        (columns, lines)
    }

    /// The command ended so.
    pub fn end(&mut self, how: String) {
        self.ended = Some(how);
    }

    /// How the command ended, if it has.
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_terminal_is_too_small_for_what_is_printed() {
        for (columns, lines) in [(0, 0), (1, 1), (1, 40), (80, 1), (2, 2)] {
            let mut pane = Pane::new(80, 24);
            pane.print("日本語 and more\r\n\x1b[1;1r日本語".as_bytes());
            pane.resize(columns, lines);
            pane.print("\x1b[2J\x1b[1;1H日本語 that is wrapped, and wrapped again".as_bytes());
            pane.resize(80, 24);
            pane.print(b"\x1b[2J\x1b[1;1Hhere");
            assert_eq!(pane.screen().contents().trim(), "here");
        }
    }
}
