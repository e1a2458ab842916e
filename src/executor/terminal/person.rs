//! A dialogue that a person leads, in a shell on the device.

use std::time::Duration;

use super::connect::Session;
use super::connector::Shell;
use super::shell::{RunContext, STEP_TIME, code, open_shell};
use crate::dialogue::{Screen, Values, Verdict, needs_code, risks};
use crate::executor::contract::Person;
use crate::executor::error::DeviceError;
use crate::executor::risks::Risk;
use crate::model::{Masker, Secret};
use crate::recording::{Said, TYPED_SECRET};
use crate::template::{Piece, Text, tagged_text};

/// A person who is without a word for so long has gone away.
const PATIENCE: Duration = Duration::from_secs(180);

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
pub(super) async fn converse(
    session: &Session,
    person: &mut Person,
    values: &Values,
    masker: Masker,
    context: &RunContext<'_>,
    said: &std::sync::Mutex<Vec<Said>>,
) -> Result<Verdict, DeviceError> {
    let clock = context.on.clock();
    let shell = open_shell(session, clock).await?;
    let start = clock.now().since_boot_ms;
    let mut talk = Talk {
        session,
        shell,
        values,
        masker,
        context,
        said,
        start,
        screen: Screen::default(),
        answer: String::new(),
        shown: String::new(),
        pending: false,
        committed: false,
        risk: None,
    };
    loop {
        let goes_on = tokio::select! {
            biased;
            output = talk.shell.output() => match output {
                Some(bytes) => {
                    talk.printed(&bytes).await?;
                    true
                }
                None => {
                    talk.show(person);
                    false
                }
            },
            () = clock.sleep(SETTLE), if talk.pending => talk.show(person),
            line = person.lines.recv() => match line {
                Some(line) => {
                    if let Err(why) = talk.typed(line).await? {
                        drop(person.shown.send(format!("\n({why}; nothing was sent)\n")));
                    }
                    true
                }
                None => false,
            },
            () = clock.sleep(PATIENCE), if !talk.pending => {
                let why = "nobody typed anything for three minutes".to_owned();
                if !talk.committed {
                    return Err(DeviceError::NotCommitted(why));
                }
                false
            }
        };
        if !goes_on {
            return Ok(Verdict::Ran { committed: talk.committed });
        }
    }
}

/// A person's dialogue with a device.
struct Talk<'a> {
    session: &'a Session,
    shell: Box<dyn Shell>,
    values: &'a Values,
    masker: Masker,
    context: &'a RunContext<'a>,
    said: &'a std::sync::Mutex<Vec<Said>>,
    /// When it began, by the boot clock, in milliseconds.
    start: i64,
    screen: Screen,
    /// What came since the last line was sent. A secret may come back in pieces, so it is masked as a whole.
    answer: String,
    /// What the person has seen of it.
    shown: String,
    /// Whether more came than was shown.
    pending: bool,
    committed: bool,
    risk: Option<Risk>,
}

impl Talk<'_> {
    /// The device printed something.
    async fn printed(&mut self, bytes: &[u8]) -> Result<(), DeviceError> {
        self.screen.feed(bytes);
        for reply in self.screen.take_replies() {
            self.send(Secret::new(reply)).await;
        }
        self.answer.push_str(self.screen.unread());
        let read = self.screen.unread().len();
        self.screen.consume(read);
        self.pending = true;
        if self.answer.len() > MOST_ANSWER {
            return Err(DeviceError::NotCommitted("the device printed more than a dialogue does".into()));
        }
        Ok(())
    }

    /// Shows the person what is new; whether somebody is there to see it.
    fn show(&mut self, person: &Person) -> bool {
        self.pending = false;
        let text = self.record();
        let more = news(&self.shown, &text).to_owned();
        self.shown = text;
        more.is_empty() || person.shown.send(more).is_ok()
    }

    /// Puts the answer so far on record, masked, and returns it.
    fn record(&self) -> String {
        tell(self.said, &self.answer, &self.masker, self.context.on.clock().now().since_boot_ms - self.start)
    }

    async fn send(&mut self, secret: Secret) {
        // A device that takes nothing in is found out by the wait that follows.
        let _ = self.context.on.clock().within(STEP_TIME, self.shell.send(secret)).await;
    }

    /// Sends a line that the person typed; or why it cannot be sent.
    async fn typed(&mut self, line: String) -> Result<Result<(), String>, DeviceError> {
        let text = match tagged_text(&self.values.unfill(&line)) {
            Ok(text) => text,
            Err(why) => return Ok(Err(why.to_string())),
        };
        if let Some(missing) = self.values.missing(&text) {
            return Ok(Err(missing.to_string()));
        }
        if let Some(risk) = self.risk.take() {
            // Whoever goes on was let through.
            risk.worked();
        }
        let one_time = match needs_code(&text) {
            Some(whose) => {
                let made = code(whose, self.session, self.context).await?.code;
                self.masker.add(&made);
                Some(made)
            }
            None => None,
        };
        if let Some(whose) = risks(&text, false) {
            self.risk = Some(self.context.take_risk(whose).await?);
        }
        if text.has_tag("NEW_PASSWORD") && !self.committed {
            self.context.observer.commit_point().await?;
            self.committed = true;
        }
        let filled = Secret::new(format!("{}\n", self.values.fill(&text, one_time.as_ref()).expose()));
        let record = recorded(&text, &line, &self.answer);
        if record != text {
            let typed = Secret::new(line);
            self.context.observer.leaves(&typed);
            self.masker.add(&typed);
        }
        self.context.observer.step(format!("sent \"{record}\""));
        self.record();
        self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Said::Sent(record));
        (self.answer, self.shown, self.pending) = (String::new(), String::new(), false);
        self.send(filled).await;
        Ok(Ok(()))
    }
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
