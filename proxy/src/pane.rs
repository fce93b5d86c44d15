//! The user's command in a pseudo-terminal of its own, which is a pane of the screen.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use buildtap_tui::model::{Shared, ToCommand};
use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::fs::{Access, access};
use rustix::termios::tcgetwinsize;
use tokio::sync::oneshot;

use crate::child::{ChildError, EnvironmentChanges, Running};

/// What may wait to be typed.
const TYPED: usize = 64;

/// Starts `command` in a pseudo-terminal that `shared` shows.
pub fn start(
    command: &[OsString],
    environment: &EnvironmentChanges,
    shared: &Arc<Shared>,
) -> Result<Running, ChildError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(ChildError::NotFound(OsString::new()));
    };
    look_for(program)?;
    let failed = |error| ChildError::NotExecutable(program.clone(), error);
    let (columns, lines) = tcgetwinsize(io::stdout()).map_or((80, 24), |size| {
        (size.ws_col.max(1), size.ws_row.max(4) - 3)
    });
    let pty = native_pty_system().openpty(PtySize {
        rows: lines,
        cols: columns,
        ..PtySize::default()
    });
    let pty = pty.map_err(io::Error::other).map_err(failed)?;
    let mut builder = CommandBuilder::new(program);
    builder.args(arguments);
    builder.env_clear();
    for (name, value) in std::env::vars_os() {
        builder.env(name, value);
    }
    for name in &environment.remove {
        builder.env_remove(name);
    }
    for (name, value) in &environment.set {
        builder.env(name, value);
    }
    builder.cwd(std::env::current_dir().map_err(failed)?);
    let child = pty.slave.spawn_command(builder);
    let child: Box<dyn portable_pty::Child> = child.map_err(io::Error::other).map_err(failed)?;
    // What is left open of it here would keep its terminal open when the command has ended.
    drop(pty.slave);
    let Ok(mut child) = child.downcast::<process::Child>() else {
        return Err(failed(io::Error::other("its process cannot be watched")));
    };
    let reader = pty.master.try_clone_reader();
    let reader = reader.map_err(io::Error::other).map_err(failed)?;
    let writer = pty.master.take_writer();
    let writer = writer.map_err(io::Error::other).map_err(failed)?;
    let (sender, receiver) = sync_channel(TYPED);
    shared.run(columns, lines, sender);
    let pid = child.id();
    let (tell, ended) = oneshot::channel();
    spawn("output", {
        let shared = Arc::clone(shared);
        move || print(reader, &shared)
    })
    .map_err(failed)?;
    spawn("typing", move || obey(&*pty.master, writer, &receiver)).map_err(failed)?;
    spawn("command", {
        let shared = Arc::clone(shared);
        move || {
            let status = child.wait();
            shared.ended(match &status {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            });
            // Nobody waits for it any more if this fails.
            let _ = tell.send(status);
        }
    })
    .map_err(failed)?;
    Ok(Running::Apart { pid, ended })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(name.into());
    thread.spawn(run).map(drop)
}

/// Finds the program as execvp(3) does, for the sake of what is said if it is not there.
fn look_for(program: &OsStr) -> Result<(), ChildError> {
    let path = Path::new(program);
    let not_found = || ChildError::NotFound(program.to_owned());
    let mut seen = None;
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<_> = match path.components().count() > 1 || path.is_absolute() {
        true => vec![path.to_owned()],
        false => std::env::split_paths(&directories)
            .map(|it| it.join(path))
            .collect(),
    };
    for candidate in candidates.iter().filter(|it| it.is_file()) {
        match access(candidate, Access::EXEC_OK) {
            Ok(()) => return Ok(()),
            Err(error) => seen = Some(error),
        }
    }
    match seen {
        Some(error) => Err(ChildError::NotExecutable(program.to_owned(), error.into())),
        None => Err(not_found()),
    }
}

/// Shows what the command prints, until its terminal is closed.
fn print(mut reader: Box<dyn Read + Send>, shared: &Shared) {
    let mut buffer = [0; 8192];
    // The end of a pseudo-terminal is an error on Linux.
    while let Ok(read) = reader.read(&mut buffer) {
        match buffer.get(..read) {
            None | Some([]) => break,
            Some(bytes) => shared.printed(bytes),
        }
    }
}

/// Does to the terminal what the screen asks for.
fn obey(master: &dyn MasterPty, mut writer: Box<dyn Write + Send>, receiver: &Receiver<ToCommand>) {
    for what in receiver {
        let done = match what {
            ToCommand::Resize(cols, rows) => {
                let size = PtySize {
                    rows,
                    cols,
                    ..PtySize::default()
                };
                master.resize(size).map_err(io::Error::other)
            }
            ToCommand::Type(bytes) => writer.write_all(&bytes).and_then(|()| writer.flush()),
        };
        if done.is_err() {
            break;
        }
    }
}
