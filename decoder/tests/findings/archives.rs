//! Archives that do not end, or are held up behind the client; contexts that two clients keep in
//! one place.

use buildtap_decoder::event::{TapEvent, TapId};
use buildtap_decoder::trace::{Confidence, Severity};
use buildtap_proto::fsutil::types::Packet;
use buildtap_proto::fsutil::types::packet::PacketType::PacketFin;
use buildtap_proto::moby::buildkit::v1::BytesMessage;
use prost::Message;

use crate::common::scene::{Scene, build, session};
use crate::common::*;

fn bytes(talk: &mut Talk, contents: Vec<u8>) {
    let message = BytesMessage {
        data: contents.into(),
    };
    talk.message(Daemon, 1, &message.encode_to_vec());
}

#[test]
fn an_archive_that_is_not_ended() {
    let play = |last: Vec<u8>, end: bool| {
        let mut scene = session(&[FILE_SEND]);
        build(&mut scene, &["tar"]);
        scene.on(1, |talk| {
            talk.call(Daemon, 1, FILE_SEND, &[]).accept(Client, 1);
            bytes(talk, vec![7; 4096]);
            // The end of a tar archive, in two pieces.
            bytes(talk, vec![0; 600]);
            bytes(talk, last);
            if end {
                talk.end(Daemon, 1);
            }
        });
        scene
    };
    let mut scene = play(vec![0; 424], false);
    assert_eq!(scene.wait(4).codes(), [""; 0]);
    let finding = scene.wait(2).finding();
    assert_eq!(
        (finding.code, finding.waiting_on, finding.confidence()),
        ("half-close-missing", Some(Daemon), Confidence::Likely)
    );
    assert_eq!(scene.wait(30).finding().confidence(), Confidence::Certain);
    // The daemon may still be making the rest of the archive.
    assert_eq!(play(vec![0, 1], false).wait(60).codes(), [""; 0]);
    assert_eq!(play(vec![0; 423], false).wait(60).codes(), [""; 0]);
}

#[test]
fn an_archive_whose_receiver_does_not_end_the_call() {
    let play = || {
        let mut scene = session(&[FILE_SEND]);
        build(&mut scene, &["docker"]);
        scene.on(1, |talk| {
            talk.call(Daemon, 1, FILE_SEND, &[]).accept(Client, 1);
            bytes(talk, vec![7; 4096]);
            talk.end(Daemon, 1);
        });
        scene
    };
    let mut scene = play();
    // It may still be writing it down.
    assert_eq!(scene.wait(14).codes(), [""; 0]);
    let finding = scene.wait(2).finding();
    assert_eq!(
        (finding.code, finding.waiting_on, finding.confidence()),
        ("call-not-ended", Some(Client), Confidence::Likely)
    );
    assert_eq!(scene.wait(100).finding().confidence(), Confidence::Likely);
    // Or it loads the image into an engine, which takes its time.
    let mut scene = play();
    scene.on(3, |talk| {
        talk.say(
            Client,
            "POST /v1.45/images/load?quiet=1 HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nimage\r\n0\r\n\r\n",
        );
    });
    assert_eq!(scene.wait(60).codes(), [""; 0]);
    scene.on(3, |talk| {
        talk.say(Daemon, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    });
    assert_eq!(scene.wait(14).codes(), [""; 0]);
    assert_eq!(scene.wait(2).codes(), ["call-not-ended"]);
}

#[test]
fn an_image_that_the_engine_does_not_load() {
    let play = |load: bool, blocked: bool| {
        let mut scene = Scene::new();
        scene.on(1, archive_without_a_window);
        if load {
            scene.on(2, |talk| {
                talk.say(
                    Client,
                    "POST /v1.45/images/load?quiet=1 HTTP/1.1\r\nHost: docker\r\n\
                     Transfer-Encoding: chunked\r\n\r\n5\r\nimage\r\n",
                );
            });
        }
        if blocked {
            scene
                .decoder
                .event(scene.now, TapId(2), TapEvent::Blocked { to: Daemon });
        }
        scene.wait(6);
        scene
    };
    let scene = play(true, true);
    let finding = scene.finding();
    assert_eq!(
        (finding.code, finding.waiting_on),
        ("image-load-stalled", Some(Daemon))
    );
    // The engine would read: it is the client that pipes nothing.
    for (load, blocked) in [(true, false), (false, false)] {
        let scene = play(load, blocked);
        let finding = scene.finding();
        assert_eq!(
            (finding.code, finding.waiting_on),
            ("flow-control-stall", Some(Client))
        );
    }
}

/// A session with the shared key `key` that syncs one file as the context.
fn sync(scene: &mut Scene, tap: u64, uuid: &str, file: &str) {
    scene.on(tap, |talk| {
        upgrade(talk, uuid, &[FILE_SYNC]);
        talk.call(Daemon, 1, FILE_SYNC, &[("dir-name", "context")])
            .accept(Client, 1)
            .packet(Client, 1, &stat(file, 0o644, 3))
            .packet(Client, 1, &Packet::default())
            .packet(Daemon, 1, &plain(PacketFin, 0))
            .packet(Client, 1, &plain(PacketFin, 0))
            .status(Client, 1, 0, "");
    });
}

#[test]
fn two_contexts_in_one_place() {
    let mut scene = Scene::new();
    sync(&mut scene, 1, "s1", "a");
    sync(&mut scene, 2, "s2", "b");
    let finding = scene.finding();
    assert_eq!(
        (finding.code, finding.severity),
        ("shared-key-collision", Severity::Info)
    );
    // The same context twice is meant to share it.
    let mut scene = Scene::new();
    sync(&mut scene, 1, "s1", "a");
    sync(&mut scene, 2, "s2", "a");
    assert_eq!(scene.codes(), [""; 0]);
    // One after the other, it is one context that has changed.
    let mut scene = Scene::new();
    sync(&mut scene, 1, "s1", "a");
    scene.half_close(1, Client);
    sync(&mut scene, 2, "s2", "b");
    assert_eq!(scene.codes(), [""; 0]);
}
