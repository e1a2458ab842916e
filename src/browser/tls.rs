//! Whether a device's certificate is the one that its config expects, found out before a browser goes there.
//!
//! The browser judges again by itself. But it shows a page where it should report an error, and its own list of authorities is not
//! the host's: so the daemon makes a handshake of its own first, and says what is wrong in words.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::proxy::Allowed;

/// A handshake takes no longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a certificate is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The host's own authorities.
    System,
    /// These authorities, in DER, and no other.
    Authorities(Vec<Vec<u8>>),
    /// SHA-256 of the certificate, or of its public key.
    Pinned(Vec<[u8; 32]>),
}

/// What the browser has to be told, so that it trusts what was found good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// Authorities, as base64 of their DER.
    pub authorities: Vec<String>,
    /// Public keys, as base64 of their SHA-256.
    pub pinned_keys: Vec<String>,
}

/// Why no browser is sent to a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Its certificate is not trusted.
    #[error("{0}")]
    NotTrusted(String),
    /// It could not be connected to.
    #[error("{0}")]
    Unreachable(String),
}

/// The SHA-256 that a config gives for a certificate or its key: 64 hexadecimal digits, with colons or without, as
/// `openssl x509 -fingerprint -sha256` prints it, or base64.
///
/// # Errors
/// It is neither.
pub fn parse_pin(text: &str) -> Result<[u8; 32], String> {
    let plain = text.trim().trim_start_matches("SHA256:").trim_start_matches("sha256//");
    let digits: String = plain.chars().filter(|c| *c != ':').collect();
    let bytes = HEXLOWER.decode(digits.to_ascii_lowercase().as_bytes()).ok().filter(|bytes| bytes.len() == 32);
    let bytes = bytes.or_else(|| BASE64.decode(plain.as_bytes()).ok());
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        "a certificate is pinned by its SHA-256: 64 hexadecimal digits, as 'openssl x509 -noout -fingerprint -sha256' prints, or base64"
            .to_owned()
    })
}

/// Keeps the certificate that was shown; judges it by authorities where there are any.
#[derive(Debug)]
struct Judge {
    provider: Arc<CryptoProvider>,
    by: Option<Arc<WebPkiServerVerifier>>,
    shown: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown.clone().into_owned());
        match &self.by {
            Some(by) => by.verify_server_cert(shown, between, name, ocsp, now),
            // A pin is compared once the device has shown that it has the key.
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, shown, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, shown, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A fingerprint as `openssl` prints it.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    sha256(certificate).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn key_of(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some(sha256(&parsed.subject_public_key_info()))
}

/// What is wrong with a certificate, in words.
fn in_words(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "no authority that is trusted here has signed it".into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet".into(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name".into()
        }
        other => format!("{other:?}").chars().take(120).collect(),
    }
}

/// The authorities that a certificate may be signed by; those of the system are read from its files.
fn authorities(trust: &Trust) -> Vec<CertificateDer<'static>> {
    match trust {
        Trust::System => rustls_native_certs::load_native_certs().certs,
        Trust::Authorities(authorities) => authorities.iter().map(|der| CertificateDer::from(der.clone())).collect(),
        Trust::Pinned(_) => Vec::new(),
    }
}

/// Judges the certificate that a device shows. Nothing is sent but the handshake.
///
/// # Errors
/// It is not trusted, or the device does not answer.
pub async fn judge(device: &Allowed, trust: &Trust) -> Result<Judged, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let authorities = authorities(trust);
    let by = match trust {
        Trust::Pinned(_) => None,
        _ => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(authorities.iter().cloned());
            let made = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
            Some(made.map_err(|_| TlsError::NotTrusted("there is no authority to judge certificates by".into()))?)
        }
    };
    let judge = Arc::new(Judge { provider: provider.clone(), by, shown: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Unreachable(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(judge.clone())
        .with_no_client_auth();
    let handshake = tokio::time::timeout(PATIENCE, shake_hands(device, config)).await;
    let shown = judge.shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    let place = format!("{}:{}", device.host, device.port);
    match handshake {
        Err(_) => Err(TlsError::Unreachable(format!("{place} does not answer"))),
        Ok(Err(error)) => Err(refusal(&error, &place, shown.as_ref())),
        Ok(Ok(())) => compare(trust, &authorities, shown.as_ref(), &place),
    }
}

async fn shake_hands(device: &Allowed, config: ClientConfig) -> std::io::Result<()> {
    let name = ServerName::try_from(device.host.clone()).map_err(std::io::Error::other)?;
    let address = device.address.as_deref().unwrap_or(&device.host);
    let socket = TcpStream::connect((address, device.port)).await?;
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.map(|_| ())
}

fn refusal(error: &std::io::Error, place: &str, shown: Option<&CertificateDer<'_>>) -> TlsError {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (of_tls, shown) {
        (Some(rustls::Error::InvalidCertificate(why)), Some(shown)) => TlsError::NotTrusted(format!(
            "the certificate of {place} is not trusted: {}; its SHA-256 is {}; where that is right, set ca_file or tls_sha256",
            in_words(why),
            fingerprint(shown)
        )),
        _ => TlsError::Unreachable(format!("{place}: {error}")),
    }
}

fn compare(
    trust: &Trust,
    authorities: &[CertificateDer<'_>],
    shown: Option<&CertificateDer<'_>>,
    place: &str,
) -> Result<Judged, TlsError> {
    let Trust::Pinned(pins) = trust else {
        let told = authorities.iter().map(|der| BASE64.encode(der)).collect();
        return Ok(Judged { authorities: told, pinned_keys: Vec::new() });
    };
    let Some(shown) = shown else {
        return Err(TlsError::Unreachable(format!("{place} shows no certificate")));
    };
    let key = key_of(shown);
    let is_pinned = pins.contains(&sha256(shown)) || key.is_some_and(|key| pins.contains(&key));
    match key.filter(|_| is_pinned) {
        Some(key) => Ok(Judged { authorities: Vec::new(), pinned_keys: vec![BASE64.encode(&key)] }),
        None => Err(TlsError::NotTrusted(format!(
            "the certificate of {place} is another one than tls_sha256 has: its SHA-256 is {}",
            fingerprint(shown)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio_rustls::TlsAcceptor;

    struct Site {
        authority: Vec<u8>,
        certificate: CertificateDer<'static>,
        device: Allowed,
    }

    /// A server on loopback whose certificate is for this name.
    async fn site(name: &str) -> Site {
        let mut of_authority = CertificateParams::new(Vec::new()).unwrap();
        of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(of_authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let certificate = certificate.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move { acceptor.accept(socket).await.map(|_| ()) });
            }
        });
        let device = Allowed { host: "wiki.example".into(), port, address: Some("127.0.0.1".into()) };
        Site { authority: authority.der().to_vec(), certificate, device }
    }

    #[tokio::test]
    async fn a_certificate_of_a_given_authority_is_trusted_and_no_other() {
        let good = site("wiki.example").await;
        let trust = Trust::Authorities(vec![good.authority.clone()]);
        let judged = judge(&good.device, &trust).await.unwrap();
        assert_eq!(judged.authorities, [BASE64.encode(&good.authority)]);
        let Err(TlsError::NotTrusted(why)) = judge(&good.device, &Trust::System).await else { panic!("trusted") };
        assert!(why.contains("no authority") && why.contains(&fingerprint(&good.certificate)), "{why}");
        let other = site("wiki.example").await;
        assert!(matches!(judge(&other.device, &trust).await, Err(TlsError::NotTrusted(_))));
        let misnamed = site("other.example").await;
        let trust = Trust::Authorities(vec![misnamed.authority.clone()]);
        let Err(TlsError::NotTrusted(why)) = judge(&misnamed.device, &trust).await else { panic!("trusted") };
        assert!(why.contains("another name"), "{why}");
    }

    #[tokio::test]
    async fn a_pinned_certificate_is_trusted_by_its_own_hash_or_by_that_of_its_key() {
        let site = site("whatever.example").await;
        let (whole, key) = (sha256(&site.certificate), key_of(&site.certificate).unwrap());
        for pin in [whole, key] {
            let judged = judge(&site.device, &Trust::Pinned(vec![[0; 32], pin])).await.unwrap();
            assert_eq!(judged.pinned_keys, [BASE64.encode(&key)]);
        }
        let Err(TlsError::NotTrusted(why)) = judge(&site.device, &Trust::Pinned(vec![[0; 32]])).await else {
            panic!("trusted")
        };
        assert!(why.contains(&fingerprint(&site.certificate)), "{why}");
        assert_eq!(parse_pin(&fingerprint(&site.certificate)).unwrap(), whole);
        assert_eq!(parse_pin(&BASE64.encode(&key)).unwrap(), key);
        assert!(parse_pin("abc").is_err());
    }

    #[tokio::test]
    async fn a_device_that_does_not_speak_tls_is_unreachable_and_not_trusted_by_chance() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        });
        let device = Allowed { host: "wiki.example".into(), port, address: Some("127.0.0.1".into()) };
        assert!(matches!(judge(&device, &Trust::Pinned(vec![[0; 32]])).await, Err(TlsError::Unreachable(_))));
    }
}
