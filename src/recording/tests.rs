use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::template;

const TEMPLATE: &str = "expect \"*$\"\nexec \"passwd\"\nexpect \"*urrent password:\"\nexec \"[#CURRENT_PASSWORD#]\"\nno-expect \"*failure*\"\nexpect \"*ew password:\"\nexec \"[#NEW_PASSWORD#]\"\nno-expect \"*BAD*\"\nexpect \"*updated*\"\nend\nsection verify\nexec \"su [#USERNAME#]\"\nexpect \"*word:\"\nwrite \"[#NEW_PASSWORD#]\"\nchoose\nwhen \"*Sorry*\"\nfail \"refused\"\nwhen \"*$\"\nend-choose\n";

const GOOD: &str = "@ template x\n# a comment\n@ scene changed\n< Welcome\n? host$ |\n> passwd\n? Current password: |\n* [#CURRENT_PASSWORD#]\n? New password: |\n* [#NEW_PASSWORD#]\n< updated\n? host$ |\n\n@ scene too simple\n@ outcome refused\n? host$ |\n> passwd\n? Current password: |\n* [#CURRENT_PASSWORD#]\n? New password: |\n* [#NEW_PASSWORD#]\n< BAD PASSWORD: too simple\n? New password: |\n\n@ scene wrong\n@ outcome failed\n? host$ |\n> passwd\n? Current password: |\n* [#CURRENT_PASSWORD#]\n< Authentication failure\n\n@ scene proved\n@ section verify\n> su admin\n? Password: |\n+ [#NEW_PASSWORD#]\n? $ |\n\n@ scene disproved\n@ section verify\n@ outcome refused\n> su admin\n? Password: |\n+ New-Secret_42\n< Sorry\n\n@ scene hangs up\n@ outcome broken\n? host$ |\n> passwd\n? Current password: |\n* [#CURRENT_PASSWORD#]\n? New password: |\n* [#NEW_PASSWORD#]\n@ silence 1\n@ close\n";

fn played(template: &str, recording: &str) -> Vec<(String, Option<String>)> {
    let (checked, problems) = template::load(Path::new("t"), template);
    let checked = Arc::new(checked.unwrap_or_else(|| panic!("{problems:?}")));
    let (recording, problems) = parse(Path::new("r"), recording);
    assert!(problems.is_empty(), "{problems:?}");
    recording.scenes.iter().map(|scene| (scene.title.clone(), play_all(&checked, scene).problem)).collect()
}

#[test]
fn a_recording_is_played_scene_by_scene() {
    let all = played(TEMPLATE, GOOD);
    assert_eq!(all.len(), 6);
    assert!(all.iter().all(|(_, problem)| problem.is_none()), "{all:?}");
}

#[test]
fn whatever_goes_another_way_is_told() {
    for (from, to, why) in [
        ("exec \"passwd\"", "exec \"passwd -q\"", "takes \"passwd\""),
        ("expect \"*updated*\"", "expect \"*never*\"", "did not come within 5 s"),
        ("end\nsection", "section", ""),
        ("write \"[#NEW_PASSWORD#]\"", "exec \"[#NEW_PASSWORD#]\"", "and no line end"),
        ("fail \"refused\"", "", "it ended 'ran', and is recorded as 'refused'"),
        ("exec \"[#CURRENT_PASSWORD#]\"", "end", "ended before line 8 of the recording"),
        ("expect \"*$\"\nexec", "exec", "has the device print more first (line 4)"),
    ] {
        let changed = TEMPLATE.replacen(from, to, 1);
        assert_ne!(changed, TEMPLATE);
        let all = played(&changed, GOOD);
        let told = all.iter().filter_map(|(_, problem)| problem.as_deref()).collect::<Vec<_>>().join("\n");
        assert!(told.contains(why) && told.is_empty() == why.is_empty(), "{from}: {told}");
    }
}

#[test]
fn the_trace_tells_what_each_wait_saw() {
    let (checked, _) = template::load(Path::new("t"), TEMPLATE);
    let (recording, _) = parse(Path::new("r"), GOOD);
    let trace = play(&Arc::new(checked.unwrap()), &recording.scenes[0], Manner::AsRecorded).trace.join("\n");
    for part in
        ["waits for \"*$\"; unread: \"Welcome\\n\"", "line 1: saw \"*$\"", "line 2: sent \"passwd\"", "commit point"]
    {
        assert!(trace.contains(part), "{part}\n{trace}");
    }
}

#[test]
fn lines_that_were_seen_are_told_from_those_that_are_assumed() {
    let text = "@ scene x\n? a$ |\n> b\n@ seen a manual, page 7\n< c\n? d: |\n* e\n@ assumed\n< f\n@ scene y\n< g\n";
    let (recording, problems) = parse(Path::new("r"), text);
    assert!(problems.is_empty(), "{problems:?}");
    let evidence = &recording.scenes[0].evidence;
    assert_eq!(
        (evidence.seen, evidence.lines, evidence.sources.as_slice()),
        (2, 4, &["a manual, page 7".to_owned()][..])
    );
    let evidence = &recording.scenes[1].evidence;
    assert_eq!((evidence.seen, evidence.lines), (0, 1), "a scene begins without evidence");
    assert!(parse(Path::new("r"), "@ scene x\n@ seen\n").1[0].message.contains("@ seen SOURCE"));
}

#[test]
fn mistakes_in_a_recording_are_told_at_their_line() {
    let text =
        "> early\n@ scene x\nhello\n@ outcom ran\n@ outcome fine\n@ section nowhere\n@ silence long\n> [#X:nope#]\n";
    let (_, problems) = parse(Path::new("r"), text);
    let found: Vec<(usize, &str)> = problems.iter().map(|p| (p.line, p.code.as_str())).collect();
    assert_eq!(found, [(1, "R002"), (3, "R003"), (4, "R004"), (5, "R004"), (6, "R004"), (7, "R004"), (8, "R003")]);
    assert!(problems[2].message.contains("did you mean 'outcome'"));
    assert_eq!(parse(Path::new("r"), "# nothing\n").1[0].code, "R002");
}

#[test]
fn a_conversation_becomes_a_recording_and_a_template_that_play_together() {
    let sent = |text: &str| Said::Sent(tagged_text(text).unwrap());
    let printed = |text: &str, at_ms| Said::Printed { text: text.into(), at_ms };
    let said = [
        printed("Welcome |\n", 10),
        printed("\nbox# ", 20),
        sent("passwd"),
        printed("passwd\nChanging password\n", 30),
        printed("Old \"password\": ", 5_000),
        sent("[#CURRENT_PASSWORD#]"),
        printed("\nNew password: ", 5_100),
        sent("[#NEW_PASSWORD#]"),
        printed("\nchanged\nbox# ", 5_200),
        sent("exit"),
        printed("exit\n", 5_300),
    ];
    let recording = write_recording("box", "the password is changed", &said);
    assert_eq!(
        recording,
        "@ template box\n\n@ scene the password is changed\n< Welcome ||\n<\n? box# |\n> passwd\n@ silence 4\n< Changing password\n? Old \"password\": |\n* [#CURRENT_PASSWORD#]\n? New password: |\n* [#NEW_PASSWORD#]\n< changed\n? box# |\n> exit\n"
    );
    let draft = draft_template("Recorded.", &said);
    assert!(draft.contains("expect \"*Old \\\"password\\\":\"\n") && draft.contains("expect-regex"), "{draft}");
    let all = played(&draft, &recording);
    assert_eq!(all, [("the password is changed".to_owned(), None)], "{draft}");
}

const SAVING: &str = "expect \"*#\"\nexec \"configure\"\nexpect \"*(config)#\"\nexec \"set [#NEW_PASSWORD#]\"\nno-expect-regex \"/^ERROR:/m\"\nexpect \"*(config)#\"\nexec \"end\"\nexpect \"*#\"\nexec \"save\"\nexpect \"*[OK]*\"\nexec \"exit\"\nend\nsection save\nexec \"end\"\nexpect \"*#\"\nexec \"save\"\nexpect \"*[OK]*\"\nexec \"exit\"\n";

const BEGIN: &str = "? sw1#|\n> configure\n? sw1(config)#|\n> set [#NEW_PASSWORD#]\n";

#[test]
fn what_a_refused_change_may_have_left_is_saved_where_the_recording_goes_on() {
    let saves = "> end\n? sw1#|\n> save\n< [OK]\n> exit\n";
    let refused = "< ERROR: too short\n? sw1(config)#|\n";
    let scene = |outcome: &str, rest: &str| format!("@ scene x\n{outcome}{BEGIN}{refused}{rest}");
    for good in [scene("@ outcome refused\n", saves), scene("@ outcome refused\n", ""), scene("", saves)] {
        assert_eq!(played(SAVING, &good)[0].1, None, "{good}");
    }
    let asks = scene("@ outcome refused\n", saves).replace("? sw1(config)#|\n> end", "? New password: |\n> end");
    let told = played(SAVING, &asks)[0].1.clone().unwrap();
    assert!(told.contains("ended before line"), "nothing is saved at a question: {told}");
    let without = SAVING.split("section save").next().unwrap();
    assert!(played(without, &scene("", saves))[0].1.is_some(), "what is recorded must be sent");
    let ran = scene("@ outcome ran\n", saves);
    assert!(played(SAVING, &ran)[0].1.clone().unwrap().contains("recorded as 'ran'"), "a stated outcome holds");
}

#[test]
fn a_recording_that_ends_where_the_device_waits_asks_that_the_template_does_not_wait_too() {
    let good = "expect \"*#\"\nexec \"set [#NEW_PASSWORD#]\"\nno-expect-regex \"/^ERROR:/m\"\nexpect \"*#\"\nexec \"quit\"\nexpect \"*[Y/N]:\"\nexec \"y\"\nexpect \"*#\"\n";
    let scene = "@ scene x\n? sw1#|\n> set [#NEW_PASSWORD#]\n? sw1#|\n> quit\n? Save? [Y/N]:|\n@ silence 60\n";
    let play_it = |template: &str, scene: &str| {
        let (checked, problems) = template::load(Path::new("t"), template);
        let checked = Arc::new(checked.unwrap_or_else(|| panic!("{problems:?}")));
        let (recording, _) = parse(Path::new("r"), scene);
        let played = play_all(&checked, &recording.scenes[0]);
        (played.problem, played.note)
    };
    let (problem, note) = play_it(good, scene);
    assert!(problem.is_none() && note.unwrap().contains("sends \"y"));
    let (problem, note) = play_it(&good.replace("exec \"quit\"", "exec \"save\""), scene);
    assert!(problem.is_none() && note.unwrap().contains("does not come"), "another way that avoids the question");
    let waits = good.replace("*[Y/N]:", "*(y/n)");
    assert!(play_it(&waits, scene).0.unwrap().contains("did not come within"), "it waits in vain");
    let other = good.replace("exec \"set [", "exec \"put [");
    assert!(play_it(&other, scene).0.is_some(), "an earlier line is judged");
    let stated = scene.replace("@ scene x\n", "@ scene x\n@ outcome ran\n");
    assert!(play_it(good, &stated).0.unwrap().contains("is over"), "with an outcome, the whole is judged");
    let refusal = "@ scene x\n? sw1#|\n> set [#NEW_PASSWORD#]\n< ERROR: locked\n? sw1#|\n@ silence 60\n";
    let (problem, note) = play_it(good, refusal);
    assert!(problem.is_none() && note.unwrap().contains("'refused'"), "the device's own words end it");
}

#[test]
fn a_scene_is_played_in_every_manner_in_which_a_device_may_print_it() {
    let long = "x".repeat(90);
    let text =
        format!("expect \"*$\"\nexec \"{long}\"\nexpect \"*word:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"*ok\"\n");
    let scene = format!("@ scene x\n? host$ |\n> {long}\n? New password: |\n* [#NEW_PASSWORD#]\n< ok\n");
    assert_eq!(played(&text, &scene)[0].1, None);
    // A wait that is contented with half a line types before the rest is there.
    let half = text.replace("*word:", "*New pass");
    let told = played(&half, &scene)[0].1.clone().unwrap();
    assert!(told.starts_with("byte by byte: ") && told.contains("before the device printed"), "{told}");
    let bytes: Vec<u8> = Manner::Painted.prints("$ ", 0).concat();
    assert!(String::from_utf8(bytes).unwrap().contains("\u{1b}[1m$ "));
    let narrow = Manner::Narrow.echoes(&long, 6).concat();
    let shown = String::from_utf8(narrow).unwrap();
    assert_eq!(shown.lines().map(str::len).collect::<Vec<_>>(), [74, 16]);
}
