//! Calls that fail, and callbacks that nobody answers.

use buildtap_decoder::event::Side;
use buildtap_decoder::trace::{Confidence, Subject};

use crate::HEALTH;
use crate::common::scene::{SOLVE, Scene, session};
use crate::common::*;

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
        (store, 3, "request lacks metadata", "content-store-missing"),
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
fn a_secret_that_nobody_offers() {
    let secret = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
    let ask = |offered: &[&str]| {
        let mut scene = session(offered);
        scene.on(1, |talk| {
            talk.call(Daemon, 1, secret, &[])
                .message(Daemon, 1, b"\x0a\x01x");
        });
        scene
    };
    let mut scene = ask(&[FILE_SYNC]);
    let finding = scene.finding();
    assert_eq!(
        (finding.code, finding.confidence()),
        ("secret-not-found", Confidence::Likely)
    );
    scene.on(1, |talk| {
        talk.status(Client, 1, 12, "unknown service");
    });
    assert_eq!(scene.finding().confidence(), Confidence::Certain);
    assert_eq!(ask(&[FILE_SYNC, secret]).codes(), [""; 0]);
    assert_eq!(
        ask(&[]).codes(),
        [""; 0],
        "who lists nothing at all may serve everything"
    );
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
    // The deadline of a check tells when its session ends.
    let mut scene = session(&[HEALTH]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, HEALTH, &[("grpc-timeout", "14999m")])
            .end(Daemon, 1);
    });
    let summary = &scene.wait(6).finding().summary;
    assert!(
        summary.contains("the daemon gives it up in 10.0 s"),
        "{summary}"
    );
    // A stream of the session that nobody has to answer.
    let mut scene = session(&[HEALTH]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, "/grpc.health.v1.Health/Watch", &[])
            .accept(Client, 1)
            .message(Client, 1, b"\x08\x01");
    });
    assert_eq!(scene.wait(60).codes(), [""; 0]);
}
