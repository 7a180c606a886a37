//! A Redis that speaks TLS, with certificates made for the test.

use std::io;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::process::Process;
use super::server::{server_args, start_somewhere};

/// A CA with the certificates of a server at 127.0.0.1 and of a client, as PEM files that end with this value.
#[derive(Debug)]
pub struct TestCertificates {
    dir: TempDir,
}

impl TestCertificates {
    /// Makes new ones.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, "Lovage test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let ca = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
        std::fs::write(dir.path().join("ca.pem"), ca.pem())?;
        for (name, host) in [("server", "127.0.0.1"), ("client", "client")] {
            let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(io::Error::other)?;
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().map_err(io::Error::other)?;
            let signed = params.signed_by(&key, &ca).map_err(io::Error::other)?;
            std::fs::write(dir.path().join(format!("{name}.pem")), signed.pem())?;
            std::fs::write(dir.path().join(format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(Self { dir })
    }

    /// The path of `ca.pem`, `server.pem`, `server.key`, `client.pem` or `client.key`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A Redis that speaks nothing but TLS.
#[derive(Debug)]
pub struct TlsRedisServer {
    port: u16,
    certificates: TestCertificates,
    _process: Process,
}

impl TlsRedisServer {
    /// Starts one; `clients` says whether it asks for a client's certificate.
    ///
    /// # Errors
    /// Where `redis-server` is not installed, has no TLS or does not start.
    pub fn start(clients: bool) -> io::Result<Self> {
        let certificates = TestCertificates::new()?;
        let path = |name: &str| certificates.path(name).display().to_string();
        let (port, process) = start_somewhere(&|port| {
            let mut args = server_args(0, &["--tls-port", &port.to_string()]);
            let clients = if clients { "yes" } else { "no" };
            args.extend(["--tls-auth-clients", clients].map(str::to_owned));
            for (option, name) in [
                ("--tls-ca-cert-file", "ca.pem"),
                ("--tls-cert-file", "server.pem"),
                ("--tls-key-file", "server.key"),
            ] {
                args.extend([option.to_owned(), path(name)]);
            }
            args
        })?;
        Ok(Self { port, certificates, _process: process })
    }

    /// The URL with further options: `ca=…`.
    pub fn url(&self, options: &str) -> String {
        format!("rediss://127.0.0.1:{}/0?{options}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its certificates.
    pub fn certificates(&self) -> &TestCertificates {
        &self.certificates
    }
}
