//! One direction of one connection.
//!
//! This is the only place where payload bytes move. A way of moving them that does not copy
//! them through the program twice (`tee` and `splice`) would be a second function with the
//! signature of [`pump`], chosen here by the kinds of the two sockets.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use buildtap_decoder::event::{Side, TapEvent};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::buffer::BufferPool;
use crate::stream::{Reader, Writer};
use crate::tap::Tapped;

/// How long a side takes no byte before the tap is told that it is blocked. Shorter pauses
/// are how ordinary programs read.
pub const BLOCKED_AFTER: Duration = Duration::from_millis(250);

/// Bytes after which a direction that always finds work lets others have a turn.
const FAIR_SHARE: usize = 1024 * 1024;

/// Why a direction ended before its sender ended it.
#[derive(Debug)]
pub(super) enum Broken {
    /// The sender was reset: reading failed. All that was read before has been passed on.
    Sender,
    /// The receiver is gone: writing failed.
    Receiver,
}

/// What the two directions of a connection share.
pub(super) struct Connection<'a> {
    pub(super) tapped: &'a Tapped<'a>,
    pub(super) pool: &'a BufferPool,
    /// Writing to a side has failed. A socket tells of a reset once, to whoever asks first: if
    /// that was a write, reading the same socket gives what is left and then what looks like
    /// an orderly end, and is not.
    pub(super) write_failed: AtomicBool,
}

/// Passes on what `from` sends until `from` ends, then ends `to` likewise.
pub(super) async fn pump(
    from: (Side, Reader<'_>),
    to: (Side, &Writer<'_>),
    connection: &Connection<'_>,
) -> Result<(), Broken> {
    let (side, mut source) = from;
    let tapped = connection.tapped;
    loop {
        source.readable().await.map_err(|_| Broken::Sender)?;
        let mut lent = connection.pool.lend();
        let mut since_wait = 0_usize;
        loop {
            lent.buffer.clear();
            match source.read_now(&mut lent.buffer).await {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) if connection.write_failed.load(Ordering::Relaxed) => {
                    return Err(Broken::Sender);
                }
                Poll::Ready(Ok(0)) => {
                    tapped.tell(TapEvent::HalfClose { from: side });
                    to.1.end();
                    return Ok(());
                }
                Poll::Ready(Ok(n)) => {
                    tapped.tell(TapEvent::Chunk {
                        from: side,
                        bytes: &lent.buffer,
                    });
                    if write_all(to, &lent.buffer, tapped).await.is_err() {
                        connection.write_failed.store(true, Ordering::Relaxed);
                        return Err(Broken::Receiver);
                    }
                    since_wait += n;
                    if since_wait >= FAIR_SHARE {
                        since_wait = 0;
                        yield_now().await;
                    }
                }
                Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(_)) => return Err(Broken::Sender),
            }
        }
    }
}

/// Writes all of `bytes` to `to`, and tells the tap when it takes none for [`BLOCKED_AFTER`]
/// and when it takes some again.
async fn write_all(
    to: (Side, &Writer<'_>),
    mut bytes: &[u8],
    tapped: &Tapped<'_>,
) -> io::Result<()> {
    let (side, sink) = to;
    let mut blocked = false;
    while !bytes.is_empty() {
        match sink.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = bytes.get(n..).unwrap_or_default();
                if blocked {
                    blocked = false;
                    tapped.tell(TapEvent::Unblocked { to: side });
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if blocked {
                    sink.writable().await?;
                } else if let Ok(writable) = timeout(BLOCKED_AFTER, sink.writable()).await {
                    writable?;
                } else {
                    blocked = true;
                    tapped.tell(TapEvent::Blocked { to: side });
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
