//! `run`, `proxy` and `demo`: sessions that go on.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use buildtap::cli::{DemoArgs, ProxyArgs, RunArgs, Scenario};
use buildtap::command::{self, Listening, ProxyOptions, RunOptions};
use buildtap::demo;
use buildtap::diagnose::Diagnosis;
use buildtap::error::{Error, STALLED};
use buildtap::output::Output;
use buildtap::pane;
use buildtap::screen;
use buildtap::stall;
use buildtap::upstream::{self, Environment};
use buildtap::view::diagnosis::About;
use buildtap::view::standing::standing;
use buildtap::watch::DecodingTap;
use buildtap_fixtures::peers::scenario;
use buildtap_tui::model::Progress;
use tokio::signal::unix::{SignalKind, signal};

use crate::signals;
use crate::watching::{Recording, Watched, Watching, live, notices, open_screen};

pub(crate) async fn run(mut args: RunArgs) -> Result<ExitCode, Error> {
    if let Some(limit) = args.fail_on_stall {
        // What is to end the command must be found by then.
        args.view.stall_after = args.view.stall_after.min(limit);
    }
    let environment = Environment::of_process();
    let upstreams = upstream::resolve(&environment, args.upstream.as_ref())?;
    let record = args.recording.record.as_deref();
    let screen = match args.tui {
        true => Some(open_screen(named(&args.command), &args.view, record)?),
        false => None,
    };
    let options = RunOptions {
        command: args.command,
        upstreams,
        socket_parent: command::socket_parent(&environment),
        notices: notices(screen.as_ref()),
    };
    let shared = screen
        .as_ref()
        .map(|(screen, _)| Arc::clone(screen.shared()));
    let left = screen.as_ref().map(|(screen, _)| screen.left());
    let mask = args.recording.redaction.mask.clone();
    let recording = Recording::start(
        args.recording,
        Some(&options.command),
        &args.view,
        &options.notices,
    )?;
    let live = live(&args.otlp, &mask, &args.view, &options.notices)?;
    let watching = Watching::start(&args.view, Output::stderr, recording, screen, live)?;
    let show_secrets = args.view.show_secrets;
    let stalled = OnceLock::new();
    let give_up = nothing_moves(&watching.tap, args.fail_on_stall, show_secrets, &stalled);
    let status = match (shared, left) {
        (Some(shared), Some(left)) => {
            let shown = Arc::clone(&shared);
            let mut signals = signals()?;
            let start =
                |command: &[OsString], environment: &_| pane::start(command, environment, &shown);
            let mut left = std::pin::pin!(left);
            let give_up = async {
                tokio::select! {
                    () = give_up => {}
                    () = &mut left => {}
                }
            };
            let run = command::run_in(options, start, watching.tap(), |_| (), give_up);
            // A signal ends the screen, too; the command gets it where it is waited for.
            let stop = async {
                signals.stop().await;
                shared.stop();
                std::future::pending().await
            };
            let status = tokio::select! {
                status = run => status,
                () = stop => unreachable!("it never completes"),
            };
            if status.is_ok() && stalled.get().is_none() {
                shared.set_progress(Progress::Over(None));
                tokio::select! {
                    () = screen::left(&shared) => {}
                    () = signals.stop() => {}
                }
            }
            status
        }
        _ => {
            tell_on_request(&watching.tap)?;
            command::run(options, watching.tap(), |_| (), give_up).await
        }
    };
    // A command that did not run said nothing.
    match status {
        Err(error @ Error::Child(_)) => {
            if let Some(recording) = watching.recording {
                recording.recorder.finish();
            }
            if let Watched::Screen(screen, ..) = watching.shown {
                screen.close()?;
            }
            return Err(error);
        }
        _ => watching.finish(),
    }
    if let Some(diagnosis) = stalled.get() {
        // After all that the end of the command brought with it.
        eprint!("\nbuildtap: why the command was ended:\n\n{diagnosis}");
        return Ok(ExitCode::from(STALLED));
    }
    Ok(ExitCode::from(status?.0))
}

/// Says where things stand whenever SIGUSR1 asks for it.
fn tell_on_request(tap: &Arc<DecodingTap>) -> Result<(), Error> {
    let mut asked = signal(SignalKind::user_defined1()).map_err(|error| Error::System {
        doing: "take over signals",
        error,
    })?;
    let tap = Arc::clone(tap);
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            let output = Output::stderr();
            let told = tap.with(|decoder| standing(decoder.trace(), decoder.now(), &output));
            eprint!("{told}");
        }
    });
    Ok(())
}

/// Completes when nothing could move any more for `limit`, and leaves what was wrong then, in
/// words, in `diagnosis`.
pub(crate) async fn nothing_moves(
    tap: &DecodingTap,
    limit: Option<Duration>,
    show_secrets: bool,
    diagnosis: &OnceLock<String>,
) {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    let mut patience = stall::Patience::new(limit);
    loop {
        tokio::time::sleep(stall::POLL).await;
        let found = tap.with(|decoder| {
            let (_, silence) = patience.exhausted(decoder.trace(), decoder.now())?;
            // What the end of the command brings with it is our doing.
            decoder.find_no_more();
            Some((silence, Diagnosis::new(decoder.trace())))
        });
        if let Some((silence, found)) = found {
            let about = About {
                diagnosis: &found,
                file: "",
                show_secrets,
            };
            let _ = diagnosis.set(about.text(&Output::stderr()));
            eprintln!(
                "buildtap: nothing has moved for {:.1} s, and nothing can: the command is ended \
                 (--fail-on-stall)",
                silence.as_secs_f64()
            );
            return;
        }
    }
}

pub(crate) async fn proxy(args: ProxyArgs) -> Result<ExitCode, Error> {
    let environment = Environment::of_process();
    let upstreams = upstream::resolve(&environment, args.upstream.as_ref())?;
    let mut signals = signals()?;
    let record = args.recording.record.as_deref();
    let screen = match args.tui {
        true => Some(open_screen("proxy".into(), &args.view, record)?),
        false => None,
    };
    let options = ProxyOptions {
        listen: args.listen,
        allow_remote: args.allow_remote,
        upstreams,
        socket_parent: command::socket_parent(&environment),
        notices: notices(screen.as_ref()),
    };
    let left = screen
        .as_ref()
        .map(|(screen, _)| (screen.listening(), screen.left()));
    let mask = args.recording.redaction.mask.clone();
    let recording = Recording::start(args.recording, None, &args.view, &options.notices)?;
    let live = live(&args.otlp, &mask, &args.view, &options.notices)?;
    let watching = Watching::start(&args.view, Output::stderr, recording, screen, live)?;
    if left.is_none() {
        tell_on_request(&watching.tap)?;
    }
    let tap = watching.tap();
    let done = match left {
        None => command::proxy(options, tap, print_listening, signals.stop()).await,
        Some((on_listening, left)) => {
            let shutdown = async {
                tokio::select! {
                    () = signals.stop() => {}
                    () = left => {}
                }
            };
            command::proxy(options, tap, on_listening, shutdown).await
        }
    };
    watching.finish();
    done?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn play(args: DemoArgs) -> Result<ExitCode, Error> {
    let scene = match args.scenario {
        Scenario::Build => scenario::demo_build(),
        Scenario::Hang => scenario::demo_hang(),
    };
    let screen = match args.tui {
        true => Some(open_screen("demo".into(), &args.view, None)?),
        false => None,
    };
    let left = screen.as_ref().map(|(screen, _)| screen.left());
    let watching = Watching::start(&args.view, Output::stdout, None, screen, None)?;
    let socket_parent = command::socket_parent(&Environment::of_process());
    let playing = demo::play(scene, watching.tap(), socket_parent);
    let ending = match left {
        None => playing.await,
        Some(left) => {
            let mut left = std::pin::pin!(left);
            tokio::select! {
                () = &mut left => Ok("the screen was left.".to_owned()),
                ending = playing => {
                    if let Watched::Screen(screen, ..) = &watching.shown {
                        screen.over(None);
                    }
                    left.await;
                    ending
                }
            }
        }
    };
    watching.finish();
    eprintln!("buildtap: the demo's client says: {}", ending?);
    Ok(ExitCode::SUCCESS)
}

/// A command as it was typed.
pub(crate) fn named(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// In a form that a shell can take over.
pub(crate) fn print_listening(listening: &Listening) {
    for point in &listening.points {
        let upstream = &point.upstream;
        eprintln!(
            "buildtap: {} leads to {} (from {})",
            point.address, upstream.address, upstream.chosen_by
        );
        for variable in upstream.role.variables() {
            eprintln!("  export {variable}={}", point.address);
        }
    }
}
