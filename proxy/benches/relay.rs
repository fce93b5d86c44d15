//! What the relay costs: throughput of one direction and latency of small messages, as ratios
//! to the same two programs talking directly and to the barest relay that tokio offers.
//!
//! ```text
//! cargo bench -p buildtap --bench relay
//! BENCH_MIB=256 BENCH_ROUNDS=3 cargo bench -p buildtap --bench relay -- tap
//! ```
//!
//! Runs alternate: every measurement of a contender follows one of the direct connection and
//! one of `copy_bidirectional`, so that all three see the same machine. A line gives the
//! median of these ratios and the smallest and largest one, for the throughput and for the
//! processor time of all that take part. What `direct` makes against itself, and
//! `copy_bidirectional` against itself, is the noise: differences of that size mean nothing.
//! On a machine that is busy with other things, look at the processor time. Arguments choose
//! contenders by a part of their names.
//!
//! The decoding tap shows after each run of DiffCopy traffic that it understood all of it: a
//! decoder that gave up would be fast.
//!
//! A contender with a tap is a [`Contender`] with a function that makes the tap; other traffic
//! is a [`Traffic`] with functions that write it.

#[path = "../../decoder/tests/common/mod.rs"]
mod common;
mod measure;

use std::env;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use buildtap::address::Address;
use buildtap::listen::{Listener, PrivateDirectory};
use buildtap::notice::Notices;
use buildtap::relay::{BUFFER_SIZE, Phase, Relay};
use buildtap::screen::LiveFeed;
use buildtap::tap::{NullTap, Tap};
use buildtap::watch::{DecodingTap, Showing};
use buildtap_decoder::Options;
use buildtap_decoder::describe::Describer;
use buildtap_decoder::event::{TapEvent, TapId, Time};
use buildtap_decoder::trace::{Flavour, TransferState};
use buildtap_proto::fsutil::types::packet::PacketType;
use buildtap_proto::schema::Schemas;
use buildtap_tui::app::App;
use buildtap_tui::model::{Shared, Source};
use buildtap_tui::palette::Palette;
use common::*;
use measure::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// What is said in the throughput measurement.
struct Traffic {
    name: &'static str,
    /// What is said first, not measured.
    before: fn(u64) -> Talk,
    /// What the client writes again and again.
    block: fn() -> Vec<u8>,
    /// What is said last, not measured.
    after: fn() -> Talk,
    /// Whether these are the bytes of a build, which a decoder must understand.
    is_a_build: bool,
}

const TRAFFIC: &[Traffic] = &[
    Traffic {
        name: "DiffCopy packets of 32 KiB",
        before: |bytes| {
            let mut talk = Talk::default();
            talk.http2(Client);
            talk.call(Client, 1, FILE_SEND, &[]);
            talk.packet(Client, 1, &stat("file", 0o644, bytes as i64));
            talk.packet(Client, 1, &stat("next", 0o644, 1234));
            talk.packet(Client, 1, &plain(PacketType::PacketStat, 0));
            talk.accept(Daemon, 1);
            talk.packet(Daemon, 1, &plain(PacketType::PacketReq, 0));
            talk
        },
        block: || {
            let mut talk = Talk::default();
            talk.packet(Client, 1, &data(0, vec![0x5a; BLOCK as usize]));
            talk.0.into_iter().flat_map(|(_, bytes)| bytes).collect()
        },
        after: || {
            let mut talk = Talk::default();
            talk.packet(Client, 1, &plain(PacketType::PacketData, 0));
            talk.packet(Daemon, 1, &plain(PacketType::PacketFin, 0));
            talk.packet(Client, 1, &plain(PacketType::PacketFin, 0));
            talk.end(Client, 1);
            talk.status(Daemon, 1, 0, "");
            talk
        },
        is_a_build: true,
    },
    Traffic {
        name: "32 KiB of anything",
        before: |_| Talk::default(),
        block: || vec![0x5a; BLOCK as usize],
        after: Talk::default,
        is_a_build: false,
    },
];

/// Bytes of contents in one write of the client.
const BLOCK: u64 = 32 << 10;
/// The windows of [`Talk::http2`] allow no more without updates.
const MOST_MIB: u64 = 1536;

/// Something between client and daemon.
struct Contender {
    name: &'static str,
    kind: Kind,
}

enum Kind {
    /// Nothing.
    Direct,
    /// The relay of this crate, with this tap.
    Relay(fn() -> Arc<dyn Tap>),
    /// The relay of this crate as `run` has it: it decodes, and a thread shows.
    Decoding,
    /// The same with a screen, drawn twenty times a second into memory.
    Screen,
    /// tokio's own, with buffers of the same size.
    CopyBidirectional,
    /// socat(1), with buffers of the same size; left out if it is not installed.
    Socat,
}

const CONTENDERS: &[Contender] = &[
    Contender {
        name: "direct",
        kind: Kind::Direct,
    },
    Contender {
        name: "relay, null tap",
        kind: Kind::Relay(|| Arc::new(NullTap)),
    },
    Contender {
        name: "relay, reading tap",
        kind: Kind::Relay(|| Arc::new(SummingTap::default())),
    },
    Contender {
        name: "relay, decoding tap",
        kind: Kind::Decoding,
    },
    Contender {
        name: "relay, decoding tap, screen",
        kind: Kind::Screen,
    },
    Contender {
        name: "copy_bidirectional",
        kind: Kind::CopyBidirectional,
    },
    Contender {
        name: "socat",
        kind: Kind::Socat,
    },
];

/// Looks at every byte once: the least that any decoder does.
#[derive(Default)]
struct SummingTap(AtomicU64);

impl Tap for SummingTap {
    fn event(&self, _: TapId, _: Time, event: TapEvent<'_>) {
        if let TapEvent::Chunk { bytes, .. } = event {
            let sum = bytes.iter().fold(0_u64, |sum, byte| sum + u64::from(*byte));
            self.0.fetch_add(sum, Ordering::Relaxed);
        }
    }
}

/// A daemon's socket with something in front of it.
struct Bed {
    daemon: UnixListener,
    entrance: PathBuf,
    _stop: Option<watch::Sender<Phase>>,
    decoding: Option<Arc<DecodingTap>>,
    showing: Option<Showing<Silent>>,
    screen: Option<(Showing<LiveFeed>, Arc<Shared>)>,
    socat: Option<Child>,
    _directory: TempDir,
}

impl Bed {
    /// `None` if the contender is not installed.
    fn new(kind: &Kind, runtime: &Handle) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let exit = directory.path().join("daemon.sock");
        let daemon = UnixListener::bind(&exit).unwrap();
        let entrance = directory.path().join("entrance.sock");
        let mut bed = Bed {
            daemon,
            entrance,
            _stop: None,
            decoding: None,
            showing: None,
            screen: None,
            socat: None,
            _directory: directory,
        };
        match kind {
            Kind::Direct => bed.entrance = exit,
            Kind::Relay(tap) => bed.relay(tap(), exit, runtime),
            Kind::Decoding => {
                let tap = Arc::new(DecodingTap::new(Options {
                    updates: true,
                    ..Options::default()
                }));
                bed.decoding = Some(Arc::clone(&tap));
                bed.showing = Some(Showing::start(Arc::clone(&tap), Silent).unwrap());
                bed.relay(tap, exit, runtime);
            }
            Kind::Screen => {
                let options = buildtap::screen::options(Options::default());
                let tap = Arc::new(DecodingTap::new(options));
                bed.decoding = Some(Arc::clone(&tap));
                let shared = Shared::new(Source::Live("bench".into()));
                let feed = LiveFeed::new(Arc::clone(&shared));
                let showing = Showing::start(Arc::clone(&tap), feed).unwrap();
                thread::spawn({
                    let shared = Arc::clone(&shared);
                    move || draw(&shared)
                });
                bed.screen = Some((showing, shared));
                bed.relay(tap, exit, runtime);
            }
            Kind::CopyBidirectional => {
                let _in_runtime = runtime.enter();
                let listener = tokio::net::UnixListener::bind(&bed.entrance).unwrap();
                runtime.spawn(copy_bidirectional(listener, exit));
            }
            Kind::Socat => bed.socat = Some(start_socat(&bed.entrance, &exit)?),
        }
        Some(bed)
    }

    fn relay(&mut self, tap: Arc<dyn Tap>, exit: PathBuf, runtime: &Handle) {
        let _in_runtime = runtime.enter();
        let private = PrivateDirectory::create(self._directory.path()).unwrap();
        let listener = Listener::private(&private, "tap.sock").unwrap();
        self.entrance = listener.address().path().unwrap().to_owned();
        let (sender, phase) = watch::channel(Phase::Serve);
        self._stop = Some(sender);
        let relay = Relay::new(tap, Notices::stderr());
        runtime.spawn(relay.serve(listener, Address::Unix(exit), phase));
    }

    fn connect(&self) -> (UnixStream, UnixStream) {
        let client = UnixStream::connect(&self.entrance).unwrap();
        (client, self.daemon.accept().unwrap().0)
    }

    /// What it costs to send so many bytes.
    fn one_way(&self, traffic: &Traffic, bytes: u64) -> Cost {
        let (mut client, mut daemon) = self.connect();
        play((traffic.before)(bytes), &mut client, &mut daemon);
        let block = (traffic.block)();
        let blocks = bytes / BLOCK;
        let mut rest = blocks * block.len() as u64;
        let (start, start_processor) = (Instant::now(), processor_time());
        let writing = thread::spawn(move || {
            for _ in 0..blocks {
                client.write_all(&block).unwrap();
            }
            client
        });
        let mut buffer = vec![0; 64 * 1024];
        while rest > 0 {
            let n = daemon.read(&mut buffer).unwrap();
            assert!(n > 0, "the connection ended early");
            black_box(&buffer);
            rest -= n as u64;
        }
        let cost = Cost {
            time: start.elapsed().as_secs_f64(),
            processor_time: processor_time() - start_processor,
        };
        let mut client = writing.join().unwrap();
        play((traffic.after)(), &mut client, &mut daemon);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(daemon.read(&mut buffer).unwrap(), 0);
        drop(daemon);
        assert_eq!(client.read(&mut buffer).unwrap(), 0);
        if let Some(tap) = self.decoding.as_ref().filter(|_| traffic.is_a_build) {
            understood(tap, bytes);
        }
        cost
    }

    /// Times of round trips of 100 bytes, sorted: messages of a gRPC call.
    fn ping_pong(&self, count: usize) -> Vec<Duration> {
        let (mut client, mut daemon) = self.connect();
        let mut before = Talk::default();
        before
            .http2(Client)
            .call(Client, 1, "/bench.Echo/Echo", &[]);
        play(before.accept(Daemon, 1).clone(), &mut client, &mut daemon);
        let answering = thread::spawn(move || {
            let mut message = [0; 100];
            while daemon.read_exact(&mut message).is_ok() {
                daemon.write_all(&message).unwrap();
            }
        });
        let mut message = frame(0, 0, 1, &grpc(&[0x5a; 86]));
        assert_eq!(message.len(), 100);
        let mut times: Vec<_> = (0..count)
            .map(|_| {
                let start = Instant::now();
                client.write_all(&message).unwrap();
                client.read_exact(&mut message).unwrap();
                start.elapsed()
            })
            .collect();
        drop(client);
        answering.join().unwrap();
        times.sort_unstable();
        times
    }
}

/// What a run took, in seconds.
#[derive(Clone, Copy)]
struct Cost {
    time: f64,
    /// Of this process.
    processor_time: f64,
}

/// Asserts that the tap saw the newest connection as one complete transfer of so many bytes.
fn understood(tap: &DecodingTap, bytes: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let is_closed = || {
        tap.with(|decoder| {
            let connection = decoder.trace().connections.iter().next_back().unwrap();
            connection.closed.is_some()
        })
    };
    while !is_closed() {
        assert!(Instant::now() < deadline, "the tap was not told of the end");
        thread::yield_now();
    }
    tap.with(|decoder| {
        let trace = decoder.trace();
        assert!(trace.findings.is_empty(), "{:?}", trace.findings);
        let transfer = trace.transfers.iter().next_back().unwrap();
        assert_eq!(transfer.bytes, bytes);
        assert_eq!(transfer.flavour, Flavour::Packet);
        assert_eq!(transfer.state, TransferState::Complete);
        let connections = trace.connections.iter().next_back().unwrap();
        let call = trace.calls.get(transfer.call).unwrap();
        assert_eq!(call.connection, connections.id);
    });
}

/// Draws what is new, as the screen does.
fn draw(shared: &Shared) {
    let describer = Describer::new(Schemas::default(), false);
    let mut app = App::new(describer, Palette::new(true));
    let area = Rect::new(0, 0, 200, 60);
    let mut drawn = 0;
    while !shared.is_stopped() {
        let revision = shared.revision();
        if std::mem::replace(&mut drawn, revision) != revision {
            let mut buf = Buffer::empty(area);
            app.draw(&shared.lock(), Time::now(), area, &mut buf);
            black_box(buf);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some((showing, shared)) = self.screen.take() {
            showing.finish();
            shared.stop();
        }
        if let Some(showing) = self.showing.take() {
            showing.finish();
        }
        if let Some(socat) = &mut self.socat {
            let _ = socat.kill();
            let _ = socat.wait();
        }
    }
}

async fn copy_bidirectional(listener: tokio::net::UnixListener, exit: PathBuf) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut daemon = tokio::net::UnixStream::connect(&exit).await.unwrap();
        tokio::spawn(async move {
            let size = BUFFER_SIZE;
            let _ = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut daemon, size, size)
                .await;
        });
    }
}

fn start_socat(entrance: &Path, exit: &Path) -> Option<Child> {
    let child = Command::new("socat")
        .arg(format!("-b{BUFFER_SIZE}"))
        .arg(format!("UNIX-LISTEN:{},fork", entrance.display()))
        .arg(format!("UNIX-CONNECT:{}", exit.display()))
        .stdin(Stdio::null())
        .spawn()
        .ok()?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while !entrance.exists() && Instant::now() < deadline {
        thread::yield_now();
    }
    Some(child)
}

/// The ratios of the runs of one contender.
#[derive(Default)]
struct Ratios {
    /// Throughput.
    of_direct: Vec<f64>,
    of_bare: Vec<f64>,
    processor_time: Vec<f64>,
    mib_per_second: Vec<f64>,
}

fn throughput(traffic: &Traffic, beds: &[(&Contender, Bed)], base: [&Bed; 2], rounds: u64) {
    let mib = setting("BENCH_MIB", 1024).min(MOST_MIB);
    let [direct, bare] = base;
    let mut all: Vec<_> = beds.iter().map(|_| Ratios::default()).collect();
    for _ in 0..rounds {
        for ((_, bed), ratios) in beds.iter().zip(&mut all) {
            let [direct, bare, took] =
                [direct, bare, bed].map(|bed| bed.one_way(traffic, mib << 20));
            ratios.of_direct.push(direct.time / took.time);
            ratios.of_bare.push(bare.time / took.time);
            ratios
                .processor_time
                .push(took.processor_time / direct.processor_time);
            ratios.mib_per_second.push(mib as f64 / took.time);
        }
    }
    println!("one way, {mib} MiB, {}, {rounds} rounds", traffic.name);
    println!(
        "  {:20} {:22} {:22} {:22} MiB/s",
        "", "throughput / direct", "/ copy_bidirectional", "processor time / direct"
    );
    for ((contender, _), ratios) in beds.iter().zip(all) {
        let processor_time = match contender.kind {
            Kind::Socat => "    - (other process)".to_owned(),
            _ => spread(&ratios.processor_time),
        };
        println!(
            "  {:20} {:22} {:22} {processor_time:22} {:6.0}",
            contender.name,
            spread(&ratios.of_direct),
            spread(&ratios.of_bare),
            median(ratios.mib_per_second),
        );
    }
}

fn latency(beds: &[(&Contender, Bed)], rounds: u64) {
    let count = 20_000;
    let mut all = vec![[Vec::new(), Vec::new()]; beds.len()];
    for _ in 0..rounds {
        for ((_, bed), [middle, slow]) in beds.iter().zip(&mut all) {
            let times = bed.ping_pong(count);
            middle.push(times[count / 2].as_secs_f64() * 1e6);
            slow.push(times[count * 99 / 100].as_secs_f64() * 1e6);
        }
    }
    println!("100 bytes there and back, {count} times, {rounds} rounds, microseconds");
    println!("  {:20} {:22} {:22}", "", "p50", "p99");
    for ((contender, _), [middle, slow]) in beds.iter().zip(all) {
        println!(
            "  {:20} {:22} {:22}",
            contender.name,
            spread(&middle),
            spread(&slow)
        );
    }
}

fn main() {
    let rounds = setting("BENCH_ROUNDS", 5).max(1);
    let workers = setting("BENCH_WORKERS", 2);
    let runtime = if workers == 0 {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    } else {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers as usize)
            .enable_all()
            .build()
            .unwrap()
    };
    let handle = runtime.handle().clone();
    let handle = &handle;
    if workers == 0 {
        thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    } else {
        std::mem::forget(runtime);
    }
    let direct = Bed::new(&Kind::Direct, handle).unwrap();
    let bare = Bed::new(&Kind::CopyBidirectional, handle).unwrap();
    let wanted: Vec<_> = env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    let beds: Vec<_> = CONTENDERS
        .iter()
        .filter(|contender| chosen(contender.name))
        .filter_map(|contender| Some((contender, Bed::new(&contender.kind, handle)?)))
        .collect();
    for traffic in TRAFFIC {
        throughput(traffic, &beds, [&direct, &bare], rounds);
    }
    latency(&beds, rounds);
}
