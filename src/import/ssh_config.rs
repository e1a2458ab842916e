//! OpenSSH's client: its configuration (ssh_config(5)), and its `known_hosts`.

use super::Found;
use super::entry::{Address, Entry, HostKey, LeftOut, LeftOver, Revocation};
use crate::known_hosts::{Line, Marker, Unclear, lines};

/// A block: the patterns of its `Host` line, and its options.
struct Block {
    patterns: Vec<String>,
    options: Vec<(String, String)>,
}

/// A line's keyword, in lower case, and its value without quotes.
fn option(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find([' ', '\t', '='])?;
    let value = line[end..].trim_start_matches([' ', '\t']).trim_start_matches('=').trim();
    Some((line[..end].to_ascii_lowercase(), value.trim_matches('"').to_owned()))
}

/// Whether it begins as such a file does.
pub(super) fn is_one(text: &str) -> bool {
    let mut options = text.lines().filter_map(option);
    options.any(|(keyword, _)| keyword == "host")
        && text.lines().filter_map(option).any(|(keyword, _)| keyword == "hostname")
}

/// Whether a pattern of ssh_config(5), with `*` and `?`, matches a name.
fn matches(pattern: &str, name: &str) -> bool {
    crate::model::glob_match(pattern, name)
}

impl Block {
    fn is_for(&self, name: &str) -> bool {
        let (not, yes): (Vec<_>, Vec<_>) = self.patterns.iter().partition(|pattern| pattern.starts_with('!'));
        yes.iter().any(|pattern| matches(pattern, name)) && !not.iter().any(|pattern| matches(&pattern[1..], name))
    }
}

pub(super) fn read(text: &str) -> Found {
    let mut found = Found::default();
    let mut blocks = vec![Block { patterns: vec!["*".into()], options: Vec::new() }];
    for (number, (keyword, value)) in
        (1u64..).zip(text.lines()).filter_map(|(number, line)| Some((number, option(line)?)))
    {
        let place = format!("line {number}");
        match keyword.as_str() {
            "host" => blocks.push(Block {
                patterns: value.split([' ', '\t']).map(|it| it.trim_matches('"').to_owned()).collect(),
                options: Vec::new(),
            }),
            // What holds only where a command says so, or for one user, is nobody's in general.
            "match" => {
                found.left_out.push(LeftOut::new(&place, LeftOver::Other("a Match block is not taken over".into())));
                blocks.push(Block { patterns: Vec::new(), options: Vec::new() });
            }
            "include" => {
                let why = "an included file is not read: import it too".into();
                found.left_out.push(LeftOut::new(&place, LeftOver::Other(why)));
            }
            _ => {
                if let Some(block) = blocks.last_mut() {
                    block.options.push((keyword, value));
                }
            }
        }
    }
    let mut names: Vec<&String> = blocks.iter().flat_map(|block| &block.patterns).collect();
    names.retain(|name| !name.contains(['*', '?', '!']));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.as_str()));
    for (number, name) in (1u64..).zip(names) {
        // The first value counts.
        let of = |keyword: &str| {
            let options = blocks.iter().filter(|block| block.is_for(name)).flat_map(|block| &block.options);
            options.clone().find(|(known, _)| known == keyword).map(|(_, value)| value.clone())
        };
        let host = of("hostname").unwrap_or_else(|| name.clone()).replace("%h", name);
        let place = format!("Host {name}");
        let Some(address) = Address::parse(&host) else {
            found.left_out.push(LeftOut::new(&place, LeftOver::Other("its HostName is no address".into())));
            continue;
        };
        let mut notes = Vec::new();
        for (keyword, note) in [
            ("identityfile", "its IdentityFile is not taken over: store the key with 'rotorctl ssh-key set'"),
            ("proxycommand", "its ProxyCommand is not taken over: name the device to go through as 'jump'"),
        ] {
            if of(keyword).is_some_and(|value| value != "none") {
                notes.push(note.to_owned());
            }
        }
        let jump = of("proxyjump").filter(|jump| jump != "none");
        let jump = jump.as_deref().and_then(|jump| jump.rsplit(',').next()).map(|last| {
            let host = last.trim_start_matches("ssh://").rsplit('@').next().unwrap_or(last);
            host.split(':').next().unwrap_or(host).to_owned()
        });
        found.entries.push(Entry {
            place,
            number,
            title: name.clone(),
            address: Some(Address { port: of("port").and_then(|port| port.parse().ok()), ..address }),
            user: of("user"),
            jump,
            notes,
            ..Entry::default()
        });
    }
    found
}

/// Host keys. Which device they are of is found out beside the config, as hashed names can only be compared.
pub(super) fn known_hosts(bytes: &[u8]) -> Found {
    let mut found = Found::default();
    for line in lines(bytes) {
        let (number, why) = match line {
            Ok(Line { line, marker: Marker::Plain, hosts, key }) => {
                found.host_keys.push(HostKey { line: number(line), hosts, key });
                continue;
            }
            Ok(Line { line, marker: Marker::CertAuthority, .. }) => {
                (line, "an authority is not taken over: name the file as known_hosts of the device".to_owned())
            }
            Ok(Line { line, marker: Marker::Revoked, hosts, key }) => {
                found.revocations.push(Revocation { line: number(line), hosts: Some(hosts), key: Some(key) });
                let why = "a revoked key: no device gets it by this import. That rotord refuses it later too, name the file as known_hosts of the device";
                (line, why.to_owned())
            }
            Err(Unclear { line, why, revokes, hosts }) => {
                if revokes {
                    found.revocations.push(Revocation { line: number(line), hosts, key: None });
                }
                (line, why.to_owned())
            }
        };
        found.left_out.push(LeftOut::new(&format!("line {number}"), LeftOver::Other(why)));
    }
    found
}

fn number(line: usize) -> u64 {
    u64::try_from(line).unwrap_or(u64::MAX)
}
