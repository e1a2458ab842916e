//! What goes into a run and what comes out of it.

use crate::model::Secret;
use crate::template::Text;

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The session's shell is open.
    Start,
    /// The device sent bytes.
    Output(&'a [u8]),
    /// The time that the run gave as its deadline has come.
    Tick,
    /// The device closed the session.
    Closed,
    /// The code that [`Effect::NeedCode`] asked for.
    Code(Secret),
    /// The commit point is durable: the new password may leave.
    Committed,
}

/// Whose code is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The account whose password changes, or the login account where that one has no seed.
    Account,
    /// The login account.
    Login,
}

/// What to do, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Send these bytes.
    Send(Secret),
    /// Send what the terminal says of itself: the device asked for it. It is no line of the template.
    Reply(String),
    /// What is sent next holds a password or a code that the device may refuse, and count as a refused login.
    Risk(Whose),
    /// The device went on, and so took what was risked.
    Accepted,
    /// Make a code and hand it in with [`Input::Code`].
    NeedCode(Whose),
    /// Make it durable that the new password may be at the device, then hand in [`Input::Committed`].
    CommitPoint,
    /// Something to show, without any secret.
    Step(String),
    /// The run is over.
    Finished(Verdict),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The template ran to its end; the flag tells whether its commit point was passed.
    Ran {
        /// Whether the new password was sent.
        committed: bool,
    },
    /// It failed.
    Failed(RunFailure),
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFailure {
    /// What was awaited and what was seen, secrets masked.
    pub message: String,
    /// Whether the new password may have reached the device.
    pub committed: bool,
    /// Whether the device seems to have refused the new password.
    pub device_refuses: bool,
    /// Whether the device printed something in answer to what was sent last.
    pub answered: bool,
    /// What the device said no to; the run itself does not know what became of a risk, whoever carries it does.
    pub refused: Option<Refused>,
    /// Whether the template itself says so, with `fail` or `no-expect`, of something that was typed; else something did not
    /// come, or broke.
    pub judged: bool,
    /// Whether anything was typed before.
    pub typed: bool,
    /// Whether `section save` came to its end after it.
    pub saved: bool,
}

/// A password or a code that a device said no to inside a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Whose it is.
    pub whose: Whose,
    /// A code was sent last: that, or the clock by which it was made, may be what is wrong.
    pub with_code: bool,
}

/// Whose code a text needs before it can be sent.
#[must_use]
pub fn needs_code(text: &Text) -> Option<Whose> {
    if text.has_tag("AUTH_TOTP_TOKEN") {
        Some(Whose::Login)
    } else {
        text.has_tag("TOTP_TOKEN").then_some(Whose::Account)
    }
}

/// Whose password or code a text holds that the device judges: a new password is judged only where the run proves it.
#[must_use]
pub fn risks(text: &Text, proves: bool) -> Option<Whose> {
    let has = |tags: &[&str]| tags.iter().any(|tag| text.has_tag(tag));
    if proves && has(&["NEW_PASSWORD"]) {
        Some(Whose::Account)
    } else if has(&["AUTH_PASSWORD", "AUTH_TOTP_TOKEN"]) {
        Some(Whose::Login)
    } else if has(&["CURRENT_PASSWORD", "TOTP_TOKEN"]) {
        Some(Whose::Account)
    } else {
        None
    }
}
