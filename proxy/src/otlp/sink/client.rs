//! The library's exporters, set up as the settings say.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Request, Response};
use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use opentelemetry_otlp::{
    Compression, ExporterBuildError, MetricExporter, Protocol, RetryPolicy, SpanExporter,
    WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::otlp::settings::{Header, OtlpCompression, OtlpProtocol, Settings, SettingsError, Tls};

/// What went wrong on the way to the collector, in its own words: the library says less.
#[derive(Clone, Debug, Default)]
pub(super) struct LastError(Arc<Mutex<Option<String>>>);

impl LastError {
    fn set(&self, error: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn refused(settings: &Settings) -> impl Fn(ExporterBuildError) -> SettingsError {
    move |error| SettingsError::Refused {
        endpoint: settings.traces.clone(),
        why: error.to_string(),
    }
}

fn compression(settings: &Settings) -> Option<Compression> {
    let wanted = settings.compression?;
    (wanted == OtlpCompression::Gzip).then_some(Compression::Gzip)
}

fn protocol(settings: &Settings) -> Protocol {
    match settings.protocol {
        OtlpProtocol::Grpc => Protocol::Grpc,
        OtlpProtocol::HttpProtobuf => Protocol::HttpBinary,
        OtlpProtocol::HttpJson => Protocol::HttpJson,
    }
}

/// What sends spans. To be called in a Tokio runtime.
pub(super) fn spans(
    settings: &Settings,
    errors: &LastError,
) -> Result<SpanExporter, SettingsError> {
    let builder = SpanExporter::builder();
    match settings.protocol {
        OtlpProtocol::Grpc => {
            let mut builder = builder
                .with_tonic()
                .with_endpoint(&settings.traces)
                .with_timeout(settings.timeout)
                .with_retry_policy(RetryPolicy::disabled())
                .with_metadata(metadata(&settings.headers));
            if let Some(tls) = tonic_tls(&settings.traces, &settings.tls) {
                builder = builder.with_tls_config(tls);
            }
            if let Some(compression) = compression(settings) {
                builder = builder.with_compression(compression);
            }
            builder.build()
        }
        OtlpProtocol::HttpProtobuf | OtlpProtocol::HttpJson => {
            let mut builder = builder
                .with_http()
                .with_endpoint(&settings.traces)
                .with_protocol(protocol(settings))
                .with_timeout(settings.timeout)
                .with_retry_policy(RetryPolicy::disabled())
                .with_headers(HashMap::new())
                .with_http_client(http_client(settings, errors)?);
            if let Some(compression) = compression(settings) {
                builder = builder.with_compression(compression);
            }
            builder.build()
        }
    }
    .map_err(refused(settings))
}

/// What sends metrics, if they are wanted. To be called in a Tokio runtime.
pub(super) fn metrics(
    settings: &Settings,
    errors: &LastError,
) -> Result<Option<MetricExporter>, SettingsError> {
    let Some(endpoint) = &settings.metrics else {
        return Ok(None);
    };
    let builder = MetricExporter::builder();
    match settings.protocol {
        OtlpProtocol::Grpc => {
            let mut builder = builder
                .with_tonic()
                .with_endpoint(endpoint)
                .with_timeout(settings.timeout)
                .with_retry_policy(RetryPolicy::disabled())
                .with_metadata(metadata(&settings.headers));
            if let Some(tls) = tonic_tls(endpoint, &settings.tls) {
                builder = builder.with_tls_config(tls);
            }
            if let Some(compression) = compression(settings) {
                builder = builder.with_compression(compression);
            }
            builder.build()
        }
        OtlpProtocol::HttpProtobuf | OtlpProtocol::HttpJson => {
            let mut builder = builder
                .with_http()
                .with_endpoint(endpoint)
                .with_protocol(protocol(settings))
                .with_timeout(settings.timeout)
                .with_retry_policy(RetryPolicy::disabled())
                .with_http_client(http_client(settings, errors)?);
            if let Some(compression) = compression(settings) {
                builder = builder.with_compression(compression);
            }
            builder.build()
        }
    }
    .map(Some)
    .map_err(refused(settings))
}

fn metadata(headers: &[Header]) -> MetadataMap {
    let mut map = HeaderMap::new();
    for Header { name, value } in headers {
        map.append(name.clone(), value.clone());
    }
    MetadataMap::from_headers(map)
}

fn tonic_tls(endpoint: &str, tls: &Tls) -> Option<ClientTlsConfig> {
    if !endpoint.starts_with("https:") {
        return None;
    }
    let mut config = match &tls.authorities {
        Some((_, pem)) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some((_, certificate, key)) = &tls.own {
        config = config.identity(Identity::from_pem(certificate, key));
    }
    Some(config)
}

/// TLS for OTLP over HTTP; the system's certificates are only read if they are needed.
fn rustls_config(endpoint: &str, tls: &Tls) -> Result<ClientConfig, SettingsError> {
    let bad = |path: &std::path::Path, why: String| SettingsError::Tls {
        path: path.to_owned(),
        why,
    };
    let certificates = |path: &std::path::Path, pem: &[u8]| {
        CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad(path, error.to_string()))
    };
    let mut roots = RootCertStore::empty();
    match &tls.authorities {
        Some((path, pem)) => {
            for certificate in certificates(path, pem)? {
                roots
                    .add(certificate)
                    .map_err(|error| bad(path, error.to_string()))?;
            }
        }
        None if endpoint.starts_with("https:") => {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
        }
        None => {}
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::Refused {
            endpoint: endpoint.to_owned(),
            why: error.to_string(),
        })?
        .with_root_certificates(roots);
    let Some((path, certificate, key)) = &tls.own else {
        return Ok(builder.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| bad(path, error.to_string()))?;
    let chain = certificates(path, certificate)?;
    let config = builder.with_client_auth_cert(chain, key);
    config.map_err(|error| bad(path, error.to_string()))
}

fn http_client(settings: &Settings, errors: &LastError) -> Result<Client, SettingsError> {
    let config = rustls_config(&settings.traces, &settings.tls)?;
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client {
        inner: Box::new(HyperClient::new(connector, settings.timeout, None)),
        headers: settings.headers.clone(),
        errors: errors.clone(),
    })
}

/// Sends requests with the headers that were asked for, and remembers what went wrong.
struct Client {
    inner: Box<dyn HttpClient>,
    headers: Vec<Header>,
    errors: LastError,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        for Header { name, value } in &self.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let answered = self.inner.send_bytes(request).await;
        match &answered {
            Err(error) => self.errors.set(chain(&**error)),
            Ok(answer) if !answer.status().is_success() => {
                self.errors.set(format!("it answered {}", answer.status()));
            }
            Ok(_) => {}
        }
        answered
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

/// As `async_trait` writes it, which the library declares it with.
impl HttpClient for Client {
    fn send_bytes<'a, 'async_trait>(&'a self, request: Request<Bytes>) -> Answer<'async_trait>
    where
        'a: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.send(request))
    }
}

/// An error with what is behind it, as one text.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
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
