//! The `buildtap` program: arguments in, exit code out.

mod files;
mod sessions;
mod watching;

use std::process::ExitCode;

use buildtap::cassette;
use buildtap::child::Signals;
use buildtap::cli::{Cli, Command};
use buildtap::diff::diff;
use buildtap::error::{Error, FAILURE, USAGE};
use buildtap::screen;
use clap::{CommandFactory, Parser};

use files::{
    diagnose_file, explain_code, export_file, play_again, redact_file, show_file, view_file,
};
use sessions::{play, proxy, run};

fn main() -> ExitCode {
    let cli = match Cli::parse() {
        // On a terminal the screen is what one wants to see.
        Cli { command: None } if screen::is_possible() => {
            Cli::parse_from(["buildtap", "proxy", "--tui"])
        }
        cli => cli,
    };
    let Some(command) = cli.command else {
        // As if clap had refused it.
        eprintln!("{}", Cli::command().render_help());
        return ExitCode::from(USAGE);
    };
    let on_run = matches!(command, Command::Run(_));
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_start(stand_back)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(
                &Error::System {
                    doing: "start the I/O threads",
                    error,
                },
                on_run,
            );
        }
    };
    let done = match command {
        Command::Run(args) => runtime.block_on(run(args)),
        Command::Proxy(args) => runtime.block_on(proxy(args)),
        Command::Demo(args) => runtime.block_on(play(args)),
        Command::Diagnose(args) => diagnose_file(&args),
        Command::Explain(args) => explain_code(&args),
        Command::Replay(args) => runtime.block_on(play_again(args)),
        Command::Export(args) => export_file(args),
        Command::Show(args) => {
            let _context = runtime.enter();
            show_file(args)
        }
        Command::View(args) => {
            let _context = runtime.enter();
            view_file(&args)
        }
        Command::Redact(args) => redact_file(args),
        Command::Cassette(args) => cassette::write(&args).map(|()| ExitCode::SUCCESS),
        Command::Diff(args) if args.tui => {
            let _context = runtime.enter();
            signals().and_then(|mut signals| {
                screen::diff(&args, |shared| {
                    tokio::spawn(async move {
                        signals.stop().await;
                        shared.stop();
                    });
                })?;
                Ok(ExitCode::SUCCESS)
            })
        }
        Command::Diff(args) => match diff(&args) {
            Ok(true) => Ok(ExitCode::SUCCESS),
            Ok(false) => Ok(ExitCode::from(DIFFERENT)),
            Err(error) => {
                failed(&error, on_run);
                Ok(ExitCode::from(TROUBLE))
            }
        },
    };
    done.unwrap_or_else(|error| failed(&error, on_run))
}

/// Exit codes of `diff`, which are those of diff(1).
const DIFFERENT: u8 = 1;

const TROUBLE: u8 = 2;

/// How far the relay's threads stand back behind those of the client and the daemon.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// Lets the sender go on when it has sent something: if the relay interrupted it for every write,
/// it would be woken four times as often as it needs to be. With a processor to spare nothing
/// changes. Linux has a niceness for each thread, so that the user's command, which the main
/// thread starts, keeps its own.
fn stand_back() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICENESS);
}

fn failed(error: &Error, on_run: bool) -> ExitCode {
    let text = error.to_string();
    let stop = if text.ends_with(['.', '\n', '?']) {
        ""
    } else {
        "."
    };
    eprintln!("buildtap: {text}{stop}");
    ExitCode::from(if on_run {
        error.run_exit_code()
    } else {
        FAILURE
    })
}

pub(crate) fn signals() -> Result<Signals, Error> {
    Signals::take().map_err(|error| Error::System {
        doing: "take over signals",
        error,
    })
}
