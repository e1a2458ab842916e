//! A fresh key for a running vault: every secret is sealed anew, in one transaction.

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::accounts::place_of;
use super::codes::keep_seed_key;
use super::host_keys::seal_host_keys_anew;
use super::meta::{meta, set_meta};
use super::transaction::SqliteTransaction;
use crate::audit::Draft;
use crate::model::Moment;
use crate::vault::error::VaultError;
use crate::vault::keys::VaultKey;
use crate::vault::seal::{Sealer, fresh_data_key};
use crate::vault::transaction::AuditStore;

/// What the thread that owns the database is handed.
pub(super) struct Rekey {
    pub(super) key: VaultKey,
    pub(super) file: String,
    pub(super) draft: Draft,
    pub(super) now: Moment,
    pub(super) answer: oneshot::Sender<Result<usize, VaultError>>,
}

impl Rekey {
    /// Does it; the sealer is exchanged once the transaction is durable.
    pub(super) fn carry_out(
        self,
        connection: &mut Connection,
        sealer: &mut Sealer,
    ) -> (Result<usize, VaultError>, oneshot::Sender<Result<usize, VaultError>>) {
        let done = seal_anew(connection, sealer, &self.key, &self.file, &self.draft, &self.now);
        let result = done.map(|(fresh, count)| {
            *sealer = fresh;
            count
        });
        (result, self.answer)
    }
}

fn seal_anew(
    connection: &mut Connection,
    old: &Sealer,
    key: &VaultKey,
    file: &str,
    draft: &Draft,
    now: &Moment,
) -> Result<(Sealer, usize), VaultError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let id = meta(&transaction, "vault_id")?.and_then(|id| String::from_utf8(id).ok());
    let id = id.ok_or(VaultError::Unreadable("vault id"))?;
    let (mut fresh, wrapped) = fresh_data_key(key, &id)?;
    let rows = transaction
        .prepare("SELECT account, kind, version, sealed FROM secret")?
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, Vec<u8>>(3)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    for (account, kind, version, sealed) in &rows {
        let place = place_of(account, kind, *version);
        let plain = old.open(&place, sealed).ok_or_else(|| VaultError::Unsealing(account.clone()))?;
        transaction.execute(
            "UPDATE secret SET sealed = ?4 WHERE account = ?1 AND kind = ?2 AND version = ?3",
            params![account, kind, version, fresh.seal(&place, &plain)?],
        )?;
    }
    // Used codes are kept under a hash of their seed. Its key stays, or those of a seed that is not in the vault now were lost.
    fresh.know_seeds_by(old.seed_key().to_vec().into());
    keep_seed_key(&transaction, &fresh)?;
    seal_host_keys_anew(&transaction, old, &fresh)?;
    set_meta(&transaction, "data_key", &wrapped)?;
    set_meta(&transaction, "key_file", file.as_bytes())?;
    SqliteTransaction { connection: &transaction, sealer: &fresh }.audit(draft, now)?;
    transaction.commit()?;
    Ok((fresh, rows.len()))
}
