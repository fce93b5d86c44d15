//! Which daemon the user's clients would talk to, if buildtap were not there.
//!
//! | daemon | found by, in this order |
//! |---|---|
//! | any | `--upstream` |
//! | container engine | `DOCKER_HOST`; the docker context in effect (`DOCKER_CONTEXT`, else `currentContext` of docker's `config.json`); the first socket that answers of `/var/run/docker.sock` and `$XDG_RUNTIME_DIR/docker.sock` |
//! | buildkitd | `BUILDKIT_HOST`; the first socket that answers of `/run/buildkit/buildkitd.sock` and `$XDG_RUNTIME_DIR/buildkit/buildkitd.sock` |
//!
//! The order for the engine is the docker CLI's, seen with version 28.2: `DOCKER_HOST` comes
//! before `DOCKER_CONTEXT` and before the context in the configuration, and an empty variable
//! counts as not set. Without `--upstream` both kinds of daemon are looked for, and both are
//! tapped if both are there.
//!
//! Everything is a function of an [`Environment`].

mod context;
mod environment;

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

pub use self::environment::{Environment, Probe, RealSystem, System};

use crate::address::{Address, AddressError, DOCKER_PORT};
use crate::child::EnvironmentChanges;
use crate::notice::{Notice, Notices};

/// docker's default socket on Linux.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// buildkitd's default socket.
const BUILDKIT_SOCKET: &str = "/run/buildkit/buildkitd.sock";

/// The port that BuildKit's documentation uses for TCP.
const BUILDKIT_PORT: u16 = 1234;

/// What kind of daemon is behind an address, which says how clients are led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A container engine; clients find it by `DOCKER_HOST`.
    Engine,
    /// buildkitd; clients find it by `BUILDKIT_HOST`.
    Buildkit,
    /// Given by the user, and its address does not tell.
    Either,
}

impl Role {
    /// The environment variables that lead clients to such a daemon.
    pub fn variables(self) -> &'static [&'static str] {
        match self {
            Role::Engine => &["DOCKER_HOST"],
            Role::Buildkit => &["BUILDKIT_HOST"],
            Role::Either => &["DOCKER_HOST", "BUILDKIT_HOST"],
        }
    }

    /// What must be done to a client's environment so that it talks to `address`.
    ///
    /// The docker CLI prefers `DOCKER_HOST` to `DOCKER_CONTEXT`, but other clients need not,
    /// so the latter goes. The TLS variables go because the tap's socket has no TLS.
    pub fn lead_to(self, address: &Address, changes: &mut EnvironmentChanges) {
        for variable in self.variables() {
            changes.set.push((variable, address.to_string()));
        }
        if self != Role::Buildkit {
            changes.remove.extend([
                "DOCKER_CONTEXT",
                "DOCKER_TLS",
                "DOCKER_TLS_VERIFY",
                "DOCKER_CERT_PATH",
            ]);
        }
    }

    /// The file name of a private socket that stands for such a daemon.
    pub(crate) fn socket_name(self) -> &'static str {
        match self {
            Role::Engine => "docker.sock",
            Role::Buildkit => "buildkitd.sock",
            Role::Either => "daemon.sock",
        }
    }

    /// By the looks of an address that the user gave.
    fn of(address: &Address) -> Self {
        let name = |path: &Path| path.to_string_lossy().to_lowercase();
        match address {
            Address::Unix(path) if name(path).contains("buildkit") => Role::Buildkit,
            Address::Unix(path) if path.ends_with("docker.sock") => Role::Engine,
            Address::Unix(path) if path.ends_with("podman.sock") => Role::Engine,
            Address::Tcp {
                port: BUILDKIT_PORT,
                ..
            } => Role::Buildkit,
            Address::Tcp {
                port: DOCKER_PORT, ..
            } => Role::Engine,
            _ => Role::Either,
        }
    }
}

/// A daemon to relay to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// What kind it is.
    pub role: Role,
    /// Where it listens.
    pub address: Address,
    /// What named it, for people: `DOCKER_HOST`, `the docker context "x"`.
    pub chosen_by: String,
}

/// The daemons that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstreams {
    /// At least one; at most one per [`Role`].
    pub found: Vec<Upstream>,
    /// Sentences about settings that could not be used and were not needed.
    pub skipped: Vec<String>,
}

impl Upstreams {
    /// Tells the operator what was skipped.
    pub(crate) fn tell_skipped(&self, notices: &Notices) {
        for reason in &self.skipped {
            notices.tell(&Notice::UpstreamSkipped { reason });
        }
    }
}

/// Why there is no daemon to relay to. Displays as sentences with what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// A setting holds something that is not an address to connect to.
    #[error("{chosen_by} is set, but {error}")]
    Address {
        /// The setting.
        chosen_by: String,
        /// What is wrong with it.
        error: AddressError,
    },
    /// The daemon wants TLS.
    #[error(
        "{reason}, and buildtap does not speak TLS yet. Run it on the daemon's machine, on the daemon's Unix socket: buildtap run --upstream unix://{DOCKER_SOCKET} -- COMMAND"
    )]
    Tls {
        /// What says so.
        reason: String,
    },
    /// The context in effect does not exist.
    #[error(
        "{chosen_by} names the docker context {name:?}, which does not exist ({}). Choose one with `docker context use`, or give --upstream",
        choices(.known)
    )]
    NoSuchContext {
        /// Its name.
        name: String,
        /// What named it.
        chosen_by: String,
        /// Those that do.
        known: Vec<String>,
    },
    /// docker's configuration cannot be read.
    #[error(
        "cannot tell which docker context is in effect: {path} {reason}. Mend that file, or give --upstream",
        path = .path.display()
    )]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing is set and nobody listens at the usual places.
    #[error("found no daemon to talk to. Tried:{}\nStart one, or name it with --upstream, as in --upstream unix:///path/to/docker.sock", listed(.0))]
    None(Vec<Tried>),
}

/// A place where a daemon could have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The setting or the socket.
    pub place: String,
    /// What was there.
    pub found: String,
}

impl Tried {
    fn new(place: impl Into<String>, found: impl fmt::Display) -> Self {
        Self {
            place: place.into(),
            found: found.to_string(),
        }
    }
}

fn choices(names: &[String]) -> String {
    if names.is_empty() {
        "there is only the default one".to_owned()
    } else {
        format!("there are: default, {}", names.join(", "))
    }
}

fn listed(places: &[Tried]) -> String {
    places.iter().fold(String::new(), |mut text, tried| {
        let _ = write!(text, "\n  {}: {}", tried.place, tried.found);
        text
    })
}

/// The daemons that clients in this environment talk to; `upstream` is the one that the user
/// names, and then the only one.
pub fn resolve(
    environment: &Environment,
    upstream: Option<&Address>,
) -> Result<Upstreams, UpstreamError> {
    if let Some(address) = upstream {
        return Ok(Upstreams {
            found: vec![Upstream {
                role: Role::of(address),
                address: address.clone(),
                chosen_by: "--upstream".to_owned(),
            }],
            skipped: Vec::new(),
        });
    }
    let mut tried = Vec::new();
    let mut upstreams = Upstreams::default();
    upstreams.found.extend(engine(environment, &mut tried)?);
    match buildkit(environment, &mut tried) {
        Ok(buildkit) => upstreams.found.extend(buildkit),
        // `docker-container://` and the like: the engine, which is tapped, carries it.
        Err(error) if !upstreams.found.is_empty() => upstreams.skipped.push(error.to_string()),
        Err(error) => return Err(error),
    }
    if upstreams.found.is_empty() {
        return Err(UpstreamError::None(tried));
    }
    Ok(upstreams)
}

fn engine(
    environment: &Environment,
    tried: &mut Vec<Tried>,
) -> Result<Option<Upstream>, UpstreamError> {
    const VARIABLE: &str = "DOCKER_HOST";
    let (host, chosen_by) = if let Some(host) = environment.variable(VARIABLE) {
        (host.to_owned(), VARIABLE.to_owned())
    } else {
        tried.push(Tried::new(VARIABLE, "not set"));
        match context::in_effect(environment)? {
            Some(context) => (
                context.host,
                format!(
                    "the docker context {:?} (from {})",
                    context.name, context.chosen_by
                ),
            ),
            None => {
                tried.push(Tried::new("docker context", "the default one"));
                let sockets = [
                    PathBuf::from(DOCKER_SOCKET),
                    environment.runtime_directory().join("docker.sock"),
                ];
                return Ok(first_live(environment, Role::Engine, sockets, tried));
            }
        }
    };
    let address = docker_host(&host).map_err(|error| UpstreamError::Address {
        chosen_by: chosen_by.clone(),
        error,
    })?;
    // On a Unix socket nobody uses them.
    if address.path().is_none() {
        for variable in ["DOCKER_TLS_VERIFY", "DOCKER_TLS"] {
            if environment.variable(variable).is_some() {
                return Err(UpstreamError::Tls {
                    reason: format!("{variable} is set for the daemon at {address}"),
                });
            }
        }
    }
    Ok(Some(Upstream {
        role: Role::Engine,
        address,
        chosen_by,
    }))
}

fn buildkit(
    environment: &Environment,
    tried: &mut Vec<Tried>,
) -> Result<Option<Upstream>, UpstreamError> {
    const VARIABLE: &str = "BUILDKIT_HOST";
    match environment.variable(VARIABLE) {
        Some(host) => Ok(Some(Upstream {
            role: Role::Buildkit,
            address: host.parse().map_err(|error| UpstreamError::Address {
                chosen_by: VARIABLE.to_owned(),
                error,
            })?,
            chosen_by: VARIABLE.to_owned(),
        })),
        None => {
            tried.push(Tried::new(VARIABLE, "not set"));
            let sockets = [
                PathBuf::from(BUILDKIT_SOCKET),
                environment
                    .runtime_directory()
                    .join("buildkit/buildkitd.sock"),
            ];
            Ok(first_live(environment, Role::Buildkit, sockets, tried))
        }
    }
}

/// The first of `sockets` on which somebody listens.
fn first_live(
    environment: &Environment,
    role: Role,
    sockets: impl IntoIterator<Item = PathBuf>,
    tried: &mut Vec<Tried>,
) -> Option<Upstream> {
    for path in sockets {
        let probe = environment.system.probe(&path);
        if probe == Probe::Live {
            return Some(Upstream {
                role,
                address: Address::Unix(path),
                chosen_by: "the default socket".to_owned(),
            });
        }
        tried.push(Tried::new(path.to_string_lossy(), probe));
    }
    None
}

/// An address as docker takes it: `unix://` and `tcp://` may stand alone, and what has no
/// scheme is TCP.
fn docker_host(text: &str) -> Result<Address, AddressError> {
    let text = text.trim();
    match text {
        "" | "unix://" => return Ok(Address::Unix(DOCKER_SOCKET.into())),
        _ if text.contains("://") || text.starts_with('/') => {}
        _ => return docker_host(&format!("tcp://{text}")),
    }
    match text.strip_prefix("tcp://") {
        Some(rest) if rest.is_empty() || rest.starts_with(':') => {
            format!("tcp://localhost{rest}").parse()
        }
        _ => text.parse(),
    }
}

#[cfg(test)]
mod tests;
