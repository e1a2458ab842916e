//! Mail against a real server that refuses addresses and mails, or puts them off: nobody gets a mail twice, nothing is held up, and
//! what was left out is told under one id.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::lab::{Place, wait_for};
use crate::notify::{accounts, cause_events, certificates, file, mail_server, notifiers, read};

/// What the server has of mails: whom they are for, their ids and their text.
fn mails(path: &Path) -> Vec<(String, String, String)> {
    let lines = read(path);
    let all = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.map(|mail| {
        let data = mail["data"].as_str().unwrap().to_owned();
        let id = data.lines().find_map(|line| line.strip_prefix("X-Rotord-Id: ")).unwrap().trim().to_owned();
        (mail["to"][0].as_str().unwrap().to_owned(), id, data)
    })
    .collect()
}

/// Something that is told: the first verify of an account that cannot be reached.
fn trouble(place: &Place, number: usize) {
    place.ctl(&["verify", &format!("dc2/user{number}")], "");
}

fn with_mail(place: &Place, sections: &str, to: &str, more: &str) -> crate::notify::Program {
    let made = certificates(place);
    let (port, server) = mail_server(place, &made);
    let password = file(place, "mail.password", "swordfish\n");
    place.configure(&format!(
        "{sections}[notify.mail]\nkind = \"email\"\nserver = \"localhost:{port}\"\nfrom = \"rotord@example.org\"\nto = [{to}]\nuser = \"rotord\"\npassword_file = \"{}\"\nca_file = \"{}\"\nfold = \"1s\"\n{more}",
        password.display(),
        made.ca.display()
    ));
    server
}

#[test]
fn an_address_that_is_refused_or_put_off_holds_up_and_repeats_nobody_else_s_mail() {
    let sections = accounts(4);
    let place = Place::new(&sections);
    let out = place.path("mails.jsonl");
    let _server =
        with_mail(&place, &sections, "\"refused@example.org\", \"later@example.org\", \"oncall@example.org\"", "");
    let later = file(&place, "mails.jsonl.later", "");
    let mut daemon = place.daemon();
    wait_for("the notifier", || notifiers(&place).get("mail").cloned());
    cause_events(&place, 4);
    for number in 0..3 {
        let before = notifiers(&place)["mail"]["last_success"].clone();
        trouble(&place, number);
        let named = format!("dc2/user{number} did not pass");
        wait_for("the mail to who is not refused", || {
            mails(&out).iter().any(|(to, _, text)| to == "oncall@example.org" && text.contains(&named)).then_some(())
        });
        // It is durable that it was taken.
        wait_for("the success", || (notifiers(&place)["mail"]["last_success"] != before).then_some(()));
        let told = wait_for("both errors", || {
            let told = notifiers(&place)["mail"]["last_error"].as_str().unwrap_or_default().to_owned();
            ["refused@example.org: ", "later@example.org: "].iter().all(|it| told.contains(it)).then_some(told)
        });
        assert!(!told.contains("oncall@example.org"), "{told}");
        // What was refused for good is left out at once, and is counted.
        wait_for("the count", || (notifiers(&place)["mail"]["dropped"] == 1).then_some(()));
        daemon.kill();
        daemon = place.daemon();
        wait_for("the notifier", || notifiers(&place).get("mail").cloned());
    }
    assert!(mails(&out).iter().all(|(to, ..)| to == "oncall@example.org"));
    std::fs::remove_file(later).unwrap();
    place.must(&["notify", "test", "mail"], "");
    wait_for("the mails that were put off", || {
        let theirs: String = mails(&out).into_iter().filter(|it| it.0 == "later@example.org").map(|it| it.2).collect();
        (0..3).all(|number| theirs.contains(&format!("dc2/user{number}"))).then_some(())
    });
    let mut seen = BTreeSet::new();
    for (to, id, text) in mails(&out) {
        assert!(seen.insert((to, id)), "twice: {text}");
    }
    daemon.stop();
}

#[test]
fn what_is_left_out_is_told_under_one_id_over_kills_and_holds_up_nothing() {
    let sections = accounts(4);
    let place = Place::new(&sections);
    let (out, refused) = (place.path("mails.jsonl"), place.path("mails.jsonl.refused"));
    let _server = with_mail(&place, &sections, "\"oncall@example.org\"", "");
    let refuse = file(&place, "mails.jsonl.refuse", "");
    let daemon = place.daemon();
    wait_for("the notifier", || notifiers(&place).get("mail").cloned());
    cause_events(&place, 4);
    trouble(&place, 0);
    let tells = |path: &Path| -> Vec<(String, String)> {
        let all = mails(path).into_iter().filter(|(.., text)| text.contains("were not sent to notifier mail"));
        all.map(|(_, id, text)| (id, text)).collect()
    };
    wait_for("a mail that is refused", || {
        mails(&refused).iter().any(|(.., text)| text.contains("dc2/user0")).then_some(())
    });
    let (first, _) = wait_for("the first word of it", || tells(&refused).pop());
    // What follows is not held up.
    trouble(&place, 1);
    wait_for("the next mail", || mails(&refused).iter().any(|(.., text)| text.contains("dc2/user1")).then_some(()));
    wait_for("the count", || (notifiers(&place)["mail"]["dropped"] == 2).then_some(()));
    daemon.kill();
    let before = tells(&refused).len();
    let daemon = place.daemon();
    wait_for("the word of it after the kill", || (tells(&refused).len() > before).then_some(()));
    std::fs::remove_file(refuse).unwrap();
    place.must(&["notify", "test", "mail"], "");
    let taken = wait_for("both words of it", || Some(tells(&out)).filter(|taken| taken.len() >= 2));
    assert_eq!(taken[0].0, first, "{taken:?}");
    // Each id tells of the same events, however often.
    let mut events: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (id, text) in tells(&refused).into_iter().chain(taken) {
        let told = text.split("notices of the events ").nth(1).unwrap().split(" were").next().unwrap().to_owned();
        events.entry(id).or_default().insert(told);
    }
    assert!(events.len() == 2 && events.values().all(|told| told.len() == 1), "{events:?}");
    daemon.stop();
}

#[test]
fn a_digest_that_is_refused_for_good_is_told_of_in_a_short_mail() {
    let sections = accounts(1);
    let place = Place::new(&sections);
    let (out, refused) = (place.path("mails.jsonl"), place.path("mails.jsonl.refused"));
    let _server =
        with_mail(&place, &sections, "\"oncall@example.org\"", "severity = \"critical\"\ndigest = \"07:00\"\n");
    file(&place, "mails.jsonl.refuse", "the last day");
    let settings = [("TZ", "UTC"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let at = |time: &str| ["faketime".to_owned(), "-f".to_owned(), format!("@2027-01-15 {time}")];
    let daemon = place.daemon_with(&at("06:30:00").each_ref().map(String::as_str), &settings);
    wait_for("the notifier", || notifiers(&place).get("mail").cloned());
    cause_events(&place, 1);
    daemon.kill();
    let _daemon = place.daemon_with(&at("06:59:57").each_ref().map(String::as_str), &settings);
    let told = |path: &Path| mails(path).into_iter().find(|(.., text)| text.contains("refuses the digest"));
    let (.., text) = wait_for("the word of it", || told(&out));
    assert!(text.contains("notifier mail refuses the digest of the events "), "{text}");
    let digests: Vec<_> = mails(&refused).into_iter().filter(|(_, id, _)| id.starts_with("digest-")).collect();
    assert_eq!(digests.len(), 1, "{digests:?}");
}
