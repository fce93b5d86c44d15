//! Cassettes of real builds: the same build recorded twice, and a change that is seen.

use std::process::Command;

use buildtap_tests::lab::{Daemon, Flavour, Workshop};
use buildtap_tests::process::Process;
use buildtap_tests::program;

use crate::capture::Recording;

/// Records a build as NAME.pcap and makes NAME.json of it.
fn record(daemon: &Daemon, shop: &Workshop, name: &str, arguments: &[&str]) {
    let capture = shop.text(&format!("{name}.pcap"));
    let recording = Recording::start(daemon, &capture);
    let mut docker = daemon.docker(&["build", "--network=none"]);
    docker.args(arguments).current_dir(shop.context(""));
    Process::run(&mut docker).success();
    recording.stop();
    let cassette = shop.text(&format!("{name}.json"));
    let arguments = ["cassette", &capture, "-o", &cassette];
    Process::run(&mut program::command(shop.path(), &arguments)).success();
}

fn differing_lines(shop: &Workshop, one: &str, other: &str) -> (usize, String) {
    let mut diff = Command::new("diff");
    diff.args(["-U0", one, other]).current_dir(shop.path());
    let text = Process::run(&mut diff).stdout;
    let lines = text.lines().skip(2);
    (lines.filter(|line| line.starts_with('+')).count(), text)
}

fn twice(flavour: Flavour) {
    let Some(daemon) = Daemon::start_another(flavour) else {
        return;
    };
    let shop = Workshop::new();
    let build = ["--no-cache", "--output", "type=local,dest=../out", "tree"];
    // The first build fills the cache of the context.
    for name in ["first", "good", "again"] {
        record(&daemon, &shop, name, &build);
    }
    let (count, text) = differing_lines(&shop, "good.json", "again.json");
    let lines = std::fs::read_to_string(shop.file("good.json"))
        .unwrap()
        .lines()
        .count();
    println!("{count} of {lines} lines differ");
    // Times, and how progress was cut into messages.
    assert!(
        count * 5 <= lines,
        "{count} of {lines} lines differ:\n{text}"
    );
    let diff = |one: &str, other: &str| {
        Process::run(&mut program::command(shop.path(), &["diff", one, other]))
    };
    // A capture and a cassette mean the same.
    let same = diff("good.pcap", "again.json");
    assert_eq!(same.code(), 0, "{same}");
    let first = diff("good.json", "first.pcap");
    assert_eq!(first.code(), 1, "{first}");
    assert!(
        first.stdout.contains("only BAD sends REQ for `hello.txt`"),
        "{first}"
    );
}

#[test]
fn the_same_build_recorded_twice_differs_in_few_lines() {
    twice(Flavour::Bookworm);
}

#[test]
fn the_same_with_buildx() {
    twice(Flavour::Trixie);
}

/// buildtap's own capture, whose secrets are masked, means what tcpdump's means.
#[test]
fn own_captures_and_those_of_tcpdump_mean_the_same() {
    let Some(daemon) = Daemon::start_another(Flavour::Trixie) else {
        return;
    };
    let shop = Workshop::new();
    let recording = Recording::start(&daemon, &shop.text("tcpdump.pcap"));
    let own = shop.text("own.pcapng");
    let mut arguments = vec!["run", "--record", &own, "--"];
    arguments.extend(["docker", "build", "--network=none"]);
    arguments.extend(["--output", "type=local,dest=../out", "tree"]);
    let mut run = daemon.buildtap(shop.path(), &arguments);
    Process::run(run.current_dir(shop.context(""))).success();
    recording.stop();
    for bad in ["own.pcapng", "own.json"] {
        if bad == "own.json" {
            let cassette = ["cassette", "own.pcapng", "-o", bad];
            Process::run(program::command(shop.path(), &cassette).current_dir(shop.path()))
                .success();
        }
        let diff = ["diff", "tcpdump.pcap", bad];
        let same = Process::run(program::command(shop.path(), &diff).current_dir(shop.path()));
        assert_eq!(same.code(), 0, "{same}");
        assert!(!same.stderr.contains("left out"), "{same}");
    }
}
