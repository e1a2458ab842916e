//! Whole sessions as real devices hold them: what is believed, what is heard, and where nothing is typed.

use super::tests::{NEW, run, run_until_over, told};
use super::*;

/// Hands in each piece 20 ms after the one before, then waits until the output is quiet.
fn hears(run: &mut Run, now: &mut i64, pieces: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for piece in pieces {
        *now += 20;
        all.extend(told(run.handle(*now, Input::Output(piece.as_bytes()))));
    }
    *now += 150;
    all.extend(told(run.handle(*now, Input::Tick)));
    all
}

fn begin(text: &str) -> (Run, i64) {
    let mut run = run(text);
    run.handle(0, Input::Start);
    (run, 0)
}

fn model_secret(text: &str) -> crate::model::Secret {
    crate::model::Secret::new(text.into())
}

/// The verdict of a run that fails.
fn failure(effects: Vec<Effect>) -> RunFailure {
    match effects.into_iter().last() {
        Some(Effect::Finished(Verdict::Failed(failure))) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn half_a_line_of_a_banner_is_no_prompt() {
    // FortiOS with a post-login banner in a box (ytti/oxidized#2021): a packet ends within its border.
    let (mut run, mut now) = begin(
        "answer \"*to accept):*\" \"a\"\nexpect-regex \"/[#$] ?$/\"\nexec \"get system status\"\nexpect \"*#\"\n",
    );
    let said = hears(
        &mut run,
        &mut now,
        &["#################\r\n# Data protection #\r\n#######", "##########\r\n\r\n(Press 'a' to accept):"],
    );
    assert_eq!(said, ["send \"a\\n\""]);
    // What comes behind the key is not the answer to a command yet.
    assert_eq!(told(run.handle(now + 10, Input::Output(b"\r\n#######"))), [""; 0]);
    now += 400;
    assert_eq!(hears(&mut run, &mut now, &["#"]), [""; 0], "nor is a border that stops for a while");
    assert_eq!(hears(&mut run, &mut now, &["##\r\nwelcome\r\nFGT60 # "]), ["send \"get system status\\n\""]);
}

#[test]
fn a_question_behind_what_was_awaited_first_is_not_typed_at() {
    let (mut run, mut now) = begin("expect \"*$\"\nexec \"passwd\"\nexpect \"*ok\"\n");
    assert_eq!(hears(&mut run, &mut now, &["costs 5 $ an hour\r\nYou must change it.\r\nNew password: "]), [""; 0]);
    let said = run_until_over(&mut run, now);
    assert!(said[0].starts_with("failed template line 1:") && said[0].contains("New password:"), "{said:?}");
}

#[test]
fn a_prompt_with_an_error_word_in_its_host_s_name_is_no_answer() {
    let text = "expect-regex \"/# ?$/\"\nexec \"config system admin\"\nno-expect \"*fail*\"\nexpect \"*(admin) #\"\nexec \"edit x\"\nno-expect \"*fail*\"\nexpect \"*(x) #\"\nend\n";
    let (mut run, mut now) = begin(text);
    assert_eq!(hears(&mut run, &mut now, &["fw-failover-1 # "]), ["send \"config system admin\\n\""]);
    let said = hears(&mut run, &mut now, &["config system admin\r\n\r\nfw-fail", "over-1 (admin) # "]);
    assert_eq!(said, ["send \"edit x\\n\""]);
    // Painted twice, and with a message behind it.
    let again = "edit x\r\nfw-failover-1 (x) # \r\nsession of fw-failover-1 began\r\nfw-failover-1 (x) # ";
    assert_eq!(hears(&mut run, &mut now, &[again]), ["ran"]);
}

#[test]
fn what_must_not_come_is_looked_for_in_whole_lines_and_in_the_last_one_once_nothing_follows() {
    let text = "expect-regex \"/# ?$/\"\nexec \"x\"\nno-expect \"*denied*\"\nexpect \"*[OK]*\"\n";
    let start = || {
        let (mut run, mut now) = begin(text);
        assert_eq!(hears(&mut run, &mut now, &["fw-denied-1# "]), ["send \"x\\n\""]);
        (run, now)
    };
    let (mut line, now) = start();
    assert_eq!(told(line.handle(now + 1, Input::Output(b"x\r\naccess deni"))), [""; 0]);
    assert_eq!(told(line.handle(now + 2, Input::Output(b"ed"))), [""; 0], "the line may go on");
    assert!(told(line.handle(now + 3, Input::Output(b"\r\n")))[0].contains("which must not come"));
    let (mut question, mut now) = start();
    let said = hears(&mut question, &mut now, &["x\r\nAccess denied. Password: "]);
    assert!(said[0].contains("which must not come"), "the question is the refusal: {said:?}");
    let (mut closed, now) = start();
    closed.handle(now + 1, Input::Output(b"x\r\naccess denied"));
    assert!(failure(closed.handle(now + 2, Input::Closed)).judged);
    let (mut prompt, mut now) = start();
    assert_eq!(hears(&mut prompt, &mut now, &["x\r\nsaved\r\nfw-denied-1(config)# "]), [""; 0]);
    assert!(run_until_over(&mut prompt, now)[0].contains("did not come"), "a prompt is no answer");
    let (mut asks, mut now) = start();
    assert_eq!(hears(&mut asks, &mut now, &["x\r\nNew password for fw-denied-1: "]), [""; 0], "a name is no answer");
}

#[test]
fn a_wait_does_not_go_on_over_what_must_not_come() {
    let (mut run, mut now) = begin("exec \"x\"\nno-expect \"*rror*\"\nexpect \"*:\"\nexec \"y\"\nexpect \"*ok\"\n");
    let said = hears(&mut run, &mut now, &["x\r\nError:"]);
    assert!(said[0].contains("which must not come"), "{said:?}");
}

#[test]
fn a_message_behind_a_known_prompt_does_not_lose_it() {
    // IOS shows the prompt, then a message, and no prompt again (ktbyers/netmiko#3696).
    let text = "expect-regex \"/# ?$/\"\nexec \"configure terminal\"\nexpect \"*(config)#\"\nexec \"end\"\nexpect-regex \"/# ?$/\"\nexec \"write memory\"\nexpect \"*[OK]*\"\n";
    let message = "\r\n*Nov 22 10:41:27.253: %SYS-5-CONFIG_I: Configured from console by admin on vty0 (192.0.2.7)\r\n";
    let start = || {
        let (mut run, mut now) = begin(text);
        hears(&mut run, &mut now, &["core1#"]);
        assert_eq!(hears(&mut run, &mut now, &["configure terminal\r\ncore1(config)#"]), ["send \"end\\n\""]);
        (run, now)
    };
    let (mut run, mut now) = start();
    assert_eq!(hears(&mut run, &mut now, &[&format!("end\r\ncore1#{message}")]), ["send \"write memory\\n\""]);
    let (mut same, mut now) = start();
    let told = format!("end\r\ncore1#{}", message.trim_start());
    assert_eq!(hears(&mut same, &mut now, &[&told]), ["send \"write memory\\n\""], "in the prompt's own line");
    let (mut asked, mut now) = start();
    let question = format!("end\r\ncore1#{message}Overwrite? [Y/N]:");
    assert_eq!(hears(&mut asked, &mut now, &[&question]), [""; 0], "a question behind it is no message");
    let (mut other, mut now) = start();
    assert_eq!(hears(&mut other, &mut now, &[&format!("end\r\n#####{message}")]), [""; 0], "a border is no prompt");
    let (mut first, mut now) = begin(text);
    assert_eq!(hears(&mut first, &mut now, &[&format!("core1#{message}")]), [""; 0], "not known yet");
    assert_eq!(run_until_over(&mut first, now)[0], "send \"configure terminal\\n\"", "but better than to fail");
}

#[test]
fn a_set_prompt_is_found_before_a_message_too() {
    let (mut run, mut now) = begin("set-prompt \"sw1#\"\nexec \"one\"\nexec \"two\"\nend\n");
    assert_eq!(hears(&mut run, &mut now, &["sw1#"]), ["send \"one\\n\""]);
    let said =
        hears(&mut run, &mut now, &["one\r\nsw1#", "\r\n%LINK-3-UPDOWN: Interface Gi0/1, changed state to up\r\n"]);
    assert_eq!(said, ["send \"two\\n\"", "ran"]);
}

/// A change that failed, and the run that clears up behind it.
fn cleared_up(shown: &[&str]) -> Vec<String> {
    let (mut failed, mut now) = begin(
        "set-read-timeout 2\nexpect-regex \"/[#$] ?$/\"\nexec \"config system admin\"\nexpect \"*(admin) #\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\n",
    );
    for text in shown {
        hears(&mut failed, &mut now, &[text]);
    }
    while failed.deadline().is_some() {
        now = failed.deadline().unwrap_or(now);
        failed.handle(now, Input::Tick);
    }
    let mut abort = run("exec \"abort\"\nexpect-regex \"/[#$] ?$/\"\nexec \"exit\"\n");
    abort.clear_up_after(&mut failed);
    let mut said = told(abort.handle(now, Input::Start));
    if said.is_empty() {
        said = told(abort.handle(abort.deadline().unwrap_or(now), Input::Tick));
    }
    said
}

#[test]
fn what_clears_up_types_only_at_a_prompt_that_is_known() {
    let in_a_mode = cleared_up(&["FGT1 # ", "config system admin\r\nUnknown action 0\r\n\r\nFGT1 (global) # "]);
    assert_eq!(in_a_mode, ["send \"abort\\n\""]);
    for shown in [
        &["You are forced to change your password. Please input a new password.\r\n\r\nNew Password: "][..],
        &["You must set a new password now.\r\nNew password: "],
        &["The password needs to be changed. Change now? [Y/N]:"],
        &["FGT1 # ", "config system admin\r\nNew password: "],
        &["FGT1 # ", "config system admin\r\nSave the changes? [Y/N]"],
        &["FGT1 # ", "config system admin\r\nworking"],
        &["FGT1 # ", "config system admin\r\n> "],
        // Nothing tells that the line before was taken in: its answer may be a question.
        &["FGT1 # ", ""],
        &["FGT1 # ", "\r\n%LINK-3-UPDOWN: Interface Gi0/1, changed state to up\r\nFGT1 # "],
    ] {
        let said = cleared_up(shown);
        let nothing = said.len() == 1 && said[0].contains("nothing is typed");
        assert!(nothing || said.is_empty() && shown.len() > 1, "{shown:?}: {said:?}");
    }
}

#[test]
fn a_command_is_not_typed_at_a_question_for_a_secret() {
    let text = "exec \"passwd\"\nexpect \"*ew password:\"\nexec \"[#NEW_PASSWORD#]\"\nexec \"exit\"\n";
    let start = || {
        let (mut run, mut now) = begin(text);
        assert_eq!(hears(&mut run, &mut now, &["passwd\r\nNew password: "]), ["commit"]);
        assert_eq!(told(run.handle(now, Input::Committed)), [format!("send \"{NEW}\\n\"")]);
        (run, now)
    };
    let (mut refused, mut now) = start();
    let said = hears(&mut refused, &mut now, &["\r\nIt is too short.\r\nNew password: "]);
    assert!(said[0].contains("nothing is typed") && said[0].contains("New password:"), "{said:?}");
    let (mut taken, mut now) = start();
    assert_eq!(hears(&mut taken, &mut now, &["\r\nchanged\r\n$ "]), ["send \"exit\\n\"", "ran"]);
    let (mut silent, now) = start();
    assert_eq!(told(silent.handle(now + 5_000, Input::Tick)), ["send \"exit\\n\"", "ran"], "a device may be silent");
}

#[test]
fn a_command_is_not_typed_at_a_choice_that_came_instead() {
    let text = "exec \"[#NEW_PASSWORD#]\"\nexpect \"*set\"\nexec \"quit\"\nexpect \"*bye\"\n";
    for (question, typed) in [("\r\nSave? [Y/N]", false), ("\r\nSave or quit (save/quit)?", true), ("\r\nsw# ", true)] {
        let (mut run, mut now) = begin(text);
        run.handle(0, Input::Committed);
        let said = hears(&mut run, &mut now, &[&format!("\r\nthe password is set{question}")]);
        assert_eq!(said == ["send \"quit\\n\""], typed, "{question}: {said:?}");
    }
}

#[test]
fn what_was_made_ready_is_not_typed_where_the_question_is_gone() {
    let text = "exec \"su\"\nexpect \"*code:\"\nexec \"[#TOTP_TOKEN#]\"\nexpect \"*word:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\n";
    let code = || Input::Code(model_secret("123456"));
    let (mut gone, mut now) = begin(text);
    assert_eq!(hears(&mut gone, &mut now, &["su\r\nVerification code: "]), ["code"]);
    gone.handle(now + 20_000, Input::Output(b"\r\nLogin timed out.\r\n$ "));
    assert!(told(gone.handle(now + 20_001, code()))[0].contains("nothing is typed"));
    let (mut there, mut now) = begin(text);
    hears(&mut there, &mut now, &["su\r\nVerification code: "]);
    assert_eq!(told(there.handle(now + 20_000, code())), ["send \"123456\\n\""]);
    assert_eq!(hears(&mut there, &mut now, &["\r\nPassword: "]), ["commit"]);
    there.handle(now + 1, Input::Output(b"\r\n$ "));
    let failure = failure(there.handle(now + 2, Input::Committed));
    assert!(failure.committed && failure.message.contains("nothing is typed"), "{failure:?}");
}

#[test]
fn a_standing_answer_that_does_not_name_a_secret_is_not_given_to_a_question_for_one() {
    let (mut run, mut now) = begin("answer \"*:\" \"y\"\nexec \"x\"\nexpect \"*done\"\n");
    assert_eq!(hears(&mut run, &mut now, &["x\r\nNew password: "]), [""; 0]);
    assert_eq!(hears(&mut run, &mut now, &["\r\nOverwrite the file:"]), ["send \"y\\n\""]);
    let (mut choice, mut now) = begin("answer \"*Change now? [Y/N]:\" \"N\"\nexpect \"*>\"\nexec \"x\"\n");
    let question = "The password needs to be changed. Change now? [Y/N]: ";
    assert_eq!(hears(&mut choice, &mut now, &[question]), ["send \"N\\n\""]);
    let (mut named, mut now) = begin("answer \"*assword:\" \"\"\nexec \"x\"\nexpect \"*done\"\n");
    assert_eq!(hears(&mut named, &mut now, &["x\r\nEmpty password: "]), ["send \"\\n\""]);
}

#[test]
fn questions_to_the_terminal_are_answered_before_anything_is_sent() {
    // RouterOS 7.16 asks for terminal and size, and shows its prompt behind.
    let (mut run, mut now) =
        begin("expect-regex \"/] > ?$/\"\nexec \"/user print\"\nexpect-regex \"/] > ?$/\"\nexec \"/quit\"\n");
    let probe = "\r\x1b[9999B\r\x1b[9999B\x1bZ  \x1b[6n";
    assert_eq!(hears(&mut run, &mut now, &[probe]), ["reply \"\\u{1b}[?1;2c\"", "reply \"\\u{1b}[200;3R\""]);
    assert_eq!(hears(&mut run, &mut now, &["\r\n[admin@MikroTik] > "]), ["send \"/user print\\n\""]);
    // It paints its line anew behind the echo, and its prompt twice with blanks between (7.23).
    let echo = "/user print\r[admin@MikroTik] > /user print\r\n\r 0 admin full\r\n";
    let end = "\r\r\r\r[admin@MikroTik] >                              \r[admin@MikroTik] > ";
    assert_eq!(hears(&mut run, &mut now, &[echo, end]), ["send \"/quit\\n\"", "ran"]);
}

#[test]
fn a_line_that_is_painted_again_while_it_is_typed_is_its_echo() {
    let (mut run, mut now) =
        begin("expect-regex \"/> ?$/\"\nexec \"net user x\"\nexpect-regex \"/> ?$/\"\nexec \"exit\"\n");
    assert_eq!(hears(&mut run, &mut now, &["PS C:\\> "]), ["send \"net user x\\n\""]);
    let typed = "net user x";
    for end in 1..=typed.len() {
        now += 1;
        let painted = format!("\x1b[?25l\x1b[2K\x1b[GPS C:\\> \x1b[93m{}\x1b[m\x1b[?25h", &typed[..end]);
        for piece in painted.as_bytes().chunks(5) {
            assert_eq!(told(run.handle(now, Input::Output(piece))), [""; 0], "{:?}", &typed[..end]);
        }
    }
    assert_eq!(hears(&mut run, &mut now, &["\r\nUser name    x\r\nPS C:\\> "]), ["send \"exit\\n\"", "ran"]);
}

#[test]
fn a_session_that_the_device_closes_may_be_its_answer() {
    let text = "exec \"[#NEW_PASSWORD#]\"\nno-expect \"*denied*\"\nchoose\nwhen \"*updated*\"\nexec \"exit\"\nwhen-closed\nend\nend-choose\n";
    let start = || {
        let (mut run, _) = begin(text);
        run.handle(0, Input::Committed);
        run
    };
    let mut closed = start();
    closed.handle(5, Input::Output(b"\r\nYour session ends now.\r\n"));
    assert_eq!(told(closed.handle(6, Input::Closed)), ["ran"]);
    let mut refused = start();
    assert!(told(refused.handle(5, Input::Output(b"\r\ndenied\r\n")))[0].contains("which must not come"));
    let mut both = start();
    both.handle(5, Input::Output(b"\r\nupdated\r\n"));
    let (mut usual, _) = begin("exec \"[#NEW_PASSWORD#]\"\nexpect \"*updated\"\n");
    usual.handle(0, Input::Committed);
    assert!(told(usual.handle(5, Input::Closed))[0].contains("closed the session"), "only where the template says so");
    assert_eq!(told(both.handle(200, Input::Tick)), ["send \"exit\\n\"", "ran"]);
}

#[test]
fn a_session_that_ends_before_anything_was_typed_judges_nothing() {
    let text = "no-expect \"*many sessions*\"\nexpect-regex \"/[$#] ?$/\"\nexec \"x\"\nexpect \"ok\"\n";
    let (mut run, _) = begin(text);
    let words = b"Too many sessions: only 1 session per user is allowed. Try again later.\r\n";
    let refused = failure(run.handle(1, Input::Output(words)));
    assert!(!refused.judged && !refused.typed && refused.message.contains("only 1 session"), "{refused:?}");
    let (mut run, _) = begin("expect-regex \"/[$#] ?$/\"\nexec \"x\"\n");
    run.handle(1, Input::Output(words));
    let closed = failure(run.handle(2, Input::Closed));
    assert!(!closed.judged && !closed.typed && closed.message.contains("only 1 session"), "{closed:?}");
}

#[test]
fn a_device_of_another_kind_is_warned_of_before_the_commit_point() {
    let text = "info vendor \"Cisco\"\ninfo product \"IOS\"\ninfo detect \"/^SSH-2.0-Cisco/m\"\ninfo detect \"/Cisco IOS Software/\"\nexec \"show version\"\nexpect \"*#\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*#\"\n";
    let steps = |greeting: &str, shown: &str| {
        let mut run = run(text).greeted(greeting.to_owned());
        run.handle(0, Input::Start);
        let effects = run.handle(5, Input::Output(shown.as_bytes()));
        let mut kinds = Vec::new();
        for effect in effects {
            match effect {
                Effect::Step(step) if step.starts_with("warning") => kinds.push(step),
                Effect::CommitPoint => kinds.push("commit".into()),
                _ => {}
            }
        }
        kinds
    };
    let answer = "show version\r\nArista vEOS\r\nsw1#";
    let told = steps("SSH-2.0-OpenSSH_9.2\n", answer);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("nothing of Cisco IOS") && told[0].contains("\"SSH-2.0-OpenSSH_9.2\""), "{told:?}");
    assert_eq!(steps("SSH-2.0-Cisco-1.25\n", answer), ["commit"]);
    assert_eq!(steps("SSH-2.0-x\n", "show version\r\nCisco IOS Software, Version 15.2\r\nsw1#"), ["commit"]);
}
