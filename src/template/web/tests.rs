use std::path::Path;

use super::*;
use crate::model::{Problem, Severity};
use crate::template::{Checked, load, tagged_text};

fn loaded(text: &str) -> (Option<Checked>, Vec<Problem>) {
    load(Path::new("t.template"), text)
}

fn web(text: &str) -> Checked {
    let (checked, problems) = loaded(text);
    checked.unwrap_or_else(|| panic!("{problems:?}"))
}

fn codes(text: &str) -> Vec<(String, usize)> {
    loaded(text).1.into_iter().map(|problem| (problem.code, problem.line)).collect()
}

fn errors(text: &str) -> Vec<Problem> {
    loaded(text).1.into_iter().filter(|problem| problem.severity == Severity::Error).collect()
}

fn plan(text: &str) -> String {
    let selector = Selector::parse(&tagged_text(text).unwrap()).unwrap_or_else(|why| panic!("{text}: {why}"));
    serde_json::to_string(&selector.plan(|name, _| format!("<{name}\"]>"))).unwrap()
}

/// Forms as public templates of the language have them, in words of our own.
const FORMS: &[&str] = &[
    // Two pages of a login, a script's click where a layer covers the button, a test by the page's address.
    "start-at https://accounts.example/Login\ntimeout 30000\nuser-agent Mozilla/5.0  (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\n\nnew-action\ntest-location /signin/identifier\nlog the name\nfill input#identifier [#USERNAME#]\njclick div#next\n\nnew-action\ntest-location /signin/pwd\nfill input[type=password] [#CURRENT_PASSWORD#]\njclick #pwNext\n\nnew-action\ntest-location /?pli=1\nset-location /options/password\n\nnew-action\ntest-location /options/password\nfill \"div[jsname=YPqjbf] input[type=password]\" [#NEW_PASSWORD#]\nfill \"div[jsname=Y3xtvc] input[type=password]\" [#NEW_PASSWORD#]\njclick \"div[jsname=XTYNyb]\"\n\nnew-action\nlog done\ntest-location /welcome",
    // The timeout first, blank lines, attributes with blanks in quotes.
    "timeout 600000\n\nstart-at https://[#IP#]:8443/reports/\n\nnew-action\n\nfill #username [#USERNAME#]\nfill #password [#CURRENT_PASSWORD#]\nnew-action\nclick #submit\nnew-action\nclick #mySettings\ntest-location /reports/settings.do?source=mine\nfill #currentPass [#CURRENT_PASSWORD#]\nfill #userPass [#NEW_PASSWORD#]\nfill #confirmPass [#NEW_PASSWORD#]\nclick [type=submit]\nnew-action\ntest-selector div[class=\"alert alert-success\"]",
    // Key by key, jQuery's :contains with quotes of its own, classes one behind the other.
    "start-at https://www.social.example\ntimeout 60000\nuser-agent \"Mozilla/5.0 (X11)\"\nset-location /login/?hl=pt-br\nnew-action\ntest-location /login/\nreally-fill input[name=username] [#USERNAME#]\nreally-fill input[name=password] [#CURRENT_PASSWORD#]\nsleep 3000\njclick button:contains(\"Log in\")\nnew-action\ntest-selector a._soakw._vbtk2.navProfile\nset-location /password/change/\nreally-fill input#old [#CURRENT_PASSWORD#]\nreally-fill input#new [#NEW_PASSWORD#]\njclick button:contains(\"Change Password\")\nnew-action\ntest-selector p:contains(\"Password changed.\")",
    // Scripts with quotes, a place among several, seconds and milliseconds, comments, names with dots and brackets.
    "start-at http://[#IP#]:8080/WEB\n\ntimeout 60000\nnew-action\nsleep 3\nfill input[name=\"duser.login_name\"] [#USERNAME#]\nfill input[name=\"session[password]\"] [#CURRENT_PASSWORD#]\njscript $('.arrow-combo').click()\njscript $('[name=\"duser.organization_id\"]').val(\"MCOM\")\n#click nothing\nclick button[type=\"submit\"]\ntest-location /login.init.logic\nclick #link_chgpass\nfill input[name=\"password_new\"] [#NEW_PASSWORD#]\nclick #btn_chgpass\nsleep 4000\ntest-selector div:contains(\"Success\"):eq(1)\n",
    // The form client, with `get`, hidden fields and the button's own name as a field.
    "# Begin\nget https://[#HOSTNAME#]/wp-login.php\nselect-button \"wp-submit\"\nfill-form log [#USERNAME#]\nfill-form pwd [#CURRENT_PASSWORD#]\nfill-form wp-submit \"Login\"\nfill-form redirect_to \"https://[#HOSTNAME#]/wp-admin/profile.php\"\nfill-form testcookie \"1\"\nsubmit\n\nexpect \"Repeat new password\"\n\nselect-button \"submit\"\nfill-form pass1 [#NEW_PASSWORD#]\nfill-form pass2 [#NEW_PASSWORD#]\nsubmit",
    // A property, and a test that only something bad is not there.
    "start-at https://www.work.example\ntest-location /uas/login\nfill input[name=session_key] [#USERNAME#]\nfill input[name=session_password] [#CURRENT_PASSWORD#]\nclick input[type=submit][name=signin]\nnew-action\ntest-location /home/?trk=\nset-location /settings/change-password\nfill input#cp-new [#NEW_PASSWORD#]\nprop button#save-new disabled false\njclick button#save-new.save\nsleep 5000\ntest-not-visible p.error",
];

#[test]
fn the_forms_of_public_templates_pass() {
    for form in FORMS {
        assert_eq!(errors(form), [], "{form}");
        let checked = web(form);
        let template = checked.web().unwrap();
        assert!(template.proof_line().is_some(), "{form}");
        assert!(checked.commit_line().is_some() && checked.commit_line() > template.proof_line(), "{form}");
    }
}

#[test]
fn a_value_that_was_forgotten_is_told_with_the_tag_that_the_field_speaks_of() {
    let text = "start-at https://a.example/\nfill #oldPasswordText\nfill #newPasswordText\n  fill #confirmPasswordText\nfill #x\n";
    let fixes: Vec<_> = errors(text).into_iter().map(|problem| (problem.code, problem.fix)).collect();
    let fix = |line: &str| ("T002".to_owned(), Some(line.to_owned()));
    assert_eq!(
        fixes,
        [
            fix("fill #oldPasswordText [#CURRENT_PASSWORD#]"),
            fix("fill #newPasswordText [#NEW_PASSWORD#]"),
            fix("  fill #confirmPasswordText [#NEW_PASSWORD#]"),
            ("T002".to_owned(), None)
        ]
    );
}

#[test]
fn a_script_that_only_names_an_element_is_told_with_the_test_that_was_meant() {
    let text = format!(
        "{}jscript $('div:contains(\"Password changed\")')\njscript $('a').click()\n",
        FORMS[1].to_owned() + "\n"
    );
    let (_, problems) = loaded(&text);
    let found: Vec<_> = problems.iter().filter(|problem| problem.code == "T211").collect();
    assert_eq!(found.len(), 1, "{problems:?}");
    assert_eq!(found[0].fix.as_deref(), Some("test-selector div:contains(\"Password changed\")"));
}

#[test]
fn a_file_is_a_web_template_by_its_first_command_or_because_it_says_so() {
    assert!(is_web("# x\ninfo vendor \"X\"\nget https://a.example/\n"));
    assert!(is_web("\u{feff}timeout 1000\r\nstart-at https://a.example/\r\n"));
    assert!(is_web("info kind \"web\"\nsection login\nstart-at https://a.example/\n"));
    assert!(!is_web("info vendor \"X\"\nset-read-timeout 5\n") && !is_web("expect \"x\"\nget x\n") && !is_web(""));
    let (checked, problems) = loaded("strat-at https://a.example/\n");
    assert!(checked.is_none() && problems[0].fix.as_deref() == Some("start-at https://a.example/"), "{problems:?}");
}

#[test]
fn every_command_is_in_the_reference_with_an_example_that_is_right() {
    let named: Vec<&str> = WEB_REFERENCE.iter().flat_map(|entry| entry.names).copied().collect();
    assert_eq!(named, WEB_COMMANDS);
    for entry in WEB_REFERENCE {
        let (before, after) = match entry.names[0] {
            "choose" | "end-choose" => continue,
            "answer-selector" => ("", "end-answer\n"),
            "end-answer" => ("answer-selector #x\n", ""),
            "when-selector" | "when-location" | "when-text" => ("choose\n", "end-choose\n"),
            _ => ("", ""),
        };
        let text = format!("start-at https://a.example/\n{before}{}\n{after}", entry.example);
        assert!(errors(&text).is_empty(), "{text}: {:?}", errors(&text));
        assert!(entry.example.starts_with(entry.names[0]));
    }
}

#[test]
fn what_is_printed_of_a_line_is_read_back_as_the_same() {
    for form in FORMS {
        let checked = web(form);
        for line in checked.web().unwrap().all_lines() {
            let text = format!("start-at https://a.example/\n{}\n", line.command);
            let (lines, problems) = parse(Path::new("t"), &text);
            let errors: Vec<_> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
            assert!(errors.is_empty(), "{text}: {errors:?}");
            // The selector's own quotes may be written otherwise; its meaning is the same.
            assert_eq!(lines[1].command.to_string(), line.command.to_string(), "{text}");
        }
    }
}

#[test]
fn selectors_become_steps_in_which_nothing_stands_as_it_was_written() {
    assert_eq!(plan("#user"), r##"[[{"by":"descendant","css":"#user"}]]"##);
    assert_eq!(
        plan("form > input[name=duser.use_x]:visible, a"),
        r#"[[{"by":"descendant","css":"form"},{"by":"child","css":"input[name=\"duser.use_x\"]","filters":["visible"]}],[{"by":"descendant","css":"a"}]]"#
    );
    assert_eq!(
        plan("div:contains(\"Suc (1) esso\"):eq(1)"),
        r#"[[{"by":"descendant","css":"div","filters":[{"contains":"Suc (1) esso"},{"eq":1}]}]]"#
    );
    assert_eq!(
        plan("li:has(a:first):not(.x)"),
        r#"[[{"by":"descendant","css":"li","filters":[{"has":[[{"by":"descendant","css":"a","filters":[{"eq":0}]}]]},{"not":[[{"by":"descendant","css":".x"}]]}]}]]"#
    );
    // The value of a tag cannot end the string that it stands in.
    assert_eq!(plan("a[title='[#USERNAME#]']"), r#"[[{"by":"descendant","css":"a[title=\"<USERNAME\\\"]>\"]"}]]"#);
    assert_eq!(plan("#x-[#USERNAME#]"), r##"[[{"by":"descendant","css":"#x-\\3c USERNAME\\22 \\5d \\3e "}]]"##);
    for wrong in [
        "",
        "#",
        "div >",
        "a:frist",
        "[name",
        "a:contains(x",
        "a,,b",
        "div[a!=b]",
        "a:eq(x)",
        "a)",
        "li:nth-child(2;x)",
    ] {
        assert!(Selector::parse(&tagged_text(wrong).unwrap()).is_err(), "{wrong}");
    }
}

#[test]
fn a_login_without_a_test_behind_it_proves_nothing() {
    let login = "start-at https://a.example/\nfill #u [#USERNAME#]\nfill #p [#CURRENT_PASSWORD#]\nclick #go\n";
    let change = "fill #old [#CURRENT_PASSWORD#]\nfill #new [#NEW_PASSWORD#]\nclick #save\ntest-selector #done\n";
    let without = format!("{login}click #settings\n{change}");
    assert_eq!(codes(&without), [("T210".to_owned(), 3)], "the field of the change form is not the login's");
    assert_eq!(web(&without).web().unwrap().proof_line(), None);
    let with = format!("{login}test-selector #home\nclick #settings\n{change}");
    assert_eq!(codes(&with), []);
    let checked = web(&with);
    let template = checked.web().unwrap();
    let proof = template.program(Purpose::Proof).unwrap();
    assert_eq!(
        proof.lines.last().map(|line| line.number),
        template.proof_line(),
        "what only prepares the change is left out"
    );
    // A test before the login, or one for the code alone, is none of being logged in.
    let code = format!("{login}test-selector #otp\nfill #otp [#TOTP_TOKEN#]\nclick #go\n{change}");
    assert_eq!(web(&code).web().unwrap().proof_line(), None);
}

#[test]
fn sections_are_put_together_for_what_they_are_run_for() {
    let text = "info kind \"web\"\nstart-at https://a.example/\nanswer-selector #cookies\nclick #no\nend-answer\nsection login\nfill #p [#CURRENT_PASSWORD#]\nclick #go\ntest-selector #home\nsection change\nfill #n [#NEW_PASSWORD#]\nclick #save\ntest-selector #ok\nsection verify\ntest-text done\nsection abort\nclick #logout\n";
    let checked = web(text);
    let template = checked.web().unwrap();
    let numbers =
        |purpose| -> Vec<usize> { template.program(purpose).unwrap().lines.iter().map(|line| line.number).collect() };
    assert_eq!(numbers(Purpose::Change), [1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13]);
    assert_eq!(numbers(Purpose::Proof), [1, 2, 3, 4, 5, 7, 8, 9, 15]);
    assert_eq!(numbers(Purpose::Session), [1, 2, 3, 4, 5, 7, 8, 9]);
    assert_eq!(numbers(Purpose::Abort), [1, 3, 4, 5, 17]);
    assert!(template.program(Purpose::Reconcile).is_none() && checked.reconcile().is_none());
    assert_eq!(checked.commit_line(), Some(11));
    let wrong = text.replace("test-text done", "fill #p [#NEW_PASSWORD#]");
    assert_eq!(errors(&wrong)[0].code, "T017");
}

#[test]
fn blocks_that_do_not_pair_are_told() {
    let head = "start-at https://a.example/\n";
    for (lines, line) in [
        ("choose\nend-choose\n", 3),
        ("when-text x\n", 2),
        ("choose\nwhen-text x\n", 2),
        ("choose\nclick #a\nwhen-text x\nend-choose\n", 3),
        ("answer-selector #a\n", 2),
        ("end-answer\n", 2),
        ("choose\nwhen-text x\nsection change\n", 4),
    ] {
        let found = errors(&format!("{head}{lines}"));
        assert!(found.iter().any(|p| p.code == "T016" && p.line == line), "{lines}: {found:?}");
    }
}

#[test]
fn the_mistakes_of_single_lines_have_their_place_and_remedy() {
    let head = "start-at https://a.example/\n";
    let one = |line: &str| {
        let found = errors(&format!("{head}{line}\n"));
        (found[0].code.clone(), found[0].fix.clone())
    };
    let of = |code: &str, fix: Option<&str>| (code.to_owned(), fix.map(str::to_owned));
    assert_eq!(one("clik #a"), of("T001", Some("click #a")));
    assert_eq!(one("fill \"div input [#USERNAME#]"), of("T003", None));
    assert_eq!(one("submit now"), of("T010", Some("submit")));
    assert_eq!(one("timeout 30s"), of("T203", Some("timeout 30000")));
    assert_eq!(one("press Etner"), of("T204", None));
    assert_eq!(one("get www.example"), of("T202", Some("get https://www.example")));
    assert_eq!(one("ask-person \"help\""), of("T002", None));
    assert_eq!(one("section login2"), of("T001", None));
    assert_eq!(errors("timeout 1000\nclick #a\n")[0].code, "T205");
}
