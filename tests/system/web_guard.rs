//! The local page as somebody meets it who is not meant to: another user, another page, a device that writes markup, a viewer.

use std::io::Read;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::access::open_up;
use crate::lab::{Place, wait_for};
use crate::page::{Browser, OTHER_USER, Page, curl};
use crate::scripted::scripted;

const FLEET: &str = "[device.web1]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n[account.\"web1/admin\"]\n\
    [job.nightly]\nschedule = \"30 2 * * *\"\naccounts = [\"web1/*\"]\n";
/// Everything that can be read.
const READ: [&str; 16] = [
    "",
    "accounts",
    "account?name=web1/admin",
    "devices",
    "device?name=web1",
    "jobs",
    "templates",
    "template?name=linux/linux-passwd",
    "audit",
    "audit?check=1",
    "health",
    "work",
    "assets/app.js",
    "assets/app.css",
    "assets/icon.svg",
    "no-such-page",
];
/// Everything that can be sent, with the fields that it takes.
const SENT: [(&str, &str); 8] = [
    ("confirm", "act=rotate&account=web1/admin"),
    ("act", "act=pause&account=web1/admin&total=1"),
    ("act", "act=rotate&account=web1/admin&total=1"),
    ("act", "act=pause-job&job=nightly"),
    ("token", "account=web1/admin"),
    ("reveal", "account=web1/admin&reason=ticket"),
    ("leave", ""),
    ("no-such-page", ""),
];

/// Opens the link: the cookie as a header, and the token of the session's pages.
fn enter(page: &Page) -> (String, String) {
    let (status, head) = curl(&[], &["-D", "-", &page.link]);
    assert_eq!(status, "200");
    let set = head.lines().find(|line| line.to_ascii_lowercase().starts_with("set-cookie: ")).unwrap();
    let path = page.base().split_once(&page.port.to_string()).unwrap().1;
    let (cookie, attributes) = set["set-cookie: ".len()..].trim().split_once("; ").unwrap();
    assert_eq!(attributes, format!("Path={path}; HttpOnly; SameSite=Strict"));
    let cookie = format!("cookie: {cookie}");
    let (_, body) = curl(&[], &["-H", &cookie, page.base()]);
    let token = body.split("name=\"csrf\" content=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    (cookie, token)
}

fn place() -> Place {
    let place = Place::new(FLEET);
    std::fs::set_permissions(place.folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    place
}

/// Events that only a success can have written.
fn acts(place: &Place) -> Vec<String> {
    let (log, _) = place.json(&["audit", "tail", "-n", "1000"]);
    let names = log["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap().to_owned());
    names.filter(|name| !name.starts_with("daemon.") && !matches!(name.as_str(), "secret.set" | "totp.set")).collect()
}

#[test]
fn nothing_is_done_for_another_page_and_nothing_without_the_token_of_its_session() {
    let place = place();
    let _daemon = place.daemon();
    place.must(&["secret", "set", "web1/admin"], "pw-of-the-guard\n");
    place.must(&["totp", "set", "web1/admin"], "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n");
    let page = Page::start(&place);
    let (cookie, token) = enter(&page);
    let other = Page::start(&place);
    let (other_cookie, other_token) = enter(&other);
    let origin = format!("origin: http://127.0.0.1:{}", page.port);
    let before = acts(&place);
    for (path, fields) in SENT {
        let address = format!("{}{path}", page.base());
        let right = format!("csrf={token}&{fields}");
        let none = "x: y".to_owned();
        for (what, cookie, origin, form) in [
            ("no token", &cookie, &origin, fields.to_owned()),
            ("the token of another session", &cookie, &origin, format!("csrf={other_token}&{fields}")),
            ("no Origin", &cookie, &none, right.clone()),
            ("another port", &cookie, &format!("origin: http://127.0.0.1:{}", other.port), right.clone()),
            ("another host", &cookie, &"origin: http://evil.example".to_owned(), right.clone()),
            ("https", &cookie, &origin.replace("http:", "https:"), right.clone()),
            ("a sandboxed frame", &cookie, &"origin: null".to_owned(), right.clone()),
            ("no cookie", &none, &origin, right.clone()),
            ("the cookie of another session", &other_cookie, &origin, right.clone()),
            ("the host of somebody else", &cookie, &"host: evil.example".to_owned(), right.clone()),
        ] {
            let (status, body) = curl(&[], &["-H", cookie, "-H", origin, "-d", &form, &address]);
            assert!(status == "403" && !body.contains("pw-of-the-guard"), "{path} with {what}: {status} {body}");
        }
        // The token of the page in the address does not count, and a form is sent by POST alone.
        let (status, _) = curl(&[], &["-H", &cookie, "-H", &origin, "-d", fields, &format!("{address}?csrf={token}")]);
        assert_eq!(status, "403", "{path}");
        let (status, _) = curl(&[], &["-H", &cookie, &format!("{address}?{right}")]);
        assert!(status == "405" || status == "404", "{path}: {status}");
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
            let (status, _) = curl(&[], &["-X", method, "-H", &cookie, "-d", &right, &address]);
            assert_eq!(status, "403", "{method} {path}");
        }
    }
    assert_eq!(acts(&place), before);
    // All of it works where all of it is right.
    for (path, fields) in SENT.iter().filter(|(path, _)| *path != "no-such-page") {
        let form = format!("csrf={token}&{fields}");
        let (status, body) = curl(&[], &["-H", &cookie, "-H", &origin, "-d", &form, &format!("{}{path}", page.base())]);
        assert!(matches!(status.as_str(), "200" | "303"), "{path}: {status} {body}");
    }
}

#[test]
fn another_user_and_another_name_of_this_host_get_nothing_on_any_path() {
    let place = place();
    let _daemon = place.daemon();
    let page = Page::start(&place);
    // The link is not used up by who may not use it, nor by a look at its head.
    assert_eq!(curl(&OTHER_USER, &[&page.link]).0, "403");
    assert_eq!(curl(&[], &["-H", "host: evil.example", &page.link]).0, "403");
    assert_eq!(curl(&[], &["-I", &page.link]).0, "403");
    let (cookie, token) = enter(&page);
    assert_eq!(curl(&[], &[&page.link]).0, "403");
    let own = format!("origin: http://127.0.0.1:{}", page.port);
    let root = format!("http://127.0.0.1:{}/", page.port);
    let addresses = READ.iter().map(|path| (format!("{}{path}", page.base()), None));
    let sent =
        SENT.iter().map(|(path, fields)| (format!("{}{path}", page.base()), Some(format!("csrf={token}&{fields}"))));
    let more =
        [root.clone(), format!("{root}robots.txt"), format!("{root}../etc/passwd"), format!("{}live", page.base())];
    for (address, form) in addresses.chain(sent).chain(more.map(|address| (address, None))) {
        let form: Vec<&str> = form.iter().flat_map(|form| ["-d", form.as_str()]).collect();
        let line = [&["--path-as-is", "-H", &cookie, "-H", &own][..], &form, &[&address]].concat();
        let (status, body) = curl(&OTHER_USER, &line);
        assert!(status == "403" && !body.contains("web1"), "{address}: {status} {body}");
        // A name of somebody else that leads to 127.0.0.1 (DNS rebinding).
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "127.0.0.2", "[::2]", ""] {
            let host = format!("host: {host}");
            let rebound = [&["-H", &host][..], &line].concat();
            let (status, _) = curl(&[], &rebound);
            assert!(status == "403" || status == "400", "{address} with {host}: {status}");
        }
    }
    assert_eq!(acts(&place), [""; 0]);
    // Every answer has the headers that keep others out, whatever it answers.
    for path in READ {
        let address = format!("{}{path}", page.base());
        for line in [&["-H", cookie.as_str()][..], &[]] {
            let (_, answer) = curl(&[], &[&["-D", "-"], line, &[&address]].concat());
            let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
            for header in [
                "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'self'",
                "cache-control: no-store",
                "x-content-type-options: nosniff",
                "referrer-policy: same-origin",
                "x-frame-options: deny",
                "cross-origin-opener-policy: same-origin",
                "cross-origin-resource-policy: same-origin",
            ] {
                assert!(head.lines().any(|line| line == header), "{path}: {header}: {head}");
            }
            assert!(!head.contains("access-control-"), "{head}");
        }
    }
    // Nor does a page of another port of this host get an answer that it asked for by itself.
    let foreign = ["-H", &cookie, "-H", "sec-fetch-site: same-site", "-H", "sec-fetch-mode: no-cors"];
    assert_eq!(curl(&[], &[&foreign[..], &[page.base()]].concat()).0, "403");
}

#[test]
fn another_user_cannot_keep_the_page_from_its_own() {
    let place = place();
    let _daemon = place.daemon();
    let page = Page::start(&place);
    let (cookie, _) = enter(&page);
    // Connections of another user that ask for nothing, or again and again: far more than the page takes.
    let script = "import socket, sys\n\
        held = []\n\
        for at in range(600):\n\
        \ts = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 60)\n\
        \tif at % 2:\n\
        \t\ttry: s.sendall(b'GET / HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n')\n\
        \t\texcept OSError: pass\n\
        \theld.append(s)\n\
        print('held', flush=True)\n\
        sys.stdin.read()\n";
    let mut command = Command::new(OTHER_USER[0]);
    command.args(&OTHER_USER[1..]).args(["/usr/bin/python3", "-c", script, &page.port.to_string()]);
    let mut stranger = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut held = [0; 4];
    stranger.stdout.as_mut().unwrap().read_exact(&mut held).unwrap();
    assert_eq!(curl(&[], &["-m", "60", "-H", &cookie, page.base()]).0, "200");
    drop(stranger.stdin.take());
    assert!(stranger.wait().unwrap().success());
}

#[test]
fn a_socket_is_its_user_s_alone() {
    let place = place();
    let _daemon = place.daemon();
    let path = place.path("web.sock");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotorctl"));
    command.args(["web", "--json", "--listen"]).arg(&path).env("ROTORD_SOCKET", place.path("socket"));
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(process.stdout.as_mut().unwrap()), &mut told).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    let link = told["link"].as_str().unwrap();
    let socket = path.to_str().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(curl(&OTHER_USER, &["--unix-socket", socket, link]).0, "000");
    // Even where the mode lets another user connect.
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    assert_eq!(curl(&OTHER_USER, &["--unix-socket", socket, link]).0, "403");
    assert_eq!(curl(&[], &["--unix-socket", socket, link]).0, "200");
    assert!(Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success());
    assert!(process.wait().unwrap().success() && !path.exists());
}

#[test]
fn a_page_that_nobody_uses_ends_though_one_is_open() {
    let place = place();
    let _daemon = place.daemon();
    let mut page = Page::with(&place, &[env!("CARGO_BIN_EXE_rotorctl")], &["--idle", "5s"]);
    let (cookie, _) = enter(&page);
    // An open page that listens, and asks again by itself, keeps nothing open.
    let mut command = Command::new("curl");
    command.args(["-sSN", "-H", &cookie, &format!("{}live", page.base())]).stdout(Stdio::piped());
    let mut live = command.spawn().unwrap();
    let status = wait_for("the page ends", || {
        curl(&[], &["-H", &cookie, "-H", "x-rotord-again: 1", page.base()]);
        page.process.try_wait().unwrap()
    });
    assert!(status.success());
    live.wait().unwrap();
    assert_eq!(curl(&[], &["-H", &cookie, page.base()]).0, "000");
}

#[test]
fn a_viewer_sees_no_buttons_and_is_refused_all_the_same() {
    let place = Place::new(&format!("[access]\nviewer = [\"nobody\"]\n{FLEET}"));
    open_up(&place);
    let _daemon = place.daemon();
    place.must(&["secret", "set", "web1/admin"], "pw-of-the-guard\n");
    place.must(&["totp", "set", "web1/admin"], "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n");
    let program = place.path("rotorctl");
    let page = Page::with(&place, &[&OTHER_USER[..], &[program.to_str().unwrap()]].concat(), &[]);
    let (cookie, token) = enter(&page);
    for path in READ.iter().filter(|path| !path.starts_with("assets")) {
        let (status, body) = curl(&OTHER_USER, &["-H", &cookie, &format!("{}{path}", page.base())]);
        assert!(status == "200" || *path == "no-such-page", "{path}: {status} {body}");
        // A search, and the end of the page, are nobody's affair but the viewer's.
        let others = [
            "formaction",
            "action=\"act\"",
            "action=\"token\"",
            "action=\"reveal\"",
            "name=\"act\"",
            "type=\"checkbox\"",
        ];
        let found: Vec<&&str> = others.iter().filter(|part| body.contains(**part)).collect();
        assert!(found.is_empty(), "{path} has {found:?}");
    }
    let before = acts(&place);
    let origin = format!("origin: http://127.0.0.1:{}", page.port);
    for (path, fields) in SENT.iter().filter(|(path, _)| !matches!(*path, "leave" | "no-such-page" | "confirm")) {
        let form = format!("csrf={token}&{fields}");
        let line = ["-H", &cookie, "-H", &origin, "-d", &form, &format!("{}{path}", page.base())];
        let (status, body) = curl(&OTHER_USER, &line);
        assert!(status == "403" && body.contains("You may not do this"), "{path} {fields}: {status} {body}");
        assert!(!body.contains("pw-of-the-guard"), "{body}");
    }
    let denied = |names: &[String]| names.iter().filter(|name| *name == "access.denied").count();
    let after = acts(&place);
    assert!(denied(&after) > denied(&before), "{after:?}");
    assert_eq!(after.len() - denied(&after), before.len() - denied(&before), "{after:?}");
    assert_eq!(place.state("web1/admin"), "idle");
}

/// What a device may write: markup in text and in attributes, a template's and a script's syntax, what turns the direction of
/// writing, what steers a terminal.
const WRITES: &str = "$ ERROR <script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\
    </bdi></p><h1 id=owned>\"' onfocus=owned autofocus x='{{7*7}}${7*7}&lt;b&gt;\u{202e}txt.exe\u{2066}\u{200f}\u{feff}\u{200b}\u{1b}]0;owned\u{7}\u{9b}31m";
const TEMPLATE: &str = "info vendor \"<img src=x onerror=owned>\"\ninfo product \"</title><script>document.title='owned'</script>\"\n\
    expect \"*$*\"\nexec \"passwd [#NEW_PASSWORD#]\"\nno-expect \"*ERROR*\"\nexpect \"*ok*\"\nend\n";

#[test]
fn what_a_device_writes_is_shown_as_text_on_every_page_and_in_the_report() {
    let it = scripted("hostile", WRITES, &[("passwd {new}", WRITES)], 0, crate::scripted::Fault::None);
    std::fs::write(it.place.path("own/hostile.template"), TEMPLATE).unwrap();
    let _daemon = it.place.daemon();
    it.import();
    let reason = "<script>document.title='owned'</script><img src=x onerror=owned>\"'";
    it.place.ctl(&["rotate", "dev/admin", "--reason", reason], "");
    it.place.must(&["secret", "show", "dev/admin", "--reason", reason], "");
    let page = Page::start(&it.place);
    let browser = Browser::start();
    browser.open(&page.link);
    browser.until("document.querySelector('h1')?.textContent === 'Overview'");
    let file = it.place.path("report.html");
    it.place.must(&["report", "--html", file.to_str().unwrap()], "");
    let mut shown = 0;
    let own = [
        "",
        "accounts",
        "account?name=dev/admin",
        "devices",
        "device?name=dev",
        "templates",
        "template?name=hostile",
        "audit",
        "health",
        "work",
    ];
    let addresses = own.map(|path| format!("{}{path}", page.base()));
    for address in addresses.iter().chain([&format!("file://{}", file.display())]) {
        browser.open(address);
        browser.until("document.readyState === 'complete' && document.querySelector('h1')");
        let found = browser.run(
            "return { title: document.title, ids: document.querySelectorAll('#owned').length, images: document.images.length, \
             scripts: [...document.scripts].filter((it) => !it.src).length, \
             handlers: [...document.querySelectorAll('*')].filter((it) => [...it.attributes].some((at) => at.name.startsWith('on') || at.name === 'autofocus')).length, \
             text: document.documentElement.innerHTML }",
        );
        assert!(!found["title"].as_str().unwrap().contains("owned"), "{address}: {}", found["title"]);
        for what in ["ids", "images", "scripts", "handlers"] {
            assert_eq!(found[what], 0, "{address}: {what}");
        }
        let text = found["text"].as_str().unwrap();
        let is_odd = |c: char| {
            (c.is_control() && !matches!(c, '\n' | '\t'))
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c)
                || "\u{200b}\u{200e}\u{200f}\u{feff}".contains(c)
        };
        assert!(!text.contains(is_odd), "{address}: {:?}", text.chars().filter(|c| is_odd(*c)).collect::<String>());
        shown += usize::from(text.contains("owned"));
    }
    // It is there to be read: on the account's page, in the audit log, among the templates, and in the report at the least.
    assert!(shown >= 6, "it is on {shown} pages");
    // The report, which is the last that was opened, fits on paper: nothing is wider than A4 within its margins, no word of a heading
    // is broken.
    browser.on_paper(688);
    let broken = browser.run(
        "const broken = []; \
         for (const heading of document.querySelectorAll('thead th')) for (const word of heading.textContent.matchAll(/\\S+/g)) { \
           const range = document.createRange(); \
           range.setStart(heading.firstChild, word.index); range.setEnd(heading.firstChild, word.index + word[0].length); \
           if (range.getClientRects().length !== 1) broken.push(word[0]); \
         } \
         return { broken, wide: document.documentElement.scrollWidth > innerWidth };",
    );
    assert_eq!(broken, serde_json::json!({ "broken": [], "wide": false }));
    assert!(browser.print().starts_with("JVBERi0"), "it is no PDF");
    assert_eq!(browser.refused_by_policy(), [""; 0]);
}
