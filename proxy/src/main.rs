//! The `buildtap` program: arguments in, exit code out.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use buildtap::cassette;
use buildtap::child::Signals;
use buildtap::cli::{
    Cli, Command, DemoArgs, DiagnoseArgs, DiagnosisFormat, ExplainArgs, ExportArgs, Format,
    PlayedSide, ProxyArgs, RecordingArgs, RedactArgs, RedactionArgs, ReplayArgs, RunArgs, Scenario,
    SchemaArgs, ScreenArgs, ShowArgs, ViewArgs,
};
use buildtap::command::{self, Listening, ProxyOptions, RunOptions};
use buildtap::demo;
use buildtap::diagnose::{self, Diagnosis};
use buildtap::diff::diff;
use buildtap::error::{Error, FAILURE, STALLED, USAGE};
use buildtap::explain;
use buildtap::export::spans::{to_collector, to_file};
use buildtap::export::{ExportError, Form, export};
use buildtap::notice::{Notice, Notices};
use buildtap::otlp::live::{Live, Shown};
use buildtap::otlp::metrics::Metrics;
use buildtap::otlp::resource::{of_capture, of_process};
use buildtap::otlp::settings::{OtlpArgs, Settings};
use buildtap::otlp::sink::Sink;
use buildtap::otlp::spans::{self, Spans};
use buildtap::output::Output;
use buildtap::pane;
use buildtap::record::{self, Ending, Recorded, Recorder};
use buildtap::redact::{Redacted, redact};
use buildtap::replay;
use buildtap::schemas::schemas;
use buildtap::screen::{self, LiveFeed, Screen};
use buildtap::show::{at_end, show};
use buildtap::stall;
use buildtap::tap::Tap;
use buildtap::upstream::{self, Environment};
use buildtap::view::diagnosis::About;
use buildtap::view::{Keep, View};
use buildtap::watch::{DecodingTap, Showing};
use buildtap_decoder::describe::size;
use buildtap_decoder::masking::Redaction;
use buildtap_decoder::redact::{Regex, Rules};
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture::write::{CreateError, create};
use buildtap_fixtures::peers::scenario;
use buildtap_fixtures::replay::Outcome;
use buildtap_tui::model::Progress;
use clap::{CommandFactory, Parser};
use opentelemetry::KeyValue;

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

/// Something that is being watched, and the thread that shows it.
struct Watching {
    tap: Arc<DecodingTap>,
    shown: Watched,
    recording: Option<Recording>,
}

/// How it is shown.
enum Watched {
    /// As lines.
    Lines(Showing<Shown>),
    /// On a screen, and as lines when that is left.
    Screen(Screen, Showing<LiveFeed>, Box<View>),
}

impl Watching {
    fn start(
        args: &ViewArgs,
        default: fn() -> Output,
        recording: Option<Recording>,
        screen: Option<(Screen, LiveFeed)>,
        live: Option<Live>,
    ) -> Result<Self, Error> {
        let recorder = recording.as_ref().map(|it| Arc::clone(&it.recorder));
        let options = Options {
            redact: recording.as_ref().and_then(|it| it.redaction.clone()),
            ..options(args)
        };
        let options = match screen {
            Some(_) => screen::options(options),
            None => options,
        };
        let options = match live {
            Some(_) => spans::for_spans(options),
            None => options,
        };
        let tap = Arc::new(DecodingTap::new(options).recording(recorder));
        let view = view(args, default, true)?;
        let failed = |error| Error::System {
            doing: "start a thread",
            error,
        };
        let watched = Arc::clone(&tap);
        let shown = match screen {
            None => {
                let shown = Shown::new(view, live);
                Watched::Lines(Showing::start(watched, shown).map_err(failed)?)
            }
            Some((screen, feed)) => {
                let feed = feed.with(live);
                let showing = Showing::start(watched, feed).map_err(failed)?;
                Watched::Screen(screen, showing, Box::new(view))
            }
        };
        Ok(Watching {
            tap,
            shown,
            recording,
        })
    }

    fn tap(&self) -> Arc<dyn Tap> {
        Arc::clone(&self.tap) as Arc<dyn Tap>
    }

    /// Shows what is left, and the summary.
    fn finish(self) {
        let mut sending = None;
        let shown = match self.shown {
            Watched::Lines(showing) => showing.finish().map(|shown| (shown.view, shown.live)),
            Watched::Screen(screen, showing, view) => {
                if let Err(error) = screen.close() {
                    eprintln!("buildtap: {error}.");
                }
                showing.finish().map(|feed| (*view, feed.live))
            }
        };
        if let Some((mut view, live)) = shown {
            if self.tap.failed() {
                view.decoding_failed();
            }
            sending = live.map(|live| self.tap.with(|decoder| live.finish(decoder)));
            // The output may be gone by now; the session is over in any case.
            let _ = self.tap.with(|decoder| view.finish(decoder));
        }
        if let Some(recording) = self.recording {
            recording.finish();
        }
        if let Some(sending) = sending {
            eprintln!("buildtap: {}", sending.wait());
        }
    }
}

/// A capture that is being written.
struct Recording {
    recorder: Arc<Recorder>,
    /// What is masked in it.
    redaction: Option<Arc<Redaction>>,
    path: PathBuf,
    notices: Notices,
}

impl Recording {
    /// Makes the file, if one is wanted.
    fn start(
        args: RecordingArgs,
        command: Option<&[OsString]>,
        view: &ViewArgs,
        notices: &Notices,
    ) -> Result<Option<Self>, Error> {
        let Some(path) = args.record else {
            return Ok(None);
        };
        let redaction = match view.show_secrets {
            true => None,
            false => Some(Arc::new(redaction(args.redaction, &view.schemas)?)),
        };
        let output = create(&path)?;
        let about = record::about(command, view.show_secrets);
        let started = Recorder::start(output, path.clone(), &about, notices.clone());
        let recorder = started.map_err(|error| CreateError::Refused {
            path: path.clone(),
            error,
        })?;
        Ok(Some(Recording {
            recorder: Arc::new(recorder),
            redaction,
            path,
            notices: notices.clone(),
        }))
    }

    /// Waits until all of it is written, and says so.
    fn finish(self) {
        let path = self.path.display();
        match self.recorder.finish() {
            Ending::Written(Recorded { connections, bytes }) => {
                let s = if connections == 1 { "" } else { "s" };
                eprintln!(
                    "buildtap: recorded {connections} connection{s} in {path} ({}); to look at it: \
                     buildtap show {path}",
                    size(bytes)
                );
            }
            Ending::Failed => {}
            Ending::Late => self.notices.tell(&Notice::RecordingCut),
        }
    }
}

fn options(args: &ViewArgs) -> Options {
    Options {
        updates: true,
        messages: args.log || args.format == Format::Json,
        show_secrets: args.show_secrets,
        stall_after: Some(args.stall_after),
        ..Options::default()
    }
}

fn redaction(args: RedactionArgs, given: &SchemaArgs) -> Result<Redaction, Error> {
    Ok(Redaction {
        rules: Rules {
            patterns: args.mask,
            drop_file_contents: args.drop_file_contents,
        },
        schemas: schemas(given)?,
    })
}

fn view(args: &ViewArgs, default: fn() -> Output, live: bool) -> Result<View, Error> {
    let output = match &args.output {
        Some(path) => output_file(path)?,
        None if args.format == Format::Json => Output::stdout(),
        None => default(),
    };
    View::new(args, output, live)
}

fn output_file(path: &Path) -> Result<Output, Error> {
    Output::file(path).map_err(|error| Error::Output {
        path: path.display().to_string(),
        error,
    })
}

async fn run(mut args: RunArgs) -> Result<ExitCode, Error> {
    if let Some(limit) = args.fail_on_stall {
        // What is to end the command must be found by then.
        args.view.stall_after = args.view.stall_after.min(limit);
    }
    let environment = Environment::of_process();
    let options = RunOptions {
        command: args.command,
        upstreams: upstream::resolve(&environment, args.upstream.as_ref())?,
        socket_parent: command::socket_parent(&environment),
        notices: Notices::stderr(),
    };
    let screen = match args.tui {
        true => Some(open_screen(named(&options.command), &args.view)?),
        false => None,
    };
    let shared = screen
        .as_ref()
        .map(|(screen, _)| Arc::clone(screen.shared()));
    let left = screen.as_ref().map(|(screen, _)| screen.left());
    let mut options = options;
    if let Some((screen, _)) = &screen {
        options.notices = screen.notices();
    }
    if let Some((screen, _)) = &screen {
        let recording = args.recording.record.as_deref();
        screen.saving_from(recording, &args.view.schemas, args.view.show_secrets)?;
    }
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
        _ => command::run(options, watching.tap(), |_| (), give_up).await,
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

/// Completes when nothing could move any more for `limit`, and leaves what was wrong then, in
/// words, in `diagnosis`.
async fn nothing_moves(
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

async fn proxy(args: ProxyArgs) -> Result<ExitCode, Error> {
    let environment = Environment::of_process();
    let options = ProxyOptions {
        listen: args.listen,
        allow_remote: args.allow_remote,
        upstreams: upstream::resolve(&environment, args.upstream.as_ref())?,
        socket_parent: command::socket_parent(&environment),
        notices: Notices::stderr(),
    };
    let mut signals = signals()?;
    let screen = match args.tui {
        true => Some(open_screen("proxy".into(), &args.view)?),
        false => None,
    };
    let mut options = options;
    if let Some((screen, _)) = &screen {
        options.notices = screen.notices();
    }
    let left = screen
        .as_ref()
        .map(|(screen, _)| (screen.listening(), screen.left()));
    if let Some((screen, _)) = &screen {
        let recording = args.recording.record.as_deref();
        screen.saving_from(recording, &args.view.schemas, args.view.show_secrets)?;
    }
    let mask = args.recording.redaction.mask.clone();
    let recording = Recording::start(args.recording, None, &args.view, &options.notices)?;
    let live = live(&args.otlp, &mask, &args.view, &options.notices)?;
    let watching = Watching::start(&args.view, Output::stderr, recording, screen, live)?;
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

async fn play(args: DemoArgs) -> Result<ExitCode, Error> {
    let scene = match args.scenario {
        Scenario::Build => scenario::demo_build(),
        Scenario::Hang => scenario::demo_hang(),
    };
    let screen = match args.tui {
        true => Some(open_screen("demo".into(), &args.view)?),
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
fn named(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Takes the terminal.
fn open_screen(name: String, args: &ViewArgs) -> Result<(Screen, LiveFeed), Error> {
    if !screen::is_possible() {
        return Err(Error::NoTerminal);
    }
    Screen::open(name, &args.schemas, args.show_secrets)
}

async fn play_again(args: ReplayArgs) -> Result<ExitCode, Error> {
    let options = replay::Options {
        file: args.file,
        schemas: args.schemas,
        matching: args.matching,
        timing: args.timing,
        patience: args.patience,
    };
    let matched = match (args.side, args.connect) {
        (PlayedSide::Client, Some(connect)) => {
            let outcome = replay::client(&options, &connect).await?;
            eprintln!("{outcome}");
            outcome.matches()
        }
        _ => {
            let mut signals = signals()?;
            let listen = replay::Listen {
                address: args.listen,
                allow_remote: args.allow_remote,
                socket_parent: command::socket_parent(&Environment::of_process()),
            };
            let tell = |outcome: &Outcome| eprintln!("{outcome}");
            let stop = signals.stop();
            replay::daemon(&options, listen, args.once, tell, stop).await?
        }
    };
    Ok(match matched {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILURE),
    })
}

fn show_file(args: ShowArgs) -> Result<ExitCode, Error> {
    let mut view = view(&args.view, Output::stdout, args.follow)?;
    let mut decoder = Decoder::new(Options {
        messages: args.filter.is_some() || options(&args.view).messages,
        ..options(&args.view)
    });
    let interrupted = Arc::new(AtomicBool::new(false));
    if args.follow {
        let mut signals = signals()?;
        let interrupted = Arc::clone(&interrupted);
        tokio::spawn(async move {
            signals.stop().await;
            interrupted.store(true, Ordering::Relaxed);
        });
    }
    let stop = || interrupted.load(Ordering::Relaxed);
    if let Some(filter) = args.filter {
        let end = match args.follow {
            true => None,
            false => at_end(&args.file, options(&args.view)),
        };
        view.keep_only(Keep::new(filter, end));
    }
    let shown = show(&args.file, args.follow, &mut decoder, &mut view, &stop);
    match shown {
        Err(error) if error.is_broken_pipe() => return Ok(ExitCode::SUCCESS),
        Ok(notes) => {
            if let Err(error) = view.finish(&mut decoder) {
                return match error.kind() {
                    std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
                    _ => Err(Error::Show(error.into())),
                };
            }
            if args.view.format == Format::Text {
                eprintln!(
                    "buildtap: {}: {}",
                    args.file.display(),
                    notes.to_string().replace('\n', "; ")
                );
            }
        }
        Err(error) => {
            // What could be read is worth seeing, and then why there is no more.
            if decoder.trace().connections.iter().next().is_some() {
                let _ = view.finish(&mut decoder);
            }
            return Err(error.into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn view_file(args: &ScreenArgs) -> Result<ExitCode, Error> {
    let mut signals = signals()?;
    screen::view(args, |shared| {
        tokio::spawn(async move {
            signals.stop().await;
            shared.stop();
        });
    })?;
    Ok(ExitCode::SUCCESS)
}

fn diagnose_file(args: &DiagnoseArgs) -> Result<ExitCode, Error> {
    let mut output = match &args.output {
        Some(path) => output_file(path)?,
        None => Output::stdout(),
    };
    let mut decoder = Decoder::new(Options {
        updates: true,
        show_secrets: args.show_secrets,
        stall_after: Some(args.stall_after),
        ..Options::default()
    });
    let mut notes = diagnose::Notes::default();
    let read = show(&args.file, false, &mut decoder, &mut notes, &|| false);
    let file = args.file.display().to_string();
    // A capture that breaks off may have what is wrong in the part that can be read.
    let mut is_stopped = false;
    if read.is_ok() || !decoder.trace().connections.is_empty() {
        let diagnosis = notes.diagnosis(decoder.trace());
        let about = About {
            diagnosis: &diagnosis,
            file: &file,
            show_secrets: args.show_secrets,
        };
        let text = match args.format {
            DiagnosisFormat::Text => about.text(&output),
            DiagnosisFormat::Json => about.json(),
            DiagnosisFormat::Sarif => about.sarif(),
            DiagnosisFormat::Junit => about.junit(),
        };
        let to = args.output.as_deref();
        write(&mut output, to, &text)?;
        is_stopped = diagnosis.stopped();
    }
    let notes = read?;
    if args.format == DiagnosisFormat::Text {
        let notes = notes.to_string().replace('\n', "; ");
        eprintln!("buildtap: {file}: {notes}");
    }
    Ok(match is_stopped {
        true => ExitCode::from(diagnose::STOPPED),
        false => ExitCode::SUCCESS,
    })
}

fn explain_code(args: &ExplainArgs) -> Result<ExitCode, Error> {
    let mut output = Output::stdout();
    match explain::explain(args.code.as_deref(), args.format, &output) {
        Ok(text) => write(&mut output, None, &text)?,
        Err(unknown) => {
            eprintln!("buildtap: {unknown}.");
            return Ok(ExitCode::from(USAGE));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes to the file or to standard output; that its reader went away is no failure.
fn write(output: &mut Output, file: Option<&Path>, text: &str) -> Result<(), Error> {
    match output.write(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::Output {
            path: file.map_or("standard output".into(), |path| path.display().to_string()),
            error,
        }),
        _ => Ok(()),
    }
}

fn redact_file(args: RedactArgs) -> Result<ExitCode, Error> {
    let redaction = redaction(args.redaction, &args.schemas)?;
    let Redacted { report, plan } = redact(&args.input, &args.output, redaction)?;
    let output = args.output.display();
    let notes = plan.notes();
    let cut = match (notes.cut_tail, notes.is_packing_cut) {
        (None, false) => "",
        _ => "; the capture ends within a packet or block, which is left out",
    };
    eprintln!("buildtap: {output}: {report}{cut}.");
    let Some(broken) = plan.broken() else {
        return Ok(ExitCode::SUCCESS);
    };
    eprintln!("buildtap: {output} ends where the capture cannot be read further: {broken}.");
    Ok(ExitCode::from(FAILURE))
}

fn export_file(args: ExportArgs) -> Result<ExitCode, Error> {
    let Some(to) = &args.to else {
        return send_spans(&args);
    };
    if let Form::Spans(form) = Form::of(to)? {
        let count = to_file(&args.file, to, form, span_options(&args, of_capture()))?;
        let s = if count == 1 { "" } else { "s" };
        eprintln!("buildtap: wrote {count} span{s} to {}", to.display());
        return Ok(ExitCode::SUCCESS);
    }
    let redaction = match args.show_secrets {
        true => None,
        false => Some(Arc::new(redaction(args.redaction, &args.schemas)?)),
    };
    let about = record::about(None, args.show_secrets);
    let exported = export(&args.file, to, args.profile.as_deref(), redaction, about)?;
    let (to, profile) = (to.display(), exported.profile.display());
    eprintln!(
        "buildtap: wrote {} to {to}; to look at it:\n  \
         WIRESHARK_CONFIG_DIR={profile} wireshark {to}",
        exported.written
    );
    Ok(ExitCode::SUCCESS)
}

/// Sends the spans of a capture to a collector.
fn send_spans(args: &ExportArgs) -> Result<ExitCode, Error> {
    let Some(settings) = Settings::new(&args.otlp)? else {
        return Err(ExportError::Nowhere.into());
    };
    let sink = Sink::start(settings, None, Notices::none())?;
    let sent = to_collector(&args.file, sink, span_options(args, of_capture()))?;
    eprintln!("buildtap: {sent}");
    Ok(match sent.dropped {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILURE),
    })
}

fn span_options(args: &ExportArgs, own: Vec<KeyValue>) -> spans::Options {
    spans::Options {
        show_secrets: args.show_secrets,
        hash_paths: args.otlp.hash_paths,
        daemon_exports: args.otlp.daemon_exports,
        forward_spans: args.otlp.forwards(),
        mask: args.redaction.mask.clone(),
        own,
    }
}

/// Begins to send spans, if that is wanted.
fn live(
    args: &OtlpArgs,
    mask: &[Regex],
    view: &ViewArgs,
    notices: &Notices,
) -> Result<Option<Live>, Error> {
    let Some(settings) = Settings::new(args)? else {
        return Ok(None);
    };
    let options = spans::Options {
        show_secrets: view.show_secrets,
        hash_paths: settings.hash_paths,
        daemon_exports: args.daemon_exports,
        forward_spans: settings.forward_spans,
        mask: mask.to_vec(),
        own: of_process(),
    };
    let metrics = Metrics::new(of_process());
    let sink = Sink::start(settings, Some(&metrics), notices.clone())?;
    Ok(Some(Live::new(Spans::new(options), metrics, sink)))
}

fn signals() -> Result<Signals, Error> {
    Signals::take().map_err(|error| Error::System {
        doing: "take over signals",
        error,
    })
}

/// In a form that a shell can take over.
fn print_listening(listening: &Listening) {
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
