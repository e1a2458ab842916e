//! Sentences that say that nothing was judged, read by their parts: an account, a token or a login, and the state that it is in;
//! a server, and that it is away; a number, and that it is reached.
//!
//! Products put such sentences together freely («Login disabled for 300 seconds», «Token is locked», «Unable to contact the
//! authentication server»), so that a table of whole wordings misses most of them. A sentence comes in lower case, with one
//! blank between its words and at both ends.

/// Subjects, and the states in which one of them lets nobody in. Phrases that pam_faillock, pam_tally2, SSSD, sshd, FreeRADIUS,
/// privacyIDEA, Windows, and network operating systems make.
#[rustfmt::skip]
const STATES: &[(&[&str], &[&str])] = &[
    (&["account", "user", "username", "login", "logins", "logon", "logons", "access", "profile"],
     &["locked", "disabled", "suspended", "blocked", "deactivated", "inactive", "banned", "throttled", "revoked", "frozen",
       "not active", "not enabled", "not activated", "not allowed", "not permitted", "not authorized", "not authorised",
       "in lockout", "restricted to console"]),
    (&["account", "user"], &["expired"]),
    (&["token", "tokens", "authenticator", "otp", "seed"], &["locked", "disabled", "suspended", "blocked", "deactivated", "revoked"]),
    (&["address", "ip", "host", "source", "client"], &["blocked", "banned", "blacklisted", "throttled", "not allowed", "not permitted"]),
    (&["konto", "benutzerkonto", "benutzer", "zugang", "anmeldung"], &["gesperrt", "deaktiviert", "abgelaufen", "nicht aktiv", "nicht erlaubt"]),
    (&["compte", "utilisateur", "accès"], &["verrouillé", "désactivé", "bloqué", "suspendu", "expiré", "inactif"]),
    (&["cuenta", "usuario", "acceso"],
     &["bloqueada", "bloqueado", "deshabilitada", "deshabilitado", "desactivada", "desactivado", "suspendida", "suspendido", "caducada", "inactiva"]),
    (&["conta", "usuário", "acesso"], &["bloqueada", "bloqueado", "desativada", "desativado", "suspensa", "suspenso", "expirada", "inativa"]),
    (&["account", "utente", "accesso"], &["bloccato", "disabilitato", "sospeso", "scaduto", "disattivato"]),
    (&["konto", "użytkownik"], &["zablokowane", "zablokowany", "wyłączone", "nieaktywne", "wygasło"]),
    (&["аккаунт", "запись", "пользователь"], &["заблокирован", "заблокирована", "отключен", "отключена", "истек"]),
];

/// Words that may stand between a subject and its state.
#[rustfmt::skip]
const BETWEEN: &[&str] = &[
    "is", "are", "was", "were", "has", "have", "been", "temporarily", "temporary", "currently", "permanently", "administratively",
    "automatically", "now", "already", "account", "ist", "wurde", "sind", "vorübergehend", "derzeit", "a", "été", "est", "temporairement",
    "ha", "sido", "está", "temporalmente", "foi", "temporariamente", "è", "stato", "zostało", "został", "jest", "была", "был", "временно",
];

/// Sentences that carry a verb of failing to reach somebody.
#[rustfmt::skip]
const FAILS_TO: &[&str] = &[
    "unable to", "cannot", "can not", "can't", "could not", "couldn't", "failed to", "error", "error while", "error occurred while",
    "problem", "failure", "failure to",
];
const REACH: &[&str] =
    &["contact", "contacting", "reach", "reaching", "connect", "connecting", "communicate", "communicating", "query"];

/// What judges a login, or is waited for in one, and how it is away.
#[rustfmt::skip]
const SERVERS: &[&str] = &[
    "server", "servers", "service", "services", "kdc", "controller", "backend", "directory", "provider", "database",
];
#[rustfmt::skip]
const AWAY: &[&str] = &[
    "down", "dead", "unreachable", "unavailable", "not responding", "not respond", "not available", "not reachable", "offline", "busy",
    "error", "failure", "responded", "not ready", "locked",
];
#[rustfmt::skip]
const WAITED_FOR: &[&str] = &["request", "push", "authentication", "login", "logon", "challenge", "verification", "response", "connection"];

/// What there is a bounded number of.
#[rustfmt::skip]
const COUNTED: &[&str] = &[
    "session", "sessions", "user", "users", "connection", "connections", "login", "logins", "line", "lines", "vty", "vtys", "license",
    "licenses", "licence", "licences", "rate", "time", "failcounter", "failcount", "channels", "terminals", "ports",
];

/// A sentence without colons: «Account locked: call us».
fn words_of(part: &str) -> String {
    part.replace(':', "")
}

fn follows(rest: &str, any: &[&str]) -> bool {
    any.iter().any(|wording| rest.strip_prefix(wording).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
}

/// Whether one of the subjects is followed by one of the states, with fillers between them at the most.
fn is_in_state(part: &str, subjects: &[&str], states: &[&str]) -> bool {
    let mut rest = part.trim();
    while let Some((word, behind)) = rest.split_once(' ') {
        rest = behind;
        if !subjects.contains(&word) {
            continue;
        }
        let mut after = behind;
        for _ in 0..5 {
            if follows(after, states) {
                return true;
            }
            match after.split_once(' ') {
                Some((filler, behind)) if BETWEEN.contains(&filler) => after = behind,
                _ => break,
            }
        }
    }
    false
}

/// Whether a sentence says that an account, a token or the login is shut.
pub(super) fn is_shut(part: &str) -> bool {
    let part = words_of(part);
    STATES.iter().any(|(subjects, states)| is_in_state(&part, subjects, states))
}

/// Whether a sentence says when an account is going to be shut: «The account is locked after 5 wrong codes». Who takes the rule for
/// a verdict counts no refusal, and locks the account out.
pub(super) fn is_rule(part: &str) -> bool {
    const NUMBERS: &[&str] =
        &["two", "three", "four", "five", "six", "seven", "eight", "ten", "several", "repeated", "multiple", "too"];
    part.match_indices(" after ").any(|(at, found)| {
        let next = part[at + found.len()..].split(' ').next().unwrap_or_default();
        NUMBERS.contains(&next) || !next.is_empty() && next.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether a sentence says that what judges the login could not be asked, or did not answer in time.
pub(super) fn is_unanswered(part: &str) -> bool {
    let part = &words_of(part);
    let fails = FAILS_TO.iter().any(|verb| {
        let needle = format!(" {verb} ");
        part.match_indices(&needle).any(|(at, _)| follows(&part[at + needle.len()..], REACH))
    });
    let timeout = [" timed out ", " timeout ", " time out "].iter().any(|late| part.contains(late));
    fails || is_in_state(part, SERVERS, AWAY) || timeout && names(part, &[SERVERS, WAITED_FOR])
}

/// Whether a sentence says that there is no room: sessions, lines, licences, time.
pub(super) fn is_full(part: &str) -> bool {
    let part = &words_of(part);
    let ours = [" attempts ", " tries ", " retries ", " attempt "].iter().any(|own| part.contains(own));
    let most = [" maximum ", " max ", " limit ", " quota ", " failcounter ", " failcount "]
        .iter()
        .any(|most| part.contains(most));
    let reached = [" reached ", " exceeded ", " exhausted "].iter().any(|reached| part.contains(reached));
    let used = [" in use ", " busy ", " occupied "].iter().any(|used| part.contains(used));
    let free = [" available ", " free ", " left "].iter().any(|free| part.contains(free));
    let counted = names(part, &[COUNTED]);
    !ours && counted && (most && reached || used && part.contains(" all ") || free && part.contains(" no "))
}

/// Whether a sentence asks to come back later, and says nothing else.
pub(super) fn is_for_later(part: &str) -> bool {
    const LATER: &[&str] = &[
        " try again later ",
        " try later ",
        " retry later ",
        " come back later ",
        " try again in ",
        " retry in ",
        " try again after ",
    ];
    let wait = || {
        part.match_indices(" wait ").any(|(at, found)| {
            let number = part[at + found.len()..].split(' ').next().unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    LATER.iter().any(|later| part.contains(later)) || wait()
}

fn names(part: &str, lists: &[&[&str]]) -> bool {
    part.split(' ').any(|word| lists.iter().any(|list| list.contains(&word)))
}

/// A sentence without what it counts: «2 failed logins since Monday», «locked after 5 wrong codes», «all invalid attempts are
/// reported» tell of the past or of rules, and «Invalid password» of what was just sent.
pub(super) fn without_counts(part: &str) -> String {
    const FAILED: &[&str] = &[
        "failed",
        "invalid",
        "wrong",
        "incorrect",
        "bad",
        "unsuccessful",
        "rejected",
        "denied",
        "refused",
        "false",
        "erroneous",
        "failure",
    ];
    const MANY: &[&str] = &[
        "attempts",
        "logins",
        "logons",
        "codes",
        "passwords",
        "passcodes",
        "tries",
        "entries",
        "authentications",
        "tokens",
        "failures",
    ];
    const ONE: &[&str] = &["attempt", "login", "logon", "try", "failure"];
    let words: Vec<&str> = part.split(' ').collect();
    let mut out = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let number = at > 0 && !words[at - 1].is_empty() && words[at - 1].bytes().all(|byte| byte.is_ascii_digit());
        let counts = |word: &&str| MANY.contains(word) || number && ONE.contains(word);
        // «too many failed attempts» is a verdict.
        let many = at > 0 && words[at - 1] == "many";
        let until = words.iter().skip(at + 1).take(3).position(counts).map(|length| at + 1 + length);
        match until {
            Some(until) if FAILED.contains(&words[at]) && !many => at = until + 1,
            _ => {
                out.push(words[at]);
                at += 1;
            }
        }
    }
    out.join(" ")
}
