//! What the operator is told while buildtap runs, next to the trace itself.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::address::Address;

/// Something that happened to buildtap, not to the builds it watches. Displays as a sentence.
#[derive(Debug)]
pub enum Notice<'a> {
    /// A client connected and the daemon could not be reached; the client was disconnected.
    /// Told once, and again only after the daemon was reached in between.
    Unreachable {
        /// The daemon.
        upstream: &'a Address,
        /// What connecting to it said.
        error: &'a io::Error,
    },
    /// No connection could be accepted. Told once until one can.
    AcceptFailed {
        /// What `accept` said.
        error: &'a io::Error,
    },
    /// The tap panicked: see [`Tap`](crate::tap::Tap).
    TapFailed,
    /// The disk is slower than what is recorded. Told once for a recording.
    RecordingBehind,
    /// The recording cannot be written any further; it ends here.
    RecordingFailed {
        /// The capture file.
        path: &'a Path,
        /// What writing to it said.
        error: &'a io::Error,
    },
    /// The recording was not written to its end in time.
    RecordingCut,
    /// The collector does not take spans. Told once.
    SpansRefused {
        /// Where they were sent.
        endpoint: &'a str,
        /// What it said, or the way to it.
        error: &'a str,
    },
    /// A setting that names a daemon could not be used, and another one was.
    UpstreamSkipped {
        /// The reason, as a sentence.
        reason: &'a str,
    },
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Unreachable { upstream, error } => {
                let next = match error.kind() {
                    io::ErrorKind::NotFound => {
                        "there is no such socket: start the daemon, or name another with --upstream"
                    }
                    io::ErrorKind::ConnectionRefused => {
                        "nobody listens there: start the daemon, or name another with --upstream"
                    }
                    io::ErrorKind::PermissionDenied => {
                        "you may not connect to it: run buildtap as a user who may (often the group docker)"
                    }
                    io::ErrorKind::TimedOut => {
                        "it did not answer: check the address and the network between"
                    }
                    _ => "check the address and that the daemon runs",
                };
                write!(
                    f,
                    "cannot connect to the daemon at {upstream} ({error}); {next}. The client was disconnected."
                )
            }
            Notice::AcceptFailed { error } => write!(
                f,
                "cannot accept a connection ({error}); trying again. If the system ran out of file descriptors, raise the limit with ulimit -n."
            ),
            Notice::TapFailed => write!(
                f,
                "buildtap failed while decoding and shows and records nothing from here on; the connections are relayed on, unharmed. Please report this as a bug."
            ),
            Notice::RecordingBehind => write!(
                f,
                "the disk is slower than what is recorded: some bytes are left out of the recording, which says where. Record to a faster disk, or without compression if its name ends in .zst."
            ),
            Notice::RecordingFailed { path, error } => {
                let next = match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        "make room on that disk, or record to another one"
                    }
                    _ => "record to another disk",
                };
                write!(
                    f,
                    "the recording in {} ends here ({error}): {next}. What was written before can be read, and the connections are relayed on, unharmed.",
                    path.display()
                )
            }
            Notice::RecordingCut => write!(
                f,
                "the disk did not take the end of the recording in time: what is missing is at its end."
            ),
            Notice::SpansRefused { endpoint, error } => write!(
                f,
                "the collector at {endpoint} does not take spans ({error}): look whether it runs, and speaks this protocol (--otlp-protocol). The build is not affected; trying on."
            ),
            Notice::UpstreamSkipped { reason } => write!(f, "{reason}"),
        }
    }
}

/// Where notices go. Cheap to clone.
#[derive(Clone)]
pub struct Notices(Arc<dyn Fn(&Notice<'_>) + Send + Sync>);

impl Notices {
    /// Sends every notice to `tell`, which is called on the relay's path: it must not block.
    pub fn new(tell: impl Fn(&Notice<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Drops them all.
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    /// Writes them to standard error, one line each.
    pub fn stderr() -> Self {
        Self::new(|notice| eprintln!("buildtap: {notice}"))
    }

    /// Tells one.
    pub fn tell(&self, notice: &Notice<'_>) {
        (self.0)(notice);
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notices")
    }
}
