//! What needs no daemon: making keys, opening escrow.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use zeroize::Zeroizing;

use super::Failure;
use super::output::say;
use crate::daemon::{Escrow, open_escrow};
use crate::model::{AccountName, Secret, folder_of};
use crate::sealed::{OpenWith, RecoveryKey};
use crate::vault::VaultKey;

pub(super) fn key_new(file: &std::path::Path, json: bool) -> Result<u8, Failure> {
    VaultKey::create(file).map_err(|error| Failure::usage(error.to_string()))?;
    if json {
        say!("{}", serde_json::json!({ "done": format!("a fresh vault key is in {}", file.display()) }));
    } else {
        say!("A fresh vault key is in {}. Keep a copy where the vault's backup is not.", file.display());
    }
    Ok(0)
}

/// A file that was not there, for the user alone.
pub(super) fn new_file(file: &std::path::Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

/// Syncs a new file, and the folder in which it is.
pub(super) fn sync(open: &File, file: &std::path::Path) -> std::io::Result<()> {
    open.sync_all()?;
    File::open(folder_of(file))?.sync_all()
}

/// Writes a new file of mode 0600 and syncs it; never over one that exists.
pub(super) fn write_new(file: &std::path::Path, bytes: &[u8]) -> Result<(), Failure> {
    let write = || {
        let mut open = new_file(file)?;
        open.write_all(bytes)?;
        sync(&open, file)
    };
    write().map_err(|error: std::io::Error| Failure::usage(format!("{}: {error}", file.display())))
}

pub(super) fn key_recovery(file: &std::path::Path, json: bool) -> Result<u8, Failure> {
    let (private, public) = RecoveryKey::generate();
    let text = Zeroizing::new(format!("# rotord recovery key; its public half is {public:?}\n{}\n", private.expose()));
    write_new(file, text.as_bytes())?;
    if json {
        say!("{}", serde_json::json!({ "public": format!("{public:?}") }));
    } else {
        say!("{public:?}");
        eprintln!(
            "The private half is in {}. Move it away from this host, and put the line above into [vault]: recovery_key = \"{public:?}\"",
            file.display()
        );
    }
    Ok(0)
}

pub(super) fn escrow_open(
    path: &std::path::Path,
    identity: &std::path::Path,
    account: Option<&str>,
    history: bool,
    json: bool,
) -> Result<u8, Failure> {
    let text = super::input::read_file(identity)?.to_string();
    let account = account.map(AccountName::parse).transpose().map_err(|error| Failure::usage(error.to_string()))?;
    let Escrow { passwords: slips, damaged } =
        open_escrow(path, &OpenWith::Identity(Secret::new(text)), account.as_ref(), history)
            .map_err(|error| Failure::usage(error.to_string()))?;
    if slips.is_empty() {
        return Err(Failure::usage("nothing of that is in escrow there"));
    }
    if json {
        let list: Vec<_> = slips
            .iter()
            .map(|slip| serde_json::json!({ "account": slip.account, "time": slip.time, "attempt": slip.attempt, "password": slip.password.expose() }))
            .collect();
        let damaged: Vec<_> = damaged.iter().map(ToString::to_string).collect();
        say!("{}", serde_json::json!({ "passwords": list, "damaged": damaged }));
    } else {
        for slip in &slips {
            say!("{}  {}  sent after {}", slip.account, slip.password.expose(), slip.time);
        }
    }
    for slip in &damaged {
        eprintln!(
            "rotorctl: {slip}; an older password of this account, if one is shown, may not be the last that was sent"
        );
    }
    Ok(u8::from(!damaged.is_empty()))
}
