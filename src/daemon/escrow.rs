//! Escrow: each new password, sealed to the recovery key, is on another disk before it is sent. So even a vault that is
//! destroyed loses none.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::model::{AccountName, Secret, percent_encode, rfc3339};
use crate::sealed::{OpenWith, RecoveryKey, SealFor, SealedError, open, seal};
use crate::vault::KEPT;

/// A password in escrow, opened.
#[derive(Debug)]
pub struct InEscrow {
    /// The account.
    pub account: String,
    /// The attempt that was about to send it.
    pub attempt: String,
    /// When, RFC 3339.
    pub time: String,
    /// The password.
    pub password: Secret,
}

#[derive(Serialize)]
struct Slip<'a> {
    account: &'a str,
    attempt: &'a str,
    time: &'a str,
    password: &'a str,
}

/// A slip, read back.
#[derive(Deserialize)]
struct Opened {
    account: String,
    attempt: String,
    time: String,
    password: String,
}

/// An account's folder: what stands in a user name stays out of the path.
fn folder_of(escrow: &Path, account: &AccountName) -> PathBuf {
    let mut name = percent_encode(account.as_str());
    // A file name has at most 255 bytes; a name that is longer once it is encoded is told by its hash.
    if name.len() > 200 {
        use sha2::{Digest, Sha256};
        name = data_encoding::HEXLOWER.encode(&Sha256::digest(account.as_str().as_bytes()));
    }
    escrow.join(name)
}

/// Puts a new password in escrow, where the config names one. Returns once it is synced.
pub(super) async fn put(
    config: &Config,
    account: &AccountName,
    attempt: &str,
    password: &Secret,
    wall_ms: i64,
) -> Result<(), String> {
    let (Some(folder), Some(key)) = (config.escrow.clone(), config.recovery_key.clone()) else { return Ok(()) };
    let (account, attempt, password) = (account.clone(), attempt.to_owned(), password.clone());
    let shown = folder.display().to_string();
    let put = tokio::task::spawn_blocking(move || write(&folder, &key, &account, &attempt, &password, wall_ms));
    let failed =
        |why: String| format!("the new password could not be put in escrow in {shown}, so it was not sent: {why}");
    put.await.map_err(|error| failed(error.to_string()))?.map_err(failed)
}

fn write(
    escrow: &Path,
    key: &RecoveryKey,
    account: &AccountName,
    attempt: &str,
    password: &Secret,
    wall_ms: i64,
) -> Result<(), String> {
    let time = rfc3339(wall_ms);
    let slip = Slip { account: account.as_str(), attempt, time: &time, password: password.expose() };
    let plain = Zeroizing::new(serde_json::to_vec(&slip).map_err(|error| error.to_string())?);
    let sealed = seal(&plain, &SealFor::Key(key.clone())).map_err(|error| error.to_string())?;
    let folder = folder_of(escrow, account);
    let write = || {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let name = format!("{}-{attempt}.age", time.replace(':', "-"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name))?;
        file.write_all(&sealed)?;
        file.sync_all()?;
        File::open(&folder)?.sync_all()?;
        File::open(escrow)?.sync_all()
    };
    write().map_err(|error: std::io::Error| error.to_string())?;
    // The vault keeps as many; that an old one stays is no failure.
    let mut slips = slips_of(&folder);
    slips.truncate(slips.len().saturating_sub(KEPT));
    slips.iter().for_each(|old| drop(std::fs::remove_file(old)));
    Ok(())
}

/// The slips of a folder, oldest first.
fn slips_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut slips: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "age")).collect();
    slips.sort();
    slips
}

/// Opens the slips of a folder of escrow, or one of them; newest first for each account.
///
/// # Errors
/// Names the first that cannot be read or opened.
pub fn open_escrow(path: &Path, with: &OpenWith) -> Result<Vec<InEscrow>, SealedError> {
    let mut files = if path.is_dir() { slips_of(path) } else { vec![path.to_owned()] };
    if path.is_dir() {
        let folders = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut folders: Vec<PathBuf> = folders.filter(|folder| folder.is_dir()).collect();
        folders.sort();
        for folder in folders {
            files.extend(slips_of(&folder).into_iter().rev());
        }
    }
    let failed = |file: &Path, why: String| SealedError(format!("{}: {why}", file.display()));
    let open_one = |file: &PathBuf| {
        let sealed = std::fs::read(file).map_err(|error| failed(file, error.to_string()))?;
        let plain = open(&sealed, with).map_err(|error| failed(file, error.0))?;
        let Opened { account, attempt, time, password } =
            serde_json::from_slice(&plain).map_err(|_| failed(file, "this is no password in escrow".into()))?;
        Ok(InEscrow { account, attempt, time, password: Secret::new(password) })
    };
    files.iter().map(open_one).collect()
}
