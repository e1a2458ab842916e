//! What else tells of a host key: `known_hosts` files, DNS, other devices. Decided here, gathered elsewhere.

use super::sshfp::Dns;
use crate::control::LookedBody;

/// What a `known_hosts` file says of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileSays {
    pub(super) file: String,
    /// The fingerprints that it has for the host.
    pub(super) fingerprints: Vec<String>,
    /// Those that it forbids.
    pub(super) revoked: Vec<String>,
}

/// Whether something else vouches for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Something that may be trusted has this key for this host.
    Vouched,
    /// Nothing tells of it.
    Unknown,
    /// Something has another key for this host.
    Contradicted,
}

/// What the sources say of a key, line by line, and what follows.
pub(super) fn judge(looked: &LookedBody, files: &[FileSays], dns: &Dns) -> (Standing, Vec<String>) {
    let mut lines = Vec::new();
    let (mut vouched, mut contradicted) = (false, false);
    if looked.known {
        vouched = true;
        lines.push("on record with rotord for this device".to_owned());
    }
    for FileSays { file, fingerprints, revoked } in files {
        if revoked.contains(&looked.fingerprint) {
            contradicted = true;
            lines.push(format!("{file} has REVOKED this key"));
        } else if fingerprints.contains(&looked.fingerprint) {
            vouched = true;
            lines.push(format!("{file} has this key for this host"));
        } else if !fingerprints.is_empty() {
            contradicted = true;
            lines.push(format!("{file} has ANOTHER key for this host: {}", fingerprints.join(", ")));
        }
    }
    match dns {
        Dns::NotAsked => {}
        Dns::Silent(why) => lines.push(format!("DNS (SSHFP) was not heard: {why}")),
        Dns::Says { fingerprints, .. } if fingerprints.is_empty() => {
            lines.push("DNS (SSHFP) has no key of this host".to_owned());
        }
        Dns::Says { fingerprints, validated } => {
            let how = if *validated {
                "validated by DNSSEC"
            } else {
                "not validated: anybody on the way may have written it"
            };
            if fingerprints.contains(&looked.fingerprint) {
                vouched |= validated;
                lines.push(format!("DNS (SSHFP) has this key, {how}"));
            } else {
                contradicted |= validated;
                lines.push(format!("DNS (SSHFP) has ANOTHER key, {how}: {}", fingerprints.join(", ")));
            }
        }
    }
    if !looked.same_key.is_empty() {
        let devices = looked.same_key.join(", ");
        lines.push(format!("the same key is on record for {devices}: one host under two names, or a copied machine"));
    }
    if !looked.same_address.is_empty() {
        lines.push(format!("the config has the same address as {}", looked.same_address.join(", ")));
    }
    if lines.is_empty() {
        lines.push("nothing else tells of this key: no known_hosts file, and no other device".to_owned());
    }
    let standing = match (vouched, contradicted) {
        (_, true) => Standing::Contradicted,
        (true, false) => Standing::Vouched,
        (false, false) => Standing::Unknown,
    };
    (standing, lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked() -> LookedBody {
        LookedBody {
            fingerprint: "SHA256:mine".into(),
            key: String::new(),
            greeting: String::new(),
            same_key: vec![],
            same_address: vec![],
            known: false,
            file: String::new(),
        }
    }

    fn says(fingerprints: &[&str]) -> Vec<FileSays> {
        let fingerprints = fingerprints.iter().map(|text| (*text).to_owned()).collect();
        vec![FileSays { file: "known_hosts".into(), fingerprints, revoked: Vec::new() }]
    }

    fn dns(fingerprint: &str, validated: bool) -> Dns {
        Dns::Says { fingerprints: vec![fingerprint.into()], validated }
    }

    #[test]
    fn a_key_is_vouched_for_by_what_may_be_trusted_and_by_nothing_else() {
        for (files, dns, expected) in [
            (says(&[]), Dns::NotAsked, Standing::Unknown),
            (says(&["SHA256:mine"]), Dns::NotAsked, Standing::Vouched),
            (says(&["SHA256:old", "SHA256:mine"]), Dns::NotAsked, Standing::Vouched),
            (says(&["SHA256:other"]), Dns::NotAsked, Standing::Contradicted),
            (says(&[]), dns("SHA256:mine", true), Standing::Vouched),
            (says(&[]), dns("SHA256:mine", false), Standing::Unknown),
            (says(&[]), dns("SHA256:other", false), Standing::Unknown),
            (says(&["SHA256:mine"]), dns("SHA256:other", true), Standing::Contradicted),
            (says(&[]), Dns::Silent("no answer".into()), Standing::Unknown),
        ] {
            let (standing, lines) = judge(&looked(), &files, &dns);
            assert_eq!(standing, expected, "{files:?} {dns:?}");
            assert!(!lines.is_empty());
        }
        let mut revoked = says(&[]);
        revoked[0].revoked.push("SHA256:mine".into());
        let (standing, lines) = judge(&LookedBody { known: true, ..looked() }, &revoked, &Dns::NotAsked);
        assert!(standing == Standing::Contradicted && lines.concat().contains("REVOKED"), "{lines:?}");
        let on_record = LookedBody { known: true, ..looked() };
        assert_eq!(judge(&on_record, &[], &Dns::NotAsked).0, Standing::Vouched);
        let copied = LookedBody { same_key: vec!["web2".into()], ..looked() };
        let (standing, lines) = judge(&copied, &[], &Dns::NotAsked);
        assert!(
            standing == Standing::Unknown && lines.concat().contains("web2"),
            "another host's key vouches for none"
        );
    }
}
