//! A real OpenSSH, a daemon, and an SSH client that is not ours.

use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Seconds of a code's step in the lab.
pub const STEP: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a lab may take to come up: some have a dozen services, on a machine that is busy.
const LAB_PATIENCE: Duration = Duration::from_secs(240);

/// A port that nobody has, outside of the range from which the system takes ports for connections: none of those can take it
/// before a server of the test does.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const RANGE: u16 = 20_000;
    // Another run at the same time begins elsewhere; some servers take the next port too.
    let begin = u16::try_from(std::process::id() * 127 % u32::from(RANGE)).unwrap();
    let port = || FIRST + (begin.wrapping_add(TAKEN.fetch_add(7, Ordering::Relaxed))) % RANGE;
    // Some servers want the port of both families.
    let taken =
        |host: &str, port: u16| TcpListener::bind((host, port)).is_err_and(|e| e.kind() == ErrorKind::AddrInUse);
    std::iter::repeat_with(port).find(|port| !taken("127.0.0.1", *port) && !taken("::1", *port)).unwrap()
}

/// Waits until a condition holds; what it waits for is named when it does not.
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, condition)
}

pub fn wait_within<T>(patience: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < patience, "{what} did not come within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running OpenSSH.
pub struct Lab {
    pub port: u16,
    pub fingerprint: String,
    pub accounts: Vec<(String, String, String)>,
    /// Seconds of a time step of its codes.
    pub step: u64,
    pub dir: PathBuf,
    _folder: tempfile::TempDir,
    process: Child,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Lab {
    pub fn start(users: &str) -> Self {
        Self::with(users, &[])
    }

    pub fn with(users: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (dir, port) = (folder.path().join("lab"), free_port());
        let log = std::fs::File::create(folder.path().join("sshd.log")).unwrap();
        let mut process = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/sshd.sh"))
            .env("PORT", port.to_string())
            .env("DIR", &dir)
            .env("USERS", users)
            .env("STEP", STEP.to_string())
            .envs(settings.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        wait_within(LAB_PATIENCE, &format!("the lab with {users}"), || {
            if let Some(status) = process.try_wait().unwrap() {
                let said = std::fs::read_to_string(folder.path().join("sshd.log")).unwrap_or_default();
                panic!("the lab with {users} ended: {status}\n{said}");
            }
            dir.join("ready").exists().then_some(())
        });
        let text = std::fs::read_to_string(dir.join("accounts.csv")).unwrap();
        let accounts = text
            .lines()
            .map(|line| {
                let mut parts = line.split(',').map(str::to_owned);
                (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap())
            })
            .collect();
        let step = settings.iter().find(|(name, _)| *name == "STEP").map_or(STEP, |(_, step)| step.parse().unwrap());
        let fingerprint = std::fs::read_to_string(dir.join("fingerprint")).unwrap().trim().to_owned();
        Self { port, fingerprint, accounts, step, dir, _folder: folder, process }
    }

    pub fn account(&self, user: &str) -> (&str, &str) {
        let (_, password, seed) = self.accounts.iter().find(|(name, ..)| name == user).unwrap();
        (password, seed)
    }

    /// The sections of a device with an account for each user.
    pub fn sections(&self, device: &str, template: &str, more: &str) -> String {
        let mut text = format!(
            "[device.{device}]\naddress = \"127.0.0.1:{}\"\nhost_key = [\"{}\"]\ntemplate = \"{template}\"\n{more}\n",
            self.port, self.fingerprint
        );
        for (user, ..) in &self.accounts {
            text.push_str(&format!("[account.\"{device}/{user}\"]\n"));
        }
        text
    }

    /// Whether another SSH client logs in with this password and a fresh code.
    pub fn ssh_accepts(&self, user: &str, password: &str) -> bool {
        let (_, seed) = self.account(user);
        let key = self.dir.join("key1");
        // A code of the present step may have been used; the next one surely was not.
        let step = unix_now() / self.step;
        wait_for("the next step of the codes", || (unix_now() / self.step > step).then_some(()));
        let step = self.step.to_string();
        ssh_in(
            self.port,
            user,
            &[("STEP", &step), ("SEED", seed), ("PASSWORD", password)],
            (user == "key1").then_some(&key),
        )
    }
}

/// Whether OpenSSH's own client logs in and runs a command; `answers` are what it answers with: a PASSWORD, and a code of
/// SEED and STEP.
pub fn ssh_in(port: u16, user: &str, answers: &[(&str, &str)], key: Option<&Path>) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let ask = folder.path().join("ask");
    let script = "#!/bin/sh\ncase \"$1\" in *erification*) oathtool --totp -b -s \"$STEP\"s \"$SEED\" ;; *) printf '%s\\n' \"$PASSWORD\" ;; esac\n";
    std::fs::File::create(&ask).unwrap().write_all(script.as_bytes()).unwrap();
    std::fs::set_permissions(&ask, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-p", &port.to_string()]);
    let options =
        ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "NumberOfPasswordPrompts=1", "LogLevel=ERROR"];
    command.args(options.iter().flat_map(|option| ["-o", option]));
    if let Some(key) = key {
        command.arg("-i").arg(key);
    }
    command.arg(format!("{user}@127.0.0.1")).arg("echo in-as-$USER");
    command.env("SSH_ASKPASS", &ask).env("SSH_ASKPASS_REQUIRE", "force").envs(answers.iter().copied());
    let output = command.stdin(Stdio::null()).output().unwrap();
    output.status.success() && String::from_utf8_lossy(&output.stdout).contains(&format!("in-as-{user}"))
}

/// Every symbol that can be printed.
pub fn symbols() -> String {
    (33..127_u8).map(char::from).filter(char::is_ascii_punctuation).collect()
}

/// A text between the quotes of TOML.
pub fn in_quotes(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Kills a daemon, or the one that strace traces, and waits until all are gone: strace killed first would leave a daemon that
/// still holds its state folder for a moment.
pub fn kill_traced(process: &mut Child) {
    let traced = Command::new("pgrep").args(["-P", &process.id().to_string()]).output().unwrap();
    let traced = String::from_utf8_lossy(&traced.stdout).into_owned();
    if traced.is_empty() {
        process.kill().unwrap();
    }
    for pid in traced.split_whitespace() {
        assert!(Command::new("kill").args(["-KILL", pid]).status().unwrap().success());
    }
    process.wait().unwrap();
}

/// Runs a command with an input.
pub fn feed(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read its input may be gone already.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

/// What stands between two marks of a document is made from the source; UPDATE_DOCS=1 writes it.
pub fn documented(file: &str, mark: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {mark} -->\n"), "<!-- end -->");
    let from = text.find(&begin).unwrap() + begin.len();
    let to = from + text[from..].find(end).unwrap();
    if text[from..to] == *wanted {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "docs/{file} is behind the source; run: UPDATE_DOCS=1 cargo test --test system _true"
    );
    std::fs::write(&path, format!("{}{wanted}{}", &text[..from], &text[to..])).unwrap();
}

/// A folder with a config and a vault key.
pub struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    pub fn new(sections: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder };
        place.configure(sections);
        let made = place.ctl(&["key", "new", place.path("vault.key").to_str().unwrap()], "");
        assert!(made.status.success());
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn configure(&self, sections: &str) {
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let text = format!(
            "[daemon]\nstate_dir = \"state\"\nsocket = \"socket\"\ntemplate_dirs = [\"own\", \"{}\"]\n[vault]\nkey_file = \"vault.key\"\n{sections}",
            templates.display()
        );
        std::fs::create_dir_all(self.path("own")).unwrap();
        std::fs::write(self.path("rotord.toml"), text).unwrap();
    }

    pub fn ctl(&self, args: &[&str], input: &str) -> Output {
        feed(Command::new(env!("CARGO_BIN_EXE_rotorctl")).args(args).env("ROTORD_SOCKET", self.path("socket")), input)
    }

    /// A command's JSON and exit status.
    pub fn json(&self, args: &[&str]) -> (Value, i32) {
        let args = [args, &["--json"]].concat();
        let output = self.ctl(&args, "");
        let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            panic!("{args:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        });
        (value, output.status.code().unwrap())
    }

    /// `rotord check` of the config.
    pub fn check_config(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rotord"));
        command.args(["check", "--config"]).arg(self.path("rotord.toml")).output().unwrap()
    }

    pub fn must(&self, args: &[&str], input: &str) {
        let output = self.ctl(args, input);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Each start that the log has of an attempt has an end of the same attempt.
    pub fn each_start_has_its_end(&self, when: &str) {
        let (log, _) = self.json(&["audit", "tail", "-n", "1000"]);
        let events = log["events"].as_array().unwrap();
        let ends = ["rotation.done", "rotation.failed", "rotation.unknown", "rotation.recovered"];
        for start in events.iter().filter(|event| event["event"] == "rotation.start") {
            let is_its_end =
                |event: &&Value| event["attempt"] == start["attempt"] && ends.iter().any(|end| event["event"] == *end);
            assert!(events.iter().any(|event| is_its_end(&event)), "{when}: {start} has no end");
        }
    }

    pub fn daemon(&self) -> Daemon<'_> {
        self.daemon_with(&[], &[])
    }

    /// Starts the daemon, behind another program where `before` names one, and waits until it is ready.
    pub fn daemon_with(&self, before: &[&str], settings: &[(&str, &str)]) -> Daemon<'_> {
        self.try_daemon_with(before, settings).unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same, or why it did not get ready.
    pub fn try_daemon_with(&self, before: &[&str], settings: &[(&str, &str)]) -> Result<Daemon<'_>, String> {
        let notify = self.path("notify");
        drop(std::fs::remove_file(&notify));
        let ready = UnixDatagram::bind(&notify).unwrap();
        ready.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let line: Vec<&str> = [before, &[env!("CARGO_BIN_EXE_rotord")]].concat();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let process = Command::new(line[0])
            .args(&line[1..])
            .args(["--config", self.path("rotord.toml").to_str().unwrap(), "--log-level", "trace"])
            .env("NOTIFY_SOCKET", &notify)
            .envs(settings.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut daemon = Daemon { place: self, process };
        let begun = Instant::now();
        let mut buffer = [0; 1024];
        loop {
            // A wait with a limit may also end because this process was stopped and went on (signal(7)).
            let why = match ready.recv(&mut buffer) {
                Ok(length) if String::from_utf8_lossy(&buffer[..length]).contains("READY=1") => return Ok(daemon),
                Ok(_) => continue,
                Err(error) => error,
            };
            let ended = daemon.process.try_wait().unwrap();
            let time = begun.elapsed();
            if ended.is_some() || time > PATIENCE {
                let log = self.log();
                return Err(format!("the daemon did not get ready in {time:?} ({why}; ended: {ended:?}): {log}"));
            }
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn state(&self, account: &str) -> String {
        let (status, _) = self.json(&["status", account]);
        status["accounts"][0]["state"].as_str().unwrap().to_owned()
    }

    pub fn changes(&self, account: &str) -> u64 {
        self.json(&["status", account]).0["accounts"][0]["changes_24h"].as_u64().unwrap()
    }

    pub fn password(&self, account: &str) -> String {
        self.json(&["secret", "show", account]).0["password"].as_str().unwrap().to_owned()
    }

    /// One account's outcome and the exit status.
    pub fn rotate(&self, account: &str) -> (String, String, i32) {
        let (value, exit) = self.json(&["rotate", account]);
        let result = &value["results"][0];
        (result["outcome"].as_str().unwrap().to_owned(), result["detail"].as_str().unwrap().to_owned(), exit)
    }

    /// Stores what the lab knows of its accounts.
    pub fn import(&self, device: &str, lab: &Lab) {
        let mut csv = "account,password,totp\n".to_owned();
        for (user, password, seed) in &lab.accounts {
            let period = lab.step;
            csv.push_str(&format!("{device}/{user},{password},otpauth://totp/x?secret={seed}&period={period}\n"));
        }
        self.must(&["import", "-"], &csv);
    }
}

/// A running daemon.
pub struct Daemon<'a> {
    place: &'a Place,
    process: Child,
}

impl Daemon<'_> {
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The most memory that it ever had, in kilobytes (`VmHWM`, proc(5)).
    pub fn peak_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn signal(&self, name: &str) {
        // Behind faketime the daemon is in the same process group as the program that started it.
        let status =
            Command::new("kill").args([&format!("-{name}"), "--", &format!("-{}", self.pid())]).status().unwrap();
        assert!(status.success());
    }

    /// Asks it to stop and waits for it.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.place.log());
    }

    pub fn kill(mut self) {
        self.signal("KILL");
        self.process.wait().unwrap();
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            self.signal("KILL");
            self.process.wait().unwrap();
        }
    }
}
