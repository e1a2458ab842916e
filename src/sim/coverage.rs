//! What the histories reached: each transition of the state machine, each fault, each habit of a device. What was never reached was not tested.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::faults::Fault;
use super::habits::Habit;
use crate::rotation::{Doubt, Event, Phase, Rotation, Which};

/// Counters.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    transitions: BTreeMap<(&'static str, &'static str), u64>,
    faults: BTreeMap<Fault, u64>,
    habits: BTreeMap<Habit, u64>,
    /// Histories.
    pub histories: u64,
    /// Commit points passed.
    pub changes: u64,
    /// Changes that a fresh login proved.
    pub proved: u64,
    /// Requests that a rule refused.
    pub refused: u64,
    /// Times that something befell the world while logins were held back.
    pub held: u64,
    /// Days of simulated time.
    pub days: u64,
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Prepared => "prepared",
        Phase::Changing => "changing",
        Phase::Sent => "sent",
        Phase::Verifying => "verifying",
        Phase::Uncertain(Doubt { likely: Which::New, looks: 1.., .. }) => "uncertain (looked in vain, new next)",
        Phase::Uncertain(Doubt { likely: Which::Old, looks: 1.., .. }) => "uncertain (looked in vain, old next)",
        Phase::Uncertain(Doubt { likely: Which::New, other_refused: false, .. }) => "uncertain (new likelier)",
        Phase::Uncertain(Doubt { likely: Which::New, other_refused: true, .. }) => "uncertain (old refused)",
        Phase::Uncertain(Doubt { likely: Which::Old, other_refused: false, .. }) => "uncertain (old likelier)",
        Phase::Uncertain(Doubt { likely: Which::Old, other_refused: true, .. }) => "uncertain (new refused)",
        Phase::Quarantined => "quarantined",
        Phase::Mending => "mending",
    }
}

fn event_name(event: Event) -> &'static str {
    match event {
        Event::Begin => "begin",
        Event::LoggedIn => "logged in",
        Event::LoginRefused { retry: true, .. } => "login refused, once more",
        Event::LoginRefused { retry: false, own: true } => "login refused for good",
        Event::LoginRefused { retry: false, own: false } => "login account refused for good",
        Event::Outdated => "login refused, a later password is known",
        Event::Failed => "failed",
        Event::AtCommitPoint => "commit point",
        Event::Ran => "ran to its end",
        Event::Broken { refused: true } => "broken, device says no",
        Event::Broken { refused: false } => "broken",
        Event::Proved(Which::New) => "new password proved",
        Event::Proved(Which::Old) => "old password proved",
        Event::Disproved(Which::New) => "new password refused",
        Event::Disproved(Which::Old) => "old password refused",
        Event::HungUp(Which::New) => "hung up on the new password",
        Event::HungUp(Which::Old) => "hung up on the old password",
        Event::Absent(Which::New) => "there is no new password",
        Event::Absent(Which::Old) => "there is no old password",
        Event::Unreachable => "unreachable",
        Event::Look(Which::New) => "daily look, new password",
        Event::Look(Which::Old) => "daily look, old password",
        Event::GiveUp => "given up for the reconcile account",
        Event::Recover => "recover",
    }
}

const PHASES: [Phase; 13] = [
    Phase::Idle,
    Phase::Prepared,
    Phase::Changing,
    Phase::Sent,
    Phase::Verifying,
    Phase::Uncertain(Doubt { likely: Which::New, other_refused: false, hung_up: false, looks: 0 }),
    Phase::Uncertain(Doubt { likely: Which::New, other_refused: true, hung_up: false, looks: 0 }),
    Phase::Uncertain(Doubt { likely: Which::Old, other_refused: false, hung_up: false, looks: 0 }),
    Phase::Uncertain(Doubt { likely: Which::Old, other_refused: true, hung_up: false, looks: 0 }),
    Phase::Uncertain(Doubt { likely: Which::New, other_refused: false, hung_up: false, looks: 1 }),
    Phase::Uncertain(Doubt { likely: Which::Old, other_refused: false, hung_up: false, looks: 1 }),
    Phase::Quarantined,
    Phase::Mending,
];

const EVENTS: [Event; 24] = [
    Event::Begin,
    Event::LoggedIn,
    Event::LoginRefused { retry: true, own: true },
    Event::LoginRefused { retry: false, own: true },
    Event::LoginRefused { retry: false, own: false },
    Event::Outdated,
    Event::Failed,
    Event::AtCommitPoint,
    Event::Ran,
    Event::Broken { refused: true },
    Event::Broken { refused: false },
    Event::Proved(Which::New),
    Event::Proved(Which::Old),
    Event::Disproved(Which::New),
    Event::Disproved(Which::Old),
    Event::HungUp(Which::New),
    Event::HungUp(Which::Old),
    Event::Absent(Which::New),
    Event::Absent(Which::Old),
    Event::Unreachable,
    Event::Look(Which::New),
    Event::Look(Which::Old),
    Event::GiveUp,
    Event::Recover,
];

impl Coverage {
    pub(super) fn transition(&mut self, phase: Phase, event: Event) {
        *self.transitions.entry((phase_name(phase), event_name(event))).or_default() += 1;
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub(super) fn habit(&mut self, habit: Habit) {
        *self.habits.entry(habit).or_default() += 1;
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.transitions {
            *self.transitions.entry(*key).or_default() += count;
        }
        for (key, count) in &other.faults {
            *self.faults.entry(*key).or_default() += count;
        }
        for (key, count) in &other.habits {
            *self.habits.entry(*key).or_default() += count;
        }
        self.histories += other.histories;
        self.changes += other.changes;
        self.proved += other.proved;
        self.refused += other.refused;
        self.held += other.held;
        self.days += other.days;
    }

    /// Every transition that the machine allows, every fault and every habit, with how often it was seen; what cannot happen is left
    /// out, with the reason in [`cannot_happen`].
    #[must_use]
    pub fn all(&self) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        for phase in PHASES {
            for event in EVENTS {
                let allowed = Rotation::at(phase).step(event).is_ok();
                if allowed && cannot_happen(phase, event).is_none() {
                    let key = (phase_name(phase), event_name(event));
                    let count = self.transitions.get(&key).copied().unwrap_or(0);
                    all.push((format!("{}: {}", key.0, key.1), count));
                }
            }
        }
        for fault in Fault::ALL {
            all.push((format!("fault: {fault:?}"), self.faults.get(&fault).copied().unwrap_or(0)));
        }
        for habit in Habit::ALL {
            all.push((format!("habit: {habit:?}"), self.habits.get(&habit).copied().unwrap_or(0)));
        }
        all.push(("befallen while logins were held back".into(), self.held));
        all
    }

    /// What was never reached.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.all().into_iter().filter(|(_, count)| *count == 0).map(|(what, _)| what).collect()
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} histories, {} days, {} commit points, {} changes proved, {} requests refused\n",
            self.histories, self.days, self.changes, self.proved, self.refused
        );
        for (what, count) in self.all() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{count:>12}  {what}");
        }
        text
    }
}

/// Why a transition that the machine allows does not come up; `None` where it does.
#[must_use]
pub fn cannot_happen(phase: Phase, event: Event) -> Option<&'static str> {
    match (phase, event) {
        (Phase::Verifying, Event::Proved(Which::Old) | Event::Disproved(Which::Old) | Event::HungUp(Which::Old)) => {
            Some("the check that follows a change is made with the new password")
        }
        (_, Event::Absent(Which::Old)) => Some("every account of the simulated fleet has a password in force"),
        (Phase::Uncertain(Doubt { other_refused: true, .. }), Event::Absent(_)) => {
            Some("where there is one password alone, the other one is not tried first")
        }
        (Phase::Verifying, Event::Absent(_)) => Some("the check that follows a change has its passwords"),
        (Phase::Uncertain(doubt), Event::Proved(which)) if which != doubt.likely => {
            Some("only the likelier password is tried")
        }
        (Phase::Mending, Event::LoginRefused { own: true, retry: false }) => {
            Some("an account is mended by another one")
        }
        (Phase::Mending, Event::Ran) => Some("every reconcile section of the simulated fleet sends the new password"),
        (Phase::Idle, Event::Recover) => Some("nobody recovers an account at rest: the row is read first"),
        _ => None,
    }
}
