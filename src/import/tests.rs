use super::*;

const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn found(text: &str) -> Found {
    let format = detect(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
    read(format, text.as_bytes(), None).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// An entry in a line: title, address, user, password, and digits and period of its seed.
fn told(entry: &Entry) -> String {
    let secret = |secret: &Option<Secret>| secret.as_ref().map_or("-".to_owned(), |secret| secret.expose().to_owned());
    let seed = entry.totp.as_ref().map_or("-".to_owned(), |uri| {
        let seed = crate::totp::Seed::parse(uri.expose()).unwrap();
        assert!(uri.expose().contains(SEED), "{}", uri.expose());
        seed.describe()
    });
    let address = entry
        .address
        .as_ref()
        .map_or("-".to_owned(), |it| format!("{}{}", if it.is_web { "web " } else { "" }, it.in_config()));
    let user = entry.user.as_deref().unwrap_or("-");
    format!("{}|{address}|{user}|{}|{seed}", entry.title, secret(&entry.password))
}

fn all(found: &Found) -> Vec<String> {
    found.entries.iter().map(told).collect()
}

#[test]
fn the_csv_of_each_program_is_known_by_its_header() {
    let uri = format!("otpauth://totp/core1:admin?secret={SEED}&period=30&digits=6&issuer=core1");
    let usual = "core1|192.0.2.1|admin|p,w|SHA1, 6 digits, 30 s";
    for (program, text, expected) in [
        (
            "KeePassXC",
            format!("\"Group\",\"Title\",\"Username\",\"Password\",\"URL\",\"Notes\",\"TOTP\",\"Icon\",\"Last Modified\",\"Created\"\n\"Root/Net\",\"core1\",\"admin\",\"p,w\",\"ssh://192.0.2.1\",\"x\",\"{uri}\",\"0\",\"\",\"\"\n"),
            usual,
        ),
        (
            "Bitwarden",
            format!("folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\nNet,,login,core1,,,0,\"https://core1.example.org,ssh://192.0.2.1\",admin,\"p,w\",{SEED}\n"),
            usual,
        ),
        (
            "1Password",
            format!("Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes\ncore1,192.0.2.1,admin,\"p,w\",{uri},false,false,,\n"),
            usual,
        ),
        (
            "LastPass",
            format!("url,username,password,totp,extra,name,grouping,fav\nssh://192.0.2.1,admin,\"p,w\",{SEED},,core1,Net,0\n"),
            usual,
        ),
        (
            "KeePass 1",
            "\"Account\",\"Login Name\",\"Password\",\"Web Site\",\"Comments\"\n\"core1\",\"admin\",\"p,w\",\"192.0.2.1\",\"\"\n".to_owned(),
            "core1|192.0.2.1|admin|p,w|-",
        ),
        (
            "CyberArk",
            "userName,address,safeName,platformID,secret,automaticManagementEnabled\nadmin,192.0.2.1,Net,UnixSSH,\"p,w\",true\n".to_owned(),
            "|192.0.2.1|admin|p,w|-",
        ),
        (
            "senhasegura, a spreadsheet",
            "Hostname,IP,Username,Password\ncore1,192.0.2.1,admin,\"p,w\"\n".to_owned(),
            "core1|192.0.2.1|admin|p,w|-",
        ),
        ("LastPass, no address", "url,username,password,totp,extra,name,grouping,fav\nhttp://sn,admin,x,,,core1,,0\n".to_owned(), "core1|-|admin|x|-"),
    ] {
        assert_eq!(detect(text.as_bytes()), Some(Format::Csv), "{program}");
        assert_eq!(all(&found(&text)), [expected], "{program}");
    }
}

#[test]
fn what_was_read_before_is_read_as_before_and_nothing_is_guessed() {
    for text in
        ["account,password,totp\nweb1/a,x,\n", "totp, account ,password\n", "\u{feff}\"account\",\"password\"\r\n"]
    {
        assert_eq!(detect(text.as_bytes()), Some(Format::Own), "{text}");
    }
    for text in ["web1/a,hunter2,\n", "hello\n", "", "account;password\n", "{\"a\":1}", "# a comment\n"] {
        assert_eq!(detect(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn what_cannot_be_taken_from_a_csv_is_told_and_the_rest_is_taken() {
    let text = "title,url,username,password,totp\na,192.0.2.1,admin, x,\nb,192.0.2.2,admin,,\nc,192.0.2.3,admin,x,short\nd,192.0.2.4,admin,y,\n";
    let found = found(text);
    assert_eq!(all(&found), ["d|192.0.2.4|admin|y|-"]);
    let why: Vec<String> = found.left_out.iter().map(|it| format!("{}: {}", it.place, it.why)).collect();
    assert!(why[0].starts_with("line 2: its password begins or ends with a space"), "{why:?}");
    assert!(why.iter().any(|it| it.starts_with("line 4: its seed cannot be used")), "{why:?}");
    assert!(why.iter().any(|it| it == "line 3: neither a password nor a seed of one-time codes"), "{why:?}");
}

#[test]
fn bitwardens_json_is_read_and_an_encrypted_one_says_what_to_do() {
    let text = format!(
        r#"{{"encrypted":false,"folders":[],"items":[
        {{"type":1,"name":"core1","login":{{"uris":[{{"match":null,"uri":"https://core1"}},{{"uri":"ssh://192.0.2.1:2222"}}],"username":"admin","password":"p","totp":"{SEED}"}}}},
        {{"type":2,"name":"note","secureNote":{{"type":0}}}},
        {{"type":1,"name":"web","login":{{"uris":null,"username":null,"password":null,"totp":null}}}}]}}"#
    );
    let found = found(&text);
    assert_eq!(all(&found), ["core1|192.0.2.1:2222|admin|p|SHA1, 6 digits, 30 s"]);
    assert_eq!(found.left_out.len(), 2);
    let error =
        read(Format::Bitwarden, br#"{"encrypted":true,"passwordProtected":true,"data":"x"}"#, None).unwrap_err();
    assert!(error.to_string().contains("without encryption"), "{error}");
}

#[test]
fn aegis_export_is_read_without_encryption() {
    let entry = |kind: &str, name: &str, issuer: &str, more: &str| {
        format!(
            r#"{{"type":"{kind}","uuid":"x","name":"{name}","issuer":"{issuer}","icon":null,"info":{{"secret":"{SEED}","algo":"SHA256",{more}}}}}"#
        )
    };
    let entries = [
        entry("totp", "admin@core1", "", "\"digits\":8,\"period\":60"),
        entry("totp", "admin", "core1", "\"digits\":6,\"period\":30"),
        entry("hotp", "admin", "core1", "\"digits\":6,\"counter\":3"),
    ];
    let text = format!(
        r#"{{"version":1,"header":{{"slots":null,"params":null}},"db":{{"version":2,"entries":[{}]}}}}"#,
        entries.join(",")
    );
    let found = found(&text);
    assert_eq!(all(&found), ["|core1|admin|-|SHA256, 8 digits, 60 s", "core1|-|admin|-|SHA256, 6 digits, 30 s"]);
    assert_eq!(found.left_out.len(), 1);
    assert!(!needs_passphrase(Format::Aegis, text.as_bytes()));
}

#[test]
fn aegis_encrypted_export_is_opened_by_its_password_and_by_no_other() {
    let text = include_str!("../../tests/imports/aegis.json");
    assert_eq!(detect(text.as_bytes()), Some(Format::Aegis));
    assert!(needs_passphrase(Format::Aegis, text.as_bytes()));
    let with =
        |text: &str, passphrase: &str| read(Format::Aegis, text.as_bytes(), Some(&Secret::new(passphrase.to_owned())));
    let found = with(text, "correct horse").unwrap();
    assert_eq!(all(&found), ["core1|-|admin|-|SHA256, 6 digits, 30 s"]);
    assert_eq!(found.left_out.len(), 1);
    for passphrase in ["correct horse ", "", "biometric"] {
        assert!(matches!(with(text, passphrase), Err(ImportError::Passphrase)), "{passphrase}");
    }
    assert!(matches!(read(Format::Aegis, text.as_bytes(), None), Err(ImportError::Passphrase)));
}

#[test]
fn aegis_encrypted_export_that_is_damaged_or_hostile_is_refused_with_its_reason() {
    let text = include_str!("../../tests/imports/aegis.json");
    let refused = |text: &str| {
        read(Format::Aegis, text.as_bytes(), Some(&Secret::new("correct horse".into()))).unwrap_err().to_string()
    };
    let mut vault: serde_json::Value = serde_json::from_str(text).unwrap();
    let changed = |vault: &serde_json::Value, place: &str, value: serde_json::Value| {
        let mut vault = vault.clone();
        *vault.pointer_mut(place).unwrap() = value;
        vault.to_string()
    };
    // Contents of another vault, and a memory of 128 GB.
    let db = vault["db"].as_str().unwrap();
    let flipped = format!("{}{}", if db.starts_with('A') { 'B' } else { 'A' }, &db[1..]);
    for (place, value, why) in [
        ("/db", flipped.into(), "it is damaged"),
        ("/db", "%".into(), "not base64"),
        ("/header/slots/2/n", (1u32 << 30).into(), "more memory"),
        ("/header/slots/2/n", 32769.into(), "more memory"),
        ("/header/slots/2/n", 0.into(), "more memory"),
        ("/header/slots/2/r", 1_000_000.into(), "more memory"),
        ("/header/slots/2/p", 100.into(), "more memory"),
        ("/header/slots/2/salt", "xy".into(), "hexadecimal"),
        ("/header/slots/2/key_params/nonce", "00".into(), "nonce"),
    ] {
        let error = refused(&changed(&vault, place, value));
        assert!(error.contains(why), "{place}: {error}");
    }
    vault["header"]["slots"].as_array_mut().unwrap().truncate(1);
    assert!(refused(&vault.to_string()).contains("no password opens it"));
}

/// Secret, name, issuer, algorithm, digits, type.
type Migrated<'a> = (&'a [u8], &'a str, &'a str, u8, u8, u8);

/// A migration of these accounts, as Google Authenticator writes it.
fn migration(accounts: &[Migrated<'_>], batch: (u8, u8)) -> String {
    let bytes_of = |tag: u8, bytes: &[u8]| [&[tag, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let mut payload = Vec::new();
    for (secret, name, issuer, algorithm, digits, kind) in accounts {
        let mut account = bytes_of(0x0a, secret);
        account.extend(bytes_of(0x12, name.as_bytes()));
        account.extend(bytes_of(0x1a, issuer.as_bytes()));
        account.extend([0x20, *algorithm, 0x28, *digits, 0x30, *kind]);
        payload.extend(bytes_of(0x0a, &account));
    }
    payload.extend([0x10, 1, 0x18, batch.0, 0x20, batch.1, 0x28, 0xb9, 0xac, 0xd9, 0xf8, 0x0d]);
    let data = data_encoding::BASE64.encode(&payload).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("otpauth-migration://offline?data={data}\n")
}

#[test]
fn a_move_of_google_authenticator_is_read() {
    let key = b"12345678901234567890";
    let text = migration(
        &[
            (key, "core1:admin", "core1", 1, 1, 2),
            (key, "root@web1", "web1", 2, 2, 2),
            (key, "counter", "x", 1, 1, 1),
            (key, "old", "x", 4, 1, 2),
        ],
        (1, 0),
    );
    let found_ = found(&text);
    assert_eq!(all(&found_), ["core1|-|admin|-|SHA1, 6 digits, 30 s", "web1|web1|root|-|SHA256, 8 digits, 30 s"]);
    assert_eq!(found_.left_out.len(), 2);
    // The sample of its own kind that other programs test with, with one account, SHA1, six digits.
    let part = found(&migration(&[(key, "a", "b", 0, 0, 0)], (2, 1)));
    assert!(part.left_out[0].why.to_string().contains("part 2 of 2"));
    let cut = "otpauth-migration://offline?data=CjEKCkhlbGxv\n";
    assert!(read(Format::Otpauth, cut.as_bytes(), None).is_err());
    let uris = found(&format!("# mine\notpauth://totp/Lab%3Aadmin%40core1?secret={SEED}&issuer=Lab\n\n"));
    assert_eq!(all(&uris), ["Lab|core1|admin|-|SHA1, 6 digits, 30 s"]);
}

#[test]
fn an_inventory_of_ansible_is_read() {
    let text = r#"{"_meta":{"hostvars":{
        "web1":{"ansible_host":"192.0.2.10","ansible_user":"admin","ansible_password":"p","ansible_port":2222,"ansible_become_password":"q"},
        "core1":{"ansible_connection":"ansible.netcommon.network_cli","ansible_network_os":"cisco.ios.ios","ansible_user":"netops","ansible_ssh_common_args":"-o StrictHostKeyChecking=no -o ProxyJump=\"admin@web1:2222\""},
        "win1":{"ansible_connection":"winrm"},
        "vaulted":{"ansible_user":"admin","ansible_password":{"__ansible_vault":"$ANSIBLE_VAULT;1.1;AES256\n3338\n"}}}},
        "all":{"children":["ungrouped","db"]},"db":{"hosts":["db1"]}}"#;
    let found = found(text);
    assert_eq!(
        all(&found),
        ["core1|core1|netops|-|-", "db1|db1|-|-|-", "vaulted|vaulted|admin|-|-", "web1|192.0.2.10:2222|admin|p|-"]
    );
    assert_eq!(found.entries[0].jump.as_deref(), Some("web1"));
    assert!(found.entries[2].notes[0].contains("Ansible Vault"));
    assert!(found.entries[3].notes[0].contains("become"));
    assert_eq!(found.left_out.len(), 1);
}

#[test]
fn the_configuration_of_an_ssh_client_is_read_as_the_client_reads_it() {
    let text = "User nobody\nHost bastion\n  HostName 192.0.2.1\n  User jump\n\nHost core1 core2\n\tHostName=%h.example.org\n\tPort 2222\n\tProxyJump jump@bastion\n  User late\nHost !core2 core*\n  IdentityFile ~/.ssh/core\nMatch user x\n  Port 9\nHost *\n  User default\n";
    let found = found(text);
    assert_eq!(
        all(&found),
        [
            "bastion|192.0.2.1|nobody|-|-",
            "core1|core1.example.org:2222|nobody|-|-",
            "core2|core2.example.org:2222|nobody|-|-"
        ]
    );
    assert_eq!(found.entries[1].jump.as_deref(), Some("bastion"));
    assert_eq!((found.entries[1].notes.len(), found.entries[2].notes.len()), (1, 0));
    assert_eq!(found.left_out.len(), 1);
}

#[test]
fn an_address_is_read_as_people_write_it() {
    for (text, expected) in [
        ("192.0.2.1", Some("192.0.2.1")),
        ("Web1.Example.org.", Some("web1.example.org")),
        ("web1:2222", Some("web1:2222")),
        ("[2001:db8::1]:2222", Some("[2001:db8::1]:2222")),
        ("2001:db8::1", Some("2001:db8::1")),
        ("ssh://admin@web1:22/x", Some("web1:22")),
        ("https://web1.example.org/login?x", Some("web1.example.org")),
        ("ftp://web1", None),
        ("web1:port", None),
        ("a b", None),
        ("", None),
        ("android://hash@com.example", None),
    ] {
        assert_eq!(Address::parse(text).map(|it| it.in_config()).as_deref(), expected, "{text}");
    }
    assert!(Address::parse("https://x").unwrap().is_web && !Address::parse("ssh://x").unwrap().is_web);
}

fn device(name: &str, host: &str, port: u16, users: &[&str]) -> KnownDevice {
    KnownDevice {
        name: name.into(),
        host: host.into(),
        port: Some(port),
        users: users.iter().map(|user| (*user).to_owned()).collect(),
        fingerprints: Vec::new(),
        jump: None,
    }
}

fn entry(title: &str, address: &str, user: &str) -> Entry {
    Entry {
        place: format!("entry {title}"),
        title: title.into(),
        address: Address::parse(address),
        user: Some(user.to_owned()).filter(|user| !user.is_empty()),
        password: Some(Secret::new(format!("password of {title}"))),
        ..Entry::default()
    }
}

fn planned(entries: Vec<Entry>, template: Option<&str>) -> Plan {
    let devices = [device("web1", "192.0.2.10", 22, &["admin"]), device("web2", "192.0.2.10", 2222, &["admin"])];
    let wishes = Wishes {
        template: template.map(str::to_owned),
        templates: vec!["linux-passwd".into(), "cisco-ios".into()],
        accepted: Vec::new(),
    };
    plan(Found { entries, ..Found::default() }, &devices, &wishes)
}

#[test]
fn an_entry_is_the_account_of_the_device_that_its_name_or_address_tells() {
    for (title, address, user, expected) in [
        ("web1", "", "admin", Ok("web1/admin")),
        ("WEB1", "192.0.2.10", "admin", Ok("web1/admin")),
        ("web1 admin", "", "admin", Ok("web1/admin")),
        ("the first", "192.0.2.10:22", "admin", Ok("web1/admin")),
        ("the second", "ssh://192.0.2.10:2222", "admin", Ok("web2/admin")),
        ("by name", "web2", "admin", Ok("web2/admin")),
        ("web page of two", "https://192.0.2.10/", "admin", Err("several devices")),
        ("web1", "https://192.0.2.10/", "admin", Ok("web1/admin")),
        ("web1", "192.0.2.99", "admin", Err("is not that of the device (192.0.2.10)")),
        ("mail", "https://mail.example.org", "admin", Err("web page")),
        ("mail", "", "admin", Err("nothing tells its device")),
        ("web1", "", "", Err("no user name")),
        ("web1", "", "a b", Err("blanks")),
        ("new1", "192.0.2.77", "admin", Err("give --template")),
    ] {
        let plan = planned(vec![entry(title, address, user)], None);
        match expected {
            Ok(account) => {
                assert_eq!(
                    plan.rows.iter().map(|row| row.account.as_str()).collect::<Vec<_>>(),
                    [account],
                    "{title} {address}"
                );
                assert!(plan.left_out.is_empty() && plan.devices.is_empty() && plan.accounts.is_empty(), "{title}");
            }
            Err(why) => {
                assert!(plan.is_empty(), "{title} {address}");
                assert!(plan.left_out[0].why.to_string().contains(why), "{title} {address}: {}", plan.left_out[0].why);
            }
        }
    }
}

#[test]
fn what_is_not_in_the_config_comes_into_a_file_that_it_reads() {
    let through = Entry { jump: Some("web1".into()), ..entry("db 1", "db1.example.org:2222", "svc") };
    let cisco = Entry { platform: Some("cisco.ios.ios".into()), ..entry("core1", "192.0.2.1", "netops") };
    let plan = planned(vec![entry("web1", "", "new"), through, cisco], Some("linux-passwd"));
    let text = plan.sections("a file\nof mine").unwrap();
    assert_eq!(
        text,
        "# Made by rotorctl import from a file of mine.\n\
         \n[device.core1]\naddress = \"192.0.2.1\"\ntemplate = \"cisco-ios\"\n\
         \n[device.db1]\naddress = \"db1.example.org:2222\"\njump = \"web1\"\ntemplate = \"linux-passwd\"\n\
         \n[account.\"core1/netops\"]\n\n[account.\"db1/svc\"]\n\n[account.\"web1/new\"]\n"
    );
    assert!(planned(vec![entry("web1", "", "admin")], None).sections("x").is_none());
}

#[test]
fn what_stands_there_twice_is_taken_only_where_it_says_the_same() {
    let seed = || Entry { password: None, totp: entry::seed(SEED).unwrap(), ..entry("web1", "", "admin") };
    let plan = planned(vec![entry("web1", "", "admin"), seed()], None);
    assert!(plan.rows.len() == 1 && plan.rows[0].password.is_some() && plan.rows[0].totp.is_some());
    let other = Entry { password: Some(Secret::new("another".into())), ..entry("web1", "", "admin") };
    let plan = planned(vec![entry("web1", "", "admin"), other], None);
    assert!(plan.rows.is_empty(), "nobody knows which one it is");
    assert!(plan.left_out[0].why.to_string().contains("twice"));
}

#[test]
fn a_database_that_keepassxc_wrote_is_read() {
    let bytes = include_bytes!("../../tests/imports/keepassxc.kdbx");
    let passphrase = Secret::new("correct horse".into());
    let found = read(Format::Keepass, bytes, Some(&passphrase)).unwrap();
    assert_eq!(
        all(&found),
        [
            "core4|192.0.2.4|admin|Start-4|-",
            "core1|192.0.2.1|admin|Start-1|SHA1, 6 digits, 30 s",
            "core2|192.0.2.2|admin|Start-2|SHA256, 8 digits, 60 s",
            "core3|192.0.2.3|admin|Start-3|SHA1, 6 digits, 30 s",
        ]
    );
    assert!(found.left_out.is_empty(), "what was thrown away is not spoken of: {:?}", found.left_out);
}

#[test]
fn databases_of_keepass_are_read_with_their_seeds_and_without_what_was_thrown_away() {
    let passphrase = Secret::new("correct horse".into());
    for (name, bytes) in [
        ("KDBX 3.1", include_bytes!("../../tests/imports/keepass31.kdbx").as_slice()),
        ("KDBX 4", include_bytes!("../../tests/imports/keepass4.kdbx").as_slice()),
    ] {
        assert_eq!(detect(bytes), Some(Format::Keepass), "{name}");
        let found = read(Format::Keepass, bytes, Some(&passphrase)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            all(&found),
            [
                "core1|192.0.2.1|admin|Start-1|SHA1, 6 digits, 30 s",
                "core2|192.0.2.2|admin|Start-2|SHA256, 8 digits, 60 s",
                "core3|192.0.2.3|admin|Start-3|SHA1, 6 digits, 30 s",
                "core4|192.0.2.4|admin|Start-4|SHA512, 8 digits, 60 s",
                "web|web mail.example.org|me|Start-5|-",
            ],
            "{name}"
        );
        let places: Vec<&str> = found.entries.iter().map(|it| it.place.as_str()).collect();
        assert_eq!(places[..2], ["entry Routers/core1", "entry Routers/core2"], "{name}");
        assert_eq!(
            read(Format::Keepass, bytes, Some(&Secret::new("wrong".into()))).unwrap_err(),
            ImportError::Passphrase
        );
    }
}
