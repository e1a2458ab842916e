//! What is typed, for the EXAMPLES of the manual pages; a test has each line understood.

/// Lines to type, and what they do.
#[derive(Debug)]
pub(super) struct Example {
    /// The words of the command.
    pub(super) command: &'static str,
    /// What the lines do.
    pub(super) does: &'static str,
    /// The lines; one that begins with a blank is what is printed.
    pub(super) lines: &'static str,
}

const fn example(command: &'static str, does: &'static str, lines: &'static str) -> Example {
    Example { command, does, lines }
}

/// All examples, in the order of the commands.
pub(super) const EXAMPLES: &[Example] = &[
    example("rotord", "Run in the foreground with a config of your own:", "rotord --config ./rotord.toml"),
    example(
        "rotord check",
        "Check the config before a reload, and ask what a key means:",
        "rotord check\nrotord check --explain max_age",
    ),
    example(
        "rotord restore",
        "Bring a backup back, in a place without a vault; the config and the vault's key are there already:",
        "rotord restore /root/backup.age\nrotord restore --identity recovery.key /root/backup.age",
    ),
    example("rotord demo", "See a rotation from its begin to its end, with nothing installed:", "rotord demo --once"),
    example(
        "rotord browser",
        "Serve browsers without a unit, on a socket that the daemon's user alone may connect to (systemd-socket-activate(1)):",
        "systemd-socket-activate --inetd --listen=/run/rotord-browser.sock rotord browser",
    ),
    example("rotord man", "Write the manual pages to where man(1) finds them:", "rotord man /usr/local/share/man"),
    example(
        "rotorctl status",
        "All accounts; those of some devices; those that wait for a person, as long as somebody watches:",
        "rotorctl status\nrotorctl status 'web[1-9]/*'\nrotorctl status --state quarantined --watch",
    ),
    example("rotorctl top", "The accounts of some devices, live:", "rotorctl top 'web*/*'"),
    example(
        "rotorctl rotate",
        "Change one password, those of a job, and many without waiting for them:",
        "rotorctl rotate web1/admin\nrotorctl rotate --job nightly --reason leaver\nrotorctl rotate 'core-*/*' --no-wait",
    ),
    example("rotorctl verify", "Log in to each device with what is stored:", "rotorctl verify '*'"),
    example(
        "rotorctl reconcile",
        "The password is known to nobody, and the account's reconcile account sets another:",
        "rotorctl reconcile web1/admin",
    ),
    example(
        "rotorctl browse",
        "Work in the wiki for an hour, logged in as its administrator, whose password nobody sees:",
        "rotorctl browse wiki/admin --for 1h --reason ticket-7",
    ),
    example(
        "rotorctl browser",
        "A run waits for somebody who solves a puzzle: its browser, on this host or through a tunnel to it:",
        "rotorctl browser wiki/admin",
    ),
    example("rotorctl explain", "Why an account is as it is, and what to do:", "rotorctl explain web1/admin"),
    example(
        "rotorctl resolve",
        "You have logged in to the device by hand with the new password:",
        "rotorctl resolve web1/admin --device-has new",
    ),
    example(
        "rotorctl ack",
        "You have saved the switch's configuration yourself:",
        "rotorctl ack 'core-*/admin' --reason saved",
    ),
    example(
        "rotorctl otp",
        "A code to log in with by hand, and codes as long as you need them:",
        "rotorctl otp web1/admin\nrotorctl otp web1/admin --watch",
    ),
    example(
        "rotorctl secret set",
        "The password is asked for, or comes through a pipe; it never stands on the command line:",
        "rotorctl secret set web1/admin\npass show web1 | rotorctl secret set web1/admin\nrotorctl secret set sw1/admin --field ENABLE_PASSWORD",
    ),
    example(
        "rotorctl secret show",
        "Reveal the password, and what it was before:",
        "rotorctl secret show web1/admin\nrotorctl secret show web1/admin --history",
    ),
    example(
        "rotorctl totp set",
        "The seed is asked for, or read from the picture of its QR code:",
        "rotorctl totp set web1/admin\nrotorctl totp set web1/admin --qr seed.png",
    ),
    example(
        "rotorctl ssh-key set",
        "A key that opens the login before password and code do:",
        "rotorctl ssh-key set web1/admin < id_ed25519",
    ),
    example(
        "rotorctl import",
        "Many secrets at once:",
        "rotorctl import first.csv\ngpg -d first.csv.gpg | rotorctl import -",
    ),
    example(
        "rotorctl trust",
        "Look at the device's key, compare it, and store it; in a script with the fingerprint that you know:",
        "rotorctl trust web1\nrotorctl trust web1 --yes SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
    ),
    example(
        "rotorctl init",
        "The host's config, as root; in configuration management; and one of your own, without a package:",
        "rotorctl init\nrotorctl init --yes --timezone Europe/Berlin --operator @netops\nrotorctl init --config ~/rotord/rotord.toml",
    ),
    example(
        "rotorctl doctor",
        "Everything; and whether the logins of some accounts work:",
        "rotorctl doctor\nrotorctl doctor 'web*/*' --login",
    ),
    example(
        "rotorctl device add",
        "A device behind another one of the config; and one from a file, where nobody can be asked:",
        "rotorctl device add web1 192.0.2.10 --user admin --jump gateway\nrotorctl device add web2 192.0.2.11 --from web2.toml --yes",
    ),
    example(
        "rotorctl account add",
        "An account whose password another account of the device changes:",
        "rotorctl account add web1/oper --login-as web1/root",
    ),
    example("rotorctl history", "What was tried, when, why and by whom:", "rotorctl history web1/admin"),
    example("rotorctl schedule next", "When a job runs the next three times:", "rotorctl schedule next nightly -n 3"),
    example("rotorctl pause", "Hold scheduled work while a device is rebuilt:", "rotorctl pause 'web1/*'"),
    example("rotorctl resume", "Go on with it:", "rotorctl resume 'web1/*'"),
    example(
        "rotorctl template check",
        "Check your own templates, correct what is evident, ask what a code means:",
        "rotorctl template check /etc/rotord/templates\nrotorctl template check own.template --fix\nrotorctl template check --explain T004",
    ),
    example(
        "rotorctl template run",
        "Play a recording, or try a template on a device up to where it would change something:",
        "rotorctl template run own.template --against own.recording --trace\nrotorctl template run own.template --device web1 --until-commit",
    ),
    example(
        "rotorctl template test",
        "Play all recordings of a folder:",
        "rotorctl template test /etc/rotord/templates",
    ),
    example(
        "rotorctl template record",
        "Change a password by hand and keep how it was done:",
        "rotorctl template record myswitch --device sw1",
    ),
    example("rotorctl template new", "Answer some questions about a device:", "rotorctl template new myswitch"),
    example("rotorctl template list", "Is there one for this device?", "rotorctl template list --search cisco ios"),
    example("rotorctl template show", "Read one:", "rotorctl template show linux-passwd"),
    example(
        "rotorctl backup",
        "Under a passphrase that is asked for, or sealed to the key that the config names:",
        "rotorctl backup /root/backup.age\nrotorctl backup /root/backup.age --recovery-key",
    ),
    example(
        "rotorctl escrow open",
        "Read passwords where the vault is lost, on another host and without a daemon:",
        "rotorctl escrow open /mnt/escrow --identity recovery.key --account web1/admin",
    ),
    example("rotorctl notify list", "Who is told of events, and how far each is:", "rotorctl notify list"),
    example("rotorctl notify test", "Whether the receiver takes a message:", "rotorctl notify test oncall"),
    example(
        "rotorctl audit tail",
        "The last events, and those that come:",
        "rotorctl audit tail -n 50\nrotorctl audit tail -f",
    ),
    example(
        "rotorctl audit verify",
        "Check the running daemon's log, or a copy without a daemon:",
        "rotorctl audit verify\nrotorctl audit verify /mnt/archive/audit",
    ),
    example("rotorctl audit archive", "Set the files of past months aside:", "rotorctl audit archive --before 2026-10"),
    example(
        "rotorctl audit accept",
        "The log was put back by hand, and it is known why:",
        "rotorctl audit accept --reason restored",
    ),
    example("rotorctl audit export", "For another system:", "rotorctl audit export --format cef > events.cef"),
    example(
        "rotorctl check",
        "For a monitoring system; and with ranges of your own, where a value may be off:",
        "rotorctl check\nrotorctl check --warning overdue=5,backup_days=14 --critical overdue=20",
    ),
    example(
        "rotorctl exporter",
        "For a Prometheus on this host, and for one on another that may reach this address:",
        "rotorctl exporter\nrotorctl exporter --listen 192.0.2.5:9465 --per-account",
    ),
    example(
        "rotorctl events",
        "What happened since midnight, and what happens, of two kinds:",
        "rotorctl events --since 2026-11-30\nrotorctl events -f --kind 'rotation.*,account.quarantined'",
    ),
    example("rotorctl key new", "Before the first start:", "rotorctl key new /etc/rotord/vault.key"),
    example("rotorctl key rotate", "The old key may be known to somebody:", "rotorctl key rotate /etc/rotord/next.key"),
    example(
        "rotorctl key recovery",
        "A key to open backups and escrow with, which goes into a safe:",
        "rotorctl key recovery recovery.key",
    ),
    example(
        "rotorctl web",
        "Serve the page on a free port of this host; on a socket that SSH can lead to:",
        "rotorctl web\nrotorctl web --listen /run/user/1000/rotord-web --idle 2h",
    ),
    example(
        "rotorctl report",
        "The last quarter, as a page to print; November as a table:",
        "rotorctl report --html report.html\nrotorctl report --from 2026-11-01 --to 2026-11-30 --csv > november.csv",
    ),
    example("rotorctl completions", "For bash:", "rotorctl completions bash > /etc/bash_completion.d/rotorctl"),
];
