//! Connections: TCP, and TLS over it with the authorities of the system or of a file.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{CONNECT, Failure};
use crate::files;

/// A file of all authorities of a system has a quarter of this.
const MOST: u64 = 1 << 20;

/// A connection, whatever carries it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// A connection that was made.
pub(super) type Connection = Pin<Box<dyn Stream>>;

fn client(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// The authorities of a file.
///
/// # Errors
/// It cannot be read, or holds none.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |why: String| format!("ca_file {}: {why}", file.display());
    let (bytes, _) = files::read(file, MOST).map_err(|error| told(error.to_string()))?;
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| told(error.to_string()))?;
    if found.is_empty() { Err(told("there is no certificate in PEM in it".into())) } else { Ok(found) }
}

/// The system's authorities, read once.
fn system() -> Result<Arc<ClientConfig>, String> {
    static SYSTEM: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 {
            return Err("this system trusts no authorities: install ca-certificates, or set ca_file".to_owned());
        }
        client(roots)
    };
    SYSTEM.get_or_init(read).clone()
}

fn config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let Some(file) = ca_file else { return system() };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| format!("ca_file {}: {error}", file.display()))?;
    }
    client(roots)
}

/// A host as it stands in a URL, without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Connects by TCP, and by TLS over it where `secure`.
pub(super) async fn connect(
    host: &str,
    port: u16,
    secure: bool,
    ca_file: Option<&Path>,
) -> Result<Connection, Failure> {
    let late = |what: &str| Failure::again(format!("no {what} within {} s", CONNECT.as_secs()));
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect((bare(host), port))).await;
    let stream = stream.map_err(|_| late("connection"))?;
    let stream = stream.map_err(|error| Failure::again(format!("cannot connect: {error}")))?;
    if !secure {
        return Ok(Box::pin(stream));
    }
    let file = ca_file.map(Path::to_owned);
    let config = tokio::task::spawn_blocking(move || config(file.as_deref())).await;
    let config = config.unwrap_or_else(|error| Err(error.to_string())).map_err(Failure::again)?;
    let name = ServerName::try_from(bare(host).to_owned());
    let name = name.map_err(|_| Failure::again("its host is no name that a certificate has"))?;
    let secured = tokio::time::timeout(CONNECT, TlsConnector::from(config).connect(name, stream)).await;
    let secured = secured.map_err(|_| late("TLS"))?;
    Ok(Box::pin(secured.map_err(|error| Failure::again(format!("no TLS: {error}")))?))
}
