//! Two scripted peers with `buildtap proxy --record` between them.

use std::thread;

use buildtap_fixtures::peers::net::{Address, Listener};
use buildtap_fixtures::peers::scenario::{self, Scene};
use buildtap_tests::process::{Finished, Process};
use buildtap_tests::program::{self, Proxy};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A daemon and the proxy in front of it.
pub(crate) struct Stage {
    pub(crate) home: TempDir,
    pub(crate) proxy: Proxy,
    runtime: Runtime,
    scene: Scene,
}

impl Stage {
    /// Begins to record to `file`, a name in the home of the program.
    pub(crate) fn set(scene: Scene, file: &str, arguments: &[&str]) -> Self {
        let home = TempDir::new().unwrap();
        let address = |name: &str| format!("unix://{}", home.path().join(name).display());
        let runtime = Runtime::new().unwrap();
        let socket = Address::Unix(home.path().join("daemon.sock"));
        let listener = runtime.block_on(Listener::bind(&socket)).unwrap();
        runtime.spawn(scenario::daemon(listener, scene.daemon.clone()));
        let mut all = vec!["--record", file];
        all.extend(arguments);
        let (listen, upstream) = (address("tap.sock"), address("daemon.sock"));
        let proxy = Proxy::start(home.path(), &listen, &upstream, &all);
        Stage {
            home,
            proxy,
            runtime,
            scene,
        }
    }

    /// Plays the client's part to its end, or until the connection breaks.
    pub(crate) fn play(&self) -> String {
        let address = Address::Unix(self.home.path().join("tap.sock"));
        let client = scenario::client(&address, self.scene.client.clone());
        self.runtime.block_on(client).ending.to_string()
    }

    /// Plays it meanwhile.
    pub(crate) fn play_on<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            scope.spawn(|| self.play());
            meanwhile()
        })
    }

    /// Ends the recording in the orderly way.
    pub(crate) fn finish(self) -> (TempDir, Finished) {
        (self.home, self.proxy.process.interrupt().success())
    }
}

/// `buildtap show` of a file.
pub(crate) fn show(home: &TempDir, arguments: &[&str]) -> Finished {
    let mut all = vec!["show"];
    all.extend(arguments);
    Process::run(&mut program::command(home.path(), &all)).success()
}
