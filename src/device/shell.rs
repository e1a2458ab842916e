//! A shell on a terminal, and a template's dialogue carried through it.

use std::time::Duration;

use russh::ChannelMsg;
use tokio::time::{Instant, sleep_until, timeout};

use super::Watcher;
use super::codes::Codes;
use super::error::DeviceError;
use super::ssh::Session;
use crate::dialogue::{Effect, Input, Run, Verdict, Whose};
use crate::model::Secret;
use crate::totp::Seed;

/// Columns of the terminal: wide enough that no line wraps.
const COLUMNS: u32 = 500;
/// Rows: many, so that pagers seldom stop.
const ROWS: u32 = 200;
/// The bound on opening the shell and on each write.
const STEP_TIME: Duration = Duration::from_secs(15);

/// What a run needs besides its template.
pub struct RunContext<'a, W: Watcher> {
    /// Makes codes.
    pub codes: &'a Codes,
    /// The account's seed, or the login account's where it has none.
    pub seed: Option<&'a Seed>,
    /// The login account's seed.
    pub login_seed: Option<&'a Seed>,
    /// Told of every step and asked at the commit point.
    pub watcher: &'a W,
}

/// Opens a shell and runs a template in it.
///
/// # Errors
/// The shell did not open, or the vault failed. What the template met is in the verdict.
pub async fn run_template<W: Watcher>(
    session: &Session,
    mut run: Run,
    context: &RunContext<'_, W>,
) -> Result<Verdict, DeviceError> {
    let broken = |why: String| DeviceError::Broken {
        device: session.device.name.to_string(),
        when: "while its shell was opened",
        why,
    };
    let opening = async {
        let channel = session.handle.channel_open_session().await?;
        channel.request_pty(false, "vt100", COLUMNS, ROWS, 0, 0, &[]).await?;
        channel.request_shell(false).await?;
        Ok::<_, russh::Error>(channel)
    };
    let mut channel = match timeout(STEP_TIME, opening).await {
        Ok(Ok(channel)) => channel,
        Ok(Err(error)) => return Err(broken(error.to_string())),
        Err(_) => return Err(broken("no answer".into())),
    };
    let start = Instant::now();
    let now = |start: Instant| i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX);
    let mut effects = run.handle(now(start), Input::Start);
    let mut closed = false;
    loop {
        let mut queue = std::collections::VecDeque::from(std::mem::take(&mut effects));
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Step(text) => context.watcher.step(text),
                Effect::Finished(verdict) => return Ok(verdict),
                Effect::Send(secret) => {
                    let bytes = secret.expose().as_bytes().to_vec();
                    // A device that takes nothing in is found out by the wait that follows.
                    drop(timeout(STEP_TIME, channel.data_bytes(bytes)).await);
                }
                Effect::NeedCode(whose) => {
                    let code = code(whose, context).await?;
                    queue.extend(run.handle(now(start), Input::Code(code)));
                }
                Effect::CommitPoint => {
                    context.watcher.commit_point().await?;
                    queue.extend(run.handle(now(start), Input::Committed));
                }
            }
        }
        let deadline = run.deadline().map(|at| start + Duration::from_millis(u64::try_from(at).unwrap_or(0)));
        let message = tokio::select! {
            message = channel.wait(), if !closed => Some(message),
            () = async { match deadline { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => None,
        };
        effects = match message {
            None => run.handle(now(start), Input::Tick),
            Some(Some(ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. })) => {
                run.handle(now(start), Input::Output(&data))
            }
            Some(None | Some(ChannelMsg::Eof | ChannelMsg::Close)) => {
                closed = true;
                run.handle(now(start), Input::Closed)
            }
            Some(Some(_)) => Vec::new(),
        };
    }
}

async fn code<W: Watcher>(whose: Whose, context: &RunContext<'_, W>) -> Result<Secret, DeviceError> {
    let seed = match whose {
        Whose::Account => context.seed,
        Whose::Login => context.login_seed,
    };
    let seed = seed.ok_or_else(|| DeviceError::NotCommitted("no TOTP seed is stored".into()))?;
    let waiting =
        |time: Duration| context.watcher.step(format!("waiting {:.1} s for a fresh code", time.as_secs_f64()));
    Ok(context.codes.issue(seed, None, waiting).await?.code)
}
