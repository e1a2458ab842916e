//! Manual pages: of the programs from their command lines, of config and templates from their references.

mod examples;
mod page;

use std::fs;
use std::io;
use std::path::Path;

use clap::{Arg, ArgAction, Command};

use self::examples::EXAMPLES;
use self::page::Page;
use self::page::Piece::{self, Bold, Italic, Plain};
use crate::config::{DEFAULT_PATH, KEYS, SECTIONS};
use crate::template::web::WEB_REFERENCE;
use crate::template::{Entry, REFERENCE};

/// Writes what a page says.
type Body = fn(&mut Page);

/// The pages about files: title, what it is, body.
const FILES: &[(&str, &str, Body)] = &[
    ("rotord.toml", "the config of rotord", config),
    ("rotord-template", "how rotord changes passwords on a kind of device", templates),
];

/// The pages that each page names at its end.
const PAGES: &[(&str, &str)] = &[("rotord", "8"), ("rotorctl", "1"), ("rotord.toml", "5"), ("rotord-template", "5")];

/// What a program ends with.
const CTL_STATUS: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1", "Something failed that should not."),
    ("2", "The command line, a file or the config is wrong."),
    ("3", "A rule stands against it: the cap of changes a day, min_age, a pause."),
    ("4", "The rotation failed, and the old password still works."),
    ("5", "The outcome is not known yet, or a person is needed: see rotorctl explain."),
    ("6", "The caller may not do this."),
    ("7", "No daemon answers at the socket."),
];
const DAEMON_STATUS: &[(&str, &str)] = &[
    ("0", "Done; stopped as it was told."),
    ("1", "Something failed that should not."),
    ("2", "The command line or the config is wrong."),
    ("4", "The demo changed no password."),
    ("10", "The key of the vault is missing, unsafe, or not this vault's."),
    ("11", "Another daemon works on the same state or answers on the same socket."),
    ("12", "The vault is damaged, gone, or written by a newer rotord."),
];

const CTL_FILES: &[(&str, &str)] =
    &[("/run/rotord/control.sock", "The control socket."), ("/etc/rotord/vault.key", "The key of the vault.")];
const DAEMON_FILES: &[(&str, &str)] = &[
    (DEFAULT_PATH, "The config; see rotord.toml(5)."),
    ("/etc/rotord/config.d/*.toml", "More of the config."),
    ("/etc/rotord/templates, /usr/share/rotord/templates", "Templates; see rotord-template(5)."),
    ("/etc/rotord/vault.key", "The key of the vault, of mode 0600."),
    ("/var/lib/rotord/vault.db", "The vault."),
    ("/var/lib/rotord/audit/*.jsonl", "The audit log, one event a line."),
    ("/run/rotord/control.sock", "The control socket."),
];

/// A program: its section, what it ends with, the files that it knows.
struct Program {
    section: &'static str,
    status: &'static [(&'static str, &'static str)],
    files: &'static [(&'static str, &'static str)],
}

const DAEMON: Program = Program { section: "8", status: DAEMON_STATUS, files: DAEMON_FILES };
const CTL: Program = Program { section: "1", status: CTL_STATUS, files: CTL_FILES };

/// Writes all pages below a folder, each into the folder of its section.
pub(super) fn write(folder: &Path) -> io::Result<()> {
    programs(super::command(), &DAEMON, folder)?;
    programs(crate::cli::command(), &CTL, folder)?;
    let section = folder.join("man5");
    fs::create_dir_all(&section)?;
    for (title, what, body) in FILES {
        let mut page = Page::new(title, "5", what);
        body(&mut page);
        see_also(&mut page, &[], "5");
        fs::write(section.join(format!("{title}.5")), page.end())?;
    }
    Ok(())
}

/// A page for a program and for each of its commands.
fn programs(command: Command, program: &Program, folder: &Path) -> io::Result<()> {
    fn pages(command: &Command, words: &str, program: &Program, folder: &Path) -> io::Result<()> {
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            pages(below, &format!("{words} {}", below.get_name()), program, folder)?;
        }
        let name = words.replace(' ', "-");
        fs::write(folder.join(format!("{name}.{}", program.section)), of_command(command, words, program))
    }
    let folder = folder.join(format!("man{}", program.section));
    fs::create_dir_all(&folder)?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let words = command.get_name().to_owned();
    pages(&command, &words, program, &folder)
}

fn of_command(command: &Command, words: &str, program: &Program) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let long = command.get_long_about().map_or_else(|| about.clone(), ToString::to_string);
    let mut page = Page::new(&words.replace(' ', "-"), program.section, &about);
    page.heading("SYNOPSIS");
    page.text(&[Bold(words), Plain(" "), Plain(&usage(command))]);
    page.heading("DESCRIPTION");
    // The exit status has a section of its own.
    let told: Vec<&str> = long.split("\n\n").filter(|paragraph| !paragraph.starts_with("Exit status:")).collect();
    page.paragraphs(&closed(&told.join("\n\n")));
    let shown = |arg: &&Arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version");
    let (positional, options): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(shown).partition(|arg| arg.is_positional());
    for (heading, args) in [("ARGUMENTS", positional), ("OPTIONS", options)] {
        if !args.is_empty() {
            page.heading(heading);
        }
        for arg in args {
            of_argument(&mut page, arg);
        }
    }
    let below: Vec<&Command> = command.get_subcommands().filter(|below| !below.is_hide_set()).collect();
    if !below.is_empty() {
        page.heading("COMMANDS");
    }
    for below in &below {
        let name = format!("{}-{}", words.replace(' ', "-"), below.get_name());
        let about = below.get_about().map(ToString::to_string).unwrap_or_default();
        page.entry(&[Bold(&name), Plain(&format!("({})", program.section))], &closed(&about));
    }
    page.heading("EXIT STATUS");
    for (status, meaning) in program.status {
        page.entry(&[Bold(status)], meaning);
    }
    page.heading("FILES");
    for (file, what) in program.files {
        page.entry(&[Italic(file)], what);
    }
    let examples: Vec<_> = EXAMPLES.iter().filter(|example| example.command == words).collect();
    if !examples.is_empty() {
        page.heading("EXAMPLES");
    }
    for example in examples {
        page.paragraphs(example.does);
        page.shown(example.lines.lines());
    }
    let parents: Vec<String> = words.match_indices(' ').map(|(at, _)| words[..at].replace(' ', "-")).skip(1).collect();
    see_also(&mut page, &parents, program.section);
    page.end()
}

/// What may stand behind a command, in short.
fn usage(command: &Command) -> String {
    let grouped: Vec<&clap::Id> =
        command.get_groups().filter(|group| group.is_required_set()).flat_map(clap::ArgGroup::get_args).collect();
    let mut parts = Vec::new();
    let (mut ahead, mut behind) = (Vec::new(), Vec::new());
    for arg in command.get_arguments() {
        if arg.is_hide_set() || arg.is_global_set() || matches!(arg.get_id().as_str(), "help" | "version") {
            continue;
        }
        let form = form(arg);
        if grouped.contains(&arg.get_id()) {
            parts.push(form);
        } else if arg.is_positional() {
            behind.push(if arg.is_required_set() { form } else { format!("[{form}]") });
        } else {
            ahead.push(if arg.is_required_set() { form } else { format!("[{form}]") });
        }
    }
    if !parts.is_empty() {
        behind.push(format!("{{{}}}", parts.join(" | ")));
    }
    if command.has_subcommands() {
        let required = command.is_subcommand_required_set() || command.is_arg_required_else_help_set();
        behind.push(if required { "COMMAND ..." } else { "[COMMAND ...]" }.to_owned());
    }
    let all: Vec<String> = ahead.into_iter().chain(behind).collect();
    all.join(" ")
}

/// An argument as it is typed: `--reason REASON`, `ACCOUNT...`.
fn form(arg: &Arg) -> String {
    let flag =
        arg.get_long().map(|long| format!("--{long}")).or_else(|| arg.get_short().map(|short| format!("-{short}")));
    let value = value(arg);
    match (flag, value) {
        (Some(flag), Some(value)) => format!("{flag} {value}"),
        (Some(flag), None) => flag,
        (None, value) => value.unwrap_or_default(),
    }
}

/// The name of what stands in an argument's place, if it takes something.
fn value(arg: &Arg) -> Option<String> {
    if !arg.get_action().takes_values() {
        return None;
    }
    let names = arg.get_value_names().map_or_else(
        || arg.get_id().as_str().to_uppercase(),
        |names| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" "),
    );
    let several = matches!(arg.get_action(), ArgAction::Append) && arg.is_positional()
        || arg.get_num_args().is_some_and(|range| range.max_values() > 1);
    Some(if several { format!("{names}...") } else { names })
}

fn of_argument(page: &mut Page, arg: &Arg) {
    let (value, flags) = (value(arg), flags(arg));
    let mut term: Vec<Piece<'_>> = Vec::new();
    for (n, flag) in flags.iter().enumerate() {
        if n > 0 {
            term.push(Plain(", "));
        }
        term.push(Bold(flag));
    }
    if let Some(value) = &value {
        if !term.is_empty() {
            term.push(Plain(" "));
        }
        term.push(Italic(value));
    }
    page.entry(&term, &meaning(arg));
}

fn flags(arg: &Arg) -> Vec<String> {
    let short = arg.get_short().map(|short| format!("-{short}"));
    short.into_iter().chain(arg.get_long().map(|long| format!("--{long}"))).collect()
}

/// What an argument means, which values it takes, and what holds without it.
fn meaning(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut told = vec![closed(&help)];
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| value.get_name().to_owned())
        .collect();
    if arg.get_action().takes_values() && !values.is_empty() {
        told.push(format!("One of {}.", values.join(", ")));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        told.push(format!("Where absent: {}.", defaults.join(", ")));
    }
    if let Some(variable) = arg.get_env() {
        told.push(format!("The variable {} of the environment sets it too.", variable.to_string_lossy()));
    }
    told.join(" ")
}

/// A text that ends as a sentence does.
fn closed(text: &str) -> String {
    if text.is_empty() || text.ends_with(['.', '?', '!', ':']) { text.to_owned() } else { format!("{text}.") }
}

fn see_also(page: &mut Page, parents: &[String], section: &str) {
    page.heading("SEE ALSO");
    let parents = parents.iter().map(|name| (name.as_str(), section));
    let all: Vec<(&str, String)> =
        parents.chain(PAGES.iter().copied()).map(|(name, section)| (name, format!("({section})"))).collect();
    let mut line = Vec::new();
    for (name, section) in &all {
        if !line.is_empty() {
            line.push(Plain(", "));
        }
        line.extend([Bold(name), Plain(section)]);
    }
    page.text(&line);
}

fn config(page: &mut Page) {
    page.heading("DESCRIPTION");
    page.text(&[
        Plain("The config is TOML: "),
        Italic(DEFAULT_PATH),
        Plain(" and, as if they stood in it, the files "),
        Italic("config.d/*.toml"),
        Plain(
            " beside it. A key that is not listed here is an error, and so is one that looks like a secret: none stands in a config. \
             Durations are written as 45s, 5m, 1h30m or 90d. \"rotord check\" tells every mistake with its place, \
             \"rotord check --explain KEY\" what a key means. SIGHUP has a running daemon read its config again; one with a mistake is \
             refused whole.",
        ),
    ]);
    for (section, what) in SECTIONS {
        page.heading(section);
        page.paragraphs(&format!("{}.", capitalised(what)));
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let meaning = format!("{}. Takes {}. ", capitalised(key.meaning), key.value.replace('`', ""));
            let absent = format!("Where absent: {}. Example: {}", key.absent().replace('`', ""), key.example);
            page.entry(&[Bold(key.name)], &(meaning.replace('`', "") + absent.as_str()));
        }
    }
    page.heading("FILES");
    for (file, what) in DAEMON_FILES {
        page.entry(&[Italic(file)], what);
    }
    page.heading("EXAMPLES");
    page.paragraphs("A device, an account of it, and a job that changes its password every night:");
    page.shown(EXAMPLE_CONFIG.lines());
}

/// A whole config, which a test checks.
pub(super) const EXAMPLE_CONFIG: &str = "\
[vault]
key_file = \"/etc/rotord/vault.key\"

[device.web1]
address = \"192.0.2.10:22\"
template = \"linux-passwd\"

[account.\"web1/admin\"]

[job.nightly]
schedule = \"30 2 * * *\"
accounts = [\"web*/admin\"]
spread = \"45m\"";

fn templates(page: &mut Page) {
    page.heading("DESCRIPTION");
    page.paragraphs(
        "An execution template is a text file NAME.template in a folder of template_dirs: one command a line, in the order in which they \
         are carried out once the login is done. Tags in brackets, such as [#NEW_PASSWORD#], are filled with the values of the account. \
         The first line that sends the new password is the commit point: before it nothing is changed, and from it on the change counts. \
         \"rotorctl template check\" tells every mistake with its place, \"rotorctl template test\" plays recorded dialogues.",
    );
    page.heading("COMMANDS");
    commands(page, REFERENCE);
    page.heading("COMMANDS OF WEB TEMPLATES");
    page.paragraphs(
        "A template whose first command is start-at, get, timeout or user-agent, or that says info kind \"web\", changes a password in a \
         browser.",
    );
    commands(page, WEB_REFERENCE);
    page.heading("FILES");
    for folder in ["/etc/rotord/templates", "/usr/share/rotord/templates"] {
        page.entry(&[Italic(folder)], "Where templates are, unless template_dirs of the config says otherwise.");
    }
    page.heading("EXAMPLES");
    page.paragraphs("The template that Linux hosts are changed with:");
    let example = include_str!("../../../templates/linux/linux-passwd.template");
    page.shown(example.lines().filter(|line| !line.starts_with('#')));
}

/// The commands of a language, each with its meaning and an example.
fn commands(page: &mut Page, reference: &'static [Entry]) {
    for command in reference {
        let others = match &command.names[1..] {
            [] => String::new(),
            names => format!(" (also {})", names.join(", ")),
        };
        let meaning = format!("{}{others}. Example: {}", capitalised(command.meaning), command.example);
        let term = [Bold(command.names[0]), Plain(" "), Italic(command.argument)];
        page.entry(&term, &meaning.replace('`', ""));
    }
}

/// A sentence begins with a capital, unless it begins with a name.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Each command that does something, with its words.
    fn leaves(command: &Command, words: &str, found: &mut Vec<(String, Command)>) {
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            leaves(below, &format!("{words} {}", below.get_name()), found);
        }
        if !command.has_subcommands() || words == "rotord" {
            found.push((words.to_owned(), command.clone()));
        }
    }

    fn all() -> Vec<(String, Command)> {
        let mut found = Vec::new();
        for mut command in [super::super::command(), crate::cli::command()] {
            command.build();
            leaves(&command, command.get_name(), &mut found);
        }
        found
    }

    #[test]
    fn each_argument_is_described_and_each_command_has_an_example_that_is_understood() {
        let mut with_example = BTreeSet::new();
        for example in EXAMPLES {
            with_example.insert(example.command);
            for line in example.lines.lines().filter(|line| !line.starts_with(' ')) {
                let line = line.rsplit_once("| ").map_or(line, |(_, last)| last);
                let line = line.split([';', '>', '<']).next().unwrap_or_default();
                let words: Vec<String> =
                    line.split_whitespace().map(|word| word.trim_matches(['\'', '"']).to_owned()).collect();
                let words: Vec<&str> =
                    words.iter().map(String::as_str).skip_while(|word| !word.starts_with("rotor")).collect();
                let command = if words[0] == "rotord" { super::super::command() } else { crate::cli::command() };
                assert!(words.join(" ").starts_with(example.command), "{line}");
                command.try_get_matches_from(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
        for (words, command) in all() {
            assert!(with_example.contains(words.as_str()), "{words} has no example");
            for arg in command.get_arguments() {
                let told = arg.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!told.is_empty(), "{words}: nothing is said of {}", arg.get_id());
            }
        }
    }

    #[test]
    fn the_page_of_a_command_tells_its_values_and_what_it_ends_with() {
        let (words, command) = all().into_iter().find(|(words, _)| words == "rotorctl template check").unwrap();
        let page = of_command(&command, &words, &CTL);
        for told in [
            "--format FORMAT",
            "One of text, json, sarif.",
            "Where absent: text.",
            "EXIT STATUS",
            "EXAMPLES",
            "ROTORD_SOCKET",
        ] {
            let told = told.replace('-', "\\-");
            let plain = page.replace("\\fB", "").replace("\\fI", "").replace("\\fR", "").replace('\n', " ");
            assert!(plain.contains(&told), "{told}: {page}");
        }
        let (words, command) = all().into_iter().find(|(words, _)| words == "rotorctl rotate").unwrap();
        assert_eq!(words, "rotorctl rotate");
        assert_eq!(usage(&command), "[--reason TEXT] [--no-wait] {ACCOUNT... | --job JOB | --all}");
    }

    #[test]
    fn the_example_of_a_config_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let file = folder.path().join("rotord.toml");
        let daemon = format!("[daemon]\ntimezone = \"UTC\"\ntemplate_dirs = [\"{}\"]\n", templates.display());
        fs::write(&file, daemon + EXAMPLE_CONFIG).unwrap();
        let (config, problems) = crate::config::Config::inspect(&file);
        assert!(config.is_some_and(|config| config.jobs.len() == 1), "{problems:?}");
    }
}
