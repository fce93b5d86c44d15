//! What goes on is seen while it does, and at the end as it was.

use std::thread;

use buildtap_fixtures::peers::scenario;
use buildtap_tests::receiver::{Receiver, Span};

use crate::stage::Stage;

fn find<'a>(spans: &'a [Span], name: &str) -> Option<&'a Span> {
    spans.iter().find(|span| span.name.starts_with(name))
}

/// The names of a span and of all above it, as far as they have arrived.
fn path<'a>(spans: &'a [Span], span: &'a Span) -> Vec<&'a str> {
    let mut path = vec![span.name.as_str()];
    let mut next = span;
    while let Some(parent) = spans.iter().find(|it| it.span_id == next.parent_id) {
        path.push(&parent.name);
        next = parent;
    }
    path
}

#[test]
fn a_hang_is_seen_while_it_hangs() {
    let Some(receiver) = Receiver::start() else {
        return;
    };
    let scene = scenario::demo_hang();
    let client = scene
        .client
        .give_up_after(std::time::Duration::from_secs(20));
    let Stage {
        runtime,
        proxy,
        tap,
        _home,
        ..
    } = Stage::new(scene.daemon, &["--otlp", &receiver.grpc]);
    let client = thread::spawn(move || runtime.block_on(scenario::client(&tap, client)));

    let waiting = "still waiting for client: REQ for 4 files";
    let of_transfer = "(FileSend exporter 0 (local))";
    let spans = receiver.wait_for_spans("the transfer that hangs", |spans| {
        let mut slices = spans.iter().filter(|span| span.name.starts_with(waiting));
        let slice = slices.find(|span| span.name.ends_with(of_transfer));
        slice.is_some_and(|slice| path(spans, slice).len() == 4)
    });
    assert!(!client.is_finished(), "the client has not given up yet");
    let is_slice =
        |span: &&Span| span.name.starts_with(waiting) && span.name.ends_with(of_transfer);
    let slice = spans.iter().find(is_slice).unwrap();
    assert_eq!(slice.attributes["buildkit.provisional"], "Bool(true)");
    assert_eq!(slice.attributes["buildkit.wait.side"], "Str(client)");
    let above = path(&spans, slice);
    assert!(above[1].ends_with("(FileSend.DiffCopy)"), "{above:?}");
    assert!(above[2].ends_with("(session)"), "{above:?}");
    assert!(above[3].ends_with("(build)"), "{above:?}");
    let trace = slice.trace_id.clone();
    assert!(find(&spans, "build ").is_none(), "the build has not ended");

    // Interrupted while it hangs: what is open is told as it stands.
    proxy.process.interrupt().success();
    let spans = receiver.spans();
    let build = find(&spans, "build ").unwrap();
    assert_eq!(build.trace_id, trace);
    let transfer = find(&spans, "FileSend exporter 0").unwrap();
    assert_eq!(transfer.trace_id, trace);
    assert_eq!(transfer.status, "STATUS_CODE_ERROR");
    let found = |name: &str| transfer.events.iter().any(|(event, _)| event == name);
    assert!(found("finding packets-read-as-bytes"), "{transfer:#?}");
    // Now that all is there nothing hangs in the air, the slices included.
    for span in &spans {
        let is_there = spans.iter().any(|it| it.span_id == span.parent_id);
        assert!(span.parent_id.is_empty() || is_there, "{span:#?}");
    }
    drop(client);

    // What was counted is there, too.
    let text = buildtap_tests::wait_for("metrics", || {
        let text = receiver.text();
        text.contains("buildtap.health_check.duration")
            .then_some(text)
    });
    for name in [
        "sessions",
        "calls",
        "call.bytes",
        "call.duration",
        "transfers",
        "findings",
    ] {
        assert!(text.contains(&format!("Name: buildtap.{name}")), "{name}");
    }
}
