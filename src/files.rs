//! Files that people hand in: only plain ones are read, never more of them than they may hold, and it is told who could
//! change them.
//!
//! A path may lead to a pipe that nobody writes to, to a device that never ends, or round in a circle of links. Nothing here
//! waits for any of them. What is checked is what was opened. [`writable_by_others`] follows a path as the kernel does, so
//! that a link in a folder of everybody is found too.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Group, Uid, User};

/// As many links as Linux follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// A folder with more than this below it is no folder of templates.
const MOST_ENTRIES: usize = 100_000;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system says no.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else than a plain file.
    #[error("this is no plain file but {0}")]
    NotPlain(&'static str),
    /// It is larger than what it stands for can be.
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    /// Its bytes are no UTF-8.
    #[error("{0}")]
    NotText(&'static str),
}

/// What kind of file it is, in words.
fn kind(of: FileType) -> &'static str {
    if of.is_dir() {
        "a folder"
    } else if of.is_fifo() {
        "a pipe"
    } else if of.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Opens a plain file for reading, without ever waiting for it.
///
/// # Errors
/// It cannot be opened, or is no plain file.
pub fn open(path: &Path) -> Result<File, FileError> {
    let plain =
        |found: &Metadata| if found.is_file() { Ok(()) } else { Err(FileError::NotPlain(kind(found.file_type()))) };
    // To open a device may do something already.
    plain(&fs::metadata(path)?)?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    plain(&file.metadata()?)?;
    Ok(file)
}

/// Opens a plain file or a pipe that a person named on a command line; a pipe is waited for, as `<(command)` makes one.
///
/// # Errors
/// It cannot be opened, or is a folder or a device, which may never end.
pub fn open_named(path: &Path) -> Result<File, FileError> {
    let found = fs::metadata(path)?.file_type();
    if found.is_file() || found.is_fifo() { Ok(File::open(path)?) } else { Err(FileError::NotPlain(kind(found))) }
}

/// The bytes of a plain file, at most so many, and what the system says of the file that they were read from.
///
/// # Errors
/// It cannot be read, is no plain file, or is larger.
pub fn read(path: &Path, most: u64) -> Result<(Vec<u8>, Metadata), FileError> {
    let mut file = open(path)?;
    let found = file.metadata()?;
    let mut bytes = Vec::new();
    (&mut file).take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(FileError::TooLarge(most));
    }
    Ok((bytes, found))
}

/// The bytes as text.
///
/// # Errors
/// They are not UTF-8; says what they seem to be.
pub fn text_of(bytes: Vec<u8>) -> Result<String, FileError> {
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    String::from_utf8(bytes).map_err(|_| {
        FileError::NotText(if wide { "it is UTF-16; save it as UTF-8" } else { "it is not UTF-8; save it as UTF-8" })
    })
}

/// The file's text, at most so many bytes of it.
///
/// # Errors
/// As [`read`], and where it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String, FileError> {
    text_of(read(path, most)?.0)
}

/// Whether there is nothing at a path, or a plain file.
///
/// # Errors
/// There is something else.
pub fn plain_or_absent(path: &Path) -> Result<(), FileError> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(found) => Err(FileError::NotPlain(kind(found.file_type()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A file or folder that was passed over, and why.
pub type Skipped = (PathBuf, String);

/// Every file below a folder whose name ends so, sorted, and what could not be looked at. Hidden files and folders, as editors
/// leave them, are none of them. A link to a folder is followed once; one that leads back to a folder it is in is refused.
#[must_use]
pub fn below(folder: &Path, ending: &str) -> (Vec<PathBuf>, Vec<Skipped>) {
    let mut walk = Walk { ending, files: Vec::new(), skipped: Vec::new(), seen: HashMap::new(), entries: 0 };
    walk.folder(folder, &mut Vec::new());
    walk.files.sort();
    (walk.files, walk.skipped)
}

/// What tells a folder from all others: its device and its number there.
type Identity = (u64, u64);

struct Walk<'a> {
    ending: &'a str,
    files: Vec<PathBuf>,
    skipped: Vec<Skipped>,
    seen: HashMap<Identity, PathBuf>,
    entries: usize,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, above: &mut Vec<Identity>) {
        let skip = |walk: &mut Self, why: String| walk.skipped.push((folder.to_owned(), why));
        let opened = fs::metadata(folder).and_then(|found| Ok((found, fs::read_dir(folder)?)));
        let (found, entries) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound && above.is_empty() => return,
            Err(error) => return skip(self, format!("cannot be read: {error}")),
        };
        let identity = (found.dev(), found.ino());
        if above.contains(&identity) {
            return skip(self, "this link leads back to a folder that it is in; remove it".into());
        }
        if let Some(first) = self.seen.insert(identity, folder.to_owned()) {
            return skip(self, format!("this is the same folder as {}; remove one of the two links", first.display()));
        }
        above.push(identity);
        for entry in entries {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) => {
                    skip(self, format!("cannot be read: {error}"));
                    break;
                }
            };
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                if self.entries == MOST_ENTRIES + 1 {
                    skip(
                        self,
                        format!(
                            "more than {MOST_ENTRIES} files are here and beside it; name a folder that holds no others"
                        ),
                    );
                }
                break;
            }
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                continue;
            }
            if path.is_dir() {
                self.folder(&path, above);
            } else if path.extension().is_some_and(|extension| extension == self.ending) {
                self.files.push(path);
            }
        }
        above.pop();
    }
}

/// The users in whose hands a file is safe.
#[derive(Debug, Clone)]
pub struct Trusted(Vec<u32>);

impl Trusted {
    /// Root, and the user of this process.
    #[must_use]
    pub fn own() -> Self {
        Self(vec![0, Uid::effective().as_raw()])
    }

    /// And this one.
    #[must_use]
    pub fn and(mut self, uid: u32) -> Self {
        self.0.push(uid);
        self
    }

    fn has(&self, uid: u32) -> bool {
        self.0.contains(&uid)
    }

    /// Who they are, for people.
    fn told(&self) -> String {
        let mut names: Vec<String> = self.0.iter().map(|uid| user_name(*uid)).collect();
        names.dedup();
        names.join(" or ")
    }
}

/// A user's name, or its number where it has none.
#[must_use]
pub fn user_name(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Somebody else may change what is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// Where the permission is given: the file itself, a link to it, or a folder above.
    pub culprit: PathBuf,
    /// Who may, and the command that takes it away.
    pub why: String,
}

/// How a path is to be shown in a command.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// What is at a path, as far as it goes on record who may change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Who may write it may change it.
    Content,
    /// Only its place counts, as with a socket, which each may write to.
    Place,
}

/// Whether nobody but `trusted` can change what is at a path, or put something else there: by its own permissions, those of
/// the folders above, or of the links on the way. In a sticky folder (as /tmp is) each can only replace what is theirs, so there
/// the owner of the entry decides. What is not there yet counts by the folders above.
///
/// # Errors
/// Somebody can, or the path goes round in a circle of links.
pub fn writable_by_others(path: &Path, last: Last, trusted: &Trusted) -> Result<(), Exposed> {
    let exposed = |culprit: &Path, why: String| Exposed { culprit: culprit.to_owned(), why };
    let whole = std::path::absolute(path).map_err(|error| exposed(path, error.to_string()))?;
    let mut rest: VecDeque<OsString> = parts(&whole).collect();
    let mut at = PathBuf::from("/");
    let mut links = 0;
    let mut sticky = folder(&at, path, trusted)?;
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            at.pop();
            sticky = folder(&at, path, trusted)?;
            continue;
        }
        let entry = at.join(&part);
        let found = match fs::symlink_metadata(&entry) {
            Ok(found) => found,
            // What this user cannot look at is told where it is opened.
            Err(_) => return Ok(()),
        };
        if sticky && !trusted.has(found.uid()) {
            return Err(owned_by_other(&entry, &found, trusted));
        }
        if found.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(exposed(&entry, "the links on the way to it go round in a circle".into()));
            }
            let target = fs::read_link(&entry).map_err(|error| exposed(&entry, error.to_string()))?;
            if target.is_absolute() {
                at = PathBuf::from("/");
                sticky = folder(&at, path, trusted)?;
            }
            for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                rest.push_front(part);
            }
            continue;
        }
        at = entry;
        if rest.is_empty() {
            return if last == Last::Content { own(&at, &found, trusted) } else { Ok(()) };
        }
        sticky = folder(&at, path, trusted)?;
    }
    Ok(())
}

/// The names of a path, and `..`.
fn parts(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

fn owned_by_other(path: &Path, found: &Metadata, trusted: &Trusted) -> Exposed {
    let (owner, trusted) = (user_name(found.uid()), trusted.told());
    let shown = quoted(path);
    Exposed {
        culprit: path.to_owned(),
        why: format!(
            "it belongs to {owner}, who can change it, and not to {trusted}; if it is right, run: chown root {shown}"
        ),
    }
}

/// Who else than the owner may write: the bits of everybody, and of a group that others are in. Many systems give each user a group
/// of their own (useradd(8), USERGROUPS_ENAB) and let it write.
fn open_bits(found: &Metadata) -> u32 {
    match found.mode() & 0o022 {
        0o020 if group_is_owner_s(found) => 0,
        bits => bits,
    }
}

/// Whether a file's group is its owner's own: of the same name, the owner's first one, and with no other member.
fn group_is_owner_s(found: &Metadata) -> bool {
    let user = User::from_uid(Uid::from_raw(found.uid())).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(found.gid())).ok().flatten();
    matches!((user, group), (Some(user), Some(group))
        if !user.uid.is_root() && user.gid == group.gid && user.name == group.name && group.mem.iter().all(|name| *name == user.name))
}

/// The permissions of what a path leads to. What is neither a file nor a folder is refused for that, and its permissions are to
/// stay as they are.
fn own(path: &Path, found: &Metadata, trusted: &Trusted) -> Result<(), Exposed> {
    if !found.is_file() && !found.is_dir() {
        return Ok(());
    }
    if !trusted.has(found.uid()) {
        return Err(owned_by_other(path, found, trusted));
    }
    match open_bits(found) {
        0 => Ok(()),
        bits => {
            let who = if bits & 0o002 != 0 { "everybody" } else { "its group" };
            let (mode, shown) = (found.mode() & 0o7777, quoted(path));
            let why = format!("{who} may write it (mode {mode:04o}); run: chmod go-w {shown}");
            Err(Exposed { culprit: path.to_owned(), why })
        }
    }
}

/// The permissions of a folder on the way to `path`, and whether it is sticky and everybody's.
fn folder(at: &Path, path: &Path, trusted: &Trusted) -> Result<bool, Exposed> {
    let Ok(found) = fs::metadata(at) else { return Ok(false) };
    let (shown, mode) = (at.display(), found.mode() & 0o7777);
    let replaced = format!("so that another can be put in the place of {}", path.display());
    let culprit = at.to_owned();
    if !trusted.has(found.uid()) {
        let (owner, trusted) = (user_name(found.uid()), trusted.told());
        let command = quoted(at);
        let why = format!(
            "the folder {shown} belongs to {owner} and not to {trusted}, {replaced}; move it elsewhere, or run: chown root {command}"
        );
        return Err(Exposed { culprit, why });
    }
    let (open, is_sticky) = (open_bits(&found) != 0, mode & 0o1000 != 0);
    if open && !is_sticky {
        let who = if mode & 0o002 != 0 { "everybody" } else { "its group" };
        let why = format!(
            "{who} may write to the folder {shown} (mode {mode:04o}), {replaced}; run: chmod go-w {}",
            quoted(at)
        );
        return Err(Exposed { culprit, why });
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_may_name_a_pipe_but_nothing_that_never_ends() {
        for (path, why) in [("/dev/zero", "a device"), ("/", "a folder")] {
            assert!(open_named(Path::new(path)).unwrap_err().to_string().contains(why));
        }
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        assert!(open_named(Path::new(&path)).is_ok());
    }
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::time::{Duration, Instant};

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn pipe(path: &Path) {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    }

    #[test]
    fn only_plain_files_are_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("plain"), "text").unwrap();
        symlink("plain", at("link")).unwrap();
        pipe(&at("pipe"));
        symlink("pipe", at("to-pipe")).unwrap();
        symlink("/dev/zero", at("endless")).unwrap();
        symlink("round", at("round")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let start = Instant::now();
        assert_eq!(read_text(&at("link"), 4).unwrap(), "text");
        assert!(matches!(read(&at("plain"), 3), Err(FileError::TooLarge(3))));
        for (name, expected) in [
            ("pipe", "a pipe"),
            ("to-pipe", "a pipe"),
            ("endless", "a device"),
            ("socket", "a socket"),
            (".", "a folder"),
            ("round", "links"),
            ("absent", "No such file"),
        ] {
            let error = read(&at(name), 1000).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
            assert!(plain_or_absent(&at(name)).is_ok() == (name == "absent"), "{name}");
        }
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_told_for_what_they_are() {
        assert!(text_of(b"\xff\xfea\0".to_vec()).unwrap_err().to_string().contains("UTF-16"));
        assert!(text_of(b"b\xfcro".to_vec()).unwrap_err().to_string().contains("not UTF-8"));
    }

    #[test]
    fn a_walk_ends_whatever_the_links_are_and_tells_what_it_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a/b/.git")).unwrap();
        for name in ["x.t", "a/y.t", "a/b/z.t", "a/.#y.t", ".hidden.t", "a/b/.git/q.t", "a/y.t~", "a/y.other"] {
            fs::write(at(name), "").unwrap();
        }
        let names = |files: &[PathBuf]| -> Vec<String> {
            files.iter().map(|file| file.strip_prefix(folder.path()).unwrap().display().to_string()).collect()
        };
        let (files, skipped) = below(folder.path(), "t");
        assert_eq!((names(&files), skipped.len()), (vec!["a/b/z.t".into(), "a/y.t".into(), "x.t".into()], 0));
        symlink("..", at("a/up")).unwrap();
        symlink(".", at("a/b/here")).unwrap();
        let (files, skipped) = below(folder.path(), "t");
        assert_eq!(files.len(), 3);
        assert_eq!(skipped.len(), 2, "{skipped:?}");
        assert!(skipped.iter().all(|(_, why)| why.contains("leads back")), "{skipped:?}");
        // Each of thirty folders has two links to the next: a thousand million ways, and thirty folders.
        let deep = tempfile::tempdir().unwrap();
        for level in 0..30 {
            fs::create_dir(deep.path().join(format!("d{level}"))).unwrap();
            for link in ["l", "r"] {
                symlink(format!("../d{}", level + 1), deep.path().join(format!("d{level}/{link}"))).unwrap();
            }
        }
        fs::create_dir(deep.path().join("d30")).unwrap();
        let start = Instant::now();
        let (_, skipped) = below(&deep.path().join("d0"), "t");
        assert!(skipped.iter().all(|(_, why)| why.contains("same folder")) && skipped.len() == 30, "{skipped:?}");
        assert!(start.elapsed() < Duration::from_secs(5));
        let (files, skipped) = below(&at("absent"), "t");
        assert!(files.is_empty() && skipped.is_empty());
    }

    /// What is said of a file, with the folder's name taken out.
    fn told(folder: &Path, name: &str, trusted: &Trusted) -> String {
        let found = writable_by_others(&folder.join(name), Last::Content, trusted);
        found.map_or_else(|exposed| exposed.why.replace(&folder.display().to_string(), ""), |()| "safe".into())
    }

    #[test]
    fn who_could_change_a_file_is_found_on_the_whole_way_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("open/in")).unwrap();
        fs::create_dir(at("sticky")).unwrap();
        for name in ["good", "group", "all", "open/in/file", "sticky/file"] {
            fs::write(at(name), "").unwrap();
            mode(&at(name), 0o644);
        }
        mode(&at("group"), 0o664);
        mode(&at("all"), 0o646);
        mode(&at("open"), 0o777);
        mode(&at("sticky"), 0o1777);
        symlink(at("open/in/file"), at("link-to-open")).unwrap();
        symlink("../good", at("open/link-in-open")).unwrap();
        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        symlink("/dev/null", at("device")).unwrap();
        let own = Trusted::own();
        for (name, expected) in [
            ("good", "safe"),
            ("group", "its group may write it (mode 0664); run: chmod go-w /group"),
            ("all", "everybody may write it (mode 0646); run: chmod go-w /all"),
            ("open/in/file", "everybody may write to the folder /open (mode 0777)"),
            ("open/in", "run: chmod go-w /open"),
            ("open/not-there-yet", "run: chmod go-w /open"),
            ("link-to-open", "run: chmod go-w /open"),
            ("open/link-in-open", "run: chmod go-w /open"),
            ("open/../good", "run: chmod go-w /open"),
            ("sticky/file", "safe"),
            ("sticky", "everybody may write it (mode 1777)"),
            ("a", "round in a circle"),
            ("absent/folder", "safe"),
            ("device", "safe"),
        ] {
            let why = told(folder.path(), name, &own);
            assert!(why.contains(expected), "{name}: {why}");
        }
    }

    #[test]
    fn a_group_that_nobody_else_is_in_may_write() {
        // Debian has a user and a group of this name.
        let Some(user) = User::from_name("games").ok().flatten().filter(|_| Uid::effective().is_root()) else { return };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let trusted = Trusted::own().and(user.uid.as_raw());
        let told = |gid: u32, bits: u32| {
            chown(&file, Some(user.uid.as_raw()), Some(gid)).unwrap();
            mode(&file, bits);
            told(folder.path(), "file", &trusted)
        };
        assert_eq!(told(user.gid.as_raw(), 0o664), "safe");
        assert!(told(user.gid.as_raw(), 0o666).contains("everybody"));
        assert!(told(0, 0o664).contains("its group"));
    }

    #[test]
    fn what_belongs_to_somebody_else_is_theirs_to_change() {
        if !Uid::effective().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("theirs")).unwrap();
        fs::create_dir(at("sticky")).unwrap();
        mode(&at("sticky"), 0o1777);
        for name in ["file", "theirs/file", "sticky/file", "other"] {
            fs::write(at(name), "").unwrap();
        }
        symlink("../other", at("sticky/link")).unwrap();
        for name in ["file", "theirs", "sticky/file"] {
            chown(at(name), Some(65_534), None).unwrap();
        }
        std::os::unix::fs::lchown(at("sticky/link"), Some(65_534), None).unwrap();
        let own = Trusted::own();
        for (name, expected) in [
            ("file", "run: chown root /file"),
            ("theirs/file", "chown root /theirs"),
            ("sticky/file", "chown root /sticky/file"),
            ("sticky/link", "chown root /sticky/link"),
            ("other", "safe"),
        ] {
            let why = told(folder.path(), name, &own);
            assert!(why.contains(expected), "{name}: {why}");
            assert_eq!(told(folder.path(), name, &own.clone().and(65_534)), "safe", "{name}");
        }
    }
}
