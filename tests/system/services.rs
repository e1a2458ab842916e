//! Templates against the real programs that they are for, behind the lab's OpenSSH with a second factor: databases,
//! directories and tools of the shell. Another client then logs in with what the vault says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use rotord::template::Filter;

use crate::lab::{Lab, Place, free_port, in_quotes, symbols};

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
    /// A command that succeeds with the right password, in the environment's PASSWORD; empty for a client of our own.
    proof: String,
}

/// Whether RabbitMQ lets a user in: the beginning of an AMQP 0-9-1 connection, up to its tuning or its end.
fn amqp_lets_in(port: &str, user: &str, password: &str) -> bool {
    let method = |stream: &mut TcpStream| -> Option<(u16, u16)> {
        let mut head = [0; 7];
        stream.read_exact(&mut head).ok()?;
        let mut rest = vec![0; u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize + 1];
        stream.read_exact(&mut rest).ok()?;
        Some((u16::from_be_bytes([rest[0], rest[1]]), u16::from_be_bytes([rest[2], rest[3]])))
    };
    let long = |text: &[u8]| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text].concat();
    let short = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(b"AMQP\0\0\x09\x01").unwrap();
    assert_eq!(method(&mut stream), Some((10, 10)), "connection.start");
    let answer = format!("\0{user}\0{password}");
    let start_ok =
        [&[0, 10, 0, 11], &long(b"")[..], &short("PLAIN"), &long(answer.as_bytes()), &short("en_US")].concat();
    stream.write_all(&[&[1, 0, 0][..], &long(&start_ok), &[0xce]].concat()).unwrap();
    method(&mut stream) == Some((10, 30))
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
            // The web server itself, not htpasswd.
            format!("curl -sf -o /dev/null -u \"app:$PASSWORD\" http://127.0.0.1:{}/index.html", port("WEB_PORT")),
        ),
        kind(
            "smbpasswd",
            "app",
            "root",
            "",
            None,
            format!("PASSWD=\"$PASSWORD\" smbclient -g -p {} -L 127.0.0.1 -U app | grep -q IPC", port("SMB_PORT")),
        ),
        kind(
            "frr-vty-password",
            "vty",
            "root",
            "",
            None,
            format!(
                "exec 3<>/dev/tcp/127.0.0.1/{}; printf '%s\\r\\n' \"$PASSWORD\" >&3; timeout 3 cat <&3 | grep -q '> '",
                port("VTY_PORT")
            ),
        ),
        kind("rabbitmq", "app", "root", "", None, String::new()),
    ]
}

fn section(lab: &Lab, kind: &Kind) -> String {
    let Kind { template, user, login, fields, .. } = kind;
    let (checked, problems) = rotord::config::load_file(&template_file(template));
    let checked = checked.unwrap_or_else(|| panic!("{problems:?}"));
    let limits = checked.password_limits();
    // Every symbol that the template says it can carry, and all there are where it names none.
    let all = symbols();
    let symbols = in_quotes(limits.symbols.unwrap_or(&all));
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

fn proves(kind: &Kind, ports: &[(&str, String)], password: &str) -> bool {
    if kind.proof.is_empty() {
        let (_, port) = ports.iter().find(|(name, _)| *name == "AMQP_PORT").unwrap();
        return amqp_lets_in(port, kind.user, password);
    }
    Command::new("bash").args(["-c", &kind.proof]).env("PASSWORD", password).output().unwrap().status.success()
}

/// Every printable character, forwards and backwards, so that each stands before and behind others.
fn printable() -> String {
    let all: String = (32..127_u8).map(char::from).collect();
    all.chars().chain(all.chars().rev()).collect()
}

/// What a shell or a database reads where a filter quoted every printable character.
fn quoting_is_read_as_it_is(ports: &[(&str, String)]) {
    let port = |name: &str| ports.iter().find(|(known, _)| *known == name).unwrap().1.as_str();
    let printed = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let all = printable();
    for shell in ["bash", "dash"] {
        let text = printed(Command::new(shell).args(["-c", &format!("printf %s {}", Filter::Sh.quote(&all))]));
        assert_eq!(text, all, "{shell}");
    }
    let select = format!("select {}", Filter::Sql.quote(&all));
    let postgres = ["-X", "-A", "-t", "-h", "127.0.0.1", "-U", "app", "-p", port("POSTGRES_PORT"), "-c"];
    let text = printed(Command::new("psql").args(postgres).args([&select, "postgres"]).env("PGPASSWORD", FIRST));
    assert_eq!(text.strip_suffix('\n'), Some(all.as_str()), "PostgreSQL");
    // MariaDB reads a backslash as an escape; the template says that a password has none.
    let all = all.replace('\\', "");
    let select = format!("select {}", Filter::Sql.quote(&all));
    let mariadb = ["--no-defaults", "-N", "-r", "-B", "-h", "127.0.0.1", "-u", "app", "-P", port("MYSQL_PORT"), "-e"];
    let text = printed(Command::new("mariadb").args(mariadb).arg(&select).env("MYSQL_PWD", FIRST));
    assert_eq!(text.strip_suffix('\n'), Some(all.as_str()), "MariaDB");
}

#[test]
fn services_behind_the_login_take_every_symbol_and_another_client_comes_in_with_it() {
    let names = [
        "REDIS_PORT",
        "MYSQL_PORT",
        "POSTGRES_PORT",
        "LDAP_PORT",
        "KDC_PORT",
        "KADMIN_PORT",
        "KPASSWD_PORT",
        "WEB_PORT",
        "SMB_PORT",
        "VTY_PORT",
        "AMQP_PORT",
        "DIST_PORT",
        "EPMD_PORT",
    ];
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
        assert!(proves(kind, &ports, FIRST), "{template}: the proof works before the change");
    }
    quoting_is_read_as_it_is(&ports);
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
        assert!(proves(kind, &ports, &password), "{account}: another client is refused");
        assert!(!proves(kind, &ports, FIRST), "{account}: the old password still works");
    }
    daemon.stop();
}
