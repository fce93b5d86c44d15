//! What gRPC and BuildKit put on top of streams: compression, statuses in all their forms, and
//! what tells the carriers of files apart.

mod common;

use std::io::Write as _;

use base64::Engine as _;
use buildtap_decoder::event::Closed;
use buildtap_decoder::trace::{
    BuildState, CallState, Content, Direction, Flavour, TransferState, Update,
};
use buildtap_proto::fsutil::types::Packet;
use buildtap_proto::fsutil::types::packet::PacketType::PacketFin;
use buildtap_proto::moby::buildkit::v1::{
    BytesMessage, StatusRequest, StatusResponse, Vertex, VertexLog,
};
use common::scene::{SOLVE, STATUS, Scene, build, session, solve};
use common::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

const GZIP: (&str, &str) = ("grpc-encoding", "gzip");

/// A message as it stands on the wire when it is compressed.
fn compressed(body: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(body).unwrap();
    let mut framed = grpc(&gzip.finish().unwrap());
    framed[0] = 1;
    framed
}

#[test]
fn compressed_messages() {
    let mut scene = session(&[]);
    let status = StatusResponse {
        vertexes: vec![Vertex {
            digest: "sha256:1".into(),
            name: "[1/1] FROM scratch".into(),
            ..Vertex::default()
        }],
        logs: vec![VertexLog {
            vertex: "sha256:1".into(),
            msg: vec![b'x'; 5000].into(),
            ..VertexLog::default()
        }],
        ..StatusResponse::default()
    };
    let asked = StatusRequest { r#ref: "r1".into() };
    let whole = compressed(&status.encode_to_vec());
    scene.on(2, |talk| {
        talk.http2(Client)
            .call(Client, 1, SOLVE, &[GZIP])
            .frame(Client, 0, 1, 1, &compressed(&solve("r1", &["local"])))
            .call(Client, 3, STATUS, &[GZIP])
            // A compressed stream may carry messages that are not.
            .message(Client, 3, &asked.encode_to_vec())
            .headers(
                Daemon,
                3,
                &[
                    (":status", "200"),
                    ("content-type", "application/grpc"),
                    GZIP,
                ],
                false,
            );
        let (first, rest) = whole.split_at(9);
        talk.frame(Daemon, 0, 0, 3, first)
            .frame(Daemon, 0, 0, 3, rest);
    });
    let builds = scene.builds();
    assert_eq!(builds[0].reference.as_deref(), Some("r1"));
    assert_eq!(builds[0].exporters[0].kind, "local");
    assert_eq!(builds[0].vertices[0].name, "[1/1] FROM scratch");
    assert_eq!(builds[0].log_bytes, 5000);
    // What is counted is what stands on the wire; what is shown is the message.
    let length = whole.len() as u64 - 5;
    assert!(length < 200);
    assert_eq!(scene.calls()[1].response.bytes, length);
    let shown = scene.updates().into_iter().find_map(|update| match update {
        Update::Message(message) if message.from == Daemon => Some(*message),
        _ => None,
    });
    let shown = shown.unwrap();
    assert_eq!(shown.length, length);
    let Content::Protobuf { body, cut } = shown.content else {
        panic!("{shown:?}");
    };
    assert_eq!((&body[..], cut), (&status.encode_to_vec()[..], false));
}

#[test]
fn compression_that_cannot_be_undone() {
    // Damaged, or in an encoding that nobody named.
    let mut damaged = compressed(&solve("r1", &[]));
    damaged.truncate(12);
    damaged[4] = 7;
    for (metadata, bytes) in [
        (vec![GZIP], damaged),
        (vec![("grpc-encoding", "zstd")], compressed(b"x")),
        (vec![], compressed(&solve("r1", &[]))),
    ] {
        let mut scene = Scene::new();
        scene.on(1, |talk| {
            talk.http2(Client)
                .call(Client, 1, SOLVE, &metadata)
                .frame(Client, 0, 0, 1, &bytes)
                .message(Client, 1, &solve("r2", &[]));
        });
        // The next message is read all the same.
        let references: Vec<_> = scene
            .builds()
            .iter()
            .map(|build| build.reference.clone().unwrap())
            .collect();
        assert_eq!(references, ["r2"], "{metadata:?}");
        assert_eq!(scene.calls()[0].request.messages, 2);
    }
}

/// A call of the client on a control connection, answered with these headers.
fn ended(path: &str, trailers: &[(&str, &str)]) -> Scene {
    let mut scene = Scene::new();
    scene.on(1, |talk| {
        talk.http2(Client)
            .call(Client, 1, path, &[])
            .message(Client, 1, b"")
            .end(Client, 1)
            .headers(Daemon, 1, trailers, true);
    });
    scene
}

#[test]
fn trailers_only() {
    let scene = ended(
        "/a.B/C",
        &[
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", "5"),
            ("grpc-message", "not here"),
        ],
    );
    let call = scene.calls()[0];
    let status = call.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (5, "not here"));
    assert_eq!(
        (call.state, call.response.messages),
        (CallState::Complete, 0)
    );
    assert!(call.end.is_some() && call.answered.is_some());
}

#[test]
fn messages_of_a_status() {
    let message = |message: &str| {
        let scene = ended("/a.B/C", &[("grpc-status", "2"), ("grpc-message", message)]);
        scene.calls()[0].status.clone().unwrap().message
    };
    assert_eq!(message("50%25 of%0Ait: %C3%BC"), "50% of\nit: ü");
    assert_eq!(
        message("what is no escape: 5% %zz %e"),
        "what is no escape: 5% %zz %e"
    );
    assert_eq!(message(""), "");
    // Not UTF-8 when decoded.
    assert_eq!(message("%FF!"), "\u{fffd}!");
}

#[test]
fn details_of_a_status() {
    let mut any = vec![0x0a, 40];
    any.extend(b"type.googleapis.com/google.rpc.DebugInfo");
    // DebugInfo.detail.
    any.extend(b"\x12\x09\x12\x07details");
    let mut status = vec![0x08, 2, 0x12, 5];
    status.extend(b"oops!");
    status.extend([0x1a, any.len() as u8]);
    status.extend(&any);
    for engine in [
        base64::engine::general_purpose::STANDARD,
        base64::engine::general_purpose::STANDARD_NO_PAD,
    ] {
        let scene = ended(
            "/a.B/C",
            &[
                ("grpc-status", "2"),
                ("grpc-message", "oops!"),
                ("grpc-status-details-bin", &engine.encode(&status)),
            ],
        );
        let call = scene.calls()[0];
        let details = &call.status.as_ref().unwrap().details;
        assert_eq!(details.len(), 1, "{details:?}");
        assert!(details[0].contains("google.rpc.DebugInfo"), "{details:?}");
        // The status is not told twice.
        assert!(call.trailers.is_empty(), "{:?}", call.trailers);
    }
    let scene = ended(
        "/a.B/C",
        &[("grpc-status", "2"), ("grpc-status-details-bin", "~~~")],
    );
    assert_eq!(scene.calls()[0].status.as_ref().unwrap().code, 2);
}

#[test]
fn http_in_place_of_grpc() {
    for (http, code) in [("404", 12), ("401", 16), ("503", 14), ("418", 2)] {
        let scene = ended(
            "/a.B/C",
            &[(":status", http), ("content-type", "text/html")],
        );
        let call = scene.calls()[0];
        let status = call.status.as_ref().unwrap();
        assert_eq!(
            (status.code, status.message.as_str()),
            (code, format!("HTTP status {http}").as_str())
        );
    }
    // A body comes before the end; what is in it is no message.
    let mut scene = Scene::new();
    scene.on(1, |talk| {
        talk.http2(Client)
            .call(Client, 1, SOLVE, &[])
            .message(Client, 1, &solve("r1", &[]))
            .end(Client, 1)
            .headers(
                Daemon,
                1,
                &[(":status", "502"), ("content-type", "text/html")],
                false,
            )
            .frame(Daemon, 0, 1, 1, b"<html>bad gateway</html>");
    });
    let call = scene.calls()[0];
    assert_eq!(call.status.as_ref().map(|status| status.code), Some(14));
    assert_eq!(call.response.messages, 0);
    assert_eq!(scene.codes(), ["build-failed"]);
    let build = scene.builds()[0];
    assert_eq!(build.state, BuildState::Failed);
    assert!(build.error.as_ref().unwrap().contains("502"), "{build:?}");
    // The end without any status at all.
    let scene = ended(
        "/a.B/C",
        &[(":status", "200"), ("content-type", "application/grpc")],
    );
    assert_eq!(scene.calls()[0].status, None);
    assert_eq!(scene.calls()[0].state, CallState::Complete);
}

#[test]
fn interim_answers_mean_nothing() {
    let mut scene = Scene::new();
    scene.on(1, |talk| {
        talk.http2(Client)
            .call(Client, 1, "/a.B/C", &[])
            .headers(Daemon, 1, &[(":status", "103")], false)
            .accept(Daemon, 1)
            .message(Daemon, 1, b"x")
            .status(Daemon, 1, 0, "");
    });
    let call = scene.calls()[0];
    assert_eq!(call.status.as_ref().map(|status| status.code), Some(0));
    assert_eq!(call.response.messages, 1);
    assert!(
        call.response_metadata
            .contains(&("content-type".into(), "application/grpc".into()))
    );
}

#[test]
fn a_control_session_that_is_refused() {
    let mut scene = Scene::new();
    let offer = [("x-docker-expose-session-uuid", "s1")];
    scene.on(1, |talk| {
        talk.http2(Client)
            .call(Client, 1, "/moby.buildkit.v1.Control/Session", &offer)
            .headers(
                Daemon,
                1,
                &[
                    (":status", "200"),
                    ("grpc-status", "12"),
                    ("grpc-message", "unknown method Session"),
                ],
                true,
            );
    });
    let session = scene.sessions()[0];
    assert_eq!(session.accepted, None);
    assert_eq!(
        session.refused.as_deref(),
        Some("UNIMPLEMENTED: unknown method Session")
    );
    assert_eq!(scene.codes(), ["session-refused"]);
}

fn bytes_message(contents: &[u8]) -> Vec<u8> {
    BytesMessage {
        data: contents.to_vec().into(),
    }
    .encode_to_vec()
}

/// A build with these outputs, and a FileSend call with this metadata on stream 1.
fn export(outputs: &[&str], metadata: &[(&str, &str)]) -> Scene {
    let mut scene = session(&[FILE_SEND]);
    build(&mut scene, outputs);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, FILE_SEND, metadata).accept(Client, 1);
    });
    scene
}

#[test]
fn two_outputs_of_one_build() {
    let id = |id| [("buildkit-attachable-exporter-id", id)];
    let mut scene = export(&["tar", "local"], &id("1"));
    scene.on(1, |talk| {
        talk.call(Daemon, 3, FILE_SEND, &id("0")).accept(Client, 3);
        talk.packet(Daemon, 1, &stat("a", 0o644, 0))
            .message(Daemon, 3, &bytes_message(b"one"))
            .packet(Daemon, 1, &Packet::default())
            .message(Daemon, 3, &bytes_message(b"two"))
            .packet(Client, 1, &plain(PacketFin, 0))
            .end(Daemon, 3)
            .packet(Daemon, 1, &plain(PacketFin, 0))
            .status(Client, 3, 0, "");
    });
    let transfers = scene.transfers();
    let told: Vec<_> = transfers
        .iter()
        .map(|transfer| {
            (
                transfer.name.as_str(),
                transfer.exporter.as_deref(),
                transfer.flavour,
                transfer.state,
                transfer.bytes,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                "1",
                Some("local"),
                Flavour::Packet,
                TransferState::Complete,
                0
            ),
            ("0", Some("tar"), Flavour::Bytes, TransferState::Complete, 6),
        ]
    );
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn the_output_of_a_build_that_was_not_seen() {
    let first = |metadata: &[(&str, &str)], message: &[u8]| {
        let mut scene = session(&[FILE_SEND]);
        scene.on(1, |talk| {
            talk.call(Daemon, 1, FILE_SEND, metadata).accept(Client, 1);
        });
        let before = scene.transfers()[0].flavour;
        scene.on(1, |talk| {
            talk.message(Daemon, 1, message);
        });
        let transfer = scene.transfers()[0];
        assert_eq!(transfer.exporter, None);
        (before, transfer.flavour, transfer.evidence.clone())
    };
    use Flavour::{Bytes, Packet as Packets, Unknown};
    let packet = stat("a", 0o644, 0).encode_to_vec();
    let (before, after, why) = first(&[], &packet);
    assert_eq!((before, after), (Unknown, Packets));
    assert!(why[0].contains("begins with field 2"), "{why:?}");
    let (before, after, _) = first(&[], &bytes_message(b"tar"));
    assert_eq!((before, after), (Unknown, Bytes));
    let (before, after, why) = first(&[], b"");
    assert_eq!((before, after), (Unknown, Packets));
    assert!(why[0].contains("empty"), "{why:?}");
    // Neither of the two.
    let (before, after, why) = first(&[], b"\x7a\x01x");
    assert_eq!((before, after, why.len()), (Unknown, Unknown, 0));

    // Headers tell before the first byte does.
    let config = [("exporter-md-containerimage.config.digest", "sha256:1")];
    let (before, after, why) = first(&config, &bytes_message(b"oci"));
    assert_eq!((before, after, why.len()), (Bytes, Bytes, 2));
    let platforms = [("buildkit-exporter-multi-platform", "1")];
    let (before, after, why) = first(&platforms, &packet);
    assert_eq!((before, after, why.len()), (Packets, Packets, 2));
    // And are overruled by it.
    let (before, after, why) = first(&config, &packet);
    assert_eq!((before, after), (Bytes, Packets));
    assert!(why[0].contains("begins with field 2"), "{why:?}");
}

#[test]
fn a_sender_that_ends_without_a_word() {
    let mut scene = session(&[FILE_SEND]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, FILE_SEND, &[])
            .accept(Client, 1)
            .end(Daemon, 1)
            .status(Client, 1, 0, "");
    });
    let transfer = scene.transfers()[0];
    assert_eq!(
        (transfer.flavour, transfer.state),
        (Flavour::Bytes, TransferState::Complete)
    );
}

#[test]
fn an_archive_that_the_client_has_already() {
    let mut scene = export(&["oci"], &[]);
    scene.on(1, |talk| {
        talk.status(Client, 1, 6, "already exists");
    });
    assert_eq!(scene.transfers()[0].state, TransferState::Complete);
    let mut scene = export(&["oci"], &[]);
    scene.on(1, |talk| {
        talk.message(Daemon, 1, &bytes_message(b"part"));
    });
    scene.half_close(1, Client).close(1, Closed::Finished);
    let transfer = scene.transfers()[0];
    assert_eq!((transfer.state, transfer.bytes), (TransferState::Failed, 4));
}

#[test]
fn an_upload() {
    let pull = "/moby.upload.v1.Upload/Pull";
    let mut scene = session(&[pull]);
    let metadata = [("urlpath", "/abc"), ("urlhost", "buildkit-session")];
    scene.on(1, |talk| {
        talk.call(Daemon, 1, pull, &metadata).accept(Client, 1);
        for part in [b"a context".as_slice(), b"", b" in a tar"] {
            talk.message(Client, 1, &bytes_message(part));
        }
        talk.status(Client, 1, 0, "");
    });
    let transfer = scene.transfers()[0];
    assert_eq!(
        (transfer.service.as_str(), transfer.name.as_str()),
        ("Upload", "/abc")
    );
    assert_eq!(
        (transfer.direction, transfer.flavour),
        (Direction::ToDaemon, Flavour::Bytes)
    );
    assert_eq!(
        (transfer.state, transfer.bytes),
        (TransferState::Complete, 18)
    );
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn the_history_of_builds_is_no_build() {
    let listen = "/moby.buildkit.v1.Control/ListenBuildHistory";
    let mut scene = Scene::new();
    scene.on(1, |talk| {
        talk.http2(Client)
            .call(Client, 1, listen, &[])
            .message(Client, 1, b"\x12\x02r1")
            .end(Client, 1)
            .accept(Daemon, 1)
            .message(Daemon, 1, b"\x08\x01\x12\x04\x0a\x02r1")
            .status(Daemon, 1, 0, "");
    });
    assert!(scene.builds().is_empty());
    assert_eq!(scene.calls()[0].response.messages, 1);
}

#[test]
fn an_unknown_service_is_counted_and_shown() {
    let mut scene = session(&[]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, "/acme.Weird/Do", &[("x", "y")])
            .message(Daemon, 1, b"\x0a\x03abc")
            .accept(Client, 1)
            .message(Client, 1, b"")
            .status(Client, 1, 0, "");
    });
    let call = scene.calls()[0];
    assert_eq!(
        (call.service.as_str(), call.method.as_str()),
        ("acme.Weird", "Do")
    );
    assert_eq!(call.header("x"), Some("y"));
    assert_eq!((call.request.bytes, call.response.messages), (5, 1));
    assert!(call.transfer.is_none() && scene.codes().is_empty());
}
