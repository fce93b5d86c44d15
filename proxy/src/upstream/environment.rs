//! What choosing a daemon depends on, in one value, so that the choice can be tested.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The surroundings of the program.
#[derive(Debug)]
pub struct Environment {
    /// Environment variables. Those that are not Unicode are left out.
    pub variables: BTreeMap<String, String>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// The user's number.
    pub uid: u32,
    /// Files and sockets.
    pub system: Box<dyn System>,
}

impl Environment {
    /// The one that this process was started in.
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            home: std::env::home_dir(),
            uid: rustix::process::getuid().as_raw(),
            system: Box::new(RealSystem),
        }
    }

    /// A variable's value; an empty one counts as not set, as docker counts it.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The user's directory for sockets: `XDG_RUNTIME_DIR`, else where systemd puts it.
    pub fn runtime_directory(&self) -> PathBuf {
        match self.variable("XDG_RUNTIME_DIR") {
            Some(directory) => directory.into(),
            None => format!("/run/user/{}", self.uid).into(),
        }
    }
}

/// What is asked of files and sockets.
pub trait System: fmt::Debug + Send + Sync {
    /// The text of a file.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// The names in a directory, in any order.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
    /// Whether somebody listens on a Unix socket.
    fn probe(&self, path: &Path) -> Probe;
}

/// What was found where a socket could be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Somebody listens.
    Live,
    /// Connecting failed like this.
    Failed(io::ErrorKind),
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Probe::Live => f.write_str("a daemon listens"),
            Probe::Failed(io::ErrorKind::NotFound) => f.write_str("no such socket"),
            Probe::Failed(io::ErrorKind::PermissionDenied) => {
                f.write_str("exists, but you may not connect to it")
            }
            Probe::Failed(io::ErrorKind::ConnectionRefused) => {
                f.write_str("exists, but nobody listens on it")
            }
            Probe::Failed(kind) => write!(f, "{kind}"),
        }
    }
}

/// This machine.
#[derive(Clone, Copy, Debug)]
pub struct RealSystem;

impl System for RealSystem {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    }

    fn probe(&self, path: &Path) -> Probe {
        match UnixStream::connect(path) {
            Ok(_) => Probe::Live,
            Err(e) => Probe::Failed(e.kind()),
        }
    }
}
