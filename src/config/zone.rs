//! The host's time zone, found as the C library finds it (tzset(3), localtime(5)); where it has no name of the IANA database, that
//! is told, and never taken for UTC.

use std::fs;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;

use crate::files;

/// What names the host's zone.
pub(super) struct Host<'a> {
    /// `TZ` of the environment.
    pub(super) tz: Option<String>,
    /// `/etc/localtime`.
    pub(super) localtime: &'a Path,
    /// `/etc/timezone`, a name that Debian keeps beside it.
    pub(super) timezone: &'a Path,
    /// Where the zones' files are.
    pub(super) zoneinfo: &'a Path,
}

/// A zone's file has at most some thousand bytes.
const MOST_BYTES: u64 = 1024 * 1024;

impl Host<'_> {
    /// This one.
    pub(super) fn this() -> Self {
        Self {
            tz: std::env::var_os("TZ").map(|tz| tz.to_string_lossy().into_owned()),
            localtime: Path::new("/etc/localtime"),
            timezone: Path::new("/etc/timezone"),
            zoneinfo: Path::new("/usr/share/zoneinfo"),
        }
    }

    /// The zone's name, or what was found in its place.
    pub(super) fn zone(&self) -> Result<Tz, String> {
        if let Some(tz) = &self.tz {
            return Self::of_variable(tz);
        }
        let shown = self.localtime.display();
        let link = match fs::symlink_metadata(self.localtime) {
            // localtime(5): where there is none, the host is in UTC.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Tz::UTC),
            Err(error) => return Err(format!("{shown} cannot be read: {error}")),
            Ok(found) => found.is_symlink(),
        };
        if link && let Some(zone) = self.of_link() {
            return Ok(zone);
        }
        self.of_copy().ok_or_else(|| {
            if link {
                format!("{shown} is a link to no zone of the IANA database")
            } else {
                format!("{shown} is a copy of a zone's file, which does not tell its name")
            }
        })
    }

    /// `TZ` holds a name, with or without a colon in front, or a path to a zone's file; empty, it stands for UTC.
    fn of_variable(tz: &str) -> Result<Tz, String> {
        let name = tz.strip_prefix(':').unwrap_or(tz);
        if name.is_empty() {
            return Ok(Tz::UTC);
        }
        let found = name.parse().ok().or_else(|| name_in(Path::new(name)));
        found.ok_or_else(|| format!("TZ is \"{}\", which is no zone of the IANA database", tz.escape_debug()))
    }

    /// The zone of the first link on the way that names one.
    fn of_link(&self) -> Option<Tz> {
        let mut at = self.localtime.to_owned();
        for _ in 0..8 {
            let target = fs::read_link(&at).ok()?;
            at = at.parent().map_or(target.clone(), |folder| folder.join(&target));
            if let Some(zone) = name_in(&at) {
                return Some(zone);
            }
        }
        None
    }

    /// The zone that Debian's file names, if its file is the very one.
    fn of_copy(&self) -> Option<Tz> {
        let name = files::read_text(self.timezone, MOST_BYTES).ok()?;
        let name = name.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?.to_owned();
        let zone = name.parse().ok()?;
        let bytes = |path: &Path| files::read(path, MOST_BYTES).ok().map(|(bytes, _)| bytes);
        let own: PathBuf = self.zoneinfo.join(&name);
        (bytes(self.localtime)? == bytes(&own)?).then_some(zone)
    }
}

/// The zone that a path to its file names: what stands behind `zoneinfo`, in the folder `posix` too. The folder `right` counts leap
/// seconds, by which the C library's clock runs; its zones are the same.
fn name_in(path: &Path) -> Option<Tz> {
    let text = path.to_str()?;
    let (_, name) = text.rsplit_once("zoneinfo/")?;
    let name = name.strip_prefix("posix/").or_else(|| name.strip_prefix("right/")).unwrap_or(name);
    name.trim_start_matches('/').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const NEW_YORK: Tz = chrono_tz::America::New_York;

    #[test]
    fn tz_names_the_zone_as_the_c_library_reads_it() {
        for (tz, expected) in [
            ("America/New_York", Some(NEW_YORK)),
            (":America/New_York", Some(NEW_YORK)),
            ("/usr/share/zoneinfo/America/New_York", Some(NEW_YORK)),
            (":/usr/share/zoneinfo/posix/America/New_York", Some(NEW_YORK)),
            ("", Some(Tz::UTC)),
            (":", Some(Tz::UTC)),
            ("UTC", Some(Tz::UTC)),
            ("CET-1CEST,M3.5.0,M10.5.0/3", None),
            ("Nowhere/At_All", None),
            ("<+03>-3", None),
        ] {
            let absent = Path::new("/absent");
            let host = Host { tz: Some(tz.into()), localtime: absent, timezone: absent, zoneinfo: absent };
            match (host.zone(), expected) {
                (Ok(zone), Some(expected)) => assert_eq!(zone, expected, "{tz}"),
                (Err(why), None) => assert!(why.contains("IANA"), "{tz}: {why}"),
                (found, _) => panic!("{tz}: {found:?}"),
            }
        }
    }

    #[test]
    fn the_host_s_zone_is_told_or_it_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("zoneinfo/America")).unwrap();
        fs::write(at("zoneinfo/America/New_York"), "TZif of New York").unwrap();
        fs::write(at("zoneinfo/UTC"), "TZif of UTC").unwrap();
        let zone = |localtime: &str, timezone: &str| {
            let (localtime, timezone, zoneinfo) = (at(localtime), at(timezone), at("zoneinfo"));
            Host { tz: None, localtime: &localtime, timezone: &timezone, zoneinfo: &zoneinfo }.zone()
        };
        symlink(at("zoneinfo/America/New_York"), at("plain")).unwrap();
        symlink("zoneinfo/America/New_York", at("relative")).unwrap();
        symlink("/usr/share/zoneinfo/posix/America/New_York", at("posix")).unwrap();
        symlink("/usr/share/zoneinfo/right/America/New_York", at("right")).unwrap();
        symlink("plain", at("link-to-link")).unwrap();
        symlink("round", at("round")).unwrap();
        symlink("/opt/own-zone", at("own")).unwrap();
        fs::write(at("copy"), "TZif of New York").unwrap();
        fs::write(at("name"), "America/New_York\n").unwrap();
        fs::write(at("stale"), "UTC\n").unwrap();
        for name in ["plain", "relative", "posix", "right", "link-to-link"] {
            assert_eq!(zone(name, "absent"), Ok(NEW_YORK), "{name}");
        }
        assert_eq!(zone("copy", "name"), Ok(NEW_YORK));
        assert_eq!(zone("absent", "absent"), Ok(Tz::UTC));
        for (localtime, timezone, expected) in [
            ("copy", "absent", "is a copy"),
            ("copy", "stale", "is a copy"),
            ("own", "absent", "link to no zone"),
            ("round", "absent", "link to no zone"),
        ] {
            let why = zone(localtime, timezone).unwrap_err();
            assert!(why.contains(expected), "{localtime}: {why}");
        }
    }
}
