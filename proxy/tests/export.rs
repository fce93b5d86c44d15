//! `buildtap export`: what it writes says what the capture said, and no secrets.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use buildtap::demo;
use buildtap::export::{ExportError, Exported, Form, export};
use buildtap::record::about;
use buildtap::tap::Tap;
use buildtap_decoder::event::{Side, TapEvent, TapId, Time};
use buildtap_decoder::masking::Redaction;
use buildtap_decoder::redact::Rules;
use buildtap_decoder::trace::{Call, Connection, Flow, Protocol, Trace};
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture::tcp::{self, Bytes, Happened, Table};
use buildtap_fixtures::capture::write::{About, Writer};
use buildtap_fixtures::capture::{self, Capture, Reader, Record, link};
use buildtap_fixtures::peers::scenario;
use buildtap_fixtures::peers::script::Mode;
use buildtap_proto::schema::Schemas;
use tempfile::TempDir;

/// What the demo's client has for a secret.
const SECRET: &[u8] = b"not-a-real-token";

fn recorded(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/captures");
    folder.join(name).with_extension("pcap")
}

fn redaction() -> Option<Arc<Redaction>> {
    Some(Arc::new(Redaction {
        rules: Rules::default(),
        schemas: Schemas::builtin(),
    }))
}

fn run(from: &Path, to: &Path, redaction: Option<Arc<Redaction>>) -> Result<Exported, ExportError> {
    let shows_secrets = redaction.is_none();
    export(from, to, None, redaction, about(None, shows_secrets))
}

fn exported(from: &Path, redaction: Option<Arc<Redaction>>) -> (TempDir, Vec<u8>, Exported) {
    let home = tempfile::tempdir().unwrap();
    let to = home.path().join("nested.pcapng");
    let exported = run(from, &to, redaction).unwrap();
    let bytes = fs::read(to).unwrap();
    (home, bytes, exported)
}

/// What buildtap makes of a capture.
fn decode(mut capture: Capture) -> Decoder {
    let mut decoder = Decoder::new(Options::default());
    let mut is_finished = false;
    loop {
        match capture.next().unwrap() {
            Some(event) => decoder.event(event.time, event.tap, event.event),
            None if is_finished => return decoder,
            None => {
                capture.finish().unwrap();
                is_finished = true;
            }
        }
    }
}

fn decode_file(path: &Path) -> Decoder {
    decode(capture::open(path, capture::Options::default()).unwrap())
}

/// What somebody makes of it who takes every TCP conversation for what it is, as Wireshark does;
/// and the comments.
fn decode_as_found(file: &[u8]) -> (Decoder, Vec<String>) {
    let mut reader = Reader::new();
    reader.feed(file);
    let mut table = Table::new(tcp::Limits::default(), Vec::new());
    let mut decoder = Decoder::new(Options::default());
    let mut comments = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        let Record::Packet(packet) = record else {
            continue;
        };
        comments.extend(packet.options.comments().map(|comment| comment.to_string()));
        let segment = link::segment(packet.interface.link, packet.data, 0).unwrap();
        table.take(packet.time, packet.number, &segment);
        tell(&mut table, &mut decoder, segment.data);
    }
    while table.close_next() {
        tell(&mut table, &mut decoder, &[]);
    }
    (decoder, comments)
}

fn tell(table: &mut Table, decoder: &mut Decoder, data: &[u8]) {
    while let Some(pending) = table.next_event() {
        let event = match &pending.what {
            Happened::Open(ends) => TapEvent::Open((**ends).clone()),
            Happened::Chunk { from, bytes, .. } => TapEvent::Chunk {
                from: *from,
                bytes: match bytes {
                    Bytes::Segment(range) => &data[range.clone()],
                    Bytes::Held(bytes) => bytes,
                },
            },
            Happened::HalfClose { from } => TapEvent::HalfClose { from: *from },
            Happened::Close { how } => TapEvent::Close { how: *how },
            other => unreachable!("{other:?} in a capture where nothing is missing"),
        };
        decoder.event(pending.time, pending.tap, event);
    }
}

/// The calls on some connections, in words.
fn calls(trace: &Trace, on: impl Fn(&Connection) -> bool) -> Vec<String> {
    let flow = |flow: &Flow| {
        let Flow {
            messages,
            bytes,
            first,
            last,
            ..
        } = flow;
        format!("{messages} messages, {bytes} bytes, {first:?} to {last:?}")
    };
    let line = |call: &Call| {
        let (request, response) = (flow(&call.request), flow(&call.response));
        let Call {
            start, end, status, ..
        } = call;
        let code = status.as_ref().map(|status| status.code);
        let reset = call.reset.as_ref().map(|reset| reset.code);
        let path = call.path();
        format!("{start:?} {path}: {request}; {response}; {end:?} {code:?} {reset:?}")
    };
    let calls = trace.calls.iter().filter(|call| {
        let connection = trace.connections.get(call.connection);
        connection.is_some_and(&on)
    });
    let mut lines: Vec<String> = calls.map(line).collect();
    lines.sort();
    lines
}

/// Each level as a conversation of its own has the same calls, at the same times, as the level
/// that it was taken from; and whoever makes them is who dials.
#[test]
fn what_is_inside_is_told_as_it_was() {
    for (name, inside) in [
        ("nested-local-export", 3),
        ("nested-tar-export", 3),
        ("exec-tunnel-local-export", 4),
    ] {
        let original = decode_file(&recorded(name));
        let original = original.trace();
        let (_home, file, exported) = exported(&recorded(name), redaction());
        assert_eq!(exported.written.inside, inside, "{name}");
        let (found, comments) = decode_as_found(&file);
        let found = found.trace();
        // It is there more than once, and that is all that is wrong with it.
        let mut codes = found.findings.iter().map(|finding| finding.code);
        assert!(codes.all(|code| code == "duplicate-session-id"), "{name}");

        let of_port = |trace: &Trace, port: &str| {
            let port = format!(":{port}");
            calls(trace, |connection| {
                connection.depth == 0 && connection.endpoints.daemon.ends_with(&port)
            })
        };
        let expected = calls(original, |connection| connection.depth == 1);
        let sessions = of_port(found, "23751");
        assert!(sessions.len() > 3, "{sessions:#?}");
        assert_eq!(sessions, expected, "{name}");
        let tunnel = of_port(found, "23750");
        let expected = calls(original, |connection| {
            connection.protocol == Protocol::ExecTunnel
        });
        assert_eq!(tunnel, expected, "{name}");
        for call in found.calls.iter() {
            let connection = found.connections.get(call.connection).unwrap();
            if connection.depth == 0 {
                assert_eq!(call.caller, Side::Client, "{name}: {call:?}");
            }
        }

        for session in original.sessions.iter() {
            let uuid = &session.uuid;
            let comment = comments
                .iter()
                .find(|comment| comment.contains(uuid))
                .unwrap_or_else(|| panic!("{uuid} in {comments:#?}"));
            assert!(
                comment.contains("(Control.Session) of connection"),
                "{comment}"
            );
        }
        let tunnels = comments
            .iter()
            .filter(|comment| comment.contains("exec tunnel of connection"));
        assert_eq!(tunnels.count(), usize::from(name.starts_with("exec")));
    }
}

/// To buildtap the file is what the capture was: it looks inside by itself.
#[test]
fn buildtap_shows_the_same_of_both() {
    let of = |decoder: &Decoder| {
        let trace = decoder.trace();
        let connections: Vec<_> = trace
            .connections
            .iter()
            .map(|it| (it.depth, it.protocol, it.endpoints.clone(), it.bytes.0))
            .collect();
        (connections, calls(trace, |_| true))
    };
    for name in [
        "nested-local-export",
        "exec-tunnel-local-export",
        "buildx-local-export",
        "local-export",
    ] {
        let (home, ..) = exported(&recorded(name), redaction());
        let again = decode_file(&home.path().join("nested.pcapng"));
        assert_eq!(of(&again), of(&decode_file(&recorded(name))), "{name}");
    }
}

/// Keeps what it is told as a capture.
#[derive(Debug)]
struct Keeping(Mutex<Writer<Vec<u8>>>);

impl Tap for Keeping {
    fn event(&self, id: TapId, at: Time, event: TapEvent<'_>) {
        self.0.lock().unwrap().event(at, id, &event).unwrap();
    }
}

fn contains(file: &[u8], what: &[u8]) -> bool {
    file.windows(what.len()).any(|window| window == what)
}

/// Secrets that are inside a session inside a call are masked on both levels.
#[tokio::test]
async fn secrets_are_masked_on_every_level() {
    let home = tempfile::tempdir().unwrap();
    let recorded = About {
        command: Some("docker build --build-arg TOKEN=hunter2".into()),
        shows_secrets: true,
        ..About::here()
    };
    let writer = Writer::new(Vec::new(), &recorded).unwrap();
    let tap = Arc::new(Keeping(Mutex::new(writer)));
    let scene = scenario::demo_build().by(Mode::Nested);
    let ending = demo::play(
        scene,
        Arc::clone(&tap) as Arc<dyn Tap>,
        home.path().to_owned(),
    );
    let ending = ending.await.unwrap();
    assert!(ending.contains("the build is done"), "{ending}");
    let from = home.path().join("plain.pcapng");
    fs::write(&from, tap.0.lock().unwrap().get_ref()).unwrap();

    let (_plain, plain, _) = exported(&from, None);
    let count = plain.windows(SECRET.len()).filter(|it| *it == SECRET);
    assert_eq!(count.count(), 2, "one on each level");
    let (_masked, masked, written) = exported(&from, redaction());
    assert_eq!(written.written.inside, 1);
    assert!(!contains(&masked, SECRET));
    assert!(contains(&plain, b"hunter2") && !contains(&masked, b"hunter2"));
    let says_so = b"secrets are not masked";
    assert!(contains(&plain, says_so) && !contains(&masked, says_so));
}

#[test]
fn nothing_is_overwritten_in_vain() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let failed = |from: &Path, to: &Path| run(from, to, redaction()).unwrap_err().to_string();
    let to = path("nested.pcapng");
    fs::write(&to, "precious").unwrap();

    let capture = recorded("nested-local-export");
    for name in ["trace.txt", "nested.pcap", "nested", "a.zst"] {
        let error = Form::of(&path(name)).unwrap_err().to_string();
        assert!(error.contains(".pcapng"), "{error}");
    }
    for (name, bytes) in [
        ("words.txt", "these are no packets"),
        ("short", "x"),
        ("empty", ""),
    ] {
        fs::write(path(name), bytes).unwrap();
        failed(&path(name), &to);
    }
    failed(&path("missing.pcap"), &to);
    let error = failed(&to, &to);
    assert!(error.contains("name another file"), "{error}");
    fs::create_dir(path("nested.wireshark")).unwrap();
    fs::write(path("nested.wireshark/preferences"), "mine\n").unwrap();
    let error = failed(&capture, &to);
    assert!(error.contains("name another folder"), "{error}");
    assert_eq!(fs::read(&to).unwrap(), b"precious");
}

/// What could be read is there, and the error says why there is no more.
#[test]
fn a_broken_capture_is_exported_up_to_there() {
    let home = tempfile::tempdir().unwrap();
    let (from, to) = (home.path().join("cut.pcap"), home.path().join("out.pcapng"));
    let mut bytes = fs::read(recorded("nested-local-export")).unwrap();
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    bytes.extend([0xff; 4096]);
    fs::write(&from, bytes).unwrap();
    run(&from, &to, redaction()).unwrap_err();
    let found = decode_file(&to);
    assert!(found.trace().calls.iter().count() > 10);
    assert!(home.path().join("out.wireshark/preferences").exists());
}

#[test]
fn a_compressed_one_has_its_settings_beside_it() {
    let home = tempfile::tempdir().unwrap();
    let to = home.path().join("nested.pcapng.zst");
    let exported = run(&recorded("nested-tar-export"), &to, redaction()).unwrap();
    assert_eq!(exported.profile, home.path().join("nested.wireshark"));
    assert!(decode_file(&to).trace().calls.iter().count() > 10);
}
