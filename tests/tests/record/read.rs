//! A recording reads as the session did live.

use buildtap_fixtures::peers::scenario;
use buildtap_fixtures::peers::script::Mode;
use buildtap_tests::compare::assert_same;
use buildtap_tests::files::permissions;
use buildtap_tests::process::Process;
use buildtap_tests::program;
use buildtap_tests::trace::Trace;
use buildtap_tests::wait_for;

use crate::scene::{Stage, show};

const LIVE: [&str; 4] = ["--format", "json", "--output", "live.jsonl"];

#[test]
fn json_of_a_recording_is_that_of_the_session() {
    for (mode, file) in [
        (Mode::Engine, "a.pcapng"),
        (Mode::Grpc, "b.pcapng.zst"),
        (Mode::Nested, "c.pcapng.gz"),
    ] {
        let stage = Stage::set(scenario::demo_build().by(mode), file, &LIVE);
        let ending = stage.play();
        let (home, finished) = stage.finish();
        assert!(ending.contains("is done"), "{ending}\n{finished}");
        let line = format!(" in {file} (");
        assert!(
            finished.stderr.contains("buildtap: recorded "),
            "{finished}"
        );
        assert!(finished.stderr.contains(&line), "{finished}");
        assert_eq!(permissions(&home.path().join(file)), 0o600);
        let live = Trace::read(&home.path().join("live.jsonl"));
        let shown = show(&home, &["--format", "json", file]);
        assert_same(&live, &Trace::parse(&shown.stdout), file);
    }
}

#[test]
fn a_hang_is_seen_in_a_recording_too() {
    let stage = Stage::set(scenario::demo_hang(), "hang.pcapng", &[]);
    stage.play();
    let (home, live) = stage.finish();
    assert!(live.stderr.contains("packets-read-as-bytes"), "{live}");
    let shown = show(&home, &["hang.pcapng"]);
    assert!(shown.stdout.contains("packets-read-as-bytes"), "{shown}");
}

#[test]
fn a_recording_is_followed_while_it_is_written() {
    let stage = Stage::set(scenario::demo_build(), "live.pcapng", &[]);
    let arguments = ["show", "--follow", "--format", "json", "live.pcapng"];
    let following = Process::start(&mut program::command(stage.home.path(), &arguments));
    stage.play();
    wait_for("the build in what is followed", || {
        let said = following.stdout();
        let built = |line: &str| line.starts_with(r#"{"kind":"build""#);
        said.lines().any(built).then_some(())
    });
    following.interrupt().success();
    stage.finish();
}

#[test]
fn a_recording_says_what_was_not_masked() {
    let stage = Stage::set(scenario::demo_build(), "open.pcapng", &["--show-secrets"]);
    stage.play();
    let (home, _) = stage.finish();
    let shown = show(&home, &["open.pcapng"]);
    assert!(
        shown.stderr.contains("secrets are not masked in it"),
        "{shown}"
    );

    let stage = Stage::set(scenario::demo_build(), "masked.pcapng", &[]);
    stage.play();
    let (home, _) = stage.finish();
    let shown = show(&home, &["masked.pcapng"]);
    assert!(!shown.stderr.contains("secrets are not masked"), "{shown}");
}
