//! Every rule of the doctor: once where it has to speak, and once beside it where it must not.

mod common;

use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_decoder::trace::{Severity, Subject};
use buildtap_proto::fsutil::types::Packet;
use buildtap_proto::fsutil::types::packet::PacketType::{
    PacketData, PacketErr, PacketFin, PacketReq,
};
use buildtap_proto::moby::buildkit::v1::{BytesMessage, StatusResponse, Vertex};
use common::scene::{SOLVE, STATUS, Scene, build, session};
use common::*;
use prost::Message;

const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// A session on which the daemon makes one call, which is answered with this status.
fn answered(path: &str, code: u32, message: &str) -> Scene {
    let mut scene = session(&[FILE_SEND, FILE_SYNC, path]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, path, &[("dir-name", "context")])
            .end(Daemon, 1)
            .accept(Client, 1)
            .status(Client, 1, code, message);
    });
    scene
}

#[test]
fn what_a_failed_callback_means() {
    let store = "/containerd.services.content.v1.Content/Info";
    let secret = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
    let policy = "/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy";
    let too_large = "grpc: received message larger than max (5 vs. 4)";
    let cases = [
        (FILE_SEND, 2, "exporter 3 not found", "exporter-id-unknown"),
        (
            FILE_SEND,
            2,
            "open out.tar: permission denied",
            "call-failed",
        ),
        (FILE_SEND, 8, too_large, "message-too-large"),
        (
            FILE_SYNC,
            5,
            "no access allowed to dir \"x\"",
            "local-dir-not-offered",
        ),
        (HEALTH, 12, "unknown service", "health-service-missing"),
        (
            HEALTH,
            4,
            "context deadline exceeded",
            "health-check-failed",
        ),
        (secret, 5, "secret not found", "secret-not-found"),
        (secret, 12, "", "secret-not-found"),
        (store, 5, "unknown store oci:x", "content-store-missing"),
        (policy, 12, "unknown method", "method-unimplemented"),
        (
            "/moby.filesync.v1.Auth/FetchToken",
            12,
            "",
            "method-unimplemented",
        ),
        ("/moby.filesync.v1.Auth/FetchToken", 2, "401", "call-failed"),
        (
            "/moby.sshforward.v1.SSH/CheckAgent",
            2,
            "unset ssh forward key x",
            "call-failed",
        ),
    ];
    for (path, status, message, code) in cases {
        let scene = answered(path, status, message);
        assert_eq!(scene.codes(), [code], "{path} {status} {message}");
        let finding = scene.finding();
        assert!(finding.summary.contains(message), "{}", finding.summary);
        assert!(!finding.advice.is_empty() && !finding.evidence.is_empty());
    }
}

#[test]
fn failed_callbacks_that_mean_nothing() {
    let cases = [
        // The daemon falls back (auth.go).
        ("/moby.filesync.v1.Auth/GetTokenAuthority", 14, ""),
        ("/moby.filesync.v1.Auth/VerifyTokenAuthority", 12, ""),
        ("/moby.filesync.v1.Auth/Credentials", 12, ""),
        ("/moby.exporter.v1.Exporter/FindExporters", 12, ""),
        // The client has it already.
        (FILE_SEND, 6, "already exists"),
        (
            "/containerd.services.content.v1.Content/Info",
            5,
            "sha256:1: not found",
        ),
        // The end of an agent's connection.
        ("/moby.sshforward.v1.SSH/ForwardAgent", 2, "EOF"),
        // Collateral of a cancelled build.
        (FILE_SYNC, 1, "context canceled"),
        (FILE_SYNC, 2, "rpc error: context canceled"),
        (HEALTH, 0, ""),
    ];
    for (path, status, message) in cases {
        let scene = answered(path, status, message);
        assert_eq!(scene.codes(), [""; 0], "{path} {status} {message}");
    }
    // Who calls on a control connection knows best what the answer means.
    let mut scene = Scene::new();
    scene.on(1, |talk| {
        talk.http2(Client)
            .call(Client, 1, "/moby.buildkit.v1.Control/Info", &[])
            .status(Daemon, 1, 12, "unknown method Info");
    });
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn two_failed_health_checks_are_one_finding() {
    let mut scene = session(&[HEALTH]);
    for stream_id in [1, 3] {
        scene.on(1, |talk| {
            talk.call(Daemon, stream_id, HEALTH, &[]).status(
                Client,
                stream_id,
                12,
                "unknown service",
            );
        });
    }
    assert_eq!(scene.finding().code, "health-service-missing");
    let session = scene.sessions()[0].id;
    assert_eq!(scene.finding().subject, Subject::Session(session));
}

/// The prefix of a gRPC message of this length, and nothing of it.
fn begin_message(talk: &mut Talk, from: Side, length: u32) {
    let mut prefix = vec![0];
    prefix.extend(length.to_be_bytes());
    talk.frame(from, 0, 0, 1, &prefix);
}

#[test]
fn messages_that_are_too_large() {
    let on_session = |from, length| {
        let mut scene = session(&[FILE_SYNC]);
        scene.on(1, |talk| {
            talk.call(Daemon, 1, FILE_SYNC, &[]).accept(Client, 1);
            begin_message(talk, from, length);
        });
        scene.codes()
    };
    let on_control = |length| {
        let mut scene = Scene::new();
        scene.on(1, |talk| {
            talk.http2(Client).call(Client, 1, SOLVE, &[]);
            begin_message(talk, Client, length);
        });
        scene.codes()
    };
    // A Go session server takes 4 MiB, everything else of BuildKit 16 MiB.
    assert_eq!(on_session(Daemon, (4 << 20) + 1), ["message-too-large"]);
    assert_eq!(on_session(Daemon, 4 << 20), [""; 0]);
    assert_eq!(on_session(Client, (4 << 20) + 1), [""; 0]);
    assert_eq!(on_control((16 << 20) + 1), ["message-too-large"]);
    assert_eq!(on_control(16 << 20), [""; 0]);
}

#[test]
fn an_unreachable_daemon() {
    let mut scene = Scene::new();
    scene.on(1, |_| {}).close(1, Closed::Unreachable);
    let finding = scene.finding();
    assert_eq!(
        (finding.code, finding.severity),
        ("daemon-unreachable", Severity::Error)
    );
    assert!(
        finding.summary.contains("unix:///run/docker.sock"),
        "{}",
        finding.summary
    );
    let mut scene = Scene::new();
    scene.on(1, |_| {}).close(1, Closed::Finished);
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn bytes_that_are_not_decoded() {
    let first = |bytes: &'static [u8]| {
        let mut scene = Scene::new();
        scene.on(1, |talk| {
            talk.say(Client, bytes);
        });
        scene.codes()
    };
    assert_eq!(first(b"\x16\x03\x01\x02\0"), ["not-decoded"]);
    assert_eq!(first(b"SSH-2.0-OpenSSH\r\n"), ["not-decoded"]);
    assert_eq!(first(b"GET /_ping HTTP/1.1\r\n\r\n"), [""; 0]);
    // A header block that refers to a table entry that was never made.
    let mut scene = Scene::new();
    scene.on(1, |talk| {
        talk.http2(Client).frame(Client, 1, 4, 1, &[0x80 | 70]);
    });
    assert_eq!(scene.codes(), ["not-decoded"]);
    assert!(
        scene.finding().summary.contains("header block"),
        "{:?}",
        scene.finding()
    );
}

#[test]
fn broken_rules_of_http2() {
    let mut scene = session(&[]);
    scene.on(1, |talk| {
        talk.frame(Client, 6, 0, 0, b"short")
            .frame(Client, 8, 0, 0, b"");
    });
    let finding = scene.finding();
    assert_eq!(finding.code, "http2-violation");
    assert!(finding.summary.contains("client") && finding.summary.contains("5 bytes"));
}

#[test]
fn goaway() {
    let say = |code: u32, debug: &str| {
        let mut scene = session(&[]);
        let payload = [&[0; 4], &code.to_be_bytes(), debug.as_bytes()].concat();
        scene.on(1, |talk| {
            talk.frame(Client, 7, 0, 0, &payload);
        });
        scene
    };
    let scene = say(11, "too_many_pings");
    let finding = scene.finding();
    assert_eq!(finding.code, "goaway");
    assert!(
        finding
            .summary
            .contains("ENHANCE_YOUR_CALM (too_many_pings)"),
        "{}",
        finding.summary
    );
    assert!(finding.advice.contains("keepalive"), "{}", finding.advice);
    assert!(!say(1, "").finding().advice.contains("keepalive"));
    // The ordinary end.
    assert_eq!(say(0, "graceful_stop").codes(), [""; 0]);
}

#[test]
fn a_word_on_standard_error_of_the_tunnel() {
    let exec = |command: &str, frame: &[u8]| {
        let mut scene = Scene::new();
        scene.on(1, |talk| {
            let body = format!("{{\"Cmd\":[\"buildctl\",\"{command}\"]}}");
            talk.say(
                Client,
                format!("POST /v1.45/containers/b/exec HTTP/1.1\r\nHost: docker\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
            )
            .say(Daemon, "HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\n{\"Id\":\"0a\"}")
            .say(
                Client,
                "POST /v1.45/exec/0a/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\n\
                 Upgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"Tty\":false}",
            )
            .say(
                Daemon,
                "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
                 Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
            )
            .say(Daemon, frame);
        });
        scene
    };
    let scene = exec("dial-stdio", b"\x02\0\0\0\0\0\0\x0eno such socket");
    let finding = scene.finding();
    assert_eq!(finding.code, "dial-stdio-failed");
    assert!(
        finding.summary.contains("no such socket"),
        "{}",
        finding.summary
    );
    assert_eq!(
        exec("dial-stdio", b"\x01\0\0\0\0\0\0\x09\0\0\0\x04\0\0\0\0\0").codes(),
        [""; 0]
    );
    // Another command may say there what it likes.
    assert_eq!(
        exec("debug", b"\x02\0\0\0\0\0\0\x0eno such socket").codes(),
        [""; 0]
    );
}

#[test]
fn upgrades_that_are_refused() {
    let answer = |path: &str, answer: &str| {
        let mut scene = Scene::new();
        scene.on(1, |talk| {
            talk.say(
                Client,
                format!(
                    "POST {path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
                ),
            )
            .say(
                Daemon,
                format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n"),
            );
        });
        scene.codes()
    };
    assert_eq!(answer("/grpc", "404 Not Found"), ["endpoint-disabled"]);
    assert_eq!(
        answer("/v1.45/grpc", "403 Forbidden"),
        ["endpoint-disabled"]
    );
    assert_eq!(answer("/grpc", "200 OK"), ["upgrade-refused"]);
    assert_eq!(answer("/grpc", "502 Bad Gateway"), ["upgrade-refused"]);
    assert_eq!(answer("/grpc", "101 Switching Protocols"), [""; 0]);
    assert_eq!(answer("/images/create", "404 Not Found"), [""; 0]);
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
    let mut codes = refuse("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").codes();
    codes.sort_unstable();
    assert_eq!(codes, ["endpoint-disabled", "session-refused"]);
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
    assert_eq!(play(false, Some((1, "context canceled"))).codes(), [""; 0]);
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
    assert_eq!(solve(1, "context canceled").codes(), [""; 0]);
    assert_eq!(solve(0, "").codes(), [""; 0]);
}

/// A build with these outputs and the FileSend call of its first one, on stream 1 of connection
/// 1, that the client has accepted.
fn export(outputs: &[&str], metadata: &[(&str, &str)]) -> Scene {
    let mut scene = session(&[FILE_SEND]);
    build(&mut scene, outputs);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, FILE_SEND, metadata).accept(Client, 1);
    });
    scene
}

/// The listing of a local export: a directory and two files.
fn listing(talk: &mut Talk) {
    talk.packet(Daemon, 1, &stat("a", 1 << 31 | 0o755, 0))
        .packet(Daemon, 1, &stat("a/b", 0o644, 3))
        .packet(Daemon, 1, &stat("c", 0o644, 3))
        .packet(Daemon, 1, &Packet::default());
}

/// Contents of a file, asked for and sent.
fn file(talk: &mut Talk, id: u32, contents: &[u8]) {
    talk.packet(Client, 1, &plain(PacketReq, id))
        .packet(Daemon, 1, &data(id, contents.to_vec()));
    if !contents.is_empty() {
        talk.packet(Daemon, 1, &plain(PacketData, id));
    }
}

fn bytes_message(talk: &mut Talk, from: Side, contents: &[u8]) {
    let message = BytesMessage {
        data: contents.to_vec().into(),
    };
    talk.message(from, 1, &message.encode_to_vec());
}

#[test]
fn packets_that_are_read_as_bytes() {
    let mut scene = export(&["local"], &[]);
    scene.on(1, listing);
    assert_eq!(scene.wait(1).codes(), [""; 0], "it may take a moment");
    let finding = scene.wait(2).finding().clone();
    assert_eq!(
        (finding.code, finding.waiting_on),
        ("packets-read-as-bytes", Some(Client))
    );
    // The client gives up: still the same.
    scene.half_close(1, Client).close(1, Closed::Finished);
    assert_eq!(scene.codes()[0], "packets-read-as-bytes");
    // A client that has asked for one file knows what it does; it is late with the other one.
    let mut scene = export(&["local"], &[]);
    scene.on(1, listing).on(1, |talk| file(talk, 1, b"abc"));
    assert_eq!(scene.wait(4).codes(), [""; 0]);
    assert_eq!(scene.wait(2).codes(), ["request-missing"]);
}

#[test]
fn whose_turn_it_is_not_taken() {
    type Part = fn(&mut Talk);
    let cases: [(Part, &str, Side, &str); 4] = [
        (
            |talk| {
                listing(talk);
                file(talk, 1, b"abc");
            },
            "request-missing",
            Client,
            "REQ",
        ),
        (
            |talk| {
                talk.packet(Daemon, 1, &stat("c", 0o644, 3));
            },
            "final-stat-missing",
            Daemon,
            "STAT",
        ),
        (
            |talk| {
                listing(talk);
                talk.packet(Client, 1, &plain(PacketReq, 1)).packet(
                    Daemon,
                    1,
                    &data(1, b"ab".to_vec()),
                );
            },
            "file-end-missing",
            Daemon,
            "a/b",
        ),
        (
            |talk| {
                listing(talk);
                file(talk, 1, b"abc");
                file(talk, 2, b"abc");
                talk.packet(Client, 1, &plain(PacketFin, 0));
            },
            "fin-unanswered",
            Daemon,
            "FIN",
        ),
    ];
    for (part, code, waiting_on, word) in cases {
        let mut scene = export(&["local"], &[]);
        scene.on(1, part);
        assert_eq!(scene.wait(4).codes(), [""; 0], "{code} before its time");
        scene.wait(2);
        let finding = scene.finding();
        assert_eq!((finding.code, finding.waiting_on), (code, Some(waiting_on)));
        assert!(finding.summary.contains(word), "{}", finding.summary);
    }
    // A transfer that goes on slowly is none of these, nor one that is complete.
    let mut scene = export(&["local"], &[]);
    scene
        .on(1, listing)
        .wait(1)
        .on(1, |talk| file(talk, 1, b"abc"));
    scene.wait(4).on(1, |talk| file(talk, 2, b"abc"));
    scene.on(1, |talk| {
        talk.packet(Client, 1, &plain(PacketFin, 0))
            .packet(Daemon, 1, &plain(PacketFin, 0));
    });
    assert_eq!(scene.wait(60).codes(), [""; 0]);
}

#[test]
fn a_sender_without_a_window() {
    // A session whose client never gives back what it has read.
    let play = |give_back: bool| {
        let mut scene = Scene::new();
        scene.on(1, |talk| {
            upgrade(talk, "s1", &[FILE_SEND]);
            talk.0.truncate(2);
            talk.say(Daemon, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            talk.frame(Daemon, 4, 0, 0, &[]).frame(Client, 4, 0, 0, &[]);
            talk.call(Daemon, 1, FILE_SEND, &[]).accept(Client, 1);
            talk.packet(Daemon, 1, &stat("big", 0o644, 100_000))
                .packet(Daemon, 1, &Packet::default())
                .packet(Client, 1, &plain(PacketReq, 0));
            let whole = grpc(&data(0, vec![0; 100_000]).encode_to_vec());
            let said: usize = talk.0[6..].iter().map(|(_, bytes)| bytes.len()).sum();
            assert!(said < 1000, "{said}");
            let window = 65_535 - 5 * 2 - (stat("big", 0o644, 100_000).encoded_len());
            for part in whole[..window].chunks(16 << 10) {
                talk.frame(Daemon, 0, 0, 1, part);
            }
            if give_back {
                talk.frame(Client, 8, 0, 1, &1000u32.to_be_bytes());
                talk.frame(Client, 8, 0, 0, &1000u32.to_be_bytes());
            }
        });
        scene.wait(6);
        scene
    };
    let scene = play(false);
    let finding = scene.finding();
    assert_eq!(
        (finding.code, finding.waiting_on),
        ("flow-control-stall", Some(Client))
    );
    assert!(
        finding.summary.contains("WINDOW_UPDATE on stream 1"),
        "{}",
        finding.summary
    );
    // With a window it is the sender who stands still.
    let scene = play(true);
    let finding = scene.finding();
    assert_eq!(
        (finding.code, finding.waiting_on),
        ("file-end-missing", Some(Daemon))
    );
}

#[test]
fn callbacks_that_are_not_answered() {
    let credentials = "/moby.filesync.v1.Auth/Credentials";
    let agent = "/moby.sshforward.v1.SSH/ForwardAgent";
    let secret = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
    for (path, code) in [
        (credentials, "auth-callback-stuck"),
        (agent, "ssh-agent-stuck"),
        (HEALTH, "health-check-starved"),
        (secret, "callback-unanswered"),
    ] {
        let ask = || {
            let mut scene = session(&[path]);
            scene.on(1, |talk| {
                talk.call(Daemon, 1, path, &[])
                    .message(Daemon, 1, b"\x0a\x01x");
            });
            scene
        };
        let mut scene = ask();
        assert_eq!(scene.wait(4).codes(), [""; 0], "{path}");
        assert_eq!(scene.wait(2).codes(), [code], "{path}");
        assert_eq!(scene.finding().waiting_on, Some(Client));
        let mut scene = ask();
        scene.on(1, |talk| {
            talk.accept(Client, 1).message(Client, 1, b"\x0a\x01x");
        });
        assert_eq!(scene.wait(60).codes(), [""; 0], "{path} was answered");
    }
    // A stream of the session that nobody has to answer.
    let mut scene = session(&[HEALTH]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, "/grpc.health.v1.Health/Watch", &[])
            .accept(Client, 1)
            .message(Client, 1, b"\x08\x01");
    });
    assert_eq!(scene.wait(60).codes(), [""; 0]);
}

#[test]
fn an_export_of_another_kind_than_asked_for() {
    let mut scene = export(&["tar"], &[]);
    scene.on(1, |talk| {
        talk.packet(Daemon, 1, &stat("c", 0o644, 3));
    });
    assert_eq!(scene.codes(), ["flavour-contradicted"]);
    let mut scene = export(&["local"], &[]);
    scene.on(1, |talk| bytes_message(talk, Daemon, b"tar"));
    assert_eq!(scene.codes(), ["flavour-contradicted"]);
    let mut scene = export(&["tar"], &[]);
    scene.on(1, |talk| bytes_message(talk, Daemon, b"tar"));
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn bytes_that_are_read_as_packets() {
    let mut scene = export(&["tar"], &[]);
    scene.on(1, |talk| {
        bytes_message(talk, Daemon, b"tar");
        talk.packet(Client, 1, &plain(PacketReq, 0));
    });
    assert_eq!(scene.codes(), ["bytes-read-as-packets"]);
}

#[test]
fn a_message_that_is_no_packet() {
    let mut scene = export(&["local"], &[]);
    scene.on(1, |talk| {
        talk.packet(Daemon, 1, &stat("c", 0o644, 3))
            .message(Daemon, 1, b"\x12\xff\xff");
    });
    assert_eq!(scene.codes(), ["malformed-packet"]);
}

#[test]
fn an_error_packet() {
    let fail = |text: &str| {
        let mut scene = export(&["local"], &[]);
        let packet = Packet {
            data: text.as_bytes().to_vec().into(),
            ..plain(PacketErr, 0)
        };
        scene.on(1, listing).on(1, |talk| {
            talk.packet(Client, 1, &packet);
        });
        scene
    };
    let scene = fail("no space left on device");
    let finding = scene.finding();
    assert_eq!(finding.code, "transfer-error-packet");
    assert!(
        finding
            .summary
            .contains("the client says in an ERR packet: no space left")
    );
    assert_eq!(fail("context canceled").codes(), [""; 0]);
}

#[test]
fn a_file_that_changed() {
    let send = |contents: &[u8]| {
        let mut scene = export(&["local"], &[]);
        scene.on(1, listing).on(1, |talk| file(talk, 1, contents));
        scene
    };
    let scene = send(b"abcd");
    let finding = scene.finding();
    assert_eq!(finding.code, "file-changed-during-transfer");
    assert!(finding.summary.contains("a/b"), "{}", finding.summary);
    assert_eq!(send(b"").codes(), ["file-changed-during-transfer"]);
    assert_eq!(send(b"abc").codes(), [""; 0]);
}

#[test]
fn packets_that_break_a_rule() {
    type Part = fn(&mut Talk);
    let cases: [(&str, Part); 9] = [
        ("stat-order-violation", |talk| {
            // `/` is the lowest character: a/b comes before a-b.
            talk.packet(Daemon, 1, &stat("a-b", 0o644, 3)).packet(
                Daemon,
                1,
                &stat("a", 1 << 31 | 0o755, 0),
            );
        }),
        ("stat-order-violation-path", |talk| {
            talk.packet(Daemon, 1, &stat("../c", 0o644, 3));
        }),
        ("stat-order-violation-request", |talk| {
            listing(talk);
            // Number 0 is a directory.
            talk.packet(Client, 1, &plain(PacketReq, 0));
        }),
        ("stat-order-violation-request", |talk| {
            listing(talk);
            talk.packet(Client, 1, &plain(PacketReq, 1))
                .packet(Client, 1, &plain(PacketReq, 1));
        }),
        ("stat-order-violation-request", |talk| {
            listing(talk);
            talk.packet(Client, 1, &plain(PacketReq, 77));
        }),
        ("stat-order-violation-data", |talk| {
            listing(talk);
            talk.packet(Daemon, 1, &data(1, b"abc".to_vec()));
        }),
        ("stat-order-violation-side", |talk| {
            listing(talk);
            talk.packet(Daemon, 1, &plain(PacketReq, 1));
        }),
        ("stat-order-violation-side", |talk| {
            talk.packet(Daemon, 1, &stat("c", 0o644, 3))
                .packet(Client, 1, &stat("c", 0o644, 3));
        }),
        ("stat-order-violation-fin", |talk| {
            talk.packet(Daemon, 1, &stat("c", 0o644, 3))
                .packet(Client, 1, &plain(PacketFin, 0));
        }),
    ];
    for (code, part) in cases {
        let mut scene = export(&["local"], &[]);
        scene.on(1, part);
        assert_eq!(scene.codes(), [code]);
    }
    let mut scene = export(&["local"], &[]);
    scene.on(1, |talk| {
        talk.packet(Daemon, 1, &stat("a", 1 << 31 | 0o755, 0))
            .packet(Daemon, 1, &stat("a/b", 0o644, 3))
            .packet(Daemon, 1, &stat("a-b", 0o644, 3));
    });
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn a_transfer_that_ends_before_it_is_complete() {
    let mut scene = export(&["local"], &[]);
    scene.on(1, listing).on(1, |talk| {
        file(talk, 1, b"abc");
        talk.status(Client, 1, 0, "");
    });
    let finding = scene.finding();
    assert_eq!(finding.code, "transfer-incomplete");
    assert!(
        finding.summary.contains("the client still had to send REQ"),
        "{}",
        finding.summary
    );
    // A status that says why is enough, and so is the end of the build.
    let mut scene = export(&["local"], &[]);
    scene.on(1, listing).on(1, |talk| {
        file(talk, 1, b"abc");
        talk.frame(Daemon, 3, 0, 1, &8u32.to_be_bytes());
    });
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn what_is_missing_is_held_against_nobody() {
    let mut scene = export(&["local"], &[]);
    scene.on(1, listing);
    let gap = TapEvent::Gap {
        from: Client,
        bytes: Some(9),
    };
    scene.decoder.event(scene.now, TapId(1), gap);
    assert_eq!(scene.wait(60).codes(), ["not-decoded"]);
    // A call that begins afterwards is seen from one side only, too.
    scene.on(1, |talk| {
        talk.call(Daemon, 3, HEALTH, &[]);
    });
    assert_eq!(scene.wait(60).codes(), ["not-decoded"]);
}

#[test]
fn a_tap_that_was_never_opened_is_passed_over() {
    let mut scene = Scene::new();
    let bytes = b"\x16\x03\x01";
    let chunk = TapEvent::Chunk {
        from: Client,
        bytes,
    };
    scene.decoder.event(Time(5), TapId(9), chunk);
    assert!(scene.trace().connections.is_empty());
    scene
        .decoder
        .event(Time(6), TapId(9), TapEvent::Open(Endpoints::default()));
    assert_eq!(scene.trace().connections.len(), 1);
}
