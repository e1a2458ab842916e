//! Whether a device's certificate is the one that its config expects.
//!
//! The daemon is the only judge: it makes a handshake of its own before a browser is started, and it makes the handshake of each
//! connection of the browser (see [`super::interceptor`]). The browser's own list of authorities decides nothing.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::proxy::Allowed;

/// A handshake takes no longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the certificate of a device's own host is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The host's own authorities.
    System,
    /// These authorities, in DER, and no other.
    Authorities(Vec<Vec<u8>>),
    /// SHA-256 of the certificate, or of its public key.
    Pinned(Vec<[u8; 32]>),
}

/// Why nothing is sent to a host.
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

/// What certificates are judged by: a pin, or an authority.
#[derive(Debug)]
struct Anchors {
    provider: Arc<CryptoProvider>,
    by: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<[u8; 32]>,
}

impl Anchors {
    fn new(authorities: &[CertificateDer<'static>], pins: Vec<[u8; 32]>) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().cloned());
        if roots.is_empty() && pins.is_empty() {
            return Err(TlsError::NotTrusted("there is no authority to judge certificates by".into()));
        }
        let by = match roots.is_empty() {
            true => None,
            false => WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok(),
        };
        Ok(Self { provider, by, pins })
    }

    fn has_pin_of(&self, shown: &CertificateDer<'_>) -> bool {
        self.pins.contains(&sha256(shown)) || key_of(shown).is_some_and(|key| self.pins.contains(&key))
    }
}

/// Judges the certificates of a device's hosts. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Judges(Arc<JudgesOf>);

#[derive(Debug)]
struct JudgesOf {
    trust: Trust,
    own: OnceLock<Result<Arc<Anchors>, TlsError>>,
    others: OnceLock<Result<Arc<Anchors>, TlsError>>,
}

impl Judges {
    /// Judges by what the config says. Files of the system are read when the first certificate is judged.
    #[must_use]
    pub fn new(trust: &Trust) -> Self {
        Self(Arc::new(JudgesOf { trust: trust.clone(), own: OnceLock::new(), others: OnceLock::new() }))
    }

    /// What a host's certificate is judged by: the device's own by its config alone; another by the system's authorities as well.
    fn anchors(&self, host: &Allowed) -> Result<Arc<Anchors>, TlsError> {
        let JudgesOf { trust, own, others } = &*self.0;
        let is_own = host.own || *trust == Trust::System;
        let made = || {
            let (mut authorities, mut pins) = (Vec::new(), Vec::new());
            match trust {
                Trust::System => {}
                Trust::Authorities(given) => authorities.extend(given.iter().cloned().map(CertificateDer::from)),
                Trust::Pinned(given) => pins.clone_from(given),
            }
            if *trust == Trust::System || !is_own {
                authorities.extend(rustls_native_certs::load_native_certs().certs);
            }
            Anchors::new(&authorities, pins).map(Arc::new)
        };
        if is_own { own.get_or_init(made).clone() } else { others.get_or_init(made).clone() }
    }

    /// Judges the certificate that a host shows. Nothing is sent but the handshake.
    ///
    /// # Errors
    /// It is not trusted, or the host does not answer.
    pub async fn judge(&self, host: &Allowed) -> Result<(), TlsError> {
        let connected = tokio::time::timeout(PATIENCE, TcpStream::connect((host.reached_at(), host.port))).await;
        let socket = match connected {
            Err(_) => return Err(TlsError::Unreachable(format!("{} does not answer", host.place()))),
            Ok(Err(error)) => return Err(TlsError::Unreachable(format!("{}: {error}", host.place()))),
            Ok(Ok(socket)) => socket,
        };
        self.connect(host, Vec::new(), socket).await.map(|_| ())
    }

    /// Makes the handshake with a host, offering these protocols (ALPN).
    ///
    /// # Errors
    /// Its certificate is not trusted, or it does not answer.
    pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &Allowed,
        protocols: Vec<Vec<u8>>,
        socket: S,
    ) -> Result<TlsStream<S>, TlsError> {
        let judge = Arc::new(Judge { anchors: self.anchors(host)?, shown: Mutex::default() });
        let place = host.place();
        let unreachable = |why: &dyn std::fmt::Display| TlsError::Unreachable(format!("{place}: {why}"));
        let name = ServerName::try_from(host.host.clone()).map_err(|error| unreachable(&error))?;
        let mut config = ClientConfig::builder_with_provider(judge.anchors.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| unreachable(&error))?
            .dangerous()
            .with_custom_certificate_verifier(judge.clone())
            .with_no_client_auth();
        // Each connection shows its certificate.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = protocols;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, socket);
        let shaken = tokio::time::timeout(PATIENCE, handshake).await;
        let shown = judge.shown.lock().unwrap_or_else(PoisonError::into_inner).take();
        match shaken {
            Err(_) => Err(TlsError::Unreachable(format!("{place} does not answer"))),
            Ok(Err(error)) => Err(refusal(&error, &place, shown.as_ref())),
            Ok(Ok(stream)) => Ok(stream),
        }
    }
}

/// Judges the certificate of one connection, and keeps it for the message.
#[derive(Debug)]
struct Judge {
    anchors: Arc<Anchors>,
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
        if self.anchors.has_pin_of(shown) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.anchors.by {
            Some(by) => by.verify_server_cert(shown, between, name, ocsp, now),
            None => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, shown, signed, &self.anchors.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, shown, signed, &self.anchors.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.anchors.provider.signature_verification_algorithms.supported_schemes()
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
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no authority that is trusted here has signed it".into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet".into(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name".into()
        }
        other => format!("{other:?}").chars().take(120).collect(),
    }
}

fn refusal(error: &std::io::Error, place: &str, shown: Option<&CertificateDer<'_>>) -> TlsError {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (Some(rustls::Error::InvalidCertificate(why)), Some(shown)) = (of_tls, shown) else {
        return TlsError::Unreachable(format!("{place}: {error}"));
    };
    let shown = fingerprint(shown);
    TlsError::NotTrusted(if *why == CertificateError::ApplicationVerificationFailure {
        format!("the certificate of {place} is another one than tls_sha256 has: its SHA-256 is {shown}")
    } else {
        let why = in_words(why);
        format!(
            "the certificate of {place} is not trusted: {why}; its SHA-256 is {shown}; where that is right, set ca_file or tls_sha256"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio_rustls::TlsAcceptor;

    async fn judge(host: &Allowed, trust: &Trust) -> Result<(), TlsError> {
        Judges::new(trust).judge(host).await
    }

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
        let device = Allowed::of_device("wiki.example", port, Some("127.0.0.1"));
        Site { authority: authority.der().to_vec(), certificate, device }
    }

    #[tokio::test]
    async fn a_certificate_of_a_given_authority_is_trusted_and_no_other() {
        let good = site("wiki.example").await;
        let trust = Trust::Authorities(vec![good.authority.clone()]);
        assert_eq!(judge(&good.device, &trust).await, Ok(()));
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
            assert_eq!(judge(&site.device, &Trust::Pinned(vec![[0; 32], pin])).await, Ok(()));
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
    async fn another_host_of_the_device_may_be_trusted_by_its_own_pin_and_the_device_itself_by_no_other() {
        let (site, other) = (site("wiki.example").await, site("wiki.example").await);
        let trust = Trust::Pinned(vec![sha256(&other.certificate)]);
        let beside = Allowed { own: false, ..other.device.clone() };
        assert_eq!(judge(&beside, &trust).await, Ok(()));
        let beside = Allowed { own: false, ..site.device.clone() };
        let Err(TlsError::NotTrusted(why)) = judge(&beside, &trust).await else { panic!("trusted") };
        assert!(why.contains("no authority") || why.contains("another one"), "{why}");
        assert!(matches!(judge(&site.device, &trust).await, Err(TlsError::NotTrusted(_))));
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
        let device = Allowed::of_device("wiki.example", port, Some("127.0.0.1"));
        assert!(matches!(judge(&device, &Trust::Pinned(vec![[0; 32]])).await, Err(TlsError::Unreachable(_))));
    }
}
