//! A shell on a terminal, and a template's dialogue carried through it.

use std::time::Duration;

use super::codes::Aim;
use super::error::DeviceError;
use super::risks::Risk;
use super::ssh::Session;
use super::{Transport, Watcher};
use crate::dialogue::{Effect, Input, Run, Verdict, Whose};
use crate::model::{AccountName, DeviceName, Secret};
use crate::policy::Limit;
use crate::totp::Seed;

/// The bound on opening the shell and on each write.
const STEP_TIME: Duration = Duration::from_secs(15);

/// What a run needs besides its template.
pub struct RunContext<'a, W: Watcher> {
    /// Makes codes and keeps the budget.
    pub on: &'a Transport,
    /// The account whose password changes, and how many logins of it may be refused.
    pub account: (&'a AccountName, Limit),
    /// The account that logged in, likewise.
    pub login: (&'a AccountName, Limit),
    /// The account's seed, or the login account's where it has none.
    pub seed: Option<&'a Seed>,
    /// The login account's seed.
    pub login_seed: Option<&'a Seed>,
    /// Told of every step and asked at the commit point.
    pub watcher: &'a W,
    /// What clears up where the run fails before its commit point, if the session still stands.
    pub abort: Option<Run>,
}

/// Opens a shell and runs a template in it.
///
/// # Errors
/// The shell did not open, or the vault failed. What the template met is in the verdict.
pub async fn run_template<W: Watcher>(
    session: &Session,
    mut run: Run,
    mut context: RunContext<'_, W>,
) -> Result<Verdict, DeviceError> {
    let broken = |why: String| DeviceError::Broken {
        device: session.device.name.to_string(),
        when: "while its shell was opened",
        why,
    };
    let clock = context.on.codes.clock();
    let mut shell = match clock.within(STEP_TIME, session.link.shell()).await {
        Some(Ok(shell)) => shell,
        Some(Err(why)) => return Err(broken(why)),
        None => return Err(broken("no answer".into())),
    };
    // The boot clock: nobody can set it, and a suspended host does not stretch a wait.
    let start = clock.now().since_boot_ms;
    let now = || clock.now().since_boot_ms - start;
    let mut effects = run.handle(now(), Input::Start);
    let mut closed = false;
    let mut failed: Option<Result<Verdict, DeviceError>> = None;
    let mut risk: Option<Risk> = None;
    loop {
        let mut queue = std::collections::VecDeque::from(std::mem::take(&mut effects));
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Step(text) => context.watcher.step(text),
                Effect::Finished(verdict) => {
                    let clears_up = matches!(&verdict, Verdict::Failed(failure) if !failure.committed) && !closed;
                    let Some(abort) = context.abort.take().filter(|_| clears_up) else {
                        // How clearing up went changes nothing about what it followed.
                        return failed.unwrap_or(Ok(verdict));
                    };
                    context.watcher.step("section abort: clearing up".into());
                    failed = Some(Ok(verdict));
                    run = abort;
                    queue = run.handle(now(), Input::Start).into();
                }
                Effect::Send(secret) => {
                    // A device that takes nothing in is found out by the wait that follows.
                    let _ = clock.within(STEP_TIME, shell.send(secret)).await;
                }
                Effect::Risk(whose) => {
                    let (account, budget) = match whose {
                        Whose::Account => context.account,
                        Whose::Login => context.login,
                    };
                    // One that is still open is of the same line of questions.
                    if risk.is_none() {
                        risk = Some(context.on.risks.take(account, budget).await?);
                    }
                }
                Effect::Accepted => {
                    if let Some(risk) = risk.take() {
                        risk.worked().await;
                    }
                }
                Effect::NeedCode(whose) => {
                    let code = code(whose, &session.device.name, &context).await?;
                    queue.extend(run.handle(now(), Input::Code(code)));
                }
                Effect::CommitPoint => match context.watcher.commit_point().await {
                    Ok(()) => queue.extend(run.handle(now(), Input::Committed)),
                    Err(error) => {
                        let Some(abort) = context.abort.take().filter(|_| !closed) else { return Err(error) };
                        context.watcher.step("section abort: clearing up".into());
                        failed = Some(Err(error));
                        run = abort;
                        queue = run.handle(now(), Input::Start).into();
                    }
                },
            }
        }
        let deadline = run.deadline().map(|at| Duration::from_millis(u64::try_from(at - now()).unwrap_or(0)));
        let output = tokio::select! {
            biased;
            output = shell.output(), if !closed => Some(output),
            () = async { match deadline { Some(time) => clock.sleep(time).await, None => std::future::pending().await } } => None,
        };
        effects = match output {
            None => run.handle(now(), Input::Tick),
            Some(Some(bytes)) => run.handle(now(), Input::Output(&bytes)),
            Some(None) => {
                closed = true;
                run.handle(now(), Input::Closed)
            }
        };
    }
}

async fn code<W: Watcher>(
    whose: Whose,
    device: &DeviceName,
    context: &RunContext<'_, W>,
) -> Result<Secret, DeviceError> {
    let seed = match whose {
        Whose::Account => context.seed,
        Whose::Login => context.login_seed,
    };
    let seed = seed.ok_or_else(|| DeviceError::NotCommitted("no TOTP seed is stored".into()))?;
    let waiting =
        |time: Duration| context.watcher.step(format!("waiting {:.1} s for a fresh code", time.as_secs_f64()));
    Ok(context.on.codes.issue(seed, Aim::At(device), None, waiting).await?.code)
}
