//! What is found to be the cause, and what to follow from it, when a client or a daemon of
//! `buildtap-fixtures` misbehaves in front of the real relay.

use std::sync::Arc;
use std::time::Duration;

use buildtap::cli::ViewArgs;
use buildtap::diagnose::Diagnosis;
use buildtap::output;
use buildtap::view::View;
use buildtap::watch::{DecodingTap, Show, Showing};
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::peers::scenario::{self, Scene};
use buildtap_fixtures::peers::script::{
    Action, ClientScript, DaemonScript, Output, Rule, Step, Windows,
};

/// Shows nothing.
struct Nobody;

impl Show for Nobody {
    fn render(&mut self, decoder: &mut Decoder) {
        while decoder.take_update().is_some() {}
    }

    fn write(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What decoded a build by these two.
fn watched(
    client: impl FnOnce(ClientScript) -> ClientScript,
    daemon: impl FnOnce(DaemonScript) -> DaemonScript,
    stall_after: Duration,
) -> Arc<DecodingTap> {
    let Scene {
        client: healthy_client,
        daemon: healthy_daemon,
    } = scenario::demo_build();
    let scene = Scene {
        client: client(healthy_client.give_up_after(Duration::from_secs(6))),
        daemon: daemon(healthy_daemon),
    };
    let tap = Arc::new(DecodingTap::new(Options {
        stall_after: Some(stall_after),
        ..Options::default()
    }));
    let showing = Showing::start(Arc::clone(&tap), Nobody).unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let play = buildtap::demo::play(scene, Arc::clone(&tap) as _, directory.path().into());
    runtime.block_on(play).unwrap();
    showing.finish().unwrap();
    tap
}

/// The end of the summary of what was watched.
fn summary(tap: &DecodingTap) -> String {
    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        view: ViewArgs,
    }
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("summary");
    let arguments: Arguments = clap::Parser::parse_from(["test"]);
    let output = output::Output::file(&path).unwrap();
    let mut view = View::new(&arguments.view, output, false).unwrap();
    tap.with(|decoder| view.finish(decoder)).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let (_, findings) = text.split_once(" finding").unwrap();
    findings.to_owned()
}

/// The causes, and what follows from each.
fn diagnosed(
    client: impl FnOnce(ClientScript) -> ClientScript,
    daemon: impl FnOnce(DaemonScript) -> DaemonScript,
) -> Vec<(&'static str, Vec<&'static str>)> {
    let tap = watched(client, daemon, Duration::from_secs(2));
    let diagnosis = tap.with(|decoder| Diagnosis::new(decoder.trace()));
    assert_eq!(diagnosis.stopped(), !diagnosis.causes.is_empty());
    codes(&diagnosis)
}

fn codes(diagnosis: &Diagnosis) -> Vec<(&'static str, Vec<&'static str>)> {
    let causes = diagnosis.causes.iter();
    causes
        .map(|cause| {
            let effects = cause.effects.iter();
            (
                cause.item.finding.code,
                effects.map(|effect| effect.finding.code).collect(),
            )
        })
        .collect()
}

const FAILED: &str = "build-error-in-stream";

/// One cause, and nothing but what a client that gives up leaves behind, which depends on whether
/// it gets to the end of that before the relay does.
#[track_caller]
fn assert_only(found: &[(&str, Vec<&str>)], cause: &str) {
    let [(code, effects)] = found else {
        panic!("{found:?}");
    };
    let usual = [
        "session-closed-early",
        "call-failed",
        "cancelled-by-peer",
        FAILED,
    ];
    assert_eq!(*code, cause);
    assert!(effects.iter().all(|it| usual.contains(it)), "{found:?}");
}

#[test]
fn a_healthy_build_has_none() {
    assert_eq!(diagnosed(|it| it, |it| it), []);
}

#[test]
fn a_client_that_takes_packets_for_bytes() {
    let found = diagnosed(ClientScript::read_local_export_as_bytes, |it| it);
    assert_only(&found, "packets-read-as-bytes");
}

#[test]
fn a_client_that_does_not_read() {
    let small = Windows {
        stream: 40_000,
        ..Windows::GO_HTTP2
    };
    let client = |it: ClientScript| ClientScript {
        windows: small,
        ..it.stop_reading_export_after(12)
    };
    let found = diagnosed(client, |it| it);
    assert_only(&found, "flow-control-stall");
}

#[test]
fn a_client_without_a_health_service() {
    let slow = |it: DaemonScript| DaemonScript {
        pace: Duration::from_millis(400),
        ..it
    };
    let found = diagnosed(ClientScript::no_health_service, slow);
    let [("health-service-missing", effects)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(effects.contains(&FAILED), "{found:?}");
}

#[test]
fn a_client_that_gives_a_transfer_up() {
    let client = |it: ClientScript| it.err_packet_after("context", 2, "cannot read it");
    let tap = watched(client, |it| it, Duration::from_secs(2));
    let diagnosis = tap.with(|decoder| Diagnosis::new(decoder.trace()));
    assert_eq!(
        codes(&diagnosis),
        [("transfer-error-packet", vec!["call-failed", FAILED])]
    );
    // The summary has the cause first, and what follows from it below it.
    let told = summary(&tap);
    let place = |text: &str| told.find(text).unwrap_or_else(|| panic!("{text}: {told}"));
    let cause = place("  ✗ error  transfer-error-packet\n");
    let effect = place("    ↳ call-failed follows from it, at ");
    assert!(cause < effect && effect < place("    ↳ build-error-in-stream follows from it, at "));
}

#[test]
fn a_client_that_lists_in_the_wrong_order() {
    let found = diagnosed(ClientScript::out_of_order_stats, |it| it);
    let [("stat-order-violation", effects)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(effects.contains(&FAILED), "{found:?}");
}

/// A client that writes its archive down slowly: who looks later is told that it did in the end.
#[test]
fn a_wait_that_passed() {
    let slow = |it: ClientScript| {
        let long = Action::Delay(Duration::from_secs(2));
        let end = Rule::new(Step::EndCall, long).scope("/moby.filesync.v1.FileSend/DiffCopy");
        ClientScript {
            output: Output::Tar,
            ..it.rule(end)
        }
    };
    let tap = watched(slow, |it| it, Duration::from_millis(300));
    let diagnosis = tap.with(|decoder| Diagnosis::new(decoder.trace()));
    let [cause] = &diagnosis.causes[..] else {
        panic!("{diagnosis:#?}");
    };
    assert_eq!(cause.item.finding.code, "call-not-ended");
    assert!(cause.item.passed && !diagnosis.stopped());
    let told = summary(&tap);
    let passed =
        "  ! warning  call-not-ended  likely  passed: what was waited for came in the end\n";
    assert!(told.contains(passed), "{told}");
}
