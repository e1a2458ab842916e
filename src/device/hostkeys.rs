//! Which host keys are trusted: fingerprints of the config, keys stored with `rotorctl trust`, and `known_hosts` files
//! (the format is that of sshd(8), section SSH_KNOWN_HOSTS FILE FORMAT).

use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::ssh_key::{Certificate, Fingerprint};
use russh::keys::{HashAlg, PublicKey, PublicKeyOrCertificate};
use sha1::Sha1;

use crate::model::glob_match;

/// What a `known_hosts` file says of one host.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    keys: Vec<PublicKey>,
    authorities: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
}

/// The keys on record for one device.
#[derive(Debug, Clone, Default)]
pub struct HostKeys {
    /// Fingerprints, `SHA256:…`, of the config and of the vault.
    pub fingerprints: Vec<String>,
    /// What its `known_hosts` file says.
    pub known: KnownHosts,
}

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
    /// Reads what a file says of a host. Lines that cannot be read are passed over, as OpenSSH does.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(file: &Path, host: &str, port: u16) -> std::io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string(file)?, host, port))
    }

    /// Reads what a text says of a host.
    #[must_use]
    pub fn parse(text: &str, host: &str, port: u16) -> Self {
        let host = host.to_lowercase();
        let name = if port == 22 { host } else { format!("[{host}]:{port}") };
        let mut known = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let Ok(entry) = line.parse::<Entry>() else {
                continue;
            };
            if !applies(entry.host_patterns(), &name) {
                continue;
            }
            let list = match entry.marker() {
                Some(Marker::CertAuthority) => &mut known.authorities,
                Some(Marker::Revoked) => &mut known.revoked,
                None => &mut known.keys,
            };
            list.push(entry.public_key().clone());
        }
        known
    }
}

fn applies(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt).is_ok_and(|mut mac| {
            mac.update(name.as_bytes());
            mac.verify_slice(hash).is_ok()
        }),
        HostPatterns::Patterns(patterns) => {
            let matches = |pattern: &str| glob_match(&pattern.to_lowercase(), name);
            let denied = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(matches);
            !denied && patterns.iter().filter(|pattern| !pattern.starts_with('!')).any(|pattern| matches(pattern))
        }
    }
}

fn same(a: &PublicKey, b: &PublicKey) -> bool {
    a.key_data() == b.key_data()
}

impl HostKeys {
    /// Whether certificates of authorities are to be offered.
    #[must_use]
    pub fn has_authorities(&self) -> bool {
        !self.known.authorities.is_empty()
    }

    /// What is thought of a key, given the host's name and the time in seconds since 1970.
    #[must_use]
    pub fn judge(&self, shown: &PublicKeyOrCertificate, host: &str, now: u64) -> Judgement {
        let key = shown.public_key();
        if self.known.revoked.iter().any(|revoked| same(revoked, &key)) {
            return Judgement::Revoked;
        }
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        if self.fingerprints.contains(&fingerprint) || self.known.keys.iter().any(|known| same(known, &key)) {
            return Judgement::Trusted;
        }
        match shown.certificate() {
            Some(certificate) if self.signed_by_revoked(certificate) => Judgement::Revoked,
            Some(certificate) if self.vouches(certificate, host, now) => Judgement::Trusted,
            _ if self.fingerprints.is_empty() && self.known.keys.is_empty() && self.known.authorities.is_empty() => {
                Judgement::Unknown
            }
            _ => Judgement::Mismatch,
        }
    }

    fn signed_by_revoked(&self, certificate: &Certificate) -> bool {
        self.known.revoked.iter().any(|revoked| revoked.key_data() == certificate.signature_key())
    }

    /// Whether an authority on record signed this host certificate, for this host and this time.
    fn vouches(&self, certificate: &Certificate, host: &str, now: u64) -> bool {
        let authorities: Vec<Fingerprint> =
            self.known.authorities.iter().map(|key| key.fingerprint(HashAlg::Sha256)).collect();
        let host = host.to_lowercase();
        certificate.cert_type().is_host()
            && certificate.valid_principals().iter().any(|principal| glob_match(&principal.to_lowercase(), &host))
            && certificate.validate_at(now, authorities.iter()).is_ok()
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
        let keys = HostKeys { fingerprints: Vec::new(), known: KnownHosts::parse(text, host, port) };
        keys.judge(&key.public_key().clone().into(), host, 1_000)
    }

    #[test]
    fn plain_names_ports_wildcards_and_negations_are_understood() {
        let (good, other) = (key(), key());
        let text = format!("# note\nbroken line\n{}{}", line("web1,192.0.2.1", &good), line("[gw]:2222", &other));
        assert_eq!(judge(&text, "web1", 22, &good), Judgement::Trusted);
        assert_eq!(judge(&text, "WEB1", 22, &good), Judgement::Trusted);
        assert_eq!(judge(&text, "web1", 22, &other), Judgement::Mismatch);
        assert_eq!(judge(&text, "web1", 2222, &good), Judgement::Unknown);
        assert_eq!(judge(&text, "gw", 2222, &other), Judgement::Trusted);
        let text = line("*.example.net,!bad.example.net", &good);
        assert_eq!(judge(&text, "a.example.net", 22, &good), Judgement::Trusted);
        assert_eq!(judge(&text, "bad.example.net", 22, &good), Judgement::Unknown);
    }

    #[test]
    fn hashed_names_are_understood() {
        let good = key();
        let salt = [7u8; 20];
        let mut mac = Hmac::<Sha1>::new_from_slice(&salt).unwrap();
        mac.update(b"[web1]:2200");
        let encode = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
        let text = line(&format!("|1|{}|{}", encode(&salt), encode(&mac.finalize().into_bytes())), &good);
        assert_eq!(judge(&text, "web1", 2200, &good), Judgement::Trusted);
        assert_eq!(judge(&text, "web1", 22, &good), Judgement::Unknown);
    }

    #[test]
    fn a_revoked_key_is_refused_even_where_it_is_on_record() {
        let good = key();
        let text = format!("{}{}", line("web1", &good), line("@revoked *", &good));
        assert_eq!(judge(&text, "web1", 22, &good), Judgement::Revoked);
    }

    fn certificate(authority: &PrivateKey, host: &str, until: u64, kind: CertType) -> PublicKeyOrCertificate {
        let mut builder = Builder::new_with_random_nonce(&mut safe_rng(), key().public_key(), 1, until).unwrap();
        builder.cert_type(kind).unwrap().valid_principal(host).unwrap();
        builder.sign(authority).unwrap().into()
    }

    #[test]
    fn a_certificate_counts_only_by_its_authority_for_its_host_and_time() {
        let (authority, stranger) = (key(), key());
        let known = KnownHosts::parse(&line("@cert-authority *.lab", &authority), "a.lab", 22);
        let keys = HostKeys { fingerprints: Vec::new(), known };
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
        let keys = HostKeys { fingerprints: vec![fingerprint], known: KnownHosts::default() };
        assert_eq!(keys.judge(&good.public_key().clone().into(), "x", 0), Judgement::Trusted);
        assert_eq!(keys.judge(&key().public_key().clone().into(), "x", 0), Judgement::Mismatch);
    }
}
