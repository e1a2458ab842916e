//! The durable state of a rotation, and when an account in it is looked at.

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
    /// A login with the other one was refused, in the look at hand.
    pub other_refused: bool,
    /// The device hung up on the last login with this one: it is tried once more at once, as the line may have broken.
    pub hung_up: bool,
    /// Looks in which the device took none of the passwords that were tried. From the first one on each look is one login, with
    /// the other password in turn.
    pub looks: u8,
}

/// After so many looks in which a device took nothing, a person is told.
pub const PATIENCE: u8 = 6;

/// After so many the reconcile account is, where it mends by itself: it shows whether the device judges as it should.
pub const PATIENCE_OF_MENDERS: u8 = 2;

/// The second look follows the first one in this time: with another code, and in another mood of what judges it. In milliseconds.
const SECOND_LOOK_MS: i64 = 30_000;

/// An account whose device took nothing is looked at so often, in milliseconds.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// In quarantine it is looked at so often, in milliseconds.
pub const QUARANTINE_LOOK_MS: i64 = 24 * HOUR_MS;

impl Phase {
    /// In how many milliseconds an account in this phase is looked at again, after so many tries that came to nothing; `None`
    /// where it is at rest, or at work. After a minute, then two, then four, and at last every hour: a device may count logins
    /// that came to nothing.
    #[must_use]
    pub fn look_again_ms(self, tries: u32) -> Option<i64> {
        match self {
            Self::Uncertain(Doubt { looks: 2.., .. }) => Some(HOUR_MS),
            Self::Uncertain(Doubt { looks: 1, .. }) if tries == 0 => Some(SECOND_LOOK_MS),
            Self::Uncertain(_) | Self::Sent | Self::Verifying => Some((60_000 << tries.min(6)).min(HOUR_MS)),
            Self::Quarantined => Some(QUARANTINE_LOOK_MS),
            _ => None,
        }
    }

    /// Whether no new password of this change has been sent.
    #[must_use]
    pub fn is_before_commit(self) -> bool {
        matches!(self, Self::Idle | Self::Prepared | Self::Changing | Self::Mending)
    }

    /// Whether a new password was sent, and a login has not been tried to the end since.
    #[must_use]
    pub fn was_sent(self) -> bool {
        matches!(self, Self::Sent | Self::Verifying)
    }

    /// Whether a new password was sent, and it is not known yet whether it is in force.
    #[must_use]
    pub fn may_have_changed(self) -> bool {
        self.was_sent() || matches!(self, Self::Uncertain(_))
    }

    /// Whether it is not known which password is in force, and no change is under way.
    #[must_use]
    pub fn is_in_doubt(self) -> bool {
        matches!(self, Self::Uncertain(_) | Self::Quarantined)
    }

    /// Whether the next look is one with codes of another time step than the device is known to take: its clock may be off.
    #[must_use]
    pub fn probes(self) -> bool {
        match self {
            Self::Uncertain(doubt) => doubt.looks / 2 % 2 == 1,
            phase => phase == Self::Quarantined,
        }
    }

    /// Whether the device has refused its password before: that it does so once more tells nothing of others.
    #[must_use]
    pub fn expects_refusal(self) -> bool {
        matches!(self, Self::Quarantined | Self::Uncertain(Doubt { looks: 1.., .. }))
    }
}

/// What the look of this number tries in quarantine, from 1, and whether with codes of another time step than the device is
/// known to take. In four looks each of the two passwords has had both.
#[must_use]
pub fn daily_look(number: u32) -> (Which, bool) {
    (if number.is_multiple_of(2) { Which::New } else { Which::Old }, number / 2 % 2 == 1)
}

/// In how many milliseconds the next look in quarantine follows one that was made `after_ms` after it began. The day it falls on
/// is its number, so it keeps off the end of a day: a look that a code or a clock puts off a little would leave out a number, and
/// what that one tries would wait for four days more.
#[must_use]
pub fn next_daily_look_ms(after_ms: i64) -> i64 {
    let late_in_its_day = after_ms.rem_euclid(QUARANTINE_LOOK_MS) - QUARANTINE_LOOK_MS / 2;
    QUARANTINE_LOOK_MS - late_in_its_day.max(0)
}

impl Doubt {
    /// Nothing was tried yet.
    #[must_use]
    pub fn fresh(likely: Which) -> Self {
        Self { likely, other_refused: false, hung_up: false, looks: 0 }
    }
}

impl Doubt {
    /// Of an account at rest whose stored password was refused in so many looks, or of which it is to be found out; `later` tells
    /// whether one that was taken back is its candidate again.
    #[must_use]
    pub fn of_stored(looks: u8, later: bool) -> Self {
        match (looks, later) {
            (0, true) => Self::fresh(Which::Old),
            (_, true) => Self { other_refused: true, ..Self::fresh(Which::New) },
            (_, false) => Self { other_refused: true, looks, ..Self::fresh(Which::Old) },
        }
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
    /// Neither was taken in many looks: a person is told, and rotord looks once a day.
    Quarantined,
    /// As [`Phase::Quarantined`], and the reconcile account is about to set a password that it was given for that.
    Mending,
}
