//! The user's command: started in the terminal as if buildtap were not there, its exit status
//! kept.
//!
//! The command stays in buildtap's process group, in the foreground, so the keys that make
//! signals (Ctrl-C, Ctrl-\, Ctrl-Z) reach it directly. buildtap outlives an interrupt while the
//! command lives, since what the command does about it is worth seeing. Signals that are sent
//! to buildtap alone (SIGTERM, SIGHUP, and SIGINT without a terminal) are passed on.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;

/// How the user's command ended, as a shell would put it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus(pub u8);

impl From<process::ExitStatus> for ExitStatus {
    fn from(status: process::ExitStatus) -> Self {
        // A status has either of them: the code is 0 to 255, a signal 1 to 64.
        let code = status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal))
            .and_then(|code| u8::try_from(code).ok());
        ExitStatus(code.unwrap_or(u8::MAX))
    }
}

/// Why the command could not be started. Displays as a sentence with what to do.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// Exit code 127.
    #[error(
        "there is no command {0:?}: check the spelling and PATH. Everything behind `--` is the command to run"
    )]
    NotFound(OsString),
    /// Exit code 126.
    #[error("the command {0:?} cannot be executed ({1}): check its permissions and format")]
    NotExecutable(OsString, io::Error),
}

/// Changes to the environment that the command inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentChanges {
    /// Variables with their new values.
    pub set: Vec<(&'static str, String)>,
    /// Variables that it does not get.
    pub remove: Vec<&'static str>,
}

/// The signals that buildtap looks after while a command runs, from before it starts.
pub struct Signals {
    interrupt: Option<unix::Signal>,
    quit: Option<unix::Signal>,
    terminate: Option<unix::Signal>,
    hang_up: Option<unix::Signal>,
}

impl Signals {
    /// Takes them over. A signal that buildtap was started to ignore (`nohup`, a background job
    /// of a script) stays ignored, by the command too.
    pub fn take() -> io::Result<Self> {
        let ignored = ignored_signals();
        let take = |kind: SignalKind| {
            let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or_default();
            match ignored.checked_shr(bit) {
                Some(mask) if mask & 1 == 1 => Ok(None),
                _ => unix::signal(kind).map(Some),
            }
        };
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            quit: take(SignalKind::quit())?,
            terminate: take(SignalKind::terminate())?,
            hang_up: take(SignalKind::hangup())?,
        })
    }

    /// Passes over what ended the command: a key of the terminal interrupts the command and us,
    /// and which of the two is noticed first is a matter of luck. Takes [`ECHO`].
    pub(crate) async fn forget(&mut self) {
        let all = async {
            loop {
                self.stop().await;
            }
        };
        let _: Result<(), _> = tokio::time::timeout(ECHO, all).await;
    }

    /// Waits for a signal that asks buildtap itself to end.
    pub async fn stop(&mut self) {
        tokio::select! {
            () = recv(&mut self.interrupt) => {}
            () = recv(&mut self.quit) => {}
            () = recv(&mut self.terminate) => {}
            () = recv(&mut self.hang_up) => {}
        }
    }
}

async fn recv(signal: &mut Option<unix::Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

/// Bit n - 1 is set where signal n is ignored: `SigIgn` of proc_pid_status(5). Zero on systems
/// that do not tell.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

/// Starts `command`, a program and its arguments, with this process's terminal.
pub fn start(
    command: &[OsString],
    environment: &EnvironmentChanges,
) -> Result<Running, ChildError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(ChildError::NotFound(OsString::new()));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    for name in &environment.remove {
        command.env_remove(name);
    }
    for (name, value) in &environment.set {
        command.env(name, value);
    }
    let started = command.spawn();
    let started = started.map(|child| Running::Here(Box::new(child)));
    started.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => ChildError::NotFound(program.clone()),
        _ => ChildError::NotExecutable(program.clone(), e),
    })
}

/// A command that was started.
pub enum Running {
    /// In our terminal.
    Here(Box<Child>),
    /// In a terminal of its own.
    Apart {
        /// Its process id.
        pid: u32,
        /// Tells how it ended.
        ended: oneshot::Receiver<io::Result<process::ExitStatus>>,
    },
}

impl Running {
    fn id(&self) -> Option<u32> {
        match self {
            Running::Here(child) => child.id(),
            Running::Apart { pid, .. } => Some(*pid),
        }
    }

    async fn ended(&mut self) -> io::Result<process::ExitStatus> {
        match self {
            Running::Here(child) => child.wait().await,
            Running::Apart { ended, .. } => ended
                .await
                .unwrap_or_else(|_| Err(io::Error::other("nobody waited for it"))),
        }
    }
}

/// How long after the end of the command a signal is taken for the one that ended it.
pub(crate) const ECHO: Duration = Duration::from_millis(250);

/// How long a command that is asked to end may take for it.
pub const GRACE: Duration = Duration::from_secs(5);

/// Waits for the command to end, and passes on what it would not get otherwise. When `give_up`
/// completes the command is asked to end, and after [`GRACE`] it is ended.
pub async fn wait(
    mut child: Running,
    signals: &mut Signals,
    give_up: impl Future<Output = ()>,
) -> io::Result<ExitStatus> {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    let pass_on = |signal| {
        // It may have ended in this moment; then there is nobody to tell.
        let _ = pid.map(|pid| kill_process(pid, signal));
    };
    // Never completes.
    let mut ending = pin!(async {
        give_up.await;
        pass_on(Signal::TERM);
        tokio::time::sleep(GRACE).await;
        pass_on(Signal::KILL);
        std::future::pending::<()>().await;
    });
    let is_here = matches!(child, Running::Here(_));
    let is_in_foreground = || is_here && in_foreground();
    loop {
        tokio::select! {
            // A child that has ended is reaped here before another signal is looked at, so its
            // pid cannot be somebody else's by then.
            biased;
            status = child.ended() => return status.map(ExitStatus::from),
            () = &mut ending => {}
            () = recv(&mut signals.terminate) => pass_on(Signal::TERM),
            () = recv(&mut signals.hang_up) => pass_on(Signal::HUP),
            () = recv(&mut signals.interrupt) => if !is_in_foreground() { pass_on(Signal::INT) },
            () = recv(&mut signals.quit) => if !is_in_foreground() { pass_on(Signal::QUIT) },
        }
    }
}

/// Whether the terminal's keys send signals to our process group, and so to the command. A
/// second copy of an interrupt must be avoided: docker takes it for impatience.
fn in_foreground() -> bool {
    File::open("/dev/tty")
        .ok()
        .and_then(|tty| rustix::termios::tcgetpgrp(&tty).ok())
        .is_some_and(|foreground| foreground == getpgrp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_status_as_a_shell_puts_it() {
        let status = |raw| ExitStatus::from(process::ExitStatus::from_raw(raw));
        assert_eq!(status(0), ExitStatus(0));
        assert_eq!(status(3 << 8), ExitStatus(3));
        assert_eq!(status(255 << 8), ExitStatus(255));
        assert_eq!(status(15), ExitStatus(143));
        assert_eq!(status(9 | 0x80), ExitStatus(137));
    }
}
