//! The terminal of the command that runs: what it prints, as a terminal would show it.

use std::fmt;

use vt100::{Parser, Screen};

/// Lines that are kept above those that are seen.
const SCROLLBACK: usize = 5_000;

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
        Pane {
            parser: Parser::new(lines.max(1), columns.max(1), SCROLLBACK),
            ended: None,
        }
    }

    /// The command printed this.
    pub fn print(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
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
        self.parser
            .screen_mut()
            .set_size(lines.max(1), columns.max(1));
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
