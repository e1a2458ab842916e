//! Whatever a device does with what was sent to it: nothing that a run tells holds a piece of a secret.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::Secret;
use crate::template;

const TEMPLATE: &str = "set-read-timeout 5\nexpect-regex \"/[#$] ?$/\"\nexec \"login [#CURRENT_PASSWORD#] [#TOTP_TOKEN#]\"\nexpect-regex \"/[#$] ?$/\"\nno-expect \"*% not taken*\"\nexec \"secret [#NEW_PASSWORD:sh#] role admin\"\nexpect-regex \"/saved/\"\n";
const CODE: &str = "730914";

/// A line as a terminal of this width shows it that breaks it, or lets a window slide over it.
fn echo(prompt: &str, line: &str, width: usize, mark: &str, slides: bool) -> String {
    let all: Vec<char> = prompt.chars().chain(line.chars()).collect();
    let text = |part: &[char]| part.iter().collect::<String>();
    if !slides {
        let shown = all.chunks(width).map(text).collect::<Vec<_>>().join(mark);
        return shown.strip_prefix(prompt).unwrap_or(&shown).to_owned();
    }
    let ends = (width..all.len() + 9).step_by(9).map(|end| end.min(all.len()));
    let windows = ends.map(|end| format!("\r{prompt}${}", text(&all[end.saturating_sub(width)..end])));
    windows.collect()
}

/// Everything that a run tells in a session with a device that shows what was sent, and the answers that it gives.
fn told(values: Values, answers: [&str; 3], show: impl Fn(&str, &str) -> String) -> (Vec<String>, usize) {
    let (checked, problems) = template::load(Path::new("t"), TEMPLATE);
    let masker = values.masker(&[]);
    let mut run = Run::new(Arc::new(checked.unwrap_or_else(|| panic!("{problems:?}"))), values, masker);
    let (mut told, mut now, mut sent) = (Vec::new(), 0, 0);
    let mut queue = run.handle(now, Input::Start);
    queue.extend(run.handle(now, Input::Output(answers[0].as_bytes())));
    loop {
        while !queue.is_empty() {
            match queue.remove(0) {
                Effect::Send(secret) => {
                    sent += 1;
                    let shown = show(answers[0], secret.expose().trim_end());
                    let output = format!("{shown}\r\n{}", answers[sent.min(2)]);
                    for part in output.as_bytes().chunks(7) {
                        queue.extend(run.handle(now, Input::Output(part)));
                    }
                }
                Effect::NeedCode(_) => queue.extend(run.handle(now, Input::Code(Secret::new(CODE.into())))),
                Effect::CommitPoint => queue.extend(run.handle(now, Input::Committed)),
                Effect::Step(text) => told.push(text),
                Effect::Finished(Verdict::Failed(failure)) => {
                    told.push(failure.message);
                    return (told, sent);
                }
                Effect::Finished(verdict) => panic!("{verdict:?}"),
                Effect::Risk(_) | Effect::Accepted | Effect::Reply(_) => {}
            }
        }
        let Some(at) = run.deadline() else { panic!("it waits for nothing: {told:?}") };
        now = at;
        queue.extend(run.handle(now, Input::Tick));
    }
}

fn piece<'a>(told: &'a str, secret: &str) -> Option<&'a str> {
    let secret: Vec<char> = secret.chars().collect();
    let joined: String = told.split_whitespace().collect();
    let has = |six: String| told.contains(&six) || joined.contains(&six);
    secret.windows(6).any(|six| has(six.iter().collect())).then_some(told)
}

proptest! {
    #[test]
    fn a_run_tells_no_piece_of_what_it_sent(
        old in "[!-~]{10,24}",
        new in "[!-)+-~]{12,32}",
        width in 4..100usize,
        mark in prop::sample::select(vec!["\r\n", " \r\n", "\r\n> ", "$\r\n$", " \r"]),
        slides in any::<bool>(),
        refuses in any::<bool>(),
        prompt in "[a-z]{1,40}-[0-9](\\(config\\))?# ",
    ) {
        let mut values = Values::default();
        values.set("CURRENT_PASSWORD", Secret::new(old.clone()));
        values.set("NEW_PASSWORD", Secret::new(new.clone()));
        values.allow_code("TOTP_TOKEN");
        let last = format!("{}{prompt}", if refuses { "% not taken\r\n" } else { "done\r\n" });
        let (told, sent) = told(values, [&prompt, &prompt, &last], |prompt, line| echo(prompt, line, width, mark, slides));
        prop_assert!(sent >= 1, "{:?}", told);
        for text in &told {
            prop_assert_eq!(piece(text, &old), None);
            prop_assert_eq!(piece(text, &new), None);
            prop_assert_eq!(piece(text, CODE), None);
        }
    }
}
