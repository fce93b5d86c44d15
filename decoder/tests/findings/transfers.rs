//! Transfers of files and archives.

use buildtap_decoder::event::{Closed, Side, TapEvent, TapId};
use buildtap_proto::fsutil::types::Packet;
use buildtap_proto::fsutil::types::packet::PacketType::{
    PacketData, PacketErr, PacketFin, PacketReq,
};
use buildtap_proto::moby::buildkit::v1::BytesMessage;
use prost::Message;

use crate::HEALTH;
use crate::common::scene::{Scene, build, session};
use crate::common::*;

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

/// A hard link.
fn link(path: &str, target: &str) -> Packet {
    let mut packet = stat(path, 0o644, 0);
    packet.stat.as_mut().unwrap().linkname = target.into();
    packet
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
    let cases: [(Part, &str, Side, &str); 6] = [
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
        (
            |talk| {
                listing(talk);
                file(talk, 1, b"abc");
                file(talk, 2, b"abc");
            },
            "fin-missing",
            Client,
            "say FIN: every file has arrived",
        ),
        (
            // Nothing but a directory: that the client asks for nothing is right.
            |talk| {
                talk.packet(Daemon, 1, &stat("a", 0o755 | 1 << 31, 0))
                    .packet(Daemon, 1, &Packet::default());
            },
            "fin-missing",
            Client,
            "say FIN: there is no file to ask for",
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
        finding.summary.contains("WINDOW_UPDATE on connection 1"),
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
    // It does not get past the first message.
    let refuse = |message: &str| {
        let mut scene = export(&["tar"], &[]);
        scene.on(1, |talk| {
            bytes_message(talk, Daemon, b"tar");
            talk.status(Client, 1, 13, message);
        });
        scene.codes()
    };
    assert_eq!(
        refuse("failed to decode Protobuf message: invalid wire type"),
        ["bytes-read-as-packets"]
    );
    assert_eq!(refuse("no space left on device"), ["call-failed"]);
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
    let cases: [(&str, Part); 11] = [
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
        ("stat-order-violation", |talk| {
            talk.packet(Daemon, 1, &stat("a", 1 << 31 | 0o755, 0))
                .packet(Daemon, 1, &stat("a/b/c", 0o644, 3));
        }),
        ("stat-order-violation-link", |talk| {
            talk.packet(Daemon, 1, &stat("a", 0o644, 3));
            talk.packet(Daemon, 1, &link("b", "c"));
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
            .packet(Daemon, 1, &stat("a/c", 1 << 31 | 0o755, 0))
            .packet(Daemon, 1, &stat("a/c/d", 0o644, 3))
            .packet(Daemon, 1, &stat("a/e", 0o644, 3))
            .packet(Daemon, 1, &link("a/f", "a/c/d"))
            .packet(Daemon, 1, &link("a/g", "a/c/d"))
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
