//! TLS to a collector, by the PEM files that the settings name; without any, by the authorities
//! that the system trusts.

use std::path::Path;
use std::sync::Arc;

use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::otlp::settings::{SettingsError, Tls};

/// For OTLP/gRPC.
pub(super) fn of_tonic(tls: &Tls) -> ClientTlsConfig {
    let mut config = match &tls.authorities {
        Some((_, pem)) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some((_, certificate, key)) = &tls.own {
        config = config.identity(Identity::from_pem(certificate, key));
    }
    config
}

/// TLS for OTLP over HTTP; the system's certificates are only read if they are needed.
pub(super) fn of_rustls(endpoint: &str, tls: &Tls) -> Result<ClientConfig, SettingsError> {
    let bad = |path: &Path, why: String| SettingsError::Tls {
        path: path.to_owned(),
        why,
    };
    let certificates = |path: &Path, pem: &[u8]| {
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
