//! Whose turn it is on what is open, and the chain from a build to what explains it.

mod common;

use buildtap_decoder::event::{Side, TapEvent, TapId};
use buildtap_decoder::obligation::{Act, Layer, Obligation, State, chain};
use buildtap_decoder::trace::Subject;
use buildtap_proto::fsutil::types::Packet;
use buildtap_proto::fsutil::types::packet::PacketType::{PacketData, PacketFin, PacketReq};
use buildtap_proto::moby::buildkit::v1::{StatusRequest, StatusResponse, Vertex};
use common::scene::{STATUS, Scene, build, session};
use common::*;
use prost::Message;

const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";

/// A build whose local export has announced one file.
fn export() -> Scene {
    let mut scene = session(&[FILE_SEND]);
    build(&mut scene, &["local"]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, FILE_SEND, &[])
            .accept(Client, 1)
            .packet(Daemon, 1, &stat("file", 0o644, 3))
            .packet(Daemon, 1, &Packet::default());
    });
    scene
}

fn sentence(scene: &Scene, subject: Subject) -> String {
    let chain = chain(scene.trace(), subject, scene.now).unwrap();
    chain.sentence().to_owned()
}

fn of_build(scene: &Scene) -> String {
    sentence(scene, Subject::Build(scene.builds()[0].id))
}

fn owed(scene: &Scene) -> Obligation {
    let id = scene.transfers()[0].id;
    let owed = scene.trace().obligation(Subject::Transfer(id), scene.now);
    owed.unwrap()
}

#[test]
fn an_export_step_by_step() {
    let mut scene = export();
    scene.wait(3);
    let now = owed(&scene);
    assert_eq!(
        (now.side, now.act, now.state),
        (Some(Client), Act::Request, State::Waiting)
    );
    assert_eq!(now.action, "send REQ for 1 file, or FIN");
    assert_eq!(
        of_build(&scene),
        "build 1 waits for export 0 (local); export 0 (local) waits for REQ for 1 file, or FIN from the client, \
         for 3.0 s now"
    );
    scene.on(1, |talk| {
        talk.packet(Client, 1, &plain(PacketReq, 0));
    });
    assert_eq!(
        (owed(&scene).side, owed(&scene).act),
        (Some(Daemon), Act::SendContents)
    );
    scene.on(1, |talk| {
        talk.packet(Daemon, 1, &data(0, b"abc".to_vec()));
    });
    assert_eq!(owed(&scene).state, State::Busy, "bytes came a moment ago");
    assert_eq!(
        of_build(&scene),
        "build 1 waits for export 0 (local); export 0 (local) goes on: the daemon must send the rest of file"
    );
    scene.on(1, |talk| {
        talk.packet(Daemon, 1, &plain(PacketData, 0));
    });
    assert_eq!(
        (owed(&scene).side, owed(&scene).act),
        (Some(Client), Act::SayFin)
    );
    scene.on(1, |talk| {
        talk.packet(Client, 1, &plain(PacketFin, 0));
    });
    scene.wait(2);
    assert_eq!(
        of_build(&scene),
        "build 1 waits for export 0 (local); export 0 (local) waits for FIN from the daemon, for 2.0 s now"
    );
    scene.on(1, |talk| {
        talk.packet(Daemon, 1, &plain(PacketFin, 0));
    });
    let subject = Subject::Transfer(scene.transfers()[0].id);
    assert_eq!(scene.trace().obligation(subject, scene.now), None);
}

/// The daemon has used up the windows that the client gave: of the stream, of the connection, or
/// of both.
fn without_a_window(give_stream: bool, give_connection: bool) -> Scene {
    let mut scene = Scene::new();
    scene.on(1, |talk| {
        upgrade(talk, "s1", &[FILE_SEND]);
        talk.0.truncate(2);
        talk.say(Daemon, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        talk.frame(Daemon, 4, 0, 0, &[]).frame(Client, 4, 0, 0, &[]);
    });
    build(&mut scene, &["local"]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, FILE_SEND, &[])
            .accept(Client, 1)
            .packet(Daemon, 1, &stat("file", 0o644, 100_000))
            .packet(Daemon, 1, &Packet::default())
            .packet(Client, 1, &plain(PacketReq, 0));
        let sent: usize = talk
            .0
            .iter()
            .filter(|(from, _)| *from == Daemon)
            .map(|(_, frame)| {
                // DATA only: what headers take does not count.
                if frame[3] == 0 { frame.len() - 9 } else { 0 }
            })
            .sum();
        let whole = grpc(&data(0, vec![7; 100_000]).encode_to_vec());
        for part in whole[..65_535 - sent].chunks(16 << 10) {
            talk.frame(Daemon, 0, 0, 1, part);
        }
        for (stream_id, give) in [(0, give_connection), (1, give_stream)] {
            if give {
                talk.frame(Client, 8, 0, stream_id, &1000u32.to_be_bytes());
            }
        }
    });
    scene.wait(31);
    scene
}

#[test]
fn the_innermost_is_what_explains_the_others() {
    let chain_of = |scene: &Scene| {
        let id = scene.builds()[0].id;
        chain(scene.trace(), Subject::Build(id), scene.now).unwrap()
    };
    for (stream, connection, layer, words) in [
        (
            false,
            false,
            Layer::ConnectionWindow,
            "has read nothing for 31.0 s: its window of connection 1 is 0",
        ),
        (
            true,
            false,
            Layer::ConnectionWindow,
            "has read nothing for 31.0 s: its window of connection 1 is 0",
        ),
        (
            false,
            true,
            Layer::StreamWindow,
            "has taken nothing from call 2 for 31.0 s: its window on stream 1 is 0",
        ),
    ] {
        let scene = without_a_window(stream, connection);
        let chain = chain_of(&scene);
        let innermost = chain.innermost().unwrap();
        assert_eq!((innermost.layer, innermost.side), (layer, Some(Client)));
        assert_eq!(
            chain.sentence(),
            format!(
                "build 1 waits for export 0 (local); export 0 (local) waits for the rest of file from the daemon; the \
                 client {words}"
            )
        );
        let finding = scene.finding();
        assert_eq!(
            (finding.code, finding.waiting_on),
            ("flow-control-stall", Some(Client))
        );
    }
    // With both open it is the daemon's disk.
    let scene = without_a_window(true, true);
    assert_eq!(chain_of(&scene).innermost().unwrap().layer, Layer::Packets);
    assert_eq!(scene.finding().code, "file-end-missing");
    // A socket that is not read explains windows, too.
    let mut scene = without_a_window(false, false);
    scene
        .decoder
        .event(scene.now, TapId(1), TapEvent::Blocked { to: Client });
    scene.wait(9);
    let chain = chain_of(&scene);
    assert_eq!(chain.innermost().unwrap().act, Act::ReadSocket);
    assert!(
        chain
            .sentence()
            .ends_with("the client has read nothing from its socket for 9.0 s"),
        "{}",
        chain.sentence()
    );
}

#[test]
fn what_is_listed_and_what_it_blocks() {
    let scene = without_a_window(false, false);
    let all = scene.trace().obligations(scene.now);
    let (call, transfer) = (scene.transfers()[0].call, scene.transfers()[0].id);
    let of = |subject| all.iter().find(|owed| owed.subject == subject).unwrap();
    let connection = of(Subject::Connection(scene.sessions()[0].connection));
    let build = Subject::Build(scene.builds()[0].id);
    let session = Subject::Session(scene.sessions()[0].id);
    assert_eq!(connection.act, Act::OpenConnectionWindow);
    assert_eq!(
        connection.blocks,
        [
            Subject::Call(call),
            Subject::Transfer(transfer),
            session,
            build
        ]
    );
    assert_eq!(
        of(Subject::Transfer(transfer)).blocks,
        [Subject::Call(call), session, build]
    );
    assert_eq!(of(build).blocks, []);
    assert_eq!(of(session).behind, Some(Subject::Transfer(transfer)));
    // All is closed: nothing is owed.
    let mut scene = export();
    scene.on(2, |talk| {
        talk.status(Daemon, 1, 0, "");
    });
    for tap in [1, 2] {
        scene.close(tap, buildtap_decoder::event::Closed::Finished);
    }
    assert_eq!(scene.trace().obligations(scene.now), []);
}

#[test]
fn a_busy_daemon_is_busy() {
    let mut scene = session(&[FILE_SEND]);
    build(&mut scene, &[]);
    let asked = StatusRequest { r#ref: "r1".into() };
    let step = Vertex {
        digest: "sha256:1".into(),
        name: "RUN sleep 100".into(),
        started: Some(prost_types::Timestamp {
            seconds: 1,
            nanos: 500_000_000,
        }),
        ..Vertex::default()
    };
    let status = StatusResponse {
        vertexes: vec![step],
        ..StatusResponse::default()
    };
    scene.on(2, |talk| {
        talk.call(Client, 3, STATUS, &[])
            .message(Client, 3, &asked.encode_to_vec())
            .end(Client, 3)
            .accept(Daemon, 3)
            .message(Daemon, 3, &status.encode_to_vec());
    });
    scene.wait(60);
    let build = Subject::Build(scene.builds()[0].id);
    let owed = scene.trace().obligation(build, scene.now).unwrap();
    assert_eq!((owed.side, owed.state), (Some(Daemon), State::Busy));
    assert!(
        of_build(&scene).starts_with(
            "build 1 goes on: the daemon must finish the step \"RUN sleep 100\", for 59.5 s now"
        ),
        "{}",
        of_build(&scene)
    );
    assert_eq!(
        sentence(&scene, Subject::Session(scene.sessions()[0].id)),
        "session s1 is idle: nobody owes anything"
    );
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn callbacks_and_sessions_that_are_not_there() {
    let mut scene = session(&[CREDENTIALS]);
    build(&mut scene, &[]);
    scene.on(1, |talk| {
        talk.call(Daemon, 1, CREDENTIALS, &[])
            .message(Daemon, 1, b"\x0a\x08registry");
    });
    scene.wait(6);
    assert_eq!(
        of_build(&scene),
        "build 1 waits for Auth.Credentials of registry; Auth.Credentials of registry waits for the answer from the \
         client, for 6.0 s now"
    );
    let evidence = scene.finding().evidence.last().unwrap();
    assert!(
        evidence.starts_with("build 1 waits for Auth.Credentials"),
        "{evidence}"
    );
    let mut scene = Scene::new();
    build(&mut scene, &[]);
    scene.wait(4);
    assert_eq!(
        of_build(&scene),
        "build 1 waits for the client to open session s1, for 4.0 s now"
    );
}

#[test]
fn a_session_in_a_tunnel_is_held_up_outside() {
    let mut scene = Scene::new();
    scene.on(1, |talk| {
        talk.say(Client, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        talk.frame(Client, 4, 0, 0, &[]).frame(Daemon, 4, 0, 0, &[]);
        let metadata = [("x-docker-expose-session-uuid", "s1")];
        talk.call(Client, 1, "/moby.buildkit.v1.Control/Session", &metadata)
            .accept(Daemon, 1);
        let mut inner = Talk::default();
        inner
            .http2(Daemon)
            .call(Daemon, 1, FILE_SEND, &[])
            .accept(Client, 1)
            .packet(Daemon, 1, &stat("file", 0o644, 100_000))
            .packet(Daemon, 1, &Packet::default())
            .packet(Client, 1, &plain(PacketReq, 0))
            .packet(Daemon, 1, &data(0, vec![0; 100_000]));
        let mut left = 65_535;
        for (from, bytes) in inner.0 {
            let slice = grpc(
                &buildtap_proto::moby::buildkit::v1::BytesMessage { data: bytes.into() }
                    .encode_to_vec(),
            );
            let room = if from == Daemon { left } else { slice.len() };
            let part = &slice[..slice.len().min(room)];
            if from == Daemon {
                left -= part.len();
            }
            for part in part.chunks(16 << 10) {
                talk.frame(from, 0, 0, 1, part);
            }
        }
    });
    scene.wait(7);
    let subject = Subject::Transfer(scene.transfers()[0].id);
    let chain = chain(scene.trace(), subject, scene.now).unwrap();
    let innermost = chain.innermost().unwrap();
    let outer = scene.trace().connections.iter().next().unwrap().id;
    assert_eq!(
        (innermost.side, innermost.subject),
        (Some(Side::Client), Subject::Connection(outer))
    );
    let finding = scene.finding();
    assert_eq!(finding.code, "flow-control-stall");
    assert!(
        finding
            .summary
            .contains("WINDOW_UPDATE on connection 1 outside"),
        "{}",
        finding.summary
    );
}
