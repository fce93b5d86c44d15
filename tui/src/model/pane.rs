//! The terminal of the command that runs: what it prints, as a terminal would show it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vt100::{Parser, Screen};

/// The emulator needs room for a wide character.
pub(crate) const SMALLEST: u16 = 2;

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
            parser: Parser::new(lines.max(SMALLEST), columns.max(SMALLEST), SCROLLBACK),
            ended: None,
        }
    }

    /// The command printed this.
    ///
    /// The emulator panics on some of what it has to show in a window that was made smaller (a wide character that is
    /// cut in two): then it begins anew, as a terminal does that is reset.
    pub fn print(&mut self, bytes: &[u8]) {
        let shown = catch_unwind(AssertUnwindSafe(|| self.parser.process(bytes)));
        if shown.is_err() {
            let (lines, columns) = self.parser.screen().size();
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
        self.parser
            .screen_mut()
            .set_size(lines.max(SMALLEST), columns.max(SMALLEST));
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
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// What moves the cursor, scrolls, and is wide.
    fn printed() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-z 日あ🦀é\u{301}\r\n\t\u{8}]{0,12}",
            "\u{1b}\\[[0-9]{0,3}[ABCDGHJKLMPSTXd@]",
            "\u{1b}\\[[0-9]{0,2};[0-9]{0,2}[Hr]",
            "\u{1b}[78MDEc]",
            "\u{1b}\\[\\?(1049|25|47|6|7)[hl]",
        ];
        vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_that_is_printed_breaks_it(
            steps in vec((printed(), 0_u16..12, 0_u16..6), 1..12)
        ) {
            let mut pane = Pane::new(10, 4);
            for (text, columns, lines) in steps {
                pane.print(text.as_bytes());
                pane.resize(columns, lines);
                pane.print(text.as_bytes());
                let (screen, _) = pane.scrolled(3);
                prop_assert!(screen.contents().len() <= 10_000);
            }
        }
    }
}
