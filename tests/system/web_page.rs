//! The local page in a browser, against the real daemon and the lab's OpenSSH; the live terminal view in tmux; the report.

use std::process::Command;

use serde_json::Value;

use crate::lab::{Lab, Place, unix_now};
use crate::page::{Browser, OTHER_USER, PAGES, Page, curl};
use crate::tmux::Tmux;

#[test]
fn a_notifier_in_trouble_is_on_the_page_of_health_and_in_a_check_up() {
    let nobody = crate::lab::free_port();
    let place = Place::new(&format!(
        "[device.lab]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n[account.\"lab/user1\"]\n[notify.hook]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{nobody}/\"\nseverity = \"info\"\n"
    ));
    let _daemon = place.daemon();
    let page = Page::start(&place);
    let jar = place.path("jar");
    let jar = jar.to_str().unwrap();
    assert_eq!(curl(&[], &["-c", jar, &page.link]).0, "200");
    let health = || curl(&[], &["-b", jar, &format!("{}health", page.base())]).1;
    assert!(health().contains("No notifier is in trouble."));
    crate::lab::wait_for("the notifier", || {
        place.json(&["notify", "list"]).0["notifiers"][0]["name"].as_str().map(|_| ())
    });
    let told = crate::lab::wait_for("the trouble", || {
        place.must(&["secret", "set", "lab/user1"], "Some-Password-1\n");
        place.json(&["status"]).0["notify_error"].as_str().map(str::to_owned)
    });
    assert!(told.contains("notifier hook is not told of events"), "{told}");
    let shown = health();
    assert!(
        shown.contains("notifier hook is not told of events") && !shown.contains("No notifier is in trouble."),
        "{shown}"
    );
    let checked = String::from_utf8_lossy(&place.ctl(&["doctor"], "").stdout).into_owned();
    assert!(checked.contains("rotorctl notify list"), "{checked}");
}

#[test]
fn the_page_is_for_who_opened_the_link_and_acts_for_itself_alone() {
    let place = Place::new(
        "[device.lab]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n[account.\"lab/user1\"]\n[job.nightly]\nschedule = \"30 2 * * *\"\naccounts = [\"lab/*\"]\nspread = \"45m\"\n",
    );
    let _daemon = place.daemon();
    place.must(&["secret", "set", "lab/user1"], "pw-of-the-page\n");
    let page = Page::start(&place);
    let jar = place.path("jar");
    let jar = jar.to_str().unwrap();
    // Another user gets nothing, with the link, with no link, on any path.
    for path in PAGES {
        let (status, body) = curl(&OTHER_USER, &[&format!("{}{path}", page.base())]);
        assert!(status == "403" && !body.contains("lab"), "{path}: {status} {body}");
    }
    assert_eq!(curl(&OTHER_USER, &[&page.link]).0, "403");
    assert_eq!(curl(&[], &[&format!("http://127.0.0.1:{}/", page.port)]).0, "403");
    // The link works once.
    assert_eq!(curl(&[], &["-c", jar, &page.link]).0, "200");
    assert_eq!(curl(&[], &[&page.link]).0, "403");
    for path in PAGES.iter().filter(|path| **path != "live") {
        let (status, body) = curl(&[], &["-b", jar, &format!("{}{path}", page.base())]);
        assert!(status == "200" && !body.contains("pw-of-the-page"), "{path}: {status} {body}");
    }
    // Another user with the cookie gets nothing either.
    let cookie = std::fs::read_to_string(jar).unwrap();
    let cookie = format!("cookie: rotord={}", cookie.split_whitespace().last().unwrap());
    let accounts = format!("{}accounts", page.base());
    assert_eq!(curl(&[], &["-H", &cookie, &accounts]).0, "200");
    assert_eq!(curl(&OTHER_USER, &["-H", &cookie, &accounts]).0, "403");
    assert_eq!(curl(&[], &["-H", &cookie, "-H", "host: evil.example", &accounts]).0, "403");
    // A change needs the page's own origin and its token.
    let (_, body) = curl(&[], &["-H", &cookie, &accounts]);
    let token = body.split("name=\"csrf\" content=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let act = format!("{}act", page.base());
    let form = format!("csrf={token}&act=pause&account=lab/user1&total=1");
    let origin = format!("origin: http://127.0.0.1:{}", page.port);
    for (origin, form) in [
        ("origin: http://evil.example", form.as_str()),
        ("origin: null", &form),
        ("x: y", &form),
        (&origin, "act=pause&account=lab/user1&total=1"),
        (&origin, "csrf=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&act=pause&account=lab/user1&total=1"),
    ] {
        assert_eq!(curl(&[], &["-H", &cookie, "-H", origin, "-d", form, &act]).0, "403", "{origin} {form}");
    }
    assert_eq!(place.json(&["status"]).0["accounts"][0]["state"], "idle");
    assert_eq!(curl(&[], &["-H", &cookie, "-H", &origin, "-d", &form, &act]).0, "303");
    assert_eq!(place.json(&["status"]).0["accounts"][0]["state"], "paused");
    // The password needs a reason, and is on record with it.
    let reveal = format!("{}reveal", page.base());
    let ask =
        |form: &str| curl(&[], &["-H", &cookie, "-H", &origin, "-H", "accept: application/json", "-d", form, &reveal]);
    assert_eq!(ask(&format!("csrf={token}&account=lab/user1&reason=")).0, "409");
    let (_, shown) = ask(&format!("csrf={token}&account=lab/user1&reason=ticket+7"));
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["password"], "pw-of-the-page");
    let (report, exit) = place.json(&["report"]);
    assert_eq!((exit, report["reveals"][0]["reason"].as_str()), (0, Some("ticket 7")), "{report}");
    assert!(report["chain"]["whole"] == true && report["exceptions"][0]["what"] == "paused", "{report}");
    let file = place.path("report.html");
    place.must(&["report", "--html", file.to_str().unwrap()], "");
    let html = std::fs::read_to_string(file).unwrap();
    assert!(html.contains("ticket 7") && !html.contains("pw-of-the-page"));
}

#[test]
fn an_operator_finds_an_account_sees_its_token_rotates_it_and_finds_it_all_on_record() {
    let lab = Lab::start("user1");
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    let page = Page::start(&place);
    let browser = Browser::start();
    browser.open(&page.link);
    browser.until("document.querySelector('h1')?.textContent === 'Overview'");
    // The search answers while one types, and says so when nothing fits.
    browser.open(&format!("{}accounts", page.base()));
    let search = |text: &str| {
        browser.run(&format!(
            "const box = document.querySelector('[data-live-search]'); box.value = '{text}'; box.dispatchEvent(new Event('input'))"
        ))
    };
    search("nobody");
    browser.until("document.querySelector('[data-part=rows]').textContent.includes('No account fits')");
    search("USER1");
    browser.until("document.querySelector('tbody a.name')?.textContent === 'lab/user1'");
    browser.run("document.querySelector('tbody a.name').click()");
    browser.until("document.querySelector('h1')?.textContent === 'lab/user1'");
    // The token is oathtool's of the same step.
    browser.run("document.querySelector('[data-next]').click()");
    let token = browser.until("document.querySelector('[data-code]').textContent.match(/^\\d{6}$/)?.[0]");
    let (_, seed) = lab.account("user1");
    let codes: Vec<String> = (0..3)
        .map(|back| {
            let at = format!("@{}", unix_now().saturating_sub(back * lab.step));
            let step = format!("{}s", lab.step);
            let output =
                Command::new("oathtool").args(["--totp", "-b", "-s", &step, "--now", &at, seed]).output().unwrap();
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        })
        .collect();
    assert!(codes.iter().any(|code| *code == token), "{token} is none of {codes:?}");
    // Two rotations; the steps arrive while the page is open.
    for round in 1..=2 {
        browser.until("document.querySelector('.actions button[value=rotate]')");
        browser.run("document.querySelector('.actions button[value=rotate]').click()");
        browser.until("document.querySelector('.confirm button')");
        browser.run("document.querySelector('.confirm button').click()");
        browser.until(&format!("document.querySelectorAll('.timeline .o-done .steps li').length > 0 && document.querySelectorAll('.timeline .o-done').length === {round}"));
    }
    // The third: the page says before what the cap allows, and the daemon refuses it.
    browser.run("document.querySelector('.actions button[value=rotate]').click()");
    let told = browser.until("document.querySelector('.confirm') && document.querySelector('main').textContent");
    assert!(told.as_str().unwrap().contains("The next change is allowed"), "{told}");
    browser.run("document.querySelector('.confirm button').click()");
    browser.until("document.querySelector('.timeline .o-refused')");
    // The password with a reason, and all of it in the audit log.
    browser.run("document.querySelector('[data-password] input[name=reason]').value = 'ticket 42'; document.querySelector('[data-reveal]').click()");
    let shown = browser.until("document.querySelector('[data-secret]').textContent.match(/^[^•]+$/)?.[0]");
    assert_eq!(shown.as_str().unwrap(), place.password("lab/user1"));
    browser.open(&format!("{}audit?q=ticket+42", page.base()));
    let found = browser.until("document.querySelector('tbody')?.textContent");
    assert!(found.as_str().unwrap().contains("secret.shown"), "{found}");
    for path in ["", "accounts", "devices", "jobs", "templates", "health", "work"] {
        browser.open(&format!("{}{path}", page.base()));
    }
    assert_eq!(browser.refused_by_policy(), [""; 0]);
}

#[test]
fn a_page_that_is_open_while_the_daemon_restarts_says_so_and_goes_on_by_itself() {
    let place = Place::new(
        "[device.lab]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n[account.\"lab/user1\"]\n[account.\"lab/user2\"]\n",
    );
    let daemon = place.daemon();
    let page = Page::start(&place);
    let browser = Browser::start();
    browser.open(&page.link);
    browser.open(&format!("{}accounts", page.base()));
    browser.until("document.querySelectorAll('tbody a.name').length === 2");
    browser.run("window.sameDocument = true");
    let banner = |is_shown: bool| {
        browser.until(&format!("document.getElementById('offline').hidden === {}", !is_shown));
    };
    banner(false);
    daemon.kill();
    banner(true);
    // What was last seen stays, and is there in a tab that is opened now, which says so too.
    assert_eq!(browser.run("return document.querySelectorAll('tbody a.name').length"), 2);
    let first = browser.tab();
    let second = browser.new_tab();
    browser.open(&format!("{}accounts", page.base()));
    banner(true);
    assert_eq!(browser.run("return document.querySelectorAll('tbody a.name').length"), 2);
    let daemon = place.daemon();
    banner(false);
    // What happens from then on is shown in both; the first was open all the time.
    place.must(&["pause", "lab/user2"], "");
    browser.until("document.querySelector('tbody').textContent.includes('paused')");
    browser.to_tab(&first);
    banner(false);
    browser.until("document.querySelector('tbody').textContent.includes('paused')");
    assert_eq!(browser.run("return window.sameDocument"), true);
    browser.to_tab(&second);
    daemon.stop();
}

#[test]
fn the_live_view_filters_explains_and_asks_before_it_rotates() {
    let place = Place::new(
        "[device.web1]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n[account.\"web1/admin\"]\n[account.\"web1/backup\"]\n",
    );
    let _daemon = place.daemon();
    place.must(&["secret", "set", "web1/admin"], "pw-1\n");
    let tmux = Tmux::new();
    tmux.start(&format!("{} --socket {} top", env!("CARGO_BIN_EXE_rotorctl"), place.path("socket").display()));
    let screen = tmux.shows("2 of 2 accounts");
    assert!(screen.contains("web1/admin") && screen.contains("1 new") && screen.contains("1 idle"), "{screen}");
    tmux.run(&["send-keys", "/"]);
    tmux.run(&["send-keys", "admin", "Enter"]);
    assert!(!tmux.shows("1 of 2 accounts").contains("web1/backup"));
    tmux.run(&["send-keys", "e"]);
    tmux.shows("web1/admin is idle");
    // Both at once, as a slow line brings them.
    tmux.run(&["send-keys", "Escape", "r"]);
    tmux.shows("Rotate web1/admin now? 0 of 2 changes are used");
    tmux.run(&["send-keys", "y"]);
    tmux.shows("web1/admin: failed");
    assert_eq!(place.json(&["history", "web1/admin"]).0["attempts"][0]["outcome"], "failed");
    tmux.run(&["send-keys", "q"]);
}
