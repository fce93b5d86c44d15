//! `buildtap demo` and `buildtap demo hang`.

use buildtap_tests::process::Process;
use buildtap_tests::program::command;
use buildtap_tests::trace::Trace;
use buildtap_tests::unwrapped;
use tempfile::TempDir;

#[test]
fn the_demo_is_a_build_with_nothing_abnormal() {
    let home = TempDir::new().unwrap();
    let demo = Process::run(&mut command(home.path(), &["demo"])).success();
    for said in [
        "path    POST /build + POST /session",
        "build 1  complete in ",
        "daemon →  FileSync.DiffCopy context",
        "daemon →  Secrets.GetSecret",
        "daemon →  Auth.Credentials",
        "fsutil Packets, because the build's exporter 0 is `local`",
        "nothing abnormal",
    ] {
        assert!(demo.stdout.contains(said), "{said}\n{demo}");
    }
    assert!(demo.stderr.contains("the build is done"), "{demo}");
    assert_eq!(home.path().read_dir().unwrap().count(), 0, "left behind");
}

#[test]
fn the_demo_of_a_hang_says_why_it_hangs() {
    let home = TempDir::new().unwrap();
    let demo = Process::run(&mut command(home.path(), &["demo", "hang"])).success();
    let first = demo.stdout.lines().next().unwrap();
    assert!(first.contains("✗ error packets-read-as-bytes"), "{demo}");
    for said in [
        "packet: 10 entries, 4 files, 0 requested, 0 complete, 0 B",
        "and owes REQ for 4 files",
    ] {
        assert!(unwrapped(&demo.stdout).contains(said), "{said}\n{demo}");
    }
    assert!(demo.stderr.contains("timed out"), "{demo}");
    assert!(!demo.stdout.contains("nothing abnormal"), "{demo}");
}

#[test]
fn the_demo_in_json_says_the_same() {
    let home = TempDir::new().unwrap();
    let demo = ["demo", "hang", "--format", "json"];
    let demo = Process::run(&mut command(home.path(), &demo)).success();
    let trace = Trace::parse(&demo.stdout);
    // When the client has given up, the daemon may still get to say that its build failed.
    assert_eq!(trace.findings()[0], "packets-read-as-bytes");
    assert_eq!(
        trace.finding("packets-read-as-bytes")["waiting_on"],
        "client"
    );
    let export = trace.transfers().pop().unwrap();
    assert_eq!(export["requested"], 0, "{export:#}");
    assert_ne!(export["state"], "complete", "{export:#}");
    assert!(
        !demo.stdout.contains("not-a-real-token"),
        "the demo's secret"
    );
}
