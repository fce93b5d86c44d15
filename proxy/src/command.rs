//! `buildtap run` and `buildtap proxy`: listeners, relay and child, put together.
//!
//! What is shown of it is the caller's: both functions are given a [`Tap`] and a closure that
//! is called when clients can connect.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::address::Address;
use crate::child::{self, ChildError, ECHO, EnvironmentChanges, ExitStatus, Running, Signals};
use crate::error::Error;
use crate::listen::{ListenError, Listener, MAX_SOCKET_PATH, PrivateDirectory};
use crate::notice::Notices;
use crate::relay::{Phase, Relay};
use crate::tap::Tap;
use crate::upstream::{Environment, Upstream, Upstreams};

/// How long connections that outlive the command of `run` are relayed on.
pub const DRAIN: Duration = Duration::from_secs(1);

/// What [`run`] needs to know.
#[derive(Debug)]
pub struct RunOptions {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// The daemons to tap: see [`upstream::resolve`](crate::upstream::resolve).
    pub upstreams: Upstreams,
    /// Where the private sockets go.
    pub socket_parent: PathBuf,
    /// Where notices go.
    pub notices: Notices,
}

/// What [`proxy`] needs to know.
#[derive(Debug)]
pub struct ProxyOptions {
    /// Where to listen; a private socket for each daemon if not given. With an address, only
    /// the first of `upstreams` is tapped.
    pub listen: Option<Address>,
    /// Whether `listen` may be reachable from other machines.
    pub allow_remote: bool,
    /// The daemons to tap: see [`upstream::resolve`](crate::upstream::resolve).
    pub upstreams: Upstreams,
    /// Where the private sockets go.
    pub socket_parent: PathBuf,
    /// Where notices go.
    pub notices: Notices,
}

/// The sockets that clients can connect to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// At least one.
    pub points: Vec<TapPoint>,
}

/// One socket that stands in for one daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapPoint {
    /// Where clients connect to.
    pub address: Address,
    /// The daemon that they reach.
    pub upstream: Upstream,
}

impl Listening {
    /// What a client's environment needs in order to connect here.
    pub fn environment(&self) -> EnvironmentChanges {
        let mut changes = EnvironmentChanges::default();
        for point in &self.points {
            point.upstream.role.lead_to(&point.address, &mut changes);
        }
        changes
    }
}

/// The directory in which private sockets belong: the user's run-time directory, or else the
/// one for temporary files, and `/tmp` where those have names too long for a socket.
pub fn socket_parent(environment: &Environment) -> PathBuf {
    let runtime = environment.variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    runtime
        .filter(|directory| directory.is_dir())
        .into_iter()
        .chain([std::env::temp_dir()])
        .find(|directory| directory.as_os_str().len() + PRIVATE_PATH <= MAX_SOCKET_PATH)
        .unwrap_or_else(|| "/tmp".into())
}

/// Bytes that the path of a private socket has behind its parent: `/buildtap-XXXXXX/NAME`.
const PRIVATE_PATH: usize = 40;

/// Runs a command whose clients are led through the tap, and returns how it ended, after the
/// last connection was told to `tap`.
///
/// Connections that are open when the command ends are relayed on for at most [`DRAIN`], as
/// the command may have left a process behind; an interrupt cuts that short. The command is ended
/// when `give_up` completes.
pub async fn run(
    options: RunOptions,
    tap: Arc<dyn Tap>,
    on_listening: impl FnOnce(&Listening),
    give_up: impl Future<Output = ()>,
) -> Result<ExitStatus, Error> {
    run_in(options, child::start, tap, on_listening, give_up).await
}

/// The same with the command started by `start`: in a terminal of its own, say.
pub async fn run_in(
    options: RunOptions,
    start: impl FnOnce(&[OsString], &EnvironmentChanges) -> Result<Running, ChildError>,
    tap: Arc<dyn Tap>,
    on_listening: impl FnOnce(&Listening),
    give_up: impl Future<Output = ()>,
) -> Result<ExitStatus, Error> {
    let mut signals = Signals::take().map_err(Error::system("take over signals"))?;
    options.upstreams.tell_skipped(&options.notices);
    let opened = open_private(options.upstreams, &options.socket_parent)?;
    let serving = Serving::start(opened, tap, options.notices);
    on_listening(&serving.listening);
    let ended = match start(&options.command, &serving.listening.environment()) {
        Ok(child) => child::wait(child, &mut signals, give_up)
            .await
            .map_err(Error::system("wait for the command")),
        Err(error) => Err(error.into()),
    };
    serving
        .drain(async {
            signals.forget().await;
            tokio::select! {
                () = sleep(DRAIN.saturating_sub(ECHO)) => {}
                () = signals.stop() => {}
            }
        })
        .await;
    ended
}

/// Relays until `shutdown` completes, then ends all connections. When it returns, the tap was
/// told of their ends and the sockets are removed.
pub async fn proxy(
    options: ProxyOptions,
    tap: Arc<dyn Tap>,
    on_listening: impl FnOnce(&Listening),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    options.upstreams.tell_skipped(&options.notices);
    let opened = match options.listen {
        None => open_private(options.upstreams, &options.socket_parent)?,
        Some(address) => {
            let mut opened = Vec::new();
            if let Some(upstream) = options.upstreams.found.into_iter().next() {
                if upstream.address == address {
                    return Err(ListenError::Loop(address).into());
                }
                opened.push((
                    Listener::open(&address, options.allow_remote).await?,
                    upstream,
                ));
            }
            opened
        }
    };
    let serving = Serving::start(opened, tap, options.notices);
    on_listening(&serving.listening);
    shutdown.await;
    serving.drain(async {}).await;
    Ok(())
}

fn open_private(
    upstreams: Upstreams,
    parent: &Path,
) -> Result<Vec<(Listener, Upstream)>, ListenError> {
    let directory = PrivateDirectory::create(parent)?;
    upstreams
        .found
        .into_iter()
        .map(|upstream| {
            let name = upstream.role.socket_name();
            Ok((Listener::private(&directory, name)?, upstream))
        })
        .collect()
}

/// Listeners whose connections are being relayed.
struct Serving {
    listening: Listening,
    phase: watch::Sender<Phase>,
    tasks: JoinSet<()>,
}

impl Serving {
    fn start(opened: Vec<(Listener, Upstream)>, tap: Arc<dyn Tap>, notices: Notices) -> Self {
        let relay = Relay::new(tap, notices);
        let (phase, watched) = watch::channel(Phase::Serve);
        let mut tasks = JoinSet::new();
        let mut points = Vec::new();
        for (listener, upstream) in opened {
            points.push(TapPoint {
                address: listener.address().clone(),
                upstream: upstream.clone(),
            });
            tasks.spawn(Arc::clone(&relay).serve(listener, upstream.address, watched.clone()));
        }
        Self {
            listening: Listening { points },
            phase,
            tasks,
        }
    }

    /// Accepts no more, lets connections end by themselves until `enough`, then ends them.
    async fn drain(mut self, enough: impl Future<Output = ()>) {
        self.phase.send_replace(Phase::Drain);
        tokio::select! {
            biased;
            () = async { while self.tasks.join_next().await.is_some() {} } => return,
            () = enough => {}
        }
        self.phase.send_replace(Phase::Stop);
        while self.tasks.join_next().await.is_some() {}
    }
}
