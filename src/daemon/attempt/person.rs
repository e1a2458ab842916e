//! A rotation whose dialogue a person leads: what is said is recorded, and becomes a recording and the draft of a template.
//!
//! It is a rotation like any other: the cap, the lockout budget, the commit point before the new password leaves, and the
//! proof by a fresh login hold. Only the lines come from a person and not from a template.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex as Plain};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::Attempt;
use super::context::{AttemptContext, Mode};
use super::request::{Request, RotationResult};
use super::shared::lock;
use crate::clock::Clock;
use crate::daemon::core::Core;
use crate::daemon::limits::Work;
use crate::executor::Person;
use crate::model::{AccountName, Actor, Trigger};
use crate::recording::{
    Ending, Said, WebSaid, WebTake, draft_template, draft_web_template, write_recording, write_web_recording,
};
use crate::template;
use crate::template::web::Purpose;

/// Lines that wait to be sent, at the most.
const WAITING: usize = 64;
/// What was shown and not fetched, at the most, in bytes.
const SHOWN: usize = 256 * 1024;
/// A recorder whose result nobody fetched is dropped after this time.
const KEPT: Duration = Duration::from_secs(300);

/// What became of a recording.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Of the rotation.
    pub result: RotationResult,
    /// The recording, as text.
    pub recording: String,
    /// The draft of a template, as text.
    pub template: String,
}

/// A recording under way, as the person's side sees it.
pub struct Recorder {
    account: AccountName,
    actor: Actor,
    clock: Clock,
    lines: Plain<Option<mpsc::Sender<String>>>,
    shown: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
    recorded: watch::Receiver<Option<Arc<Recorded>>>,
}

/// All recordings under way, by their ids.
#[derive(Default)]
pub(in crate::daemon) struct Recorders(Plain<HashMap<Arc<str>, Arc<Recorder>>>);

impl std::fmt::Debug for Recorders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorders(..)")
    }
}

/// What a turn of the person brought.
#[derive(Debug, Default)]
pub struct Turned {
    /// What the device printed since the last turn, masked.
    pub text: String,
    /// The end of it.
    pub recorded: Option<Arc<Recorded>>,
}

impl Recorder {
    /// Whether it was begun by this user: nobody types into another's.
    #[must_use]
    pub fn is_of(&self, actor: &Actor) -> bool {
        self.actor.uid == actor.uid
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &AccountName {
        &self.account
    }

    /// Hands in a line, or the end of the conversation, and waits a moment for what the device prints.
    ///
    /// # Errors
    /// The conversation is over, or more lines wait than may.
    pub async fn turn(&self, line: Option<String>, finish: bool, patience: Duration) -> Result<Turned, String> {
        if let Some(line) = line {
            if line.chars().any(char::is_control) {
                return Err("a line may not hold control characters".into());
            }
            let lines = lock(&self.lines).clone().ok_or("the conversation is over")?;
            lines.try_send(line).map_err(|_| "the device does not take the lines; wait for it, or finish")?;
        }
        if finish {
            lock(&self.lines).take();
        }
        let mut turned = Turned::default();
        let mut recorded = self.recorded.clone();
        let mut shown = self.shown.lock().await;
        let first = tokio::select! {
            biased;
            text = shown.recv() => text,
            // The end is told once all that was shown is fetched.
            _ = recorded.wait_for(Option::is_some) => None,
            () = self.clock.sleep(patience) => None,
        };
        turned.text.push_str(&first.unwrap_or_default());
        while let Ok(more) = shown.try_recv() {
            if turned.text.len() + more.len() > SHOWN {
                turned.text.push_str("\n(more was printed, and is left out here)\n");
                continue;
            }
            turned.text.push_str(&more);
        }
        turned.recorded = self.recorded.borrow().clone();
        Ok(turned)
    }
}

impl Core {
    /// Begins a rotation that a person leads; its id.
    pub fn record(self: &Arc<Self>, account: AccountName, name: String, actor: Actor) -> Result<String, String> {
        let config = self.config();
        let found = config.accounts.get(&account).cloned().ok_or("there is no such account in the config")?;
        let (checked, _) = template::load(Path::new("person"), "");
        let nothing = Arc::new(checked.ok_or("no template")?);
        let (lines, from_person) = mpsc::channel(WAITING);
        let (to_person, shown) = mpsc::unbounded_channel();
        let (done, recorded) = watch::channel(None);
        let request = Request {
            actor: Some(actor.clone()),
            reason: Some("recorded by hand".into()),
            ..Request::of(account.clone(), Trigger::Command)
        };
        let context = AttemptContext::new(self, config, found, request);
        let mut attempt = Attempt::new(AttemptContext { template: nothing, mode: Mode::Record, ..context });
        let Some(hold) = self.limits.hold(&attempt.cx.holder(), Work::Changes) else {
            return Err(self.limits.told(&account));
        };
        attempt.person = Some((Person { lines: from_person, shown: to_person }, Vec::new()));
        let id = attempt.cx.id.clone();
        let recorder = Recorder {
            account,
            actor,
            clock: self.clock.clone(),
            lines: Plain::new(Some(lines)),
            shown: tokio::sync::Mutex::new(shown),
            recorded,
        };
        lock(&self.recorders.0).insert(id.clone(), Arc::new(recorder));
        let (core, key) = (self.clone(), id.clone());
        self.spawn(async move {
            let (result, said) = Box::pin(attempt.run_with_person()).await;
            hold.release(&result);
            core.follow(&attempt, &result).await;
            let about = format!("Recorded on {}.", result.account.device_str());
            let title =
                if result.outcome == crate::model::Outcome::Done { "the password is changed" } else { "recorded" };
            core.executors.web.forget_draft(&result.account);
            let (recording, template) = written(&name, &about, title, said, &result);
            drop(done.send(Some(Arc::new(Recorded { result, recording, template }))));
            core.clock.sleep(KEPT).await;
            lock(&core.recorders.0).remove(&*key);
        });
        Ok(id.to_string())
    }

    /// A recording under way.
    #[must_use]
    pub fn recorder(&self, id: &str) -> Option<Arc<Recorder>> {
        lock(&self.recorders.0).get(id).cloned()
    }
}

/// The recording and the draft, of a terminal or of a browser.
fn written(name: &str, about: &str, title: &str, said: Vec<Said>, result: &RotationResult) -> (String, String) {
    if !said.iter().any(|said| matches!(said, Said::Web(_))) {
        return (write_recording(name, title, &said), draft_template(about, &said));
    }
    let said = said.into_iter().filter_map(|said| match said {
        Said::Web(said) => Some(said),
        _ => None,
    });
    let said: Vec<WebSaid> = said.collect();
    let template = draft_web_template(about, &said);
    let is_done = result.outcome == crate::model::Outcome::Done;
    let ending = if is_done { Ending::Ran } else { Ending::Failed };
    let take = WebTake { title: title.to_owned(), purpose: Purpose::Change, ending, kind: None, said };
    (write_web_recording(name, about, &[take]), template)
}

impl Attempt {
    async fn run_with_person(&mut self) -> (RotationResult, Vec<Said>) {
        let cx = self.cx.clone();
        let result = cx.keeping_steps(self.run()).await;
        // The person stays: one who went away would end what is still to be read.
        let said = self.person.as_mut().map(|(_, said)| std::mem::take(said));
        (result, said.unwrap_or_default())
    }
}
