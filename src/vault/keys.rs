//! The vault key: 32 random bytes in a file that only its owner can read, or in a credential that systemd passes.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::VaultError;
use crate::files::{self, FileError, Last, Trusted, writable_by_others};
use crate::model::folder_of;

/// Length of the vault key.
pub const KEY_BYTES: usize = 32;

/// The key that opens a vault. `Debug` does not show it.
pub struct VaultKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VaultKey(..)")
    }
}

impl VaultKey {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// It is missing, not a plain file, of the wrong size, readable by others, or reached through a folder or a link
    /// in a folder that others can write.
    pub fn from_file(path: &Path) -> Result<Self, VaultError> {
        let me = nix::unistd::geteuid().as_raw();
        Self::from_file_of(path, |owner| owner == me || owner == 0)
    }

    /// Reads a key file that may belong to anybody: for root, who acts for the daemon's user.
    ///
    /// # Errors
    /// As [`Self::from_file`], but for its owner.
    pub fn from_anyones_file(path: &Path) -> Result<Self, VaultError> {
        Self::from_file_of(path, |_| true)
    }

    fn from_file_of(path: &Path, trusts: impl Fn(u32) -> bool) -> Result<Self, VaultError> {
        let refuse = |why: String| VaultError::Key { place: path.display().to_string(), why };
        let mut file = files::open(path).map_err(|error| {
            refuse(match &error {
                FileError::Io(error) if error.kind() == ErrorKind::NotFound => {
                    format!("there is no such file; make one with 'rotorctl key new {}'", path.display())
                }
                FileError::Io(error) if error.kind() == ErrorKind::PermissionDenied => {
                    format!("{error}; the daemon's user must own it: chown {} {}", own_name(), path.display())
                }
                _ => error.to_string(),
            })
        })?;
        let metadata = file.metadata().map_err(|error| refuse(error.to_string()))?;
        if metadata.mode() & 0o077 != 0 {
            let mode = metadata.mode() & 0o777;
            return Err(refuse(format!(
                "others can read or write it (mode {mode:04o}); run: chmod 0600 {}",
                path.display()
            )));
        }
        if !trusts(metadata.uid()) {
            return Err(refuse(format!(
                "it belongs to user {}, not to the daemon's user {} or root",
                metadata.uid(),
                own_name()
            )));
        }
        // By whose hands it is safe was asked already; here, whether others can put another in its place.
        writable_by_others(path, Last::Place, &Trusted::own().and(metadata.uid()))
            .map_err(|exposed| refuse(exposed.why))?;
        Self::read(&mut file).map_err(refuse)
    }

    /// Reads a credential of systemd's (`$CREDENTIALS_DIRECTORY`, see systemd.exec(5)).
    ///
    /// # Errors
    /// There is no such credential, or it has the wrong size.
    pub fn from_credential(name: &str) -> Result<Self, VaultError> {
        let refuse = |why: String| VaultError::Key { place: format!("credential {name}"), why };
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY")
            .ok_or_else(|| refuse("systemd passes no credentials; add LoadCredential= to the unit".into()))?;
        let mut file = files::open(&PathBuf::from(folder).join(name)).map_err(|error| refuse(error.to_string()))?;
        Self::read(&mut file).map_err(refuse)
    }

    fn read(file: &mut File) -> Result<Self, String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
        file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        let key: [u8; KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| {
            format!(
                "a key has exactly {KEY_BYTES} bytes, and this has {}; it is no key that 'rotorctl key new' wrote",
                if bytes.len() > KEY_BYTES { "more".into() } else { bytes.len().to_string() }
            )
        })?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// The key of 32 bytes, as they came over the control socket.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    /// Writes a fresh key to a new file of mode 0600 and syncs it.
    ///
    /// # Errors
    /// The file exists, or cannot be written.
    pub fn create(path: &Path) -> Result<Self, VaultError> {
        let io = |what: &str, source| VaultError::Io { what: format!("{what} {}", path.display()), source };
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        random(key.as_mut_slice())?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
            if error.kind() == ErrorKind::AlreadyExists {
                VaultError::Key {
                    place: path.display().to_string(),
                    why: "the file exists, and a key is never written over one".into(),
                }
            } else {
                io("cannot make", error)
            }
        })?;
        file.write_all(key.as_slice()).and_then(|()| file.sync_all()).map_err(|error| io("cannot write", error))?;
        let folder = folder_of(path);
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| io("cannot sync the folder of", error))?;
        Ok(Self(key))
    }
}

/// The name of the user that this process runs as, or its number where it has none.
fn own_name() -> String {
    files::user_name(nix::unistd::geteuid().as_raw())
}

/// Fills a buffer from the system's random source.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), VaultError> {
    getrandom::fill(bytes).map_err(|error| VaultError::Random(error.to_string()))
}
