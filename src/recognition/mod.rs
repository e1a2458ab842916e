//! Which system a device runs, told by what it shows: its SSH version string and banners, its prompt, and the answer to one command
//! that only reads. From that follow the templates to offer for it, each with the reason. Pure.

mod systems;

use regex::{Regex, RegexBuilder};

use crate::template::Checked;

pub use systems::{Prompt, SYSTEMS, System};

/// What a device has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// SSH version string, lines before it, banners.
    pub greeting: String,
    /// What it printed before anything was sent; its last line is the prompt.
    pub welcome: String,
    /// The command that was sent; `None` where none was known to be harmless.
    pub command: Option<&'static str>,
    /// What it printed after that.
    pub answer: String,
}

/// A template that may fit, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The template's name.
    pub template: String,
    /// Why, for people.
    pub reason: String,
}

impl Evidence {
    /// The last line with something in it before a command was sent.
    #[must_use]
    pub fn prompt(&self) -> &str {
        last_line(&self.welcome)
    }

    /// The SSH version string, without control characters.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        let line = self.greeting.lines().find(|line| line.starts_with("SSH-"))?;
        Some(line.chars().filter(|c| !c.is_control()).take(80).collect())
    }

    /// All of it, as the `info detect` lines of templates look at it.
    fn all(&self) -> String {
        [self.greeting.as_str(), &self.welcome, &self.answer].join("\n")
    }
}

fn last_line(text: &str) -> &str {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

/// An expression of the tables; what is written there is checked by a test.
fn expression(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).case_insensitive(true).multi_line(true).build().ok()
}

fn matches(text: &str, pattern: &str) -> bool {
    expression(pattern).is_some_and(|expression| expression.is_match(text))
}

/// The command that reads what the system is and changes nothing, by the form of the prompt; `None` where the prompt is not
/// known: nothing is sent then.
#[must_use]
pub fn harmless_command(prompt: &str) -> Option<&'static str> {
    let prompt = prompt.trim();
    systems::PROMPTS.iter().find(|known| matches(prompt, known.form)).and_then(|known| known.command)
}

/// The templates that may fit, the best first. `library` gives each template's name and, where it has no errors, itself.
#[must_use]
pub fn offers<'a>(evidence: &Evidence, library: impl Iterator<Item = (&'a str, &'a Checked)>) -> Vec<Offer> {
    let all = evidence.all();
    let mut found: Vec<(u8, usize, Offer)> = Vec::new();
    let known = systems_shown(evidence);
    for (path, template) in library {
        let name = path.rsplit('/').next().unwrap_or(path);
        let detected = template.fits(&all) == Some(true);
        let system = known.iter().enumerate().find_map(|(rank, (system, why))| {
            let place = system.templates.iter().position(|known| *known == name)?;
            Some((rank * 16 + place, why))
        });
        let (weight, place, reason) = match (system, detected) {
            (Some((place, why)), detected) => (if detected { 3 } else { 2 }, place, why.clone()),
            (None, true) => (1, usize::MAX, told_version(evidence, template)),
            (None, false) => continue,
        };
        found.push((weight, place, Offer { template: name.to_owned(), reason }));
    }
    // What the system itself says decides before what its SSH server is called.
    found.sort_by(|a, b| b.0.min(2).cmp(&a.0.min(2)).then(a.1.cmp(&b.1)).then(b.0.cmp(&a.0)));
    found.into_iter().map(|(_, _, offer)| offer).collect()
}

fn told_version(evidence: &Evidence, template: &Checked) -> String {
    let kind: Vec<&str> = ["vendor", "product"].iter().filter_map(|key| template.info(key)).collect();
    let version = evidence.version().map_or_else(String::new, |version| format!(": it calls itself \"{version}\""));
    format!("what the device shows is what the template's 'info detect' expects of {}{version}", kind.join(" "))
}

/// The systems of the table that the evidence tells of, the most specific first, with the reason.
fn systems_shown(evidence: &Evidence) -> Vec<(&'static System, String)> {
    let welcome = [evidence.greeting.as_str(), &evidence.welcome].join("\n");
    SYSTEMS
        .iter()
        .filter_map(|system| {
            let by_answer = evidence.command.filter(|_| !system.answer.is_empty()).and_then(|command| {
                let found = expression(system.answer)?.find(&evidence.answer)?;
                Some(format!(
                    "it is {}: '{command}' answers \"{}\"",
                    system.name,
                    line_of(&evidence.answer, found.start())
                ))
            });
            let by_welcome = || {
                let found = expression(system.welcome).filter(|_| !system.welcome.is_empty())?.find(&welcome)?;
                Some(format!("it is {}: it shows \"{}\"", system.name, line_of(&welcome, found.start())))
            };
            by_answer.or_else(by_welcome).map(|why| (system, why))
        })
        .collect()
}

/// The line that a place in a text is in, bounded, without control characters.
fn line_of(text: &str, at: usize) -> String {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or_default().trim();
    line.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn shown(version: &str, welcome: &str, answer: &str) -> Evidence {
        let command = harmless_command(last_line(welcome));
        Evidence { greeting: version.into(), welcome: welcome.into(), command, answer: answer.into() }
    }

    /// The names of what is offered from the shipped templates.
    fn offered(evidence: &Evidence) -> Vec<String> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let files = crate::config::template_files(&dir);
        let loaded: Vec<(String, Checked)> = files
            .iter()
            .filter_map(|file| {
                let name = file.strip_prefix(&dir).unwrap().with_extension("").to_string_lossy().into_owned();
                Some((name, crate::config::load_file(file).0?))
            })
            .collect();
        assert!(loaded.len() > 100, "the shipped templates are not found");
        let offers = offers(evidence, loaded.iter().map(|(name, template)| (name.as_str(), template)));
        assert!(offers.iter().all(|offer| !offer.reason.is_empty()));
        offers.into_iter().map(|offer| offer.template).collect()
    }

    #[test]
    fn a_command_is_sent_only_at_a_prompt_whose_kind_is_known() {
        for (prompt, expected) in [
            ("admin@web1:~$", Some("uname -a")),
            ("[root@web1 ~]#", Some("uname -a")),
            ("$", Some("uname -a")),
            ("root@OpenWrt:/#", Some("uname -a")),
            ("freebsd% ", Some("uname -a")),
            ("core-1#", Some("show version")),
            ("core-1>", Some("show version")),
            ("RP/0/RSP0/CPU0:edge#", Some("show version")),
            ("admin@srx>", Some("show version")),
            ("<core-1>", Some("display version")),
            ("[admin@MikroTik] >", Some("/system resource print")),
            ("FGT60 #", Some("get system status")),
            ("PS C:\\Users\\admin>", Some("ver")),
            ("C:\\Users\\admin>", Some("ver")),
            ("Please choose [1-9]:", None),
            ("Enter new password:", None),
            ("Password:", None),
            ("", None),
        ] {
            let expected = if prompt.starts_with("PS ") { Some("$PSVersionTable") } else { expected };
            assert_eq!(harmless_command(prompt), expected, "{prompt}");
        }
    }

    #[test]
    fn the_template_of_a_known_system_is_offered_first() {
        for (version, welcome, answer, expected) in [
            (
                "SSH-2.0-OpenSSH_9.2p1 Debian-2",
                "admin@web1:~$ ",
                "Linux web1 6.1.0 x86_64 GNU/Linux\nadmin@web1:~$ ",
                "linux-passwd",
            ),
            ("SSH-2.0-OpenSSH_9.6", "[root@web1 ~]# ", "Linux web1 5.14.0 x86_64\n[root@web1 ~]# ", "linux-passwd"),
            ("SSH-2.0-Cisco-1.25", "core-1>", "Cisco IOS Software, C2960 Software\ncore-1>", "cisco-ios-with-enable"),
            ("SSH-2.0-Cisco-1.25", "core-1#", "Cisco IOS Software, C2960 Software\ncore-1#", "cisco-ios"),
            (
                "SSH-2.0-Cisco-2.0",
                "RP/0/RSP0/CPU0:e#",
                "Cisco IOS XR Software, Version 7.3\nRP/0/RSP0/CPU0:e#",
                "cisco-iosxr",
            ),
            ("SSH-2.0-OpenSSH_7.8", "n9k#", "Cisco Nexus Operating System (NX-OS) Software\nn9k#", "cisco-nxos"),
            ("SSH-2.0-ROSSSH", "[admin@MikroTik] > ", "  platform: MikroTik\n", "mikrotik-routeros"),
            ("SSH-2.0-HUAWEI-1.5", "<core>", "Huawei Versatile Routing Platform Software\n<core>", "huawei-vrp"),
            ("SSH-2.0-Comware-7.1.064", "<core>", "HPE Comware Software, Version 7.1.064\n<core>", "hpe-comware"),
            ("SSH-2.0-OpenSSH_9.5 FreeBSD-20231004", "admin@bsd:~ $ ", "FreeBSD bsd 14.0\n", "freebsd-passwd"),
            ("SSH-2.0-OpenSSH_9.6", "bsd$ ", "OpenBSD bsd 7.5 GENERIC amd64\nbsd$ ", "openbsd-passwd"),
            ("SSH-2.0-x", "FGT60 # ", "Version: FortiGate-60F v7.2.5\nFGT60 # ", "fortinet-fortios"),
            ("SSH-2.0-OpenSSH_8.1", "admin@pa> ", "Hostname: pa\nmodel: PA-220\n", "paloalto-panos"),
            ("SSH-2.0-OpenSSH_7.5", "admin@srx> ", "Hostname: srx\nModel: srx300\nJunos: 21.2R3\n", "juniper-junos"),
            ("SSH-2.0-OpenSSH_8.0", "sw1>", "Arista DCS-7050SX-64\nsw1>", "arista-eos"),
            (
                "SSH-2.0-dropbear",
                "BusyBox v1.36\n OpenWrt 23.05\nroot@OpenWrt:~# ",
                "Linux OpenWrt 5.15 mips GNU/Linux\n",
                "openwrt-passwd",
            ),
        ] {
            let found = offered(&shown(version, welcome, answer));
            assert_eq!(found.first().map(String::as_str), Some(expected), "{version} {answer}: {found:?}");
        }
    }

    #[test]
    fn the_version_string_alone_tells_of_some_and_nothing_is_offered_for_what_nobody_knows() {
        let found = offered(&shown("SSH-2.0-ROSSSH", "a menu: choose:", ""));
        assert_eq!(found, ["mikrotik-routeros"]);
        assert!(offered(&shown("SSH-2.0-OpenSSH_9.2", "choose [1-4]:", "")).is_empty());
    }

    #[test]
    fn every_expression_of_the_tables_is_one_and_every_template_is_shipped() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let shipped: Vec<String> = crate::config::template_files(&dir)
            .iter()
            .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        for system in SYSTEMS {
            for pattern in [system.answer, system.welcome] {
                assert!(expression(pattern).is_some(), "{pattern}");
            }
            for template in system.templates {
                assert!(shipped.iter().any(|known| known == template), "{template}");
            }
        }
        assert!(systems::PROMPTS.iter().all(|prompt| expression(prompt.form).is_some()));
    }
}
