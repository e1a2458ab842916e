//! Kinds of accounts behind the lab's OpenSSH with a second factor that are none of its logins: each with its template, and with another client
//! that comes in with what the vault says.

use std::path::Path;
use std::process::Command;

use crate::lab::{Lab, Place, free_port, in_quotes, symbols};

/// The password of every service account at first, and the administrators' of the services.
pub const FIRST: &str = "First-Service-Password-1";

/// A kind of account, how it is set up, and who proves its password.
pub struct Kind {
    /// Its template; the device has the same name.
    pub template: &'static str,
    pub user: &'static str,
    /// The account of the host that logs in.
    pub login: &'static str,
    pub fields: String,
    /// The secret field that the template needs, and its value.
    pub secret: Option<(&'static str, &'static str)>,
    pub first: &'static str,
    pub proof: Proof,
}

/// Who proves a password.
pub enum Proof {
    /// A command that succeeds with the right password, in the environment's PASSWORD.
    Shell(String),
    /// A client of our own.
    Client(Box<dyn Fn(&str) -> bool + Sync>),
}

impl Kind {
    pub fn new(template: &'static str, user: &'static str, login: &'static str, proof: String) -> Self {
        Self { template, user, login, fields: String::new(), secret: None, first: FIRST, proof: Proof::Shell(proof) }
    }

    pub fn fields(self, fields: &str) -> Self {
        Self { fields: fields.to_owned(), ..self }
    }

    /// The secret field holds the administrator's password.
    pub fn admin(self, field: &'static str) -> Self {
        self.secret(field, FIRST)
    }

    pub fn secret(self, field: &'static str, value: &'static str) -> Self {
        Self { secret: Some((field, value)), ..self }
    }

    pub fn first(self, first: &'static str) -> Self {
        Self { first, ..self }
    }

    fn account(&self) -> String {
        format!("{}/{}", self.template, self.user)
    }

    fn proves(&self, password: &str) -> bool {
        match &self.proof {
            Proof::Shell(line) => {
                Command::new("bash").args(["-c", line]).env("PASSWORD", password).output().unwrap().status.success()
            }
            Proof::Client(client) => client(password),
        }
    }

    /// How long its passwords are: as long as the template takes them, up to 90.
    fn length(&self) -> usize {
        let (checked, problems) = rotord::config::load_file(&template_file(self.template));
        let checked = checked.unwrap_or_else(|| panic!("{problems:?}"));
        checked.password_limits().max_length.unwrap_or(90).min(90)
    }
}

/// Ports of loopback for a lab's services, by the names that its script has for them.
pub struct Ports(Vec<(&'static str, String)>);

impl Ports {
    pub fn free(names: &[&'static str]) -> Self {
        Self(names.iter().map(|name| (*name, free_port().to_string())).collect())
    }

    pub fn of(&self, name: &str) -> &str {
        &self.0.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// A lab with these services.
    pub fn lab(&self, users: &str, script: &str, more: &[(&str, &str)]) -> Lab {
        let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(script);
        let mut settings = vec![("SERVICES", services.to_str().unwrap()), ("FIRST", FIRST)];
        settings.extend(more);
        settings.extend(self.0.iter().map(|(name, port)| (*name, port.as_str())));
        Lab::with(users, &settings)
    }
}

fn section(lab: &Lab, kind: &Kind) -> String {
    let Kind { template, user, login, fields, .. } = kind;
    let (checked, problems) = rotord::config::load_file(&template_file(template));
    let checked = checked.unwrap_or_else(|| panic!("{problems:?}"));
    let limits = checked.password_limits();
    // Every symbol that the template says it can carry, and all there are where it names none.
    let all = symbols();
    let symbols = in_quotes(limits.symbols.unwrap_or(&all));
    let length = kind.length();
    format!(
        "[policy.{template}]\nlength = {length}\nsymbols = {}\nsymbol_set = \"{symbols}\"\n\
         [device.{template}]\naddress = \"127.0.0.1:{}\"\nhost_key = [\"{}\"]\ntemplate = \"{template}\"\n\
         [account.\"{template}/{login}\"]\npolicy = \"{template}\"\n\
         [account.\"{template}/{user}\"]\npolicy = \"{template}\"\nlogin_as = \"{template}/{login}\"\nfields = {{ {fields} }}\n",
        length - 10,
        lab.port,
        lab.fingerprint
    )
}

fn template_file(name: &str) -> std::path::PathBuf {
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let wanted = std::ffi::OsString::from(format!("{name}.template"));
    rotord::config::template_files(&templates)
        .into_iter()
        .find(|file| file.file_name() == Some(&wanted))
        .unwrap_or_else(|| panic!("no template {name}"))
}

/// Each account is rotated once: what the proof says before and after it, and that the new password is as long as the template takes it.
pub fn rotate_and_prove(lab: &Lab, kinds: &[Kind], meanwhile: impl FnOnce()) {
    let place = Place::new(&kinds.iter().map(|kind| section(lab, kind)).collect::<String>());
    let daemon = place.daemon();
    for kind in kinds {
        let (password, seed) = lab.account(kind.login);
        let Kind { template, login, first, .. } = kind;
        let rows = format!(
            "account,password,totp\n{template}/{login},{password},otpauth://totp/x?secret={seed}&period={}\n{},{first},\n",
            lab.step,
            kind.account()
        );
        place.must(&["import", "-"], &rows);
        if let Some((field, value)) = kind.secret {
            place.must(&["secret", "set", &kind.account(), "--field", field], &format!("{value}\n"));
        }
        assert!(kind.proves(first), "{template}: the proof works before the change");
    }
    meanwhile();
    // One after the other where they log in with the same seed: the host's PAM module refuses two logins at once.
    std::thread::scope(|scope| {
        for (login, ..) in &lab.accounts {
            let place = &place;
            scope.spawn(move || {
                for kind in kinds.iter().filter(|kind| kind.login == login) {
                    let (value, exit) = place.json(&["rotate", &kind.account()]);
                    assert_eq!(exit, 0, "{value:#}");
                }
            });
        }
    });
    std::thread::scope(|scope| {
        for kind in kinds {
            let place = &place;
            scope.spawn(move || {
                let (account, password) = (kind.account(), place.password(&kind.account()));
                assert!(password.len() == kind.length() && password != kind.first, "{account}");
                assert!(kind.proves(&password), "{account}: another client is refused");
                assert!(!kind.proves(kind.first), "{account}: the old password still works");
            });
        }
    });
    daemon.stop();
}
