//! `[account."DEVICE/USERNAME"]` sections, and what accounts, devices and jump hosts say of each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use toml::de::DeTable;

use super::build::{Named, Reference};
use super::devices::Devices;
use super::table::{At, Table};
use super::{Account, Library, accounts_on};
use crate::model::{AccountName, DeviceName};
use crate::policy::{PasswordRules, Policy};
use crate::template::{Changes, Checked};

pub(super) type Accounts<'a> = BTreeMap<AccountName, (Arc<Account>, Vec<(AccountName, Reference<'a>)>)>;

pub(super) fn accounts<'a>(
    named: Named<'a, &'a DeTable<'a>>,
    devices: &Devices<'_>,
    policies: &BTreeMap<String, Arc<Policy>>,
    library: &Library,
) -> Accounts<'a> {
    let mut accounts: Accounts<'a> = BTreeMap::new();
    // What is said of a policy and a template is the same for all accounts of the two.
    let mut unfit: HashMap<(*const Policy, *const Checked), Unfit> = HashMap::new();
    for (text, (table, report, span)) in named {
        let mut table = Table::new(table, span.clone(), format!("[account.\"{text}\"]"), report);
        let name = match AccountName::parse(&text) {
            Ok(name) => name,
            Err(error) => {
                report.error(span, "C005", error.to_string());
                continue;
            }
        };
        let mut references = Vec::new();
        let mut reference = |key: &'static str, found: Option<At<AccountName>>| {
            found.map(|(account, span)| {
                references.push((account.clone(), Reference { report, span, key }));
                account
            })
        };
        let parse = |text: &str| AccountName::parse(text).map_err(|error| error.to_string());
        let login_as = reference("login_as", table.name("login_as", parse));
        let reconcile_as = reference("reconcile_as", table.name("reconcile_as", parse));
        let after = reference("after", table.name("after", parse));
        let mut policy_at = span.clone();
        let policy = match table.string("policy") {
            None => policies.get("default").cloned(),
            Some((name, at)) => {
                policy_at = at.clone();
                if !policies.contains_key(&name) {
                    Reference { report, span: at, key: "policy" }.unknown(
                        "policy",
                        &name,
                        policies.keys().map(String::as_str),
                    );
                }
                policies.get(&name).cloned()
            }
        };
        let fields = table.fields();
        table.finish();
        let Some((device, _)) = devices.get(name.device_str()) else {
            let known = devices.keys().map(DeviceName::as_str);
            Reference { report, span, key: "account" }.unknown("device", name.device_str(), known);
            continue;
        };
        let entry = library.find(&device.template).ok();
        let template = entry.and_then(|entry| Some((entry.template.clone()?, entry.file.as_path())));
        let (Some(policy), Some((template, file))) = (policy, template) else {
            continue;
        };
        let pair = (Arc::as_ptr(&policy), Arc::as_ptr(&template));
        let unfit = unfit.entry(pair).or_insert_with(|| Unfit::of(&policy.password, &template, &device.template, file));
        for message in &unfit.beyond {
            report.error(policy_at.clone(), "C011", message.clone());
        }
        if let Some(message) = &unfit.cut_off {
            report.warning(policy_at.clone(), "C016", message.clone());
        }
        let account = Account {
            name: name.clone(),
            policy,
            device: device.clone(),
            login_as,
            reconcile_as,
            after,
            fields,
            template,
        };
        accounts.insert(name, (Arc::new(account), references));
    }
    judge_references(&accounts, library);
    accounts
}

/// Tells which accounts name another one that is not there, or that cannot do what it is named for.
fn judge_references(accounts: &Accounts<'_>, library: &Library) {
    let parent = |name: &AccountName| accounts.get(name)?.0.after.as_ref();
    let circles = on_circles(accounts.keys(), parent);
    for (account, references) in accounts.values() {
        let account = account.as_ref();
        for (target, reference) in references {
            if !accounts.contains_key(target) {
                reference.unknown("account", target.as_str(), accounts.keys().map(AccountName::as_str));
            } else if reference.key == "reconcile_as" && *target == account.name {
                let message = "'reconcile_as' must be another account: this one is not known to log in any more";
                reference.report.error(reference.span.clone(), "C005", message);
            } else if reference.key == "login_as" && target.device() != account.name.device() {
                reference.report.error(
                    reference.span.clone(),
                    "C005",
                    "'login_as' must be an account of the same device",
                );
            } else if reference.key == "after" && circles.contains(&account.name) {
                reference.report.error(reference.span.clone(), "C005", "'after' goes round in a circle");
            } else if *target != account.name {
                check_who_is_changed(account, target, reference, library);
            }
        }
    }
}

/// Tells where the template would change the password of the account that logs in for this one.
fn check_who_is_changed(account: &Account, login: &AccountName, reference: &Reference<'_>, library: &Library) {
    let template = match reference.key {
        "login_as" => &account.template,
        "reconcile_as" => account.template.reconcile().unwrap_or(&account.template),
        _ => return,
    };
    let (name, key) = (&account.device.template, reference.key);
    match template.changes() {
        Changes::Named | Changes::Other => {}
        Changes::LoginAccount => {
            let message = format!(
                "template '{name}' changes the password of the account that logs in: with {key} = \"{login}\" it would change {login} and not {}; {}",
                account.name,
                template_that_names(&account.device.template, template, library)
            );
            reference.report.error(reference.span.clone(), "C014", message);
        }
        Changes::Unclear => {
            let message = format!(
                "template '{name}' sends no [#USERNAME#], so it cannot be told whether {key} = \"{login}\" changes {} or {login}; say it in the template: info changes \"named\" (a field names the account), \"other\" (an enable secret, or a fixed account) or \"self\"",
                account.name
            );
            reference.report.warning(reference.span.clone(), "C015", message);
        }
    }
}

/// What to do about a template that changes the login account: another one for the same kind of device, if there is one.
fn template_that_names(name: &str, template: &Checked, library: &Library) -> String {
    let stem = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let family = |name: &str| stem(name).split('-').next().unwrap_or_default().to_owned();
    let fits = |other: &str, found: &Checked| match (template.info("vendor"), found.info("vendor")) {
        (Some(here), Some(there)) => here.eq_ignore_ascii_case(there),
        _ => family(other) == family(name),
    };
    let fitting: Vec<String> = library
        .iter()
        .filter_map(|(other, entry)| Some((other, entry.template.as_ref()?)))
        .filter(|(other, found)| found.changes() == Changes::Named && fits(other, found))
        .map(|(other, _)| format!("'{}'", stem(other)))
        .collect();
    if fitting.is_empty() {
        "use a template that names the account with [#USERNAME#]; if this one changes something else, such as an enable secret, say so in it: info changes \"other\"".into()
    } else {
        format!("use a template that names the account: {}", fitting.join(", "))
    }
}

/// What of a policy's passwords does not fit the devices of a template.
struct Unfit {
    /// They do not take it.
    beyond: Vec<String>,
    /// They may not look at all of it.
    cut_off: Option<String>,
}

impl Unfit {
    fn of(rules: &PasswordRules, template: &Checked, name: &str, file: &Path) -> Self {
        let length = rules.length;
        let counts = template.password_limits().significant.filter(|counts| length > *counts);
        let cut_off = counts.map(|counts| {
            format!(
                "devices of template '{name}' may compare the first {counts} characters of a password only (classic crypt), and the policy's length is {length}; set a longer hash in the device's own configuration, or know that the rest does not count"
            )
        });
        Self { beyond: beyond_limits(rules, template, name, file), cut_off }
    }
}

/// What of a policy's passwords a device does not take.
fn beyond_limits(rules: &PasswordRules, template: &Checked, name: &str, file: &Path) -> Vec<String> {
    let limits = template.password_limits();
    let mut messages = Vec::new();
    let at = |key| template.info_line(key).map_or_else(String::new, |line| format!(" ({}:{line})", file.display()));
    let mut tell = |key, what: String, remedy: String| {
        messages.push(format!("{what}, which devices of template '{name}' do not take{}; {remedy}", at(key)));
    };
    if let Some(symbols) = limits.symbols.filter(|_| rules.symbols > 0) {
        let bad: String = rules.symbol_set.chars().filter(|c| !symbols.contains(*c)).collect();
        if !bad.is_empty() {
            let remedy = format!("a policy with symbol_set = \"{symbols}\" or less is needed");
            tell("password-symbols", format!("the policy's symbol_set has {bad}"), remedy);
        }
    }
    let length = rules.length;
    if let Some(most) = limits.max_length.filter(|most| length > *most) {
        let remedy = format!("they take {most} characters at the most, and a policy with length = {most} is needed");
        tell("password-max-length", format!("the policy's length is {length}"), remedy);
    }
    if let Some(least) = limits.min_length.filter(|least| length < *least) {
        let remedy = format!("they demand {least} characters, and a policy with length = {least} is needed");
        tell("password-min-length", format!("the policy's length is {length}"), remedy);
    }
    let whole: String = limits.forbidden.split_whitespace().filter(|text| text.len() == 1).collect();
    let bad: String = rules.symbol_set.chars().filter(|c| rules.symbols > 0 && whole.contains(*c)).collect();
    if !bad.is_empty() {
        let remedy = format!("a symbol_set without {bad} is needed");
        tell("password-forbidden", format!("the policy's symbol_set has {bad}"), remedy);
    }
    if ('a'..='z').chain('A'..='Z').all(|letter| limits.forbidden_first.contains(letter)) {
        let remedy = "a password of rotord's begins with a letter, and this template leaves none".to_owned();
        tell("password-forbidden-first", "a password begins with a letter".into(), remedy);
    }
    messages
}

/// Those of some names that lie on a circle, where each leads to one other at the most. Each is looked at once.
fn on_circles<'n, T: Ord>(
    names: impl IntoIterator<Item = &'n T>,
    next: impl Fn(&'n T) -> Option<&'n T>,
) -> BTreeSet<&'n T> {
    let mut circles = BTreeSet::new();
    // Each name that was come by, with the start of the walk that came by it.
    let mut seen: BTreeMap<&T, usize> = BTreeMap::new();
    for (walk, start) in names.into_iter().enumerate() {
        // Who leads nowhere is on no circle.
        let mut at = next(start).map(|_| start);
        while let Some(name) = at.filter(|name| !seen.contains_key(name)) {
            seen.insert(name, walk);
            at = next(name);
        }
        let Some(met) = at.filter(|met| seen.get(met) == Some(&walk)) else { continue };
        let mut round = Some(met);
        while let Some(name) = round.filter(|name| circles.insert(*name)) {
            round = next(name);
        }
    }
    circles
}

pub(super) fn check_jumps(devices: &Devices<'_>, accounts: &Accounts<'_>) {
    let circles = on_circles(devices.keys(), |name: &DeviceName| devices.get(name)?.0.jump());
    for (name, (device, reference)) in devices {
        let (Some(jump), Some(reference)) = (device.jump(), reference) else {
            continue;
        };
        let Some((gateway, _)) = devices.get(jump) else {
            reference.unknown("device", jump.as_str(), devices.keys().map(DeviceName::as_str));
            continue;
        };
        if circles.contains(name) {
            reference.report.error(reference.span.clone(), "C005", "'jump' goes round in a circle");
        }
        let at_gateway: Vec<&AccountName> = accounts_on(accounts, jump.as_str()).map(|(account, _)| account).collect();
        match gateway.jump_account() {
            Some(account) if !at_gateway.contains(&account) => {
                let message = format!("device '{jump}' has jump_account = \"{account}\", which is no account of it");
                reference.report.error(reference.span.clone(), "C007", message);
            }
            None if at_gateway.len() != 1 && !all_have_namesakes(name, &at_gateway, accounts) => {
                let count = at_gateway.len();
                let message = format!(
                    "device '{jump}' has {count} accounts; say which one logs in there: jump_account = \"{jump}/NAME\" in [device.{jump}]"
                );
                reference.report.error(reference.span.clone(), "C007", message);
            }
            _ => {}
        }
    }
}

/// Whether every account of a device has one of the same user name at the jump host.
fn all_have_namesakes(device: &DeviceName, at_gateway: &[&AccountName], accounts: &Accounts<'_>) -> bool {
    let has = |account: &AccountName| at_gateway.iter().any(|other| other.user() == account.user());
    accounts_on(accounts, device.as_str()).map(|(account, _)| account).all(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_what_only_leads_to_one_is_none() {
        // 0 → 1 → 2 → 0, 3 → 1, 4 → 4, 5 → 6 → 7 and no further.
        let next = [Some(1), Some(2), Some(0), Some(1), Some(4), Some(6), Some(7), None];
        let names: Vec<usize> = (0..next.len()).collect();
        let found = on_circles(&names, |name| names.get(next[*name]?));
        assert_eq!(found.into_iter().copied().collect::<Vec<_>>(), [0, 1, 2, 4]);
    }

    #[test]
    fn a_chain_of_any_length_is_looked_at_in_a_moment() {
        let names: Vec<usize> = (0..1_000_000).collect();
        let looked = std::cell::Cell::new(0u32);
        let next = |name: &usize| {
            looked.set(looked.get() + 1);
            names.get(name + 1)
        };
        assert!(on_circles(&names, next).is_empty());
        assert!(looked.get() <= 2_000_000, "{}", looked.get());
    }
}
