//! `rotorctl status`: a table that fits the terminal, a line that sums it up, and what needs a person.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use super::args::StatusArgs;
use super::output::{self, Size, local, put, safe, say, short, table};
use super::remote::print;
use super::{Failure, interrupted, top};
use crate::clock;
use crate::control::{AccountStatus, Client, STATES, StatusBody};
use crate::model::printable_lines;

/// How often a view that is kept is looked at anew.
const AGAIN: Duration = Duration::from_secs(2);
/// What is left for the last column at the least, before other columns give way.
const LAST_COLUMN: usize = 20;
/// The last column where no terminal bounds it.
const UNBOUNDED: usize = 80;

pub(super) async fn run(client: &Client, args: &StatusArgs, json: bool) -> Result<u8, Failure> {
    if args.watch && !json && output::size().is_some() && std::io::stdin().is_terminal() {
        return top::run(client, args).await;
    }
    let body = fetch(client, args).await?;
    if !args.watch {
        if json {
            return print(&body);
        }
        put!("{}", told(&body, output::size().map(|size| size.columns)));
        return Ok(0);
    }
    let mut shown: Result<StatusBody, Failure> = Ok(body);
    loop {
        match (&shown, json) {
            (Ok(body), true) => drop(print(body)?),
            (Ok(body), false) => view(&told(body, output::size().map(|size| size.columns))),
            (Err(failure), true) => eprintln!("rotorctl: {}", safe(&failure.message)),
            // The daemon may be starting again.
            (Err(failure), false) => view(&format!("{}\n", safe(&failure.message))),
        }
        tokio::select! {
            () = interrupted() => return Ok(0),
            () = tokio::time::sleep(AGAIN) => {}
        }
        shown = fetch(client, args).await;
    }
}

/// What the daemon says of the accounts that are asked for.
pub(super) async fn fetch(client: &Client, args: &StatusArgs) -> Result<StatusBody, Failure> {
    let mut known = BTreeSet::new();
    let mut body = StatusBody::default();
    let states = args.state.join(",");
    let mut filter: Vec<(&str, &str)> = Vec::new();
    filter.extend((!states.is_empty()).then_some(("state", states.as_str())));
    filter.extend(args.device.as_deref().map(|device| ("device", device)));
    filter.extend(args.overdue.then_some(("overdue", "true")));
    let globs: Vec<Option<&str>> = if args.accounts.is_empty() {
        vec![None]
    } else {
        args.accounts.iter().map(|glob| Some(glob.as_str())).collect()
    };
    for glob in globs {
        let query: Vec<(&str, &str)> = filter.iter().copied().chain(glob.map(|glob| ("account", glob))).collect();
        let part: StatusBody = client.get("/v1/status", &query).await?;
        // Two globs may name the same account.
        body.accounts.extend(part.accounts.into_iter().filter(|account| known.insert(account.account.clone())));
        body = StatusBody { accounts: body.accounts, ..part };
    }
    // The unit's ProtectClock= forbids the daemon to ask the kernel; this program may.
    body.clock_warning = body.clock_warning.or_else(|| clock::unsynchronised(clock::host_is_synchronised()));
    Ok(body)
}

/// Shows a text in the place of the one before.
fn view(text: &str) {
    match output::size() {
        Some(size) => put!("{}", screen(text, size)),
        None => say!("{text}"),
    }
}

/// A screen with as much of a text as there is room for (ECMA-48: CUP, EL, ED).
fn screen(text: &str, size: Size) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let room = size.rows.saturating_sub(2).max(1);
    let mut out = "\u{1b}[H".to_owned();
    let kept = if lines.len() > room { room.saturating_sub(1) } else { lines.len() };
    let more = (lines.len() - kept > 0)
        .then(|| format!("… {} lines more; --state, --device and ACCOUNT show fewer", lines.len() - kept));
    for line in lines[..kept].iter().copied().chain(more.as_deref()) {
        let line: String = line.chars().take(size.columns).collect();
        let _ = write!(out, "{line}\u{1b}[K\r\n");
    }
    out + "\u{1b}[J"
}

/// All that is told, for a terminal so wide, or for none.
fn told(body: &StatusBody, columns: Option<usize>) -> String {
    let mut text = fitting(&body.accounts, columns);
    let _ = write!(text, "\n\n{}\n", summary(&body.accounts));
    if let Some(error) = &body.vault_error {
        let _ = writeln!(text, "\nThe vault cannot be written, so no rotation starts: {}", safe(error));
    }
    let mut off: Vec<(&str, i64)> = body
        .accounts
        .iter()
        .filter(|account| account.totp_skew != 0)
        .filter_map(|account| Some((account.account.split_once('/')?.0, account.totp_skew)))
        .collect();
    off.dedup();
    for (device, steps) in off {
        let _ = writeln!(text, "\nThe clock of {} is off: it takes codes of {steps:+} time steps.", safe(device));
    }
    for account in &body.accounts {
        if let Some(warning) = &account.warning {
            let name = safe(&account.account);
            let _ =
                writeln!(text, "\nWarning: {name}: {}; when you have seen to it: rotorctl ack {name}", safe(warning));
        }
    }
    for warning in
        [&body.escrow_error, &body.audit_finding, &body.clock_warning, &body.logins_held].into_iter().flatten()
    {
        let _ = writeln!(text, "\nWarning: {}", safe(warning));
    }
    for trouble in body.notify_error.iter().flat_map(|error| error.lines()) {
        let _ = writeln!(text, "\nWarning: {}", safe(trouble));
    }
    if let Some(error) = &body.config_error {
        let _ = writeln!(text, "\nThe new config was refused, the old one is in force:\n{}", printable_lines(error));
    }
    text
}

/// How many accounts are in each state, and how many of them need a look.
fn summary(accounts: &[AccountStatus]) -> String {
    let counted = |count: usize, what: &str| (count > 0).then(|| format!("{count} {what}"));
    let states = STATES
        .iter()
        .filter_map(|state| counted(accounts.iter().filter(|account| account.state == *state).count(), state));
    let noted = [
        counted(accounts.iter().filter(|account| account.overdue).count(), "overdue"),
        counted(accounts.iter().filter(|account| account.last_error.is_some()).count(), "with an error"),
        counted(accounts.iter().filter(|account| account.warning.is_some()).count(), "with a warning"),
    ];
    let parts = [states.collect::<Vec<_>>().join(", "), noted.into_iter().flatten().collect::<Vec<_>>().join(", ")];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let accounts = if accounts.len() == 1 { "1 account".to_owned() } else { format!("{} accounts", accounts.len()) };
    if parts.is_empty() { accounts } else { format!("{accounts}: {}", parts.join("; ")) }
}

/// What columns there are, from the most to the fewest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    All,
    /// Times without year and seconds.
    ShortTimes,
    /// And without the coming run.
    NoNextRun,
    /// Account, state and error alone.
    Least,
}

impl Form {
    fn header(self) -> &'static [&'static str] {
        match self {
            Self::All | Self::ShortTimes => &["ACCOUNT", "STATE", "LAST CHANGE", "NEXT RUN", "24 H", "LAST ERROR"],
            Self::NoNextRun => &["ACCOUNT", "STATE", "LAST CHANGE", "24 H", "LAST ERROR"],
            Self::Least => &["ACCOUNT", "STATE", "LAST ERROR"],
        }
    }

    fn row(self, account: &AccountStatus) -> Vec<String> {
        let time = |time: &Option<String>| {
            let told = local(time.as_deref());
            // 2026-12-24 02:30:00
            if self == Self::All { told } else { told.get(5..16).map_or(told.clone(), str::to_owned) }
        };
        let changed = time(&account.last_change) + if account.overdue { " overdue" } else { "" };
        let used = format!("{}/{}", account.changes_24h, account.cap);
        let told = match (&account.last_error, &account.warning) {
            _ if account.waiting.is_some() => {
                let asked = account.waiting.as_deref().unwrap_or_default();
                short(&format!("rotorctl browser {}: {asked}", account.account), usize::MAX)
            }
            (Some(error), _) => short(error, usize::MAX),
            (None, Some(warning)) => short(&format!("warning: {warning}"), usize::MAX),
            (None, None) => "-".to_owned(),
        };
        let state = if account.waiting.is_some() { "waiting for a person" } else { &account.state };
        let (name, state) = (safe(&account.account), state.to_owned());
        match self {
            Self::All | Self::ShortTimes => vec![name, state, changed, time(&account.next_run), used, told],
            Self::NoNextRun => vec![name, state, changed, used, told],
            Self::Least => vec![name, state, told],
        }
    }
}

/// The table, none of whose lines is longer than a terminal is wide.
fn fitting(accounts: &[AccountStatus], columns: Option<usize>) -> String {
    let width = |rows: &[Vec<String>], header: &[&str], column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    for form in [Form::All, Form::ShortTimes, Form::NoNextRun, Form::Least] {
        let header = form.header();
        let mut rows: Vec<Vec<String>> = accounts.iter().map(|account| form.row(account)).collect();
        let last = header.len() - 1;
        let before: usize = (0..last).map(|column| width(&rows, header, column) + 2).sum();
        let wanted = width(&rows, header, last).min(LAST_COLUMN);
        let room = match columns {
            None => UNBOUNDED,
            Some(columns) if before + wanted <= columns => columns - before,
            Some(columns) if form == Form::Least => {
                let names = width(&rows, header, 0);
                let kept = (columns + names).saturating_sub(before + wanted).max(header[0].len());
                rows.iter_mut().for_each(|row| row[0] = short(&row[0], kept));
                wanted
            }
            Some(_) => continue,
        };
        rows.iter_mut().for_each(|row| row[last] = short(&row[last], room));
        return table(header, &rows);
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str, state: &str, error: Option<&str>) -> AccountStatus {
        AccountStatus {
            account: name.into(),
            state: state.into(),
            last_change: Some("2026-12-24T02:30:00Z".into()),
            next_run: Some("2026-12-25T02:30:00Z".into()),
            changes_24h: 1,
            cap: 2,
            last_error: error.map(str::to_owned),
            verify_error: None,
            warning: None,
            overdue: state == "new",
            waiting: None,
            totp_skew: 0,
        }
    }

    fn fleet() -> Vec<AccountStatus> {
        vec![
            account("web1/admin", "idle", None),
            account("core-switch-in-the-cellar/administrator", "quarantined", Some(&"the device said no, ".repeat(9))),
            account("web2/admin", "new", None),
        ]
    }

    #[test]
    fn a_table_fits_any_terminal_and_keeps_what_matters() {
        for columns in 48..200 {
            let text = fitting(&fleet(), Some(columns));
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= columns, "{columns}: {text}");
            for kept in ["ACCOUNT", "STATE", "LAST ERROR", "web1/admin", "quarantined", "the device said"] {
                assert!(text.contains(kept), "{columns}: {text}");
            }
            assert!(!text.contains("  \n"), "{text}");
        }
        assert!(fitting(&fleet(), Some(199)).contains("NEXT RUN") && !fitting(&fleet(), Some(60)).contains("NEXT RUN"));
        assert!(fitting(&fleet(), None).lines().nth(2).unwrap().contains("the device said no, the device said no"));
    }

    #[test]
    fn the_summary_counts_states_and_what_needs_a_look() {
        assert_eq!(summary(&fleet()), "3 accounts: 1 new, 1 idle, 1 quarantined; 1 overdue, 1 with an error");
        assert_eq!(summary(&fleet()[..1]), "1 account: 1 idle");
        assert_eq!(summary(&[]), "0 accounts");
    }

    #[test]
    fn a_kept_view_is_as_large_as_the_screen() {
        let text: String = (0..100).map(|n| format!("line {n} {}\n", "x".repeat(100))).collect();
        let shown = screen(&text, Size { columns: 40, rows: 10 });
        assert_eq!(shown.matches("\r\n").count(), 8);
        assert!(
            shown.contains("… 93 lines more") && shown.starts_with("\u{1b}[H") && shown.ends_with("\u{1b}[J"),
            "{shown:?}"
        );
        assert!(shown.lines().all(|line| line.replace("\u{1b}[K", "").replace("\u{1b}[H", "").chars().count() <= 40));
    }
}
