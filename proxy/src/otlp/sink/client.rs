//! One request to a collector, and what came of it: over gRPC, or HTTP with protobuf or JSON.
//!
//! The library's exporters are not used: they keep to themselves how much a collector rejected of
//! what it took (a partial success), and whether sending the same again makes sense.
//!
//! <https://opentelemetry.io/docs/specs/otlp/>

use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::metrics::v1 as metrics;
use opentelemetry_proto::tonic::collector::trace::v1 as traces;
use prost::Message;
use serde::Serialize;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::tls;
use crate::otlp::settings::{Header, OtlpCompression, OtlpProtocol, SettingsError, Target};

/// Bytes of an answer that are read: it says little.
const ANSWER: usize = 64 << 10;
/// Bytes of what a collector says that are told on.
const SAID: usize = 300;

/// What is asked of a collector, and what it answers.
pub(super) trait Signal: Message + Serialize + Sized {
    /// The method, for gRPC.
    const METHOD: &'static str;
    /// What is answered.
    type Answer: Message + Default;
    /// What counts what was taken and thrown away, in JSON.
    const REJECTED: &'static str;
    /// What was taken and thrown away: how many, and why.
    fn rejected(answer: Self::Answer) -> (i64, String);
}

impl Signal for traces::ExportTraceServiceRequest {
    const METHOD: &'static str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    type Answer = traces::ExportTraceServiceResponse;
    const REJECTED: &'static str = "rejectedSpans";
    fn rejected(answer: Self::Answer) -> (i64, String) {
        let partial = answer.partial_success.unwrap_or_default();
        (partial.rejected_spans, partial.error_message)
    }
}

impl Signal for metrics::ExportMetricsServiceRequest {
    const METHOD: &'static str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    type Answer = metrics::ExportMetricsServiceResponse;
    const REJECTED: &'static str = "rejectedDataPoints";
    fn rejected(answer: Self::Answer) -> (i64, String) {
        let partial = answer.partial_success.unwrap_or_default();
        (partial.rejected_data_points, partial.error_message)
    }
}

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

/// A request that is ready to be sent, as often as it takes.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    body: Bytes,
    method: &'static str,
}

/// Sends requests of one signal.
#[derive(Debug)]
pub(super) struct Client {
    wire: Wire,
    headers: HeaderMap,
    gzip: bool,
}

#[derive(Debug)]
enum Wire {
    Grpc(Channel),
    Http {
        client: Box<HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>>,
        uri: Uri,
        json: bool,
    },
}

impl Client {
    /// Nothing is dialled yet. To be called in a Tokio runtime.
    pub(super) fn new(target: &Target) -> Result<Self, SettingsError> {
        let refused = |why: String| SettingsError::Refused {
            endpoint: target.endpoint.clone(),
            why,
        };
        let wire = match target.protocol {
            OtlpProtocol::Grpc => {
                let mut endpoint = Endpoint::from_shared(target.endpoint.clone())
                    .map_err(|error| refused(chain(&error)))?;
                if target.endpoint.starts_with("https:") {
                    endpoint = endpoint
                        .tls_config(tls::of_tonic(&target.tls))
                        .map_err(|error| refused(chain(&error)))?;
                }
                Wire::Grpc(endpoint.connect_lazy())
            }
            OtlpProtocol::HttpProtobuf | OtlpProtocol::HttpJson => {
                let connector = HttpsConnectorBuilder::new()
                    .with_tls_config(tls::of_rustls(&target.endpoint, &target.tls)?)
                    .https_or_http()
                    .enable_http1()
                    .build();
                let client = HttpClient::builder(TokioExecutor::new()).build(connector);
                Wire::Http {
                    client: Box::new(client),
                    uri: target
                        .endpoint
                        .parse()
                        .map_err(|error: http::uri::InvalidUri| refused(error.to_string()))?,
                    json: target.protocol == OtlpProtocol::HttpJson,
                }
            }
        };
        let mut headers = HeaderMap::new();
        for Header { name, value } in &target.headers {
            headers.append(name.clone(), value.clone());
        }
        Ok(Client {
            wire,
            headers,
            gzip: target.compression == OtlpCompression::Gzip,
        })
    }

    /// The bytes of a request; the reason, if there is no such request.
    pub(super) fn encode<S: Signal>(&self, request: &S) -> Result<Encoded, Failure> {
        let body = match &self.wire {
            Wire::Grpc(_) => Ok(request.encode_to_vec()),
            Wire::Http { json, .. } => {
                let plain = match json {
                    true => serde_json::to_vec(request).map_err(io::Error::from),
                    false => Ok(request.encode_to_vec()),
                };
                match self.gzip {
                    true => plain.and_then(|plain| gzip(&plain)),
                    false => plain,
                }
            }
        };
        let body = body.map_err(|error| Failure {
            why: error.to_string(),
            again: false,
            pause: None,
            nobody: false,
        })?;
        Ok(Encoded {
            body: body.into(),
            method: S::METHOD,
        })
    }

    /// Sends it once.
    pub(super) async fn send<S: Signal>(&self, request: &Encoded) -> Result<Taken, Failure> {
        let answer = match &self.wire {
            Wire::Grpc(channel) => self.call(channel, request).await.map_err(of_status)?,
            Wire::Http { client, uri, json } => self.post(client, uri, *json, request).await?,
        };
        let is_json = matches!(self.wire, Wire::Http { json: true, .. });
        let said = match is_json {
            true => of_json::<S>(&answer),
            false => S::Answer::decode(answer).ok().map(S::rejected),
        };
        // One who does not say that it rejected something took it all.
        let (rejected, why) = said.unwrap_or_default();
        Ok(Taken {
            rejected: u64::try_from(rejected).unwrap_or(0),
            why: head(&why),
        })
    }

    async fn call(&self, channel: &Channel, request: &Encoded) -> Result<Bytes, Status> {
        let mut grpc = tonic::client::Grpc::new(channel.clone()).max_decoding_message_size(ANSWER);
        if self.gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        grpc.ready()
            .await
            .map_err(|error| Status::from_error(Box::new(error)))?;
        let mut message = tonic::Request::new(request.body.clone());
        *message.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        let method = PathAndQuery::from_static(request.method);
        Ok(grpc.unary(message, method, Verbatim).await?.into_inner())
    }

    async fn post(
        &self,
        client: &HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
        uri: &Uri,
        json: bool,
        request: &Encoded,
    ) -> Result<Bytes, Failure> {
        let mut post = http::Request::post(uri.clone()).body(Full::new(request.body.clone()));
        if let Ok(post) = &mut post {
            let kind = match json {
                true => "application/json",
                false => "application/x-protobuf",
            };
            let headers = post.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            if self.gzip {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            headers.extend(self.headers.clone());
        }
        let post = post.map_err(|error| of_error(&error))?;
        let answered = client.request(post).await;
        let answered = answered.map_err(|error| of_error(&error))?;
        let status = answered.status();
        if !status.is_success() {
            let pause = answered.headers().get(RETRY_AFTER);
            let pause = pause.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Err(Failure {
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
            });
        }
        // It was taken, whatever is wrong with the rest.
        let body = Limited::new(answered.into_body(), ANSWER).collect().await;
        Ok(body.map(|body| body.to_bytes()).unwrap_or_default())
    }
}

/// What was rejected, as an answer in JSON says it: numbers of 64 bits may be texts there.
fn of_json<S: Signal>(answer: &[u8]) -> Option<(i64, String)> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    let partial = answer.get("partialSuccess")?;
    let rejected = match partial.get(S::REJECTED)? {
        serde_json::Value::String(text) => text.parse().ok()?,
        number => number.as_i64()?,
    };
    let why = partial.get("errorMessage").and_then(|why| why.as_str());
    Some((rejected, why.unwrap_or_default().to_owned()))
}

fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(plain)?;
    packer.finish()
}

/// The head of what somebody said.
fn head(text: &str) -> String {
    let kept: String = text.chars().take(SAID).collect();
    match kept.len() < text.len() {
        true => kept + "…",
        false => kept,
    }
}

/// Messages that are encoded already.
#[derive(Clone, Copy, Debug, Default)]
struct Verbatim;

impl Codec for Verbatim {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Verbatim;
    type Decoder = Verbatim;

    fn encoder(&mut self) -> Self {
        Verbatim
    }

    fn decoder(&mut self) -> Self {
        Verbatim
    }
}

impl Encoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// What a status of gRPC means, and whether to try again
/// (<https://opentelemetry.io/docs/specs/otlp/#failures>).
fn of_status(status: Status) -> Failure {
    if let Some(cause) = status.source() {
        // It never came to an answer: the library makes a status of whatever happened.
        return of_error(cause);
    }
    let says_when = || {
        let details = status.details();
        let wanted = b"google.rpc.RetryInfo";
        details.windows(wanted.len()).any(|part| part == wanted)
    };
    let code = status.code();
    let again = match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => says_when(),
        _ => false,
    };
    let why = match status.message() {
        "" => format!("gRPC code {code:?}"),
        message => format!("gRPC code {code:?}: {message}"),
    };
    Failure {
        why: head(&why),
        again,
        pause: None,
        nobody: false,
    }
}

fn of_error(error: &(dyn Error + 'static)) -> Failure {
    Failure {
        why: head(&chain(error)),
        again: true,
        pause: None,
        nobody: nobody_is_there(error),
    }
}

/// Whether the way to a collector ends before it: refused, no route, no such name.
fn nobody_is_there(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let is_refused = matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::AddrNotAvailable
            );
            if is_refused || error.to_string().contains("lookup address") {
                return true;
            }
        }
        next = error.source();
    }
    false
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
