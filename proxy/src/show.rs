//! `buildtap show`: a capture file through the decoder.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture::{self, Capture, CaptureError, Notes, Progress};
use indicatif::{ProgressBar, ProgressStyle};

use crate::watch::Show;

/// How often a file that grows is looked at.
const POLL: Duration = Duration::from_millis(200);
/// Events that are rendered before what was rendered is written.
const BATCH: usize = 64;

/// Why a capture could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// The file.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The place where it is shown.
    #[error("cannot write what is shown ({0}); look whether the disk is full")]
    Output(#[from] io::Error),
}

impl ShowError {
    /// Whether the reader of the output went away: that is no failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, ShowError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Reads a capture file and shows what was said; `-` is standard input. With `follow` it goes on
/// until `stop` says so.
///
/// What was readable is shown even if the file turns out to be broken: the error comes after.
pub fn show(
    path: &Path,
    follow: bool,
    decoder: &mut Decoder,
    view: &mut impl Show,
    stop: &dyn Fn() -> bool,
) -> Result<Notes, ShowError> {
    let options = capture::Options::default();
    let mut capture = match path.as_os_str() == "-" {
        true => Capture::new(io::stdin(), options),
        false => capture::open(path, options)?,
    };
    let bar = match follow {
        true => ProgressBar::hidden(),
        false => progress_bar(&capture),
    };
    let progressed = |progress: Option<Progress>| match progress {
        Some(progress) => {
            bar.set_length(progress.len.unwrap_or(0));
            bar.set_position(progress.read);
        }
        None => bar.finish_and_clear(),
    };
    let read = read(&mut capture, follow, decoder, view, &progressed, stop);
    bar.finish_and_clear();
    read?;
    Ok(capture.notes())
}

/// How things stand at the end of a capture file, as far as it can be read; `None` for what can
/// be read only once.
pub fn at_end(path: &Path, options: Options) -> Option<Decoder> {
    /// Shows nothing.
    struct Nothing;
    impl Show for Nothing {
        fn render(&mut self, _: &mut Decoder) {}
        fn write(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    if !path.metadata().is_ok_and(|file| file.is_file()) {
        return None;
    }
    let mut decoder = Decoder::new(Options {
        updates: false,
        messages: false,
        ..options
    });
    // Whatever is wrong with it is said when it is shown.
    let _ = show(path, false, &mut decoder, &mut Nothing, &|| false);
    Some(decoder)
}

/// The same of a capture that is open. `progressed` is told ten times a second how much is read,
/// and `None` when it is all.
pub(crate) fn read(
    capture: &mut Capture,
    follow: bool,
    decoder: &mut Decoder,
    view: &mut impl Show,
    progressed: &dyn Fn(Option<Progress>),
    stop: &dyn Fn() -> bool,
) -> Result<(), ShowError> {
    let mut drawn = Instant::now();
    let mut broken = None;
    let mut rendered = 0;
    loop {
        match capture.next() {
            Ok(Some(event)) => decoder.event(event.time, event.tap, event.event),
            Ok(None) if follow && !stop() => {
                view.idle(decoder);
                flush(decoder, view)?;
                std::thread::sleep(POLL);
                continue;
            }
            Ok(None) => break,
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
        // A view says how things stand: it is asked at once, and for all of it, so that it says how they stood.
        while decoder.pending_updates() > 0 {
            view.render(decoder);
            rendered += 1;
        }
        if rendered >= BATCH {
            rendered = 0;
            flush(decoder, view)?;
        }
        if drawn.elapsed() >= Duration::from_millis(100) {
            drawn = Instant::now();
            progressed(Some(capture.progress()));
            if stop() {
                break;
            }
        }
    }
    if let Err(error) = capture.finish() {
        broken.get_or_insert(error);
    }
    while let Ok(Some(event)) = capture.next() {
        decoder.event(event.time, event.tap, event.event);
    }
    decoder.finish();
    progressed(None);
    flush(decoder, view)?;
    match broken {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

fn flush(decoder: &mut Decoder, view: &mut impl Show) -> io::Result<()> {
    while decoder.pending_updates() > 0 {
        view.render(decoder);
        view.write()?;
    }
    view.write()
}

/// A bar on standard error, when that is a terminal and there is an end to come to.
pub(crate) fn progress_bar(capture: &Capture) -> ProgressBar {
    let length = capture.progress().len;
    let Some(length) = length.filter(|_| io::stderr().is_terminal()) else {
        return ProgressBar::hidden();
    };
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(
        "reading {bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec}",
    ) {
        bar.set_style(style);
    }
    bar
}
