//! A scripted daemon behind `buildtap proxy`.

use buildtap_fixtures::peers::net::{Address, Listener};
use buildtap_fixtures::peers::scenario;
use buildtap_fixtures::peers::script::DaemonScript;
use buildtap_tests::program::Proxy;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// The daemon and the proxy, for a client.
pub(crate) struct Stage {
    /// Where the daemon is played, and the client can be.
    pub(crate) runtime: Runtime,
    pub(crate) daemon: JoinHandle<std::io::Result<()>>,
    pub(crate) proxy: Proxy,
    /// Where the client connects to.
    pub(crate) tap: Address,
    /// Where the sockets are.
    pub(crate) _home: TempDir,
}

impl Stage {
    /// With these arguments for the proxy.
    pub(crate) fn new(daemon: DaemonScript, arguments: &[&str]) -> Self {
        let home = TempDir::new().unwrap();
        let path = |name: &str| format!("unix://{}", home.path().join(name).display());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let upstream = Address::Unix(home.path().join("daemon.sock"));
        let listener = runtime.block_on(Listener::bind(&upstream)).unwrap();
        let daemon = runtime.spawn(scenario::daemon(listener, daemon));
        let proxy = Proxy::start(
            home.path(),
            &path("tap.sock"),
            &path("daemon.sock"),
            arguments,
        );
        Stage {
            runtime,
            daemon,
            proxy,
            tap: Address::Unix(home.path().join("tap.sock")),
            _home: home,
        }
    }
}
