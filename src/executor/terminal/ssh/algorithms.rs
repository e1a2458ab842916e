//! Which algorithms are offered, and what is told where a device has none of them.

use std::time::Duration;

use russh::client::{self, GexParams};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{AlgorithmKind, Preferred, cipher, kex, mac};

use crate::dialogue::shown_prompt;
use crate::executor::terminal::hostkeys::HostKeys;

/// Bits of the groups that are asked for in group exchange: at least, best, at most. RFC 8270 forbids less than 2048, and
/// that is all some devices have; more than 4096 as the best makes some of old fail.
const GROUP_BITS: (usize, usize, usize) = (2048, 3072, 8192);

/// The curves of NIST (RFC 5656) are no algorithms of old, though the library leaves them out: many devices have nothing
/// better.
const CURVES: [kex::Name; 3] = [kex::ECDH_SHA2_NISTP256, kex::ECDH_SHA2_NISTP384, kex::ECDH_SHA2_NISTP521];
/// A fixed group first: what a device of old picks for group exchange may be too small.
const OLD_KEX: [kex::Name; 3] = [kex::DH_G14_SHA1, kex::DH_GEX_SHA1, kex::DH_G1_SHA1];
const OLD_CIPHERS: [cipher::Name; 4] =
    [cipher::AES_256_CBC, cipher::AES_192_CBC, cipher::AES_128_CBC, cipher::TRIPLE_DES_CBC];
const OLD_MACS: [mac::Name; 2] = [mac::HMAC_SHA1_ETM, mac::HMAC_SHA1];
const OLD_KEYS: [Algorithm; 2] = [Algorithm::Rsa { hash: None }, Algorithm::Dsa];

/// Whether algorithms of old are offered, after the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Modern,
    WithLegacy,
}

impl Offer {
    pub(super) fn with(legacy_algorithms: bool) -> Self {
        if legacy_algorithms { Self::WithLegacy } else { Self::Modern }
    }
}

/// The kind of key with which an algorithm signs: that of RSA has several algorithms (RFC 8332).
fn kind_of(algorithm: &Algorithm) -> &str {
    match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa",
        other => other.as_str(),
    }
}

/// Puts the kinds of the keys on record first, as ssh does: a server shows the first kind that it has, and another of its keys than
/// the one on record proves nothing (sshconnect2.c, order_hostkeyalgs).
fn on_record_first(keys: &mut Vec<Algorithm>, host_keys: &HostKeys) {
    if let Some(only) = host_keys.only {
        keys.retain(|key| kind_of(key).starts_with(only));
    }
    keys.sort_by_key(|key| !host_keys.known_kinds().any(|known| known == kind_of(key)));
}

fn preferred(offer: Offer, host_keys: &HostKeys) -> Preferred {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
    let mut keys = vec![
        Algorithm::Ed25519,
        ecdsa(EcdsaCurve::NistP256),
        ecdsa(EcdsaCurve::NistP384),
        ecdsa(EcdsaCurve::NistP521),
        rsa(HashAlg::Sha512),
        rsa(HashAlg::Sha256),
    ];
    let certificates = if host_keys.has_authorities() { keys.clone() } else { Vec::new() };
    let modern = Preferred::DEFAULT;
    let mut kex = [modern.kex.as_ref(), &CURVES].concat();
    let (mut ciphers, mut macs) = (modern.cipher.to_vec(), modern.mac.to_vec());
    if offer == Offer::WithLegacy {
        keys.extend(OLD_KEYS);
        kex.extend(OLD_KEX);
        ciphers.extend(OLD_CIPHERS);
        macs.extend(OLD_MACS);
    }
    on_record_first(&mut keys, host_keys);
    Preferred {
        kex: kex.into(),
        key: keys.into(),
        host_key_certificates: certificates.into(),
        cipher: ciphers.into(),
        mac: macs.into(),
        ..modern
    }
}

/// How a connection is made.
pub(super) fn ssh_config(offer: Offer, host_keys: &HostKeys) -> client::Config {
    let (least, best, most) = GROUP_BITS;
    client::Config {
        preferred: preferred(offer, host_keys),
        gex: GexParams::new(least, best, most).unwrap_or_default(),
        nodelay: true,
        // A peer that vanished is noticed within a minute.
        keepalive_interval: Some(Duration::from_secs(15)),
        keepalive_max: 3,
        window_size: 256 * 1024,
        channel_buffer_size: 16,
        ..client::Config::default()
    }
}

/// The names that are offered for one kind of algorithm, without those that only announce an extension.
fn names(offer: Offer, kind: &AlgorithmKind) -> Vec<String> {
    let preferred = preferred(offer, &HostKeys::default());
    let text = |name: &str| name.to_owned();
    match kind {
        AlgorithmKind::Kex => {
            preferred.kex.iter().map(|name| text(name.as_ref())).filter(|name| !is_notice(name)).collect()
        }
        AlgorithmKind::Key => preferred.key.iter().map(ToString::to_string).collect(),
        AlgorithmKind::Cipher => preferred.cipher.iter().map(|name| text(name.as_ref())).collect(),
        AlgorithmKind::Mac => preferred.mac.iter().map(|name| text(name.as_ref())).collect(),
        AlgorithmKind::Compression => preferred.compression.iter().map(|name| text(name.as_ref())).collect(),
    }
}

/// Names in the list of key exchanges that are none (RFC 8308; OpenSSH's PROTOCOL, "strict key exchange").
fn is_notice(name: &str) -> bool {
    name.starts_with("ext-info-") || name.starts_with("kex-strict-")
}

/// Says which kind of algorithm has nothing in common with what the device offers, and what helps.
pub(super) fn nothing_in_common(offer: Offer, kind: &AlgorithmKind, theirs: &[String]) -> String {
    let what = match kind {
        AlgorithmKind::Kex => "key exchange",
        AlgorithmKind::Key => "host key algorithm",
        AlgorithmKind::Cipher => "cipher",
        AlgorithmKind::Mac => "MAC",
        AlgorithmKind::Compression => "compression",
    };
    let theirs: Vec<&str> = theirs.iter().map(String::as_str).filter(|name| !is_notice(name)).collect();
    let offered = shown_prompt(&theirs.join(", "), 400);
    let old = names(Offer::WithLegacy, kind);
    let helps = offer == Offer::Modern && theirs.iter().any(|name| old.iter().any(|known| known == name));
    let advice = if helps {
        "set legacy_algorithms = true on this device, or enable a newer one there".to_owned()
    } else {
        format!("enable one of these on the device: {}", names(offer, kind).join(", "))
    };
    format!("no {what} in common; the device offers only {offered}; {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_of_keys_on_record_are_asked_for_first() {
        let first = |kinds: &[&str], only: Option<&'static str>| {
            let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            let keys = HostKeys { kinds, only, ..HostKeys::default() };
            preferred(Offer::Modern, &keys).key.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(first(&[], None)[0], "ssh-ed25519");
        assert_eq!(first(&["ssh-rsa"], None)[..3], ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]);
        assert_eq!(first(&["ecdsa-sha2-nistp384"], None)[..2], ["ecdsa-sha2-nistp384", "ssh-ed25519"]);
        assert_eq!(first(&["ssh-rsa", "ssh-ed25519"], None)[..3], ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"]);
        assert_eq!(first(&[], Some("ssh-rsa")), ["rsa-sha2-512", "rsa-sha2-256"]);
        assert_eq!(first(&[], Some("ecdsa")).len(), 3);
        assert_eq!(first(&["ssh-rsa"], None).len(), first(&[], None).len());
    }

    fn hint(offer: Offer, kind: AlgorithmKind, theirs: &[&str]) -> String {
        nothing_in_common(offer, &kind, &theirs.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_hint_names_kind_and_offer_and_advises_the_setting_only_where_it_helps() {
        let old = hint(Offer::Modern, AlgorithmKind::Cipher, &["3des-cbc", "arcfour"]);
        assert!(old.contains("no cipher in common") && old.contains("3des-cbc, arcfour"), "{old}");
        assert!(old.contains("legacy_algorithms = true"), "{old}");
        let on = hint(Offer::WithLegacy, AlgorithmKind::Cipher, &["arcfour"]);
        assert!(!on.contains("legacy_algorithms") && on.contains("3des-cbc"), "{on}");
        let none = hint(Offer::Modern, AlgorithmKind::Mac, &["hmac-md5"]);
        assert!(!none.contains("legacy_algorithms") && none.contains("no MAC in common"), "{none}");
        let kex =
            hint(Offer::Modern, AlgorithmKind::Kex, &["diffie-hellman-group1-sha1", "kex-strict-s-v00@openssh.com"]);
        assert!(kex.contains("only diffie-hellman-group1-sha1;") && !kex.contains("kex-strict"), "{kex}");
        let key = hint(Offer::Modern, AlgorithmKind::Key, &["ssh-dss", "ssh-rsa"]);
        assert!(key.contains("no host key algorithm") && key.contains("legacy_algorithms"), "{key}");
    }

    #[test]
    fn algorithms_of_old_are_offered_only_where_they_are_wanted_and_after_the_others() {
        for kind in [AlgorithmKind::Kex, AlgorithmKind::Key, AlgorithmKind::Cipher, AlgorithmKind::Mac] {
            let (modern, all) = (names(Offer::Modern, &kind), names(Offer::WithLegacy, &kind));
            assert_eq!(modern, all[..modern.len()], "{kind:?}");
            assert!(all.len() > modern.len());
            let old = |name: &String| {
                name.ends_with("sha1") || name.ends_with("-cbc") || name == "ssh-rsa" || name == "ssh-dss"
            };
            assert!(!modern.iter().any(old), "{modern:?}");
        }
        assert_eq!(names(Offer::Modern, &AlgorithmKind::Compression), ["none"]);
    }

    #[test]
    fn groups_of_2048_bits_are_taken() {
        assert_eq!(ssh_config(Offer::Modern, &HostKeys::default()).gex.min_group_size(), 2048);
    }
}
