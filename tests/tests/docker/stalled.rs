//! Builds with a real dockerd that cannot go on: which side is named, and how `--fail-on-stall` ends them.

use std::fs::File;
use std::io::Read;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use buildtap_fixtures::peers::client::Ending;
use buildtap_fixtures::peers::net::Address;
use buildtap_fixtures::peers::scenario;
use buildtap_fixtures::peers::script::{Action, ClientScript, Rule, Step};
use buildtap_fixtures::peers::tree::{Content, Tree};
use buildtap_tests::lab::{Daemon, Flavour, Workshop, daemon};
use buildtap_tests::process::{Finished, Process};
use buildtap_tests::{DEADLINE, assert_says, clients, wait_for};
use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use crate::bed::Bed;

/// A local export of five entries, four of them files.
fn export() -> ClientScript {
    ClientScript {
        context: Tree::new()
            .text("hello.txt", "hello\n")
            .file("sub/large.bin", Content::seeded(7, 200_000))
            .text("sub/second.txt", "second\n")
            .symlink("sub/third", "second.txt"),
        dockerfile: Tree::new().text("Dockerfile", "FROM scratch\nCOPY . /\n"),
        ..ClientScript::default()
    }
    .give_up_after(Duration::from_secs(50))
}

/// No test: a client as its author would run it, which takes the Packets of its local export for BytesMessages.
#[test]
#[ignore = "is the client of the other tests"]
fn my_client() {
    let socket = std::env::var("DOCKER_HOST").unwrap();
    let address = Address::Unix(socket.strip_prefix("unix://").unwrap().into());
    let script = export().read_local_export_as_bytes();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let outcome = runtime.block_on(scenario::client(&address, script));
    std::process::exit(i32::from(outcome.ending != Ending::Completed));
}

fn diagnosis(finished: &Finished) -> &str {
    let parts = finished.stderr.split_once("why the command was ended:\n\n");
    parts.unwrap_or_else(|| panic!("{finished}")).1
}

/// What the author of a client that hangs on local exports reads, within seconds.
#[test]
fn the_author_of_a_client_that_hangs_is_told_why() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let home = TempDir::new().unwrap();
    let this = std::env::current_exe().unwrap();
    let client = ["--ignored", "--exact", "stalled::my_client"];
    let upstream = format!("unix://{}", daemon.socket().display());
    let limit = [
        "run",
        "--upstream",
        &upstream,
        "--fail-on-stall",
        "2s",
        "--",
    ];
    let mut command = daemon.buildtap(home.path(), &limit);
    let start = Instant::now();
    let finished = Process::run(command.arg(this).args(client));
    assert_eq!(finished.code(), 124, "{finished}");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?} {finished}");
    let why = diagnosis(&finished);
    assert_eq!(
        why.lines().next(),
        Some("✗ error  packets-read-as-bytes  waits for the client")
    );
    assert_says(
        &finished,
        &[
            "the client handles it as a stream of BytesMessages",
            "it has asked for nothing, and owes REQ for 3 files",
            "For a `local` output read fsutil Packets",
            "buildtap explain packets-read-as-bytes",
        ],
    );
}

/// bollard 0.21 never says FIN for an export without files.
#[test]
fn bollard_is_ended_with_its_diagnosis() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let context = shop.file("contexts/no-files");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("Dockerfile"), "FROM scratch\nWORKDIR /empty\n").unwrap();
    let (out, context) = (shop.text("out"), shop.context("no-files"));
    let mut command = daemon.buildtap(shop.path(), &["run", "--fail-on-stall", "2s", "--"]);
    let bollard = command.arg(clients::bollard());
    let finished = Process::run(bollard.args(["local", &out, &context]));
    assert_eq!(finished.code(), 124, "{finished}");
    let first = diagnosis(&finished).lines().next();
    assert!(
        first.is_some_and(|line| line.contains("fin-missing  waits for the client")),
        "{finished}"
    );
}

#[test]
fn a_daemon_that_is_stopped_in_mid_export_is_named() {
    let Some(daemon) = Daemon::start_another(Flavour::Bookworm) else {
        return;
    };
    let mut bed = Bed::before(&daemon.socket(), &["--stall-after", "1s"]);
    let (tell, read) = mpsc::channel();
    let observer = move |step, scope: &str| {
        if step == Step::Receive && scope == "export" {
            let _ = tell.send(());
        }
    };
    // Slow enough that most of the file is still to be sent by the daemon when it is stopped.
    let slow = Rule::new(Step::Receive, Action::Delay(Duration::from_millis(20)));
    let client = bed.client(ClientScript {
        context: Tree::new().file("large.bin", Content::seeded(9, 16 << 20)),
        observer: Some(Arc::new(observer)),
        ..export().rule(slow.scope("export"))
    });
    for _ in 0..10 {
        read.recv_timeout(DEADLINE).unwrap();
    }
    kill_process(daemon.id(), Signal::STOP).unwrap();
    let start = Instant::now();
    bed.wait_for("file-end-missing", start);
    kill_process(daemon.id(), Signal::CONT).unwrap();
    let first = bed.first_finding();
    assert_eq!(first.as_deref(), Some("file-end-missing"));
    let ended = bed.finish();
    assert_says(
        &ended,
        &[
            "FileSend of exporter 0 (local) stands still",
            "the daemon must send the rest of large.bin",
        ],
    );
    drop(client);
}

/// `docker build`, which writes its archive into a pipe: as fast as somebody reads that.
struct Piped {
    docker: Process,
    pipe: File,
    bed: Bed,
    _shop: Workshop,
}

impl Piped {
    /// Waits until the archive begins to arrive. It has 32 MiB.
    fn start() -> Option<Self> {
        let daemon = daemon(Flavour::Bookworm)?;
        let bed = Bed::before(&daemon.socket(), &["--stall-after", "1s"]);
        let shop = Workshop::new();
        let (fifo, context) = (shop.text("fifo"), shop.file("contexts/large"));
        std::fs::create_dir(&context).unwrap();
        std::fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY large /\n").unwrap();
        File::create(context.join("large"))
            .unwrap()
            .set_len(32 << 20)
            .unwrap();
        Process::run(Command::new("mkfifo").arg(&fifo)).success();
        let mut command = daemon.docker(&[]);
        let build = r#"exec docker build --quiet --output "type=tar,dest=$2" "$1""#;
        let program = ["sh", "-c", build, "sh", &shop.context("large"), &fifo];
        let mut shell = Command::new("env");
        shell
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("DOCKER_HOST", bed.address())
            .args(program);
        command = shell;
        let docker = Process::start(&mut command);
        // For reading and writing: it opens at once, and does not end with docker.
        let mut pipe = File::options().read(true).write(true).open(&fifo).unwrap();
        pipe.read_exact(&mut [0; 512]).unwrap();
        Some(Piped {
            docker,
            pipe,
            bed,
            _shop: shop,
        })
    }
}

/// Go clients take everything into memory, and end the call when they have written it down: nobody can tell how long
/// that takes, so it is told late and as no more than likely.
#[test]
fn a_disk_that_stands_still_is_said_to_be_the_clients() {
    let Some(piped) = Piped::start() else {
        return;
    };
    let first = wait_for("a finding", || piped.bed.first_finding());
    assert_eq!(first, "call-not-ended");
    let ended = piped.bed.finish();
    assert_says(
        &ended,
        &[
            "waits for the end of the call from the client",
            "the client does not end the call: it still writes, or never will",
        ],
    );
    piped.docker.signal_group(Signal::KILL);
    drop(piped.pipe);
}

/// Which of its two connections ends first is up to the system.
#[test]
fn a_client_that_is_killed_in_mid_export_is_said_to_be_gone() {
    let Some(piped) = Piped::start() else {
        return;
    };
    piped.docker.signal_group(Signal::KILL);
    piped.docker.finish();
    let first = wait_for("a finding", || piped.bed.first_finding());
    let expected = ["session-closed-early", "cancelled-by-peer"];
    assert!(expected.contains(&&*first), "{first}");
    let ended = piped.bed.finish();
    assert_says(&ended, &["The client c"]);
}
