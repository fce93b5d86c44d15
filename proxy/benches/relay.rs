//! What the relay costs: throughput of one direction and latency of small messages, as ratios
//! to the same two programs talking directly.
//!
//! ```text
//! cargo bench -p buildtap --bench relay
//! BENCH_MIB=256 BENCH_ROUNDS=3 cargo bench -p buildtap --bench relay -- tap
//! ```
//!
//! Every measurement of a contender follows one of the direct connection, so that both see the
//! same machine; a line gives the median of these ratios and the smallest and largest one, for
//! the time that passed and for the processor time of all that take part. The contender
//! `direct` is the noise: differences of that size mean nothing. On a machine that is busy
//! with other things, look at the processor time. Arguments choose contenders by a part of
//! their names.
//!
//! A contender with a tap is a [`Contender`] with a function that makes the tap; other traffic
//! is a [`Traffic`] with a function that writes it.

use std::env;
use std::hint::black_box;
use std::io::{self, Read, Write};
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
use buildtap::tap::{NullTap, Tap};
use buildtap_decoder::event::{TapEvent, TapId, Time};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

/// What the client sends in the throughput measurement.
struct Traffic {
    name: &'static str,
    /// Writes about this many bytes.
    write: fn(&mut dyn Write, u64) -> io::Result<()>,
}

const TRAFFIC: &[Traffic] = &[Traffic {
    name: "32 KiB writes",
    write: |to, bytes| {
        let block = vec![0x5a; 32 * 1024];
        for _ in 0..bytes / block.len() as u64 {
            to.write_all(&block)?;
        }
        Ok(())
    },
}];

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
    socat: Option<Child>,
    _directory: TempDir,
}

impl Bed {
    /// `None` if the contender is not installed.
    fn new(kind: &Kind, runtime: &Handle) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let exit = directory.path().join("daemon.sock");
        let daemon = UnixListener::bind(&exit).unwrap();
        let mut entrance = directory.path().join("entrance.sock");
        let mut stop = None;
        let mut socat = None;
        match kind {
            Kind::Direct => entrance = exit,
            Kind::Relay(tap) => {
                let _in_runtime = runtime.enter();
                let private = PrivateDirectory::create(directory.path()).unwrap();
                let listener = Listener::private(&private, "tap.sock").unwrap();
                entrance = listener.address().path().unwrap().to_owned();
                let (sender, phase) = watch::channel(Phase::Serve);
                stop = Some(sender);
                let relay = Relay::new(tap(), Notices::stderr());
                runtime.spawn(relay.serve(listener, Address::Unix(exit), phase));
            }
            Kind::CopyBidirectional => {
                let _in_runtime = runtime.enter();
                let listener = tokio::net::UnixListener::bind(&entrance).unwrap();
                runtime.spawn(copy_bidirectional(listener, exit));
            }
            Kind::Socat => {
                socat = Some(start_socat(&entrance, &exit)?);
            }
        }
        Some(Self {
            daemon,
            entrance,
            _stop: stop,
            socat,
            _directory: directory,
        })
    }

    fn connect(&self) -> (UnixStream, UnixStream) {
        let client = UnixStream::connect(&self.entrance).unwrap();
        (client, self.daemon.accept().unwrap().0)
    }

    /// Time from the client's first byte to the daemon's end of file, and the processor time
    /// that this process took for it.
    fn one_way(&self, traffic: &Traffic, bytes: u64) -> [f64; 2] {
        let (mut client, mut daemon) = self.connect();
        let write = traffic.write;
        let (start, start_cpu) = (Instant::now(), processor_time());
        let writing = thread::spawn(move || {
            write(&mut client, bytes).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            client
        });
        let mut buffer = vec![0; 64 * 1024];
        while daemon.read(&mut buffer).unwrap() > 0 {
            black_box(&buffer);
        }
        let took = [start.elapsed().as_secs_f64(), processor_time() - start_cpu];
        drop(writing.join().unwrap());
        took
    }

    /// Times of round trips of 100 bytes, sorted.
    fn ping_pong(&self, count: usize) -> Vec<Duration> {
        let (mut client, mut daemon) = self.connect();
        let answering = thread::spawn(move || {
            let mut message = [0; 100];
            while daemon.read_exact(&mut message).is_ok() {
                daemon.write_all(&message).unwrap();
            }
        });
        let mut message = [0x5a; 100];
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

impl Drop for Bed {
    fn drop(&mut self) {
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

/// Seconds.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Median, smallest and largest.
fn spread(mut ratios: Vec<f64>) -> (f64, f64, f64) {
    ratios.sort_by(f64::total_cmp);
    let last = ratios.len() - 1;
    (ratios[last / 2], ratios[0], ratios[last])
}

fn setting(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(value) => value.parse().expect(name),
        Err(_) => default,
    }
}

fn main() {
    let bytes = setting("BENCH_MIB", 1024) * 1024 * 1024;
    let rounds = setting("BENCH_ROUNDS", 5).max(1);
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let direct = Bed::new(&Kind::Direct, handle).unwrap();
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
        println!(
            "one way, {} MiB in {}, {rounds} rounds: as a multiple of direct",
            bytes >> 20,
            traffic.name
        );
        println!("  {:20} time                    processor time", "");
        let mut times = vec![Vec::new(); beds.len()];
        let mut processor_times = vec![Vec::new(); beds.len()];
        let mut fastest = vec![f64::MAX; beds.len()];
        for _ in 0..rounds {
            for (index, (_, bed)) in beds.iter().enumerate() {
                let base = direct.one_way(traffic, bytes);
                let took = bed.one_way(traffic, bytes);
                fastest[index] = fastest[index].min(took[0]);
                times[index].push(took[0] / base[0]);
                processor_times[index].push(took[1] / base[1]);
            }
        }
        for (index, (contender, _)) in beds.iter().enumerate() {
            let show = |ratios: &[f64]| {
                let (median, least, most) = spread(ratios.to_vec());
                format!("{median:5.2} ({least:.2} to {most:.2})")
            };
            let processor_time = match contender.kind {
                Kind::Socat => "    - (another process)".to_owned(),
                _ => show(&processor_times[index]),
            };
            println!(
                "  {:20} {:23} {processor_time:23} best {:6.0} MiB/s",
                contender.name,
                show(&times[index]),
                (bytes >> 20) as f64 / fastest[index],
            );
        }
    }

    let count = 20_000;
    println!("100 bytes there and back, {count} times, {rounds} rounds: median of each");
    for (contender, bed) in &beds {
        let mut middle = Vec::new();
        let mut slow = Vec::new();
        for _ in 0..rounds {
            let times = bed.ping_pong(count);
            middle.push(times[count / 2].as_secs_f64() * 1e6);
            slow.push(times[count * 99 / 100].as_secs_f64() * 1e6);
        }
        let (middle, slow) = (spread(middle).0, spread(slow).0);
        println!(
            "  {:20} p50 {middle:6.1} us  p99 {slow:6.1} us",
            contender.name
        );
    }
}
