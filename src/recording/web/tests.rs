use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::recording::Played;
use crate::template::load;

const TEMPLATE: &str = "start-at https://[#HOSTNAME#]/login\ntimeout 10000\nsection login\nfill #user [#USERNAME#]\nfill #pass [#CURRENT_PASSWORD#]\nclick #go\nnew-action\nfill input[name=code] [#TOTP_TOKEN#]\nclick #go\nnew-action\ntest-selector #home\nsection change\nset-location /password\nnew-action\nfill #new [#NEW_PASSWORD#]\nclick \"form:has(#new) [type=submit]\"\nnew-action\nchoose\nwhen-text \"was changed\"\nwhen-selector .errorlist\nfail \"the application does not take the new password\"\nend-choose\n";

const PAGES: &str = "@ page login https://[#HOSTNAME#]/login
<form><input id=\"user\"><input id=\"pass\" type=\"password\"><button id=\"go\">Log in</button></form>

@ page code https://[#HOSTNAME#]/login
<form><input name=\"code\"><button id=\"go\">Next</button></form>

@ page wrong https://[#HOSTNAME#]/login
<p role=\"alert\">Incorrect username or password.</p>
<form><input id=\"user\"><input id=\"pass\" type=\"password\"><button id=\"go\">Log in</button></form>

@ page home https://[#HOSTNAME#]/
<p id=\"home\">Welcome, [#USERNAME#]</p>

@ page form https://[#HOSTNAME#]/password
<form><input id=\"new\" type=\"password\"><input type=\"submit\" value=\"Change\"></form>

@ page done https://[#HOSTNAME#]/password
<p>Your password was
   changed.</p>

@ page refused https://[#HOSTNAME#]/password
<ul class=\"errorlist\"><li>This password is too short.</li></ul>
";

const LOGIN: &str = "< login
* #user [#USERNAME#]
* #pass [#CURRENT_PASSWORD#]
> click #go
< code
* input[name=code] [#TOTP_TOKEN#]
> click #go
< home
";

const CHANGE: &str = "> open /password
< form
* #new [#NEW_PASSWORD#]
> click \"[type=submit]\"
";

fn play(template: &str, scenes: &str) -> Vec<Played> {
    let (checked, problems) = load(Path::new("t"), template);
    let checked = Arc::new(checked.unwrap_or_else(|| panic!("{problems:?}")));
    let (recording, problems) = parse_web(Path::new("r"), &format!("{PAGES}{scenes}"));
    assert!(problems.is_empty(), "{problems:?}");
    recording.scenes.iter().map(|scene| play_web(&checked, &recording, scene)).collect()
}

fn problem(template: &str, scenes: &str) -> Option<String> {
    play(template, scenes).remove(0).problem
}

#[test]
fn a_template_goes_through_the_pages_of_a_recording() {
    let scenes = format!(
        "@ scene changed\n{LOGIN}{CHANGE}< done\n@ scene refused\n@ outcome refused\n{LOGIN}{CHANGE}< refused\n@ scene login\n@ section verify\n{LOGIN}@ scene wrong\n@ outcome failed wrong-password\n< login\n* #user [#USERNAME#]\n* #pass [#CURRENT_PASSWORD#]\n> click #go\n< wrong\n"
    );
    let played = play(TEMPLATE, &scenes);
    assert_eq!(played.len(), 4);
    for played in &played {
        assert_eq!(played.problem, None, "{:#?}", played.trace);
    }
    assert!(played[0].trace.iter().any(|line| line == "page home: https://device/"), "{:?}", played[0].trace);
}

#[test]
fn a_template_that_does_another_thing_than_the_recording_is_told() {
    let changed = format!("@ scene changed\n{LOGIN}{CHANGE}< done\n");
    // The wrong value in a field, a field that the recording does not tell of, another act, and an act too many.
    let swapped = TEMPLATE.replace("fill #user [#USERNAME#]", "fill #user [#HOSTNAME#]");
    let found = problem(&swapped, &changed).unwrap();
    assert!(found.contains("input#user holds \"device\", and \"admin\" by line"), "{found}");
    let unfilled = changed.replace("* #user [#USERNAME#]\n", "");
    let found = problem(TEMPLATE, &unfilled).unwrap();
    assert!(found.contains("the template fills input#user, and the recording has no such line"), "{found}");
    let found = problem(&TEMPLATE.replace("set-location /password", "set-location /other"), &changed).unwrap();
    assert!(found.starts_with("template line 13: the template opens https://device/other, where"), "{found}");
    assert!(found.contains("has '> open /password'"), "{found}");
    let found = problem(TEMPLATE, &format!("@ scene short\n{LOGIN}")).unwrap();
    assert!(found.contains("where the recording is over"), "{found}");
    let found = problem(TEMPLATE, &format!("{changed}> click #more\n")).unwrap();
    assert!(found.contains("the template ended before line"), "{found}");
}

#[test]
fn an_end_that_is_not_recorded_is_told_with_why() {
    let found = problem(TEMPLATE, &format!("@ scene changed\n{LOGIN}{CHANGE}< refused\n")).unwrap();
    assert!(found.starts_with("it ended 'refused', and is recorded as 'ran': "), "{found}");
    let wrong = "@ scene wrong\n@ outcome failed wrong-code\n< login\n* #user [#USERNAME#]\n* #pass [#CURRENT_PASSWORD#]\n> click #go\n< wrong\n";
    let found = problem(TEMPLATE, wrong).unwrap();
    assert!(found.contains("it failed as 'wrong-password', and is recorded as 'wrong-code'"), "{found}");
    // A selector that the page does not have, with what is like it.
    let found =
        problem(&TEMPLATE.replace("fill #user", "fill #user_login"), &format!("@ scene x\n{LOGIN}{CHANGE}< done\n"));
    let found = found.unwrap();
    assert!(found.contains("there is no #user_login after 10 s") && found.contains("input#user"), "{found}");
    // A login that proves nothing.
    let vacuous = TEMPLATE.replace("test-selector #home", "test-not-visible #nothing");
    let found = problem(&vacuous, &format!("@ scene login\n@ section verify\n{LOGIN}")).unwrap();
    assert!(found.contains("it proves nothing"), "{found}");
}

#[test]
fn dialogues_boxes_keys_and_people_are_played() {
    let template = "start-at https://[#HOSTNAME#]/login\ntimeout 10000\nfill #user [#USERNAME#]\nfill #pass [#CURRENT_PASSWORD#]\nclick #user\npress Enter\nask-person \"Look\" until-selector #home\ntest-selector #home\nset-location /box\ncheck #sure\nselect #zone Second\nfill #new [#NEW_PASSWORD#]\nclick #save\naccept-dialog\nframe #inner\ntest-text \"was changed\"\n";
    let scenes = "@ page box https://[#HOSTNAME#]/box
<form><input type=\"checkbox\" id=\"sure\"><input id=\"new\" type=\"password\">
<select id=\"zone\"><option value=\"1\">First</option><option value=\"2\">Second</option></select>
<a id=\"save\" href=\"#\">Save</a></form>

@ page framed https://[#HOSTNAME#]/box
<iframe id=\"inner\"><p>The password was changed</p></iframe>

@ scene all of it
< login
* #user [#USERNAME#]
* #pass [#CURRENT_PASSWORD#]
> click #go
< code
> person
< home
> open /box
< box
* #sure on
* #zone 2
* #new [#NEW_PASSWORD#]
> click #save
? Really?
> accept-dialog
< framed
";
    let played = play(template, scenes).remove(0);
    assert_eq!(played.problem, None, "{:#?}", played.trace);
    let found = problem(&template.replace("accept-dialog\n", ""), scenes).unwrap();
    assert!(found.contains("«Really?», and no line answers it"), "{found}");
    let found = problem(&template.replace("frame #inner\n", "timeout 1000\n"), scenes).unwrap();
    assert!(found.contains("was changed"), "the text of a frame is none of the page's: {found}");
}

#[test]
fn slips_in_a_recording_are_told_with_their_lines() {
    let text = "@ page a\n@ page login https://[#HOSTNAME#]/\n<form>\n@ scene x\n< logni\n< login\n> clik #go\n* #a[ x\n@ outcome failed badly\n@ sceen y\n> press Hyper\nx\n@ section login\n";
    let (_, problems) = parse_web(Path::new("r"), text);
    let found: Vec<(usize, &str)> = problems.iter().map(|problem| (problem.line, problem.code.as_str())).collect();
    let wanted = [
        (1, "R004"),
        (4, "R006"),
        (7, "R003"),
        (8, "R003"),
        (9, "R004"),
        (10, "R004"),
        (11, "R003"),
        (12, "R003"),
        (13, "R004"),
        (5, "R005"),
        (6, "R005"),
    ];
    assert_eq!(found, wanted, "{problems:#?}");
    let (_, problems) = parse_web(Path::new("r"), "@ page a /\n<p></p>\n@ scene x\n< aa\n");
    assert!(problems[0].message.contains("did you mean 'a'?"), "{problems:?}");
    assert!(is_web_recording("# x\n@ page a /\n") && !is_web_recording("@ scene a\n< @ page x\n"));
    let evidence =
        parse_web(Path::new("r"), "@ seen App 1\n@ page a /\n@ assumed\n@ page b /\n@ scene x\n< a\n").0.evidence();
    assert_eq!((evidence.seen, evidence.lines, evidence.sources), (1, 2, vec!["App 1".to_owned()]));
}

#[test]
fn selectors_find_in_a_recorded_page_what_they_find_in_a_browser() {
    let html = "<form id=\"f\"><p class=\"a b\"><input name=\"p\" type=\"hidden\"><input name=\"p\" data-x=\"one two\"></p><p hidden><input name=\"p\"></p><button>Save all</button><button type=\"button\" disabled>Other</button></form><div id=\"after\"></div>";
    let page = page::Page::new(Document::parse(html).unwrap(), String::new(), 1);
    let found = |css: &str| page.find_css(css).into_iter().map(|id| page.name_of(id)).collect::<Vec<_>>().join(" ");
    let count = |css: &str| page.find_css(css).len();
    assert_eq!(count("input[name=p]"), 3);
    assert_eq!(count("input[name=p]:visible"), 1);
    assert_eq!(page.one(&page_plan("input[name=p]")), page.find_css("[data-x]").first().copied());
    assert_eq!(found("form:has([data-x~=two]) button:enabled"), "button");
    assert_eq!((count("button:contains(SAVE)"), count("button:not(:disabled)"), count("button:eq(1)")), (1, 1, 1));
    assert_eq!((count("p.a > input"), count("p + p input"), count("p ~ button"), count("p:hidden")), (2, 1, 2, 1));
    assert_eq!((count("input[data-x^=on]"), count("input[DATA-X$=two]"), count("input[type=HIDDEN]")), (1, 1, 1));
    assert_eq!((count("p:nth-child(2n+1)"), count("p:nth-child(even)"), count("p:last-of-type")), (1, 1, 1));
    assert_eq!((count(":submit"), count("#after:empty"), count("#after,#f"), count("button:last")), (1, 1, 2, 1));
    assert_eq!((count("#f input:not([type])"), count("form #after"), count("p:is(.b)")), (2, 0, 1));
}

fn page_plan(css: &str) -> crate::template::web::Plan {
    let text = Text { pieces: vec![Piece::Literal(css.to_owned())] };
    Selector::parse(&text).unwrap().plan(|_, _| String::new())
}
