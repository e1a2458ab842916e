//! The whole fleet in little room: what tables filter, sort and count, for a hundred thousand accounts.
//!
//! Names stand in one text, other texts once each, and times are seconds in 32 bits. What is shown of one account alone is asked of
//! the daemon when it is looked at.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::fields::Fields;
use super::words::seconds;
use crate::control::{AccountLine, STATES};

/// Rows of a page of a table.
pub(super) const PAGE: usize = 100;

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    name: (u32, u32),
    device: u32,
    policy: u32,
    template: u32,
    jobs: u32,
    error: u32,
    warning: u32,
    since: u32,
    last_change: u32,
    next_run: u32,
    verified: u32,
    max_age: u32,
    state: u8,
    pub(super) changes: u8,
    pub(super) cap: u8,
    flags: u8,
}

const OVERDUE: u8 = 1;
const PAUSED: u8 = 2;
const PASSWORD: u8 = 4;
const CODE: u8 = 8;

fn small(seconds: i64) -> u32 {
    u32::try_from(seconds).unwrap_or(0)
}

/// Texts that stand once each.
#[derive(Debug, Clone, Default)]
struct Texts {
    texts: Vec<Box<str>>,
    places: HashMap<Box<str>, u32>,
}

impl Texts {
    fn put(&mut self, text: &str) -> u32 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.into());
        self.places.insert(text.into(), place);
        place
    }

    fn get(&self, place: u32) -> &str {
        usize::try_from(place).ok().and_then(|place| self.texts.get(place)).map_or("", |text| text)
    }
}

/// All accounts at one moment, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Fleet {
    names: String,
    /// The same in small letters, for the search.
    small_names: String,
    rows: Vec<Row>,
    texts: Texts,
}

/// A row with its texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'f> {
    fleet: &'f Fleet,
    pub(super) row: &'f Row,
}

impl<'f> Seen<'f> {
    pub(super) fn name(&self) -> &'f str {
        self.fleet.name(self.row)
    }
    pub(super) fn device(&self) -> &'f str {
        self.fleet.texts.get(self.row.device)
    }
    pub(super) fn policy(&self) -> &'f str {
        self.fleet.texts.get(self.row.policy)
    }
    pub(super) fn template(&self) -> &'f str {
        self.fleet.texts.get(self.row.template)
    }
    pub(super) fn jobs(&self) -> impl Iterator<Item = &'f str> {
        self.fleet.texts.get(self.row.jobs).split('\n').filter(|job| !job.is_empty())
    }
    pub(super) fn error(&self) -> &'f str {
        self.fleet.texts.get(self.row.error)
    }
    pub(super) fn warning(&self) -> &'f str {
        self.fleet.texts.get(self.row.warning)
    }
    pub(super) fn state(&self) -> &'static str {
        STATES.get(usize::from(self.row.state)).copied().unwrap_or("new")
    }
    pub(super) fn since(&self) -> i64 {
        i64::from(self.row.since)
    }
    pub(super) fn last_change(&self) -> i64 {
        i64::from(self.row.last_change)
    }
    pub(super) fn next_run(&self) -> i64 {
        i64::from(self.row.next_run)
    }
    pub(super) fn verified(&self) -> i64 {
        i64::from(self.row.verified)
    }
    /// The policy's `max_age` in seconds; 0 is none.
    pub(super) fn max_age(&self) -> i64 {
        i64::from(self.row.max_age)
    }
    pub(super) fn is_overdue(&self) -> bool {
        self.row.flags & OVERDUE != 0
    }
    pub(super) fn is_paused(&self) -> bool {
        self.row.flags & PAUSED != 0
    }
    pub(super) fn has_password(&self) -> bool {
        self.row.flags & PASSWORD != 0
    }
    pub(super) fn has_code(&self) -> bool {
        self.row.flags & CODE != 0
    }
    /// Whether a person has to see to it.
    pub(super) fn needs_a_person(&self) -> bool {
        matches!(self.state(), "quarantined" | "new") || !self.warning().is_empty()
    }
    /// Whether an attempt is at work on it.
    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.state(), "prepared" | "changing" | "sent" | "verifying")
    }
    /// Whether the cap allows another change now.
    pub(super) fn has_room(&self) -> bool {
        self.row.changes < self.row.cap
    }
}

/// How much an account in a state asks for a person: 0 is the most.
fn urgency(state: &str) -> u8 {
    match state {
        "quarantined" => 0,
        "uncertain" => 1,
        "sent" | "verifying" | "changing" | "prepared" => 2,
        "new" => 3,
        "paused" => 4,
        _ => 5,
    }
}

/// What of the accounts is looked for, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Search {
    pub(super) text: String,
    pub(super) state: String,
    pub(super) device: String,
    pub(super) policy: String,
    pub(super) job: String,
    /// `overdue`, `error`, `warning`, `person`, `capped`, `no-code`, `unverified`.
    pub(super) only: String,
    /// `name`, `state`, `changed`, `next` or `used`; `-` before it turns it round.
    pub(super) sort: String,
}

impl Search {
    pub(super) fn of(fields: &Fields) -> Self {
        let text = |name: &str| fields.text(name).chars().take(200).collect::<String>();
        Self {
            text: text("q").trim().to_owned(),
            state: text("state"),
            device: text("device"),
            policy: text("policy"),
            job: text("job"),
            only: text("only"),
            sort: text("sort"),
        }
    }

    /// The query that says the same, with another order or state where one is given.
    pub(super) fn query(&self, changed: &[(&str, &str)]) -> String {
        let changed = |name: &str| changed.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let own: [(&str, &str); 7] = [
            ("q", &self.text),
            ("state", &self.state),
            ("device", &self.device),
            ("policy", &self.policy),
            ("job", &self.job),
            ("only", &self.only),
            ("sort", &self.sort),
        ];
        let mut fields: Vec<(&str, &str)> =
            own.into_iter().map(|(name, value)| (name, changed(name).unwrap_or(value))).collect();
        fields.extend(changed("page").map(|page| ("page", page)));
        super::fields::query(&fields)
    }

    /// Whether it is a search for less than everything.
    pub(super) fn is_narrow(&self) -> bool {
        Self { sort: String::new(), ..self.clone() } != Self::default()
    }

    fn takes(&self, seen: &Seen<'_>, small: &str, words: &[String]) -> bool {
        let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        words.iter().all(|word| small.contains(word.as_str()) || seen.error().to_ascii_lowercase().contains(word))
            && is(&self.device, seen.device())
            && is(&self.policy, seen.policy())
            && (self.job.is_empty() || seen.jobs().any(|job| job == self.job))
            && match self.only.as_str() {
                "overdue" => seen.is_overdue(),
                "error" => !seen.error().is_empty(),
                "warning" => !seen.warning().is_empty(),
                "person" => seen.needs_a_person(),
                "capped" => !seen.has_room(),
                "no-code" => !seen.has_code(),
                "unverified" => seen.verified() == 0 && seen.last_change() == 0,
                _ => true,
            }
    }
}

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Places of rows, in order.
    places: Vec<u32>,
    /// Of all that but the state fits, how many are in each state.
    pub(super) counts: [usize; STATES.len()],
}

impl Found {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

impl Fleet {
    /// Adds an account, or puts it in the place of what was known of it. Accounts that come in the order of their names are taken
    /// fastest.
    pub(super) fn put(&mut self, line: &AccountLine) {
        let status = &line.status;
        let time = |text: &Option<String>| small(text.as_deref().map_or(0, seconds));
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let mut row = Row {
            name: (0, 0),
            device: self.texts.put(status.account.split_once('/').map_or("", |(device, _)| device)),
            policy: self.texts.put(&line.policy),
            template: self.texts.put(&line.template),
            jobs: self.texts.put(&line.jobs.join("\n")),
            error: self.texts.put(status.last_error.as_deref().unwrap_or_default()),
            warning: self.texts.put(status.warning.as_deref().unwrap_or_default()),
            since: time(&line.since),
            last_change: time(&status.last_change),
            next_run: time(&status.next_run),
            verified: time(&line.verified),
            max_age: line.max_age.map_or(0, |age| u32::try_from(age).unwrap_or(u32::MAX)),
            state: STATES
                .iter()
                .position(|state| *state == status.state)
                .and_then(|at| u8::try_from(at).ok())
                .unwrap_or(0),
            changes: u8::try_from(status.changes_24h).unwrap_or(u8::MAX),
            cap: u8::try_from(status.cap).unwrap_or(u8::MAX),
            flags: flag(status.overdue, OVERDUE)
                | flag(line.paused, PAUSED)
                | flag(line.has_password, PASSWORD)
                | flag(line.has_code, CODE),
        };
        let is_last = self.rows.last().is_none_or(|last| self.name(last) < status.account.as_str());
        let place = if is_last { Err(self.rows.len()) } else { self.place(&status.account) };
        match place {
            Ok(place) => {
                row.name = self.rows[place].name;
                self.rows[place] = row;
            }
            Err(place) => {
                let begin = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
                self.names.push_str(&status.account);
                self.small_names.push_str(&status.account.to_ascii_lowercase());
                row.name = (begin, u32::try_from(self.names.len()).unwrap_or(u32::MAX));
                self.rows.insert(place, row);
            }
        }
    }

    /// Gives back room that is not used.
    pub(super) fn shrink(&mut self) {
        self.names.shrink_to_fit();
        self.small_names.shrink_to_fit();
        self.rows.shrink_to_fit();
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    fn name(&self, row: &Row) -> &str {
        slice(&self.names, row)
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.rows.binary_search_by(|row| self.name(row).cmp(name))
    }

    fn seen(&self, row: usize) -> Option<Seen<'_>> {
        self.rows.get(row).map(|row| Seen { fleet: self, row })
    }

    /// An account by its name.
    pub(super) fn get(&self, name: &str) -> Option<Seen<'_>> {
        self.seen(self.place(name).ok()?)
    }

    /// All accounts, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = Seen<'_>> {
        self.rows.iter().map(|row| Seen { fleet: self, row })
    }

    /// The names of all policies and jobs, in order.
    pub(super) fn policies_and_jobs(&self) -> (Vec<String>, Vec<String>) {
        let distinct = |of: fn(&Row) -> u32| self.rows.iter().map(of).collect::<BTreeSet<_>>();
        let mut policies: Vec<String> =
            distinct(|row| row.policy).into_iter().map(|at| self.texts.get(at).to_owned()).collect();
        policies.sort();
        let jobs = distinct(|row| row.jobs);
        let jobs: BTreeSet<&str> = jobs.into_iter().flat_map(|at| self.texts.get(at).split('\n')).collect();
        (policies, jobs.into_iter().filter(|job| !job.is_empty()).map(str::to_owned).collect())
    }

    /// Finds and sorts.
    pub(super) fn find(&self, search: &Search) -> Found {
        let words: Vec<String> = search.text.split_whitespace().map(str::to_ascii_lowercase).collect();
        let mut found = Found::default();
        for (place, row) in self.rows.iter().enumerate() {
            let seen = Seen { fleet: self, row };
            if !search.takes(&seen, slice(&self.small_names, row), &words) {
                continue;
            }
            if let Some(count) = found.counts.get_mut(usize::from(row.state)) {
                *count += 1;
            }
            if search.state.is_empty() || search.state == seen.state() {
                found.places.push(u32::try_from(place).unwrap_or(u32::MAX));
            }
        }
        self.sort(&mut found.places, &search.sort);
        found
    }

    fn sort(&self, places: &mut [u32], sort: &str) {
        let row = |place: &u32| &self.rows[usize::try_from(*place).unwrap_or(0)];
        let (key, reversed) = sort.strip_prefix('-').map_or((sort, false), |key| (key, true));
        match key {
            // What has none comes last.
            "changed" => places.sort_by_key(|place| Reverse(row(place).last_change)),
            "next" => places.sort_by_key(|place| row(place).next_run.wrapping_sub(1)),
            "used" => places.sort_by_key(|place| Reverse(row(place).changes)),
            "state" => places.sort_by_key(|place| {
                let row = row(place);
                (urgency(Seen { fleet: self, row }.state()), Reverse(row.since))
            }),
            _ => {}
        }
        if reversed {
            places.reverse();
        }
    }

    /// The rows of a page, from 0.
    pub(super) fn page<'f>(&'f self, found: &'f Found, page: usize) -> impl Iterator<Item = Seen<'f>> {
        self.all_found(found).skip(page.saturating_mul(PAGE)).take(PAGE)
    }

    /// All rows that were found.
    pub(super) fn all_found<'f>(&'f self, found: &'f Found) -> impl Iterator<Item = Seen<'f>> {
        found.places.iter().filter_map(|place| self.seen(usize::try_from(*place).ok()?))
    }

    /// The names of accounts that differ from those of another moment, 200 at most; `None` where it is not worth naming them.
    pub(super) fn changed_since<'f>(&'f self, former: &Fleet) -> Option<Vec<&'f str>> {
        if self.rows.len() != former.rows.len() {
            return None;
        }
        let mut changed = Vec::new();
        for (new, old) in self.iter().zip(former.iter()) {
            let same = new.name() == old.name()
                && (new.row.state, new.row.since, new.row.last_change, new.row.changes, new.row.flags)
                    == (old.row.state, old.row.since, old.row.last_change, old.row.changes, old.row.flags)
                && new.error() == old.error()
                && new.warning() == old.warning();
            if !same {
                changed.push(new.name());
            }
            if changed.len() > 200 {
                return None;
            }
        }
        Some(changed)
    }
}

fn slice<'t>(names: &'t str, row: &Row) -> &'t str {
    let at = |place: u32| usize::try_from(place).unwrap_or(0);
    names.get(at(row.name.0)..at(row.name.1)).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::control::AccountStatus;

    pub(in crate::web) fn line(account: &str, state: &str) -> AccountLine {
        AccountLine {
            status: AccountStatus {
                waiting: None,
                account: account.into(),
                state: state.into(),
                last_change: Some("2026-11-01T00:00:00Z".into()),
                next_run: None,
                changes_24h: 0,
                cap: 2,
                last_error: None,
                verify_error: None,
                warning: None,
                overdue: false,
                totp_skew: 0,
            },
            since: Some("2026-11-02T00:00:00Z".into()),
            verified: None,
            paused: false,
            attempt: None,
            has_password: true,
            has_code: true,
            policy: "default".into(),
            max_age: Some(7_776_000),
            template: "linux-passwd".into(),
            login_as: None,
            reconcile_as: None,
            after: None,
            jobs: vec!["nightly".into()],
        }
    }

    fn fleet() -> Fleet {
        let mut fleet = Fleet::default();
        for (name, state) in [("Web1/admin", "idle"), ("core/root", "quarantined"), ("web2/admin", "idle")] {
            fleet.put(&line(name, state));
        }
        let mut late = line("web2/backup", "paused");
        late.status.overdue = true;
        late.status.changes_24h = 2;
        late.status.last_error = Some("Connection refused".into());
        late.jobs = Vec::new();
        fleet.put(&late);
        fleet
    }

    fn names(fleet: &Fleet, search: &Search) -> Vec<String> {
        let found = fleet.find(search);
        fleet.all_found(&found).map(|seen| seen.name().to_owned()).collect()
    }

    #[test]
    fn accounts_are_found_by_each_filter_and_by_words() {
        let fleet = fleet();
        let search = |change: fn(&mut Search)| {
            let mut search = Search::default();
            change(&mut search);
            names(&fleet, &search)
        };
        assert_eq!(search(|_| {}), ["Web1/admin", "core/root", "web2/admin", "web2/backup"]);
        assert_eq!(search(|it| it.text = "WEB admin".into()), ["Web1/admin", "web2/admin"]);
        assert_eq!(search(|it| it.text = "refused".into()), ["web2/backup"]);
        assert_eq!(search(|it| it.state = "idle".into()), ["Web1/admin", "web2/admin"]);
        assert_eq!(search(|it| it.device = "web2".into()), ["web2/admin", "web2/backup"]);
        assert_eq!(search(|it| it.job = "nightly".into()), ["Web1/admin", "core/root", "web2/admin"]);
        assert_eq!(search(|it| it.only = "overdue".into()), ["web2/backup"]);
        assert_eq!(search(|it| it.only = "capped".into()), ["web2/backup"]);
        assert_eq!(search(|it| it.only = "person".into()), ["core/root"]);
        assert_eq!(search(|it| it.policy = "other".into()), [""; 0]);
        assert_eq!(search(|it| it.sort = "state".into()), ["core/root", "web2/backup", "Web1/admin", "web2/admin"]);
        assert_eq!(search(|it| it.sort = "-used".into()).last().map(String::as_str), Some("web2/backup"));
    }

    #[test]
    fn counts_are_those_of_the_other_filters() {
        let fleet = fleet();
        let found = fleet.find(&Search { state: "paused".into(), text: "web2".into(), ..Search::default() });
        let count = |state: &str| found.counts[STATES.iter().position(|known| *known == state).unwrap()];
        assert_eq!((found.len(), count("idle"), count("paused"), count("quarantined")), (1, 1, 1, 0));
    }

    #[test]
    fn an_account_that_comes_again_stands_in_its_own_place() {
        let (former, mut fleet) = (fleet(), fleet());
        assert_eq!(fleet.changed_since(&former), Some(vec![]));
        fleet.put(&line("core/root", "verifying"));
        assert_eq!((fleet.len(), fleet.get("core/root").unwrap().state()), (4, "verifying"));
        assert_eq!(fleet.changed_since(&former), Some(vec!["core/root"]));
        fleet.put(&line("aaa/b", "idle"));
        assert_eq!(fleet.iter().map(|seen| seen.name()).max_by_key(|name| name.len()), Some("web2/backup"));
        assert!(fleet.get("aaa/b").is_some() && fleet.changed_since(&former).is_none());
    }

    #[test]
    fn a_hundred_thousand_accounts_take_little_room() {
        assert!(size_of::<Row>() <= 60, "{}", size_of::<Row>());
        let search = Search { text: "a b".into(), sort: "-next".into(), ..Search::default() };
        assert_eq!(search.query(&[("page", "2"), ("sort", "name")]), "q=a%20b&sort=name&page=2");
        assert!(search.is_narrow() && !Search { sort: "state".into(), ..Search::default() }.is_narrow());
    }
}
