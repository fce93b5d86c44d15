//! Sessions and builds.

use buildtap_decoder::event::Closed;
use buildtap_proto::fsutil::types::Packet;
use buildtap_proto::fsutil::types::packet::PacketType::PacketFin;
use buildtap_proto::moby::buildkit::v1::{StatusResponse, Vertex};
use prost::Message;

use crate::HEALTH;
use crate::common::scene::{STATUS, Scene, build, session};
use crate::common::*;

#[test]
fn a_context_that_is_not_offered() {
    let post = |remote: &str, offered: &[&str]| {
        let mut scene = session(offered);
        scene.on(2, |talk| {
            let target = format!("/v1.41/build?version=2&session=s1&remote={remote}");
            talk.say(Client, format!("POST {target} HTTP/1.1\r\nHost: d\r\n\r\n"));
        });
        scene.codes()
    };
    let other = "/moby.filesync.v1.Auth/Credentials";
    assert_eq!(post("client-session", &[other]), ["method-not-offered"]);
    assert_eq!(post("client-session", &[FILE_SYNC]), [""; 0]);
    assert_eq!(post("https://example.com/x.git", &[other]), [""; 0]);
}

#[test]
fn a_refused_session() {
    let refuse = |answer: &str| {
        let mut scene = Scene::new();
        scene.on(1, |talk| {
            upgrade(talk, "s1", &[]);
            talk.0.truncate(1);
            talk.say(Daemon, answer);
        });
        scene
    };
    let body = "{\"message\":\"session s1 already exists\"}";
    let scene = refuse(&format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    // The reason is a matter of the session, not of upgrades.
    assert_eq!(scene.codes(), ["session-refused"]);
    let finding = scene.finding();
    assert!(
        finding.summary.contains("s1 already exists"),
        "{}",
        finding.summary
    );
    // And what dockerd does not answer is a matter of the upgrade.
    for (answer, code) in [
        ("404 Not Found", "endpoint-disabled"),
        ("502 Bad Gateway", "upgrade-refused"),
    ] {
        let scene = refuse(&format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(scene.codes(), [code]);
    }
    let mut scene = session(&[]);
    scene.close(1, Closed::Finished);
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn one_id_for_two_sessions() {
    let mut scene = session(&[]);
    scene.on(2, |talk| upgrade(talk, "s1", &[]));
    assert_eq!(scene.finding().code, "duplicate-session-id");
    // One after the other is fine, and so are two ids.
    let mut scene = session(&[]);
    scene
        .half_close(1, Client)
        .close(1, Closed::Finished)
        .on(2, |talk| upgrade(talk, "s1", &[]))
        .on(3, |talk| upgrade(talk, "s2", &[]));
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn a_session_that_ends_too_early() {
    let play = |call_is_over: bool, solve: Option<(u32, &str)>| {
        let mut scene = session(&[FILE_SYNC, HEALTH]);
        build(&mut scene, &[]);
        scene.on(1, |talk| {
            talk.call(Daemon, 1, FILE_SYNC, &[("dir-name", "context")])
                .accept(Client, 1)
                .packet(Client, 1, &stat("file", 0o644, 3));
            if call_is_over {
                talk.packet(Client, 1, &Packet::default())
                    .packet(Daemon, 1, &plain(PacketFin, 0))
                    .packet(Client, 1, &plain(PacketFin, 0))
                    .status(Client, 1, 0, "");
            }
        });
        scene
            .half_close(1, Client)
            .half_close(1, Daemon)
            .close(1, Closed::Finished);
        assert_eq!(scene.codes(), [""; 0], "the build may be over, too");
        if let Some((code, message)) = solve {
            scene.on(2, |talk| {
                talk.status(Daemon, 1, code, message);
            });
        }
        scene.wait(2);
        scene
    };
    let scene = play(false, None);
    let finding = scene.finding();
    assert_eq!(finding.code, "session-closed-early");
    assert!(
        finding.summary.contains("The client closed session s1"),
        "{}",
        finding.summary
    );
    assert!(
        finding.evidence[0].contains("FileSync.DiffCopy"),
        "{:?}",
        finding.evidence
    );
    let both = ["session-closed-early", "build-failed"];
    assert_eq!(
        play(false, Some((2, "failed to load context"))).codes(),
        both
    );
    let lost = "no active session for s1: context deadline exceeded";
    assert_eq!(play(true, Some((2, lost))).codes(), both);
    // The end of the session and that of its build come in any order.
    assert_eq!(play(true, None).codes(), [""; 0]);
    assert_eq!(play(false, Some((0, ""))).codes(), [""; 0]);
    assert_eq!(
        play(false, Some((1, "context canceled"))).codes(),
        ["cancelled-by-peer"]
    );
    assert_eq!(
        play(true, Some((2, "exit code: 1"))).codes(),
        ["build-failed"]
    );
}

fn post_build(scene: &mut Scene, query: &str, lines: &[&str]) {
    let body = lines.concat();
    scene.on(2, |talk| {
        talk.say(
            Client,
            format!("POST /v1.45/build?{query} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"),
        )
        .say(
            Daemon,
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
    });
}

#[test]
fn a_build_without_a_session() {
    let codes = |query| {
        let mut scene = Scene::new();
        post_build(&mut scene, query, &[]);
        scene.codes()
    };
    assert_eq!(codes("version=2"), ["no-session"]);
    assert_eq!(codes("version=2&session=s1"), [""; 0]);
    // The classic builder needs none.
    assert_eq!(codes("version=1"), [""; 0]);
}

#[test]
fn a_method_that_is_not_offered() {
    let codes = |methods: &[&str], outputs: &[&str]| {
        let mut scene = session(methods);
        build(&mut scene, outputs);
        scene.codes()
    };
    assert_eq!(codes(&[FILE_SYNC], &["local"]), ["method-not-offered"]);
    assert_eq!(
        codes(&[FILE_SYNC], &["image", "tar"]),
        ["method-not-offered"]
    );
    assert_eq!(codes(&[FILE_SYNC], &["image"]), [""; 0]);
    // BuildKit compares without regard to case.
    assert_eq!(
        codes(&["/moby.filesync.v1.FileSend/diffcopy"], &["local"]),
        [""; 0]
    );
}

#[test]
fn failed_builds() {
    let mut scene = Scene::new();
    let error = "{\"errorDetail\":{\"message\":\"exit code 127\"},\"error\":\"exit code 127\"}\n";
    post_build(
        &mut scene,
        "version=2&session=s",
        &["{\"stream\":\"Step 1\"}\n", error],
    );
    let finding = scene.finding();
    assert_eq!(finding.code, "build-error-in-stream");
    assert!(
        finding.summary.contains("exit code 127"),
        "{}",
        finding.summary
    );

    let solve = |code, message| {
        let mut scene = session(&[]);
        build(&mut scene, &[]);
        let status = StatusResponse {
            vertexes: vec![Vertex {
                digest: "sha256:1".into(),
                name: "[2/2] RUN false".into(),
                error: "exit code: 1".into(),
                ..Vertex::default()
            }],
            ..StatusResponse::default()
        };
        let asked = buildtap_proto::moby::buildkit::v1::StatusRequest { r#ref: "r1".into() };
        scene.on(2, |talk| {
            talk.call(Client, 3, STATUS, &[])
                .message(Client, 3, &asked.encode_to_vec())
                .message(Daemon, 3, &status.encode_to_vec())
                .status(Daemon, 1, code, message);
        });
        scene
    };
    let scene = solve(2, "process did not complete");
    let finding = scene.finding();
    assert_eq!(finding.code, "build-failed");
    assert_eq!(finding.evidence, ["step \"[2/2] RUN false\": exit code: 1"]);
    // Cancelled is not failed.
    assert_eq!(solve(1, "context canceled").codes(), ["cancelled-by-peer"]);
    assert_eq!(solve(0, "").codes(), [""; 0]);
}
