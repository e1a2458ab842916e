use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::{Masker, Secret};
use crate::template;

pub(super) const NEW: &str = "Fresh-pass-1234";

fn values() -> Values {
    let mut values = Values::default();
    values.set("USERNAME", Secret::new("admin".into()));
    values.set("CURRENT_PASSWORD", Secret::new("old-pass-9".into()));
    values.set("NEW_PASSWORD", Secret::new(NEW.into()));
    values.allow_code("TOTP_TOKEN");
    values
}

pub(super) fn run(text: &str) -> Run {
    let (checked, problems) = template::load(Path::new("t"), text);
    let checked = checked.unwrap_or_else(|| panic!("{problems:?}"));
    let values = values();
    values.check(&checked).unwrap();
    let masker = values.masker(&[]);
    Run::new(Arc::new(checked), values, masker)
}

/// Sent texts, commit points and the verdict, in order.
pub(super) fn told(effects: Vec<Effect>) -> Vec<String> {
    effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Send(secret) => Some(format!("send {:?}", secret.expose())),
            Effect::NeedCode(_) => Some("code".into()),
            Effect::CommitPoint => Some("commit".into()),
            Effect::Reply(reply) => Some(format!("reply {reply:?}")),
            Effect::Step(_) | Effect::Risk(_) | Effect::Accepted => None,
            Effect::Finished(Verdict::Ran { .. }) => Some("ran".into()),
            Effect::Finished(Verdict::Failed(failure)) => Some(format!("failed {}", failure.message)),
        })
        .collect()
}

#[test]
fn the_new_password_leaves_only_after_its_commit_point_is_durable() {
    let mut run = run(
        "exec \"passwd\"\nexpect \"*urrent password:\"\nexec \"[#CURRENT_PASSWORD#]\"\nexpect \"new:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\n",
    );
    assert_eq!(told(run.handle(0, Input::Start)), ["send \"passwd\\n\""]);
    assert_eq!(told(run.handle(1, Input::Output(b"passwd\r\nCurrent password: "))), ["send \"old-pass-9\\n\""]);
    assert_eq!(told(run.handle(2, Input::Output(b"\r\nnew: "))), ["commit"]);
    assert_eq!(told(run.handle(3, Input::Output(b"new: "))), [""; 0], "nothing leaves before it is durable");
    assert_eq!(told(run.handle(4, Input::Committed)), [format!("send \"{NEW}\\n\"")]);
    assert_eq!(told(run.handle(5, Input::Output(b"\r\nok\r\n"))), ["ran"]);
}

#[test]
fn an_echo_is_not_an_answer() {
    let mut run = run("exec \"show password:\"\nexpect \"*password:\"\nend\n");
    run.handle(0, Input::Start);
    assert_eq!(told(run.handle(1, Input::Output(b"show pass"))), [""; 0]);
    assert_eq!(told(run.handle(2, Input::Output(b"word:\r\n"))), [""; 0], "the echo alone must not match");
    assert_eq!(told(run.handle(3, Input::Output(b"Enter password: "))), ["ran"]);
}

#[test]
fn an_echo_behind_a_late_prompt_or_wrapped_is_skipped_too() {
    let scrolled = "show pas\x08\x08\x08\x08\x08\x08\x08\x08$w password:\r\n";
    let message = "\r\n*Nov 22 10:41:27.253: %SYS-5-CONFIG_I: by password:\r\nshow password:\r\n";
    for echo in ["router> show password:\r\n", "show pass\r\nword:\r\n", scrolled, message] {
        let mut run = run("exec \"show password:\"\nexpect \"*password:\"\nend\n");
        run.handle(0, Input::Start);
        assert_eq!(told(run.handle(1, Input::Output(echo.as_bytes()))), [""; 0], "{echo}");
    }
}

#[test]
fn a_banner_is_not_a_prompt() {
    let mut run = run("expect \"*$\"\nexec \"id\"\nend\n");
    run.handle(0, Input::Start);
    assert_eq!(told(run.handle(1, Input::Output(b"Costs 5 $ an hour\r\nwelcome"))), [""; 0]);
    assert_eq!(told(run.handle(100, Input::Output(b"\r\nhost$ "))), [""; 0], "more of it may come");
    assert_eq!(run.deadline(), Some(250));
    assert_eq!(told(run.handle(250, Input::Tick)), ["send \"id\\n\"", "ran"]);
}

#[test]
fn a_match_with_more_behind_it_is_taken_when_the_output_settles() {
    let mut run = run("expect \"ready\"\nend\n");
    run.handle(0, Input::Start);
    assert_eq!(told(run.handle(10, Input::Output(b"ready - go on"))), [""; 0]);
    assert_eq!(run.deadline(), Some(160));
    assert_eq!(told(run.handle(160, Input::Tick)), ["ran"]);
}

#[test]
fn what_an_open_end_took_along_is_there_for_the_next_wait() {
    let script = "expect \"*updated*\"\nexpect \"*$\"\nexec \"exit\"\nend\n";
    let mut together = run(script);
    together.handle(0, Input::Start);
    assert_eq!(told(together.handle(10, Input::Output(b"password updated successfully\r\nhost:~$ "))), [""; 0]);
    assert_eq!(told(together.handle(160, Input::Tick)), ["send \"exit\\n\"", "ran"]);

    let mut late = run(script);
    late.handle(0, Input::Start);
    late.handle(10, Input::Output(b"updated, costs 5 $ a month\r\n"));
    assert_eq!(told(late.handle(160, Input::Tick)), [""; 0], "a dollar inside of it is no prompt");
    late.handle(900, Input::Output(b"host:~$ "));
    assert_eq!(told(late.handle(1_050, Input::Tick)), ["send \"exit\\n\"", "ran"]);

    let mut never = run(script);
    never.handle(0, Input::Start);
    never.handle(10, Input::Output(b"updated, costs 5 $ a month\r\n"));
    never.handle(160, Input::Tick);
    assert_eq!(run_until_over(&mut never, 160), ["send \"exit\\n\"", "ran"], "better than to fail");

    let mut sent = run("expect \"*updated*\"\nexec \"id\"\nexpect \"*$\"\n");
    sent.handle(0, Input::Start);
    sent.handle(10, Input::Output(b"updated $ "));
    assert_eq!(told(sent.handle(160, Input::Tick)), ["send \"id\\n\""]);
    let over = run_until_over(&mut sent, 160);
    assert!(over[0].starts_with("failed"), "what came before a line was sent is no answer to it: {over:?}");
}

/// Hands in the ticks that the run asks for until it is over.
pub(super) fn run_until_over(run: &mut Run, mut now: i64) -> Vec<String> {
    let mut all = Vec::new();
    while !all.last().is_some_and(|last: &String| last == "ran" || last.starts_with("failed")) {
        now = run.deadline().expect("a run that is not over waits for something").max(now + 1);
        all.extend(told(run.handle(now, Input::Tick)));
    }
    all
}

#[test]
fn nobody_hangs_up_on_a_device_that_has_not_answered_to_the_new_password() {
    let start = || {
        let mut run = run("exec \"set password [#NEW_PASSWORD#]\"\n");
        run.handle(0, Input::Start);
        assert_eq!(told(run.handle(0, Input::Committed)), [format!("send \"set password {NEW}\\n\"")]);
        run
    };
    let mut answered = start();
    answered.handle(10, Input::Output(format!("set password {NEW}\r\n").as_bytes()));
    assert_eq!(told(answered.handle(900, Input::Tick)), [""; 0], "the echo is no answer");
    answered.handle(1_000, Input::Output(b"done\r\n> "));
    assert_eq!(told(answered.handle(1_150, Input::Tick)), ["ran"]);
    assert_eq!(told(start().handle(5, Input::Closed)), ["ran"]);
    assert_eq!(told(start().handle(5_000, Input::Tick)), ["ran"], "silence lasts no longer than the read timeout");
}

#[test]
fn each_wait_looks_only_at_unread_output() {
    let mut run = run("expect \"word:\"\nexec \"a\"\nexpect \"word:\"\nend\n");
    run.handle(0, Input::Start);
    run.handle(1, Input::Output(b"password: "));
    assert_eq!(told(run.handle(151, Input::Tick)), ["send \"a\\n\""]);
    assert_eq!(told(run.handle(152, Input::Output(b"\r\n"))), [""; 0]);
    assert_eq!(told(run.handle(153, Input::Output(b"password: "))), ["ran"]);
}

#[test]
fn a_silent_device_is_waited_for_and_not_polled() {
    let mut run = run("write \"x\"\nexpect \"never\"\n");
    run.handle(0, Input::Output(b"old text that nobody read"));
    run.handle(0, Input::Start);
    assert_eq!(run.deadline(), Some(5_000), "nothing can be decided before");
    run.handle(10, Input::Output(b"\r\n"));
    assert_eq!(run.deadline(), Some(160), "it may be the beginning of an echo");
    run.handle(160, Input::Tick);
    assert_eq!(run.deadline(), Some(5_000));
}

#[test]
fn no_expect_fails_on_what_comes_until_the_next_line_or_the_end() {
    let text = "exec \"[#NEW_PASSWORD#]\"\nno-expect \"*BAD*\"\nend\n";
    let mut bad = run(text);
    bad.handle(0, Input::Start);
    bad.handle(0, Input::Committed);
    let effects = bad.handle(50, Input::Output(b"\r\nBAD PASSWORD: it is too short\r\n"));
    let Some(Effect::Finished(Verdict::Failed(failure))) = effects.last() else { panic!("{effects:?}") };
    assert!(failure.committed && failure.device_refuses);
    let mut good = run(text);
    good.handle(0, Input::Start);
    good.handle(0, Input::Committed);
    assert_eq!(told(good.handle(50, Input::Output(b"\r\n$ "))), [""; 0]);
    assert_eq!(told(good.handle(200, Input::Tick)), ["ran"]);
}

#[test]
fn a_line_behind_no_expect_is_sent_once_the_answer_was_heard() {
    let start = || {
        let mut run = run("exec \"set ds [x]\"\nno-expect \"*Exception*\"\nexec \"save\"\nexpect \"ok\"\n");
        assert_eq!(told(run.handle(0, Input::Start)), ["send \"set ds [x]\\n\""]);
        run
    };
    let mut well = start();
    well.handle(10, Input::Output(b"set ds [x]\r\n"));
    assert_eq!(told(well.handle(400, Input::Tick)), [""; 0], "the echo is no answer");
    well.handle(1_000, Input::Output(b"tool> "));
    assert_eq!(told(well.handle(1_150, Input::Tick)), ["send \"save\\n\""]);
    let badly = told(start().handle(10, Input::Output(b"set ds [x]\r\nException: no such thing\r\n")));
    assert!(badly[0].contains("which must not come"), "{badly:?}");
    assert_eq!(told(start().handle(5_000, Input::Tick)), ["send \"save\\n\""], "a device may be silent");
}

#[test]
fn a_wait_that_times_out_names_the_line_and_masks_what_was_seen() {
    let mut run = run("exec \"[#CURRENT_PASSWORD#]\"\nset-read-timeout 2\nexpect \"never\"\n");
    run.handle(0, Input::Start);
    run.handle(1, Input::Output(b"you typed old-pass-9 \x1b]0;evil\x07\x1b[31mred\r\n"));
    let told = told(run.handle(2_001, Input::Tick));
    assert!(told[0].contains("template line 3") && told[0].contains("within 2 s"), "{told:?}");
    assert!(told[0].contains("********") && !told[0].contains("old-pass") && !told[0].contains('\u{1b}'), "{told:?}");
}

#[test]
fn a_device_that_hangs_up_fails_the_wait_at_once() {
    let mut run = run("expect \"$\"\n");
    run.handle(0, Input::Start);
    let told = told(run.handle(1, Input::Closed));
    assert!(told[0].contains("closed the session"), "{told:?}");
}

#[test]
fn a_code_is_made_only_when_its_line_is_sent() {
    let mut run = run("expect \"code:\"\nexec \"[#TOTP_TOKEN#]\"\nexpect \"$\"\n");
    assert_eq!(told(run.handle(0, Input::Start)), [""; 0]);
    run.handle(1, Input::Output(b"code: "));
    assert_eq!(told(run.handle(151, Input::Tick)), ["code"]);
    assert_eq!(told(run.handle(152, Input::Code(Secret::new("123456".into())))), ["send \"123456\\n\""]);
}

#[test]
fn with_a_prompt_set_each_exec_waits_for_it() {
    let mut run = run("set-prompt \"$\"\nset-new-line-mode windows\nexec \"one\"\nexec \"two\"\nend\n");
    assert_eq!(told(run.handle(0, Input::Start)), [""; 0]);
    assert_eq!(told(run.handle(1, Input::Output(b"host$ "))), [""; 0], "more of it may come");
    assert_eq!(run.deadline(), Some(151));
    assert_eq!(told(run.handle(151, Input::Tick)), ["send \"one\\r\\n\""]);
    assert_eq!(told(run.handle(152, Input::Output(b"one\r\nworking\r\n"))), [""; 0]);
    assert_eq!(told(run.handle(153, Input::Output(b"host$ "))), ["send \"two\\r\\n\"", "ran"]);
}

#[test]
fn the_screen_drops_controls_and_carries_out_overwriting() {
    let mut screen = Screen::default();
    screen.feed(b"\x1b[?2004h\x1b[01;32muser@h\x1b[0m:~$ \x1b]0;title\x07\r\n--More--\r        \rnext\x08\x08XT\r\n");
    screen.feed(b"caf\xc3");
    screen.feed(b"\xa9 \xff!\r\n");
    assert_eq!(screen.all(), "user@h:~$ \nneXT    \ncafé \u{fffd}!\n");
}

#[test]
fn whatever_is_printed_the_screen_stays_bounded() {
    let mut screen = Screen::default();
    for _ in 0..400 {
        screen.feed(&[b'x'; 10_000]);
    }
    assert!(screen.all().len() <= 512 * 1024);
}

#[test]
fn refusals_of_a_new_password_are_known_by_their_wording() {
    assert!(device_refuses("BAD PASSWORD: The password is shorter than 8 characters"));
    assert!(device_refuses("passwd: Authentication token manipulation error\npasswd: password unchanged"));
    assert!(!device_refuses("passwd: password updated successfully"));
}

#[test]
fn a_field_that_could_inject_a_line_is_refused() {
    let (checked, _) = template::load(Path::new("t"), "exec \"set [#ADD_INFO#]\"\n");
    let checked = checked.unwrap();
    let mut values = values();
    assert!(values.check(&checked).unwrap_err().to_string().contains("fields"));
    values.set("ADD_INFO", Secret::new("x\nreload".into()));
    assert!(values.check(&checked).unwrap_err().to_string().contains("control character"));
}

proptest! {
    #[test]
    fn no_output_makes_the_runner_panic_or_leak(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..30)) {
        let mut run = run("expect \"*$\"\nexec \"passwd\"\nno-expect \"*bad*\"\nexpect-regex \"/new.*:$/i\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok*\"\n");
        let mut now = 0;
        let mut effects = run.handle(now, Input::Start);
        for chunk in &chunks {
            now += 40;
            effects.extend(run.handle(now, Input::Output(chunk)));
            effects.extend(run.handle(now, Input::Committed));
            if let Some(deadline) = run.deadline() {
                effects.extend(run.handle(deadline, Input::Tick));
                now = now.max(deadline);
            }
        }
        for effect in effects {
            if let Effect::Finished(Verdict::Failed(failure)) = effect {
                prop_assert!(!failure.message.contains(NEW));
            }
        }
    }

    #[test]
    fn a_mask_leaves_no_secret(before in ".{0,20}", after in ".{0,20}") {
        let mut masker = Masker::default();
        masker.add(&Secret::new(NEW.into()));
        let masked = masker.mask(format!("{before}{NEW}{after}{NEW}"));
        prop_assert!(!masked.contains(NEW));
    }
}

#[test]
fn a_choice_takes_the_first_branch_that_matches_and_goes_on_behind_its_end() {
    let text = "exec \"passwd\"\nchoose\n when \"*urrent password:\"\n  exec \"[#CURRENT_PASSWORD#]\"\n  expect \"*ew password:\"\n when-regex \"/new password: ?$/i\"\n when \"*not permitted*\"\n  fail \"may not\"\nend-choose\nexec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\n";
    let mut asked = run(text);
    asked.handle(0, Input::Start);
    assert_eq!(told(asked.handle(1, Input::Output(b"passwd\r\nCurrent password: "))), ["send \"old-pass-9\\n\""]);
    assert_eq!(told(asked.handle(2, Input::Output(b"\r\nNew password: "))), ["commit"]);
    let mut unasked = run(text);
    unasked.handle(0, Input::Start);
    assert_eq!(told(unasked.handle(1, Input::Output(b"passwd\r\nNew password: "))), ["commit"]);
    let mut refused = run(text);
    refused.handle(0, Input::Start);
    assert_eq!(told(refused.handle(1, Input::Output(b"passwd\r\nnot permitted\r\n$ "))), [""; 0]);
    let said = told(refused.handle(200, Input::Tick));
    assert!(said[0].starts_with("failed template line 8: the template says: may not"), "{said:?}");
    let mut silent = run(text);
    silent.handle(0, Input::Start);
    let said = told(silent.handle(5_000, Input::Tick));
    assert!(said[0].contains("\"*urrent password:\" or \"/") || said[0].contains("*urrent password:\" or"), "{said:?}");
}

#[test]
fn a_guard_may_say_where_on_the_line_its_words_stand() {
    let text = "exec \"user [#NEW_PASSWORD#]\"\nno-expect-regex \"/^(% |ERROR:)/m\"\nexpect \"*(config)#\"\n";
    for (answer, fails) in [
        ("\r\nsw-100% (config)#", false),
        ("\r\n*Jun 22 08:49:07.437: %AAA-6-USERNAME_CONFIGURATION: user configured\r\nsw1(config)#", false),
        ("\r\nERROR: Can not have both a user password and a user secret.\r\nsw1(config)#", true),
        ("\r\n% Password length must be at least 10 characters\r\nsw1(config)#", true),
    ] {
        let mut run = run(text);
        run.handle(0, Input::Start);
        run.handle(1, Input::Committed);
        let mut said = told(run.handle(2, Input::Output(format!("user {NEW}{answer}").as_bytes())));
        said.extend(told(run.handle(6_000, Input::Tick)));
        assert_eq!(said.iter().any(|said| said.contains("which must not come")), fails, "{answer}: {said:?}");
        assert_eq!(said.iter().any(|said| said == "ran"), !fails, "{answer}: {said:?}");
    }
}

#[test]
fn ios_saves_where_a_log_line_comes_behind_the_prompt_that_it_does_not_show_again() {
    let mut run = run(include_str!("../../templates/cisco/cisco-ios.template"));
    run.handle(0, Input::Start);
    let mut now = 0;
    let mut turn = |output: String| {
        now += 10;
        let mut said = told(run.handle(now, Input::Output(output.as_bytes())));
        now += 200;
        said.extend(told(run.handle(now, Input::Tick)));
        if said == ["commit"] {
            said = told(run.handle(now, Input::Committed));
        }
        said
    };
    assert_eq!(turn("\r\nsw1#".into()), ["send \"terminal length 0\\n\""]);
    assert_eq!(turn("terminal length 0\r\nsw1#".into()), ["send \"configure terminal\\n\""]);
    let secret = format!("username admin secret {NEW}");
    assert_eq!(turn("configure terminal\r\nsw1(config)#".into()), [format!("send \"{secret}\\n\"")]);
    assert_eq!(turn(format!("{secret}\r\nsw1(config)#")), ["send \"end\\n\""]);
    let log = "end\r\nsw1#\r\n*Nov 22 10:41:27.253: %SYS-5-CONFIG_I: Configured from console by admin on vty0\r\n";
    assert_eq!(turn(log.into()), ["send \"write memory\\n\""]);
}

#[test]
fn a_guard_by_expression_tells_the_line_that_it_met() {
    let mut run = run("exec \"set [#NEW_PASSWORD#]\"\nno-expect-regex \"/^ERROR:/m\"\nexpect \"*#\"\n");
    run.handle(0, Input::Start);
    run.handle(1, Input::Committed);
    let answer = format!("set {NEW}\r\nhm\r\nERROR: Can not have both.\r\nsw1#");
    let said = told(run.handle(2, Input::Output(answer.as_bytes())));
    assert!(said[0].contains("the device answered \"ERROR: Can not have both.\", which must not come"), "{said:?}");
}

#[test]
fn a_session_that_its_own_change_closes_is_a_branch_and_one_that_closes_before_is_not() {
    let text = "choose\nwhen \"*#\"\nwhen-closed\nend-choose\nexec \"set [#NEW_PASSWORD#]\"\nchoose\nwhen \"*refused\"\nfail \"no\"\nwhen \"*#\"\nexec \"exit\"\nwhen-closed\nend-choose\nend\n";
    let mut early = run(text);
    early.handle(0, Input::Start);
    let said = told(early.handle(1, Input::Closed));
    assert!(said[0].contains("closed the session"), "{said:?}");
    let begun = || {
        let mut run = run(text);
        run.handle(0, Input::Start);
        run.handle(1, Input::Output(b"fw #"));
        assert_eq!(told(run.handle(200, Input::Tick)), ["commit"]);
        run.handle(201, Input::Committed);
        run
    };
    assert_eq!(told(begun().handle(202, Input::Closed)), ["ran"]);
    let mut stays = begun();
    assert_eq!(told(stays.handle(202, Input::Output(b"\r\nfw #"))), ["send \"exit\\n\"", "ran"]);
    let mut refused = begun();
    let mut said = told(refused.handle(202, Input::Output(b"\r\nrefused")));
    said.extend(told(refused.handle(203, Input::Closed)));
    assert!(said.len() == 1 && said[0].contains("the template says: no"), "{said:?}");
    let mut silent = begun();
    assert!(told(silent.handle(9_000, Input::Tick))[0].contains("did not come"));
}

#[test]
fn choices_nest() {
    let text = "choose\nwhen \"a>\"\nchoose\nwhen \"b>\"\nexec \"b\"\nwhen \"c>\"\nexec \"c\"\nend-choose\nexec \"inner\"\nwhen \"z>\"\nexec \"z\"\nend-choose\nexec \"after\"\n";
    let mut run = run(text);
    run.handle(0, Input::Start);
    run.handle(1, Input::Output(b"a>"));
    assert_eq!(told(run.handle(151, Input::Tick)), [""; 0]);
    run.handle(152, Input::Output(b"c>"));
    assert_eq!(told(run.handle(302, Input::Tick)), ["send \"c\\n\"", "send \"inner\\n\"", "send \"after\\n\"", "ran"]);
}

#[test]
fn a_standing_answer_is_given_while_something_else_is_awaited() {
    let mut run = run(
        "answer \"*--More--*\" \" \"\nanswer \"*erification code:\" \"[#TOTP_TOKEN#]\"\nexec \"show users\"\nexpect \"*alice*bob*#\"\nend\n",
    );
    run.handle(0, Input::Start);
    assert_eq!(told(run.handle(1, Input::Output(b"show users\r\nalice # 1\r\n--More-- "))), ["send \" \""]);
    assert_eq!(told(run.handle(2, Input::Output(b"\r         \rVerification code: "))), ["code"]);
    assert_eq!(told(run.handle(3, Input::Code(Secret::new("123456".into())))), ["send \"123456\\n\""]);
    assert_eq!(
        told(run.handle(4, Input::Output(b"\r\nbob\r\nrouter# "))),
        ["ran"],
        "what stood on the first page counts too"
    );
}

#[test]
fn a_standing_answer_that_never_helps_ends_the_run() {
    let mut run = run("answer \"*more?\" \"y\"\nset-read-timeout 60\nexec \"x\"\nexpect \"done\"\n");
    run.handle(0, Input::Start);
    let mut said = Vec::new();
    for n in 0..60 {
        said.extend(told(run.handle(n, Input::Output(b"\r\nmore? "))));
    }
    assert_eq!(said.iter().filter(|line| *line == "send \"y\\n\"").count(), 50);
    assert!(said.last().unwrap().contains("answered 50 times"), "{said:?}");
}

#[test]
fn an_answer_with_the_new_password_is_the_commit_point() {
    let mut run = run("answer \"*ew password:\" \"[#NEW_PASSWORD#]\"\nexec \"passwd\"\nexpect \"changed\"\n");
    run.handle(0, Input::Start);
    assert_eq!(told(run.handle(1, Input::Output(b"passwd\r\nNew password: "))), ["commit"]);
    assert_eq!(told(run.handle(2, Input::Committed)), [format!("send \"{NEW}\\n\"")]);
    assert_eq!(told(run.handle(3, Input::Output(b"\r\nNew password: "))), [format!("send \"{NEW}\\n\"")]);
    assert_eq!(told(run.handle(4, Input::Output(b"\r\nchanged\r\n"))), ["ran"]);
}

#[test]
fn filters_quote_for_who_reads_and_are_masked() {
    let mut values = values();
    values.set("NEW_PASSWORD", Secret::new("it's $5 \"a\"&<".into()));
    let text = "exec \"echo [#NEW_PASSWORD:sh#]\"\nexec \"[#NEW_PASSWORD:sql#] [#NEW_PASSWORD:tcl#]\"\nexec \"[#NEW_PASSWORD:url#] [#NEW_PASSWORD:xml#]\"\nexpect \"never\"\n";
    let (checked, problems) = template::load(Path::new("t"), text);
    let checked = checked.unwrap_or_else(|| panic!("{problems:?}"));
    let masker = values.masker(&[]);
    let mut run = Run::new(Arc::new(checked), values, masker);
    run.handle(0, Input::Start);
    let said = told(run.handle(0, Input::Committed));
    assert_eq!(said[0], "send \"echo 'it'\\\\''s $5 \\\"a\\\"&<'\\n\"");
    assert_eq!(said[1], "send \"'it''s $5 \\\"a\\\"&<' \\\"it's \\\\$5 \\\\\\\"a\\\\\\\"&<\\\"\\n\"");
    assert_eq!(said[2], "send \"it%27s%20%245%20%22a%22%26%3C it&apos;s $5 &quot;a&quot;&amp;&lt;\\n\"");
    let said = told(run.handle(6_000, Input::Output(b"bash: it'\\''s $5 \"a\"&<: not found\r\nit''s $5 \"a\"&<\r\n")));
    assert!(!said[0].contains("$5") && said[0].contains("****"), "{said:?}");
}

#[test]
fn what_proves_a_password_passes_no_commit_point() {
    let (checked, _) = template::load(
        Path::new("t"),
        "exec \"[#NEW_PASSWORD#]\"\nsection verify\nexec \"[#NEW_PASSWORD#]\"\nexpect \"in\"\n",
    );
    let verify = checked.unwrap().section(template::Section::Verify).unwrap().clone();
    let mut run = Run::new(verify, values(), Masker::default()).proving();
    assert_eq!(told(run.handle(0, Input::Start)), [format!("send \"{NEW}\\n\"")]);
    assert_eq!(told(run.handle(1, Input::Output(b"in"))), ["ran"]);
}
