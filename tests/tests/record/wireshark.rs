//! What Debian's tshark makes of a recording.

use std::process::Command;

use buildtap_fixtures::peers::scenario::{self, Scene};
use buildtap_fixtures::peers::script::{ClientScript, DaemonScript, Mode, Windows};
use buildtap_fixtures::peers::tree::Tree;
use buildtap_tests::process::Process;
use buildtap_tests::wireshark::{TSHARK, is_there};
use tempfile::TempDir;

use crate::scene::Stage;

/// The fields of the packets that pass a filter, one line for each packet.
fn tshark(home: &TempDir, arguments: &[&str], filter: &str, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new(TSHARK);
    command
        .current_dir(home.path())
        .env("HOME", home.path())
        .args(["-r", "build.pcapng"])
        .args([
            "-o",
            "tcp.check_checksum:TRUE",
            "-o",
            "ip.check_checksum:TRUE",
        ])
        .args(arguments);
    if !filter.is_empty() {
        command.args(["-Y", filter]);
    }
    command.args(["-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let finished = Process::run(&mut command).success();
    finished.stdout.lines().map(str::to_owned).collect()
}

fn record(scene: Scene) -> TempDir {
    let stage = Stage::set(scene, "build.pcapng", &[]);
    let ending = stage.play();
    let (home, finished) = stage.finish();
    assert!(ending.contains("is done"), "{ending}\n{finished}");
    home
}

/// Checksums are right, on packets of which there are enough.
pub(crate) fn assert_right(home: &TempDir, arguments: &[&str]) {
    let all = tshark(home, arguments, "", &["frame.number"]).len();
    assert!(all > 50, "{all}");
    let good = "tcp.checksum.status == 1 && ip.checksum.status == 1";
    assert_eq!(tshark(home, arguments, good, &["frame.number"]).len(), all);
}

/// Nothing is wrong with packets, of which there are enough.
fn assert_clean(home: &TempDir, arguments: &[&str]) {
    assert_right(home, arguments);
    // The packet that says that buildtap watched no longer is one acknowledgement too many.
    let bad = "_ws.malformed || (tcp.analysis.flags && !tcp.analysis.duplicate_ack) || \
               _ws.expert.severity == \"Error\"";
    let found = tshark(
        home,
        arguments,
        bad,
        &["frame.number", "_ws.expert.message", "_ws.col.Info"],
    );
    assert!(found.is_empty(), "{found:#?}");
}

fn protocols(home: &TempDir, arguments: &[&str]) -> String {
    tshark(home, arguments, "", &["frame.protocols"]).join("\n")
}

#[test]
fn an_upgraded_session_is_dissected() {
    if !is_there() {
        return;
    }
    let home = record(scenario::demo_build().by(Mode::Engine));
    // Nothing has to be decoded "as".
    let arguments = [];
    assert_clean(&home, &arguments);
    let protocols = protocols(&home, &arguments);
    for layers in ["raw:ip:tcp:http\n", "tcp:http:http2", ":http2:grpc"] {
        assert!(protocols.contains(layers), "{layers}\n{protocols}");
    }
    let upgrades = tshark(
        &home,
        &arguments,
        "http.upgrade == \"h2c\"",
        &["http.request.uri"],
    );
    assert!(upgrades.iter().any(|uri| uri == "/session"), "{upgrades:?}");
    let paths = tshark(
        &home,
        &arguments,
        "http2.headers.path",
        &["http2.headers.path"],
    );
    for path in [
        "/moby.filesync.v1.FileSend/DiffCopy",
        "/moby.filesync.v1.FileSync/DiffCopy",
    ] {
        assert!(paths.iter().any(|found| found.contains(path)), "{paths:?}");
    }
    let comments = tshark(&home, &arguments, "frame.comment", &["frame.comment"]);
    assert!(
        comments.iter().any(|text| text.contains("daemon.sock")),
        "{comments:?}"
    );
}

#[test]
fn a_session_without_upgrade_is_dissected() {
    if !is_there() {
        return;
    }
    let home = record(scenario::demo_build().by(Mode::Nested));
    let arguments = ["-d", "tcp.port==2375,http2"];
    assert_clean(&home, &arguments);
    // Headers that come without a message are not gRPC for tshark.
    let path = "http2.headers.path";
    let paths = tshark(&home, &arguments, path, &[path]).join("\n");
    assert!(paths.contains("/moby.buildkit.v1.Control/Solve"), "{paths}");
}

/// tshark dissects no more than some 250 HTTP/2 frames of one segment, and loses the rest of the connection with them:
/// see `capture/write/cut.rs`.
#[test]
fn a_burst_of_small_messages_is_dissected() {
    if !is_there() {
        return;
    }
    let mut tree = Tree::new();
    for n in 0..2000 {
        tree = tree.text(&format!("f{n}"), "x");
    }
    let scene = Scene {
        client: ClientScript {
            dockerfile: Tree::new().text("Dockerfile", "FROM scratch\nCOPY . /\n"),
            context: tree.clone(),
            windows: Windows::BULK,
            ..ClientScript::default()
        },
        daemon: DaemonScript {
            export: tree,
            windows: Windows::BULK,
            ..DaemonScript::default()
        },
    };
    let home = record(scene);
    let arguments = ["-d", "tcp.port==2375,http"];
    assert_clean(&home, &arguments);
    let messages = tshark(&home, &arguments, "grpc", &["grpc.message_length"]);
    let count = messages.iter().flat_map(|line| line.split(',')).count();
    // For each file of each of the two transfers: a STAT, a REQ, its content and the end of it.
    assert!(count > 2 * 4 * 2000, "{count}");
}

#[test]
fn names_of_the_recorder_are_shown() {
    if !is_there() {
        return;
    }
    let home = record(scenario::demo_build());
    let mut capinfos = Command::new("/usr/bin/capinfos");
    let about = Process::run(capinfos.current_dir(home.path()).arg("build.pcapng")).success();
    for line in ["buildtap ", "nanoseconds (9)", "Raw IP", "Linux "] {
        assert!(about.stdout.contains(line), "{line}\n{about}");
    }
}
