//! Connections: sockets, upgrades, tunnels, HTTP/2 and its flow control.

use std::time::Duration;

use buildtap_decoder::event::Side::{Client, Daemon};
use buildtap_fixtures::peers::grpc::code;
use buildtap_fixtures::peers::script::{Action, Health, Mode, Rule, Step};
use buildtap_fixtures::peers::tree::{Content, Tree};
use bytes::Bytes;

use crate::between::Between;
use crate::sessions::HEALTH;
use crate::table::{Entry, Play, build, checked, large, nested, solve, tar};

/// A build by a container's builder, as buildx makes one.
fn exec() -> Play {
    let mut play = build();
    play.client.mode = Mode::Exec;
    play
}

/// The daemon sends these bytes on each connection, and nothing more.
fn answer(play: &mut Play, bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    play.daemon
        .rules
        .push(Rule::new(Step::Accept, Action::Instead(bytes)));
}

pub(crate) static ENTRIES: &[Entry] = &[
    Entry {
        code: "daemon-unreachable",
        twin: "a daemon that listens",
        play: || {
            let mut play = build();
            play.between = Between::Proxy;
            play
        },
        animal: "nobody listens at the daemon's address",
        fault: |play| play.between = Between::NoDaemon,
        waits_for: None,
        says: &["could not be reached when a client connected"],
    },
    Entry {
        code: "upgrade-refused",
        twin: "a daemon that lets POST /grpc become HTTP/2",
        play: solve,
        animal: "something in between answers POST /grpc with 502",
        fault: |play| {
            let refused = ("/grpc".into(), "502 Bad Gateway".into());
            play.daemon.refuse_upgrades.extend([refused]);
        },
        waits_for: None,
        says: &["POST /grpc should turn into another protocol", "HTTP 502"],
    },
    Entry {
        code: "upgrade-refused",
        twin: "a daemon that lets POST /session become HTTP/2",
        play: build,
        animal: "something in between answers POST /session with 502",
        fault: |play| {
            let refused = ("/session".into(), "502 Bad Gateway".into());
            play.daemon.refuse_upgrades.extend([refused]);
        },
        waits_for: None,
        says: &[
            "POST /session should turn into another protocol",
            "HTTP 502",
        ],
    },
    Entry {
        code: "endpoint-disabled",
        twin: "a daemon with POST /grpc",
        play: solve,
        animal: "a daemon without POST /grpc",
        fault: |play| {
            let refused = ("/grpc".into(), "404 Not Found".into());
            play.daemon.refuse_upgrades.extend([refused]);
        },
        waits_for: None,
        says: &["The endpoint POST /grpc is not there"],
    },
    Entry {
        code: "exec-stream-not-demultiplexed",
        twin: "a client that takes the frames off what an exec sends",
        play: exec,
        animal: "takes the frames of an exec for HTTP/2, and gives up at the first of them",
        fault: |play| {
            play.client.demultiplexes = false;
            play.client.windows.max_frame = 16_384;
        },
        waits_for: Some(Client),
        says: &[
            "The client does not understand the stream of an exec",
            "frames of 8 bytes",
        ],
    },
    Entry {
        code: "exec-stream-not-demultiplexed",
        twin: "a client that takes the frames off what an exec sends",
        play: exec,
        animal: "takes the frames of an exec for HTTP/2, and waits for the rest of the first, which seems to be long",
        fault: |play| play.client.demultiplexes = false,
        waits_for: Some(Client),
        says: &["The client does not understand the stream of an exec"],
    },
    Entry {
        code: "dial-stdio-failed",
        twin: "a builder whose buildkitd runs",
        play: exec,
        animal: "a builder whose buildkitd does not run",
        fault: |play| {
            let action = Action::Fail {
                code: code::UNAVAILABLE,
                message:
                    "dial unix /run/buildkit/buildkitd.sock: connect: no such file or directory"
                        .into(),
            };
            play.daemon.rules.push(Rule::new(Step::Tunnel, action));
        },
        waits_for: None,
        says: &[
            "on standard error",
            "dial unix /run/buildkit/buildkitd.sock",
        ],
    },
    Entry {
        code: "tunnel-not-ready",
        twin: "a builder that answers",
        play: exec,
        animal: "nobody answers at the far end of the tunnel",
        fault: |play| {
            play.daemon
                .rules
                .push(Rule::new(Step::Tunnel, Action::Hang));
        },
        waits_for: Some(Daemon),
        says: &["Nobody answers at the far end of the tunnel"],
    },
    Entry {
        code: "control-connection-silent",
        twin: "a daemon that checks the health of the session all the time",
        play: || {
            let mut play = solve();
            play.daemon.health_interval = Duration::from_millis(200);
            play
        },
        animal: "a daemon says nothing any more, not even health checks, as when a gateway has forgotten the connection",
        fault: |play| {
            play.client.give_up_after = Some(Duration::from_secs(60));
            play.daemon.rules.push(
                Rule::new(Step::StartCall, Action::Hang)
                    .scope(HEALTH)
                    .after(3),
            );
            play.daemon
                .rules
                .push(Rule::new(Step::Vertex, Action::Hang).after(5));
        },
        waits_for: Some(Daemon),
        says: &["has gone silent: the daemon has said nothing for 30."],
    },
    Entry {
        code: "goaway",
        twin: "a daemon that lets the client have its calls",
        play: nested,
        animal: "a daemon ends the connection with GOAWAY ENHANCE_YOUR_CALM",
        fault: |play| {
            let calm = Rule::new(Step::Vertex, Action::GoAway(0xb)).after(2);
            play.daemon.rules.push(calm.once());
        },
        waits_for: None,
        says: &["The daemon shut connection 1 down with GOAWAY ENHANCE_YOUR_CALM"],
    },
    Entry {
        code: "daemon-died",
        twin: "a daemon that lives",
        play: solve,
        animal: "a daemon is gone in the midst of the build, with all connections",
        fault: |play| {
            let gone = Rule::new(Step::SendData, Action::Drop).scope("export");
            play.daemon.rules.push(gone.after(1));
        },
        waits_for: None,
        says: &["The daemon is gone"],
    },
    Entry {
        code: "flow-control-stall",
        twin: "a client that reads its export of 4 MiB",
        play: large,
        animal: "stops to read its export after two messages",
        fault: |play| {
            let read = Rule::new(Step::Receive, Action::Hang).scope("export");
            play.client.rules.push(read.after(4));
        },
        waits_for: Some(Client),
        says: &[
            "the daemon has no flow-control window left",
            "the client owes WINDOW_UPDATE",
        ],
    },
    Entry {
        code: "stream-limit-reached",
        twin: "a client that takes 250 calls at a time",
        play: checked,
        animal: "takes two calls at a time, and answers no health check",
        fault: |play| {
            play.client.windows.max_streams = 2;
            play.client.health = Health::Silent;
        },
        waits_for: Some(Client),
        says: &["as many as the client allows"],
    },
    Entry {
        code: "half-close-missing",
        twin: "a daemon that half-closes behind its archive",
        play: tar,
        animal: "a daemon sends its archive and leaves the call open",
        fault: |play| {
            play.daemon
                .rules
                .push(Rule::new(Step::EndArchive, Action::Hang));
        },
        waits_for: Some(Daemon),
        says: &[
            "the archive came to its end",
            "the daemon does not end the stream",
        ],
    },
    Entry {
        code: "message-too-large",
        twin: "a daemon that sends files in pieces of 32 KiB",
        play: || {
            let mut play = large();
            play.daemon.export = Tree::new().file("larger.bin", Content::seeded(6, 6 << 20));
            play
        },
        animal: "a daemon sends a file in pieces of 5 MiB",
        fault: |play| play.daemon.sending.piece = 5 << 20,
        waits_for: None,
        says: &["The daemon sends a message of ", "the client takes 4194304"],
    },
    Entry {
        code: "handshake-timeout",
        twin: "a daemon that speaks HTTP/2 at once",
        play: nested,
        animal: "a daemon takes the connection and says nothing",
        fault: |play| {
            play.daemon
                .rules
                .push(Rule::new(Step::Accept, Action::Hang));
        },
        waits_for: Some(Daemon),
        says: &["The daemon has not begun to speak HTTP/2 on connection 1"],
    },
    Entry {
        code: "tls-alpn-mismatch",
        twin: "a client and a daemon without TLS",
        play: nested,
        animal: "a daemon that wants TLS answers a plain preface with an alert",
        // Alert, version 3.3, 2 bytes: fatal, unexpected_message (RFC 8446 §6).
        fault: |play| answer(play, &[0x15, 3, 3, 0, 2, 2, 10]),
        waits_for: None,
        says: &["the daemon speaks TLS and the client does not"],
    },
    Entry {
        code: "http2-violation",
        twin: "a daemon that keeps the rules of HTTP/2",
        play: nested,
        animal: "a daemon opens its connection with a WINDOW_UPDATE of 0",
        fault: |play| {
            let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            let update = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            answer(play, &[&settings[..], &update].concat());
        },
        waits_for: None,
        says: &["The daemon breaks a rule of HTTP/2 on connection 1"],
    },
    Entry {
        code: "not-decoded",
        twin: "a daemon that speaks HTTP/1.1",
        play: build,
        animal: "a daemon answers in another protocol",
        fault: |play| answer(play, b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        waits_for: None,
        says: &["What the daemon sends on connection 1 is not decoded from here on"],
    },
];
