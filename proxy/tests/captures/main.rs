//! The recorded sessions of real clients and daemons: `fixtures/captures`.
//!
//! What is decoded is held against what another reader found (`truth`); what is shown, against
//! snapshots that were read by a person (`views`); and the decoding of a session must depend
//! neither on how its bytes were cut nor on all of them being there (`splits`).

use std::path::PathBuf;

use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture::{self, Capture};

mod damaged;
mod diagnosed;
mod masked;
#[path = "../common/needles.rs"]
mod needles;
mod redact;
mod splits;
mod trees;
mod truth;
mod views;

/// Every capture, and what there is to find in it.
const CAPTURES: &[(&str, &[&str])] = &[
    ("buildx-context", &[]),
    ("buildx-failing", &["build-failed"]),
    ("buildx-local-export", &[]),
    ("buildx-secret", &[]),
    ("buildx-sid-cancelled", &["cancelled-by-peer"]),
    ("buildx-sid-local-export", &[]),
    ("buildx-tar-export", &[]),
    ("cancelled-build", &["cancelled-by-peer"]),
    ("context-cold", &[]),
    ("context-warm", &[]),
    ("exec-tunnel-local-export", &[]),
    ("failing-dockerfile", &["build-error-in-stream"]),
    ("graph-local-export", &[]),
    ("image-build", &[]),
    ("local-export", &[]),
    ("nested-local-export", &[]),
    ("nested-tar-export", &[]),
    ("run-build", &[]),
    ("secret", &[]),
    ("ssh-forward", &[]),
    ("tar-export", &[]),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/captures")
}

fn path(name: &str) -> PathBuf {
    folder().join(name).with_extension("pcap")
}

/// What a tap saw, to be told as often as needed.
#[derive(Clone, Debug)]
enum Told {
    Chunk(Side, Vec<u8>),
    Gap(Side, Option<u64>),
    HalfClose(Side),
    Open(Endpoints),
    Close(Closed),
}

type Event = (Time, TapId, Told);

impl Told {
    fn of(event: TapEvent<'_>) -> Self {
        match event {
            TapEvent::Chunk { from, bytes } => Told::Chunk(from, bytes.to_vec()),
            TapEvent::Gap { from, bytes } => Told::Gap(from, bytes),
            TapEvent::HalfClose { from } => Told::HalfClose(from),
            TapEvent::Open(endpoints) => Told::Open(endpoints),
            TapEvent::Close { how } => Told::Close(how),
            TapEvent::Blocked { .. } | TapEvent::Unblocked { .. } => {
                unreachable!("a capture does not tell who reads")
            }
        }
    }
}

fn as_event(told: &Told) -> TapEvent<'_> {
    match told {
        Told::Chunk(from, bytes) => TapEvent::Chunk { from: *from, bytes },
        Told::Gap(from, bytes) => TapEvent::Gap {
            from: *from,
            bytes: *bytes,
        },
        Told::HalfClose(from) => TapEvent::HalfClose { from: *from },
        Told::Open(endpoints) => TapEvent::Open(endpoints.clone()),
        Told::Close(how) => TapEvent::Close { how: *how },
    }
}

/// The events of a capture.
fn events(name: &str) -> Vec<Event> {
    events_of(capture::open(path(name), capture::Options::default()).unwrap())
}

fn events_of(mut capture: Capture) -> Vec<Event> {
    let mut events = Vec::new();
    let mut is_finished = false;
    loop {
        match capture.next().unwrap() {
            Some(event) => {
                events.push((event.time, event.tap, Told::of(event.event)));
            }
            None if is_finished => return events,
            None => {
                capture.finish().unwrap();
                is_finished = true;
            }
        }
    }
}

fn decode(events: &[Event], options: Options) -> Decoder {
    let mut decoder = Decoder::new(options);
    for (at, tap, told) in events {
        decoder.event(*at, *tap, as_event(told));
    }
    decoder.finish();
    decoder
}

#[test]
fn every_capture_is_listed() {
    let mut there: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "pcap")
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    there.sort();
    let listed: Vec<&str> = CAPTURES.iter().map(|(name, _)| *name).collect();
    assert_eq!(there, listed);
}

/// A healthy session gives no finding, a failing one exactly its own.
#[test]
fn findings() {
    for (name, expected) in CAPTURES {
        let decoder = decode(&events(name), Options::default());
        let found: Vec<&str> = decoder
            .trace()
            .findings
            .iter()
            .map(|finding| finding.code)
            .collect();
        assert_eq!(&found, expected, "{name}: {:#?}", decoder.trace().findings);
    }
}

/// Every transfer of files is tied to the step that caused it.
#[test]
fn transfers_have_steps() {
    for (name, _) in CAPTURES {
        let decoder = decode(&events(name), Options::default());
        let trace = decoder.trace();
        for transfer in trace.transfers.iter() {
            let call = trace.calls.get(transfer.call).unwrap();
            let build = trace.builds.get(call.build.expect(name)).unwrap();
            let vertex = call
                .vertex
                .as_deref()
                .and_then(|digest| build.vertex(digest));
            let vertex = vertex.unwrap_or_else(|| panic!("{name}: {call:#?} of {build:#?}"));
            let expected = match (transfer.service.as_str(), transfer.name.as_str()) {
                // Without a frontend, nobody gives it another name.
                ("FileSync", _) if name.starts_with("graph-") => "local://context",
                ("FileSync", "dockerfile") => "load build definition",
                ("FileSync", _) if call.header("followpaths") == Some(".dockerignore") => {
                    ".dockerignore"
                }
                ("FileSync", _) => "load build context",
                _ => "exporting to client",
            };
            assert!(
                vertex.name.contains(expected),
                "{name}: {expected}, not {}",
                vertex.name
            );
        }
    }
}
