//! A daemon that is gone, or is another one.

use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId};
use buildtap_decoder::trace::Confidence;

use crate::common::scene::{Scene, build, session};
use crate::common::*;

fn reset(scene: &mut Scene, tap: u64, by: Side) {
    scene.close(tap, Closed::Reset { by: Some(by) });
}

#[test]
fn a_daemon_that_died() {
    for order in [[1, 2], [2, 1]] {
        let mut scene = session(&[FILE_SYNC]);
        build(&mut scene, &[]);
        scene.wait(3);
        for tap in order {
            reset(&mut scene, tap, Daemon);
        }
        let found = scene.findings();
        let died = found.iter().find(|found| found.code == "daemon-died");
        let died = died.unwrap_or_else(|| panic!("{order:?}: {:?}", scene.codes()));
        assert!(
            died.summary.contains("of build 1 at once"),
            "{}",
            died.summary
        );
    }
    let play = |end: fn(&mut Scene)| {
        let mut scene = session(&[FILE_SYNC]);
        build(&mut scene, &[]);
        scene.wait(3);
        end(&mut scene);
        let codes = scene.codes();
        assert!(!codes.contains(&"daemon-died"), "{codes:?}");
        codes
    };
    // The session lives: the connection of the build was cut.
    assert_eq!(play(|scene| reset(scene, 2, Daemon)), ["build-failed"]);
    // The client goes.
    play(|scene| {
        reset(scene, 1, Client);
        reset(scene, 2, Client);
    });
    // The build was answered first.
    let codes = play(|scene| {
        scene.on(2, |talk| {
            talk.status(Daemon, 1, 0, "");
        });
        reset(scene, 1, Daemon);
        reset(scene, 2, Daemon);
    });
    assert_eq!(codes, [""; 0]);
    // It says that it goes.
    let codes = play(|scene| {
        for tap in [1, 2] {
            scene.on(tap, |talk| {
                let payload = [&[0; 8], b"graceful_stop".as_slice()].concat();
                talk.frame(Daemon, 7, 0, 0, &payload);
            });
        }
        reset(scene, 1, Daemon);
        reset(scene, 2, Daemon);
    });
    assert!(codes.contains(&"goaway"), "{codes:?}");
}

#[test]
fn a_session_that_another_daemon_has() {
    let error = "no active session for s1: context deadline exceeded";
    let play = |address: &str, closed: bool| {
        let mut scene = Scene::new();
        let endpoints = Endpoints {
            daemon: address.into(),
            ..Endpoints::default()
        };
        scene
            .decoder
            .event(scene.now, TapId(7), TapEvent::Open(endpoints));
        let mut talk = Talk::default();
        upgrade(&mut talk, "s1", &[FILE_SYNC]);
        for (from, bytes) in &talk.0 {
            scene.now.0 += 1;
            let chunk = TapEvent::Chunk { from: *from, bytes };
            scene.decoder.event(scene.now, TapId(7), chunk);
        }
        build(&mut scene, &[]);
        scene.wait(5);
        if closed {
            scene.close(7, Closed::Finished);
        }
        scene.on(2, |talk| {
            talk.status(Daemon, 1, 2, error);
        });
        scene
    };
    let scene = play("10.0.0.2:1234", false);
    let finding = scene.findings()[0];
    assert_eq!(
        (finding.code, finding.confidence()),
        ("session-on-other-daemon", Confidence::Certain)
    );
    assert!(
        finding.evidence[1].contains("10.0.0.2:1234"),
        "{:?}",
        finding.evidence
    );
    // Behind one address may be several.
    let scene = play("unix:///run/docker.sock", false);
    assert_eq!(scene.findings()[0].confidence(), Confidence::Likely);
    let codes = play("10.0.0.2:1234", true).codes();
    assert!(!codes.contains(&"session-on-other-daemon"), "{codes:?}");
}
