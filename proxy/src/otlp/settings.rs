//! Where spans and metrics go and how: the command line, and the standard variables
//! (`OTEL_EXPORTER_OTLP_*`) for what it does not say.
//!
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue, Uri};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Where spans and metrics go: the same for `run`, `proxy` and `export`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "OpenTelemetry")]
pub struct OtlpArgs {
    /// Send what is seen as OpenTelemetry spans and metrics to a collector: http://host:4317
    ///
    /// Without it the standard variables count (OTEL_EXPORTER_OTLP_ENDPOINT and its relatives), and
    /// nothing is sent if they are not set either. docs/traces.md says what is sent.
    #[arg(long, value_name = "ENDPOINT")]
    pub otlp: Option<String>,
    /// How it is sent; by the port if not given: http/protobuf to 4318, grpc to any other
    #[arg(long, value_enum, value_name = "PROTOCOL")]
    pub otlp_protocol: Option<OtlpProtocol>,
    /// A header of every request, as for authentication (can be given more than once)
    #[arg(long, value_name = "NAME=VALUE")]
    pub otlp_header: Vec<Header>,
    /// How requests are compressed
    #[arg(long, value_enum, value_name = "HOW")]
    pub otlp_compression: Option<OtlpCompression>,
    /// How long one request may take, retries included [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::duration)]
    pub otlp_timeout: Option<Duration>,
    /// Certificates that the collector's must be signed by (PEM), instead of the system's
    #[arg(long, value_name = "FILE")]
    pub otlp_certificate: Option<PathBuf>,
    /// Our own certificate (PEM), if the collector asks for one
    #[arg(long, value_name = "FILE", requires = "otlp_client_key")]
    pub otlp_client_certificate: Option<PathBuf>,
    /// The key that belongs to it (PEM)
    #[arg(long, value_name = "FILE", requires = "otlp_client_certificate")]
    pub otlp_client_key: Option<PathBuf>,
    /// Send on the spans that the peers send each other [default: true, unless --daemon-exports]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true
    )]
    pub forward_spans: Option<bool>,
    /// The daemon sends its own spans to the same backend: show the calls it makes below them
    ///
    /// Without it they are shown below their session, with a link to the span that made them. A
    /// daemon that does sends on the spans of its clients, too.
    #[arg(long)]
    pub daemon_exports: bool,
    /// Send digests instead of the paths of files, and no text in which there may be paths
    #[arg(long)]
    pub hash_paths: bool,
}

impl OtlpArgs {
    /// Whether spans of the peers are sent on.
    pub fn forwards(&self) -> bool {
        self.forward_spans.unwrap_or(!self.daemon_exports)
    }
}

/// How spans are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OtlpProtocol {
    /// OTLP/gRPC
    #[value(name = "grpc")]
    Grpc,
    /// OTLP/HTTP with protobuf
    #[value(name = "http/protobuf")]
    HttpProtobuf,
    /// OTLP/HTTP with JSON
    #[value(name = "http/json")]
    HttpJson,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OtlpCompression {
    /// Not at all
    None,
    /// With gzip
    Gzip,
}

/// A header of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || "write a name and a value, as in api-key=1234".to_owned();
        let (name, value) = text.split_once('=').ok_or_else(refused)?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| refused())?;
        value.set_sensitive(true);
        let name = name.trim().parse().map_err(|_| refused())?;
        Ok(Header { name, value })
    }
}

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
        from: &'static str,
    },
    /// A variable that says what does not exist.
    #[error("{variable} is {value:?}; it may be {may}")]
    Variable {
        /// Its name.
        variable: &'static str,
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

/// Where spans and metrics go and how.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) protocol: OtlpProtocol,
    pub(super) traces: String,
    /// `None` if metrics are not wanted.
    pub(super) metrics: Option<String>,
    pub(super) headers: Vec<Header>,
    pub(super) compression: Option<OtlpCompression>,
    pub(super) timeout: Duration,
    pub(super) tls: Tls,
    /// Whether spans of the peers are sent on.
    pub forward_spans: bool,
    /// Whether paths are replaced by digests.
    pub hash_paths: bool,
}

impl fmt::Display for Settings {
    /// Where spans go, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traces)
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
        let get = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let is = |name: &str, wanted: &str| {
            get(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted))
        };
        let traces_variable = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let general = get("OTEL_EXPORTER_OTLP_ENDPOINT");
        let unwanted = is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none");
        let (given, from, is_whole) = match (&args.otlp, traces_variable, general) {
            (Some(given), ..) => (given.clone(), "--otlp", false),
            _ if unwanted => return Ok(None),
            (None, Some(given), _) => (given, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", true),
            (None, None, Some(given)) => (given, "OTEL_EXPORTER_OTLP_ENDPOINT", false),
            (None, None, None) => return Ok(None),
        };
        let insecure = is("OTEL_EXPORTER_OTLP_INSECURE", "true");
        let endpoint = endpoint(&given, from, insecure)?;
        let protocol = match args.otlp_protocol {
            Some(protocol) => protocol,
            None => match protocol_variable(&get)? {
                Some(protocol) => protocol,
                None if endpoint.port_u16() == Some(4318) => OtlpProtocol::HttpProtobuf,
                None => OtlpProtocol::Grpc,
            },
        };
        let metrics_variable = get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT");
        let metrics = match metrics_variable.filter(|_| args.otlp.is_none()) {
            _ if is("OTEL_METRICS_EXPORTER", "none") => None,
            Some(given) => {
                let from = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
                Some(self::endpoint(&given, from, insecure)?.to_string())
            }
            // A variable that names an address for spans alone says nothing of metrics.
            None if is_whole => None,
            None => Some(signal(&endpoint, protocol, "v1/metrics")),
        };
        let traces = match is_whole {
            true => endpoint.to_string(),
            false => signal(&endpoint, protocol, "v1/traces"),
        };
        let path =
            |given: &Option<PathBuf>, name: &str| given.clone().or_else(|| Some(get(name)?.into()));
        let own = match (
            path(
                &args.otlp_client_certificate,
                "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            ),
            path(&args.otlp_client_key, "OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        ) {
            (Some(certificate), Some(key)) => {
                let (certificate, pem) = read(certificate)?;
                Some((certificate, pem, read(key)?.1))
            }
            _ => None,
        };
        let authorities = path(&args.otlp_certificate, "OTEL_EXPORTER_OTLP_CERTIFICATE");
        Ok(Some(Settings {
            protocol,
            traces,
            metrics,
            headers: args.otlp_header.clone(),
            // What the library does not get from us it reads from the variables.
            compression: args.otlp_compression,
            timeout: match args.otlp_timeout {
                Some(timeout) => timeout,
                None => timeout_variable(&get)?.unwrap_or(TIMEOUT),
            },
            tls: Tls {
                authorities: authorities
                    .map(read)
                    .transpose()?
                    .map(certificates)
                    .transpose()?,
                own,
            },
            forward_spans: args.forwards(),
            hash_paths: args.hash_paths,
        }))
    }
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
fn endpoint(given: &str, from: &'static str, insecure: bool) -> Result<Uri, SettingsError> {
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
        from,
    };
    let uri: Uri = full.parse().map_err(|_| refused())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err(refused()),
    }
}

/// Where a signal goes below the address that is for all of them.
fn signal(endpoint: &Uri, protocol: OtlpProtocol, path: &str) -> String {
    let base = endpoint.to_string();
    match protocol {
        OtlpProtocol::Grpc => base,
        _ if base.ends_with('/') => base + path,
        _ => base + "/" + path,
    }
}

type Get<'a> = &'a dyn Fn(&str) -> Option<String>;

fn protocol_variable(get: Get<'_>) -> Result<Option<OtlpProtocol>, SettingsError> {
    for variable in [
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ] {
        let Some(value) = get(variable) else { continue };
        return match OtlpProtocol::from_str(value.trim(), true) {
            Ok(protocol) => Ok(Some(protocol)),
            Err(_) => Err(SettingsError::Variable {
                variable,
                value,
                may: "grpc, http/protobuf or http/json",
            }),
        };
    }
    Ok(None)
}

fn timeout_variable(get: Get<'_>) -> Result<Option<Duration>, SettingsError> {
    for variable in [
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
    ] {
        let Some(value) = get(variable) else { continue };
        return match value.trim().parse() {
            Ok(milliseconds) if milliseconds > 0 => Ok(Some(Duration::from_millis(milliseconds))),
            _ => Err(SettingsError::Variable {
                variable,
                value,
                may: "a number of milliseconds",
            }),
        };
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(args: &OtlpArgs, variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        let environment = |name: &str| {
            let mut variables = variables.iter();
            let (_, value) = variables.find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        };
        Settings::with(args, &environment).map_err(|error| error.to_string())
    }

    fn to(endpoint: &str) -> OtlpArgs {
        OtlpArgs {
            otlp: Some(endpoint.to_owned()),
            ..OtlpArgs::default()
        }
    }

    #[test]
    fn nothing_is_sent_unless_somebody_says_where() {
        assert!(with(&OtlpArgs::default(), &[]).unwrap().is_none());
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
        assert!(with(&OtlpArgs::default(), &[endpoint]).unwrap().is_some());
        for unwanted in [
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ] {
            let found = with(&OtlpArgs::default(), &[endpoint, unwanted]);
            assert!(found.unwrap().is_none());
            // Who says it on the command line wants it.
            assert!(with(&to("http://c:4317"), &[unwanted]).unwrap().is_some());
        }
    }

    #[test]
    fn the_port_tells_the_protocol_and_the_protocol_the_path() {
        let settings = with(&to("http://c:4317"), &[]).unwrap().unwrap();
        assert_eq!(settings.protocol, OtlpProtocol::Grpc);
        assert_eq!(settings.traces, "http://c:4317/");
        let settings = with(&to("http://c:4318/base/"), &[]).unwrap().unwrap();
        assert_eq!(settings.protocol, OtlpProtocol::HttpProtobuf);
        assert_eq!(settings.traces, "http://c:4318/base/v1/traces");
        assert_eq!(
            settings.metrics.as_deref(),
            Some("http://c:4318/base/v1/metrics")
        );
        let json = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
        let settings = with(&to("https://c"), &[json]).unwrap().unwrap();
        assert_eq!(settings.protocol, OtlpProtocol::HttpJson);
        assert_eq!(settings.traces, "https://c/v1/traces");
    }

    #[test]
    fn an_address_for_spans_alone_is_taken_as_it_is() {
        let only = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318/in");
        let settings = with(&OtlpArgs::default(), &[only]).unwrap().unwrap();
        assert_eq!(
            (settings.traces.as_str(), settings.metrics),
            ("http://c:4318/in", None)
        );
    }

    #[test]
    fn without_a_scheme_it_is_tls_unless_it_is_here() {
        let to = |given: &str| with(&to(given), &[]).unwrap().unwrap().traces;
        assert_eq!(to("localhost:4317"), "http://localhost:4317/");
        assert_eq!(to("collector:4317"), "https://collector:4317/");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = with(&to("unix:///run/c.sock"), &[]).unwrap_err();
        assert!(error.contains("http://host:4317"), "{error}");
        let protocol = [("OTEL_EXPORTER_OTLP_PROTOCOL", "thrift")];
        let error = with(&to("http://c:4317"), &protocol).unwrap_err();
        assert!(error.contains("http/protobuf"), "{error}");
        let certificate = OtlpArgs {
            otlp_certificate: Some("/nonexistent/ca.pem".into()),
            ..to("https://c:4317")
        };
        let error = with(&certificate, &[]).unwrap_err();
        assert!(error.contains("/nonexistent/ca.pem"), "{error}");
        assert!("no-value".parse::<Header>().is_err());
    }
}
