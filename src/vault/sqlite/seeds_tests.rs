//! What nobody can have rotord forget or believe by changing keys, clocks, spellings or rows.

use rusqlite::{Connection, params};

use super::meta::{meta, set_meta};
use super::tests::{Place, account, now, place, reopen, reopened, restored};
use crate::audit::Draft;
use crate::model::{BootId, EventKind, Moment};
use crate::totp::{Seed, Wanted};
use crate::vault::seal::unwrap_data_key;
use crate::vault::*;

const FINGERPRINT: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn database(place: &Place) -> Connection {
    Connection::open(place.state().join("vault.db")).unwrap()
}

/// Makes of a vault one of schema 12, in which steps of keys are used.
pub(super) fn make_former(place: &Place, used: &[(&[u8], i64)]) {
    let database = database(place);
    let id = String::from_utf8(meta(&database, "vault_id").unwrap().unwrap()).unwrap();
    let wrapped = meta(&database, "data_key").unwrap().unwrap();
    let sealer = unwrap_data_key(&place.key, &id, &wrapped).unwrap().sealer;
    set_meta(&database, "data_key", &sealer.wrap_as_before(&place.key, &id).unwrap()).unwrap();
    database
        .execute_batch(
            "DELETE FROM meta WHERE name IN ('seed_key', 'elapsed', 'pruned');
             DELETE FROM used_step;
             DELETE FROM seed;
             ALTER TABLE used_step RENAME COLUMN age TO day;
             ALTER TABLE host_key DROP COLUMN sealed;
             ALTER TABLE attempt DROP COLUMN kind;
             ALTER TABLE attempt DROP COLUMN job;
             ALTER TABLE attempt DROP COLUMN reason;
             ALTER TABLE attempt DROP COLUMN failure;
             ALTER TABLE account DROP COLUMN verify_error;
             DROP TABLE notifier;
             PRAGMA user_version = 12;",
        )
        .unwrap();
    for (key, step) in used {
        let hash = sealer.seed_hash(key);
        database.execute("INSERT OR IGNORE INTO seed (hash) VALUES (?1)", [&hash]).unwrap();
        let text = "INSERT INTO used_step (seed, step, day) SELECT id, ?2, 0 FROM seed WHERE hash = ?1";
        database.execute(text, params![hash, step]).unwrap();
    }
}

fn seed(spelt: &str) -> Seed {
    Seed::parse(spelt).unwrap()
}

/// Whether the code of now may be sent; it is used then.
async fn is_free(vault: &Vault, spelt: &'static str, now: Moment) -> bool {
    let reserved = vault.call(move |tx| tx.reserve_code(&seed(spelt), Wanted::default(), &now)).await.unwrap();
    matches!(reserved, Reservation::Code { .. })
}

async fn rekey(place: &mut Place, vault: &Vault) {
    let file = place.folder.path().join("fresh");
    let fresh = VaultKey::create(&file).unwrap();
    place.key = VaultKey::from_file(&file).unwrap();
    vault
        .admin()
        .unwrap()
        .rekey(fresh, file.display().to_string(), Draft::new(EventKind::KeyRotated), now(2))
        .await
        .unwrap();
}

const A: &str = "GEZDGNBVGY3TQOJQ";
/// The same key with a zero behind it.
const A_WITH_ZERO: &str = "GEZDGNBVGY3TQOJQAA";
const B: &str = "JBSWY3DPEHPK3PXP";

#[tokio::test]
async fn a_code_stays_used_when_the_key_is_changed_while_its_seed_is_not_in_the_vault() {
    let mut place = place();
    let vault = place.open().unwrap();
    assert!(is_free(&vault, A, now(60_500)).await);
    vault.call(|tx| tx.set_secret(&account(), &Kind::Totp, &seed(B).to_uri(), &now(1))).await.unwrap();
    rekey(&mut place, &vault).await;
    assert!(!is_free(&vault, A, now(61_000)).await);
    drop(vault);
    let vault = reopen(&place);
    assert!(!is_free(&vault, A, now(61_000)).await);
    assert!(!is_free(&vault, A_WITH_ZERO, now(61_000)).await, "it has the same codes");
    assert!(is_free(&vault, B, now(61_000)).await);
}

#[tokio::test]
async fn a_clock_that_leaps_ahead_and_back_frees_no_code() {
    let place = place();
    let vault = place.open().unwrap();
    assert!(is_free(&vault, A, now(60_500)).await);
    const YEARS: i64 = 3 * 365 * 86_400_000;
    for boot in ["b", "another"] {
        let leapt = Moment { wall_ms: YEARS, boot: BootId::of(boot), since_boot_ms: 70_000 };
        vault.call(move |tx| tx.forget_old(&leapt)).await.unwrap();
        assert!(is_free(&vault, B, leapt.plus_ms(if boot == "b" { 500 } else { 30_500 })).await);
        assert!(!is_free(&vault, A, now(61_000)).await, "{boot}");
    }
}

#[tokio::test]
async fn what_was_used_is_forgotten_once_the_vault_was_in_use_for_four_hundred_days_over_all_boots() {
    let place = place();
    let vault = place.open().unwrap();
    let at =
        |boot: &str, days: i64| Moment { wall_ms: 60_500, boot: BootId::of(boot), since_boot_ms: days * 86_400_000 };
    assert!(is_free(&vault, A, at("one", 1)).await);
    for (boot, days, kept) in [("one", 201, true), ("two", 100, true), ("three", 99, true), ("three", 102, false)] {
        let then = at(boot, days);
        vault.call(move |tx| tx.forget_old(&then)).await.unwrap();
        assert_eq!(!is_free(&vault, A, then).await, kept, "{boot} {days}");
    }
}

#[tokio::test]
async fn what_an_older_rotord_used_stays_used_whether_or_not_its_seed_is_in_the_vault() {
    let place = place();
    let vault = place.open().unwrap();
    vault.call(|tx| tx.set_secret(&account(), &Kind::Totp, &seed(A_WITH_ZERO).to_uri(), &now(1))).await.unwrap();
    drop(vault);
    drop(reopen(&place));
    make_former(&place, &[(seed(A_WITH_ZERO).given_key(), 2), (b"another key", 3)]);
    let vault = reopen(&place);
    assert!(!is_free(&vault, A, now(60_500)).await);
    assert!(is_free(&vault, B, now(60_500)).await, "that was not its code");
    assert!(!is_free(&vault, B, now(90_500)).await, "of which seed this one was is not known any more");
    assert!(is_free(&vault, B, now(120_500)).await);
}

#[tokio::test]
async fn a_restored_vault_sends_no_code_of_this_minute_whatever_seed_it_is_given_now() {
    let place = place();
    let vault = place.open().unwrap();
    let vault = restored(&place, &vault).await;
    let then = vault.call(|tx| Ok(tx.audit_head()?.0)).await.unwrap();
    assert!(then > 0);
    assert!(!is_free(&vault, A, now(61_000)).await);
    assert!(is_free(&vault, A, now(300_500)).await);
}

async fn trust(vault: &Vault) {
    let row = HostKeyRow { fingerprint: FINGERPRINT.into(), key: "ssh-ed25519 AAAA".into() };
    vault.call(move |tx| tx.trust_host_key("web1", &row, &now(1))).await.unwrap();
}

/// How many host keys are believed of a device.
async fn believed(vault: &Vault, device: &'static str) -> Result<usize, String> {
    let keys = vault.call(move |tx| tx.host_keys(device)).await;
    keys.map(|keys| keys.len()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_host_key_that_was_altered_put_in_or_moved_is_not_believed() {
    for change in [
        "UPDATE host_key SET fingerprint = 'SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB'",
        "UPDATE host_key SET key = 'ssh-ed25519 BBBB'",
        "UPDATE host_key SET sealed = NULL",
        "INSERT INTO host_key (device, fingerprint, key, trusted) VALUES ('web1', 'SHA256:C', 'ssh-ed25519 C', 1)",
        "INSERT INTO host_key SELECT 'web1', 'SHA256:C', key, trusted, sealed FROM host_key",
    ] {
        let mut place = place();
        let vault = place.open().unwrap();
        trust(&vault).await;
        assert_eq!(believed(&vault, "web1").await, Ok(1));
        database(&place).execute(change, []).unwrap();
        let error = believed(&vault, "web1").await.unwrap_err();
        assert!(error.contains("web1") && error.contains("rotorctl trust web1"), "{change}: {error}");
        // A change of the key makes no altered row a good one.
        rekey(&mut place, &vault).await;
        assert!(believed(&vault, "web1").await.is_err(), "{change}");
        trust(&vault).await;
        assert_eq!(believed(&vault, "web1").await, Ok(1), "what a person trusts anew takes its place: {change}");
    }
    let place = place();
    let vault = place.open().unwrap();
    trust(&vault).await;
    database(&place).execute("UPDATE host_key SET device = 'web2'", []).unwrap();
    assert!(believed(&vault, "web2").await.is_err());
}

#[tokio::test]
async fn host_keys_that_an_older_rotord_stored_are_taken_over_once() {
    let mut place = place();
    let vault = place.open().unwrap();
    trust(&vault).await;
    rekey(&mut place, &vault).await;
    assert_eq!(believed(&vault, "web1").await, Ok(1), "under a fresh key too");
    drop(vault);
    drop(reopen(&place));
    make_former(&place, &[]);
    let vault = reopen(&place);
    assert_eq!(believed(&vault, "web1").await, Ok(1));
    drop(vault);
    drop(reopen(&place));
    // A vault of today that is made to look like one of before is not taken for one.
    database(&place)
        .execute_batch("UPDATE host_key SET sealed = NULL; DELETE FROM meta WHERE name = 'seed_key'")
        .unwrap();
    let error = reopened(&place).map(drop).unwrap_err();
    assert!(matches!(error, VaultError::Damaged(..)), "{error}");
}
