//! A program while it runs: what it has said so far, signals for it, and its end, all with deadlines.

use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::DEADLINE;

/// A program in a process group of its own, which ends with it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Pipe,
    stderr: Pipe,
}

/// How a program ended and what it said.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit code; 128 + N after signal N, as a shell says it.
    pub fn code(&self) -> i32 {
        let signal = self.status.signal().map(|signal| 128 + signal);
        self.status.code().or(signal).expect("it ended")
    }

    /// The same, which must be a success.
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finished {
            status,
            stdout,
            stderr,
        } = self;
        write!(f, "{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// A command whose interrupts work: a shell starts background jobs with SIGINT ignored, which is inherited.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,QUIT").arg(program);
    command
}

impl Process {
    /// Starts it, without standard input.
    pub fn start(command: &mut Command) -> Self {
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot start {command:?}: {error}"),
        };
        let stdout = Pipe::new(child.stdout.take().expect("piped"));
        let stderr = Pipe::new(child.stderr.take().expect("piped"));
        Process {
            child,
            stdout,
            stderr,
        }
    }

    /// Starts it and waits for its end.
    pub fn run(command: &mut Command) -> Finished {
        Process::start(command).finish()
    }

    /// Its process id, also that of its group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Waits until `wanted` is found in what it writes to standard error, and gives that.
    pub fn wait_for_stderr<T>(&mut self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.wait_for(what, |process| wanted(&process.stderr()))
    }

    /// The same of standard output.
    pub fn wait_for_stdout<T>(&mut self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.wait_for(what, |process| wanted(&process.stdout()))
    }

    fn wait_for<T>(&mut self, what: &str, wanted: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            // In this order: what it says before it ends counts.
            let ended = self.child.try_wait().expect("a child").is_some();
            if let Some(found) = wanted(self) {
                return found;
            }
            let (out, said) = (self.stdout(), self.stderr());
            assert!(!ended, "it ended before: {what}\n{said}");
            assert!(
                Instant::now() < deadline,
                "gave up waiting: {what}\n{said}\n{out}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until `ready`, or until it has ended; gives whether it still runs.
    pub fn runs_until(&mut self, what: &str, ready: impl Fn() -> bool) -> bool {
        crate::wait_for(what, || {
            // In this order: what it does before it ends counts.
            let ended = self.child.try_wait().expect("a child").is_some();
            (ready() || ended).then_some(!ended)
        })
    }

    /// Waits until it says `text` on standard error.
    pub fn wait_until_said(&mut self, text: &str) {
        self.wait_for_stderr(text, |said| said.contains(text).then_some(()));
    }

    /// Sends a signal to its whole process group, as a terminal does.
    pub fn signal_group(&self, signal: Signal) {
        let id = self.child.id().try_into().expect("a process id");
        kill_process_group(Pid::from_raw(id).expect("a process id"), signal).expect("a group");
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Finished {
        self.finish_within(DEADLINE)
    }

    /// Waits for its end, for so long.
    pub fn finish_within(&mut self, limit: Duration) -> Finished {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "it did not end\n{}\n{}",
                self.stdout(),
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        Finished {
            status,
            stdout: self.stdout.close(),
            stderr: self.stderr.close(),
        }
    }

    /// Interrupts it and waits for its end.
    pub fn interrupt(self) -> Finished {
        self.signal_group(Signal::INT);
        self.finish()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal_group(Signal::KILL);
            // It cannot refuse.
            let _ = self.child.wait();
        }
    }
}

/// What comes out of a pipe, gathered by a thread.
#[derive(Debug)]
struct Pipe {
    text: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Pipe {
    fn new(mut from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let gathered = Arc::clone(&text);
        let thread = std::thread::spawn(move || {
            let mut piece = [0; 65_536];
            while let Ok(n @ 1..) = from.read(&mut piece) {
                let mut gathered = gathered.lock().expect("nobody panics here");
                gathered.extend_from_slice(&piece[..n]);
            }
        });
        Pipe {
            text,
            thread: Some(thread),
        }
    }

    fn text(&self) -> String {
        let text = self.text.lock().expect("nobody panics here");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits until all who hold the pipe are gone.
    fn close(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("nobody panics here");
        }
        self.text()
    }
}
