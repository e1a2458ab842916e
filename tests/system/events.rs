//! Events as they happen: nothing is missed and nothing comes twice, whoever goes away, comes back, or reads slowly.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::access::open_up;
use crate::lab::{Place, wait_for};

/// Nothing listens at the device, so that an attempt fails at once.
const FLEET: &str = "[device.web1]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n\
    host_key = [\"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]\n[account.\"web1/admin\"]\n\
    [account.\"web1/other\"]\n[policy.default]\nattempts = 1\n";

fn fleet() -> Place {
    Place::new(FLEET)
}

/// A stream by hand, as curl would have it.
struct Stream(BufReader<UnixStream>);

impl Stream {
    fn open(place: &Place, query: &str, headers: &str) -> Self {
        let mut stream = UnixStream::connect(place.path("socket")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET /v1/events{query} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        let mut stream = Self(reader);
        // The first comment tells that the stream has begun.
        assert_eq!(stream.line_with(": events"), ": events");
        stream
    }

    /// The next line that begins with something; lines of HTTP's chunks are passed over.
    fn line_with(&mut self, begin: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended before '{begin}'");
            if line.starts_with(begin) {
                return line.trim_end().to_owned();
            }
        }
    }

    /// The next event's number and its data.
    fn event(&mut self) -> (u64, Value) {
        let id = self.line_with("id: ")["id: ".len()..].parse().unwrap();
        let data = self.line_with("data: ");
        (id, serde_json::from_str(&data["data: ".len()..]).unwrap())
    }

    fn step(&mut self) -> Value {
        self.line_with("event: step");
        serde_json::from_str(&self.line_with("data: ")["data: ".len()..]).unwrap()
    }
}

/// A `rotorctl events` that goes on.
struct Followed {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Followed {
    fn begin(place: &Place, args: &[&str]) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_rotorctl")), place, args)
    }

    /// As the user 'nobody'.
    fn as_nobody(place: &Place, args: &[&str]) -> Self {
        open_up(place);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(place.path("rotorctl"));
        Self::run(command, place, args)
    }

    fn run(mut command: Command, place: &Place, args: &[&str]) -> Self {
        let mut process = command
            .args(["events", "-f", "--json"])
            .args(args)
            .env("ROTORD_SOCKET", place.path("socket"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    fn event(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"))
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn store(place: &Place, account: &str) {
    place.must(&["secret", "set", account], "First-Password-1\n");
}

#[test]
fn who_comes_back_with_the_last_number_misses_nothing() {
    let place = fleet();
    let daemon = place.daemon();
    let mut live = Stream::open(&place, "", "");
    store(&place, "web1/admin");
    let (first, event) = live.event();
    assert_eq!((event["event"].as_str(), event["account"].as_str()), (Some("secret.set"), Some("web1/admin")));
    assert_eq!(event["seq"], first);
    drop(live);
    for _ in 0..3 {
        place.must(&["pause", "web1/admin"], "");
    }
    daemon.kill();
    let daemon = place.daemon();
    let mut again = Stream::open(&place, "?since=2000-01-01T00:00:00Z", &format!("Last-Event-ID: {first}\r\n"));
    let told: Vec<(u64, String)> =
        (0..4).map(|_| again.event()).map(|(id, event)| (id, event["event"].as_str().unwrap().to_owned())).collect();
    let kinds = ["schedule.paused", "schedule.paused", "schedule.paused", "daemon.start"];
    let expected: Vec<_> = (first + 1..).zip(kinds.map(str::to_owned)).collect();
    assert_eq!(told, expected);
    drop(again);
    // One from the begin, of two kinds and one account alone, that ends with what is there.
    let mut whole = Stream::open(&place, "?after=0&follow=false&kind=secret.set,schedule.*&account=*/admin", "");
    assert_eq!((0..4).map(|_| whole.event().0).collect::<Vec<_>>(), (first..first + 4).collect::<Vec<_>>());
    let mut rest = String::new();
    let mut chunk = [0; 64];
    while !rest.ends_with("0\r\n\r\n") {
        let read = whole.0.read(&mut chunk).unwrap();
        rest += &String::from_utf8_lossy(&chunk[..read]);
    }
    assert!(!rest.contains("id: "), "{rest}");
    daemon.stop();
}

#[test]
fn what_is_asked_for_wrongly_is_refused_in_words() {
    let place = fleet();
    let _daemon = place.daemon();
    for (args, why) in [
        (vec!["--kind", "rotation.don"], "did you mean 'rotation.done'?"),
        (vec!["--since", "yesterday"], "write how long ago"),
    ] {
        let output = place.ctl(&[vec!["events"], args].concat(), "");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(why), "{told}");
    }
}

#[test]
fn steps_come_as_they_happen_and_an_attempt_ends_with_its_outcome() {
    let place = fleet();
    let daemon = place.daemon();
    store(&place, "web1/admin");
    store(&place, "web1/other");
    let mut steps = Stream::open(&place, "?steps=true&kind=rotation.*&account=web1/admin", "");
    place.ctl(&["rotate", "web1/other"], "");
    let (outcome, ..) = place.rotate("web1/admin");
    assert_eq!(outcome, "failed");
    let mut told = vec![steps.step()];
    while told.last().unwrap()["outcome"].is_null() {
        told.push(steps.step());
    }
    assert!(told.len() > 1 && told.iter().all(|step| step["account"] == "web1/admin"), "{told:?}");
    assert!(told.iter().all(|step| step["attempt"] == told[0]["attempt"]));
    assert_eq!(told.last().unwrap()["outcome"], "failed");
    daemon.stop();
}

#[test]
fn whoever_follows_sees_each_event_once_over_a_restart() {
    let place = fleet();
    let daemon = place.daemon();
    let mut followed = Followed::begin(&place, &["--since", "1h"]);
    assert_eq!(followed.event()["event"], "daemon.start");
    store(&place, "web1/admin");
    assert_eq!(followed.event()["event"], "secret.set");
    daemon.kill();
    let daemon = place.daemon();
    store(&place, "web1/other");
    let seen: Vec<Value> = (0..2).map(|_| followed.event()).collect();
    assert_eq!((&seen[0]["event"], &seen[1]["event"]), (&"daemon.start".into(), &"secret.set".into()));
    assert_eq!((&seen[0]["seq"], &seen[1]["seq"]), (&3.into(), &4.into()));
    let (all, exit) = place.json(&["events", "--kind", "secret.*"]);
    assert_eq!((all["events"].as_array().unwrap().len(), exit), (2, 0));
    let shown = place.ctl(&["events", "--account", "web1/other"], "");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.lines().count() == 1 && shown.contains("secret.set") && shown.contains("web1/other"), "{shown}");
    daemon.stop();
}

#[test]
fn a_reader_who_takes_nothing_holds_up_nobody_and_loses_nothing() {
    let accounts: String = (0..1500).map(|n| format!("[account.\"web1/user-{n:0100}\"]\n")).collect();
    let place = Place::new(&format!("{FLEET}{accounts}"));
    let daemon = place.daemon();
    let mut slow = Stream::open(&place, "?after=0", "");
    place.must(&["pause", "--all"], "");
    let before = daemon.peak_kb();
    // Some megabytes of events, of which a socket holds a part.
    for _ in 0..2 {
        place.must(&["resume", "--all"], "");
        place.must(&["pause", "--all"], "");
    }
    let (log, _) = place.json(&["audit", "tail", "-n", "1"]);
    let last = log["events"][0]["seq"].as_u64().unwrap();
    assert!(last > 7500, "{last}");
    assert!(daemon.peak_kb() < before + 16 * 1024, "{} kB, {before} kB before", daemon.peak_kb());
    let mut seen = 0;
    while seen < last {
        let (id, _) = slow.event();
        assert_eq!(id, seen + 1);
        seen = id;
    }
    wait_for("the daemon to answer", || place.ctl(&["status"], "").status.success().then_some(()));
    daemon.stop();
}

#[test]
fn a_reload_that_takes_a_role_away_ends_the_stream_of_whoever_had_it() {
    let access = |viewer: &str| format!("[access]\nviewer = [\"{viewer}\"]\n{FLEET}");
    let place = Place::new(&access("nobody"));
    let daemon = place.daemon();
    let reloads = || -> Vec<u64> {
        let (log, _) = place.json(&["audit", "tail", "-n", "1000"]);
        let all = log["events"].as_array().unwrap().iter().filter(|event| event["event"] == "daemon.reload");
        all.map(|event| event["seq"].as_u64().unwrap()).collect()
    };
    let mut roots = Stream::open(&place, "", "");
    let mut followed = Followed::as_nobody(&place, &["--since", "1h"]);
    assert_eq!(followed.event()["event"], "daemon.start");
    // A reload that leaves the role ends nothing.
    daemon.signal("HUP");
    assert_eq!(followed.event()["event"], "daemon.reload");
    place.configure(&access("root"));
    daemon.signal("HUP");
    let second = wait_for("the second reload", || reloads().get(1).copied());
    store(&place, "web1/other");
    let mut rest = String::new();
    followed.lines.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("secret.set") && !rest.contains(&format!("\"seq\":{second},")), "{rest}");
    // It asked once more, and was refused.
    assert_eq!(followed.process.wait().unwrap().code(), Some(6));
    while roots.event().1["account"] != "web1/other" {}
    daemon.stop();
}
