//! What the command line says of it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue};

use crate::otlp::spans::FileSpans;

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
    ///
    /// It takes the place of one of the same name in OTEL_EXPORTER_OTLP_HEADERS.
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
    /// Which files have a span of their own
    #[arg(long, value_enum, value_name = "WHICH", default_value_t)]
    pub file_spans: FileSpans,
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
    pub(in crate::otlp) name: HeaderName,
    pub(in crate::otlp) value: HeaderValue,
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

impl Header {
    /// As in `OTEL_EXPORTER_OTLP_HEADERS`: percent-encoded.
    pub(super) fn decoded(text: &str) -> Option<Self> {
        let decoded = percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .ok()?;
        decoded.parse().ok()
    }
}
