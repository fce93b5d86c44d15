//! `buildtap run --fail-on-stall` and `buildtap diagnose`, with a client and a daemon that speak
//! the real protocol: a build that hangs is ended and explained, one that takes its time is not.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use buildtap_fixtures::peers::client::Ending;
use buildtap_fixtures::peers::net::{Address, Listener};
use buildtap_fixtures::peers::scenario;
use buildtap_fixtures::peers::script::{Action, DaemonScript, Rule, Step};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Which client [`client`] plays.
const PLAYED: &str = "BUILDTAP_TEST_CLIENT";

/// No test: the command that `buildtap run` runs in the tests below, which is this program again.
#[test]
#[ignore = "is the client of the other tests"]
fn client() {
    let script = match std::env::var(PLAYED).unwrap().as_str() {
        "hang" => scenario::demo_hang().client,
        _ => scenario::demo_build().client,
    };
    let script = script.give_up_after(Duration::from_secs(120));
    let socket = std::env::var("DOCKER_HOST").unwrap();
    let path = socket.strip_prefix("unix://").unwrap().into();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let outcome = runtime.block_on(scenario::client(&Address::Unix(path), script));
    let is_complete = matches!(outcome.ending, Ending::Completed);
    // Not by a panic: the exit status is what counts.
    std::process::exit(if is_complete { 0 } else { 7 });
}

struct Bed {
    directory: TempDir,
    /// Plays the daemon.
    _runtime: tokio::runtime::Runtime,
}

impl Bed {
    fn new(script: DaemonScript) -> Self {
        let directory = TempDir::new().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let address = Address::Unix(directory.path().join("daemon.sock"));
        let listener = runtime.block_on(Listener::bind(&address)).unwrap();
        runtime.spawn(scenario::daemon(listener, script));
        Bed {
            directory,
            _runtime: runtime,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `buildtap run OPTIONS -- SHELL CLIENT`.
    fn run(&self, options: &[&str], shell: &[&str], played: &str) -> Output {
        self.command(options, shell, played).output().unwrap()
    }

    fn command(&self, options: &[&str], shell: &[&str], played: &str) -> Command {
        let this = std::env::current_exe().unwrap();
        let daemon = format!("unix://{}", self.path("daemon.sock").display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_buildtap"));
        command
            .arg("run")
            .args(options)
            .arg("--")
            .args(shell)
            .arg(this)
            .args(["--ignored", "--exact", "client"])
            .env(PLAYED, played)
            .env("DOCKER_HOST", daemon)
            .env("XDG_RUNTIME_DIR", self.directory.path())
            .env_remove("BUILDKIT_HOST");
        command
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn diagnose(file: &Path, options: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_buildtap"))
        .arg("diagnose")
        .args(options)
        .arg(file)
        .output()
        .unwrap();
    (output.status.code().unwrap(), text(&output.stdout))
}

#[test]
fn a_build_that_hangs_is_ended_and_explained() {
    let bed = Bed::new(scenario::demo_hang().daemon);
    let capture = bed.path("hang.pcapng");
    let record = capture.to_str().unwrap();
    let began = Instant::now();
    let output = bed.run(&["--fail-on-stall", "3s", "--record", record], &[], "hang");
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(124), "{told}");
    assert!(began.elapsed() >= Duration::from_secs(3));
    assert!(began.elapsed() < Duration::from_secs(60), "not by itself");
    let (_, why) = told
        .split_once("buildtap: why the command was ended:\n\n")
        .unwrap_or_else(|| panic!("{told}"));
    let mut lines = why.lines();
    assert_eq!(
        lines.next(),
        Some("✗ error  packets-read-as-bytes  waits for the client")
    );
    assert!(!told.contains("cancelled"), "it was not the client: {told}");
    assert!(
        why.contains("buildtap explain packets-read-as-bytes"),
        "{why}"
    );

    // The recording says the same, and what the end brought with it is below its cause.
    let (code, json) = diagnose(&capture, &["--format", "json"]);
    let diagnosis: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(code, 3, "{diagnosis:#}");
    let found = diagnosis["findings"].as_array().unwrap();
    assert_eq!(found[0]["code"], "packets-read-as-bytes", "{diagnosis:#}");
    // Which connection of the command ends first is a matter of chance.
    let after = found.iter().skip(1).map(|found| &found["code"]);
    assert!(
        after.clone().all(|code| code == "cancelled-by-peer"),
        "{diagnosis:#}"
    );
    assert_eq!(found[0]["waiting_on"], "client");
    assert_eq!(found[0]["client"]["messages"], 0);
    assert!(
        found[0]["daemon"]["messages"].as_u64().unwrap() > 4,
        "{json}"
    );
}

/// Asked by a signal, buildtap says whose turn it is, and goes on.
#[test]
fn where_things_stand_is_told_on_request() {
    let bed = Bed::new(scenario::demo_hang().daemon);
    let mut command = bed.command(&[], &[], "hang");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let id = Pid::from_child(&child);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut next = |wanted: &str| {
        let found = lines.find(|line| line.as_ref().unwrap().contains(wanted));
        found.unwrap_or_else(|| panic!("{wanted}")).unwrap()
    };
    next("packets-read-as-bytes");
    kill_process(id, Signal::USR1).unwrap();
    next("buildtap: at ");
    let told = next("build 1 waits for export 0 (local)");
    assert!(told.contains("REQ for 4 files"), "{told}");
    kill_process(id, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn a_command_that_does_not_want_to_end_is_ended() {
    let bed = Bed::new(scenario::demo_hang().daemon);
    let began = Instant::now();
    // Ignored by the shell, and therefore by its child, too.
    let shell = ["sh", "-c", "trap '' TERM; \"$@\"; exit 9", "sh"];
    let output = bed.run(&["--fail-on-stall", "1s"], &shell, "hang");
    assert_eq!(output.status.code(), Some(124), "{output:?}");
    assert!(began.elapsed() >= buildtap::child::GRACE);
}

/// A step takes more than twice as long as nothing may move, and nothing is said meanwhile but
/// health checks.
#[test]
fn a_build_that_takes_its_time_is_not_ended() {
    let slow = Rule::new(Step::Vertex, Action::Delay(Duration::from_secs(9))).after(2);
    let bed = Bed::new(scenario::demo_build().daemon.rule(slow.once()));
    let began = Instant::now();
    let output = bed.run(&["--fail-on-stall", "4s"], &[], "build");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(began.elapsed() >= Duration::from_secs(9), "it was not slow");
    assert!(text(&output.stderr).contains("✓ nothing abnormal"));
}
