//! Errors of SQLite, as causes that nobody looks into.

use crate::vault::error::{BackendError, VaultError};

impl From<rusqlite::Error> for VaultError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Backend(BackendError::new(error))
    }
}

/// SQLite's own number of what went wrong, where it was SQLite.
pub(super) fn code_of(cause: &BackendError) -> Option<rusqlite::ErrorCode> {
    cause.cause::<rusqlite::Error>()?.sqlite_error_code()
}
