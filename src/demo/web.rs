//! `rotord demo --web`: the local page over the true daemon, with a small fleet that is simulated in this process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::{PasswdShell, ShellMaker, SimDevice, TEMPLATE, random, say, store, text};
use crate::control::{Client, bind, serve};
use crate::daemon::{Core, Request, keep_schedule};
use crate::model::{AccountName, Secret, Trigger};
use crate::notify::Notifiers;
use crate::totp::{Algorithm, Seed};
use crate::vault::VaultKey;
use crate::web::{Listen, Web};

/// Seconds of a code's step.
const STEP: u64 = 10;
/// The page ends where nobody used it for so long.
const IDLE: Duration = Duration::from_secs(4 * 3600);
/// Devices with their users; one refuses every new password.
const FLEET: [(&str, &[&str], bool); 6] = [
    ("core-switch", &["netops", "backup"], false),
    ("db1", &["postgres", "root"], false),
    ("edge-fw", &["admin"], true),
    ("mail", &["root"], false),
    ("web1", &["admin", "deploy", "root"], false),
    ("web2", &["admin", "deploy", "root"], false),
];
/// What is not there: a device that is down, and an account of which nothing is stored.
const MORE: &str = "[device.branch-fw]\naddress = \"127.0.0.1:9\"\nhost_key = [\"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]\ntemplate = \"linux-passwd\"\n[account.\"branch-fw/admin\"]\npolicy = \"strict\"\n[account.\"mail/archive\"]\n";
const JOBS: &str = "[job.nightly]\nschedule = \"30 2 * * *\"\naccounts = [\"*/*\"]\nspread = \"45m\"\nwindow = \"01:00-05:00\"\n[job.weekend-check]\nschedule = \"0 6 * * 6\"\naccounts = [\"web*/*\"]\naction = \"verify\"\nspread = \"2h\"\n[job.databases]\nschedule = \"15 22 * * 1,4\"\naccounts = [\"db1/*\"]\n";
/// Accounts that are worked upon at the start, and what is done to them.
const FIRST: [(&str, bool); 7] = [
    ("core-switch/netops", true),
    ("web1/admin", true),
    ("web2/deploy", true),
    ("edge-fw/admin", true),
    ("branch-fw/admin", true),
    ("web1/deploy", false),
    ("db1/postgres", false),
];

/// A device of the fleet, and what its accounts log in with.
struct Member {
    name: &'static str,
    device: SimDevice,
    users: Vec<(&'static str, Secret, Seed)>,
}

async fn member(name: &'static str, users: &[&'static str], refuse: bool) -> Result<Member, String> {
    let mut known = Vec::new();
    for user in users {
        let (mut key, mut first) = (Zeroizing::new(vec![0u8; 20]), [0u8; 8]);
        random(&mut key)?;
        random(&mut first)?;
        let seed = Seed::new(key, Algorithm::Sha1, 6, STEP).map_err(text)?;
        known.push((*user, Secret::new(format!("Start-{}", HEXLOWER.encode(&first))), seed));
    }
    let shell: ShellMaker = Arc::new(move |user| Box::new(PasswdShell::new(user, refuse)));
    let device = SimDevice::start(&known, shell).await.map_err(text)?;
    Ok(Member { name, device, users: known })
}

fn write_config(folder: &Path, fleet: &[Member]) -> Result<(), String> {
    let templates = folder.join("templates");
    std::fs::create_dir(&templates).map_err(text)?;
    std::fs::write(templates.join("linux-passwd.template"), TEMPLATE).map_err(text)?;
    VaultKey::create(&folder.join("vault.key")).map_err(text)?;
    let mut config = "[daemon]\nstate_dir = \"state\"\nsocket = \"control.sock\"\ntemplate_dirs = [\"templates\"]\n\
        [vault]\nkey_file = \"vault.key\"\n[policy.default]\nmax_age = \"90d\"\n[policy.strict]\nmax_age = \"30d\"\nmax_changes_per_day = 1\n"
        .to_owned();
    for Member { name, device, users } in fleet {
        config.push_str(&format!(
            "[device.{name}]\naddress = \"{}\"\nhost_key = [\"{}\"]\ntemplate = \"linux-passwd\"\n",
            device.address, device.fingerprint
        ));
        for (user, ..) in users {
            config.push_str(&format!("[account.\"{name}/{user}\"]\n"));
        }
    }
    std::fs::write(folder.join("rotord.toml"), config + MORE + JOBS).map_err(text)
}

/// Serves the page until it is ended or interrupted.
pub(super) async fn run() -> Result<u8, String> {
    let folder = tempfile::Builder::new().prefix("rotord-demo-").tempdir().map_err(text)?;
    let mut fleet = Vec::new();
    for (name, users, refuse) in FLEET {
        fleet.push(member(name, users, refuse).await?);
    }
    write_config(folder.path(), &fleet)?;
    let core = Core::start(&folder.path().join("rotord.toml")).map_err(text)?;
    for Member { name, users, .. } in &fleet {
        for (user, password, seed) in users {
            let account = AccountName::parse(&format!("{name}/{user}")).map_err(text)?;
            store(&core, &account, password.clone(), seed).await?;
        }
    }
    let down = AccountName::parse("branch-fw/admin").map_err(text)?;
    let seed = fleet.first().and_then(|member| member.users.first()).map(|(_, _, seed)| seed.clone());
    store(&core, &down, Secret::new("not-the-demo's".into()), &seed.ok_or("the fleet is empty")?).await?;
    let path = core.config().daemon.socket.clone();
    let socket = bind(&path, false).await.map_err(text)?;
    let served = tokio::spawn(serve(socket, core.clone(), Notifiers::new(core.clone())));
    let schedule = tokio::spawn(keep_schedule(core.clone()));
    let web = Web::bind(Client::new(path), &Listen::free(), IDLE).await.map_err(text)?;
    let link = web.link(web.port().unwrap_or(0)).map_err(text)?;
    say!(
        "rotord demo: the true daemon with a fleet of seven devices that is simulated in this process; nothing but 127.0.0.1 is contacted."
    );
    say!("Its codes change every {STEP} s instead of every 30, so that nobody has to wait.\n");
    say!("Open this link; it works once:\n\n    {link}\n\nCtrl-C ends the demo, and nothing of it stays.\n");
    let first = core.clone();
    let begun = tokio::spawn(async move { begin(&first).await });
    let why = tokio::select! {
        why = web.serve() => why,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_or("it cannot be interrupted", |()| "it was interrupted"),
    };
    say(&format!("the page has ended: {why}"));
    begun.abort();
    schedule.abort();
    core.stop();
    // What is past its commit point ends before.
    drop(tokio::time::timeout(Duration::from_secs(60), served).await);
    Ok(0)
}

/// Some work, so that there is something to see.
async fn begin(core: &Arc<Core>) {
    let mut tasks = tokio::task::JoinSet::new();
    for (name, rotate) in FIRST {
        let Ok(account) = AccountName::parse(name) else { continue };
        let core = core.clone();
        tasks.spawn(async move {
            let (actor, reason) = (Some(Core::own_actor()), Some("first run of the demo".to_owned()));
            if rotate {
                let request = Request { actor, reason, ..Request::of(account, Trigger::Command) };
                drop(core.rotate(request).await);
            } else {
                drop(core.verify(&account, actor, reason).await);
            }
        });
    }
    drop(tasks.join_all().await);
}
