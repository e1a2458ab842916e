//! What a line on the screen is: a prompt that the run knows, a question, or a message that nobody asked for.

use super::screen::floor;

/// Last characters of prompts: shells of POSIX systems, and those of network operating systems.
const ENDS: &[char] = &['#', '>', '$', '%', ']', '\u{bb}', '\u{276f}'];

/// Words for what is asked for in secret, in lower case; the languages are those of the login's prompts.
const SECRETS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "kennwort",
    "mot de passe",
    "contraseña",
    "senha",
    "parola d'ordine",
    "hasło",
    "wachtwoord",
    "пароль",
    "密码",
    "密碼",
    "口令",
    "パスワード",
    "암호",
    "secret",
    "verification code",
    "token",
];

/// Whether a line ends in a question for a password, a code or the like.
pub(super) fn asks_for_secret(line: &str) -> bool {
    let line = line.trim();
    let line = line[floor(line, line.len().saturating_sub(200))..].to_lowercase();
    let asks = line.ends_with([':', '?', '>', '：', '？', '=']) || SECRETS.iter().any(|word| line.ends_with(word));
    asks && names_secret(&line) && !asks_to_choose(&line)
}

/// Whether a text speaks of a password, a code or the like.
pub(super) fn names_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    let pin = || text.split(|c: char| !c.is_alphanumeric()).any(|word| word == "pin");
    // A glob may begin within the word.
    ["assword", "assphrase"].iter().chain(SECRETS).any(|word| text.contains(word)) || pin()
}

/// Whether a line ends in a choice: `[Y/N]`, `(yes/no)?`, `[confirm]`.
pub(super) fn asks_to_choose(line: &str) -> bool {
    let line = line.trim_end_matches([' ', ':', '?', '.', '\t']).to_lowercase();
    let Some(begin) = line.rfind(['[', '(', '<']).filter(|_| line.ends_with([']', ')', '>'])) else {
        return line.ends_with(" y/n") || line.ends_with(" yes/no");
    };
    let inside = &line[begin + 1..line.len() - 1];
    let mut words = inside.split(['/', '|', ',', ' ', '-']).filter(|word| !word.is_empty());
    words.clone().count() > 0
        && words.all(|word| ["y", "n", "yes", "no", "confirm", "c", "cancel", "a", "all"].contains(&word))
}

/// Lines of text behind a heading of wall(1) or syslogd at the most.
const MOST_LINES: usize = 8;

/// Lines of messages at the most.
const MOST_MESSAGES: usize = 100;

/// Where the messages begin that a device or its system prints whenever it likes, as the last whole lines of a text; `None`
/// where the text ends otherwise.
pub(super) fn before_messages(text: &str) -> Option<usize> {
    let whole = text.trim_end_matches([' ', '\t']);
    let mut end = whole.ends_with('\n').then_some(whole.len())?;
    let mut begin = None;
    let mut others = 0;
    // More of them are no aside of a device that waits at its prompt, but its output.
    for _ in 0..MOST_MESSAGES {
        let start = text[..end - 1].rfind('\n').map_or(0, |at| at + 1);
        let line = text[start..end - 1].trim();
        if is_heading(line) || others == 0 && is_message(line) {
            (begin, others) = (Some(start), 0);
        } else if !line.is_empty() {
            others += 1;
            if begin.is_some() || others > MOST_LINES {
                return begin;
            }
        }
        if start == 0 {
            return begin;
        }
        end = start;
    }
    None
}

/// Where a text begins behind such messages.
pub(super) fn behind_messages(text: &str) -> usize {
    let lines = text.split_inclusive('\n').take_while(|line| line.ends_with('\n'));
    let ends = lines.scan(0, |at, line| {
        *at += line.len();
        Some((*at, line.trim()))
    });
    let messages = ends.take_while(|(_, line)| line.is_empty() || is_message(line));
    messages.filter(|(_, line)| !line.is_empty()).last().map_or(0, |(end, _)| end)
}

/// Cisco's `%FACILITY-SEVERITY-MNEMONIC:` and its like (Cisco IOS System Message Guide; NX-OS, IOS XR and Arista EOS too),
/// Huawei's `%%01MODULE/SEVERITY/MNEMONIC`, Comware's `%Nov 22 10:41:27:253 2019 H3C SHELL/5/LOGIN:`, syslogd's and wall(1)'s
/// headings, the kernel's `[ 1234.567890]`, and whatever begins with a time of day, as RouterOS, ArubaOS-Switch and EXOS
/// write it.
fn is_message(line: &str) -> bool {
    let head = &line[..floor(line, 48)];
    is_heading(line) || has_mnemonic(line) || has_time(head) || kernel_time(line)
}

/// Of wall(1), as Linux and Junos have it, and of syslogd: text follows.
fn is_heading(line: &str) -> bool {
    let begins = |with: &str| line.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    begins("Message from syslogd@") || begins("Broadcast message from ")
}

fn has_mnemonic(line: &str) -> bool {
    line.match_indices('%').take(4).any(|(at, _)| {
        let word = line[at + 1..].split([':', ' ', '(', '[']).next().unwrap_or_default().trim_start_matches('%');
        let parts: Vec<&str> = word.split(['-', '/']).collect();
        let severity = |part: &&str| part.len() == 1 && part.bytes().all(|b| b.is_ascii_digit());
        parts.len() >= 3 && parts[1..parts.len() - 1].iter().any(severity)
    })
}

fn has_time(text: &str) -> bool {
    text.as_bytes().windows(8).any(|w| {
        w.iter().enumerate().all(|(place, byte)| if place % 3 == 2 { *byte == b':' } else { byte.is_ascii_digit() })
    })
}

fn kernel_time(line: &str) -> bool {
    let inside = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(inside, _)| inside.trim());
    inside.is_some_and(|time| time.contains('.') && time.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

/// The prompts at which a run has typed a line.
#[derive(Default)]
pub(super) struct Prompts(Vec<String>);

/// Prompts remembered at the most: a run has a few modes.
const MOST: usize = 40;

impl Prompts {
    /// Remembers a line at which one is typed, where it ends as a prompt does.
    pub(super) fn note(&mut self, line: &str) {
        let line = line.trim();
        if self.0.len() < MOST && ends_as_prompt(line) && !self.0.iter().any(|known| known == line) {
            self.0.push(line.to_owned());
        }
    }

    /// Whether none was remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a line is one of them, perhaps in another mode: `FGT1 (admin) #` after `FGT1 #`, `[NE40-aaa]` after `<NE40>`.
    pub(super) fn knows(&self, line: &str) -> bool {
        let line = line.trim();
        let known = |known: &String| {
            let host = host(known);
            known == line
                || counted(line).is_some_and(|stem| counted(known) == Some(stem))
                || !host.is_empty() && has_prompt_form(known) && mode_behind(line, host).is_some_and(is_mode)
        };
        ends_as_prompt(line) && self.0.iter().any(known)
    }

    /// What stands behind the prompt that a line begins with; all of it where it begins with none.
    pub(super) fn behind<'a>(&self, line: &'a str) -> &'a str {
        let head = &line[..floor(line, 200)];
        let prompt = head.match_indices(ENDS).map(|(at, end)| at + end.len()).rfind(|end| self.knows(&head[..*end]));
        prompt.map_or(line, |end| &line[end..])
    }

    /// Names of hosts and users in them, long enough to be told from words.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|known| host(known).split(['@', ':', '/'])).filter(|name| name.len() >= 4)
    }
}

/// Whether a line looks like a prompt: one word with a mode behind it, and no question.
pub(super) fn has_prompt_form(line: &str) -> bool {
    let line = line.trim();
    let host = host(line);
    let rest = if host.is_empty() { Some(line) } else { mode_behind(line, host) };
    ends_as_prompt(line) && rest.is_some_and(is_mode)
}

/// Whether a line ends as prompts do, and is no question, and no border of a box.
fn ends_as_prompt(line: &str) -> bool {
    line.len() <= 200
        && line.ends_with(ENDS)
        && !asks_for_secret(line)
        && !asks_to_choose(line)
        && (line.contains(char::is_alphanumeric) || line.chars().count() <= 3)
}

/// Whether a line ends as prompts do, and yet looks like none: it may be a part of a banner.
pub(super) fn is_doubtful(line: &str) -> bool {
    line.trim_end().ends_with(ENDS) && !has_prompt_form(line)
}

/// Whether a line looks like a prompt that names its host: not a border of a box.
pub(super) fn names_host(line: &str) -> bool {
    has_prompt_form(line) && !host(line.trim()).is_empty()
}

/// The word that a prompt begins with, without what is put around it.
fn host(line: &str) -> &str {
    if let Some(end) = line.find(')').filter(|_| line.starts_with('(')) {
        // (Cisco Controller) >
        return &line[1..end];
    }
    let bare = line.trim_start_matches(['[', '<', '~', '*', '!', '{', ' ']);
    let end = bare.find(|c: char| !(c.is_alphanumeric() || "-_.@/:+".contains(c))).unwrap_or(bare.len());
    bare[..end].trim_end_matches(['-', ':', '/', '.'])
}

/// A prompt without the number of the command behind its name, where it has one, and without the mark of changes that are not
/// saved: `X440.7 # ` and `* X440.8 # ` are one (ExtremeXOS command reference, "Understanding the Command Syntax").
fn counted(line: &str) -> Option<&str> {
    let name = line.trim_start_matches(['*', ' ']).trim_end_matches(ENDS).trim_end();
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem.len() < name.len() && stem.ends_with('.')).then_some(stem)
}

/// What stands behind a host's name at the beginning of a line.
fn mode_behind<'a>(line: &'a str, host: &str) -> Option<&'a str> {
    let bare = line.trim_start_matches(['[', '<', '(', '~', '*', '!', '{', ' ']);
    let rest = bare.strip_prefix(host)?;
    (!rest.starts_with(char::is_alphanumeric)).then_some(rest)
}

/// Whether a text is what stands between a host's name and the end of its prompt: groups in brackets, a path, marks; no
/// words with blanks between them.
fn is_mode(text: &str) -> bool {
    let mut depth = 0_i32;
    let mut blank = false;
    for (at, c) in text.trim_end().char_indices() {
        match c {
            ' ' if depth == 0 => {
                blank = true;
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = (depth - 1).max(0),
            // A path: /user, ~, C:\Users.
            _ if blank && !"/~*".contains(c) && !ENDS.contains(&c) && !text[at + c.len_utf8()..].starts_with(":\\") => {
                return false;
            }
            _ => {}
        }
        blank = false;
    }
    text.len() <= 120
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_of_products_are_known_in_their_other_modes_and_no_others() {
        for (typed_at, others) in [
            ("FGT60 # ", &["FGT60 (admin) # ", "FGT60 (global) #"][..]),
            ("<NE40>", &["[NE40]", "[~NE40-aaa]", "[*NE40-aaa-user]"]),
            ("core1#", &["core1(config)#", "core1(config-line)# ", "core1>"]),
            ("admin@web1:~$ ", &["admin@web1:/tmp$ ", "admin@web1:~# "]),
            ("[admin@MikroTik] > ", &["[admin@MikroTik] /user> ", "[admin@MikroTik] /ip/address> "]),
            ("RP/0/RSP0/CPU0:xr1#", &["RP/0/RSP0/CPU0:xr1(config)#"]),
            ("admin@mx1> ", &["admin@mx1# "]),
            ("A:sr1# ", &["A:sr1>config>system# "]),
            ("(Cisco Controller) >", &["(Cisco Controller) >"]),
            ("X440.1 # ", &["X440.12 # ", "* X440.2 # "]),
            ("> ", &["> "]),
        ] {
            let mut prompts = Prompts::default();
            prompts.note(typed_at);
            assert!(prompts.knows(typed_at), "{typed_at}");
            assert!(others.iter().all(|other| prompts.knows(other)), "{typed_at}");
            for no in
                ["New Password: ", "Change now? [Y/N]:", "Enter new password>", "FGT60 is down #", "core10#", "##", "$"]
            {
                assert!(!prompts.knows(no), "{typed_at}: {no}");
            }
        }
        let mut none = Prompts::default();
        for line in ["New password: ", "###########", "Continue? [Y/N]", "Current password>"] {
            none.note(line);
            assert!(none.is_empty(), "{line}");
        }
        let mut windows = Prompts::default();
        windows.note("admin@SRV1 C:\\Users\\admin>");
        assert!(
            windows.knows("admin@SRV1 C:\\Users\\admin> ")
                && windows.knows("admin@SRV1 D:\\>")
                && !windows.knows("admin@SRV1 is down>")
        );
        assert!(is_doubtful("# Data protection #") && is_doubtful("#######") && is_doubtful("Loading 50%"));
        assert!(!is_doubtful("FGT60 (global) # ") && !is_doubtful("$ ") && !is_doubtful("Press any key"));
    }

    #[test]
    fn what_stands_behind_a_prompt_is_told_from_it() {
        let mut prompts = Prompts::default();
        prompts.note("fw-failover-1 # ");
        assert_eq!(prompts.behind("fw-failover-1 (admin) # set password x"), " set password x");
        assert_eq!(prompts.behind("fw-failover-1 # "), " ");
        assert_eq!(prompts.behind("Command fail. Return code -61"), "Command fail. Return code -61");
        assert!(prompts.names().eq(["fw-failover-1"]));
    }

    #[test]
    fn messages_that_nobody_asked_for_are_known_by_their_form() {
        for message in [
            "*Nov 22 10:41:27.253: %SYS-5-CONFIG_I: Configured from console by admin on vty0 (192.0.2.7)",
            "RP/0/RSP0/CPU0:Nov 22 10:41:27.253 : config[65710]: %MGBL-CONFIG-6-DB_COMMIT : Configuration committed",
            "%LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to up",
            "Nov 22 2019 10:41:27 NE40 %%01SHELL/5/CMDRECORD(s)[1]:Recorded command information.",
            "%Nov 22 10:41:27:253 2019 H3C SHELL/5/SHELL_LOGIN: admin logged in from 192.0.2.7.",
            "11/22/2019 10:41:27.25 <Info:cli.logLocalCmd> admin: configure",
            "Message from syslogd@web1 at Nov 22 10:41:27 ...",
            "[ 1234.567890] usb 1-1: new high-speed USB device",
        ] {
            let text = format!("core1#\r\n{message}\r\n").replace('\r', "");
            assert_eq!(before_messages(&text), Some(7), "{message}");
        }
        let wall = "Broadcast message from root@web1 (pts/1) (Fri Nov 22 10:41:27 2019):\n\nThe system goes down.\n\n";
        assert_eq!(before_messages(&format!("web1#\n{wall}")), Some(6));
        assert_eq!(before_messages("core1#\nBuilding configuration...\n"), None);
        assert_eq!(before_messages("core1#\n*Nov 22 10:41:27.253: %SYS-5-CONFIG_I: x\nNew password: "), None);
        assert_eq!(before_messages(&format!("core1#\n{}", "%SYS-5-CONFIG_I: x\n".repeat(200))), None);
        assert_eq!(before_messages(""), None);
        assert_eq!(behind_messages("\n%SYS-5-CONFIG_I: x\nwrite mem"), 20);
        assert_eq!(behind_messages("\nwrite mem"), 0);
    }

    #[test]
    fn questions_are_told_from_prompts() {
        for question in [
            "New Password: ",
            "Current password:",
            "Change now? [Y/N]:",
            "Overwrite? (yes/no)",
            "Save [confirm]",
            "PIN: ",
        ] {
            assert!(asks_for_secret(question) || asks_to_choose(question), "{question}");
        }
        for other in ["core1#", "[NE40-aaa]", "admin@web1:~$", "sw(config)#", "[edit]"] {
            assert!(!asks_for_secret(other) && !asks_to_choose(other), "{other}");
        }
        assert!(asks_for_secret("Enter new password: ") && asks_for_secret("请输入密码："));
        assert!(!asks_for_secret("passwd: password updated successfully"));
        assert!(!asks_for_secret("The password needs to be changed. Change now? [Y/N]:"));
    }
}
