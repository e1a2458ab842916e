//! Making what `rotorctl init` has planned: each file is made beside its place and comes there whole, nothing is written over, and no
//! link is followed.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::plan::{Owner, Step};
use crate::model::folder_of;
use crate::vault::VaultKey;

/// Makes one thing; `daemon` is the daemon's user and group, where it is another's than the caller.
pub(super) fn make(step: &Step, daemon: Option<(u32, u32)>) -> io::Result<()> {
    match step {
        Step::Folder { path, mode, owner } => make_folder(path, *mode, *owner, daemon),
        Step::Key { path } => whole(path, |hidden| {
            VaultKey::create(hidden).map_err(io::Error::other)?;
            give(&File::open(hidden)?, Owner::Daemon, daemon)
        }),
        Step::File { path, text, mode, owner } => whole(path, |hidden| {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(hidden)?;
            file.write_all(text.as_bytes())?;
            give(&file, *owner, daemon)?;
            file.set_permissions(Permissions::from_mode(*mode))?;
            file.sync_all()
        }),
    }
}

fn give(file: &File, owner: Owner, daemon: Option<(u32, u32)>) -> io::Result<()> {
    match (owner, daemon) {
        (Owner::Daemon, Some((user, group))) => fchown(file, Some(user), Some(group)),
        (Owner::CallerWithGroup, Some((_, group))) => fchown(file, None, Some(group)),
        _ => Ok(()),
    }
}

/// Has a file made under a hidden name, which the config's reader passes over, and then puts it in its place.
fn whole(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = folder_of(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = folder.join(format!(".{name}.{}", std::process::id()));
    // A link does not take the place of what is there, as a rename would.
    let made = make(&hidden).and_then(|()| fs::hard_link(&hidden, path));
    let removed = fs::remove_file(&hidden);
    made.and(removed)?;
    File::open(folder)?.sync_all()
}

/// Makes a folder. Those above it that are missing are the caller's, for all to enter.
fn make_folder(path: &Path, mode: u32, owner: Owner, daemon: Option<(u32, u32)>) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|above| above.symlink_metadata().is_err()).collect();
    for above in missing.into_iter().rev().filter(|above| !above.as_os_str().is_empty()) {
        one_folder(above, 0o755, Owner::Caller, None)?;
    }
    one_folder(path, mode, owner, daemon)
}

fn one_folder(path: &Path, mode: u32, owner: Owner, daemon: Option<(u32, u32)>) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        // An earlier step has made it, as what is above another one.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && owner == Owner::Caller && path.is_dir() => {
            return Ok(());
        }
        made => made?,
    }
    let flags = (OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits();
    let folder = File::options().read(true).custom_flags(flags).open(path)?;
    give(&folder, owner, daemon)?;
    // The mask of the caller does not count.
    folder.set_permissions(Permissions::from_mode(mode))?;
    File::open(folder_of(path))?.sync_all()
}

/// What is there and is not what it should be: it is told before anything is made.
pub(super) fn obstacle(folders: &[PathBuf], files: &[PathBuf]) -> Option<String> {
    let is_there = |path: &&PathBuf| path.symlink_metadata().is_ok();
    let lowest = |path: &PathBuf| path.ancestors().map(Path::to_owned).find(|above| is_there(&above));
    let folder = folders.iter().filter_map(lowest).find(|path| !path.is_dir());
    let file = files.iter().filter(is_there).find(|path| !path.is_file());
    let told = |path: &PathBuf, what: &str| format!("{} is there and is no {what}; nothing was made", path.display());
    folder.map(|path| told(&path, "folder")).or_else(|| file.map(|path| told(path, "file")))
}
