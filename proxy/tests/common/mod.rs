//! A relay between two test programs, and a tap that remembers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use buildtap::address::Address;
use buildtap::listen::{Listener, PrivateDirectory};
use buildtap::notice::Notices;
use buildtap::relay::{Phase, Relay};
use buildtap::stream::Stream;
use buildtap::tap::Tap;
use buildtap_decoder::event::{Closed, Side, TapEvent, TapId, Time};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// One runtime for all tests of a file.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

/// Runs a test's future, and fails it at the deadline.
pub(crate) fn within_deadline<T>(test: impl Future<Output = T>) -> T {
    runtime().block_on(async {
        tokio::time::timeout(DEADLINE, test)
            .await
            .expect("deadline")
    })
}

/// The two kinds of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Unix,
    Tcp,
}

/// A connected socket of either kind, for the test programs.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// What happened on one connection, as the tap was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// Bytes of the client and of the daemon.
    pub(crate) bytes: [Vec<u8>; 2],
    /// Every event that is not a chunk, in order.
    pub(crate) events: Vec<TapEvent<'static>>,
    /// Chunks that came after the end of their direction or outside of the connection's life.
    pub(crate) misplaced: usize,
}

impl Told {
    pub(crate) fn closed(&self) -> Option<Closed> {
        match self.events.last() {
            Some(TapEvent::Close { how }) => Some(*how),
            _ => None,
        }
    }
}

/// A tap that remembers.
#[derive(Default)]
pub(crate) struct Recorder {
    told: Mutex<BTreeMap<TapId, Told>>,
    changed: Condvar,
}

impl Recorder {
    /// Waits until `wanted` holds for connection `id`, and gives what was told until then.
    pub(crate) fn wait(&self, id: u64, wanted: impl Fn(&Told) -> bool) -> Told {
        let deadline = Instant::now() + DEADLINE;
        let mut told = self.told.lock().unwrap();
        loop {
            if let Some(of_id) = told.get(&TapId(id)).filter(|told| wanted(told)) {
                return of_id.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not told in time: {:?}", events(&told));
            told = self.changed.wait_timeout(told, left).unwrap().0;
        }
    }

    pub(crate) fn wait_closed(&self, id: u64) -> (Told, Closed) {
        let told = self.wait(id, |told| told.closed().is_some());
        let how = told.closed().unwrap();
        (told, how)
    }
}

fn events(told: &BTreeMap<TapId, Told>) -> Vec<&Vec<TapEvent<'static>>> {
    told.values().map(|told| &told.events).collect()
}

impl Tap for Recorder {
    fn event(&self, id: TapId, _: Time, event: TapEvent<'_>) {
        let mut all = self.told.lock().unwrap();
        let told = all.entry(id).or_default();
        let alive =
            matches!(told.events.first(), Some(TapEvent::Open(_))) && told.closed().is_none();
        match event {
            TapEvent::Chunk { from, bytes } => {
                let ended = told.events.contains(&TapEvent::HalfClose { from });
                if !alive || ended || bytes.is_empty() {
                    told.misplaced += 1;
                }
                told.bytes[from.index()].extend_from_slice(bytes);
            }
            TapEvent::Open(endpoints) => told.events.push(TapEvent::Open(endpoints)),
            TapEvent::HalfClose { from } => told.events.push(TapEvent::HalfClose { from }),
            TapEvent::Blocked { to } => told.events.push(TapEvent::Blocked { to }),
            TapEvent::Unblocked { to } => told.events.push(TapEvent::Unblocked { to }),
            TapEvent::Close { how } => told.events.push(TapEvent::Close { how }),
            TapEvent::Gap { .. } => panic!("a relay misses nothing"),
        }
        self.changed.notify_all();
    }
}

/// A daemon's socket, and a relay in front of it.
pub(crate) struct Bed {
    daemon: DaemonSocket,
    tapped: Address,
    phase: watch::Sender<Phase>,
    serving: Option<JoinHandle<()>>,
    _directory: TempDir,
}

enum DaemonSocket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Bed {
    pub(crate) async fn new(kind: Kind, tap: Arc<dyn Tap>, notices: Notices) -> Self {
        let directory = TempDir::new().unwrap();
        let (daemon, direct, listener) = match kind {
            Kind::Unix => {
                let path = directory.path().join("daemon.sock");
                let daemon = DaemonSocket::Unix(UnixListener::bind(&path).unwrap());
                let private = PrivateDirectory::create(directory.path()).unwrap();
                let listener = Listener::private(&private, "tap.sock").unwrap();
                (daemon, Address::Unix(path), listener)
            }
            Kind::Tcp => {
                let daemon = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let host = "127.0.0.1".to_owned();
                let port = daemon.local_addr().unwrap().port();
                let any = "tcp://127.0.0.1:0".parse().unwrap();
                let listener = Listener::open(&any, false).await.unwrap();
                (
                    DaemonSocket::Tcp(daemon),
                    Address::Tcp { host, port },
                    listener,
                )
            }
        };
        let tapped = listener.address().clone();
        let (phase, watched) = watch::channel(Phase::Serve);
        let relay = Relay::new(tap, notices);
        let serving = tokio::spawn(relay.serve(listener, direct, watched));
        Self {
            daemon,
            tapped,
            phase,
            serving: Some(serving),
            _directory: directory,
        }
    }

    /// Client and daemon, connected through the relay. Not to be called twice at a time.
    pub(crate) async fn connect(&self) -> (Stream, Stream) {
        let client = Stream::connect(&self.tapped).await.unwrap();
        let daemon = match &self.daemon {
            DaemonSocket::Unix(listener) => Stream::Unix(listener.accept().await.unwrap().0),
            DaemonSocket::Tcp(listener) => Stream::Tcp(listener.accept().await.unwrap().0),
        };
        (client, daemon)
    }

    pub(crate) fn tapped(&self) -> &Address {
        &self.tapped
    }

    /// Takes the daemon away.
    pub(crate) fn kill_daemon(&mut self, replacement: &Path) {
        self.daemon = DaemonSocket::Unix(UnixListener::bind(replacement).unwrap());
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Waits until the relay has returned.
    pub(crate) async fn served(&mut self) {
        self.serving.take().unwrap().await.unwrap();
    }
}

/// The stream as tokio's traits.
pub(crate) fn io(stream: Stream) -> Box<dyn Io> {
    match stream {
        Stream::Unix(stream) => Box::new(stream),
        Stream::Tcp(stream) => Box::new(stream),
    }
}

/// Ends a connection without manners: a reset on TCP, a plain close on a Unix socket.
pub(crate) fn abort(stream: Stream) {
    if let Stream::Tcp(stream) = &stream {
        stream.set_zero_linger().unwrap();
    }
}

/// `len` bytes that differ from place to place and from seed to seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Bytes of `side`, as told.
pub(crate) fn bytes_of(told: &Told, side: Side) -> &[u8] {
    &told.bytes[side.index()]
}
