//! `rotorctl backup`.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::local::{new_file, sync};
use super::progress::{Progress, spoken};
use super::remote::done;
use super::{Failure, input};
use crate::control::{BackupBody, Client, DoneBody, SecretText};
use crate::sealed::{OpenWith, copy_hashed};
use crate::vault::Backup;

const MB: usize = 1_000_000;

/// Writes a backup to a new file and reads it back: one that cannot be opened is no backup.
pub(super) async fn write(
    client: &Client,
    file: &Path,
    recipient: Option<String>,
    recovery_key: bool,
    json: bool,
) -> Result<u8, Failure> {
    if file.exists() {
        return Err(Failure::usage(format!("{} exists; a backup is never written over one", file.display())));
    }
    let asks = recipient.is_none() && !recovery_key;
    let passphrase = if asks { Some(input::secret("Passphrase for the backup", true)?) } else { None };
    let body = BackupBody { passphrase: passphrase.clone(), recipient, recovery_key };
    let failed = |error: &dyn Display| Failure::usage(format!("{}: {error}", file.display()));
    let mut new = new_file(file).map_err(|error| failed(&error))?;
    let mut sent = Sha256::new();
    let (mut bar, mut written) = (Progress::new(), 0);
    let taken = client.post_for_bytes("/v1/backup", &body, |bytes| {
        sent.update(bytes);
        written += bytes.len();
        bar.show(|elapsed| format!("{} MB written, {}", written / MB, spoken(elapsed)));
        new.write_all(bytes)
    });
    let taken = taken.await;
    bar.show(|_| format!("reading {} MB back", written / MB));
    if let Err(error) = taken.map_err(Failure::from).and_then(|()| sync(&new, file).map_err(|error| failed(&error))) {
        // A part of a backup is none.
        drop(std::fs::remove_file(file));
        return Err(error);
    }
    let back = File::open(file).and_then(|file| copy_hashed(file, &mut std::io::sink()));
    if back.ok() != Some(HEXLOWER.encode(&sent.finalize())) {
        return Err(Failure::unexpected(format!("{} does not read back as it was written", file.display())));
    }
    let mut told = format!("the backup is in {}", file.display());
    if let Some(SecretText(passphrase)) = passphrase {
        let sealed = BufReader::new(File::open(file).map_err(|error| failed(&error))?);
        let head = Backup::open(sealed, &OpenWith::Passphrase(passphrase)).and_then(Backup::check);
        let head = head.map_err(|error| Failure::unexpected(format!("the backup does not open again: {error}")))?;
        told += &format!(", read back and opened: {} accounts", head.accounts);
    }
    drop(bar);
    done(DoneBody { done: told }, json)
}
