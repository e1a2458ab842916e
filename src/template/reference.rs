//! What each command means: the one source of the reference's table, of the examples in messages, and of `--explain`.

use super::web::WEB_REFERENCE;

/// A command of the language.
#[derive(Debug)]
pub struct Entry {
    /// Its names: the first is the usual one.
    pub names: &'static [&'static str],
    /// What stands behind it.
    pub argument: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// A line with it.
    pub example: &'static str,
}

pub(super) const fn entry(
    names: &'static [&'static str],
    argument: &'static str,
    meaning: &'static str,
    example: &'static str,
) -> Entry {
    Entry { names, argument, meaning, example }
}

/// All commands.
pub const REFERENCE: &[Entry] = &[
    entry(&["set-ssh-version"], "2", "accepted; 1 is an error", "set-ssh-version 2"),
    entry(
        &["set-connect-timeout"],
        "SECONDS",
        "bound on connect and handshake; the device's `connect_timeout` is a floor",
        "set-connect-timeout 10",
    ),
    entry(&["set-read-timeout"], "SECONDS", "bound on each wait from here on; 5 s", "set-read-timeout 15"),
    entry(&["set-new-line-mode"], "unix|windows|mac", "what `exec` ends a line with", "set-new-line-mode windows"),
    entry(
        &["set-prompt"],
        "\"TEXT\"",
        "each `exec` first waits until this is the last thing on the screen",
        "set-prompt \"#\"",
    ),
    entry(&["exec"], "\"TEXT\"", "send a line", "exec \"passwd [#USERNAME#]\""),
    entry(&["write", "send"], "\"TEXT\"", "send without a line end", "write \"q\""),
    entry(&["expect"], "\"GLOB\"", "wait; `*` is any run of characters, line ends too", "expect \"*New password:\""),
    entry(
        &["expect-regex"],
        "\"RE\"",
        "wait; `RE` or `/RE/flags`, flags `i`, `m`, `s`; linear time, so no look-around and no back-references",
        "expect-regex \"/[>#] ?$/\"",
    ),
    entry(&["read"], "\"TEXT\"", "wait for exactly this", "read \"Password: \""),
    entry(
        &["no-expect", "noexpect", "not-expect"],
        "\"GLOB\"",
        "fail if it is seen in the answer to the last line sent",
        "no-expect \"*denied*\"",
    ),
    entry(
        &["no-expect-regex"],
        "\"RE\"",
        "the same by a regular expression; with the flag `m`, `^` is where a line of the answer begins",
        "no-expect-regex \"/^(% |ERROR:)/m\"",
    ),
    entry(&["sleep"], "SECONDS", "wait, whatever comes", "sleep 1.5"),
    entry(
        &["login-prompt"],
        "\"GLOB\" \"TEXT\"",
        "answer a prompt of the SSH login itself",
        "login-prompt \"*Domain:\" \"[#DOMAIN#]\"",
    ),
    entry(
        &["info"],
        "KEY \"VALUE\"",
        "what the template is for; `password-symbols`, `password-max-length` and `password-min-length` are what the device takes, `changes` says whose password is changed, `detect` what such a device shows; see below",
        "info password-max-length \"32\"",
    ),
    entry(
        &["fail"],
        "\"TEXT\"",
        "end the run as failed; behind the commit point: the device refuses the new password",
        "fail \"this account may not change its own password\"",
    ),
    entry(&["section"], "NAME", "the lines that follow are of that part, see below", "section reconcile"),
    entry(&["choose"], "", "branches begin, see below", "choose"),
    entry(&["when"], "\"GLOB\"", "a branch: what to do where this comes", "when \"*ew password:\""),
    entry(&["when-regex"], "\"RE\"", "a branch, by a regular expression", "when-regex \"/new password: ?$/i\""),
    entry(
        &["when-closed"],
        "",
        "a branch: the device closes the session after the new password was sent",
        "when-closed",
    ),
    entry(&["end-choose"], "", "branches end", "end-choose"),
    entry(&["answer"], "\"GLOB\" \"TEXT\"", "a standing answer, see below", "answer \"*--More--*\" \" \""),
    entry(&["end"], "", "finish", "end"),
];

impl Entry {
    /// The command of a name, of terminal templates or else of web templates.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        REFERENCE.iter().chain(WEB_REFERENCE).find(|entry| entry.names.contains(&name))
    }

    /// How it is written: its usual name and what stands behind.
    #[must_use]
    pub fn usage(&self) -> String {
        format!("{} {}", self.names[0], self.argument).trim_end().to_owned()
    }
}
