//! A person changes a password in the live view of a web application; what was done becomes a template that changes the next one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::browse::look_into;
use crate::lab::{Place, wait_for};
use crate::person::{Person, link_of};
use crate::site::TEMPLATE;
use crate::web_apps::App;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const PATIENCE: Duration = Duration::from_secs(120);

/// A recording under way: lines go in, and what is told of each comes out.
struct Recording {
    command: Child,
    lines: ChildStdin,
    told: Receiver<String>,
}

impl Recording {
    fn start(place: &Place, name: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rotorctl"))
            .args(["template", "record", name, "--device", "wiki"])
            .env("ROTORD_SOCKET", place.path("socket"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, told) = channel();
        let stderr = BufReader::new(command.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if line.starts_with('(') && sender.send(line).is_err() {
                    return;
                }
            }
        });
        let lines = command.stdin.take().unwrap();
        Self { command, lines, told }
    }

    /// Types a line: what is told of it.
    fn line(&mut self, line: &str) -> String {
        writeln!(self.lines, "{line}").unwrap();
        self.told.recv_timeout(PATIENCE).expect("nothing was told of the line")
    }

    /// Waits until the cursor's place or the page is as wanted; the person presses a key between looks.
    fn until(&mut self, wanted: &str, person: &Person, key: Option<&str>) {
        let begun = Instant::now();
        loop {
            let told = self.line("~?");
            if told.contains(wanted) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{wanted} does not come: {told}");
            if let Some(key) = key {
                person.press(&[key]);
            }
        }
    }
}

#[test]
fn a_change_by_hand_in_the_live_view_becomes_a_template_that_makes_the_next_one() {
    let app = App::start("django");
    let (user, first, seed) = app.account(1);
    let place = Place::new("");
    let authority = app.dir.path().join("app/ca.pem");
    let section = |template: &str| {
        format!(
            "[device.wiki]\nkind = \"web\"\nurl = \"https://127.0.0.1:{}/\"\ntemplate = \"{template}\"\nca_file = \"{}\"\n[account.\"wiki/{user}\"]\n",
            app.port,
            authority.display()
        )
    };
    std::fs::write(place.path("own/site.template"), TEMPLATE).unwrap();
    place.configure(&section("site"));
    let daemon = place.daemon();
    place.must(&["import", "-"], &format!("account,password,totp\nwiki/{user},{first},{seed}\n"));
    let name = place.path("drawn");
    let mut recording = Recording::start(&place, name.to_str().unwrap());
    let link = link_of(&mut recording.command);
    let person = Person::start();
    look_into(&person, &link);
    assert_eq!(recording.line("~o /account/login/"), "(opened)");
    recording.until("#id_auth-username", &person, Some(TAB));
    assert_eq!(recording.line(&user), "(typed)");
    recording.until("#id_auth-password", &person, Some(TAB));
    assert_eq!(recording.line("~c"), "(typed)");
    person.press(&[ENTER]);
    recording.until("#id_token-otp_token", &person, Some(TAB));
    assert_eq!(recording.line("~t"), "(typed)");
    person.press(&[ENTER]);
    recording.until("no field of «»", &person, None);
    assert_eq!(recording.line("~o /account/password_change/"), "(opened)");
    for (field, line) in [("#id_old_password", "~c"), ("#id_new_password1", "~n"), ("#id_new_password2", "~n")] {
        recording.until(field, &person, Some(TAB));
        assert_eq!(recording.line(line), "(typed)");
    }
    assert_eq!(place.password(&format!("wiki/{user}")), first);
    person.press(&[ENTER]);
    recording.until("of «Password change successful", &person, None);
    person
        .post("execute/sync", json!({ "script": "document.getElementById('go-on').click(); return true", "args": [] }));
    let status = recording.command.wait().unwrap();
    let template = std::fs::read_to_string(place.path("drawn.template")).unwrap_or_default();
    let text = std::fs::read_to_string(place.path("drawn.recording")).unwrap_or_default();
    assert!(status.success(), "{status}\n{template}\n{}", place.log());
    let new = place.password(&format!("wiki/{user}"));
    assert_ne!(new, first, "{template}");
    for secret in [&new, &first] {
        assert!(!template.contains(secret) && !text.contains(secret) && !place.log().contains(secret));
    }
    assert!(template.contains("fill \"#id_token-otp_token\" \"[#TOTP_TOKEN#]\""), "{template}");
    let checked = place.ctl(&["template", "check", place.path("drawn.template").to_str().unwrap()], "");
    assert!(checked.status.success(), "{}\n{template}", String::from_utf8_lossy(&checked.stdout));
    let played = place.ctl(&["template", "test", place.folder.path().to_str().unwrap()], "");
    assert!(played.status.success(), "{}\n{template}\n{text}", String::from_utf8_lossy(&played.stdout));
    // The draft makes the next change by itself.
    std::fs::write(place.path("own/drawn.template"), &template).unwrap();
    place.configure(&section("drawn"));
    daemon.signal("HUP");
    wait_for("the draft", || place.ctl(&["template", "show", "drawn"], "").status.success().then_some(()));
    let (outcome, detail, exit) = place.rotate(&format!("wiki/{user}"));
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}\n{template}");
    assert_ne!(place.password(&format!("wiki/{user}")), new);
    daemon.stop();
}
