//! The vault in memory against SQLite: the same calls, the same answers.

use proptest::prelude::*;

use super::*;
use crate::model::{BootId, Candidate};
use crate::rotation::{Doubt, Persist, Transition, Which};
use crate::sealed::{OpenWith, RecoveryKey, SealFor};
use crate::totp::{Timing, Wanted};
use crate::vault::{Backup, Ledger, Reservation, VaultKey};

fn account(n: u8) -> AccountName {
    AccountName::parse(["web1/ada", "web1/root"][usize::from(n % 2)]).unwrap()
}

/// One call: what it does is told by its numbers.
fn work(tx: &dyn Ledger, op: u8, n: u8, now: &Moment) -> Result<String, VaultError> {
    let name = account(n);
    let secret = Secret::new(format!("password-{op}-{n}-{}", now.wall_ms));
    let flaw = n.is_multiple_of(3).then_some("line 9");
    let step_of =
        |attempt, persist, fresh| tx.apply(&name, &Transition::Step { persist, attempt, keep: 2, flaw }, fresh, now);
    let step = |persist, fresh| step_of("a1", persist, fresh);
    let text = match op {
        0 | 1 => format!("{:?}", tx.set_secret(&name, &Kind::Password, &secret, now)),
        2 => format!("{:?}", tx.set_secret(&name, &Kind::Field("PIN".into()), &secret, now)),
        3 => format!("{:?}", step(Persist::Prepared, Some(&secret))),
        4 => format!("{:?}", step(Persist::Changing, None)),
        5 => {
            let attempt = format!("a{n}");
            format!("{:?}", step_of(&attempt, Persist::Sent, None))
        }
        6 => format!("{:?}", step(Persist::Verifying, None)),
        7 => {
            let likely = if n.is_multiple_of(3) { Which::Old } else { Which::New };
            let doubt = Doubt { likely, other_refused: n % 4 < 2, hung_up: n % 5 < 2, looks: n % 7 };
            format!("{:?}", step(Persist::Uncertain(doubt), None))
        }
        8 | 9 => format!("{:?}", step(Persist::Promote, None)),
        10 => format!("{:?}", step(Persist::Revert, None)),
        11 => format!("{:?}", step(Persist::Quarantine, None)),
        12 => format!("{:?}", step(Persist::Mending, Some(&secret))),
        13 => format!("{:?}", tx.doubt(&name, "why", "a", n % 3, now)),
        14 if n.is_multiple_of(3) => format!("{:?}", tx.acknowledge(&name)),
        14 => format!("{:?}", tx.set_last_error(&name, Some("broken"))),
        15 => {
            let id = tx.add_failed_login(&name, now)?;
            match n % 6 {
                0 => tx.remove_failed_login(&name, id)?,
                1 => tx.refused_for_secret(&name)?,
                2 => tx.login_was_taken(&name, n.is_multiple_of(4))?,
                _ => tx.login_was_refused(&name, id, n.is_multiple_of(2))?,
            }
            "ok".to_owned()
        }
        16 => format!("{:?}", tx.set_wake(&name, (n.is_multiple_of(2)).then_some(now), u32::from(n % 4))),
        17 => format!("{:?}", tx.set_paused(&name, n.is_multiple_of(2), now)),
        18 if n.is_multiple_of(3) => {
            format!("{:?}", tx.set_verify_error(&name, n.is_multiple_of(2).then_some("unreachable")))
        }
        18 => format!("{:?}", tx.set_verified(&name, now)),
        19 => {
            let seed = Seed::parse("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap();
            let timing = [Timing::Middle, Timing::Soon, Timing::At(i64::from(n) * 100)][usize::from(n % 3)];
            let wanted = Wanted { ahead: i64::from(n % 3) - 1, timing, earliest: None };
            let free = tx.free_code(&seed, wanted, now)?;
            let reserved = match tx.reserve_code(&seed, wanted, now)? {
                Reservation::Code { step, .. } => format!("step {step}"),
                Reservation::WaitUntil(at) => format!("until {at}"),
            };
            format!("{free:?} {reserved}")
        }
        20 => format!("{:?}", tx.clock_was_set(now)),
        21 => format!("{:?}", tx.forget_old(now)),
        22 => {
            let firing = Firing { last: now.wall_ms, turned: n.is_multiple_of(3).then_some(now.wall_ms + 1) };
            format!("{:?}", (tx.set_firing("j", firing), tx.set_job_paused("j", n.is_multiple_of(2))))
        }
        23 => {
            let device = name.device();
            let phase_ms = n.is_multiple_of(2).then_some(i64::from(n));
            let skew = Skew { steps: i64::from(n % 5) - 2, tried: u32::from(n), worked: n.is_multiple_of(3), phase_ms };
            format!("{:?} {:?} {:?}", tx.skew(&device), tx.set_skew(&device, skew), tx.skews())
        }
        RESTORE => String::new(),
        // A call that fails is undone.
        _ => {
            tx.set_secret(&name, &Kind::Password, &secret, now)?;
            return Err(VaultError::NotFound("undone".into()));
        }
    };
    Ok(text)
}

const BACK_UP: u8 = 25;
const RESTORE: u8 = 26;

/// All that can be read.
fn look(tx: &dyn Ledger, now: &Moment) -> Result<String, VaultError> {
    let Waits { mut due, next_in_ms } = tx.waiting(now, 20 * 86_400_000)?;
    due.sort_by(|a, b| a.name.cmp(&b.name));
    let mut seen = format!("{due:?} {next_in_ms:?} {:?} {:?}", tx.firing("j")?, tx.is_job_paused("j")?);
    for n in 0..2 {
        let name = account(n);
        let row = tx.account(&name)?;
        if row.is_none() {
            continue;
        }
        let history: Vec<_> = tx
            .history(&name)?
            .into_iter()
            .map(|entry| (entry.password.expose().to_owned(), entry.from, entry.until, entry.current))
            .collect();
        let fields: Vec<_> =
            tx.secret_fields(&name)?.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect();
        let text = |candidate: Option<Candidate>| candidate.map(|it| it.secret().expose().to_owned());
        let candidate = (text(tx.candidate(&name)?), text(tx.taken_back(&name)?));
        let current = tx.secret(&name, &Kind::Password)?.map(|secret| secret.expose().to_owned());
        seen += &format!("\n{row:?} {history:?} {fields:?} {candidate:?} {current:?}");
        let mut stamps = (tx.changes(&name, now)?, tx.failed_logins(&name, now)?);
        stamps.0.sort_by_key(|stamp| (stamp.wall_ms, stamp.since_boot_ms));
        stamps.1.sort_by_key(|stamp| (stamp.wall_ms, stamp.since_boot_ms));
        let mut refusals = tx.refusals(&name, now)?;
        refusals.sort_by_key(|refusal| (refusal.at.wall_ms, refusal.at.since_boot_ms, refusal.with_code, refusal.past));
        seen += &format!("{stamps:?} {refusals:?}");
    }
    Ok(seen)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn the_vault_in_memory_answers_as_sqlite_does(
        ops in proptest::collection::vec((0u8..27, any::<u8>(), 0i64..40 * 86_400_000, 0u8..3), 1..60)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let key = VaultKey::create(&folder.path().join("key")).unwrap();
        let mut vault = crate::vault::open(&folder.path().join("state"), &key).unwrap();
        let (identity, recovery_key) = RecoveryKey::generate();
        let mut backups = None;
        let mut restores = 0;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut books = MemoryVault::default();
        // Both accounts are known.
        let begin = (0..2).map(|n| (0, n, 0, 0));
        for (op, n, wall, boot) in begin.chain(ops) {
            let now = Moment { wall_ms: wall, boot: BootId::of(&format!("b{boot}")), since_boot_ms: wall / 2 };
            if op == BACK_UP {
                let mut sealed = Vec::new();
                let snapshot = runtime.block_on(vault.admin().unwrap().snapshot(now)).unwrap();
                snapshot.seal(&SealFor::Key(recovery_key.clone()), &mut sealed).unwrap();
                backups = Some((sealed, books.back_up(&now)));
                continue;
            }
            if op == RESTORE {
                let Some((sealed, simulated)) = backups.take() else { continue };
                restores += 1;
                let state = folder.path().join(format!("state-{restores}"));
                let mut backup = Backup::open(&*sealed, &OpenWith::Identity(identity.clone())).unwrap();
                backup.restore(&state, &key, None, &now).unwrap();
                vault = crate::vault::open(&state, &key).unwrap();
                books.restore(simulated, &now);
            }
            let at = now;
            let true_one = runtime.block_on(vault.call(move |tx| work(tx, op, n, &at)));
            // What is undone was never there.
            let before = look(&MemoryTransaction::new(&mut books), &now).unwrap();
            books.begin();
            drop(work(&MemoryTransaction::new(&mut books), op, n, &now));
            books.roll_back();
            prop_assert_eq!(before, look(&MemoryTransaction::new(&mut books), &now).unwrap(), "op {} undone", op);
            books.begin();
            let simulated = work(&MemoryTransaction::new(&mut books), op, n, &now);
            if simulated.is_err() {
                books.roll_back();
            }
            prop_assert_eq!(format!("{true_one:?}"), format!("{simulated:?}"), "op {}", op);
            let at = now;
            let true_look = runtime.block_on(vault.call(move |tx| look(tx, &at))).unwrap();
            let simulated_look = look(&MemoryTransaction::new(&mut books), &now).unwrap();
            prop_assert_eq!(true_look, simulated_look, "after op {}", op);
        }
    }
}
