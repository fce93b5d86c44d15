//! Masking the secrets in a capture's bytes takes nothing away from what is decoded of it.

use std::sync::Arc;

use buildtap_decoder::event::TapEvent;
use buildtap_decoder::masking::{Masker, Redaction};
use buildtap_decoder::redact::Rules;
use buildtap_decoder::{Decoder, Options};
use buildtap_proto::schema::Schemas;

use crate::splits::told;
use crate::{CAPTURES, Event, Told, as_event, decode, events};

/// In the captures with a secret: see `fixtures/captures/README.md`.
const CANARY: &[u8] = b"canary-secret-8d1f3c5e7a9b";

fn masked(events: &[Event]) -> Vec<Event> {
    let mut decoder = Decoder::new(Options {
        redact: Some(Arc::new(Redaction {
            rules: Rules::default(),
            schemas: Schemas::builtin(),
        })),
        ..Options::default()
    });
    let mut masker = Masker::default();
    let mut masked = Vec::new();
    for (at, tap, told) in events {
        let event = as_event(told);
        decoder.event(*at, *tap, event.clone());
        masker.event(&mut decoder, *at, *tap, &event, |at, tap, event| {
            masked.push((at, tap, Told::of(event)));
        });
    }
    masker.finish(&mut decoder, |at, tap, event: TapEvent<'_>| {
        masked.push((at, tap, Told::of(event)));
    });
    masked
}

fn contains(events: &[Event], part: &[u8]) -> bool {
    events.iter().any(|(_, _, told)| match told {
        Told::Chunk(_, bytes) => bytes.windows(part.len()).any(|window| window == part),
        _ => false,
    })
}

#[test]
fn a_masked_capture_decodes_as_before() {
    for (name, _) in CAPTURES {
        let events = events(name);
        let masked = masked(&events);
        let before = told(&decode(&events, Options::default()));
        let after = told(&decode(&masked, Options::default()));
        let differ = before.iter().zip(&after).find(|(a, b)| a != b);
        assert_eq!(differ, None, "{name}");
        assert_eq!(before.len(), after.len(), "{name}");
        assert_eq!(
            contains(&events, CANARY),
            name.ends_with("secret"),
            "{name}"
        );
        assert!(!contains(&masked, CANARY), "{name}");
    }
}
