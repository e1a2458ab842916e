//! What an event is to people: its topic, how urgent it is, a sentence, and the command to type next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::event::Event;
use crate::model::{Topic, Urgency};

/// The same thing is told again only after so long, unless it ended in between.
const TOLD_AGAIN_MS: i64 = 12 * 3_600_000;
/// So many refusals of one user within [`DENIED_MS`] are more than a slip.
const DENIED: usize = 3;
const DENIED_MS: i64 = 600_000;
/// So many things are remembered as told.
const REMEMBERED: usize = 20_000;

/// An event, and what is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The event.
    pub event: Arc<Event>,
    /// What it is about.
    pub topic: Topic,
    /// How urgent it is.
    pub urgency: Urgency,
    /// One sentence for people, without a full stop.
    pub sentence: String,
    /// What to type next; empty where nothing is to be done.
    pub command: String,
    /// The account or device that it is about; empty for the daemon itself.
    pub subject: String,
    /// It goes on, and was told not long ago.
    pub repeats: bool,
    /// The troubles that it ends, of those that there were, and how urgent they were.
    pub ended: Vec<(Topic, Urgency)>,
}

impl Notice {
    /// What stays the same of a trouble from its begin to its end.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.topic, self.subject)
    }

    /// The same of each trouble that it ends.
    #[must_use]
    pub fn ended_keys(&self) -> Vec<String> {
        self.ended.iter().map(|(topic, _)| format!("{topic}/{}", self.subject)).collect()
    }

    /// Whether it ends what was told before.
    #[must_use]
    pub fn ends(&self) -> bool {
        !self.ended.is_empty()
    }
}

/// A word as a shell takes it.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:%=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// A rule of [`RULES`]: the event, its topic and urgency, and what is said of it.
type Rule = (&'static str, Topic, Urgency, &'static str, &'static str);

/// What is said of each event. `{a}` stands for the account, `{d}` for the device, `{j}` for the job, `{w}` for the detail, `{u}` for
/// who did it; the last column is the command, in which names are quoted as a shell needs it.
const RULES: &[Rule] = &[
    (
        "account.quarantined",
        Topic::Quarantine,
        Urgency::Critical,
        "{a} is in quarantine: rotord does not know which password it has",
        "rotorctl explain {a}",
    ),
    (
        "account.doubtful",
        Topic::Doubt,
        Urgency::Error,
        "{a} is in doubt: it is not known for long which password it has",
        "rotorctl explain {a}",
    ),
    (
        "password.overdue",
        Topic::Overdue,
        Urgency::Warning,
        "the password of {a} is older than its policy allows",
        "rotorctl rotate {a}",
    ),
    ("warning.left", Topic::Warning, Urgency::Warning, "{a} was changed, and not cleanly: {w}", "rotorctl ack {a}"),
    (
        "host_key.mismatch",
        Topic::HostKey,
        Urgency::Critical,
        "{d} shows another host key than the one on record; nothing was sent to it",
        "rotorctl trust {d}",
    ),
    ("host_key.trusted", Topic::HostKey, Urgency::Info, "a host key of {d} was trusted by {u}", ""),
    (
        "circuit.opened",
        Topic::Breaker,
        Urgency::Error,
        "logins that nobody waits for are held back: {w}",
        "rotorctl status",
    ),
    ("circuit.closed", Topic::Breaker, Urgency::Info, "logins are no longer held back", ""),
    ("clock.wrong", Topic::Clock, Urgency::Error, "the clock of this host looks wrong: {w}", "timedatectl status"),
    ("clock.right", Topic::Clock, Urgency::Info, "the clock of this host looks right again", ""),
    (
        "vault.failed",
        Topic::Vault,
        Urgency::Critical,
        "the vault could not be written, so no rotation started: {w}",
        "rotorctl status",
    ),
    ("vault.works", Topic::Vault, Urgency::Info, "the vault can be written again", ""),
    (
        "vault.restored",
        Topic::Vault,
        Urgency::Error,
        "the vault was restored from a backup: {w}",
        "rotorctl verify '*'",
    ),
    ("vault.backup", Topic::Backup, Urgency::Info, "a backup of the vault was made by {u}", ""),
    (
        "backup.overdue",
        Topic::Backup,
        Urgency::Warning,
        "the last backup of the vault is too old: {w}",
        "rotorctl backup FILE",
    ),
    (
        "escrow.failed",
        Topic::Escrow,
        Urgency::Critical,
        "nothing can be put in escrow, so no password is changed: {w}",
        "rotorctl status",
    ),
    ("escrow.works", Topic::Escrow, Urgency::Info, "passwords can be put in escrow again", ""),
    (
        "audit.rewritten",
        Topic::Audit,
        Urgency::Critical,
        "the audit log was rewritten or cut: {w}",
        "rotorctl audit verify",
    ),
    ("audit.accepted", Topic::Audit, Urgency::Info, "{u} accepted what was found of the audit log: {w}", ""),
    ("audit.archived", Topic::Audit, Urgency::Info, "{u} set files of the audit log aside: {w}", ""),
    (
        "config.refused",
        Topic::Config,
        Urgency::Error,
        "the new config is refused, the old one is in force: {w}",
        "rotord check",
    ),
    ("daemon.reload", Topic::Config, Urgency::Info, "the config was read again: {w}", ""),
    ("run.waiting", Topic::Person, Urgency::Error, "a run of {a} waits for a person: {w}", "rotorctl browser {a}"),
    ("run.waited", Topic::Person, Urgency::Info, "a run of {a} waits for a person no more: {w}", ""),
    (
        "view.start",
        Topic::Secret,
        Urgency::Info,
        "{u} looks into the browser of a run of {a} that waits for a person",
        "",
    ),
    ("browse.start", Topic::Secret, Urgency::Info, "{u} asked for a browser that is logged in as {a}", ""),
    ("browse.end", Topic::Secret, Urgency::Info, "the browser session of {u} as {a} is over: {w}", ""),
    ("access.denied", Topic::Denied, Urgency::Info, "{u} was refused: {w}", ""),
    ("rotation.done", Topic::Rotated, Urgency::Info, "{a} was changed, and a login proved it", ""),
    ("rotation.recovered", Topic::Rotated, Urgency::Info, "{a} is settled again: {w}", ""),
    ("rotation.failed", Topic::Failed, Urgency::Warning, "{a} was not changed: {w}", "rotorctl explain {a}"),
    (
        "rotation.unknown",
        Topic::Doubt,
        Urgency::Info,
        "it is not known yet which password {a} has: {w}",
        "rotorctl explain {a}",
    ),
    ("rotation.refused", Topic::Failed, Urgency::Info, "a rotation of {a} was refused: {w}", "rotorctl explain {a}"),
    (
        "verify.failed",
        Topic::Verify,
        Urgency::Warning,
        "the stored password of {a} did not pass its verify: {w}",
        "rotorctl explain {a}",
    ),
    ("verify.done", Topic::Verify, Urgency::Info, "the stored password of {a} works", ""),
    ("secret.set", Topic::Secret, Urgency::Info, "{u} stored a secret of {a}", ""),
    ("secret.shown", Topic::Secret, Urgency::Info, "{u} was shown a secret of {a}", ""),
    ("totp.set", Topic::Secret, Urgency::Info, "{u} stored a seed of {a}", ""),
    ("totp.shown", Topic::Secret, Urgency::Info, "{u} was shown a code of {a}", ""),
    ("key.rotated", Topic::Secret, Urgency::Info, "{u} changed the key of the vault", ""),
    ("schedule.paused", Topic::Daemon, Urgency::Info, "{u} paused scheduled work: {a}{j}", ""),
    ("schedule.resumed", Topic::Daemon, Urgency::Info, "{u} resumed scheduled work: {a}{j}", ""),
    ("daemon.start", Topic::Daemon, Urgency::Info, "rotord started: {w}", ""),
    ("daemon.stop", Topic::Daemon, Urgency::Info, "rotord stopped", ""),
    ("warning.acknowledged", Topic::Warning, Urgency::Info, "{u} has seen to a warning of {a}", ""),
    ("notify.dropped", Topic::Notify, Urgency::Error, "{w}", "rotorctl audit export --format json"),
    ("notify.test", Topic::Notify, Urgency::Info, "{w}", "rotorctl notify list"),
];

/// What each event that ends a trouble ends: of its account, of its device, or of the daemon.
const ENDS: &[(&str, &[Topic])] = &[
    ("rotation.done", &[Topic::Failed, Topic::Verify, Topic::Doubt, Topic::Quarantine, Topic::Overdue]),
    ("rotation.recovered", &[Topic::Doubt, Topic::Quarantine, Topic::Verify]),
    ("verify.done", &[Topic::Verify, Topic::Doubt, Topic::Quarantine]),
    ("host_key.trusted", &[Topic::HostKey]),
    ("run.waited", &[Topic::Person]),
    ("circuit.closed", &[Topic::Breaker]),
    ("clock.right", &[Topic::Clock]),
    ("vault.works", &[Topic::Vault]),
    ("escrow.works", &[Topic::Escrow]),
    ("vault.backup", &[Topic::Backup]),
    ("audit.accepted", &[Topic::Audit]),
    ("daemon.reload", &[Topic::Config]),
    ("warning.acknowledged", &[Topic::Warning]),
];

/// What an event says, put into a rule's text.
fn fill(text: &str, event: &Event, word: impl Fn(&str) -> String) -> String {
    let actor = event.actor.as_ref().map_or("rotord", |actor| &actor.name);
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    // One pass: what is put in is not looked into again.
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        let value = match rest.get(at..at + 3) {
            Some("{a}") => event.account(),
            Some("{d}") => event.device(),
            Some("{j}") => event.job.as_deref().unwrap_or_default(),
            Some("{w}") => event.detail(),
            Some("{u}") => actor,
            _ => "",
        };
        out.push_str(&word(value));
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    out.push_str(rest);
    out.trim_end_matches([' ', ':', '.']).to_owned()
}

/// What is remembered of the events before: what was told of and has not ended, and who was refused.
#[derive(Debug, Default)]
pub struct Story {
    /// When it was told, and how urgent it was.
    told: BTreeMap<(Topic, String), (i64, Urgency)>,
    denied: HashMap<u32, Vec<i64>>,
}

impl Story {
    /// What the next event of the log is to people.
    pub fn take(&mut self, event: Event) -> Notice {
        let rule = RULES.iter().find(|rule| rule.0 == event.event);
        let (topic, mut urgency, mut sentence, mut command) = match rule {
            Some((_, topic, urgency, sentence, command)) => {
                (*topic, *urgency, fill(sentence, &event, str::to_owned), fill(command, &event, shell_word))
            }
            None => (Topic::Other, Urgency::Info, format!("{}: {}", event.event, event.detail()), String::new()),
        };
        let of_device = topic == Topic::HostKey;
        let subject = if of_device { event.device() } else { event.account() }.to_owned();
        let at_ms = event.at_ms();
        if topic == Topic::Denied
            && let Some(count) = self.denials(&event, at_ms)
        {
            let who = event.actor.as_ref().map_or("somebody", |actor| &actor.name);
            urgency = Urgency::Warning;
            sentence = format!("{who} was refused {count} times within 10 minutes: {}", event.detail());
            command = "rotorctl audit tail".into();
        }
        let ended = self.end(&event.event, &subject);
        let who = if topic == Topic::Denied {
            event.actor.as_ref().map_or(0, |actor| actor.uid).to_string()
        } else {
            subject.clone()
        };
        let repeats = urgency > Urgency::Info && self.repeats(topic, urgency, who, at_ms);
        Notice { event: Arc::new(event), topic, urgency, sentence, command, subject, repeats, ended }
    }

    /// How often the user of a refusal was refused lately, where that is more than a slip.
    fn denials(&mut self, event: &Event, at_ms: i64) -> Option<usize> {
        // `daemon::refusals` puts those that follow the first on record as one event with their count.
        let more = event.detail().split_once("refused ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        if self.denied.len() > 1000 {
            self.denied.clear();
        }
        let times = self.denied.entry(event.actor.as_ref().map_or(u32::MAX, |actor| actor.uid)).or_default();
        times.retain(|time| (at_ms - DENIED_MS..=at_ms).contains(time));
        times.extend(std::iter::repeat_n(at_ms, more.unwrap_or(1).min(1000)));
        let count = times.len();
        times.drain(..count.saturating_sub(1000));
        (count >= DENIED).then_some(count)
    }

    /// Takes note of what an event ends; which of that was told of.
    fn end(&mut self, event: &str, subject: &str) -> Vec<(Topic, Urgency)> {
        let ended = ENDS.iter().find(|(name, _)| *name == event).map_or(&[][..], |(_, topics)| topics);
        let told = ended.iter().copied();
        told.filter_map(|topic| Some((topic, self.told.remove(&(topic, subject.to_owned()))?.1))).collect()
    }

    /// Whether it was told of not long ago; from now on it was.
    fn repeats(&mut self, topic: Topic, urgency: Urgency, subject: String, at_ms: i64) -> bool {
        // A clock that was set back past it makes it news again.
        let lately = |told: i64| (0..TOLD_AGAIN_MS).contains(&at_ms.saturating_sub(told));
        if self.told.len() >= REMEMBERED {
            self.told.retain(|_, (told, _)| lately(*told));
            if self.told.len() >= REMEMBERED {
                self.told.clear();
            }
        }
        let key = (topic, subject);
        if let Some((told, before)) = self.told.get_mut(&key)
            && lately(*told)
        {
            *before = urgency.max(*before);
            return true;
        }
        self.told.insert(key, (at_ms, urgency));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Actor;

    fn event(name: &str, account: &str, minute: i64) -> Event {
        let time = crate::model::rfc3339(1_796_000_000_000 + minute * 60_000);
        let device = account.split('/').next().unwrap_or_default().to_owned();
        Event {
            account: Some(account.to_owned()).filter(|account| !account.is_empty()),
            device: Some(device),
            ..Event::outside(name, time, "cannot connect to it")
        }
    }

    #[test]
    fn a_run_that_waits_names_the_command_that_shows_its_page() {
        let notice = Story::default().take(event("run.waiting", "wiki/the admin", 0));
        assert_eq!(notice.command, "rotorctl browser 'wiki/the admin'");
    }

    #[test]
    fn each_rule_says_something_and_what_is_urgent_names_what_to_type() {
        let mut story = Story::default();
        for (name, topic, urgency, ..) in RULES {
            let notice = story.take(event(name, "web1/admin", 0));
            assert_eq!((notice.topic, notice.urgency), (*topic, *urgency), "{name}");
            assert!(!notice.sentence.is_empty() && !notice.sentence.contains(['{', '}']), "{notice:?}");
            assert!(notice.urgency == Urgency::Info || !notice.command.is_empty(), "{name}");
            assert!(!notice.command.contains(['{', '}']), "{notice:?}");
        }
        for (name, _) in ENDS {
            assert!(RULES.iter().any(|rule| rule.0 == *name), "{name}");
        }
        let unknown = story.take(event("future.thing", "web1/admin", 0));
        assert_eq!((unknown.topic, unknown.urgency), (Topic::Other, Urgency::Info));
        assert!(Topic::ALL.iter().all(|topic| { *topic == Topic::Other || RULES.iter().any(|rule| rule.1 == *topic) }));
    }

    #[test]
    fn a_name_is_quoted_in_the_command_and_text_is_not_looked_into_again() {
        let mut story = Story::default();
        let notice = story.take(event("account.quarantined", "web1/CORP\\o'neil", 0));
        assert_eq!(notice.command, "rotorctl explain 'web1/CORP\\o'\\''neil'");
        let hostile = Event { detail: Some("{a} {u} {x".into()), ..event("rotation.failed", "web1/admin", 1) };
        assert_eq!(story.take(hostile).sentence, "web1/admin was not changed: {a} {u} {x");
        assert_eq!(shell_word("*"), "'*'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn what_goes_on_is_told_once_until_it_ends_or_half_a_day_passes() {
        let mut story = Story::default();
        let mut repeats = |name: &str, account: &str, minute| story.take(event(name, account, minute)).repeats;
        assert!(!repeats("rotation.failed", "web1/admin", 0));
        assert!(repeats("rotation.failed", "web1/admin", 5));
        assert!(!repeats("rotation.failed", "web1/root", 6), "another account");
        assert!(!repeats("account.quarantined", "web1/admin", 7), "another trouble");
        assert!(!repeats("rotation.done", "web1/admin", 10));
        assert!(!repeats("rotation.failed", "web1/admin", 11), "it had ended");
        assert!(repeats("rotation.failed", "web1/admin", 11 + 719));
        assert!(!repeats("rotation.failed", "web1/admin", 11 + 720), "half a day later");
        assert!(!repeats("rotation.failed", "web1/admin", -100_000), "the clock was set back");
        assert!(
            !repeats("daemon.start", "", 0) && !repeats("daemon.start", "", 0),
            "what is for the record never repeats"
        );
    }

    #[test]
    fn an_end_is_one_only_of_what_was_told() {
        let mut story = Story::default();
        assert!(!story.take(event("clock.right", "", 0)).ends());
        story.take(event("clock.wrong", "", 1));
        assert!(story.take(event("clock.right", "", 2)).ends());
        story.take(event("host_key.mismatch", "web1/admin", 3));
        assert!(story.take(event("host_key.trusted", "web1", 4)).ends(), "a device's trouble ends by its device");
    }

    #[test]
    fn a_user_who_is_refused_again_and_again_is_told_of() {
        let mut story = Story::default();
        let denied = |uid, detail: &str, minute| Event {
            actor: Some(Actor { uid, name: format!("u{uid}"), pid: 1 }),
            detail: Some(detail.to_owned()),
            ..event("access.denied", "", minute)
        };
        assert_eq!(story.take(denied(7, "role custodian was needed", 0)).urgency, Urgency::Info);
        assert_eq!(story.take(denied(8, "role custodian was needed", 0)).urgency, Urgency::Info);
        assert_eq!(story.take(denied(7, "role custodian was needed", 20)).urgency, Urgency::Info, "a slip each");
        let many = story.take(denied(7, "role custodian was needed; refused 999 more times since then", 21));
        assert_eq!(many.urgency, Urgency::Warning);
        assert!(many.sentence.contains("u7 was refused 1000 times") && !many.repeats, "{}", many.sentence);
        assert!(story.take(denied(7, "role custodian was needed; refused 5 more times since then", 22)).repeats);
    }
}
