//! Connections, HTTP and what carries HTTP/2.

use buildtap_decoder::event::{Closed, Endpoints, TapEvent, TapId, Time};
use buildtap_decoder::trace::Severity;

use crate::common::scene::{Scene, session};
use crate::common::*;

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
                format!(
                    "POST /v1.45/containers/b/exec HTTP/1.1\r\nHost: docker\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                ),
            )
            .say(
                Daemon,
                "HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\n{\"Id\":\"0a\"}",
            )
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
    let too_large = "431 Request Header Fields Too Large";
    assert_eq!(answer("/grpc", too_large), ["header-list-too-large"]);
    assert_eq!(answer("/grpc", "200 OK"), ["upgrade-refused"]);
    assert_eq!(answer("/grpc", "502 Bad Gateway"), ["upgrade-refused"]);
    assert_eq!(answer("/grpc", "101 Switching Protocols"), [""; 0]);
    assert_eq!(answer("/images/create", "404 Not Found"), [""; 0]);
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
