//! bollard: a client in Rust with h2 and tonic, which no other client here has.
//!
//! Its exports go by `POST /build` with the context in the body, its images by `Control.Solve` with `Upload.Pull`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use buildtap_tests::assert_says;
use buildtap_tests::clients;
use buildtap_tests::files::{Content, tree};
use buildtap_tests::lab::{Daemon, Flavour, Workshop, daemon};
use buildtap_tests::process::Process;
use buildtap_tests::trace::Trace;
use rustix::process::Signal;

const CANARY: &str = "canary-secret-8d1f3c5e7a9b";

/// The client under `buildtap run`, with these arguments of its own.
fn tapped(daemon: &Daemon, shop: &Workshop, view: &[&str], arguments: &[&str]) -> Command {
    let client = clients::bollard().to_str().unwrap();
    let mut all = vec!["run"];
    all.extend(view);
    all.extend(["--", client]);
    all.extend(arguments);
    daemon.buildtap(shop.path(), &all)
}

#[test]
fn a_local_export_is_packets_and_nothing_is_wrong() {
    for flavour in [Flavour::Bookworm, Flavour::Trixie] {
        let Some(daemon) = daemon(flavour) else {
            return;
        };
        let shop = Workshop::new();
        let (out, context) = (shop.text("out"), shop.context("tree"));
        let build = ["--no-cache", "local", &out, &context];
        let ran = Process::run(&mut tapped(daemon, &shop, &[], &build)).success();
        let exported = tree(&shop.file("out"));
        let numbers = &exported[Path::new("sub/numbers.txt")].content;
        assert!(matches!(numbers, Content::File(bytes) if bytes.len() == 40_000));
        assert_says(
            &ran,
            &[
                "path POST /build + POST /grpc + POST /session",
                "build 1 complete in ",
                "output 0 local",
                "daemon → FileSend.DiffCopy exporter 0",
                "packet: 7 entries, 4 files, 4 requested, 4 complete, 39.1 KiB; complete (FIN answered by FIN)",
                "fsutil Packets, because the build's exporter 0 is `local`, which sends a tree as fsutil Packets; the \
                 first message begins with field 2 (12), a Packet's stat",
                "nothing abnormal",
            ],
        );
    }
}

#[test]
fn every_call_is_named_in_json() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let json = shop.text("trace.jsonl");
    let view = ["--format", "json", "--output", &json];
    let (out, run) = (shop.text("out.tar"), shop.context("run"));
    let build = ["--no-cache", "tar", &out, &run];
    Process::run(&mut tapped(daemon, &shop, &view, &build)).success();
    let trace = Trace::read(&shop.file("trace.jsonl"));
    assert_eq!(trace.session_calls(), ["FileSend.DiffCopy"]);
    let export = trace.only("transfer");
    assert_eq!(export["flavour"], "bytes", "{export:#}");
    assert_eq!(export["exporter"], "tar", "{export:#}");
    let archive = fs::metadata(shop.file("out.tar")).unwrap();
    assert_eq!(export["bytes"], archive.len(), "{export:#}");
    assert_eq!(trace.only("build")["state"], "complete");
    assert_eq!(trace.findings(), [""; 0]);
}

#[test]
fn an_image_and_its_secret_by_solve() {
    for flavour in [Flavour::Bookworm, Flavour::Trixie] {
        let Some(daemon) = daemon(flavour) else {
            return;
        };
        let shop = Workshop::new();
        let secret = format!("token={}", shop.context("token"));
        let context = shop.context("secret");
        let build = [
            "--no-cache",
            "--secret",
            &secret,
            "image",
            "made-by-bollard",
            &context,
        ];
        let ran = Process::run(&mut tapped(daemon, &shop, &["--log"], &build)).success();
        assert_says(
            &ran,
            &[
                "path POST /grpc + POST /session",
                "client → Control.Solve",
                "daemon → Upload.Pull",
                "daemon → Secrets.GetSecret token",
                "nothing abnormal",
            ],
        );
        assert!(!ran.stderr.contains(CANARY), "{ran}");
    }
}

/// bollard 0.21 says FIN when the last file has arrived; where there is none it never does, and waits, as the daemon
/// does.
#[test]
fn an_export_without_files_hangs_and_it_is_said_why() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let context = shop.file("contexts/no-files");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM scratch\nWORKDIR /empty\n").unwrap();
    let (out, context) = (shop.text("out"), shop.context("no-files"));
    let view = ["--stall-after", "1s"];
    let build = ["local", &out, &context];
    let mut process = Process::start(&mut tapped(daemon, &shop, &view, &build));
    process.wait_until_said(" fin-missing");
    process.signal_group(Signal::INT);
    let ended = process.finish_within(Duration::from_secs(10));
    assert_says(
        &ended,
        &["the client must say FIN: there is no file to ask for"],
    );
    assert!(!ended.stderr.contains("packets-read-as-bytes"), "{ended}");
}
