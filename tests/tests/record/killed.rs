//! A recording whose recorder was killed.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use buildtap_fixtures::peers::scenario;
use buildtap_tests::program::Proxy;
use buildtap_tests::trace::Trace;
use buildtap_tests::wait_for;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::scene::{Stage, show};

fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[test]
fn what_was_written_before_a_kill_is_readable() {
    for (file, at) in [
        ("a.pcapng", 1),
        ("b.pcapng", 300_000),
        ("c.pcapng", 9_000_000),
        ("d.pcapng.zst", 1),
        ("e.pcapng.zst", 30_000),
    ] {
        let stage = Stage::set(scenario::bulk(1 << 20, 64 << 20), file, &[]);
        let path = stage.home.path().join(file);
        stage.play_on(|| {
            wait_for("a part of the recording", || {
                (len(&path) >= at).then_some(())
            });
            stage.proxy.process.signal_group(Signal::KILL);
        });
        let shown = show(&stage.home, &["--format", "json", file]);
        let trace = Trace::parse(&shown.stdout);
        if at > 1 {
            assert!(trace.of_kind("connection").count() > 0, "{file}: {shown}");
        }
        if at > 1 && file.ends_with(".zst") {
            let shown = show(&stage.home, &[file]);
            let cut = "the tail is cut: the zstd stream";
            assert!(shown.stderr.contains(cut), "{shown}");
        }
        if at > 1_000_000 {
            let bytes = |side| {
                trace
                    .of_kind("connection")
                    .map(move |it| it[side]["bytes"].as_u64())
            };
            let seen: u64 = bytes("daemon").chain(bytes("client")).flatten().sum();
            assert!(seen > 0, "{file} {trace:?}");
        }
    }
}

/// A file that grows slowly is not kept in a buffer.
#[test]
fn a_kill_loses_a_second_at_most() {
    for file in ["idle.pcapng", "idle.pcapng.zst"] {
        let home = TempDir::new().unwrap();
        let address = |name: &str| format!("unix://{}", home.path().join(name).display());
        let daemon = UnixListener::bind(home.path().join("daemon.sock")).unwrap();
        let (listen, upstream) = (address("tap.sock"), address("daemon.sock"));
        let proxy = Proxy::start(home.path(), &listen, &upstream, &["--record", file]);
        let mut client = UnixStream::connect(home.path().join("tap.sock")).unwrap();
        let _connection = daemon.accept().unwrap();
        client
            .write_all(b"GET /v1.41/_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        // It is in the file while all are still there and nobody says more.
        wait_for("the request in the file", || {
            let shown = show(&home, &["--format", "json", file]);
            shown.stdout.contains("/v1.41/_ping").then_some(())
        });
        proxy.process.signal_group(Signal::KILL);
        let shown = show(&home, &["--format", "json", file]);
        assert!(shown.stdout.contains("/v1.41/_ping"), "{shown}");
    }
}

#[test]
fn a_cut_tail_is_told() {
    let stage = Stage::set(scenario::demo_build(), "whole.pcapng", &[]);
    stage.play();
    let (home, _) = stage.finish();
    let whole = fs::read(home.path().join("whole.pcapng")).unwrap();
    fs::write(home.path().join("cut.pcapng"), &whole[..whole.len() - 5]).unwrap();
    let shown = show(&home, &["cut.pcapng"]);
    assert!(shown.stderr.contains("the tail is cut: "), "{shown}");
    let shown = show(&home, &["whole.pcapng"]);
    assert!(!shown.stderr.contains("the tail is cut"), "{shown}");
}
