//! A real dockerd behind `buildtap proxy`, and the scriptable client of `buildtap-fixtures` in front of it.

use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use buildtap_fixtures::peers::client::{FakeClient, Outcome};
use buildtap_fixtures::peers::net::Address;
use buildtap_fixtures::peers::script::ClientScript;
use buildtap_tests::lab::{Flavour, daemon};
use buildtap_tests::process::Finished;
use buildtap_tests::program::Proxy;
use buildtap_tests::trace::Trace;
use tempfile::TempDir;

/// A dockerd behind `buildtap proxy`.
pub(crate) struct Bed {
    proxy: Proxy,
    home: TempDir,
}

impl Bed {
    /// With `buildtap proxy` so called, in a directory of its own; `None` when tests with docker are skipped.
    pub(crate) fn new(flavour: Flavour, arguments: &[&str]) -> Option<Self> {
        Some(Bed::before(&daemon(flavour)?.socket(), arguments))
    }

    /// The same before whoever listens at this socket.
    pub(crate) fn before(socket: &Path, arguments: &[&str]) -> Self {
        let home = TempDir::new().unwrap();
        let listen = format!("unix://{}", home.path().join("tap.sock").display());
        let upstream = format!("unix://{}", socket.display());
        let proxy = Proxy::start(home.path(), &listen, &upstream, arguments);
        Bed { proxy, home }
    }

    /// Where clients connect to: `unix:///path`.
    pub(crate) fn address(&self) -> &str {
        &self.proxy.address
    }

    /// The finding that was told first, if any was.
    pub(crate) fn first_finding(&self) -> Option<String> {
        let said = self.proxy.process.stderr();
        said.lines().find_map(code).map(str::to_owned)
    }

    /// Builds as the script says, in a thread.
    pub(crate) fn client(&self, script: ClientScript) -> JoinHandle<Outcome> {
        let path = self.proxy.address.strip_prefix("unix://").unwrap();
        let address = Address::Unix(path.into());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(FakeClient::new(script).build(&address))
        })
    }

    /// Waits for a finding, and says how long that took since `start`.
    pub(crate) fn wait_for(&mut self, wanted: &str, start: Instant) -> Duration {
        self.proxy.process.wait_for_stderr(wanted, |said| {
            let mut found = said.lines().filter_map(code);
            found.any(|code| code == wanted).then_some(())
        });
        start.elapsed()
    }

    /// Ends buildtap, which was to write JSON to `trace.jsonl`, and reads that.
    pub(crate) fn finish_with_trace(self) -> Trace {
        self.proxy.process.interrupt().success();
        Trace::read(&self.home.path().join("trace.jsonl"))
    }

    /// Ends buildtap.
    pub(crate) fn finish(self) -> Finished {
        self.proxy.process.interrupt().success()
    }
}

/// The code in the first line of what is told of a finding: mark, severity or `likely`, code, perhaps a time.
fn code(line: &str) -> Option<&str> {
    let mut words = line.strip_prefix("buildtap: ")?.split(' ').skip(1);
    let kinds = ["error", "warning", "info", "likely"];
    let is_title = words.next().is_some_and(|word| kinds.contains(&word));
    words.next().filter(|_| is_title)
}
