//! The sockets that stand in for a daemon's.
//!
//! A container engine's socket is as good as root on its machine, so a socket that leads to
//! one is never open to more people than asked for: Unix sockets are created with mode 0600,
//! those that buildtap places itself in a directory with mode 0700, and TCP is limited to the
//! loopback interface unless the user allows more.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::net::SocketFlags;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener, UnixSocket, UnixStream, lookup_host};
use tokio::time::timeout;

use crate::address::Address;
use crate::client_process;
use crate::stream::Stream;

/// Connections that may wait to be accepted; what Go's listeners ask for on Linux.
const BACKLOG: u32 = 4096;

/// The longest path that a Unix socket can have: `sun_path` of `sockaddr_un` without its NUL.
pub const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// How long a socket that is in the way has to answer a connection attempt.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a listener could not be opened. Displays as a sentence with what to do.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody accepts connections there.
    #[error(
        "{0} is in use: another program listens there. Give another address with --listen, or stop that program"
    )]
    InUse(Address),
    /// A file of another kind, or of somebody else, has the name.
    #[error(
        "{path} exists and is {what}. buildtap replaces only sockets that nobody listens on; remove it yourself or give another path with --listen",
        path = .0.display(), what = .1
    )]
    InTheWay(PathBuf, &'static str),
    /// See [`MAX_SOCKET_PATH`].
    #[error(
        "the path {path} is too long for a socket: it has {length} bytes, the system allows {MAX_SOCKET_PATH}. Give a shorter one, for example --listen unix:///tmp/buildtap.sock",
        path = .0.display(), length = .0.as_os_str().len()
    )]
    PathTooLong(PathBuf),
    /// The address is reachable from other machines.
    #[error(
        "{0} can be reached from other machines, and whoever reaches a container engine is root on its machine. Listen on tcp://127.0.0.1:PORT, or give --allow-remote if the network is safe"
    )]
    Remote(Address),
    /// The host name has no address.
    #[error(
        "the name in {0} cannot be resolved ({1}). Give an IP address, as in tcp://127.0.0.1:0"
    )]
    Resolve(Address, io::Error),
    /// Clients of the listener would be led back to it.
    #[error(
        "{0} would lead to itself: it is the daemon's address too. Give another address with --listen"
    )]
    Loop(Address),
    /// No directory for a socket of our own.
    #[error(
        "cannot create a directory for the socket in {path} ({error}). Set TMPDIR to a directory that you may write to, or give a path with --listen",
        path = .0.display(), error = .1
    )]
    Directory(PathBuf, io::Error),
    /// Anything else that the system says.
    #[error(
        "cannot listen on {0} ({1}). Check that the directory exists and that you may write to it, or give another address with --listen"
    )]
    Bind(Address, io::Error),
}

/// A listening socket. Dropping it removes the socket file if it is still the one that it made.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// A client that connected.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: Stream,
    /// `unix`, or the client's IP address and port.
    pub address: String,
    /// The client's process, where the system tells.
    pub process: Option<String>,
}

impl Listener {
    /// Listens on an address that the user chose. `allow_remote` permits TCP addresses other
    /// than loopback ones.
    pub async fn open(address: &Address, allow_remote: bool) -> Result<Self, ListenError> {
        match address {
            Address::Unix(path) => {
                check_length(path)?;
                clear_the_way(path).await?;
                Self::unix(path, None)
            }
            Address::Tcp { host, port } => Self::tcp(address, host, *port, allow_remote).await,
        }
    }

    /// Listens on a Unix socket `name` in a private directory.
    pub fn private(directory: &Arc<PrivateDirectory>, name: &str) -> Result<Self, ListenError> {
        let path = directory.0.path().join(name);
        check_length(&path)?;
        Self::unix(&path, Some(Arc::clone(directory)))
    }

    fn unix(path: &Path, directory: Option<Arc<PrivateDirectory>>) -> Result<Self, ListenError> {
        let address = Address::Unix(path.to_owned());
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(address.clone()),
            _ => ListenError::Bind(address.clone(), e),
        };
        let socket = UnixSocket::new_stream().map_err(failed)?;
        // On Linux a socket file is created with the mode of the socket, less the umask: so it
        // is never there with a wider one. Other systems ignore this; the mode is set again.
        let _ = rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR);
        socket.bind(path).map_err(failed)?;
        let file = SocketFile::created(path, directory).map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        let listener = socket.listen(BACKLOG).map_err(failed)?;
        Ok(Self {
            socket: Socket::Unix(listener),
            address,
            _file: Some(file),
        })
    }

    async fn tcp(
        address: &Address,
        host: &str,
        port: u16,
        allow_remote: bool,
    ) -> Result<Self, ListenError> {
        let resolved: Vec<_> = lookup_host((host, port))
            .await
            .map_err(|e| ListenError::Resolve(address.clone(), e))?
            .collect();
        if !allow_remote && !resolved.iter().all(|to| to.ip().is_loopback()) {
            return Err(ListenError::Remote(address.clone()));
        }
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(address.clone()),
            _ => ListenError::Bind(address.clone(), e),
        };
        let listener = TcpListener::bind(resolved.as_slice())
            .await
            .map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self {
            socket: Socket::Tcp(listener),
            address: Address::Tcp {
                host: host.to_owned(),
                port,
            },
            _file: None,
        })
    }

    /// Where clients connect to; for TCP with the port that was really taken.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next client.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(accepted_unix(stream))
            }
            Socket::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                Ok(Accepted {
                    address: from.to_string(),
                    process: None,
                    stream: Stream::tcp(stream),
                })
            }
        }
    }

    /// A client that waits at a Unix socket, asked of the kernel itself: the reactor may not have
    /// noticed it yet.
    pub(crate) fn accept_waiting(&self) -> Option<Accepted> {
        let Socket::Unix(listener) = &self.socket else {
            return None;
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let stream = rustix::net::accept_with(listener, flags).ok()?;
        let stream = UnixStream::from_std(stream.into()).ok()?;
        Some(accepted_unix(stream))
    }
}

fn accepted_unix(stream: UnixStream) -> Accepted {
    Accepted {
        address: "unix".to_owned(),
        process: client_process::of(&stream),
        stream: Stream::unix(stream),
    }
}

fn check_length(path: &Path) -> Result<(), ListenError> {
    if path.as_os_str().as_bytes().len() > MAX_SOCKET_PATH {
        return Err(ListenError::PathTooLong(path.to_owned()));
    }
    Ok(())
}

/// Removes a socket at `path` that nobody listens on: what a program that was killed leaves.
async fn clear_the_way(path: &Path) -> Result<(), ListenError> {
    let address = || Address::Unix(path.to_owned());
    let metadata = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(ListenError::Bind(address(), e)),
        Ok(metadata) => metadata,
    };
    let kind = metadata.file_type();
    let in_the_way = |what| Err(ListenError::InTheWay(path.to_owned(), what));
    if kind.is_dir() {
        return in_the_way("a directory");
    } else if kind.is_symlink() {
        return in_the_way("a symbolic link");
    } else if !kind.is_socket() {
        return in_the_way("not a socket");
    }
    match timeout(PROBE_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|e| ListenError::Bind(address(), e))
        }
        Ok(Err(e)) if e.kind() == io::ErrorKind::PermissionDenied => {
            in_the_way("a socket of another user")
        }
        // It accepted, or is too busy to.
        _ => Err(ListenError::InUse(address())),
    }
}

/// A directory that only the user can enter, removed with what is in it when the last listener
/// in it is gone.
#[derive(Debug)]
pub struct PrivateDirectory(TempDir);

impl PrivateDirectory {
    /// A fresh one in `parent`: the user's run-time directory, or the one for temporary files.
    pub fn create(parent: &Path) -> Result<Arc<Self>, ListenError> {
        tempfile::Builder::new()
            .prefix("buildtap-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .map(|directory| Arc::new(Self(directory)))
            .map_err(|e| ListenError::Directory(parent.to_owned(), e))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A socket's file, known by device and inode, so that a file which took its place meanwhile
/// is left alone.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    _directory: Option<Arc<PrivateDirectory>>,
}

impl SocketFile {
    fn created(path: &Path, directory: Option<Arc<PrivateDirectory>>) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
            _directory: directory,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
