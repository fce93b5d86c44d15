//! A program in a pseudo-terminal: what is seen on it, keys for it, and whether it leaves the
//! terminal as it found it.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use buildtap_tui::model::Pane;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Termios, tcgetattr};

use crate::DEADLINE;

/// A program and its terminal.
pub struct Screen {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    parser: Arc<Mutex<Pane>>,
    /// How the terminal was before.
    before: Termios,
    tty: PathBuf,
}

impl Screen {
    /// Starts it in a terminal of so many columns and lines.
    pub fn start(command: &Command, columns: u16, lines: u16) -> Self {
        let pty = native_pty_system()
            .openpty(size(columns, lines))
            .expect("a pseudo-terminal");
        let tty = pty.master.tty_name().expect("it has a name");
        let before = attributes(&tty);
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        builder.env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                builder.env(name, value);
            }
        }
        builder.env("TERM", "xterm-256color");
        builder.cwd(command.get_current_dir().expect("it is said"));
        let child = pty.slave.spawn_command(builder).expect("it starts");
        let mut reader = pty.master.try_clone_reader().expect("it can be read");
        let parser = Arc::new(Mutex::new(Pane::new(columns, lines)));
        std::thread::spawn({
            let parser = Arc::clone(&parser);
            move || {
                let mut buffer = [0; 8192];
                while let Ok(read @ 1..) = reader.read(&mut buffer) {
                    parser.lock().expect("no panic").print(&buffer[..read]);
                }
            }
        });
        // The slave stays open, so that what was said last can be read.
        std::mem::forget(pty.slave);
        Screen {
            child,
            writer: pty.master.take_writer().expect("it can be written"),
            master: pty.master,
            parser,
            before,
            tty,
        }
    }

    /// What is seen now.
    pub fn text(&self) -> String {
        self.parser.lock().expect("no panic").screen().contents()
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).expect("it reads");
        self.writer.flush().expect("it reads");
    }

    /// Makes the terminal so large.
    pub fn resize(&mut self, columns: u16, lines: u16) {
        let mut parser = self.parser.lock().expect("no panic");
        parser.resize(columns, lines);
        drop(parser);
        self.master.resize(size(columns, lines)).expect("it can be");
    }

    /// Waits until all of this is seen.
    pub fn wait_for(&mut self, wanted: &[&str]) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let text = self.text();
            if wanted.iter().all(|wanted| text.contains(wanted)) {
                return;
            }
            let ended = self.child.try_wait().expect("a child");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "gave up waiting for {wanted:?} ({ended:?})\n{text}"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.process_id().expect("it runs");
        let pid = Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("it is there");
    }

    /// Waits for its end, and gives its exit code and what is seen then. The terminal must be as
    /// it was.
    pub fn end(mut self) -> (u32, String) {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() >= deadline {
                let _ = self.child.kill();
                panic!("it does not end\n{}", self.text());
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        // What it said last is on its way.
        while self
            .parser
            .lock()
            .expect("no panic")
            .screen()
            .alternate_screen()
        {
            assert!(Instant::now() < deadline, "the alternate screen is left on");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        let parser = self.parser.lock().expect("no panic");
        let screen = parser.screen();
        assert!(!screen.hide_cursor(), "the cursor is left hidden");
        assert!(!screen.bracketed_paste(), "bracketed paste is left on");
        assert_eq!(
            screen.mouse_protocol_mode(),
            vt100::MouseProtocolMode::None,
            "the mouse is left on"
        );
        let after = attributes(&self.tty);
        assert_eq!(
            (after.local_modes, after.input_modes, after.output_modes),
            (
                self.before.local_modes,
                self.before.input_modes,
                self.before.output_modes
            ),
            "the terminal's modes"
        );
        (status.exit_code(), screen.contents())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A test that fails leaves nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        ..PtySize::default()
    }
}

fn attributes(tty: &std::path::Path) -> Termios {
    let tty = std::fs::File::open(tty).expect("it is there");
    tcgetattr(tty).expect("it is a terminal")
}
