//! What is done with captures and cassettes, and `explain`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use buildtap::cli::{
    DiagnoseArgs, DiagnosisFormat, ExplainArgs, ExportArgs, Format, PlayedSide, RedactArgs,
    ReplayArgs, ScreenArgs, ShowArgs,
};
use buildtap::command;
use buildtap::diagnose;
use buildtap::error::{Error, FAILURE, USAGE};
use buildtap::explain;
use buildtap::export::spans::{to_collector, to_file};
use buildtap::export::{ExportError, Form, export};
use buildtap::notice::Notices;
use buildtap::otlp::resource::of_capture;
use buildtap::otlp::settings::Settings;
use buildtap::otlp::sink::Sink;
use buildtap::otlp::spans;
use buildtap::output::Output;
use buildtap::record;
use buildtap::redact::{Redacted, redact};
use buildtap::replay;
use buildtap::screen;
use buildtap::show::{at_end, show};
use buildtap::upstream::Environment;
use buildtap::view::Keep;
use buildtap::view::diagnosis::About;
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::replay::Outcome;
use opentelemetry::KeyValue;

use crate::signals;
use crate::watching::{options, output_file, redaction, view};

pub(crate) async fn play_again(args: ReplayArgs) -> Result<ExitCode, Error> {
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

pub(crate) fn show_file(args: ShowArgs) -> Result<ExitCode, Error> {
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

pub(crate) fn view_file(args: &ScreenArgs) -> Result<ExitCode, Error> {
    let mut signals = signals()?;
    screen::view(args, |shared| {
        tokio::spawn(async move {
            signals.stop().await;
            shared.stop();
        });
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn diagnose_file(args: &DiagnoseArgs) -> Result<ExitCode, Error> {
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

pub(crate) fn explain_code(args: &ExplainArgs) -> Result<ExitCode, Error> {
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
pub(crate) fn write(output: &mut Output, file: Option<&Path>, text: &str) -> Result<(), Error> {
    match output.write(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::Output {
            path: file.map_or("standard output".into(), |path| path.display().to_string()),
            error,
        }),
        _ => Ok(()),
    }
}

pub(crate) fn redact_file(args: RedactArgs) -> Result<ExitCode, Error> {
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

pub(crate) fn export_file(args: ExportArgs) -> Result<ExitCode, Error> {
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
pub(crate) fn send_spans(args: &ExportArgs) -> Result<ExitCode, Error> {
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

pub(crate) fn span_options(args: &ExportArgs, own: Vec<KeyValue>) -> spans::Options {
    spans::Options {
        show_secrets: args.show_secrets,
        hash_paths: args.otlp.hash_paths,
        file_spans: args.otlp.file_spans,
        daemon_exports: args.otlp.daemon_exports,
        forward_spans: args.otlp.forwards(),
        mask: args.redaction.mask.clone(),
        own,
    }
}
