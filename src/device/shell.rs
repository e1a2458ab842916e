//! A shell on a terminal, and a template's dialogue carried through it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::codes::{Aim, By, Issued, Miss, Sent, WaitsFor, took};
use super::error::DeviceError;
use super::risks::Risk;
use super::ssh::Session;
use super::wire::Shell;
use super::{Transport, Watcher};
use crate::clock::Clock;
use crate::dialogue::{Effect, Input, Refused, Run, Screen, Values, Verdict, Whose, needs_code, risks, shown_prompt};
use crate::model::{AccountName, Masker, Secret};
use crate::policy::Limit;
use crate::recording::Said;
use crate::template::{Piece, Section, Text, tagged_text};
use crate::totp::Seed;
use crate::vault::Ledger;

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
    /// Set once the device has taken a password or a code in the session: a run in which it judged none proves none.
    pub taken: &'a AtomicBool,
    /// What follows a run that fails, if the session still stands.
    pub after: AfterFailure,
}

/// What runs in the same session after a run that failed.
#[derive(Default)]
pub struct AfterFailure {
    /// `section abort`: where it failed before its commit point.
    pub abort: Option<Run>,
    /// `section save`: where it failed after it.
    pub save: Option<Run>,
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

impl<W: Watcher> RunContext<'_, W> {
    /// Takes the risk of a secret that the device judges.
    async fn take_risk(&self, whose: Whose) -> Result<Risk, DeviceError> {
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
        self.watcher.step(format!("section {}: {what}", section.name()));
        run.clear_up_after(failed);
        Some((section, run))
    }
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
    let clock = context.on.codes.clock();
    let mut shell = open_shell(session, clock).await?;
    // The boot clock: nobody can set it, and a suspended host does not stretch a wait.
    let start = clock.now().since_boot_ms;
    let now = || clock.now().since_boot_ms - start;
    let mut effects = run.handle(now(), Input::Start);
    let mut closed = false;
    // What failed, and the section that follows it.
    let mut failed: Option<(Section, Result<Verdict, DeviceError>)> = None;
    let mut risk: Option<(Whose, Risk)> = None;
    // The code that was sent last, where the device did not take it yet.
    let mut sent: Option<Sent> = None;
    loop {
        let mut queue = std::collections::VecDeque::from(std::mem::take(&mut effects));
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Step(text) => context.watcher.step(text),
                Effect::Finished(mut verdict) => {
                    if let Verdict::Failed(failure) = &mut verdict
                        && closed
                        && let Some(why) = session.link.hung_up()
                    {
                        failure.message = format!("{}; it hung up: {}", failure.message, shown_prompt(&why, 300));
                    }
                    if let Verdict::Failed(failure) = &mut verdict
                        && failure.answered
                        && !closed
                        && let Some((whose, risk)) = &risk
                    {
                        let code = sent.take();
                        failure.refused = Some(Refused { whose: *whose, with_code: code.is_some() });
                        let miss = code.map(|code| Miss { aim: aim(session), ahead: code.ahead, in_session: true });
                        risk.refused(code.is_some(), miss).await;
                    }
                    let committed = match &verdict {
                        Verdict::Failed(failure) if !closed => Some(failure.committed),
                        _ => None,
                    };
                    let follows = committed.and_then(|committed| context.clear_up(&mut run, committed));
                    let Some((section, next)) = follows else {
                        if let Some((section, failed)) = failed {
                            return followed(failed, section, verdict, context.watcher);
                        }
                        return no_room(verdict, closed, context.login.0);
                    };
                    failed = Some((section, Ok(verdict)));
                    run = next;
                    queue = run.handle(now(), Input::Start).into();
                }
                Effect::Send(secret) => {
                    // A device that takes nothing in is found out by the wait that follows.
                    let _ = clock.within(STEP_TIME, shell.send(secret)).await;
                }
                Effect::Reply(reply) => {
                    let _ = clock.within(STEP_TIME, shell.send(Secret::new(reply))).await;
                }
                Effect::Risk(whose) => {
                    // One that is still open is of the same line of questions.
                    if risk.is_none() {
                        risk = Some((whose, context.take_risk(whose).await?));
                    }
                }
                Effect::Accepted => {
                    let (aim, sent) = (aim(session), sent.take());
                    let news = sent.filter(|_| aim.by != By::Known);
                    if let Some((whose, risk)) = risk.take() {
                        context.taken.store(true, Ordering::SeqCst);
                        let account = context.whose(whose).0.clone();
                        let with_code = sent.is_some();
                        let noted = move |tx: &dyn Ledger| {
                            // Some judge a password only once they have the code.
                            if with_code {
                                tx.login_was_taken(&account, true)?;
                            }
                            news.map_or(Ok(None), |code| took(tx, &aim, code, false))
                        };
                        risk.worked_and(noted).await;
                    }
                }
                Effect::NeedCode(whose) => {
                    let issued = code(whose, session, &context).await?;
                    sent = Some(issued.sent);
                    queue.extend(run.handle(now(), Input::Code(issued.code)));
                }
                Effect::CommitPoint => match context.watcher.commit_point().await {
                    Ok(()) => queue.extend(run.handle(now(), Input::Committed)),
                    Err(error) => {
                        let follows = if closed { None } else { context.clear_up(&mut run, false) };
                        let Some((section, next)) = follows else { return Err(error) };
                        failed = Some((section, Err(error)));
                        run = next;
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

/// What came of a run that failed and was followed by a section: how that went changes nothing about it, but that it may
/// have saved.
fn followed<W: Watcher>(
    failed: Result<Verdict, DeviceError>,
    section: Section,
    verdict: Verdict,
    watcher: &W,
) -> Result<Verdict, DeviceError> {
    match (failed, verdict) {
        (Ok(Verdict::Failed(mut failure)), Verdict::Ran { .. }) => {
            failure.saved = section == Section::Save;
            Ok(Verdict::Failed(failure))
        }
        (failed, Verdict::Failed(failure)) => {
            watcher.step(format!("section {}: {}", section.name(), failure.message));
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
            Err(DeviceError::NotNow { account: login.to_string(), why: failure.message })
        }
        other => Ok(other),
    }
}

async fn open_shell(session: &Session, clock: &Clock) -> Result<Box<dyn Shell>, DeviceError> {
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

/// A person who is without a word for so long has gone away.
const PATIENCE: Duration = Duration::from_secs(180);

/// The other end of a conversation: lines of a person come in, with tags for secrets, and what the device prints goes out.
pub struct Person {
    /// Lines; it ends when the person is done.
    pub lines: mpsc::Receiver<String>,
    /// Masked text, without control characters of a terminal.
    pub shown: mpsc::UnboundedSender<String>,
}

/// Output that has been quiet for this long is shown.
const SETTLE: Duration = Duration::from_millis(100);
/// More than this in answer to one line ends a conversation, in bytes.
const MOST_ANSWER: usize = 1 << 20;

/// Puts the answer so far on record, masked, and returns it.
fn tell(said: &std::sync::Mutex<Vec<Said>>, answer: &str, masker: &Masker, at_ms: i64) -> String {
    let text = masker.lines(answer);
    let mut said = said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match said.last_mut() {
        Some(Said::Printed { text: known, .. }) => known.clone_from(&text),
        _ if text.is_empty() => {}
        _ => said.push(Said::Printed { text: text.clone(), at_ms }),
    }
    text
}

/// What is new of an answer that a person sees as it grows. What was shown of it and is masked by now cannot be taken back.
fn news<'a>(shown: &str, text: &'a str) -> &'a str {
    let same = shown.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count();
    let same = (0..=same).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[same..]
}

/// The tag that stands in records for a secret that a person typed and the vault does not have.
const TYPED_SECRET: &str = "SECRET";

/// Whether a device asks for something that it does not show.
fn asks_for_secret(answer: &str) -> bool {
    const WORDINGS: [&str; 9] =
        ["passw", "passphrase", "passcode", "secret", "kennwort", "mot de passe", "contrase", "senha", "wachtwoord"];
    let question = answer.rsplit('\n').next().unwrap_or_default().trim_end().to_lowercase();
    question.ends_with([':', '?', '>']) && WORDINGS.iter().any(|wording| question.contains(wording))
}

/// What stands in records for a line that a person typed.
fn recorded(text: &Text, line: &str, answer: &str) -> Text {
    let is_secret = text.tags().next().is_none() && !line.trim().is_empty() && asks_for_secret(answer);
    if is_secret { Text { pieces: vec![Piece::Tag(TYPED_SECRET.into(), None)] } } else { text.clone() }
}

/// Opens a shell for a person. What is sent and printed is gathered in `said`. The commit point is where the person
/// first sends the new password, and is made durable before, as in any run.
///
/// # Errors
/// The shell did not open, the vault failed, or the person went away before the new password was sent.
pub async fn converse<W: Watcher>(
    session: &Session,
    person: &mut Person,
    values: &Values,
    mut masker: Masker,
    context: &RunContext<'_, W>,
    said: &std::sync::Mutex<Vec<Said>>,
) -> Result<Verdict, DeviceError> {
    let clock = context.on.codes.clock();
    let mut shell = open_shell(session, clock).await?;
    let start = clock.now().since_boot_ms;
    let mut screen = Screen::default();
    // What came since the last line was sent. A secret may come back in pieces, so it is masked as a whole.
    let (mut answer, mut shown) = (String::new(), String::new());
    let mut pending = false;
    let mut committed = false;
    let mut risk: Option<Risk> = None;
    loop {
        tokio::select! {
            biased;
            output = shell.output() => {
                let Some(bytes) = output else {
                    let text = tell(said, &answer, &masker, clock.now().since_boot_ms - start);
                    drop(person.shown.send(news(&shown, &text).to_owned()));
                    return Ok(Verdict::Ran { committed });
                };
                screen.feed(&bytes);
                for reply in screen.take_replies() {
                    let _ = clock.within(STEP_TIME, shell.send(Secret::new(reply))).await;
                }
                answer.push_str(screen.unread());
                let read = screen.unread().len();
                screen.consume(read);
                pending = true;
                if answer.len() > MOST_ANSWER {
                    return Err(DeviceError::NotCommitted("the device printed more than a dialogue does".into()));
                }
            }
            () = clock.sleep(SETTLE), if pending => {
                pending = false;
                let text = tell(said, &answer, &masker, clock.now().since_boot_ms - start);
                let more = news(&shown, &text).to_owned();
                shown = text;
                if !more.is_empty() && person.shown.send(more).is_err() {
                    return Ok(Verdict::Ran { committed });
                }
            }
            line = person.lines.recv() => {
                let Some(line) = line else { return Ok(Verdict::Ran { committed }) };
                let text = match tagged_text(&values.unfill(&line)) {
                    Ok(text) => text,
                    Err(why) => {
                        drop(person.shown.send(format!("\n({why}; nothing was sent)\n")));
                        continue;
                    }
                };
                if let Some(missing) = values.missing(&text) {
                    drop(person.shown.send(format!("\n({missing}; nothing was sent)\n")));
                    continue;
                }
                if let Some(risk) = risk.take() {
                    // Whoever goes on was let through.
                    risk.worked().await;
                }
                let one_time = match needs_code(&text) {
                    Some(whose) => {
                        let made = code(whose, session, context).await?.code;
                        masker.add(&made);
                        Some(made)
                    }
                    None => None,
                };
                if let Some(whose) = risks(&text, false) {
                    risk = Some(context.take_risk(whose).await?);
                }
                if text.has_tag("NEW_PASSWORD") && !committed {
                    context.watcher.commit_point().await?;
                    committed = true;
                }
                let filled = Secret::new(format!("{}\n", values.fill(&text, one_time.as_ref()).expose()));
                let record = recorded(&text, &line, &answer);
                if record != text {
                    let typed = Secret::new(line);
                    context.watcher.leaves(&typed);
                    masker.add(&typed);
                }
                context.watcher.step(format!("sent \"{record}\""));
                tell(said, &answer, &masker, clock.now().since_boot_ms - start);
                said.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Said::Sent(record));
                (answer, shown, pending) = (String::new(), String::new(), false);
                let _ = clock.within(STEP_TIME, shell.send(filled)).await;
            }
            () = clock.sleep(PATIENCE), if !pending => {
                let why = "nobody typed anything for three minutes".to_owned();
                return if committed { Ok(Verdict::Ran { committed }) } else { Err(DeviceError::NotCommitted(why)) };
            }
        }
    }
}

/// For what a code in a session is made.
fn aim(session: &Session) -> Aim {
    Aim { by: session.by, device: session.device.name.clone() }
}

async fn code<W: Watcher>(whose: Whose, session: &Session, context: &RunContext<'_, W>) -> Result<Issued, DeviceError> {
    let seed = match whose {
        Whose::Account => context.seed,
        Whose::Login => context.login_seed,
    };
    let seed = seed.ok_or_else(|| DeviceError::NotCommitted("no TOTP seed is stored".into()))?;
    let waiting = |what: WaitsFor| context.watcher.step(what.to_string());
    let issued = context.on.codes.issue(seed, &aim(session), None, waiting).await?;
    context.watcher.leaves(&issued.code);
    Ok(issued)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_what_is_new_and_no_more_of_a_secret_than_was_shown() {
        assert_eq!(news("", "login"), "login");
        assert_eq!(news("login", "login: "), ": ");
        assert_eq!(news("set q8Zk-", "set ******** ok"), "******** ok");
        assert_eq!(news("grün", "grüßt"), "ßt");
        assert_eq!(news("longer than", "long"), "");
    }

    #[test]
    fn what_a_person_types_where_a_secret_is_asked_for_is_not_recorded() {
        let typed = |line: &str, answer: &str| {
            recorded(&tagged_text(line).unwrap_or_else(|why| panic!("{why}")), line, answer).to_string()
        };
        assert_eq!(typed("En4ble-Needle", "r1>enable\nPassword: "), "[#SECRET#]");
        assert_eq!(typed("En4ble-Needle", "Kennwort:"), "[#SECRET#]");
        assert_eq!(typed("[#NEW_PASSWORD#]", "New password: "), "[#NEW_PASSWORD#]");
        assert_eq!(typed("show version", "password set\nr1# "), "show version");
        assert_eq!(typed("y", "Change the password now [y/n]"), "y");
    }
}
