//! `buildtap export`: a capture, written in a form that other programs read better.
//!
//! The name of the file that is to be written says which form ([`Form`]). For Wireshark [`nested`]
//! writes the capture, [`wireshark`] the settings that go with it; unless secrets are asked for,
//! they are masked first, and what is written is made of what was masked. [`spans`] makes spans of
//! a capture, which [`otlp_json`] and [`perfetto`] write to a file.
//!
//! What does not live here: the formats of captures (`buildtap_fixtures::capture`), and what a span
//! is (`crate::otlp`).

pub mod nested;
pub mod otlp_json;
pub mod perfetto;
pub mod spans;
pub mod wireshark;

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use buildtap_decoder::event::{TapEvent, TapId, Time};
use buildtap_decoder::masking::{Masker, Redaction};
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture::write::{About, CreateError, Writer, create};
use buildtap_fixtures::capture::{self, Capture, CaptureError};
use indicatif::ProgressBar;

use self::nested::{Nested, Written};
use self::spans::FileForm;
use self::wireshark::{Profile, ProfileError};
use crate::record::command_line;
use crate::show::progress_bar;

/// How often the bar is drawn.
const DRAW: Duration = Duration::from_millis(100);

/// Why a capture could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The ending of the name says nothing.
    #[error(
        "do not know what to write to {}: its name must end in .pcapng or .pcapng.zst (for \
         Wireshark), .json (OTLP spans) or .perfetto.json (Chrome trace events)",
        .0.display()
    )]
    UnknownForm(PathBuf),
    /// What is read would be overwritten.
    #[error("{} is the capture itself; name another file with --to", .0.display())]
    Same(PathBuf),
    /// What is read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The file cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The file cannot be written.
    #[error("cannot write {} ({error}); look whether the disk is full", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The settings.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Neither a file nor a collector.
    #[error(
        "say where to: --to FILE, or --otlp http://host:4317 for a collector (or set \
         OTEL_EXPORTER_OTLP_ENDPOINT)"
    )]
    Nowhere,
    /// Spans were not sent.
    #[error("the collector took nothing")]
    Unsent,
}

/// What may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A capture in which connections inside others are conversations of their own.
    Nested,
    /// Spans.
    Spans(FileForm),
}

impl Form {
    /// By the ending of a file's name.
    pub fn of(path: &Path) -> Result<Self, ExportError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match name.strip_suffix(".zst").unwrap_or(&name) {
            plain if plain.ends_with(".pcapng") => Ok(Form::Nested),
            plain if plain.ends_with(".perfetto.json") => Ok(Form::Spans(FileForm::Perfetto)),
            plain if plain.ends_with(".json") => Ok(Form::Spans(FileForm::OtlpJson)),
            _ => Err(ExportError::UnknownForm(path.to_owned())),
        }
    }
}

/// What was exported.
#[derive(Clone, Debug)]
pub struct Exported {
    /// What is in the file.
    pub written: Written,
    /// The folder with Wireshark's settings.
    pub profile: PathBuf,
}

/// Reads the capture `from` (`-` is standard input) and writes it `to` a file for Wireshark, with
/// settings in the folder `profile`, or beside the file. Secrets are masked by `redaction`.
///
/// What was readable is written even if the capture turns out to be broken: the error comes after.
pub fn export(
    from: &Path,
    to: &Path,
    profile: Option<&Path>,
    redaction: Option<Arc<Redaction>>,
    about: About,
) -> Result<Exported, ExportError> {
    let options = capture::Options::default();
    let mut capture = match from.as_os_str() == "-" {
        true => Capture::new(io::stdin(), options),
        false => capture::open(from, options)?,
    };
    if is_same(from, to) {
        return Err(ExportError::Same(to.to_owned()));
    }
    let profile = Profile::at(profile.map_or_else(|| wireshark::beside(to), Path::to_owned))?;
    // What is no capture is told by its first bytes: nothing is overwritten for that.
    let first = match capture
        .next()?
        .map(|first| (first.time, first.tap, first.event))
    {
        // Connections are opened before anything happens on them.
        Some((at, id, TapEvent::Open(ends))) => Some((at, id, ends)),
        Some(_) => None,
        None => {
            capture.finish()?;
            None
        }
    };
    let notes = capture.notes();
    let about = About {
        command: match redaction {
            Some(_) if notes.shows_secrets => notes.command.map(|it| without_values(&it)),
            _ => notes.command,
        },
        ..about
    };
    let failed = |error| ExportError::Write {
        path: to.to_owned(),
        error,
    };
    let out = BufWriter::with_capacity(1 << 18, create(to)?);
    let nested = Nested::new(Writer::new(out, &about).map_err(failed)?);
    let mut masked = Masked::new(redaction, nested);
    if let Some((at, id, ends)) = first {
        masked.event(at, id, TapEvent::Open(ends)).map_err(failed)?;
    }
    let bar = progress_bar(&capture);
    let read = pass_on(&mut capture, &mut masked, &bar, &failed);
    bar.finish_and_clear();
    let broken = match read {
        Err(error @ ExportError::Write { .. }) => return Err(error),
        other => other.err(),
    };
    let nested = masked.finish().map_err(failed)?;
    let (out, written) = nested.finish().map_err(failed)?;
    let out = out.into_inner().map_err(io::Error::from).map_err(failed)?;
    out.finish().map_err(failed)?;
    profile.write(&written)?;
    match broken {
        Some(error) => Err(error),
        None => Ok(Exported {
            written,
            profile: profile.into_folder(),
        }),
    }
}

/// A command line that was recorded as it was, as it is recorded otherwise.
fn without_values(command: &str) -> String {
    let words: Vec<OsString> = command.split(' ').map(OsString::from).collect();
    command_line(&words, false)
}

fn is_same(from: &Path, to: &Path) -> bool {
    match (fs::metadata(from), fs::metadata(to)) {
        (Ok(from), Ok(to)) => (from.dev(), from.ino()) == (to.dev(), to.ino()),
        _ => false,
    }
}

/// Masks what is written, if that is wanted.
struct Masked<W> {
    masker: Option<(Decoder, Masker)>,
    nested: Nested<W>,
}

impl<W: Write> Masked<W> {
    fn new(redaction: Option<Arc<Redaction>>, nested: Nested<W>) -> Self {
        let masker = redaction.map(|redaction| {
            let options = Options {
                redact: Some(redaction),
                ..Options::default()
            };
            (Decoder::new(options), Masker::default())
        });
        Masked { masker, nested }
    }

    fn event(&mut self, at: Time, id: TapId, event: TapEvent<'_>) -> io::Result<()> {
        let Masked { masker, nested } = self;
        let Some((decoder, masker)) = masker else {
            return nested.event(at, id, event);
        };
        decoder.event(at, id, event.clone());
        let mut written = Ok(());
        masker.event(decoder, at, id, &event, |at, id, event| {
            if written.is_ok() {
                written = nested.event(at, id, event);
            }
        });
        written
    }

    fn finish(self) -> io::Result<Nested<W>> {
        let Masked { masker, mut nested } = self;
        let mut written = Ok(());
        if let Some((mut decoder, mut masker)) = masker {
            masker.finish(&mut decoder, |at, id, event| {
                if written.is_ok() {
                    written = nested.event(at, id, event);
                }
            });
        }
        written.map(|()| nested)
    }
}

/// From the capture to its end, or to where it is broken.
fn pass_on<W: Write>(
    capture: &mut Capture,
    masked: &mut Masked<W>,
    bar: &ProgressBar,
    failed: &impl Fn(io::Error) -> ExportError,
) -> Result<(), ExportError> {
    let mut drawn = Instant::now();
    let mut broken = None;
    let mut is_finished = false;
    loop {
        match capture.next() {
            Ok(Some(event)) => masked
                .event(event.time, event.tap, event.event)
                .map_err(failed)?,
            Ok(None) if is_finished => break,
            Ok(None) => {
                is_finished = true;
                if let Err(error) = capture.finish() {
                    broken.get_or_insert(error);
                }
            }
            Err(error) => {
                broken.get_or_insert(error);
                if is_finished {
                    break;
                }
            }
        }
        if drawn.elapsed() >= DRAW {
            drawn = Instant::now();
            let progress = capture.progress();
            bar.set_length(progress.len.unwrap_or(0));
            bar.set_position(progress.read);
        }
    }
    broken.map_or(Ok(()), |error| Err(error.into()))
}
