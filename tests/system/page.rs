//! A running local page, and what looks at it: curl, and a browser that is led over WebDriver.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::lab::{Place, feed, free_port, wait_for};

/// A running `rotorctl web`.
pub struct Page {
    pub process: Child,
    pub link: String,
    pub port: u64,
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Page {
    pub fn start(place: &Place) -> Self {
        Self::with(place, &[env!("CARGO_BIN_EXE_rotorctl")], &[])
    }

    /// Starts `rotorctl web` by this line, with more arguments.
    pub fn with(place: &Place, line: &[&str], more: &[&str]) -> Self {
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).args(["web", "--json"]).args(more).env("ROTORD_SOCKET", place.path("socket"));
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let port = told["port"].as_u64().unwrap();
        assert!(told["ssh"].as_str().unwrap().contains(&format!("-L {port}:127.0.0.1:{port} ")), "{told}");
        Self { process, link: told["link"].as_str().unwrap().to_owned(), port }
    }

    /// The address that every page's begins with.
    pub fn base(&self) -> &str {
        self.link.split("enter").next().unwrap()
    }
}

/// What curl prints: the status behind the body.
pub fn curl(before: &[&str], args: &[&str]) -> (String, String) {
    let line = [before, &["curl", "-sS", "-w", "\n%{http_code}"], args].concat();
    let output = feed(Command::new(line[0]).args(&line[1..]), "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

pub const PAGES: [&str; 12] = [
    "",
    "accounts",
    "account?name=lab/user1",
    "devices",
    "device?name=lab",
    "jobs",
    "templates",
    "audit",
    "health",
    "work",
    "live",
    "assets/app.js",
];
pub const OTHER_USER: [&str; 4] = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];

/// A browser that is led over WebDriver.
pub struct Browser {
    driver: Child,
    session: String,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(curl(&[], &["-X", "DELETE", &self.session]));
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

pub fn post(address: &str, body: &Value) -> Value {
    // From stdin: a script may be longer than an argument.
    let mut command = Command::new("curl");
    command.args(["-sS", "-H", "content-type: application/json", "--data-binary", "@-", address]);
    let answer: Value = serde_json::from_slice(&feed(&mut command, &body.to_string()).stdout).unwrap();
    assert!(answer["value"]["error"].is_null(), "{address}: {answer}");
    answer["value"].clone()
}

fn get(address: &str) -> Value {
    let output = Command::new("curl").args(["-sS", address]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["value"].clone()
}

impl Browser {
    pub fn start() -> Self {
        let port = free_port();
        let mut command = Command::new("chromedriver");
        let mut driver = command.arg(format!("--port={port}")).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("successfully on port ")), "the driver did not take port {port}");
        let profile = tempfile::tempdir().unwrap();
        let folder = format!("--user-data-dir={}", profile.path().display());
        let options = json!({ "args": ["--headless=new", "--no-sandbox", "--disable-gpu", folder] });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let server = format!("http://127.0.0.1:{port}/session");
        let made = post(&server, &json!({ "capabilities": { "alwaysMatch": wanted } }));
        let session = format!("{server}/{}", made["sessionId"].as_str().unwrap());
        Self { driver, session, _profile: profile }
    }

    pub fn open(&self, address: &str) {
        post(&format!("{}/url", self.session), &json!({ "url": address }));
    }

    pub fn run(&self, script: &str) -> Value {
        post(&format!("{}/execute/sync", self.session), &json!({ "script": script, "args": [] }))
    }

    /// The tab that is looked at.
    pub fn tab(&self) -> String {
        get(&format!("{}/window", self.session)).as_str().unwrap().to_owned()
    }

    /// Opens a tab and goes to it.
    pub fn new_tab(&self) -> String {
        let made = post(&format!("{}/window/new", self.session), &json!({ "type": "tab" }));
        let tab = made["handle"].as_str().unwrap().to_owned();
        self.to_tab(&tab);
        tab
    }

    pub fn to_tab(&self, tab: &str) {
        post(&format!("{}/window", self.session), &json!({ "handle": tab }));
    }

    /// Runs a script that calls `done` with what it tells.
    pub fn run_until_done(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1];\n{script}");
        post(&format!("{}/timeouts", self.session), &json!({ "script": 60_000 }));
        post(&format!("{}/execute/async", self.session), &json!({ "script": script, "args": [] }))
    }

    /// Has pages be shown as to somebody who wishes `light` or `dark`.
    pub fn wish(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": features } });
        post(&format!("{}/goog/cdp/execute", self.session), &command);
    }

    /// The size of the page in points.
    pub fn size(&self, width: u32, height: u32) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": params });
        post(&format!("{}/goog/cdp/execute", self.session), &command);
    }

    /// Has the page be laid out as it is printed, so many points wide.
    pub fn on_paper(&self, width: u32) {
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "media": "print" } });
        post(&format!("{}/goog/cdp/execute", self.session), &command);
        self.size(width, 980);
    }

    /// The page as a PDF, in base64.
    pub fn print(&self) -> String {
        let paper = json!({ "width": 21.0, "height": 29.7 });
        let pdf = post(&format!("{}/print", self.session), &json!({ "page": paper, "shrinkToFit": false }));
        pdf.as_str().unwrap().to_owned()
    }

    /// Waits until a script tells something that is true, and returns it.
    pub fn until(&self, script: &str) -> Value {
        let told = |value: Value| (!value.is_null() && value != false && value != "").then_some(value);
        wait_for(script, || told(self.run(&format!("return {script}"))))
    }

    /// What the console has: what the Content-Security-Policy refused is in it.
    pub fn refused_by_policy(&self) -> Vec<String> {
        let log = post(&format!("{}/se/log", self.session), &json!({ "type": "browser" }));
        let lines = log.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap_or_default().to_owned());
        lines.filter(|line| line.contains("Content Security Policy")).collect()
    }
}

/// The demo with its page.
pub struct Demo {
    process: Child,
    pub link: String,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It removes its folder where it is interrupted.
        drop(Command::new("kill").args(["-INT", &self.process.id().to_string()]).status());
        drop(self.process.wait());
    }
}

impl Demo {
    pub fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rotord"));
        let mut process = command.args(["demo", "--web"]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
        let link =
            lines.into_iter().find_map(|line| line.trim().starts_with("http://").then(|| line.trim().to_owned()));
        Self { link: link.unwrap(), process }
    }

    pub fn base(&self) -> &str {
        self.link.split("enter").next().unwrap()
    }
}
