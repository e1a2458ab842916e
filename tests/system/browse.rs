//! Browser sessions: a person works in an application that rotord logged in to, and never sees the password.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::lab::{Daemon, Place, wait_for};
use crate::person::{Person, link_of};
use crate::site::{FIRST, TEMPLATE, Web, rows};

fn place(extra: &str) -> (Web, Place) {
    let web = Web::start();
    web.site().extra = extra.to_owned();
    let place = Place::new("");
    place.configure(&web.section(place.folder.path(), ""));
    std::fs::write(place.path("own/site.template"), TEMPLATE).unwrap();
    (web, place)
}

fn started(place: &Place) -> Daemon<'_> {
    let daemon = place.daemon();
    place.must(&["import", "-"], &rows());
    daemon
}

fn browse(place: &Place, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotorctl"));
    command.args(["browse", "wiki/alice"]).args(more).env("ROTORD_SOCKET", place.path("socket"));
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// The events of sessions on record: kind, outcome and detail.
fn events(place: &Place) -> Vec<(String, String, String)> {
    let (log, _) = place.json(&["audit", "tail", "-n", "200"]);
    let text = |event: &serde_json::Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let all = log["events"].as_array().unwrap_or_else(|| panic!("{log}")).iter();
    let ours = all.filter(|event| event["event"].as_str().unwrap().starts_with("browse."));
    ours.map(|event| {
        assert_eq!((text(event, "account").as_str(), text(event, "reason").as_str()), ("wiki/alice", "ticket 7"));
        assert!(event["actor"]["name"].is_string(), "{event}");
        (text(event, "event"), text(event, "outcome"), text(event, "detail"))
    })
    .collect()
}

/// Waits until the page that the person has open shows the browser, and lets keys go there.
pub fn look_into(person: &Person, link: &str) {
    person.post("url", json!({ "url": link }));
    let width = json!({ "script": "return document.getElementById('screen').naturalWidth", "args": [] });
    wait_for("the screen is shown", || (person.post("execute/sync", width.clone()).as_u64()? > 600).then_some(()));
    let focus = json!({ "script": "document.getElementById('screen').focus(); return true", "args": [] });
    person.post("execute/sync", focus);
}

fn was_asked(web: &Web, path: &str) -> bool {
    web.site().asked.iter().any(|asked| asked == path)
}

/// Waits until the page's script has told something.
fn told(web: &Web, what: &str) {
    wait_for(what, || was_asked(web, &format!("/told?{what}")).then_some(()));
}

/// A page that keeps what was typed into it, and shows it again at the press of a button; a button that goes back; a link for
/// another window.
const NOSY: &str = r#"<button id=back>Back</button> <button id=show>Show</button> <input id=leak> <a target=_blank href=/change>Change</a>
<script>
const kept = () => sessionStorage.getItem('kept') || '';
const tell = what => fetch('/told?' + what);
document.addEventListener('input', e => { if (e.target.type === 'password') sessionStorage.setItem('kept', e.target.value); });
document.getElementById('back').onclick = () => { history.back(); tell('back'); };
document.getElementById('show').onclick = () => {
  const leak = document.getElementById('leak');
  leak.value = kept();
  tell('filled-' + leak.value.length);
  const timer = setInterval(() => { if (leak.value === '') { clearInterval(timer); tell('emptied'); } }, 10);
};
tell('history-' + history.length);
</script>"#;

#[test]
fn a_person_works_in_a_browser_that_is_logged_in_and_cannot_get_at_the_password() {
    let (web, place) = place(NOSY);
    let daemon = started(&place);
    let mut view = browse(&place, &["--reason", "ticket 7"]);
    let link = link_of(&mut view);
    assert_eq!(events(&place).last().map(|event| event.0.as_str()), Some("browse.start"));
    assert!(place.json(&["status"]).0["accounts"][0]["waiting"].is_null(), "a session waits for nobody");
    let person = Person::start();
    look_into(&person, &link);
    // Tab and Enter: "Back" leads nowhere, and what "Show" fills in is taken off before the next picture.
    let (tab, enter) = ("\u{e004}", "\u{e007}");
    person.press(&[tab, enter]);
    told(&web, "back");
    person.press(&[tab, enter]);
    told(&web, &format!("filled-{}", FIRST.len()));
    told(&web, "emptied");
    let pages = web.site().asked.iter().filter(|asked| asked.starts_with("/told?history-")).count();
    assert_eq!(pages, 3, "the way back leads to the login: {:?}", web.site().asked);
    // A link for another window opens in this one.
    person.press(&[tab, tab, enter]);
    wait_for("the person's click", || was_asked(&web, "/change").then_some(()));
    // Meanwhile the account is in use.
    let (second, exit) = {
        let output = place.ctl(&["browse", "wiki/alice", "--reason", "ticket 7"], "");
        (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
    };
    assert!(exit == Some(3) && second.contains("a browser session of wiki/alice is under way"), "{exit:?} {second}");
    let mut rotate = Command::new(env!("CARGO_BIN_EXE_rotorctl"));
    rotate.args(["rotate", "wiki/alice"]).env("ROTORD_SOCKET", place.path("socket"));
    let mut rotate = rotate.stdout(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    let mut out = rotate.stdout.take().unwrap();
    let mut piece = [0; 256];
    while !told.contains("waiting: a browser session of wiki/alice is under way") {
        let read = out.read(&mut piece).unwrap();
        assert!(read > 0, "the rotation did not wait: {told}");
        told.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    assert_eq!(web.site().changes, 0);
    // The button ends it, and what waited goes on.
    let end = json!({ "script": "document.getElementById('go-on').click(); return true", "args": [] });
    person.post("execute/sync", end);
    wait_for("the page tells that it is over", || person.text().contains("The session is over").then_some(()));
    assert!(view.wait().unwrap().success());
    assert!(rotate.wait().unwrap().success());
    let events = events(&place);
    let (kind, outcome, detail) = events.iter().rfind(|event| event.1 == "done").unwrap();
    assert_eq!((kind.as_str(), outcome.as_str()), ("browse.end", "done"));
    assert!(detail.starts_with("the person ended it, after "), "{detail}");
    assert!(!place.log().contains(FIRST), "the password is in the log");
    daemon.stop();
}

#[test]
fn a_page_that_still_shows_the_password_behind_its_login_is_handed_to_nobody() {
    let extra = "<p id=shown></p><script>document.addEventListener('input', e => { if (e.target.type === 'password') sessionStorage.setItem('kept', e.target.value); }); document.getElementById('shown').textContent = sessionStorage.getItem('kept') || '';</script>";
    let (web, place) = place(extra);
    let daemon = started(&place);
    let output = place.ctl(&["browse", "wiki/alice", "--reason", "ticket 7"], "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("still shows a secret of the account") && !said.contains(FIRST), "{said}");
    assert_eq!(web.site().logins, 1);
    let ended: Vec<_> = events(&place).into_iter().map(|event| (event.0, event.1)).collect();
    let pair = |kind: &str, outcome: &str| (kind.to_owned(), outcome.to_owned());
    assert_eq!(ended, [pair("browse.start", ""), pair("browse.end", "failed")]);
    daemon.stop();
}

#[test]
fn a_session_ends_at_its_time_and_with_the_command_that_began_it() {
    let (web, place) = place("");
    let daemon = started(&place);
    let mut view = browse(&place, &["--reason", "ticket 7", "--for", "2s"]);
    link_of(&mut view);
    assert!(view.wait().unwrap().success());
    let mut view = browse(&place, &["--reason", "ticket 7"]);
    link_of(&mut view);
    view.kill().unwrap();
    view.wait().unwrap();
    wait_for("the session ends", || (events(&place).len() == 4).then_some(()));
    let ends: Vec<String> =
        events(&place).into_iter().filter(|event| event.0 == "browse.end").map(|event| event.2).collect();
    assert!(ends[0].starts_with("its time is over") && ends[1].starts_with("whoever asked is gone"), "{ends:?}");
    assert_eq!(web.site().logins, 2);
    assert!(!web.site().replayed, "a code was sent twice");
    // What is no web device has no browser, and a role is needed.
    daemon.stop();
}
