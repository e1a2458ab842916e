//! TLS of a session's browser ends in the daemon, and goes on from there to the device in a connection of the daemon's own.
//!
//! So each connection of the browser is judged by what the device's config says, before a byte of a page leaves or arrives: by
//! `tls_sha256`, by `ca_file` alone, or by the host's own authorities. The browser trusts one key, which this session made, which
//! never leaves the daemon, and which is forgotten with the session.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{Acceptor, NoServerSessionStorage};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use zeroize::Zeroizing;

use super::proxy::Allowed;
use super::tls::{Judges, TlsError};

/// The browser's part of a handshake takes no longer.
const PATIENCE: Duration = Duration::from_secs(15);
/// What the browser and a host may speak (ALPN): all that Chromium knows without QUIC.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Bytes that are carried at once.
const PIECE: usize = 16 << 10;

/// Ends the TLS connections of one session's browser.
pub(super) struct Interceptor {
    key: KeyPair,
    pin: String,
    judges: Judges,
    provider: Arc<CryptoProvider>,
}

impl std::fmt::Debug for Interceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interceptor").field("pin", &self.pin).finish_non_exhaustive()
    }
}

impl Interceptor {
    /// One with a fresh key.
    ///
    /// # Errors
    /// No key could be made, in words.
    pub(super) fn new(judges: Judges) -> Result<Self, String> {
        let key = KeyPair::generate().map_err(|error| format!("no key could be made for its session: {error}"))?;
        let pin = BASE64.encode(&Sha256::digest(key.subject_public_key_info()));
        Ok(Self { key, pin, judges, provider: Arc::new(rustls::crypto::ring::default_provider()) })
    }

    /// The key that the browser is to trust: base64 of the SHA-256 of its public part.
    pub(super) fn pin(&self) -> &str {
        &self.pin
    }

    /// Carries a connection of the browser to a host, once its certificate was found good.
    ///
    /// # Errors
    /// The certificate is not trusted, or one of the two did not end its handshake: nothing was carried.
    pub(super) async fn carry(
        &self,
        browser: impl AsyncRead + AsyncWrite + Unpin,
        socket: TcpStream,
        host: &Allowed,
    ) -> Result<(), TlsError> {
        let broken = |error: &dyn std::fmt::Display| TlsError::Unreachable(format!("{}: {error}", host.place()));
        let hello = tokio::time::timeout(PATIENCE, LazyConfigAcceptor::new(Acceptor::default(), browser)).await;
        let hello = hello.map_err(|error| broken(&error))?.map_err(|error| broken(&error))?;
        let offered = hello.client_hello().alpn().into_iter().flatten();
        let offered = offered.filter(|protocol| PROTOCOLS.contains(protocol)).map(<[u8]>::to_vec).collect();
        let server = self.judges.connect(host, offered, socket).await?;
        let spoken = server.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let config = self.face(&host.host, spoken).map_err(|error| broken(&error))?;
        let browser = tokio::time::timeout(PATIENCE, hello.into_stream(config)).await;
        let browser = browser.map_err(|error| broken(&error))?.map_err(|error| broken(&error))?;
        let (from_browser, to_browser) = tokio::io::split(browser);
        let (from_server, to_server) = tokio::io::split(server);
        // An end that is not told as one of TLS ends both at once, so that the browser is not told of it as one either.
        let _ = tokio::try_join!(copy(from_browser, to_server), copy(from_server, to_browser));
        Ok(())
    }

    /// What the browser is shown in place of a host. Each host has a certificate of its own, so that none is taken for another.
    fn face(&self, host: &str, protocol: Option<Vec<u8>>) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error>> {
        let certificate = CertificateParams::new(vec![host.to_owned()])?.self_signed(&self.key)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = protocol.into_iter().collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

/// Copies until the end, and tells it on. What is copied may be a password.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut piece = Zeroizing::new(vec![0u8; PIECE]);
    loop {
        match from.read(&mut piece).await {
            Ok(0) => return to.shutdown().await,
            Ok(read) => {
                to.write_all(piece.get(..read).unwrap_or_default()).await?;
                to.flush().await?;
            }
            Err(error) => {
                to.flush().await?;
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rcgen::{BasicConstraints, CertifiedIssuer, IsCa};
    use rustls::pki_types::CertificateDer;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::browser::tls::Trust;

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn signed(key: &KeyPair, by: &CertifiedIssuer<'static, KeyPair>) -> CertificateDer<'static> {
        let params = CertificateParams::new(vec!["wiki.example".to_owned()]).unwrap();
        params.signed_by(key, by).unwrap().der().clone()
    }

    /// A host that says everything back, and shows one certificate after the other.
    struct Host {
        port: u16,
        heard: Arc<Mutex<Vec<u8>>>,
    }

    impl Host {
        async fn start(key: &KeyPair, shown: Vec<CertificateDer<'static>>) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (port, heard) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<u8>>>::default());
            let (der, told) = (key.serialize_der(), heard.clone());
            tokio::spawn(async move {
                for certificate in shown {
                    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.clone()));
                    let provider = Arc::new(rustls::crypto::ring::default_provider());
                    let mut config = ServerConfig::builder_with_provider(provider)
                        .with_safe_default_protocol_versions()
                        .unwrap()
                        .with_no_client_auth()
                        .with_single_cert(vec![certificate], key)
                        .unwrap();
                    config.alpn_protocols = vec![b"http/1.1".to_vec()];
                    let (socket, _) = listener.accept().await.unwrap();
                    let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(socket).await else { continue };
                    let mut piece = [0; 100];
                    while let Ok(read @ 1..) = stream.read(&mut piece).await {
                        told.lock().unwrap().extend_from_slice(&piece[..read]);
                        stream.write_all(&piece[..read]).await.unwrap();
                        stream.flush().await.unwrap();
                    }
                    let _ = stream.shutdown().await;
                }
            });
            Self { port, heard }
        }

        /// Says something to it as a browser behind the interceptor does: what came back, the protocol that was chosen, and how the
        /// connection ended.
        async fn talk(&self, trust: &Trust, words: &[u8]) -> (Vec<u8>, Option<Vec<u8>>, Result<(), TlsError>) {
            let interceptor = Interceptor::new(Judges::new(trust)).unwrap();
            let host = Allowed::of_device("wiki.example", self.port, None);
            let pin = BASE64.decode(interceptor.pin().as_bytes()).unwrap().try_into().unwrap();
            let (browser, end) = tokio::io::duplex(1 << 16);
            let socket = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
            let talking = async {
                let judges = Judges::new(&Trust::Pinned(vec![pin]));
                let protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"odd".to_vec()];
                let Ok(mut stream) = judges.connect(&host, protocols, browser).await else { return (Vec::new(), None) };
                let spoken = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                stream.write_all(words).await.unwrap();
                stream.shutdown().await.unwrap();
                let mut back = Vec::new();
                stream.read_to_end(&mut back).await.unwrap();
                (back, spoken)
            };
            let ((back, spoken), ended) = tokio::join!(talking, interceptor.carry(end, socket, &host));
            (back, spoken, ended)
        }
    }

    #[tokio::test]
    async fn each_connection_is_judged_by_the_pin_though_the_key_and_the_authority_are_the_same() {
        let (key, by) = (KeyPair::generate().unwrap(), authority());
        let (good, other) = (signed(&key, &by), signed(&key, &by));
        let host = Host::start(&key, vec![good.clone(), other, good.clone()]).await;
        let trust = Trust::Pinned(vec![Sha256::digest(&good).into()]);
        let (back, spoken, ended) = host.talk(&trust, b"hello").await;
        assert_eq!(
            (back.as_slice(), spoken.as_deref(), ended),
            (b"hello".as_slice(), Some(b"http/1.1".as_slice()), Ok(()))
        );
        let (back, _, ended) = host.talk(&trust, b"secret").await;
        let Err(TlsError::NotTrusted(why)) = ended else { panic!("{ended:?}") };
        assert!(back.is_empty() && why.contains("another one than tls_sha256 has"), "{why}");
        assert_eq!(host.talk(&trust, b" again").await.2, Ok(()));
        assert_eq!(host.heard.lock().unwrap().as_slice(), b"hello again");
    }

    #[tokio::test]
    async fn each_connection_is_judged_by_the_authorities_of_the_file_alone() {
        let (key, by, stranger) = (KeyPair::generate().unwrap(), authority(), authority());
        let host = Host::start(&key, vec![signed(&key, &by), signed(&key, &stranger)]).await;
        let trust = Trust::Authorities(vec![by.der().to_vec()]);
        assert_eq!(host.talk(&trust, b"hello").await.2, Ok(()));
        let ended = host.talk(&trust, b"secret").await.2;
        assert!(matches!(&ended, Err(TlsError::NotTrusted(why)) if why.contains("no authority")), "{ended:?}");
        assert_eq!(host.heard.lock().unwrap().as_slice(), b"hello");
    }
}
