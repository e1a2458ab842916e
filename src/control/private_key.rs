//! Private keys as people hand them in: which format it is, whether it can be read, and whether it can sign here.
//!
//! rotorctl reads the formats of OpenSSH (PROTOCOL.key), PEM (PKCS#1, SEC 1, PKCS#8: RFC 7468, RFC 5958) and PuTTY; the daemon
//! takes and stores that of OpenSSH alone. No message holds a part of a key.

use russh::keys::signature::Signer;
use russh::keys::ssh_key::Error as KeyError;
use russh::keys::{Algorithm, Error, PrivateKey, decode_secret_key};

use crate::model::Secret;

/// How a text begins, and what it is, where rotord cannot use it, with what helps.
const OTHERS: &[(&str, &str)] = &[
    (
        "-----BEGIN DSA PRIVATE KEY-----",
        "this is a DSA key, which OpenSSH takes no longer (since 7.0); make another: ssh-keygen -t ed25519 -f FILE",
    ),
    (
        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----",
        "this key is in the format of SSH Communications; convert it, without a passphrase: ssh-keygen -i -f FILE > NEW",
    ),
    (
        "SSH PRIVATE KEY FILE FORMAT 1.1",
        "this is a key of the SSH protocol 1, which no device should take; make another: ssh-keygen -t ed25519 -f FILE",
    ),
    ("---- BEGIN SSH2 PUBLIC KEY ----", PUBLIC_HALF),
    ("-----BEGIN PUBLIC KEY-----", PUBLIC_HALF),
    ("-----BEGIN RSA PUBLIC KEY-----", PUBLIC_HALF),
    ("ssh-", PUBLIC_HALF),
    ("ecdsa-", PUBLIC_HALF),
    ("sk-", PUBLIC_HALF),
    ("-----BEGIN CERTIFICATE-----", "this is a certificate; give the private key that belongs to it"),
    ("AGE-SECRET-KEY-", "this is the private half of a recovery key, not a key to log in with"),
];

const PUBLIC_HALF: &str = "this is the public half of a key; give the private one, which is in the file without '.pub'";

const OPENSSH: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const PUTTY: &str = "PuTTY-User-Key-File-";
const PEM: &[&str] = &[
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN EC PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----",
];

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    OpenSsh,
    Pem,
    Putty,
}

impl Format {
    /// What helps where a key of this format cannot be read.
    fn remedy(self) -> &'static str {
        match self {
            Self::OpenSsh => "copy the whole file, with its first and its last line",
            Self::Pem => "copy the whole file, or have OpenSSH rewrite it: ssh-keygen -p -f FILE",
            Self::Putty => "copy the whole file, or convert it: puttygen FILE -O private-openssh-new -o NEW",
        }
    }
}

/// Text around the key, as mail and tickets leave it, is no part of it, and neither are blanks at the ends of its lines.
fn tidy(text: &str) -> zeroize::Zeroizing<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = |line: &&str| line.starts_with("-----BEGIN ") || line.starts_with(PUTTY);
    let from = lines.iter().position(begins).unwrap_or(0);
    let lines = &lines[from..];
    let end = lines.iter().position(|line| line.starts_with("-----END ")).map_or(lines.len(), |end| end + 1);
    zeroize::Zeroizing::new(lines[..end].join("\n") + "\n")
}

fn format_of(text: &str) -> Result<Format, String> {
    let start = text.trim_start();
    if start.starts_with(OPENSSH) {
        Ok(Format::OpenSsh)
    } else if start.starts_with(PUTTY) {
        Ok(Format::Putty)
    } else if PEM.iter().any(|begin| start.starts_with(begin)) {
        Ok(Format::Pem)
    } else {
        let other = OTHERS.iter().find(|(begin, _)| start.starts_with(begin));
        Err(other.map_or(
            "there is no private key; give the file that 'ssh-keygen' or 'puttygen' wrote".into(),
            |(_, told)| (*told).to_owned(),
        ))
    }
}

/// Reads a key in any of the formats; `None` where it is under a passphrase.
///
/// # Errors
/// It is in another format, damaged, or cannot sign here.
pub fn read(text: &str) -> Result<Option<PrivateKey>, String> {
    let text = tidy(text);
    let format = format_of(&text)?;
    let locked = match format {
        Format::OpenSsh => openssh(&text)?.is_encrypted(),
        Format::Pem => text.contains("BEGIN ENCRYPTED ") || text.contains("Proc-Type: 4,ENCRYPTED"),
        Format::Putty => text.lines().any(|line| line.starts_with("Encryption: ") && line != "Encryption: none"),
    };
    if locked {
        return Ok(None);
    }
    let key = decode_secret_key(&text, None).map_err(|_| damaged(format))?;
    usable(&key)?;
    Ok(Some(key))
}

fn damaged(format: Format) -> String {
    format!("the private key cannot be read; {}", format.remedy())
}

fn openssh(text: &str) -> Result<PrivateKey, String> {
    let key = PrivateKey::from_openssh(text).map_err(|_| damaged(Format::OpenSsh))?;
    kind_of(&key)?;
    Ok(key)
}

/// Opens a key that is under a passphrase.
///
/// # Errors
/// The passphrase is wrong, its cipher is not known here, or the key cannot sign here.
pub fn unlock(text: &str, passphrase: &str) -> Result<PrivateKey, String> {
    let text = tidy(text);
    let format = format_of(&text)?;
    let key = decode_secret_key(&text, Some(passphrase)).map_err(|error| match (format, error) {
        (Format::OpenSsh, Error::SshKey(KeyError::Crypto)) => "the passphrase is wrong".to_owned(),
        (Format::OpenSsh, _) => {
            "the passphrase is wrong, or the key's cipher is not known here; have OpenSSH rewrite it: ssh-keygen -p -Z aes256-ctr -f FILE"
                .into()
        }
        (Format::Pem, _) => {
            "the passphrase is wrong, or the key's cipher is not known here; have OpenSSH rewrite it: ssh-keygen -p -f FILE".into()
        }
        (Format::Putty, _) => {
            "the passphrase is wrong, or the key's cipher is not known here; convert it: puttygen FILE -O private-openssh-new -o NEW"
                .into()
        }
    })?;
    usable(&key)?;
    Ok(key)
}

/// The key in OpenSSH's format, without a passphrase, as the vault holds it.
///
/// # Errors
/// It cannot be written so.
pub fn plain(key: &PrivateKey) -> Result<Secret, String> {
    let text =
        key.to_openssh(Default::default()).map_err(|_| "the key cannot be written in OpenSSH's format".to_owned())?;
    Ok(Secret::new(text.to_string()))
}

/// Reads a key that is already in OpenSSH's format and without a passphrase, as rotorctl sends it.
///
/// # Errors
/// It is not so, or cannot sign here.
pub fn read_plain(text: &str) -> Result<PrivateKey, String> {
    let text = tidy(text);
    match format_of(&text)? {
        Format::OpenSsh => {}
        _ => return Err("the key is not in OpenSSH's format; 'rotorctl ssh-key set' converts it".into()),
    }
    let key = openssh(&text)?;
    if key.is_encrypted() {
        return Err("the key is under a passphrase; 'rotorctl ssh-key set' asks for it".into());
    }
    usable(&key)?;
    Ok(key)
}

/// Whether rotord can sign with keys of this kind at all.
fn kind_of(key: &PrivateKey) -> Result<(), String> {
    match key.algorithm() {
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => {
            Err("the file only points at a key in a hardware token (sk-…), which has to be touched for each login; give a key that is in its file: ssh-keygen -t ed25519 -f FILE".into())
        }
        Algorithm::Dsa => Err(OTHERS[0].1.into()),
        _ => Ok(()),
    }
}

/// Whether a key signs here: a signature is made for a try.
fn usable(key: &PrivateKey) -> Result<(), String> {
    kind_of(key)?;
    match key.try_sign(b"rotord") {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "rotord cannot sign with a key of the kind {}; make another: ssh-keygen -t ed25519 -f FILE",
            key.algorithm()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    /// A key that ssh-keygen makes with these arguments.
    fn keygen(folder: &Path, arguments: &[&str]) -> String {
        let file = folder.join("key");
        drop(std::fs::remove_file(&file));
        let done = Command::new("ssh-keygen").args(["-q", "-f"]).arg(&file).args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {done:?}");
        std::fs::read_to_string(file).unwrap()
    }

    fn openssl(arguments: &[&str]) -> String {
        let done = Command::new("openssl").args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// Whether what is stored of it is read again by the daemon.
    fn stored(key: &PrivateKey) -> bool {
        read_plain(plain(key).unwrap().expose()).unwrap().public_key().key_data() == key.public_key().key_data()
    }

    #[test]
    fn keys_of_each_format_that_can_sign_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let with = |arguments: &[&str]| keygen(folder.path(), &[&["-N", ""], arguments].concat());
        for (name, text) in [
            ("ed25519", with(&["-t", "ed25519"])),
            ("ecdsa", with(&["-t", "ecdsa"])),
            ("p384", with(&["-t", "ecdsa", "-b", "384"])),
            ("p521", with(&["-t", "ecdsa", "-b", "521"])),
            ("rsa", with(&["-t", "rsa", "-b", "2048"])),
            ("rsa in PEM", with(&["-t", "rsa", "-b", "2048", "-m", "PEM"])),
            ("rsa in PKCS#8", with(&["-t", "rsa", "-b", "2048", "-m", "PKCS8"])),
            ("ecdsa in PEM", with(&["-t", "ecdsa", "-m", "PEM"])),
            ("ecdsa in PKCS#8", with(&["-t", "ecdsa", "-m", "PKCS8"])),
            ("ed25519 of OpenSSL", openssl(&["genpkey", "-algorithm", "ed25519"])),
            ("with line ends of Windows", with(&["-t", "ed25519"]).replace('\n', "\r\n")),
            ("indented, in a mail", format!("Hello,\n\n{}\nBye", with(&["-t", "ed25519"]).replace('\n', " \n  "))),
        ] {
            let found = read(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(matches!(&found, Some(key) if stored(key)), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_key_under_a_passphrase_is_opened_by_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let with = |arguments: &[&str]| keygen(folder.path(), &[&["-N", "right-one"], arguments].concat());
        for (name, text) in [
            ("ed25519", with(&["-t", "ed25519"])),
            ("gcm", with(&["-t", "ed25519", "-Z", "aes256-gcm@openssh.com"])),
            ("rsa", with(&["-t", "rsa", "-b", "2048"])),
            ("rsa in PEM", with(&["-t", "rsa", "-b", "2048", "-m", "PEM"])),
            ("PKCS#8", openssl(&["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:right-one"])),
        ] {
            assert!(matches!(read(&text), Ok(None)), "{name}");
            let key = unlock(&text, "right-one").unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(stored(&key), "{name}");
            let why = unlock(&text, "wrong-one").unwrap_err();
            assert!(why.contains("passphrase is wrong") && !why.contains("one"), "{name}: {why}");
        }
        let why = read_plain(&with(&["-t", "ed25519"])).unwrap_err();
        assert!(why.contains("under a passphrase"), "{why}");
    }

    /// The blob of a key file in OpenSSH's format (PROTOCOL.key) of a kind, with its public and private fields.
    fn file_of(kind: &str, public: &[&[u8]], private: &[&[u8]]) -> String {
        let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        let strings = |parts: &[&[u8]]| parts.iter().flat_map(|part| string(part)).collect::<Vec<u8>>();
        let public = [string(kind.as_bytes()), strings(public)].concat();
        let mut inner = [[7u8; 8].as_slice(), &public].concat();
        for part in private {
            // A flag of a token's key is one byte without a length.
            inner.extend(if part.len() == 1 { part.to_vec() } else { string(part) });
        }
        inner.extend(string(b"me@host"));
        inner.extend((1..).take((8 - inner.len() % 8) % 8));
        let none = string(b"none");
        let blob = [
            b"openssh-key-v1\0".as_slice(),
            &none,
            &none,
            &string(b""),
            &1u32.to_be_bytes(),
            &string(&public),
            &string(&inner),
        ];
        let text = data_encoding::BASE64.encode(&blob.concat());
        let lines: Vec<&str> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("{OPENSSH}\n{}\n-----END OPENSSH PRIVATE KEY-----\n", lines.join("\n"))
    }

    #[test]
    fn what_cannot_sign_is_refused_with_a_remedy_that_fits_its_format() {
        let folder = tempfile::tempdir().unwrap();
        let ed25519 = keygen(folder.path(), &["-N", "", "-t", "ed25519"]);
        let public = std::fs::read_to_string(folder.path().join("key.pub")).unwrap();
        let token = file_of("sk-ssh-ed25519@openssh.com", &[&[9; 32], b"ssh:"], &[&[1], &[5; 64], &[]]);
        for (name, text, expected) in [
            ("a token's key", token, "hardware token"),
            ("dsa in PEM", "-----BEGIN DSA PRIVATE KEY-----\nMIIB\n".into(), "DSA"),
            ("the public half", public, "public half"),
            ("another public half", "-----BEGIN PUBLIC KEY-----\nMCow\n".into(), "public half"),
            ("PuTTY's, cut", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: x\n".into(), "puttygen"),
            ("SSH Communications'", "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nP2/5\n".into(), "ssh-keygen -i"),
            ("OpenSSH's, cut", ed25519[..ed25519.len() / 2].to_owned(), "the whole file"),
            ("PEM, cut", "-----BEGIN PRIVATE KEY-----\nMC4C\n".into(), "ssh-keygen -p"),
            ("a password", "hunter2".into(), "no private key"),
            ("nothing", String::new(), "no private key"),
            ("a recovery key", "AGE-SECRET-KEY-1QQQ".into(), "recovery key"),
        ] {
            let why = read(&text).map(|_| ()).unwrap_err();
            assert!(why.contains(expected) && !why.contains("hunter2") && !why.contains("1QQQ"), "{name}: {why}");
            assert!(read_plain(&text).is_err(), "{name}");
        }
    }

    #[test]
    fn a_dsa_key_in_openssh_s_format_is_refused() {
        let whole = file_of("ssh-dss", &[&[3; 128], &[3; 20], &[3; 128], &[3; 128]], &[&[3; 20]]);
        let why = read(&whole).map(|_| ()).unwrap_err();
        assert!(why.contains("DSA") || why.contains("cannot be read"), "{why}");
    }

    /// Ed25519, version 3, not encrypted, made with puttygen (Debian's package putty-tools).
    #[test]
    fn a_key_of_putty_s_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.ppk");
        let done = Command::new("puttygen")
            .args(["-q", "-t", "ed25519", "--new-passphrase", "/dev/null", "-o"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(matches!(read(&text), Ok(Some(key)) if stored(&key)));
    }
}
