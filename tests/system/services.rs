//! Templates against the real programs that they are for, behind the lab's OpenSSH with a second factor: databases,
//! directories and tools of the shell. Another client then logs in with what the vault says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use rotord::template::Filter;

use crate::kinds::{FIRST, Kind, Ports, Proof, rotate_and_prove};
use crate::lab::Lab;

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

fn kinds(lab: &Lab, ports: &Ports) -> Vec<Kind> {
    let port = |name| ports.of(name);
    let dir = lab.dir.display();
    let kerberos = |principal: &str| {
        format!("printf '%s\\n' \"$PASSWORD\" | KRB5_CONFIG={dir}/krb5.conf kinit -c MEMORY: {principal}@EXAMPLE.COM")
    };
    let redis =
        |port: &str, user: &str| format!("REDISCLI_AUTH=\"$PASSWORD\" redis-cli -p {port} {user} ping | grep -q PONG");
    let mysql = |user: &str| {
        let port = port("MYSQL_PORT");
        format!("MYSQL_PWD=\"$PASSWORD\" mariadb --no-defaults -h 127.0.0.1 -P {port} -u {user} -e 'select 1'")
    };
    let postgres = |user: &str| {
        let port = port("POSTGRES_PORT");
        format!("PGPASSWORD=\"$PASSWORD\" psql -X -h 127.0.0.1 -p {port} -U {user} -c 'select 1' postgres")
    };
    let ldap = format!("ldap://127.0.0.1:{}", port("LDAP_PORT"));
    let bind = |dn: &str| format!("ldapwhoami -x -H {ldap} -D {dn} -w \"$PASSWORD\"");
    // The web server itself, not htpasswd.
    let web = |options: &str, page: &str| {
        format!("curl -sf {options} -o /dev/null -u \"app:$PASSWORD\" http://127.0.0.1:{}/{page}", port("WEB_PORT"))
    };
    let vty = |port: &str, said: &str, then: &str| {
        format!("exec 3<>/dev/tcp/127.0.0.1/{port}; {said} >&3; timeout 3 cat <&3 | grep -q '{then}'")
    };
    let kadmin = "PRINCIPAL = \"far@EXAMPLE.COM\", ADMIN_PRINCIPAL = \"boss/admin@EXAMPLE.COM\"";
    let smb = port("SMB_PORT");
    let amqp = port("AMQP_PORT").to_owned();
    vec![
        Kind::new("redis-acl", "app", "op", redis(port("REDIS_PORT"), "--user app"))
            .fields("ADMIN_USER = \"default\"")
            .admin("ADMIN_PASSWORD"),
        Kind::new("redis-requirepass", "default", "op2", redis(port("REDIS2_PORT"), ""))
            .fields(&format!("REDIS_PORT = \"{}\"", port("REDIS2_PORT"))),
        Kind::new("mysql", "app", "root", mysql("app")).fields("DB_HOST = \"%\""),
        Kind::new("mysql-own", "own", "op2", mysql("own"))
            .fields(&format!("DB_ADDRESS = \"127.0.0.1\", DB_PORT = \"{}\"", port("MYSQL_PORT"))),
        Kind::new("postgresql", "app", "postgres", postgres("app")),
        Kind::new("postgresql-own", "own", "op3", postgres("own")).fields(&format!(
            "DB_ADDRESS = \"127.0.0.1\", DB_PORT = \"{}\", DB_NAME = \"postgres\"",
            port("POSTGRES_PORT")
        )),
        Kind::new("ldappasswd", "app", "op", bind("uid=app,dc=example,dc=com"))
            .fields(&format!(
                "LDAP_URI = \"{ldap}\", ADMIN_DN = \"cn=admin,dc=example,dc=com\", USER_DN = \"uid=app,dc=example,dc=com\""
            ))
            .admin("ADMIN_PASSWORD"),
        Kind::new("ldappasswd-own", "own", "op3", bind("uid=own,dc=example,dc=com"))
            .fields(&format!("LDAP_URI = \"{ldap}\", USER_DN = \"uid=own,dc=example,dc=com\"")),
        Kind::new("openldap-rootdn", "rootdn", "root2", bind("cn=admin,dc=other,dc=com")).fields(&format!(
            "LDAPI_URI = \"ldapi://{}\", CONFIG_DN = \"olcDatabase={{2}}mdb,cn=config\", LDAP_URI = \"{ldap}\", ROOT_DN = \"cn=admin,dc=other,dc=com\"",
            format!("{dir}/scratch/ldap/socket").replace('/', "%2F")
        )),
        Kind::new("kadmin", "app", "root", kerberos("app")).fields("PRINCIPAL = \"app@EXAMPLE.COM\""),
        Kind::new("kadmin-remote", "far", "op3", kerberos("far")).fields(kadmin).admin("ADMIN_PASSWORD"),
        Kind::new("kpasswd", "own", "op2", kerberos("own")).fields("PRINCIPAL = \"own@EXAMPLE.COM\""),
        Kind::new("htpasswd", "app", "root3", web("", "index.html")).fields(&format!("USERS_FILE = \"{dir}/users\"")),
        Kind::new("htdigest", "app", "root3", web("--digest", "digest/index.html")).fields(&format!(
            "USERS_FILE = \"{dir}/digest-users\", REALM = \"lab\", URL = \"http://127.0.0.1:{}/digest/index.html\"",
            port("WEB_PORT")
        )),
        Kind::new(
            "smbpasswd",
            "app",
            "root",
            format!("PASSWD=\"$PASSWORD\" smbclient -g -p {smb} -L 127.0.0.1 -U app | grep -q IPC"),
        ),
        Kind::new(
            "frr-vty-password",
            "vty",
            "root",
            vty(port("VTY_PORT"), "printf '%s\\r\\n' \"$PASSWORD\"", "> "),
        ),
        Kind::new(
            "frr-enable-password",
            "enable",
            "root2",
            vty(port("VTY2_PORT"), &format!("printf '%s\\r\\nenable\\r\\n%s\\r\\n' {FIRST} \"$PASSWORD\""), "# "),
        )
        .fields(&format!("VTY_PORT = \"{}\"", port("VTY2_PORT")))
        .admin("VTY_PASSWORD"),
        Kind {
            proof: Proof::Client(Box::new(move |password| amqp_lets_in(&amqp, "app", password))),
            ..Kind::new("rabbitmq", "app", "root2", String::new())
        },
    ]
}

/// Every printable character, forwards and backwards, so that each stands before and behind others.
fn printable() -> String {
    let all: String = (32..127_u8).map(char::from).collect();
    all.chars().chain(all.chars().rev()).collect()
}

/// What a shell or a database reads where a filter quoted every printable character.
fn quoting_is_read_as_it_is(ports: &Ports) {
    let port = |name| ports.of(name);
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
    let ports = Ports::free(&[
        "REDIS_PORT",
        "REDIS2_PORT",
        "MYSQL_PORT",
        "POSTGRES_PORT",
        "LDAP_PORT",
        "KDC_PORT",
        "KADMIN_PORT",
        "KPASSWD_PORT",
        "WEB_PORT",
        "SMB_PORT",
        "VTY_PORT",
        "VTY2_PORT",
        "AMQP_PORT",
        "DIST_PORT",
        "EPMD_PORT",
    ]);
    let lab = ports.lab("root root2 root3 op op2 op3 postgres", "services.sh", &[]);
    rotate_and_prove(&lab, &kinds(&lab, &ports), || quoting_is_read_as_it_is(&ports));
}
