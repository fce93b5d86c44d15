//! How fast a capture's spans reach a receiver that others wrote (rotel, which `tests/lab/install.sh`
//! installs), and how much memory that takes: of a capture with many files, and of one with five
//! times as many, so that it can be seen whether memory grows with them.
//!
//! Then, what collectors cost a build that goes through `buildtap proxy`: one that takes spans, and
//! some that hang, refuse, reset or answer errors, by turns with builds without a collector. What is
//! printed are quotients within one round, and how long buildtap took to end.
//!
//! ```text
//! cargo bench -p buildtap --bench otlp
//! BENCH_FILES=20000 BENCH_ROUNDS=5 cargo bench -p buildtap --bench otlp
//! BENCH_ONLY=builds BENCH_BUILDS=21 cargo bench -p buildtap --bench otlp
//! ```

#[path = "../../decoder/tests/common/mod.rs"]
mod common;
mod measure;

use std::env;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
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
    let only = env::var("BENCH_ONLY").unwrap_or_default();
    if only != "exports" {
        builds(&runtime, &rotel, home.path(), setting("BENCH_BUILDS", 11));
    }
    if only == "builds" {
        return;
    }
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

/// Builds with each kind of collector, by turns.
fn builds(runtime: &Runtime, rotel: &Path, home: &Path, rounds: u64) {
    let receiver = Receiver::start(rotel, home);
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let collectors: [(&str, &str, Option<u16>); 8] = [
        ("none", "", None),
        ("takes them, gRPC", "grpc", Some(receiver.grpc)),
        ("takes them, HTTP", "http/protobuf", Some(receiver.http)),
        ("hangs, gRPC", "grpc", Some(server(hang))),
        ("hangs, HTTP", "http/protobuf", Some(server(hang))),
        ("refuses", "grpc", Some(gone)),
        ("resets", "http/protobuf", Some(server(reset))),
        ("answers 503", "http/protobuf", Some(server(unavailable))),
    ];
    let mut taken = vec![Vec::new(); collectors.len()];
    let mut ended = vec![Vec::new(); collectors.len()];
    // The first round is for the caches.
    for round in 0..=rounds {
        for turn in 0..collectors.len() {
            let at = (turn + round as usize) % collectors.len();
            let (_, protocol, port) = collectors[at];
            let (took, ending) = build(runtime, home, protocol, port);
            if round > 0 {
                taken[at].push(took);
                ended[at].push(ending);
            }
        }
    }
    for (at, (name, ..)) in collectors.iter().enumerate() {
        let without = taken[0].iter();
        let quotients: Vec<f64> = taken[at].iter().zip(without).map(|(a, b)| a / b).collect();
        println!(
            "collector {name:16}  {:6.0} ms  {} of a build without  end {:5.2} s",
            median(taken[at].clone()) * 1e3,
            spread(&quotients),
            median(ended[at].clone()),
        );
    }
}

/// Seconds that a build takes, and that buildtap takes to end: 2,000 files go up, 32 MiB come back.
fn build(runtime: &Runtime, home: &Path, protocol: &str, port: Option<u16>) -> (f64, f64) {
    let directory = TempDir::new_in(home).unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut tree = Tree::new();
    for number in 0..2_000 {
        tree = tree.file(&format!("{number:06}"), Content::seeded(number, 4 << 10));
    }
    let Scene { mut client, daemon } = scenario::bulk(1, 32 << 20);
    client.context = tree;
    let client = client.give_up_after(Duration::from_secs(60));
    let daemon_at = Peer::Unix(path("daemon.sock"));
    let listener = runtime.block_on(PeerListener::bind(&daemon_at)).unwrap();
    let serving = runtime.spawn(scenario::daemon(listener, daemon));
    let unix = |name: &str| format!("unix://{}", path(name).display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_buildtap"));
    command
        .args(["proxy", "--listen", &unix("tap.sock")])
        .args(["--upstream", &unix("daemon.sock")])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(port) = port {
        command
            .args(["--otlp", &format!("http://127.0.0.1:{port}")])
            .args(["--otlp-protocol", protocol]);
    }
    let mut proxy = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while UnixStream::connect(path("tap.sock")).is_err() {
        assert!(Instant::now() < deadline, "the proxy does not listen");
        thread::sleep(Duration::from_millis(2));
    }
    let begun = Instant::now();
    let outcome = runtime.block_on(scenario::client(&Peer::Unix(path("tap.sock")), client));
    let took = begun.elapsed().as_secs_f64();
    assert!(outcome.report.sent.len() >= 2, "{}", outcome.ending);
    serving.abort();
    let begun = Instant::now();
    let id = rustix::process::Pid::from_child(&proxy);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    proxy.wait().unwrap();
    (took, begun.elapsed().as_secs_f64())
}

/// A server that does this with whoever connects; gives its port.
fn server(answer: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    port
}

/// Takes the connection, reads, and says nothing.
fn hang(mut stream: TcpStream) {
    let mut buffer = [0; 65_536];
    while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
}

/// Closes with bytes that were not read, which TCP answers with a reset.
fn reset(mut stream: TcpStream) {
    let _ = stream.read(&mut [0]);
}

fn unavailable(mut stream: TcpStream) {
    let mut buffer = [0; 65_536];
    let _ = stream.read(&mut buffer);
    let _ = stream.write_all(
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let _ = stream.read(&mut buffer);
}

/// The receiver while it runs.
struct Receiver {
    child: Child,
    grpc: u16,
    http: u16,
}

impl Receiver {
    fn start(program: &Path, home: &Path) -> Self {
        // Both are taken before either is given back.
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners = [listen(), listen()];
        let [grpc, http] = listeners.map(|listener| listener.local_addr().unwrap().port());
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
        .args(["--otlp-protocol", protocol, "--file-spans", "all"])
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
