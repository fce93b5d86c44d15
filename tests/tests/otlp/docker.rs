//! Real builds with `--otlp`.

use std::collections::BTreeSet;
use std::process::Command;

use buildtap_tests::lab::{Daemon, Flavour, Workshop};
use buildtap_tests::process::{Finished, Process};
use buildtap_tests::receiver::{Receiver, Span};

/// `docker build` of the tree with an export of this type, by `buildtap run`.
fn build(
    daemon: &Daemon,
    shop: &Workshop,
    output: &str,
    tap: &[&str],
    more: impl Fn(&mut Command),
) -> Finished {
    let output = format!("type={output},dest={}", shop.text("out"));
    let context = shop.context("tree");
    let mut arguments = vec!["run"];
    arguments.extend(tap);
    arguments.extend(["--", "docker", "build", "--no-cache", "--network=none"]);
    arguments.extend(["--output", &output, &context]);
    let mut command = daemon.buildtap(shop.path(), &arguments);
    more(&mut command);
    Process::run(&mut command).success()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// The spans of a trace whose parent is nowhere.
fn in_the_air<'a>(spans: &'a [Span], trace: &str) -> Vec<&'a Span> {
    let of_trace = spans.iter().filter(|span| span.trace_id == trace);
    let ids: BTreeSet<&str> = of_trace.clone().map(|span| span.span_id.as_str()).collect();
    of_trace
        .filter(|span| !span.parent_id.is_empty() && !ids.contains(span.parent_id.as_str()))
        .collect()
}

fn services(spans: &[Span], trace: &str) -> BTreeSet<String> {
    let of_trace = spans.iter().filter(|span| span.trace_id == trace);
    of_trace
        .map(|span| span.resource["service.name"].clone())
        .collect()
}

/// The docker CLI of Debian 12 knows nothing of traces: buildtap makes one.
#[test]
fn a_build_whose_peers_trace_nothing() {
    let Some(receiver) = Receiver::start() else {
        return;
    };
    let Some(daemon) = buildtap_tests::lab::daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let done = build(daemon, &shop, "local", &["--otlp", &receiver.grpc], |_| {});
    assert!(done.stderr.contains("spans to"), "{done}");
    let spans = receiver.spans();
    let [build] = named(&spans, "build dockerfile.v0")[..] else {
        panic!("one build");
    };
    assert_eq!(build.parent_id, "");
    assert_eq!(build.attributes["buildkit.build.state"], "Str(complete)");
    assert!(spans.iter().all(|span| span.trace_id == build.trace_id));
    assert_eq!(in_the_air(&spans, &build.trace_id), Vec::<&Span>::new());
    let [session] = named(&spans, "session")[..] else {
        panic!("one session");
    };
    assert_eq!(session.parent_id, build.span_id);
    let step = named(&spans, "[internal] load build context");
    let [step] = step[..] else {
        panic!("one step of that name");
    };
    // The call has a link to the step that asked for it.
    let calls = named(&spans, "moby.filesync.v1.FileSync/DiffCopy");
    let asked = calls
        .iter()
        .filter(|call| call.links.iter().any(|(_, id)| *id == step.span_id));
    assert_eq!(asked.count(), 1);
    for file in [
        "hello.txt",
        "sub/empty",
        "sub/deep/script.sh",
        "sub/numbers.txt",
    ] {
        // Up, and down again.
        assert_eq!(named(&spans, &format!("file {file}")).len(), 2, "{file}");
    }
    for span in &spans {
        assert!(span.start <= span.end);
    }
    assert!(build.resource["buildtap.client.process.command"].starts_with("Str(docker build"));
    assert!(build.resource["buildtap.daemon.version"].contains("20.10"));
}

/// A dockerd that sends its spans to the receiver.
fn tracing_daemon(receiver: &Receiver) -> Option<Daemon> {
    Daemon::start_with(Flavour::Trixie, &exports(receiver))
}

fn exports(receiver: &Receiver) -> [(&'static str, &str); 2] {
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ]
}

/// Waits for what dockerd says of the three Solves that buildx asks for: it sends its spans every few seconds, and these
/// end last.
fn with_dockerd(receiver: &Receiver) -> Vec<Span> {
    receiver.wait_for_spans("what dockerd did", |spans| {
        let solved = named(spans, "moby.buildkit.v1.Control/Solve");
        let of_dockerd = |span: &&Span| span.resource["service.name"] == "Str(dockerd)";
        solved.into_iter().filter(of_dockerd).count() >= 3
    })
}

/// Client, buildtap and daemon are in one trace, each call below the span that made it; gives what hangs in the air.
#[track_caller]
fn assert_one_trace(spans: &[Span]) -> Vec<&Span> {
    let [build] = named(spans, "build dockerfile.v0")[..] else {
        panic!("one build");
    };
    let all = ["Str(buildtap)", "Str(buildx)", "Str(dockerd)"].map(str::to_owned);
    assert_eq!(services(spans, &build.trace_id), all.into());
    let parent = |span: &Span| spans.iter().find(|it| it.span_id == span.parent_id);
    let asked = parent(build).unwrap();
    assert_eq!(asked.resource["service.name"], "Str(buildx)");
    assert_eq!(asked.name, "moby.buildkit.v1.Control/Solve");
    let calls = named(spans, "moby.filesync.v1.FileSync/DiffCopy");
    let ours = calls
        .iter()
        .filter(|span| span.resource["service.name"] == "Str(buildtap)");
    assert!(ours.clone().count() >= 3);
    for call in ours {
        assert_eq!(
            parent(call).unwrap().resource["service.name"],
            "Str(dockerd)"
        );
    }
    in_the_air(spans, &build.trace_id)
}

/// buildx sends its spans to the collector, and dockerd does: all of it is one trace.
#[test]
fn a_build_whose_peers_export_their_spans() {
    let Some(receiver) = Receiver::start() else {
        return;
    };
    let Some(daemon) = tracing_daemon(&receiver) else {
        return;
    };
    let shop = Workshop::new();
    let tap = ["--otlp", &receiver.http, "--daemon-exports"];
    build(&daemon, &shop, "tar", &tap, |command| {
        command.envs(exports(&receiver));
    });
    let spans = with_dockerd(&receiver);
    assert_eq!(assert_one_trace(&spans), Vec::<&Span>::new());
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "no span comes twice");
}

/// buildx sends its spans to dockerd, which sends them on.
#[test]
fn a_build_whose_daemon_exports_its_spans() {
    let Some(receiver) = Receiver::start() else {
        return;
    };
    let Some(daemon) = tracing_daemon(&receiver) else {
        return;
    };
    let shop = Workshop::new();
    let tap = ["--otlp", &receiver.grpc, "--daemon-exports"];
    build(&daemon, &shop, "local", &tap, |_| {});
    let spans = with_dockerd(&receiver);
    // dockerd 26.1 drops the call of a local export, and never ends the span that made it: what buildx says of that call
    // has no parent, with or without us.
    for span in assert_one_trace(&spans) {
        assert_eq!(span.resource["service.name"], "Str(buildx)", "{span:#?}");
        assert_eq!(span.name, "moby.filesync.v1.FileSend/DiffCopy", "{span:#?}");
    }
}

/// dockerd keeps its spans: what buildx sends it passes by, and nothing hangs in the air.
#[test]
fn a_build_whose_daemon_keeps_its_spans() {
    let Some(receiver) = Receiver::start() else {
        return;
    };
    let Some(daemon) = buildtap_tests::lab::daemon(Flavour::Trixie) else {
        return;
    };
    let shop = Workshop::new();
    build(daemon, &shop, "local", &["--otlp", &receiver.grpc], |_| {});
    let spans = receiver.spans();
    let build = named(&spans, "build dockerfile.v0")[0];
    let both = ["Str(buildtap)", "Str(buildx)"].map(str::to_owned);
    assert_eq!(services(&spans, &build.trace_id), both.into());
    assert_eq!(in_the_air(&spans, &build.trace_id), Vec::<&Span>::new());
}
