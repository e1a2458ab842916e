//! A shell on a terminal, and a template's dialogue carried through it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::connect::Session;
use super::connector::Shell;
use crate::clock::Clock;
use crate::dialogue::{Effect, Input, Refused, Run, Verdict, Whose, is_full, shown_prompt};
use crate::executor::error::DeviceError;
use crate::executor::guards::Guards;
use crate::executor::observer::Observer;
use crate::executor::risks::Risk;
use crate::model::{AccountName, Secret};
use crate::otp::{Aim, By, Issued, Miss, Sent, WaitsFor, took};
use crate::policy::Limit;
use crate::template::Section;
use crate::totp::Seed;
use crate::vault::Ledger;

/// The bound on opening the shell and on each write.
pub(super) const STEP_TIME: Duration = Duration::from_secs(15);

/// What a run needs besides its template.
pub(super) struct RunContext<'a> {
    /// Makes codes and keeps the budget.
    pub(super) on: &'a Guards,
    /// The account whose password changes, and how many logins of it may be refused.
    pub(super) account: (&'a AccountName, Limit),
    /// The account that logged in, likewise.
    pub(super) login: (&'a AccountName, Limit),
    /// The account's seed, or the login account's where it has none.
    pub(super) seed: Option<&'a Seed>,
    /// The login account's seed.
    pub(super) login_seed: Option<&'a Seed>,
    /// Told of every step and asked at the commit point.
    pub(super) observer: &'a dyn Observer,
    /// Set once the device has taken a password or a code in the session: a run in which it judged none proves none.
    pub(super) taken: &'a AtomicBool,
    /// What follows a run that fails, if the session still stands.
    pub(super) after: AfterFailure,
}

/// What runs in the same session after a run that failed.
#[derive(Default)]
pub(super) struct AfterFailure {
    /// `section abort`: where it failed before its commit point.
    pub(super) abort: Option<Run>,
    /// `section save`: where it failed after it.
    pub(super) save: Option<Run>,
}

impl AfterFailure {
    /// The section that follows, once.
    fn take(&mut self, committed: bool) -> Option<(Section, Run)> {
        let (section, run) =
            if committed { (Section::Save, &mut self.save) } else { (Section::Abort, &mut self.abort) };
        let run = run.take()?;
        *self = Self::default();
        Some((section, run))
    }
}

impl RunContext<'_> {
    /// Takes the risk of a secret that the device judges.
    pub(super) async fn take_risk(&self, whose: Whose) -> Result<Risk, DeviceError> {
        let (account, budget) = self.whose(whose);
        self.on.risks.take(account, budget).await
    }

    fn whose(&self, whose: Whose) -> (&AccountName, Limit) {
        match whose {
            Whose::Account => self.account,
            Whose::Login => self.login,
        }
    }

    /// The run that follows one that failed, in the same session, and its section.
    fn clear_up(&mut self, failed: &mut Run, committed: bool) -> Option<(Section, Run)> {
        let (section, mut run) = self.after.take(committed)?;
        let what = if section == Section::Save { "saving what may be changed" } else { "clearing up" };
        self.observer.step(format!("section {}: {what}", section.name()));
        run.clear_up_after(failed);
        Some((section, run))
    }
}

/// Opens a shell and runs a template in it.
///
/// # Errors
/// The shell did not open, or the vault failed. What the template met is in the verdict.
pub(super) async fn run_template(session: &Session, run: Run, context: RunContext<'_>) -> Result<Verdict, DeviceError> {
    let clock = context.on.clock();
    let shell = open_shell(session, clock).await?;
    let start = clock.now().since_boot_ms;
    let mut talk = Talk { session, shell, run, context, start, closed: false, failed: None, risk: None, sent: None };
    let mut effects = talk.input(Input::Start);
    loop {
        if let Some(verdict) = talk.carry_out(effects).await? {
            return Ok(verdict);
        }
        effects = talk.hear().await;
    }
}

/// A run's dialogue in a shell.
struct Talk<'a> {
    session: &'a Session,
    shell: Box<dyn Shell>,
    run: Run,
    context: RunContext<'a>,
    /// When it began, by the boot clock: nobody can set it, and a suspended host does not stretch a wait.
    start: i64,
    /// Whether the device ended the session.
    closed: bool,
    /// What failed, and the section that follows it.
    failed: Option<(Section, Result<Verdict, DeviceError>)>,
    /// The risk of a password or a code that the device has not judged yet.
    risk: Option<(Whose, Risk)>,
    /// The code that was sent last, where the device did not take it yet.
    sent: Option<Sent>,
}

/// What follows an effect.
enum Next {
    /// These, behind those that wait.
    GoOn(Vec<Effect>),
    /// These alone: another section's run begins.
    Instead(Vec<Effect>),
    /// The dialogue is over.
    Over(Verdict),
}

impl Talk<'_> {
    fn now(&self) -> i64 {
        self.context.on.clock().now().since_boot_ms - self.start
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Effect> {
        self.run.handle(self.now(), input)
    }

    /// What the device does next, or that the run's wait is over.
    async fn hear(&mut self) -> Vec<Effect> {
        let clock = self.context.on.clock();
        let deadline = self.run.deadline().map(|at| Duration::from_millis(u64::try_from(at - self.now()).unwrap_or(0)));
        let output = tokio::select! {
            biased;
            output = self.shell.output(), if !self.closed => Some(output),
            () = async { match deadline { Some(time) => clock.sleep(time).await, None => std::future::pending().await } } => None,
        };
        match output {
            None => self.input(Input::Tick),
            Some(Some(bytes)) => self.input(Input::Output(&bytes)),
            Some(None) => {
                self.closed = true;
                self.input(Input::Closed)
            }
        }
    }

    /// Carries out effects and what follows from them; the verdict, where that is the end.
    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<Option<Verdict>, DeviceError> {
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            match self.effect(effect).await? {
                Next::GoOn(more) => queue.extend(more),
                Next::Instead(effects) => queue = effects.into(),
                Next::Over(verdict) => return Ok(Some(verdict)),
            }
        }
        Ok(None)
    }

    async fn effect(&mut self, effect: Effect) -> Result<Next, DeviceError> {
        match effect {
            Effect::Step(text) => self.context.observer.step(text),
            Effect::Finished(verdict) => return self.finished(verdict).await,
            Effect::Send(secret) => self.send(secret).await,
            Effect::Reply(reply) => self.send(Secret::new(reply)).await,
            Effect::Risk(whose) => {
                // One that is still open is of the same line of questions.
                if self.risk.is_none() {
                    self.risk = Some((whose, self.context.take_risk(whose).await?));
                }
            }
            Effect::Accepted => self.accepted(),
            Effect::NeedCode(whose) => {
                let issued = code(whose, self.session, &self.context).await?;
                self.sent = Some(issued.sent);
                return Ok(Next::GoOn(self.input(Input::Code(issued.code))));
            }
            Effect::CommitPoint => return self.commit_point().await,
        }
        Ok(Next::GoOn(Vec::new()))
    }

    async fn send(&mut self, secret: Secret) {
        // A device that takes nothing in is found out by the wait that follows.
        let _ = self.context.on.clock().within(STEP_TIME, self.shell.send(secret)).await;
    }

    /// The run is over, or the section begins that follows its failure.
    async fn finished(&mut self, mut verdict: Verdict) -> Result<Next, DeviceError> {
        if let Verdict::Failed(failure) = &mut verdict {
            if self.closed
                && let Some(why) = self.session.link.hung_up()
            {
                failure.message = format!("{}; it hung up: {}", failure.message, shown_prompt(&why, 300));
            }
            if failure.answered
                && !self.closed
                && let Some((whose, risk)) = &self.risk
            {
                let code = self.sent.take();
                failure.refused = Some(Refused { whose: *whose, with_code: code.is_some() });
                let miss = code.map(|code| Miss { aim: aim(self.session), ahead: code.ahead, in_session: true });
                risk.refused(code.is_some(), miss).await;
            }
        }
        let committed = match &verdict {
            Verdict::Failed(failure) => Some(failure.committed),
            _ => None,
        };
        if let Some((section, effects)) = committed.and_then(|committed| self.clear_up(committed)) {
            self.failed = Some((section, Ok(verdict)));
            return Ok(Next::Instead(effects));
        }
        let verdict = match self.failed.take() {
            Some((section, failed)) => followed(failed, section, verdict, self.context.observer),
            None => no_room(verdict, self.closed, self.context.login.0),
        };
        verdict.map(Next::Over)
    }

    /// The first effects of the section that follows a failure, in the same session.
    fn clear_up(&mut self, committed: bool) -> Option<(Section, Vec<Effect>)> {
        if self.closed {
            return None;
        }
        let (section, next) = self.context.clear_up(&mut self.run, committed)?;
        self.run = next;
        Some((section, self.input(Input::Start)))
    }

    /// The device took what it was sent.
    fn accepted(&mut self) {
        let (aim, sent) = (aim(self.session), self.sent.take());
        let news = sent.filter(|_| aim.by != By::Known);
        let Some((whose, risk)) = self.risk.take() else { return };
        self.context.taken.store(true, Ordering::SeqCst);
        let account = self.context.whose(whose).0.clone();
        let with_code = sent.is_some();
        let noted = move |tx: &dyn Ledger| {
            // Some judge a password only once they have the code.
            if with_code {
                tx.login_was_taken(&account, true)?;
            }
            news.map_or(Ok(()), |code| took(tx, &aim, code, false).map(drop))
        };
        risk.worked_with(noted);
    }

    async fn commit_point(&mut self) -> Result<Next, DeviceError> {
        let Err(error) = self.context.observer.commit_point().await else {
            return Ok(Next::GoOn(self.input(Input::Committed)));
        };
        let Some((section, effects)) = self.clear_up(false) else { return Err(error) };
        self.failed = Some((section, Err(error)));
        Ok(Next::Instead(effects))
    }
}

/// What came of a run that failed and was followed by a section: how that went changes nothing about it, but that it may
/// have saved.
fn followed(
    failed: Result<Verdict, DeviceError>,
    section: Section,
    verdict: Verdict,
    observer: &dyn Observer,
) -> Result<Verdict, DeviceError> {
    match (failed, verdict) {
        (Ok(Verdict::Failed(mut failure)), Verdict::Ran { .. }) => {
            failure.saved = section == Section::Save;
            Ok(Verdict::Failed(failure))
        }
        (failed, Verdict::Failed(failure)) => {
            observer.step(format!("section {}: {}", section.name(), failure.message));
            failed
        }
        (failed, _) => failed,
    }
}

/// What came of a run. A device that closes the session before anything was typed in it has no room for it now, or does not
/// let this account have one: whatever it says, it says nothing of a password.
fn no_room(verdict: Verdict, closed: bool, login: &AccountName) -> Result<Verdict, DeviceError> {
    match verdict {
        Verdict::Failed(failure) if closed && !failure.typed => {
            let no_room = is_full(&failure.message);
            Err(DeviceError::NotNow { account: login.to_string(), why: failure.message, no_room })
        }
        other => Ok(other),
    }
}

pub(super) async fn open_shell(session: &Session, clock: &Clock) -> Result<Box<dyn Shell>, DeviceError> {
    let broken = |why: String| DeviceError::Broken {
        device: session.device.name.to_string(),
        when: "while its shell was opened",
        why,
    };
    match clock.within(STEP_TIME, session.link.shell()).await {
        Some(Ok(shell)) => Ok(shell),
        Some(Err(why)) => Err(broken(why)),
        None => Err(broken("no answer".into())),
    }
}

/// For what a code in a session is made.
fn aim(session: &Session) -> Aim {
    Aim { by: session.by, device: session.device.name.clone() }
}

pub(super) async fn code(whose: Whose, session: &Session, context: &RunContext<'_>) -> Result<Issued, DeviceError> {
    let seed = match whose {
        Whose::Account => context.seed,
        Whose::Login => context.login_seed,
    };
    let seed = seed.ok_or_else(|| DeviceError::NotCommitted("no TOTP seed is stored".into()))?;
    let waiting = |what: WaitsFor| context.observer.step(what.to_string());
    let issued = context.on.codes.issue(seed, &aim(session), None, waiting).await?;
    context.observer.leaves(&issued.code);
    Ok(issued)
}
