//! A session that is watched: its tap, what shows it, what records it and what sends spans of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use buildtap::cli::{Format, RecordingArgs, RedactionArgs, SchemaArgs, ViewArgs};
use buildtap::error::Error;
use buildtap::notice::{Notice, Notices};
use buildtap::otlp::live::{Live, Shown};
use buildtap::otlp::metrics::Metrics;
use buildtap::otlp::resource::of_process;
use buildtap::otlp::settings::{OtlpArgs, Settings};
use buildtap::otlp::sink::Sink;
use buildtap::otlp::spans::{self, Spans};
use buildtap::output::Output;
use buildtap::record::{self, Ending, Recorded, Recorder};
use buildtap::schemas::schemas;
use buildtap::screen::{self, LiveFeed, Screen};
use buildtap::tap::Tap;
use buildtap::view::View;
use buildtap::watch::{DecodingTap, Showing};
use buildtap_decoder::Options;
use buildtap_decoder::describe::size;
use buildtap_decoder::masking::Redaction;
use buildtap_decoder::redact::{Regex, Rules};
use buildtap_fixtures::capture::write::{CreateError, create};

/// Something that is being watched, and the thread that shows it.
pub(crate) struct Watching {
    pub(crate) tap: Arc<DecodingTap>,
    pub(crate) shown: Watched,
    pub(crate) recording: Option<Recording>,
}

/// How it is shown.
pub(crate) enum Watched {
    /// As lines.
    Lines(Showing<Shown>),
    /// On a screen, and as lines when that is left.
    Screen(Screen, Showing<LiveFeed>, Box<View>),
}

impl Watching {
    pub(crate) fn start(
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

    pub(crate) fn tap(&self) -> Arc<dyn Tap> {
        Arc::clone(&self.tap) as Arc<dyn Tap>
    }

    /// Shows what is left, and the summary.
    pub(crate) fn finish(self) {
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
pub(crate) struct Recording {
    pub(crate) recorder: Arc<Recorder>,
    /// What is masked in it.
    pub(crate) redaction: Option<Arc<Redaction>>,
    pub(crate) path: PathBuf,
    pub(crate) notices: Notices,
}

impl Recording {
    /// Makes the file, if one is wanted.
    pub(crate) fn start(
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
    pub(crate) fn finish(self) {
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

pub(crate) fn options(args: &ViewArgs) -> Options {
    Options {
        updates: true,
        messages: args.log || args.format == Format::Json,
        show_secrets: args.show_secrets,
        stall_after: Some(args.stall_after),
        ..Options::default()
    }
}

pub(crate) fn redaction(args: RedactionArgs, given: &SchemaArgs) -> Result<Redaction, Error> {
    Ok(Redaction {
        rules: Rules {
            patterns: args.mask,
            drop_file_contents: args.drop_file_contents,
        },
        schemas: schemas(given)?,
    })
}

pub(crate) fn view(args: &ViewArgs, default: fn() -> Output, live: bool) -> Result<View, Error> {
    let output = match &args.output {
        Some(path) => output_file(path)?,
        None if args.format == Format::Json => Output::stdout(),
        None => default(),
    };
    View::new(args, output, live)
}

pub(crate) fn output_file(path: &Path) -> Result<Output, Error> {
    Output::file(path).map_err(|error| Error::Output {
        path: path.display().to_string(),
        error,
    })
}

/// Takes the terminal. Parts of what is recorded to `record` can be saved from there.
pub(crate) fn open_screen(
    name: String,
    args: &ViewArgs,
    record: Option<&Path>,
) -> Result<(Screen, LiveFeed), Error> {
    if !screen::is_possible() {
        return Err(Error::NoTerminal);
    }
    let (screen, feed) = Screen::open(name, &args.schemas, args.show_secrets)?;
    screen.saving_from(record, &args.schemas, args.show_secrets)?;
    Ok((screen, feed))
}

/// Where notices go.
pub(crate) fn notices(screen: Option<&(Screen, LiveFeed)>) -> Notices {
    screen.map_or_else(Notices::stderr, |(screen, _)| screen.notices())
}

/// Begins to send spans, if that is wanted.
pub(crate) fn live(
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
        file_spans: args.file_spans,
        daemon_exports: args.daemon_exports,
        forward_spans: settings.forward_spans,
        mask: mask.to_vec(),
        own: of_process(),
    };
    let metrics = Metrics::new(of_process());
    let sink = Sink::start(settings, Some(&metrics), notices.clone())?;
    Ok(Some(Live::new(Spans::new(options), metrics, sink)))
}
