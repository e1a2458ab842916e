//! A person in front of a live view: a browser of the test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::wait_for;

/// The link that a command prints.
pub fn link_of(command: &mut Child) -> String {
    let mut lines = BufReader::new(command.stdout.take().unwrap()).lines();
    let link = lines.find_map(|line| Some(line.unwrap().split_once("this host: ")?.1.to_owned()));
    // Whoever prints more finds somebody who reads it.
    std::thread::spawn(move || lines.for_each(drop));
    link.expect("the command printed no link")
}

/// The browser of a person: Chromium under a driver of the test's own.
pub struct Person {
    driver: Child,
    port: u16,
    session: String,
    _home: tempfile::TempDir,
}

impl Person {
    pub fn start() -> Self {
        let (home, port) = (tempfile::tempdir().unwrap(), crate::lab::free_port());
        std::os::unix::fs::chown(home.path(), Some(61_191), Some(61_191)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=61191", "--regid=61191", "--clear-groups", "--", "/usr/bin/chromedriver"]);
        command.arg(format!("--port={port}")).env("HOME", home.path()).env("TMPDIR", home.path());
        let driver = command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the person's driver", || TcpStream::connect(("127.0.0.1", port)).ok());
        let mut person = Self { driver, port, session: String::new(), _home: home };
        let options = json!({ "args": ["--headless=new", "--disable-gpu", "--window-size=1300,1100"] });
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": options });
        let started = person.call("POST", "/session", json!({ "capabilities": { "alwaysMatch": wanted } }));
        person.session = started["sessionId"].as_str().unwrap().to_owned();
        person
    }

    pub fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let body = body.to_string();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        // The driver keeps the connection open: the length tells where its answer ends.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (mut reader, mut length) = (BufReader::new(socket), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(':') else {
                if line.trim().is_empty() {
                    break;
                }
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        serde_json::from_slice::<Value>(&answer).unwrap()["value"].clone()
    }

    pub fn post(&self, path: &str, body: Value) -> Value {
        self.call("POST", &format!("/session/{}/{path}", self.session), body)
    }

    pub fn text(&self) -> String {
        let script = json!({ "script": "return document.body.innerText", "args": [] });
        self.post("execute/sync", script).as_str().unwrap_or_default().to_owned()
    }

    /// Presses keys, where the focus is.
    pub fn press(&self, keys: &[&str]) {
        let strokes: Vec<Value> = keys
            .iter()
            .flat_map(|key| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })])
            .collect();
        self.post("actions", json!({ "actions": [{ "type": "key", "id": "k", "actions": strokes }] }));
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // Its browser ends with it, once the driver is told to.
        drop(Command::new("pkill").args(["-KILL", "-P", &self.driver.id().to_string()]).status());
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
