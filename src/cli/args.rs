//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};

use super::add::{AddArgs, DeviceArgs};
use super::check::CheckArgs;
use super::doctor::DoctorArgs;
use super::events::EventsArgs;
use super::exporter::ExporterArgs;
use super::import::ImportArgs;
use super::init::InitArgs;
use super::otp::OtpArgs;
use crate::control::STATES;
use crate::web::Listen;

/// Talks to the rotord daemon.
///
/// Exit status: 0 done, 1 unexpected failure, 2 usage or config, 3 refused by the cap, 4 the rotation failed and the old
/// password still works, 5 the outcome is not known yet or needs a person, 6 not permitted, 7 no daemon at the socket.
#[derive(Debug, Parser)]
#[command(name = "rotorctl", version = env!("ROTORD_VERSION"), max_term_width = 100)]
pub(super) struct Args {
    /// The daemon's control socket.
    #[arg(
        long,
        global = true,
        env = "ROTORD_SOCKET",
        value_name = "PATH",
        default_value = "/run/rotord/control.sock",
        hide_env_values = true
    )]
    pub(super) socket: PathBuf,
    /// Give up where the daemon says nothing for so many seconds; without it, a silence of 5 seconds is told, and waited out.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) timeout: Option<u64>,
    /// Print one JSON document.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// What to do; without it, where you stand and the next command are shown.
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Accounts and how they stand.
    Status(StatusArgs),
    /// The accounts live on a terminal, with keys to filter, explain, rotate and verify; '?' shows them.
    Top {
        /// Accounts; globs work.
        #[arg(value_name = "ACCOUNT")]
        accounts: Vec<String>,
    },
    /// Change passwords now.
    Rotate {
        #[command(flatten)]
        selection: Selection,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Do not wait for the outcome.
        #[arg(long)]
        no_wait: bool,
    },
    /// Log in with the stored password; change nothing. Where an attempt is at work on an account, its end is waited for.
    Verify {
        /// Accounts; globs work.
        #[arg(required = true, value_name = "ACCOUNT")]
        accounts: Vec<String>,
        /// Why, for history and audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Set new passwords through the reconcile accounts.
    Reconcile {
        /// Accounts; globs work.
        #[arg(required = true, value_name = "ACCOUNT")]
        accounts: Vec<String>,
        /// Why, for history and audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// An account's state in plain words: since when, why, what was tried, what to type next.
    Explain {
        /// The account, DEVICE/USERNAME.
        account: String,
    },
    /// End an account's doubt or quarantine with what you know.
    Resolve {
        /// The account, DEVICE/USERNAME.
        account: String,
        /// Which password the device has: the new one, the old one, or ask it by logging in.
        #[arg(long, value_name = "WHICH", value_parser = ["new", "old", "ask"])]
        device_has: String,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take the warning of a change that was not clean off 'status': you have seen to it.
    Ack {
        /// Accounts; globs work.
        #[arg(required = true, value_name = "ACCOUNT")]
        accounts: Vec<String>,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// The current TOTP token. It counts as used: rotord does not send it too.
    Otp(OtpArgs),
    /// Store or reveal secrets.
    Secret {
        #[command(subcommand)]
        command: SecretCommand,
    },
    /// Store TOTP seeds.
    Totp {
        #[command(subcommand)]
        command: TotpCommand,
    },
    /// Store private keys.
    SshKey {
        #[command(subcommand)]
        command: SshKeyCommand,
    },
    /// Take over devices, accounts and secrets from a file of another program; with the header account,password,totp, store secrets.
    ///
    /// Of any other format it is told first what would be made and what cannot be, and --apply does it, all or nothing. Formats: CSV of
    /// KeePass, KeePassXC, Bitwarden, 1Password, LastPass, CyberArk and spreadsheets; databases of KeePass; JSON of Bitwarden and Aegis;
    /// otpauth:// and otpauth-migration:// as text or a QR code in a PNG picture; ansible-inventory --list; OpenSSH's config and
    /// known_hosts.
    /// A password that rotord has replaced since is left out and named, and so is one whose account is between two.
    Import(ImportArgs),
    /// Fetch a device's host key and store it after a yes.
    Trust {
        /// The device.
        device: String,
        /// Store it without asking if it has this fingerprint.
        #[arg(long, value_name = "SHA256:…")]
        yes: Option<String>,
        /// Why, for the audit log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Attempts: when, why, by whom, steps, outcome.
    History {
        /// The account, DEVICE/USERNAME.
        account: String,
        /// Write what a web page looked like when the last attempt failed there, as JPEG.
        #[arg(long, value_name = "FILE")]
        screenshot: Option<PathBuf>,
    },
    /// Live view of a web run that waits for a person: prints a link, good once, to a page on this host that shows the browser
    /// and passes mouse and keys on.
    Browser {
        /// The account, DEVICE/USERNAME.
        account: String,
    },
    /// Work in a web application without seeing its password: rotord logs in, and a link, good once, leads to a page on this host
    /// that shows the browser. It ends with this command.
    Browse {
        /// The account, DEVICE/USERNAME.
        account: String,
        /// Why, for the audit log.
        #[arg(long)]
        reason: Option<String>,
        /// How long it lasts at the most: 90s, 30m, 8h.
        #[arg(long = "for", value_name = "TIME", default_value = "30m", value_parser = super::web::time)]
        lasts: Duration,
    },
    /// Make config, key and folders for a daemon that is not there yet; what is there stays as it is. Needs no daemon.
    Init(InitArgs),
    /// A check-up of host, config, daemon, accounts and devices: what is wrong, why it matters, what mends it.
    Doctor(DoctorArgs),
    /// Devices.
    Device {
        #[command(subcommand)]
        command: DeviceCommand,
    },
    /// Accounts on devices that are in the config.
    Account {
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// When jobs run.
    Schedule {
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Hold scheduled work.
    Pause {
        #[command(flatten)]
        selection: Selection,
    },
    /// Release scheduled work.
    Resume {
        #[command(flatten)]
        selection: Selection,
    },
    /// Execution templates.
    Template {
        #[command(subcommand)]
        command: TemplateCommand,
    },
    /// A consistent copy of the vault while the daemon runs, sealed; 'rotord restore' brings it back.
    ///
    /// Without a key to seal to it asks for a passphrase, on the terminal or from stdin.
    Backup {
        /// A new file.
        file: PathBuf,
        /// Seal to this recovery key.
        #[arg(long, value_name = "age1…", conflicts_with = "recovery_key")]
        recipient: Option<String>,
        /// Seal to the recovery key that the daemon's config names.
        #[arg(long)]
        recovery_key: bool,
    },
    /// Passwords in escrow.
    Escrow {
        #[command(subcommand)]
        command: EscrowCommand,
    },
    /// Who is told of events.
    Notify {
        #[command(subcommand)]
        command: NotifyCommand,
    },
    /// The audit log.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// What happened: the audit log's events, and with -f each as it comes.
    Events(EventsArgs),
    /// How rotord stands, in one line for Nagios or Icinga: 0 fine, 1 warning, 2 critical, 3 unknown.
    Check(CheckArgs),
    /// The daemon's metrics on a TCP port, for Prometheus and others that read OpenMetrics.
    Exporter(ExporterArgs),
    /// Vault keys.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// The local web page: accounts, tokens, attempts as they go on, the audit log. It runs in this process, with your role, and is
    /// there for who opens the link that it prints, which works once.
    Web(WebArgs),
    /// What an auditor asks for: coverage, ages against policy, changes and their proofs, failures and how they ended, reveals,
    /// exceptions, and how far the audit log is as it was written. No secret is in it.
    Report(ReportArgs),
    /// Shell completion.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What a report is about, and how it is written.
#[derive(Debug, ClapArgs)]
pub(super) struct ReportArgs {
    /// The first day; ninety days before the last where absent.
    #[arg(long, value_name = "DATE")]
    pub(super) from: Option<chrono::NaiveDate>,
    /// The last day; today where absent.
    #[arg(long, value_name = "DATE")]
    pub(super) to: Option<chrono::NaiveDate>,
    /// Write a page in one file, which is new and can be printed.
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Print a table.
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
}

/// Where the page is served, and how long.
#[derive(Debug, ClapArgs)]
pub(super) struct WebArgs {
    /// An address of loopback, a port, or the path of a Unix socket for 'ssh -L'; a free port where absent.
    #[arg(long, value_name = "ADDR|PATH", value_parser = Listen::parse)]
    pub(super) listen: Option<Listen>,
    /// End it where nobody used it for so long.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = super::web::time)]
    pub(super) idle: Duration,
    /// Open it in the browser of this desktop.
    #[arg(long)]
    pub(super) open: bool,
}

/// What `status` shows, and for how long.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct StatusArgs {
    /// Accounts; globs work.
    #[arg(value_name = "ACCOUNT")]
    pub(super) accounts: Vec<String>,
    /// Only accounts in this state, or in one of these.
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = STATES)]
    pub(super) state: Vec<String>,
    /// Only accounts of this device; globs work.
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Option<String>,
    /// Only accounts whose password is older than its policy's max_age.
    #[arg(long)]
    pub(super) overdue: bool,
    /// Keep showing it, every two seconds, until it is interrupted.
    #[arg(long)]
    pub(super) watch: bool,
}

#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = true)]
pub(super) struct Selection {
    /// Accounts; globs work.
    #[arg(value_name = "ACCOUNT")]
    pub(super) accounts: Vec<String>,
    /// The accounts of a job.
    #[arg(long, conflicts_with = "accounts")]
    pub(super) job: Option<String>,
    /// All accounts.
    #[arg(long, conflicts_with_all = ["accounts", "job"])]
    pub(super) all: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum SecretCommand {
    /// Store the password, or the value of a tag; from a prompt without echo, or stdin.
    Set {
        /// The account, DEVICE/USERNAME.
        account: String,
        /// The tag whose value it is.
        #[arg(long, value_name = "NAME")]
        field: Option<String>,
    },
    /// Reveal the password; this is put on record.
    Show {
        /// The account, DEVICE/USERNAME.
        account: String,
        /// Why, for the audit log.
        #[arg(long)]
        reason: Option<String>,
        /// Former passwords too.
        #[arg(long)]
        history: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TotpCommand {
    /// Store a seed: Base32 or an otpauth:// URI; from a prompt without echo, stdin, or the picture of a QR code.
    Set {
        /// The account, DEVICE/USERNAME.
        account: String,
        /// A PNG picture of the QR code. Remove it afterwards: whoever has it can make the codes.
        #[arg(long, value_name = "FILE.png")]
        qr: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SshKeyCommand {
    /// Store a private key from stdin; its passphrase is asked for.
    Set {
        /// The account, DEVICE/USERNAME.
        account: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// Add a device with its first account: shows the host key, asks for the secrets, logs in, recognises the system,
    /// rehearses its template, and only then writes a file into config.d and stores the secrets.
    Add(DeviceArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Add an account to a device of the config: asks for its secrets, logs in, rehearses the template, and only then
    /// writes a file into config.d and stores the secrets.
    Add {
        /// The account, DEVICE/USERNAME.
        account: String,
        /// The account of the same device that logs in to change its password.
        #[arg(long, value_name = "DEVICE/USERNAME")]
        login_as: Option<String>,
        #[command(flatten)]
        more: AddArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ScheduleCommand {
    /// The coming run times of a job.
    Next {
        /// The job.
        job: String,
        /// How many, 1000 at most.
        #[arg(short = 'n', value_name = "COUNT", default_value_t = 10)]
        count: usize,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TemplateCommand {
    /// Check files or folders, without a daemon.
    Check {
        /// Template files, or folders of them.
        #[arg(required_unless_present = "explain", value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Correct what has an evident remedy, in the files themselves.
        #[arg(long)]
        fix: bool,
        /// How to print: text, json, or sarif for code scanners.
        #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json", "sarif"])]
        format: String,
        /// Say what a code or a command of the language means, with an example.
        #[arg(long, value_name = "CODE|COMMAND", conflicts_with_all = ["paths", "fix"])]
        explain: Option<String>,
    },
    /// Play a recording against a template without a device, or try a template on a device up to its commit point.
    Run {
        /// A template file, or the name of a template.
        #[arg(value_name = "TEMPLATE")]
        name: String,
        /// The recording.
        #[arg(long, value_name = "RECORDING", required_unless_present = "device", conflicts_with = "device")]
        against: Option<PathBuf>,
        /// The device: its account's stored secrets are used, and nothing is changed.
        #[arg(long, requires = "until_commit")]
        device: Option<String>,
        /// The account, where the device has several.
        #[arg(long, requires = "device")]
        account: Option<String>,
        /// Stop where the new password would be sent.
        #[arg(long, requires = "device")]
        until_commit: bool,
        /// Show each step, what each wait saw, and what was sent.
        #[arg(long)]
        trace: bool,
        /// Folders with templates.
        #[arg(long, value_name = "FOLDER", default_values = ["/etc/rotord/templates", "/usr/share/rotord/templates"])]
        templates: Vec<PathBuf>,
    },
    /// Play every recording below files or folders against its template.
    Test {
        /// Recordings, or folders of them.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Folders with templates; where absent, those that the recordings are in.
        #[arg(long, value_name = "FOLDER")]
        templates: Vec<PathBuf>,
    },
    /// Change a password once by hand, through a session of rotord's, and keep the dialogue: a recording and the draft of a
    /// template. Lines are typed with tags in place of secrets: ~c for [#CURRENT_PASSWORD#], ~n for [#NEW_PASSWORD#], ~t for
    /// [#TOTP_TOKEN#]; ~. ends the session. For a web device it prints a link to the live view of a browser, in which the password is
    /// changed.
    Record {
        /// NAME.template and NAME.recording are written.
        name: String,
        /// The device.
        #[arg(long)]
        device: String,
        /// The account, where the device has several.
        #[arg(long)]
        account: Option<String>,
    },
    /// Ask a few questions and write the draft of a template, with a recording to test it.
    New {
        /// The template's name; NAME.template and NAME.recording are written.
        name: String,
    },
    /// The templates that the daemon found.
    List {
        /// Only those whose name, vendor or product has all of these words.
        #[arg(long, num_args = 1.., value_name = "WORD")]
        search: Vec<String>,
    },
    /// A template's text.
    Show {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum NotifyCommand {
    /// The notifiers: what waits for each, when it last took a message, and why it did not.
    List,
    /// Send a message that says that it is a test, at once; exit 1 where it is not taken.
    Test {
        /// The notifier.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// The last events.
    Tail {
        /// Go on with events as they come.
        #[arg(short = 'f', long)]
        follow: bool,
        /// How many, 10000 at most.
        #[arg(short = 'n', value_name = "COUNT", default_value_t = 20)]
        count: usize,
    },
    /// Check the chain: the daemon's log, or a folder or file without a daemon.
    Verify {
        /// A folder or a file of a log; the daemon's own where absent.
        path: Option<PathBuf>,
    },
    /// Set the log's files of past months aside, after a check of the whole; what is left goes on to be checked from there.
    Archive {
        /// Only files of months before this one.
        #[arg(long, value_name = "YYYY-MM")]
        before: String,
    },
    /// You have seen that vault and log did not agree when the daemon started: 'status' and 'verify' tell of it no more.
    Accept {
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// The whole log for other systems.
    Export {
        /// How the other system reads it.
        #[arg(long, value_name = "FORMAT", value_parser = ["json", "cef", "csv"])]
        format: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Write a fresh vault key to a new file of mode 0600.
    New {
        /// A new file.
        file: PathBuf,
    },
    /// Change the running vault's key to a fresh one, written to a new file of mode 0600; every secret is sealed anew.
    Rotate {
        /// A new file.
        file: PathBuf,
    },
    /// Write the private half of a fresh recovery key to a new file of mode 0600, and print the public half. Keep the
    /// file anywhere but on this host.
    Recovery {
        /// A new file.
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum EscrowCommand {
    /// Open what is in escrow, without a daemon.
    Open {
        /// The folder, or one file of it.
        path: PathBuf,
        /// The file with the private half of the recovery key.
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
        /// Only this account.
        #[arg(long)]
        account: Option<String>,
        /// Former passwords too, newest first.
        #[arg(long)]
        history: bool,
    },
}
