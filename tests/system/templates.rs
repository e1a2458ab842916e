//! What is done with template files on the command line, and the library that is shipped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use rotord::template::Changes;

use crate::lab::{Lab, Place, documented, feed, free_port, in_quotes, ssh_in, symbols};

fn ctl(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rotorctl")).args(["template"]).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr)
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    rotord::config::files_below(folder, ending)
}

#[test]
fn every_template_of_the_library_has_a_recording_that_is_played() {
    let (templates, recordings) = (root().join("templates"), root().join("tests/devices"));
    let output = ctl(&["--json", "test", recordings.to_str().unwrap(), "--templates", templates.to_str().unwrap()]);
    let value = json(&output);
    assert_eq!((output.status.code(), value["failed"].as_u64()), (Some(0), Some(0)), "{}", said(&output));
    let played: BTreeSet<String> = value["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["template"].as_str().unwrap().to_owned())
        .collect();
    // Those of web applications are below.
    let all: BTreeSet<String> = files(&templates, "template")
        .iter()
        .filter(|file| {
            !std::fs::read_to_string(file)
                .unwrap()
                .lines()
                .any(|line| line.starts_with("start-at ") || line.starts_with("get "))
        })
        .map(|file| file.strip_prefix(&templates).unwrap().with_extension("").to_string_lossy().into_owned())
        .collect();
    assert_eq!(all.difference(&played).collect::<Vec<_>>(), Vec::<&String>::new(), "templates without a recording");
    assert!(all.len() >= 60, "{} templates", all.len());
}

#[test]
fn the_recordings_of_web_applications_are_played_without_a_browser() {
    let (templates, recordings) = (root().join("templates"), root().join("tests/applications"));
    let output = ctl(&["--json", "test", recordings.to_str().unwrap(), "--templates", templates.to_str().unwrap()]);
    let value = json(&output);
    assert_eq!((output.status.code(), value["failed"].as_u64()), (Some(0), Some(0)), "{}", said(&output));
    let played = |name: &str| {
        let results = value["results"].as_array().unwrap().iter();
        let scenes = results.filter(|result| result["template"] == format!("web/{name}"));
        scenes.map(|result| result["scene"].as_str().unwrap()).collect::<BTreeSet<_>>()
    };
    for file in files(&templates.join("web"), "template") {
        let name = file.file_stem().unwrap().to_str().unwrap();
        // pgAdmin's pages are made by script: web_apps.rs runs it on the application alone.
        if name != "pgadmin4" {
            let wanted = ["the password is changed", "the password is wrong", "the new password is proved"];
            assert!(wanted.iter().all(|scene| played(name).contains(scene)), "{name}: {:?}", played(name));
        }
    }
    for name in ["django-two-factor-auth", "mediawiki-oathauth"] {
        assert!(played(name).contains("the code is wrong") && played(name).contains("the new password is refused"));
    }
}

/// A template whose selectors the application no longer has fails on the recording, as it would there.
#[test]
fn a_web_template_that_no_longer_fits_its_pages_fails_on_the_recording() {
    let recordings = root().join("tests/applications");
    for (name, from, to) in [
        ("django-two-factor-auth", "#id_token-otp_token", "#id_otp"),
        ("mediawiki-oathauth", "#pt-userpage", "#pt-profile"),
        ("wordpress", "button.wp-generate-pw", "button.wp-new-pw"),
        ("wordpress-forms", "fill-form pass2", "fill-form pass3"),
        ("roundcube", ".button.submit", "#save"),
    ] {
        let text = std::fs::read_to_string(root().join(format!("templates/web/{name}.template"))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(format!("{name}.template"));
        std::fs::write(&file, text.replace(from, to)).unwrap();
        let recording = recordings.join(format!("{name}.recording"));
        let output = ctl(&["run", file.to_str().unwrap(), "--against", recording.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
    }
}

#[test]
fn every_recording_shows_success_a_refusal_and_a_login_or_password_that_is_wrong() {
    for file in files(&root().join("tests/devices"), "recording") {
        let (recording, problems) = rotord::recording::parse(&file, &std::fs::read_to_string(&file).unwrap());
        assert!(problems.is_empty(), "{problems:?}");
        let endings: Vec<&str> = recording
            .scenes
            .iter()
            .filter(|scene| scene.section == rotord::template::Section::Change)
            .map(|scene| scene.ending.map_or("ran", rotord::recording::Ending::name))
            .collect();
        assert!(endings.contains(&"ran") && endings.contains(&"refused"), "{}: {endings:?}", file.display());
        assert!(endings.len() >= 3, "{}: {endings:?}", file.display());
    }
}

#[test]
fn every_template_says_what_it_is_for_and_how_it_was_tested() {
    for file in files(&root().join("templates"), "template") {
        let (checked, problems) = rotord::config::load_file(&file);
        let checked = checked.unwrap_or_else(|| panic!("{problems:?}"));
        for key in ["vendor", "product", "tested"] {
            assert!(checked.info(key).is_some_and(|value| !value.is_empty()), "{}: info {key}", file.display());
        }
    }
}

#[test]
fn slips_are_corrected_in_the_file_and_what_is_left_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.template");
    std::fs::write(
        &file,
        "exec \"passwd\r\nexpect-regex \"/word:/g\"\r\nexec \"[#new_password#]\"\r\nexpect \"*ok\"\r\nnonsense\r\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let before = ctl(&["check", path]);
    assert_eq!(before.status.code(), Some(2));
    assert!(said(&before).contains("= write: exec \"passwd\""), "{}", said(&before));
    let output = ctl(&["check", "--fix", path]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("x.template:5:1: error") && said(&output).contains("3 lines corrected"));
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        text,
        "exec \"passwd\"\r\nexpect-regex \"/word:/\"\r\nexec \"[#NEW_PASSWORD#]\"\r\nexpect \"*ok\"\r\nnonsense\r\n"
    );
    std::fs::write(&file, text.replace("nonsense\r\n", "")).unwrap();
    let output = ctl(&["check", path]);
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
}

#[test]
fn problems_come_as_json_and_as_sarif_and_codes_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.template");
    std::fs::write(&file, "exspect \"x\"\nexec \"[#NEW_PASSWORD#]\"\n").unwrap();
    let path = file.to_str().unwrap();
    let value = json(&ctl(&["check", "--format", "json", path]));
    assert_eq!(value["problems"][0]["fix"], "expect \"x\"");
    let log = json(&ctl(&["check", "--format", "sarif", path]));
    assert_eq!(log["version"], "2.1.0");
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!((results[0]["ruleId"].as_str(), results[0]["level"].as_str()), (Some("T001"), Some("error")));
    let region = &results[0]["locations"][0]["physicalLocation"]["region"];
    assert_eq!((region["startLine"].as_u64(), region["startColumn"].as_u64()), (Some(1), Some(1)));
    assert!(results.iter().any(|result| result["ruleId"] == "T104" && result["level"] == "warning"));
    let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(results.iter().all(|result| rules.iter().any(|rule| rule["id"] == result["ruleId"])));
    let output = ctl(&["check", "--explain", "t104"]);
    assert!(output.status.success() && said(&output).starts_with("T104: "), "{}", said(&output));
    assert_eq!(ctl(&["check", "--explain", "T999"]).status.code(), Some(2));
}

#[test]
fn a_draft_is_written_from_a_few_answers_and_plays_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let new = |answers: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rotorctl"));
        command.args(["template", "new", "box"]).current_dir(folder.path());
        feed(&mut command, answers)
    };
    let output = new("ACME\nBox 3\n>\nset password\nnone\nNew password:\nAgain:\nprompt\ntoo simple\n");
    assert!(output.status.success(), "{}", said(&output));
    let path = folder.path().to_str().unwrap();
    assert_eq!(ctl(&["check", path]).stdout.len(), 0, "{}", said(&ctl(&["check", path])));
    let played = ctl(&["test", path]);
    assert!(
        played.status.success() && said(&played).contains("2 scenes of 1 recordings: 0 failed"),
        "{}",
        said(&played)
    );
    let again = new("\n");
    assert_eq!(again.status.code(), Some(2), "nothing is written over: {}", said(&again));
}

#[test]
fn the_recording_of_a_web_application_in_the_docs_is_played_without_a_browser() {
    let text = std::fs::read_to_string(root().join("docs/templates.md")).unwrap();
    let (_, behind) = text.split_once("### Recordings of web applications").unwrap();
    let (recording, _) = behind.split_once("| line | meaning |").unwrap();
    let lines = recording.lines().filter(|line| line.is_empty() || line.starts_with("    "));
    let recording: String = lines.map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    let template = "start-at https://[#HOSTNAME#]/login\nfill #user [#USERNAME#]\nfill #pass [#CURRENT_PASSWORD#]\nclick #go\ntest-selector #logout\nfill #new [#NEW_PASSWORD#]\nclick #save\ntest-text changed\n";
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(place("box.recording"), &recording).unwrap();
    std::fs::write(place("box.template"), template).unwrap();
    let played = ctl(&["test", &place("box.recording"), "--templates", &place("")]);
    assert!(played.status.success(), "{}", said(&played));
    assert!(said(&played).contains("2 scenes of 1 recordings: 0 failed"), "{}", said(&played));
    assert!(said(&played).contains("3 of 3 lines or pages of devices were seen"), "{}", said(&played));
    // A template that looks for what the page does not have is told what is there.
    std::fs::write(place("box.template"), template.replace("#user", "#user_login")).unwrap();
    let run = ctl(&["run", &place("box.template"), "--against", &place("box.recording"), "--trace"]);
    assert_eq!(run.status.code(), Some(1), "{}", said(&run));
    assert!(said(&run).contains("there is no #user_login") && said(&run).contains("input#user"), "{}", said(&run));
    // The one kind is not played as the other.
    std::fs::write(place("shell.template"), "expect \"*$\"\nexec \"[#NEW_PASSWORD#]\"\n").unwrap();
    let run = ctl(&["run", &place("shell.template"), "--against", &place("box.recording")]);
    assert_eq!(run.status.code(), Some(2), "{}", said(&run));
    assert!(said(&run).contains("is no web template"), "{}", said(&run));
}

#[test]
fn a_run_against_a_recording_tells_what_each_wait_saw() {
    let template = root().join("templates/linux/linux-passwd.template");
    let recording = root().join("tests/devices/linux-passwd.recording");
    let args = ["run", template.to_str().unwrap(), "--against", recording.to_str().unwrap()];
    let output = ctl(&args);
    assert!(output.status.success() && said(&output).contains("the password is changed: ok"), "{}", said(&output));
    let output = ctl(&[&args[..], &["--trace"]].concat());
    let text = said(&output);
    assert!(text.contains("waits for \"") && text.contains("commit point") && text.contains("unread: "), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("x.template");
    std::fs::write(&other, std::fs::read_to_string(template).unwrap().replace("LC_ALL=C passwd", "passwd")).unwrap();
    let output = ctl(&["run", other.to_str().unwrap(), "--against", recording.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("takes \"LC_ALL=C passwd\""), "{}", said(&output));
}

#[test]
fn the_table_of_templates_is_true() {
    let mut table =
        "| template | vendor | product | verdict | evidence | changes | limits |\n| --- | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    let evidence = evidence();
    for file in files(&root().join("templates"), "template") {
        let (checked, problems) = rotord::config::load_file(&file);
        let checked = checked.unwrap_or_else(|| panic!("{problems:?}"));
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let info = |key| checked.info(key).unwrap_or_default().replace('|', "\\|");
        let tested = checked.info("tested").unwrap_or_default();
        let verdict = if checked.is_unproven() { "unproven" } else { "proven" };
        let path =
            file.strip_prefix(root().join("templates")).unwrap().with_extension("").to_string_lossy().into_owned();
        let how = match (checked.is_unproven(), evidence.get(&path)) {
            (false, _) => format!("real program: {tested}"),
            (true, _) if checked.web().is_some() => tested.trim_start_matches("unproven: ").to_owned(),
            (true, Some((seen, lines, sources))) if *seen > 0 => {
                let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
                format!("recording: {seen} of {lines} lines seen ({})", sources.join("; "))
            }
            (true, found) => format!("recording: {} lines, all assumed", found.map_or(0, |(_, lines, _)| *lines)),
        };
        let whom = match (checked.changes(), checked.reconcile()) {
            (Changes::LoginAccount, None) => "the login account",
            (Changes::LoginAccount, Some(_)) => "the login account; through `reconcile_as`, the named one",
            (Changes::Named, _) => "the named account",
            (Changes::Other, _) => "what it says itself",
            (Changes::Unclear, _) => panic!("{name}: whom does it change?"),
        };
        let limits = limits(&checked);
        table.push_str(&format!(
            "| `{name}` | {} | {} | {verdict} | {how} | {whom} | {limits} |\n",
            info("vendor"),
            info("product")
        ));
    }
    documented("templates.md", "templates", &table);
}

/// Of each template, by its path: lines of its recorded devices that were seen, all such lines, and where they were seen.
fn evidence() -> BTreeMap<String, (usize, usize, BTreeSet<String>)> {
    let mut all: BTreeMap<String, (usize, usize, BTreeSet<String>)> = BTreeMap::new();
    for file in files(&root().join("tests/devices"), "recording") {
        let (recording, _) = rotord::recording::parse(&file, &std::fs::read_to_string(&file).unwrap());
        let (seen, lines, sources) = all.entry(recording.template.unwrap()).or_default();
        for scene in recording.scenes {
            *seen += scene.evidence.seen;
            *lines += scene.evidence.lines;
            sources.extend(scene.evidence.sources);
        }
    }
    all
}

/// What a template states of the passwords that its device takes.
fn limits(checked: &rotord::template::Checked) -> String {
    let limits = checked.password_limits();
    let mut all = Vec::new();
    match (limits.min_length, limits.max_length) {
        (None, None) => {}
        (None, Some(most)) => all.push(format!("to {most} characters")),
        (Some(least), Some(most)) => all.push(format!("{least} to {most} characters")),
        (Some(least), None) => all.push(format!("from {least} characters")),
    }
    let code = |text: &str| format!("`{}`", text.replace('|', "\\|"));
    all.extend(limits.symbols.map(|symbols| format!("symbols {}", code(symbols))));
    if !limits.forbidden_first.is_empty() {
        all.push(format!("none of {} first", code(limits.forbidden_first)));
    }
    if !limits.forbidden.is_empty() {
        all.push(format!("without {}", code(limits.forbidden)));
    }
    all.extend(limits.max_repeat.map(|most| format!("no character more than {most} times in a row")));
    all.extend(limits.significant.map(|counts| format!("the first {counts} characters may be all that count")));
    all.extend(checked.info("creates").map(|_| "creates accounts".to_owned()));
    all.join("; ")
}

#[test]
fn no_recording_of_the_library_leaves_its_outcome_open() {
    for file in files(&root().join("tests/devices"), "recording") {
        let (recording, _) = rotord::recording::parse(&file, &std::fs::read_to_string(&file).unwrap());
        let template = root().join("templates").join(format!("{}.template", recording.template.unwrap()));
        let checked = std::sync::Arc::new(rotord::config::load_file(&template).0.unwrap());
        for scene in &recording.scenes {
            let played = rotord::recording::play_all(&checked, scene);
            assert_eq!((played.problem, played.note), (None, None), "{}: {}", file.display(), scene.title);
        }
    }
}

#[test]
fn the_table_of_codes_and_the_list_of_commands_are_true() {
    let mut table = "| code | | what |\n| --- | --- | --- |\n".to_owned();
    for code in rotord::template::CODES {
        let severity = if code.severity == rotord::model::Severity::Error { "error" } else { "warning" };
        table.push_str(&format!("| {} | {severity} | {} |\n", code.code, code.title));
    }
    documented("template-language.md", "codes", &table);
    let references =
        [("commands", rotord::template::REFERENCE), ("web commands", rotord::template::web::WEB_REFERENCE)];
    for (mark, reference) in references {
        let mut table = "| command | meaning | example |\n| --- | --- | --- |\n".to_owned();
        for entry in reference {
            let cell = |text: &str| text.replace('|', "\\|");
            let aliases: String = entry.names[1..].iter().map(|name| format!(", `{name}`")).collect();
            let (usage, meaning, example) = (cell(&entry.usage()), cell(entry.meaning), cell(entry.example));
            table.push_str(&format!("| `{usage}`{aliases} | {meaning} | `{example}` |\n"));
        }
        documented("template-language.md", mark, &table);
    }
    assert!(said(&ctl(&["check", "--explain", "noexpect"])).contains("no-expect \"*denied*\""));
    let text = std::fs::read_to_string(root().join("docs/template-language.md")).unwrap();
    for line in text.lines().filter(|line| line.starts_with("    ") && line.contains("exec \"")) {
        let (_, problems) = rotord::template::load(Path::new("docs"), line);
        assert!(problems.iter().all(|problem| problem.severity != rotord::model::Severity::Error), "{line}");
    }
}

#[test]
fn the_tutorial_holds_to_the_letter_on_a_busybox_device_behind_a_jump_host() {
    const FIRST: &str = "First-Router-Password-1";
    let text = std::fs::read_to_string(root().join("docs/templates.md")).unwrap();
    let from = text.find("$ rotorctl template new box").unwrap();
    let answers: String = text[from..]
        .lines()
        .skip(1)
        .take_while(|line| line.contains("]:"))
        .map(|line| line.rsplit_once("]:").unwrap().1.trim().to_owned() + "\n")
        .collect();
    assert_eq!(answers.lines().count(), 9);
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotorctl"));
    assert!(feed(command.args(["template", "new", "box"]).current_dir(folder.path()), &answers).status.success());
    let path = folder.path().to_str().unwrap();
    assert_eq!(said(&ctl(&["check", path])), "");
    assert!(said(&ctl(&["test", path])).contains("2 scenes of 1 recordings: 0 failed"));

    // A device with dropbear and busybox, which has no codes, behind an OpenSSH which asks for them.
    let (router, busybox) = (root().join("tests/lab/router.sh"), root().join("target/busybox/busybox"));
    let port = free_port();
    let port_text = port.to_string();
    let settings = [
        ("SERVICES", router.to_str().unwrap()),
        ("BUSYBOX", busybox.to_str().unwrap()),
        ("ROUTER_PORT", port_text.as_str()),
        ("FIRST", FIRST),
    ];
    let lab = Lab::with("jumper", &settings);
    let sections = |template: &str| {
        let symbols = in_quotes(&symbols());
        let policy = format!("[policy.default]\nlength = 60\nsymbols = 40\nsymbol_set = \"{symbols}\"\n");
        let device = format!(
            "[device.box]\naddress = \"127.0.0.1:{port}\"\ntemplate = \"{template}\"\njump = \"gw\"\n[account.\"box/root\"]\n"
        );
        policy + &*lab.sections("gw", "linux-passwd", "") + &*device
    };
    let place = Place::new(&sections("box"));
    std::fs::copy(folder.path().join("box.template"), place.path("own/box.template")).unwrap();
    let mut daemon = place.daemon();
    place.import("gw", &lab);
    let fingerprint = std::fs::read_to_string(lab.dir.join("router-fingerprint")).unwrap();
    place.must(&["trust", "box", "--yes", fingerprint.trim()], "");
    place.must(&["secret", "set", "box/root"], &format!("{FIRST}\n"));
    place.must(&["verify", "box/root"], "");
    place.must(&["template", "run", "box", "--device", "box", "--until-commit"], "");
    let accepts = |user: &str, password: &str| ssh_in(port, user, &[("PASSWORD", password)], None);
    let mut before = FIRST.to_owned();
    for template in ["box", "openwrt-passwd"] {
        if template != "box" {
            daemon.stop();
            place.configure(&sections(template));
            daemon = place.daemon();
        }
        let (outcome, detail, exit) = place.rotate("box/root");
        assert_eq!((outcome.as_str(), exit), ("done", 0), "{template}: {detail}");
        let password = place.password("box/root");
        assert!(accepts("root", &password), "{template}: another client is refused");
        assert!(!accepts("root", &before), "{template}: the old password still works");
        before = password;
    }
    // root sets another account's.
    daemon.stop();
    place.configure(&(sections("openwrt-passwd-as-root") + "[account.\"box/admin\"]\nlogin_as = \"box/root\"\n"));
    daemon = place.daemon();
    place.must(&["secret", "set", "box/admin"], &format!("{FIRST}\n"));
    let (outcome, detail, exit) = place.rotate("box/admin");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}");
    assert!(accepts("admin", &place.password("box/admin")), "another client is refused");
    assert!(!accepts("admin", FIRST), "the old password still works");
    daemon.stop();
}

#[test]
fn the_editor_grammar_knows_every_command() {
    let text = std::fs::read_to_string(root().join("editors/rotord-template.tmLanguage.json")).unwrap();
    let grammar: serde_json::Value = serde_json::from_str(&text).unwrap();
    let patterns: Vec<regex::Regex> = grammar["repository"]["line"]["patterns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pattern| regex::Regex::new(pattern["match"].as_str().unwrap()).unwrap())
        .collect();
    for command in rotord::template::COMMANDS {
        let line = if *command == "section" { "section verify".to_owned() } else { format!("  {command} \"x\"") };
        let found = patterns.iter().filter_map(|pattern| pattern.find(&line)).find(|found| found.start() == 0);
        assert!(found.is_some_and(|found| found.as_str().trim().starts_with(command)), "{command}");
    }
}
