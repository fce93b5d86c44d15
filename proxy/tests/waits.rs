//! Waits and what is open, as spans.

#![allow(dead_code, unused_imports)]

#[path = "../../decoder/tests/common/mod.rs"]
mod common;

use buildtap::otlp::span::Span;
use buildtap::otlp::spans::{Options, Spans, for_spans};
use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_decoder::{Decoder, Options as DecoderOptions};
use buildtap_proto::fsutil::types::Packet;
use buildtap_proto::fsutil::types::packet::PacketType::{PacketData, PacketFin, PacketReq};
use buildtap_proto::moby::buildkit::v1::{
    SolveRequest, StatusRequest, StatusResponse, Vertex, VertexLog,
};
use common::*;
use opentelemetry::trace::SpanId;
use prost::Message as _;

const FILE_SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
const STATUS: &str = "/moby.buildkit.v1.Control/Status";

/// A decoder, the spans of what it is told, and the time it is.
struct Stage {
    decoder: Decoder,
    spans: Spans,
    made: Vec<Span>,
    now: Time,
}

impl Stage {
    fn new() -> Self {
        Stage {
            decoder: Decoder::new(for_spans(DecoderOptions::default())),
            spans: Spans::new(Options::default()),
            made: Vec::new(),
            now: Time(1_000_000_000_000),
        }
    }

    fn event(&mut self, tap: u64, event: TapEvent<'_>) {
        self.now.0 += 1_000;
        self.decoder.event(self.now, TapId(tap), event);
        while let Some(update) = self.decoder.take_update() {
            let trace = self.decoder.trace();
            self.spans.update(trace, &update, self.now, &mut self.made);
        }
    }

    fn on(&mut self, tap: u64, say: impl FnOnce(&mut Talk)) -> &mut Self {
        let mut talk = Talk::default();
        say(&mut talk);
        for (from, bytes) in talk.0 {
            self.event(
                tap,
                TapEvent::Chunk {
                    from,
                    bytes: &bytes,
                },
            );
        }
        self
    }

    /// Opens connections 1 and 2: a session, and a build with a local export that uses it.
    fn begin(&mut self) -> &mut Self {
        for tap in [1, 2] {
            self.event(tap, TapEvent::Open(Endpoints::default()));
        }
        self.on(1, |talk| upgrade(talk, "s1", &[FILE_SEND]));
        let solve = SolveRequest {
            r#ref: "r1".to_owned(),
            session: "s1".to_owned(),
            frontend: "dockerfile.v0".to_owned(),
            ..SolveRequest::default()
        };
        self.on(2, |talk| {
            talk.http2(Client)
                .call(Client, 1, SOLVE, &[])
                .message(Client, 1, &solve.encode_to_vec())
                .end(Client, 1)
                .accept(Daemon, 1);
        })
    }

    /// The daemon has announced a file and waits to be asked for it.
    fn export(&mut self) -> &mut Self {
        self.on(1, |talk| {
            talk.call(Daemon, 1, FILE_SEND, &[])
                .accept(Client, 1)
                .packet(Daemon, 1, &stat("file", 0o644, 3))
                .packet(Daemon, 1, &Packet::default());
        })
    }

    fn wait(&mut self, milliseconds: u64) -> &mut Self {
        self.now.0 += milliseconds * 1_000_000;
        self.decoder.tick(self.now);
        let trace = self.decoder.trace();
        self.spans.open(trace, self.now, &mut self.made);
        self
    }

    fn finish(&mut self) {
        self.decoder.finish();
        let trace = self.decoder.trace();
        self.spans.finish(trace, self.now, &mut self.made);
    }

    fn named(&self, name: &str) -> &Span {
        let found = self.made.iter().find(|span| span.data.name == name);
        found.unwrap_or_else(|| panic!("{name} is not among {:#?}", self.names()))
    }

    fn names(&self) -> Vec<&str> {
        self.made.iter().map(|span| &*span.data.name).collect()
    }

    /// The names of a span and of all above it.
    fn path(&self, name: &str) -> Vec<&str> {
        let mut next = Some(self.named(name));
        let mut path = Vec::new();
        while let Some(span) = next {
            path.push(&*span.data.name);
            let parent = span.data.parent_span_id;
            let mut made = self.made.iter();
            next = made.find(|span| span.data.span_context.span_id() == parent);
        }
        path
    }

    fn milliseconds(&self, name: &str) -> u128 {
        let data = &self.named(name).data;
        data.end_time
            .duration_since(data.start_time)
            .unwrap()
            .as_millis()
    }
}

fn attribute(span: &Span, key: &str) -> String {
    let mut attributes = span.data.attributes.iter();
    let found = attributes.find(|it| it.key.as_str() == key);
    found
        .unwrap_or_else(|| panic!("{key}: {span:#?}"))
        .value
        .to_string()
}

#[test]
fn who_kept_whom_waiting() {
    let mut stage = Stage::new();
    stage.begin().export().wait(700);
    stage.on(1, |talk| {
        talk.packet(Client, 1, &plain(PacketReq, 0));
    });
    stage.wait(300).on(1, |talk| {
        talk.packet(Daemon, 1, &data(0, b"abc".to_vec()))
            .packet(Daemon, 1, &plain(PacketData, 0))
            .packet(Client, 1, &plain(PacketFin, 0))
            .packet(Daemon, 1, &plain(PacketFin, 0));
    });
    stage.finish();
    assert_eq!(stage.milliseconds("waiting for client: REQ"), 700);
    assert_eq!(stage.milliseconds("waiting for daemon: DATA"), 300);
    assert_eq!(
        stage.path("waiting for client: REQ"),
        [
            "waiting for client: REQ",
            "FileSend exporter 0",
            "moby.filesync.v1.FileSend/DiffCopy",
            "session",
            "build dockerfile.v0"
        ]
    );
    let waits = stage
        .names()
        .into_iter()
        .filter(|name| name.starts_with("waiting"));
    assert_eq!(waits.count(), 2, "{:?}", stage.names());
}

#[test]
fn a_window_that_was_used_up() {
    let mut stage = Stage::new();
    stage.begin().on(1, |talk| {
        // The client gives a window of 40 bytes for each stream.
        talk.frame(Client, 4, 0, 0, &[0, 4, 0, 0, 0, 40]);
        talk.call(Daemon, 1, FILE_SEND, &[]).accept(Client, 1);
        let whole = grpc(&stat("a-file-with-a-name-that-fills-it", 0o644, 3).encode_to_vec());
        talk.frame(Daemon, 0, 0, 1, &whole[..40]);
    });
    stage.wait(1_500).on(1, |talk| {
        talk.frame(Client, 8, 0, 1, &1_000u32.to_be_bytes());
    });
    stage.finish();
    let name = "waiting for client: WINDOW_UPDATE";
    assert_eq!(stage.milliseconds(name), 1_500);
    let stall = stage.named(name);
    assert_eq!(attribute(stall, "buildkit.stall"), "true");
    assert_eq!(attribute(stall, "http2.window.after"), "1000");
    assert_eq!(attribute(stall, "http2.window.level"), "stream");
    assert_eq!(stage.path(name)[1], "FileSend exporter 0");
}

#[test]
fn a_socket_that_was_not_read() {
    let mut stage = Stage::new();
    stage.begin().event(1, TapEvent::Blocked { to: Client });
    stage.wait(400).event(1, TapEvent::Unblocked { to: Client });
    stage.finish();
    let name = "waiting for client: reading from its socket";
    assert_eq!(stage.milliseconds(name), 400);
    assert_eq!(stage.path(name)[1], "connection (POST /session)");
}

#[test]
fn slices_of_what_is_open() {
    let mut stage = Stage::new();
    stage.begin().export();
    stage.wait(1_900);
    assert_eq!(stage.names(), ["POST /session"], "it is too early");
    stage.wait(200);
    let waits = "waiting for client: REQ for 1 file, or FIN";
    let name = format!("still {waits} (FileSend exporter 0)");
    let path = stage.path(&name);
    assert_eq!(path.len(), 4, "{path:?}");
    assert_eq!(path[1], format!("still {waits} (FileSend.DiffCopy)"));
    assert!(path[2].ends_with(" (session)"), "{path:?}");
    assert!(path[3].ends_with(" (build)"), "{path:?}");
    assert_eq!(stage.milliseconds(&name) / 100, 21);
    // The next ones begin where these ended.
    let before = stage.made.len();
    stage.wait(5_000);
    assert_eq!(stage.made.len(), before);
    stage.wait(5_000);
    let again = stage.made[before..]
        .iter()
        .find(|span| span.data.name == name);
    let again = &again.unwrap().data;
    assert_eq!(again.start_time, stage.named(&name).data.end_time);
    stage.finish();
    // Then nothing is without a parent but the build.
    for span in &stage.made {
        let parent = span.data.parent_span_id;
        let mut made = stage.made.iter();
        let is_there = made.any(|span| span.data.span_context.span_id() == parent);
        assert!(is_there || parent == SpanId::INVALID, "{span:#?}");
    }
    let transfer = stage.named("FileSend exporter 0");
    assert_eq!(attribute(transfer, "buildkit.wait.side"), "client");
    let why = attribute(transfer, "buildkit.wait.why");
    assert!(why.contains("REQ for 1 file"), "{why}");
}

#[test]
fn what_a_step_prints_is_in_its_span() {
    let mut stage = Stage::new();
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let vertex = Vertex {
        digest: "sha256:1".to_owned(),
        name: "[1/1] RUN make".to_owned(),
        started: at(1_000),
        completed: at(1_002),
        ..Vertex::default()
    };
    let log = VertexLog {
        vertex: "sha256:1".to_owned(),
        timestamp: at(1_001),
        stream: 2,
        msg: b"password=hunter2 failed\n".to_vec().into(),
    };
    let status = StatusResponse {
        vertexes: vec![vertex],
        logs: vec![log],
        ..StatusResponse::default()
    };
    let asked = StatusRequest {
        r#ref: "r1".to_owned(),
    };
    stage.begin().on(2, |talk| {
        talk.call(Client, 3, STATUS, &[])
            .message(Client, 3, &asked.encode_to_vec())
            .accept(Daemon, 3)
            .message(Daemon, 3, &status.encode_to_vec())
            .status(Daemon, 3, 0, "");
        talk.status(Daemon, 1, 0, "");
    });
    stage.finish();
    let step = stage.named("[1/1] RUN make");
    assert_eq!(step.data.events.len(), 1);
    let event = &step.data.events[0];
    assert_eq!(event.name, "log");
    let said = event.attributes.iter().map(|it| it.value.to_string());
    assert_eq!(said.collect::<Vec<_>>(), ["2", "password=*** failed"]);
    assert_eq!(stage.path("[1/1] RUN make")[1], "build dockerfile.v0");
}

#[test]
fn only_the_whole_of_a_call_is_one() {
    let mut stage = Stage::new();
    stage.begin().export();
    stage.event(
        1,
        TapEvent::Close {
            how: Closed::Finished,
        },
    );
    stage.event(
        2,
        TapEvent::Close {
            how: Closed::Finished,
        },
    );
    stage.finish();
    let twice = stage
        .names()
        .iter()
        .filter(|name| **name == "session")
        .count();
    assert_eq!(twice, 1, "{:?}", stage.names());
    let _ = Side::BOTH;
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A request that comes with a context, on a connection that stays open.
fn ping(stage: &mut Stage, is_answered: bool) {
    stage.event(7, TapEvent::Open(Endpoints::default()));
    stage.on(7, |talk| {
        talk.say(
            Client,
            format!("GET /info HTTP/1.1\r\nHost: d\r\nTraceparent: 00-{TRACE}-{CALLER}-01\r\n\r\n"),
        );
        if is_answered {
            talk.say(Daemon, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
}

#[test]
fn a_client_that_asks_for_no_build_tells_nobody_of_its_spans() {
    let mut stage = Stage::new();
    ping(&mut stage, true);
    assert!(stage.made.is_empty(), "a build may be asked for");
    stage.event(
        7,
        TapEvent::Close {
            how: Closed::Finished,
        },
    );
    stage.finish();
    assert_eq!(
        stage.path("GET /info"),
        ["GET /info", "connection (HTTP/1.1)"]
    );
    let span = stage.named("GET /info");
    assert_eq!(span.data.span_context.trace_id().to_string(), TRACE);
    let link = &span.data.links.links[0].span_context;
    assert_eq!(link.span_id().to_string(), CALLER);
}

#[test]
fn what_a_client_asks_for_before_its_build_is_below_its_spans() {
    let mut stage = Stage::new();
    ping(&mut stage, true);
    stage.event(2, TapEvent::Open(Endpoints::default()));
    let solve = SolveRequest {
        r#ref: "r1".to_owned(),
        frontend: "dockerfile.v0".to_owned(),
        ..SolveRequest::default()
    };
    let context = format!("00-{TRACE}-53995c3f42cd8ad8-01");
    stage.on(2, |talk| {
        talk.http2(Client)
            .call(Client, 1, SOLVE, &[("traceparent", &context)])
            .message(Client, 1, &solve.encode_to_vec());
    });
    // At once, and not when its connection ends.
    let span = stage.named("GET /info");
    assert_eq!(span.data.parent_span_id.to_string(), CALLER);
    assert!(span.data.links.links.is_empty());
}

#[test]
fn what_hangs_outside_of_a_build_is_seen_while_it_does() {
    let mut stage = Stage::new();
    ping(&mut stage, false);
    stage.wait(3_000);
    let slices = stage.names();
    let slice = slices.iter().find(|name| name.starts_with("still "));
    let slice = stage.named(slice.expect("a slice"));
    assert_eq!(slice.data.span_context.trace_id().to_string(), TRACE);
}
