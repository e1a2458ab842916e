//! The state machine of one account's rotation: an event in; one transition and one act out.
//!
//! Pure. It decides; `daemon` performs. The transition of a [`Reaction`] is durable before its act, and where it cannot be made
//! durable nothing is done. So a crash finds each account in one of these phases, and [`Event::Recover`] goes on from there.
//!
//! A login that is refused says little about its password alone: its code may have been used by a person, the server that
//! judges it may be down, a disk may be full. So one refusal condemns nothing. Where a device takes none of the passwords,
//! rotord looks again, in a later time step, then every hour, and after [`PATIENCE`] looks once a day, in quarantine.

use super::phase::{Doubt, PATIENCE, Phase, Which};

/// So many refused logins end an attempt before its commit point, whatever allows one more: as many as the largest lockout budget
/// has. A refusal that cost no budget would else be asked for without end.
const MOST_REFUSED: u8 = 10;

/// Refused logins of one attempt count as so many looks at the most: they came within minutes, and may have one cause.
const LOOKS_OF_ONE_ATTEMPT: u8 = 2;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The request was admitted and a candidate made.
    Begin,
    /// The login with the old password worked.
    LoggedIn,
    /// The login was refused, or a key opened it and the password was refused behind it; `retry` tells whether the lockout
    /// budget allows one more.
    LoginRefused {
        /// Whether one more login may be tried now.
        retry: bool,
        /// Whether the account that logs in is the one that changes: then a person must look at it.
        own: bool,
    },
    /// It was refused, and the vault has a later password, which was sent once and taken back since a login proved the one
    /// before: the device may have come to it since.
    Outdated,
    /// Before the commit point: connecting, the host key, a prompt or the template failed, or the daemon is stopping.
    Failed,
    /// The next line sends the new password.
    AtCommitPoint,
    /// The template, or the login that demanded the new password, came to its end.
    Ran,
    /// After the commit point the dialogue broke; `refused` tells whether the device seems to have said no.
    Broken {
        /// Whether the device seems to have refused the new password.
        refused: bool,
    },
    /// A checking login worked.
    Proved(Which),
    /// A checking login was refused.
    Disproved(Which),
    /// The device hung up on a checking login, after the password was sent.
    HungUp(Which),
    /// There is no such password to try.
    Absent(Which),
    /// A checking login could not be tried, or told nothing: no connection, no budget left, or no word about the password.
    Unreachable,
    /// The time has come to look at an account in quarantine: one login, with this password.
    Look(Which),
    /// A person has the reconcile account set a new password, where the device took none of the known ones.
    GiveUp,
    /// The daemon starts and finds the account in this phase, or a waiting account's time has come.
    Recover,
}

/// What to make durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persist {
    /// The candidate is stored, sealed.
    Prepared,
    /// A candidate is stored for an account whose password is not known.
    Mending,
    /// Logged in with the old password.
    Changing,
    /// The change counts for the cap from here on.
    Sent,
    /// The dialogue is over.
    Verifying,
    /// Logins will decide.
    Uncertain(Doubt),
    /// The candidate becomes the current password, the old one history.
    Promote,
    /// The candidate is dropped: the old password is in force.
    Revert,
    /// A person is needed; both passwords are kept.
    Quarantine,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The new password works.
    Done,
    /// The old password is in force. `sent` tells whether the change went past its commit point.
    Failed {
        /// Whether the new password had been sent.
        sent: bool,
    },
    /// Not known yet: to be found out later by itself.
    Waiting,
    /// A person is needed.
    Quarantined,
}

/// What is done once the transition before it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Log in with the old password to make the change.
    Connect,
    /// Run the template.
    RunTemplate,
    /// Let the line with the new password go.
    Release,
    /// Log in afresh with this password, and hang up.
    Check(Which),
    /// Over.
    Finish(End),
}

/// What follows an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaction {
    /// What to make durable first, with its audit event.
    pub persist: Option<Persist>,
    /// What that allows.
    pub act: Act,
}

/// An act that changes nothing about what is durable.
fn only(act: Act) -> Reaction {
    Reaction { persist: None, act }
}

/// An event that cannot happen in the phase at hand: a mistake of the caller, told and not guessed at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event:?} cannot happen in phase {phase:?}")]
pub struct Unexpected {
    /// The phase.
    pub phase: Phase,
    /// The event.
    pub event: Event,
}

/// One account's rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    phase: Phase,
    /// After so many looks in vain a person is told.
    patience: u8,
    /// A person asks: a look tries both passwords.
    thorough: bool,
    /// Logins that were refused before the commit point.
    refused: u8,
}

impl Rotation {
    /// A rotation in the phase that the vault holds.
    #[must_use]
    pub fn at(phase: Phase) -> Self {
        Self { phase, patience: PATIENCE, thorough: false, refused: 0 }
    }

    /// The same, with another patience.
    #[must_use]
    pub fn patient(self, patience: u8) -> Self {
        Self { patience, ..self }
    }

    /// The same, where a person asks, and so both passwords are tried.
    #[must_use]
    pub fn thorough(self, thorough: bool) -> Self {
        Self { thorough, ..self }
    }

    /// The phase it is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes an event in: the next state, what to make durable and what to do.
    ///
    /// # Errors
    /// The event does not fit the phase; the rotation stays as it is.
    pub fn step(&mut self, event: Event) -> Result<Reaction, Unexpected> {
        use Act::{Check, Connect, Finish, Release, RunTemplate};
        let event = match event {
            Event::LoginRefused { retry, own } => {
                Event::LoginRefused { retry: retry && self.refused + 1 < MOST_REFUSED, own }
            }
            event => event,
        };
        let reaction = match (self.phase, event) {
            (Phase::Idle, Event::Begin) => self.go(Phase::Prepared, Persist::Prepared, Connect),
            (Phase::Idle, Event::Recover) => only(Finish(End::Failed { sent: false })),

            (Phase::Prepared, Event::LoggedIn) => self.go(Phase::Changing, Persist::Changing, RunTemplate),
            (Phase::Prepared | Phase::Mending, Event::LoginRefused { retry: true, .. }) => {
                self.refused += 1;
                only(Connect)
            }
            (Phase::Prepared | Phase::Changing, Event::LoginRefused { retry: false, own: true }) => {
                let looks = (self.refused + 1).min(LOOKS_OF_ONE_ATTEMPT);
                self.wait(Doubt { other_refused: true, looks, ..Doubt::fresh(Which::Old) })
            }
            (Phase::Prepared | Phase::Changing, Event::Outdated) => self.doubt(Doubt::fresh(Which::New)),
            (Phase::Prepared, Event::LoginRefused { retry: false, own: false } | Event::Failed | Event::Recover)
            | (Phase::Changing, Event::Failed | Event::Ran | Event::Recover) => {
                self.go(Phase::Idle, Persist::Revert, Finish(End::Failed { sent: false }))
            }
            (Phase::Prepared | Phase::Changing, Event::AtCommitPoint) => self.go(Phase::Sent, Persist::Sent, Release),

            (Phase::Sent, Event::Ran) => self.go(Phase::Verifying, Persist::Verifying, Check(Which::New)),
            (Phase::Sent, Event::Broken { refused }) => {
                self.doubt(Doubt::fresh(if refused { Which::Old } else { Which::New }))
            }
            (Phase::Sent | Phase::Verifying, Event::Recover) => self.doubt(Doubt::fresh(Which::New)),

            (Phase::Verifying | Phase::Uncertain(_) | Phase::Quarantined, Event::Proved(Which::New)) => {
                self.go(Phase::Idle, Persist::Promote, Finish(End::Done))
            }
            (Phase::Verifying | Phase::Uncertain(_) | Phase::Quarantined, Event::Proved(Which::Old)) => {
                self.go(Phase::Idle, Persist::Revert, Finish(End::Failed { sent: true }))
            }
            (Phase::Verifying, Event::Disproved(which)) => self.refused(Doubt::fresh(which)),
            (Phase::Verifying, Event::Absent(which)) => self.absent(Doubt::fresh(which)),
            (Phase::Verifying, Event::HungUp(which)) => self.doubt(Doubt { hung_up: true, ..Doubt::fresh(which) }),
            (Phase::Verifying, Event::Unreachable) => {
                let doubt = Doubt::fresh(Which::New);
                self.go(Phase::Uncertain(doubt), Persist::Uncertain(doubt), Finish(End::Waiting))
            }
            (Phase::Uncertain(doubt), Event::Disproved(which)) if which == doubt.likely => self.refused(doubt),
            (Phase::Uncertain(doubt), Event::Absent(which)) if which == doubt.likely => self.absent(doubt),
            // Two that come to nothing within a minute or so have one cause, such as a device with no session to give.
            (Phase::Uncertain(doubt), Event::HungUp(which)) if which == doubt.likely => {
                if doubt.hung_up || doubt.looks > 0 {
                    self.in_vain(doubt)
                } else {
                    self.doubt(Doubt { hung_up: true, ..doubt })
                }
            }
            (Phase::Uncertain(doubt), Event::GiveUp) if doubt.looks > 0 => {
                self.go(Phase::Quarantined, Persist::Quarantine, Finish(End::Quarantined))
            }
            (Phase::Uncertain(_), Event::Unreachable) => only(Finish(End::Waiting)),
            (Phase::Uncertain(doubt), Event::Recover) => only(Check(doubt.likely)),

            (Phase::Quarantined, Event::Begin) => self.go(Phase::Mending, Persist::Mending, Connect),
            (Phase::Mending, Event::LoggedIn) => only(RunTemplate),
            (Phase::Mending, Event::AtCommitPoint) => self.go(Phase::Sent, Persist::Sent, Release),
            (
                Phase::Mending,
                Event::LoginRefused { retry: false, .. } | Event::Failed | Event::Ran | Event::Recover,
            ) => self.go(Phase::Quarantined, Persist::Quarantine, Finish(End::Quarantined)),

            // What was refused before may be taken now. Only what is taken changes anything.
            (Phase::Quarantined, Event::Recover) => only(Check(Which::Old)),
            (Phase::Quarantined, Event::Look(which)) => only(Check(which)),
            (
                Phase::Quarantined,
                Event::Disproved(Which::Old) | Event::HungUp(Which::Old) | Event::Absent(Which::Old),
            ) if self.thorough => only(Check(Which::New)),
            (Phase::Quarantined, Event::Disproved(_) | Event::HungUp(_) | Event::Absent(_) | Event::Unreachable) => {
                only(Finish(End::Quarantined))
            }
            (phase, event) => return Err(Unexpected { phase, event }),
        };
        Ok(reaction)
    }

    fn go(&mut self, phase: Phase, persist: Persist, act: Act) -> Reaction {
        self.phase = phase;
        Reaction { persist: Some(persist), act }
    }

    fn doubt(&mut self, doubt: Doubt) -> Reaction {
        self.go(Phase::Uncertain(doubt), Persist::Uncertain(doubt), Act::Check(doubt.likely))
    }

    /// The password that was tried was refused: the other one is tried, where this look may.
    fn refused(&mut self, doubt: Doubt) -> Reaction {
        if doubt.other_refused || doubt.looks > 0 && !self.thorough {
            self.in_vain(doubt)
        } else {
            self.the_other(doubt)
        }
    }

    /// There is none to try: that is no look.
    fn absent(&mut self, doubt: Doubt) -> Reaction {
        if doubt.other_refused { self.in_vain(doubt) } else { self.the_other(doubt) }
    }

    fn the_other(&mut self, doubt: Doubt) -> Reaction {
        self.doubt(Doubt { likely: doubt.likely.other(), other_refused: true, hung_up: false, ..doubt })
    }

    /// A look at the account has come to its end, and nothing was taken.
    fn in_vain(&mut self, doubt: Doubt) -> Reaction {
        let looks = doubt.looks.saturating_add(1);
        self.wait(Doubt { looks, ..Doubt::fresh(doubt.likely.other()) })
    }

    /// Another look follows later; or a person is told, where there were enough.
    fn wait(&mut self, doubt: Doubt) -> Reaction {
        if doubt.looks >= self.patience {
            self.go(Phase::Quarantined, Persist::Quarantine, Act::Finish(End::Quarantined))
        } else {
            self.go(Phase::Uncertain(doubt), Persist::Uncertain(doubt), Act::Finish(End::Waiting))
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
