//! One connection of either kind of socket, as the relay needs it: read into a buffer that
//! is there only when bytes are, and with an end that can be abrupt.

use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rustix::net::{Shutdown, sockopt};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep, timeout};

use crate::address::Address;

/// How long dialling a daemon may take before it counts as unreachable.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Keep-alive of TCP connections. The ends probe their peer with it, which is now buildtap's
/// kernel and always there; so buildtap probes for them. The values are Go's defaults, which
/// docker, buildx and the daemons use.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Bytes that a Unix socket takes for a peer that has not read them yet, as asked of the kernel,
/// which grants what `net.core.wmem_max` allows. With the usual 208 KiB reader and writer
/// wait for each other in turns; with this a third more goes through. TCP sizes its buffers
/// itself.
pub const SEND_BUFFER: usize = 512 * 1024;

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
                Address::Unix(path) => Stream::unix(connect_unix(path).await?),
                Address::Tcp { host, port } => {
                    Stream::tcp(TcpStream::connect((host.as_str(), *port)).await?)
                }
            })
        };
        timeout(DIAL_TIMEOUT, dial)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Prepares a connection of a Unix socket for relaying.
    pub(crate) fn unix(stream: UnixStream) -> Self {
        let _ = sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER);
        Stream::Unix(stream)
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

    /// The two directions of the connection, as seen from here.
    pub(crate) fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        match self {
            Stream::Unix(stream) => {
                let (reader, writer) = stream.split();
                (Reader::Unix(reader), Writer::Unix(writer))
            }
            Stream::Tcp(stream) => {
                let (reader, writer) = stream.split();
                (Reader::Tcp(reader), Writer::Tcp(writer))
            }
        }
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

/// What arrives on a [`Stream`].
pub(crate) enum Reader<'a> {
    Unix(unix::ReadHalf<'a>),
    Tcp(tcp::ReadHalf<'a>),
}

impl Reader<'_> {
    /// Waits until there may be something, or the end of the stream.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Reader::Unix(half) => half.readable().await,
            Reader::Tcp(half) => half.readable().await,
        }
    }

    /// Appends to `buffer` what there is now, up to its capacity. `Ready(Ok(0))` is the end of
    /// the stream, `Pending` means nothing yet.
    ///
    /// Unlike tokio's `try_read`, this knows from a read that did not fill the buffer that the
    /// next one would be in vain: one system call less per wake-up.
    pub(crate) async fn read_now(&mut self, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        // Unconstrained: being out of tokio's budget would look like having nothing to read.
        match self {
            Reader::Unix(half) => unconstrained(poll_once(half.read_buf(buffer))).await,
            Reader::Tcp(half) => unconstrained(poll_once(half.read_buf(buffer))).await,
        }
    }
}

async fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    let mut future = pin!(future);
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// What is sent on a [`Stream`].
pub(crate) enum Writer<'a> {
    Unix(unix::WriteHalf<'a>),
    Tcp(tcp::WriteHalf<'a>),
}

impl Writer<'_> {
    /// Waits until writing may take something.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Writer::Unix(half) => half.writable().await,
            Writer::Tcp(half) => half.writable().await,
        }
    }

    /// Writes what there is room for. `WouldBlock` means no room at all.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Writer::Unix(half) => half.try_write(bytes),
            Writer::Tcp(half) => half.try_write(bytes),
        }
    }

    /// Tells the peer that no more will come: it reads the end of the stream.
    pub(crate) fn end(&self) {
        self.shutdown(Shutdown::Write);
    }

    /// Tells the peer of a Unix socket that nothing it sends is read any more: its writes fail
    /// from now on (`EPIPE`). TCP has no such message; false says that the peer was not told.
    pub(crate) fn refuse_more(&self) -> bool {
        let told = matches!(self, Writer::Unix(_));
        if told {
            self.shutdown(Shutdown::Read);
        }
        told
    }

    fn shutdown(&self, how: Shutdown) {
        // The only error is ENOTCONN: the peer is gone altogether and needs no telling.
        let _ = match self {
            Writer::Unix(half) => rustix::net::shutdown(half.as_ref(), how),
            Writer::Tcp(half) => rustix::net::shutdown(half.as_ref(), how),
        };
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
