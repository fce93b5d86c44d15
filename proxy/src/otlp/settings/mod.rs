//! Where spans and metrics go and how: the command line, and the standard variables
//! (`OTEL_EXPORTER_OTLP_*`) for what it does not say.
//!
//! An argument comes before a variable, a variable of one signal
//! (`OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`) before the one for all of them
//! (`OTEL_EXPORTER_OTLP_TIMEOUT`).
//!
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>

mod args;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use http::Uri;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

pub use self::args::{Header, OtlpArgs, OtlpCompression, OtlpProtocol};

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// An address that is none.
    #[error(
        "{given} (from {from}) is no address of a collector; write http://host:4317, or \
         https://host:4318 for OTLP over HTTP"
    )]
    Endpoint {
        /// What was given.
        given: String,
        /// Where.
        from: String,
    },
    /// A variable that says what does not exist.
    #[error("{variable} is {value:?}; it may be {may}")]
    Variable {
        /// Its name.
        variable: String,
        /// What it says.
        value: String,
        /// What it may say.
        may: &'static str,
    },
    /// A file for TLS.
    #[error("cannot read {} ({error}); look whether the path is right", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file for TLS that is none.
    #[error("{} holds no usable certificate or key ({why}); it must be PEM", path.display())]
    Tls {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The library does not want it.
    #[error("cannot send spans to {endpoint} ({why})")]
    Refused {
        /// Where they were to go.
        endpoint: String,
        /// What it said.
        why: String,
    },
}

/// PEM files for TLS, read.
#[derive(Clone, Debug, Default)]
pub(super) struct Tls {
    pub(super) authorities: Option<(PathBuf, Vec<u8>)>,
    pub(super) own: Option<(PathBuf, Vec<u8>, Vec<u8>)>,
}

/// Where one signal goes and how.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) endpoint: String,
    pub(super) protocol: OtlpProtocol,
    pub(super) headers: Vec<Header>,
    pub(super) compression: OtlpCompression,
    pub(super) timeout: Duration,
    pub(super) tls: Tls,
}

/// Where spans and metrics go and how.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) traces: Target,
    /// `None` if metrics are not wanted.
    pub(super) metrics: Option<Target>,
    /// Whether spans of the peers are sent on.
    pub forward_spans: bool,
    /// Whether paths are replaced by digests.
    pub hash_paths: bool,
}

impl fmt::Display for Settings {
    /// Where spans go, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traces.endpoint)
    }
}

/// An environment: for tests another one than that of the process.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process.
pub(crate) fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

const TIMEOUT: Duration = Duration::from_secs(10);

impl Settings {
    /// By the arguments and, for what they do not say, the process's environment; `None` if nothing
    /// is to be sent.
    pub fn new(args: &OtlpArgs) -> Result<Option<Self>, SettingsError> {
        Settings::with(args, &process)
    }

    pub(crate) fn with(
        args: &OtlpArgs,
        environment: Environment<'_>,
    ) -> Result<Option<Self>, SettingsError> {
        let traces = Variables::new("TRACES", environment);
        let metrics = Variables::new("METRICS", environment);
        let is_off = traces.is("OTEL_SDK_DISABLED", "true");
        let unwanted = is_off || traces.is("OTEL_TRACES_EXPORTER", "none");
        if args.otlp.is_none() && unwanted {
            return Ok(None);
        }
        let Some(traces) = target(args, &traces, "v1/traces")? else {
            return Ok(None);
        };
        let metrics = match metrics.is("OTEL_METRICS_EXPORTER", "none") {
            true => None,
            false => target(args, &metrics, "v1/metrics")?,
        };
        Ok(Some(Settings {
            traces,
            metrics,
            forward_spans: args.forwards(),
            hash_paths: args.hash_paths,
        }))
    }
}

/// The variables that are for one signal.
struct Variables<'a> {
    signal: &'static str,
    environment: Environment<'a>,
}

impl<'a> Variables<'a> {
    fn new(signal: &'static str, environment: Environment<'a>) -> Self {
        Variables {
            signal,
            environment,
        }
    }

    /// A variable that says something.
    fn get(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.trim().is_empty())
    }

    fn is(&self, name: &str, wanted: &str) -> bool {
        let value = self.get(name);
        value.is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted))
    }

    /// What is said for this signal alone (`true`), or for all of them, and by which variable.
    fn find(&self, name: &str) -> Option<(String, String, bool)> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{name}", self.signal);
        let general = format!("OTEL_EXPORTER_OTLP_{name}");
        let found = self.get(&own).map(|value| (value, own, true));
        found.or_else(|| Some((self.get(&general)?, general, false)))
    }

    /// The same as `read` understands it.
    fn read<T>(
        &self,
        name: &str,
        may: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingsError> {
        let Some((value, variable, _)) = self.find(name) else {
            return Ok(None);
        };
        match read(value.trim()) {
            Some(value) => Ok(Some(value)),
            None => Err(SettingsError::Variable {
                // What authenticates us is nobody's business.
                value: match name {
                    "HEADERS" => "***".to_owned(),
                    _ => value,
                },
                variable,
                may,
            }),
        }
    }

    fn path(&self, given: &Option<PathBuf>, name: &str) -> Option<PathBuf> {
        let said = || Some(self.find(name)?.0.into());
        given.clone().or_else(said)
    }
}

/// Where a signal goes and how; `None` if nobody says where.
fn target(
    args: &OtlpArgs,
    variables: &Variables<'_>,
    path: &str,
) -> Result<Option<Target>, SettingsError> {
    let (given, from, is_whole) = match (&args.otlp, variables.find("ENDPOINT")) {
        (Some(given), _) => (given.clone(), "--otlp".to_owned(), false),
        (None, Some(said)) => said,
        (None, None) => return Ok(None),
    };
    let insecure = variables.find("INSECURE");
    let insecure = insecure.is_some_and(|(value, ..)| value.trim().eq_ignore_ascii_case("true"));
    let endpoint = endpoint(&given, &from, insecure)?;
    let protocol = match args.otlp_protocol {
        Some(protocol) => Some(protocol),
        None => {
            let may = "grpc, http/protobuf or http/json";
            let read = |value: &str| OtlpProtocol::from_str(value, true).ok();
            variables.read("PROTOCOL", may, read)?
        }
    };
    let protocol = protocol.unwrap_or(match endpoint.port_u16() {
        Some(4318) => OtlpProtocol::HttpProtobuf,
        _ => OtlpProtocol::Grpc,
    });
    let compression = match args.otlp_compression {
        Some(compression) => Some(compression),
        None => {
            let read = |value: &str| OtlpCompression::from_str(value, true).ok();
            variables.read("COMPRESSION", "gzip or none", read)?
        }
    };
    let timeout = match args.otlp_timeout {
        Some(timeout) => Some(timeout),
        None => {
            let read = |value: &str| value.parse().ok().filter(|it| *it > 0);
            let read = |value: &str| read(value).map(Duration::from_millis);
            variables.read("TIMEOUT", "a number of milliseconds", read)?
        }
    };
    Ok(Some(Target {
        endpoint: match (is_whole, protocol) {
            // An address of one signal is taken as it is.
            (true, _) | (_, OtlpProtocol::Grpc) => endpoint.to_string(),
            (false, _) => below(&endpoint, path),
        },
        protocol,
        headers: headers(args, variables)?,
        compression: compression.unwrap_or(OtlpCompression::None),
        timeout: timeout.unwrap_or(TIMEOUT),
        tls: tls(args, variables)?,
    }))
}

fn headers(args: &OtlpArgs, variables: &Variables<'_>) -> Result<Vec<Header>, SettingsError> {
    let may = "NAME=VALUE, with commas between several, and with %2C for a comma in a value";
    let read = |text: &str| {
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        parts.map(Header::decoded).collect::<Option<Vec<_>>>()
    };
    let said = variables.read("HEADERS", may, read)?.unwrap_or_default();
    let is_given = |header: &Header| args.otlp_header.iter().any(|it| it.name == header.name);
    let said = said.into_iter().filter(|header| !is_given(header));
    Ok(said.chain(args.otlp_header.iter().cloned()).collect())
}

fn tls(args: &OtlpArgs, variables: &Variables<'_>) -> Result<Tls, SettingsError> {
    let certificate = variables.path(&args.otlp_client_certificate, "CLIENT_CERTIFICATE");
    let key = variables.path(&args.otlp_client_key, "CLIENT_KEY");
    let authorities = variables.path(&args.otlp_certificate, "CERTIFICATE");
    Ok(Tls {
        authorities: match authorities {
            Some(path) => Some(certificates(read(path)?)?),
            None => None,
        },
        own: match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let (certificate, pem) = read(certificate)?;
                Some((certificate, pem, read(key)?.1))
            }
            _ => None,
        },
    })
}

fn read(path: PathBuf) -> Result<(PathBuf, Vec<u8>), SettingsError> {
    match fs::read(&path) {
        Ok(pem) => Ok((path, pem)),
        Err(error) => Err(SettingsError::File { path, error }),
    }
}

/// A file with at least one certificate: without one the collector's could not be verified.
fn certificates((path, pem): (PathBuf, Vec<u8>)) -> Result<(PathBuf, Vec<u8>), SettingsError> {
    match CertificateDer::pem_slice_iter(&pem).next() {
        Some(Ok(_)) => Ok((path, pem)),
        found => Err(SettingsError::Tls {
            path,
            why: match found {
                Some(Err(error)) => error.to_string(),
                _ => "there is no certificate in it".to_owned(),
            },
        }),
    }
}

/// An address with its scheme: without one it is this machine's or, if that is said, not TLS.
fn endpoint(given: &str, from: &str, insecure: bool) -> Result<Uri, SettingsError> {
    let given = given.trim();
    let full = match given.contains("://") {
        true => given.to_owned(),
        false => {
            let host = given.rsplit_once(':').map_or(given, |(host, _)| host);
            let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
            let scheme = if is_here || insecure { "http" } else { "https" };
            format!("{scheme}://{given}")
        }
    };
    let refused = || SettingsError::Endpoint {
        given: given.to_owned(),
        from: from.to_owned(),
    };
    let uri: Uri = full.parse().map_err(|_| refused())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err(refused()),
    }
}

/// Where a signal goes below the address that is for all of them.
fn below(endpoint: &Uri, path: &str) -> String {
    let base = endpoint.to_string();
    match base.ends_with('/') {
        true => base + path,
        false => base + "/" + path,
    }
}
