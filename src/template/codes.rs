//! What each code of the checker means: the one source of `--explain`, of SARIF's rules and of the reference's table.

use crate::model::Severity;

/// A code of the checker.
#[derive(Debug)]
pub struct Code {
    /// The code itself.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// In a few words.
    pub title: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// A template that gets it; empty where it is not about a template's text.
    pub wrong: &'static str,
    /// The same template without it.
    pub right: &'static str,
}

const fn code(
    code: &'static str,
    severity: Severity,
    title: &'static str,
    why: &'static str,
    wrong: &'static str,
    right: &'static str,
) -> Code {
    Code { code, severity, title, why, wrong, right }
}

use Severity::{Error, Warning};

/// All codes, in order.
pub const CODES: &[Code] = &[
    code(
        "T001",
        Error,
        "unknown command or section",
        "A line begins with the name of a command. What the checker does not know it cannot run, and a line left out could be the one that matters.",
        "exspect \"*word:\"\n",
        "expect \"*word:\"\n",
    ),
    code(
        "T002",
        Error,
        "missing argument",
        "The command needs something to send, to wait for, or to set.",
        "expect\n",
        "expect \"*word:\"\n",
    ),
    code(
        "T003",
        Error,
        "quote never closed",
        "An argument that begins with a quote runs to the last quote of its line. Without one it is not known where the text ends.",
        "exec \"passwd\nexpect \"*word:\"\n",
        "exec \"passwd\"\nexpect \"*word:\"\n",
    ),
    code(
        "T004",
        Error,
        "text after the last quote",
        "What stands behind the last quote belongs to nothing. A comment has a line of its own.",
        "exec \"passwd\" # changes it\n",
        "# changes it\nexec \"passwd\"\n",
    ),
    code(
        "T005",
        Error,
        "no number of seconds",
        "Times are seconds, with a point where they have a fraction.",
        "sleep 500ms\n",
        "sleep 0.5\n",
    ),
    code(
        "T006",
        Error,
        "unknown new-line mode",
        "The mode says what 'exec' ends a line with: unix LF, windows CR LF, mac CR.",
        "set-new-line-mode crlf\n",
        "set-new-line-mode windows\n",
    ),
    code(
        "T007",
        Error,
        "SSH version",
        "SSH 1 is not spoken: it has been broken since 1998.",
        "set-ssh-version 1\n",
        "set-ssh-version 2\n",
    ),
    code(
        "T008",
        Error,
        "no regular expression in linear time",
        "Expressions run in time proportional to what the device prints, so that no device can stall the daemon. Look-around and back-references cannot; the flags are i, m and s.",
        "expect-regex \"/word:/g\"\n",
        "expect-regex \"/word:/\"\n",
    ),
    code(
        "T010",
        Error,
        "an argument where none belongs",
        "'end', 'choose', 'when-closed' and 'end-choose' stand alone on their lines.",
        "end now\n",
        "end\n",
    ),
    code(
        "T011",
        Error,
        "not UTF-8",
        "Templates are UTF-8, with a byte order mark or without. Save the file as UTF-8.",
        "",
        "",
    ),
    code("T012", Error, "too long", "A template may have 256 KiB; no dialogue needs as much.", "", ""),
    code(
        "T013",
        Error,
        "unknown filter",
        "A filter behind a colon quotes the value for who reads it: sh, sql, tcl, url or xml; name cuts the options of the login off a user name.",
        "exec \"echo [#NEW_PASSWORD:shel#]\"\nexpect \"*$\"\n",
        "exec \"echo [#NEW_PASSWORD:sh#]\"\nexpect \"*$\"\n",
    ),
    code(
        "T014",
        Error,
        "an 'info' line that says nothing",
        "A key has letters, digits, '-' and '_'. password-max-length, password-min-length and password-significant are numbers, password-symbols is a list of symbols, changes is self, named or other.",
        "info password-max-length \"many\"\n",
        "info password-max-length \"64\"\n",
    ),
    code(
        "T015",
        Error,
        "unreadable file",
        "The file cannot be read: it is not there, or its permissions forbid it.",
        "",
        "",
    ),
    code(
        "T016",
        Error,
        "sections or branches that do not pair",
        "A 'choose' has one or more 'when' branches and an 'end-choose', and each section stands once.",
        "choose\nwhen \"*word:\"\nexec \"x\"\n",
        "choose\nwhen \"*word:\"\nexec \"x\"\nend-choose\n",
    ),
    code(
        "T017",
        Error,
        "the new password in 'section abort' or 'section save'",
        "Those sections run where a change failed: before anything was changed, or after the device may have refused the new password. Sending it there would change it with nobody watching.",
        "exec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\nsection abort\nexec \"[#NEW_PASSWORD#]\"\n",
        "exec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\nsection abort\nexec \"discard\"\n",
    ),
    code(
        "T101",
        Warning,
        "nothing sends the new password",
        "No line has [#NEW_PASSWORD#], so the run changes nothing, unless the login itself asks for a new password.",
        "exec \"passwd\"\nexpect \"*word:\"\n",
        "exec \"passwd\"\nexpect \"*word:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
    ),
    code(
        "T102",
        Warning,
        "a tag in lower case",
        "Tag names are upper case. It is read as if it were.",
        "exec \"[#new_password#]\"\nexpect \"*ok\"\n",
        "exec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
    ),
    code(
        "T103",
        Warning,
        "never reached",
        "An 'end' or 'fail' before it ends the run.",
        "exec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\nend\nexec \"write memory\"\n",
        "exec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\nexec \"write memory\"\nend\n",
    ),
    code(
        "T104",
        Warning,
        "nothing waits for the answer to the new password",
        "The session would be closed while the device is still at work, and a refusal would go unseen until the next login.",
        "exec \"[#NEW_PASSWORD#]\"\nend\n",
        "exec \"[#NEW_PASSWORD#]\"\nexpect \"*updated successfully*\"\nend\n",
    ),
    code(
        "T105",
        Warning,
        "a pattern that matches anything",
        "The wait ends with whatever comes first, often half a line, and what is sent next meets a device that does not listen yet.",
        "expect \"*\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
        "expect \"*ew password:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
    ),
    code(
        "T106",
        Warning,
        "a pattern that the echo matches",
        "The echo of a line is skipped, but a device that wraps or repaints it in a way of its own can still show it, and it would be taken for the answer.",
        "exec \"set password\"\nexpect \"*password\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
        "exec \"set password\"\nexpect \"*New password:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
    ),
    code(
        "T107",
        Warning,
        "a pause in place of a wait",
        "The device may take longer one night, and the next line is lost.",
        "exec \"passwd\"\nsleep 2\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
        "exec \"passwd\"\nexpect \"*ew password:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
    ),
    code(
        "T108",
        Warning,
        "a second code without room",
        "A device takes no code twice, so the second one waits for the next step, up to half a minute. Prompts often give up before that.",
        "exec \"[#TOTP_TOKEN#]\"\nexpect \"*$\"\nexec \"[#TOTP_TOKEN#]\"\nexpect \"*ew:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
        "exec \"[#TOTP_TOKEN#]\"\nexpect \"*$\"\nsleep 30\nexec \"[#TOTP_TOKEN#]\"\nexpect \"*ew:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
    ),
    code(
        "T109",
        Warning,
        "a password that a shell or a database reads",
        "Some characters end the word, start a command, or end the string there. The account would get another password than the vault holds.",
        "exec \"htpasswd -b users [#USERNAME#] [#NEW_PASSWORD#]\"\nexpect \"*ok\"\nsection verify\nexec \"x\"\n",
        "exec \"htpasswd -b users [#USERNAME#] [#NEW_PASSWORD:sh#]\"\nexpect \"*ok\"\nsection verify\nexec \"x\"\n",
    ),
    code(
        "T110",
        Warning,
        "the same wait twice",
        "Nothing was sent since the line before waited for the same, so nothing new will come.",
        "expect \"*#\"\nexpect \"*#\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
        "expect \"*#\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
    ),
    code(
        "T111",
        Warning,
        "nothing can prove the new password",
        "A rotation ends with a proof. The password of a database or another program behind the login is none of an SSH login, so the template has to try it itself.",
        "exec \"psql\"\nexpect \"*#\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
        "exec \"psql\"\nexpect \"*#\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\nsection verify\nexec \"psql -W\"\nexpect \"*word:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*#\"\n",
    ),
    code(
        "T112",
        Warning,
        "the new password before the old one is confirmed",
        "Where the device refuses the old password it reads the new one as something else: a command, or an answer that is logged.",
        "exec \"[#CURRENT_PASSWORD#]\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
        "exec \"[#CURRENT_PASSWORD#]\"\nexpect \"*ew password:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
    ),
    code(
        "T113",
        Warning,
        "typographic quotes",
        "A word processor changed the quotes; they would be sent or waited for as they stand.",
        "expect \u{201c}*word:\u{201d}\n",
        "expect \"*word:\"\n",
    ),
    code(
        "T114",
        Warning,
        "half a tag",
        "It is not replaced, and would be sent as it stands: the account would get the tag's name for a password.",
        "exec \"[#NEW_PASSWORD]\"\nexpect \"*ok\"\n",
        "exec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
    ),
    code(
        "T115",
        Warning,
        "an open end before another wait",
        "A pattern that ends in '*' waits until the device is quiet and takes everything that was printed. The next line is then looked for as the last thing in that, and anywhere in it only once its time is up.",
        "exec \"[#NEW_PASSWORD#]\"\nexpect \"*updated*\"\nexpect \"*$\"\n",
        "exec \"[#NEW_PASSWORD#]\"\nexpect \"*updated\"\nexpect \"*$\"\n",
    ),
    code(
        "T116",
        Warning,
        "something behind the end",
        "In a regular expression, '$' is the end of what was printed. With more behind it, the expression matches nothing that a device prints. A dollar is '\\$', or '[$]'.",
        "exec \"[#NEW_PASSWORD#]\"\nexpect-regex \"$ \"\n",
        "exec \"[#NEW_PASSWORD#]\"\nexpect-regex \"\\$ $\"\n",
    ),
    code(
        "T117",
        Warning,
        "a wrong statement of who is changed",
        "'info changes' says whose password the template changes: self is the account that logs in, named the one that [#USERNAME#] or a field names, other an enable secret or a fixed account. The lines show something else.",
        "info changes \"named\"\nexec \"passwd\"\nexpect \"*ew password:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
        "info changes \"named\"\nexec \"passwd [#USERNAME#]\"\nexpect \"*ew password:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
    ),
    code(
        "T118",
        Warning,
        "a guard of one word",
        "A guard such as *fail* or *rror* is satisfied by a host that is named fw-failover-1, by a log line in between, or by a message that is no refusal; and *rror* misses ERROR. Write the words of the device, or say that they begin the line.",
        "exec \"set [#NEW_PASSWORD#]\"\nno-expect \"*fail*\"\nexpect \"*#\"\n",
        "exec \"set [#NEW_PASSWORD#]\"\nno-expect-regex \"/^Command fail/m\"\nexpect \"*#\"\n",
    ),
    code(
        "T119",
        Warning,
        "a closed session before the new password",
        "'when-closed' accepts that a device logs an account out as its password changes. Before the new password was sent, a closed session means that nothing was changed.",
        "choose\nwhen \"*word:\"\nwhen-closed\nend-choose\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n",
        "expect \"*word:\"\nexec \"[#NEW_PASSWORD#]\"\nchoose\nwhen \"*ok\"\nwhen-closed\nend-choose\n",
    ),
];

impl Code {
    /// The code of a name, in either case.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        CODES.iter().find(|code| code.code.eq_ignore_ascii_case(name))
    }
}
