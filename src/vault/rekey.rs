//! A fresh key for a running vault: every secret is sealed anew, in one transaction.

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::error::VaultError;
use super::hosts::seal_host_keys_anew;
use super::keys::VaultKey;
use super::seal::{Sealer, fresh_data_key};
use super::secrets::place_of;
use super::seeds::keep_seed_key;
use super::store::{Order, Tx, Vault, meta, set_meta};
use super::{Ledger, Trail};
use crate::audit::Draft;
use crate::model::Moment;

/// What the thread that owns the database is handed.
pub(super) struct Rekey {
    key: VaultKey,
    file: String,
    draft: Draft,
    now: Moment,
    answer: oneshot::Sender<Result<usize, VaultError>>,
}

impl Vault {
    /// Seals every secret under a fresh data key, and that one under `key`. `file` is where the key is kept: it is told to
    /// whoever opens the vault with the former one. How many secrets there were.
    ///
    /// # Errors
    /// A secret does not open, or the change cannot be made durable: then the former key stays in force.
    pub async fn rekey(&self, key: VaultKey, file: String, draft: Draft, now: Moment) -> Result<usize, VaultError> {
        let (answer, result) = oneshot::channel();
        self.order(Order::Rekey(Box::new(Rekey { key, file, draft, now, answer })))?;
        result.await.unwrap_or(Err(VaultError::Closed))
    }
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
    let tx = Tx { connection: &transaction, sealer: &fresh };
    let ledger: &dyn Ledger = &tx;
    Trail::audit(ledger, draft, now)?;
    transaction.commit()?;
    Ok((fresh, rows.len()))
}
