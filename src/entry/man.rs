//! Manual pages: of the programs from their command lines, of config and templates from their references.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::config::{DEFAULT_PATH, KEYS, SECTIONS};
use crate::template::REFERENCE;

/// Writes what a page says.
type Body = fn(&mut Roff);

/// The pages about files: title, what it is, body.
const FILES: &[(&str, &str, Body)] = &[
    ("rotord.toml", "the config of rotord", config),
    ("rotord-template", "how rotord changes passwords on a kind of device", templates),
];

/// Writes all pages below a folder, each into the folder of its section.
pub(super) fn write(folder: &Path) -> io::Result<()> {
    programs(super::command(), "8", folder)?;
    programs(crate::cli::command(), "1", folder)?;
    let section = folder.join("man5");
    fs::create_dir_all(&section)?;
    for (title, what, body) in FILES {
        let mut page = Roff::new();
        page.control("TH", [*title, "5", "", concat!("rotord ", env!("CARGO_PKG_VERSION")), ""]);
        heading(&mut page, "NAME");
        page.text([roman(format!("{title} - {what}"))]);
        body(&mut page);
        see_also(&mut page);
        fs::write(section.join(format!("{title}.5")), page.to_roff())?;
    }
    Ok(())
}

/// A page for a program and for each of its commands.
fn programs(command: Command, section: &str, folder: &Path) -> io::Result<()> {
    fn pages(command: &Command, section: &str, folder: &Path) -> io::Result<()> {
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            pages(below, section, folder)?;
        }
        let man = Man::new(command.clone()).section(section);
        let mut page = Vec::new();
        man.render(&mut page)?;
        let mut more = Roff::new();
        see_also(&mut more);
        more.to_writer(&mut page)?;
        fs::write(folder.join(man.get_filename()), page)
    }
    let folder = folder.join(format!("man{section}"));
    fs::create_dir_all(&folder)?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    pages(&command, section, &folder)
}

fn heading(page: &mut Roff, text: &str) {
    page.control("SH", [text]);
}

fn see_also(page: &mut Roff) {
    heading(page, "SEE ALSO");
    let pages = [("rotord", "8"), ("rotorctl", "1"), ("rotord.toml", "5"), ("rotord-template", "5")];
    let mut line = Vec::new();
    for (name, section) in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(name), roman(format!("({section})"))]);
    }
    page.text(line);
}

/// An entry of a list: what stands in front, and what it means.
fn entry(page: &mut Roff, term: Vec<Inline>, meaning: &str) {
    page.control("TP", []);
    page.text(term);
    page.text([roman(meaning)]);
}

fn config(page: &mut Roff) {
    heading(page, "DESCRIPTION");
    page.text([
        roman("The config is TOML: "),
        italic(DEFAULT_PATH),
        roman(" and, as if they stood in it, the files "),
        italic("config.d/*.toml"),
        roman(
            " beside it. A key that is not listed here is an error, and so is one that looks like a secret: none stands in a config. \
             Durations are written as 45s, 5m, 1h30m or 90d. \"rotord check\" tells every mistake with its place, \
             \"rotord check --explain KEY\" what a key means. SIGHUP has a running daemon read its config again; one with a mistake is \
             refused whole.",
        ),
    ]);
    for (section, what) in SECTIONS {
        heading(page, section);
        page.text([roman(format!("{}.", capitalised(what)))]);
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let meaning = format!("{}. Takes {}. ", capitalised(key.meaning), key.value.replace('`', ""));
            let absent = format!("Where absent: {}. Example: {}", key.absent().replace('`', ""), key.example);
            entry(page, vec![bold(key.name)], &(meaning.replace('`', "") + &absent));
        }
    }
    heading(page, "FILES");
    entry(page, vec![italic(DEFAULT_PATH)], "The config.");
    entry(page, vec![italic("/etc/rotord/vault.key")], "The key of the vault.");
    entry(page, vec![italic("/var/lib/rotord/vault.db")], "The vault.");
    entry(page, vec![italic("/var/lib/rotord/audit/*.jsonl")], "The audit log.");
}

fn templates(page: &mut Roff) {
    heading(page, "DESCRIPTION");
    page.text([roman(
        "An execution template is a text file NAME.template in a folder of template_dirs: one command a line, in the order in which they \
         are carried out once the login is done. Tags in brackets, such as [#NEW_PASSWORD#], are filled with the values of the account. \
         The first line that sends the new password is the commit point: before it nothing is changed, and from it on the change counts. \
         \"rotorctl template check\" tells every mistake with its place, \"rotorctl template test\" plays recorded dialogues.",
    )]);
    heading(page, "COMMANDS");
    for command in REFERENCE {
        let others = match &command.names[1..] {
            [] => String::new(),
            names => format!(" (also {})", names.join(", ")),
        };
        let term = vec![bold(command.names[0]), roman(" "), italic(command.argument)];
        let meaning = format!("{}{others}. Example: {}", capitalised(command.meaning), command.example);
        entry(page, term, &meaning.replace('`', ""));
    }
    heading(page, "EXAMPLE");
    page.control("nf", []);
    for line in
        include_str!("../../templates/linux/linux-passwd.template").lines().filter(|line| !line.starts_with('#'))
    {
        page.text([roman(line)]);
    }
    page.control("fi", []);
}

/// A sentence begins with a capital, unless it begins with a name.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
