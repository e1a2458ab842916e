use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::dialogue::Values;
use crate::model::Secret;
use crate::template::load;
use crate::template::web::Purpose;

/// A site of a few pages: what is visible on each, by its selector as the plan's last step has it, and where a click leads.
struct Site {
    page: &'static str,
    pages: BTreeMap<&'static str, Page>,
    /// What was typed, by selector.
    typed: Vec<(String, String)>,
    did: Vec<String>,
    now: i64,
    commits: usize,
    codes: usize,
    person: bool,
}

#[derive(Default, Clone)]
struct Page {
    shown: Vec<&'static str>,
    text: &'static str,
    clicks: Vec<(&'static str, &'static str)>,
    puzzle: Option<&'static str>,
    error: bool,
    most: Option<usize>,
    dialog: Option<&'static str>,
}

fn last_css(plan: &Value) -> String {
    plan[0]
        .as_array()
        .and_then(|steps| steps.last())
        .and_then(|step| step["css"].as_str())
        .unwrap_or_default()
        .to_owned()
}

impl Site {
    fn new(first: &'static str, pages: &[(&'static str, Page)]) -> Self {
        Self {
            page: first,
            pages: pages.iter().cloned().collect(),
            typed: Vec::new(),
            did: Vec::new(),
            now: 0,
            commits: 0,
            codes: 0,
            person: true,
        }
    }

    fn here(&self) -> Page {
        self.pages[self.page].clone()
    }

    fn click(&mut self, css: &str) -> Observation {
        self.did.push(format!("click {css}"));
        let here = self.here();
        if let Some(dialog) = here.dialog
            && let Some((_, to)) = here.clicks.iter().find(|(from, _)| *from == css)
        {
            self.page = to;
            return Observation::Trouble(Trouble::Dialog(dialog.to_owned()));
        }
        if let Some((_, to)) = here.clicks.iter().find(|(from, _)| *from == css) {
            self.page = to;
        }
        Observation::Done
    }

    fn holds(&self, condition: &Value) -> bool {
        let here = self.here();
        let shown = |plan: &Value| here.shown.contains(&last_css(plan).as_str());
        if let Some(plan) = condition.get("selector") {
            return shown(plan);
        }
        if let Some(plan) = condition.get("gone") {
            return !shown(plan);
        }
        if condition.get("solved").is_some() {
            return here.puzzle.is_none();
        }
        let text = condition.get("text").or(condition.get("markup")).and_then(Value::as_str);
        let fold = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        text.is_some_and(|text| fold(here.text).contains(&fold(text)))
    }

    fn look(&self, about: &Value) -> Value {
        let here = self.here();
        let holds: Vec<bool> = about["conditions"]
            .as_array()
            .map(|all| all.iter().map(|one| self.holds(one)).collect())
            .unwrap_or_default();
        let element = about.get("plan").map(last_css).filter(|css| here.shown.contains(&css.as_str()));
        let element = element.map(|_| json!({ "shown": true, "disabled": false, "most": here.most }));
        json!({
            "url": format!("https://a.example/{}", self.page), "title": self.page, "ready": "complete", "leaving": false,
            "mark": self.page, "holds": holds, "element": element,
            "error": here.error.then(|| json!({ "certificate": true, "text": "NET::ERR_CERT_AUTHORITY_INVALID" })),
            "challenge": here.puzzle.map(|kind| json!({ "kind": kind, "solved": false })),
        })
    }

    fn page_call(&mut self, call: &PageCall, not_before: i64) -> Observation {
        self.now = self.now.max(not_before);
        let about = &call.about;
        Observation::Result(match call.operation {
            "look" => self.look(about),
            "survey" => {
                let here = self.here();
                let elements: Vec<Value> = here
                    .shown
                    .iter()
                    .map(|css| json!({ "tag": "input", "id": css.trim_start_matches('#'), "shown": true }))
                    .collect();
                json!({ "url": format!("https://a.example/{}?token=secret", self.page), "title": self.page, "text": here.text,
                        "said": if here.text.is_empty() { vec![] } else { vec![here.text] }, "elements": elements,
                        "challenge": here.puzzle.map(|kind| json!({ "kind": kind, "solved": false })) })
            }
            "fill" => {
                let value = call.secret.as_ref().unwrap().expose().to_owned();
                self.typed.push((last_css(&about["plan"]), value));
                json!({ "ok": true })
            }
            other => panic!("{other}"),
        })
    }

    fn run(&mut self, template: &str, purpose: Purpose) -> (WebVerdict, WebRun) {
        let (checked, problems) = load(Path::new("t"), template);
        let checked = checked.unwrap_or_else(|| panic!("{problems:?}"));
        let mut values = Values::default();
        values.set("USERNAME", Secret::new("user1".into()));
        values.set("HOSTNAME", Secret::new("a.example".into()));
        values.set("CURRENT_PASSWORD", Secret::new("old-Secret-1".into()));
        values.set("NEW_PASSWORD", Secret::new("new-Secret-2".into()));
        let masker = values.masker(&[]);
        let program = checked.web().unwrap().program(purpose).unwrap();
        let mut run = WebRun::new(program, purpose, values, masker, 0);
        let mut heard = Observation::Started;
        for _ in 0..10_000 {
            self.now += 5;
            heard = match run.next(self.now, heard) {
                Action::Open { url } => {
                    self.did.push(format!("open {}", url.expose()));
                    Observation::Done
                }
                Action::Page { call, not_before } => self.page_call(&call, not_before),
                Action::Keys { target, keys } => {
                    let css = last_css(&serde_json::to_value(target).unwrap());
                    self.typed.push((css, keys.expose().to_owned()));
                    Observation::Done
                }
                Action::Click { target } => self.click(&last_css(&serde_json::to_value(target).unwrap())),
                Action::Sleep { until } => {
                    self.now = self.now.max(until);
                    Observation::Done
                }
                Action::Code { .. } => {
                    self.codes += 1;
                    Observation::Code(Secret::new("123456".into()))
                }
                Action::Commit { .. } => {
                    self.commits += 1;
                    Observation::Allowed
                }
                Action::Person(parked) => {
                    self.did.push(format!("person {}", parked.kind));
                    if self.person {
                        self.pages.get_mut(self.page).unwrap().puzzle = None;
                        if let Some((_, to)) = self.here().clicks.iter().find(|(from, _)| *from == "person") {
                            self.page = to;
                        }
                        assert!(run.until_holds(&self.look(&parked.look)), "{parked:?}");
                        Observation::PersonDone
                    } else {
                        Observation::PersonGone
                    }
                }
                Action::Finish(verdict) => return (verdict, run),
                Action::Dialog { .. } => {
                    self.did.push("dialog".into());
                    Observation::Done
                }
                other => panic!("{other:?}"),
            };
        }
        panic!("the run does not end: {:?}", self.did);
    }
}

fn page(shown: &[&'static str], clicks: &[(&'static str, &'static str)]) -> Page {
    Page { shown: shown.to_vec(), clicks: clicks.to_vec(), ..Page::default() }
}

const LOGIN: &str = "start-at https://[#HOSTNAME#]/login\ntimeout 10000\nfill #user [#USERNAME#]\nfill #pass [#CURRENT_PASSWORD#]\nclick #go\nnew-action\ntest-selector #home\n";
const CHANGE: &str = "click #settings\nfill #old [#CURRENT_PASSWORD#]\nfill #new [#NEW_PASSWORD#]\nclick #save\ntest-text \"was changed\"\n";

fn good() -> Vec<(&'static str, Page)> {
    vec![
        ("login", page(&["#user", "#pass", "#go"], &[("#go", "home")])),
        ("home", page(&["#home", "#settings"], &[("#settings", "form")])),
        ("form", page(&["#old", "#new", "#save"], &[("#save", "done")])),
        ("done", Page { text: "Your password was  changed.", ..Page::default() }),
    ]
}

fn failure(verdict: WebVerdict) -> WebFailure {
    match verdict {
        WebVerdict::Failed(failure) => failure,
        WebVerdict::Ran { .. } => panic!("{verdict:?}"),
    }
}

#[test]
fn a_change_types_what_the_lines_say_and_commits_before_the_new_password() {
    let mut site = Site::new("login", &good());
    let (verdict, _) = site.run(&format!("{LOGIN}{CHANGE}"), Purpose::Change);
    assert_eq!(verdict, WebVerdict::Ran { committed: true, proved: true });
    let typed: Vec<(&str, &str)> = site.typed.iter().map(|(at, what)| (at.as_str(), what.as_str())).collect();
    let wanted = [("#user", "user1"), ("#pass", "old-Secret-1"), ("#old", "old-Secret-1"), ("#new", "new-Secret-2")];
    assert_eq!((typed, site.commits), (wanted.to_vec(), 1));
    let mut site = Site::new("login", &good());
    let (verdict, _) = site.run(&format!("{LOGIN}{CHANGE}"), Purpose::Proof);
    assert_eq!(verdict, WebVerdict::Ran { committed: false, proved: true });
    assert!(site.typed.iter().all(|(_, what)| what != "new-Secret-2") && site.page == "home");
}

#[test]
fn a_field_that_is_not_there_is_told_with_the_page_and_what_is_like_it() {
    let mut site = Site::new("login", &[("login", page(&["#user_login", "#user_pass", "#go"], &[]))]);
    let (verdict, _) = site.run(&format!("{LOGIN}{CHANGE}"), Purpose::Change);
    let failure = failure(verdict);
    assert_eq!((failure.line, failure.committed, failure.typed, failure.kind), (3, false, false, FailureKind::Page));
    assert_eq!(failure.looked_for, "#user");
    assert_eq!(failure.candidates[0], "input#user_login");
    assert_eq!(failure.location, "https://a.example/login", "the query is left out");
    assert!(failure.message.contains("there is no #user after 10 s"), "{}", failure.message);
    assert!((10_000..13_000).contains(&site.now), "{}", site.now);
}

#[test]
fn behind_the_commit_point_a_failure_says_so_and_what_the_page_says() {
    let mut pages = good();
    pages[3].1.text = "This password is too short. new-Secret-2 It must contain at least 30 characters.";
    let mut site = Site::new("login", &pages);
    let failure = failure(site.run(&format!("{LOGIN}{CHANGE}"), Purpose::Change).0);
    assert_eq!((failure.line, failure.committed, failure.kind), (12, true, FailureKind::Refused));
    assert!(failure.message.contains("too short") && !failure.message.contains("new-Secret-2"), "{}", failure.message);
}

#[test]
fn a_login_that_is_refused_is_told_apart_from_a_page_that_changed() {
    for (text, kind) in [
        ("Error: The password you entered for the username user1 is incorrect.", FailureKind::PasswordRejected),
        ("You have made too many recent login attempts.", FailureKind::Locked),
        ("Verification failed.", FailureKind::CodeRejected),
        ("We have a new look!", FailureKind::Page),
    ] {
        let mut pages = good();
        pages[0].1.clicks = vec![("#go", "again")];
        pages.push(("again", Page { text, ..page(&["#user", "#pass", "#go"], &[]) }));
        let mut site = Site::new("login", &pages);
        let failure = failure(site.run(LOGIN, Purpose::Proof).0);
        assert_eq!((failure.kind, failure.typed, failure.committed), (kind, true, false), "{text}");
    }
}

#[test]
fn a_test_that_holds_before_the_login_too_proves_nothing() {
    let mut pages = good();
    pages[0].1.shown.push("#home");
    let mut site = Site::new("login", &pages);
    let (verdict, _) = site.run(LOGIN, Purpose::Proof);
    assert_eq!(verdict, WebVerdict::Ran { committed: false, proved: false });
}

#[test]
fn an_untrusted_certificate_ends_the_run_before_a_secret_is_typed() {
    let mut pages = good();
    pages[0].1.error = true;
    let mut site = Site::new("login", &pages);
    let failure = failure(site.run(&format!("{LOGIN}{CHANGE}"), Purpose::Change).0);
    assert_eq!((failure.kind, failure.typed), (FailureKind::Certificate, false));
    assert!(site.typed.is_empty());
}

#[test]
fn a_password_that_a_field_would_cut_is_not_typed() {
    let mut pages = good();
    pages[2].1.most = Some(11);
    let mut site = Site::new("login", &pages);
    let template = format!("{LOGIN}click #settings\nfill #new [#NEW_PASSWORD#]\nclick #save\ntest-text changed\n");
    let failure = failure(site.run(&template, Purpose::Change).0);
    assert!(!failure.committed && site.commits == 0 && failure.message.contains("takes 11 characters"), "{failure:?}");
}

#[test]
fn a_code_is_made_when_its_line_is_typed_and_the_branch_that_comes_true_is_taken() {
    let template = "start-at https://[#HOSTNAME#]/login\nfill #user [#USERNAME#]\nfill #pass [#CURRENT_PASSWORD#]\nclick #go\nchoose\nwhen-selector #otp\nfill #otp [#TOTP_TOKEN#]\nclick #send\nwhen-selector #home\nend-choose\ntest-selector #home\n";
    let mut pages = good();
    pages[0].1.clicks = vec![("#go", "code")];
    pages.push(("code", page(&["#otp", "#send"], &[("#send", "home")])));
    let mut site = Site::new("login", &pages);
    let (verdict, _) = site.run(template, Purpose::Proof);
    assert_eq!((verdict, site.codes), (WebVerdict::Ran { committed: false, proved: true }, 1));
    let mut site = Site::new("login", &good());
    let (verdict, _) = site.run(template, Purpose::Proof);
    assert_eq!((verdict, site.codes), (WebVerdict::Ran { committed: false, proved: true }, 0), "no code is asked for");
}

#[test]
fn a_standing_answer_is_given_when_its_element_appears_and_not_for_ever() {
    let answer = "answer-selector #cookies\nclick #no\nend-answer\n";
    let template = LOGIN.replace("timeout 10000\n", &format!("timeout 10000\n{answer}"));
    let mut pages = good();
    pages[0].1 = page(&["#cookies", "#no", "#user", "#pass", "#go"], &[("#no", "login2")]);
    pages.push(("login2", good()[0].1.clone()));
    let mut site = Site::new("login", &pages);
    let (verdict, _) = site.run(&template, Purpose::Proof);
    assert_eq!(verdict, WebVerdict::Ran { committed: false, proved: true });
    assert_eq!(site.did, ["open https://a.example/login", "click #no", "click #go"]);
    pages[0].1.clicks.clear();
    let mut site = Site::new("login", &pages);
    let failure = failure(site.run(&template, Purpose::Proof).0);
    assert!(failure.message.contains("more than 10 times"), "{failure:?}");
}

#[test]
fn a_standing_answer_enters_a_password_once_in_a_login_however_often_the_page_asks() {
    let answer = "answer-selector #sudo\nfill #sudo [#CURRENT_PASSWORD#]\nclick #confirm\nend-answer\n";
    let template = LOGIN.replace("timeout 10000\n", &format!("timeout 10000\n{answer}"));
    // The login asks again: the password was entered, and nothing shows that it was taken.
    let mut pages = good();
    pages[0].1.clicks = vec![("#go", "sudo")];
    let text = "Incorrect password.";
    pages.push(("sudo", Page { text, ..page(&["#sudo", "#confirm"], &[("#confirm", "sudo")]) }));
    let mut site = Site::new("login", &pages);
    let failure = failure(site.run(&template, Purpose::Proof).0);
    assert_eq!(failure.kind, FailureKind::PasswordRejected, "{}", failure.message);
    assert!(failure.message.contains("standing answer of line 3"), "{}", failure.message);
    let passwords = |site: &Site| site.typed.iter().filter(|(_, what)| what == "old-Secret-1").count();
    assert_eq!(passwords(&site), 1);
    // The page of the change asks for the current password: once, and no more.
    let mut pages = good();
    pages[1].1.clicks = vec![("#settings", "sudo")];
    pages.push(("sudo", page(&["#sudo", "#confirm"], &[("#confirm", "form")])));
    let mut site = Site::new("login", &pages);
    let change = format!("{template}{}", CHANGE.replace("fill #old [#CURRENT_PASSWORD#]\n", ""));
    assert_eq!(site.run(&change, Purpose::Change).0, WebVerdict::Ran { committed: true, proved: true });
    assert_eq!(passwords(&site), 2);
    pages[4].1.clicks = vec![("#confirm", "sudo")];
    let mut site = Site::new("login", &pages);
    let (verdict, _) = site.run(&change, Purpose::Change);
    assert!(matches!(verdict, WebVerdict::Failed(failure) if !failure.committed));
    assert_eq!(passwords(&site), 2);
}

#[test]
fn a_puzzle_calls_a_person_before_the_login_is_sent() {
    let mut pages = good();
    pages[0].1.puzzle = Some("reCAPTCHA");
    let mut site = Site::new("login", &pages);
    let (verdict, mut run) = site.run(LOGIN, Purpose::Proof);
    assert_eq!(verdict, WebVerdict::Ran { committed: false, proved: true });
    assert_eq!(site.did, ["open https://a.example/login", "person reCAPTCHA", "click #go"]);
    assert!(run.notes().iter().any(|note| note.contains("waits for a person")));
    let mut site = Site::new("login", &pages);
    site.person = false;
    let failure = failure(site.run(LOGIN, Purpose::Proof).0);
    assert_eq!((failure.kind, failure.committed), (FailureKind::Person, false));
}

#[test]
fn a_puzzle_of_the_page_of_the_change_calls_a_person_before_the_commit_point() {
    let mut pages = good();
    pages[2].1.puzzle = Some("reCAPTCHA");
    let mut site = Site::new("login", &pages);
    site.person = false;
    let failure = failure(site.run(&format!("{LOGIN}{CHANGE}"), Purpose::Change).0);
    assert_eq!((failure.kind, failure.committed, site.commits), (FailureKind::Person, false, 0), "{:?}", site.did);
}

#[test]
fn a_page_for_a_person_in_place_of_what_is_awaited_calls_one() {
    let mut pages = good();
    pages[0].1.clicks = vec![("#go", "verify")];
    pages.push(("verify", Page { text: "Verify that it is you", ..page(&[], &[("person", "home")]) }));
    let mut site = Site::new("login", &pages);
    let (verdict, _) = site.run(LOGIN, Purpose::Proof);
    assert_eq!(verdict, WebVerdict::Ran { committed: false, proved: true });
    assert!(site.did.contains(&"person verify that it is you".to_owned()), "{:?}", site.did);
    // What the template asks for itself.
    let template = LOGIN.replace("new-action\n", "ask-person \"Do it\" until-selector #home\n");
    let mut site = Site::new("login", &pages);
    let (verdict, _) = site.run(&template, Purpose::Proof);
    assert_eq!(verdict, WebVerdict::Ran { committed: false, proved: true });
    assert!(site.did.contains(&"person ask-person".to_owned()), "{:?}", site.did);
}

#[test]
fn a_dialogue_that_no_line_answers_ends_the_run_and_one_that_is_awaited_is_answered() {
    let mut pages = good();
    pages[2].1.dialog = Some("Really change?");
    let mut site = Site::new("login", &pages);
    let failure = failure(site.run(&format!("{LOGIN}{CHANGE}"), Purpose::Change).0);
    assert_eq!((failure.kind, failure.committed), (FailureKind::Dialog, true));
    assert!(failure.message.contains("Really change?"), "{}", failure.message);
    let mut site = Site::new("login", &pages);
    let change = CHANGE.replace("click #save\n", "click #save\naccept-dialog\n");
    let (verdict, _) = site.run(&format!("{LOGIN}{change}"), Purpose::Change);
    assert_eq!(verdict, WebVerdict::Ran { committed: true, proved: true });
    assert!(site.did.contains(&"dialog".to_owned()));
}
