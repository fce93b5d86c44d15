//! What is between the client and the daemon, besides buildtap.

use std::path::{Path, PathBuf};

use buildtap_fixtures::peers::net::{Address, Listener, connect};
use buildtap_fixtures::peers::scenario;
use buildtap_fixtures::peers::script::DaemonScript;
use tokio::task::JoinSet;

/// What is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Between {
    /// `buildtap run`, with the client as its command.
    #[default]
    Run,
    /// `buildtap proxy`, which the client connects to.
    Proxy,
    /// The same, and nobody listens at the daemon's address.
    NoDaemon,
    /// `buildtap run`, and behind it a load balancer, which gives each connection to the next of so many daemons.
    Balancer {
        /// So many.
        daemons: usize,
    },
}

impl Between {
    /// Whether the client is no command of buildtap's.
    pub(crate) fn is_proxy(self) -> bool {
        matches!(self, Between::Proxy | Between::NoDaemon)
    }
}

/// Starts what plays the daemon. Gives its address; it ends when the set is dropped.
pub(crate) async fn start(
    between: Between,
    script: DaemonScript,
    home: &Path,
) -> (Address, JoinSet<()>) {
    let mut playing = JoinSet::new();
    let address = Address::Unix(home.join("daemon.sock"));
    let daemons = match between {
        Between::NoDaemon => return (address, playing),
        Between::Run | Between::Proxy => {
            serve(&mut playing, &address, script).await;
            return (address, playing);
        }
        Between::Balancer { daemons } => daemons,
    };
    let mut behind = Vec::new();
    for n in 0..daemons {
        let address = Address::Unix(home.join(format!("daemon-{n}.sock")));
        serve(&mut playing, &address, script.clone()).await;
        behind.push(address);
    }
    let listener = Listener::bind(&address).await.unwrap();
    playing.spawn(async move {
        let mut connections = JoinSet::new();
        for next in behind.iter().cycle() {
            let mut client = listener.accept().await.unwrap();
            let mut daemon = connect(next).await.unwrap();
            connections.spawn(async move {
                // Either side may go as it likes.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut daemon).await;
            });
        }
    });
    (address, playing)
}

async fn serve(playing: &mut JoinSet<()>, address: &Address, script: DaemonScript) {
    let listener = Listener::bind(address).await.unwrap();
    playing.spawn(async move {
        // It ends when the script drops its connections.
        let _ = scenario::daemon(listener, script).await;
    });
}

/// Where `buildtap proxy` listens.
pub(crate) fn tap(home: &Path) -> PathBuf {
    home.join("tap.sock")
}
