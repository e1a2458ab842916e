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
    fs::write(folder.path().join("templates/w.template"), WEB_TEMPLATE).unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let (config, problems) = Config::load(&folder.path().join("rotord.toml"));
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    (config, text.join("\n").replace(&format!("{}/", folder.path().display()), ""))
}

const WEB_TEMPLATE: &str = r##"start-at https://[#HOSTNAME#]/login
fill "#password" [#CURRENT_PASSWORD#]
click "#go"
test-selector "#home"
fill "#new" [#NEW_PASSWORD#]
click "#save"
test-text "changed"
"##;

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
    assert_eq!((account.device.ssh().unwrap().port, account.policy.max_changes_per_day), (22, 2));
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
    let (_, problems) = load(&[("rotord.toml", BASE), ("config.d/10.toml", "[daemon]\ntimezone = \"UTC\"\n")]);
    assert!(problems.contains("[daemon] stands in rotord.toml already; keep one of the two"), "{problems}");
}

#[test]
fn all_problems_are_told_at_once_with_place_caret_and_remedy() {
    let text = problems(
        "polcy = \"x\"\n[policy.p]\nlenght = 3\nmax_changes_per_day = 3\nmin_age = \"soon\"\n[job.j]\nschedule = \"61 * * * *\"\naccounts = [\"x*\"]\n",
    );
    for expected in [
        "rotord.toml:7:1: error: unknown key 'polcy' in [account.\"d/a\"]; did you mean 'policy'?",
        "rotord.toml:9:1: error: unknown key 'lenght' in [policy.p]; did you mean 'length'? [C002]\nrotord",
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
fn the_value_of_an_unknown_key_is_shown_to_nobody() {
    let seen = "hunter2-not-to-be-seen";
    for key in [
        "ansible_ssh_pass",
        "ansible_become_pass",
        "ansible_password",
        "pass",
        "pw",
        "passwort",
        "totp",
        "otp",
        "credentials",
        "api_key",
        "ssh-key",
        "polcy",
        "commnt",
        "login_ass",
        "x",
        "user.name",
        "policy.x",
    ] {
        for value in [
            format!("\"{seen}\""),
            format!("[\"{seen}\"]"),
            format!("{{ a = \"{seen}\" }}"),
            format!("\"\"\"\n{seen}\"\"\""),
        ] {
            let text = problems(&format!("{key} = {value}\n"));
            assert!(text.contains("rotord.toml:7:") && !text.contains(seen), "{key} = {value}: {text}");
        }
    }
    // Another mistake on the same line, or in a section that is not read at all.
    for more in [
        format!(
            "[device.e]\naddress = \"h:x\"\ntemplate = \"t\"\n[device]\nf = {{ address = \"h:x\", template = \"t\", note = \"{seen}\" }}\n"
        ),
        format!("[account]\n\"d/b\" = {{ policy = \"nope\", note = \"{seen}\" }}\n"),
        format!("[account]\n\"d/a\" = {{ note = \"{seen}\" }}\n"),
        format!("[account]\n\"x/y\" = {{ note = \"{seen}\" }}\n"),
        format!("[account]\n\"no name\" = {{ note = \"{seen}\" }}\n"),
        format!("[notes]\nx = \"{seen}\"\n"),
        format!("fields = {{ add = \"{seen}\" }}\n"),
        format!("fields = {{ ADD = \"{seen}\\n\" }}\n"),
        format!("fields = \"{seen}\"\n"),
        format!("policy = {{ x = \"{seen}\" }}\n"),
        format!("[vault]\nrecovery_key = \"AGE-SECRET-KEY-{seen}\"\n"),
        format!("[vault]\nrecovery_key = [\"{seen}\"]\n"),
        format!("[vault]\nkey = \"{seen}\"\nkey_file = \"a\"\nsystemd_credential = \"a/b\"\n"),
    ] {
        let (_, text) = load(&[("rotord.toml", BASE), ("config.d/x.toml", &more)]);
        assert!(text.contains(": error: ") && !text.contains(seen), "{more}: {text}");
    }
    // What is known is shown as ever.
    let text = problems("policy = \"nope\"\n");
    assert!(text.contains("7 | policy = \"nope\""), "{text}");
}

#[test]
fn a_slip_is_told_once_with_its_remedy() {
    for (more, expected) in [
        ("[device.e]\naddress = 22\ntemplate = \"t\"\n", "'address' must be a string, not integer [C004]"),
        (
            "[device.e]\naddress = \"h\"\ntemplate = \"t\"\nhost_key = \"SHA256:x\"\n",
            "such as host_key = [\"…\"], not string [C004]",
        ),
        (
            "[policy.p]\nlength = 20\n[policy.p]\nlength = 21\n",
            "[policy.p] stands in line 7 already; keep one of the two [C001]",
        ),
        ("[policy.p]\nlength = 20\nlength = 21\n", "the key 'length' stands twice in this section"),
    ] {
        let text = problems(more);
        assert!(text.contains(expected), "{expected}\n--- in\n{text}");
        assert_eq!(text.matches(": error: ").count(), 1, "{text}");
    }
}

#[test]
fn all_that_stands_twice_is_told_of_each_once() {
    let text = problems(
        "[policy.p]\nlength = 20\nlength = 21\n[policy.q]\nlength = 22\n[policy.q]\nlength = 23\nmin_age = \"1d\"\n[policy.r]\nmin_age = \"1d\"\nmin_age = \"2d\"\n",
    );
    for place in ["rotord.toml:9:1: ", "rotord.toml:12:", "rotord.toml:17:1: "] {
        assert_eq!(text.matches(place).count(), 1, "{place}\n--- in\n{text}");
    }
    assert_eq!(text.matches(": error: ").count(), 3, "{text}");
}

#[test]
fn a_slip_of_something_twice_shows_no_value() {
    for more in [
        "[device.e]\naddress = \"h\"\n[device.e] recovery_key = \"HUSH1\"\n",
        "[vault]\nrecovery_key = [\n[{ a = \"HUSH2\", a = \"HUSH3\" }],\n]\n",
    ] {
        let text = problems(more);
        assert!(text.contains("[C001]") && !text.contains("HUSH"), "{text}");
    }
}

#[test]
fn a_name_is_what_it_looks_like() {
    for (more, expected) in [
        ("[account.\"d/CORP\\xadmin\"]\n", "single quotes, in which a backslash is one: 'd/CORP\\xadmin'"),
        ("[account.\"d/CORP\\ubeef1\"]\n", "'d/CORP\\ubeef1'"),
        ("[account.\"d/CORP\\backup\"]\n", "'d/CORP\\backup'"),
        ("[account.\"d/CORP\\t1\"]\n", "'d/CORP\\t1'"),
        ("[account.\"d/CORP\\\\x\\u0041\"]\n", "'d/CORP\\x\\u0041'"),
        ("[account.\"d/CORP\\svc\"]\n", "single quotes"),
        ("login_as = \"d/\\u0061\"\n", "'d/\\u0061'"),
        ("reconcile_as = \"d/\\u0061b\"\n", "'d/\\u0061b'"),
        ("after = \"d/\\u0061b\"\n", "'d/\\u0061b'"),
        ("[access]\noperator = [\"CORP\\xadam\"]\n", "'CORP\\xadam'"),
        ("[access]\noperator = [\"CORP\\xbob\"]\n", "single quotes"),
        ("[access]\noperator = ['CORP\u{ad}bob']\n", "not seen"),
        ("[job.\"n\\u0061\"]\nschedule = \"@daily\"\naccounts = [\"d/*\"]\n", "'n\\u0061'"),
        ("[job.n]\nschedule = \"@daily\"\naccounts = [\"d/\\u0061\"]\n", "'d/\\u0061'"),
        ("[job.'a\u{202e}b']\nschedule = \"@daily\"\naccounts = [\"d/*\"]\n", "turns the direction"),
        ("[policy.'a\u{200b}']\n", "not seen"),
        ("[policy.'']\n", "not empty"),
        ("[account.'d/a\u{200b}']\n", "not seen"),
        ("[account.'d/a\u{2066}x']\n", "turns the direction"),
    ] {
        let text = problems(more);
        assert!(text.contains("error") && text.contains(expected), "{more}: {text}");
        assert!(!text.contains(['\u{ad}', '\u{202e}', '\u{200b}', '\u{2066}']), "{text}");
    }
    let (config, text) =
        load(&[("rotord.toml", &format!("{BASE}[account.'d/CORP\\xadmin']\n[account.\"d/CORP\\\\yadmin\"]\n"))]);
    let config = config.unwrap_or_else(|| panic!("{text}"));
    let users: Vec<&str> = config.accounts.keys().map(AccountName::user).collect();
    assert_eq!(users, ["CORP\\xadmin", "CORP\\yadmin", "a"]);
}

#[test]
fn nothing_of_a_shell_stands_in_a_path() {
    let daemon = |line: &str| load(&[("rotord.toml", &BASE.replace("[device", &format!("{line}\n[device")))]).1;
    for line in [
        "state_dir = \"~/state\"",
        "state_dir = \"~rotord\"",
        "socket = \"$XDG_RUNTIME_DIR/s\"",
        "state_dir = \"\"",
        "socket = \"a\\nb\"",
    ] {
        assert!(daemon(line).contains("error: '"), "{line}: {}", daemon(line));
    }
    for more in [
        "[vault]\nkey_file = \"~/key\"\n",
        "[vault]\nrecovery_key = \"x\"\nescrow = \"~/escrow\"\n",
        "[device.e]\naddress = \"h\"\ntemplate = \"t\"\nknown_hosts = \"~/.ssh/known_hosts\"\n",
    ] {
        assert!(problems(more).contains("'~' stands for nothing here"), "{}", problems(more));
    }
    let (_, text) = load(&[("rotord.toml", &BASE.replace("[\"templates\"]", "[\"~/templates\"]"))]);
    assert!(text.contains("'~' stands for nothing"), "{text}");
}

#[test]
fn a_name_of_access_that_lets_nobody_in_is_warned_of() {
    let (config, text) = load(&[(
        "rotord.toml",
        &format!(
            "{BASE}[access]\nviewer = [\"root\", \"@root\"]\noperator = [\"no-such-user\"]\ncustodian = [\"@no-such-group\"]\n"
        ),
    )]);
    assert!(config.is_some(), "{text}");
    assert_eq!(text.matches("warning").count(), 2, "{text}");
    assert!(text.contains("no user \"no-such-user\"") && text.contains("no group \"no-such-group\""), "{text}");
}

#[test]
fn a_schedule_that_never_comes_again_is_wrong_and_one_that_few_expect_is_warned_of() {
    let job = |schedule: &str| problems(&format!("[job.j]\nschedule = \"{schedule}\"\naccounts = [\"*\"]\n"));
    let past = job("0 0 2 * * ? 2020");
    assert!(past.contains("error: 'schedule': no such time comes again"), "{past}");
    let mixed = job("0 0 1-7 * */7");
    assert!(mixed.contains("warning") && mixed.contains("[C017]") && !mixed.contains("error"), "{mixed}");
    assert_eq!(job("0 0 1,15 * 5"), "");
    assert_eq!(job("0 0 2 * * ? 2098"), "");
}

/// A config in a folder of its own, where files of other kinds and permissions can be put beside it.
struct Laid(tempfile::TempDir);

impl Laid {
    fn out() -> Self {
        let laid = Self(tempfile::tempdir().unwrap());
        for folder in ["templates", "state", "config.d", "escrow"] {
            fs::create_dir(laid.at(folder)).unwrap();
        }
        for file in ["templates/t.template", "known_hosts", "vault.key", "config.d/x.toml"] {
            fs::write(laid.at(file), "").unwrap();
        }
        fs::write(laid.at("templates/t.template"), "exec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\n").unwrap();
        let sealed_to = KEYS.iter().find(|key| key.name == "recovery_key").unwrap().example;
        let own = BASE.replace("[device", "state_dir = \"state\"\nsocket = \"socket\"\n[device").replace(
            "[account",
            &format!("known_hosts = \"known_hosts\"\n[vault]\nkey_file = \"vault.key\"\nescrow = \"escrow\"\nrecovery_key = {sealed_to}\n[account"),
        );
        fs::write(laid.at("rotord.toml"), own).unwrap();
        laid
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.at(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }

    /// The problems, with the folder's name taken out.
    fn told(&self) -> (bool, String) {
        let (config, problems) = Config::load(&self.at("rotord.toml"));
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        (config.is_some(), text.join("\n").replace(&format!("{}/", self.0.path().display()), ""))
    }
}

#[test]
fn what_others_may_change_is_refused_with_the_command_that_mends_it() {
    assert_eq!(Laid::out().told(), (true, String::new()));
    for (name, mode) in [
        ("rotord.toml", 0o666),
        ("rotord.toml", 0o664),
        ("config.d", 0o777),
        ("config.d", 0o1777),
        ("config.d/x.toml", 0o646),
        ("templates", 0o777),
        ("templates/t.template", 0o664),
        ("state", 0o777),
        ("vault.key", 0o666),
        ("escrow", 0o770),
        ("known_hosts", 0o666),
    ] {
        let laid = Laid::out();
        laid.mode(name, mode);
        let (sound, text) = laid.told();
        let command = format!("chmod go-w {name} [C013]");
        assert!(!sound && text.contains(&command) && text.matches("C013").count() == 1, "{name} {mode:o}: {text}");
    }
    let laid = Laid::out();
    fs::create_dir(laid.at("in")).unwrap();
    laid.mode("in", 0o777);
    fs::rename(laid.at("state"), laid.at("in/state")).unwrap();
    std::os::unix::fs::symlink("in/state", laid.at("state")).unwrap();
    let (sound, text) = laid.told();
    assert!(!sound && text.contains("chmod go-w in [C013]"), "{text}");
    if nix::unistd::geteuid().is_root() {
        for name in ["rotord.toml", "config.d", "templates", "templates/t.template", "state", "escrow"] {
            let laid = Laid::out();
            std::os::unix::fs::chown(laid.at(name), Some(65_534), None).unwrap();
            let (sound, text) = laid.told();
            assert!(!sound && text.contains(&format!("chown root {name} [C013]")), "{name}: {text}");
        }
        // Who has the key is the daemon's user, for whom root may look.
        let laid = Laid::out();
        for name in ["vault.key", "state"] {
            std::os::unix::fs::chown(laid.at(name), Some(65_534), None).unwrap();
        }
        laid.mode("vault.key", 0o600);
        assert!(!laid.told().0);
        let (config, problems) = Config::inspect(&laid.at("rotord.toml"));
        assert!(config.is_some(), "{problems:?}");
    }
}

#[test]
fn files_of_another_kind_are_refused_in_a_moment() {
    let pipe = |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let start = std::time::Instant::now();
    for name in [
        "rotord.toml",
        "config.d/x.toml",
        "config.d/y.toml",
        "templates/t.template",
        "templates/u.template",
        "vault.key",
        "known_hosts",
        "state/vault.db",
        "state/lock",
        "state/audit/audit-2026-11.jsonl",
    ] {
        for kind in ["a pipe", "a device", "a folder"] {
            let laid = Laid::out();
            fs::create_dir_all(laid.at(name).parent().unwrap()).unwrap();
            drop(fs::remove_file(laid.at(name)));
            match kind {
                "a pipe" => pipe(&laid.at(name)),
                "a device" => std::os::unix::fs::symlink("/dev/zero", laid.at(name)).unwrap(),
                _ => fs::create_dir(laid.at(name)).unwrap(),
            }
            let (sound, text) = laid.told();
            // A folder of that name among templates is one more folder of templates.
            if kind == "a folder" && name == "templates/u.template" {
                assert!(sound, "{text}");
                continue;
            }
            assert!(!sound, "{name} is {kind}: {text}");
            let expected = format!("no plain file but {kind}");
            assert!(text.contains(&expected) || name == "templates/t.template", "{name} is {kind}: {text}");
        }
    }
    for name in ["a/b", "a"] {
        let laid = Laid::out();
        fs::create_dir_all(laid.at("templates").join(name)).unwrap();
        std::os::unix::fs::symlink(".", laid.at("templates").join(name).join("here")).unwrap();
        let (sound, text) = laid.told();
        assert!(!sound && text.contains("leads back"), "{text}");
    }
    let laid = Laid::out();
    fs::write(laid.at("socket"), "precious").unwrap();
    let (sound, text) = laid.told();
    assert!(!sound && text.contains("something else already"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn drop_ins_that_cannot_be_read_are_wrong_and_those_that_editors_leave_behind_are_none() {
    let laid = Laid::out();
    for name in [".x.toml", ".#x.toml", "#x.toml", "#x.toml#", "x.toml~", "x.toml.bak", ".x.toml.swp", "README"] {
        fs::write(laid.at("config.d").join(name), "not read").unwrap();
    }
    std::os::unix::fs::symlink("user@host.123", laid.at("config.d/.#y.toml")).unwrap();
    assert_eq!(laid.told(), (true, String::new()));
    std::os::unix::fs::symlink("nowhere", laid.at("config.d/z.toml")).unwrap();
    let (sound, text) = laid.told();
    assert!(!sound && text.contains("config.d/z.toml:1:1: error: cannot be read"), "{text}");
    for link in [false, true] {
        let laid = Laid::out();
        fs::remove_dir_all(laid.at("config.d")).unwrap();
        assert_eq!(laid.told(), (true, String::new()));
        if link {
            std::os::unix::fs::symlink("nowhere", laid.at("config.d")).unwrap();
        } else {
            fs::write(laid.at("config.d"), "").unwrap();
        }
        let (sound, text) = laid.told();
        assert!(!sound && text.contains("config.d:1:1: error: cannot be read"), "{text}");
    }
}

#[test]
fn a_line_of_known_hosts_that_is_not_understood_is_told() {
    let laid = Laid::out();
    fs::write(laid.at("known_hosts"), "# note\nweb1 ssh-ed25519 AAAA\n@revoked * ssh-ed25519 AAAA\n").unwrap();
    let (sound, text) = laid.told();
    assert!(sound, "{text}");
    assert!(text.contains("known_hosts:2:1: warning: its key is cut off, so the line is passed over"), "{text}");
    assert!(text.contains("known_hosts:3:1: warning: its key is cut off, and it seems to revoke"), "{text}");
}

#[test]
fn a_chain_of_accounts_of_any_length_is_read_and_ranked() {
    let length = 20_000;
    let chain: String = (1..length).map(|n| format!("[account.\"d/a{n}\"]\nafter = \"d/a{}\"\n", n - 1)).collect();
    let start = std::time::Instant::now();
    let (config, text) = load(&[("rotord.toml", &format!("{BASE}[account.\"d/a0\"]\n{chain}"))]);
    let config = config.unwrap_or_else(|| panic!("{text}"));
    let names: BTreeSet<AccountName> = config.accounts.keys().cloned().collect();
    let ranks = config.ranks(&names);
    assert_eq!((ranks.len(), ranks[0].len(), ranks[length - 1].len()), (length, 2, 1));
    assert_eq!(ranks[length - 1][0].user(), format!("a{}", length - 1));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let closed =
        "[account.\"d/x\"]\nafter = \"d/y\"\n[account.\"d/y\"]\nafter = \"d/x\"\n[account.\"d/z\"]\nafter = \"d/x\"\n";
    assert_eq!(problems(closed).matches("round in a circle").count(), 2);
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
    // Whom its [access] names is nobody here.
    let wrong: Vec<&Problem> =
        problems.iter().filter(|problem| !problem.message.contains("nobody is let in")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
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
fn a_policy_that_the_device_cannot_take_is_an_error_with_the_line_of_the_template() {
    let told = |info: &str| {
        let config = "[daemon]\ntemplate_dirs = [\"templates\"]\n[device.d]\naddress = \"127.0.0.1\"\ntemplate = \"own\"\n[account.\"d/root\"]\n";
        let own = format!("# One.\n{info}\nexec \"set [#USERNAME#] [#NEW_PASSWORD#]\"\nexpect \"*ok\"\n");
        load(&[("rotord.toml", config), ("templates/own.template", &own)]).1
    };
    for (info, why) in [
        ("info password-max-length \"10\"", "they take 10 characters at the most"),
        ("info password-min-length \"60\"", "they demand 60 characters"),
        ("info password-symbols \"#\"", "the policy's symbol_set has "),
        ("info password-forbidden \": ab\"", "the policy's symbol_set has :, "),
        (
            "info password-forbidden-first \"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\"",
            "begins with a letter, and this template leaves none",
        ),
    ] {
        let all = told(info);
        assert!(all.contains("error") && all.contains("[C011]"), "{info}: {all}");
        assert!(all.contains(why) && all.contains("own.template:2)"), "{info}: {all}");
    }
    for info in [
        "info password-forbidden \"abc xyz\"",
        "info password-forbidden-first \"!0\"",
        "info password-max-repeat \"2\"",
    ] {
        assert_eq!(told(info), "", "{info}: the generator sees to it");
    }
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

#[test]
fn a_web_device_has_keys_of_its_own_and_a_template_for_a_browser() {
    let good =
        "[device.w]\nkind = \"web\"\nurl = \"https://wiki.example:8443/\"\ntemplate = \"w\"\n[account.\"w/a\"]\n";
    let (config, told) = load(&[("rotord.toml", &format!("{BASE}{good}"))]);
    let config = config.unwrap_or_else(|| panic!("{told}"));
    let web = config.devices[&DeviceName::parse("w").unwrap()].web().unwrap().clone();
    assert_eq!((web.host.as_str(), web.port, web.park_for.as_secs()), ("wiki.example", 8443, 900));
    for (wrong, expected) in [
        (good.replace("template = \"w\"", "template = \"t\""), "this is a template for a terminal"),
        (good.replace("kind = \"web\"\n", ""), "'url' is for a device with kind = \"web\""),
        (good.replace("url = ", "jump = \"d\"\nurl = "), "a web device has no 'jump'"),
        (good.replace("https://", "gopher://"), "is no address of a page"),
        (good.replace("url = \"https://wiki.example:8443/\"\n", ""), "needs 'url'"),
        (good.replace("template = \"w\"", "template = \"w\"\ntls_sha256 = [\"ab\"]"), "64 hexadecimal digits"),
        (good.replace("template = \"w\"", "template = \"w\"\nca_file = \"t.pem\""), "cannot be read"),
        (good.replace("template = \"w\"", "template = \"w\"\nallow_hosts = [\"a b\"]"), "is no HOST"),
        (good.replace("https://", "http://"), "without TLS"),
        ("[device.e]\naddress = \"127.0.0.1\"\ntemplate = \"w\"\n".to_owned(), "this is a template for a browser"),
    ] {
        let told = problems(&wrong);
        assert!(told.contains(expected), "{wrong}: {told}");
    }
}

/// What a web device has besides the key at hand.
const WEB: &str = "\nkind = \"web\"\nurl = \"https://wiki.example/\"\ntemplate = \"w\"";

/// A config of one section of each kind, with some lines more in one of them.
fn with_lines(section: &str, lines: &str) -> (Option<Config>, String) {
    let named = |heading: &str| {
        match heading {
            "[policy.NAME]" => "[policy.default]",
            "[device.NAME]" => "[device.web1]",
            "[account.\"DEVICE/USERNAME\"]" => "[account.\"web1/admin\"]",
            "[job.NAME]" => "[job.j]",
            "[notify.NAME]" => "[notify.n]",
            other => other,
        }
        .to_owned()
    };
    let mut text =
        "[device.gateway]\naddress = \"192.0.2.1\"\ntemplate = \"t\"\n[account.\"gateway/rotor\"]\n[account.\"web1/root\"]\n"
            .to_owned();
    for (heading, _) in SECTIONS.iter().filter(|(heading, _)| *heading != "[notify.NAME]" || section == *heading) {
        let demanded: String = KEYS
            .iter()
            .filter(|key| key.section == *heading && key.absent == Absent::Wrong)
            .filter(|key| *heading != section || !lines.contains("url = ") || key.section != "[device.NAME]")
            .filter(|key| *heading != section || !lines.lines().any(|line| line.starts_with(&format!("{} ", key.name))))
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
    // What a key of a notifier stands with.
    let beside = |key: &Key| -> String {
        let kind = match (key.section, key.name) {
            (
                "[notify.NAME]",
                "server" | "from" | "to" | "transport" | "user" | "password_file" | "password_credential",
            ) => "email",
            ("[notify.NAME]", "facility") => "syslog",
            ("[notify.NAME]", "command" | "timeout") => "command",
            ("[notify.NAME]", "kind") => return "url = \"https://alerts.example.org/rotord\"\n".into(),
            ("[notify.NAME]", _) => "webhook",
            _ => return String::new(),
        };
        let needed: &[&str] = match (kind, key.name) {
            ("email", "user") => &["server", "from", "to", "password_file"],
            ("email", "password_file" | "password_credential") => &["server", "from", "to", "user"],
            ("email", _) => &["server", "from", "to"],
            ("syslog", _) => &["server"],
            // Where the tests are not root, a program runs as who runs them.
            ("command", _) if nix::unistd::geteuid().is_root() => &["command", "user"],
            ("command", _) => &["command"],
            (_, "url_file" | "url_credential") => &[],
            _ => &["url"],
        };
        let example =
            |name: &str| KEYS.iter().find(|key| key.section == "[notify.NAME]" && key.name == name).unwrap().example;
        let needed = needed.iter().filter(|name| **name != key.name);
        let lines = needed.map(|name| format!("{name} = {}\n", example(name)));
        format!("kind = \"{kind}\"\n{}", lines.collect::<String>())
    };
    table::ASKED.with_borrow_mut(BTreeSet::clear);
    // `[device.web1]` is of the kind `device`, and so is `[device.NAME]`.
    let kind = |section: &str| section.split(['.', ']']).next().unwrap().trim_start_matches('[').to_owned();
    let mut about = BTreeSet::new();
    for key in KEYS {
        about.insert((kind(key.section), key.name.to_owned()));
        let of_notifier = key.section == "[notify.NAME]";
        let line = match key.name {
            // It stands with another.
            "escrow" => {
                let sealed_to = KEYS.iter().find(|key| key.name == "recovery_key").unwrap();
                format!("recovery_key = {}\nescrow = {}", sealed_to.example, key.example)
            }
            "template_dirs" => "template_dirs = [\"templates\"]".to_owned(),
            _ if of_notifier => format!("{}{} = {}", beside(key), key.name, key.example),
            "kind" => format!("kind = {}\nurl = \"https://wiki.example/\"\ntemplate = \"w\"", key.example),
            "url" => format!("url = {}\nkind = \"web\"\ntemplate = \"w\"", key.example),
            name if devices::ONLY_WEB.contains(&name) => format!("{name} = {}{WEB}", key.example),
            _ => format!("{} = {}", key.name, key.example.replace("linux-passwd", "t")),
        };
        let (config, problems) = with_lines(key.section, &line);
        // A pin of zeros fits no template, and there is no such file with authorities; of others that are not there is only warned.
        let excused = ["template_sha256", "ca_file"].contains(&key.name);
        let told = |line: &&str| line.contains(" error: ") && !line.contains("pinned") && !line.contains("wiki-ca.pem");
        let wrong = problems.lines().find(told);
        assert!(wrong.is_none() && (config.is_some() || excused), "{}: {problems}", key.name);
        if let Absent::Means(value) = key.absent
            && key.name != "template_dirs"
        {
            let web = if devices::ONLY_WEB.contains(&key.name) && !of_notifier { WEB } else { "" };
            let (told, problems) = with_lines(key.section, &format!("{}{} = {value}{web}", beside(key), key.name));
            let (silent, _) = with_lines(key.section, &format!("{}{web}", beside(key)));
            let plain = |config: Option<Config>| {
                let config = config.unwrap_or_else(|| panic!("{}: {problems}", key.name));
                let Daemon { state_dir, socket, max_concurrent, .. } = &config.daemon;
                let all = (&config.vault_key, &config.access, &config.accounts, &config.jobs, &config.notifiers);
                format!("{state_dir:?} {socket:?} {max_concurrent} {all:?}")
            };
            assert_eq!(plain(told), plain(silent), "{} = {value}", key.name);
        }
        let web = if devices::ONLY_WEB.contains(&key.name) && key.name != "url" && !of_notifier { WEB } else { "" };
        let kind = if key.name == "url" && !of_notifier { "\nkind = \"web\"" } else { "" };
        let line = format!("{}{} = 2000-01-01{web}{kind}", beside(key), key.name);
        let (_, problems) = with_lines(key.section, &line);
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

#[test]
fn each_code_is_explained_with_lines_that_get_it_and_lines_that_do_not() {
    let sources = [
        include_str!("accounts.rs"),
        include_str!("build.rs"),
        include_str!("devices.rs"),
        include_str!("guard.rs"),
        include_str!("library.rs"),
        include_str!("notify.rs"),
        include_str!("sources.rs"),
        include_str!("table.rs"),
        include_str!("web.rs"),
    ];
    let told = sources.iter().flat_map(|text| text.split("\"C").skip(1)).filter_map(|rest| rest.get(..3));
    for number in told.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
        assert!(ConfigCode::find(&format!("c{number}")).is_some(), "C{number} is not explained");
    }
    for code in CONFIG_CODES {
        let mark = format!("[{}]", code.code);
        assert!(code.why.len() > 50 && !code.title.is_empty(), "{mark}");
        if !code.wrong.is_empty() {
            let (wrong, right) = (problems(code.wrong), problems(code.right));
            assert!(wrong.contains(&mark), "{mark}: {wrong}");
            assert!(!right.contains(&mark) && !right.contains("error"), "{mark}: {right}");
        }
    }
}

fn notify_problems(lines: &str) -> String {
    let (config, problems) = with_lines("[notify.NAME]", lines);
    assert_eq!(config.is_none(), problems.contains(" error: "), "{problems}");
    problems
}

#[test]
fn a_url_that_is_a_secret_is_refused_and_not_shown() {
    for url in [
        "https://hooks.slack.com/services/T00000000/B00000000/abc",
        "https://user:pw@alerts.example.org/",
        "https://alerts.example.org/in?sig=abc",
        "https://chat.example.org/hooks/9a3f6qsn6jdz5yh1m8k4",
        "https://x.webhook.office.com/webhookb2/1",
    ] {
        let told = notify_problems(&format!("kind = \"webhook\"\nurl = \"{url}\"\n"));
        assert!(told.contains("[C003]") && told.contains("url_file"), "{told}");
        assert!(!told.contains(&url[8..]), "{told}");
    }
    for url in ["http://alerts.example.org/", "ftp://x/", "alerts", "https://", "https://a b/"] {
        let told = notify_problems(&format!("kind = \"webhook\"\nurl = \"{url}\"\n"));
        assert!(told.contains("[C005]"), "{url}: {told}");
    }
    for url in ["http://127.0.0.1:9000/rotord", "http://[::1]:9000/", "https://alerts.example.org/v1/incoming-webhooks"]
    {
        let told = notify_problems(&format!("kind = \"webhook\"\nurl = \"{url}\"\n"));
        assert!(!told.contains("error"), "{told}");
    }
}

#[test]
fn what_a_notifier_lacks_or_misspells_is_told() {
    for (lines, wanted) in [
        ("kind = \"webhook\"\n", "needs 'url'"),
        ("kind = \"webhok\"\n", "the kinds are webhook"),
        ("kind = \"webhook\"\npreset = \"pagerduty\"\n", "needs 'key_file'"),
        ("kind = \"webhook\"\nurl = \"https://a/\"\nevents = [\"quarantin\"]\n", "did you mean 'quarantine'?"),
        ("kind = \"webhook\"\nurl = \"https://a/\"\ndigest = \"25:00\"\n", "a time of day"),
        ("kind = \"webhook\"\nurl = \"https://a/\"\nserver = \"b:1\"\n", "unknown key 'server'"),
        ("kind = \"email\"\nserver = \"a b\"\nfrom = \"x@y.z\"\nto = [\"x@y.z\"]\n", "HOST:PORT"),
        (
            "kind = \"email\"\nserver = \"mx.example.org\"\ntransport = \"plain\"\nfrom = \"x@y.z\"\nto = [\"x@y.z\"]\n",
            "this host alone",
        ),
        ("kind = \"email\"\nserver = \"mx:25\"\nfrom = \"x\\r\\nRCPT TO:<y>\"\nto = [\"x@y.z\"]\n", "is no address"),
        ("kind = \"email\"\nserver = \"mx:25\"\nfrom = \"x@y.z\"\nto = [\"x@y.z\"]\nuser = \"u\"\n", "password_file"),
        ("kind = \"syslog\"\nserver = \"logs:0\"\n", "HOST:PORT"),
        ("kind = \"syslog\"\nserver = \"logs:6514\"\nfacility = \"local8\"\n", "local0 to local7"),
        ("kind = \"command\"\ncommand = [\"mail\"]\nuser = \"nobody\"\n", "whole path"),
        ("kind = \"command\"\ncommand = [\"/bin/true\"]\nuser = \"root\"\n", "does not run as root"),
    ] {
        let told = notify_problems(lines);
        assert!(told.contains(wanted) && told.contains(" error: "), "{lines}: {told}");
    }
}

#[test]
fn what_a_notifier_reads_or_runs_is_changed_by_nobody_else_and_its_secrets_are_read_by_nobody_else() {
    let laid_out = || {
        let laid = Laid::out();
        for file in ["hook.url", "hook.key", "ca.pem", "program"] {
            fs::write(laid.at(file), "x\n").unwrap();
            laid.mode(file, if file.starts_with("hook") { 0o600 } else { 0o755 });
        }
        let own = fs::read_to_string(laid.at("rotord.toml")).unwrap();
        let hook = "[notify.hook]\nkind = \"webhook\"\nurl_file = \"hook.url\"\nkey_file = \"hook.key\"\nca_file = \"ca.pem\"\n";
        let program = format!(
            "[notify.program]\nkind = \"command\"\ncommand = [\"{}\"]\n{}",
            laid.at("program").display(),
            if nix::unistd::geteuid().is_root() { "user = \"nobody\"\n" } else { "" }
        );
        fs::write(laid.at("rotord.toml"), own + hook + program.as_str()).unwrap();
        laid
    };
    assert_eq!(laid_out().told(), (true, String::new()));
    for (name, mode, wanted) in [
        ("hook.url", 0o622, "chmod go-w hook.url"),
        ("hook.url", 0o644, "chmod 0600 hook.url"),
        ("hook.key", 0o640, "chmod 0600 hook.key"),
        ("ca.pem", 0o666, "chmod go-w ca.pem"),
        ("program", 0o777, "chmod go-w program"),
    ] {
        let laid = laid_out();
        laid.mode(name, mode);
        let (sound, text) = laid.told();
        assert!(!sound && text.contains("[C013]") && text.contains(wanted), "{name} {mode:o}: {text}");
    }
    let laid = laid_out();
    fs::remove_file(laid.at("hook.key")).unwrap();
    let (sound, text) = laid.told();
    assert!(sound && text.contains("hook.key:1:1: warning: cannot be read"), "{text}");
}

#[test]
fn a_program_runs_as_another_user_only_where_the_daemon_is_root() {
    if !nix::unistd::geteuid().is_root() {
        let told = notify_problems("kind = \"command\"\ncommand = [\"/bin/true\"]\nuser = \"nobody\"\n");
        return assert!(told.contains("only root can start a program as nobody; remove 'user'"), "{told}");
    }
    // A daemon of the user 'nobody', whose config root looks at.
    let looked_at = |user: &str| {
        let laid = Laid::out();
        for name in ["vault.key", "state"] {
            std::os::unix::fs::chown(laid.at(name), Some(65_534), None).unwrap();
        }
        laid.mode("vault.key", 0o600);
        let own = fs::read_to_string(laid.at("rotord.toml")).unwrap();
        let program = "[notify.program]\nkind = \"command\"\ncommand = [\"/bin/true\"]\n";
        fs::write(laid.at("rotord.toml"), format!("{own}{program}{user}")).unwrap();
        let (config, problems) = Config::inspect(&laid.at("rotord.toml"));
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(config.is_none(), text.iter().any(|line| line.contains(" error: ")), "{text:?}");
        text.join("\n")
    };
    assert_eq!((looked_at(""), looked_at("user = \"nobody\"\n")), (String::new(), String::new()));
    let told = looked_at("user = \"daemon\"\n");
    let wanted = "'user': the daemon runs as nobody, and only root can start a program as daemon; remove 'user', and the program runs as nobody [C005]";
    assert!(told.contains(wanted), "{told}");
    // Root's own daemon starts programs as anybody else, and has to.
    for (lines, wanted) in [("user = \"daemon\"\n", None), ("", Some("needs 'user'"))] {
        let told = notify_problems(&format!("kind = \"command\"\ncommand = [\"/bin/true\"]\n{lines}"));
        assert_eq!(told.contains(" error: "), wanted.is_some(), "{told}");
        assert!(wanted.is_none_or(|wanted| told.contains(wanted)), "{told}");
    }
}
