//! Which host keys are trusted: fingerprints of the config, keys stored with `rotorctl trust`, and `known_hosts` files
//! (the format is that of sshd(8), section SSH_KNOWN_HOSTS FILE FORMAT).

use std::io;
use std::path::Path;
use std::sync::Arc;

use russh::keys::ssh_key::{Certificate, Fingerprint};
use russh::keys::{HashAlg, PublicKey, PublicKeyOrCertificate};

use crate::files;
use crate::known_hosts::{self, Marker};
use crate::model::ssh_pattern_match;

/// A `known_hosts` file of a large site has some hundred thousand bytes.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// What a `known_hosts` file says under one name. Keys are as SSH writes them (RFC 4253, section 6.6).
#[derive(Debug, Clone, Default)]
struct Named {
    keys: Vec<Vec<u8>>,
    authorities: Vec<Vec<u8>>,
    revoked: Vec<Vec<u8>>,
}

/// What a `known_hosts` file says of one host. Copies share it.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts(Arc<Lookup>);

#[derive(Debug, Default)]
struct Lookup {
    /// Under its name, which for another port than 22 is `[host]:port`.
    named: Named,
    /// Under the host alone, where the port is another than 22. Where `ssh` finds nothing under the name with the port, it looks
    /// there (sshconnect.c, "checking without port identifier").
    bare: Named,
}

/// The keys on record for one device.
#[derive(Debug, Clone, Default)]
pub struct HostKeys {
    /// Fingerprints, `SHA256:…`, of the config and of the vault.
    pub fingerprints: Vec<String>,
    /// The kinds of the vault's keys, such as `ssh-ed25519`. A fingerprint of the config does not tell its kind.
    pub kinds: Vec<String>,
    /// Only keys of this kind are asked for.
    pub only: Option<&'static str>,
    /// What its `known_hosts` file says.
    pub known: KnownHosts,
}

/// Kinds of keys, those first that are asked for last by themselves.
const KINDS: [&str; 3] = ["ssh-rsa", "ecdsa", "ssh-ed25519"];

/// What is thought of a key that a device showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is on record.
    Trusted,
    /// Others are on record.
    Mismatch,
    /// None is on record.
    Unknown,
    /// It is revoked.
    Revoked,
}

impl KnownHosts {
    /// Reads what a file says of a host. A line that is not understood is passed over, as `ssh` does, unless it seems to revoke
    /// a key.
    ///
    /// # Errors
    /// The file cannot be read, or nobody knows which key a line of it revokes.
    pub fn read(file: &Path, host: &str, port: u16) -> io::Result<Self> {
        let (bytes, _) = files::read(file, MOST_BYTES).map_err(|error| io::Error::other(error.to_string()))?;
        Self::parse(&bytes, host, port).map_err(io::Error::other)
    }

    /// Reads what a text says of a host.
    ///
    /// # Errors
    /// A line seems to revoke a key, perhaps one of this host, and is not understood.
    pub fn parse(text: &[u8], host: &str, port: u16) -> Result<Self, String> {
        let bare_name = host.to_lowercase();
        let name = if port == 22 { bare_name.clone() } else { format!("[{bare_name}]:{port}") };
        let (mut named, mut bare) = (Named::default(), Named::default());
        for line in known_hosts::lines(text) {
            let line = match line {
                Ok(line) => line,
                Err(unclear) => {
                    let hosts = unclear.hosts.as_deref();
                    let about = |name: &str| hosts.is_none_or(|hosts| known_hosts::matches(hosts, name));
                    if unclear.revokes && (about(&name) || about(&bare_name)) {
                        return Err(format!(
                            "line {} seems to revoke a key, and is not understood: {}; correct it",
                            unclear.line, unclear.why
                        ));
                    }
                    continue;
                }
            };
            if known_hosts::matches(&line.hosts, &name) {
                named.add(&line);
            }
            if port != 22 && known_hosts::matches(&line.hosts, &bare_name) {
                bare.add(&line);
            }
        }
        Ok(Self(Arc::new(Lookup { named, bare })))
    }

    /// The kinds of the keys that the host may show, such as `ssh-ed25519`, for the choice of algorithms.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        let keys = if self.0.named.keys.is_empty() { &self.0.bare.keys } else { &self.0.named.keys };
        keys.iter().filter_map(|key| std::str::from_utf8(known_hosts::kind_of(key)?).ok())
    }

    /// The fingerprints of the keys that the host may show. One that is revoked is none of them.
    pub fn fingerprints(&self) -> impl Iterator<Item = String> {
        let Lookup { named, bare } = self.0.as_ref();
        let by_port = !named.keys.is_empty();
        let keys = if by_port { &named.keys } else { &bare.keys };
        let is_revoked = move |key: &&Vec<u8>| named.revoked.contains(key) || !by_port && bare.revoked.contains(key);
        keys.iter().filter(move |key| !is_revoked(key)).filter_map(|key| fingerprint(key))
    }

    /// The fingerprints of the keys that the host must not show.
    pub fn revoked(&self) -> impl Iterator<Item = String> {
        [&self.0.named, &self.0.bare].into_iter().flat_map(|known| &known.revoked).filter_map(|key| fingerprint(key))
    }

    /// The fingerprints of the authorities that may sign the host's certificates.
    pub fn authorities(&self) -> impl Iterator<Item = String> {
        [&self.0.named, &self.0.bare]
            .into_iter()
            .flat_map(|known| &known.authorities)
            .filter_map(|key| fingerprint(key))
    }

    fn says_nothing(&self) -> bool {
        [&self.0.named, &self.0.bare].iter().all(|known| known.keys.is_empty() && known.authorities.is_empty())
    }
}

/// `SHA256:…` of a key as SSH writes it.
fn fingerprint(key: &[u8]) -> Option<String> {
    Some(PublicKey::from_bytes(key).ok()?.fingerprint(HashAlg::Sha256).to_string())
}

/// A key that a device shows, as it stands in `known_hosts`.
struct Shown<'a> {
    key: Vec<u8>,
    certificate: Option<&'a Certificate>,
    /// Who signed the certificate.
    authority: Option<Vec<u8>>,
}

impl Named {
    fn add(&mut self, line: &known_hosts::Line) {
        let list = match line.marker {
            Marker::Plain => &mut self.keys,
            Marker::CertAuthority => &mut self.authorities,
            Marker::Revoked => &mut self.revoked,
        };
        list.push(line.key.clone());
    }

    fn revokes(&self, shown: &Shown<'_>) -> bool {
        self.revoked.iter().any(|revoked| *revoked == shown.key || Some(revoked) == shown.authority.as_ref())
    }

    /// Whether an authority on record signed this host certificate, for this host and this time.
    fn vouches(&self, shown: &Shown<'_>, host: &str, now: u64) -> bool {
        let Some(certificate) = shown.certificate else { return false };
        let authorities: Vec<Fingerprint> = self
            .authorities
            .iter()
            .filter_map(|key| Some(PublicKey::from_bytes(key).ok()?.fingerprint(HashAlg::Sha256)))
            .collect();
        let host = host.to_lowercase();
        certificate.cert_type().is_host()
            && certificate
                .valid_principals()
                .iter()
                .any(|principal| ssh_pattern_match(&principal.to_lowercase(), &host))
            && certificate.validate_at(now, authorities.iter()).is_ok()
    }
}

impl HostKeys {
    /// Whether certificates of authorities are to be offered.
    #[must_use]
    pub fn has_authorities(&self) -> bool {
        [&self.known.0.named, &self.known.0.bare].iter().any(|known| !known.authorities.is_empty())
    }

    /// The kinds of the keys on record, as far as they are told.
    pub fn known_kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(String::as_str).chain(self.known.kinds())
    }

    /// The kinds to ask for one after another where the device showed a key that is not on record: it may have the one on record
    /// too, and a server shows one key in each handshake (RFC 4253, section 7.1). None where it is known what is on record.
    #[must_use]
    pub fn other_kinds(&self) -> Vec<&'static str> {
        if self.fingerprints.is_empty() { Vec::new() } else { KINDS.to_vec() }
    }

    /// The same, of which only one kind is asked for.
    #[must_use]
    pub fn of_kind(&self, kind: &'static str) -> Self {
        Self { only: Some(kind), ..self.clone() }
    }

    /// What is thought of a key, given the host's name and the time in seconds since 1970. A key that cannot be written as SSH
    /// writes it is none that is on record.
    #[must_use]
    pub fn judge(&self, shown: &PublicKeyOrCertificate, host: &str, now: u64) -> Judgement {
        let key = shown.public_key();
        let Ok(bytes) = key.to_bytes() else { return Judgement::Mismatch };
        let certificate = shown.certificate();
        let signer = certificate.map(|certificate| PublicKey::from(certificate.signature_key().clone()).to_bytes());
        let Ok(authority) = signer.transpose() else { return Judgement::Mismatch };
        let shown = Shown { key: bytes, certificate, authority };
        let Lookup { named, bare } = self.known.0.as_ref();
        if named.revokes(&shown) {
            return Judgement::Revoked;
        }
        if named.keys.contains(&shown.key) || named.vouches(&shown, host, now) {
            return Judgement::Trusted;
        }
        if bare.revokes(&shown) {
            return Judgement::Revoked;
        }
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let by_bare = (named.keys.is_empty() && bare.keys.contains(&shown.key)) || bare.vouches(&shown, host, now);
        if self.fingerprints.contains(&fingerprint) || by_bare {
            return Judgement::Trusted;
        }
        if self.fingerprints.is_empty() && self.known.says_nothing() { Judgement::Unknown } else { Judgement::Mismatch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use russh::keys::ssh_key::certificate::{Builder, CertType};
    use russh::keys::{Algorithm, PrivateKey, key::safe_rng};

    fn key() -> PrivateKey {
        PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()
    }

    fn line(hosts: &str, key: &PrivateKey) -> String {
        format!("{hosts} {}\n", key.public_key().to_openssh().unwrap())
    }

    fn judge(text: &str, host: &str, port: u16, key: &PrivateKey) -> Judgement {
        let keys = HostKeys { known: KnownHosts::parse(text.as_bytes(), host, port).unwrap(), ..HostKeys::default() };
        keys.judge(&key.public_key().clone().into(), host, 1_000)
    }

    #[test]
    fn plain_names_ports_wildcards_and_negations_are_understood() {
        let (good, other) = (key(), key());
        let text = format!("# note\nbroken line\n{}{}", line("web1,192.0.2.1", &good), line("[gw]:2222", &other));
        assert_eq!(judge(&text, "web1", 22, &good), Judgement::Trusted);
        assert_eq!(judge(&text, "WEB1", 22, &good), Judgement::Trusted);
        assert_eq!(judge(&text, "web1", 22, &other), Judgement::Mismatch);
        assert_eq!(judge(&text, "gw", 22, &other), Judgement::Unknown);
        assert_eq!(judge(&text, "gw", 2222, &other), Judgement::Trusted);
        let text = line("*.example.net,!bad.example.net", &good);
        assert_eq!(judge(&text, "a.example.net", 22, &good), Judgement::Trusted);
        assert_eq!(judge(&text, "bad.example.net", 22, &good), Judgement::Unknown);
    }

    #[test]
    fn a_revoked_key_is_refused_even_where_it_is_on_record() {
        let good = key();
        let text = format!("{}{}", line("web1", &good), line("@revoked *", &good));
        assert_eq!(judge(&text, "web1", 22, &good), Judgement::Revoked);
        let fingerprint = good.public_key().fingerprint(HashAlg::Sha256).to_string();
        for (text, host, port, shown) in [
            (text.clone(), "web1", 22, false),
            (format!("{}{}", line("web1", &good), line("@revoked web1", &good)), "web1", 2222, false),
            (format!("{}{}", line("[web1]:2222", &good), line("@revoked web1", &good)), "web1", 2222, true),
            (format!("{}{}", line("web1", &good), line("@revoked web1", &key())), "web1", 22, true),
        ] {
            let known = KnownHosts::parse(text.as_bytes(), host, port).unwrap();
            assert_eq!(known.fingerprints().any(|found| found == fingerprint), shown, "{text}");
            assert!(known.revoked().count() == 1 && known.authorities().count() == 0, "{text}");
        }
    }

    /// What `ssh` of OpenSSH 9.2 made of such files, for `[h]:2222`, whose key is `right` and has a certificate of `authority` where
    /// one is shown. Each line is a marker and a name with the key behind it.
    #[test]
    fn a_line_without_a_port_counts_where_none_with_it_does() {
        let (right, other, authority, stranger) = (key(), key(), key(), key());
        let of = |name: &str| match name {
            "right" => &right,
            "other" => &other,
            "authority" => &authority,
            _ => &stranger,
        };
        let shown = |with_certificate: bool| -> PublicKeyOrCertificate {
            if !with_certificate {
                return right.public_key().clone().into();
            }
            let mut builder = Builder::new_with_random_nonce(&mut safe_rng(), right.public_key(), 1, 2_000).unwrap();
            builder.cert_type(CertType::Host).unwrap().valid_principal("h").unwrap();
            builder.sign(&authority).unwrap().into()
        };
        let (p, h, ca_p, ca_h) = ("[h]:2222", "h", "@cert-authority [h]:2222", "@cert-authority h");
        let (no_p, no_h) = ("@revoked [h]:2222", "@revoked h");
        for (lines, plain, certified) in [
            (vec![(h, "right")], true, true),
            (vec![(p, "other"), (h, "right")], false, false),
            (vec![(p, "right"), (no_h, "right")], true, true),
            (vec![(h, "right"), (no_h, "right")], false, false),
            (vec![(h, "right"), (no_p, "right")], false, false),
            (vec![(h, "other")], false, false),
            (vec![(h, "other"), (h, "right")], true, true),
            (vec![(ca_h, "authority")], false, true),
            (vec![(ca_p, "authority")], false, true),
            (vec![(ca_p, "stranger"), (ca_h, "authority")], false, true),
            (vec![(ca_p, "authority"), (p, "other")], false, true),
            (vec![(ca_p, "stranger"), (p, "right")], true, true),
            (vec![(p, "other"), (ca_h, "authority")], false, true),
            (vec![(ca_p, "stranger"), (h, "right")], true, true),
            (vec![(ca_p, "authority"), (no_p, "authority")], false, false),
            (vec![(ca_p, "authority"), (no_p, "right")], false, false),
            (vec![(ca_p, "authority"), (no_h, "authority")], false, true),
            (vec![(ca_h, "authority"), (no_h, "authority")], false, false),
            (vec![(p, "right"), ("@revoked *", "authority")], true, false),
        ] {
            let text: String = lines.iter().map(|(hosts, name)| line(hosts, of(name))).collect();
            let known = KnownHosts::parse(text.as_bytes(), "h", 2222).unwrap();
            let keys = HostKeys { known, ..HostKeys::default() };
            let trusts = |with| keys.judge(&shown(with), "h", 1_000) == Judgement::Trusted;
            assert_eq!((trusts(false), trusts(true)), (plain, certified), "{lines:?}");
        }
    }

    #[test]
    fn blanks_and_bytes_of_other_lines_change_nothing() {
        let good = key();
        let odd = line("web1", &good).replacen(' ', " \t ", 2);
        let text = [b"# b\xfcro\n\xff\xfe web9\n".as_slice(), odd.as_bytes()].concat();
        let known = KnownHosts::parse(&text, "web1", 22).unwrap();
        assert_eq!(known.kinds().collect::<Vec<_>>(), ["ssh-ed25519"]);
        let keys = HostKeys { known, ..HostKeys::default() };
        assert_eq!(keys.judge(&good.public_key().clone().into(), "web1", 0), Judgement::Trusted);
        for revoked in ["@revoked *  ", "@revoked\t*\t", "@revoked   web1 \t"] {
            let text = format!("{odd}{revoked}{}", good.public_key().to_openssh().unwrap());
            assert_eq!(judge(&text, "web1", 22, &good), Judgement::Revoked, "{revoked:?}");
        }
    }

    #[test]
    fn a_revocation_that_is_not_understood_lets_nobody_in_that_it_may_be_about() {
        let good = line("web1", &key());
        for (more, host, refused) in [
            ("@revoked * ssh-ed25519 AAAA\n", "web1", true),
            ("@revoked web1 ssh-ed25519\n", "web1", true),
            ("@revoked web1 ssh-ed25519\n", "web2", false),
            ("@Revoked web1 ssh-ed25519 AAAA\n", "web2", true),
            ("@revokd web1 ssh-ed25519 AAAA\n", "web1", false),
            ("web1 ssh-ed25519 AAAA\n", "web1", false),
        ] {
            let found = KnownHosts::parse(format!("{good}{more}").as_bytes(), host, 22);
            assert_eq!(found.is_err(), refused, "{more} {host}: {found:?}");
            assert!(found.err().is_none_or(|why| why.contains("line 2")), "{more}");
        }
    }

    fn certificate(authority: &PrivateKey, host: &str, until: u64, kind: CertType) -> PublicKeyOrCertificate {
        let mut builder = Builder::new_with_random_nonce(&mut safe_rng(), key().public_key(), 1, until).unwrap();
        builder.cert_type(kind).unwrap().valid_principal(host).unwrap();
        builder.sign(authority).unwrap().into()
    }

    #[test]
    fn a_certificate_counts_only_by_its_authority_for_its_host_and_time() {
        let (authority, stranger) = (key(), key());
        let known = KnownHosts::parse(line("@cert-authority *.lab", &authority).as_bytes(), "a.lab", 22).unwrap();
        let keys = HostKeys { known, ..HostKeys::default() };
        let judge = |shown: &PublicKeyOrCertificate| keys.judge(shown, "a.lab", 1_000);
        assert_eq!(judge(&certificate(&authority, "a.lab", 2_000, CertType::Host)), Judgement::Trusted);
        assert_eq!(judge(&certificate(&authority, "b.lab", 2_000, CertType::Host)), Judgement::Mismatch);
        assert_eq!(judge(&certificate(&authority, "a.lab", 500, CertType::Host)), Judgement::Mismatch);
        assert_eq!(judge(&certificate(&authority, "a.lab", 2_000, CertType::User)), Judgement::Mismatch);
        assert_eq!(judge(&certificate(&stranger, "a.lab", 2_000, CertType::Host)), Judgement::Mismatch);
    }

    #[test]
    fn fingerprints_of_config_and_vault_count() {
        let good = key();
        let fingerprint = good.public_key().fingerprint(HashAlg::Sha256).to_string();
        let keys = HostKeys { fingerprints: vec![fingerprint], ..HostKeys::default() };
        assert_eq!(keys.judge(&good.public_key().clone().into(), "x", 0), Judgement::Trusted);
        assert_eq!(keys.judge(&key().public_key().clone().into(), "x", 0), Judgement::Mismatch);
    }
}
