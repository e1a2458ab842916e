//! The setting of a history: its fleet, policies and jobs, and how often each fault strikes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use zeroize::Zeroizing;

use super::faults::Fault;
use super::fleet::{Asks, OWN_WORDS, PLAIN_WORDS, Refuses, Says, Site, User, keys};
use super::habits::{Habit, Habits};
use super::host::Rate;
use super::random::Random;
use super::shell::Kind;
use super::universe::Universe;
use crate::config::{
    Access, Account, Config, Daemon, Device, Endpoint, Followers, Job, JobAction, KeySource, Library, SshEndpoint,
};
use crate::dialogue::LoginFormat;
use crate::model::{AccountName, DeviceName};
use crate::policy::{PasswordRules, Policy};
use crate::schedule::{Crontab, Window};
use crate::template::{Changes, Checked, load};
use crate::totp::{Algorithm, Seed};

/// A template of the library; where the device asks in its own words, with the answers to them.
fn template(name: &'static str, own_words: bool) -> Arc<Checked> {
    static ALL: OnceLock<BTreeMap<(&'static str, bool), Arc<Checked>>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let texts = [
            ("linux-passwd", include_str!("../../templates/linux/linux-passwd.template")),
            ("linux-passwd-as-root", include_str!("../../templates/linux/linux-passwd-as-root.template")),
            ("linux-sudo-passwd", include_str!("../../templates/linux/linux-sudo-passwd.template")),
            ("login-only", "expect-regex \"/[$#>%] ?$/\"\nexec \"exit\"\nend\n"),
            ("cisco-ios", include_str!("../../templates/cisco/cisco-ios.template")),
            ("cisco-wlc", include_str!("../../templates/cisco/cisco-wlc.template")),
            ("cisco-ios-enable", include_str!("../../templates/cisco/cisco-ios-enable.template")),
        ];
        let both = texts.into_iter().flat_map(|text| [false, true].map(|own_words| (text, own_words)));
        both.filter_map(|((name, text), own_words)| {
            let text = format!("{}{text}", if own_words { OWN_WORDS } else { PLAIN_WORDS }.template);
            Some(((name, own_words), Arc::new(load(Path::new(name), &text).0?)))
        })
        .collect()
    });
    // The templates are part of the build.
    #[allow(clippy::expect_used)]
    all.get(&(name, own_words)).cloned().expect("a template of the library")
}

/// Devices, and the config that knows them.
pub(super) struct Fleet {
    pub(super) config: Config,
    pub(super) sites: BTreeMap<String, Site>,
}

/// One history in so many has a large fleet: there many wait for one another.
const LARGE: usize = 200;

/// The account of a router that nobody logs in with: a login account goes to and fro with it.
pub(super) const ENABLE: &str = "enable";

/// Names of users that are words of a login too.
const ODD_USERS: [(&str, &str); 2] = [("svc", "new-otp-1"), ("ada", "confirm-code")];

/// What is odd about a fleet; drawn apart, so that the fleets without are the same.
pub(super) struct Oddities {
    random: Random,
    /// Habits left out, by their bits.
    without: u64,
}

impl Oddities {
    pub(super) fn of(seed: u64, without: u64) -> Self {
        Self { random: Random::new(seed, 8), without }
    }

    fn has(&mut self, habit: Habit, one_in: usize) -> bool {
        self.random.one_in(one_in) && self.without & habit.bit() == 0
    }

    /// A controller lets anybody in, and asks for user and password in the session.
    fn kind(&mut self, kind: &'static str) -> &'static str {
        if self.has(Habit::AsksInSession, 12) { "cisco-wlc" } else { kind }
    }

    /// Users whose names are odd; whether there are any.
    fn rename(&mut self, users: &mut [String]) -> bool {
        let mut any = false;
        if self.has(Habit::OddUserName, 6) {
            for user in users {
                if let Some((_, odd)) = ODD_USERS.iter().find(|(plain, _)| plain == user) {
                    (*odd).clone_into(user);
                    any = true;
                }
            }
        }
        any
    }

    /// An administrator has an account log in as another one with a template that may not be made for it: what the config's
    /// check refuses is not done.
    fn misconfigures(&mut self, template: &Checked) -> bool {
        self.random.one_in(8) && template.changes() != Changes::LoginAccount
    }

    /// How the config tells two questions of the same words apart, where a device asks so.
    fn order(&mut self, asks: Asks) -> Option<LoginFormat> {
        let same = self.has(Habit::SamePrompts, 6);
        asks.order().filter(|_| same)
    }
}

/// The users of a device, in a large fleet some more.
fn users(kind: &str, large: bool, random: &mut Random) -> Vec<String> {
    let few: &[&str] = match kind {
        "linux-passwd" => &["ada", "bob", "root"],
        "linux-passwd-as-root" => &["root", "svc", "web", "www"],
        "login-only" => &["ada"],
        _ => &["root", "svc"],
    };
    let enable = (kind == "cisco-ios" && random.one_in(2)).then_some(ENABLE);
    let more = if large { 2 + random.below(8) } else { 0 };
    let known = few.iter().copied().chain(enable).map(str::to_owned);
    known.chain((0..more).map(|n| format!("user{n}"))).collect()
}

/// A fleet of one to three devices with two to five accounts, or a large one.
pub(super) fn fleet(random: &mut Random, odd: Option<Oddities>) -> Fleet {
    let policy = Arc::new(policy(random));
    let config = empty_config(random);
    let shared = random.one_in(3).then(|| seed(random));
    let large = random.one_in(LARGE);
    let gated = random.one_in(4);
    let fleet = Fleet { config, sites: BTreeMap::new() };
    let mut draft = Draft { random, odd, policy, shared, large, gated, gates: Vec::new(), fleet };
    let devices = if large { 4 + draft.random.below(4) } else { 1 + draft.random.below(3) };
    for number in 0..devices {
        draft.add_device(number);
    }
    draft.add_jobs();
    draft.fleet
}

/// The one policy of a fleet.
fn policy(random: &mut Random) -> Policy {
    Policy {
        name: "default".into(),
        password: PasswordRules { length: 16, ..PasswordRules::default() },
        max_changes_per_day: if random.one_in(4) { 1 } else { 2 },
        min_age: Duration::from_secs(if random.one_in(3) { 3600 } else { 0 }),
        max_age: None,
        history: 2 + random.below(4),
        attempts: u32::try_from(1 + random.below(4)).unwrap_or(1),
        retry_after: Duration::from_secs(if random.one_in(2) { 300 } else { 1800 }),
        auto_reconcile: random.one_in(2),
        failed_logins_per_hour: 2,
    }
}

/// A config without devices, accounts and jobs.
fn empty_config(random: &mut Random) -> Config {
    Config {
        daemon: Daemon {
            state_dir: PathBuf::new(),
            socket: PathBuf::new(),
            template_dirs: Vec::new(),
            timezone: if random.one_in(2) { chrono_tz::Europe::Berlin } else { chrono_tz::UTC },
            max_concurrent: 1 + random.below(8),
            browser_socket: "/nonexistent".into(),
        },
        vault_key: KeySource::Credential("simulated".into()),
        recovery_key: None,
        escrow: None,
        backup_max_age: Duration::from_secs(7 * 86_400),
        access: Access::default(),
        devices: BTreeMap::new(),
        accounts: BTreeMap::new(),
        jobs: BTreeMap::new(),
        notifiers: BTreeMap::new(),
        library: Library::default(),
        followers: Followers::default(),
    }
}

/// A fleet as it is drawn. Each draw has its place in the order: another order is another fleet for the same seed.
struct Draft<'a> {
    random: &'a mut Random,
    odd: Option<Oddities>,
    policy: Arc<Policy>,
    /// The seed that all accounts have, where they share one.
    shared: Option<Seed>,
    large: bool,
    /// Whether some devices are behind others.
    gated: bool,
    /// Who logs in there on the way.
    gates: Vec<AccountName>,
    fleet: Fleet,
}

impl Draft<'_> {
    fn add_device(&mut self, number: usize) {
        let name = format!("d{number}");
        let kind = match self.random.below(9) {
            0 | 4 => "linux-passwd",
            1 | 5 => "linux-sudo-passwd",
            2 | 6 => "linux-passwd-as-root",
            8 => "login-only",
            _ => "cisco-ios",
        };
        let kind = self.odd.as_mut().map_or(kind, |odd| odd.kind(kind));
        let jump = match self.gates.len() {
            0 => None,
            all => self.random.one_in(2).then(|| self.gates[self.random.below(all)].device()),
        };
        // Whoever is behind another one may have others behind it.
        let leads_on =
            self.gated && !matches!(kind, "login-only" | "cisco-wlc") && (number == 0 || self.random.one_in(2));
        let gate = Universe::account(&name, "root").filter(|_| leads_on);
        self.gates.extend(gate.clone());
        let asks = asks(kind, self.random);
        let order = self.odd.as_mut().and_then(|odd| odd.order(asks));
        let Ok(device_name) = DeviceName::parse(&name) else { return };
        let ssh = SshEndpoint {
            host: "192.0.2.1".into(),
            port: 22,
            host_keys: vec![format!("SHA256:{name}")],
            known_hosts: None,
            jump,
            jump_account: gate,
            legacy_algorithms: false,
            login_format: order.unwrap_or(match asks {
                Asks::Joined => LoginFormat::PasswordThenCode,
                _ => LoginFormat::Separate,
            }),
            connect_timeout: Duration::from_secs(10),
        };
        let device = Arc::new(Device {
            name: device_name.clone(),
            endpoint: Endpoint::Ssh(Arc::new(ssh)),
            template_sha256: None,
            template: kind.into(),
            max_sessions: 1 + self.random.below(3),
            fields: BTreeMap::new(),
        });
        self.fleet.config.devices.insert(device_name, device.clone());
        let mut site = site(kind, asks, self.random);
        let mut users = users(kind, self.large, self.random);
        let renamed = self.odd.as_mut().is_some_and(|odd| odd.rename(&mut users));
        for (habit, has) in [
            (Habit::AsksInSession, asks == Asks::InSession),
            (Habit::OddUserName, renamed),
            (Habit::SamePrompts, order.is_some()),
        ] {
            if has {
                site.habits.add(habit);
            }
        }
        for user in &users {
            self.add_user(user, kind, &device, &mut site);
        }
        site.saved = site.users.iter().map(|(name, user)| (name.clone(), user.password.clone())).collect();
        self.fleet.sites.insert(name, site);
    }

    /// A user of a device, and the account that is configured for it.
    fn add_user(&mut self, user: &str, kind: &'static str, device: &Arc<Device>, site: &mut Site) {
        let (name, asks) = (device.name.as_str(), site.asks);
        let own_seed = self.shared.clone().unwrap_or_else(|| seed(self.random));
        let password = format!("First-{name}-{user}-{}", self.random.below(1_000_000));
        let seed = (asks.has_code() && user != ENABLE).then_some(own_seed);
        let key = (asks.has_key() && user != ENABLE).then(|| self.random.below(keys().len()));
        site.users.insert(user.to_owned(), User::new(password, seed, key));
        let by_root = user != "root" && !matches!(kind, "linux-passwd" | "login-only");
        let used = template(if user == ENABLE { "cisco-ios-enable" } else { kind }, asks == Asks::OwnWords);
        let by_mistake =
            kind == "linux-passwd" && user != "root" && self.odd.as_mut().is_some_and(|odd| odd.misconfigures(&used));
        let root = Universe::account(name, "root").filter(|_| by_root || by_mistake);
        let mender = Universe::account(name, "root").filter(|_| user != "root" && kind != "login-only");
        let Some(account) = Universe::account(name, user) else { return };
        let account = Account {
            name: account,
            policy: self.policy.clone(),
            device: device.clone(),
            login_as: root.clone(),
            reconcile_as: mender.filter(|_| self.random.one_in(2)),
            after: root.filter(|_| self.random.one_in(3)),
            fields: BTreeMap::new(),
            template: used,
        };
        self.fleet.config.accounts.insert(account.name.clone(), Arc::new(account));
    }

    fn add_jobs(&mut self) {
        let (schedules, random) = (schedules(), &mut *self.random);
        for number in 0..1 + random.below(2) {
            let (schedule, crontab) = &schedules[random.below(schedules.len())];
            let job = Job {
                name: format!("j{number}"),
                schedule_text: (*schedule).into(),
                schedule: crontab.clone(),
                accounts: vec![if random.one_in(2) { "*".into() } else { format!("d{number}/*") }],
                spread: Duration::from_secs(if random.one_in(2) { 2700 } else { 0 }),
                window: random.one_in(5).then(|| Window::parse("01:00-05:00").ok()).flatten(),
                action: if random.one_in(5) { JobAction::Verify } else { JobAction::Rotate },
                on_signal: false,
                catch_up: random.one_in(2),
            };
            self.fleet.config.jobs.insert(job.name.clone(), Arc::new(job));
        }
    }
}

/// What a device of this kind asks for at a login.
fn asks(kind: &str, random: &mut Random) -> Asks {
    let asks = Asks::ALL[random.below(Asks::ALL.len())];
    let needs_code = matches!(kind, "linux-sudo-passwd" | "login-only");
    // Who comes in with a key alone is asked for no new password.
    let unfit = (needs_code && asks == Asks::PasswordOnly) || (kind == "login-only" && asks == Asks::KeyOrPassword);
    match kind {
        "cisco-wlc" => Asks::InSession,
        _ if unfit => Asks::PasswordThenCode,
        _ => asks,
    }
}

/// A device without users and habits.
fn site(kind: &str, asks: Asks, random: &mut Random) -> Site {
    let strict = random.one_in(4);
    let always_off = match (random.one_in(6), strict) {
        (false, _) => 0,
        (true, false) => random.within(-60_000, 60_000),
        // Between two steps, no offset would serve all the time.
        (true, true) => 30_000 * random.within(-2, 3) + random.within(-400, 2_500),
    };
    Site {
        asks,
        strict,
        users: BTreeMap::new(),
        saved: BTreeMap::new(),
        shell: match kind {
            "cisco-ios" => Kind::Router,
            "cisco-wlc" => Kind::Controller,
            _ => Kind::Linux,
        },
        only_at_login: kind == "login-only",
        skew: always_off,
        always_off,
        drift: Rate::default(),
        locks_after: if random.one_in(2) { 3 + random.below(3) } else { 0 },
        refuses: [Refuses::InWords, Refuses::InWords, Refuses::HangsUp, Refuses::AsksAgain][random.below(4)],
        down_until: 0,
        impostor_until: 0,
        sessions: 0,
        most_sessions: 0,
        habits: Habits::default(),
        variant: 0,
        host: "web1",
        closed: None,
        says: Says::InBanner,
        refuses_until: 0,
    }
}

pub(super) fn schedules() -> &'static [(&'static str, Crontab)] {
    static ALL: OnceLock<Vec<(&'static str, Crontab)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let texts = [
            "0 */6 * * *",
            "30 2 * * *",
            "15 1,13 * * *",
            "0 5-20/3 * * *",
            "10 */4 * * *",
            "0 */8 * * *",
            "*/40 0-3 * * *",
        ];
        texts.into_iter().filter_map(|text| Some((text, Crontab::parse(text).ok()?))).collect()
    })
}

pub(super) fn seed(random: &mut Random) -> Seed {
    let mut key = Zeroizing::new(vec![0; 20]);
    random.fill(&mut key);
    // Eight digits, so that two codes of a history are not the same by chance.
    #[allow(clippy::expect_used)]
    Seed::new(key, Algorithm::Sha1, 8, 30).expect("a sound seed")
}

/// How often each fault strikes: one in so many, 0 for never.
pub(super) fn rates(random: &mut Random, without: u64) -> Vec<usize> {
    // Some histories are rough, some nearly calm.
    let roughness = [12, 40, 150, 600][random.below(4)];
    Fault::ALL
        .iter()
        .map(|fault| {
            let scale = 1 + random.below(4);
            let never = random.one_in(3);
            if never || without & fault.bit() != 0 { 0 } else { roughness * scale }
        })
        .collect()
}
