//! The JSON lines of played builds, held against `docs/json.md`: every field that is written is
//! described there, in its place and with its type, and everything described there is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use buildtap::demo;
use buildtap::tap::Tap;
use buildtap::view::json::Writer;
use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_decoder::trace::{Call, Content, Message, Trace};
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::peers::scenario::{self, Scene};
use buildtap_fixtures::peers::script::{Mode, Output};
use serde_json::{Value, json};

const DOC: &str = include_str!("../../docs/json.md");

/// What a tap was told, to be told again.
#[derive(Clone, Debug)]
enum Told {
    Chunk(Side, Vec<u8>),
    Other(TapEvent<'static>),
}

type Event = (Time, TapId, Told);

#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Tap for Recorder {
    fn event(&self, id: TapId, at: Time, event: TapEvent<'_>) {
        let told = match event {
            TapEvent::Chunk { from, bytes } => Told::Chunk(from, bytes.to_vec()),
            TapEvent::Open(endpoints) => Told::Other(TapEvent::Open(endpoints)),
            TapEvent::Gap { from, bytes } => Told::Other(TapEvent::Gap { from, bytes }),
            TapEvent::HalfClose { from } => Told::Other(TapEvent::HalfClose { from }),
            TapEvent::Blocked { to } => Told::Other(TapEvent::Blocked { to }),
            TapEvent::Unblocked { to } => Told::Other(TapEvent::Unblocked { to }),
            TapEvent::Close { how } => Told::Other(TapEvent::Close { how }),
        };
        self.0.lock().unwrap().push((at, id, told));
    }
}

/// Plays a scene through the relay.
fn play(scene: Scene) -> Vec<Event> {
    let recorder = Arc::new(Recorder::default());
    let directory = tempfile::tempdir().unwrap();
    let tap: Arc<dyn Tap> = Arc::<Recorder>::clone(&recorder);
    let played = async {
        tokio::time::timeout(
            Duration::from_secs(60),
            demo::play(scene, tap, directory.path().to_owned()),
        )
        .await
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(played).expect("deadline").unwrap();
    std::mem::take(&mut *recorder.0.lock().unwrap())
}

/// The healthy build, played once.
fn healthy() -> &'static [Event] {
    static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
    EVENTS.get_or_init(|| {
        let mut scene = scenario::demo_build();
        scene.daemon.pace = Duration::from_millis(5);
        play(scene)
    })
}

/// The build that hangs until the client gives up, played once.
fn hanging() -> &'static [Event] {
    static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
    EVENTS.get_or_init(|| {
        let Scene { client, mut daemon } = scenario::demo_hang();
        daemon.pace = Duration::from_millis(5);
        let client = client.give_up_after(Duration::from_secs(3));
        play(Scene { client, daemon })
    })
}

/// A healthy build inside a `Control.Session`, with an archive as its output, played once.
fn nested() -> &'static [Event] {
    static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
    EVENTS.get_or_init(|| {
        let mut scene = scenario::demo_build().by(Mode::Nested);
        scene.client.output = Output::Tar;
        scene.daemon.pace = Duration::from_millis(5);
        play(scene)
    })
}

/// A build whose client gives up in the middle of the context, and says so; played once.
fn failing() -> &'static [Event] {
    static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
    EVENTS.get_or_init(|| {
        let Scene { client, mut daemon } = scenario::demo_build();
        daemon.pace = Duration::from_millis(5);
        let client = client.err_packet_after("context", 5, "read failed: API_TOKEN=hunter2");
        play(Scene { client, daemon })
    })
}

/// A build whose client sends the files of the context but not their ends; played once.
fn unended() -> &'static [Event] {
    static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
    EVENTS.get_or_init(|| {
        let Scene { client, mut daemon } = scenario::demo_build();
        daemon.pace = Duration::from_millis(5);
        let client = client
            .never_end_files("context")
            .give_up_after(Duration::from_secs(2));
        let mut events = play(Scene { client, daemon });
        // Whether the relay sees its client go before it is stopped is a matter of luck.
        events.retain(|(.., told)| !matches!(told, Told::Other(TapEvent::Close { .. })));
        let taps: BTreeSet<_> = events.iter().map(|(_, tap, _)| *tap).collect();
        let last = events.last().unwrap().0;
        let by = Some(Side::Client);
        let close = Told::Other(TapEvent::Close {
            how: Closed::Reset { by },
        });
        events.extend(taps.into_iter().map(|tap| (last, tap, close.clone())));
        events
    })
}

/// Connections with what the played builds do not have: a GOAWAY, missing bytes, a reset,
/// text of an exec tunnel, and a peer that does not read.
fn odd() -> Vec<Event> {
    let mut events = Vec::new();
    let mut tell = |tap, told| {
        let at = Time(1_700_000_000_000_000_000 + 1_000_000 * events.len() as u64);
        events.push((at, TapId(tap), told));
    };
    let endpoints = Endpoints {
        client: "127.0.0.1:51234".into(),
        daemon: "127.0.0.1:2375".into(),
        client_process: Some("4711 docker build .".into()),
    };
    // HTTP/2: the preface, SETTINGS of both, a call without an end, GOAWAY and missing bytes.
    let mut client = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    client.extend(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\x10\0\0");
    let mut daemon = b"\0\0\0\x04\0\0\0\0\0".to_vec();
    daemon.extend(b"\0\0\x0b\x07\0\0\0\0\0\0\0\0\x01\0\0\0\x0bbye");
    tell(1, Told::Other(TapEvent::Open(endpoints.clone())));
    tell(1, Told::Chunk(Side::Client, client));
    tell(1, Told::Chunk(Side::Daemon, daemon));
    let (from, bytes) = (Side::Daemon, Some(512));
    tell(1, Told::Other(TapEvent::Gap { from, bytes }));
    tell(1, Told::Other(TapEvent::Blocked { to: Side::Client }));
    let by = Some(Side::Client);
    let how = Closed::Reset { by };
    tell(1, Told::Other(TapEvent::Close { how }));
    // `docker exec` with a line on standard error, after which the tunnel stays open.
    let request = "POST /v1.45/exec/0123/start HTTP/1.1\r\nHost: docker\r\nContent-Type: \
                   application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: \
                   28\r\n\r\n{\"Detach\":false,\"Tty\":false}";
    let answer = "HTTP/1.1 101 UPGRADED\r\nContent-Type: \
                  application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: \
                  tcp\r\n\r\n\x02\0\0\0\0\0\0\x15no such\u{9b} container\n";
    tell(2, Told::Other(TapEvent::Open(endpoints)));
    tell(2, Told::Chunk(Side::Client, request.into()));
    tell(2, Told::Chunk(Side::Daemon, answer.into()));
    events
}

fn describe(_: &Call, message: &Message) -> Option<Value> {
    match &message.content {
        Content::Protobuf { body, .. } => Some(json!({"bytes": body.len()})),
        _ => panic!("only protobuf needs to be described"),
    }
}

/// The lines that the events give, and the trace that they leave. Every line is taken as soon as
/// it can be, or all at the end.
fn replay(events: &[Event], at_once: bool) -> (Vec<String>, Decoder) {
    let mut decoder = Decoder::new(Options {
        updates: true,
        messages: true,
        stall_after: Some(Duration::from_millis(500)),
        ..Options::default()
    });
    let mut writer = Writer::new(false);
    let mut out = String::new();
    let mut take = |decoder: &mut Decoder, out: &mut String| {
        while let Some(update) = decoder.take_update() {
            writer.update(decoder.trace(), &update, &describe, out);
        }
    };
    for (at, tap, told) in events {
        let event = match told {
            Told::Chunk(from, bytes) => TapEvent::Chunk { from: *from, bytes },
            Told::Other(event) => event.clone(),
        };
        decoder.event(*at, *tap, event);
        if at_once {
            take(&mut decoder, &mut out);
        }
    }
    decoder.finish();
    take(&mut decoder, &mut out);
    writer.remaining(decoder.trace(), decoder.now(), &mut out);
    let written = out.len();
    writer.remaining(decoder.trace(), decoder.now(), &mut out);
    assert_eq!(out.len(), written, "what was written remains");
    assert!(!out.chars().any(|c| c != '\n' && c.is_control()));
    (out.lines().map(str::to_owned).collect(), decoder)
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// A row of a table of the document.
#[derive(Clone, Debug)]
struct Described {
    name: String,
    types: Vec<String>,
    /// The values that it may have, where the meaning begins with "One of".
    values: Vec<String>,
}

/// The tables of the document, by the name in the heading.
fn tables() -> BTreeMap<String, Vec<Described>> {
    let mut tables = BTreeMap::<String, Vec<Described>>::new();
    let mut heading = None;
    for line in DOC.lines() {
        if line.starts_with('#') {
            heading = line.split('`').nth(1).map(str::to_owned);
        }
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let (Some(heading), ["", name, types, meaning, ""]) = (&heading, cells.as_slice()) else {
            continue;
        };
        let Some(name) = name.strip_prefix('`').and_then(|n| n.strip_suffix('`')) else {
            continue;
        };
        let values = match meaning.strip_prefix("One of ") {
            Some(values) => values.split(". ").next().unwrap(),
            None => "",
        };
        tables.entry(heading.clone()).or_default().push(Described {
            name: name.to_owned(),
            types: types.split(" or ").map(str::to_owned).collect(),
            values: values
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect(),
        });
    }
    tables
}

/// Holds objects against the tables, and remembers what it saw.
#[derive(Debug, Default)]
struct Checker {
    tables: BTreeMap<String, Vec<Described>>,
    seen: BTreeSet<(String, String)>,
}

impl Checker {
    fn new() -> Self {
        Checker {
            tables: tables(),
            ..Checker::default()
        }
    }

    fn line(&mut self, line: &str) {
        let value = parse(line);
        assert!(line.starts_with("{\"kind\":"), "{line}");
        self.object(value["kind"].as_str().unwrap(), &value);
    }

    fn object(&mut self, table: &str, value: &Value) {
        let described = self.tables.get(table);
        let described = described
            .unwrap_or_else(|| panic!("no table for `{table}`"))
            .clone();
        let object = value.as_object().unwrap();
        let names: Vec<_> = object.keys().map(String::as_str).collect();
        let expected: Vec<_> = described
            .iter()
            .filter(|field| {
                !field.types.contains(&"absent".into()) || object.contains_key(&field.name)
            })
            .map(|field| field.name.as_str())
            .collect();
        assert_eq!(names, expected, "the fields of `{table}`");
        for field in &described {
            let Some(value) = object.get(&field.name) else {
                continue;
            };
            self.seen.insert((table.to_owned(), field.name.clone()));
            let fits = field.types.iter().any(|kind| self.fits(kind, value));
            assert!(
                fits,
                "`{table}`.`{}` is {value}, not {:?}",
                field.name, field.types
            );
            if let (false, Some(text)) = (field.values.is_empty(), value.as_str()) {
                let known = field.values.iter().any(|value| value == text);
                assert!(known, "`{table}`.`{}` is {text}", field.name);
            }
        }
    }

    fn fits(&mut self, kind: &str, value: &Value) -> bool {
        let strings = |value: &Value| {
            value
                .as_array()
                .is_some_and(|list| list.iter().all(Value::is_string))
        };
        let map =
            |of: &dyn Fn(&Value) -> bool| value.as_object().is_some_and(|map| map.values().all(of));
        match kind {
            "null" => value.is_null(),
            "absent" => false,
            "string" => value.is_string(),
            "number" => value.is_i64() || value.is_u64(),
            "duration" => value.is_u64(),
            "boolean" => value.is_boolean(),
            "time" => value.as_str().is_some_and(|text| {
                text.len() == "2023-11-14T22:13:20.000000000Z".len()
                    && text.ends_with('Z')
                    && humantime::parse_rfc3339(text).is_ok()
            }),
            "JSON" => true,
            "list of strings" => strings(value),
            "map of strings" => map(&Value::is_string),
            "map of numbers" => map(&Value::is_u64),
            "map of lists" => map(&strings),
            other => {
                let name = other.split('`').nth(1);
                let name = name.unwrap_or_else(|| panic!("{other:?} is no type"));
                match (other.starts_with("list of "), value) {
                    (true, Value::Array(list)) => {
                        list.iter().for_each(|value| self.object(name, value));
                        true
                    }
                    (false, Value::Object(_)) => {
                        self.object(name, value);
                        true
                    }
                    _ => false,
                }
            }
        }
    }
}

#[test]
fn what_is_written_is_described_and_what_is_described_is_written() {
    let mut checker = Checker::new();
    let all = [
        healthy().to_vec(),
        hanging().to_vec(),
        nested().to_vec(),
        failing().to_vec(),
        unended().to_vec(),
        odd(),
    ];
    for events in all {
        // Cut short as well: what is open looks different.
        for part in [events.len(), events.len() / 2] {
            let (lines, _) = replay(&events[..part], true);
            lines.iter().for_each(|line| checker.line(line));
        }
    }
    for (table, fields) in &checker.tables {
        for field in fields {
            let seen = (table.clone(), field.name.clone());
            assert!(checker.seen.contains(&seen), "{seen:?} is never written");
        }
    }
}

#[test]
fn every_kind_has_an_example_that_is_true() {
    let mut kinds = BTreeSet::new();
    let mut checker = Checker::new();
    for line in DOC.lines().filter(|line| line.starts_with("{\"kind\"")) {
        checker.line(line);
        kinds.insert(parse(line)["kind"].as_str().unwrap().to_owned());
    }
    let described: BTreeSet<_> = DOC
        .lines()
        .filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`'))
        .map(str::to_owned)
        .collect();
    assert_eq!(kinds, described);
}

/// What identifies an object of the kinds of which everything gets one.
fn key(value: &Value) -> Option<String> {
    let parts: &[&str] = match value["kind"].as_str()? {
        "message" => &["kind", "call", "from", "number"],
        "text" => return None,
        "session" => &["kind", "number"],
        "file" => &["kind", "transfer", "id"],
        "vertex" => &["kind", "build", "digest"],
        _ => &["kind", "id"],
    };
    Some(
        parts
            .iter()
            .map(|part| format!("{} ", value[part]))
            .collect(),
    )
}

/// The keys of what there is in a trace, but for messages, and files that came to their end.
fn keys(trace: &Trace) -> BTreeSet<String> {
    let numbered = |kind: &'static str, count: usize| {
        let field = if kind == "session" { "number" } else { "id" };
        (1..=count).map(move |n| key(&json!({"kind": kind, field: n})).unwrap())
    };
    let files = trace.transfers.iter().flat_map(|row| {
        row.machine.open_files().map(|file| {
            let transfer = row.id.number();
            key(&json!({"kind": "file", "transfer": transfer, "id": file.id})).unwrap()
        })
    });
    let vertices = trace.builds.iter().flat_map(|row| {
        row.vertices.iter().map(|vertex| {
            let build = row.id.number();
            key(&json!({"kind": "vertex", "build": build, "digest": vertex.digest})).unwrap()
        })
    });
    numbered("connection", trace.connections.len())
        .chain(numbered("session", trace.sessions.len()))
        .chain(numbered("call", trace.calls.len()))
        .chain(numbered("exchange", trace.exchanges.len()))
        .chain(numbered("transfer", trace.transfers.len()))
        .chain(numbered("build", trace.builds.len()))
        .chain(numbered("finding", trace.findings.len()))
        .chain(files)
        .chain(vertices)
        .collect()
}

#[test]
fn everything_is_written_once_wherever_the_events_end() {
    for events in [healthy(), hanging(), nested(), failing(), unended()] {
        let step = (events.len() / 40).max(1);
        for part in (0..=events.len()).rev().step_by(step) {
            for at_once in [true, false] {
                let (lines, decoder) = replay(&events[..part], at_once);
                let mut written = BTreeSet::new();
                for value in lines.iter().map(|line| parse(line)) {
                    if let Some(key) = key(&value) {
                        assert!(written.insert(key.clone()), "{key}is written twice");
                    }
                }
                let trace = decoder.trace();
                let missing: Vec<_> = keys(trace).difference(&written).cloned().collect();
                assert!(missing.is_empty(), "not written: {missing:?}");
                let files = written
                    .iter()
                    .filter(|key| key.starts_with("\"file\""))
                    .count();
                let requested: u64 = trace.transfers.iter().map(|t| t.machine.requested()).sum();
                assert_eq!(files as u64, requested);
            }
        }
    }
}

#[test]
fn a_healthy_build_and_who_refers_to_whom() {
    let (lines, decoder) = replay(healthy(), true);
    let values: Vec<_> = lines.iter().map(|line| parse(line)).collect();
    let of = |kind: &'static str| values.iter().filter(move |value| value["kind"] == kind);
    let uuid = &decoder.trace().sessions.iter().next().unwrap().uuid;
    let session = of("session").next().unwrap();
    assert_eq!(session["id"], json!(uuid));
    assert_eq!(session["path"], "engine-session");
    let build = of("build").next().unwrap();
    assert_eq!(
        (&build["session"], &build["state"]),
        (&json!(uuid), &json!("complete"))
    );
    let export = of("transfer")
        .find(|value| value["direction"] == "to-client")
        .unwrap();
    assert_eq!(
        (&export["session"], &export["state"]),
        (&json!(uuid), &json!("complete"))
    );
    assert_eq!(
        (&export["flavour"], &export["turn"]),
        (&json!("packet"), &Value::Null)
    );
    assert_eq!(export["requested"], export["completed"]);
    let call = of("call")
        .find(|value| value["id"] == export["call"])
        .unwrap();
    assert_eq!(
        (&call["caller"], &call["session"]),
        (&json!("daemon"), &json!(uuid))
    );
    // The steps come after the build.
    let at = |kind| {
        lines
            .iter()
            .position(|line| line.starts_with(&format!("{{\"kind\":\"{kind}\"")))
    };
    assert!(at("vertex").unwrap() > at("build").unwrap());
    assert!(of("vertex").all(|value| value["state"] == "complete"));
    // The data of a file is known by its path.
    let data = of("message")
        .find(|value| value["packet"]["type"] == "DATA")
        .unwrap();
    assert!(data["packet"]["path"].is_string(), "{data}");
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.contains("not-a-real-token"))
            .count(),
        0
    );
}

#[test]
fn steps_are_written_when_nothing_more_is_reported_of_them() {
    let of_vertices = |lines: &[String]| -> Vec<String> {
        let is = |line: &&String| line.starts_with("{\"kind\":\"vertex\"");
        lines.iter().filter(is).cloned().collect()
    };
    for events in [healthy(), nested()] {
        let (lines, decoder) = replay(events, true);
        let mut last = String::new();
        Writer::new(false).remaining(decoder.trace(), decoder.now(), &mut last);
        let last: Vec<_> = last.lines().map(str::to_owned).collect();
        assert!(!of_vertices(&lines).is_empty());
        assert_eq!(of_vertices(&lines), of_vertices(&last));
        assert!(lines.last().unwrap() != of_vertices(&lines).last().unwrap());
    }
}

#[test]
fn an_archive() {
    let (lines, _) = replay(nested(), true);
    let values: Vec<_> = lines.iter().map(|line| parse(line)).collect();
    let archive = values
        .iter()
        .find(|value| value["kind"] == "transfer" && value["flavour"] == "bytes")
        .unwrap();
    assert_eq!(
        (&archive["flavour"], &archive["entries"]),
        (&json!("bytes"), &json!(0))
    );
    assert!(archive["bytes"].as_u64().unwrap() > 100_000);
}

#[test]
fn a_transfer_that_fails_says_why() {
    let (lines, _) = replay(failing(), true);
    let values: Vec<_> = lines.iter().map(|line| parse(line)).collect();
    let failed = values
        .iter()
        .find(|value| value["kind"] == "transfer" && value["state"] == "failed")
        .unwrap();
    assert_eq!(failed["name"], "context");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("read failed"), "{error}");
    assert!(!lines.iter().any(|line| line.contains("hunter2")));
}

#[test]
fn files_that_do_not_end_with_their_transfer_fail_with_it() {
    let (lines, _) = replay(unended(), true);
    let values: Vec<_> = lines.iter().map(|line| parse(line)).collect();
    let is_failed = |value: &Value| value["kind"] == "transfer" && value["state"] == "failed";
    let at = values.iter().position(is_failed).unwrap();
    let of_it = |value: &Value| value["kind"] == "file" && value["transfer"] == values[at]["id"];
    let files: Vec<_> = values.iter().filter(|value| of_it(value)).collect();
    assert_eq!(json!(files.len()), values[at]["requested"]);
    assert!(
        files.iter().all(|file| file["state"] == "failed"),
        "{files:?}"
    );
    assert!(
        files.iter().all(|file| file["bytes"] == file["size"]),
        "{files:?}"
    );
    assert!(values.iter().rposition(of_it).unwrap() < at);
}

#[test]
fn a_build_that_hangs_says_whose_turn_it_is() {
    // Until the client gives up, but without that.
    let events = hanging();
    let last = events.last().unwrap().0;
    let before: Vec<_> = events
        .iter()
        .filter(|(at, ..)| last.since(*at) > Duration::from_millis(500))
        .cloned()
        .collect();
    let (lines, _) = replay(&before, true);
    let values: Vec<_> = lines.iter().map(|line| parse(line)).collect();
    let open = values
        .iter()
        .find(|value| value["kind"] == "transfer" && value["state"] == "open")
        .unwrap();
    assert_eq!(open["turn"]["side"], "client", "{open}");
    assert!(open["end"].is_null() && open["duration_ns"].is_null());
}
