//! Templates against the real programs that they are for, behind the lab's OpenSSH with a second factor: databases,
//! directories and tools of the shell. Another client then logs in with what the vault says.

use std::path::Path;
use std::process::Command;

use crate::lab::{Lab, Place, free_port};

const FIRST: &str = "First-Service-Password-1";

/// A kind of account, how it is set up, and who proves its password.
struct Kind {
    /// Its template; the device has the same name.
    template: &'static str,
    user: &'static str,
    /// The account of the host that logs in.
    login: &'static str,
    fields: String,
    /// The secret field that the template needs.
    secret: Option<&'static str>,
    /// A command that succeeds with the right password, in the environment's PASSWORD.
    proof: String,
}

fn kinds(lab: &Lab, ports: &[(&str, String)]) -> Vec<Kind> {
    let port = |name: &str| ports.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    let dir = lab.dir.display();
    let kerberos = |principal: &str| {
        format!("printf '%s\\n' \"$PASSWORD\" | KRB5_CONFIG={dir}/krb5.conf kinit -c MEMORY: {principal}@EXAMPLE.COM")
    };
    let kind = |template, user, login, fields: &str, secret, proof: String| Kind {
        template,
        user,
        login,
        fields: fields.to_owned(),
        secret,
        proof,
    };
    vec![
        kind(
            "redis-acl",
            "app",
            "op",
            "ADMIN_USER = \"default\"",
            Some("ADMIN_PASSWORD"),
            format!("REDISCLI_AUTH=\"$PASSWORD\" redis-cli -p {} --user app ping | grep -q PONG", port("REDIS_PORT")),
        ),
        kind(
            "mysql",
            "app",
            "root",
            "DB_HOST = \"%\"",
            None,
            format!(
                "MYSQL_PWD=\"$PASSWORD\" mariadb --no-defaults -h 127.0.0.1 -P {} -u app -e 'select 1'",
                port("MYSQL_PORT")
            ),
        ),
        kind(
            "postgresql",
            "app",
            "postgres",
            "",
            None,
            format!(
                "PGPASSWORD=\"$PASSWORD\" psql -X -h 127.0.0.1 -p {} -U app -c 'select 1' postgres",
                port("POSTGRES_PORT")
            ),
        ),
        kind(
            "ldappasswd",
            "app",
            "op",
            &format!(
                "LDAP_URI = \"ldap://127.0.0.1:{}\", ADMIN_DN = \"cn=admin,dc=example,dc=com\", USER_DN = \"uid=app,dc=example,dc=com\"",
                port("LDAP_PORT")
            ),
            Some("ADMIN_PASSWORD"),
            format!(
                "ldapwhoami -x -H ldap://127.0.0.1:{} -D uid=app,dc=example,dc=com -w \"$PASSWORD\"",
                port("LDAP_PORT")
            ),
        ),
        kind("kadmin", "app", "root", "PRINCIPAL = \"app@EXAMPLE.COM\"", None, kerberos("app")),
        kind("kpasswd", "own", "op", "PRINCIPAL = \"own@EXAMPLE.COM\"", None, kerberos("own")),
        kind(
            "htpasswd",
            "app",
            "root",
            &format!("USERS_FILE = \"{dir}/users\""),
            None,
            format!("printf '%s\\n' \"$PASSWORD\" | htpasswd -vi {dir}/users app"),
        ),
    ]
}

fn section(lab: &Lab, kind: &Kind) -> String {
    let Kind { template, user, login, fields, .. } = kind;
    let (checked, problems) = rotord::config::load_file(&template_file(template));
    let checked = checked.unwrap_or_else(|| panic!("{problems:?}"));
    let limits = checked.password_limits();
    // Every symbol that the template says it can carry, and all there are where it names none.
    let all: String = (33..127_u8).map(char::from).filter(char::is_ascii_punctuation).collect();
    let symbols = limits.symbols.unwrap_or(&all).replace('\\', "\\\\").replace('"', "\\\"");
    let length = limits.max_length.unwrap_or(90).min(90);
    format!(
        "[policy.{template}]\nlength = {length}\nsymbols = {}\nsymbol_set = \"{symbols}\"\n\
         [device.{template}]\naddress = \"127.0.0.1:{}\"\nhost_key = [\"{}\"]\ntemplate = \"{template}\"\n\
         [account.\"{template}/{login}\"]\n\
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

fn proves(kind: &Kind, password: &str) -> bool {
    Command::new("bash").args(["-c", &kind.proof]).env("PASSWORD", password).output().unwrap().status.success()
}

#[test]
fn services_behind_the_login_take_every_symbol_and_another_client_comes_in_with_it() {
    let names = ["REDIS_PORT", "MYSQL_PORT", "POSTGRES_PORT", "LDAP_PORT", "KDC_PORT", "KADMIN_PORT", "KPASSWD_PORT"];
    let ports: Vec<(&str, String)> = names.iter().map(|name| (*name, free_port().to_string())).collect();
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/services.sh");
    let mut settings = vec![("SERVICES", services.to_str().unwrap()), ("FIRST", FIRST)];
    settings.extend(ports.iter().map(|(name, port)| (*name, port.as_str())));
    let lab = Lab::with("root op postgres", &settings);
    let kinds = kinds(&lab, &ports);
    let place = Place::new(&kinds.iter().map(|kind| section(&lab, kind)).collect::<String>());
    let daemon = place.daemon();
    for kind in &kinds {
        let (password, seed) = lab.account(kind.login);
        let Kind { template, user, login, .. } = kind;
        let rows = format!(
            "account,password,totp\n{template}/{login},{password},otpauth://totp/x?secret={seed}&period={}\n{template}/{user},{FIRST},\n",
            lab.step
        );
        place.must(&["import", "-"], &rows);
        if let Some(field) = kind.secret {
            place.must(&["secret", "set", &format!("{template}/{user}"), "--field", field], &format!("{FIRST}\n"));
        }
        assert!(proves(kind, FIRST), "{template}: the proof works before the change");
    }
    let accounts: Vec<String> = kinds.iter().map(|kind| format!("{}/{}", kind.template, kind.user)).collect();
    // One after the other where they log in with the same seed: the host's PAM module refuses two logins at once.
    std::thread::scope(|scope| {
        for login in ["root", "op", "postgres"] {
            let (kinds, accounts, place) = (&kinds, &accounts, &place);
            scope.spawn(move || {
                for (_, account) in kinds.iter().zip(accounts).filter(|(kind, _)| kind.login == login) {
                    let (value, exit) = place.json(&["rotate", account]);
                    assert_eq!(exit, 0, "{value:#}");
                }
            });
        }
    });
    for (kind, account) in kinds.iter().zip(&accounts) {
        let password = place.password(account);
        assert!(password.len() >= 60 && password != FIRST, "{account}");
        assert!(proves(kind, &password), "{account}: another client is refused");
        assert!(!proves(kind, FIRST), "{account}: the old password still works");
    }
    daemon.stop();
}
