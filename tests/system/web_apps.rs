//! Web templates on the real applications that they are for, in a real browser. Another client then logs in with the new password.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rotord::dialogue::web::{FailureKind, WebVerdict};
use rotord::recording::{Ending, WebTake, write_web_recording};
use rotord::template::web::Purpose;

use crate::driver::{Driver, Login, fresh_code};
use crate::lab::{free_port, wait_within};
use crate::scribe::Scribe;

/// An application that serves.
pub struct App {
    name: &'static str,
    child: Child,
    pub port: u16,
    pub dir: tempfile::TempDir,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl App {
    pub fn start(name: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The application's own user reads what lies there.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let port = free_port();
        let mut child = Command::new("bash")
            .arg(root().join("tests/lab/web-apps.sh"))
            .args([name, &port.to_string()])
            .arg(dir.path().join("app"))
            .arg(root().join("target/web").join(name))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let ready = dir.path().join("app/ready");
        wait_within(Duration::from_secs(120), "the application", || {
            assert!(child.try_wait().unwrap().is_none(), "{name} ended: {}", log(&dir));
            ready.exists().then_some(())
        });
        Self { name, child, port, dir }
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join("app").join(name)).unwrap()
    }

    /// Name, password and seed of an account, from 1.
    pub fn account(&self, number: usize) -> (String, String, String) {
        let accounts = self.file("accounts");
        let mut words = accounts.lines().nth(number - 1).unwrap().split(' ').map(str::to_owned);
        let (user, password, seed) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let period = if self.name == "django" { 5 } else { 30 };
        (user, password, format!("otpauth://totp/{}?secret={seed}&period={period}", self.name))
    }

    /// Whether the application lets an account in, by a client of its own.
    fn lets_in(&self, user: &str, password: &str, seed: &str, used: &mut Vec<u64>) -> bool {
        let code = if self.name == "wordpress" { String::new() } else { fresh_code(seed, used) };
        let output = Command::new(root().join("target/web/django/bin/python"))
            .arg(root().join("tests/lab/web-login.py"))
            .args([self.name, &format!("https://127.0.0.1:{}", self.port)])
            .arg(self.dir.path().join("app/ca.pem"))
            .args([user, password, &code])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        said == "in"
    }
}

fn log(dir: &tempfile::TempDir) -> String {
    std::fs::read_to_string(dir.path().join("app/log")).unwrap_or_default()
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn template(name: &str) -> String {
    std::fs::read_to_string(root().join("templates/web").join(format!("{name}.template"))).unwrap()
}

/// Changes an account's password by a template and proves it, in a browser each; then another client logs in.
fn change_and_prove(app: &App, template: &str, number: usize) {
    let (user, current, seed) = app.account(number);
    let fresh = format!("Fresh-{number}-4f0c9Zq+x");
    let host = format!("127.0.0.1:{}", app.port);
    let login = Login { host: &host, user: &user, current: &current, fresh: &fresh, seed: Some(&seed) };
    let spki = app.file("spki");
    let mut used = Vec::new();
    let verdict = Driver::start(spki.trim()).run(template, Purpose::Change, &login, &mut used);
    assert_eq!(verdict, WebVerdict::Ran { committed: true, proved: true }, "{}", log(&app.dir));
    let login = Login { current: &fresh, ..login };
    let forget = |used: &mut Vec<u64>| {
        if app.name == "pgadmin" {
            used.clear();
        }
    };
    forget(&mut used);
    let verdict = Driver::start(spki.trim()).run(template, Purpose::Proof, &login, &mut used);
    assert_eq!(verdict, WebVerdict::Ran { committed: false, proved: true });
    forget(&mut used);
    assert!(app.lets_in(&user, &fresh, &seed, &mut used), "{user} is let in with the new password");
    forget(&mut used);
    assert!(!app.lets_in(&user, &current, &seed, &mut used), "the old password is refused");
}

#[test]
fn wordpress() {
    let app = App::start("wordpress");
    change_and_prove(&app, &template("wordpress"), 1);
    change_and_prove(&app, &template("wordpress-forms"), 2);
    // As public templates of the language are written: hidden fields and the button's own name are filled, what style hides is
    // expected, and nothing is tested behind the new password.
    let public = "get https://[#HOSTNAME#]/wp-login.php\nselect-button \"wp-submit\"\nfill-form log [#USERNAME#]\nfill-form pwd [#CURRENT_PASSWORD#]\nfill-form wp-submit \"Login\"\nfill-form redirect_to \"https://[#HOSTNAME#]/wp-admin/profile.php\"\nfill-form testcookie \"1\"\nsubmit\nexpect \"Repeat new password\"\nselect-button \"submit\"\nfill-form pass1 [#NEW_PASSWORD#]\nfill-form pass2 [#NEW_PASSWORD#]\nsubmit\n";
    change_and_prove(&app, public, 3);
    for name in ["wordpress", "wordpress-forms"] {
        record(&App::start("wordpress"), name, "WordPress 6.1.9 (Debian 12)", None);
    }
}

#[test]
fn mediawiki() {
    change_and_prove(&App::start("mediawiki"), &template("mediawiki-oathauth"), 1);
    record(
        &App::start("mediawiki"),
        "mediawiki-oathauth",
        "MediaWiki 1.39.17 with OATHAuth (Debian 12)",
        Some("iloveyou"),
    );
}

#[test]
fn django() {
    change_and_prove(&App::start("django"), &template("django-two-factor-auth"), 1);
    record(
        &App::start("django"),
        "django-two-factor-auth",
        "Django 5.2 with django-two-factor-auth 1.18",
        Some("Xq7-z"),
    );
}

/// Writes the recordings of the templates of an application to the folder that ROTORD_RECORD_WEB names: of a change, a login, a
/// wrong password, a wrong code, and of a new password that is refused where `refused` is one.
fn record(app: &App, name: &str, seen: &str, refused: Option<&str>) {
    let Some(folder) = std::env::var_os("ROTORD_RECORD_WEB") else { return };
    let (spki, host, text) = (app.file("spki"), format!("127.0.0.1:{}", app.port), template(name));
    let mut used = Vec::new();
    let mut takes = Vec::new();
    let (user, first, seed) = app.account(1);
    let other = "otpauth://totp/other?secret=JBSWY3DPEHPK3PXP".to_owned();
    let fresh = "Fresh-1-4f0c9Zq+x";
    let with_code = text.contains("TOTP_TOKEN");
    let mut take = |title: &str, purpose, current: &str, fresh: &str, seed: &str, wanted: Ending| {
        let login = Login { host: &host, user: &user, current, fresh, seed: Some(seed) };
        let mut scribe = Scribe::default();
        if app.name == "pgadmin" {
            used.clear();
        }
        let verdict = Driver::start(spki.trim()).run_with(&text, purpose, &login, &mut used, Some(&mut scribe));
        let (ending, kind) = match verdict {
            WebVerdict::Ran { .. } => (Ending::Ran, None),
            WebVerdict::Failed(failure) if failure.kind == FailureKind::Refused => (Ending::Refused, None),
            WebVerdict::Failed(failure) if failure.committed => (Ending::Broken, Some(failure.kind)),
            WebVerdict::Failed(failure) => (Ending::Failed, Some(failure.kind)),
        };
        assert_eq!(ending, wanted, "{title}: {kind:?}");
        takes.push(WebTake { title: title.into(), purpose, ending, kind, said: scribe.said });
    };
    take("the password is wrong", Purpose::Change, "Wrong-pass-7", fresh, &seed, Ending::Failed);
    if with_code {
        take("the code is wrong", Purpose::Change, &first, fresh, &other, Ending::Failed);
    }
    if let Some(refused) = refused {
        // A refused code may bar the next ones for some seconds.
        std::thread::sleep(Duration::from_secs(if with_code { 6 } else { 0 }));
        take("the new password is refused", Purpose::Change, &first, refused, &seed, Ending::Refused);
    }
    take("the password is changed", Purpose::Change, &first, fresh, &seed, Ending::Ran);
    take("the new password is proved", Purpose::Proof, fresh, fresh, &seed, Ending::Ran);
    let recording = write_web_recording(&format!("web/{name}"), seen, &takes);
    std::fs::write(std::path::Path::new(&folder).join(format!("{name}.recording")), recording).unwrap();
}

/// pgAdmin takes minutes to install, and a code of the present step alone, any number of times.
#[test]
fn pgadmin() {
    if std::env::var_os("ROTORD_TEST_PGADMIN").is_none() {
        return;
    }
    change_and_prove(&App::start("pgadmin"), &template("pgadmin4"), 1);
    record(&App::start("pgadmin"), "pgadmin4", "pgAdmin 4 9.18", None);
}
