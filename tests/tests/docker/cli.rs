//! `buildtap run -- docker build` with docker 20.10: its own BuildKit client, `POST /build` and `POST /session`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use buildtap_tests::files::{Content, Entry, tree};
use buildtap_tests::lab::{Daemon, Flavour, Workshop, daemon, script};
use buildtap_tests::process::{Finished, Process};
use buildtap_tests::trace::Trace;
use buildtap_tests::{unwrapped, wait_for};
use rustix::process::Signal;

const CANARY: &str = "canary-secret-8d1f3c5e7a9b";

/// `docker build` as all tests call it.
fn build<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["build", "--progress=plain", "--network=none"];
    all.extend(arguments);
    all
}

/// The same under `buildtap run`, with these arguments of its own.
fn tapped(daemon: &Daemon, home: &Path, view: &[&str], arguments: &[&str]) -> Command {
    let mut all = vec!["run"];
    all.extend(view);
    all.extend(["--", "docker"]);
    all.extend(build(arguments));
    daemon.buildtap(home, &all)
}

/// The summary, which stands behind what docker wrote.
fn summary(finished: &Finished) -> &str {
    let start = finished.stderr.find("\nclient  Docker-Client/20.10");
    &finished.stderr[start.unwrap_or_else(|| panic!("no summary\n{finished}"))..]
}

fn assert_says(finished: &Finished, wanted: &[&str]) {
    let said = unwrapped(summary(finished));
    for wanted in wanted {
        assert!(said.contains(wanted), "{wanted}\n{finished}");
    }
}

#[test]
fn a_local_export_arrives_as_without_buildtap_and_is_explained() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let context = shop.context("tree");
    let direct = format!("type=local,dest={}", shop.text("direct"));
    Process::run(&mut daemon.docker(&build(&["--output", &direct, &context]))).success();

    let output = format!("type=local,dest={}", shop.text("out"));
    let ran = Process::run(&mut tapped(
        daemon,
        shop.path(),
        &[],
        &["--output", &output, &context],
    ))
    .success();
    let exported = tree(&shop.file("out"));
    assert_eq!(exported, tree(&shop.file("direct")));
    let numbers = &exported[Path::new("sub/numbers.txt")].content;
    assert!(matches!(numbers, Content::File(bytes) if bytes.len() == 40_000));

    assert_says(
        &ran,
        &[
            "daemon dockerd 20.10",
            "path POST /build + POST /session",
            "build 1 complete in ",
            "output 0 local",
            "daemon → FileSync.DiffCopy dockerfile",
            "daemon → FileSync.DiffCopy context",
            "daemon → FileSend.DiffCopy exporter 0",
            "packet: 7 entries, 4 files, 4 requested, 4 complete, 39.1 KiB; complete (FIN answered by FIN)",
            "fsutil Packets, because the build's exporter 0 is `local`, which sends a tree as fsutil Packets; the first \
             message begins with field 2 (12), a Packet's stat",
            "nothing abnormal",
        ],
    );
    assert_eq!(
        summary(&ran)
            .matches("daemon →  FileSync.DiffCopy context")
            .count(),
        2
    );
    // docker's own output is untouched, and nothing of buildtap's is left.
    assert!(ran.stderr.contains("exporting to client"), "{ran}");
    let left: Vec<_> = fs::read_dir(shop.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with("buildtap"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn every_call_of_a_session_is_told_in_json() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let output = format!("type=local,dest={}", shop.text("out"));
    let json = shop.file("trace.jsonl");
    let view = ["--format", "json", "--output", json.to_str().unwrap()];
    let build = ["--output", &*output, &shop.context("tree")];
    Process::run(&mut tapped(daemon, shop.path(), &view, &build)).success();
    let trace = Trace::read(&json);
    assert_eq!(
        trace.session_calls(),
        [
            "FileSync.DiffCopy",
            "FileSync.DiffCopy",
            "FileSync.DiffCopy",
            "FileSend.DiffCopy"
        ]
    );
    let mut seen: Vec<_> = trace
        .transfers()
        .iter()
        .map(|transfer| {
            let text = |field: &str| transfer[field].as_str().unwrap_or_default().to_owned();
            let number = |field: &str| transfer[field].as_u64().unwrap();
            assert_eq!(transfer["state"], "complete", "{transfer:#}");
            assert_eq!(transfer["flavour"], "packet", "{transfer:#}");
            (
                text("name"),
                text("direction"),
                number("entries"),
                number("files"),
                number("bytes"),
            )
        })
        .collect();
    let up = |name: &str, entries, files, bytes| {
        (
            name.to_owned(),
            "to-daemon".to_owned(),
            entries,
            files,
            bytes,
        )
    };
    // Which of the first two comes first is for the daemon, which asks for both at a time.
    seen[..2].sort();
    assert_eq!(
        seen,
        [
            up("context", 1, 1, 6),
            up("dockerfile", 1, 1, 45),
            up("context", 7, 4, 40_033),
            ("0".to_owned(), "to-client".to_owned(), 7, 4, 40_033),
        ]
    );
    assert_eq!(trace.only("build")["state"], "complete");
    assert_eq!(trace.only("session")["closed_by"], "client");
    assert_eq!(trace.findings(), [""; 0]);
    let paths: Vec<_> = trace
        .of_kind("file")
        .filter(|file| file["state"] == "complete")
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    for path in [
        "Dockerfile",
        ".dockerignore",
        "hello.txt",
        "sub/deep/script.sh",
        "sub/empty",
    ] {
        assert!(paths.contains(&path), "{path} {paths:?}");
    }
}

#[test]
fn a_tar_export_is_said_to_be_bytes() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let context = shop.context("tree");
    let direct = format!("type=tar,dest={}", shop.text("direct.tar"));
    Process::run(&mut daemon.docker(&build(&["--output", &direct, &context]))).success();
    let output = format!("type=tar,dest={}", shop.text("out.tar"));
    let build = ["--output", &*output, &context];
    let ran = Process::run(&mut tapped(daemon, shop.path(), &["--log"], &build)).success();
    let archive = fs::read(shop.file("out.tar")).unwrap();
    assert_eq!(unpack(&shop, "out.tar"), unpack(&shop, "direct.tar"));
    assert_says(
        &ran,
        &[
            "output 0 tar",
            &format!("bytes: {:.1} KiB; complete", archive.len() as f64 / 1024.0),
            "BytesMessages, because the build's exporter 0 is `tar`, which sends an archive as BytesMessages; the first \
             message begins with field 1 as bytes (0a)",
            "nothing abnormal",
        ],
    );
}

fn unpack(shop: &Workshop, archive: &str) -> BTreeMap<PathBuf, Entry> {
    let directory = shop.file(&format!("{archive}.d"));
    fs::create_dir(&directory).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-xf")
        .arg(shop.file(archive))
        .arg("-C")
        .arg(&directory);
    Process::run(&mut tar).success();
    let unpacked = tree(&directory);
    assert!(!unpacked.is_empty());
    unpacked
}

#[test]
fn a_failing_step_is_named_and_dockers_exit_code_kept() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let context = shop.context("failing");
    let direct = Process::run(&mut daemon.docker(&build(&[&context])));
    assert_ne!(direct.code(), 0);
    let ran = Process::run(&mut tapped(daemon, shop.path(), &[], &[&context]));
    assert_eq!(ran.code(), direct.code(), "{ran}");
    assert_says(
        &ran,
        &[
            "build 1 failed after ",
            "failed [2/2] RUN echo about to fail; no-such-command",
            "exit code: 127",
            "1 finding ✗ error build-error-in-stream",
        ],
    );
}

#[test]
fn a_secret_is_shown_nowhere_unless_asked_for() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let secret = format!("id=token,src={}", shop.context("token"));
    let build = ["--no-cache", "--secret", &*secret, &shop.context("secret")];
    let mut said = Vec::new();
    for view in [
        &[][..],
        &["--log"],
        &["--format", "json"],
        &["--log", "--show-secrets"],
        &["--format", "json", "--show-secrets"],
    ] {
        let mut view = view.to_vec();
        let file = shop.file(&format!("view{}", said.len()));
        view.extend(["--output", file.to_str().unwrap()]);
        let ran = Process::run(&mut tapped(daemon, shop.path(), &view, &build)).success();
        let shown = fs::read_to_string(&file).unwrap();
        assert!(shown.contains("GetSecret"), "{view:?}\n{shown}");
        said.push(format!("{shown}\n{}\n{}", ran.stderr, ran.stdout));
    }
    let (masked, shown) = said.split_at(3);
    for masked in masked {
        assert!(!contains_canary(masked), "{masked}");
    }
    // What makes the above mean something.
    for shown in shown {
        assert!(contains_canary(shown), "{shown}");
    }
}

/// The canary as text or as protobuf's JSON writes bytes.
fn contains_canary(text: &str) -> bool {
    // Base64 of the canary, for any offset within its block of three.
    let encoded = [
        "Y2FuYXJ5LXNlY3JldC04ZDFmM2M1ZTdhOW",
        "NhbmFyeS1zZWNyZXQtOGQxZjNjNWU3YT",
        "jYW5hcnktc2VjcmV0LThkMWYzYzVlN2E5",
    ];
    let hexadecimal: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    text.contains(CANARY)
        || text.contains(&hexadecimal)
        || encoded.iter().any(|encoded| text.contains(encoded))
}

/// An agent with one key, which ends with the test.
struct Agent {
    process: Process,
    socket: String,
}

impl Agent {
    fn start(shop: &Workshop) -> Self {
        let (socket, key) = (shop.text("agent.sock"), shop.text("key"));
        let process = Process::start(Command::new("ssh-agent").args(["-D", "-a", &socket]));
        wait_for("the agent to listen", || {
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        let name = [
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "throw-away-key",
            "-f",
        ];
        Process::run(Command::new("ssh-keygen").args(name).arg(&key)).success();
        let mut add = Command::new("ssh-add");
        Process::run(add.args(["-q", &key]).env("SSH_AUTH_SOCK", &socket)).success();
        Agent { process, socket }
    }
}

#[test]
fn an_ssh_agent_is_forwarded_and_told() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let agent = Agent::start(&shop);
    let mut image = Command::new(script("contexts.sh"));
    daemon.lead(image.arg("ssh-image").arg(shop.file("image")));
    Process::run(&mut image).success();

    let build = ["--no-cache", "--ssh", "default", &shop.context("ssh")];
    let mut command = tapped(daemon, shop.path(), &["--log"], &build);
    let ran = Process::run(command.env("SSH_AUTH_SOCK", &agent.socket)).success();
    assert!(ran.stderr.contains("throw-away-key (ED25519)"), "{ran}");
    assert_says(
        &ran,
        &["daemon → SSH.CheckAgent", "daemon → SSH.ForwardAgent"],
    );
    // What the agent says holds the key's comment: docker shows it, buildtap does not.
    let view = ["--log", "--output", &*shop.text("log")];
    let mut command = tapped(daemon, shop.path(), &view, &build);
    Process::run(command.env("SSH_AUTH_SOCK", &agent.socket)).success();
    let log = fs::read_to_string(shop.file("log")).unwrap();
    assert!(log.contains("SSH.ForwardAgent"), "{log}");
    assert!(!agent_payload_in(&log), "{log}");
    drop(agent.process);
}

/// Whether the agent's own bytes show; steps' names and logs are the build's.
fn agent_payload_in(log: &str) -> bool {
    log.lines()
        .filter(|line| line.contains("ForwardAgent"))
        .any(|line| line.contains("throw-away") || line.contains("ssh-ed25519"))
}

#[test]
fn a_cancelled_build_is_summed_up_with_dockers_status() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let context = shop.context("sleep");
    let cancel = |mut command: Command| {
        let mut process = Process::start(&mut command);
        process.wait_for_stderr("the step to run", |said| {
            said.lines()
                .any(|line| line.starts_with('#') && line.ends_with(" build is running"))
                .then_some(())
        });
        process.signal_group(Signal::INT);
        process.finish()
    };
    let direct = cancel(daemon.docker(&build(&["--no-cache", &context])));
    assert_ne!(direct.code(), 0, "{direct}");
    let ran = cancel(tapped(daemon, shop.path(), &[], &["--no-cache", &context]));
    assert_eq!(ran.code(), direct.code(), "{ran}\n\n{direct}");
    assert_says(
        &ran,
        &[
            "build 1 cancelled after ",
            "/build/cancel?… 200",
            "cancelled-by-peer",
        ],
    );
}

#[test]
fn a_build_goes_on_when_the_decoder_fails() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let direct = format!("type=local,dest={}", shop.text("direct"));
    Process::run(&mut daemon.docker(&build(&["--output", &direct, &shop.context("tree")])))
        .success();
    let expected = tree(&shop.file("direct"));
    for at in [1, 5, 12, 30] {
        let out = format!("out{at}");
        let output = format!("type=local,dest={}", shop.text(&out));
        let build = ["--output", &*output, &shop.context("tree")];
        let mut command = tapped(daemon, shop.path(), &[], &build);
        command.env("BUILDTAP_TEST_FAIL_DECODER_AT", at.to_string());
        let ran = Process::run(&mut command).success();
        assert!(
            ran.stderr.contains("buildtap failed while decoding"),
            "{ran}"
        );
        assert!(!ran.stderr.contains("nothing abnormal"), "{ran}");
        assert!(
            ran.stderr
                .contains("what came after that is not in this summary"),
            "{ran}"
        );
        assert_eq!(tree(&shop.file(&out)), expected);
    }
}
