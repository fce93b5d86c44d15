//! One connection of either kind of socket, as the relay needs it: without ownership halves,
//! without buffers, and with an end that can be abrupt.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use crate::address::Address;

/// How long dialling a daemon may take before it counts as unreachable.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Keep-alive of TCP connections. The ends probe their peer with it, which is now buildtap's
/// kernel and always there; so buildtap probes for them. The values are Go's defaults, which
/// docker, buildx and the daemons use.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A connected stream socket.
#[derive(Debug)]
pub enum Stream {
    /// A Unix domain socket.
    Unix(UnixStream),
    /// A TCP connection.
    Tcp(TcpStream),
}

impl Stream {
    /// Connects to `address` within [`DIAL_TIMEOUT`].
    pub async fn connect(address: &Address) -> io::Result<Self> {
        let dial = async {
            Ok(match address {
                Address::Unix(path) => Stream::Unix(connect_unix(path).await?),
                Address::Tcp { host, port } => {
                    Stream::tcp(TcpStream::connect((host.as_str(), *port)).await?)
                }
            })
        };
        timeout(DIAL_TIMEOUT, dial)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Prepares a TCP connection for relaying: no delay of small writes, keep-alive on.
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        // Failures here mean that the peer is already gone; reading will say so.
        let _ = stream.set_nodelay(true);
        let _ = sockopt::set_socket_keepalive(&stream, true);
        #[cfg(target_os = "linux")]
        {
            let _ = sockopt::set_tcp_keepidle(&stream, KEEPALIVE);
            let _ = sockopt::set_tcp_keepintvl(&stream, KEEPALIVE);
        }
        Stream::Tcp(stream)
    }

    /// Waits until reading may give something, or until the end of the stream.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.readable().await,
            Stream::Tcp(stream) => stream.readable().await,
        }
    }

    /// Waits until writing may take something.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.writable().await,
            Stream::Tcp(stream) => stream.writable().await,
        }
    }

    /// Appends to `buf` what there is, up to its capacity. `Ok(0)` is the end of the stream,
    /// `WouldBlock` means nothing yet.
    pub(crate) fn try_read(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.try_read_buf(buf),
            Stream::Tcp(stream) => stream.try_read_buf(buf),
        }
    }

    /// Writes what there is room for. `WouldBlock` means no room at all.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.try_write(bytes),
            Stream::Tcp(stream) => stream.try_write(bytes),
        }
    }

    /// Tells the peer that no more will come: it reads the end of the stream.
    pub(crate) fn shutdown_write(&self) {
        // ENOTCONN: the peer is gone altogether and needs no telling.
        let _ = rustix::net::shutdown(self.as_fd(), rustix::net::Shutdown::Write);
    }

    /// Tells the peer that nothing is read any more: on a Unix socket its writes fail from now
    /// on (`EPIPE`). TCP has no such message, there this does nothing to the peer.
    pub(crate) fn shutdown_read(&self) {
        let _ = rustix::net::shutdown(self.as_fd(), rustix::net::Shutdown::Read);
    }

    /// Ends the connection at once. The peer of a TCP connection gets a reset. The peer of a
    /// Unix socket gets a reset if it has sent something that was not read, and otherwise the
    /// end of the stream: Unix sockets know no other way.
    pub(crate) fn abort(self) {
        if let Stream::Tcp(stream) = &self {
            let _ = stream.set_zero_linger();
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// A connect that waits while the listener's backlog is full. On a non-blocking Unix socket
/// that is `EAGAIN`, and nothing tells when there is room again (unix(7)).
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let deadline = Instant::now() + DIAL_TIMEOUT;
    loop {
        match UnixStream::connect(path).await {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                sleep(Duration::from_millis(5)).await;
            }
            done => return done,
        }
    }
}
