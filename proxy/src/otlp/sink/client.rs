//! The library's exporters, set up as the settings say, and what comes of a request.
//!
//! <https://opentelemetry.io/docs/specs/otlp/>

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::{
    Compression, ExporterBuildError, MetricExporter, Protocol, RetryPolicy, SpanExporter,
    WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber as _;

use super::heard::Heard;
use super::tls;
use crate::otlp::settings::{Header, OtlpCompression, OtlpProtocol, SettingsError, Target};
use crate::otlp::span::Origin;

/// Bytes of an answer that are read: it says little.
const ANSWER: usize = 64 << 10;
/// Bytes of what a collector says that are told on.
const SAID: usize = 300;

/// What a collector took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// What it threw away of that.
    pub(super) rejected: u64,
    /// Why, in its words.
    pub(super) why: String,
}

/// Why a request was not taken. Displays as what the collector, or the way to it, said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) why: String,
    /// Whether the same request may be taken later.
    pub(super) again: bool,
    /// How long it wants to be left alone before.
    pub(super) pause: Option<Duration>,
    /// Nobody is there: that is known at once, and not after a while.
    pub(super) nobody: bool,
}

impl Failure {
    pub(super) fn late() -> Self {
        Failure {
            why: "it did not answer in time".to_owned(),
            again: true,
            pause: None,
            nobody: false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// Sends spans.
#[derive(Debug)]
pub(super) struct Client {
    exporter: SpanExporter,
    heard: Heard,
    /// Leads what the library says to `heard`.
    listening: Dispatch,
}

impl Client {
    /// Nothing is dialled yet. To be called in a Tokio runtime.
    pub(super) fn new(target: &Target) -> Result<Self, SettingsError> {
        let heard = Heard::default();
        let exporter = match target.protocol {
            OtlpProtocol::Grpc => {
                let builder = SpanExporter::builder().with_tonic();
                over_grpc(builder, target).build()
            }
            OtlpProtocol::HttpProtobuf | OtlpProtocol::HttpJson => {
                let builder = SpanExporter::builder().with_http();
                over_http(builder, target, &heard)?.build()
            }
        };
        let exporter = exporter.map_err(refused(target))?;
        let listening = Dispatch::new(heard.clone());
        Ok(Client {
            exporter,
            heard,
            listening,
        })
    }

    /// Sends spans of one origin, once.
    pub(super) async fn send(
        &mut self,
        origin: &Origin,
        spans: Vec<SpanData>,
    ) -> Result<Taken, Failure> {
        self.heard.take();
        self.exporter.set_resource(&origin.resource());
        let sending = self.exporter.export(spans);
        let sent = sending.with_subscriber(self.listening.clone()).await;
        let said = self.heard.take();
        match (sent, said.failure) {
            // One who does not say that it rejected something took it all.
            (Ok(()), _) => Ok(Taken {
                rejected: u64::try_from(said.rejected).unwrap_or(0),
                why: head(&said.why),
            }),
            (Err(_), Some(failure)) => Err(failure),
            (Err(OTelSdkError::Timeout(_)), None) => Err(Failure::late()),
            (Err(error), None) => Err(of_grpc(&error.to_string(), &said.message, &said.details)),
        }
    }
}

/// What sends metrics. To be called in a Tokio runtime.
pub(super) fn metrics(target: &Target) -> Result<MetricExporter, SettingsError> {
    match target.protocol {
        OtlpProtocol::Grpc => {
            let builder = MetricExporter::builder().with_tonic();
            over_grpc(builder, target).build()
        }
        OtlpProtocol::HttpProtobuf | OtlpProtocol::HttpJson => {
            let builder = MetricExporter::builder().with_http();
            over_http(builder, target, &Heard::default())?.build()
        }
    }
    .map_err(refused(target))
}

fn refused(target: &Target) -> impl Fn(ExporterBuildError) -> SettingsError {
    move |error| SettingsError::Refused {
        endpoint: target.endpoint.clone(),
        why: error.to_string(),
    }
}

/// What goes for both signals over gRPC.
fn over_grpc<B: WithTonicConfig + WithExportConfig>(builder: B, target: &Target) -> B {
    let mut headers = HeaderMap::new();
    for Header { name, value } in &target.headers {
        headers.append(name.clone(), value.clone());
    }
    let mut builder = builder
        .with_endpoint(&target.endpoint)
        .with_timeout(target.timeout)
        .with_retry_policy(RetryPolicy::disabled())
        .with_metadata(MetadataMap::from_headers(headers));
    if target.endpoint.starts_with("https:") {
        builder = builder.with_tls_config(tls::of_tonic(&target.tls));
    }
    match target.compression {
        OtlpCompression::Gzip => builder.with_compression(Compression::Gzip),
        OtlpCompression::None => builder,
    }
}

/// The same over HTTP.
fn over_http<B: WithHttpConfig + WithExportConfig>(
    builder: B,
    target: &Target,
    heard: &Heard,
) -> Result<B, SettingsError> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls::of_rustls(&target.endpoint, &target.tls)?)
        .https_or_http()
        .enable_http1()
        .build();
    let poster = Poster {
        client: HyperClient::builder(TokioExecutor::new()).build(connector),
        headers: target.headers.clone(),
        is_json: target.protocol == OtlpProtocol::HttpJson,
        heard: heard.clone(),
    };
    let protocol = match target.protocol {
        OtlpProtocol::HttpJson => Protocol::HttpJson,
        _ => Protocol::HttpBinary,
    };
    let builder = builder
        .with_endpoint(&target.endpoint)
        .with_protocol(protocol)
        .with_timeout(target.timeout)
        .with_retry_policy(RetryPolicy::disabled())
        .with_headers(HashMap::new())
        .with_http_client(poster);
    Ok(match target.compression {
        OtlpCompression::Gzip => builder.with_compression(Compression::Gzip),
        OtlpCompression::None => builder,
    })
}

/// Posts requests with the headers that were asked for, and says what went wrong.
#[derive(Debug)]
struct Poster {
    client: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: Vec<Header>,
    is_json: bool,
    heard: Heard,
}

impl Poster {
    async fn post(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        for Header { name, value } in &self.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let answered = self.client.request(request.map(Full::new)).await;
        let answered = answered.inspect_err(|error| self.heard.fail(of_error(error)))?;
        let (head, body) = answered.into_parts();
        if !head.status.is_success() {
            self.heard.fail(of_answer(head.status, &head.headers));
        }
        // It was taken, whatever is wrong with the rest.
        let body = Limited::new(body, ANSWER).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        if let Some((rejected, why)) = of_json(&body).filter(|_| self.is_json) {
            self.heard.reject(rejected, why);
        }
        Ok(Response::from_parts(head, body))
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

/// As `async_trait` writes it, which the library declares it with.
impl HttpClient for Poster {
    fn send_bytes<'a, 'async_trait>(&'a self, request: Request<Bytes>) -> Answer<'async_trait>
    where
        'a: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.post(request))
    }
}

/// What was rejected, as an answer in JSON says it: numbers of 64 bits are texts there, and the
/// library takes them for none.
fn of_json(answer: &[u8]) -> Option<(i64, String)> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    let partial = answer.get("partialSuccess")?;
    let rejected = match partial.get("rejectedSpans")? {
        serde_json::Value::String(text) => text.parse().ok()?,
        number => number.as_i64()?,
    };
    let why = partial.get("errorMessage").and_then(|why| why.as_str());
    Some((rejected, why.unwrap_or_default().to_owned()))
}

fn of_answer(status: StatusCode, headers: &HeaderMap) -> Failure {
    let pause = headers.get(RETRY_AFTER);
    let pause = pause.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Failure {
        why: format!("it answered {status}"),
        again: matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        ),
        pause: pause.map(Duration::from_secs),
        nobody: false,
    }
}

/// What a failed call means, and whether to try again (<https://opentelemetry.io/docs/specs/otlp/#failures>). The library
/// tells the code, and what is behind it if that never came to an answer, as text.
fn of_grpc(error: &str, message: &str, details: &str) -> Failure {
    const BEFORE: &str = "gRPC code: ";
    let code = error.split_once(BEFORE).map_or(error, |(_, code)| code);
    let (code, behind) = code.split_once(": ").unwrap_or((code, ""));
    if !behind.is_empty() {
        return Failure {
            why: head(behind),
            again: true,
            pause: None,
            nobody: is_nobody(behind),
        };
    }
    let again = match code {
        "Cancelled" | "DeadlineExceeded" | "Aborted" | "OutOfRange" | "Unavailable"
        | "DataLoss" => true,
        "ResourceExhausted" => details.contains("google.rpc.RetryInfo"),
        _ => false,
    };
    let why = match message {
        "" => format!("gRPC code {code}"),
        message => format!("gRPC code {code}: {message}"),
    };
    Failure {
        why: head(&why),
        again,
        pause: None,
        nobody: false,
    }
}

fn of_error(error: &(dyn Error + 'static)) -> Failure {
    let why = chain(error);
    Failure {
        nobody: is_nobody(&why),
        why: head(&why),
        again: true,
        pause: None,
    }
}

/// Whether the way to a collector ends before it: refused, no route, no such name.
fn is_nobody(why: &str) -> bool {
    [
        "Connection refused",
        "No route to host",
        "Network is unreachable",
        "Cannot assign requested address",
        "lookup address",
    ]
    .iter()
    .any(|end| why.contains(end))
}

/// The head of what somebody said.
fn head(text: &str) -> String {
    let kept: String = text.chars().take(SAID).collect();
    match kept.len() < text.len() {
        true => kept + "…",
        false => kept,
    }
}

/// An error with what is behind it, as one text.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text.push_str(": ");
            text.push_str(&inner);
        }
        next = error.source();
    }
    text
}
