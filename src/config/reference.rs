//! What each key of the config means: the one source of the reference's tables, of rotord.toml(5) and of
//! `rotord check --explain`.

use Absent::{Means, Says, Wrong};

/// A key that may stand in the config.
#[derive(Debug)]
pub struct Key {
    /// The section, as a heading of it is written.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What stands behind it.
    pub value: &'static str,
    /// What holds where it is absent.
    pub absent: Absent,
    /// A value, as TOML.
    pub example: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

/// What holds where a key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// It cannot be left out.
    Wrong,
    /// The same as with this value, as TOML.
    Means(&'static str),
    /// In words.
    Says(&'static str),
}

impl Key {
    /// What holds where it is absent, in words.
    #[must_use]
    pub fn absent(&self) -> &'static str {
        match self.absent {
            Wrong => "it must be there",
            Means(value) => value,
            Says(words) => words,
        }
    }
}

/// What each section is, as a heading of it is written.
pub const SECTIONS: &[(&str, &str)] = &[
    ("[daemon]", "where things are, and how much is done at once"),
    ("[vault]", "the key that opens the vault, and copies of what is in it"),
    ("[access]", "who may do what at the control socket; root and the daemon's own user may do all"),
    (
        "[policy.NAME]",
        "what passwords look like and how often they change; accounts that name none use [policy.default]",
    ),
    ("[device.NAME]", "an SSH device, or with `kind = \"web\"` a web application"),
    ("[account.\"DEVICE/USERNAME\"]", "an account whose password rotord keeps"),
    ("[job.NAME]", "what is done when, to which accounts"),
];

const fn key(
    section: usize,
    name: &'static str,
    value: &'static str,
    absent: Absent,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key { section: SECTIONS[section].0, name, value, absent, example, meaning }
}

const DAEMON: usize = 0;
const VAULT: usize = 1;
const ACCESS: usize = 2;
const POLICY: usize = 3;
const DEVICE: usize = 4;
const ACCOUNT: usize = 5;
const JOB: usize = 6;

const SWITCH: &str = "true or false";
const TIME: &str = "a duration";
const NAMES: &str = "a list of users and, as \"@name\", groups";

/// All keys.
pub const KEYS: &[Key] = &[
    key(
        DAEMON,
        "state_dir",
        "a folder",
        Means("\"/var/lib/rotord\""),
        "\"/var/lib/rotord\"",
        "vault and audit log are here; another folder than this needs ReadWritePaths= in the unit for systemd",
    ),
    key(
        DAEMON,
        "socket",
        "a path",
        Means("\"/run/rotord/control.sock\""),
        "\"/run/rotord/control.sock\"",
        "where rotorctl finds the daemon; what is there and is no socket is not removed",
    ),
    key(
        DAEMON,
        "template_dirs",
        "a list of folders",
        Means("[\"/etc/rotord/templates\", \"/usr/share/rotord/templates\"]"),
        "[\"/etc/rotord/templates\"]",
        "where execution templates are; of two with one name the first one found is used",
    ),
    key(
        DAEMON,
        "timezone",
        "a zone of the IANA database",
        Says("the host's zone; an error where that has no name of the database"),
        "\"Europe/Berlin\"",
        "schedules and windows are read in it",
    ),
    key(DAEMON, "max_concurrent", "a number from 1 to 10000", Means("64"), "64", "rotations at once, over all devices"),
    key(
        DAEMON,
        "browser_socket",
        "a path",
        Means("\"/run/rotord-browser.sock\""),
        "\"/run/rotord-browser.sock\"",
        "where the browsers of web devices are asked for (rotord-browser.socket); without it a daemon that runs as root starts them itself",
    ),
    key(
        VAULT,
        "key_file",
        "a file",
        Means("\"/etc/rotord/vault.key\""),
        "\"/etc/rotord/vault.key\"",
        "the vault key, of mode 0600; 'rotorctl key new' makes it",
    ),
    key(
        VAULT,
        "systemd_credential",
        "a credential's name",
        Says("`key_file` holds"),
        "\"rotord.key\"",
        "the vault key comes from systemd (LoadCredential= or LoadCredentialEncrypted= in the unit) in place of `key_file`",
    ),
    key(
        VAULT,
        "recovery_key",
        "the public half of a recovery key",
        Says("there is none"),
        "\"age1yt3tfqlfrwdwx0z0ynwplcr6qxcxfaqycuprpmy89nr83ltx74tqdpszlw\"",
        "backups may be sealed to it and escrow is; 'rotorctl key recovery' makes one",
    ),
    key(
        VAULT,
        "escrow",
        "a folder",
        Says("nothing is in escrow"),
        "\"/mnt/other-disk/rotord\"",
        "each new password is here, sealed to `recovery_key`, before it is sent; on another disk than `state_dir`. The unit for systemd must allow it with ReadWritePaths=",
    ),
    key(ACCESS, "viewer", NAMES, Means("[]"), "[\"@monitoring\"]", "may read status, history and the audit log"),
    key(
        ACCESS,
        "operator",
        NAMES,
        Means("[]"),
        "[\"@netops\"]",
        "may do that, and rotate, verify, reconcile, pause and resume",
    ),
    key(
        ACCESS,
        "custodian",
        NAMES,
        Means("[]"),
        "[\"alice\"]",
        "may read what a viewer may, and read and store secrets, tokens and keys",
    ),
    key(POLICY, "length", "a number from 8 to 128", Means("24"), "24", "characters of a new password"),
    key(POLICY, "upper", "a number from 0 to 128", Means("2"), "2", "upper-case letters at least"),
    key(POLICY, "lower", "a number from 0 to 128", Means("2"), "2", "lower-case letters at least"),
    key(POLICY, "digits", "a number from 0 to 128", Means("2"), "2", "digits at least"),
    key(POLICY, "symbols", "a number from 0 to 128", Means("2"), "2", "symbols at least; with 0 there are none"),
    key(
        POLICY,
        "symbol_set",
        "characters",
        Means("\"-_.:+=@,\""),
        "\"-_.:+=@,\"",
        "the symbols to choose from; none of those that are used by default means anything to a shell",
    ),
    key(
        POLICY,
        "max_changes_per_day",
        "1 or 2",
        Means("2"),
        "2",
        "changes of an account in any 24 hours, whoever asks for them; never more than two",
    ),
    key(POLICY, "min_age", TIME, Means("\"0s\""), "\"1h\"", "no change before the last one is so old"),
    key(POLICY, "max_age", TIME, Says("never"), "\"90d\"", "'rotorctl status' says that an older password is overdue"),
    key(POLICY, "history", "a number from 0 to 100", Means("5"), "5", "a new password is none of the last so many"),
    key(
        POLICY,
        "attempts",
        "a number from 1 to 20",
        Means("3"),
        "3",
        "tries of a scheduled rotation, as long as nothing was changed",
    ),
    key(POLICY, "retry_after", TIME, Means("\"5m\""), "\"5m\"", "the wait between two of these tries"),
    key(
        POLICY,
        "auto_reconcile",
        SWITCH,
        Means("false"),
        "true",
        "an account in quarantine is mended through its `reconcile_as` without being asked, within cap and budget",
    ),
    key(
        POLICY,
        "failed_logins_per_hour",
        "a number from 1 to 10",
        Means("2"),
        "2",
        "logins of an account that its device may refuse in an hour before rotord waits; keep it below what locks the account",
    ),
    key(
        DEVICE,
        "address",
        "HOST:PORT, or [HOST]:PORT for IPv6",
        Wrong,
        "\"192.0.2.10:22\"",
        "where it is; the port is 22 where absent",
    ),
    key(
        DEVICE,
        "host_key",
        "a list of fingerprints",
        Says("`known_hosts`, or what 'rotorctl trust' stored"),
        "[\"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]",
        "host keys that it may have",
    ),
    key(
        DEVICE,
        "known_hosts",
        "a file of sshd(8)'s format",
        Says("`host_key`, or what 'rotorctl trust' stored"),
        "\"/etc/ssh/ssh_known_hosts\"",
        "host keys that it may have, read as ssh does; @cert-authority and @revoked are honoured",
    ),
    key(
        DEVICE,
        "kind",
        "\"ssh\" or \"web\"",
        Means("\"ssh\""),
        "\"web\"",
        "how it is reached: over SSH, or by a browser; see docs/web.md for the keys of a web device",
    ),
    key(
        DEVICE,
        "url",
        "an address, https:// or http://",
        Says("it must be there for a web device, and nowhere else"),
        "\"https://wiki.example/\"",
        "the web application: its host and port are what its browser may reach; with `address` the host is there, in place of what its name resolves to",
    ),
    key(
        DEVICE,
        "allow_hosts",
        "a list of HOST or HOST:PORT",
        Means("[]"),
        "[\"sso.example\"]",
        "other hosts that a web device's pages may reach, and into whose pages secrets may be entered; everything else is refused",
    ),
    key(
        DEVICE,
        "ca_file",
        "a file in PEM",
        Says("the host's own authorities"),
        "\"/etc/ssl/wiki-ca.pem\"",
        "authorities that a web device's certificate is judged by",
    ),
    key(
        DEVICE,
        "tls_sha256",
        "a list of SHA-256, in hexadecimal or base64",
        Says("`ca_file`, or the host's own authorities"),
        "[\"0000000000000000000000000000000000000000000000000000000000000000\"]",
        "the certificates that a web device may have, or their public keys; no authority is asked then",
    ),
    key(
        DEVICE,
        "park_for",
        TIME,
        Means("\"15m\""),
        "\"15m\"",
        "a run on a web device that waits for a person is kept for so long ('rotorctl browser')",
    ),
    key(
        DEVICE,
        "send_user_agent",
        SWITCH,
        Means("false"),
        "true",
        "the `user-agent` of a web template is sent in place of the browser's own",
    ),
    key(
        DEVICE,
        "timeout",
        TIME,
        Says("the template's bound"),
        "\"60s\"",
        "each wait of a web template is so long at the least",
    ),
    key(DEVICE, "template", "a template's name", Wrong, "\"linux-passwd\"", "how passwords are changed on it"),
    key(
        DEVICE,
        "template_sha256",
        "a hash in hexadecimal",
        Says("any content"),
        "\"0000000000000000000000000000000000000000000000000000000000000000\"",
        "the template must be this one, byte for byte; sha256sum(1) tells it",
    ),
    key(DEVICE, "jump", "a device's name", Says("it is reached directly"), "\"gateway\"", "the device to go through"),
    key(
        DEVICE,
        "jump_account",
        "DEVICE/USERNAME",
        Says("the one with the same user name, or the only account here"),
        "\"gateway/rotor\"",
        "who logs in here on the way to other devices",
    ),
    key(DEVICE, "max_sessions", "a number from 1 to 1000", Means("1"), "1", "sessions at once"),
    key(
        DEVICE,
        "legacy_algorithms",
        SWITCH,
        Means("false"),
        "true",
        "algorithms of old are offered too, after the others: group1, group14 and group exchange with SHA-1, CBC and 3DES, hmac-sha1, host keys ssh-rsa and ssh-dss",
    ),
    key(
        DEVICE,
        "login_format",
        "\"separate\", \"password,totp\", \"totp,password\", \"password+totp\", \"totp+password\" or \"password+comma+totp\"",
        Means("\"separate\""),
        "\"password+totp\"",
        "how password and code are answered: in two questions told apart by their words or, with a comma, by their order; or, with a plus, both in one field",
    ),
    key(
        DEVICE,
        "connect_timeout",
        TIME,
        Means("\"5s\""),
        "\"10s\"",
        "for the connection and its handshake, and for each answer of a login if it is more than 30 s",
    ),
    key(DEVICE, "fields", "a table of strings", Means("{}"), "{ SITE = \"ber\" }", "values of tags: `[#SITE#]`"),
    key(ACCOUNT, "policy", "a policy's name", Means("\"default\""), "\"default\"", "its policy"),
    key(
        ACCOUNT,
        "login_as",
        "DEVICE/USERNAME",
        Says("the account itself"),
        "\"web1/root\"",
        "who logs in to change the password; an account of the same device",
    ),
    key(
        ACCOUNT,
        "reconcile_as",
        "DEVICE/USERNAME",
        Says("nobody can"),
        "\"web1/root\"",
        "who sets a new password when this account's own is no longer known",
    ),
    key(
        ACCOUNT,
        "after",
        "DEVICE/USERNAME",
        Says("it has no parent"),
        "\"web1/root\"",
        "its parent: it changes after that one did",
    ),
    key(
        ACCOUNT,
        "fields",
        "a table of strings",
        Means("{}"),
        "{ ADD_INFO = \"15\" }",
        "values of tags, before the device's",
    ),
    key(
        JOB,
        "schedule",
        "a crontab's five fields, six or seven with seconds, or @daily and its like",
        Wrong,
        "\"30 2 * * *\"",
        "when it runs, in the zone of `timezone`; 'rotorctl schedule next' shows the coming times",
    ),
    key(
        JOB,
        "accounts",
        "a list of globs",
        Wrong,
        "[\"web*/admin\", \"core-[1-4]/*\"]",
        "which accounts; `*` and `?` match slashes too, `[a-c]` is one of these characters and `[!a-c]` none of them",
    ),
    key(
        JOB,
        "spread",
        TIME,
        Means("\"0s\""),
        "\"45m\"",
        "each account has a place of its own in this time, the same one each run",
    ),
    key(
        JOB,
        "window",
        "two times of day",
        Says("at any time"),
        "\"01:00-05:00\"",
        "nothing starts outside of it; what is spread beyond its end waits for the next one",
    ),
    key(
        JOB,
        "on_signal",
        SWITCH,
        Means("false"),
        "true",
        "SIGUSR1 runs it now; where no job has this, the signal runs all of them",
    ),
    key(
        JOB,
        "catch_up",
        SWITCH,
        Means("false"),
        "true",
        "one run after a time, or after an account's turn in the spread, that was missed while the daemon was down",
    ),
    key(
        JOB,
        "action",
        "\"rotate\" or \"verify\"",
        Means("\"rotate\""),
        "\"verify\"",
        "with \"verify\" it logs in and changes nothing, at most once a day an account",
    ),
];
