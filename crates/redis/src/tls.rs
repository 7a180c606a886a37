//! TLS: whom to trust, and how to say who we are.

use std::path::Path;
use std::sync::Arc;

use fred::types::config::{TlsConfig, TlsConnector};
use lovage_core::{BackendError, BackendErrorKind};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::TlsFiles;

/// Reads the files, now: a certificate that was renewed is used from the next start on.
pub(crate) fn tls_config(files: &TlsFiles) -> Result<TlsConfig, BackendError> {
    let roots = match &files.ca {
        Some(path) => roots_of(path)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| config("set up TLS", &err))?
        .with_root_certificates(roots);
    let client = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert, "cert")?, private_key(key)?)
            .map_err(|err| config("use the client certificate (options cert and key)", &err))?,
        _ => builder.with_no_client_auth(),
    };
    Ok(TlsConnector::from(client).into())
}

fn roots_of(path: &Path) -> Result<RootCertStore, BackendError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, "ca")? {
        roots.add(certificate).map_err(|err| config(&format!("trust {}", path.display()), &err))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, BackendError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(BackendError::new(
            BackendErrorKind::Config,
            "this system has no list of trusted certificates: install ca-certificates, or name the file of your \
             CA in the Redis URL (?ca=/path/ca.pem)",
        ));
    }
    Ok(roots)
}

fn certificates(path: &Path, option: &str) -> Result<Vec<CertificateDer<'static>>, BackendError> {
    let what = || format!("read certificates from {} (option `{option}` of the Redis URL)", path.display());
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|err| config(&what(), &err))?;
    if read.is_empty() {
        return Err(config(&what(), &"there is none in it; expected PEM, `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(read)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, BackendError> {
    PrivateKeyDer::from_pem_file(path).map_err(|err| {
        config(&format!("read a private key from {} (option `key` of the Redis URL)", path.display()), &err)
    })
}

fn config(what: &str, err: &dyn std::fmt::Display) -> BackendError {
    BackendError::new(BackendErrorKind::Config, format!("cannot {what}: {err}"))
}
