use std::fs;
use std::path::Path;

use super::*;

/// Loads a config of these files; the problems as text, with the folder's name taken out.
fn load(files: &[(&str, &str)]) -> (Option<Config>, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("templates")).unwrap();
    fs::write(
        folder.path().join("templates/t.template"),
        "exec \"set [#USERNAME#] [#NEW_PASSWORD#]\"\nexpect \"ok\"\n",
    )
    .unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let (config, problems) = Config::load(&folder.path().join("rotord.toml"));
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    (config, text.join("\n").replace(&format!("{}/", folder.path().display()), ""))
}

const BASE: &str = "[daemon]\ntemplate_dirs = [\"templates\"]\n[device.d]\naddress = \"127.0.0.1\"\ntemplate = \"t\"\n[account.\"d/a\"]\n";

/// The problems of BASE with some lines more.
fn problems(more: &str) -> String {
    load(&[("rotord.toml", &format!("{BASE}{more}"))]).1
}

#[test]
fn a_config_is_read_with_its_defaults() {
    let (config, problems) = load(&[("rotord.toml", BASE)]);
    let config = config.unwrap_or_else(|| panic!("{problems}"));
    let account = config.accounts.values().next().unwrap();
    assert_eq!((account.device.port, account.policy.max_changes_per_day), (22, 2));
    assert_eq!(problems, "");
}

#[test]
fn config_d_is_merged_and_a_name_twice_is_an_error() {
    let more = "[account.\"d/b\"]\nlogin_as = \"d/a\"\n";
    let (config, problems) = load(&[("rotord.toml", BASE), ("config.d/10.toml", more)]);
    assert_eq!(config.unwrap_or_else(|| panic!("{problems}")).accounts.len(), 2);
    let (config, problems) = load(&[("rotord.toml", BASE), ("config.d/10.toml", "[account.\"d/a\"]\n")]);
    assert!(config.is_none());
    assert!(
        problems.contains("config.d/10.toml:1:10: error: account 'd/a' stands in rotord.toml already"),
        "{problems}"
    );
}

#[test]
fn all_problems_are_told_at_once_with_place_caret_and_remedy() {
    let text = problems(
        "polcy = \"x\"\n[policy.p]\nlenght = 3\nmax_changes_per_day = 3\nmin_age = \"soon\"\n[job.j]\nschedule = \"61 * * * *\"\naccounts = [\"x*\"]\n",
    );
    for expected in [
        "rotord.toml:7:1: error: unknown key 'polcy' in [account.\"d/a\"]; did you mean 'policy'?",
        "rotord.toml:9:1: error: unknown key 'lenght' in [policy.p]; did you mean 'length'? [C002]\n 9 | lenght = 3\n   | ^^^^^^",
        "rotord.toml:10:23: error: 'max_changes_per_day' must be from 1 to 2",
        "rotord.toml:11:11: error: 'min_age': \"soon\" is no duration",
        "rotord.toml:13:12: error: 'schedule': \"61 * * * *\" is no schedule: the minute \"61\"",
        "rotord.toml:14:13: warning: this matches no account",
    ] {
        assert!(text.contains(expected), "{expected}\n--- in\n{text}");
    }
}

#[test]
fn a_key_that_looks_like_a_secret_is_refused_and_its_value_not_shown() {
    for more in
        ["password = \"hunter2\"\n", "totp_seed = \"hunter2\"\n", "fields = { ENABLE_PASSWORD = \"hunter2\" }\n"]
    {
        let text = problems(more);
        assert!(text.contains("rotorctl secret set") && text.contains("[C003]"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn broken_toml_is_told_without_quoting_the_line() {
    let text = problems("policy = \"hunter2\nx = 1\n");
    assert!(text.contains("rotord.toml:7:") && text.contains("[C001]") && !text.contains("hunter2"), "{text}");
}

#[test]
fn references_are_checked() {
    for (more, expected) in [
        ("login_as = \"d/aa\"\n", "no account 'd/aa'; did you mean 'd/a'?"),
        ("policy = \"defalt\"\n", "no policy 'defalt'; did you mean 'default'?"),
        ("after = \"d/a\"\n", "round in a circle"),
        ("[device.e]\naddress = \"h\"\ntemplate = \"tt\"\n", "no template 'tt'"),
        ("[device.e]\naddress = \"h\"\ntemplate = \"t\"\njump = \"f\"\n", "no device 'f'"),
        ("[device.e]\naddress = \"h\"\ntemplate = \"t\"\njump = \"e\"\n", "round in a circle"),
        ("[account.\"x/a\"]\n", "no device 'x'"),
        ("[device.e]\ntemplate = \"t\"\n", "needs 'address'"),
        ("[device.e]\naddress = \"h:x\"\ntemplate = \"t\"\n", "HOST:PORT"),
        ("[device.e]\naddress = \"h\"\ntemplate = \"t\"\nhost_key = [\"aa:bb\"]\n", "SHA256:"),
        ("[device.e]\naddress = \"h\"\ntemplate = \"t\"\nlogin_format = \"x\"\n", "password+totp"),
        ("[devices.e]\n", "did you mean '[device]'?"),
        ("fields = { add = \"1\" }\n", "upper-case"),
    ] {
        let text = problems(more);
        assert!(text.contains(expected), "{more}: {text}");
    }
}

#[test]
fn a_zone_that_is_misspelt_is_named() {
    let (_, text) = load(&[("rotord.toml", &BASE.replace("[device", "timezone = \"Europe/Berln\"\n[device"))]);
    assert!(text.contains("did you mean \"Europe/Berlin\"?"), "{text}");
}

#[test]
fn the_template_of_an_earlier_folder_goes_first() {
    let config = BASE.replace("[\"templates\"]", "[\"own\", \"templates\"]");
    let own = "# mine\nexec \"[#NEW_PASSWORD#]\"\nexpect \"mine\"\n";
    let (config, problems) = load(&[("rotord.toml", &config), ("own/t.template", own)]);
    let config = config.unwrap_or_else(|| panic!("{problems}"));
    assert_eq!(config.accounts.values().next().unwrap().template.commit_line(), Some(2));
}

#[test]
fn the_example_config_of_the_repository_is_sound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(root.join("config/rotord.toml")).unwrap();
    let templates = format!("template_dirs = [\"{}\"]", root.join("templates").display());
    let text = text.replace("template_dirs = [\"/etc/rotord/templates\", \"/usr/share/rotord/templates\"]", &templates);
    fs::write(folder.path().join("rotord.toml"), text).unwrap();
    let (config, problems) = Config::load(&folder.path().join("rotord.toml"));
    assert!(problems.is_empty(), "{problems:#?}");
    assert_eq!(config.unwrap().accounts.len(), 3);
}

#[test]
fn an_account_does_not_mend_itself_and_escrow_needs_a_key() {
    let told = problems("reconcile_as = \"d/a\"\n");
    assert!(told.contains("must be another account"), "{told}");
    let told = problems("[vault]\nescrow = \"elsewhere\"\n");
    assert!(told.contains("recovery_key"), "{told}");
    let told = problems("[vault]\nrecovery_key = \"AGE-SECRET-KEY-1QQQ\"\n");
    assert!(told.contains("private half") && !told.contains("1QQQ\n"), "{told}");
    let told = problems("[job.j]\nschedule = \"@daily\"\naccounts = [\"*\"]\naction = \"look\"\n");
    assert!(told.contains("rotate, verify"), "{told}");
}

/// The problems of a device with this template in a library of the shipped ones, and accounts `d/root` and `d/app`, the
/// second of which has a line more.
fn with_shipped(template: &str, line: &str, own: &str) -> String {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let config = format!(
        "[daemon]\ntemplate_dirs = [\"templates\", \"{}\"]\n[policy.default]\nlength = 12\nsymbols = 0\n[device.d]\naddress = \"127.0.0.1\"\ntemplate = \"{template}\"\n[account.\"d/root\"]\n[account.\"d/app\"]\n{line}\n",
        shipped.display()
    );
    load(&[("rotord.toml", &config), ("templates/own.template", own)]).1
}

#[test]
fn a_template_that_changes_whoever_logs_in_is_none_for_another_login_account() {
    for template in ["linux-passwd", "macos-passwd", "freebsd-passwd", "qnap-qts", "openssh-expired-password"] {
        let told = with_shipped(template, "login_as = \"d/root\"", "");
        let expected = format!(
            "error: template '{template}' changes the password of the account that logs in: with login_as = \"d/root\" it would change d/root and not d/app; use a template"
        );
        assert!(told.contains(&expected) && told.contains("[C014]"), "{told}");
    }
    let told = with_shipped("linux-passwd", "login_as = \"d/root\"", "");
    assert!(told.contains("'linux-passwd-as-root', 'linux-su-passwd', 'linux-sudo-passwd'"), "{told}");
    let told = with_shipped("macos-passwd", "reconcile_as = \"d/root\"", "");
    assert!(told.contains("with reconcile_as = \"d/root\" it would change d/root"), "{told}");
    for (template, line) in [
        ("linux-passwd", ""),
        ("linux-passwd", "login_as = \"d/app\""),
        // Its section reconcile names the account.
        ("linux-passwd", "reconcile_as = \"d/root\""),
        ("linux-passwd-as-root", "login_as = \"d/root\"\nreconcile_as = \"d/root\""),
        ("linux-sudo-passwd", "login_as = \"d/root\""),
        ("cisco-ios-enable", "login_as = \"d/root\""),
        ("kadmin", "login_as = \"d/root\""),
    ] {
        assert_eq!(with_shipped(template, line, ""), "", "{template} {line}");
    }
}

#[test]
fn who_is_changed_is_seen_in_every_way_in_which_a_template_may_name_an_account() {
    let end = "exec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n";
    let verify = "section verify\nexec \"try [#NEW_PASSWORD#]\"\nexpect \"*ok\"\n";
    let branch = "choose\nwhen \"*$\"\nexec \"passwd\"\nwhen \"*#\"\nexec \"passwd [#USERNAME:sh#]\"\nend-choose\n";
    for (own, code) in [
        (format!("exec \"passwd\"\n{end}"), "C014"),
        (format!("exec \"passwd [#AUTH_USER#]\"\n{end}"), "C014"),
        (format!("exec \"/usr/bin/passwd\"\n{end}{verify}"), "C014"),
        (format!("info changes \"self\"\nexec \"set\"\n{end}{verify}"), "C014"),
        // Naming it elsewhere names nobody in the change.
        (format!("exec \"passwd\"\n{end}section abort\nexec \"unlock [#USERNAME#]\"\n"), "C014"),
        (format!("exec \"passwd\"\n{end}section verify\nexec \"su [#USERNAME#]\"\nexpect \"*ok\"\n"), "C014"),
        (format!("exec \"enable\"\nexec \"[#ENABLE_SENHA#]\"\nexec \"password\"\n{end}"), "C014"),
        (format!("exec \"set [#SERVER_PATH#]\"\n{end}"), "C015"),
        (format!("answer \"*user to change:\" \"[#USERNAME#]\"\nexec \"set\"\n{end}"), "C015"),
        (format!("exec \"set\"\n{end}{verify}"), "C015"),
        (branch.to_owned() + end, ""),
        (format!("write \"passwd [#USERNAME#]\"\n{end}"), ""),
        (format!("info changes \"named\"\nexec \"set [#SERVER_PATH#]\"\n{end}"), ""),
        (format!("info changes \"other\"\nexec \"enable secret\"\n{end}"), ""),
    ] {
        let told = with_shipped("own", "login_as = \"d/root\"", &own);
        let codes: Vec<&str> = ["C014", "C015"].into_iter().filter(|code| told.contains(code)).collect();
        assert_eq!(codes.join(" "), code, "{own}\n{told}");
    }
}

#[test]
fn a_policy_longer_than_what_counts_on_the_device_is_warned_of() {
    let own = "info password-significant \"8\"\nexec \"set [#USERNAME#] [#NEW_PASSWORD#]\"\nexpect \"*ok\"\n";
    let told = with_shipped("own", "", own);
    assert!(told.contains("warning") && told.contains("first 8 characters") && told.contains("[C016]"), "{told}");
    assert_eq!(with_shipped("own", "", &own.replace("\"8\"", "\"12\"")), "");
}

#[test]
fn every_shipped_template_shows_or_says_whose_password_it_changes() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    for file in template_files(&shipped) {
        let (checked, problems) = load_file(&file);
        let checked = checked.unwrap_or_else(|| panic!("{problems:?}"));
        assert_ne!(checked.changes(), crate::template::Changes::Unclear, "{}", file.display());
    }
}

/// A config of one section of each kind, with some lines more in one of them.
fn with_lines(section: &str, lines: &str) -> (Option<Config>, String) {
    let named = |heading: &str| {
        match heading {
            "[policy.NAME]" => "[policy.default]",
            "[device.NAME]" => "[device.web1]",
            "[account.\"DEVICE/USERNAME\"]" => "[account.\"web1/admin\"]",
            "[job.NAME]" => "[job.j]",
            other => other,
        }
        .to_owned()
    };
    let mut text =
        "[device.gateway]\naddress = \"192.0.2.1\"\ntemplate = \"t\"\n[account.\"gateway/rotor\"]\n[account.\"web1/root\"]\n"
            .to_owned();
    for (heading, _) in SECTIONS {
        let demanded: String = KEYS
            .iter()
            .filter(|key| key.section == *heading && key.absent == Absent::Wrong)
            .filter(|key| *heading != section || !lines.starts_with(&format!("{} ", key.name)))
            .map(|key| format!("{} = {}\n", key.name, key.example.replace("linux-passwd", "t")))
            .collect();
        let ours = if *heading == section { lines } else { "" };
        let folders = if *heading == "[daemon]" && !ours.contains("template_dirs") {
            "template_dirs = [\"templates\"]\n"
        } else {
            ""
        };
        text.push_str(&format!("{}\n{folders}{demanded}{ours}\n", named(heading)));
    }
    load(&[("rotord.toml", &text)])
}

#[test]
fn the_reference_names_each_key_that_is_read_and_tells_its_default() {
    table::ASKED.with_borrow_mut(BTreeSet::clear);
    // `[device.web1]` is of the kind `device`, and so is `[device.NAME]`.
    let kind = |section: &str| section.split(['.', ']']).next().unwrap().trim_start_matches('[').to_owned();
    let mut about = BTreeSet::new();
    for key in KEYS {
        about.insert((kind(key.section), key.name.to_owned()));
        let line = match key.name {
            // It stands with another.
            "escrow" => {
                let sealed_to = KEYS.iter().find(|key| key.name == "recovery_key").unwrap();
                format!("recovery_key = {}\nescrow = {}", sealed_to.example, key.example)
            }
            "template_dirs" => "template_dirs = [\"templates\"]".to_owned(),
            _ => format!("{} = {}", key.name, key.example.replace("linux-passwd", "t")),
        };
        let (config, problems) = with_lines(key.section, &line);
        // A pin of zeros fits no template, and a file that is not there is only warned of.
        let wrong = problems.lines().find(|line| line.contains(" error: ") && !line.contains("pinned"));
        assert!(wrong.is_none() && (config.is_some() || key.name == "template_sha256"), "{}: {problems}", key.name);
        if let Absent::Means(value) = key.absent
            && key.name != "template_dirs"
        {
            let (told, problems) = with_lines(key.section, &format!("{} = {value}", key.name));
            let (silent, _) = with_lines(key.section, "");
            let plain = |config: Option<Config>| {
                let config = config.unwrap_or_else(|| panic!("{}: {problems}", key.name));
                let Daemon { state_dir, socket, max_concurrent, .. } = &config.daemon;
                let all = (&config.vault_key, &config.access, &config.accounts, &config.jobs);
                format!("{state_dir:?} {socket:?} {max_concurrent} {all:?}")
            };
            assert_eq!(plain(told), plain(silent), "{} = {value}", key.name);
        }
        let (_, problems) = with_lines(key.section, &format!("{} = 2000-01-01", key.name));
        assert!(problems.contains(&format!("'{}' must be", key.name)), "{problems}");
    }
    let asked: BTreeSet<(String, String)> = table::ASKED
        .with_borrow(|asked| asked.clone())
        .into_iter()
        .map(|(section, key)| (kind(&section), key))
        .collect();
    assert_eq!(asked, about);
}

#[test]
fn followers_are_those_who_change_after_an_account_in_an_edited_copy_too() {
    let more =
        "[account.\"d/b\"]\nafter = \"d/a\"\n[account.\"d/c\"]\nafter = \"d/a\"\n[account.\"d/e\"]\nafter = \"d/b\"\n";
    let (config, problems) = load(&[("rotord.toml", &format!("{BASE}{more}"))]);
    let config = config.unwrap_or_else(|| panic!("{problems}"));
    let name = |text: &str| AccountName::parse(text).unwrap();
    let followers = |config: &Config, of: &str| -> Vec<String> {
        config.followers_of(&name(of)).iter().map(ToString::to_string).collect()
    };
    assert_eq!(followers(&config, "d/a"), ["d/b", "d/c"]);
    assert_eq!(followers(&config, "d/b"), ["d/e"]);
    assert!(followers(&config, "d/e").is_empty());
    let mut edited = config.clone();
    edited.accounts.remove(&name("d/c"));
    assert_eq!(followers(&edited, "d/a"), ["d/b"]);
}
