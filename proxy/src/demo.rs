//! `buildtap demo`: a small client and a small daemon, and the real relay between them.
//!
//! Nothing but this program is needed. The two peers are those of `buildtap-fixtures`, which
//! speak the real protocol over real sockets; what is shown is what a user sees in earnest.

use std::sync::Arc;

use buildtap_fixtures::peers::net;
use buildtap_fixtures::peers::scenario::{self, Scene};

use crate::address::Address;
use crate::command::{ProxyOptions, proxy};
use crate::error::Error;
use crate::listen::PrivateDirectory;
use crate::notice::Notices;
use crate::tap::Tap;
use crate::upstream::{Role, Upstream, Upstreams};

/// Plays both peers through a relay that `tap` watches; gives how it ended for the client, as a
/// sentence.
pub async fn play(
    scene: Scene,
    tap: Arc<dyn Tap>,
    socket_parent: std::path::PathBuf,
) -> Result<String, Error> {
    let directory = PrivateDirectory::create(&socket_parent)?;
    let socket = directory.path().join("demo.sock");
    let bound = net::Listener::bind(&net::Address::Unix(socket.clone())).await;
    let listener = bound.map_err(Error::system("listen for the demo's client"))?;
    let daemon = tokio::spawn(scenario::daemon(listener, scene.daemon));
    let upstream = Upstream {
        role: Role::Engine,
        address: Address::Unix(socket),
        chosen_by: "the demo".into(),
    };
    let options = ProxyOptions {
        listen: None,
        allow_remote: false,
        upstreams: Upstreams {
            found: vec![upstream],
            ..Upstreams::default()
        },
        socket_parent,
        notices: Notices::stderr(),
    };
    let (listening, listens) = tokio::sync::oneshot::channel();
    let (ended, end) = tokio::sync::oneshot::channel();
    let client = async {
        let Ok(Some(address)) = listens.await else {
            return "The relay did not start.".to_owned();
        };
        let outcome = scenario::client(&address, scene.client).await;
        let _ = ended.send(());
        outcome.ending.to_string()
    };
    let relay = proxy(
        options,
        tap,
        |points| {
            let address = points
                .points
                .first()
                .and_then(|point| match &point.address {
                    Address::Unix(path) => Some(net::Address::Unix(path.clone())),
                    Address::Tcp { .. } => None,
                });
            let _ = listening.send(address);
        },
        async {
            let _ = end.await;
        },
    );
    let (relayed, ending) = tokio::join!(relay, client);
    daemon.abort();
    relayed?;
    Ok(ending)
}
