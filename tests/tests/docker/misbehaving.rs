//! A real dockerd with clients that do one thing wrong each, and how soon buildtap says so.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use buildtap_fixtures::peers::client::Ending;
use buildtap_fixtures::peers::script::{Action, ClientScript, Mode, Rule, Step};
use buildtap_fixtures::peers::tree::{Content, Tree};
use buildtap_tests::lab::Flavour;
use buildtap_tests::{DEADLINE, assert_says};

use crate::bed::Bed;

fn healthy() -> ClientScript {
    ClientScript {
        context: Tree::new()
            .text("hello.txt", "hello\n")
            .file("sub/large.bin", Content::seeded(7, 200_000))
            .symlink("sub/link", "large.bin"),
        dockerfile: Tree::new().text("Dockerfile", "FROM scratch\nCOPY . /\n"),
        ..ClientScript::default()
    }
    .give_up_after(Duration::from_secs(20))
}

/// Sleeps in a step, so that the session is only checked for health.
fn sleeping(seconds: u32) -> ClientScript {
    let nonce = Instant::now();
    let text = format!(
        "FROM base:latest\n# {nonce:?}\nRUN echo {nonce:?}; sleep {seconds}\nRUN mkdir /out\n"
    );
    ClientScript {
        dockerfile: Tree::new().text("Dockerfile", &text),
        ..ClientScript::default()
    }
    .give_up_after(Duration::from_secs(40))
}

#[test]
fn a_healthy_client_is_found_to_be_so() {
    for mode in [Mode::Engine, Mode::Grpc, Mode::GrpcNested] {
        let Some(bed) = Bed::new(Flavour::Bookworm, &[]) else {
            return;
        };
        let script = ClientScript { mode, ..healthy() };
        let outcome = bed.client(script).join().unwrap();
        assert_eq!(outcome.ending, Ending::Completed, "{mode:?} {outcome:?}");
        let ended = bed.finish();
        assert_says(
            &ended,
            &["nothing abnormal", "daemon → FileSend.DiffCopy exporter 0"],
        );
    }
}

#[test]
fn a_tree_that_is_read_as_bytes_is_said_within_seconds() {
    for mode in [Mode::Engine, Mode::Grpc, Mode::GrpcNested] {
        let Some(mut bed) = Bed::new(Flavour::Bookworm, &[]) else {
            return;
        };
        let script = ClientScript { mode, ..healthy() };
        let script = script
            .read_local_export_as_bytes()
            .give_up_after(Duration::from_secs(7));
        let start = Instant::now();
        let client = bed.client(script);
        let after = bed.wait_for("packets-read-as-bytes", start);
        assert!(after < Duration::from_secs(5), "{mode:?} {after:?}");
        assert!(
            !client.is_finished(),
            "{mode:?} it was to be said while the client hangs"
        );
        let ended = bed.finish();
        assert_says(
            &ended,
            &[
                "but the client handles it as a stream of BytesMessages: it has asked for nothing, and owes REQ for 2 files",
                "the build's exporter 0 is `local`, which sends a tree as fsutil Packets",
                "send REQ with the id of each regular file",
            ],
        );
        client.join().unwrap();
    }
}

#[test]
fn a_client_that_does_not_answer_a_request_is_named() {
    let Some(mut bed) = Bed::new(Flavour::Bookworm, &["--stall-after", "1s"]) else {
        return;
    };
    // The daemon has what it has seen before, and would ask for nothing.
    let nonce = format!("{:?}", Instant::now());
    let mut script = healthy();
    script.context = Tree::new().text("a.txt", &nonce).text("b.txt", &nonce);
    let script = script
        .rule(Rule::new(Step::SendData, Action::Hang).scope("context"))
        .give_up_after(Duration::from_secs(5));
    let start = Instant::now();
    let client = bed.client(script);
    let after = bed.wait_for("file-end-missing", start);
    assert!(after < Duration::from_secs(4), "{after:?}");
    assert!(!client.is_finished());
    let ended = bed.finish();
    assert_says(
        &ended,
        &[
            "FileSync of \"context\" stands still for",
            "the client must send the rest of 2 requested files",
        ],
    );
    client.join().unwrap();
}

#[test]
fn a_client_that_asks_for_nothing_is_named() {
    let Some(mut bed) = Bed::new(Flavour::Bookworm, &["--stall-after", "1s"]) else {
        return;
    };
    let script = healthy()
        .never_request()
        .give_up_after(Duration::from_secs(5));
    let start = Instant::now();
    let client = bed.client(script);
    let after = bed.wait_for("packets-read-as-bytes", start);
    assert!(after < Duration::from_secs(4), "{after:?}");
    assert!(!client.is_finished());
    bed.finish();
    client.join().unwrap();
}

/// An export that takes more than the windows of a session.
fn large() -> ClientScript {
    ClientScript {
        context: Tree::new().file("large.bin", Content::seeded(9, 8 << 20)),
        ..healthy()
    }
}

#[test]
fn a_client_that_stops_to_read_is_named() {
    let Some(mut bed) = Bed::new(Flavour::Bookworm, &["--stall-after", "1s"]) else {
        return;
    };
    let start = Instant::now();
    let client = bed.client(large().stop_reading_export_after(4));
    bed.wait_for("flow-control-stall", start);
    assert!(!client.is_finished());
    let first = bed.first_finding();
    assert_eq!(first.as_deref(), Some("flow-control-stall"));
    let ended = bed.finish();
    assert_says(
        &ended,
        &[
            "the daemon has no flow-control window left, and the client owes WINDOW_UPDATE",
            "The client does not consume what was sent",
        ],
    );
    drop(client);
}

#[test]
fn a_client_that_names_another_session_is_told() {
    let Some(mut bed) = Bed::new(Flavour::Bookworm, &[]) else {
        return;
    };
    let start = Instant::now();
    let client = bed.client(healthy().wrong_session_id("another"));
    let after = bed.wait_for("session-id-mismatch", start);
    assert!(after < Duration::from_secs(8), "{after:?}");
    let first = bed.first_finding();
    assert_eq!(first.as_deref(), Some("session-id-mismatch"));
    let ended = bed.finish();
    assert_says(
        &ended,
        &["names session another, which the client never opened"],
    );
    drop(client);
}

#[test]
fn a_client_without_health_service_is_named_before_it_costs_the_session() {
    let Some(mut bed) = Bed::new(Flavour::Bookworm, &[]) else {
        return;
    };
    let start = Instant::now();
    let client = bed.client(sleeping(30).no_health_service());
    let after = bed.wait_for("health-service-missing", start);
    assert!(after < Duration::from_secs(16), "{after:?}");
    let ended = bed.finish();
    assert_says(&ended, &["grpc.health.v1.Health"]);
    client.join().unwrap();
}

#[test]
fn a_client_that_does_not_offer_what_its_output_needs_is_named() {
    let Some(mut bed) = Bed::new(Flavour::Bookworm, &[]) else {
        return;
    };
    let start = Instant::now();
    let client = bed.client(healthy().omit_methods(&["/moby.filesync.v1.FileSend/DiffCopy"]));
    let after = bed.wait_for("method-not-offered", start);
    assert!(after < Duration::from_secs(4), "{after:?}");
    let outcome = client.join().unwrap();
    assert_ne!(outcome.ending, Ending::Completed, "{outcome:?}");
    let ended = bed.finish();
    assert_says(
        &ended,
        &[
            "The output `local` will need /moby.filesync.v1.FileSend/DiffCopy, which the client does not offer.",
        ],
    );
}

#[test]
fn two_sessions_with_one_id_are_said() {
    let Some(mut bed) = Bed::new(Flavour::Bookworm, &[]) else {
        return;
    };
    let id = format!("duplicate{}", std::process::id());
    let same = |script: ClientScript| ClientScript {
        session_id: Some(id.clone()),
        ..script
    };
    // Once the daemon asks for files, the session is open.
    let (tell, asked) = mpsc::channel();
    let observer = move |step, _: &str| {
        if step == Step::SendStat {
            let _ = tell.send(());
        }
    };
    let first = bed.client(ClientScript {
        observer: Some(Arc::new(observer)),
        ..same(sleeping(600)).give_up_after(Duration::from_secs(6))
    });
    asked.recv_timeout(DEADLINE).unwrap();
    let start = Instant::now();
    let second = bed.client(same(healthy()).give_up_after(Duration::from_secs(5)));
    let after = bed.wait_for("duplicate-session-id", start);
    assert!(after < Duration::from_secs(4), "{after:?}");
    second.join().unwrap();
    let ended = bed.finish();
    assert_says(
        &ended,
        &[&format!("Two live sessions have the same id {id}")],
    );
    first.join().unwrap();
}
