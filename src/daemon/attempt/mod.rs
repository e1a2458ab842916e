//! One attempt: the state machine is asked, and what it answers is performed.
//!
//! [`AttemptContext`] is what stands fixed, and what others see while it is at work. [`Attempt`] is what changes; it has one owner.

mod acts;
mod browse;
mod context;
mod drive;
mod facts;
mod mend;
mod person;
mod prove;
mod record;
mod rehearse;
mod request;
mod room;
mod run;
mod shared;
mod start;
mod tell;
mod trial;
mod watch;

pub use browse::{BrowseRequest, Opened};
pub use mend::DeviceHas;
pub(super) use person::Recorders;
pub use person::{Recorded, Recorder, Turned};
pub use request::{Progress, Request, RotationResult};
pub(super) use tell::event_of_interrupted;
pub use trial::{Trial, Tried};

use std::sync::Arc;

use super::slots::Urgency;
use crate::executor::Person;
use crate::model::{Candidate, FailureCause, Moment};
use crate::recording::Said;
use crate::rotation::{Phase, Rotation};
use context::AttemptContext;
use watch::Heard;

/// An attempt under way.
pub(super) struct Attempt {
    cx: Arc<AttemptContext>,
    rotation: Rotation,
    passwords: Passwords,
    logins: Logins,
    told: Told,
    ending: Ending,
    /// A person who leads the dialogue in place of the template, and what was said with that person.
    person: Option<(Person, Vec<Said>)>,
}

/// The passwords that an attempt may find in force.
#[derive(Default)]
struct Passwords {
    candidate: Option<Candidate>,
    /// The candidate that it began with is one whose change had ended already: it was sent once and taken back.
    reverted: bool,
    /// The stored password was refused, and one that was taken back is tried in its place.
    outdated: bool,
    /// That its password is refused is no news: its vault was restored, or it was refused in the last look.
    refusal_is_no_news: bool,
}

/// What the logins of an attempt have shown.
#[derive(Default)]
struct Logins {
    /// A person asked to look again at an account in quarantine: until a login is taken, codes of other time steps are tried.
    probing: bool,
    /// So many were refused.
    refusals: u32,
    /// The device said no in words to one.
    refused_in_words: bool,
    /// One waits for a person each time.
    needs_person: bool,
    /// What the attempt failed of, where that decides what a person can do.
    failure: Option<FailureCause>,
    /// A check proved a password.
    proved: bool,
    /// The password that is in force was proved by the template's section verify, and by no login of its own.
    by_section: bool,
}

/// What is told of an attempt.
#[derive(Default)]
struct Told {
    detail: String,
    /// What is not clean about the change, though a login may prove it.
    flaws: Vec<String>,
    /// What is not clean about the attempt, at its end.
    warning: Option<String>,
}

/// What decides how an attempt ends, besides its state machine.
#[derive(Default)]
struct Ending {
    /// The daemon stopped before the commit point.
    cancelled: bool,
    /// A rule that was kept at the first look stood against it at the second.
    turned_down: bool,
    /// It has looked at an account in quarantine, which stays there.
    is_look: bool,
    /// The stored password was found to be the device's, and nothing had been changed.
    kept: bool,
    /// A rehearsal has come to the commit point.
    stopped_short: bool,
    /// When to go on by itself, where the outcome is not known.
    wake: Option<Moment>,
}

impl Attempt {
    fn new(context: AttemptContext) -> Self {
        Self {
            cx: Arc::new(context),
            rotation: Rotation::at(Phase::Idle),
            passwords: Passwords::default(),
            logins: Logins::default(),
            told: Told::default(),
            ending: Ending::default(),
            person: None,
        }
    }

    fn say(&mut self, detail: impl Into<String>) {
        let detail = self.cx.masked(detail);
        self.cx.step(detail.clone());
        self.told.detail = detail;
    }

    /// Something is not clean about the change that is under way.
    fn note_flaw(&mut self, flaw: &str) {
        let flaw = self.cx.masked(flaw);
        if !self.told.flaws.contains(&flaw) {
            self.told.flaws.push(flaw);
        }
    }

    /// The same, where the template, or what stands for it, broke off behind the commit point.
    fn note_broken_run(&mut self, why: &str) {
        self.note_flaw(&format!("the configuration may not be saved: {why}"));
    }

    /// What is not clean about a change that was proved.
    fn unclean(&self) -> Option<String> {
        let flaws = &self.told.flaws;
        (!flaws.is_empty()).then(|| format!("changed and proved; {}", flaws.join("; ")))
    }

    fn set_candidate(&mut self, candidate: Option<Candidate>) {
        if let Some(candidate) = &candidate {
            self.cx.log.hide(candidate.secret());
        }
        self.passwords.candidate = candidate;
    }

    /// Whether its next session comes before those of others: a new password was sent, and nobody knows yet whether it is in force.
    fn urgency(&self) -> Urgency {
        if self.rotation.phase().may_have_changed() { Urgency::Sent } else { Urgency::Usual }
    }

    /// Takes in what an executor has told.
    fn take_in(&mut self, heard: Heard) {
        let Heard { flaws, entered, stopped_short } = heard;
        for why in flaws {
            self.told.detail = self.cx.masked(format!("the login works, but {why}"));
            self.note_flaw(&why);
        }
        self.logins.probing &= !entered;
        self.ending.stopped_short |= stopped_short;
    }
}
