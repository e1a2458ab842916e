//! Backup, key and checkpoint of the SQLite database.

use std::path::PathBuf;

use tokio::sync::oneshot;

use super::backup::copy;
use super::meta::meta;
use super::rekey::Rekey;
use super::survey::survey;
use super::writer::{Alone, WriterCommand, WriterHandle};
use crate::audit::Draft;
use crate::model::Moment;
use crate::vault::admin::{AdminTask, Survey, VaultAdmin};
use crate::vault::backup::Snapshot;
use crate::vault::error::VaultError;
use crate::vault::keys::VaultKey;

/// Keeps the database of a state folder.
pub(super) struct SqliteAdmin {
    pub(super) writer: WriterHandle,
    pub(super) folder: PathBuf,
}

impl SqliteAdmin {
    async fn copy(&self, now: Moment) -> Result<Snapshot, VaultError> {
        loop {
            let folder = self.folder.clone();
            let copied = tokio::task::spawn_blocking(move || copy(&folder, now.wall_ms));
            let (scratch, file, head, wrapped) = copied.await.map_err(|_| VaultError::Closed)??;
            let (answer, result) = oneshot::channel();
            let work: Alone = Box::new(move |connection, sealer| {
                let key = meta(connection, "data_key").map(|wrapped| (wrapped, sealer.data_key()));
                drop(answer.send(key));
            });
            self.writer.send(WriterCommand::Alone(work))?;
            let (in_force, data_key) = result.await.unwrap_or(Err(VaultError::Closed))?;
            // Where the vault was sealed under a fresh key meanwhile, the copy's is gone: another is made.
            if in_force == wrapped {
                return Ok(Snapshot { head, data_key, file, _scratch: scratch });
            }
        }
    }

    async fn change_key(
        &self,
        rekey: impl FnOnce(oneshot::Sender<Result<usize, VaultError>>) -> Rekey,
    ) -> Result<usize, VaultError> {
        let (answer, result) = oneshot::channel();
        self.writer.send(WriterCommand::Rekey(Box::new(rekey(answer))))?;
        result.await.unwrap_or(Err(VaultError::Closed))
    }

    async fn truncate_journal(&self) -> Result<(), VaultError> {
        let (answer, result) = oneshot::channel();
        let work: Alone = Box::new(move |connection, _| {
            let moved = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            drop(answer.send(moved));
        });
        self.writer.send(WriterCommand::Alone(work))?;
        Ok(result.await.map_err(|_| VaultError::Closed)??)
    }
}

impl VaultAdmin for SqliteAdmin {
    fn snapshot(&self, now: Moment) -> AdminTask<'_, Snapshot> {
        Box::pin(self.copy(now))
    }

    fn survey(&self) -> AdminTask<'_, Survey> {
        let path = self.folder.join("vault.db");
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || survey(&path));
            read.await.map_err(|_| VaultError::Closed)?
        })
    }

    fn rekey(&self, key: VaultKey, file: String, draft: Draft, now: Moment) -> AdminTask<'_, usize> {
        Box::pin(self.change_key(move |answer| Rekey { key, file, draft, now, answer }))
    }

    fn checkpoint(&self) -> AdminTask<'_, ()> {
        Box::pin(self.truncate_journal())
    }
}
