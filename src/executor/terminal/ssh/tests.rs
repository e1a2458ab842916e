use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use russh::keys::{Algorithm, PrivateKey, key::safe_rng};
use russh::{ChannelId, Preferred, cipher, kex, server};
use tokio::io::{AsyncWriteExt, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::clock::Clock;
use crate::dialogue::{Run, Values, Verdict};
use crate::executor::guards::Guards;
use crate::executor::observer::{Observer, SessionSlot};
use crate::executor::terminal::connect::{Session, open_link};
use crate::executor::terminal::hostkeys::KnownHosts;
use crate::executor::terminal::shell::{AfterFailure, RunContext, run_template};
use crate::model::{AccountName, Masker};
use crate::otp::By;
use crate::policy::Limit;
use crate::vault::VaultKey;

fn device(address: SocketAddr) -> Peer {
    Peer::at(&address.ip().to_string(), address.port())
}

async fn loopback() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What a password leads to.
#[derive(Clone, Copy, PartialEq)]
enum Play {
    Take,
    Disconnect,
    /// Lets in, and disconnects once a shell is there.
    Leave,
    NoMethods,
}

/// A server that says a banner and plays one thing. It tells of each channel that it tried to open whether it was refused.
#[derive(Clone)]
struct Player {
    play: Play,
    refused: mpsc::UnboundedSender<bool>,
    before: &'static str,
    preferred: Preferred,
    kind: Algorithm,
}

struct Playing {
    player: Player,
    handle: Arc<tokio::sync::Mutex<Option<server::Handle>>>,
}

impl server::Handler for Playing {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(Some("System is booting up.".into()))
    }

    async fn auth_password(&mut self, _: &str, _: &str) -> Result<server::Auth, Self::Error> {
        match self.player.play {
            Play::Take | Play::Leave => Ok(server::Auth::Accept),
            Play::NoMethods => {
                Ok(server::Auth::Reject { proceed_with_methods: Some(MethodSet::empty()), partial_success: false })
            }
            Play::Disconnect => {
                let handle = self.handle.lock().await.clone().unwrap();
                let text = "Too many sessions".to_owned();
                tokio::spawn(
                    async move { handle.disconnect(Disconnect::TooManyConnections, text, String::new()).await },
                );
                Ok(server::Auth::reject())
            }
        }
    }

    async fn shell_request(&mut self, _: ChannelId, session: &mut server::Session) -> Result<(), Self::Error> {
        if self.player.play == Play::Leave {
            session.disconnect(Disconnect::ByApplication, "Going down for maintenance", "")?;
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<server::Msg>,
        reply: server::ChannelOpenHandle,
        session: &mut server::Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        let (handle, refused) = (session.handle(), self.player.refused.clone());
        tokio::spawn(async move {
            let opened = [
                handle.channel_open_forwarded_tcpip("127.0.0.1", 22, "127.0.0.1", 1).await.is_err(),
                handle.channel_open_forwarded_streamlocal("/run/x").await.is_err(),
                handle.channel_open_x11("127.0.0.1", 1).await.is_err(),
                handle.channel_open_agent().await.is_err(),
                handle.channel_open_session().await.is_err(),
                handle.channel_open_direct_tcpip("127.0.0.1", 22, "127.0.0.1", 1).await.is_err(),
                handle.channel_open_direct_streamlocal("/run/x").await.is_err(),
            ];
            for is_refused in opened {
                let _ = refused.send(is_refused);
            }
        });
        Ok(())
    }
}

/// Serves one connection. Returns where, the host key, and what becomes of the channels that it opens.
async fn serve(play: Play, setting: impl FnOnce(&mut Player)) -> (SocketAddr, HostKeys, mpsc::UnboundedReceiver<bool>) {
    let (refused, told) = mpsc::unbounded_channel();
    let mut player = Player { play, refused, before: "", preferred: Preferred::DEFAULT, kind: Algorithm::Ed25519 };
    setting(&mut player);
    let key = PrivateKey::random(&mut safe_rng(), player.kind.clone()).unwrap();
    let fingerprints = vec![key.fingerprint(HashAlg::Sha256).to_string()];
    let config = Arc::new(server::Config {
        keys: vec![key],
        preferred: player.preferred.clone(),
        auth_rejection_time: Duration::ZERO,
        ..server::Config::default()
    });
    let (listener, address) = loopback().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(player.before.as_bytes()).await.unwrap();
        let handle = Arc::default();
        let playing = Playing { player: player.clone(), handle: Arc::clone(&handle) };
        let mut slot = handle.lock().await;
        let Ok(session) = server::run_stream(config, stream, playing).await else { return };
        *slot = Some(session.handle());
        drop(slot);
        drop(session.await);
    });
    (address, HostKeys { fingerprints, ..HostKeys::default() }, told)
}

/// Serves connections that end with the handshake, with a key of each of these kinds. The keys, in that order.
async fn serve_keys(kinds: &[Algorithm]) -> (SocketAddr, Vec<PrivateKey>) {
    let keys: Vec<PrivateKey> =
        kinds.iter().map(|kind| PrivateKey::random(&mut safe_rng(), kind.clone()).unwrap()).collect();
    let config = Arc::new(server::Config { keys: keys.clone(), ..server::Config::default() });
    let (listener, address) = loopback().await;
    let (refused, _told) = mpsc::unbounded_channel();
    let player =
        Player { play: Play::Take, refused, before: "", preferred: Preferred::DEFAULT, kind: Algorithm::Ed25519 };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let playing = Playing { player: player.clone(), handle: Arc::default() };
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(session) = server::run_stream(config, stream, playing).await {
                    drop(session.await);
                }
            });
        }
    });
    (address, keys)
}

#[tokio::test]
async fn the_key_on_record_is_asked_for_where_the_device_has_others_too() {
    let p384 = Algorithm::Ecdsa { curve: russh::keys::EcdsaCurve::NistP384 };
    let (address, keys) = serve_keys(&[Algorithm::Ed25519, p384]).await;
    let (device, stranger) = (device(address), PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap());
    let fingerprint = |key: &PrivateKey| key.fingerprint(HashAlg::Sha256).to_string();
    let pinned = |key: &PrivateKey| HostKeys { fingerprints: vec![fingerprint(key)], ..HostKeys::default() };
    for key in &keys {
        // Of the config, of the vault, which tells its kind, and of known_hosts.
        let kinds = vec![key.algorithm().to_string()];
        let line = format!("[127.0.0.1]:{} {}", address.port(), key.public_key().to_openssh().unwrap());
        let known = KnownHosts::parse(line.as_bytes(), "127.0.0.1", address.port()).unwrap();
        for host_keys in [pinned(key), HostKeys { kinds, ..pinned(key) }, HostKeys { known, ..HostKeys::default() }] {
            let opened = open_link(&Ssh, &device, &host_keys, None).await;
            let (_, shown) = opened.unwrap_or_else(|error| panic!("{host_keys:?}: {error}"));
            assert_eq!(shown, fingerprint(key));
        }
    }
    let refused = open_link(&Ssh, &device, &pinned(&stranger), None).await.err();
    assert!(
        matches!(&refused, Some(DeviceError::HostKeyMismatch { fingerprint: shown, .. }) if *shown == fingerprint(&keys[0])),
        "{refused:?}"
    );
}

async fn open(address: SocketAddr, keys: &HostKeys) -> Opened {
    Ssh.open(&device(address), keys, None).await
}

fn password() -> Ask {
    Ask::Password(Secret::new("secret".into()))
}

#[tokio::test]
async fn banners_and_lines_before_the_version_string_are_told_once() {
    let (address, keys, _told) = serve(Play::Take, |player| player.before = "Proxied by gw1\r\n").await;
    let (mut link, _) = open(address, &keys).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(link.ask("root", Ask::None).await, Ok(Reply::Failure { .. })));
    assert_eq!(link.words(), ["Proxied by gw1", "System is booting up."]);
    assert!(link.words().is_empty());
    assert_eq!(link.hung_up(), None);
}

#[tokio::test]
async fn the_reason_of_a_disconnect_is_told_in_the_device_s_words() {
    let (address, keys, _told) = serve(Play::Disconnect, |_| {}).await;
    let (mut link, _) = open(address, &keys).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(link.ask("root", password()).await, Ok(Reply::Failure { .. })));
    let why = link.ask("root", password()).await.unwrap_err();
    let reason = "Too many sessions (disconnect reason 12, too many connections)";
    assert_eq!(why, format!("it said: {reason}"));
    assert_eq!(link.words().last().map(String::as_str), Some(reason));
    assert_eq!(link.hung_up().as_deref(), Some(reason));
}

#[tokio::test]
async fn a_refusal_that_leaves_no_method_is_no_hang_up() {
    let (address, keys, _told) = serve(Play::NoMethods, |_| {}).await;
    let (mut link, _) = open(address, &keys).await.unwrap_or_else(|error| panic!("{error}"));
    let reply = link.ask("root", password()).await;
    assert!(matches!(reply, Ok(Reply::Failure { partial: false, .. })), "{reply:?}");
}

#[tokio::test]
async fn channels_that_the_device_opens_are_refused() {
    let (address, keys, mut told) = serve(Play::Take, |_| {}).await;
    let (mut link, _) = open(address, &keys).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(link.ask("root", password()).await, Ok(Reply::In)));
    let _shell = link.shell().await.unwrap_or_else(|error| panic!("{error}"));
    for _ in 0..7 {
        assert_eq!(told.recv().await, Some(true));
    }
    assert_eq!(link.hung_up(), None);
}

#[tokio::test]
async fn a_device_that_says_why_it_takes_nobody_is_quoted() {
    let cases = [
        ("Not allowed at this time\r\n", "it said: Not allowed at this time"),
        ("Exceeded MaxStartups\r\n", "it said: Exceeded MaxStartups"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "a web server answers there"),
        ("\u{15}\u{3}\u{1}", "a TLS server answers there"),
    ];
    for (said, told) in cases {
        let (listener, address) = loopback().await;
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
        });
        let error = open(address, &HostKeys::default()).await.err().unwrap();
        assert!(matches!(error, DeviceError::Connect { .. }), "{error:?}");
        assert!(error.to_string().contains(told), "{error}");
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn nothing_in_common_names_the_kind_and_what_helps() {
    let (address, keys, _told) = serve(Play::Take, |player| {
        player.preferred.cipher = [cipher::TRIPLE_DES_CBC].to_vec().into();
    })
    .await;
    let error = open(address, &keys).await.err().unwrap().to_string();
    assert!(error.contains("no cipher in common; the device offers only 3des-cbc; set legacy"), "{error}");
}

#[tokio::test]
async fn algorithms_of_old_reach_a_device_of_old() {
    let exchanges = [kex::DH_G1_SHA1, kex::DH_G14_SHA1, kex::DH_GEX_SHA1];
    for (exchange, kind) in
        exchanges.into_iter().zip([Algorithm::Dsa, Algorithm::Rsa { hash: None }, Algorithm::Ed25519])
    {
        let (address, keys, _told) = serve(Play::Take, |player| {
            player.preferred.cipher = [cipher::TRIPLE_DES_CBC].to_vec().into();
            player.preferred.mac = [russh::mac::HMAC_SHA1].to_vec().into();
            player.preferred.kex = [exchange].to_vec().into();
            player.preferred.key = [kind.clone()].to_vec().into();
            player.kind = kind.clone();
        })
        .await;
        let mut old = device(address);
        Arc::make_mut(&mut old.ssh).legacy_algorithms = true;
        let opened = Ssh.open(&old, &keys, None).await;
        assert!(opened.is_ok(), "{exchange:?} {kind}: {}", opened.err().unwrap());
    }
}

struct Silent;

impl Observer for Silent {
    fn step(&self, _: String) {}

    fn commit_point(&self) -> Waiting<'_, Result<(), DeviceError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn a_session_that_the_device_ends_tells_its_reason() {
    let (address, keys, _told) = serve(Play::Leave, |_| {}).await;
    let (mut link, _) = open(address, &keys).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(link.ask("root", password()).await, Ok(Reply::In)));
    let folder = tempfile::tempdir().unwrap();
    let key = VaultKey::create(&folder.path().join("key")).unwrap();
    let vault = crate::vault::open(&folder.path().join("state"), &key).unwrap();
    let clock = Clock::new();
    let on = Guards::new(vault, clock);
    let device = device(address);
    let session = Session {
        link,
        jumps: Vec::new(),
        device,
        changed_at_login: false,
        password_sent: true,
        password_taken: true,
        by: By::Known,
        last_own_ms: None,
        open: Vec::new(),
        slot: SessionSlot::default(),
    };
    let (template, problems) = crate::template::load(std::path::Path::new("t"), "expect \"$\"\nend\n");
    let run =
        Run::new(Arc::new(template.unwrap_or_else(|| panic!("{problems:?}"))), Values::default(), Masker::default());
    let account = AccountName::parse("web1/root").unwrap();
    let whose = (&account, Limit { count: 3, window_ms: 3_600_000 });
    let context = RunContext {
        on: &on,
        account: whose,
        login: whose,
        seed: None,
        login_seed: None,
        observer: &Silent,
        taken: &std::sync::atomic::AtomicBool::new(false),
        after: AfterFailure::default(),
    };
    let told = match run_template(&session, run, context).await {
        Ok(Verdict::Failed(failure)) => failure.message,
        Err(error) => error.to_string(),
        Ok(_) => panic!("it ran"),
    };
    let reason = "it hung up: Going down for maintenance (disconnect reason 11, by application)";
    assert!(told.ends_with(reason), "{told}");
}

/// A server's stream that says `SSH_MSG_USERAUTH_PASSWD_CHANGEREQ` (60) where it says `SSH_MSG_USERAUTH_FAILURE` (51). Nothing
/// is encrypted on it.
struct Demanding(tokio::io::DuplexStream);

impl AsyncRead for Demanding {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Demanding {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let mut bytes = bytes.to_vec();
        if let Some(kind @ 51) = bytes.get_mut(5) {
            *kind = 60;
        }
        Pin::new(&mut self.0).poll_write(cx, &bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_new_password_demanded_by_the_method_password_is_noticed_and_is_no_refusal() {
    let plain = Preferred {
        cipher: [cipher::NONE].to_vec().into(),
        mac: [russh::mac::NONE].to_vec().into(),
        ..Preferred::DEFAULT
    };
    let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
    let keys = HostKeys { fingerprints: vec![key.fingerprint(HashAlg::Sha256).to_string()], ..HostKeys::default() };
    let config = server::Config {
        keys: vec![key],
        preferred: plain.clone(),
        auth_rejection_time: Duration::ZERO,
        ..server::Config::default()
    };
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let player = Player {
        play: Play::NoMethods,
        refused: mpsc::unbounded_channel().0,
        before: "",
        preferred: plain.clone(),
        kind: Algorithm::Ed25519,
    };
    tokio::spawn(async move {
        let playing = Playing { player, handle: Arc::default() };
        let session = server::run_stream(Arc::new(config), Demanding(theirs), playing).await.unwrap();
        drop(session.await);
    });
    let (shown, words) = (Shown::default(), Words::default());
    let device = device(([127, 0, 0, 1], 22).into());
    let config = client::Config { preferred: plain, ..ssh_config(Offer::Modern, &HostKeys::default()) };
    let Connected { handle, is_over, traffic } =
        connected(config, &device, keys, &shown, &words, ours).await.unwrap_or_else(|error| panic!("{error}"));
    let mut link = SshLink { handle, is_over, traffic, words, legacy: false };
    let reply = link.ask("root", password()).await;
    assert!(matches!(&reply, Ok(Reply::Unread(why)) if why.contains("expired")), "{reply:?}");
}
