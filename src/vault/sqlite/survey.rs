//! What is known of all accounts, read on a connection of its own: the thread that owns the database is not asked.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::accounts::all_accounts;
use super::fleet::all_skews;
use super::meta::meta;
use super::transaction::{FINDING, stamp_at};
use crate::vault::admin::Survey;
use crate::vault::error::VaultError;

/// Reads the database at a path, as of one instant between two transactions. In its write-ahead log mode a reader and the writer
/// do not wait for each other.
pub(super) fn survey(path: &Path) -> Result<Survey, VaultError> {
    let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let snapshot = connection.transaction()?;
    let mut logins = snapshot.prepare("SELECT account, wall, boot, up FROM failed_login")?;
    let logins = logins.query_map([], |row| Ok((row.get(0)?, stamp_at(row, 1)?)))?.collect::<Result<_, _>>()?;
    Ok(Survey {
        accounts: all_accounts(&snapshot)?,
        skews: all_skews(&snapshot)?,
        logins,
        has_finding: meta(&snapshot, FINDING)?.is_some(),
    })
}
