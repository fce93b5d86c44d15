//! Where what is shown goes, and what that place can do.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::termios::tcgetwinsize;

/// A stream that is shown to somebody.
#[derive(Debug)]
pub struct Output {
    to: To,
    /// Whether colours are understood and wanted.
    pub colour: bool,
    /// Columns of the terminal; `None` when it is none.
    pub width: Option<usize>,
}

#[derive(Debug)]
enum To {
    Stdout,
    Stderr,
    File(File),
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Output::terminal(
            To::Stdout,
            io::stdout().is_terminal(),
            tcgetwinsize(io::stdout()),
        )
    }

    /// Standard error.
    pub fn stderr() -> Self {
        Output::terminal(
            To::Stderr,
            io::stderr().is_terminal(),
            tcgetwinsize(io::stderr()),
        )
    }

    fn terminal(
        to: To,
        is_terminal: bool,
        size: rustix::io::Result<rustix::termios::Winsize>,
    ) -> Self {
        // https://no-color.org: any value that is not empty.
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let width = size
            .ok()
            .map(|size| usize::from(size.ws_col))
            .filter(|columns| *columns > 0);
        Output {
            to,
            colour: is_terminal && !unwanted && !dumb,
            width: width.filter(|_| is_terminal),
        }
    }

    /// A file, which is made for its owner alone; what it held is gone.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        Ok(Output {
            to: To::File(file),
            colour: false,
            width: None,
        })
    }

    /// Writes all of it.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        match &mut self.to {
            To::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text.as_bytes())?;
                stdout.flush()
            }
            To::Stderr => io::stderr().lock().write_all(text.as_bytes()),
            To::File(file) => file.write_all(text.as_bytes()),
        }
    }
}
