//! Rules of the doctor at their edges: what is healthy though it looks like a fault, and faults
//! that look like something healthy.

mod common;

use std::time::Duration;

use buildtap_decoder::event::{Closed, Side, TapEvent, TapId};
use buildtap_decoder::trace::{Confidence, Subject, Update};
use buildtap_decoder::{Decoder, Limits, Options};
use buildtap_proto::fsutil::types::Packet;
use buildtap_proto::fsutil::types::packet::PacketType::{PacketData, PacketReq};
use buildtap_proto::moby::buildkit::v1::{BytesMessage, Exporter, SolveRequest};
use common::scene::{SOLVE, Scene, build, session};
use common::*;
use prost::Message;

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CANCEL: u32 = 8;

fn gap(scene: &mut Scene, tap: u64, from: Side) {
    let bytes = Some(9);
    scene
        .decoder
        .event(scene.now, TapId(tap), TapEvent::Gap { from, bytes });
}

/// The listing of a local export: one file, on stream 1.
fn listing(talk: &mut Talk) {
    talk.packet(Daemon, 1, &stat("file", 0o644, 3))
        .packet(Daemon, 1, &Packet::default());
}

/// A session with the FileSend call of a build's local export.
fn export() -> Scene {
    let mut scene = session(&[FILE_SEND]);
    build(&mut scene, &["local"]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, FILE_SEND, &[]).accept(Client, 1);
    });
    scene
}

#[test]
fn a_session_that_ends_with_callbacks_open() {
    let play = |path: &str| {
        let mut scene = session(&[FILE_SYNC, HEALTH]);
        build(&mut scene, &[]);
        scene.on(1, |talk| {
            talk.call(Daemon, 1, path, &[("dir-name", "context")])
                .accept(Client, 1);
        });
        // The other side keeps its half: nothing is reset.
        scene.half_close(1, Client);
        scene
    };
    let mut scene = play(FILE_SYNC);
    assert_eq!(scene.wait(2).codes(), ["session-closed-early"]);
    assert!(scene.finding().evidence[0].contains("FileSync.DiffCopy"));
    // The build fails before the connection is gone.
    let mut scene = play(FILE_SYNC);
    scene.on(2, |talk| {
        talk.status(Daemon, 1, 2, "no context");
    });
    assert_eq!(scene.codes(), ["session-closed-early", "build-failed"]);
    // A health check is asked for all the time.
    assert_eq!(play(HEALTH).wait(2).codes(), [""; 0]);
    // The end of the build may have been among what is missing.
    let mut scene = play(FILE_SYNC);
    gap(&mut scene, 2, Daemon);
    assert_eq!(scene.wait(2).codes(), ["not-decoded"]);
    // The build was over first.
    let mut scene = session(&[FILE_SYNC]);
    build(&mut scene, &[]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, FILE_SYNC, &[("dir-name", "context")])
            .accept(Client, 1);
    });
    scene.on(2, |talk| {
        talk.status(Daemon, 1, 0, "");
    });
    assert_eq!(scene.half_close(1, Client).wait(2).codes(), [""; 0]);
}

#[test]
fn an_export_that_is_given_up_at_once() {
    // The client goes before anybody could tell what it would have done.
    let mut scene = export();
    scene.on(1, listing).wait(1);
    scene.half_close(1, Client).close(1, Closed::Finished);
    assert_eq!(scene.codes(), [""; 0]);
    // The daemon cancels it.
    let mut scene = export();
    scene.on(1, listing).wait(1).on(1, |talk| {
        talk.frame(Daemon, 3, 0, 1, &CANCEL.to_be_bytes());
    });
    assert_eq!(scene.wait(10).codes(), [""; 0]);
    // The client gives up after it had time, even where nobody looked in between.
    let mut scene = export();
    scene.on(1, listing);
    scene.now = scene.now.after(Duration::from_secs(4));
    scene.half_close(1, Client).close(1, Closed::Finished);
    assert_eq!(scene.codes(), ["packets-read-as-bytes"]);
}

fn unread_archive() -> Scene {
    let mut scene = Scene::new();
    scene.on(1, archive_without_a_window);
    scene
}

#[test]
fn an_archive_that_nobody_reads() {
    let mut scene = unread_archive();
    assert_eq!(scene.wait(4).codes(), [""; 0]);
    let finding = scene.wait(2).finding().clone();
    assert_eq!(
        (finding.code, finding.waiting_on),
        ("flow-control-stall", Some(Client))
    );
    // With a window the daemon may be busy making the archive.
    let mut scene = unread_archive();
    scene.on(1, |talk| {
        for stream_id in [0, 1] {
            talk.frame(Client, 8, 0, stream_id, &1000u32.to_be_bytes());
        }
    });
    assert_eq!(scene.wait(60).codes(), [""; 0]);
    // A WINDOW_UPDATE may have been among what is missing.
    let mut scene = unread_archive();
    gap(&mut scene, 1, Client);
    assert_eq!(scene.wait(60).codes(), ["not-decoded"]);
}

#[test]
fn an_agent_that_answered_in_one_piece() {
    let ask = |talk: &mut Talk| {
        for _ in 0..2 {
            talk.message(Daemon, 1, b"\x0a\x01x");
        }
    };
    let mut scene = session(&[AGENT]);
    scene
        .on(1, |talk| {
            talk.call(Daemon, 1, AGENT, &[]).accept(Client, 1);
        })
        .wait(60)
        .on(1, ask)
        .on(1, |talk| {
            talk.message(Client, 1, b"\x0a\x01y");
        });
    assert_eq!(scene.wait(60).codes(), [""; 0]);
    scene.on(1, ask);
    assert_eq!(scene.wait(6).codes(), ["ssh-agent-stuck"]);
    // The end of what is asked is no question.
    let mut scene = session(&[AGENT]);
    scene
        .on(1, |talk| {
            talk.call(Daemon, 1, AGENT, &[]).accept(Client, 1);
        })
        .on(1, ask)
        .on(1, |talk| {
            talk.message(Client, 1, b"\x0a\x01y").end(Daemon, 1);
        });
    assert_eq!(scene.wait(60).codes(), [""; 0]);
}

#[test]
fn a_large_message_on_a_slow_link() {
    let mut scene = export();
    scene.on(1, |talk| {
        talk.packet(Daemon, 1, &stat("big", 0o644, 80_000))
            .packet(Daemon, 1, &Packet::default())
            .packet(Client, 1, &plain(PacketReq, 0));
    });
    let whole = grpc(&data(0, vec![0; 80_000]).encode_to_vec());
    for part in whole.chunks(16 << 10) {
        scene.on(1, |talk| {
            talk.frame(Daemon, 0, 0, 1, part);
        });
        assert_eq!(scene.wait(4).codes(), [""; 0]);
    }
    assert_eq!(scene.wait(2).codes(), ["file-end-missing"]);
}

#[test]
fn a_hard_link_that_became_a_file() {
    // fsutil makes the first link that is left of a filtered tree a file, and keeps its size of 0.
    let mut scene = export();
    scene.on(1, |talk| {
        talk.packet(Daemon, 1, &stat("link", 0o644, 0))
            .packet(Daemon, 1, &Packet::default())
            .packet(Client, 1, &plain(PacketReq, 0))
            .packet(Daemon, 1, &data(0, b"abc".to_vec()))
            .packet(Daemon, 1, &plain(PacketData, 0));
    });
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn the_newest_findings_are_kept() {
    let mut scene = Scene::new();
    scene.decoder = Decoder::new(Options {
        limits: Limits {
            findings: 2,
            ..Limits::default()
        },
        ..Options::default()
    });
    scene.on(1, |talk| {
        upgrade(talk, "s1", &[SECRET]);
        // What is found again and again, but is one finding.
        talk.call(Daemon, 1, CREDENTIALS, &[])
            .message(Daemon, 1, b"\x0a\x01x");
    });
    scene.wait(6);
    for stream_id in [3, 5, 7] {
        scene.on(1, |talk| {
            talk.call(Daemon, stream_id, SECRET, &[])
                .status(Client, stream_id, 5, "no")
                .accept(Client, stream_id);
        });
    }
    scene.wait(6);
    let calls: Vec<_> = scene.calls().iter().map(|call| call.id).collect();
    let subjects: Vec<_> = scene.findings().iter().map(|found| found.subject).collect();
    assert_eq!(
        subjects,
        [Subject::Call(calls[2]), Subject::Call(calls[3])],
        "the newest two, and the old one is not found anew"
    );
}

#[test]
fn methods_that_outputs_need() {
    let solve = |kind: &str, attrs: &[(&str, &str)]| {
        let attrs = attrs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let request = SolveRequest {
            r#ref: "r1".into(),
            session: "s1".into(),
            exporters: vec![Exporter {
                r#type: kind.into(),
                attrs,
            }],
            ..SolveRequest::default()
        };
        move |talk: &mut Talk| {
            talk.http2(Client)
                .call(Client, 1, SOLVE, &[])
                .message(Client, 1, &request.encode_to_vec())
                .end(Client, 1);
        }
    };
    for (kind, attrs, needs) in [
        ("local", &[][..], true),
        ("oci", &[], true),
        ("docker", &[("tar", "true")], true),
        ("docker", &[("tar", "false")], false),
        ("image", &[], false),
    ] {
        let expected = if needs {
            &["method-not-offered"][..]
        } else {
            &[]
        };
        let mut scene = session(&[FILE_SYNC]);
        scene.on(2, solve(kind, attrs));
        assert_eq!(scene.codes(), expected, "{kind}, after the session");
        let mut scene = Scene::new();
        scene.on(2, solve(kind, attrs));
        scene.on(1, |talk| upgrade(talk, "s1", &[FILE_SYNC]));
        assert_eq!(scene.codes(), expected, "{kind}, before the session");
        let mut scene = Scene::new();
        scene.on(2, solve(kind, attrs));
        scene.on(1, |talk| upgrade(talk, "s1", &[FILE_SEND]));
        assert_eq!(scene.codes(), [""; 0], "{kind}, offered");
    }
}

#[test]
fn what_is_old_is_looked_at_too() {
    let mut scene = export();
    scene.on(1, |talk| {
        listing(talk);
        for stream_id in (0..1_100).map(|n| 3 + 2 * n) {
            talk.call(Daemon, stream_id, "/moby.upload.v1.Upload/Pull", &[])
                .accept(Client, stream_id)
                .status(Client, stream_id, 0, "");
        }
    });
    assert_eq!(scene.wait(3).codes(), ["packets-read-as-bytes"]);
    let mut scene = session(&[CREDENTIALS]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, CREDENTIALS, &[])
            .message(Daemon, 1, b"\x0a\x01x");
        for stream_id in (0..4_200).map(|n| 3 + 2 * n) {
            talk.call(Daemon, stream_id, HEALTH, &[])
                .accept(Client, stream_id)
                .status(Client, stream_id, 0, "");
        }
    });
    assert_eq!(scene.wait(6).codes(), ["auth-callback-stuck"]);
}

#[test]
fn words_for_what_was_expected() {
    let mut scene = session(&[FILE_SEND]);
    build(&mut scene, &["tar"]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, FILE_SEND, &[])
            .accept(Client, 1)
            .packet(Daemon, 1, &stat("c", 0o644, 3));
    });
    let summary = &scene.finding().summary;
    assert!(
        summary.contains("was expected to carry bytes, but"),
        "{summary}"
    );
}

#[test]
fn a_session_inside_a_connection_with_a_gap() {
    let mut scene = Scene::new();
    scene.on(1, |talk| {
        talk.http2(Client);
        talk.call(
            Client,
            1,
            "/moby.buildkit.v1.Control/Session",
            &[("x-docker-expose-session-uuid", "s1")],
        )
        .accept(Daemon, 1);
        let mut inner = Talk::default();
        inner
            .http2(Daemon)
            .call(Daemon, 1, CREDENTIALS, &[])
            .message(Daemon, 1, b"\x0a\x01x");
        for (from, bytes) in inner.0 {
            let slice = BytesMessage { data: bytes.into() };
            talk.message(from, 1, &slice.encode_to_vec());
        }
    });
    assert_eq!(scene.calls().len(), 2, "{:#?}", scene.calls());
    gap(&mut scene, 1, Client);
    let codes = scene.wait(60).codes();
    assert!(codes.iter().all(|code| *code == "not-decoded"), "{codes:?}");
}

#[test]
fn what_is_likely_becomes_certain() {
    let mut scene = session(&[CREDENTIALS, HEALTH]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, HEALTH, &[])
            .message(Daemon, 1, b"")
            .call(Daemon, 3, CREDENTIALS, &[])
            .message(Daemon, 3, b"\x0a\x01x");
    });
    let sure = |scene: &Scene| {
        let findings = scene.findings();
        let sure = findings
            .iter()
            .map(|found| (found.code, found.confidence()));
        sure.collect::<Vec<_>>()
    };
    scene.wait(6);
    let likely = [
        ("health-check-starved", Confidence::Likely),
        ("auth-callback-stuck", Confidence::Likely),
    ];
    assert_eq!(sure(&scene), likely);
    let found = scene.findings()[0].at;
    scene.wait(25);
    assert_eq!(sure(&scene)[0].1, Confidence::Certain);
    assert_eq!(sure(&scene)[1].1, Confidence::Likely, "it has 60 s");
    let health = scene.findings()[0];
    assert_eq!(health.at, found, "when it was seen first");
    assert!(health.summary.contains("30."), "{}", health.summary);
    scene.wait(60);
    let told = scene.updates();
    let told = told
        .iter()
        .filter(|update| matches!(update, Update::Finding(_)));
    assert_eq!(told.count(), 4, "each as a hint and as a finding");
    assert_eq!(scene.findings().len(), 2);
}

#[test]
fn who_reads_nothing_mistakes_nothing() {
    // The client is stopped: it answers no health check either.
    let mut scene = export();
    scene.on(1, listing).on(1, |talk| {
        talk.call(Daemon, 3, HEALTH, &[]).end(Daemon, 3);
    });
    scene.wait(7);
    let codes = scene.codes();
    assert!(!codes.contains(&"packets-read-as-bytes"), "{codes:?}");
    assert!(codes.contains(&"request-missing") && codes.contains(&"health-check-starved"));
    // It lives, and asks for nothing.
    let mut scene = export();
    scene.on(1, listing).on(1, |talk| {
        talk.call(Daemon, 3, HEALTH, &[])
            .end(Daemon, 3)
            .accept(Client, 3)
            .status(Client, 3, 0, "");
    });
    scene.wait(3);
    let finding = scene.finding();
    assert_eq!(
        (finding.code, finding.confidence()),
        ("packets-read-as-bytes", Confidence::Certain)
    );
    // Nothing else was asked of it: it takes longer to be sure.
    let mut scene = export();
    scene.on(1, listing).wait(3);
    assert_eq!(scene.finding().confidence(), Confidence::Likely);
    scene.wait(3);
    assert_eq!(scene.finding().confidence(), Confidence::Certain);
}

/// Its first bytes are the request and all of a large body, as a client writes them that reads its
/// context into memory.
#[test]
fn a_request_that_comes_together_with_its_body() {
    let mut scene = Scene::new();
    let body = vec![b'x'; 200_000];
    scene.on(1, |talk| {
        let head = format!(
            "POST /build?version=1 HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        talk.say(Client, [head.as_bytes(), &body].concat());
        talk.say(Daemon, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    assert_eq!(scene.codes(), [""; 0]);
    assert_eq!(scene.trace().exchanges.len(), 1);
}

/// What is waited for when a connection ends is found, although nothing was seen in between.
#[test]
fn a_wait_that_ends_with_its_connection() {
    let mut scene = session(&[CREDENTIALS]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, CREDENTIALS, &[])
            .message(Daemon, 1, b"\x0a\x01x");
    });
    scene.now = scene.now.after(Duration::from_millis(4_800));
    scene.decoder.tick(scene.now);
    scene.now = scene.now.after(Duration::from_millis(300));
    scene.close(1, Closed::Finished);
    assert_eq!(scene.codes(), ["auth-callback-stuck"]);
}
