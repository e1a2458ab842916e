//! Escrow: each new password, sealed to the recovery key, is on another disk before it is sent. So even a vault that is
//! destroyed loses none.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::core::StartError;
use crate::config::Config;
use crate::files;
use crate::model::{AccountName, Secret, percent_encode, rfc3339};
use crate::rotation::KEPT;
use crate::sealed::{OpenWith, RecoveryKey, SealFor, SealedError, open, seal};
use crate::vault::VaultError;

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

/// The folder of an account in the escrow that the config names.
pub(super) fn folder_of(config: &Config, account: &AccountName) -> Option<PathBuf> {
    Some(folder_for(config.escrow.as_ref()?, account))
}

/// An account's folder: what stands in a user name stays out of the path.
fn folder_for(escrow: &Path, account: &AccountName) -> PathBuf {
    let mut name = percent_encode(account.as_str());
    // A file name has at most 255 bytes; a name that is longer once it is encoded is told by its hash.
    if name.len() > 200 {
        use sha2::{Digest, Sha256};
        name = data_encoding::HEXLOWER.encode(&Sha256::digest(account.as_str().as_bytes()));
    }
    escrow.join(name)
}

/// Where there is no vault, and escrow has passwords that a vault of these accounts put there, none is made: the disk of the state
/// folder may not be mounted.
///
/// # Errors
/// That is so, or the disk of escrow does not tell.
pub(super) fn refuse_to_begin_anew(config: &Config) -> Result<(), StartError> {
    let vault = config.daemon.state_dir.join("vault.db");
    let Some(escrow) = config.escrow.clone().filter(|_| fs::metadata(&vault).map_or(true, |found| found.len() == 0))
    else {
        return Ok(());
    };
    let shown = escrow.clone();
    let (answer, known) = mpsc::channel();
    let folders: BTreeMap<PathBuf, AccountName> =
        config.accounts.keys().map(|account| (folder_for(&escrow, account), account.clone())).collect();
    std::thread::spawn(move || {
        let Ok(inside) = inside(&escrow) else { return drop(answer.send(Vec::new())) };
        let has_slips = |folder: &PathBuf| slips_of(folder).is_ok_and(|slips| !slips.is_empty());
        let known = inside.iter().filter(|folder| has_slips(folder)).filter_map(|folder| folders.get(folder));
        drop(answer.send(known.cloned().collect()));
    });
    match known.recv_timeout(PATIENCE) {
        Ok(known) => match known.first() {
            None => Ok(()),
            Some(first) => {
                let more =
                    if known.len() > 1 { format!(" and {} more accounts", known.len() - 1) } else { String::new() };
                let of = format!("{first}{more}");
                Err(VaultError::KnownElsewhere { vault, folder: shown, of }.into())
            }
        },
        Err(_) => Err(StartError::System {
            what: format!(
                "there is no vault {}, and whether escrow in {} knows one cannot be told",
                vault.display(),
                shown.display()
            ),
            source: io::Error::other(format!("its disk did not answer within {} s", PATIENCE.as_secs())),
        }),
    }
}

/// How long a disk may take. A share that does not answer must not hold the device's dialogue, which ends by itself then.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of a sealed password at the most.
const MOST_SEALED: u64 = 1 << 20;

async fn in_time<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match timeout(PATIENCE, spawn_blocking(work)).await {
        Ok(done) => done.map_err(io::Error::other)?,
        Err(_) => Err(io::Error::other(format!("its disk did not answer within {} s", PATIENCE.as_secs()))),
    }
}

fn is_there(escrow: &Path) -> io::Result<()> {
    if escrow.is_dir() { Ok(()) } else { Err(io::Error::other("there is no such folder; is its disk mounted?")) }
}

/// Puts a new password in escrow, where the config names one. Returns once it is synced.
pub(super) async fn put(
    config: &Config,
    account: &AccountName,
    attempt: &str,
    password: &Secret,
    wall_ms: i64,
) -> Result<(), String> {
    let (Some(escrow), Some(key)) = (config.escrow.clone(), config.recovery_key.clone()) else { return Ok(()) };
    let (account, attempt, password) = (account.clone(), attempt.to_owned(), password.clone());
    let shown = escrow.display().to_string();
    in_time(move || write(&escrow, &key, &account, &attempt, &password, wall_ms))
        .await
        .map_err(|why| format!("the new password could not be put in escrow in {shown}, so it was not sent: {why}"))
}

fn write(
    escrow: &Path,
    key: &RecoveryKey,
    account: &AccountName,
    attempt: &str,
    password: &Secret,
    wall_ms: i64,
) -> io::Result<()> {
    let time = rfc3339(wall_ms);
    let slip = Slip { account: account.as_str(), attempt, time: &time, password: password.expose() };
    let plain = Zeroizing::new(serde_json::to_vec(&slip)?);
    let sealed = seal(&plain, &SealFor::Key(key.clone())).map_err(io::Error::other)?;
    let folder = folder_for(escrow, account);
    is_there(escrow)?;
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let number = slips_of(&folder)?.last().map_or(0, |last| number_of(last)) + 1;
    // A slip is whole or it is not there.
    let unfinished = folder.join("unfinished");
    if let Err(error) = fs::remove_file(&unfinished)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(&sealed)?;
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(format!("{number:08}-{}-{attempt}.age", time.replace(':', "-"))))?;
    File::open(&folder)?.sync_all()?;
    File::open(escrow)?.sync_all()
}

/// A new password of an account is proved: of its slips as many stay as the vault keeps passwords. None goes before, since a
/// device may refuse any number of new ones while an old one is in force.
pub(super) async fn prune(config: &Config, account: &AccountName) {
    let Some(escrow) = config.escrow.clone() else { return };
    let folder = folder_for(&escrow, account);
    // That an old one stays is no failure.
    drop(in_time(move || drop_old(&folder)).await);
}

fn drop_old(folder: &Path) -> io::Result<()> {
    let mut slips = slips_of(folder)?;
    slips.truncate(slips.len().saturating_sub(KEPT));
    slips.iter().try_for_each(fs::remove_file)
}

/// The newest password of an account in escrow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Newest {
    /// The attempt that was about to send it.
    pub(super) attempt: String,
    /// The folder of the account's slips.
    pub(super) folder: PathBuf,
}

/// What escrow has last of an account; `None` where it has nothing, or cannot be read.
pub(super) async fn newest(config: &Config, account: &AccountName) -> Option<Newest> {
    let folder = folder_for(config.escrow.as_ref()?, account);
    in_time(move || {
        let last = slips_of(&folder)?.pop();
        Ok(last.and_then(|slip| Some(Newest { attempt: attempt_of(&slip)?.to_owned(), folder })))
    })
    .await
    .ok()?
}

/// The attempt with which a slip's name ends, behind its time.
fn attempt_of(slip: &Path) -> Option<&str> {
    slip.file_stem()?.to_str()?.split_once("Z-").map(|(_, attempt)| attempt)
}

/// A slip's place in the order of an account's slips, with which its name begins: the host's clock may have been wrong.
fn number_of(slip: &Path) -> u64 {
    let name = slip.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let number =
        name.split_once('-').filter(|(number, _)| number.len() >= 8).and_then(|(number, _)| number.parse().ok());
    // The first ones had none, and were told apart by the time alone.
    number.unwrap_or(0)
}

/// The slips of a folder, oldest first.
fn slips_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut slips = inside(folder)?;
    slips.retain(|path| path.extension().is_some_and(|extension| extension == "age"));
    slips.sort_by_cached_key(|slip| (number_of(slip), slip.clone()));
    Ok(slips)
}

fn inside(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// What was found in escrow.
#[derive(Debug)]
pub struct Escrow {
    /// The passwords, newest first for each account.
    pub passwords: Vec<InEscrow>,
    /// Slips that do not open, with why.
    pub damaged: Vec<SealedError>,
}

/// Opens the slips of a folder of escrow, of an account's folder in it, or one of them: of each account the newest that opens, or
/// all. A slip that does not open keeps none of the others back.
///
/// # Errors
/// Names what cannot be read, or the first slip that does not open where none does.
pub fn open_escrow(
    path: &Path,
    with: &OpenWith,
    account: Option<&AccountName>,
    history: bool,
) -> Result<Escrow, SealedError> {
    let failed = |file: &Path, why: String| SealedError(format!("{}: {why}", file.display()));
    let open_one = |file: &PathBuf| {
        let (sealed, _) = files::read(file, MOST_SEALED).map_err(|error| failed(file, error.to_string()))?;
        let plain = open(&sealed, with).map_err(|error| failed(file, error.0))?;
        let Opened { account, attempt, time, password } =
            serde_json::from_slice(&plain).map_err(|_| failed(file, "this is no password in escrow".into()))?;
        Ok(InEscrow { account, attempt, time, password: Secret::new(password) })
    };
    let mut found = Escrow { passwords: Vec::new(), damaged: Vec::new() };
    let wanted = |slip: &InEscrow| account.is_none_or(|account| account.as_str() == slip.account);
    for slips in by_account(path, account).map_err(|error| failed(path, error.to_string()))? {
        for slip in slips.iter().rev() {
            match open_one(slip) {
                Ok(slip) if !wanted(&slip) => break,
                Ok(slip) => found.passwords.push(slip),
                Err(error) => {
                    found.damaged.push(error);
                    continue;
                }
            }
            if !history {
                break;
            }
        }
    }
    match found.damaged.first() {
        Some(first) if found.passwords.is_empty() => Err(first.clone()),
        _ => Ok(found),
    }
}

/// The slips at a path, by their accounts, each account's oldest first.
fn by_account(path: &Path, account: Option<&AccountName>) -> io::Result<Vec<Vec<PathBuf>>> {
    if !path.is_dir() {
        return Ok(vec![vec![path.to_owned()]]);
    }
    let own = slips_of(path)?;
    if !own.is_empty() {
        return Ok(vec![own]);
    }
    let mut folders = match account {
        Some(account) => vec![folder_for(path, account)],
        None => inside(path)?,
    };
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    folders.iter().map(|folder| slips_of(folder)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::DAY_MS;

    struct Place {
        escrow: tempfile::TempDir,
        key: RecoveryKey,
        private: OpenWith,
    }

    impl Place {
        fn new() -> Self {
            let (private, key) = RecoveryKey::generate();
            Self { escrow: tempfile::tempdir().unwrap(), key, private: OpenWith::Identity(private) }
        }

        fn put(&self, user: &str, password: &str, wall_ms: i64) {
            let secret = Secret::new(password.to_owned());
            write(self.escrow.path(), &self.key, &account(user), "a", &secret, wall_ms).unwrap();
        }

        fn slips(&self, user: &str) -> Vec<PathBuf> {
            slips_of(&folder_for(self.escrow.path(), &account(user))).unwrap()
        }

        fn open(&self, history: bool) -> (Vec<String>, usize) {
            let found = open_escrow(self.escrow.path(), &self.private, None, history).unwrap();
            let passwords = found.passwords.iter().map(|slip| slip.password.expose().to_owned()).collect();
            (passwords, found.damaged.len())
        }
    }

    fn account(user: &str) -> AccountName {
        AccountName::parse(&format!("dev/{user}")).unwrap()
    }

    #[test]
    fn the_newest_is_the_one_that_came_last_whatever_the_clock_says() {
        let place = Place::new();
        let before: Vec<i64> = (0..40).map(|day| 1_800_000_000_000 - day * DAY_MS).collect();
        for (number, wall_ms) in before.iter().enumerate() {
            place.put("ada", &format!("p{number}"), *wall_ms);
        }
        // And one whose name has a time alone.
        let folder = folder_for(place.escrow.path(), &account("ada"));
        fs::copy(&place.slips("ada")[0], folder.join("2099-01-01T00-00-00Z-a.age")).unwrap();
        assert_eq!(place.open(false), (vec!["p39".to_owned()], 0));
        drop_old(&folder).unwrap();
        assert_eq!(place.open(true).0, (8..40).rev().map(|number| format!("p{number}")).collect::<Vec<_>>());
    }

    #[test]
    fn a_password_stays_while_a_device_refuses_all_that_come_after_it() {
        let place = Place::new();
        for number in 0..=KEPT + 8 {
            place.put("ada", &format!("p{number}"), 0);
        }
        assert_eq!(place.open(true).0.last().unwrap(), "p0", "it is still in force");
    }

    #[test]
    fn a_slip_that_does_not_open_keeps_no_other_back() {
        let place = Place::new();
        for (user, password) in [("ada", "old"), ("ada", "new"), ("bob", "his")] {
            place.put(user, password, 0);
        }
        fs::write(&place.slips("ada")[1], "").unwrap();
        assert_eq!(place.open(false), (vec!["old".to_owned(), "his".to_owned()], 1));
        let of_bob = open_escrow(place.escrow.path(), &place.private, Some(&account("bob")), false).unwrap();
        assert_eq!((of_bob.passwords.len(), of_bob.damaged.len()), (1, 0), "nobody else's slip is opened");
        let stranger = OpenWith::Identity(RecoveryKey::generate().0);
        assert!(open_escrow(place.escrow.path(), &stranger, None, false).is_err());
    }

    #[test]
    fn what_a_crash_left_unfinished_is_no_slip_and_in_nobodys_way() {
        let place = Place::new();
        place.put("ada", "one", 0);
        fs::write(folder_for(place.escrow.path(), &account("ada")).join("unfinished"), "torn").unwrap();
        place.put("ada", "two", 0);
        assert_eq!(place.open(true), (vec!["two".to_owned(), "one".to_owned()], 0));
    }

    #[test]
    fn a_folder_that_went_away_is_not_made_again() {
        let place = Place::new();
        let gone = place.escrow.path().join("mnt");
        let refused = write(&gone, &place.key, &account("ada"), "a", &Secret::new("p".to_owned()), 0).unwrap_err();
        assert!(refused.to_string().contains("mounted"), "{refused}");
        assert!(!gone.exists());
    }
}
