//! What devices of the field do besides asking for a password and a code. Which of these habits a device has is drawn from
//! the history's seed; a device keeps them when nothing fails any more.

use super::fleet::Site;
use super::random::Random;
use super::setting::Fleet;

/// What a device does of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Habit {
    /// It judges the password in the round of the password, before it asks for a code.
    JudgesEach,
    /// It asks again within one login for what it refused, up to three times, and the prompt says so.
    TriesAgain,
    /// Its prompts begin with notices: sshd(8) puts what PAM's modules say in front of the next question.
    Notices,
    /// Its prompts name the user and the host.
    NamesUser,
    /// It greets in a round without a question.
    Greets,
    /// It shows a banner that speaks of refused logins and locked accounts, whatever becomes of the login.
    LegalBanner,
    /// It gives the reason of a refusal in a round without a question.
    Explains,
    /// It hangs up on a login that it refuses, and says why.
    HangsUpInWords,
    /// It offers keyboard-interactive and fails it without a question, as OpenSSH with `UsePAM no`; `password` works.
    HollowInteractive,
    /// It takes no code of the step of the last one that it took, or of a step before it.
    NewerStepsOnly,
    /// It says that an account is locked. One that does not say so refuses the right password as if it were wrong.
    TellsLocked,
    /// It asks for the current password once more before it asks for a new one.
    AsksCurrent,
    /// It says why it demands a new password.
    SaysWhy,
    /// It demands a new password before it has judged the one that it was given.
    DemandsUnjudged,
    /// It demands a new password in the shell and not at the login; the shell of OpenSSH runs passwd(1).
    ForcesInShell,
    /// As [`Habit::ForcesInShell`], and the new password is asked for once.
    ForcesOnce,
    /// It demands a new password of an account whose password an administrator has set.
    ForcesAfterAdministrator,
    /// It hangs up as soon as the password has changed.
    ClosesOnChange,
    /// The name of the host, which the prompt of its shell shows, reads like an error.
    OddHostName,
    /// It prints log lines behind the prompt of its shell.
    LogsBehindPrompt,
    /// It asks before it saves the configuration.
    AsksToSave,
    /// One session a user, and the slot is freed a while after the connection was closed.
    OneSession,
    /// It lets anybody in and asks for user and password in the session.
    AsksInSession,
    /// A user's name reads like a question's words.
    OddUserName,
    /// It asks for password and code in the same words; their order tells which it wants.
    SamePrompts,
}

impl Habit {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::JudgesEach,
        Self::TriesAgain,
        Self::Notices,
        Self::NamesUser,
        Self::Greets,
        Self::LegalBanner,
        Self::Explains,
        Self::HangsUpInWords,
        Self::HollowInteractive,
        Self::NewerStepsOnly,
        Self::TellsLocked,
        Self::AsksCurrent,
        Self::SaysWhy,
        Self::DemandsUnjudged,
        Self::ForcesInShell,
        Self::ForcesOnce,
        Self::ForcesAfterAdministrator,
        Self::ClosesOnChange,
        Self::OddHostName,
        Self::LogsBehindPrompt,
        Self::AsksToSave,
        Self::OneSession,
        Self::AsksInSession,
        Self::OddUserName,
        Self::SamePrompts,
    ];

    /// Its bit in a mask.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << (self as u64)
    }
}

/// The habits of a device.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Habits(u64);

impl Habits {
    pub(super) fn has(self, habit: Habit) -> bool {
        self.0 & habit.bit() != 0
    }

    pub(super) fn add(&mut self, habit: Habit) {
        self.0 |= habit.bit();
    }

    fn drop(&mut self, habit: Habit) {
        self.0 &= !habit.bit();
    }

    /// Those of a list that it has.
    pub(super) fn names(self) -> String {
        let names: Vec<String> =
            Habit::ALL.iter().filter(|habit| self.has(**habit)).map(|habit| format!("{habit:?}")).collect();
        names.join(", ")
    }
}

/// Those that the config has to know of: the fleet is made with them.
const OF_THE_FLEET: u64 = Habit::AsksInSession.bit() | Habit::OddUserName.bit() | Habit::SamePrompts.bit();
/// Of so many devices one has no habit at all.
const PLAIN: usize = 3;
/// Of so many others one has a certain habit.
const EACH: usize = 4;
/// Names of hosts that read like a question's words or like an error.
const ODD_HOSTS: [&str; 4] = ["fw-failover-1", "new-otp-1", "confirm-again", "invalid-input-lab"];

/// Gives each device of a fleet its habits, but for those of a mask.
pub(super) fn give(fleet: &mut Fleet, random: &mut Random, without: u64) {
    for site in fleet.sites.values_mut() {
        let plain = random.one_in(PLAIN);
        // Drawn in any case: one habit less changes nothing about the others.
        let mut mask = 0;
        for habit in Habit::ALL {
            let has = random.one_in(EACH);
            mask |= if has && !plain { habit.bit() } else { 0 };
        }
        let (host, variant) = (random.below(ODD_HOSTS.len()), random.below(1000));
        site.habits = fitting(Habits(mask & !without & !OF_THE_FLEET | site.habits.0), site);
        site.variant = variant;
        if site.habits.has(Habit::OddHostName) {
            site.host = ODD_HOSTS[host];
        }
    }
}

/// A device's habits without those that it can never show, or that contradict another one.
fn fitting(mut habits: Habits, site: &Site) -> Habits {
    // Nobody could change a password whose login alone changes it.
    if site.only_at_login {
        habits.drop(Habit::ForcesInShell);
        habits.drop(Habit::DemandsUnjudged);
        // It demands a new one as a rule; where nobody said why, no check of it would tell anything.
        habits.add(Habit::SaysWhy);
    }
    // A question that is asked again without a word is not told from the next one.
    if habits.has(Habit::SamePrompts) {
        habits.drop(Habit::JudgesEach);
        habits.drop(Habit::DemandsUnjudged);
    }
    if !habits.has(Habit::ForcesInShell) {
        habits.drop(Habit::ForcesOnce);
    }
    // Without a word of why, nobody can tell whether such a device took the password; and each change would end in doubt.
    let tells = habits.has(Habit::SaysWhy) && !habits.has(Habit::DemandsUnjudged);
    if !tells || habits.has(Habit::ForcesInShell) {
        habits.drop(Habit::ForcesAfterAdministrator);
    }
    habits
}
