//! Whether a change may begin: who has to log in for it, the account's own state, pauses, the cap, `min_age` and the lockout
//! budget.

use super::account::AccountRecord;
use super::phase::Phase;
use crate::model::{AccountName, Moment, Trigger, in_words};
use crate::policy::{LimitError, Policy};

/// A rule that stands against a change for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Changes in 24 hours.
    Cap,
    /// The age of the password.
    MinAge,
    /// Refused logins in an hour.
    LockoutBudget,
}

/// What is to be done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Begin.
    Admitted,
    /// A rule stands against it, in words.
    Refused(String),
    /// A bound stands against it for so many milliseconds; in words too.
    Later(Bound, String, i64),
    /// It cannot be done now, and may be in a while.
    NotNow(String),
    /// An interrupted change has to be found out first.
    Recover,
    /// A person is needed first.
    Quarantined(String),
}

impl Admission {
    /// In words, what keeps a change from beginning now; `None` where it may.
    #[must_use]
    pub fn stands_against(self) -> Option<String> {
        match self {
            Self::Admitted => None,
            Self::Refused(why) | Self::Later(_, why, _) | Self::NotNow(why) | Self::Quarantined(why) => Some(why),
            Self::Recover => Some("it has to be found out first which password it has".into()),
        }
    }
}

/// What an account that logs in for another one is to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelperRole {
    /// It logs in at the device in the place of the account.
    Login,
    /// It logs in at a jump host on the way there.
    Jump,
}

impl HelperRole {
    fn in_words(self) -> &'static str {
        match self {
            Self::Login => "its login account",
            Self::Jump => "its jump account",
        }
    }
}

/// What stands against a login of an account for another one. `phase` is `None` for one that the vault does not know.
#[must_use]
pub fn helper_out_of_order(helper: &AccountName, role: HelperRole, phase: Option<Phase>) -> Option<Admission> {
    let what = role.in_words();
    match phase {
        None | Some(Phase::Idle | Phase::Prepared | Phase::Changing) => None,
        Some(Phase::Quarantined) => Some(Admission::Refused(format!(
            "{what} {helper} is quarantined; store its password with 'rotorctl secret set {helper}'"
        ))),
        Some(_) => Some(Admission::NotNow(format!("it is not known yet which password {what} {helper} has"))),
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Admissible<'a> {
    /// The account.
    pub account: &'a AccountName,
    /// Its policy.
    pub policy: &'a Policy,
    /// What asks.
    pub trigger: Trigger,
    /// Whether another account logs in and changes this one.
    pub by_another: bool,
}

/// What the account's own state has against a change. `record` is `None` for one that the vault does not know.
#[must_use]
pub fn state_against(asked: &Admissible<'_>, record: Option<&AccountRecord>) -> Option<Admission> {
    let reconciles = asked.trigger == Trigger::Reconcile;
    let needs_own = !asked.by_another && !reconciles;
    if needs_own && record.is_none_or(|record| record.phase == Phase::Idle && !record.has_password()) {
        return Some(no_password(asked.account));
    }
    let record = record?;
    match record.phase {
        Phase::Idle => {}
        Phase::Quarantined if reconciles => {}
        Phase::Quarantined => {
            let why = record.last_error.as_deref().unwrap_or("neither password is known to work").to_owned();
            return Some(Admission::Quarantined(why));
        }
        _ => return Some(Admission::Recover),
    }
    let paused = asked.trigger.is_unasked() && record.paused;
    paused.then(|| Admission::Refused("paused by an operator".into()))
}

/// What former changes have against one more: the cap, and `min_age`. `changes` are when they passed their commit point.
#[must_use]
pub fn changes_against(
    asked: &Admissible<'_>,
    record: &AccountRecord,
    changes: &[Moment],
    now: &Moment,
) -> Option<Admission> {
    if let Err(LimitError { used, free_in_ms }) = asked.policy.cap().admit(changes, now) {
        let free = in_words(free_in_ms);
        let text = format!("the cap: {used} changes in the last 24 hours; the next is allowed in {free}");
        return Some(Admission::Later(Bound::Cap, text, free_in_ms));
    }
    // A password that nobody knows cannot be too young to change.
    if record.phase == Phase::Idle { too_young(asked.policy, changes, now) } else { None }
}

/// What the lockout budget of an account that has to log in has against a change. `logins` are those of it that count as refused.
#[must_use]
pub fn budget_against(
    asked: &Admissible<'_>,
    account: &AccountName,
    logins: &[Moment],
    now: &Moment,
) -> Option<Admission> {
    let LimitError { used, free_in_ms } = asked.policy.lockout().admit(logins, now).err()?;
    let free = in_words(free_in_ms);
    let text = format!(
        "the lockout budget: {used} refused logins of {account} in the last hour; the next may be tried in {free}"
    );
    Some(Admission::Later(Bound::LockoutBudget, text, free_in_ms))
}

fn no_password(account: &AccountName) -> Admission {
    Admission::Refused(format!("no password is stored; run 'rotorctl secret set {account}'"))
}

fn too_young(policy: &Policy, changes: &[Moment], now: &Moment) -> Option<Admission> {
    let min_age = i64::try_from(policy.min_age.as_millis()).unwrap_or(i64::MAX);
    let youngest = changes.iter().map(|stamp| now.since(stamp)).min();
    youngest.filter(|age| *age < min_age).map(|age| {
        let free_in_ms = min_age - age;
        let text = format!("min_age: the last change is too young; the next is allowed in {}", in_words(free_in_ms));
        Admission::Later(Bound::MinAge, text, free_in_ms)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::model::BootId;
    use crate::rotation::{Doubt, Which};

    const HOUR: i64 = 3_600_000;

    fn at(hour: i64) -> Moment {
        Moment { wall_ms: hour * HOUR, boot: BootId::of("b"), since_boot_ms: hour * HOUR }
    }

    fn name(text: &str) -> AccountName {
        AccountName::parse(text).unwrap()
    }

    /// An account at rest with a password, 100 hours after the boot.
    struct Case {
        record: Option<AccountRecord>,
        changes: Vec<Moment>,
        refused: usize,
        trigger: Trigger,
        by_another: bool,
    }

    impl Case {
        fn at_rest() -> Self {
            let record = AccountRecord { current: Some(1), ..AccountRecord::new("web1/admin", &at(1)) };
            let (changes, trigger) = (Vec::new(), Trigger::Schedule);
            Self { record: Some(record), changes, refused: 0, trigger, by_another: false }
        }

        fn with(mut self, change: impl FnOnce(&mut AccountRecord)) -> Self {
            change(self.record.as_mut().unwrap());
            self
        }

        fn admission(&self) -> Admission {
            let policy = Policy {
                max_changes_per_day: 2,
                min_age: Duration::from_secs(2 * 3600),
                failed_logins_per_hour: 2,
                ..Policy::default()
            };
            let account = name("web1/admin");
            let Self { record, changes, trigger, by_another, .. } = self;
            let asked = Admissible { account: &account, policy: &policy, trigger: *trigger, by_another: *by_another };
            let stands = state_against(&asked, record.as_ref());
            let changes = || changes_against(&asked, record.as_ref()?, changes, &at(100));
            let budget = || budget_against(&asked, &account, &vec![at(100); self.refused], &at(100));
            stands.or_else(changes).or_else(budget).unwrap_or(Admission::Admitted)
        }
    }

    #[test]
    fn what_stands_against_a_change() {
        let refused = |why: &str| Admission::Refused(why.into());
        let later = |bound, why: &str, hours: i64| Admission::Later(bound, why.into(), hours * HOUR);
        let no_password = refused("no password is stored; run 'rotorctl secret set web1/admin'");
        let cap = later(Bound::Cap, "the cap: 2 changes in the last 24 hours; the next is allowed in 4 h 0 min", 4);
        let young = later(Bound::MinAge, "min_age: the last change is too young; the next is allowed in 60 min", 1);
        let quarantined = |why: &str| Admission::Quarantined(why.into());
        let given_up = |record: &mut AccountRecord| record.phase = Phase::Quarantined;
        let with_changes =
            |hours: &[i64]| Case { changes: hours.iter().map(|hour| at(*hour)).collect(), ..Case::at_rest() };
        let by = |trigger, case| Case { trigger, ..case };
        let unknown = || Case { record: None, ..Case::at_rest() };
        let cases = [
            ("nothing", Case::at_rest(), Admission::Admitted),
            ("it is not known", unknown(), no_password.clone()),
            ("another one changes it", Case { by_another: true, ..unknown() }, Admission::Admitted),
            ("it is reconciled", by(Trigger::Reconcile, unknown()), Admission::Admitted),
            ("no password", Case::at_rest().with(|it| it.current = None), no_password),
            ("paused", Case::at_rest().with(|it| it.paused = true), refused("paused by an operator")),
            ("a person asks", by(Trigger::Command, Case::at_rest().with(|it| it.paused = true)), Admission::Admitted),
            ("interrupted", Case::at_rest().with(|it| it.phase = Phase::Sent), Admission::Recover),
            ("given up", Case::at_rest().with(given_up), quarantined("neither password is known to work")),
            (
                "given up, and why",
                Case::at_rest().with(|it| (it.phase, it.last_error) = (Phase::Quarantined, Some(Arc::from("refused")))),
                quarantined("refused"),
            ),
            ("reconciled", by(Trigger::Reconcile, Case::at_rest().with(given_up)), Admission::Admitted),
            ("changed twice", with_changes(&[80, 90]), cap.clone()),
            ("changed twice, and reconciled", by(Trigger::Reconcile, with_changes(&[80, 90]).with(given_up)), cap),
            ("changed long ago", with_changes(&[70, 90]), Admission::Admitted),
            ("changed just now", with_changes(&[99]), young),
            (
                "whose password is not known cannot be too young",
                by(Trigger::Reconcile, with_changes(&[99]).with(given_up)),
                Admission::Admitted,
            ),
            ("one login refused", Case { refused: 1, ..Case::at_rest() }, Admission::Admitted),
        ];
        for (why, case, expected) in cases {
            assert_eq!(case.admission(), expected, "{why}");
        }
        let spent = Case { refused: 2, ..Case::at_rest() }.admission().stands_against().unwrap();
        assert!(spent.starts_with("the lockout budget: 2 refused logins of web1/admin"), "{spent}");
    }

    #[test]
    fn what_stands_against_those_who_log_in_for_an_account() {
        let out_of_order = |role, phase| helper_out_of_order(&name("web1/root"), role, phase);
        for phase in [None, Some(Phase::Idle), Some(Phase::Prepared), Some(Phase::Changing)] {
            assert_eq!(out_of_order(HelperRole::Login, phase), None, "{phase:?}");
        }
        for phase in [Phase::Sent, Phase::Verifying, Phase::Uncertain(Doubt::fresh(Which::New)), Phase::Mending] {
            let why = "it is not known yet which password its jump account web1/root has";
            assert_eq!(out_of_order(HelperRole::Jump, Some(phase)), Some(Admission::NotNow(why.into())));
        }
        let Some(Admission::Refused(why)) = out_of_order(HelperRole::Login, Some(Phase::Quarantined)) else {
            panic!("a login account in quarantine is no helper");
        };
        assert!(why.starts_with("its login account web1/root is quarantined; store its password"), "{why}");
    }
}
