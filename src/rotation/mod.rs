//! The state machine of one account's rotation: events in, actions out.
//!
//! Pure. It decides; `daemon` performs. Every [`Action::Persist`] stands before the act that it allows, and whoever
//! performs the actions does so in order and stops at the first that fails. So a crash finds each account in one of
//! these phases, and [`Event::Recover`] goes on from there.

#[cfg(test)]
mod tests;

/// Which password a login is tried with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one in force before the change.
    Old,
    /// The candidate.
    New,
}

impl Which {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }
}

/// What is known where it is not known which of two passwords is in force. All of it is durable: what one login found
/// out is not asked again, whatever happens in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// The password to try next.
    pub likely: Which,
    /// A login with the other one was refused.
    pub other_refused: bool,
    /// The device hung up on the last login with this one. A second time it means no.
    pub hung_up: bool,
}

impl Doubt {
    /// Nothing was tried yet.
    #[must_use]
    pub fn fresh(likely: Which) -> Self {
        Self { likely, other_refused: false, hung_up: false }
    }
}

/// The durable state of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is under way.
    Idle,
    /// A candidate is stored; nothing was sent.
    Prepared,
    /// Logged in; the template has not reached its commit point.
    Changing,
    /// The new password may be on its way.
    Sent,
    /// The template is through; a fresh login is being tried.
    Verifying,
    /// The device holds one of the two passwords; the likelier one is tried first.
    Uncertain(Doubt),
    /// Neither works: a person is needed.
    Quarantined,
    /// As [`Phase::Quarantined`], and the reconcile account is about to set a password that it was given for that.
    Mending,
}

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
    /// A checking login could not be tried: no connection, or no budget left.
    Unreachable,
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

/// What to do, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Make durable, with its audit event.
    Persist(Persist),
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
}

impl Rotation {
    /// A rotation in the phase that the vault holds.
    #[must_use]
    pub fn at(phase: Phase) -> Self {
        Self { phase }
    }

    /// The phase it is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes an event in: the next state and what to do.
    ///
    /// # Errors
    /// The event does not fit the phase; the rotation stays as it is.
    pub fn step(&mut self, event: Event) -> Result<Vec<Action>, Unexpected> {
        use Action::{Check, Connect, Finish, Release, RunTemplate};
        let actions = match (self.phase, event) {
            (Phase::Idle, Event::Begin) => self.go(Phase::Prepared, Persist::Prepared, &[Connect]),
            (Phase::Idle, Event::Recover) => vec![Finish(End::Failed { sent: false })],

            (Phase::Prepared, Event::LoggedIn) => self.go(Phase::Changing, Persist::Changing, &[RunTemplate]),
            (Phase::Prepared, Event::LoginRefused { retry: true, .. }) => vec![Connect],
            (Phase::Prepared | Phase::Changing, Event::LoginRefused { retry: false, own: true }) => {
                self.go(Phase::Quarantined, Persist::Quarantine, &[Finish(End::Quarantined)])
            }
            (Phase::Prepared | Phase::Changing, Event::Outdated) => self.doubt(Doubt::fresh(Which::New)),
            (Phase::Prepared, Event::LoginRefused { retry: false, own: false } | Event::Failed | Event::Recover)
            | (Phase::Changing, Event::Failed | Event::Ran | Event::Recover) => {
                self.go(Phase::Idle, Persist::Revert, &[Finish(End::Failed { sent: false })])
            }
            (Phase::Prepared | Phase::Changing, Event::AtCommitPoint) => {
                self.go(Phase::Sent, Persist::Sent, &[Release])
            }

            (Phase::Sent, Event::Ran) => self.go(Phase::Verifying, Persist::Verifying, &[Check(Which::New)]),
            (Phase::Sent, Event::Broken { refused }) => {
                self.doubt(Doubt::fresh(if refused { Which::Old } else { Which::New }))
            }
            (Phase::Sent | Phase::Verifying, Event::Recover) => self.doubt(Doubt::fresh(Which::New)),

            (Phase::Verifying | Phase::Uncertain(_), Event::Proved(Which::New)) => {
                self.go(Phase::Idle, Persist::Promote, &[Finish(End::Done)])
            }
            (Phase::Verifying | Phase::Uncertain(_), Event::Proved(Which::Old)) => {
                self.go(Phase::Idle, Persist::Revert, &[Finish(End::Failed { sent: true })])
            }
            (Phase::Verifying, Event::Disproved(which)) => self.rule_out(Doubt::fresh(which)),
            (Phase::Verifying, Event::HungUp(which)) => self.doubt(Doubt { hung_up: true, ..Doubt::fresh(which) }),
            (Phase::Verifying, Event::Unreachable) => {
                let doubt = Doubt::fresh(Which::New);
                self.go(Phase::Uncertain(doubt), Persist::Uncertain(doubt), &[Finish(End::Waiting)])
            }
            (Phase::Uncertain(doubt), Event::Disproved(which)) if which == doubt.likely => self.rule_out(doubt),
            (Phase::Uncertain(doubt), Event::HungUp(which)) if which == doubt.likely => {
                if doubt.hung_up {
                    self.rule_out(doubt)
                } else {
                    self.doubt(Doubt { hung_up: true, ..doubt })
                }
            }
            (Phase::Uncertain(_), Event::Unreachable) => vec![Finish(End::Waiting)],
            (Phase::Uncertain(doubt), Event::Recover) => vec![Check(doubt.likely)],

            (Phase::Quarantined, Event::Begin) => self.go(Phase::Mending, Persist::Mending, &[Connect]),
            (Phase::Mending, Event::LoggedIn) => vec![RunTemplate],
            (Phase::Mending, Event::LoginRefused { retry: true, .. }) => vec![Connect],
            (Phase::Mending, Event::AtCommitPoint) => self.go(Phase::Sent, Persist::Sent, &[Release]),
            (
                Phase::Mending,
                Event::LoginRefused { retry: false, .. } | Event::Failed | Event::Ran | Event::Recover,
            ) => self.go(Phase::Quarantined, Persist::Quarantine, &[Finish(End::Quarantined)]),

            // A person asked to look again: what was ruled out before may work now.
            (Phase::Quarantined, Event::Recover) => self.doubt(Doubt::fresh(Which::Old)),
            (phase, event) => return Err(Unexpected { phase, event }),
        };
        Ok(actions)
    }

    fn go(&mut self, phase: Phase, persist: Persist, then: &[Action]) -> Vec<Action> {
        self.phase = phase;
        std::iter::once(Action::Persist(persist)).chain(then.iter().copied()).collect()
    }

    fn doubt(&mut self, doubt: Doubt) -> Vec<Action> {
        self.go(Phase::Uncertain(doubt), Persist::Uncertain(doubt), &[Action::Check(doubt.likely)])
    }

    /// The password that was tried is not in force.
    fn rule_out(&mut self, doubt: Doubt) -> Vec<Action> {
        if doubt.other_refused {
            self.go(Phase::Quarantined, Persist::Quarantine, &[Action::Finish(End::Quarantined)])
        } else {
            self.doubt(Doubt { likely: doubt.likely.other(), other_refused: true, hung_up: false })
        }
    }
}
