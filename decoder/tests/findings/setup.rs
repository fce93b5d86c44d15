//! What never begins, what goes on, and limits that a peer announced.

use buildtap_proto::moby::buildkit::v1::{SolveResponse, StatusRequest};
use prost::Message;

use crate::common::scene::{SOLVE, STATUS, Scene, build, session, solve};
use crate::common::*;

#[test]
fn a_session_of_another_name() {
    let mut scene = Scene::new();
    scene.on(1, |talk| upgrade(talk, "s2", &[FILE_SEND]));
    build(&mut scene, &["local"]);
    scene.wait(4);
    assert_eq!(scene.codes(), [""; 0]);
    scene.wait(2);
    let finding = scene.finding();
    assert_eq!(finding.code, "session-id-mismatch");
    assert_eq!(finding.waiting_on, Some(Client));
    assert!(
        finding.summary.contains("names session s1"),
        "{}",
        finding.summary
    );
    assert!(finding.evidence[0].contains("s2"), "{:?}", finding.evidence);

    // A session that another build uses is nobody's fault.
    let mut scene = Scene::new();
    scene.on(1, |talk| upgrade(talk, "s1", &[FILE_SEND]));
    build(&mut scene, &["local"]);
    scene.wait(20);
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn a_build_that_failed_without_its_session() {
    let mut scene = Scene::new();
    build(&mut scene, &[]);
    let error = "no active session for s1: context deadline exceeded";
    scene.on(2, |talk| {
        talk.status(Daemon, 1, 2, error);
    });
    let codes = scene.codes();
    assert!(codes.contains(&"session-id-mismatch"), "{codes:?}");
    assert!(scene.findings()[0].evidence[0].contains("no session was opened at all"));
}

#[test]
fn a_session_that_comes_too_late() {
    let mut scene = Scene::new();
    build(&mut scene, &[]);
    scene.wait(8);
    scene.on(1, |talk| upgrade(talk, "s1", &[]));
    let finding = scene.finding();
    assert_eq!(finding.code, "session-too-late");
    assert!(
        finding.summary.contains("8.0 s after"),
        "{}",
        finding.summary
    );

    let mut scene = Scene::new();
    build(&mut scene, &[]);
    scene.wait(4);
    scene.on(1, |talk| upgrade(talk, "s1", &[]));
    assert_eq!(scene.codes(), [""; 0]);
}

/// Begins a Status stream of build `r1` on stream 3.
fn status(scene: &mut Scene) {
    let asked = StatusRequest { r#ref: "r1".into() };
    scene.on(2, |talk| {
        talk.call(Client, 3, STATUS, &[])
            .message(Client, 3, &asked.encode_to_vec())
            .end(Client, 3)
            .accept(Daemon, 3);
    });
}

fn solved(scene: &mut Scene) {
    scene.on(2, |talk| {
        talk.message(Daemon, 1, &SolveResponse::default().encode_to_vec());
        talk.status(Daemon, 1, 0, "");
    });
}

#[test]
fn a_status_stream_that_goes_on() {
    let mut scene = session(&[]);
    build(&mut scene, &[]);
    status(&mut scene);
    solved(&mut scene);
    scene.wait(9);
    assert_eq!(scene.codes(), [""; 0]);
    scene.wait(3);
    let finding = scene.finding();
    assert_eq!(finding.code, "status-never-ends");
    assert_eq!(finding.waiting_on, Some(Daemon));

    let mut scene = session(&[]);
    build(&mut scene, &[]);
    status(&mut scene);
    solved(&mut scene);
    scene.on(2, |talk| {
        talk.status(Daemon, 3, 0, "");
    });
    scene.wait(30);
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn a_server_that_says_nothing() {
    let mut scene = Scene::new();
    scene.on(1, |talk| {
        talk.say(Client, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        talk.frame(Client, 4, 0, 0, &[]);
    });
    scene.wait(4);
    assert_eq!(scene.codes(), [""; 0]);
    scene.wait(2);
    let finding = scene.finding();
    assert_eq!(finding.code, "handshake-timeout");
    assert_eq!(finding.waiting_on, Some(Daemon));
    // A session is idle for hours.
    let mut scene = session(&[]);
    scene.wait(100);
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn limits_of_a_peer() {
    let with = |number: u8, value: u8| {
        let mut scene = Scene::new();
        scene.on(2, |talk| {
            talk.http2(Client);
            talk.frame(Daemon, 4, 0, 0, &[0, number, 0, 0, 0, value]);
        });
        scene
    };
    let long = "x".repeat(300);
    let call = |scene: &mut Scene, stream_id: u32, value: &str| {
        scene.on(2, |talk| {
            talk.call(Client, stream_id, SOLVE, &[("pattern", value)]);
            talk.message(Client, stream_id, &solve("r1", &[]));
        });
    };
    let mut scene = with(6, 200);
    call(&mut scene, 1, &long);
    let finding = scene.finding();
    assert_eq!(finding.code, "header-list-too-large");
    assert!(
        finding.summary.contains("no more than 200"),
        "{}",
        finding.summary
    );
    let mut scene = with(6, 0);
    scene.on(2, |talk| {
        talk.frame(Daemon, 4, 0, 0, &[0, 6, 0, 0, 4, 0]);
    });
    call(&mut scene, 1, &long);
    assert_eq!(scene.codes(), [""; 0]);

    let mut scene = with(3, 2);
    call(&mut scene, 1, "");
    assert_eq!(scene.codes(), [""; 0]);
    call(&mut scene, 3, "");
    assert_eq!(scene.finding().code, "stream-limit-reached");
}
