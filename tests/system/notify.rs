//! Events reach real receivers of each kind, whatever those do, and however often the daemon is killed.
//!
//! NOTIFY_EVENTS sets how many events there are under kills (160 where it is not set).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;

use crate::lab::{Place, free_port, wait_for};

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Answers with this status and, with it, a header.
    Says(u16, &'static str),
    /// Takes the message, and closes before it says so.
    ClosesAfter,
    /// Closes in the middle.
    Closes,
    /// Never answers.
    Hangs,
}

/// A request that came: its head, and its body.
#[derive(Debug, Clone)]
pub struct Request {
    head: String,
    body: String,
    taken: bool,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find(|line| line.to_lowercase().starts_with(&format!("{}:", name.to_lowercase())));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A receiver of HTTP.
pub struct Receiver {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    /// `does` tells what is done with the request of each number, from 0.
    pub fn start(does: impl Fn(usize) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, requests) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let (does, into) = (Arc::new(does), requests.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (does, into) = (does.clone(), into.clone());
                std::thread::spawn(move || drop(answer(stream.unwrap(), &*does, &into)));
            }
        });
        Self { port, requests }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/rotord", self.port)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn taken(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.taken).collect()
    }
}

fn answer(stream: TcpStream, does: &dyn Fn(usize) -> Does, into: &Mutex<Vec<Request>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let mut request = Request { head, body: String::new(), taken: false };
        let mut body = vec![0; request.header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body)?;
        request.body = String::from_utf8(body).unwrap();
        let mut all = into.lock().unwrap();
        let done = does(all.len());
        request.taken = matches!(done, Does::ClosesAfter | Does::Says(200..300, _));
        all.push(request);
        drop(all);
        match done {
            Does::Says(status, header) => {
                write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 2\r\n{header}\r\nok")?;
            }
            Does::Closes | Does::ClosesAfter => return Ok(()),
            Does::Hangs => std::thread::sleep(Duration::from_secs(3600)),
        }
    }
}

pub fn notifiers(place: &Place) -> BTreeMap<String, Value> {
    let (body, _) = place.json(&["notify", "list"]);
    let all = body["notifiers"].as_array().unwrap();
    all.iter().map(|it| (it["name"].as_str().unwrap().to_owned(), it.clone())).collect()
}

/// The sections of some accounts of a device that nobody can reach.
pub fn accounts(count: usize) -> String {
    let mut text = format!(
        "[device.dc2]\naddress = \"127.0.0.1:{}\"\nhost_key = [\"SHA256:{}\"]\ntemplate = \"linux-passwd\"\nmax_sessions = 20\n",
        free_port(),
        "A".repeat(43)
    );
    (0..count).for_each(|number| text.push_str(&format!("[account.\"dc2/user{number}\"]\n")));
    text
}

/// As many events as there are accounts.
pub fn cause_events(place: &Place, count: usize) {
    let lines: String = (0..count).map(|number| format!("dc2/user{number},Some-Password-1,\n")).collect();
    place.ctl(&["import", "--overwrite", "-"], &format!("account,password,totp\n{lines}"));
}

fn log(place: &Place) -> Vec<Value> {
    let output = place.ctl(&["audit", "export", "--format", "json"], "");
    let body: Value = serde_json::from_slice(&output.stdout).unwrap();
    body["events"].as_array().unwrap().clone()
}

pub fn file(place: &Place, name: &str, text: &str) -> PathBuf {
    let path = place.path(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// What openssl(1) says is the HMAC-SHA256 of a text.
fn hmac(key: &str, text: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-hmac", key]);
    let output = crate::lab::feed(&mut command, text);
    String::from_utf8(output.stdout).unwrap().trim().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn kills_and_a_receiver_that_fails_half_of_the_time_lose_nothing_and_change_no_id() {
    let wanted: usize = std::env::var("NOTIFY_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(160);
    let receiver = Receiver::start(|number| match number % 6 {
        1 => Does::Says(500, ""),
        3 => Does::ClosesAfter,
        5 => Does::Closes,
        _ => Does::Says(204, ""),
    });
    let sections = accounts(20);
    let place = Place::new(&sections);
    let key = file(&place, "hook.key", "a key of the receiver's\n");
    place.configure(&format!(
        "{sections}[notify.hook]\nkind = \"webhook\"\nurl = \"{}\"\nkey_file = \"{}\"\nseverity = \"info\"\nbacklog = 1000000\n",
        receiver.url(),
        key.display()
    ));
    let mut daemon = place.daemon();
    wait_for("the notifier", || notifiers(&place).get("hook").cloned());
    place.must(&["secret", "set", "dc2/user0"], "First-Password-1\n");
    let first = wait_for("the first event", || {
        receiver.taken().iter().find_map(|request| request.json()["events"][0]["seq"].as_u64())
    });
    let mut pause = 7;
    for _ in 0..wanted.div_ceil(20) {
        cause_events(&place, 20);
        pause = pause * 31 % 397;
        // The moment is what is random here; nothing is waited for.
        std::thread::sleep(Duration::from_millis(pause));
        daemon.kill();
        daemon = place.daemon();
    }
    let events: Vec<u64> =
        log(&place).iter().filter_map(|event| event["seq"].as_u64()).filter(|seq| *seq >= first).collect();
    assert!(events.len() >= wanted, "{}", events.len());
    let (mut ids, mut looked_at): (BTreeMap<u64, BTreeSet<String>>, usize) = Default::default();
    let patience = Duration::from_secs(60) + Duration::from_millis(300) * u32::try_from(wanted).unwrap();
    crate::lab::wait_within(patience, "each event", || {
        let fresh: Vec<Request> = receiver.requests.lock().unwrap()[looked_at..].to_vec();
        looked_at += fresh.len();
        for request in fresh.into_iter().filter(|request| request.taken) {
            let body = request.json();
            let event = &body["events"][0];
            assert!(event["id"] == body["id"] && body["id"] == request.header("x-rotord-id"), "{body}");
            ids.entry(event["seq"].as_u64().unwrap()).or_default().insert(event["id"].as_str().unwrap().to_owned());
        }
        events.iter().all(|seq| ids.contains_key(seq)).then_some(())
    });
    assert!(ids.values().all(|ids| ids.len() == 1), "two ids of one event: {ids:?}");
    let signed = receiver.taken().pop().unwrap();
    let (time, mac) = signed.header("x-rotord-signature").strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    assert_eq!(hmac("a key of the receiver's", &format!("{time}.{}", signed.body)), mac);
    let hook = wait_for("no backlog", || notifiers(&place).remove("hook").filter(|hook| hook["backlog"] == 0));
    assert!(!hook["last_success"].is_null() && hook["dropped"] == 0, "{hook}");
    drop(daemon);
}

/// An authority, and a certificate of it for this host: files in PEM.
pub struct Certificates {
    pub ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

pub fn certificates(place: &Place) -> Certificates {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    Certificates {
        ca: file(place, "ca.pem", &ca.pem()),
        certificate: file(place, "server.pem", &certificate.pem()),
        key: file(place, "server.key", &key.serialize_pem()),
    }
}

/// A program that ends with the test.
pub struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn listens(port: u16) -> Option<()> {
    TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
}

/// A webhook over TLS.
fn tls_receiver(place: &Place, certificates: &Certificates) -> (u16, Program) {
    let port = free_port();
    let log = std::fs::File::create(place.path("tls.log")).unwrap();
    let program = Command::new("/usr/bin/python3")
        .args(["-c", include_str!("notify/https.py"), &port.to_string()])
        .args([&certificates.certificate, &certificates.key, &place.path("https.jsonl")])
        .stderr(log)
        .spawn()
        .unwrap();
    wait_for("the receiver", || listens(port));
    (port, Program(program))
}

#[test]
fn what_receivers_do_wrong_is_told_and_holds_up_neither_others_nor_rotations() {
    let good = Receiver::start(|_| Does::Says(200, ""));
    let elsewhere = Receiver::start(|_| Does::Says(200, ""));
    let location: &'static str = format!("location: {}\r\n", elsewhere.url()).leak();
    let redirects = Receiver::start(move |_| Does::Says(307, location));
    let broken = Receiver::start(|_| Does::Says(500, ""));
    let hangs = Receiver::start(|_| Does::Hangs);
    let closes = Receiver::start(|_| Does::Closes);
    let refuses = Receiver::start(|_| Does::Says(429, "retry-after: 600\r\n"));
    let sections = accounts(12);
    let place = Place::new(&sections);
    let made = certificates(&place);
    let (tls, _program) = tls_receiver(&place, &made);
    let secret = file(&place, "secret.url", &format!("{}\n", good.url()));
    let hook = |name: &str, url: &str, more: &str| {
        format!("[notify.{name}]\nkind = \"webhook\"\nurl = \"{url}\"\nseverity = \"info\"\n{more}\n")
    };
    let mut text = sections.clone();
    text.push_str(&format!(
        "[notify.good]\nkind = \"webhook\"\nurl_file = \"{}\"\nseverity = \"info\"\n",
        secret.display()
    ));
    for (name, receiver) in
        [("redirects", &redirects), ("broken", &broken), ("hangs", &hangs), ("closes", &closes), ("refuses", &refuses)]
    {
        text.push_str(&hook(name, &receiver.url(), ""));
    }
    text.push_str(&hook("nobody", &format!("http://127.0.0.1:{}/", free_port()), ""));
    text.push_str(&hook("untrusted", &format!("https://localhost:{tls}/"), ""));
    text.push_str(&hook(
        "trusted",
        &format!("https://localhost:{tls}/"),
        &format!("ca_file = \"{}\"", made.ca.display()),
    ));
    text.push_str("[notify.endless]\nkind = \"command\"\ncommand = [\"/bin/sleep\", \"1000\"]\nuser = \"nobody\"\ntimeout = \"1s\"\nseverity = \"info\"\n");
    text.push_str("[notify.floods]\nkind = \"command\"\ncommand = [\"/usr/bin/yes\"]\nuser = \"nobody\"\ntimeout = \"5s\"\nseverity = \"info\"\n");
    // Without them, for the ratio.
    let work = |place: &Place| {
        let begun = Instant::now();
        (0..5).for_each(|_| cause_events(place, 12));
        place.ctl(&["rotate", "dc2/*"], "");
        begun.elapsed()
    };
    let daemon = place.daemon();
    let without = work(&place);
    place.configure(&text);
    daemon.signal("HUP");
    wait_for("the notifiers", || (notifiers(&place).len() == 11).then_some(()));
    place.must(&["secret", "set", "dc2/user0"], "Other-Password-1\n");
    wait_for("what the good one is told", || good.taken().pop());
    let error = |name: &str| notifiers(&place)[name]["last_error"].as_str().unwrap_or_default().to_owned();
    for (name, wanted) in [
        ("redirects", "redirects are not followed"),
        ("broken", "it answers 500"),
        ("closes", "no answer: "),
        ("refuses", "it answers 429"),
        ("nobody", "cannot connect"),
        ("untrusted", "no TLS: "),
        ("endless", "did not end within 1 s"),
        ("floods", "signal 13"),
    ] {
        wait_for(&format!("{name}: {wanted}; it is {}", error(name)), || error(name).contains(wanted).then_some(()));
    }
    wait_for("what is told over TLS", || {
        std::fs::read_to_string(place.path("https.jsonl")).ok().filter(|text| text.contains("secret.set"))
    });
    assert!(elsewhere.requests().is_empty(), "nothing goes where a redirect leads");
    assert_eq!(refuses.requests().len(), 1, "a receiver that asks for a pause has it");
    let with = work(&place);
    assert!(with < without * 2 + Duration::from_secs(2), "{without:?} without, {with:?} with dead receivers");
    let status = place.json(&["status"]).0;
    let told = wait_for("the trouble in status", || {
        let told = place.json(&["status"]).0["notify_error"].as_str().unwrap_or_default().to_owned();
        told.contains("notifier broken is not told of events").then_some(told)
    });
    assert!(told.contains("rotorctl notify test broken") && !told.contains("notifier good"), "{told} {status}");
    let (tested, failed) =
        (place.ctl(&["notify", "test", "good"], ""), place.ctl(&["notify", "test", "redirects"], ""));
    assert!(tested.status.success());
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(good.taken().iter().any(|request| request.json()["events"][0]["event"] == "notify.test"));
    assert_eq!(place.ctl(&["notify", "test", "godo"], "").status.code(), Some(2));
    // What waits for a notifier goes with it.
    place.configure(&sections);
    daemon.signal("HUP");
    wait_for("none", || notifiers(&place).is_empty().then_some(()));
    wait_for("the log's word", || place.log().contains("notifier broken is gone from the config").then_some(()));
    daemon.stop();
}

/// A mail server of Debian's or PyPI's aiosmtpd, with STARTTLS and a login.
pub fn mail_server(place: &Place, certificates: &Certificates) -> (u16, Program) {
    let port = free_port();
    let program = Command::new("/usr/bin/python3")
        .args(["-c", include_str!("notify/smtpd.py"), &port.to_string()])
        .args([&certificates.certificate, &certificates.key, &place.path("mails.jsonl")])
        .spawn()
        .unwrap();
    wait_for("the mail server", || listens(port));
    (port, Program(program))
}

/// Debian's rsyslog with a listener over TLS.
fn rsyslog(place: &Place, certificates: &Certificates) -> (u16, Program) {
    let port = free_port();
    let (folder, out) = (place.path("rsyslog"), place.path("syslog.out"));
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!(
        r#"global(workDirectory="{}" DefaultNetstreamDriver="ossl" DefaultNetstreamDriverCAFile="{}" DefaultNetstreamDriverCertFile="{}" DefaultNetstreamDriverKeyFile="{}")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" address="127.0.0.1" port="{port}")
template(name="fields" type="string" string="%syslogseverity-text%|%syslogfacility-text%|%hostname%|%app-name%|%msgid%|%structured-data%|%msg%\n")
action(type="omfile" file="{}" template="fields")
"#,
        folder.display(),
        certificates.ca.display(),
        certificates.certificate.display(),
        certificates.key.display(),
        out.display()
    );
    let config = file(place, "rsyslog.conf", &text);
    let program = Command::new("rsyslogd")
        .args(["-n", "-f", config.to_str().unwrap(), "-i", folder.join("pid").to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("rsyslog", || listens(port));
    (port, Program(program))
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn mail_syslog_cef_chat_and_a_program_are_told_in_their_own_forms_whatever_a_device_says() {
    let (slack, teams, pagerduty) = (
        Receiver::start(|_| Does::Says(200, "")),
        Receiver::start(|_| Does::Says(202, "")),
        Receiver::start(|_| Does::Says(202, "")),
    );
    let sections = accounts(3);
    let place = Place::new(&sections);
    let made = certificates(&place);
    let ((mail, _smtpd), (logs, _rsyslog)) = (mail_server(&place, &made), rsyslog(&place, &made));
    let cef = UdpSocket::bind("127.0.0.1:0").unwrap();
    cef.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let open = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let ran = open.path().join("ran");
    std::fs::write(&ran, "").unwrap();
    std::fs::set_permissions(&ran, std::fs::Permissions::from_mode(0o666)).unwrap();
    let password = file(&place, "mail.password", "swordfish\n");
    let routing = file(&place, "pagerduty.key", "R0UT1NG\n");
    let ca = made.ca.display();
    place.configure(&format!(
        "{sections}
[notify.mail]\nkind = \"email\"\nserver = \"localhost:{mail}\"\nfrom = \"rotord@example.org\"\nto = [\"refused@example.org\", \"oncall@example.org\"]\nuser = \"rotord\"\npassword_file = \"{password}\"\nca_file = \"{ca}\"\nfold = \"1s\"
[notify.logs]\nkind = \"syslog\"\nserver = \"localhost:{logs}\"\nfacility = \"authpriv\"\nca_file = \"{ca}\"\nseverity = \"info\"
[notify.siem]\nkind = \"cef\"\nserver = \"127.0.0.1:{cef}\"\ntransport = \"udp\"
[notify.slack]\nkind = \"webhook\"\npreset = \"slack\"\nurl = \"{slack}\"\nfold = \"1s\"
[notify.teams]\nkind = \"webhook\"\npreset = \"teams\"\nurl = \"{teams}\"\nfold = \"1s\"
[notify.pagerduty]\nkind = \"webhook\"\npreset = \"pagerduty\"\nurl = \"{pagerduty}\"\nkey_file = \"{routing}\"
[notify.program]\nkind = \"command\"\ncommand = [\"/usr/bin/tee\", \"-a\", \"{ran}\"]\nuser = \"nobody\"
",
        password = password.display(),
        cef = cef.local_addr().unwrap().port(),
        slack = slack.url(),
        teams = teams.url(),
        pagerduty = pagerduty.url(),
        routing = routing.display(),
        ran = ran.display(),
    ));
    let daemon = place.daemon();
    wait_for("the notifiers", || (notifiers(&place).len() == 7).then_some(()));
    cause_events(&place, 3);
    place.ctl(&["verify", "dc2/*", "--reason", "<!channel> a=b|c\\d \"quoted\"]"], "");
    let mails = wait_for("a mail", || {
        let all: Vec<Value> =
            read(&place.path("mails.jsonl")).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (!all.is_empty()).then_some(all)
    });
    assert_eq!(
        (&mails[0]["to"], &mails[0]["tls"], &mails[0]["login"]),
        (&serde_json::json!(["oncall@example.org"]), &true.into(), &"rotord".into())
    );
    let text = mails[0]["data"].as_str().unwrap();
    assert!(text.contains("Subject: [rotord ") && text.contains("Auto-Submitted: auto-generated"), "{text}");
    assert!(text.contains("3 accounts of dc2 did not pass their verify since"), "{text}");
    assert!(text.contains("rotorctl status --device dc2"), "{text}");
    wait_for("what is told of the refused address", || {
        notifiers(&place)["mail"]["last_error"]
            .as_str()
            .filter(|error| error.contains("refused@example.org"))
            .map(|_| ())
    });
    let lines = wait_for("three lines of syslog", || {
        let text = read(&place.path("syslog.out"));
        let failed: Vec<String> =
            text.lines().filter(|line| line.contains("|verify.failed|")).map(str::to_owned).collect();
        (failed.len() >= 3).then_some(failed)
    });
    let fields: Vec<&str> = lines[0].split('|').collect();
    assert_eq!((fields[0], fields[1], fields[3]), ("warning", "authpriv", "rotord"), "{lines:?}");
    assert!(fields[5].starts_with("[rotord@32473 id=\"") && fields[5].contains(" account=\"dc2/user"), "{lines:?}");
    assert!(
        fields[6].contains("did not pass its verify") && fields[6].contains("run: rotorctl explain dc2/user"),
        "{lines:?}"
    );
    let mut datagram = [0; 4096];
    let length = cef.recv(&mut datagram).unwrap();
    let line = String::from_utf8(datagram[..length].to_vec()).unwrap();
    assert!(line.contains(" CEF:0|rotord|rotord|") && line.contains("|verify.failed|verify.failed|5|"), "{line}");
    assert!(line.contains("cs3Label=reason cs3=<!channel> a\\=b|c\\\\d \"quoted\"]"), "{line}");
    let body = wait_for("Slack's", || slack.taken().pop()).json();
    assert!(body["blocks"][0]["text"]["text"].as_str().unwrap().contains("`rotorctl status --device dc2`"), "{body}");
    let body = wait_for("Teams's", || teams.taken().pop()).json();
    assert_eq!(body["attachments"][0]["content"]["type"], "AdaptiveCard", "{body}");
    let alerts = wait_for("three alerts", || Some(pagerduty.taken()).filter(|all| all.len() >= 3));
    let body = alerts[0].json();
    assert_eq!((&body["routing_key"], &body["event_action"]), (&"R0UT1NG".into(), &"trigger".into()), "{body}");
    assert!(body["dedup_key"].as_str().unwrap().contains("/verify/dc2/user"), "{body}");
    let ran = wait_for("the program's", || Some(read(&ran)).filter(|text| text.lines().count() >= 3));
    let told: Value = serde_json::from_str(ran.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&told["events"][0]["event"], &told["severity"]),
        (&"verify.failed".into(), &"warning".into()),
        "{told}"
    );
    for secret in ["Some-Password-1", "swordfish", "R0UT1NG"] {
        assert!(!place.log().contains(secret) && !read(&place.path("syslog.out")).contains(secret), "{secret}");
    }
    daemon.stop();
}

#[test]
fn a_digest_comes_at_its_time_and_has_what_happened_before_a_restart_too() {
    let receiver = Receiver::start(|_| Does::Says(200, ""));
    let sections = accounts(3);
    let place = Place::new(&sections);
    place.configure(&format!(
        "{sections}[notify.people]\nkind = \"webhook\"\nurl = \"{}\"\nseverity = \"critical\"\ndigest = \"07:00\"\n",
        receiver.url()
    ));
    let at = |time: &str| ["faketime".to_owned(), "-f".to_owned(), format!("@2027-01-15 {time}")];
    let (before, settings) = (at("06:30:00"), [("TZ", "UTC"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
    let daemon = place.daemon_with(&before.each_ref().map(String::as_str), &settings);
    wait_for("the notifier", || notifiers(&place).get("people").cloned());
    cause_events(&place, 3);
    place.ctl(&["verify", "dc2/*"], "");
    // Behind faketime(1), which ends by a signal and not with what it runs.
    daemon.kill();
    assert!(receiver.requests().is_empty(), "nothing critical happened");
    let soon = at("06:59:57");
    let _daemon = place.daemon_with(&soon.each_ref().map(String::as_str), &settings);
    let body = wait_for("the digest", || receiver.taken().pop()).json();
    let text = body["text"].as_str().unwrap();
    assert!(body["id"].as_str().unwrap().starts_with("digest-"), "{body}");
    assert!(
        text.contains("3 accounts of dc2 did not pass their verify") && text.contains("rotorctl status --device dc2"),
        "{text}"
    );
    assert!(body["title"].as_str().unwrap().starts_with("the last day: 3 troubles, "), "{body}");
    assert_eq!(receiver.requests().len(), 1);
}
