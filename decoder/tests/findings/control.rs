//! What clients ask of the daemon: builds that are given up, Status, gateway calls, uploaded
//! contexts; and policies.

use buildtap_decoder::event::{Closed, TapEvent, TapId};
use buildtap_decoder::trace::{Confidence, Severity};
use buildtap_proto::moby::buildkit::v1::StatusRequest;
use prost::Message;

use crate::common::scene::{SOLVE, STATUS, Scene, build, session, solve};
use crate::common::*;

const CANCEL: u32 = 8;

#[test]
fn a_build_that_is_given_up() {
    let mut scene = session(&[FILE_SYNC]);
    build(&mut scene, &[]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, FILE_SYNC, &[("dir-name", "context")])
            .accept(Client, 1);
    });
    scene.on(2, |talk| {
        talk.frame(Client, 3, 0, 1, &CANCEL.to_be_bytes());
    });
    let finding = scene.finding();
    assert_eq!(
        (finding.code, finding.severity),
        ("cancelled-by-peer", Severity::Info)
    );
    assert!(
        finding.summary.starts_with("The client cancelled build 1"),
        "{}",
        finding.summary
    );
    assert_eq!(
        finding.evidence,
        [
            "RST_STREAM (CANCEL) on Solve",
            "FileSync.DiffCopy (call 2) was open"
        ]
    );
    // The daemon gives up.
    let mut scene = session(&[]);
    build(&mut scene, &[]);
    scene.on(2, |talk| {
        talk.status(Daemon, 1, 1, "context canceled");
    });
    assert!(scene.finding().summary.starts_with("The daemon cancelled"));
    // After Solve was answered Status is cancelled as a matter of course.
    let mut scene = session(&[]);
    build(&mut scene, &[]);
    status(&mut scene, "r1");
    scene.on(2, |talk| {
        talk.status(Daemon, 1, 0, "")
            .frame(Client, 3, 0, 3, &CANCEL.to_be_bytes());
    });
    assert_eq!(scene.codes(), [""; 0]);
}

fn status(scene: &mut Scene, reference: &str) {
    let asked = StatusRequest {
        r#ref: reference.into(),
    };
    scene.on(2, |talk| {
        talk.call(Client, 3, STATUS, &[])
            .message(Client, 3, &asked.encode_to_vec())
            .end(Client, 3);
    });
}

#[test]
fn status_of_a_build_that_is_not_there() {
    let unknown = |talk: &mut Talk| {
        talk.status(Daemon, 3, 5, "no such job r1");
    };
    let mut scene = session(&[]);
    scene.on(2, |talk| {
        talk.http2(Client);
    });
    status(&mut scene, "r1");
    scene.wait(6).on(2, unknown);
    let finding = scene.finding();
    assert_eq!(
        (finding.code, finding.waiting_on),
        ("status-before-solve", Some(Client))
    );
    assert!(
        finding.evidence[1].contains("no Solve with that ref"),
        "{:?}",
        finding.evidence
    );
    // It comes too late.
    let mut scene = session(&[]);
    scene.on(2, |talk| {
        talk.http2(Client);
    });
    status(&mut scene, "r1");
    scene.wait(6).on(2, |talk| {
        talk.call(Client, 5, SOLVE, &[])
            .message(Client, 5, &solve("r1", &[]));
    });
    scene.on(2, unknown);
    assert_eq!(scene.codes(), ["status-before-solve"]);
    // Where Solve failed, its error counts.
    let mut scene = session(&[]);
    build(&mut scene, &[]);
    scene.on(2, |talk| {
        talk.status(Daemon, 1, 2, "no");
    });
    status(&mut scene, "r1");
    scene.on(2, unknown);
    assert_eq!(scene.codes(), ["build-failed"]);
}

#[test]
fn a_frontend_without_its_build() {
    let ping = "/moby.buildkit.v1.frontend.LLBBridge/Ping";
    let call = |metadata: &[(&str, &str)], status: u32, text: &str| {
        let mut scene = session(&[]);
        build(&mut scene, &[]);
        scene.on(2, |talk| {
            talk.call(Client, 3, ping, metadata)
                .status(Daemon, 3, status, text);
        });
        scene.codes()
    };
    let id = "buildkit-controlapi-buildid";
    assert_eq!(
        call(&[], 2, "no buildid found in context"),
        ["gateway-build-id-missing"]
    );
    assert_eq!(
        call(&[(id, "r9")], 2, "no such job r9"),
        ["gateway-build-id-missing"]
    );
    assert_eq!(call(&[(id, "r1")], 0, ""), [""; 0]);
    assert_eq!(call(&[(id, "r1")], 2, "failed to load cache key"), [""; 0]);
}

const POLICY: &str = "/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy";

/// A field that has a length.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2, value.len() as u8];
    field.extend(value);
    field
}

#[test]
fn a_policy_that_never_decides() {
    let source = field(2, &field(1, &field(1, b"docker-image://alpine")));
    let play = |rounds: u32, answer: &[u8], last: &[u8]| {
        let mut scene = session(&[POLICY]);
        for round in 0..rounds {
            let answer = if round + 1 == rounds { last } else { answer };
            scene.on(1, |talk| {
                talk.call(Daemon, 1 + 2 * round, POLICY, &[])
                    .message(Daemon, 1 + 2 * round, &source)
                    .accept(Client, 1 + 2 * round)
                    .message(Client, 1 + 2 * round, answer)
                    .status(Client, 1 + 2 * round, 0, "");
            });
        }
        scene
    };
    let (more, convert, allow) = (field(2, b""), field(1, b"\x08\x02"), field(1, b""));
    for again in [&more, &convert] {
        assert_eq!(
            play(4, again, again).codes(),
            [""; 0],
            "a few rounds are usual"
        );
        let scene = play(5, again, again);
        let finding = scene.finding();
        assert_eq!(
            (finding.code, finding.confidence()),
            ("policy-loop", Confidence::Likely)
        );
        assert!(
            finding.summary.contains("docker-image://alpine"),
            "{}",
            finding.summary
        );
        assert_eq!(
            play(10, again, again).finding().confidence(),
            Confidence::Certain
        );
    }
    // It decides each time it is asked.
    assert_eq!(play(30, &allow, &allow).codes(), [""; 0]);
    assert_eq!(play(4, &more, &allow).codes(), [""; 0]);
}

/// A request of the classic kind, with a body of 1000 bytes of which these are sent.
fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Length: 1000\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[test]
fn a_context_that_nobody_waits_for() {
    let wants = "/v1.41/build?version=2&session=s1&remote=upload-request&buildid=7";
    let uploads = "/v1.41/build?version=2&buildid=upload-request%3A7";
    let play = |targets: &[&str]| {
        let mut scene = session(&[]);
        for (at, target) in targets.iter().enumerate() {
            scene.on(2 + at as u64, |talk| {
                talk.say(Client, post(target, b"tar"));
            });
        }
        scene
    };
    for (alone, missing) in [
        (wants, "buildid=upload-request:7"),
        (uploads, "remote=upload-request"),
    ] {
        let mut scene = play(&[alone]);
        assert_eq!(scene.wait(4).codes(), [""; 0]);
        let finding = scene.wait(2).finding();
        assert_eq!(
            (finding.code, finding.waiting_on),
            ("upload-rendezvous-missed", Some(Client))
        );
        assert!(
            finding.evidence[0].contains(missing),
            "{:?}",
            finding.evidence
        );
    }
    assert_eq!(play(&[wants, uploads]).wait(20).codes(), [""; 0]);
    let other = "/v1.41/build?version=2&buildid=upload-request%3A8";
    let codes = play(&[wants, other]).wait(6).codes();
    assert_eq!(
        codes,
        ["upload-rendezvous-missed", "upload-rendezvous-missed"]
    );
    // The daemon says so before anybody looked.
    let mut scene = play(&[uploads]);
    scene.on(2, |talk| {
        talk.say(Client, vec![b'x'; 997]).say(
            Daemon,
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        );
    });
    assert_eq!(scene.codes(), ["upload-rendezvous-missed"]);
}

#[test]
fn a_context_that_is_not_read() {
    let error = "{\"errorDetail\":{\"message\":\"no Dockerfile\"},\"error\":\"no Dockerfile\"}\r\n";
    let play = |answer: Option<&str>, blocked: bool| {
        let mut scene = Scene::new();
        scene.on(1, |talk| {
            talk.say(Client, post("/v1.41/build?version=1", b"tar"));
            if let Some(answer) = answer {
                talk.say(
                    Daemon,
                    format!(
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{answer}\r\n",
                        answer.len()
                    ),
                );
            }
        });
        if blocked {
            scene
                .decoder
                .event(scene.now, TapId(1), TapEvent::Blocked { to: Daemon });
        }
        scene.wait(6);
        scene
    };
    let scene = play(Some(error), true);
    let finding = scene.finding();
    assert_eq!(
        (finding.code, finding.confidence()),
        ("build-context-unread", Confidence::Certain)
    );
    assert!(
        finding.summary.ends_with("no Dockerfile"),
        "{}",
        finding.summary
    );
    assert_eq!(
        play(Some(error), false).finding().confidence(),
        Confidence::Likely
    );
    // It is slow to take it, or reports on the way.
    assert_eq!(play(None, true).codes(), [""; 0]);
    assert_eq!(
        play(Some("{\"stream\":\"Step 1\"}\r\n"), true).codes(),
        [""; 0]
    );
    // The client stops writing, as it should.
    let mut scene = play(Some("{\"stream\":\"Step 1\"}\r\n"), false);
    scene.on(1, |talk| {
        talk.say(Daemon, format!("{:x}\r\n{error}\r\n0\r\n\r\n", error.len()));
    });
    scene.half_close(1, Client).close(1, Closed::Finished);
    assert_eq!(scene.wait(10).codes(), ["build-error-in-stream"]);
}
