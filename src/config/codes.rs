//! What each code of a config's problems means: the one source of `rotord check --explain CODE`.

/// A code of a problem in the config.
#[derive(Debug)]
pub struct ConfigCode {
    /// The code itself.
    pub code: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Why it matters, and what to do.
    pub why: &'static str,
    /// Lines that get it; empty where it is about something else than the text.
    pub wrong: &'static str,
    /// The same lines without it.
    pub right: &'static str,
}

impl ConfigCode {
    /// The code that is written so, in either case.
    #[must_use]
    pub fn find(code: &str) -> Option<&'static Self> {
        CONFIG_CODES.iter().find(|known| known.code.eq_ignore_ascii_case(code))
    }
}

const fn code(
    code: &'static str,
    title: &'static str,
    why: &'static str,
    wrong: &'static str,
    right: &'static str,
) -> ConfigCode {
    ConfigCode { code, title, why, wrong, right }
}

/// All codes, in order.
pub const CONFIG_CODES: &[ConfigCode] = &[
    code(
        "C001",
        "no TOML",
        "The file does not follow the grammar of TOML 1.0, so nothing of it is taken. In double quotes a backslash begins an escape; a Windows \
         name such as CORP\\svc stands in single quotes.",
        "[account.\"d/CORP\\svc\"]\n",
        "[account.'d/CORP\\svc']\n",
    ),
    code(
        "C002",
        "unknown key or section",
        "A key that is misspelt would be left out without a word, and the default would hold. The message names the nearest known one; \
         'rotord check --explain KEY' says what a key means.",
        "[policy.p]\nlenght = 24\n",
        "[policy.p]\nlength = 24\n",
    ),
    code(
        "C003",
        "a secret in the config",
        "Many people and backups read a config, so no secret stands in it: take it out, change it, and store the new one with 'rotorctl \
         secret set' or 'rotorctl totp set'. Its value is not shown in messages. An escrow folder without a key to seal to gets this code too.",
        "[account.\"d/b\"]\npassword = \"…\"\n",
        "[account.\"d/b\"]\n",
    ),
    code(
        "C004",
        "another kind of value",
        "A number stands where a text is expected, a text where a list is, or a key where a section is.",
        "[policy.p]\nlength = \"24\"\n",
        "[policy.p]\nlength = 24\n",
    ),
    code(
        "C005",
        "a value that cannot be",
        "The value has the right kind, and no meaning: a number out of its range, a duration that is none, a schedule that never comes, keys that \
         exclude each other, or accounts that refer to one another in a circle.",
        "[policy.p]\nmax_changes_per_day = 3\n",
        "[policy.p]\nmax_changes_per_day = 2\n",
    ),
    code(
        "C006",
        "something is missing",
        "The section cannot do without this key, or the host does not tell its time zone and 'timezone' does not either.",
        "[job.j]\nschedule = \"30 2 * * *\"\n",
        "[job.j]\nschedule = \"30 2 * * *\"\naccounts = [\"d/*\"]\n",
    ),
    code(
        "C007",
        "a name that is not there",
        "A device, account, policy or template is named that nothing defines, or a device with several accounts does not say which one logs in \
         there for others. The message names the nearest one that there is.",
        "[account.\"d/b\"]\npolicy = \"nope\"\n",
        "[policy.nope]\n[account.\"d/b\"]\npolicy = \"nope\"\n",
    ),
    code(
        "C008",
        "the same name twice",
        "Two files define the same thing. Which one holds would depend on the order in which they are read, so neither does.",
        "",
        "",
    ),
    code(
        "C009",
        "a file or folder that is not there or cannot be read",
        "The config names a file that the daemon cannot use: it does not exist, belongs to somebody else, is no file or no folder. Where the \
         daemon can go on without it, this is a warning.",
        "[device.e]\naddress = \"127.0.0.1\"\ntemplate = \"t\"\nknown_hosts = \"nowhere\"\n",
        "[device.e]\naddress = \"127.0.0.1\"\ntemplate = \"t\"\n",
    ),
    code(
        "C010",
        "names nothing",
        "A glob of a job matches no account of the config, or [access] names a user or a group that this host does not know. Nothing is wrong yet: \
         the account, or the user, may come later. Until then the line does nothing; is it misspelt? A glob is over DEVICE/USERNAME: \
         '*' and '?' match slashes too, and [a-c] is one of these characters.",
        "[job.j]\nschedule = \"30 2 * * *\"\naccounts = [\"wbe*/*\"]\n",
        "[job.j]\nschedule = \"30 2 * * *\"\naccounts = [\"d/*\"]\n",
    ),
    code(
        "C011",
        "passwords that the device does not take",
        "The policy makes passwords that a device of this template refuses: too long, too short, or with characters that it cannot be given. Each \
         rotation would fail. Give the account a policy of its own.",
        "",
        "",
    ),
    code(
        "C012",
        "the template is not the one that was pinned",
        "'template_sha256' says which text of the template was reviewed, and the file has another one. Look at what changed; then pin the new \
         hash, or put the old file back.",
        "",
        "",
    ),
    code(
        "C013",
        "somebody else may change it",
        "The file, or a folder above it, may be written by a user who is neither root nor the daemon's: he could have the daemon do what he likes. \
         The message gives the chown or chmod.",
        "",
        "",
    ),
    code(
        "C014",
        "the template changes another account",
        "The template changes the password of the account that logs in, and 'login_as' or 'reconcile_as' has another one log in: the wrong password \
         would be changed. Use a template that names the account, or leave the key out.",
        "",
        "",
    ),
    code(
        "C015",
        "whom the template changes cannot be told",
        "The template sends no [#USERNAME#], so it does not show whose password it changes where another account logs in. Say it in the template: \
         info changes \"named\" or \"self\".",
        "",
        "",
    ),
    code(
        "C016",
        "the device may compare a part of the password only",
        "Devices of this template may keep passwords in a form that ignores what stands behind some character (classic crypt). The rest of a longer \
         password does not make it safer.",
        "",
        "",
    ),
    code(
        "C017",
        "two day fields, one of them a star with a step",
        "cron(8) takes a day field that begins with '*' for no restriction, so both day fields must match. Who wants either to be enough lists \
         the days.",
        "[job.j]\nschedule = \"0 3 */2 * 1\"\naccounts = [\"d/*\"]\n",
        "[job.j]\nschedule = \"0 3 * * 1\"\naccounts = [\"d/*\"]\n",
    ),
    code(
        "C018",
        "a line of known_hosts that is not understood",
        "ssh passes over such a line, and rotord does too: the key in it is not trusted. A @revoked line that cannot be read makes all keys of the \
         file untrusted.",
        "",
        "",
    ),
    code(
        "C019",
        "a password that is overdue before it may be changed",
        "The policy's 'max_age' is not longer than its 'min_age': 'rotorctl status' would call each password overdue at a time at which no \
         schedule may change it.",
        "[policy.p]\nmin_age = \"2d\"\nmax_age = \"1d\"\n",
        "[policy.p]\nmin_age = \"2d\"\nmax_age = \"30d\"\n",
    ),
];
