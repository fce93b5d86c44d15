//! The relay: every byte from one side to the other, unchanged, in order, ends included.
//!
//! | what one side does | what the other side sees |
//! |---|---|
//! | sends bytes | the same bytes; no more than one [`BUFFER_SIZE`] per direction is held |
//! | ends its direction (`shutdown`) | the end of the stream; the other direction lives on |
//! | stops reading | its peer's writes stop being taken, as the buffers in between are full |
//! | goes away with bytes unread, resets | a reset, see [`Stream::abort`](crate::stream::Stream) |
//! | goes away while it is being sent to | what it said before, then a reset |
//!
//! Both directions of a connection are one task, so the tap is told of a connection by one
//! thread at a time. File descriptors sent along Unix sockets (`SCM_RIGHTS`) are not passed on;
//! no container client sends any.
//!
//! What does not live here: opening listeners ([`listen`](crate::listen)), and what bytes mean.

mod buffer;
mod pump;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId};
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

pub use self::buffer::BUFFER_SIZE;
pub use self::pump::BLOCKED_AFTER;

use self::buffer::BufferPool;
use self::pump::{Broken, Connection, pump};
use crate::address::Address;
use crate::listen::{Accepted, Listener};
use crate::notice::{Notice, Notices};
use crate::stream::{Stream, Writer};
use crate::tap::{Tap, TapGuard, Tapped};

/// How long a TCP client has to read what a vanished peer said last, before it is reset.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long to wait after an `accept` that failed for want of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the owner of a relay wants of [`Relay::serve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accept connections and relay them.
    Serve,
    /// Accept no more; return when the open connections have ended by themselves.
    Drain,
    /// End everything now.
    Stop,
}

/// Relays connections and tells one tap of all of them.
pub struct Relay {
    tap: TapGuard,
    notices: Notices,
    next_id: AtomicU64,
    pool: BufferPool,
}

impl Relay {
    /// A relay that tells `tap` of connections, numbered from 0, and `notices` of its troubles.
    pub fn new(tap: Arc<dyn Tap>, notices: Notices) -> Arc<Self> {
        Arc::new(Self {
            tap: TapGuard::new(tap, notices.clone()),
            notices,
            next_id: AtomicU64::new(0),
            pool: BufferPool::default(),
        })
    }

    /// Accepts from `listener` and connects each client to `upstream`, until `phase` (or the
    /// drop of its sender) says otherwise. When it returns, all its connections have ended and
    /// the tap was told so. Dropping it aborts them; the tap is then told a moment later.
    pub async fn serve(
        self: Arc<Self>,
        listener: Listener,
        upstream: Address,
        mut phase: watch::Receiver<Phase>,
    ) {
        let daemon = Arc::new(Daemon {
            address: upstream,
            reported: AtomicBool::new(false),
        });
        let mut connections = JoinSet::new();
        let mut accept_reported = false;
        loop {
            tokio::select! {
                // Clients that wait already are let in before a change of phase counts.
                biased;
                accepted = listener.accept() => match accepted {
                    Ok(client) => {
                        accept_reported = false;
                        connections.spawn(Arc::clone(&self).connection(client, Arc::clone(&daemon)));
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        if !accept_reported {
                            accept_reported = true;
                            self.notices.tell(&Notice::AcceptFailed { error: &error });
                        }
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = reached(&mut phase, Phase::Drain) => break,
            }
        }
        while let Some(client) = listener.accept_waiting() {
            connections.spawn(Arc::clone(&self).connection(client, Arc::clone(&daemon)));
        }
        drop(listener);
        loop {
            tokio::select! {
                ended = connections.join_next() => if ended.is_none() { return },
                () = reached(&mut phase, Phase::Stop) => break,
            }
        }
        connections.shutdown().await;
    }

    /// One connection, from the accepted client to its end.
    async fn connection(self: Arc<Self>, mut client: Accepted, daemon: Arc<Daemon>) {
        let id = TapId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let tapped = Tapped::new(&self.tap, id);
        tapped.tell(TapEvent::Open(Endpoints {
            client: client.address,
            daemon: daemon.address.endpoint(),
            client_process: client.process,
        }));
        let mut upstream = match Stream::connect(&daemon.address).await {
            Ok(upstream) => {
                daemon.reported.store(false, Ordering::Relaxed);
                upstream
            }
            Err(error) => {
                if !daemon.reported.swap(true, Ordering::Relaxed) {
                    self.notices.tell(&Notice::Unreachable {
                        upstream: &daemon.address,
                        error: &error,
                    });
                }
                tapped.close(Closed::Unreachable);
                client.stream.abort();
                return;
            }
        };
        let how = self
            .both_ways(&mut client.stream, &mut upstream, &tapped)
            .await;
        tapped.close(how);
        if how != Closed::Finished {
            client.stream.abort();
            upstream.abort();
        }
    }

    /// Pumps both directions until the connection is over.
    async fn both_ways(
        &self,
        client: &mut Stream,
        daemon: &mut Stream,
        tapped: &Tapped<'_>,
    ) -> Closed {
        let connection = Connection {
            tapped,
            pool: &self.pool,
            write_failed: AtomicBool::new(false),
        };
        let (from_client, to_client) = client.split();
        let (from_daemon, to_daemon) = daemon.split();
        let from_client = (Side::Client, from_client);
        let from_daemon = (Side::Daemon, from_daemon);
        let to_client = (Side::Client, &to_client);
        let to_daemon = (Side::Daemon, &to_daemon);
        let mut requests = pin!(pump(from_client, to_daemon, &connection));
        let mut answers = pin!(pump(from_daemon, to_client, &connection));

        // The direction that ends first, and what is left to do for the other one.
        tokio::select! {
            ended = &mut requests => match ended {
                Ok(()) => closed(answers.await, Side::Daemon),
                Err(broken) => after_break(broken, to_client, answers).await,
            },
            ended = &mut answers => match ended {
                Ok(()) => closed(requests.await, Side::Client),
                Err(broken) => after_break(broken, to_daemon, requests).await,
            },
        }
    }
}

/// How a connection ended whose direction from `sender` ended last, like this.
fn closed(ended: Result<(), Broken>, sender: Side) -> Closed {
    match ended {
        Ok(()) => Closed::Finished,
        Err(Broken::Sender) => Closed::Reset { by: Some(sender) },
        Err(Broken::Receiver) => Closed::Reset {
            by: Some(sender.peer()),
        },
    }
}

/// Ends a connection after the direction from `sender` broke while the other one, `back`, had
/// not ended.
async fn after_break(
    broken: Broken,
    sender: (Side, &Writer<'_>),
    back: impl Future<Output = Result<(), Broken>>,
) -> Closed {
    match broken {
        // Nothing can be delivered to the sender any more either.
        Broken::Sender => {}
        // What the receiver said before it went is still to be delivered: often it is the
        // reason, such as an error response to a request that was not read to its end.
        // Meanwhile the sender should learn that its writes fail. On TCP only a reset can tell
        // it, which would destroy what is on its way to it: so that waits, but not for ever, as
        // a sender that is stuck in writing may never read.
        Broken::Receiver => {
            if sender.1.refuse_more() {
                let _ = back.await;
            } else {
                let _ = timeout(LAST_WORDS, back).await;
            }
        }
    }
    closed(Err(broken), sender.0)
}

/// Where the connections of one listener go, and whether the operator knows that it is away.
struct Daemon {
    address: Address,
    reported: AtomicBool,
}

/// Waits until `phase` is `wanted` or later.
async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    let arrived = |now: &Phase| *now == Phase::Stop || *now == wanted;
    // An error says that the sender is gone: nobody wants anything any more.
    let _ = phase.wait_for(arrived).await;
    // Connections that the kernel has completed by now become visible to `accept` only after
    // the reactor has looked.
    yield_now().await;
}
