//! `buildtap export --to nested.pcapng`, by the program itself, and what Debian's tshark makes of it with the settings
//! that are beside it.

use std::path::{Path, PathBuf};

use buildtap_tests::process::{self, Process};
use buildtap_tests::program;
use buildtap_tests::wireshark::{TSHARK, is_there};
use serde_json::Value;
use tempfile::TempDir;

/// The port of sessions inside calls, and that of what is inside exec tunnels.
const SESSIONS: &str = "tcp.port == 23751";
const TUNNELS: &str = "tcp.port == 23750";

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/captures")
}

fn export(name: &str) -> TempDir {
    let home = TempDir::new().unwrap();
    let capture = captures().join(name).with_extension("pcap");
    let capture = capture.to_str().unwrap();
    let arguments = ["export", capture, "--to", "nested.pcapng"];
    let done = Process::run(&mut program::command(home.path(), &arguments)).success();
    assert!(
        done.stderr
            .contains("WIRESHARK_CONFIG_DIR=nested.wireshark wireshark nested.pcapng"),
        "{done}"
    );
    home
}

/// The fields of the packets that pass a filter, one line for each packet. Nothing must be wrong with the settings.
fn tshark(home: &Path, arguments: &[&str], filter: &str, fields: &[&str]) -> Vec<String> {
    let mut command = process::command(TSHARK);
    command.current_dir(home).env("HOME", home);
    if arguments.is_empty() {
        command.env("WIRESHARK_CONFIG_DIR", home.join("nested.wireshark"));
    }
    command
        .args(arguments)
        .args(["-r", "nested.pcapng", "-Y", filter, "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let finished = Process::run(&mut command).success();
    // As root it says that it is.
    let said = finished
        .stderr
        .lines()
        .filter(|line| !line.starts_with("Running as user"));
    assert_eq!(said.count(), 0, "{}", finished.stderr);
    finished.stdout.lines().map(str::to_owned).collect()
}

/// How many gRPC messages are in the packets that pass a filter.
fn messages(home: &Path, filter: &str) -> u64 {
    let filter = format!("grpc && {filter}");
    let lines = tshark(home, &[], &filter, &["grpc.message_length"]);
    let lines = lines.iter().filter(|line| !line.is_empty());
    lines.map(|line| line.split(',').count() as u64).sum()
}

/// How many messages there are in calls, and in the calls inside those.
fn truth(calls: &Value) -> (u64, u64) {
    let mut all = (0, 0);
    for call in calls.as_array().into_iter().flatten() {
        let own = call["messages"].as_array().unwrap();
        all.0 += own.iter().map(|count| count.as_u64().unwrap()).sum::<u64>();
        let (inside, deeper) = truth(&call["tunnel"]);
        all.1 += inside + deeper;
    }
    all
}

/// Of every capture tshark reads each message that was sent, on every level, and finds nothing wrong with the file.
#[test]
fn every_message_is_dissected() {
    if !is_there() {
        return;
    }
    let known = std::fs::read_to_string(captures().join("truth.json")).unwrap();
    let known: Value = serde_json::from_str(&known).unwrap();
    let mut inside = 0;
    for (name, connections) in known.as_object().unwrap() {
        let connections = connections.as_array().unwrap().iter();
        let expected = connections
            .map(|connection| truth(&connection["calls"]))
            .fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        let home = export(name);
        let home = home.path();
        let others = messages(home, &format!("!({SESSIONS})"));
        assert_eq!((others, messages(home, SESSIONS)), expected, "{name}");
        inside += expected.1;
        let bad = "_ws.malformed || tcp.analysis.flags || tcp.analysis.lost_segment || \
                   _ws.expert.severity == \"Error\"";
        let bad = tshark(home, &[], bad, &["frame.number", "_ws.expert.message"]);
        assert!(bad.is_empty(), "{name}: {bad:#?}");
    }
    assert!(inside > 100, "{inside}");
}

/// Calls have their names and messages their fields.
#[test]
fn a_session_inside_a_call_is_dissected_by_name() {
    if !is_there() {
        return;
    }
    for name in ["nested-local-export", "exec-tunnel-local-export"] {
        let home = export(name);
        let home = home.path();
        let session = |filter: &str, field: &str| {
            let filter = format!("{SESSIONS} && {filter}");
            tshark(home, &[], &filter, &[field]).join("\n")
        };
        let calls = session("http2.headers.path", "http2.headers.path");
        for path in [
            "/moby.filesync.v1.FileSync/DiffCopy",
            "/moby.filesync.v1.FileSend/DiffCopy",
        ] {
            assert!(calls.contains(path), "{name}: {calls}");
        }
        // The daemon sent what was built: that FileSend carries Packets is no secret to the settings.
        let paths = "pbf.fsutil.types.Stat.path";
        for direction in ["tcp.srcport == 23751", "tcp.dstport == 23751"] {
            let sent = session(&format!("{direction} && {paths}"), paths);
            assert!(
                sent.contains("sub/deep/script.sh"),
                "{name}, {direction}: {sent}"
            );
        }
        let types = session("protobuf", "protobuf.message.name");
        assert!(!types.contains("BytesMessage"), "{name}: {types}");
        let comments = session("tcp.flags.syn == 1 && frame.comment", "frame.comment");
        assert!(
            comments.contains("(Control.Session) of connection"),
            "{name}: {comments}"
        );
        let solves = tshark(
            home,
            &[],
            "pbf.moby.buildkit.v1.frontend.SolveRequest.Frontend == \"dockerfile.v0\"",
            &["tcp.dstport"],
        );
        let port = if name.starts_with("exec") {
            "23750"
        } else {
            "21751"
        };
        assert!(
            solves.iter().any(|found| found == port),
            "{name}: {solves:?}"
        );
    }
    let home = export("exec-tunnel-local-export");
    let comments = tshark(home.path(), &[], TUNNELS, &["frame.comment"]).join("\n");
    assert!(
        comments.contains("in the exec tunnel of connection"),
        "{comments}"
    );
}

/// An archive stays what it is declared to be.
#[test]
fn an_archive_is_dissected_as_slices() {
    if !is_there() {
        return;
    }
    let home = export("nested-tar-export");
    let types = tshark(
        home.path(),
        &[],
        &format!("{SESSIONS} && pbf.moby.filesync.v1.BytesMessage.data"),
        &["protobuf.message.name"],
    );
    assert!(types.len() > 1, "{types:?}");
}

/// The same folder is a profile where profiles are.
#[test]
fn the_settings_are_a_profile() {
    if !is_there() {
        return;
    }
    let home = export("nested-local-export");
    let profiles = home.path().join(".config/wireshark/profiles");
    std::fs::create_dir_all(&profiles).unwrap();
    let settings = home.path().join("nested.wireshark");
    std::os::unix::fs::symlink(settings, profiles.join("buildtap")).unwrap();
    let found = tshark(
        home.path(),
        &["-C", "buildtap"],
        "pbf.fsutil.types.Stat.path == \"sub/deep/script.sh\"",
        &["tcp.stream"],
    );
    assert!(found.len() > 1, "{found:?}");
}
