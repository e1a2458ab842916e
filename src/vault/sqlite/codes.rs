//! Which codes were used: pairs of a seed and a time step. A seed is known by a hash under a key of its own, which stays when
//! the vault's key is changed; and a pair is kept for a time that is counted by the boot clock, so that no clock that is set
//! frees one.

use rusqlite::{Connection, OptionalExtension, params};
use zeroize::Zeroizing;

use super::accounts::place_of;
use super::meta::{meta, set_meta};
use super::transaction::SqliteTransaction;
use crate::model::Moment;
use crate::policy::DAY_MS;
use crate::totp::Seed;
use crate::vault::error::VaultError;
use crate::vault::keys::{KEY_BYTES, random};
use crate::vault::seal::Sealer;

/// The number of the seed whose used steps count for every seed.
pub(super) const ANY: i64 = 0;

/// Days of elapsed time for which a used code is kept.
const KEPT_DAYS: i64 = 400;

const SEED_KEY: &str = "seed_key";
const SEED_KEY_PLACE: &str = "rotord seed key 1";

/// Has the sealer know seeds by the vault's key for them. `false` where there is none.
pub(super) fn open_seed_key(connection: &Connection, sealer: &mut Sealer) -> Result<bool, VaultError> {
    let Some(sealed) = meta(connection, SEED_KEY)? else { return Ok(false) };
    let key = sealer.open(SEED_KEY_PLACE, &sealed).ok_or_else(|| VaultError::Unsealing("the used codes".into()))?;
    sealer.know_seeds_by(key);
    Ok(true)
}

/// Keeps the key by which seeds are known in the database, sealed under another data key.
pub(super) fn keep_seed_key(connection: &Connection, sealer: &Sealer) -> Result<(), VaultError> {
    set_meta(connection, SEED_KEY, &sealer.seal(SEED_KEY_PLACE, sealer.seed_key())?)
}

/// Makes the key by which seeds are known from now on. What an older rotord recorded as used stays so: of a seed that the vault
/// holds, under its new hash, and of any other, for every seed.
pub(super) fn make_seed_key(connection: &Connection, sealer: &mut Sealer) -> Result<(), VaultError> {
    let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
    random(&mut key)?;
    let held = held_seeds(connection, sealer)?;
    let former: Vec<String> = held.iter().map(|seed| sealer.seed_hash(seed.given_key())).collect();
    sealer.know_seeds_by(key);
    keep_seed_key(connection, sealer)?;
    connection.execute("UPDATE seed SET hash = 'former ' || hash WHERE id <> ?1", [ANY])?;
    for (seed, former) in held.iter().zip(former) {
        let number = "SELECT id FROM seed WHERE hash = ?1";
        let was: Option<i64> =
            connection.query_row(number, [format!("former {former}")], |row| row.get(0)).optional()?;
        let Some(was) = was else { continue };
        let hash = sealer.seed_hash(seed.hmac_key());
        connection.execute("INSERT OR IGNORE INTO seed (hash) VALUES (?1)", [&hash])?;
        let is: i64 = connection.query_row(number, [&hash], |row| row.get(0))?;
        connection.execute("UPDATE OR IGNORE used_step SET seed = ?2 WHERE seed = ?1", [was, is])?;
        connection.execute("DELETE FROM used_step WHERE seed = ?1", [was])?;
        connection.execute("DELETE FROM seed WHERE id = ?1", [was])?;
    }
    connection.execute("INSERT OR IGNORE INTO seed (id, hash) VALUES (?1, '')", [ANY])?;
    let others = "seed IN (SELECT id FROM seed WHERE hash LIKE 'former %')";
    connection.execute(&format!("UPDATE OR IGNORE used_step SET seed = ?1 WHERE {others}"), [ANY])?;
    connection.execute(&format!("DELETE FROM used_step WHERE {others}"), [])?;
    connection.execute("DELETE FROM seed WHERE hash LIKE 'former %'", [])?;
    Ok(())
}

/// The seeds of the vault's accounts, as far as they open.
fn held_seeds(connection: &Connection, sealer: &Sealer) -> Result<Vec<Seed>, VaultError> {
    let rows = connection
        .prepare("SELECT account, version, sealed FROM secret WHERE kind = 'totp'")?
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    let open = |(account, version, sealed): (String, i64, Vec<u8>)| {
        let plain = sealer.open(&place_of(&account, "totp", version), &sealed)?;
        Seed::parse(std::str::from_utf8(&plain).ok()?).ok()
    };
    Ok(rows.into_iter().filter_map(open).collect())
}

impl SqliteTransaction<'_> {
    /// The number of a seed, which is given one where it has none.
    pub(super) fn seed_number(&self, seed: &Seed) -> Result<i64, VaultError> {
        let hash = self.sealer.seed_hash(seed.hmac_key());
        self.connection.prepare_cached("INSERT OR IGNORE INTO seed (hash) VALUES (?1)")?.execute([&hash])?;
        let mut known = self.connection.prepare_cached("SELECT id FROM seed WHERE hash = ?1")?;
        known.query_row([hash], |row| row.get(0)).optional()?.ok_or(VaultError::Unreadable("seed"))
    }

    /// Whether the code of a step was used, for its seed or for every one.
    pub(super) fn is_step_used(&self, seed: &Seed, step: u64) -> Result<bool, VaultError> {
        let Ok(step) = i64::try_from(step) else { return Ok(false) };
        let hash = self.sealer.seed_hash(seed.hmac_key());
        let mut used = self.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM used_step WHERE step = ?3 AND seed IN (?1, (SELECT id FROM seed WHERE hash = ?2)))",
        )?;
        Ok(used.query_row(params![ANY, hash, step], |row| row.get(0))?)
    }

    /// The code of this step counts as used from now on; whether it did not before.
    pub(super) fn use_step_of(&self, seed: i64, step: u64, now: &Moment) -> Result<bool, VaultError> {
        let step = i64::try_from(step).map_err(|_| VaultError::Unreadable("time step"))?;
        let today = self.elapsed_days(now)?;
        let added = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO used_step (seed, step, age) VALUES (?1, ?2, ?3)")?
            .execute(params![seed, step, today])?;
        Ok(added == 1)
    }

    /// The code of this step counts as used for every seed.
    pub(super) fn use_step_of_any(&self, step: u64, now: &Moment) -> Result<(), VaultError> {
        self.connection.execute("INSERT OR IGNORE INTO seed (id, hash) VALUES (?1, '')", [ANY])?;
        self.use_step_of(ANY, step, now).map(drop)
    }

    /// Days for which this vault was in use, by clocks that nobody can set: what went by in each boot, as far as it was seen.
    /// Once a day, what is older than [`KEPT_DAYS`] is forgotten.
    pub(super) fn elapsed_days(&self, now: &Moment) -> Result<i64, VaultError> {
        let known = meta(self.connection, "elapsed")?.and_then(|bytes| String::from_utf8(bytes).ok());
        let boot = now.boot.to_string();
        let total = match known.as_deref().map(parse_elapsed) {
            None => 0,
            Some(None) => return Err(VaultError::Unreadable("elapsed time")),
            // A boot that was not seen before has gone on for all its time since.
            Some(Some((was, up, total))) => {
                let more = if was == boot { now.since_boot_ms.saturating_sub(up) } else { now.since_boot_ms };
                if was == boot && more <= 0 {
                    return Ok(total.div_euclid(DAY_MS));
                }
                total.saturating_add(more.max(0))
            }
        };
        set_meta(self.connection, "elapsed", format!("{boot} {} {total}", now.since_boot_ms).as_bytes())?;
        let today = total.div_euclid(DAY_MS);
        let pruned = meta(self.connection, "pruned")?.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        if pruned.is_none_or(|pruned: i64| pruned < today) {
            set_meta(self.connection, "pruned", today.to_string().as_bytes())?;
            self.connection.execute("DELETE FROM used_step WHERE age < ?1", [today - KEPT_DAYS])?;
        }
        Ok(today)
    }
}

/// Boot, its clock's milliseconds and the sum of all boots.
fn parse_elapsed(text: &str) -> Option<(&str, i64, i64)> {
    let mut parts = text.split(' ');
    Some((parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
