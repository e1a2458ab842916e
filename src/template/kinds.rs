//! What devices of known kinds do, by the commands that they are given, and what a template for them must see to: each table
//! names its source.

use super::ast::{Command, Line, Section, Template, Text};
use super::changes::{Changes, changes};
use super::lint::Found;

/// Commands that save a configuration (RANCID's and oxidized's models, and netmiko's `save_config` of each platform).
const SAVING: &[&str] = &[
    "write memory",
    "write mem",
    "wr mem",
    "wr",
    "write",
    "write file",
    "copy running-config startup-config",
    "copy run start",
    "save",
    "save force",
    "save config",
    "save configuration",
    "save ns config",
    "save sys config",
    "admin save",
];

/// Commands that enter a configuration mode whose changes the next restart loses unless they are saved.
const CONFIGURING: &[&str] = &["configure terminal", "conf t", "config t", "config terminal", "system-view"];

/// Beginnings of commands that create the account that they name where there is none: Cisco's, Arista's and Ruckus' `username`,
/// Comware's and VRP's `local-user`, FortiOS' `edit`, ArubaOS' `mgmt-user`, and `set system login user` of VyOS and EdgeOS
/// (each vendor's command reference). Junos asks for a class as well and PAN-OS for a role, and neither commits without.
const CREATING: &[&str] = &[
    "username [#USERNAME#]",
    "local-user [#USERNAME#]",
    "edit \"[#USERNAME#]\"",
    "edit [#USERNAME#]",
    "mgmt-user [#USERNAME#]",
    "set system login user [#USERNAME#] authentication plaintext-password",
    "user [#USERNAME#] password",
];

/// Programs that take a password at a prompt too, and how: with the password among their arguments, whoever lists the
/// processes sees it (each program's manual page).
const HIDING: &[(&str, &str, &str)] = &[
    ("kcadm", "--new-password", "leave --new-password away: kcadm.sh asks for it"),
    ("htpasswd", " -b", "leave -b away: htpasswd asks for it"),
    ("ldappasswd", " -s ", "use -S: ldappasswd asks for it"),
    ("ipmitool", "set password", "leave it away: ipmitool asks for it"),
    ("net user", "net user", "write * in its place: net asks for it"),
    ("samba-tool", "--newpassword", "leave --newpassword away: samba-tool asks for it"),
    ("redis-cli", " -a ", "use --askpass: redis-cli asks for it"),
    ("sshpass", " -p", "use rotord's own login"),
    ("mysql", "-p", "write -p alone: the client asks for it"),
];

/// Words that fix what an account may do where its password is set.
const RAISING: &[&str] = &[
    "privilege 15",
    "priv 15",
    "privilege-level 15",
    "role network-admin",
    "role sysadmin",
    "role admin",
    "role root",
    " root$",
    "accprofile \"super_admin\"",
    "accprofile super_admin",
    "class super-user",
];

/// Commands and the longest password that what reads them takes whole: Dell's RACADM guide (iDRAC.Users.Password), Intel's IPMI
/// 2.0 specification 22.30 (16 or 20 bytes; 20 are cut by some), Cisco's wireless controller guide, HPE's iLO guide, Oracle's
/// ILOM guide, FRR's `password` line.
const LIMITED: &[(&str, usize)] = &[
    ("racadm set idrac.users", 20),
    ("cfguseradminpassword", 20),
    ("user set password", 16),
    ("config mgmtuser password", 24),
    ("/map1/accounts1/", 39),
    ("set /sp/users/", 16),
];

/// Commands of systems that end the sessions of the account whose password they change: FortiOS and its kin log an
/// administrator out (FortiOS administration guide), AOS-Switch too.
const CLOSING: &[&str] = &["config system admin", "password [#role#]", "password manager", "password operator"];

/// Commands of systems that put a question before the first prompt, and what it ends with: FortiOS' disclaimer
/// (`post-login-banner`), RouterOS' licence. VRP's notice of an initial password is for a person.
const GREETING: &[(&str, &str, &str)] = &[
    ("config system admin", "'a' to accept", "answer \"*(Press 'a' to accept):\" \"a\""),
    ("/user set", "license? [Y/n]:", "answer \"*license? [Y/n]:\" \"n\""),
];

/// Looks a section through for what its commands are known for.
pub(super) fn kinds(section: Section, template: &Template, has_save: bool, has_verify: bool) -> Vec<Found> {
    if !matches!(section, Section::Change | Section::Reconcile) {
        return Vec::new();
    }
    let sends_new = |line: &&Line| line.command.sent().is_some_and(|text| text.has_tag("NEW_PASSWORD"));
    let Some(commit) = template.lines.iter().position(|line| sends_new(&line)) else { return Vec::new() };
    let named = changes(section, template, has_verify) == Changes::Named;
    let mut kinds = Kinds { lines: &template.lines, commit, found: Vec::new() };
    kinds.unsaved(has_save);
    if named {
        kinds.created();
    }
    kinds.shown();
    kinds.raised();
    kinds.limited();
    kinds.closed();
    kinds.greeted();
    kinds.found
}

struct Kinds<'a> {
    lines: &'a [Line],
    /// The place of the line that first sends the new password.
    commit: usize,
    found: Vec<Found>,
}

fn typed(line: &Line) -> Option<&Text> {
    match &line.command {
        Command::Exec(text) | Command::Write(text) => Some(text),
        _ => None,
    }
}

fn is_guard(command: &Command) -> bool {
    matches!(command, Command::NoExpect(_) | Command::NoExpectRegex(..) | Command::Fail(_))
}

impl Kinds<'_> {
    fn warn(&mut self, at: usize, code: &'static str, message: impl Into<String>) {
        if let Some(line) = self.lines.get(at) {
            self.found.push(Found { code, span: line.span.clone(), message: message.into() });
        }
    }

    /// The places of typed lines, with their text in lower case.
    fn typed(&self) -> Vec<(usize, String)> {
        let text = |line: &Line| typed(line).map(|text| text.to_string().to_lowercase());
        self.lines.iter().enumerate().filter_map(|(at, line)| Some((at, text(line)?))).collect()
    }

    fn info(&self, key: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| match &line.command {
            Command::Info(name, value) if name == key => Some(value.as_str()),
            _ => None,
        })
    }

    /// T120 and T121: a change that the next restart of the device takes back.
    fn unsaved(&mut self, has_save: bool) {
        let typed = self.typed();
        let saving =
            typed.iter().find(|(at, text)| *at > self.commit && SAVING.contains(&text.trim())).map(|(at, _)| *at);
        let configures = typed.iter().any(|(_, text)| CONFIGURING.contains(&text.trim()));
        match saving {
            None if configures => {
                let message = "the new password is set in the running configuration, and no line saves it: the next restart of the device brings the old one back; save it behind this, for example with exec \"write memory\"";
                self.warn(self.commit, "T121", message);
            }
            Some(saving) if !has_save => {
                let guard = (self.commit..saving).find(|at| self.lines.get(*at).is_some_and(|l| is_guard(&l.command)));
                if let Some(guard) = guard {
                    let message = "where this stops the run, the device may have the new password all the same, and its configuration is not saved; add a 'section save' that leaves the configuration mode and saves";
                    self.warn(guard, "T120", message);
                }
            }
            _ => {}
        }
    }

    /// T122: a typing error in a name would be a new account.
    fn created(&mut self) {
        if self.info("creates") == Some("account") {
            return;
        }
        let creates = |text: &str| CREATING.iter().any(|begin| text.trim().starts_with(&begin.to_lowercase()));
        let Some((at, _)) = self.typed().into_iter().find(|(_, text)| creates(text)) else { return };
        let looked = self.lines[..at].iter().filter_map(typed).any(|text| text.has_tag("USERNAME"));
        let behind = self.lines[at + 1..].iter().take_while(|line| typed(line).is_none());
        let guarded = behind.filter_map(|line| line.command.texts().first().map(ToString::to_string));
        let tells_new = |text: String| {
            let text = text.to_lowercase();
            ["new ", "added", "created", "does not exist", "not found"].iter().any(|word| text.contains(word))
        };
        if !looked && !guarded.filter(|_| at < self.commit).any(tells_new) {
            let message = "where there is no such account, this creates one: show the account first and wait for what only an existing one has, or refuse what the device says of a new one; or say with info creates \"account\" that it is known";
            self.warn(at, "T122", message);
        }
    }

    /// T123: a password among a program's arguments though the program asks for it.
    fn shown(&mut self) {
        for (at, text) in self.typed() {
            let Some(secret) = text.find("password#]").or_else(|| text.find("password:sh#]")) else { continue };
            let before = &text[..secret];
            let known = HIDING.iter().find(|(program, option, _)| {
                let names = before.trim_start().starts_with(program) || before.contains(&format!(" {program}"));
                let begin = before.rfind("[#").unwrap_or(0);
                names && option_before(&before[..begin], option)
            });
            if let Some((.., instead)) = known {
                let message = format!(
                    "the password stands among a program's arguments, where whoever lists the processes sees it; {instead}"
                );
                self.warn(at, "T123", message);
            }
        }
    }

    /// T124: what the account may do is set along with its password.
    fn raised(&mut self) {
        for (at, text) in self.typed() {
            let names =
                text.contains("[#username#]") && (at == self.commit || at + 4 >= self.commit && at < self.commit);
            let raises = RAISING.iter().any(|words| match words.strip_suffix('$') {
                Some(end) => text.trim_end().ends_with(end),
                None => text.contains(words),
            });
            if names && raises {
                let message = "this sets what the account may do as well, and raises an account that may do less; take it from a field, such as [#PRIVILEGE#] or [#ROLE#], or leave it away";
                self.warn(at, "T124", message);
            }
        }
    }

    /// T125: a password longer than what the device takes.
    fn limited(&mut self) {
        let stated = self.info("password-max-length").and_then(|value| value.parse::<usize>().ok());
        let known = |(at, text): (usize, String)| {
            let (_, most) = LIMITED.iter().find(|(command, _)| text.contains(command))?;
            Some((at, *most))
        };
        let found = self.typed().into_iter().find_map(known);
        if let Some((at, most)) = found.filter(|(_, most)| stated.is_none_or(|stated| stated > *most)) {
            let message = format!(
                "devices with this command take {most} characters at the most, and some cut what is longer without a word; write info password-max-length \"{most}\""
            );
            self.warn(at, "T125", message);
        }
    }

    /// T126: a device that ends the session as the password changes.
    fn closed(&mut self) {
        let closes = |(_, text): &(usize, String)| CLOSING.iter().any(|command| text.starts_with(command));
        let accepted = self.lines.iter().any(|line| line.command == Command::WhenClosed);
        if !accepted && self.typed().iter().any(closes) {
            let message = "such a device may end the session of an account whose own password changed, and the run would fail there; accept it behind the change with a 'when-closed' branch";
            self.warn(self.commit, "T126", message);
        }
    }

    /// T127: a question before the first prompt.
    fn greeted(&mut self) {
        let typed = self.typed();
        for (command, question, answer) in GREETING {
            let Some((at, _)) = typed.iter().find(|(_, text)| text.trim_start_matches('"').starts_with(command)) else {
                continue;
            };
            let expects =
                |line: &Line| line.command.texts().first().is_some_and(|text| text.to_string().contains(question));
            if !self.lines.iter().any(expects) {
                let message = format!(
                    "such a device may ask a question that ends in \"{question}\" before its first prompt, and the run would wait in vain; at the head of the file: {answer}"
                );
                self.warn(*at, "T127", message);
            }
        }
    }
}

/// Whether the option stands right before the password.
fn option_before(before: &str, option: &str) -> bool {
    match option.trim() {
        "-p" => before.ends_with("-p"),
        words if words.starts_with('-') => {
            before.trim_end().trim_end_matches(['=', '\'']).ends_with(words)
                || words == "-b" && before.split_whitespace().any(|word| word.starts_with("-b"))
        }
        words => before.contains(words),
    }
}
