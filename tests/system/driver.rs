//! Chromium by its driver, without the daemon: it does what the pure run of a web template asks for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rotord::dialogue::Values;
use rotord::dialogue::web::{Action, Observation, PAGE_SCRIPT, Trouble, WebRun, WebVerdict};
use rotord::model::Secret;
use rotord::template::load;
use rotord::template::web::{DialogAnswer, Purpose};
use rotord::totp::Seed;
use serde_json::{Value, json};

use crate::lab::{free_port, unix_now, wait_for, wait_within};
use crate::scribe::Scribe;

const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with a profile of its own.
pub struct Driver {
    child: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

/// An account of a page, and what a run has in place of the daemon's values.
pub struct Login<'a> {
    pub host: &'a str,
    pub user: &'a str,
    pub current: &'a str,
    pub fresh: &'a str,
    pub seed: Option<&'a str>,
}

fn now_ms() -> i64 {
    i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn sleep_until(moment: i64) {
    let left = u64::try_from(moment - now_ms()).unwrap_or(0);
    std::thread::sleep(Duration::from_millis(left.min(60_000)));
}

impl Driver {
    /// A new browser that takes the certificate with this public key (SHA-256, base64) and goes nowhere but to loopback.
    pub fn start(spki: &str) -> Self {
        let port = free_port();
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut driver = Self { child, port, session: String::new(), _profile: profile };
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--window-size=1280,900".to_owned(),
            "--disable-background-networking".to_owned(),
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost".to_owned(),
            format!("--ignore-certificate-errors-spki-list={spki}"),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "pageLoadStrategy": "none", "unhandledPromptBehavior": "ignore",
            "goog:chromeOptions": { "args": arguments } } } });
        let answer = wait_for("the driver", || {
            TcpStream::connect(("127.0.0.1", port)).ok()?;
            driver.call("POST", "/session", &capabilities).ok()
        });
        driver.session = answer["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        driver
    }

    /// One request of WebDriver: the value, or the error's name and text.
    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, (String, String)> {
        let mut stream =
            TcpStream::connect(("127.0.0.1", self.port)).map_err(|e| ("gone".to_owned(), e.to_string()))?;
        let body = body.to_string();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let json = body_of(&stream).map_err(|e| ("gone".to_owned(), e.to_string()))?;
        let value: Value = serde_json::from_slice(&json).map_err(|e| ("gone".to_owned(), e.to_string()))?;
        match value["value"].get("error").and_then(Value::as_str) {
            Some(error) => Err((error.to_owned(), value["value"]["message"].to_string())),
            None => Ok(value["value"].clone()),
        }
    }

    fn ask(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        self.call("POST", &format!("/session/{}{path}", self.session), body).map_err(|(error, text)| {
            match error.as_str() {
                "unexpected alert open" => {
                    let alert = self.call("GET", &format!("/session/{}/alert/text", self.session), &json!({}));
                    Trouble::Dialog(alert.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default())
                }
                "no such alert" => Trouble::NoDialog,
                "no such element" | "stale element reference" | "no such frame" => Trouble::Missing,
                "element not interactable" | "element click intercepted" => Trouble::NotInteractable(text),
                "javascript error" => Trouble::Threw(text),
                "gone" => Trouble::Gone(text),
                _ if text.contains("net::ERR_CERT") => Trouble::Certificate(text),
                _ if text.contains("net::ERR_TUNNEL") => Trouble::Blocked(text),
                _ if text.contains("net::ERR_") => Trouble::Page(text),
                _ if text.contains("aborted by navigation") || text.contains("no such execution context") => {
                    Trouble::Left
                }
                _ => panic!("{error}: {text}"),
            }
        })
    }

    /// Runs the script for pages.
    pub fn page(&self, operation: &str, about: &Value, secret: Option<&str>) -> Result<Value, Trouble> {
        self.ask("/execute/sync", &json!({ "script": PAGE_SCRIPT, "args": [operation, about, secret] }))
    }

    /// Runs a script with arguments.
    pub fn script(&self, script: &str, arguments: &Value) -> Result<Value, Trouble> {
        self.ask("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    fn point(&self, about: &Value) -> Result<Value, Trouble> {
        let found = self.page("point", about, None)?;
        found.get("element").cloned().ok_or(Trouble::Missing)
    }

    fn perform(&self, action: Action, login: &Login<'_>, used: &mut Vec<u64>) -> Result<Observation, Trouble> {
        let on =
            |element: &Value, what: &str| format!("/element/{}/{what}", element[ELEMENT].as_str().unwrap_or_default());
        Ok(match action {
            Action::Open { url } => {
                self.ask("/url", &json!({ "url": url.expose() }))?;
                Observation::Done
            }
            Action::Page { call, not_before } => {
                sleep_until(not_before);
                Observation::Result(self.page(call.operation, &call.about, call.secret.as_ref().map(Secret::expose))?)
            }
            Action::Keys { target, keys } => {
                let element = self.point(&json!({ "plan": target, "empty": true }))?;
                self.ask(&on(&element, "value"), &json!({ "text": keys.expose() }))?;
                Observation::Done
            }
            Action::Click { target } => {
                let element = self.point(&json!({ "plan": target }))?;
                self.ask(&on(&element, "click"), &json!({}))?;
                Observation::Done
            }
            Action::Press { key } => {
                let key = key.to_string();
                let actions = json!({ "actions": [{ "type": "key", "id": "keys",
                    "actions": [{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }] }] });
                self.ask("/actions", &actions)?;
                Observation::Done
            }
            Action::Script { body } => {
                Observation::Result(self.ask("/execute/sync", &json!({ "script": body.expose(), "args": [] }))?)
            }
            Action::Frame { target } => {
                let id = target.map_or(Ok(Value::Null), |plan| self.point(&json!({ "plan": plan })))?;
                self.ask("/frame", &json!({ "id": id }))?;
                Observation::Done
            }
            Action::Dialog { answer } => {
                let path = if answer == DialogAnswer::Accept { "/alert/accept" } else { "/alert/dismiss" };
                self.ask(path, &json!({}))?;
                Observation::Done
            }
            Action::Sleep { until } => {
                sleep_until(until);
                Observation::Done
            }
            Action::Code { .. } => Observation::Code(Secret::new(fresh_code(login.seed.unwrap(), used))),
            Action::Commit { .. } => Observation::Allowed,
            Action::Person(_) => Observation::PersonGone,
            other => panic!("{other:?}"),
        })
    }

    /// Runs a template to its end.
    pub fn run(&self, template: &str, purpose: Purpose, login: &Login<'_>, used: &mut Vec<u64>) -> WebVerdict {
        self.run_with(template, purpose, login, used, None)
    }

    /// The same, and puts down what happens.
    pub fn run_with(
        &self,
        template: &str,
        purpose: Purpose,
        login: &Login<'_>,
        used: &mut Vec<u64>,
        mut scribe: Option<&mut Scribe>,
    ) -> WebVerdict {
        let (checked, problems) = load(Path::new("t.template"), template);
        let checked = checked.unwrap_or_else(|| panic!("{problems:?}"));
        let mut values = Values::default();
        for (tag, value) in [
            ("HOSTNAME", login.host),
            ("USERNAME", login.user),
            ("CURRENT_PASSWORD", login.current),
            ("NEW_PASSWORD", login.fresh),
        ] {
            values.set(tag, Secret::new(value.to_owned()));
        }
        let masker = values.masker(&[]);
        let program = checked.web().unwrap().program(purpose).unwrap();
        let mut run = WebRun::new(program, purpose, values, masker, 0);
        let mut heard = Observation::Started;
        loop {
            match run.next(now_ms(), heard) {
                Action::Finish(verdict) => {
                    if let Some(scribe) = &mut scribe {
                        scribe.page(self, login);
                    }
                    return verdict;
                }
                action => {
                    if let Some(scribe) = &mut scribe {
                        scribe.before(self, &action, login);
                    }
                    heard = self.perform(action, login, used).unwrap_or_else(Observation::Trouble);
                    if let (Some(scribe), Observation::Code(code)) = (&mut scribe, &heard) {
                        scribe.code(code.expose());
                    }
                }
            }
        }
    }
}

/// The body of an HTTP answer, of the length that its head says: the driver leaves the connection open.
fn body_of(stream: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

/// The code of a step that was not used yet and lasts some seconds more. OATHAuth takes those of the next four steps as well, so that
/// nobody waits for them.
pub fn fresh_code(seed: &str, used: &mut Vec<u64>) -> String {
    let ahead = if seed.contains("totp/mediawiki") { 3 } else { 0 };
    let seed = Seed::parse(seed).unwrap();
    let step = wait_within(Duration::from_secs(seed.period() + 10), "the next step", || {
        let now = unix_now();
        let lasts = seed.period() - now % seed.period();
        let first = now / seed.period();
        (first..=first + ahead)
            .find(|step| used.iter().all(|other| other < step) && (*step > first || lasts > seed.period() / 5))
    });
    used.push(step);
    seed.code(step).expose().to_owned()
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.call("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
