//! What the end-to-end tests stand on: the built program, a private dockerd, and what the program said.
//!
//! - [`program`]: `buildtap` itself, built once;
//! - [`clients`]: build clients of other makers, each built once;
//! - [`process`]: any program while it runs, with deadlines;
//! - [`lab`]: daemons, build contexts and images, made by the scripts in `tests/lab`;
//! - [`screen`](mod@screen): the same in a pseudo-terminal;
//! - [`trace`]: the JSON lines that buildtap wrote;
//! - [`compare`]: two accounts of one session;
//! - [`files`]: trees on disk, compared;
//! - [`wireshark`]: whether there is a tshark;
//! - [`receiver`]: an OpenTelemetry receiver that others wrote, and what it received.
//!
//! The tests themselves are in `tests/tests`: `program` needs nothing but this workspace, `record` and `export` have some
//! that need tshark, `otlp` some that need the receiver, `docker` needs root and what
//! `tests/lab/install.sh --peers trixie` installs. `BUILDTAP_SKIP_DOCKER=1` passes over the latter, and
//! `BUILDTAP_SLOW=1` adds what takes minutes. `BUILDTAP_BIN` names another program than the one that is built.

pub mod clients;
pub mod compare;
pub mod files;
pub mod lab;
pub mod process;
pub mod program;
pub mod receiver;
pub mod screen;
pub mod trace;
pub mod wireshark;

use std::time::{Duration, Instant};

use process::Finished;

/// How long anything may take before a test fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `ready` gives something, and panics with `what` when it does not in time.
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(ready) = ready() {
            return ready;
        }
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A text without its line breaks and indentation, to be searched for what may be wrapped in it.
pub fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Insists that it says all of this on standard error, wherever lines are broken.
#[track_caller]
pub fn assert_says(finished: &Finished, wanted: &[&str]) {
    let said = unwrapped(&finished.stderr);
    for wanted in wanted {
        assert!(said.contains(wanted), "{wanted}\n{finished}");
    }
}
