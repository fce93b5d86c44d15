//! Where a daemon or buildtap itself listens.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The port that docker takes when a `tcp://` address names none.
pub const DOCKER_PORT: u16 = 2375;

/// An address that buildtap can connect to or listen on.
///
/// Parses `unix:///path` and `tcp://host:port`; `http://` means the same as `tcp://`, an IPv6
/// address stands in brackets, a missing port is [`DOCKER_PORT`]. Displays as it parses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A Unix socket: an absolute path.
    Unix(PathBuf),
    /// TCP without TLS.
    Tcp {
        /// A name or an IP address, without brackets.
        host: String,
        /// The port; 0 when listening means any.
        port: u16,
    },
}

/// Why a text is not an [`Address`]. Displays as a sentence with what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// An address of a kind that clients know and buildtap does not.
    #[error("{address} cannot be tapped directly: {instead}")]
    Unsupported {
        /// What was given.
        address: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// No scheme, or one that nobody knows.
    #[error(
        "{0:?} is not an address: write unix:///path/to.sock for a Unix socket or tcp://host:port for TCP"
    )]
    Scheme(String),
    /// `unix://` without an absolute path.
    #[error(
        "{0:?} does not hold an absolute path: write three slashes, as in unix:///var/run/docker.sock"
    )]
    Path(String),
    /// `tcp://` with something else than a host and a port.
    #[error(
        "{0:?} is not a host and a port: write tcp://host:port, and an IPv6 address in brackets, as in tcp://[::1]:2375"
    )]
    HostPort(String),
    /// `tcp://host:port/path`.
    #[error(
        "{0:?} holds a path behind host and port, which a relay of connections cannot add to requests: leave it out"
    )]
    TcpPath(String),
}

impl Address {
    /// Short, for people who look at a connection: `unix:///path`, `127.0.0.1:2375`.
    pub fn endpoint(&self) -> String {
        match self {
            Address::Unix(_) => self.to_string(),
            Address::Tcp { .. } => self.to_string().split_off("tcp://".len()),
        }
    }

    /// The path of a Unix socket.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Address::Unix(path) => Some(path),
            Address::Tcp { .. } => None,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let unsupported = |instead| AddressError::Unsupported {
            address: text.to_owned(),
            instead,
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| AddressError::Scheme(text.to_owned()))?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Address::Unix(rest.into())),
            "unix" => Err(AddressError::Path(text.to_owned())),
            "tcp" | "http" => host_port(rest.strip_suffix('/').unwrap_or(rest), text),
            "https" => Err(unsupported(
                "buildtap does not speak TLS yet. Run it on the daemon's machine, on the daemon's Unix socket",
            )),
            "ssh" => Err(unsupported(
                "run buildtap on that machine, or forward the socket here with `ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST` and give --upstream unix:///tmp/docker.sock",
            )),
            "npipe" => Err(unsupported(
                "named pipes exist on Windows only. Run buildtap where the daemon has a Unix socket, for example in the WSL distribution",
            )),
            "fd" => Err(unsupported(
                "fd:// is an address to listen on, handed over by systemd. Give the path of that socket, often unix:///var/run/docker.sock",
            )),
            "docker-container" | "podman-container" | "nerdctl-container" => Err(unsupported(
                "such a connection runs through the container engine. Tap the engine's socket instead, often --upstream unix:///var/run/docker.sock; what is said inside is decoded",
            )),
            "kube-pod" | "kubernetes" => Err(unsupported(
                "such a connection runs through the Kubernetes API server, encrypted. Forward the pod's port with `kubectl port-forward POD 1234` and give --upstream tcp://127.0.0.1:1234",
            )),
            _ => Err(AddressError::Scheme(text.to_owned())),
        }
    }
}

fn host_port(rest: &str, text: &str) -> Result<Address, AddressError> {
    let wrong = || AddressError::HostPort(text.to_owned());
    if rest.contains('/') {
        return Err(AddressError::TcpPath(text.to_owned()));
    }
    let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
        let (host, port) = bracketed.split_once(']').ok_or_else(wrong)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
        match port.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if port.is_empty() => (host, None),
            None => return Err(wrong()),
        }
    } else {
        match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        }
    };
    let printable = |c: char| c.is_ascii_graphic() && !"@?#%".contains(c);
    if host.is_empty() || !host.chars().all(printable) {
        return Err(wrong());
    }
    let port = match port {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse().map_err(|_| wrong())?
        }
        Some(_) => return Err(wrong()),
        None => DOCKER_PORT,
    };
    Ok(Address::Tcp {
        host: host.to_owned(),
        port,
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, AddressError> {
        text.parse()
    }

    #[test]
    fn display_is_what_parses() {
        for text in [
            "unix:///var/run/docker.sock",
            "unix:///a path/with spaces.sock",
            "tcp://127.0.0.1:2375",
            "tcp://build.example.org:1234",
            "tcp://[::1]:2375",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn short_forms_of_tcp() {
        let local = parse("tcp://localhost:2375").unwrap();
        assert_eq!(parse("tcp://localhost").unwrap(), local);
        assert_eq!(parse("http://localhost:2375/").unwrap(), local);
        assert_eq!(
            parse("tcp://[::1]").unwrap(),
            parse("tcp://[::1]:2375").unwrap()
        );
        assert_eq!(local.endpoint(), "localhost:2375");
    }

    #[test]
    fn every_refusal_says_what_to_write() {
        for (text, part) in [
            ("", "unix:///path/to.sock"),
            ("/var/run/docker.sock", "unix:///path/to.sock"),
            ("ftp://x", "unix:///path/to.sock"),
            ("unix://docker.sock", "three slashes"),
            ("unix://", "three slashes"),
            ("tcp://", "tcp://host:port"),
            ("tcp://:2375", "tcp://host:port"),
            ("tcp://h:port", "tcp://host:port"),
            ("tcp://h:+1", "tcp://host:port"),
            ("tcp://h:65536", "tcp://host:port"),
            ("tcp://::1:2375", "in brackets"),
            ("tcp://[::1:2375", "in brackets"),
            ("tcp://[::1]2375", "in brackets"),
            ("tcp://u@h:1", "tcp://host:port"),
            ("tcp://h:1/v1", "leave it out"),
            ("https://h:2376", "TLS"),
            ("ssh://me@host", "forward the socket"),
            ("npipe:////./pipe/docker_engine", "Windows"),
            ("fd://", "systemd"),
            ("docker-container://buildkitd", "Tap the engine's socket"),
            ("kube-pod://buildkitd", "port-forward"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
