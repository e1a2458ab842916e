use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::Severity;

fn lines(text: &str) -> Vec<Command> {
    let (template, problems) = parse(Path::new("t.template"), text);
    assert!(problems.is_empty(), "{problems:?}");
    template.lines.into_iter().map(|line| line.command).collect()
}

fn codes(text: &str) -> Vec<(String, usize, usize)> {
    let (_, problems) = load(Path::new("t.template"), text);
    problems.into_iter().map(|p| (p.code, p.line, p.column)).collect()
}

fn literal(text: &str) -> Text {
    Text { pieces: vec![Piece::Literal(text.into())] }
}

#[test]
fn bom_crlf_comments_and_a_missing_last_newline_are_accepted() {
    let commands = lines("\u{feff}# a comment\r\n\r\n  \t set-ssh-version 2\r\n\texec   clish");
    assert_eq!(commands, vec![Command::SetSshVersion, Command::Exec(literal("clish"))]);
}

#[test]
fn a_quoted_argument_runs_to_the_last_quote_of_its_line() {
    let commands = lines("exec \"edit \"[#USERNAME#]\"\"\n");
    let [Command::Exec(text)] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!(text.to_string(), "edit \"[#USERNAME#]\"");
    assert_eq!(text.tags().collect::<Vec<_>>(), ["USERNAME"]);
}

#[test]
fn only_quote_and_backslash_are_escaped() {
    assert_eq!(lines(r#"exec "a\"b\\c\d""#), vec![Command::Exec(literal(r#"a"b\c\d"#))]);
}

#[test]
fn all_names_of_a_command_mean_the_same() {
    assert_eq!(lines("no-expect \"x\"")[0], lines("noexpect \"x\"")[0]);
    assert_eq!(lines("no-expect \"x\"")[0], lines("not-expect x")[0]);
    assert_eq!(lines("send \"x\"")[0], lines("write \"x\"")[0]);
}

#[test]
fn settings_take_quotes_or_none() {
    assert_eq!(lines("set-read-timeout \"7\"")[0], Command::SetReadTimeout(Duration::from_secs(7)));
    assert_eq!(lines("sleep 0.5")[0], Command::Sleep(Duration::from_millis(500)));
}

#[test]
fn every_problem_is_told_with_code_and_place() {
    let text =
        "exspect \"x\"\nexec \"open\nexec \"a\" b\nsleep soon\nset-ssh-version 1\nexpect-regex \"/(/\"\nend now\n";
    let found: Vec<_> = codes(text).into_iter().filter(|(code, ..)| code < &"T1".to_owned()).collect();
    let expected = [
        ("T001", 1, 1),
        ("T003", 2, 6),
        ("T004", 3, 9),
        ("T005", 4, 7),
        ("T007", 5, 17),
        ("T008", 6, 14),
        ("T010", 7, 5),
    ];
    assert_eq!(found, expected.map(|(code, line, column)| (code.to_owned(), line, column)));
}

#[test]
fn an_unknown_command_names_the_nearest() {
    let (checked, problems) = load(Path::new("t.template"), "exspect \"x\"\n");
    assert!(checked.is_none());
    assert!(problems[0].message.contains("did you mean 'expect'"), "{}", problems[0].message);
}

#[test]
fn every_code_has_a_template_that_gets_it_and_one_that_does_not() {
    let has = |text: &str, wanted: &str| codes(text).iter().any(|(code, ..)| code == wanted);
    for code in CODES.iter().filter(|code| !code.wrong.is_empty()) {
        assert!(has(code.wrong, code.code), "{}: {:?} gets {:?}", code.code, code.wrong, codes(code.wrong));
        assert!(!has(code.right, code.code), "{}: {:?} gets {:?}", code.code, code.right, codes(code.right));
        let (_, problems) = load(Path::new("t"), code.wrong);
        let found = problems.iter().find(|problem| problem.code == code.code).unwrap();
        assert_eq!(found.severity, code.severity, "{}", code.code);
    }
    let names: Vec<&str> = CODES.iter().map(|code| code.code).collect();
    assert!(names.is_sorted() && Code::find("t012").is_some());
}

#[test]
fn every_command_is_in_the_reference_with_an_example_that_is_right() {
    let named: Vec<&str> = REFERENCE.iter().flat_map(|entry| entry.names).copied().collect();
    assert_eq!(named, COMMANDS);
    for Entry { names, example, .. } in REFERENCE {
        let template = match names[0] {
            "choose" | "when" | "when-regex" | "when-closed" | "end-choose" => {
                let when = if names[0].starts_with("when") { example } else { "when \"x\"" };
                format!("choose\n{when}\nend-choose\n")
            }
            _ => format!("{example}\n"),
        };
        let (_, problems) = load(Path::new("t"), &template);
        let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{template}: {errors:?}");
        let (lines, _) = parse(Path::new("t"), &template);
        assert!(example.starts_with(names[0]) && lines.lines.len() == template.lines().count());
    }
}

#[test]
fn evident_slips_are_corrected_and_then_pass() {
    for (wrong, right) in [
        ("exec \"passwd\n", "exec \"passwd\"\n"),
        ("\texec \"passwd\r\nend", "\texec \"passwd\"\r\nend"),
        ("\u{feff}exec \"passwd\n", "\u{feff}exec \"passwd\"\n"),
        ("exec \"passwd\" # old one\n", "exec \"passwd\"\n"),
        ("exec \"passwd\";\n", "exec \"passwd\"\n"),
        ("expect \"*word:\"*\n", "expect \"*word:*\"\n"),
        ("exec \"cd C:\\\"\n", "exec \"cd C:\\\\\"\n"),
        ("exspect \"x\"\n", "expect \"x\"\n"),
        ("sleep 5s\nsleep \"1,5 sec\"\n", "sleep 5\nsleep 1.5\n"),
        ("set-new-line-mode CRLF\nset-ssh-version 1\n", "set-new-line-mode windows\nset-ssh-version 2\n"),
        ("expect-regex \"/x/gi\"\n", "expect-regex \"/x/i\"\n"),
        ("expect-regex /x/u\n", "expect-regex /x/\n"),
        ("exec \"[#username#] [#new_password:shh#]\n", "exec \"[#USERNAME#] [#NEW_PASSWORD:sh#]\"\n"),
        ("exec \"[#user#] [# a note #]\"\n", "exec \"[#USER#] [# a note #]\"\n"),
        ("exec\nset-new-line-mode UNIX\n", "exec \"\"\nset-new-line-mode UNIX\n"),
        ("exec \u{201c}passwd\u{201d}\nend now\n", "exec \"passwd\"\nend\n"),
    ] {
        let (fixed, count) = fix(wrong);
        assert_eq!(fixed, right);
        assert!(count > 0);
        assert!(
            codes(&fixed).iter().all(|(code, ..)| ["T101", "T103", "T104"].contains(&code.as_str())),
            "{:?}",
            codes(&fixed)
        );
    }
    let sound = "exec \"a\"\n# b\n\n";
    assert_eq!(fix(sound), (sound.to_owned(), 0));
}

#[test]
fn what_published_templates_hold_is_read() {
    for text in [
        "set-connect-timeout \"10\"\nset-read-timeout   5\n",
        "exec\t\"passwd\"\nexec\"passwd\"\nexec    \"edit \"[#USERNAME#]\"\"  \n",
        " \texpect-regex \"/Novo .* \u{e7}\u{e3}o:/\"\n",
        "expect \"*senha atual:\"\nno-expect \"*inv\u{e1}lida*\"\nnot-expect \"*x*\"\n",
        "exec \"[#MY_OWN-field2#] [# not a tag #]\"\nread \"x\"\nsend \"y\"\n",
        "exec \"[#SENHA DO COFRE#] [#\u{c1}REA.2#]\"\nset-new-line-mode WINDOWS\n",
        "\u{feff}set-new-line-mode mac\r\nend\r\n",
        "set-new-line-mode \"unix\"\nset-ssh-version \"2\"\nset-prompt \"$\"\n",
    ] {
        assert!(load(Path::new("t"), text).0.is_some(), "{text:?}: {:?}", codes(text));
    }
}

#[test]
fn branches_that_do_not_pair_are_told_at_their_place() {
    for (text, line) in [
        ("when \"x\"\n", 1),
        ("end-choose\n", 1),
        ("choose\nend-choose\n", 2),
        ("exec \"a\"\nchoose\nwhen \"x\"\n", 2),
        ("choose\nexec \"a\"\nwhen \"x\"\nend-choose\n", 2),
        ("choose\nchoose\nwhen \"x\"\nend-choose\nwhen \"y\"\nend-choose\n", 2),
        ("section verify\nexec \"a\"\nsection verify\n", 3),
        ("section save\nexec \"a\"\nsection save\n", 3),
    ] {
        assert!(codes(text).iter().any(|(code, at, _)| code == "T016" && *at == line), "{text}: {:?}", codes(text));
    }
}

#[test]
fn the_commit_point_is_the_first_line_that_sends_the_new_password() {
    let text = "expect \"*[#NEW_PASSWORD#]\"\nexec \"passwd\"\nexec \"[#NEW_PASSWORD#]\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\n";
    let (checked, problems) = load(Path::new("t.template"), text);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(checked.unwrap().commit_line(), Some(3));
}

#[test]
fn doubtful_templates_get_a_warning_and_still_load() {
    for (text, code) in [
        ("exec \"[#NEW_PASSWORD#]\"\n", "T104"),
        ("exec \"ls\"\n", "T101"),
        ("exec \"[#NEW_PASSWORD#]\"\nexpect \"x\"\nend\nexec \"x\"\n", "T103"),
        ("exec \"[#new_password#]\"\nexpect \"x\"\n", "T102"),
    ] {
        let (checked, problems) = load(Path::new("t.template"), text);
        assert!(checked.is_some());
        assert_eq!((problems[0].code.as_str(), problems[0].severity), (code, Severity::Warning), "{text}");
    }
}

#[test]
fn a_misspelt_tag_of_the_new_password_is_named_where_it_stands() {
    let (_, problems) = load(Path::new("t.template"), "exec \"passwd\"\nexec \"[#NEW_PASWORD#]\"\nexpect \"*ok\"\n");
    let told = problems.iter().find(|problem| problem.code == "T101").unwrap().to_string();
    assert!(told.contains("t.template:2:") && told.contains("did you mean [#NEW_PASSWORD#]?"), "{told}");
}

#[test]
fn login_prompt_takes_two_quoted_arguments() {
    let commands = lines("login-prompt \"*Domain \"x\":\" \"[#DOMAIN#]\"\n");
    let [Command::LoginPrompt(pattern, answer)] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!((pattern.to_string().as_str(), answer.to_string().as_str()), ("*Domain \"x\":", "[#DOMAIN#]"));
}

fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        (proptest::sample::select(COMMANDS.to_vec()), "[ -~]{0,30}").prop_map(|(name, rest)| format!("{name} {rest}")),
        (proptest::sample::select(COMMANDS.to_vec()), "[ -~]{0,20}")
            .prop_map(|(name, rest)| format!("{name} \"{rest}\"")),
        Just("exec \"[#USERNAME#]\\\\\"".to_owned()),
        any::<String>(),
    ]
}

#[test]
fn a_user_name_is_sent_without_the_options_of_its_login() {
    for (login, name) in [("admin+ct80w", "admin"), ("admin", "admin"), ("a.b+cet1024w", "a.b")] {
        assert_eq!(Filter::parse("name").unwrap().quote(login), name);
    }
}

#[test]
fn what_a_device_does_not_take_in_a_password_is_known() {
    let text = "info password-forbidden-first \"!0\"\ninfo password-forbidden \"$( ''\"\ninfo password-max-repeat \"2\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n";
    let checked = load(Path::new("t"), text).0.unwrap();
    let limits = checked.password_limits();
    for (password, takes) in [
        ("aab$b(", true),
        ("!ab", false),
        ("0ab", false),
        ("a$(b", false),
        ("a''", false),
        ("aabb", true),
        ("abbb", false),
    ] {
        assert_eq!(limits.takes(password), takes, "{password}");
    }
    assert!(load(Path::new("t"), "exec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n").0.unwrap().password_limits().takes(""));
    for (wrong, code) in [
        ("info password-max-repeat \"no\"\n", "T014"),
        ("info creates \"maybe\"\n", "T014"),
        ("info detect \"/(/\"\n", "T008"),
        ("info password-forbidden-first \"a b\"\n", "T014"),
    ] {
        assert!(codes(wrong).iter().any(|(found, ..)| found == code), "{wrong}: {:?}", codes(wrong));
    }
}

#[test]
fn what_devices_of_known_kinds_do_is_warned_of_and_no_more_than_that() {
    let rest = "expect \"*ok\"\n";
    let sent = |command: &str| format!("exec \"{command}\"\n{rest}");
    let after = |command: &str| format!("exec \"{command}\"\nexpect \"*word:\"\nexec \"[#NEW_PASSWORD#]\"\n{rest}");
    let save = "exec \"write memory\"\nexpect \"*OK\"\n";
    let guard = "no-expect-regex \"/^% /m\"\n";
    let configured = format!("exec \"conf t\"\nexpect \"*#\"\nexec \"set [#NEW_PASSWORD#]\"\n{guard}expect \"*#\"\n");
    for (text, code, told) in [
        // A refusal, and what follows it.
        (format!("{configured}{save}"), "T120", true),
        (format!("{configured}{save}section save\n{save}"), "T120", false),
        (format!("{configured}{save}").replace(guard, ""), "T120", false),
        (configured.clone(), "T121", true),
        (format!("{configured}{save}"), "T121", false),
        (sent("set [#NEW_PASSWORD#]"), "T121", false),
        // Accounts that a typing error would create.
        (sent("username [#USERNAME#] secret [#NEW_PASSWORD#]"), "T122", true),
        (sent("local-user [#USERNAME#] password cipher [#NEW_PASSWORD#]"), "T122", true),
        (format!("info creates \"account\"\n{}", sent("username [#USERNAME#] secret [#NEW_PASSWORD#]")), "T122", false),
        (
            format!(
                "exec \"show user [#USERNAME#]\"\nexpect \"*role\"\n{}",
                sent("username [#USERNAME#] secret [#NEW_PASSWORD#]")
            ),
            "T122",
            false,
        ),
        (sent("set system login user [#USERNAME#] authentication plaintext-password [#NEW_PASSWORD#]"), "T122", true),
        (after("set system login user [#USERNAME#] authentication plain-text-password"), "T122", false),
        (after("passwd [#USERNAME#]"), "T122", false),
        // Passwords that everybody sees.
        (sent("kcadm.sh set-password --username [#USERNAME#] --new-password [#NEW_PASSWORD:sh#]"), "T123", true),
        (sent("htpasswd -bB users [#USERNAME#] [#NEW_PASSWORD:sh#]"), "T123", true),
        (after("htpasswd users [#USERNAME#]"), "T123", false),
        (sent("ldappasswd -D [#USERNAME#] -s [#NEW_PASSWORD:sh#]"), "T123", true),
        (sent("net user [#USERNAME#] [#NEW_PASSWORD#]"), "T123", true),
        (after("net user [#USERNAME#] *"), "T123", false),
        (sent("samba-tool user setpassword [#USERNAME#] --newpassword=[#NEW_PASSWORD:sh#]"), "T123", true),
        (sent("username [#USERNAME#] secret [#NEW_PASSWORD#]"), "T123", false),
        // Privileges.
        (sent("username [#USERNAME#] password [#NEW_PASSWORD#] privilege 15"), "T124", true),
        (sent("username [#USERNAME#] password [#NEW_PASSWORD#] role network-admin"), "T124", true),
        (after("mgmt-user [#USERNAME#] root"), "T124", true),
        (sent("username [#USERNAME#] password [#NEW_PASSWORD#] role [#ROLE#]"), "T124", false),
        (sent("username [#USERNAME#] password [#NEW_PASSWORD#] privilege [#PRIVILEGE#]"), "T124", false),
        // Lengths.
        (sent("config mgmtuser password [#USERNAME#] [#NEW_PASSWORD#]"), "T125", true),
        (format!("info password-max-length \"30\"\n{}", after("sudo ipmitool user set password 2")), "T125", true),
        (format!("info password-max-length \"16\"\n{}", after("sudo ipmitool user set password 2")), "T125", false),
        // Sessions that end, and questions that come first.
        (
            format!("exec \"config system admin\"\nexpect \"*#\"\n{}", sent("set password [#NEW_PASSWORD#]")),
            "T126",
            true,
        ),
        (
            format!("exec \"config system admin\"\nexpect \"*#\"\n{}", sent("set password [#NEW_PASSWORD#]")),
            "T127",
            true,
        ),
        (after("passwd"), "T126", false),
        (sent("/user set [find name=[#USERNAME#]] password=[#NEW_PASSWORD#]"), "T127", true),
    ] {
        let found = codes(&text);
        assert_eq!(found.iter().any(|(found, ..)| found == code), told, "{code} {text}: {found:?}");
    }
}

#[test]
fn the_name_of_a_server_decides_only_where_nothing_else_may() {
    let fits =
        |head: &str| load(Path::new("t"), &format!("{head}exec \"x\"\n")).0.unwrap().fits_version("SSH-2.0-ROSSSH");
    assert_eq!(fits(""), None);
    assert_eq!(fits("info detect \"/^SSH-2\\.0-ROSSSH/m\"\n"), Some(true));
    assert_eq!(fits("info detect \"/^SSH-2\\.0-Cisco/m\"\n"), Some(false));
    assert_eq!(fits("info detect \"/^SSH-2\\.0-Cisco/m\"\ninfo detect \"/^SSH-2\\.0-ROS/m\"\n"), Some(true));
    assert_eq!(fits("info detect \"/^SSH-2\\.0-Cisco/m\"\ninfo detect \"Cisco IOS\"\n"), None, "an answer may tell");
}

#[test]
fn an_unproven_template_says_so() {
    let tested =
        |how: &str| load(Path::new("t"), &format!("info tested \"{how}\"\nexec \"x\"\n")).0.unwrap().is_unproven();
    assert!(tested("unproven: a recording after the manual") && tested("a scripted device") && tested("not yet"));
    assert!(!tested("Debian 12: OpenSSH 9.2") && !tested("IOS 15.2 on a C2960, by its administrator"));
    assert!(!load(Path::new("t"), "exec \"x\"\n").0.unwrap().is_unproven(), "a template of one's own says nothing");
}

proptest! {
    #[test]
    fn a_filter_tells_whether_it_changes_a_value(value in "[ -~ä]{0,12}") {
        for filter in Filter::ALL {
            prop_assert_eq!(filter.changes(&value), filter.escape(&value) != value, "{}", filter.name());
        }
    }

    #[test]
    fn the_parser_never_panics(text in proptest::collection::vec(any_line(), 0..12)) {
        let _ = load(Path::new("t"), &text.join("\n"));
    }

    #[test]
    fn what_is_printed_parses_to_the_same(text in proptest::collection::vec(any_line(), 0..12)) {
        let (template, _) = parse(Path::new("t"), &text.join("\n"));
        let (again, problems) = parse(Path::new("t"), &template.to_string());
        prop_assert!(problems.iter().all(|problem| problem.severity != Severity::Error), "{problems:?}\n{template}");
        let commands = |t: &Template| t.lines.iter().map(|line| line.command.clone()).collect::<Vec<_>>();
        prop_assert_eq!(commands(&template), commands(&again));
    }
}

#[test]
fn sections_are_told_apart_and_the_head_holds_for_all() {
    let text = "set-read-timeout 9\nexpect \"$\"\nexec \"passwd\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\nsection reconcile\nexec \"passwd [#USERNAME#]\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\n";
    let (checked, problems) = load(Path::new("x"), text);
    assert!(problems.is_empty(), "{problems:?}");
    let checked = checked.unwrap();
    let numbers = |checked: &Checked| checked.lines().iter().map(|line| line.number).collect::<Vec<_>>();
    assert_eq!(numbers(&checked), [1, 2, 3, 4, 5]);
    let reconcile = checked.reconcile().unwrap();
    assert_eq!(numbers(reconcile), [1, 7, 8, 9]);
    assert_eq!(reconcile.commit_line(), Some(8));
    assert_eq!(codes("section recover\n")[0].0, "T001");
    assert!(
        codes("exec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\nsection reconcile\nexec \"x\"\n")
            .iter()
            .any(|(code, ..)| code == "T101")
    );
}

#[test]
fn a_section_that_saves_does_not_send_the_new_password_again() {
    let text = "exec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\nsection save\nexec \"[#NEW_PASSWORD#]\"\n";
    assert!(codes(text).iter().any(|(code, line, _)| code == "T017" && *line == 4));
    let text = "exec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\nsection reconcile\nexec \"passwd [#USERNAME#]\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\nsection save\nexec \"write\"\n";
    let checked = load(Path::new("x"), text).0.unwrap();
    assert!(checked.section(Section::Save).is_some(), "behind the change");
    assert!(
        checked.reconcile().unwrap().section(Section::Save).is_some(),
        "and behind what the reconcile account does"
    );
}
