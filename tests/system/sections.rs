//! The sections of a template at work: a password that no SSH login proves, clearing up, and templates that are pinned.

use std::sync::{Arc, Mutex};

use rotord::demo::{Reply, Shell, State};

use crate::lab::wait_for;
use crate::scripted::{FIRST, Fault, Scripted, scripted, sections, with_users};

/// What a service behind the login has, and what it was told.
#[derive(Default)]
struct Service {
    password: String,
    /// It says that it took a new password, and keeps the old one.
    lies: bool,
    /// It answers a proof with something that means nothing.
    confused: bool,
    /// It prints this in place of its first prompt.
    greets: Option<&'static str>,
    /// It hangs up behind that.
    full: bool,
    /// It takes a new password and complains of it.
    complains: bool,
    lines: Vec<String>,
}

struct ServiceShell(Arc<Mutex<Service>>);

const PROMPT: &[u8] = b"dev$ ";

impl Shell for ServiceShell {
    fn start(&mut self) -> Reply {
        let service = self.0.lock().unwrap();
        let first = service.greets.map_or(PROMPT, str::as_bytes).to_vec();
        if service.full { Reply::Close(first) } else { Reply::Print(first) }
    }

    fn line(&mut self, line: &str, _state: &mut State) -> Reply {
        let mut service = self.0.lock().unwrap();
        service.lines.push(line.to_owned());
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let said = match verb {
            "exit" => return Reply::Close(b"\r\n".to_vec()),
            "set" => {
                if !service.lies {
                    service.password = rest.to_owned();
                }
                if service.complains { "% this kind of password is deprecated" } else { "taken" }
            }
            "try" if service.confused => "the service is being restarted",
            "try" if service.password == rest => "welcome",
            "try" => "denied",
            _ => "eh?",
        };
        Reply::Print(format!("{line}\r\n{said}\r\ndev$ ").into_bytes())
    }
}

const TEMPLATE: &str = "set-read-timeout 2\nexpect \"*$\"\nexec \"prepare\"\nno-expect \"*never*\"\nexpect \"*$\"\nexec \"set [#NEW_PASSWORD#]\"\nexpect \"*taken*\"\nexec \"exit\"\nend\n\nsection verify\nexpect \"*$\"\nexec \"try [#NEW_PASSWORD#]\"\nchoose\n  when \"*denied*\"\n    fail \"the service says no\"\n  when \"*welcome*\"\nend-choose\nexec \"exit\"\n\nsection abort\nexec \"discard\"\nexpect \"*$\"\n";

/// A device whose account `dev/svc` is one of a service, which `dev/admin` logs in for.
fn serviced(template: &str) -> (Scripted, Arc<Mutex<Service>>) {
    let service = Arc::new(Mutex::new(Service { password: FIRST.into(), ..Service::default() }));
    let shells = service.clone();
    let scripted = with_users("service", Arc::new(move |_| Box::new(ServiceShell(shells.clone()))), &["admin"]);
    std::fs::write(scripted.place.path("own/service.template"), template).unwrap();
    let text = sections(&scripted.device, "service") + "[account.\"dev/svc\"]\nlogin_as = \"dev/admin\"\n";
    scripted.place.configure(&text);
    (scripted, service)
}

fn store(scripted: &Scripted) {
    let rows = format!("account,password,totp\n{}dev/svc,{FIRST},\n", scripted.row("admin"));
    scripted.place.must(&["import", "-"], &rows);
}

#[test]
fn what_a_device_took_though_it_complained_is_saved_in_the_same_session() {
    let guarded = TEMPLATE.replace("expect \"*taken*\"", "no-expect-regex \"/^% /m\"\nexpect \"*$\"");
    let saving = format!("{guarded}\nsection save\nexec \"save\"\nexpect \"*eh?\"\nexpect \"*$\"\nexec \"exit\"\n");
    for (template, saves) in [(saving, true), (guarded, false)] {
        let (scripted, service) = serviced(&template);
        service.lock().unwrap().complains = true;
        let daemon = scripted.place.daemon();
        store(&scripted);
        let (value, exit) = scripted.place.json(&["rotate", "dev/svc"]);
        let result = &value["results"][0];
        assert_eq!((result["outcome"].as_str(), exit), (Some("done"), 0), "{value}");
        let lines = service.lock().unwrap().lines.clone();
        let set = lines.iter().position(|line| line.starts_with("set ")).unwrap();
        assert_eq!(lines.get(set + 1).is_some_and(|line| line == "save"), saves, "{lines:?}");
        let warning = result["warning"].as_str().unwrap();
        let told = if saves { "its 'section save' ran" } else { "may not be saved" };
        assert!(warning.contains(told) && warning.contains("deprecated"), "{warning}");
        daemon.stop();
    }
}

#[test]
fn a_password_that_is_none_of_an_ssh_login_is_proved_by_the_section_verify() {
    let (scripted, service) = serviced(TEMPLATE);
    let daemon = scripted.place.daemon();
    store(&scripted);
    let (outcome, detail, exit) = scripted.place.rotate("dev/svc");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}");
    let now = service.lock().unwrap().password.clone();
    assert_ne!(now, FIRST);
    assert_eq!(now, scripted.place.password("dev/svc"));
    assert!(service.lock().unwrap().lines.contains(&format!("try {now}")), "the service itself was asked");
    assert_eq!(scripted.held(), FIRST, "the login account keeps its own");
    let (value, exit) = scripted.place.json(&["verify", "dev/svc"]);
    assert_eq!((exit, value["results"][0]["outcome"].as_str()), (0, Some("done")), "{value}");
    // Somebody changed it: a verify finds that, and rotord looks again.
    service.lock().unwrap().password = "changed-elsewhere".into();
    let (value, exit) = scripted.place.json(&["verify", "dev/svc"]);
    assert_eq!(exit, 5, "{value}");
    assert_eq!(scripted.place.state("dev/svc"), "uncertain");
    daemon.stop();
}

#[test]
fn a_service_that_only_says_that_it_changed_is_found_out() {
    let (scripted, service) = serviced(TEMPLATE);
    service.lock().unwrap().lies = true;
    let daemon = scripted.place.daemon();
    store(&scripted);
    let (outcome, detail, exit) = scripted.place.rotate("dev/svc");
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    assert_eq!(scripted.place.password("dev/svc"), FIRST, "the old one is in force and stays");
    assert_eq!(scripted.place.state("dev/svc"), "idle");
    daemon.stop();
}

#[test]
fn a_proof_that_meets_something_else_decides_nothing() {
    let (scripted, service) = serviced(TEMPLATE);
    service.lock().unwrap().confused = true;
    let daemon = scripted.place.daemon();
    store(&scripted);
    let (outcome, detail, exit) = scripted.place.rotate("dev/svc");
    assert_eq!((outcome.as_str(), exit), ("unknown", 5), "{detail}");
    assert_eq!(scripted.place.state("dev/svc"), "uncertain");
    service.lock().unwrap().confused = false;
    let (value, exit) = scripted.place.json(&["verify", "dev/svc"]);
    assert_eq!(exit, 0, "{value}");
    assert_eq!(scripted.place.password("dev/svc"), service.lock().unwrap().password);
    daemon.stop();
}

#[test]
fn nothing_is_typed_at_a_question_that_the_template_does_not_expect() {
    let (scripted, service) = serviced(TEMPLATE);
    service.lock().unwrap().greets = Some("You must change your password now.\r\nNew password: ");
    let daemon = scripted.place.daemon();
    store(&scripted);
    let (outcome, detail, exit) = scripted.place.rotate("dev/svc");
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    assert!(detail.contains("New password:"), "the question is shown: {detail}");
    assert_eq!(service.lock().unwrap().lines, [""; 0], "clearing up types nothing either");
    daemon.stop();
}

#[test]
fn a_device_without_room_for_a_session_is_told_and_judges_nothing() {
    let (scripted, service) = serviced(TEMPLATE);
    service.lock().unwrap().greets = Some("Too many sessions. Try again later.\r\n");
    service.lock().unwrap().full = true;
    let daemon = scripted.place.daemon();
    store(&scripted);
    let (outcome, detail, exit) = scripted.place.rotate("dev/svc");
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    assert!(detail.contains("not let in for now") && detail.contains("Too many sessions"), "{detail}");
    let (value, exit) = scripted.place.json(&["verify", "dev/svc"]);
    assert_ne!(exit, 0, "{value}");
    assert_eq!(scripted.place.state("dev/svc"), "idle", "no password was tried: {value}");
    daemon.stop();
}

#[test]
fn a_question_to_the_terminal_is_answered() {
    let (scripted, service) = serviced(TEMPLATE);
    service.lock().unwrap().greets = Some("\x1b[6ndev$ ");
    let daemon = scripted.place.daemon();
    store(&scripted);
    let (_, detail, _) = scripted.place.rotate("dev/svc");
    let first = service.lock().unwrap().lines.first().cloned();
    assert_eq!(first.as_deref(), Some("\x1b[1;1Rprepare"), "{detail}");
    daemon.stop();
}

#[test]
fn what_fails_before_the_commit_point_is_cleared_up() {
    let (scripted, service) = serviced(&TEMPLATE.replace("no-expect \"*never*\"", "no-expect \"*eh?*\""));
    let daemon = scripted.place.daemon();
    store(&scripted);
    let (outcome, detail, exit) = scripted.place.rotate("dev/svc");
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    assert!(detail.contains("eh?"), "{detail}");
    let lines = service.lock().unwrap().lines.clone();
    assert_eq!(lines, ["prepare", "discard"], "nothing was changed, and the device is left as it was");
    assert_eq!(scripted.place.password("dev/svc"), FIRST);
    daemon.stop();
}

#[test]
fn the_template_that_ran_is_on_record_and_can_be_pinned() {
    let (scripted, _) = serviced(TEMPLATE);
    let daemon = scripted.place.daemon();
    store(&scripted);
    assert_eq!(scripted.place.rotate("dev/svc").2, 0);
    let (audit, _) = scripted.place.json(&["audit", "tail", "-n", "100"]);
    let start = audit["events"].as_array().unwrap().iter().find(|event| event["event"] == "rotation.start").unwrap();
    let detail = start["detail"].as_str().unwrap();
    let (_, hash) = detail.split_once("template service sha256:").unwrap_or_else(|| panic!("{detail}"));
    assert_eq!(hash.len(), 64);
    let (history, _) = scripted.place.json(&["history", "dev/svc"]);
    assert!(history.to_string().contains(hash), "{history}");
    daemon.stop();
    let check = |pin: &str| {
        let text = sections(&scripted.device, "service")
            .replace("[account", &format!("template_sha256 = \"{pin}\"\n[account"));
        scripted.place.configure(&text);
        scripted.place.check_config()
    };
    assert_eq!(check(hash).status.code(), Some(0));
    let file = scripted.place.path("own/service.template");
    let allow = |mode| std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    allow(0o646);
    let output = check(hash);
    assert!(String::from_utf8_lossy(&output.stdout).contains("C013"), "{output:?}");
    allow(0o644);
    let output = check(&"0".repeat(64));
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains(hash), "{output:?}");
}

#[test]
fn a_reload_leaves_a_run_that_is_under_way_to_its_template() {
    let (scripted, service) = serviced(&TEMPLATE.replace("exec \"set ", "sleep 10\nexec \"set "));
    let place = &scripted.place;
    let daemon = place.daemon();
    store(&scripted);
    let sent = |line: &str| service.lock().unwrap().lines.iter().any(|sent| sent.starts_with(line));
    std::thread::scope(|scope| {
        let rotation = scope.spawn(|| place.rotate("dev/svc"));
        wait_for("the run to begin", || sent("prepare").then_some(()));
        let other = TEMPLATE.replace("exec \"prepare\"", "fail \"this is another template\"");
        std::fs::write(place.path("own/service.template"), other).unwrap();
        daemon.signal("HUP");
        wait_for("the reload", || {
            let shown = place.ctl(&["template", "show", "service"], "");
            String::from_utf8_lossy(&shown.stdout).contains("another template").then_some(())
        });
        assert!(!sent("set"), "the run is still under way");
        let (outcome, detail, exit) = rotation.join().unwrap();
        assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}");
    });
    assert_eq!(place.password("dev/svc"), service.lock().unwrap().password);
    let (_, detail, exit) = place.rotate("dev/svc");
    assert!(exit == 4 && detail.contains("this is another template"), "{detail}");
    daemon.stop();
}

#[test]
fn a_policy_that_the_device_cannot_take_is_an_error_at_load() {
    let limits = "info password-symbols \"-_.\"\ninfo password-max-length \"16\"\n";
    let (scripted, _) = serviced(&format!("{limits}{TEMPLATE}"));
    let check = |policy: &str| {
        scripted.place.configure(&format!("[policy.default]\n{policy}\n{}", sections(&scripted.device, "service")));
        let output = scripted.place.check_config();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (exit, said) = check("length = 24");
    assert_eq!(exit, Some(2));
    assert!(said.contains(":+=@,") && said.contains("16 characters at the most"), "{said}");
    assert_eq!(check("length = 16\nsymbol_set = \"-_\"").0, Some(0));
}

#[test]
fn a_draft_is_tried_on_the_device_up_to_its_commit_point() {
    let (scripted, service) = serviced(TEMPLATE);
    let daemon = scripted.place.daemon();
    store(&scripted);
    let run = |args: &[&str]| {
        let args = [&["template", "run"], args, &["--device", "dev", "--until-commit"]].concat();
        scripted.place.json(&args)
    };
    let output = scripted.place.ctl(&["template", "run", "service", "--device", "dev", "--until-commit"], "");
    assert_eq!(output.status.code(), Some(2), "the device has two accounts: {output:?}");
    let (value, exit) = run(&["service", "--account", "dev/svc"]);
    let result = &value["results"][0];
    assert_eq!((exit, result["outcome"].as_str()), (0, Some("done")), "{value}");
    assert!(result["detail"].as_str().unwrap().contains("up to its commit point (line 6)"), "{value}");
    assert_eq!(service.lock().unwrap().lines, ["prepare", "discard"], "nothing was changed, and it was cleared up");
    // A draft in a file of one's own, which fails before that.
    let draft = scripted.place.path("draft.template");
    std::fs::write(&draft, TEMPLATE.replace("exec \"prepare\"", "exec \"prepare\"\nexpect \"never\"")).unwrap();
    let (value, exit) = run(&[draft.to_str().unwrap(), "--account", "dev/svc"]);
    assert_eq!((exit, value["results"][0]["outcome"].as_str()), (1, Some("failed")), "{value}");
    assert!(value.to_string().contains("\\\"never\\\" did not come"), "{value}");
    assert_eq!(service.lock().unwrap().password, FIRST);
    assert_eq!(scripted.place.state("dev/svc"), "idle");
    assert_eq!(scripted.place.changes("dev/svc"), 0, "a rehearsal is no change");
    let (audit, _) = scripted.place.json(&["audit", "tail", "-n", "100"]);
    let events = audit["events"].as_array().unwrap();
    assert_eq!(events.iter().filter(|event| event["event"] == "template.rehearsed").count(), 2);
    assert!(!events.iter().any(|event| event["event"] == "rotation.start"));
    let (audit, _) = scripted.place.json(&["audit", "verify"]);
    assert_eq!(audit["ok"], true);
    daemon.stop();
}

#[test]
fn a_rehearsal_tells_of_a_device_of_another_kind_and_of_a_template_that_nobody_has_proven() {
    let about = |detect: &str| {
        let head = format!(
            "info product \"Box 3\"\ninfo tested \"unproven: no device was at hand\"\ninfo detect \"{detect}\"\n"
        );
        head + TEMPLATE
    };
    let (scripted, service) = serviced(&about("/^SSH-2\\.0-Box3/m"));
    let daemon = scripted.place.daemon();
    store(&scripted);
    let rehearse = |name: &str| {
        let args = ["template", "run", name, "--device", "dev", "--account", "dev/svc", "--until-commit"];
        let (value, exit) = scripted.place.json(&args);
        assert_eq!(exit, 0, "{value}");
        let result = value["results"][0].clone();
        let steps = result["steps"].as_array().unwrap().iter().map(|step| step["text"].as_str().unwrap().to_owned());
        let warning = steps.filter(|step| step.starts_with("warning: ")).collect::<Vec<_>>().join("|");
        (result["detail"].as_str().unwrap().to_owned(), warning)
    };
    let (detail, warning) = rehearse("service");
    assert!(detail.contains("the template is unproven"), "{detail}");
    assert!(warning.contains("nothing of Box 3"), "{warning}");
    assert!(warning.contains("it calls itself \"SSH-2.0-"), "{warning}");
    let shown = scripted.place.ctl(&["trust", "dev"], "");
    let told = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(told.starts_with("warning: the device shows nothing of Box 3"), "before anything is stored: {told}");
    let fits = scripted.place.path("fits.template");
    for seen in ["/^SSH-2\\.0-/m", "/dev\\$/"] {
        std::fs::write(&fits, about(seen).replace("unproven", "proven")).unwrap();
        let (detail, warning) = rehearse(fits.to_str().unwrap());
        assert!(warning.is_empty() && !detail.contains("unproven"), "{seen}: {warning} {detail}");
    }
    assert_eq!(service.lock().unwrap().password, FIRST);
    daemon.stop();
}

#[test]
fn a_change_by_hand_is_recorded_and_becomes_a_template() {
    let turns = [
        ("passwd", "\r\nCurrent password: "),
        ("{old}", "\r\nNew password: "),
        ("{new}", "\r\nAgain: "),
        ("{new}", "\r\nIt is changed.\r\nbox# "),
        ("exit", "\r\n"),
    ];
    let scripted = scripted("linux-passwd", "Welcome to box\r\nbox# ", &turns, 4, Fault::None);
    let place = &scripted.place;
    let daemon = place.daemon();
    scripted.import();
    let name = place.path("drawn");
    let record =
        |input: &str| place.ctl(&["template", "record", name.to_str().unwrap(), "--device", "dev", "--json"], input);
    // The password in force may be typed as it is: it is on record as its tag.
    let output = record(&format!("passwd\n{FIRST}\n~n\n~n\nexit\n"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", place.log());
    let new = place.password("dev/admin");
    assert_ne!(new, FIRST);
    assert_eq!(new, scripted.held(), "a fresh login proved it");
    let recording = std::fs::read_to_string(place.path("drawn.recording")).unwrap();
    let template = std::fs::read_to_string(place.path("drawn.template")).unwrap();
    for text in [&said, &recording, &template] {
        assert!(!text.contains(&new) && !text.contains(FIRST), "{text}");
    }
    assert!(recording.contains("[#CURRENT_PASSWORD#]") && recording.contains("? Again: |"), "{recording}");
    let played = place.ctl(&["template", "test", place.folder.path().to_str().unwrap()], "");
    assert!(played.status.success(), "{}\n{template}\n{recording}", String::from_utf8_lossy(&played.stdout));
    let again = record("");
    assert_eq!(again.status.code(), Some(2), "nothing is written over");
    let (audit, _) = place.json(&["audit", "tail", "-n", "100"]);
    let events: Vec<&str> = audit["events"].as_array().unwrap().iter().filter_map(|e| e["event"].as_str()).collect();
    for event in ["rotation.start", "rotation.sent", "rotation.verified", "rotation.done"] {
        assert!(events.contains(&event), "{event}: {events:?}");
    }
    // The draft changes the next one by itself.
    std::fs::write(place.path("own/drawn.template"), template).unwrap();
    place.configure(&sections(&scripted.device, "drawn"));
    daemon.signal("HUP");
    wait_for("the draft", || place.ctl(&["template", "show", "drawn"], "").status.success().then_some(()));
    let (outcome, detail, exit) = place.rotate("dev/admin");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}");
    assert_eq!(place.password("dev/admin"), scripted.held());
    daemon.stop();
}

#[test]
fn a_recording_that_is_left_before_the_new_password_changes_nothing() {
    let turns = [("passwd", "\r\nCurrent password: "), ("x", "\r\nno\r\nbox# ")];
    let scripted = scripted("linux-passwd", "box# ", &turns, 0, Fault::None);
    let place = &scripted.place;
    let daemon = place.daemon();
    scripted.import();
    let name = place.path("left");
    let output =
        place.ctl(&["template", "record", name.to_str().unwrap(), "--device", "dev", "--json"], "passwd\n~.\n");
    assert_eq!(output.status.code(), Some(4), "{output:?}\n{}", place.log());
    assert_eq!(place.password("dev/admin"), FIRST);
    assert_eq!(place.state("dev/admin"), "idle");
    assert_eq!(place.changes("dev/admin"), 0);
    daemon.stop();
}

#[test]
fn a_password_of_the_login_that_is_typed_by_hand_counts_against_its_budget() {
    let turns = [("passwd", "\r\nCurrent password: "), ("{old}", "\r\nno\r\nCurrent password: ")];
    let scripted = scripted("linux-passwd", "box# ", &turns, 0, Fault::None);
    let place = &scripted.place;
    let daemon = place.daemon();
    scripted.import();
    for n in 0..2 {
        let name = place.path(&format!("left{n}"));
        let typed = "passwd\n[#AUTH_PASSWORD#]\n~.\n";
        place.ctl(&["template", "record", name.to_str().unwrap(), "--device", "dev", "--json"], typed);
    }
    let (value, _) = place.json(&["verify", "dev/admin"]);
    let told = value.to_string();
    assert!(told.contains("budget"), "two tries of the hour are spent: {told}\n{}", place.log());
    daemon.stop();
}

/// A wireless controller that asks for user and password in the session; what it says behind `config` is its way to say yes.
struct Controller {
    user: Option<String>,
    inside: bool,
    refused: Arc<Mutex<usize>>,
}

impl Shell for Controller {
    fn start(&mut self) -> Reply {
        Reply::Print(b"\r\n(Cisco Controller) \r\nUser: ".to_vec())
    }

    fn line(&mut self, line: &str, state: &mut State) -> Reply {
        let held = state.users.get_mut("admin").unwrap();
        let said = match (self.inside, self.user.take()) {
            (false, None) => {
                self.user = Some(line.to_owned());
                format!("{line}\r\nPassword:")
            }
            (false, Some(user)) if user == "admin" && held.password.expose() == line => {
                self.inside = true;
                "****\r\n(Cisco Controller) >".to_owned()
            }
            (false, Some(_)) => {
                *self.refused.lock().unwrap() += 1;
                "****\r\nUser: ".to_owned()
            }
            (true, _) if line == "logout" => return Reply::Close(Vec::new()),
            (true, _) if line == "save config" => {
                format!("{line}\r\nAre you sure you want to save? (y/n) ")
            }
            (true, _) if line == "y" => "y\r\nConfiguration Saved!\r\n(Cisco Controller) >".to_owned(),
            (true, _) => {
                if let Some(new) = line.strip_prefix("config mgmtuser password admin ") {
                    held.password = rotord::model::Secret::new(new.to_owned());
                }
                format!("{line}\r\n(Cisco Controller) >")
            }
        };
        Reply::Print(said.into_bytes())
    }
}

#[test]
fn a_device_that_lets_anybody_in_and_asks_in_the_session_is_proved_there_and_its_refusals_count() {
    let refused = Arc::new(Mutex::new(0));
    let counts = refused.clone();
    let shell = Arc::new(move |_: &str| {
        Box::new(Controller { user: None, inside: false, refused: counts.clone() }) as Box<dyn Shell>
    });
    let scripted = with_users("cisco-wlc", shell, &["admin"]);
    scripted.device.state().lets_anybody_in = true;
    let place = &scripted.place;
    place.configure(&(sections(&scripted.device, "cisco-wlc") + "[policy.default]\nlength = 20\n"));
    let daemon = place.daemon();
    place.must(&["import", "-"], &format!("account,password,totp\ndev/admin,{FIRST},\n"));
    let (outcome, detail, exit) = place.rotate("dev/admin");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}");
    assert!(detail.contains("section verify proved it"), "{detail}");
    assert_ne!(scripted.held(), FIRST);
    assert_eq!(place.password("dev/admin"), scripted.held());
    let logins = || scripted.device.state().logins.len();
    assert_eq!(logins(), 2, "the change, and its proof in one session");
    assert_eq!(place.json(&["verify", "dev/admin"]).1, 0);
    assert_eq!(logins(), 3, "the password is tried in the session that asked for nothing");
    // A wrong password is refused in the session, and no more often than the budget has it.
    place.must(&["secret", "set", "dev/admin"], "not-the-password\n");
    for _ in 0..3 {
        assert_eq!(place.json(&["verify", "dev/admin"]).1, 5);
    }
    assert_eq!(place.state("dev/admin"), "uncertain");
    assert_eq!(*refused.lock().unwrap(), 2, "the lockout budget");
    daemon.stop();
}
