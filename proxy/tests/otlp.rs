//! Spans of recorded sessions: what they are, below what they hang, and that they are the same
//! every time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use buildtap::export::spans::{FileForm, to_file};
use buildtap::otlp::spans::{FileSpans, Options};
use buildtap_decoder::event::Side;
use buildtap_decoder::redact::Regex;
use buildtap_decoder::{Decoder, Options as DecoderOptions};
use buildtap_fixtures::capture;
use opentelemetry::KeyValue;
use serde_json::Value;

/// In the captures with a secret: see `fixtures/captures/README.md`.
const CANARY: &str = "canary-secret-8d1f3c5e7a9b";

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/captures");
    let mut captures: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "pcap")
        })
        .collect();
    captures.sort();
    assert!(captures.len() > 15);
    captures
}

fn recorded(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/captures");
    folder.join(name).with_extension("pcap")
}

fn options() -> Options {
    Options {
        forward_spans: true,
        own: vec![KeyValue::new("service.name", "buildtap")],
        ..Options::default()
    }
}

fn written(from: &Path, form: FileForm, options: Options) -> String {
    let home = tempfile::tempdir().unwrap();
    let to = home.path().join("out");
    let count = to_file(from, &to, form, options).unwrap();
    assert!(count > 0);
    fs::read_to_string(to).unwrap()
}

fn spans_of(text: &str) -> Vec<Value> {
    let mut spans = Vec::new();
    for line in text.lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        for group in request["resourceSpans"].as_array().unwrap() {
            for scope in group["scopeSpans"].as_array().unwrap() {
                spans.extend(scope["spans"].as_array().unwrap().iter().cloned());
            }
        }
    }
    spans
}

fn spans(from: &Path, options: Options) -> Vec<Value> {
    spans_of(&written(from, FileForm::OtlpJson, options))
}

fn text<'a>(span: &'a Value, field: &str) -> &'a str {
    span[field].as_str().unwrap_or_default()
}

fn time(span: &Value, field: &str) -> u64 {
    text(span, field).parse().unwrap()
}

fn attribute(span: &Value, key: &str) -> Option<String> {
    let attributes = span["attributes"].as_array()?;
    let found = attributes.iter().find(|it| it["key"] == key)?;
    let value = &found["value"];
    for kind in ["stringValue", "intValue"] {
        if let Some(text) = value[kind].as_str() {
            return Some(text.to_owned());
        }
    }
    Some(value.to_string())
}

fn decoded(from: &Path) -> Decoder {
    let mut decoder = Decoder::new(DecoderOptions::default());
    let mut capture = capture::open(from, capture::Options::default()).unwrap();
    while let Some(event) = capture.next().unwrap() {
        decoder.event(event.time, event.tap, event.event);
    }
    capture.finish().unwrap();
    while let Some(event) = capture.next().unwrap() {
        decoder.event(event.time, event.tap, event.event);
    }
    decoder.finish();
    decoder
}

#[test]
fn an_export_is_the_same_every_time() {
    for capture in captures() {
        for form in [FileForm::OtlpJson, FileForm::Perfetto] {
            let once = written(&capture, form, options());
            let twice = written(&capture, form, options());
            assert!(once == twice, "{}", capture.display());
        }
    }
}

#[test]
fn every_span_has_an_id_of_its_own_and_a_parent_that_is_there() {
    for capture in captures() {
        let spans = spans(&capture, options());
        let ids: BTreeSet<&str> = spans.iter().map(|span| text(span, "spanId")).collect();
        assert_eq!(ids.len(), spans.len(), "{}", capture.display());
        for span in &spans {
            let parent = text(span, "parentSpanId");
            let is_there = parent.is_empty() || ids.contains(parent);
            assert!(is_there, "{}: {span:#}", capture.display());
            assert!(time(span, "startTimeUnixNano") <= time(span, "endTimeUnixNano"));
        }
    }
}

/// Everything that the decoder knows is there, by its number.
#[test]
fn every_row_has_a_span() {
    for capture in captures() {
        let spans = spans(&capture, options());
        let decoder = decoded(&capture);
        let trace = decoder.trace();
        let count = |key: &str| {
            let numbers: BTreeSet<String> = spans
                .iter()
                .filter_map(|span| attribute(span, key))
                .collect();
            numbers.len()
        };
        assert_eq!(count("buildkit.call.number"), trace.calls.len());
        assert_eq!(count("buildkit.transfer.number"), trace.transfers.len());
        assert_eq!(count("buildkit.build.number"), trace.builds.len());
        let sessions = spans.iter().filter(|span| span["name"] == "session");
        assert_eq!(sessions.count(), trace.sessions.len());
        let steps = trace.builds.iter().flat_map(|build| &build.vertices);
        let started = steps.filter(|vertex| vertex.started.is_some());
        let cached = spans
            .iter()
            .filter(|span| attribute(span, "buildkit.vertex.cached").is_some());
        assert_eq!(cached.count(), started.count(), "{}", capture.display());
    }
}

/// What a call came with decides where it hangs: a call of the client below the client's span, in
/// its trace.
#[test]
fn a_client_s_context_is_taken_up() {
    let capture = recorded("buildx-tar-export");
    let spans = spans(&capture, options());
    let decoder = decoded(&capture);
    let trace = decoder.trace();
    let mut looked_at = 0;
    for call in trace
        .calls
        .iter()
        .filter(|call| call.caller == Side::Client)
    {
        let Some(parent) = call.header("traceparent") else {
            continue;
        };
        let [_, trace_id, span_id, _] = parent.split('-').collect::<Vec<_>>()[..] else {
            panic!("{parent}");
        };
        let number = call.id.number().to_string();
        let of_call =
            |span: &&Value| attribute(span, "buildkit.call.number") == Some(number.clone());
        let span = spans.iter().find(of_call).unwrap();
        assert_eq!(text(span, "traceId"), trace_id);
        if call.method != "Solve" || !call.service.ends_with(".Control") {
            assert_eq!(text(span, "parentSpanId"), span_id);
            looked_at += 1;
        } else {
            // The build is in between.
            let build = spans.iter().find(|it| it["spanId"] == span["parentSpanId"]);
            assert_eq!(text(build.unwrap(), "parentSpanId"), span_id);
        }
    }
    assert!(looked_at > 5);
}

/// A call of the daemon hangs below its session, unless the daemon's spans are said to be there.
#[test]
fn a_daemon_s_context_is_taken_up_if_its_spans_are_there() {
    let capture = recorded("buildx-tar-export");
    let below = |daemon_exports: bool| {
        let options = Options {
            daemon_exports,
            ..options()
        };
        let spans = spans(&capture, options);
        let mut parents = BTreeMap::new();
        for span in &spans {
            if attribute(span, "buildkit.caller").as_deref() == Some("daemon") {
                let parent = spans.iter().find(|it| it["spanId"] == span["parentSpanId"]);
                let name = parent.map(|parent| text(parent, "name").to_owned());
                *parents.entry(name).or_insert(0) += 1;
            }
        }
        parents
    };
    assert_eq!(below(false), [(Some("session".to_owned()), 4)].into());
    assert_eq!(below(true), [(None, 4)].into());
}

#[test]
fn the_trace_of_a_build_is_named_after_its_ref() {
    // Its peers trace nothing.
    let capture = recorded("graph-local-export");
    let spans = spans(&capture, options());
    let traces: BTreeSet<&str> = spans.iter().map(|span| text(span, "traceId")).collect();
    assert_eq!(traces.len(), 1, "{traces:?}");
}

#[test]
fn secrets_are_masked() {
    for name in ["secret", "buildx-secret"] {
        for form in [FileForm::OtlpJson, FileForm::Perfetto] {
            assert!(!written(&recorded(name), form, options()).contains(CANARY));
        }
    }
    let masked = Options {
        mask: vec![Regex::new("hel+o").unwrap()],
        ..options()
    };
    let text = written(&recorded("local-export"), FileForm::OtlpJson, masked);
    assert!(text.contains("file ***.txt") && !text.contains("hello"));
}

#[test]
fn paths_are_hashed() {
    for name in ["local-export", "buildx-local-export", "failing-dockerfile"] {
        let hashed = Options {
            hash_paths: true,
            ..options()
        };
        let text = written(&recorded(name), FileForm::OtlpJson, hashed.clone());
        for path in ["hello", "script.sh", "numbers", "deep", "contexts"] {
            assert!(!text.contains(path), "{name}: {path}");
        }
        let spans = spans(&recorded(name), hashed);
        let files = spans.iter().filter_map(|span| attribute(span, "file.path"));
        assert!(files.clone().count() > 0);
        assert!(files.into_iter().all(|path| path.starts_with("sha256:")));
    }
}

#[test]
fn which_files_have_a_span() {
    let capture = recorded("context-cold");
    let with = |file_spans| {
        let options = Options {
            file_spans,
            ..options()
        };
        spans(&capture, options)
    };
    let is_file = |span: &&Value| text(span, "name").starts_with("file ");
    let all = with(FileSpans::All);
    let files = all.iter().filter(is_file).count();
    assert!(files > 0);
    let none = with(FileSpans::None);
    assert_eq!(none.iter().filter(is_file).count(), 0);
    assert_eq!(none.len(), all.len() - files);
    let left_out = |span: &Value| attribute(span, "buildkit.transfer.files_without_span");
    let left_out = none.iter().filter_map(left_out);
    assert_eq!(
        left_out
            .map(|it| it.parse::<usize>().unwrap())
            .sum::<usize>(),
        files
    );
    let some = with(FileSpans::Slow);
    assert!(some.iter().filter(is_file).count() <= files);
}

/// Nanoseconds, as written in microseconds.
fn nanos(event: &Value, field: &str) -> i64 {
    (event[field].as_f64().unwrap() * 1e3).round() as i64
}

fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().unwrap()
}

/// What stands in one lane never overlaps there; lanes have names, and arrows lead from the beginning of one thing to
/// that of a later one.
#[test]
fn trace_events_keep_the_rules_of_their_format() {
    let mut arrows = 0;
    for capture in captures() {
        let text = written(&capture, FileForm::Perfetto, options());
        let document: Value = serde_json::from_str(&text).unwrap();
        let events = document["traceEvents"].as_array().unwrap();
        let of = |phase: &'static str| events.iter().filter(move |it| it["ph"] == phase);
        let lane = |event: &Value| (number(event, "pid"), number(event, "tid"));
        let mut lanes: BTreeMap<(u64, u64), Vec<(i64, i64)>> = BTreeMap::new();
        for event in of("X") {
            let start = nanos(event, "ts");
            let end = start + nanos(event, "dur");
            assert!(start > 0 && end >= start, "{event}");
            lanes.entry(lane(event)).or_default().push((start, end));
        }
        for (lane, spans) in &mut lanes {
            spans.sort_unstable();
            for pair in spans.windows(2) {
                assert!(pair[0].1 <= pair[1].0, "{}: {lane:?}", capture.display());
            }
            let named = |it: &Value| it["name"] == "thread_name" && number(it, "tid") == lane.1;
            assert!(of("M").any(named), "{lane:?}");
        }
        let begins = |event: &Value| {
            let spans = lanes.get(&lane(event)).unwrap();
            spans.iter().any(|(start, _)| *start == nanos(event, "ts"))
        };
        for start in of("s") {
            let mut ends = of("f").filter(|end| end["id"] == start["id"]);
            let end = ends.next().unwrap();
            assert!(ends.next().is_none() && end["bp"] == "e", "{end}");
            assert!(nanos(start, "ts") <= nanos(end, "ts"), "{start} {end}");
            assert!(begins(start) && begins(end), "{start} {end}");
            arrows += 1;
        }
        assert_eq!(of("s").count(), of("f").count());
    }
    assert!(arrows > 10, "{arrows}");
}

/// The tree of spans, with offsets and durations in milliseconds.
fn tree(spans: &[Value], all: bool) -> String {
    let first = spans
        .iter()
        .map(|span| time(span, "startTimeUnixNano"))
        .min()
        .unwrap();
    let mut out = String::new();
    let mut below: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for span in spans {
        below
            .entry(text(span, "parentSpanId"))
            .or_default()
            .push(span);
    }
    for list in below.values_mut() {
        list.sort_by_key(|span| (time(span, "startTimeUnixNano"), text(span, "name")));
    }
    fn tell(
        below: &BTreeMap<&str, Vec<&Value>>,
        id: &str,
        depth: usize,
        first: u64,
        all: bool,
        out: &mut String,
    ) {
        for span in below.get(id).into_iter().flatten() {
            let start = (time(span, "startTimeUnixNano") - first) as f64 / 1e6;
            let end = (time(span, "endTimeUnixNano") - first) as f64 / 1e6;
            let status = match span["status"]["code"].as_u64() {
                Some(2) => format!("  ERROR {}", text(&span["status"], "message")),
                _ => String::new(),
            };
            let pad = "  ".repeat(depth);
            let took = end - start;
            let name = text(span, "name");
            writeln!(out, "{start:8.3} {took:8.3}  {pad}{name}{status}").unwrap();
            if all {
                let note = |out: &mut String, line: String| {
                    writeln!(out, "{:20}{pad}  {line}", "").unwrap();
                };
                note(
                    out,
                    format!("{} of {}", text(span, "spanId"), text(span, "traceId")),
                );
                for it in span["attributes"].as_array().into_iter().flatten() {
                    let value = it["value"].as_object().unwrap().values().next().unwrap();
                    note(out, format!("{} = {value}", it["key"].as_str().unwrap()));
                }
                for event in span["events"].as_array().into_iter().flatten() {
                    let at = (time(event, "timeUnixNano") - first) as f64 / 1e6;
                    note(out, format!("@ {at:.3} {}", text(event, "name")));
                }
                for link in span["links"].as_array().into_iter().flatten() {
                    let why = attribute(link, "buildkit.link").unwrap_or_default();
                    note(out, format!("→ {} {why}", text(link, "spanId")));
                }
            }
            tell(below, text(span, "spanId"), depth + 1, first, all, out);
        }
    }
    tell(&below, "", 0, first, all, &mut out);
    out
}

#[test]
fn all_of_a_local_export() {
    let spans = spans(&recorded("local-export"), options());
    insta::assert_snapshot!(tree(&spans, true));
}

#[test]
fn the_trees_of_recorded_sessions() {
    for capture in captures() {
        let spans = spans(&capture, options());
        let name = capture.file_stem().unwrap().to_str().unwrap();
        insta::assert_snapshot!(format!("tree of {name}"), tree(&spans, false));
    }
}

/// The rows that are open at the end of a capture are told as they stand.
#[test]
fn what_is_open_at_the_end_is_told() {
    let whole = fs::read(recorded("local-export")).unwrap();
    let home = tempfile::tempdir().unwrap();
    let cut = home.path().join("cut.pcap");
    fs::write(&cut, &whole[..whole.len() * 2 / 3]).unwrap();
    let spans = spans_of(&{
        let to = home.path().join("out.json");
        // A capture that is cut is told to be.
        let _ = to_file(&cut, &to, FileForm::OtlpJson, options());
        fs::read_to_string(to).unwrap()
    });
    let open = |name: &str| {
        let of_name = |span: &&Value| text(span, "name").starts_with(name);
        let span = spans.iter().find(of_name).unwrap();
        attribute(span, "buildkit.open")
    };
    assert_eq!(open("build "), Some(r#"{"boolValue":true}"#.to_owned()));
    assert_eq!(open("session"), Some(r#"{"boolValue":true}"#.to_owned()));
    assert!(is_connected(&spans));
}

fn is_connected(spans: &[Value]) -> bool {
    let ids: BTreeSet<&str> = spans.iter().map(|span| text(span, "spanId")).collect();
    let parents = spans.iter().map(|span| text(span, "parentSpanId"));
    parents
        .into_iter()
        .all(|parent| parent.is_empty() || ids.contains(parent))
}
