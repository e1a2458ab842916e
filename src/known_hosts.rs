//! Lines of an OpenSSH `known_hosts` file, read as `ssh` reads them (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"; hostfile.c).
//!
//! Fields are parted by any number of blanks and tabs, each line stands for itself whatever its bytes are, and a line that is not
//! understood says nothing of a host. Pure. What follows from the lines for a device is the business of `device`.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// What stands in front of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// Nothing: the key is the host's.
    Plain,
    /// `@cert-authority`: the key signs the certificates of hosts.
    CertAuthority,
    /// `@revoked`: the key is never to be trusted.
    Revoked,
}

/// A line that is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub line: usize,
    /// What the key is to the hosts.
    pub marker: Marker,
    /// Patterns of hosts, or one hashed name.
    pub hosts: String,
    /// The key, as SSH writes it (RFC 4253, section 6.6); it begins with its kind.
    pub key: Vec<u8>,
}

/// A line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// Its number, from 1.
    pub line: usize,
    /// Why.
    pub why: &'static str,
    /// It seems to revoke a key; which one, nobody knows.
    pub revokes: bool,
    /// The hosts that it is about, where that much can be read.
    pub hosts: Option<String>,
}

/// The lines of a file, comments and empty ones apart.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = Result<Line, Unclear>> + '_ {
    bytes.split(|byte| *byte == b'\n').enumerate().filter_map(|(index, line)| {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches([' ', '\t']).trim_end_matches(['\r', ' ', '\t']);
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let line = index + 1;
        let found = read(text).map(|found| Line { line, ..found });
        Some(found.map_err(|(why, hosts)| Unclear { line, why, revokes: seems_to_revoke(text), hosts }))
    })
}

/// Whether a line that is not understood begins with what may be meant for `@revoked`, behind a byte-order mark or a quote too.
fn seems_to_revoke(text: &str) -> bool {
    let word = text.split([' ', '\t']).next().unwrap_or_default().to_ascii_lowercase();
    let from = word.find('@').filter(|at| !word[..*at].contains(|c: char| c.is_ascii_alphanumeric()));
    from.is_some_and(|at| word[at..].contains("revoke"))
}

/// A word, and what follows it behind blanks and tabs.
fn word(text: &str) -> (&str, &str) {
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start_matches([' ', '\t']))
}

type Wrong = (&'static str, Option<String>);

fn read(text: &str) -> Result<Line, Wrong> {
    let (marker, rest) = match word(text) {
        ("@cert-authority", rest) => (Marker::CertAuthority, rest),
        ("@revoked", rest) => (Marker::Revoked, rest),
        (other, _) if other.starts_with('@') => return Err(("its marker is not known", None)),
        _ => (Marker::Plain, text),
    };
    if rest.starts_with('@') {
        return Err(("it has two markers", None));
    }
    let (hosts, rest) = word(rest);
    let wrong = |why| (why, Some(hosts.to_owned()));
    let (kind, rest) = word(rest);
    let (encoded, _comment) = word(rest);
    if kind.is_empty() || kind.starts_with('#') {
        return Err(wrong("it ends before the key"));
    }
    if kind.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("its key is one of the SSH protocol 1"));
    }
    if hosts.starts_with('|') && hashed(hosts).is_none() {
        return Err(wrong("its hashed name is none"));
    }
    let key = BASE64.decode(encoded.as_bytes()).map_err(|_| wrong("its key is no Base64"))?;
    match kind_of(&key) {
        Some(found) if found == kind.as_bytes() => Ok(Line { line: 0, marker, hosts: hosts.to_owned(), key }),
        Some(_) => Err(wrong("its key is of another kind than stands before it")),
        None => Err(wrong("its key is cut off")),
    }
}

/// The kind with which a key begins; `None` where nothing follows it.
#[must_use]
pub fn kind_of(key: &[u8]) -> Option<&[u8]> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.get(..length).filter(|_| rest.len() > length)
}

/// Salt and hash of a hashed name, `|1|SALT|HASH`.
fn hashed(hosts: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (salt, hash) = hosts.strip_prefix("|1|")?.split_once('|')?;
    let decode = |text: &str| BASE64.decode(text.as_bytes()).ok();
    Some((decode(salt)?, decode(hash)?))
}

/// Whether a line's hosts are those of a name, which is a host in lower case, or `[host]:port` for another port than 22.
#[must_use]
pub fn matches(hosts: &str, name: &str) -> bool {
    if hosts.starts_with('|') {
        return hashed(hosts).is_some_and(|(salt, hash)| {
            Hmac::<Sha1>::new_from_slice(&salt).is_ok_and(|mut mac| {
                mac.update(name.as_bytes());
                mac.verify_slice(&hash).is_ok()
            })
        });
    }
    let mut found = false;
    for pattern in hosts.split(',') {
        let pattern = pattern.to_lowercase();
        match pattern.strip_prefix('!') {
            Some(denied) if pattern_matches(denied, name) => return false,
            Some(_) => {}
            None => found |= pattern_matches(&pattern, name),
        }
    }
    found
}

/// Patterns of ssh_config(5): `*` is any run of characters, `?` any one, and all else is literal, a bracket too.
fn pattern_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIIs5Jb0E2JPNyhCuq5Vq0wqLSAuEnsF4Kv9S9cB1b0pU";

    fn one(line: &[u8]) -> Result<Line, Unclear> {
        let mut found: Vec<_> = lines(line).collect();
        assert_eq!(found.len(), 1, "{line:?}");
        found.remove(0)
    }

    #[test]
    fn blanks_tabs_markers_and_comments_are_read_as_ssh_reads_them() {
        for (line, marker) in [
            (format!("web1 ssh-ed25519 {KEY}"), Marker::Plain),
            (format!("web1\tssh-ed25519\t{KEY}\tcomment of words"), Marker::Plain),
            (format!("  \t web1   ssh-ed25519 \t {KEY} # x\r"), Marker::Plain),
            (format!("@revoked web1 ssh-ed25519 {KEY}"), Marker::Revoked),
            (format!("@revoked \t web1  ssh-ed25519 {KEY}"), Marker::Revoked),
            (format!("@cert-authority\tweb1\tssh-ed25519 {KEY}"), Marker::CertAuthority),
        ] {
            let found = one(line.as_bytes()).unwrap_or_else(|unclear| panic!("{line:?}: {unclear:?}"));
            assert_eq!((found.marker, found.hosts.as_str()), (marker, "web1"), "{line:?}");
            assert_eq!(kind_of(&found.key), Some(b"ssh-ed25519".as_slice()));
        }
        let latin =
            [b"# b\xfcro\n\xfc web2\n".as_slice(), format!("web1 ssh-ed25519 {KEY} b\u{fc}ro\n\n \t\n#\n").as_bytes()]
                .concat();
        let found: Vec<_> = lines(&latin).map(|line| line.is_ok()).collect();
        assert_eq!(found, [false, true]);
    }

    #[test]
    fn a_line_that_is_not_understood_is_told_and_whether_it_seems_to_revoke() {
        for (line, why, revokes) in [
            ("web1".to_owned(), "before the key", false),
            ("web1 ssh-ed25519".into(), "cut off", false),
            (format!("web1 {KEY}"), "", false),
            (format!("web1 ssh-rsa {KEY}"), "another kind", false),
            (format!("web1 ssh-ed25519 {}", &KEY[..20]), "cut off", false),
            (format!("web1 ssh-ed25519 {KEY}!"), "no Base64", false),
            ("web1 1024 35 1234567".into(), "protocol 1", false),
            (format!("|1|x web1 {KEY}"), "", false),
            (format!("@foo web1 ssh-ed25519 {KEY}"), "marker", false),
            (format!("@cert-authority @revoked web1 ssh-ed25519 {KEY}"), "two markers", false),
            (format!("@Revoked web1 ssh-ed25519 {KEY}"), "marker", true),
            (format!("\u{feff}@revoked web1 ssh-ed25519 {KEY}"), "", true),
            (format!("@revoked ssh-ed25519 {KEY}"), "", true),
            ("@revoked".into(), "before the key", true),
            ("@revoked web1 ssh-ed25519 AAAA".into(), "cut off", true),
            (format!("@revoked web1 ssh-ed25519 {}", &KEY[..30]), "", true),
        ] {
            let unclear = one(line.as_bytes()).unwrap_err();
            assert!(
                unclear.why.contains(why) && unclear.revokes == revokes && unclear.line == 1,
                "{line}: {unclear:?}"
            );
        }
    }

    #[test]
    fn names_match_by_pattern_negation_or_hash() {
        for (hosts, name, expected) in [
            ("web1,192.0.2.1", "web1", true),
            ("web1,192.0.2.1", "192.0.2.1", true),
            ("WEB1", "web1", true),
            ("[gw]:2222", "[gw]:2222", true),
            ("[gw]:2222", "gw", false),
            ("[g?]:*", "[gw]:2222", true),
            ("*.example.net,!bad.example.net", "a.example.net", true),
            ("*.example.net,!bad.example.net", "bad.example.net", false),
            ("!bad.example.net", "good.example.net", false),
            ("*", "[any]:1", true),
            ("web", "web1", false),
        ] {
            assert_eq!(matches(hosts, name), expected, "{hosts} {name}");
        }
        let mut mac = Hmac::<Sha1>::new_from_slice(&[7u8; 20]).unwrap();
        mac.update(b"[web1]:2200");
        let hashed = format!("|1|{}|{}", BASE64.encode(&[7u8; 20]), BASE64.encode(&mac.finalize().into_bytes()));
        assert!(matches(&hashed, "[web1]:2200") && !matches(&hashed, "web1"));
    }
}
