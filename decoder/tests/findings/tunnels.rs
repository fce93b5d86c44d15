//! What connections are made of: TLS, exec tunnels, and whether anybody is there.

use buildtap_decoder::event::Closed;
use buildtap_decoder::trace::Confidence;

use crate::HEALTH;
use crate::common::scene::{Scene, session};
use crate::common::*;

#[test]
fn tls_on_one_side_only() {
    let alert: &[u8] = b"\x15\x03\x03\0\x02\x02\x0a";
    let hello: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";
    let play = |client: &[u8], daemon: &[u8]| {
        let mut scene = Scene::new();
        scene.on(1, |talk| {
            talk.say(Client, client).say(Daemon, daemon);
        });
        let mut codes = scene.codes();
        codes.sort();
        (codes.contains(&"tls-alpn-mismatch"), scene)
    };
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let request: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n";
    let plain: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    let https: &[u8] =
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    for (client, daemon, said) in [
        (
            preface,
            alert,
            "the daemon speaks TLS and the client does not",
        ),
        (request, alert, "the daemon speaks TLS"),
        (request, https, "the daemon speaks TLS"),
        (
            hello,
            plain,
            "the client speaks TLS, and the daemon answers in plain HTTP",
        ),
        (
            hello,
            b"\x15\x03\x03\0\x02\x02\x78",
            "with the alert no_application_protocol",
        ),
    ] {
        let (found, scene) = play(client, daemon);
        assert!(found, "{client:x?} {daemon:x?}: {:?}", scene.codes());
        let finding = scene
            .findings()
            .into_iter()
            .find(|it| it.code == "tls-alpn-mismatch");
        let summary = &finding.unwrap().summary;
        assert!(summary.contains(said), "{summary}");
    }
    // TLS that goes on, and its end (close_notify is a warning).
    let server_hello: &[u8] = b"\x16\x03\x03\0\x7a\x02\0\0\x76";
    assert!(!play(hello, server_hello).0);
    assert!(!play(hello, b"\x15\x03\x03\0\x02\x01\0").0);
    assert!(!play(request, b"HTTP/1.1 400 Bad Request\r\n\r\n").0);
    // The client does not like the daemon's certificate.
    let (_, mut scene) = play(hello, server_hello);
    scene.on(1, |talk| {
        talk.say(Client, b"\x15\x03\x03\0\x02\x02\x2a");
    });
    let finding = scene.findings().pop().unwrap();
    assert!(
        finding.summary.contains("the client refuses the TLS of"),
        "{}",
        finding.summary
    );
}

/// An exec that is a tunnel to buildkitd, with the client's preface.
fn tunnel() -> Scene {
    let mut scene = Scene::new();
    scene.on(1, |talk| {
        talk.say(
            Client,
            "POST /v1.45/exec/0a/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\n\
             Upgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"Tty\":false}",
        )
        .say(
            Daemon,
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
             Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        )
        .say(Client, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .frame(Client, 4, 0, 0, &[]);
    });
    scene
}

/// SETTINGS of the daemon, in a frame of the exec's stream.
fn settings(scene: &mut Scene) {
    scene.on(1, |talk| {
        talk.say(Daemon, b"\x01\0\0\0\0\0\0\x09\0\0\0\x04\0\0\0\0\0");
    });
}

#[test]
fn a_tunnel_at_whose_end_nobody_is() {
    let mut scene = tunnel();
    assert_eq!(scene.wait(4).codes(), [""; 0]);
    let finding = scene.wait(2).finding();
    assert_eq!(
        (finding.code, finding.waiting_on, finding.confidence()),
        ("tunnel-not-ready", Some(Daemon), Confidence::Likely)
    );
    assert_eq!(scene.wait(20).finding().confidence(), Confidence::Certain);
    // It ends.
    let mut scene = tunnel();
    scene.half_close(1, Daemon).close(1, Closed::Finished);
    assert_eq!(scene.finding().code, "tunnel-not-ready");
    // It answers.
    let mut scene = tunnel();
    settings(&mut scene);
    scene.on(1, |talk| {
        talk.frame(Client, 4, 1, 0, &[]);
    });
    scene.wait(60).close(1, Closed::Finished);
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn an_exec_stream_that_is_read_as_it_is() {
    let mut scene = tunnel();
    settings(&mut scene);
    scene.on(1, |talk| {
        talk.frame(Client, 7, 0, 0, &[[0; 4], 6u32.to_be_bytes()].concat());
    });
    let finding = scene.finding();
    assert_eq!(
        (finding.code, finding.waiting_on, finding.confidence()),
        (
            "exec-stream-not-demultiplexed",
            Some(Client),
            Confidence::Certain
        )
    );
    // The client drops it without a word, or waits for something that it understands.
    let mut scene = tunnel();
    settings(&mut scene);
    scene.half_close(1, Client).close(1, Closed::Finished);
    assert_eq!(scene.finding().code, "exec-stream-not-demultiplexed");
    let mut scene = tunnel();
    settings(&mut scene);
    assert_eq!(scene.wait(6).codes(), ["exec-stream-not-demultiplexed"]);
    // A client that has understood it is shut down for something else.
    let mut scene = tunnel();
    settings(&mut scene);
    scene.on(1, |talk| {
        talk.frame(Client, 4, 1, 0, &[]).frame(
            Client,
            7,
            0,
            0,
            &[[0; 4], 6u32.to_be_bytes()].concat(),
        );
    });
    assert_eq!(scene.codes(), ["goaway"]);
}

#[test]
fn a_connection_on_which_nothing_is_said_any_more() {
    let check = |scene: &mut Scene, stream_id: u32| {
        scene.on(1, |talk| {
            talk.call(Daemon, stream_id, HEALTH, &[])
                .end(Daemon, stream_id)
                .accept(Client, stream_id)
                .status(Client, stream_id, 0, "");
        });
    };
    let mut scene = session(&[HEALTH]);
    check(&mut scene, 1);
    scene.wait(5);
    check(&mut scene, 3);
    assert_eq!(scene.wait(29).codes(), [""; 0]);
    let finding = scene.wait(2).finding();
    assert_eq!(
        (finding.code, finding.waiting_on, finding.confidence()),
        (
            "control-connection-silent",
            Some(Daemon),
            Confidence::Likely
        )
    );
    assert_eq!(scene.wait(30).finding().confidence(), Confidence::Certain);
    // A RUN step that prints nothing is as silent, but for the health checks.
    let mut scene = session(&[HEALTH]);
    for stream_id in 0..30 {
        check(&mut scene, 1 + 2 * stream_id);
        scene.wait(5);
    }
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn a_ping_that_is_not_answered() {
    let ping = |talk: &mut Talk, from, ack: u8| {
        talk.frame(from, 6, ack, 0, &[7; 8]);
    };
    let mut scene = session(&[]);
    scene.on(1, |talk| ping(talk, Client, 0));
    assert_eq!(scene.wait(19).codes(), [""; 0]);
    let finding = scene.wait(2).finding();
    assert_eq!(
        (finding.code, finding.waiting_on),
        ("control-connection-silent", Some(Daemon))
    );
    let mut scene = session(&[]);
    scene.on(1, |talk| {
        ping(talk, Client, 0);
        ping(talk, Daemon, 1);
    });
    assert_eq!(scene.wait(100).codes(), [""; 0]);
}
