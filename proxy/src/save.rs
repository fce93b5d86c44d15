//! What a person chose on the screen, as a capture: some connections of the one that is shown,
//! with secrets masked.

use std::collections::BTreeSet;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use buildtap_decoder::event::{TapEvent, TapId, Time};
use buildtap_decoder::masking::{Masker, Redaction};
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture::write::{Writer, create};
use buildtap_fixtures::capture::{self, CaptureError};
use buildtap_tui::model::Saver;

use crate::record;

/// Saves parts of the capture `from`; secrets are masked by `redaction`, if that is given.
pub fn saver(from: PathBuf, redaction: Option<Arc<Redaction>>) -> Saver {
    Arc::new(
        move |to, taps| match save(&from, to, taps, redaction.clone()) {
            Ok(events) => format!("saved {} ({events} events)", to.display()),
            Err(why) => format!("cannot save {}: {why}", to.display()),
        },
    )
}

/// Gives how many events were written; an error is a part of a sentence.
fn save(
    from: &Path,
    to: &Path,
    taps: &[TapId],
    redaction: Option<Arc<Redaction>>,
) -> Result<u64, String> {
    if to.exists() {
        return Err("there is a file of that name".to_owned());
    }
    let mut capture =
        capture::open(from, capture::Options::default()).map_err(|error| error.to_string())?;
    let about = record::about(None, redaction.is_none());
    let out = create(to).map_err(|error| error.to_string())?;
    let mut writer = Writer::new(BufWriter::new(out), &about).map_err(|error| error.to_string())?;
    let taps: BTreeSet<TapId> = taps.iter().copied().collect();
    let mut masked = redaction.map(|redaction| {
        let options = Options {
            redact: Some(redaction),
            ..Options::default()
        };
        (Decoder::new(options), Masker::default())
    });
    let mut events = 0;
    let mut failed = None;
    // What a file that still grows has by now is all there is.
    let mut broken: Option<CaptureError> = None;
    let mut is_over = false;
    loop {
        let event = match capture.next() {
            Ok(Some(event)) => event,
            Ok(None) if is_over => break,
            Ok(None) => {
                is_over = true;
                broken = capture.finish().err();
                continue;
            }
            Err(error) => {
                broken = Some(error);
                break;
            }
        };
        if !taps.is_empty() && !taps.contains(&event.tap) {
            continue;
        }
        events += 1;
        let mut write = |at: Time, id: TapId, event: &TapEvent<'_>| {
            if let Err(error) = writer.event(at, id, event) {
                failed.get_or_insert(error);
            }
        };
        match &mut masked {
            None => write(event.time, event.tap, &event.event),
            Some((decoder, masker)) => {
                let (at, id) = (event.time, event.tap);
                decoder.event(at, id, event.event.clone());
                masker.event(decoder, at, id, &event.event, |at, id, event| {
                    write(at, id, &event);
                });
            }
        }
    }
    if let Some((decoder, masker)) = &mut masked {
        masker.finish(decoder, |at, id, event| {
            if let Err(error) = writer.event(at, id, &event) {
                failed.get_or_insert(error);
            }
        });
    }
    let written = writer.into_inner().into_inner();
    let finished = written.map_err(|error| error.into_error());
    let finished = finished.and_then(|out| out.finish());
    match failed.map_or(finished.map(|_| ()), Err) {
        Err(error) => Err(error.to_string()),
        Ok(()) => match broken {
            Some(error) if events == 0 => Err(error.to_string()),
            _ => Ok(events),
        },
    }
}
