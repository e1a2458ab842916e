use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::open;
use super::seeds_tests::make_former;
use crate::audit::{Draft, verify_files};
use crate::model::{AccountName, AttemptKind, BootId, EventKind, Moment, Secret, Step};
use crate::rotation::{CUT_OFF, Doubt, Persist, Phase, Transition, Which};
use crate::totp::{Seed, Wanted};
use crate::vault::*;

pub(super) fn now(wall_ms: i64) -> Moment {
    Moment { wall_ms, boot: BootId::of("b"), since_boot_ms: wall_ms }
}

pub(super) fn account() -> AccountName {
    AccountName::parse("web1/admin").unwrap()
}

pub(super) struct Place {
    pub(super) folder: tempfile::TempDir,
    pub(super) key: VaultKey,
}

pub(super) fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let key = VaultKey::create(&folder.path().join("key")).unwrap();
    Place { folder, key }
}

impl Place {
    pub(super) fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    pub(super) fn open(&self) -> Result<Vault, VaultError> {
        open(&self.state(), &self.key)
    }
}

/// Opens the vault again once the thread of the one just dropped is gone.
pub(super) fn reopen(place: &Place) -> Vault {
    reopened(place).unwrap()
}

/// Opens the vault, or tells why it cannot be opened, once whoever had it before has let go of it.
pub(super) fn reopened(place: &Place) -> Result<Vault, VaultError> {
    loop {
        match place.open() {
            Err(VaultError::Locked(_)) => std::thread::yield_now(),
            other => return other,
        }
    }
}

async fn put(vault: &Vault, persist: Persist, candidate: Option<&str>) {
    put_with(vault, persist, candidate, None).await;
}

async fn put_with(vault: &Vault, persist: Persist, fresh: Option<&str>, flaw: Option<&'static str>) {
    let fresh = fresh.map(|text| Secret::new(text.into()));
    let step = Transition::Step { persist, attempt: "a1", keep: 5, flaw };
    vault.call(move |tx| tx.apply(&account(), &step, fresh.as_ref(), &now(5))).await.unwrap();
}

async fn password(vault: &Vault) -> String {
    vault.call(|tx| tx.secret(&account(), &Kind::Password)).await.unwrap().unwrap().expose().to_owned()
}

#[tokio::test]
async fn a_candidate_becomes_current_and_the_old_one_history() {
    let place = place();
    let vault = place.open().unwrap();
    vault.call(|tx| tx.set_secret(&account(), &Kind::Password, &Secret::new("old".into()), &now(1))).await.unwrap();
    put(&vault, Persist::Prepared, Some("new")).await;
    assert_eq!(password(&vault).await, "old", "a candidate is not in force");
    put(&vault, Persist::Sent, None).await;
    drop(vault);
    let vault = reopen(&place);
    let row = vault.call(|tx| tx.account(&account())).await.unwrap().unwrap();
    assert_eq!(row.phase, Phase::Sent);
    assert_eq!(vault.call(|tx| tx.candidate(&account())).await.unwrap().unwrap().secret().expose(), "new");
    assert_eq!(vault.call(|tx| tx.changes(&account(), &now(9))).await.unwrap().len(), 1);
    put(&vault, Persist::Promote, None).await;
    assert_eq!(password(&vault).await, "new");
    let history = vault.call(|tx| tx.history(&account())).await.unwrap();
    let shown: Vec<_> =
        history.iter().map(|entry| (entry.password.expose(), entry.current, entry.until.is_some())).collect();
    assert_eq!(shown, [("new", true, false), ("old", false, true)]);
}

#[tokio::test]
async fn a_password_that_a_person_stores_counts_as_not_tried() {
    let place = place();
    let vault = place.open().unwrap();
    let store = |password: &'static str| {
        vault.call(move |tx| tx.set_secret(&account(), &Kind::Password, &Secret::new(password.into()), &now(1)))
    };
    let tried = || vault.call(|tx| Ok(tx.account(&account())?.unwrap().verified));
    store("one").await.unwrap();
    vault.call(|tx| tx.set_verified(&account(), &now(2))).await.unwrap();
    assert_eq!(tried().await.unwrap(), Some(2));
    store("two").await.unwrap();
    assert_eq!(tried().await.unwrap(), None);
}

#[tokio::test]
async fn an_unsent_candidate_is_dropped_and_a_sent_one_kept_as_history() {
    let place = place();
    let vault = place.open().unwrap();
    vault.call(|tx| tx.set_secret(&account(), &Kind::Password, &Secret::new("old".into()), &now(1))).await.unwrap();
    put(&vault, Persist::Prepared, Some("never-sent")).await;
    put(&vault, Persist::Revert, None).await;
    assert_eq!(vault.call(|tx| tx.history(&account())).await.unwrap().len(), 1);
    put(&vault, Persist::Prepared, Some("sent")).await;
    put(&vault, Persist::Sent, None).await;
    put(&vault, Persist::Uncertain(Doubt::fresh(Which::Old)), None).await;
    put(&vault, Persist::Revert, None).await;
    assert_eq!(password(&vault).await, "old");
    assert_eq!(vault.call(|tx| tx.history(&account())).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_sent_and_taken_back_is_a_candidate_again_once_the_old_one_is_refused_and_only_once() {
    let place = place();
    let vault = place.open().unwrap();
    let taken_back = async || {
        let found = vault.call(|tx| Ok((tx.taken_back(&account())?, tx.candidate(&account())?))).await.unwrap();
        [found.0, found.1].map(|it| it.map(|it| it.secret().expose().to_owned()))
    };
    let sent = || Some("sent".to_owned());
    vault.call(|tx| tx.set_secret(&account(), &Kind::Password, &Secret::new("old".into()), &now(1))).await.unwrap();
    put(&vault, Persist::Prepared, Some("sent")).await;
    put(&vault, Persist::Sent, None).await;
    put(&vault, Persist::Revert, None).await;
    put(&vault, Persist::Prepared, Some("fresh")).await;
    assert_eq!(taken_back().await, [sent(), Some("fresh".into())]);
    let doubt = Doubt::fresh(Which::New);
    put(&vault, Persist::Uncertain(doubt), None).await;
    assert_eq!(taken_back().await, [None, sent()], "the fresh one never left");
    put(&vault, Persist::Revert, None).await;
    assert_eq!(taken_back().await, [None, None], "it was tried");
    vault.call(|tx| tx.doubt(&account(), "refused", "a2", 1, &now(6))).await.unwrap();
    let doubt = Doubt { other_refused: true, looks: 1, ..Doubt::fresh(Which::Old) };
    assert_eq!(vault.call(|tx| tx.account(&account())).await.unwrap().unwrap().phase, Phase::Uncertain(doubt));
}

#[tokio::test]
async fn a_copy_of_the_past_that_was_put_back_is_in_doubt_and_its_log_goes_on() {
    use crate::rotation::{Doubt, Which};
    let place = place();
    let (database, copy) = (place.state().join("vault.db"), place.folder.path().join("copy.db"));
    let vault = place.open().unwrap();
    vault.call(|tx| tx.set_secret(&account(), &Kind::Password, &Secret::new("old".into()), &now(1))).await.unwrap();
    let other = AccountName::parse("web1/other").unwrap();
    let name = other.clone();
    vault.call(move |tx| tx.set_secret(&name, &Kind::Password, &Secret::new("its".into()), &now(1))).await.unwrap();
    vault.call(|tx| tx.audit(&Draft::new(EventKind::DaemonStart), &now(1))).await.unwrap();
    drop(vault);
    drop(reopen(&place));
    rusqlite::Connection::open(&database).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let vault = reopen(&place);
    put(&vault, Persist::Prepared, Some("new")).await;
    put(&vault, Persist::Sent, None).await;
    put(&vault, Persist::Promote, None).await;
    for event in [EventKind::RotationSent, EventKind::RotationDone] {
        let draft = Draft { account: Some(account()), ..Draft::new(event) };
        vault.call(move |tx| tx.audit(&draft, &now(2))).await.unwrap();
    }
    drop(vault);
    drop(reopen(&place));
    put_in_place(&place, &copy);
    let vault = reopen(&place);
    let row = vault.call(|tx| tx.account(&account())).await.unwrap().unwrap();
    assert_eq!(row.phase, Phase::Uncertain(Doubt { other_refused: true, ..Doubt::fresh(Which::Old) }));
    assert!(row.last_error.unwrap().contains("event 1 of its audit log, which goes on to event 3"));
    let row = vault.call(move |tx| tx.account(&other)).await.unwrap().unwrap();
    assert_eq!(row.phase, Phase::Idle, "the log does not name it since");
    vault.call(|tx| tx.audit(&Draft::new(EventKind::DaemonStop), &now(3))).await.unwrap();
    let head = vault.call(|tx| tx.audit_head()).await.unwrap();
    let report = verify_files(vault.audit_folder(), Some((head.0, &head.1))).unwrap();
    assert!(report.ok && report.events == 5, "{report:?}");
    let finding = || vault.call(|tx| tx.audit_finding());
    let found = finding().await.unwrap().unwrap();
    assert!(!found.rewritten && found.told.contains("which goes on to event 3"), "{found:?}");
    vault.call(|tx| tx.accept_audit_finding()).await.unwrap();
    assert_eq!(finding().await.unwrap(), None);
    // Where the log is not that of the vault, nobody is believed.
    drop(vault);
    drop(reopen(&place));
    put_in_place(&place, &copy);
    for file in fs::read_dir(place.state().join("audit")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let another = Draft::new(EventKind::DaemonStart).chain(1, 9, crate::audit::GENESIS).unwrap();
    crate::audit::LogFiles::open(&place.state().join("audit")).unwrap().append(&[another]).unwrap();
    let vault = reopen(&place);
    let all = vault.call(|tx| tx.accounts()).await.unwrap();
    assert!(all.len() == 2 && all.iter().all(|row| matches!(row.phase, Phase::Uncertain(_))), "{all:?}");
    let found = vault.call(|tx| tx.audit_finding()).await.unwrap().unwrap();
    assert!(found.rewritten && found.told.contains("rewritten"), "{found:?}");
}

#[tokio::test]
async fn a_log_that_was_cut_short_is_told_and_the_vault_is_believed() {
    let place = place();
    let vault = place.open().unwrap();
    vault.call(|tx| tx.set_secret(&account(), &Kind::Password, &Secret::new("old".into()), &now(1))).await.unwrap();
    for _ in 0..3 {
        vault.call(|tx| tx.audit(&Draft::new(EventKind::DaemonStart), &now(1))).await.unwrap();
    }
    let file = fs::read_dir(vault.audit_folder()).unwrap().next().unwrap().unwrap().path();
    drop(vault);
    drop(reopen(&place));
    let text = fs::read_to_string(&file).unwrap();
    for whole in [false, true] {
        if whole {
            for file in crate::audit::log_files(&place.state().join("audit")).unwrap() {
                fs::remove_file(file).unwrap();
            }
        } else {
            fs::write(&file, text.lines().next().unwrap().to_owned() + "\n").unwrap();
        }
        let vault = reopen(&place);
        let found = vault.call(|tx| tx.audit_finding()).await.unwrap().unwrap();
        assert!(found.rewritten && found.told.contains("cut short"), "{found:?}");
        assert_eq!(vault.call(|tx| tx.account(&account())).await.unwrap().unwrap().phase, Phase::Idle);
        let told = crate::audit::last_events(vault.audit_folder(), 0, 1).unwrap();
        assert_eq!(told[0]["event"], EventKind::AuditRewritten.as_str());
        drop(vault);
        drop(reopen(&place));
    }
}

#[tokio::test]
async fn an_attempt_is_open_from_its_start_until_its_end_is_told() {
    let place = place();
    let vault = place.open().unwrap();
    let row = AttemptRow {
        id: "a1".into(),
        account: account().to_string(),
        kind: AttemptKind::Rotate,
        started: 1,
        ended: None,
        trigger: crate::model::Trigger::Command,
        actor: None,
        job: None,
        reason: None,
        outcome: None,
        detail: None,
        warning: None,
        failure: None,
        steps: [].into(),
    };
    let step = |text: &str| Step { at: 0, text: text.into() };
    let later = AttemptRow { steps: [step("connected")].into(), ..row.clone() };
    let too_late = AttemptRow { steps: [step("too late")].into(), ..row.clone() };
    let open = || vault.call(|tx| Ok((tx.is_open("a1")?, tx.open_attempts()?.len())));
    assert_eq!(open().await.unwrap(), (false, 0));
    vault.call(move |tx| tx.save_attempt(&row)).await.unwrap();
    assert_eq!(open().await.unwrap(), (true, 1));
    vault.call(move |tx| tx.note_steps(&later)).await.unwrap();
    vault.call(|tx| tx.end_attempt("a1", crate::model::Outcome::Done, &now(2))).await.unwrap();
    vault.call(move |tx| tx.note_steps(&too_late)).await.unwrap();
    assert_eq!(open().await.unwrap(), (false, 0));
    vault.call(|tx| tx.close_open_attempts(&now(3))).await.unwrap();
    let rows = vault.call(|tx| tx.attempts(&account(), 5)).await.unwrap();
    assert_eq!((rows[0].ended, rows[0].outcome), (Some(2), Some(crate::model::Outcome::Done)));
    assert_eq!(rows[0].steps[..], [step("connected")], "what comes after its end changes nothing");
}

/// Puts another database where the vault's was.
fn put_in_place(place: &Place, copy: &Path) {
    for journal in ["vault.db-wal", "vault.db-shm"] {
        drop(fs::remove_file(place.state().join(journal)));
    }
    fs::copy(copy, place.state().join("vault.db")).unwrap();
}

#[tokio::test]
async fn where_the_log_is_there_and_the_vault_is_not_none_is_made() {
    let place = place();
    let vault = place.open().unwrap();
    vault.call(|tx| tx.audit(&Draft::new(EventKind::DaemonStart), &now(1))).await.unwrap();
    drop(vault);
    drop(reopen(&place));
    let fresh = place.folder.path().join("fresh.db");
    rusqlite::Connection::open(&fresh).unwrap().execute_batch("VACUUM; PRAGMA user_version = 0").unwrap();
    let empty = place.folder.path().join("empty.db");
    fs::write(&empty, "").unwrap();
    for copy in [&empty, &fresh] {
        put_in_place(&place, copy);
        assert!(matches!(reopened(&place), Err(VaultError::Gone(_))), "{}", copy.display());
    }
    fs::remove_file(place.state().join("vault.db")).unwrap();
    let error = place.open().unwrap_err().to_string();
    assert!(error.contains("rotord restore") && !place.state().join("vault.db").exists(), "{error}");
}

/// The vault that a restore makes of a backup of this one.
pub(super) async fn restored(place: &Place, vault: &Vault) -> Vault {
    let (identity, public) = crate::sealed::RecoveryKey::generate();
    let mut sealed = Vec::new();
    vault
        .admin()
        .unwrap()
        .snapshot(now(6))
        .await
        .unwrap()
        .seal(&crate::sealed::SealFor::Key(public), &mut sealed)
        .unwrap();
    let mut backup = Backup::open(&*sealed, &crate::sealed::OpenWith::Identity(identity)).unwrap();
    let state = place.folder.path().join("restored");
    backup.restore(&state, &place.key, None, &now(7)).unwrap();
    open(&state, &place.key).unwrap()
}

#[tokio::test]
async fn a_restore_drops_what_never_left_and_keeps_what_may_have() {
    use crate::rotation::{Doubt, Which};
    let place = place();
    let vault = place.open().unwrap();
    vault.call(|tx| tx.set_secret(&account(), &Kind::Password, &Secret::new("old".into()), &now(1))).await.unwrap();
    put(&vault, Persist::Prepared, Some("sent")).await;
    put(&vault, Persist::Sent, None).await;
    put(&vault, Persist::Quarantine, None).await;
    put(&vault, Persist::Mending, Some("never-sent")).await;
    let both = async |vault: &Vault| {
        let read = vault.call(|tx| Ok((tx.account(&account())?, tx.candidate(&account())?, tx.history(&account())?)));
        let (row, candidate, history) = read.await.unwrap();
        (row.unwrap().phase, candidate.map(|it| it.secret().expose().to_owned()), history.len())
    };
    let sent = Some("sent".to_owned());
    let then = restored(&place, &vault).await;
    assert_eq!(both(&then).await, (Phase::Quarantined, sent.clone(), 2));
    fs::remove_dir_all(place.folder.path().join("restored")).unwrap();
    // A device may come to what was sent and taken back, also after the backup.
    put(&vault, Persist::Quarantine, None).await;
    put(&vault, Persist::Revert, None).await;
    let then = restored(&place, &vault).await;
    assert_eq!(both(&then).await, (Phase::Uncertain(Doubt::fresh(Which::Old)), sent, 2));
}

#[tokio::test]
async fn a_quarantine_keeps_what_was_sent_and_drops_what_never_left() {
    let place = place();
    let vault = place.open().unwrap();
    vault.call(|tx| tx.set_secret(&account(), &Kind::Password, &Secret::new("old".into()), &now(1))).await.unwrap();
    put(&vault, Persist::Prepared, Some("never-sent")).await;
    put(&vault, Persist::Quarantine, None).await;
    assert!(vault.call(|tx| tx.candidate(&account())).await.unwrap().is_none());
    vault.call(|tx| tx.set_secret(&account(), &Kind::Password, &Secret::new("known".into()), &now(2))).await.unwrap();
    put(&vault, Persist::Prepared, Some("sent")).await;
    put(&vault, Persist::Sent, None).await;
    put(&vault, Persist::Quarantine, None).await;
    assert_eq!(vault.call(|tx| tx.candidate(&account())).await.unwrap().unwrap().secret().expose(), "sent");
}

#[tokio::test]
async fn a_row_moved_to_another_account_does_not_open() {
    let place = place();
    let vault = place.open().unwrap();
    vault.call(|tx| tx.set_secret(&account(), &Kind::Password, &Secret::new("mine".into()), &now(1))).await.unwrap();
    let other = AccountName::parse("web1/other").unwrap();
    let moved = other.clone();
    vault.call(move |tx| tx.set_secret(&moved, &Kind::Password, &Secret::new("theirs".into()), &now(1))).await.unwrap();
    let database = rusqlite::Connection::open(place.state().join("vault.db")).unwrap();
    let move_row = "UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE account = 'web1/admin') WHERE account = 'web1/other'";
    assert_eq!(database.execute(move_row, []).unwrap(), 1);
    assert!(matches!(vault.call(move |tx| tx.secret(&other, &Kind::Password)).await, Err(VaultError::Unsealing(_))));
}

#[tokio::test]
async fn no_code_is_handed_out_twice_whoever_shares_the_seed() {
    let place = place();
    let vault = place.open().unwrap();
    let seed = || Seed::parse("GEZDGNBVGY3TQOJQ").unwrap();
    let first = vault.call(move |tx| tx.reserve_code(&seed(), Wanted::default(), &now(60_500))).await.unwrap();
    assert!(matches!(first, Reservation::Code { step: 2, .. }));
    drop(vault);
    let vault = reopen(&place);
    let again = vault.call(move |tx| tx.reserve_code(&seed(), Wanted::default(), &now(61_000))).await.unwrap();
    assert!(matches!(again, Reservation::WaitUntil(90_500)));
    let later = vault.call(move |tx| tx.reserve_code(&seed(), Wanted::default(), &now(90_500))).await.unwrap();
    assert!(matches!(later, Reservation::Code { step: 3, .. }));
    let back = vault.call(move |tx| tx.reserve_code(&seed(), Wanted::default(), &now(60_500))).await.unwrap();
    assert!(matches!(back, Reservation::WaitUntil(120_500)), "a clock set back does not help");
}

#[tokio::test]
async fn what_fails_is_undone_alone_and_its_audit_events_with_it() {
    let place = place();
    let vault = place.open().unwrap();
    let failed = vault
        .call(|tx| {
            tx.audit(&Draft::new(EventKind::DaemonStart).detail("undone"), &now(1))?;
            Err::<(), _>(VaultError::NotFound("x".into()))
        })
        .await;
    assert!(failed.is_err());
    for n in 0..3 {
        vault
            .call(move |tx| tx.audit(&Draft::new(EventKind::DaemonStart).detail(format!("{n}")), &now(1)))
            .await
            .unwrap();
    }
    let head = vault.call(|tx| tx.audit_head()).await.unwrap();
    let report = verify_files(vault.audit_folder(), Some((head.0, &head.1))).unwrap();
    assert!(report.ok && report.events == 3, "{report:?}");
}

#[tokio::test]
async fn an_event_that_a_crash_kept_from_the_file_is_appended_at_the_next_start() {
    let place = place();
    let vault = place.open().unwrap();
    for n in 0..3 {
        vault
            .call(move |tx| tx.audit(&Draft::new(EventKind::DaemonStart).detail(format!("{n}")), &now(1)))
            .await
            .unwrap();
    }
    // As a crash between the commit and the append leaves it: in the outbox, not in the file.
    let file = fs::read_dir(vault.audit_folder()).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    let (kept, _) = text.trim_end().rsplit_once('\n').unwrap();
    let kept = format!("{kept}\n");
    drop(vault);
    drop(reopen(&place));
    let database = rusqlite::Connection::open(place.state().join("vault.db")).unwrap();
    let line = text.lines().last().unwrap();
    database.execute("INSERT OR REPLACE INTO outbox (seq, hash, line) VALUES (3, 'h', ?1)", [line]).unwrap();
    drop(database);
    fs::write(&file, kept).unwrap();
    drop(reopen(&place));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn an_event_leaves_the_outbox_with_the_next_transaction_that_changes_something_or_once_nothing_comes() {
    let place = place();
    let vault = place.open().unwrap();
    let database = rusqlite::Connection::open(place.state().join("vault.db")).unwrap();
    let waiting = || {
        let mut statement = database.prepare("SELECT seq FROM outbox ORDER BY seq").unwrap();
        statement.query_map([], |row| row.get::<_, i64>(0)).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    for n in 1..=3 {
        vault
            .call(move |tx| tx.audit(&Draft::new(EventKind::DaemonStart).detail(format!("{n}")), &now(1)))
            .await
            .unwrap();
        vault.call(|tx| tx.audit_head()).await.unwrap();
        assert!(waiting().iter().all(|seq| *seq == n), "only the event of the last transaction is there");
    }
    while !waiting().is_empty() {
        std::thread::yield_now();
    }
    let head = vault.call(|tx| tx.audit_head()).await.unwrap();
    let report = verify_files(vault.audit_folder(), Some((head.0, &head.1))).unwrap();
    assert!(report.ok && report.events == 3, "{report:?}");
}

#[test]
fn a_wrong_key_a_second_daemon_and_a_newer_schema_are_refused() {
    let place = place();
    let vault = place.open().unwrap();
    assert!(matches!(place.open(), Err(VaultError::Locked(_))));
    drop(vault);
    drop(reopen(&place));
    let other = VaultKey::create(&place.folder.path().join("other")).unwrap();
    let wrong = loop {
        match open(&place.state(), &other) {
            Err(VaultError::Locked(_)) => std::thread::yield_now(),
            result => break result,
        }
    };
    assert!(matches!(wrong, Err(VaultError::WrongKey { .. })), "{wrong:?}");
    let database = rusqlite::Connection::open(place.state().join("vault.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    assert!(matches!(place.open(), Err(VaultError::Newer { found: 99, .. })));
}

#[test]
fn a_damaged_vault_is_refused_and_left_as_it_is() {
    let place = place();
    fs::create_dir_all(place.state()).unwrap();
    fs::write(place.state().join("vault.db"), [b'x'; 4096]).unwrap();
    let error = place.open().unwrap_err();
    assert!(error.to_string().contains("is damaged") && error.to_string().contains("backup"), "{error}");
    assert_eq!(fs::read(place.state().join("vault.db")).unwrap(), [b'x'; 4096]);
}

#[test]
fn key_files_that_are_unsafe_are_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let refusal = |path: &Path| VaultKey::from_file(path).unwrap_err().to_string();
    assert!(refusal(&path).contains("rotorctl key new"));
    VaultKey::create(&path).unwrap();
    assert!(VaultKey::from_file(&path).is_ok());
    assert!(VaultKey::create(&path).unwrap_err().to_string().contains("never written over"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(refusal(&path).contains("chmod 0600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink(&path, open.join("link")).unwrap();
    assert!(refusal(&open.join("link")).contains("chmod go-w"));
    let safe = folder.path().join("link");
    fs::copy(&path, open.join("key")).unwrap();
    std::os::unix::fs::symlink(open.join("key"), &safe).unwrap();
    assert!(refusal(&safe).contains("chmod go-w"), "a link into a folder that others can write");
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    assert!(refusal(&pipe).contains("no plain file but a pipe"));
    fs::write(&path, [0u8; 31]).unwrap();
    assert!(refusal(&path).contains("exactly 32 bytes"));
    fs::write(&path, [0u8; 33]).unwrap();
    assert!(refusal(&path).contains("more"));
}

#[tokio::test]
async fn secrets_are_on_the_disk_only_sealed() {
    let place = place();
    let vault = place.open().unwrap();
    for (kind, text) in [
        (Kind::Password, "Plain-Needle-1"),
        (Kind::Totp, "Plain-Needle-2"),
        (Kind::Field("X".into()), "Plain-Needle-3"),
    ] {
        vault.call(move |tx| tx.set_secret(&account(), &kind, &Secret::new(text.into()), &now(1))).await.unwrap();
    }
    for entry in fs::read_dir(place.state()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(12).any(|window| window == b"Plain-Needle"), "{}", path.display());
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_fresh_key_seals_every_secret_anew_and_forgets_no_code() {
    let seed = || Seed::parse("GEZDGNBVGY3TQOJQ").unwrap();
    let mut place = place();
    let vault = place.open().unwrap();
    for version in ["old-1", "old-2", "current-3"] {
        let secret = Secret::new(version.into());
        vault.call(move |tx| tx.set_secret(&account(), &Kind::Password, &secret, &now(1))).await.unwrap();
    }
    vault.call(move |tx| tx.set_secret(&account(), &Kind::Totp, &seed().to_uri(), &now(1))).await.unwrap();
    let code = vault.call(move |tx| tx.reserve_code(&seed(), Wanted::default(), &now(60_500))).await.unwrap();
    assert!(matches!(code, Reservation::Code { .. }));
    let before: Vec<u8> = rusqlite::Connection::open(place.state().join("vault.db"))
        .unwrap()
        .query_row("SELECT sealed FROM secret WHERE kind = 'password' AND version = 1", [], |row| row.get(0))
        .unwrap();
    let file = place.folder.path().join("fresh");
    let fresh = VaultKey::create(&file).unwrap();
    let same = VaultKey::from_file(&file).unwrap();
    let count = vault
        .admin()
        .unwrap()
        .rekey(fresh, file.display().to_string(), Draft::new(EventKind::KeyRotated), now(2))
        .await
        .unwrap();
    assert_eq!(count, 4);
    let check = async |vault: &Vault| {
        let (secret, history) =
            vault.call(|tx| Ok((tx.secret(&account(), &Kind::Password)?, tx.history(&account())?))).await.unwrap();
        assert_eq!(secret.unwrap().expose(), "current-3");
        assert!(history.iter().any(|entry| entry.password.expose() == "old-1"));
        let again = vault.call(move |tx| tx.reserve_code(&seed(), Wanted::default(), &now(61_000))).await.unwrap();
        assert!(matches!(again, Reservation::WaitUntil(_)), "the code of before is still used");
    };
    check(&vault).await;
    drop(vault);
    let wrong = loop {
        match place.open() {
            Err(VaultError::Locked(_)) => std::thread::yield_now(),
            result => break result.map(drop).unwrap_err(),
        }
    };
    assert!(matches!(wrong, VaultError::WrongKey { .. }) && wrong.to_string().contains("fresh"), "{wrong}");
    place.key = same;
    let vault = reopen(&place);
    check(&vault).await;
    drop(vault);
    let after: Vec<u8> = rusqlite::Connection::open(place.state().join("vault.db"))
        .unwrap()
        .query_row("SELECT sealed FROM secret WHERE kind = 'password' AND version = 1", [], |row| row.get(0))
        .unwrap();
    assert_ne!(before, after, "the data key is another one too");
    let report = verify_files(&place.state().join("audit"), None).unwrap();
    assert!(report.ok && report.events == 1, "{report:?}");
}

#[tokio::test]
async fn a_wait_lasts_as_long_whatever_is_done_to_the_wall_clock() {
    const HOUR: i64 = 3_600_000;
    let at = |boot: &str, wall_ms: i64, since_boot_ms: i64| Moment { wall_ms, boot: BootId::of(boot), since_boot_ms };
    let place = place();
    let vault = place.open().unwrap();
    let left = |vault: Vault, now: Moment| async move {
        vault.call(move |tx| Ok(tx.account(&account())?.unwrap().wake.unwrap().since(&now))).await.unwrap()
    };
    // Set by a wall clock that runs a day ahead, before anybody noticed; then it is set right.
    let wrong = at("a", 24 * HOUR, 1_000);
    vault
        .call(move |tx| {
            tx.set_secret(&account(), &Kind::Password, &Secret::new("First".into()), &wrong)?;
            tx.set_wake(&account(), Some(&wrong.plus_ms(HOUR)), 1)
        })
        .await
        .unwrap();
    let right = at("a", 10, 2_000);
    assert_eq!(left(vault.clone(), right).await, HOUR - 1_000);
    vault.call(move |tx| tx.clock_was_set(&right)).await.unwrap();
    // Another boot goes by what the wall clock said at last.
    assert_eq!(left(vault.clone(), at("b", 10 + HOUR / 2, 100)).await, HOUR / 2 - 1_000);
    // One of an older schema has no boot.
    drop(vault);
    drop(reopen(&place));
    let database = rusqlite::Connection::open(place.state().join("vault.db")).unwrap();
    database.execute("UPDATE account SET wake = ?1, wake_boot = NULL, wake_up = NULL", [5 * HOUR]).unwrap();
    drop(database);
    assert_eq!(left(reopen(&place), at("b", 4 * HOUR, 7)).await, HOUR);
}

/// The account's warning, and what is not clean about the change under way.
async fn flaws(vault: &Vault) -> (Option<String>, Option<String>) {
    let row = vault.call(|tx| tx.account(&account())).await.unwrap().unwrap();
    (row.warning.map(|text| text.to_string()), row.flaw.map(|text| text.to_string()))
}

#[tokio::test]
async fn what_was_not_clean_about_a_proved_change_stands_until_a_clean_one_or_a_word() {
    let place = place();
    let vault = place.open().unwrap();
    vault.call(|tx| tx.set_secret(&account(), &Kind::Password, &Secret::new("old".into()), &now(1))).await.unwrap();
    put(&vault, Persist::Prepared, Some("new")).await;
    put(&vault, Persist::Sent, None).await;
    let (_, cut_off) = flaws(&vault).await;
    assert_eq!(cut_off.as_deref(), Some(CUT_OFF), "a crash leaves it so");
    let doubt = Persist::Uncertain(Doubt::fresh(Which::New));
    put_with(&vault, doubt, None, Some("line 23")).await;
    // What finds out after a restart knows no more than is stored.
    put(&vault, doubt, None).await;
    drop(vault);
    let vault = reopen(&place);
    put(&vault, Persist::Promote, None).await;
    assert_eq!(flaws(&vault).await, (Some("line 23".into()), None));
    // One that comes to nothing changes nothing about it.
    put(&vault, Persist::Prepared, Some("newer")).await;
    put(&vault, Persist::Sent, None).await;
    put(&vault, Persist::Revert, None).await;
    assert_eq!(flaws(&vault).await, (Some("line 23".into()), None));
    put(&vault, Persist::Prepared, Some("newest")).await;
    put(&vault, Persist::Sent, None).await;
    put(&vault, Persist::Verifying, None).await;
    put(&vault, Persist::Promote, None).await;
    assert_eq!(flaws(&vault).await, (None, None));
    put(&vault, Persist::Prepared, Some("last")).await;
    put(&vault, Persist::Sent, None).await;
    put_with(&vault, Persist::Promote, None, Some("changed and proved; line 9")).await;
    assert_eq!(flaws(&vault).await.0.as_deref(), Some("changed and proved; line 9"));
    let seen = |vault: Vault| async move { vault.call(|tx| tx.acknowledge(&account())).await.unwrap() };
    assert!(seen(vault.clone()).await);
    assert!(!seen(vault.clone()).await);
    assert_eq!(flaws(&vault).await, (None, None));
}

#[tokio::test]
async fn codes_that_a_vault_of_before_knows_as_used_stay_so() {
    let seed = || Seed::parse("GEZDGNBVGY3TQOJQ").unwrap();
    let place = place();
    let vault = place.open().unwrap();
    drop(vault);
    drop(reopen(&place));
    make_former(&place, &[(seed().given_key(), 2)]);
    let database = rusqlite::Connection::open(place.state().join("vault.db")).unwrap();
    database
        .execute_batch(
            "CREATE TABLE used_code (seed TEXT NOT NULL, step INTEGER NOT NULL, wall INTEGER NOT NULL, PRIMARY KEY (seed, step)) STRICT, WITHOUT ROWID;
             INSERT INTO used_code (seed, step, wall) SELECT hash, 2, 60000 FROM seed;
             DROP TABLE used_step;
             DROP TABLE seed;
             DROP INDEX account_wakes;
             DROP INDEX account_unsettled;
             ALTER TABLE device_clock DROP COLUMN worked;
             ALTER TABLE device_clock DROP COLUMN phase;
             ALTER TABLE failed_login DROP COLUMN refused;
             ALTER TABLE failed_login DROP COLUMN past;
             ALTER TABLE account DROP COLUMN adopted;
             ALTER TABLE account DROP COLUMN warning;
             ALTER TABLE account DROP COLUMN flaw;
             ALTER TABLE attempt DROP COLUMN warning;
             ALTER TABLE job DROP COLUMN turned;
             PRAGMA user_version = 4;",
        )
        .unwrap();
    drop(database);
    let vault = reopen(&place);
    let again = vault.call(move |tx| tx.reserve_code(&seed(), Wanted::default(), &now(61_000))).await.unwrap();
    assert!(matches!(again, Reservation::WaitUntil(90_500)));
    // After four hundred days nothing is kept of it, and not before.
    vault.call(move |tx| tx.forget_old(&now(61_000))).await.unwrap();
    let (year, later) = (now(60_000 + 399 * 86_400_000), now(60_000 + 402 * 86_400_000));
    vault.call(move |tx| tx.forget_old(&year)).await.unwrap();
    let again = vault.call(move |tx| tx.reserve_code(&seed(), Wanted::default(), &now(61_000))).await.unwrap();
    assert!(matches!(again, Reservation::WaitUntil(_)));
    vault.call(move |tx| tx.forget_old(&later)).await.unwrap();
    let again = vault.call(move |tx| tx.reserve_code(&seed(), Wanted::default(), &now(61_000))).await.unwrap();
    assert!(matches!(again, Reservation::Code { .. }));
}

#[tokio::test]
async fn of_each_account_the_last_attempts_are_kept() {
    let place = place();
    let vault = place.open().unwrap();
    vault
        .call(|tx| {
            for number in 0..40 {
                let outcome = if number == 20 { "failed" } else { "done" };
                tx.save_attempt(&AttemptRow {
                    id: format!("a{number}"),
                    account: account().to_string(),
                    kind: AttemptKind::Verify,
                    started: number,
                    ended: Some(number),
                    trigger: crate::model::Trigger::Command,
                    actor: None,
                    job: None,
                    reason: None,
                    outcome: crate::model::Outcome::parse(outcome),
                    detail: None,
                    warning: None,
                    failure: None,
                    steps: [Step { at: 0, text: "connected".into() }].into(),
                })?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let rows = vault.call(|tx| tx.attempts(&account(), 200)).await.unwrap();
    let kept: Vec<i64> = rows.iter().map(|row| row.started).collect();
    assert_eq!(kept, (10..40).rev().collect::<Vec<_>>());
    let with_steps: Vec<i64> = rows.iter().filter(|row| !row.steps.is_empty()).map(|row| row.started).collect();
    assert_eq!(with_steps, [39, 38, 37, 36, 35, 20], "the last ones, and what did not end well");
}

#[tokio::test]
async fn a_survey_is_read_beside_the_thread_that_owns_the_database() {
    let place = place();
    let vault = place.open().unwrap();
    let name = account();
    let stored = vault.call(move |tx| {
        tx.set_secret(&name, &Kind::Password, &Secret::new("First-Password-1".to_owned()), &now(1))?;
        tx.set_skew(&name.device(), crate::totp::Skew { steps: 2, ..Default::default() })?;
        tx.add_failed_login(&name, &now(3))
    });
    stored.await.unwrap();
    // Whoever has the thread keeps it until the survey is there.
    let (answered, wait) = std::sync::mpsc::channel::<()>();
    let busy = vault.clone();
    let busy = tokio::spawn(async move {
        let work = move |_: &dyn Ledger| {
            let _ = wait.recv();
            Ok(())
        };
        busy.call(work).await
    });
    let survey = vault.admin().unwrap().survey().await.unwrap();
    drop(answered);
    busy.await.unwrap().unwrap();
    assert_eq!(survey.accounts.len(), 1);
    assert!(survey.accounts[0].has_password() && &*survey.accounts[0].name == "web1/admin");
    assert_eq!((survey.skews[0].0.as_str(), survey.skews[0].1.steps), ("web1", 2));
    assert_eq!(survey.logins, [("web1/admin".to_owned(), now(3))]);
    assert!(!survey.has_finding);
}

#[tokio::test]
async fn how_far_the_log_is_written_is_told_as_it_grows_and_after_a_restart() {
    let place = place();
    let vault = place.open().unwrap();
    let mut appended = vault.appended();
    assert_eq!(*appended.borrow_and_update(), 0);
    vault.call(|tx| tx.audit(&Draft::new(EventKind::DaemonStart), &now(1))).await.unwrap();
    assert!(appended.has_changed().unwrap());
    assert_eq!(*appended.borrow_and_update(), 1);
    let timings = vault.timings().unwrap();
    assert_eq!(timings.append.observed().counts.iter().sum::<u64>(), 1);
    assert!(timings.commit.observed().counts.iter().sum::<u64>() >= 1 && timings.errors.get() == 0);
    drop((vault, appended));
    assert_eq!(*reopen(&place).appended().borrow(), 1);
}

#[tokio::test]
async fn what_may_wait_is_found_by_whatever_comes_after_it_and_is_kept_without_anything_after_it() {
    let place = place();
    let vault = place.open().unwrap();
    let note = |n: i64| move |tx: &dyn Ledger| tx.add_login(&account(), &now(n)).map(drop);
    let loud = |error: VaultError| panic!("{error}");
    vault.later(note(1), loud);
    assert_eq!(vault.call(|tx| tx.logins(&account())).await.unwrap().len(), 1);
    vault.later(note(2), loud);
    let rows = || {
        let reader = rusqlite::Connection::open(place.state().join("vault.db")).unwrap();
        reader.query_row("SELECT count(*) FROM failed_login", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let begun = std::time::Instant::now();
    while rows() < 2 {
        assert!(begun.elapsed().as_secs() < 60, "it is made durable by itself");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    vault.later(note(3), loud);
    drop(vault);
    let vault = reopen(&place);
    assert_eq!(vault.call(|tx| tx.logins(&account())).await.unwrap().len(), 3, "the vault closes behind what waits");
    let (told, failed) = std::sync::mpsc::channel();
    vault.later(|_| Err(VaultError::Unreadable("test")), move |error| drop(told.send(error.to_string())));
    vault.call(|tx| tx.logins(&account())).await.unwrap();
    assert!(failed.recv().unwrap().contains("test"));
}
