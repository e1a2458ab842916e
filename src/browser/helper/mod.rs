//! The process that a browser runs in: `rotord browser`.
//!
//! It is the first process of a PID namespace, in network, mount, IPC and UTS namespaces of its own, as a user that is neither
//! root nor the daemon's. Whatever ends it ends the driver and the browser too, and takes their profile away, which lies in a
//! tmpfs that nobody else sees. Its standard input is the connection to the daemon; it has no other way out.

mod driver;
mod http;
mod listen;
mod shown;

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::unistd::geteuid;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::OnceCell;

use self::driver::{CHROMIUM, Driver};
use super::frames::{Frames, Incoming};
use super::programs::{DRIVER, installed};
use super::protocol::{Answer, Ask, Reply, Request, Setup, Trouble};

pub use listen::listen;

/// The driver's port, in the helper's own network namespace.
const DRIVER_PORT: u16 = 9515;
/// The port of the browser's way out, there too.
const PROXY_PORT: u16 = 3128;
/// What the browser finds empty: its own files go there, and nobody's files are seen.
const EMPTY: [&str; 12] = [
    "/tmp",
    "/dev/shm",
    "/run",
    "/home",
    "/root",
    "/srv",
    "/mnt",
    "/media",
    "/var/tmp",
    "/var/lib",
    "/etc/rotord",
    "/etc/chromium",
];
/// Bytes that it may keep in each of them.
const ROOM: &str = "mode=1777,size=512m";
/// Where managed policies lie.
const POLICIES: &str = "/etc/chromium/policies/managed";
/// The driver is there after this time at the latest.
const DRIVER_STARTS: Duration = Duration::from_secs(20);

/// Serves one session over standard input, and returns when the daemon hangs up.
///
/// # Errors
/// The process is not isolated as it must be, in words.
pub fn serve_session() -> Result<(), String> {
    if std::process::id() != 1 {
        return Err("'rotord browser --inside' is started by rotord itself, in namespaces of its own".into());
    }
    if geteuid().is_root() {
        return Err("a browser does not run as root".into());
    }
    // Where memory is short, the browser goes before anything else does.
    let _ = fs::write("/proc/self/oom_score_adj", "900");
    hide_files().map_err(|error| format!("cannot give the browser folders of its own: {error}"))?;
    let socket = io::stdin().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true).map_err(|error| format!("standard input is no socket: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let socket = UnixStream::from_std(socket).map_err(|error| error.to_string())?;
        serve(socket).await
    })
}

fn hide_files() -> nix::Result<()> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    for folder in EMPTY.iter().filter(|folder| Path::new(folder).is_dir()) {
        mount(Some("tmpfs"), *folder, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(ROOM))?;
    }
    Ok(())
}

async fn serve(socket: UnixStream) -> Result<(), String> {
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).stdin(Stdio::null()).status();
    if !up.is_ok_and(|status| status.success()) {
        return Err("'ip link set lo up' failed: install iproute2".into());
    }
    let proxy = TcpListener::bind(("127.0.0.1", PROXY_PORT)).await.map_err(|error| error.to_string())?;
    let (reader, writer) = socket.into_split();
    let (frames, mut incoming, _connection) = Frames::over(reader, writer);
    tokio::spawn(relay(proxy, frames.clone()));
    let session = Arc::new(Session::default());
    while let Some(news) = incoming.recv().await {
        // The daemon opens no connection here.
        let Incoming::Control(text) = news else { continue };
        let Ok(Ask { id, request }) = serde_json::from_slice(&text) else {
            return Err("the daemon asks for something unknown: both must be of the same version".into());
        };
        let (session, frames) = (session.clone(), frames.clone());
        tokio::spawn(async move {
            let reply = session.perform(request).await;
            let answer = serde_json::to_vec(&Answer { id, reply }).unwrap_or_default();
            frames.control(answer).await;
        });
    }
    Ok(())
}

/// Each connection that the browser opens becomes a stream to the daemon, whose proxy decides.
async fn relay(proxy: TcpListener, frames: Frames) {
    let numbers = AtomicU32::new(1);
    loop {
        let Ok((socket, _)) = proxy.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let frames = frames.clone();
        tokio::spawn(async move {
            if let Some(half) = frames.open(number).await {
                let (reader, writer) = socket.into_split();
                half.join(reader, writer).await;
            }
        });
    }
}

/// The session of the one browser.
#[derive(Default)]
struct Session(OnceCell<(Driver, Child)>);

impl Session {
    async fn perform(&self, request: Request) -> Result<Reply, Trouble> {
        let Request::Start(setup) = request else {
            let (driver, _) = self.0.get().ok_or_else(|| Trouble::Gone("was not started".into()))?;
            return driver.perform(request).await;
        };
        let mut version = String::new();
        let start = async {
            let (driver, child, found) = start(&setup).await?;
            version = found;
            Ok((driver, child))
        };
        self.0.get_or_try_init(|| start).await?;
        Ok(Reply::Started { version })
    }
}

async fn start(setup: &Setup) -> Result<(Driver, Child, String), Trouble> {
    let gone = |why: String| Trouble::Gone(format!("cannot be started: {why}"));
    installed().map_err(&gone)?;
    fs::create_dir_all(POLICIES)
        .and_then(|()| fs::write(format!("{POLICIES}/rotord.json"), policies().to_string()))
        .map_err(|error| gone(format!("its policies cannot be set in {POLICIES}: {error}")))?;
    fs::create_dir_all("/tmp/home").map_err(|error| gone(error.to_string()))?;
    let mut child = Command::new("setpriv")
        .args(["--ambient-caps=-all", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--", DRIVER])
        .args([&format!("--port={DRIVER_PORT}"), "--allowed-ips=127.0.0.1", "--log-level=OFF"])
        .current_dir("/tmp")
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("HOME", "/tmp/home"), ("TMPDIR", "/tmp"), ("LANG", "C.UTF-8")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| gone(format!("setpriv: {error}")))?;
    let since = Instant::now();
    while TcpStream::connect(("127.0.0.1", DRIVER_PORT)).await.is_err() {
        if since.elapsed() > DRIVER_STARTS || child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return Err(gone(format!("{DRIVER} ended at once, or does not answer")));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (driver, version) = Driver::start(setup).await.map_err(|trouble| match trouble {
        Trouble::Gone(why) if why.contains("exited") || why.contains("crashed") => gone(format!(
            "{CHROMIUM} ends at once; its sandbox needs user namespaces, which this host may forbid (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
        )),
        other => other,
    })?;
    Ok((driver, child, version))
}

/// The rules that no page and no argument of a session overrules.
fn policies() -> serde_json::Value {
    json!({
        "ProxySettings": {
            "ProxyMode": "fixed_servers",
            "ProxyServer": format!("http://127.0.0.1:{PROXY_PORT}"),
            "ProxyBypassList": "<-loopback>",
        },
        "URLBlocklist": ["file://*", "chrome://*", "view-source:*", "ftp://*", "devtools://*"],
        "DownloadRestrictions": 3,
        "QuicAllowed": false,
        "DnsOverHttpsMode": "off",
        "WebRtcIPHandling": "disable_non_proxied_udp",
        "PasswordManagerEnabled": false,
        "PasswordLeakDetectionEnabled": false,
        "AutofillAddressEnabled": false,
        "AutofillCreditCardEnabled": false,
        "SearchSuggestEnabled": false,
        "DefaultSearchProviderEnabled": false,
        "BackgroundModeEnabled": false,
        "ComponentUpdatesEnabled": false,
        "SafeBrowsingProtectionLevel": 0,
        "BrowserSignin": 0,
        "SyncDisabled": true,
        "MetricsReportingEnabled": false,
        "HttpsUpgradesEnabled": false,
        "PrintingEnabled": false,
    })
}
