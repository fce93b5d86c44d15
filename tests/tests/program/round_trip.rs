//! A capture becomes a cassette, both sides of it are played through the tap, and what is recorded
//! of that means what the capture meant.

use buildtap_tests::process::Process;
use buildtap_tests::program::command;
use tempfile::TempDir;

const CAPTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/captures");

fn listening(process: &mut Process, what: &str, word: &str) {
    process.wait_for_stderr(what, |said| said.contains(word).then_some(()));
}

#[test]
fn capture_to_cassette_to_replay_to_capture() {
    for name in [
        "local-export",
        "tar-export",
        "context-cold",
        "failing-dockerfile",
        "secret",
    ] {
        let home = TempDir::new().unwrap();
        let capture = format!("{CAPTURES}/{name}.pcap");
        let at = |name: &str| format!("unix://{}", home.path().join(name).display());
        let (daemon_at, tap_at) = (at("daemon.sock"), at("tap.sock"));
        let start = |arguments: &[&str]| {
            Process::start(command(home.path(), arguments).current_dir(home.path()))
        };
        let run = |arguments: &[&str]| {
            Process::run(command(home.path(), arguments).current_dir(home.path()))
        };
        run(&["cassette", &capture, "-o", "build.json"]).success();

        let played = ["replay", "build.json", "--as", "daemon", "--once"];
        let mut daemon = start(&[&played[..], &["--listen", &daemon_at]].concat());
        listening(&mut daemon, "the recorded daemon to listen", " listens on ");
        let tapped = ["proxy", "--record", "again.pcapng", "--listen", &tap_at];
        let mut tap = start(&[&tapped[..], &["--upstream", &daemon_at]].concat());
        listening(&mut tap, "the tap to listen", " leads to ");
        let client = run(&[
            "replay",
            "build.json",
            "--as",
            "client",
            "--connect",
            &tap_at,
        ]);
        assert_eq!(client.code(), 0, "{name}: {client}");
        let daemon = daemon.finish();
        assert_eq!(daemon.code(), 0, "{name}: {daemon}");
        tap.interrupt();

        let same = run(&["diff", "build.json", "again.pcapng"]);
        assert_eq!(same.code(), 0, "{name}: {same}");
    }
}
