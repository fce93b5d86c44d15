//! buildx and its ways to a BuildKit: the engine's own, a remote one, and one in a container.

use std::path::Path;
use std::process::Command;

use buildtap_tests::files::tree;
use buildtap_tests::lab::{Daemon, Flavour, Workshop, daemon, script};
use buildtap_tests::process::{Process, command};
use buildtap_tests::program::Proxy;
use buildtap_tests::trace::Trace;
use buildtap_tests::{unwrapped, wait_for};

/// `docker build`, which is buildx here.
const BUILD: [&str; 3] = ["build", "--progress=plain", "--network=none"];

/// What a local export of the tree must be.
fn direct(daemon: &Daemon, shop: &Workshop) {
    let output = format!("type=local,dest={}", shop.text("direct"));
    let mut docker = daemon.docker(&BUILD);
    docker.args(["--output", &output, &shop.context("tree")]);
    Process::run(docker.env("HOME", shop.path())).success();
}

#[track_caller]
fn assert_exported(shop: &Workshop, name: &str) {
    let exported = tree(&shop.file(name));
    assert_eq!(exported, tree(&shop.file("direct")));
    assert!(exported.contains_key(Path::new("sub/numbers.txt")));
}

/// The last session's calls and transfers are those of the tree's local export.
#[track_caller]
fn assert_local_export(trace: &Trace, session: &str) {
    assert_eq!(
        trace.session_calls(),
        [
            "FileSync.DiffCopy",
            "FileSync.DiffCopy",
            "FileSync.DiffCopy",
            "FileSend.DiffCopy"
        ]
    );
    let export = trace.transfers().pop().unwrap();
    assert_eq!(export["flavour"], "packet", "{export:#}");
    assert_eq!(export["exporter"], "local", "{export:#}");
    assert_eq!(export["state"], "complete", "{export:#}");
    assert_eq!(export["completed"], 4, "{export:#}");
    assert_eq!(export["bytes"], 40_033, "{export:#}");
    let exported = trace
        .of_kind("session")
        .find(|session| session["id"] == export["session"]);
    assert_eq!(exported.unwrap()["path"], session);
    let build = trace
        .of_kind("build")
        .find(|build| build["id"] == export["build"])
        .unwrap();
    assert_eq!(build["state"], "complete", "{build:#}");
    assert_eq!(trace.findings(), [""; 0]);
}

#[test]
fn the_docker_driver_speaks_grpc_and_session_upgrades() {
    let Some(daemon) = daemon(Flavour::Trixie) else {
        return;
    };
    let shop = Workshop::new();
    direct(daemon, &shop);
    let (out, context) = (
        format!("type=local,dest={}", shop.text("out")),
        shop.context("tree"),
    );
    let json = shop.text("trace.jsonl");
    let mut run = daemon.buildtap(
        shop.path(),
        &["run", "--format", "json", "--output", &json, "--", "docker"],
    );
    run.args(BUILD).args(["--output", &out, &context]);
    Process::run(&mut run).success();
    assert_exported(&shop, "out");
    assert_local_export(&Trace::read(&shop.file("trace.jsonl")), "engine-session");

    let tar = format!("type=tar,dest={}", shop.text("out.tar"));
    let mut run = daemon.buildtap(shop.path(), &["run", "--", "docker"]);
    run.args(BUILD).args(["--output", &tar, &context]);
    let ran = Process::run(&mut run).success();
    let said = unwrapped(&ran.stderr);
    for wanted in [
        "POST /grpc",
        "POST /session",
        "output 0 tar",
        "daemon → FileSend.DiffCopy exporter 0",
        "BytesMessages, because the build's exporter 0 is `tar`",
        "nothing abnormal",
    ] {
        assert!(said.contains(wanted), "{wanted}\n{ran}");
    }
}

/// The engine's BuildKit as a BuildKit of its own, on a port.
struct Adapter {
    _process: Process,
    port: String,
}

impl Adapter {
    fn start(daemon: &Daemon) -> Self {
        let mut adapter = command(script("grpc-adapter.py"));
        let process = Process::start(adapter.arg("--socket").arg(daemon.socket()));
        let port = wait_for("the adapter to listen", || {
            let said = process.stdout();
            Some(
                said.trim()
                    .strip_prefix("listening on 127.0.0.1:")?
                    .to_owned(),
            )
        });
        Adapter {
            _process: process,
            port,
        }
    }
}

/// `docker buildx` with builders of its own.
fn buildx(daemon: &Daemon, shop: &Workshop, arguments: &[&str]) -> Command {
    let mut docker = daemon.docker(arguments);
    docker
        .env("HOME", shop.path())
        .env("BUILDX_CONFIG", shop.file("buildx"));
    docker
}

/// `buildtap proxy` that writes `trace.jsonl`.
fn proxy(shop: &Workshop, upstream: &str) -> Proxy {
    let json = shop.text("trace.jsonl");
    let view = ["--format", "json", "--output", &json];
    Proxy::start(shop.path(), "tcp://127.0.0.1:0", upstream, &view)
}

#[test]
fn the_remote_driver_carries_its_session_inside_a_call() {
    let Some(daemon) = daemon(Flavour::Trixie) else {
        return;
    };
    let shop = Workshop::new();
    direct(daemon, &shop);
    let adapter = Adapter::start(daemon);
    let proxy = proxy(&shop, &format!("tcp://127.0.0.1:{}", adapter.port));
    let create = [
        "buildx",
        "create",
        "--name",
        "far",
        "--driver",
        "remote",
        &proxy.address,
    ];
    Process::run(&mut buildx(daemon, &shop, &create)).success();
    let output = format!("type=local,dest={}", shop.text("out"));
    let mut build = buildx(daemon, &shop, &["buildx"]);
    build.args(BUILD).args([
        "--builder",
        "far",
        "--output",
        &output,
        &shop.context("tree"),
    ]);
    Process::run(&mut build).success();
    proxy.process.interrupt().success();
    assert_exported(&shop, "out");
    let trace = Trace::read(&shop.file("trace.jsonl"));
    assert_local_export(&trace, "control-session");
    let nested = trace
        .of_kind("connection")
        .filter(|connection| connection["depth"] == 1 && connection["caller"] == "daemon");
    assert!(nested.count() >= 1);
}

#[test]
fn the_container_driver_goes_through_an_exec_tunnel() {
    let Some(daemon) = daemon(Flavour::Trixie) else {
        return;
    };
    let shop = Workshop::new();
    direct(daemon, &shop);
    let adapter = Adapter::start(daemon);
    let mut image = Command::new(script("contexts.sh"));
    daemon.lead(
        image
            .arg("fake-buildkit")
            .arg(shop.file("image"))
            .arg(&adapter.port),
    );
    Process::run(&mut image).success();

    let proxy = proxy(&shop, &daemon.address);
    let image = "image=fake-buildkit:latest,network=host";
    let create = [
        "buildx",
        "create",
        "--name",
        "boxed",
        "--driver",
        "docker-container",
        "--driver-opt",
        image,
    ];
    Process::run(buildx(daemon, &shop, &create).arg(&proxy.address)).success();
    let bootstrap = ["buildx", "inspect", "--bootstrap", "boxed"];
    Process::run(&mut buildx(daemon, &shop, &bootstrap)).success();
    let output = format!("type=local,dest={}", shop.text("out"));
    let mut build = buildx(daemon, &shop, &["buildx"]);
    build.args(BUILD).args([
        "--builder",
        "boxed",
        "--output",
        &output,
        &shop.context("tree"),
    ]);
    Process::run(&mut build).success();
    let remove = ["buildx", "rm", "boxed"];
    Process::run(&mut buildx(daemon, &shop, &remove)).success();
    proxy.process.interrupt().success();
    assert_exported(&shop, "out");
    let trace = Trace::read(&shop.file("trace.jsonl"));
    assert_local_export(&trace, "control-session");
    assert!(
        trace
            .of_kind("connection")
            .any(|connection| connection["protocol"] == "exec-tunnel")
    );
}
