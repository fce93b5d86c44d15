//! `buildtap replay`: one side of a recorded session, played at a socket.

use std::io::{self, Write};
use std::path::PathBuf;

use buildtap_fixtures::peers::net::{self, Stream};
use buildtap_fixtures::recording::{self, Recording};
use buildtap_fixtures::replay::{
    Daemon, DaemonBuilder, Matching, Outcome, Replay, ReplayError, Timing,
};
use std::time::Duration;

use crate::address::Address;
use crate::cli::SchemaArgs;
use crate::error::Error;
use crate::listen::{Accepted, Listener, PrivateDirectory};
use crate::schemas::schemas;
use crate::stream;

/// How a recording is played: see [`cli::ReplayArgs`](crate::cli::ReplayArgs).
#[derive(Clone, Debug)]
pub struct Options {
    /// The capture or cassette.
    pub file: PathBuf,
    /// What messages are read with.
    pub schemas: SchemaArgs,
    /// How closely the other side has to match.
    pub matching: Matching,
    /// How fast.
    pub timing: Timing,
    /// How long nothing may happen.
    pub patience: Duration,
}

impl Options {
    /// Reads the recording, off the threads that do I/O for others.
    async fn open(&self) -> Result<Replay, Error> {
        let file = self.file.clone();
        let reading = recording::Options {
            schemas: schemas(&self.schemas)?,
            ..recording::Options::default()
        };
        let open = move || Recording::open(file, &reading).map_err(ReplayError::from);
        let opened = tokio::task::spawn_blocking(open).await;
        let opened = opened.map_err(|error| Error::System {
            doing: "start a thread",
            error: error.into(),
        })?;
        Ok(Replay::new(opened?)?)
    }
}

/// Where a played daemon listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// A private socket if not given.
    pub address: Option<Address>,
    /// Whether `address` may be reachable from other machines.
    pub allow_remote: bool,
    /// Where a private socket goes.
    pub socket_parent: PathBuf,
}

/// Plays the daemon until `shutdown` completes, or with `once` until one session is over. Tells `on_outcome` of every
/// session that was played, and gives whether all of them matched the recording.
pub async fn daemon(
    options: &Options,
    listen: Listen,
    once: bool,
    mut on_outcome: impl FnMut(&Outcome),
    shutdown: impl Future<Output = ()>,
) -> Result<bool, Error> {
    let replay = options.open().await?;
    let listener = match listen.address {
        Some(address) => Listener::open(&address, listen.allow_remote).await?,
        None => {
            let directory = PrivateDirectory::create(&listen.socket_parent)?;
            Listener::private(&directory, "docker.sock")?
        }
    };
    print_listening(listener.address());
    let builder = replay
        .daemon()
        .matching(options.matching)
        .timing(options.timing)
        .patience(options.patience);
    tokio::pin!(shutdown);
    let mut matched = true;
    loop {
        let (outcome, stopped) = session(builder.clone(), &listener, shutdown.as_mut()).await?;
        // Somebody who stops what nobody used wants to know nothing.
        if !stopped || once || !outcome.asked.is_empty() {
            matched &= outcome.matches();
            on_outcome(&outcome);
        }
        if stopped || once {
            return Ok(matched);
        }
    }
}

/// One session; whether it was ended by `shutdown`.
async fn session(
    builder: DaemonBuilder,
    listener: &Listener,
    mut shutdown: impl Future<Output = ()> + Unpin,
) -> Result<(Outcome, bool), Error> {
    let mut daemon: Daemon = builder.start();
    let done = daemon.done();
    tokio::pin!(done);
    loop {
        tokio::select! {
            () = &mut done => return Ok((daemon.finish().await, false)),
            () = &mut shutdown => return Ok((daemon.finish().await, true)),
            accepted = listener.accept() => match accepted {
                Ok(accepted) => daemon.serve(peer(accepted)),
                // What one client did to its connection is nothing to the others.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(Error::System { doing: "accept a connection", error }),
            }
        }
    }
}

fn peer(accepted: Accepted) -> Stream {
    match accepted.stream {
        stream::Stream::Unix(stream) => Stream::new(stream),
        stream::Stream::Tcp(stream) => Stream::new(stream),
    }
}

/// Plays the client against the daemon at `connect`.
pub async fn client(options: &Options, connect: &Address) -> Result<Outcome, Error> {
    let replay = options.open().await?;
    let address = match connect {
        Address::Unix(path) => net::Address::Unix(path.clone()),
        Address::Tcp { host, port } => {
            let resolved = tokio::net::lookup_host((host.as_str(), *port)).await;
            let first = resolved.map(|mut all| all.next());
            match first {
                Ok(Some(address)) => net::Address::Tcp(address),
                Ok(None) => return Err(unresolved(connect, "it has no address".to_owned())),
                Err(error) => return Err(unresolved(connect, error.to_string())),
            }
        }
    };
    let client = replay
        .client()
        .matching(options.matching)
        .timing(options.timing)
        .patience(options.patience);
    Ok(client.run(&address).await)
}

fn unresolved(address: &Address, why: String) -> Error {
    Error::Replay(ReplayError::Resolve {
        address: address.to_string(),
        why,
    })
}

/// Tells who waits for it where clients can connect.
fn print_listening(address: &Address) {
    // Nobody may be reading.
    let _ = writeln!(io::stdout(), "{address}");
    let _ = io::stdout().flush();
    eprintln!("buildtap: the recorded daemon listens on {address}\n  export DOCKER_HOST={address}");
}
