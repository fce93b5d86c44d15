//! What a tap tells the decoder: the one kind of input there is.
//!
//! A live relay, a file that buildtap recorded and a file that tcpdump recorded all become
//! this sequence of events. Everything behind it is a function of the sequence alone: the
//! decoder reads no clock and opens no file.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment: nanoseconds since the Unix epoch, as the tap saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The present moment. For taps; the decoder itself never calls it.
    ///
    /// The clock is read once, and then advances steadily: setting it, or suspending the machine,
    /// makes nobody look stalled.
    pub fn now() -> Self {
        static START: LazyLock<(Time, Instant)> =
            LazyLock::new(|| (SystemTime::now().into(), Instant::now()));
        let (time, instant) = *START;
        time.after(instant.elapsed())
    }

    /// Time that passed from `earlier` to `self`; zero when the clock went backwards.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment so much later.
    pub fn after(self, later: Duration) -> Self {
        Time(
            self.0
                .saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl From<SystemTime> for Time {
    fn from(at: SystemTime) -> Self {
        let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// One end of a tapped connection. `Client` is always the process that dialled, even on a
/// session connection, where it is the daemon that makes the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The process that dialled: docker, buildx, buildctl, a program using bollard.
    Client,
    /// The process that listens: dockerd or buildkitd.
    Daemon,
}

impl Side {
    /// Both sides, client first.
    pub const BOTH: [Side; 2] = [Side::Client, Side::Daemon];

    /// The opposite end.
    pub fn peer(self) -> Side {
        match self {
            Side::Client => Side::Daemon,
            Side::Daemon => Side::Client,
        }
    }

    /// 0 for the client, 1 for the daemon: for tables with one entry per side.
    pub fn index(self) -> usize {
        self as usize
    }

    /// `client` or `daemon`.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Daemon => "daemon",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A tapped transport connection, numbered by the tap in the order of opening. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TapId(pub u64);

/// Where a tapped connection comes from and goes to. All of it is for people; nothing is parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// The address of the client: `unix`, `127.0.0.1:51234`.
    pub client: String,
    /// The address of the daemon: `unix:///var/run/docker.sock`, `127.0.0.1:2375`.
    pub daemon: String,
    /// The client's process id and command line, where the system tells.
    pub client_process: Option<String>,
}

/// One thing that a tap saw happen on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapEvent<'a> {
    /// A connection was opened. The first event of every connection.
    Open(Endpoints),
    /// `from` sent `bytes`. Any split of a stream into chunks means the same.
    Chunk {
        /// Who sent them.
        from: Side,
        /// What was sent; never empty.
        bytes: &'a [u8],
    },
    /// Bytes of `from` are known to be missing here (a capture lost segments, or began in
    /// the middle): what follows does not continue what came before.
    Gap {
        /// Whose bytes are missing.
        from: Side,
        /// How many, where known.
        bytes: Option<u64>,
    },
    /// `from` will send no more (end of file in that direction).
    HalfClose {
        /// Who will send no more.
        from: Side,
    },
    /// `to` has stopped reading: the tap holds bytes for it that it cannot deliver.
    Blocked {
        /// Who does not read.
        to: Side,
    },
    /// `to` reads again.
    Unblocked {
        /// Who reads again.
        to: Side,
    },
    /// The connection is gone. The last event of every connection.
    Close {
        /// How it ended.
        how: Closed,
    },
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Both directions reached their end.
    Finished,
    /// `by` ended it abruptly (a TCP reset, a socket closed with bytes unread).
    Reset {
        /// Who did, where the tap can tell.
        by: Option<Side>,
    },
    /// The tap could not reach the daemon.
    Unreachable,
    /// The tap itself stopped watching: the capture ends, or buildtap was interrupted.
    Abandoned,
}
