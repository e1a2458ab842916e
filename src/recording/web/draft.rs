//! From what a person did in a browser to the draft of a web template.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::html::{Document, Id};
use super::page::Page;
use super::write::{WebDeed, WebSaid};
use crate::template::web::{Clicking, Entering, Selector, WebCommand};
use crate::template::{Piece, Text, tagged_text};

/// A page, what was entered there, and what was done then.
#[derive(Default)]
struct Step<'a> {
    page: Option<Page>,
    url: String,
    held: Vec<(&'a str, &'a Text)>,
    deed: Option<&'a WebDeed>,
}

impl Step<'_> {
    fn has(&self, tags: &[&str]) -> bool {
        self.held.iter().any(|(_, text)| tags.iter().any(|tag| text.has_tag(tag)))
    }
}

const LOGIN_SECRETS: [&str; 4] = ["CURRENT_PASSWORD", "AUTH_PASSWORD", "TOTP_TOKEN", "AUTH_TOTP_TOKEN"];

/// The draft of a template that would do the same. What could not be drafted is a comment in it.
#[must_use]
pub fn draft_web_template(about: &str, said: &[WebSaid]) -> String {
    let steps = steps_of(said);
    let mut out = format!(
        "# {about}\ninfo kind \"web\"\ninfo vendor \"?\"\ninfo product \"?\"\ninfo tested \"recorded from a person's own change\"\n"
    );
    let first_new = steps.iter().position(|step| step.has(&["NEW_PASSWORD"])).unwrap_or(steps.len());
    let last_login = steps[..first_new].iter().rposition(|step| step.has(&LOGIN_SECRETS));
    let last_new = steps.iter().rposition(|step| step.has(&["NEW_PASSWORD"]));
    let mut opened = false;
    for (at, step) in steps.iter().enumerate() {
        write_step(&mut out, step, &mut opened);
        let Some(after) = steps.get(at + 1).filter(|_| step.deed.is_some()) else { continue };
        if Some(at) == last_login {
            out.push_str("new-action\n");
            let before: Vec<&Page> = steps[..=at].iter().filter_map(|step| step.page.as_ref()).collect();
            let test = after.page.as_ref().and_then(|page| test_of_login(page, &before));
            out.push_str(&test.unwrap_or_else(|| {
                "# Write a test here that holds only behind the login: test-selector, test-text or test-location.\n"
                    .into()
            }));
            out.push_str("\nsection change\n");
        }
        if Some(at) == last_new {
            out.push_str("new-action\n");
            out.push_str(&test_of_change(step, after).unwrap_or_else(|| {
                "# Write a test here that holds only once the password is changed, such as test-text.\n".into()
            }));
        }
    }
    out
}

fn steps_of(said: &[WebSaid]) -> Vec<Step<'_>> {
    let mut steps = vec![Step::default()];
    for (number, said) in said.iter().enumerate() {
        let Some(step) = steps.last_mut() else { continue };
        match said {
            WebSaid::Page { url, html } => {
                step.url = url.to_string();
                step.page = Document::parse(html).ok().map(|page| Page::new(page, url.to_string(), number));
            }
            WebSaid::Held { selector, value } => step.held.push((selector, value)),
            WebSaid::Asked(_) => {}
            WebSaid::Did(deed) => {
                step.deed = Some(deed);
                steps.push(Step::default());
            }
        }
    }
    steps
}

fn selector(css: &str) -> Option<Selector> {
    Selector::parse(&tagged_text(css).ok()?).ok().filter(|_| !css.is_empty())
}

fn write_step(out: &mut String, step: &Step<'_>, opened: &mut bool) {
    if *opened && !(step.held.is_empty() && step.deed.is_none()) {
        out.push_str("new-action\n");
    }
    for (css, value) in &step.held {
        let Some(selector) = selector(css) else {
            let _ =
                writeln!(out, "# Nothing names the field into which {value} was typed; write: fill SELECTOR {value}");
            continue;
        };
        let _ = match value.to_string().as_str() {
            "on" => writeln!(out, "{}", WebCommand::Check(selector, true)),
            "off" => writeln!(out, "{}", WebCommand::Check(selector, false)),
            _ => writeln!(out, "{}", WebCommand::Fill(selector, (*value).clone(), Entering::AtOnce)),
        };
    }
    match step.deed {
        Some(WebDeed::Opened(url)) if !*opened => {
            *opened = true;
            let _ = writeln!(out, "{}\ntimeout 30000\n\nsection login", WebCommand::StartAt(url.clone()));
        }
        Some(WebDeed::Opened(url)) => {
            let _ = writeln!(out, "{}", WebCommand::SetLocation(url.clone()));
        }
        Some(WebDeed::Clicked(css)) => {
            let _ = match selector(css) {
                Some(selector) => writeln!(out, "{}", WebCommand::Click(selector, Clicking::Pointer)),
                None => writeln!(out, "# Nothing names what was clicked here; write: click SELECTOR"),
            };
        }
        Some(WebDeed::Pressed(key)) => {
            let _ = writeln!(out, "{}", WebCommand::Press(*key));
        }
        Some(WebDeed::Answered(answer)) => {
            let _ = writeln!(out, "{}", WebCommand::Dialog(*answer));
        }
        None => {}
    }
}

/// A test that holds on this page, and on none of those before.
fn test_of_login(page: &Page, before: &[&Page]) -> Option<String> {
    const OUT: [&str; 5] = ["logout", "signout", "log_out", "sign_out", "logoff"];
    let new = |css: &str| before.iter().all(|page| shown(page, css).is_empty()) && !shown(page, css).is_empty();
    let links = OUT.iter().map(|word| format!("a[href*={word}]"));
    let all = page.document.below(0).into_iter().filter(|id| page.is_shown(*id));
    let named: Vec<(Id, String)> = all
        .filter_map(|id| Some((id, page.document.get(id).attribute("id")?.to_owned())))
        .filter(|(_, name)| is_plain(name))
        .collect();
    let (best, others): (Vec<_>, Vec<_>) =
        named.into_iter().partition(|(id, _)| ["a", "button", "form", "nav"].contains(&&*page.document.get(*id).tag));
    let ids = best.into_iter().chain(others).map(|(_, name)| format!("#{name}"));
    if let Some(found) = links.chain(ids).find(|css| new(css)) {
        return Some(format!("{}\n", WebCommand::TestSelector(selector(&found)?)));
    }
    let known: BTreeSet<String> = before.iter().flat_map(|page| texts(page)).collect();
    let text = texts(page).into_iter().find(|text| !known.contains(text))?;
    Some(format!("{}\n", WebCommand::TestText(Text { pieces: vec![Piece::Literal(text)] })))
}

fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().filter(char::is_ascii_digit).count() < 3
}

fn shown(page: &Page, css: &str) -> Vec<Id> {
    page.find_css(css).into_iter().filter(|id| page.is_shown(*id)).collect()
}

/// Short texts of the page, those first that look like a message.
fn texts(page: &Page) -> Vec<String> {
    const MESSAGES: &str =
        "[role=alert],[role=status],.alert,.success,.updated,.message,.messages,.notice,.confirmation,h1,h2";
    let messages = shown(page, MESSAGES).into_iter();
    let all = messages.chain(shown(page, "p,li,h3,strong,td,span,div"));
    let text = |id: Id| {
        let text = page.document.text_of(id, &|id| page.is_shown(id));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let fits = |text: &String| (6..=80).contains(&text.chars().count()) && !text.contains(['"', '\\', '*']);
    all.map(text).filter(fits).collect()
}

/// A test that holds on the page behind the change, and not on that of the form.
fn test_of_change(form: &Step<'_>, after: &Step<'_>) -> Option<String> {
    const WORDS: [&str; 8] = ["chang", "updat", "success", "saved", "geändert", "gespeichert", "modifi", "alterad"];
    let page = after.page.as_ref()?;
    let known: BTreeSet<String> = form.page.iter().flat_map(texts).collect();
    let new: Vec<String> = texts(page).into_iter().filter(|text| !known.contains(text)).collect();
    let says = |text: &&String| WORDS.iter().any(|word| text.to_lowercase().contains(word));
    let text = new.iter().find(says)?;
    Some(format!("{}\n", WebCommand::TestText(Text { pieces: vec![Piece::Literal(text.clone())] })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Ending, WebTake, parse_web, play_web, write_web_recording};
    use crate::template::load;
    use crate::template::web::Purpose;

    fn text(text: &str) -> Text {
        tagged_text(text).unwrap()
    }

    #[test]
    fn what_a_person_did_becomes_a_template_and_a_recording_that_play_together() {
        let page = |url: &str, html: &str| WebSaid::Page { url: text(url), html: html.into() };
        let held = |selector: &str, value: &str| WebSaid::Held { selector: selector.into(), value: text(value) };
        let clicked = |selector: &str| WebSaid::Did(WebDeed::Clicked(selector.into()));
        let login =
            "<form><input id=\"user\"><input id=\"pass\" type=\"password\"><button id=\"go\">Log in</button></form>";
        let form =
            "<h1>Password</h1><form><input id=\"new\" type=\"password\"><button id=\"save\">Save</button></form>";
        let said = [
            WebSaid::Did(WebDeed::Opened(text("https://[#HOSTNAME#]/"))),
            page("https://[#HOSTNAME#]/login", login),
            held("#user", "[#USERNAME#]"),
            held("#pass", "[#CURRENT_PASSWORD#]"),
            clicked("#go"),
            page(
                "https://[#HOSTNAME#]/home",
                "<a id=\"out\" href=\"/logout\">Log out</a><a id=\"me\" href=\"/me\">Me</a>",
            ),
            clicked("#me"),
            page("https://[#HOSTNAME#]/me", form),
            held("#new", "[#NEW_PASSWORD#]"),
            clicked("#save"),
            page("https://[#HOSTNAME#]/me", &format!("<p class=\"message\">Your password was changed.</p>{form}")),
        ];
        let template = draft_web_template("Recorded on wiki.", &said);
        let (checked, problems) = load(std::path::Path::new("t"), &template);
        assert!(problems.iter().all(|problem| problem.code == "T000"), "{problems:?}\n{template}");
        let checked = std::sync::Arc::new(checked.unwrap());
        assert!(template.contains("test-selector \"a[href*=logout]\"\n\nsection change\n"), "{template}");
        assert!(template.ends_with("test-text \"Your password was changed.\"\n"), "{template}");
        assert!(checked.web().unwrap().proof_line().is_some());
        let take = WebTake {
            title: "the password is changed".into(),
            purpose: Purpose::Change,
            ending: Ending::Ran,
            kind: None,
            said: said.to_vec(),
        };
        let recording = write_web_recording("wiki", "the application", &[take]);
        let (recording, problems) = parse_web(std::path::Path::new("r"), &recording);
        assert!(problems.is_empty(), "{problems:?}");
        let played = play_web(&checked, &recording, &recording.scenes[0]);
        assert_eq!(played.problem, None, "{:#?}\n{template}", played.trace);
    }
}
