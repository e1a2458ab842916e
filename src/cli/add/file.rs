//! A file of `config.d` that goes again unless it is kept.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::model::folder_of;

/// A file that was written and is removed when this is dropped.
pub(in crate::cli) struct NewFile(Option<PathBuf>);

/// Says before anything is asked whether the file can be written.
pub(in crate::cli) fn may_write(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() {
        return Err(Failure::usage(format!(
            "{} exists, and nothing is written over it; look what is in it, and give another name or remove it",
            path.display()
        )));
    }
    let folder = folder_of(path);
    let above = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    nix::unistd::access(above, nix::unistd::AccessFlags::W_OK).map_err(|error| {
        Failure::usage(format!("{} cannot be written to: {error}; run it as root: sudo rotorctl …", above.display()))
    })
}

impl NewFile {
    /// Writes a file that is not there, whole or not at all, readable to whom the main file of the config is.
    pub(in crate::cli) fn write(path: &Path, text: &str) -> Result<Self, Failure> {
        let fail = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
        let folder = folder_of(path);
        fs::create_dir_all(folder).map_err(fail)?;
        // The config's reader passes over hidden files.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hidden = folder.join(format!(".{name}.{}", std::process::id()));
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&hidden).map_err(fail)?;
        let written = Self(Some(hidden.clone()));
        let main = folder_of(folder).join("rotord.toml");
        let (mode, group) = main.metadata().map_or((0o644, None), |found| (found.mode() & 0o644, Some(found.gid())));
        let owned = group.is_none_or(|group| std::os::unix::fs::chown(&hidden, None, Some(group)).is_ok());
        let mode = if owned { mode | 0o600 } else { 0o644 };
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(fail)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
        // A link does not take the place of what somebody has put there meanwhile, as a rename would.
        fs::hard_link(&hidden, path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::usage(format!("{} has come meanwhile, and stays", path.display())),
            _ => fail(error),
        })?;
        drop(written);
        let made = Self(Some(path.to_owned()));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
        Ok(made)
    }

    /// It stays.
    pub(in crate::cli) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            drop(fs::remove_file(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_unless_it_is_kept_and_nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("rotord.toml");
        fs::write(&main, "").unwrap();
        fs::set_permissions(&main, fs::Permissions::from_mode(0o640)).unwrap();
        let path = folder.path().join("config.d/web1.toml");
        may_write(&path).unwrap();
        drop(NewFile::write(&path, "[device.web1]\n").unwrap());
        assert!(!path.exists());
        NewFile::write(&path, "[device.web1]\n").unwrap().keep();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[device.web1]\n");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
        assert!(may_write(&path).unwrap_err().message.contains("exists"));
        assert!(NewFile::write(&path, "other").is_err());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no hidden file is left");
    }
}
