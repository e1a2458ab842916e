//! How far each notifier is.

use rusqlite::{OptionalExtension, Row, params};

use super::transaction::{SqliteTransaction, number};
use crate::vault::error::VaultError;
use crate::vault::records::NotifierRow;
use crate::vault::transaction::NotifyStore;

const COLUMNS: &str = "sent, claimed, digest_seq, digest_at, digest_to, dropped, dropped_first, dropped_last, telling, telling_first, telling_last, tries, name";

/// A number of an event, which is never negative.
fn seq(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

fn maybe(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.and_then(|seq| u64::try_from(seq).ok()))
}

fn notifier(row: &Row<'_>) -> rusqlite::Result<NotifierRow> {
    Ok(NotifierRow {
        sent: seq(row, 0)?,
        claimed: maybe(row, 1)?,
        digest_seq: seq(row, 2)?,
        digest_at: row.get(3)?,
        digest_to: maybe(row, 4)?,
        dropped: seq(row, 5)?,
        dropped_first: seq(row, 6)?,
        dropped_last: seq(row, 7)?,
        telling: seq(row, 8)?,
        telling_first: seq(row, 9)?,
        telling_last: seq(row, 10)?,
        tries: row.get(11)?,
    })
}

impl NotifyStore for SqliteTransaction<'_> {
    fn notifier(&self, name: &str) -> Result<Option<NotifierRow>, VaultError> {
        let text = format!("SELECT {COLUMNS} FROM notifier WHERE name = ?1");
        Ok(self.connection.prepare_cached(&text)?.query_row([name], notifier).optional()?)
    }

    fn notifier_names(&self) -> Result<Vec<String>, VaultError> {
        let mut names = self.connection.prepare_cached("SELECT name FROM notifier ORDER BY name")?;
        let names = names.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    fn save_notifier(&self, name: &str, row: &NotifierRow) -> Result<(), VaultError> {
        let values = "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13";
        let text = format!("INSERT OR REPLACE INTO notifier ({COLUMNS}) VALUES ({values})");
        self.connection.prepare_cached(&text)?.execute(params![
            number(row.sent),
            row.claimed.map(number),
            number(row.digest_seq),
            row.digest_at,
            row.digest_to.map(number),
            number(row.dropped),
            number(row.dropped_first),
            number(row.dropped_last),
            number(row.telling),
            number(row.telling_first),
            number(row.telling_last),
            row.tries,
            name,
        ])?;
        Ok(())
    }

    fn remove_notifier(&self, name: &str) -> Result<(), VaultError> {
        self.connection.execute("DELETE FROM notifier WHERE name = ?1", [name])?;
        Ok(())
    }
}
