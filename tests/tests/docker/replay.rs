//! `buildtap replay` as the daemon for real clients: there is no dockerd in these tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use buildtap_fixtures::recording::{Options, Packet, Recording, What};
use buildtap_tests::clients::bollard;
use buildtap_tests::files::{Content, tree};
use buildtap_tests::lab::{Daemon, Flavour, Workshop, clients, daemon};
use buildtap_tests::process::{Finished, Process};
use buildtap_tests::program;

fn capture(name: &str) -> PathBuf {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/captures");
    captures.join(format!("{name}.pcap"))
}

/// `buildtap replay --as daemon --once` while it runs.
struct Played {
    process: Process,
    address: String,
}

impl Played {
    fn start(shop: &Workshop, name: &str, arguments: &[&str]) -> Self {
        Played::start_file(shop, &capture(name), arguments)
    }

    fn start_file(shop: &Workshop, file: &Path, arguments: &[&str]) -> Self {
        let mut command = program::command(
            shop.path(),
            &["replay", file.to_str().unwrap(), "--as", "daemon", "--once"],
        );
        let mut process = Process::start(command.args(arguments));
        let address = process.wait_for_stderr("the recorded daemon to listen", |said| {
            let mut lines = said
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let line = lines.find(|line| line.contains(" listens on "))?.trim_end();
            Some(line.rsplit(' ').next()?.to_owned())
        });
        // Tests in other languages read it there.
        let written = process.wait_for_stdout("the address", |out| {
            Some(out.lines().next()?.to_owned()).filter(|_| out.ends_with('\n'))
        });
        assert_eq!(written, address);
        Played { process, address }
    }

    /// Runs a client in front of it: what came of both.
    fn against(self, mut client: Command) -> (Finished, Finished) {
        let client = Process::run(client.env("DOCKER_HOST", &self.address));
        (client, self.process.finish())
    }
}

/// `docker build` with the client of a flavour, and nothing that leads to a daemon.
fn docker(flavour: Flavour, shop: &Workshop, arguments: &[&str]) -> Option<Command> {
    let mut command = clients(flavour, shop.path())?;
    command.args(["build", "--progress=plain", "--network=none"]);
    command.args(arguments);
    Some(command)
}

/// The tree that was exported in a capture: contents by path.
fn recorded_export(name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let recording = Recording::from_capture(capture(name), &Options::default()).unwrap();
    let export = recording
        .calls
        .iter()
        .find(|call| call.service == "moby.filesync.v1.FileSend")
        .unwrap();
    let mut names = Vec::new();
    let mut contents = BTreeMap::new();
    for step in &export.steps {
        match &step.what {
            What::Packet(Packet::Stat(stat)) => names.push(PathBuf::from(&stat.path)),
            What::Packet(Packet::EndOfFile(id)) => {
                contents.entry(names[*id as usize].clone()).or_default();
            }
            What::Packet(Packet::Data(id, bytes)) => {
                let file: &mut Vec<u8> = contents.entry(names[*id as usize].clone()).or_default();
                file.extend_from_slice(&bytes.read().unwrap());
            }
            _ => {}
        }
    }
    assert_eq!(contents.len(), 4, "{contents:?}");
    contents
}

fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = tree(directory).into_iter().filter_map(|(path, entry)| {
        let Content::File(bytes) = entry.content else {
            return None;
        };
        Some((path, bytes))
    });
    files.collect()
}

#[track_caller]
fn assert_matches(client: &Finished, played: &Finished) {
    assert!(client.status.success(), "{client}\n{played}");
    assert!(played.status.success(), "{client}\n{played}");
    assert!(
        played.stderr.contains("no differences from the recording"),
        "{played}"
    );
}

#[test]
fn docker_exports_the_recorded_tree() {
    for (flavour, name) in [
        (Flavour::Bookworm, "local-export"),
        (Flavour::Trixie, "buildx-local-export"),
    ] {
        let shop = Workshop::new();
        let output = format!("type=local,dest={}", shop.text("out"));
        let context = shop.context("tree");
        let Some(client) = docker(flavour, &shop, &["--output", &output, &context]) else {
            return;
        };
        let (client, played) = Played::start(&shop, name, &[]).against(client);
        assert_matches(&client, &played);
        assert_eq!(files(&shop.file("out")), recorded_export(name));
        let link = fs::read_link(shop.file("out/sub/link")).unwrap();
        assert_eq!(link, Path::new("../hello.txt"));
        assert!(
            played.stderr.contains("called: FileSend/DiffCopy"),
            "{played}"
        );
    }
}

#[test]
fn docker_is_asked_for_its_own_files() {
    let shop = Workshop::new();
    let context = shop.file("other");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
    fs::write(context.join("a-first"), vec![b'a'; 100_000]).unwrap();
    fs::create_dir(context.join("sub")).unwrap();
    fs::write(context.join("sub/z"), "z").unwrap();
    fs::write(context.join("hello.txt"), "other").unwrap();
    let output = format!("type=local,dest={}", shop.text("out"));
    let arguments = ["--output", &*output, context.to_str().unwrap()];
    let Some(client) = docker(Flavour::Bookworm, &shop, &arguments) else {
        return;
    };
    let (client, played) = Played::start(&shop, "local-export", &[]).against(client);
    assert_matches(&client, &played);
    // The recorded daemon follows hello.txt and sub, and there are two files in them.
    let wanted = "FileSync/DiffCopy context: 3 entries, 2 files asked for, 6 bytes";
    assert!(played.stderr.contains(wanted), "{played}");
    assert_eq!(files(&shop.file("out")), recorded_export("local-export"));
}

#[test]
fn docker_gets_the_recorded_archive() {
    let shop = Workshop::new();
    let output = format!("type=tar,dest={}", shop.text("out.tar"));
    let context = shop.context("tree");
    let Some(client) = docker(Flavour::Bookworm, &shop, &["--output", &output, &context]) else {
        return;
    };
    let (client, played) = Played::start(&shop, "tar-export", &[]).against(client);
    assert_matches(&client, &played);
    let recording = Recording::from_capture(capture("tar-export"), &Options::default()).unwrap();
    let mut archive = Vec::new();
    for step in recording.calls.iter().flat_map(|call| &call.steps) {
        if let What::Slice(bytes) = &step.what {
            archive.extend_from_slice(&bytes.read().unwrap());
        }
    }
    assert_eq!(archive.len(), 46_080);
    assert_eq!(fs::read(shop.file("out.tar")).unwrap(), archive);
}

#[test]
fn docker_uploads_its_context() {
    for (name, asked) in [("context-cold", 4), ("context-warm", 0)] {
        let shop = Workshop::new();
        let Some(client) = docker(Flavour::Bookworm, &shop, &[&shop.context("tree")]) else {
            return;
        };
        let (client, played) = Played::start(&shop, name, &[]).against(client);
        assert_matches(&client, &played);
        let wanted = format!("context: 7 entries, {asked} files asked for");
        assert!(played.stderr.contains(&wanted), "{played}");
    }
}

#[test]
fn docker_is_asked_for_its_secret() {
    let shop = Workshop::new();
    let secret = format!("id=token,src={}", shop.context("token"));
    let context = shop.context("secret");
    let Some(client) = docker(Flavour::Bookworm, &shop, &["--secret", &secret, &context]) else {
        return;
    };
    let (client, played) = Played::start(&shop, "secret", &[]).against(client);
    assert_matches(&client, &played);
    assert!(
        played.stderr.contains("called: Secrets/GetSecret"),
        "{played}"
    );

    // And one that does not have it.
    let without = docker(Flavour::Bookworm, &shop, &[&context]).unwrap();
    let (_, played) = Played::start(&shop, "secret", &["--patience", "2s"]).against(without);
    assert_eq!(played.code(), 1, "{played}");
    assert!(
        played
            .stderr
            .contains("missing: Secrets/GetSecret: the client does not offer this method"),
        "{played}"
    );
    assert!(!played.stderr.contains("canary"), "{played}");
}

#[test]
fn a_failure_is_played_and_a_difference_is_shown() {
    let shop = Workshop::new();
    let context = shop.context("failing");
    let Some(client) = docker(Flavour::Bookworm, &shop, &[&context]) else {
        return;
    };
    let (client, played) = Played::start(&shop, "failing-dockerfile", &[]).against(client);
    assert_eq!(client.code(), 1, "{client}");
    assert!(client.stderr.contains("no-such-command"), "{client}");
    assert!(played.status.success(), "{played}");

    let other = ["--target", "other", "--tag", "made", &*context];
    let client = docker(Flavour::Bookworm, &shop, &other).unwrap();
    let (_, played) = Played::start(&shop, "failing-dockerfile", &[]).against(client);
    assert_eq!(played.code(), 1, "{played}");
    for wanted in [
        "different: POST /build: the query differs",
        "+t=made",
        "+target=other",
    ] {
        assert!(played.stderr.contains(wanted), "{played}");
    }
}

#[test]
fn the_recorded_client_and_the_recorded_daemon_are_commands_too() {
    let shop = Workshop::new();
    let played = Played::start(&shop, "nested-tar-export", &[]);
    let file = capture("nested-tar-export");
    let mut client = program::command(
        shop.path(),
        &["replay", file.to_str().unwrap(), "--as", "client"],
    );
    client.args(["--connect", &played.address]);
    let client = Process::run(&mut client);
    let daemon = played.process.finish();
    assert!(
        client.status.success() && daemon.status.success(),
        "{client}\n{daemon}"
    );
}

#[test]
fn bollard_builds_against_what_docker_recorded_and_against_itself() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let (recording, context) = (shop.text("own.pcapng"), shop.context("tree"));
    let build = |out: &str| {
        let mut client = Command::new(bollard());
        client.args(["local", &shop.text(out), &context]);
        client
    };
    let client = bollard().to_str().unwrap();
    let direct = shop.text("direct");
    let run = [
        "run", "--record", &recording, "--", client, "local", &direct, &context,
    ];
    Process::run(&mut daemon.buildtap(shop.path(), &run)).success();

    let played = Played::start_file(&shop, &shop.file("own.pcapng"), &[]);
    let (client, played) = played.against(build("again"));
    assert_matches(&client, &played);
    assert!(!played.stderr.contains("incomplete"), "{played}");
    assert_eq!(files(&shop.file("again")), files(&shop.file("direct")));

    // docker asks for the context to be fetched, bollard sends it: that is a difference, and no obstacle.
    let (client, played) = Played::start(&shop, "local-export", &[]).against(build("other"));
    assert!(client.status.success(), "{client}\n{played}");
    assert_eq!(played.code(), 1, "{played}");
    assert!(played.stderr.contains("-remote=client-session"), "{played}");
    assert_eq!(files(&shop.file("other")), recorded_export("local-export"));
}

#[test]
fn a_real_daemon_serves_the_recorded_client() {
    // One of its own: what others have built it would not ask for.
    let Some(daemon) = Daemon::start_another(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    for name in ["local-export", "tar-export", "secret", "failing-dockerfile"] {
        let file = capture(name);
        let mut client = program::command(
            shop.path(),
            &["replay", file.to_str().unwrap(), "--as", "client"],
        );
        client.args(["--connect", &daemon.address]);
        let client = Process::run(&mut client);
        // What the daemon has already it does not ask for.
        let others: Vec<_> = client
            .stderr
            .lines()
            .filter(|line| line.starts_with("different: ") || line.starts_with("missing: "))
            .filter(|line| !line.contains("the daemon asked for 0 files"))
            .collect();
        assert!(others.is_empty(), "{name}: {client}");
        assert!(
            client.stderr.contains("asked: POST /build: 200"),
            "{client}"
        );
    }
}
