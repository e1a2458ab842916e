//! A change that a person makes in the live view: what is done there becomes a recording and the draft of a template.
//!
//! Everything that the person does passes through here before the browser hears of it, so that the page before each act is put down,
//! the budget pays before a login's secret is sent, and the commit point is durable before the new password is in the page. What is
//! put down has tags in place of secrets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Web;
use super::errand::{Errand, Under};
use super::live::{Live, LiveKind, Passed};
use crate::browser::{Reply, Request};
use crate::dialogue::web::{Action, Observation, PageCall, WebVerdict, resolve};
use crate::dialogue::{Values, needs_code};
use crate::executor::contract::{ChangeResult, Person};
use crate::executor::error::DeviceError;
use crate::executor::observer::Observer;
use crate::model::{AccountName, Masker, Secret};
use crate::recording::{Said, TYPED_SECRET, WebDeed, WebSaid, draft_web_template};
use crate::template::web::Key;
use crate::template::{Checked, Piece, Text, load, tagged_text};

/// A person who does nothing for so long has gone away.
const PATIENCE: Duration = Duration::from_secs(600);
/// The browser answers within this time; while a page loads it has no answer.
const ANSWER: Duration = Duration::from_secs(20);
/// More than this is no change of a password.
const MOST_SAID: usize = 400;

/// Templates drafted from changes whose proof is still to be made.
#[derive(Debug, Clone, Default)]
pub(super) struct Drafts(Arc<Mutex<HashMap<AccountName, Arc<Checked>>>>);

impl Drafts {
    pub(super) fn of(&self, account: &AccountName) -> Option<Arc<Checked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(account).cloned()
    }

    fn keep(&self, account: &AccountName, draft: Arc<Checked>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(account.clone(), draft);
    }

    pub(super) fn forget(&self, account: &AccountName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
    }
}

/// What is put down of a change.
struct Tape<'a> {
    values: &'a Values,
    observer: &'a dyn Observer,
    masker: Masker,
    codes: Vec<Secret>,
    said: Vec<WebSaid>,
}

impl Tape<'_> {
    /// A text of a page, with tags in place of the host and of what is entered.
    fn text(&self, text: &str) -> Text {
        let host = self.values.fill(&tag("HOSTNAME"), None);
        let text = self.masker.lines(&self.values.unfill(text));
        let text = if host.expose().is_empty() { text } else { text.replace(host.expose(), "[#HOSTNAME#]") };
        tagged_text(&text).unwrap_or(Text { pieces: vec![Piece::Literal(text)] })
    }

    fn page(&mut self, page: &Value) {
        let part = |name: &str| page.get(name).and_then(Value::as_str).unwrap_or_default();
        if part("url").starts_with("http") && self.said.len() < MOST_SAID {
            let (url, html) = (self.text(part("url")), self.text(part("html")).to_string());
            self.said.push(WebSaid::Page { url, html });
        }
    }

    /// What a field holds, as it is put down.
    fn held(&mut self, field: &Value) -> Text {
        let part = |name: &str| field.get(name).and_then(Value::as_str).unwrap_or_default();
        let value = part("value");
        let user = self.values.fill(&tag("USERNAME"), None);
        let is_code = self.codes.iter().any(|code| code.expose() == value);
        let text = match value {
            _ if is_code => tag("TOTP_TOKEN"),
            value if value == user.expose() => tag("USERNAME"),
            value => tagged_text(&self.values.unfill(value))
                .unwrap_or(Text { pieces: vec![Piece::Literal(value.to_owned())] }),
        };
        let text = if part("kind") == "password" && text.tags().next().is_none() {
            let typed = Secret::new(value.to_owned());
            self.observer.leaves(&typed);
            self.masker.add(&typed);
            tag(TYPED_SECRET)
        } else {
            text
        };
        self.said.push(WebSaid::Held { selector: part("selector").to_owned(), value: text.clone() });
        text
    }

    fn did(&mut self, deed: WebDeed) {
        self.observer.step(format!("the person: {deed}"));
        self.said.push(WebSaid::Did(deed));
    }
}

fn tag(name: &str) -> Text {
    Text { pieces: vec![Piece::Tag(name.to_owned(), None)] }
}

impl Web {
    /// Has a person make the change.
    pub(super) async fn be_led(
        &self,
        errand: &Errand<'_>,
        person: &mut Person,
        said: &Mutex<Vec<Said>>,
        observer: &dyn Observer,
    ) -> ChangeResult {
        let masker = observer.learn(&errand.masker());
        let mut under = match self.begin(errand, observer).await {
            Ok(under) => under,
            Err(error) => return ChangeResult::LoginFailed(error),
        };
        let mut tape = Tape { values: &errand.values, observer, masker, codes: Vec::new(), said: Vec::new() };
        let done = self.converse(errand, &mut under, &mut tape, person).await;
        let committed = under.committed;
        self.settle(&mut under, &WebVerdict::Ran { committed, proved: false }).await;
        drop(under);
        self.keep_draft(&errand.account.name, &tape.said);
        said.lock().unwrap_or_else(PoisonError::into_inner).extend(tape.said.into_iter().map(Said::Web));
        match done {
            Ok(()) => ChangeResult::Ran { committed },
            Err(error) if committed => ChangeResult::Broken(error),
            Err(error) => ChangeResult::LoginFailed(error),
        }
    }

    /// A draft by which a login proves a password is what proves this change.
    fn keep_draft(&self, account: &AccountName, said: &[WebSaid]) {
        let (draft, _) = load(std::path::Path::new("draft.template"), &draft_web_template("draft", said));
        let proves = |draft: &Checked| draft.web().is_some_and(|web| web.proof_line().is_some());
        if let Some(draft) = draft.filter(proves) {
            self.drafts.keep(account, Arc::new(draft));
        }
    }

    async fn converse(
        &self,
        errand: &Errand<'_>,
        under: &mut Under<'_>,
        tape: &mut Tape<'_>,
        person: &mut Person,
    ) -> Result<(), DeviceError> {
        let clock = self.guards.clock();
        let (inputs, mut passed) = mpsc::channel(64);
        let until_ms = clock.now().plus_ms(i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX)).wall_ms;
        let asked = "log in, change the password, and say that you are done".to_owned();
        let kind = LiveKind::Recorded { secrets: errand.lasting_secrets(), inputs };
        let live = Live::new(under.session.browser().clone(), asked, until_ms, kind);
        self.open(under, tape, &errand.endpoint.url).await?;
        let shown = self.live.show(&errand.account.name, live);
        drop(person.shown.send("the browser is open\n".to_owned()));
        loop {
            let observer = tape.observer;
            tokio::select! {
                biased;
                () = observer.cancelled() => return Err(DeviceError::NotCommitted("the daemon is stopping".into())),
                () = shown.live.continued() => break,
                input = passed.recv() => {
                    let Some(Passed { request, done }) = input else { break };
                    self.note(under, tape, &request).await?;
                    drop(done.send(under.session.browser().call(request, ANSWER).await));
                }
                line = person.lines.recv() => {
                    let Some(line) = line else { break };
                    let told = self.line(under, tape, line.trim()).await?;
                    drop(person.shown.send(format!("{told}\n")));
                }
                () = clock.sleep(PATIENCE) => {
                    return Err(DeviceError::NotCommitted("nobody did anything for ten minutes".into()));
                }
            }
        }
        if let Ok(page) = under.session.snapshot("page", Value::Null).await {
            tape.page(&page);
        }
        Ok(())
    }

    async fn open(&self, under: &mut Under<'_>, tape: &mut Tape<'_>, url: &str) -> Result<(), DeviceError> {
        let deed = WebDeed::Opened(tape.text(url));
        tape.did(deed);
        match under.session.perform(&Action::Open { url: Secret::new(url.to_owned()) }).await {
            Observation::Trouble(trouble) => {
                Err(DeviceError::NotCommitted(format!("the page could not be opened: {trouble:?}")))
            }
            _ => Ok(()),
        }
    }

    /// Puts down what a person is about to do, where it leads on.
    async fn note(&self, under: &mut Under<'_>, tape: &mut Tape<'_>, request: &Request) -> Result<(), DeviceError> {
        let found = match request {
            Request::Pointer(pointer) if pointer.action == "down" => {
                under.session.snapshot("at", json!([pointer.x, pointer.y])).await
            }
            Request::Key(key) if key.down && (key.key == "Enter" || key.key == " ") => {
                under.session.snapshot("focus", Value::Null).await
            }
            _ => return Ok(()),
        };
        let Ok(found) = found else { return Ok(()) };
        let part = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
        let is = |name: &str| found.get(name) == Some(&Value::Bool(true));
        let by_key = matches!(request, Request::Key(_));
        let deed = if is("field") {
            let enters = matches!(request, Request::Key(key) if key.key == "Enter") && part("tag") != "textarea";
            Key::parse("Enter").filter(|_| enters).map(WebDeed::Pressed)
        } else if is("control") && (part("tag") != "label" || by_key) {
            Some(WebDeed::Clicked(part("selector").to_owned()))
        } else {
            None
        };
        match deed {
            Some(deed) => self.put_down(under, tape, deed).await,
            None => Ok(()),
        }
    }

    /// Puts down the page with its fields and what is done there; what has to be durable before is made so.
    async fn put_down(&self, under: &mut Under<'_>, tape: &mut Tape<'_>, deed: WebDeed) -> Result<(), DeviceError> {
        let page = under.session.snapshot("page", Value::Null).await.unwrap_or_default();
        let fields = under.session.snapshot("fields", Value::Null).await.unwrap_or_default();
        let before = tape.said.len();
        let mut held = Vec::new();
        for field in fields.as_array().map(Vec::as_slice).unwrap_or_default() {
            held.push(tape.held(field));
        }
        // The page stands before its fields, and what they held is masked in it.
        let fields = tape.said.split_off(before);
        tape.page(&page);
        tape.said.extend(fields);
        for text in &held {
            self.allow(under, text).await?;
        }
        tape.did(deed);
        Ok(())
    }

    /// What has to be on record before this is entered.
    async fn allow(&self, under: &mut Under<'_>, text: &Text) -> Result<(), DeviceError> {
        if text.has_tag("CURRENT_PASSWORD") || text.has_tag("AUTH_PASSWORD") {
            self.take_risk(under).await?;
            under.entered = true;
        }
        if text.has_tag("NEW_PASSWORD") && !under.committed {
            if let Observation::Stopped(why) = under.commit().await {
                return Err(under.failed.take().unwrap_or(DeviceError::NotCommitted(why)));
            }
            under.committed = true;
        }
        Ok(())
    }

    /// A line that the person typed beside the live view: a text for the field with the cursor, or `~o ADDRESS`. What to say of it.
    async fn line(&self, under: &mut Under<'_>, tape: &mut Tape<'_>, line: &str) -> Result<String, DeviceError> {
        if let Some(address) = line.strip_prefix("~o ") {
            let here = match under.session.browser().call(Request::Location, ANSWER).await {
                Ok(Reply::Text(here)) => here,
                _ => String::new(),
            };
            let url = resolve(&here, address.trim());
            let opened = WebDeed::Opened(tape.text(&url));
            self.put_down(under, tape, opened).await?;
            let heard = under.session.perform(&Action::Open { url: Secret::new(url) }).await;
            return Ok(match heard {
                Observation::Trouble(trouble) => format!("(it cannot be opened: {trouble:?})"),
                _ => "(opened)".to_owned(),
            });
        }
        if line == "~?" {
            let focus = under.session.snapshot("focus", Value::Null).await.unwrap_or_default();
            let page = under.session.snapshot("page", Value::Null).await.unwrap_or_default();
            let part = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let field = focus.get("field") == Some(&Value::Bool(true));
            let place = if field { part(&focus, "selector") } else { "no field".to_owned() };
            return Ok(tape.masker.lines(&format!("(the cursor is in {place} of «{}»)", part(&page, "title"))));
        }
        let text = match tagged_text(&tape.values.unfill(line)) {
            Ok(text) => text,
            Err(why) => return Ok(format!("({why}; nothing was typed)")),
        };
        if let Some(missing) = tape.values.missing(&text) {
            return Ok(format!("({missing}; nothing was typed)"));
        }
        let focus = under.session.snapshot("focus", Value::Null).await.unwrap_or_default();
        if focus.get("field") != Some(&Value::Bool(true)) {
            return Ok("(click into a field of the page first; nothing was typed)".to_owned());
        }
        self.allow(under, &text).await?;
        let code = match needs_code(&text) {
            Some(_) => {
                let tag = if text.has_tag("AUTH_TOTP_TOKEN") { "AUTH_TOTP_TOKEN" } else { "TOTP_TOKEN" };
                match self.make_code(under, tag).await {
                    Observation::Code(code) => Some(code),
                    _ => {
                        let none = || DeviceError::NotCommitted("no one-time password could be made".into());
                        return Err(under.failed.take().unwrap_or_else(none));
                    }
                }
            }
            None => None,
        };
        tape.codes.extend(code.clone());
        code.iter().for_each(|code| tape.masker.add(code));
        let plan = json!([[{ "by": "descendant", "css": ":focus" }]]);
        let secret = Some(tape.values.fill(&text, code.as_ref()));
        let call = PageCall { operation: "fill", about: json!({ "plan": plan }), secret };
        Ok(match under.session.perform(&Action::Page { call, not_before: 0 }).await {
            Observation::Result(result) if result.get("trouble").is_none() => "(typed)".to_owned(),
            _ => "(the field takes nothing; nothing was typed)".to_owned(),
        })
    }
}
