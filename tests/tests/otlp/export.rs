//! `buildtap export FILE --otlp`: what arrives is what the file form says.

use std::collections::BTreeMap;
use std::path::Path;

use buildtap_tests::process::Process;
use buildtap_tests::program;
use buildtap_tests::receiver::{Receiver, Span};
use serde_json::Value;
use tempfile::TempDir;

fn capture(name: &str) -> String {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/captures");
    captures
        .join(name)
        .with_extension("pcap")
        .display()
        .to_string()
}

/// The spans of a capture as `export --to trace.json` writes them, in the receiver's words.
fn written(home: &Path, name: &str) -> Vec<Span> {
    let arguments = ["export", &capture(name), "--to", "trace.json"];
    Process::run(&mut program::command(home, &arguments)).success();
    let text = std::fs::read_to_string(home.join("trace.json")).unwrap();
    let mut spans = Vec::new();
    for line in text.lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        for group in request["resourceSpans"].as_array().unwrap() {
            let resource = attributes(&group["resource"]["attributes"]);
            for scope in group["scopeSpans"].as_array().unwrap() {
                let all = scope["spans"].as_array().unwrap();
                spans.extend(all.iter().map(|it| span(it, &resource)));
            }
        }
    }
    spans
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

fn span(json: &Value, resource: &BTreeMap<String, String>) -> Span {
    let list = |name: &str| json[name].as_array().cloned().unwrap_or_default();
    let kind =
        ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT"][json["kind"].as_u64().unwrap() as usize];
    let status = ["UNSET", "OK", "ERROR"][json["status"]["code"].as_u64().unwrap_or(0) as usize];
    Span {
        trace_id: text(&json["traceId"]),
        span_id: text(&json["spanId"]),
        parent_id: text(&json["parentSpanId"]),
        name: text(&json["name"]),
        kind: format!("SPAN_KIND_{kind}"),
        start: number(&json["startTimeUnixNano"]),
        end: number(&json["endTimeUnixNano"]),
        status: format!("STATUS_CODE_{status}"),
        message: text(&json["status"]["message"]),
        attributes: attributes(&json["attributes"]),
        events: list("events")
            .iter()
            .map(|event| (text(&event["name"]), number(&event["timeUnixNano"])))
            .collect(),
        links: list("links")
            .iter()
            .map(|link| (text(&link["traceId"]), text(&link["spanId"])))
            .collect(),
        resource: resource.clone(),
    }
}

/// Of a list only that it is one: the receiver prints it in a way of its own.
fn attributes(json: &Value) -> BTreeMap<String, String> {
    let pair = |pair: &Value| {
        let value = &pair["value"];
        let said = if let Some(text) = value["stringValue"].as_str() {
            format!("Str({text})")
        } else if let Some(number) = value["intValue"].as_str() {
            format!("Int({number})")
        } else if let Some(flag) = value["boolValue"].as_bool() {
            format!("Bool({flag})")
        } else {
            "other".to_owned()
        };
        (text(&pair["key"]), said)
    };
    json.as_array().into_iter().flatten().map(pair).collect()
}

/// What is compared of a span: all but lists and floating-point numbers.
fn comparable(mut span: Span) -> Span {
    let plain = |_: &String, value: &mut String| {
        ["Str(", "Int(", "Bool("]
            .iter()
            .any(|kind| value.starts_with(kind))
    };
    span.attributes.retain(plain);
    span.resource.retain(plain);
    span
}

fn by_id(spans: Vec<Span>) -> BTreeMap<String, Span> {
    let count = spans.len();
    let spans: BTreeMap<_, _> = spans
        .into_iter()
        .map(|span| (span.span_id.clone(), comparable(span)))
        .collect();
    assert_eq!(spans.len(), count, "no id comes twice");
    spans
}

#[track_caller]
fn assert_arrives(name: &str, to: impl Fn(&Receiver) -> String, arguments: &[&str]) {
    let Some(receiver) = Receiver::start() else {
        return;
    };
    let home = TempDir::new().unwrap();
    let wanted = by_id(written(home.path(), name));
    let (capture, to) = (capture(name), to(&receiver));
    let mut all = vec!["export", &capture, "--otlp", &to];
    all.extend(arguments);
    let sent = Process::run(&mut program::command(home.path(), &all)).success();
    let count = wanted.len();
    assert!(
        sent.stderr.contains(&format!("sent {count} spans to {to}")),
        "{sent}"
    );
    let arrived = by_id(receiver.spans());
    assert_eq!(
        arrived.keys().collect::<Vec<_>>(),
        wanted.keys().collect::<Vec<_>>()
    );
    for (id, wanted) in &wanted {
        assert_eq!(&arrived[id], wanted);
    }
}

#[test]
fn over_grpc() {
    assert_arrives("local-export", |it| it.grpc.clone(), &[]);
}

#[test]
fn over_grpc_compressed() {
    assert_arrives(
        "tar-export",
        |it| it.grpc.clone(),
        &["--otlp-compression", "gzip"],
    );
}

#[test]
fn over_http_as_protobuf() {
    let arguments = [
        "--otlp-protocol",
        "http/protobuf",
        "--otlp-compression",
        "gzip",
    ];
    assert_arrives("buildx-local-export", |it| it.http.clone(), &arguments);
}

#[test]
fn over_http_as_json() {
    let arguments = [
        "--otlp-protocol",
        "http/json",
        "--otlp-header",
        "x-tenant=lab",
    ];
    assert_arrives("nested-local-export", |it| it.http.clone(), &arguments);
}

#[test]
fn by_the_standard_variables() {
    let Some(receiver) = Receiver::start() else {
        return;
    };
    let home = TempDir::new().unwrap();
    let mut export = program::command(home.path(), &["export", &capture("local-export")]);
    export
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.http)
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env("OTEL_RESOURCE_ATTRIBUTES", "team=builders");
    Process::run(&mut export).success();
    let spans = receiver.spans();
    assert_eq!(spans[0].resource["team"], "Str(builders)");
    assert_eq!(spans[0].resource["service.name"], "Str(buildtap)");
}

/// The one tree that a build makes: each thing below what it is part of, and nothing in the air.
#[test]
fn the_receiver_can_put_the_tree_together() {
    let Some(receiver) = Receiver::start() else {
        return;
    };
    let home = TempDir::new().unwrap();
    let arguments = [
        "export",
        &capture("buildx-local-export"),
        "--otlp",
        &receiver.grpc,
    ];
    Process::run(&mut program::command(home.path(), &arguments)).success();
    let spans = receiver.spans();
    let parent = |span: &Span| spans.iter().find(|other| other.span_id == span.parent_id);
    for span in &spans {
        assert!(
            span.parent_id.is_empty() || parent(span).is_some(),
            "{span:#?}"
        );
        if let Some(parent) = parent(span) {
            assert_eq!(parent.trace_id, span.trace_id);
        }
    }
    let file = spans.iter().find(|span| {
        span.name == "file hello.txt"
            && span.attributes["buildkit.transfer.direction"] == "Str(to-client)"
    });
    let mut path = Vec::new();
    let mut next = file;
    while let Some(span) = next {
        path.push(span.name.as_str());
        next = parent(span);
    }
    assert_eq!(
        path,
        [
            "file hello.txt",
            "FileSend exporter 0 (local)",
            "moby.filesync.v1.FileSend/DiffCopy",
            "session",
            "build dockerfile.v0",
            // The client's own, which it sent to the daemon.
            "moby.buildkit.v1.Control/Solve",
            "build /tmp/buildtap-record/contexts/tree",
        ]
    );
}
