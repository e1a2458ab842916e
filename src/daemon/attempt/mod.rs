//! One attempt: the state machine is asked, and what it answers is performed.

mod acts;
mod drive;
mod mend;
mod person;
mod prove;
mod record;
mod rehearse;
mod tell;
mod trial;

pub use mend::DeviceHas;
pub(super) use person::Recorders;
pub use person::{Recorded, Recorder, Turned};
pub(super) use tell::event_of_interrupted;
pub use trial::{Trial, Tried};

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex as Plain, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use super::admission::Admission;
use super::core::Core;
use super::escrow;
use super::limits::{Holder, Leases, Work};
use super::metrics::WaitsOn;
use super::scheduler::under_way;
use super::slots::{Slot, Urgency};
use crate::audit::Draft;
use crate::clock::Waiting;
use crate::config::{Account, Config};
use crate::dialogue::Values;
use crate::executor::{DeviceError, GivenSecrets, Observer, Person, SessionSlot, Stored, base_values, seed_of};
use crate::model::{
    AccountName, Actor, AttemptKind, Candidate, EventKind, FailureCause, Masker, Moment, Outcome, Secret, Step, Trigger,
};
use crate::policy::Breaker;
use crate::recording::Said;
use crate::rotation::{
    Doubt, End, Event, HelperRole, PATIENCE, PATIENCE_OF_MENDERS, Phase, Rotation, Which, daily_look,
};
use crate::template::Checked;
use crate::totp::SeedId;
use crate::vault::{Ledger, VaultError};

/// Somebody wants an account's password changed.
#[derive(Debug, Clone)]
pub struct Request {
    /// The account.
    pub account: AccountName,
    /// What is asked for.
    pub kind: AttemptKind,
    /// What asks.
    pub trigger: Trigger,
    /// Who asks; `None` for rotord itself.
    pub actor: Option<Actor>,
    /// The job that asks.
    pub job: Option<Arc<str>>,
    /// Why, in the words of who asks.
    pub reason: Option<String>,
    /// Accounts asked for together with this one: whoever asks sees to it that they change after their parents.
    pub beside: Arc<BTreeSet<AccountName>>,
}

impl Request {
    /// A request of rotord's own, for no job and without a reason.
    #[must_use]
    pub fn of(account: AccountName, trigger: Trigger) -> Self {
        let kind = match trigger {
            Trigger::Recovery => AttemptKind::Recover,
            Trigger::Reconcile => AttemptKind::Reconcile,
            _ => AttemptKind::Rotate,
        };
        Self { account, kind, trigger, actor: None, job: None, reason: None, beside: Arc::default() }
    }

    /// Whether nobody waits for it.
    fn is_by_itself(&self) -> bool {
        self.actor.is_none() && self.trigger != Trigger::Command
    }
}

/// How it ended.
#[derive(Debug, Clone)]
pub struct RotationResult {
    /// The account.
    pub account: AccountName,
    /// What it was for.
    pub kind: AttemptKind,
    /// How.
    pub outcome: Outcome,
    /// The attempt's id.
    pub attempt: String,
    /// In words.
    pub detail: String,
    /// What is not clean about it though it succeeded.
    pub warning: Option<String>,
    /// Whether a login of it proved the password that the account came to rest with.
    pub proved: bool,
    /// What happened.
    pub steps: Arc<[Step]>,
}

/// A step of an attempt, as it happens.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The attempt's id.
    pub attempt: Arc<str>,
    /// The account.
    pub account: AccountName,
    /// The step; with `ended`, how it ended in words.
    pub step: Step,
    /// Set on the last one of an attempt.
    pub ended: Option<Outcome>,
}

/// An attempt under way.
pub(super) struct Attempt {
    core: Arc<Core>,
    config: Arc<Config>,
    account: Arc<Account>,
    login: Arc<Account>,
    template: Arc<Checked>,
    request: Request,
    id: Arc<str>,
    started: i64,
    rotation: Mutex<Rotation>,
    candidate: Plain<Option<Candidate>>,
    /// Knows every password of this attempt: what a device says may hold one.
    masker: Plain<Masker>,
    steps: Plain<Vec<Step>>,
    detail: Plain<String>,
    /// What is not clean about the change, though a login may prove it.
    flaws: Plain<Vec<String>>,
    /// What is not clean about the attempt, at its end.
    warning: Plain<Option<String>>,
    cancelled: AtomicBool,
    /// Logins of this attempt that the device refused.
    refusals: AtomicU32,
    /// A person asked to look again at an account in quarantine: until a login is taken, codes of other time steps are tried.
    probing: AtomicBool,
    /// That its password is refused is no news: its vault was restored, or it was refused in the last look.
    restored: AtomicBool,
    /// The device said no in words to a login of this attempt.
    refused_in_words: AtomicBool,
    /// A login waits for a person each time.
    needs_person: AtomicBool,
    /// The candidate that it began with is one whose change had ended already: it was sent once and taken back.
    reverted: AtomicBool,
    /// What it failed of, where that decides what a person can do.
    failure: Plain<Option<FailureCause>>,
    /// There are steps that are not in the vault yet.
    unsaved: Notify,
    /// It is more than a request that waits in a line: from here on its steps are kept.
    begun: AtomicBool,
    /// Sessions that were waited for, for the next login.
    reserved: Reserved,
    /// It has looked at an account in quarantine, which stays there.
    is_look: AtomicBool,
    /// The stored password was found to be the device's, and nothing had been changed.
    kept: AtomicBool,
    /// A person who leads the dialogue in place of the template.
    person: Mutex<Option<Person>>,
    /// What was said with that person.
    said: Plain<Vec<Said>>,
    /// Nothing is changed: the run stops where it would send the new password.
    rehearses: bool,
    /// Secrets of an account that is being added, in place of what is stored.
    given: Option<GivenSecrets>,
    /// It has stopped there.
    stopped_short: AtomicBool,
    /// The stored password was refused, and one that was taken back is tried in its place.
    outdated: AtomicBool,
    /// The password that is in force was proved by the template's section verify, and by no login of its own.
    by_section: AtomicBool,
    /// A check proved a password.
    proved: AtomicBool,
    /// A rule that was kept at the first look stood against it at the second.
    turned_down: AtomicBool,
    /// When to go on by itself, where the outcome is not known.
    wake: Plain<Option<Moment>>,
}

/// What an attempt holds while it is at work.
pub(super) struct Room {
    _leases: Leases,
    _seeds: Vec<Slot>,
    reserved: Reserved,
}

/// Sessions for the next login of an attempt, which gives them back where it has to wait for a code.
type Reserved = Arc<Plain<Option<Vec<Slot>>>>;

impl Drop for Room {
    fn drop(&mut self) {
        // The login for which they were is not made.
        lock(&self.reserved).take();
    }
}

fn lock<T>(mutex: &Plain<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fresh id: the time and 32 random bits.
fn new_id(core: &Core, wall_ms: i64) -> String {
    let mut bytes = [0u8; 4];
    // Without randomness the time alone tells attempts apart well enough; keys never come from here.
    let _ = (core.world.random)(&mut bytes);
    format!("{wall_ms:x}-{}", data_encoding::HEXLOWER.encode(&bytes))
}

/// When an attempt began, as its id tells, in milliseconds since 1970.
fn began(id: &str) -> Option<i64> {
    i64::from_str_radix(id.split_once('-')?.0, 16).ok()
}

/// A turn comes so much later at the most, for a rule that stands against it; a lockout budget takes 65 minutes. In milliseconds.
const LATEST_TURN_MS: i64 = 3_900_000;

impl Observer for Attempt {
    fn step(&self, text: String) {
        let text = self.masked(text);
        let step = Step { at: self.core.clock.now().wall_ms, text };
        let (account, device) = (&self.account.name, &self.account.device.name);
        tracing::debug!(%account, %device, attempt = %self.id, "{account}: {}", step.text);
        if self.core.progress.receiver_count() > 0 {
            let (attempt, account) = (self.id.clone(), self.account.name.clone());
            let progress = Progress { attempt, account, step: step.clone(), ended: None };
            drop(self.core.progress.send(progress));
        }
        lock(&self.steps).push(step);
        self.unsaved.notify_one();
    }

    fn leaves(&self, secret: &Secret) {
        lock(&self.masker).add(secret);
    }

    fn learn(&self, known: &Masker) -> Masker {
        let mut all = lock(&self.masker);
        all.add_all(known);
        all.clone()
    }

    fn entered(&self) {
        self.probing.store(false, Ordering::SeqCst);
    }

    fn logged_in(&self) -> Waiting<'_, Result<(), String>> {
        Box::pin(async {
            if self.rehearses {
                return Ok(());
            }
            self.feed(Event::LoggedIn).await.map(drop)
        })
    }

    fn commit_point(&self) -> Waiting<'_, Result<(), DeviceError>> {
        Box::pin(async {
            if self.rehearses {
                self.stopped_short.store(true, Ordering::SeqCst);
                self.step("commit point: stopped here; the new password was not sent".into());
                return Err(DeviceError::NotCommitted("a rehearsal ends at the commit point".into()));
            }
            self.feed(Event::AtCommitPoint).await.map_err(DeviceError::NotCommitted)?;
            self.step("commit point: the new password is in the vault and leaves now".into());
            Ok(())
        })
    }

    fn flaw(&self, why: &str) {
        self.say(format!("the login works, but {why}"));
        self.note_flaw(why);
    }

    fn may_help<'a>(&'a self, account: &'a Account, role: HelperRole) -> Waiting<'a, Result<(), DeviceError>> {
        Box::pin(self.core.may_help(account, role))
    }

    fn try_slot(&self) -> Option<SessionSlot> {
        let devices = self.config.way_to(&self.account.device);
        let reserved = lock(&self.reserved).take();
        reserved.or_else(|| self.core.limits.try_sessions(&devices, self.urgency())).map(SessionSlot::new)
    }

    fn slot(&self) -> Waiting<'_, SessionSlot> {
        Box::pin(async { SessionSlot::new(self.sessions().await) })
    }

    fn may_connect(&self) -> Result<(), DeviceError> {
        self.held_back(Breaker::may_try)
    }

    fn given_up(&self) -> Waiting<'_, ()> {
        Box::pin(self.core.stopped())
    }

    fn cancelled(&self) -> Waiting<'_, ()> {
        Box::pin(async {
            if self.rehearses {
                std::future::pending::<()>().await;
            }
            self.cancelled_before_commit().await;
        })
    }
}

impl Core {
    /// A fresh id for an attempt, or for a request that is put on record like one.
    #[must_use]
    pub fn fresh_id(&self) -> String {
        new_id(self, self.clock.now().wall_ms)
    }

    /// Changes an account's password, or says why not. Returns when the outcome is known or has to wait.
    pub async fn rotate(self: &Arc<Self>, request: Request) -> RotationResult {
        let config = self.config();
        let Some(account) = config.accounts.get(&request.account).cloned() else {
            return unknown_account(&request);
        };
        let attempt = Attempt::new(self, config, account, request);
        let waits = self.metrics.waits(WaitsOn::Account);
        let hold = match self.limits.hold_to_change(&attempt.holder(), |other| attempt.wait_for_look(other)).await {
            Ok(hold) => hold,
            Err(other) => return attempt.refuse(other.told(), false).await,
        };
        drop(waits);
        let result = Box::pin(attempt.keeping_steps(attempt.run())).await;
        hold.release(&result);
        self.follow(&attempt, &result).await;
        result
    }

    /// Puts on record that a request is not carried out, and why.
    pub async fn refuse(self: &Arc<Self>, request: Request, why: String) -> RotationResult {
        let config = self.config();
        let Some(account) = config.accounts.get(&request.account).cloned() else {
            return unknown_account(&request);
        };
        Attempt::new(self, config, account, request).refuse(why, true).await
    }

    /// Where an attempt has changed its account, starts the rotations of those that change after it.
    async fn follow(self: &Arc<Self>, attempt: &Attempt, result: &RotationResult) {
        if result.outcome == Outcome::Done && !attempt.kept.load(Ordering::SeqCst) {
            self.rotate_children(&result.account, &attempt.request.beside).await;
        }
    }

    /// Starts the rotations of the accounts that change after this one, but for those that change `beside` it.
    async fn rotate_children(self: &Arc<Self>, parent: &AccountName, beside: &BTreeSet<AccountName>) {
        let config = self.config();
        let children: Vec<AccountName> =
            config.followers_of(parent).iter().filter(|child| !beside.contains(child)).cloned().collect();
        if children.is_empty() {
            return;
        }
        let (theirs, now) = (children.clone(), self.clock.now());
        if let Err(error) = self.vault.call(move |tx| under_way(tx, &theirs, &now)).await {
            tracing::error!(account = %parent, %error, "{parent}: the accounts that change after it may be forgotten by a restart: {error}");
        }
        for child in children {
            let reason = Some(format!("{parent} was changed"));
            let request = Request { reason, ..Request::of(child, Trigger::Parent) };
            self.spawn_rotation(request);
        }
    }

    /// Where an account's rotation stands; `None` where nothing of it was ever stored.
    pub(super) async fn phase(&self, account: &AccountName) -> Result<Option<Phase>, VaultError> {
        let name = account.clone();
        self.vault.call(move |tx| Ok(tx.account(&name)?.map(|row| row.phase))).await
    }

    /// Finds out, by logging in, which password an account holds whose change was interrupted, or whose password was refused.
    pub async fn recover(
        self: &Arc<Self>,
        account: &AccountName,
        trigger: Trigger,
        actor: Option<Actor>,
    ) -> Option<RotationResult> {
        self.find_out(Request { actor, ..Request::of(account.clone(), trigger) }, Event::Recover, |_| {}).await
    }

    /// The daily look at an account in quarantine: `number` tells which password it tries.
    pub(super) async fn look_again(self: &Arc<Self>, account: &AccountName, number: u32) {
        let (which, probing) = daily_look(number);
        let probes = |attempt: &Attempt| attempt.probing.store(probing, Ordering::SeqCst);
        drop(self.find_out(Request::of(account.clone(), Trigger::Recovery), Event::Look(which), probes).await);
    }

    async fn find_out(
        self: &Arc<Self>,
        request: Request,
        event: Event,
        prepare: impl FnOnce(&Attempt),
    ) -> Option<RotationResult> {
        let config = self.config();
        let account = config.accounts.get(&request.account).cloned()?;
        let attempt = Attempt::new(self, config, account, request);
        let hold = self.limits.hold(&attempt.holder(), Work::Changes)?;
        prepare(&attempt);
        let result = Box::pin(attempt.keeping_steps(attempt.find_out(event))).await;
        hold.release(&result);
        self.follow(&attempt, &result).await;
        Some(result)
    }
}

fn unknown_account(request: &Request) -> RotationResult {
    RotationResult {
        account: request.account.clone(),
        kind: request.kind,
        outcome: Outcome::Refused,
        attempt: String::new(),
        detail: "there is no such account in the config".into(),
        warning: None,
        proved: false,
        steps: Arc::default(),
    }
}

impl Attempt {
    fn new(core: &Arc<Core>, config: Arc<Config>, account: Arc<Account>, request: Request) -> Self {
        let reconciles = request.trigger == Trigger::Reconcile;
        let login = if reconciles { account.reconcile_as.clone() } else { None };
        let login = login.unwrap_or_else(|| config.login_account(&account));
        let login = config.accounts.get(&login).cloned().unwrap_or_else(|| account.clone());
        let template = account.template.reconcile().filter(|_| reconciles).unwrap_or(&account.template).clone();
        let started = core.clock.now().wall_ms;
        Self {
            core: core.clone(),
            config,
            account,
            login,
            template,
            request,
            id: new_id(core, started).into(),
            started,
            rotation: Mutex::new(Rotation::at(Phase::Idle)),
            candidate: Plain::default(),
            masker: Plain::default(),
            steps: Plain::default(),
            detail: Plain::default(),
            flaws: Plain::default(),
            warning: Plain::default(),
            cancelled: AtomicBool::new(false),
            refusals: AtomicU32::new(0),
            probing: AtomicBool::new(false),
            restored: AtomicBool::new(false),
            refused_in_words: AtomicBool::new(false),
            needs_person: AtomicBool::new(false),
            reverted: AtomicBool::new(false),
            failure: Plain::default(),
            unsaved: Notify::new(),
            begun: AtomicBool::new(false),
            reserved: Reserved::default(),
            is_look: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            person: Mutex::new(None),
            said: Plain::default(),
            rehearses: false,
            given: None,
            stopped_short: AtomicBool::new(false),
            outdated: AtomicBool::new(false),
            by_section: AtomicBool::new(false),
            proved: AtomicBool::new(false),
            turned_down: AtomicBool::new(false),
            wake: Plain::default(),
        }
    }

    fn draft(&self, event: EventKind) -> Draft {
        Draft {
            event,
            account: Some(self.account.name.clone()),
            device: Some(self.account.device.name.clone()),
            job: self.request.job.clone(),
            trigger: Some(self.request.trigger),
            actor: self.request.actor.clone(),
            reason: self.request.reason.as_ref().map(|reason| self.masked(reason.clone())),
            attempt: Some(self.id.clone()),
            outcome: None,
            detail: None,
        }
    }

    /// This attempt, as others that want its account hear of it.
    fn holder(&self) -> Holder {
        Holder { account: self.account.name.clone(), kind: self.request.kind, attempt: self.id.clone() }
    }

    /// Says that this attempt waits for another one of its account, which changes nothing.
    fn wait_for_look(&self, other: &Holder) {
        self.step(format!("waiting: {}", other.told()));
    }

    fn say(&self, detail: impl Into<String>) {
        let detail = self.masked(detail);
        self.step(detail.clone());
        *lock(&self.detail) = detail;
    }

    /// Something is not clean about the change that is under way.
    fn note_flaw(&self, flaw: &str) {
        let flaw = lock(&self.masker).mask(flaw);
        let mut flaws = lock(&self.flaws);
        if !flaws.contains(&flaw) {
            flaws.push(flaw);
        }
    }

    /// The same, where the template, or what stands for it, broke off behind the commit point.
    fn note_broken_run(&self, why: &str) {
        self.note_flaw(&format!("the configuration may not be saved: {why}"));
    }

    /// What is not clean about a change that was proved.
    fn unclean(&self) -> Option<String> {
        let flaws = lock(&self.flaws);
        (!flaws.is_empty()).then(|| format!("changed and proved; {}", flaws.join("; ")))
    }

    /// A text without any secret of this attempt, as it may go on record.
    pub(super) fn masked(&self, text: impl Into<String>) -> String {
        lock(&self.masker).mask(text)
    }

    /// Takes note of the secrets that this attempt may send.
    fn learn(&self, values: &Values, stored: &Stored, login: &Stored) {
        let mut all = lock(&self.masker);
        all.add_all(&stored.masker(values));
        all.add_all(&login.masker(&Values::default()));
        [self.account.device.name.as_str(), self.login.name.user()].into_iter().for_each(|name| all.leave(name));
    }

    fn set_candidate(&self, candidate: Option<Candidate>) {
        if let Some(candidate) = &candidate {
            lock(&self.masker).add(candidate.secret());
        }
        *lock(&self.candidate) = candidate;
    }

    async fn run(&self) -> RotationResult {
        match self.admission().await {
            Ok(Admission::Admitted) => {
                if let Err(error) = self.held_back(Breaker::may_begin) {
                    self.note_failed_login(&error).await;
                    return self.end(Outcome::Failed, error.to_string(), EventKind::RotationFailed).await;
                }
            }
            Ok(Admission::Refused(why)) => return self.refuse(why, true).await,
            Ok(Admission::Later(_, why, free_in_ms)) => {
                self.comes_later(free_in_ms);
                return self.refuse(why, true).await;
            }
            Ok(Admission::Quarantined(why)) => {
                let name = &self.account.name;
                let detail = format!(
                    "quarantined, a person is needed first: 'rotorctl explain {name}' says what to do; its last error: {why}"
                );
                return self.end(Outcome::Unknown, detail, EventKind::RotationRefused).await;
            }
            Ok(Admission::NotNow(why)) => return self.end(Outcome::Failed, why, EventKind::RotationFailed).await,
            Ok(Admission::Recover) => return self.find_out(Event::Recover).await,
            Err(error) => {
                return self.end(Outcome::Failed, error.to_string(), EventKind::RotationFailed).await;
            }
        }
        self.change(Phase::Idle).await
    }

    /// A turn that a rule stands against comes once that is over, where it is not for long and the job's window is open then. The
    /// one of each day would fall upon the change of the day before, which was made some seconds behind its turn.
    fn comes_later(&self, free_in_ms: i64) {
        let at = self.core.clock.now().plus_ms(free_in_ms);
        let job = self.request.job.as_ref().and_then(|job| self.config.jobs.get(&**job));
        let is_open = job.is_none_or(|job| job.first_open(at.wall_ms, &self.config) == at.wall_ms);
        if self.request.trigger.is_unasked() && free_in_ms <= LATEST_TURN_MS && is_open {
            *lock(&self.wake) = Some(at);
        }
    }

    /// Changes the password, from an account at rest or, through the reconcile account, from one in quarantine.
    async fn change(&self, from: Phase) -> RotationResult {
        let Some(_room) = self.room().await else {
            // What nobody waits for is gone on with after the start.
            return self.refuse("the daemon is stopping".into(), !self.request.trigger.is_unasked()).await;
        };
        // What could be said before anything happens is said before anything happens.
        if let Err(why) = self.prepare().await {
            return self.end(Outcome::Failed, why, EventKind::RotationFailed).await;
        }
        *self.rotation.lock().await = self.at(from);
        let end = self.drive(Event::Begin).await;
        let phase = self.rotation.lock().await.phase();
        let sent = matches!(phase, Phase::Sent | Phase::Verifying | Phase::Uncertain(_));
        self.finish_unless_turned_down(end, sent).await
    }

    /// `sent` tells whether this attempt had sent a new password when it was turned down, if it was.
    async fn finish_unless_turned_down(&self, end: End, sent: bool) -> RotationResult {
        if !self.turned_down.load(Ordering::SeqCst) {
            return self.finish(end).await;
        }
        let why = lock(&self.detail).clone();
        if !sent {
            return self.refuse(why, true).await;
        }
        let why = format!(
            "{why}; the new password had been sent: where the stored one is refused, 'rotorctl secret show {} --history' has it",
            self.account.name
        );
        self.end(Outcome::Unknown, why, EventKind::RotationUnknown).await
    }

    /// The state machine in this phase, for this account and who asks.
    fn at(&self, phase: Phase) -> Rotation {
        let patience = if self.account.mends_itself() { PATIENCE_OF_MENDERS } else { PATIENCE };
        Rotation::at(phase).patient(patience).thorough(self.request.trigger == Trigger::Command)
    }

    /// Finds out which password the account has, as the event has it.
    async fn find_out(&self, event: Event) -> RotationResult {
        let name = self.account.name.clone();
        let found = self.core.vault.call(move |tx| {
            let candidate = tx.candidate(&name)?;
            let has_candidate = candidate.is_some();
            let candidate = if has_candidate { candidate } else { tx.taken_back(&name)? };
            Ok((tx.account(&name)?, candidate, has_candidate))
        });
        let phase = match found.await {
            Ok((Some(row), candidate, has_candidate)) => {
                self.set_candidate(candidate);
                if let Some(flaw) = &row.flaw {
                    self.note_flaw(flaw);
                }
                let doubted = matches!(row.phase, Phase::Uncertain(Doubt { likely: Which::Old, .. }));
                let is_news = !(doubted && row.attempt.is_none() || row.phase.expects_refusal());
                self.restored.store(!is_news, Ordering::SeqCst);
                self.reverted.store(row.candidate_was_reverted() || !has_candidate, Ordering::SeqCst);
                row.phase
            }
            Ok((None, ..)) => Phase::Idle,
            Err(error) => {
                return self.end(Outcome::Unknown, error.to_string(), EventKind::RotationUnknown).await;
            }
        };
        let event = match event {
            Event::Look(Which::New) if lock(&self.candidate).is_none() => Event::Look(Which::Old),
            event => event,
        };
        *self.rotation.lock().await = self.at(phase);
        let logs_in = !matches!(phase, Phase::Idle | Phase::Prepared | Phase::Changing | Phase::Mending);
        // What is in doubt does not stand in line with those that wait for a code of its seed to begin.
        let room = if logs_in { self.unless_stopping(self.room_to_look()).await } else { None };
        if logs_in && room.is_none() {
            self.say("the daemon is stopping; which password it has is found out after the next start");
            let end = self.stranded().await;
            return self.finish_unless_turned_down(end, false).await;
        }
        self.begun.store(true, Ordering::SeqCst);
        if !logs_in {
            *lock(&self.detail) = "interrupted before the new password was sent".into();
        }
        // A password that was refused before may have been for its code, or for the clock by which that was made.
        if event == Event::Recover {
            self.probing.store(phase.probes(), Ordering::SeqCst);
        }
        if matches!(phase, Phase::Sent | Phase::Verifying) {
            self.let_the_device_finish().await;
        }
        if event == Event::GiveUp {
            *lock(&self.detail) =
                "the device took none of its passwords, and its reconcile account is asked for".into();
        }
        let end = self.drive(event).await;
        self.is_look.store(phase == Phase::Quarantined, Ordering::SeqCst);
        if phase == Phase::Quarantined && end == End::Quarantined && !self.turned_down.load(Ordering::SeqCst) {
            // It is where it was: no transition has put this look on record.
            let why = lock(&self.detail).clone();
            let why = self.quarantined(&why).await;
            return self.close(Outcome::Unknown, why, Some(EventKind::RotationUnknown)).await;
        }
        self.finish_unless_turned_down(end, false).await
    }

    /// A device whose connection was cut in the middle of a change may be at it still: looked at too soon, it would
    /// refuse the new password, and then the old one.
    pub(super) async fn let_the_device_finish(&self) {
        self.core.clock.sleep(Duration::from_secs(2)).await;
    }

    /// Waits until there is room for this attempt beside the others: its passwords are left alone, and there are seeds and sessions
    /// for it. Given back when dropped; none where the daemon stops meanwhile.
    pub(super) async fn room(&self) -> Option<Room> {
        self.unless_stopping(async {
            let waits = self.core.metrics.waits(WaitsOn::Password);
            let leases = self.leases().await;
            drop(waits);
            let waits = self.core.metrics.waits(WaitsOn::Seed);
            let waiting = |ahead: usize| {
                self.step(format!("waiting: others that share its TOTP seed are at work: {ahead} ahead"));
            };
            let seeds = self.core.limits.seeds(self.seeds().await, waiting).await;
            drop(waits);
            self.room_with(leases, seeds).await
        })
        .await
    }

    /// Room to log in and to find out which password the account has.
    async fn room_to_look(&self) -> Room {
        self.room_with(self.leases().await, Vec::new()).await
    }

    /// What is begun comes soon to a session: it waits for one before.
    async fn room_with(&self, leases: Leases, seeds: Vec<Slot>) -> Room {
        let sessions = self.sessions().await;
        *lock(&self.reserved) = Some(sessions);
        Room { _leases: leases, _seeds: seeds, reserved: self.reserved.clone() }
    }

    async fn sessions(&self) -> Vec<Slot> {
        let devices = self.config.way_to(&self.account.device);
        let _waits = self.core.metrics.waits(WaitsOn::Session);
        self.core.limits.sessions(&devices, self.urgency(), |told| self.step(told)).await
    }

    /// What is waited for, unless the daemon stops before it comes.
    async fn unless_stopping<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.core.stopped() => None,
            came = wait => Some(came),
        }
    }

    /// The seeds of whose codes the logins of this attempt will be asked for.
    async fn seeds(&self) -> Vec<SeedId> {
        let both = BTreeSet::from([&self.account.name, &self.login.name]).into_iter();
        let codes = &self.core.guards.codes;
        let may_be_asked = |name: &&AccountName| [false, true].iter().any(|proves| codes.may_be_asked(name, *proves));
        let asked: Vec<_> = both.filter(may_be_asked).cloned().collect();
        let look = move |tx: &dyn Ledger| {
            let seeds = asked.iter().map(|name| Ok(seed_of(tx, name)?.map(|seed| seed.id())));
            seeds.filter_map(Result::transpose).collect()
        };
        // Where the vault fails now, it is said where the secrets are needed.
        self.core.vault.call(look).await.unwrap_or_default()
    }

    /// Whether its next session comes before those of others: a new password was sent, and nobody knows yet whether it is in force.
    fn urgency(&self) -> Urgency {
        let sent = |rotation: tokio::sync::MutexGuard<'_, Rotation>| {
            matches!(rotation.phase(), Phase::Sent | Phase::Verifying | Phase::Uncertain(_))
        };
        if self.rotation.try_lock().is_ok_and(sent) { Urgency::Sent } else { Urgency::Usual }
    }

    /// The right to use the passwords with which this attempt logs in, and to change that of its account.
    pub(super) async fn leases(&self) -> Leases {
        let mut used = self.config.jump_accounts(&self.account.device, self.login.name.user());
        used.extend(self.config.jump_accounts(&self.account.device, self.account.name.user()));
        used.push(self.login.name.clone());
        self.core.limits.leases(&self.account.name, &used, |told| self.step(told)).await
    }

    /// Makes the candidate, and checks that every tag of the template has a value.
    async fn prepare(&self) -> Result<(), String> {
        let own = escrow::folder_of(&self.config, &self.account.name);
        self.core.escrow_is_ready(&self.config, own).await?;
        let (name, login) = (self.account.name.clone(), self.login.name.clone());
        let found = self.core.vault.call(move |tx| Ok((tx.history(&name)?, Stored::of_both(tx, &name, &login)?)));
        let (former, (stored, login_stored)) = found.await.map_err(|error| error.to_string())?;
        let stored = GivenSecrets::or_stored(self.given.as_ref(), &self.account.name, stored);
        let login_stored = GivenSecrets::or_stored(self.given.as_ref(), &self.login.name, login_stored);
        let keep = self.account.policy.history.max(1);
        let former: Vec<Secret> = former.into_iter().take(keep + 1).map(|entry| entry.password).collect();
        let mut fill = |bytes: &mut [u8]| (self.core.world.random)(bytes);
        let limits = self.account.template.password_limits();
        let candidate = self
            .account
            .policy
            .password
            .generate(self.account.name.user(), &former, &|text| limits.takes(text), &mut fill)
            .map_err(|error| error.to_string())?;
        self.set_candidate(Some(candidate));
        let values = self.values_of(&stored, &login_stored);
        self.learn(&values, &stored, &login_stored);
        values.check(&self.template).map_err(|error| error.to_string())
    }

    fn values_of(&self, stored: &Stored, login_stored: &Stored) -> Values {
        let mut values = base_values(&self.account, &self.login, stored, login_stored);
        if let Some(candidate) = &*lock(&self.candidate) {
            values.set("NEW_PASSWORD", candidate.secret().clone());
        }
        values
    }
}
