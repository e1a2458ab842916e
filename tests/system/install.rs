//! What the documentation says of the installation is typed as it stands, in a Debian that has nothing of rotord yet.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::machine::{DEVICE, Machine};

/// Answers for tests/lab/typist.exp.
const ANSWERS: &str = r#"'[Pp]assword[^\n]*: $' "$(cat /root/admin.password)" 'Seed[^\n]*: $' "$(cat /root/admin.seed)" 'Type yes: $' yes"#;

/// The part of a document from a heading to the next one of its kind.
fn chapter(file: &str, heading: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let from = text.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("{file} has no {heading}")) + 1;
    let to = text[from..].find("\n## ").map_or(text.len(), |length| from + length);
    text[from..to].to_owned()
}

/// The blocks of a text that are set off by blanks: commands, and what is in a file.
fn blocks(text: &str, indent: usize) -> Vec<String> {
    let (mut blocks, mut block) = (Vec::new(), String::new());
    for line in text.lines() {
        match line.strip_prefix(&" ".repeat(indent)) {
            Some(line) => block.push_str(&format!("{line}\n")),
            None if line.is_empty() => block.push('\n'),
            None if !block.trim().is_empty() => blocks.push(std::mem::take(&mut block)),
            None => block.clear(),
        }
    }
    blocks.push(block);
    let trimmed = |block: &String| format!("{}\n", block.trim_matches('\n'));
    blocks.iter().map(trimmed).filter(|block| block.len() > 1).collect()
}

/// How a person without an editor writes a file.
fn written(file: &str, text: &str) -> String {
    format!("cat >> {file} <<'EOF'\n{text}EOF\n")
}

#[test]
fn the_quickstart_and_the_escrow_recipe_work_as_they_are_written() {
    let machine = Machine::new();
    let quickstart = blocks(&chapter("docs/install.md", "Step by step, by hand"), 7);
    let [build, key, config, start, steps @ .., service] = &quickstart[..] else { panic!("{quickstart:?}") };
    assert!(build.contains("cargo build") && config.contains("[device.web1]") && start.ends_with("rotord\n"));
    assert!(service.contains("enable --now"), "{service}");
    // The terminal's daemon is ended with Ctrl-C, as the step says.
    let typed =
        [build, key, &written("/etc/rotord/rotord.toml", config), start, &steps.concat(), "^C\n", service].concat();
    machine.write("quickstart", &typed);

    let recipe = blocks(&chapter("docs/operating.md", "Escrow under systemd"), 4);
    let [elsewhere, folders, config, restart, open] = &recipe[..] else { panic!("{recipe:?}") };
    machine.write("elsewhere", elsewhere);
    let public = config.split('"').find(|word| word.starts_with("age1")).unwrap();
    let config = written("/etc/rotord/rotord.toml", config);
    machine.write("escrow", &[folders, config.as_str(), restart].concat().replace(public, "PUBLIC"));
    machine.write("open", open);

    let type_in = "/source/tests/lab/typist.exp";
    let trial = format!(
        r#"{DEVICE}cd /exchange
# What the first command builds is there.
printf '#!/bin/sh\n[ "$*" = "build --release" ]\n' > /usr/local/bin/cargo
chmod +x /usr/local/bin/cargo
{type_in} quickstart {ANSWERS}
[ "$(systemctl is-enabled rotord)" = enabled ]
rotorctl verify web1/admin
man rotord.toml | grep -q schedule
# A disk of its own.
mkdir /srv/disk /mnt/other-disk
mount -t tmpfs tmpfs /srv/disk
echo '/srv/disk /mnt/other-disk none bind 0 0' >> /etc/fstab
systemctl daemon-reload
mount /mnt/other-disk
mkdir /root/elsewhere
cd /root/elsewhere
{type_in} /exchange/elsewhere | tee said
sed -i "s/PUBLIC/$(grep -o 'age1[a-z0-9]*' said | head -1)/" /exchange/escrow
{type_in} /exchange/escrow
{type_in} /exchange/open | tee opened
rotorctl secret show web1/admin --json | tee /exchange/secret.json
password=$(jq -r .password /exchange/secret.json)
grep -F -- "$password" opened
ssh-accepts admin "$password"
# It brings its disk along.
systemctl stop rotord
umount /mnt/other-disk
systemctl start rotord
mountpoint /mnt/other-disk
"#
    );
    let log = machine.run(&trial);
    assert!(log.contains("a fresh login proved it") && log.contains("in-as-admin"), "{log}");
    assert!(!log.contains("same disk as the vault"), "{log}");
}

#[test]
fn the_package_is_clean_and_installs_upgrades_and_goes_away_as_written() {
    let machine = Machine::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = machine.path("target/release");
    let built =
        Command::new(source.join("tests/lab/packages.sh")).arg(programs).arg(machine.path("")).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let typed = |heading: &str| blocks(&chapter("docs/install.md", heading), 4).concat();
    let install = typed("From nothing to the first rotation");
    machine.write("install", &install);
    let upgrade = |heading: &str| {
        let lines = blocks(&chapter("docs/upgrade.md", heading), 4).concat();
        // A check-up finds steps of four seconds unusual, and ends with 1.
        lines.lines().filter(|line| *line != "rotorctl doctor").map(|line| format!("{line}\n")).collect::<String>()
    };
    assert_eq!(typed("A new version"), upgrade("The package"));
    machine.write("before", &upgrade("Before"));
    machine.write("upgrade", &upgrade("The package"));
    machine.write("afterwards", &upgrade("Afterwards"));
    let first = format!("apt install ./rotord_{}-1_amd64.deb\n", env!("CARGO_PKG_VERSION"));
    assert!(install.starts_with(&first), "{install}");
    let commands = ["apt ", "cat ", "rotord ", "systemctl ", "rotorctl "];
    let typed = install.lines().filter(|line| commands.iter().any(|command| line.starts_with(command))).count();
    assert!(
        typed <= 6 && typed == install.lines().filter(|line| !line.is_empty()).count(),
        "{typed} commands: {install}"
    );

    let log = machine.run(&fs::read_to_string(source.join("tests/lab/trials/package")).unwrap());
    let modes = machine.read("modes");
    for mode in [
        "640 root rotord /etc/rotord/rotord.toml",
        "600 rotord rotord /etc/rotord/vault.key",
        "700 rotord rotord /var/lib/rotord",
        "755 root root /etc/rotord/config.d",
        "640 root rotord /etc/rotord/config.d/init.toml",
        "640 root rotord /etc/rotord/config.d/web1.toml",
    ] {
        assert!(modes.contains(mode), "{mode}: {modes}");
    }
    assert_eq!(machine.read("type").trim(), "notify-reload", "{log}");
    for told in ["rotord: nothing runs yet", "it is Linux", "web1/admin is added", "a fresh login proved it"] {
        assert!(log.contains(told), "{told}: {log}");
    }
    assert!(machine.read("stand").contains("All is well: 1 account"), "{}", machine.read("stand"));
    let files = machine.read("rpm.files");
    for file in [
        "/usr/bin/rotord",
        "/usr/lib/systemd/system/rotord.socket",
        "/usr/share/rotord/templates/linux/linux-passwd.template",
    ] {
        assert!(files.lines().any(|line| line == file), "{file}: {files}");
    }
    assert!(machine.read("rpm.scripts").contains("systemd-sysusers"), "{}", machine.read("rpm.scripts"));
    let account = &machine.json("upgraded.json")["accounts"][0];
    assert_eq!((&account["state"], &account["changes_24h"]), (&"idle".into(), &2.into()), "{log}");
    let (purged, left) = (machine.read("purged"), machine.read("left"));
    assert!(purged.contains("rotord: /var/lib/rotord is left"), "{purged}");
    assert!(left.contains("vault.key") && left.contains("vault.db") && !left.contains("rotord.toml"), "{left}");
    assert_eq!(machine.read("units"), "", "{log}");
}

/// What an image is built from is there, and each line of the recipe is one that engines know.
#[test]
fn the_containerfile_can_be_read_and_what_it_copies_is_there() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(source.join("packaging/Containerfile")).unwrap().replace("\\\n", " ");
    let known = ["FROM", "WORKDIR", "COPY", "RUN", "VOLUME", "USER", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"];
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(lines[0].starts_with("FROM ") && lines.contains(&"USER rotord"), "{text}");
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap();
        assert!(known.contains(&word), "{line}");
        if word == "COPY" && !rest.starts_with("--from") {
            let from = rest.split_whitespace().next().unwrap();
            assert!(source.join(from).exists(), "{line}");
        }
        if let Some(list) = rest.find('[').map(|at| &rest[at..]).filter(|_| word != "RUN") {
            assert!(serde_json::from_str::<Vec<String>>(list).is_ok(), "{line}");
        }
    }
}

#[test]
fn the_tarball_has_what_a_package_has_and_its_checksum_is_right() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_rotord")).parent().unwrap();
    let made = Command::new(source.join("packaging/tarball.sh")).arg(programs).arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made = String::from_utf8(made.stdout).unwrap();
    let tarball = Path::new(made.trim());
    let listed = Command::new("tar").arg("tzf").arg(tarball).output().unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();
    for file in
        ["usr/bin/rotord", "usr/bin/rotorctl", "usr/lib/systemd/system/rotord.service", "usr/share/man/man8/rotord.8"]
    {
        assert!(files.lines().any(|line| line.ends_with(file)), "{file}: {files}");
    }
    let name = format!("{}.sha256", tarball.file_name().unwrap().to_string_lossy());
    let checked = Command::new("sha256sum").args(["-c", &name]).current_dir(folder.path()).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
