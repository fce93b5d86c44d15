//! Messages whose bytes the screen has forgotten, read again from the capture that it shows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use buildtap_decoder::trace::{Message, Update};
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture;
use buildtap_tui::model::{Key, Reader};

use crate::screen;

/// Reads messages of the capture `from` again.
pub fn reader(from: PathBuf, show_secrets: bool) -> Reader {
    Arc::new(move |wanted, stop| read(&from, show_secrets, wanted, stop))
}

/// Gives each message that is wanted with what it is wanted for; an error is a part of a sentence.
/// The same capture decodes in the same way, so that calls have the numbers that they had.
fn read(
    from: &Path,
    show_secrets: bool,
    mut wanted: HashMap<Key, u64>,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<(u64, Message)>, String> {
    let mut capture =
        capture::open(from, capture::Options::default()).map_err(|error| error.to_string())?;
    let mut decoder = Decoder::new(Options {
        frames: false,
        show_secrets,
        ..screen::options(Options::default())
    });
    let mut found = Vec::new();
    let mut is_over = false;
    while !wanted.is_empty() && !stop() {
        // What was readable was shown; so it is here.
        match capture.next() {
            Ok(Some(event)) => decoder.event(event.time, event.tap, event.event),
            Ok(None) | Err(_) if is_over => break,
            Ok(None) | Err(_) => {
                let _ = capture.finish();
                is_over = true;
            }
        }
        while let Some(update) = decoder.take_update() {
            if let Update::Message(message) = update {
                let key = Key {
                    call: message.call.number(),
                    from: message.from,
                    number: message.number,
                };
                found.extend(wanted.remove(&key).map(|place| (place, *message)));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use buildtap_decoder::event::Side;
    use buildtap_decoder::trace::Content;

    use super::*;

    #[test]
    fn a_message_is_found_again() {
        let captures = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/captures");
        let file = Path::new(captures).join("local-export.pcap");
        let key = |number| Key {
            call: 4,
            from: Side::Daemon,
            number,
        };
        let wanted = HashMap::from([(key(1), 70), (key(2), 71), (key(9_999), 72)]);
        let mut found = read(&file, false, wanted, &|| false).unwrap();
        found.sort_by_key(|(place, _)| *place);
        let paths = found.iter().map(|(place, message)| match &message.content {
            Content::Packet { path, body, .. } => (*place, path.as_deref(), body.len() as u64),
            _ => (*place, None, 0),
        });
        let paths: Vec<_> = paths.collect();
        assert_eq!(paths.len(), 2, "{paths:?}");
        assert_eq!((paths[0].0, paths[1].0), (70, 71));
        assert_eq!(paths[0].2, found[0].1.length);
        let gone = read(Path::new("/nonexistent"), false, HashMap::new(), &|| false);
        assert!(gone.is_err());
    }
}
