//! Accounts whose work is due stand in line as small records, and become tasks as there is room for them: due work takes memory
//! for its names alone, however much of it there is.
//!
//! Each device has a lane of its own, and lanes have their turn one after another, so that no device waits for another one's. A lane
//! goes on while its device, and each on the way to it, has fewer attempts than sessions and a few ahead.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attempt::Request;
use super::core::Core;
use crate::config::{Config, JobAction};
use crate::model::{AccountName, DeviceName, Trigger};
use crate::rotation::Turn;

/// Attempts of a device that are begun beyond its sessions: each has its facts at hand when a session comes free.
const AHEAD: usize = 2;
/// Attempts that are begun at once, at the least: some wait for the code of a seed that others use, and take no session meanwhile.
pub(super) const AT_ONCE: usize = 1024;

/// Why the work of an account is due.
#[derive(Debug, Clone)]
pub(super) enum Due {
    /// Its job has fired.
    Fired {
        /// The job.
        job: Arc<str>,
        /// What the job does.
        action: JobAction,
        /// What made it fire.
        trigger: Trigger,
    },
    /// Its time has come.
    Turn(Turn),
    /// The account was changed after which it changes.
    After(AccountName),
}

impl Due {
    /// Whether it may come to change the account.
    fn changes(&self) -> bool {
        !matches!(self, Self::Fired { action: JobAction::Verify, .. })
    }
}

/// An account in line.
#[derive(Debug)]
struct Entry {
    account: AccountName,
    due: Due,
    /// When it joined the line, in milliseconds since 1970.
    since: i64,
    /// It was in line already, or at work from it: this one is refused when its turn comes.
    again: bool,
}

/// What was begun, until it has ended.
#[derive(Debug)]
struct Begun {
    entry: Entry,
    /// Its device and those on the way.
    way: Vec<DeviceName>,
}

#[derive(Debug, Default)]
struct Lanes {
    /// Those who wait, by device.
    waiting: BTreeMap<DeviceName, VecDeque<Entry>>,
    /// The lanes to be looked at, in the order of their turns.
    ready: VecDeque<DeviceName>,
    /// The lanes that wait for room, by the device that has none.
    blocked: HashMap<DeviceName, VecDeque<DeviceName>>,
    /// What was begun, by device.
    used: HashMap<DeviceName, usize>,
    /// The accounts that may come to be changed, in line or begun.
    changing: HashSet<AccountName>,
    begun: usize,
}

/// Whether a device has room for one more.
fn has_room(used: &HashMap<DeviceName, usize>, config: &Config, device: &DeviceName) -> bool {
    let most = config.devices.get(device).map_or(1, |device| device.max_sessions);
    used.get(device).is_none_or(|used| *used < most + AHEAD)
}

impl Lanes {
    /// Joins the line, and tells whether it does: what is due by time alone does so once.
    fn join(&mut self, account: AccountName, due: Due, since: i64) {
        let again = due.changes() && !self.changing.insert(account.clone());
        if again && matches!(due, Due::Turn(_)) {
            return;
        }
        let device = account.device();
        let lane = self.waiting.entry(device.clone()).or_insert_with(|| {
            self.ready.push_back(device);
            VecDeque::new()
        });
        lane.push_back(Entry { account, due, since, again });
    }

    /// The next one that there is room for.
    fn begin(&mut self, config: &Config) -> Option<Begun> {
        while self.begun < AT_ONCE.max(2 * config.daemon.max_concurrent) {
            let device = self.ready.pop_front()?;
            let way = match config.devices.get(&device) {
                Some(known) => config.way_to(known).iter().map(|device| device.name.clone()).collect(),
                None => vec![device.clone()],
            };
            if let Some(full) = way.iter().find(|device| !has_room(&self.used, config, device)) {
                self.pass_on(&way, full, config);
                self.blocked.entry(full.clone()).or_default().push_back(device);
                continue;
            }
            let Some(lane) = self.waiting.get_mut(&device) else { continue };
            let next = lane.pop_front();
            if lane.is_empty() {
                self.waiting.remove(&device);
            } else {
                self.ready.push_back(device);
            }
            let Some(entry) = next else { continue };
            self.begun += 1;
            for device in &way {
                *self.used.entry(device.clone()).or_default() += 1;
            }
            return Some(Begun { entry, way });
        }
        None
    }

    /// A lane waits for room at a device: what it leaves unused elsewhere on its way is for another lane.
    fn pass_on(&mut self, way: &[DeviceName], full: &DeviceName, config: &Config) {
        for device in way.iter().filter(|device| *device != full) {
            if has_room(&self.used, config, device) {
                self.wake_one(device);
            }
        }
    }

    fn wake_one(&mut self, device: &DeviceName) {
        let Some(blocked) = self.blocked.get_mut(device) else { return };
        self.ready.extend(blocked.pop_front());
        if blocked.is_empty() {
            self.blocked.remove(device);
        }
    }

    /// What was begun has ended.
    fn end(&mut self, begun: &Begun) {
        self.begun -= 1;
        for device in &begun.way {
            if let Some(used) = self.used.get_mut(device) {
                *used -= 1;
                if *used == 0 {
                    self.used.remove(device);
                }
            }
            self.wake_one(device);
        }
        if begun.entry.due.changes() && !begun.entry.again {
            self.changing.remove(&begun.entry.account);
        }
    }

    fn clear(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for entry in waiting.into_values().flatten().filter(|entry| entry.due.changes() && !entry.again) {
            self.changing.remove(&entry.account);
        }
        self.ready.clear();
        self.blocked.clear();
    }
}

/// All accounts whose work is due and not done.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Lanes>);

impl Line {
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the account stands in line to be changed, or was begun from it.
    pub(super) fn has(&self, account: &AccountName) -> bool {
        self.lock().changing.contains(account)
    }

    /// How many are in line before the account's device has its next turn; `None` where it is not in line.
    pub(super) fn ahead(&self, account: &AccountName) -> Option<usize> {
        let lanes = self.lock();
        let lane = lanes.waiting.get(account.device_str())?;
        lane.iter().position(|entry| entry.account == *account)
    }
}

/// Ends when dropped: a crash of the simulator's drops tasks where they stand.
struct Running {
    core: Arc<Core>,
    begun: Begun,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.core.line.lock().end(&self.begun);
    }
}

impl Core {
    /// Accounts join the line; each is begun as there is room for it.
    pub(super) fn line_up(self: &Arc<Self>, all: impl IntoIterator<Item = (AccountName, Due)>) {
        let since = self.clock.now().wall_ms;
        {
            let mut lanes = self.line.lock();
            all.into_iter().for_each(|(account, due)| lanes.join(account, due, since));
        }
        self.begin_due();
    }

    /// Begins what there is room for. What is in line when the daemon stops is gone on with after its start, as its wake has it.
    fn begin_due(self: &Arc<Self>) {
        let config = self.config();
        loop {
            if self.is_stopping() {
                return self.line.lock().clear();
            }
            let Some(begun) = self.line.lock().begin(&config) else { return };
            let running = Running { core: self.clone(), begun };
            self.spawn(async move {
                let core = running.core.clone();
                core.carry_out(&running.begun.entry).await;
                drop(running);
                core.begin_due();
            });
        }
    }

    async fn carry_out(self: &Arc<Self>, entry: &Entry) {
        let account = entry.account.clone();
        match &entry.due {
            Due::Fired { job, action: JobAction::Verify, .. } => {
                self.verify_for_job(account, job.clone(), entry.since).await;
            }
            Due::Fired { job, trigger, .. } => {
                let reason = (*trigger == Trigger::Schedule).then(|| format!("job {job}"));
                self.change_in_turn(
                    entry,
                    Request { job: Some(job.clone()), reason, ..Request::of(account, *trigger) },
                )
                .await;
            }
            Due::After(parent) => {
                let reason = Some(format!("{parent} was changed"));
                self.change_in_turn(entry, Request { reason, ..Request::of(account, Trigger::Parent) }).await;
            }
            Due::Turn(Turn::Try(number)) => {
                let reason = Some(format!("try {number}"));
                self.change_in_turn(entry, Request { reason, ..Request::of(account, Trigger::Schedule) }).await;
            }
            Due::Turn(Turn::Look(number)) => self.look_again(&account, *number).await,
            Due::Turn(Turn::Reconcile) => drop(self.reconcile(&account, None, Some("by itself".into())).await),
            Due::Turn(Turn::Recover) => drop(self.recover(&account, Trigger::Recovery, None).await),
        }
    }

    async fn change_in_turn(self: &Arc<Self>, entry: &Entry, request: Request) {
        if entry.again {
            let why = format!("a change of {} was due already, and stood in line", request.account);
            drop(self.refuse_another(request, why).await);
        } else {
            drop(self.rotate(request).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AccountName {
        AccountName::parse(text).unwrap()
    }

    fn config(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let templates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/linux");
        let text = format!(
            "[daemon]\nstate_dir = \"state\"\nsocket = \"socket\"\ntemplate_dirs = [\"{}\"]\n[vault]\nkey_file = \"key\"\n{text}",
            templates.display()
        );
        std::fs::write(folder.path().join("rotord.toml"), text).unwrap();
        let (config, problems) = Config::load(&folder.path().join("rotord.toml"));
        config.unwrap_or_else(|| panic!("{problems:?}"))
    }

    fn device(name: &str, more: &str) -> String {
        let key = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        format!(
            "[device.{name}]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\nhost_key = [\"{key}\"]\n{more}\n"
        )
    }

    fn fired() -> Due {
        Due::Fired { job: "night".into(), action: JobAction::Rotate, trigger: Trigger::Schedule }
    }

    /// Begins all that there is room for.
    fn all(lanes: &mut Lanes, config: &Config) -> Vec<Begun> {
        std::iter::from_fn(|| lanes.begin(config)).collect()
    }

    fn told(begun: &[Begun]) -> Vec<&str> {
        begun.iter().map(|begun| begun.entry.account.as_str()).collect()
    }

    #[test]
    fn a_device_that_is_slow_holds_up_no_other_and_each_has_its_turn() {
        let config = config(&[device("slow", ""), device("quick", "max_sessions = 2")].concat());
        let mut lanes = Lanes::default();
        for at in 0..10_000 {
            lanes.join(name(&format!("slow/u{at}")), fired(), 0);
        }
        (0..5).for_each(|at| lanes.join(name(&format!("quick/u{at}")), fired(), 0));
        let begun = all(&mut lanes, &config);
        let expected = ["slow/u0", "quick/u0", "slow/u1", "quick/u1", "slow/u2", "quick/u2", "quick/u3"];
        assert_eq!(told(&begun), expected, "one session and two ahead; two sessions and two ahead");
        lanes.end(&begun[1]);
        assert_eq!(told(&all(&mut lanes, &config)), ["quick/u4"]);
        lanes.end(&begun[0]);
        assert_eq!(told(&all(&mut lanes, &config)), ["slow/u3"], "in the order of those who wait");
    }

    #[test]
    fn what_waits_for_a_jump_host_leaves_room_to_others_and_is_never_forgotten() {
        let gateway = format!("{}[account.\"gate/hop\"]\n", device("gate", "max_sessions = 3"));
        let behind: String = (0..20).map(|at| device(&format!("far{at:02}"), "jump = \"gate\"")).collect();
        let config = config(&[gateway, behind, device("near", "")].concat());
        let mut lanes = Lanes::default();
        for at in 0..20 {
            (0..5).for_each(|user| lanes.join(name(&format!("far{at:02}/u{user}")), fired(), 0));
        }
        lanes.join(name("gate/hop"), fired(), 0);
        lanes.join(name("near/u"), fired(), 0);
        let mut begun: VecDeque<Begun> = all(&mut lanes, &config).into();
        assert_eq!(begun.len(), 3 + AHEAD + 1, "{begun:?}");
        assert!(told(begun.make_contiguous()).contains(&"near/u"));
        let mut ended = 0;
        while let Some(one) = begun.pop_front() {
            lanes.end(&one);
            ended += 1;
            begun.extend(all(&mut lanes, &config));
            let at_gate = begun.iter().filter(|one| one.way.iter().any(|device| device.as_str() == "gate")).count();
            assert!(at_gate <= 3 + AHEAD && (at_gate == 3 + AHEAD || begun.len() + ended == 102));
        }
        assert_eq!(ended, 102);
        let Lanes { waiting, ready, blocked, used, changing, begun } = lanes;
        assert!(waiting.is_empty() && ready.is_empty() && blocked.is_empty() && used.is_empty() && changing.is_empty());
        assert_eq!(begun, 0);
    }

    #[test]
    fn an_account_is_in_line_once_to_be_changed_and_what_fires_again_is_refused_in_its_turn() {
        let config = config(&device("web1", "max_sessions = 9"));
        let mut lanes = Lanes::default();
        let verify = Due::Fired { job: "look".into(), action: JobAction::Verify, trigger: Trigger::Schedule };
        lanes.join(name("web1/a"), verify, 0);
        lanes.join(name("web1/a"), fired(), 0);
        lanes.join(name("web1/a"), Due::Turn(Turn::Recover), 0);
        lanes.join(name("web1/a"), fired(), 0);
        let begun = all(&mut lanes, &config);
        assert_eq!(begun.iter().map(|begun| begun.entry.again).collect::<Vec<_>>(), [false, false, true]);
        lanes.end(&begun[2]);
        assert!(lanes.changing.contains(&name("web1/a")), "the first one is at work");
        lanes.end(&begun[1]);
        assert!(!lanes.changing.contains(&name("web1/a")));
    }

    #[test]
    fn so_many_are_begun_at_once_and_no_more_whatever_the_number_of_devices() {
        let devices: String = (0..600).map(|at| device(&format!("d{at}"), "")).collect();
        let config = config(&devices);
        let mut lanes = Lanes::default();
        (0..600).for_each(|at| (0..4).for_each(|user| lanes.join(name(&format!("d{at}/u{user}")), fired(), 0)));
        assert_eq!(all(&mut lanes, &config).len(), AT_ONCE);
        lanes.clear();
        assert_eq!(lanes.changing.len(), AT_ONCE, "what was begun goes on");
    }
}
