//! How fast a capture's spans reach a receiver that others wrote (rotel, which `tests/lab/install.sh`
//! installs), and how much memory that takes: of a capture with many files, and of one with five
//! times as many, so that it can be seen whether memory grows with them.
//!
//! ```text
//! cargo bench -p buildtap --bench otlp
//! BENCH_FILES=20000 BENCH_ROUNDS=5 cargo bench -p buildtap --bench otlp
//! ```

#[path = "../../decoder/tests/common/mod.rs"]
mod common;
mod measure;

use std::env;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use buildtap::address::Address;
use buildtap::listen::{Listener, PrivateDirectory};
use buildtap::notice::Notices;
use buildtap::record::{self, Recorder};
use buildtap::relay::{Phase, Relay};
use buildtap::tap::Tap;
use buildtap::watch::{DecodingTap, Showing};
use buildtap_decoder::Options;
use buildtap_fixtures::capture::write::create;
use buildtap_fixtures::peers::net::{Address as Peer, Listener as PeerListener};
use buildtap_fixtures::peers::scenario::{self, Scene};
use buildtap_fixtures::peers::tree::{Content, Tree};
use measure::*;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

fn main() {
    let Some(rotel) = rotel() else {
        println!("there is no receiver: run tests/lab/install.sh");
        return;
    };
    let files = setting("BENCH_FILES", 100_000);
    let rounds = setting("BENCH_ROUNDS", 3);
    let home = TempDir::new().unwrap();
    let runtime = Runtime::new().unwrap();
    for count in [files / 5, files] {
        let capture = home.path().join(format!("{count}.pcapng"));
        record(&runtime, home.path(), &capture, count);
        for protocol in ["grpc", "http/protobuf"] {
            let mut rates = Vec::new();
            let mut memory = Vec::new();
            for _ in 0..rounds {
                let receiver = Receiver::start(&rotel, home.path());
                let (spans, seconds, peak) = export(&capture, &receiver, protocol);
                assert!(spans >= count, "{spans} spans");
                rates.push(spans as f64 / seconds);
                memory.push(peak as f64 / 1024.0);
            }
            println!(
                "{count:7} files  {protocol:13}  {:9.0} spans/s  {:6.1} MiB at most",
                median(rates),
                median(memory)
            );
        }
    }
}

fn rotel() -> Option<PathBuf> {
    let lab = env::var_os("BUILDTAP_LAB").unwrap_or_else(|| "/var/cache/buildtap-lab".into());
    let program = Path::new(&lab).join("otlp/bin/rotel-agent");
    program.exists().then_some(program)
}

/// Records a build whose context has so many files.
fn record(runtime: &Runtime, home: &Path, to: &Path, files: u64) {
    let mut tree = Tree::new();
    for number in 0..files {
        tree = tree.file(&format!("{number:06}"), Content::seeded(number, 64));
    }
    let Scene { mut client, daemon } = scenario::bulk(1, 1);
    client.context = tree;
    let client = client.give_up_after(Duration::from_secs(600));
    let private = PrivateDirectory::create(home).unwrap();
    let upstream = home.join(format!("{files}.sock"));
    let daemon_at = Peer::Unix(upstream.clone());
    let listener = runtime.block_on(PeerListener::bind(&daemon_at)).unwrap();
    let serving = runtime.spawn(scenario::daemon(listener, daemon));
    let about = record::about(None, false);
    let output = create(to).unwrap();
    let limit = 1 << 30;
    let recorder = Recorder::with_limit(output, to.to_owned(), &about, Notices::stderr(), limit);
    let recorder = Arc::new(recorder.unwrap());
    let options = Options {
        updates: true,
        ..Options::default()
    };
    let tap = DecodingTap::new(options).recording(Some(Arc::clone(&recorder)));
    let tap = Arc::new(tap);
    let showing = Showing::start(Arc::clone(&tap), Silent).unwrap();
    let (phase, watched) = watch::channel(Phase::Serve);
    runtime.block_on(async {
        let listener = Listener::private(&private, "tap.sock").unwrap();
        let Address::Unix(address) = listener.address().clone() else {
            panic!("a socket");
        };
        let relay = Relay::new(Arc::clone(&tap) as Arc<dyn Tap>, Notices::stderr());
        let relaying = tokio::spawn(relay.serve(listener, Address::Unix(upstream), watched));
        let outcome = scenario::client(&Peer::Unix(address), client).await;
        assert!(outcome.report.sent.len() >= 2, "{}", outcome.ending);
        phase.send_replace(Phase::Stop);
        relaying.await.unwrap();
    });
    serving.abort();
    showing.finish();
    recorder.finish();
}

/// The receiver while it runs.
struct Receiver {
    child: Child,
    grpc: u16,
    http: u16,
}

impl Receiver {
    fn start(program: &Path, home: &Path) -> Self {
        let port = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let (grpc, http) = (port(), port());
        let child = Command::new(program)
            .args(["start", "--exporter", "blackhole"])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .arg("--pid-file")
            .arg(home.join("rotel.pid"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        for port in [grpc, http] {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                assert!(Instant::now() < deadline, "the receiver does not listen");
                thread::sleep(Duration::from_millis(10));
            }
        }
        Receiver { child, grpc, http }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Exports by the program itself: gives spans, seconds, and the most memory it had, in KiB.
fn export(capture: &Path, receiver: &Receiver, protocol: &str) -> (u64, f64, u64) {
    let port = if protocol == "grpc" {
        receiver.grpc
    } else {
        receiver.http
    };
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_buildtap"))
        .arg("export")
        .arg(capture)
        .args(["--otlp", &format!("http://127.0.0.1:{port}")])
        .args(["--otlp-protocol", protocol])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        thread::sleep(Duration::from_millis(2));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let count = said
        .split_once("sent ")
        .and_then(|(_, rest)| rest.split(' ').next());
    (count.unwrap().parse().unwrap(), seconds, peak)
}
