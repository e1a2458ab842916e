//! Reading a command line without ever repeating what is not understood in it: it may be a secret that somebody put there.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// Where secrets come from.
const NEVER_HERE: &str = "A secret never stands on the command line, where others of the host see it: it is asked for, or read from stdin. \
                          If one stood there, change it.";

/// The arguments of this process.
///
/// # Errors
/// The exit status, after what is wrong was told, or what was asked for was shown.
pub(crate) fn args<T: clap::Parser>() -> Result<T, u8> {
    let mut command = T::command();
    command.build();
    let found = command.clone().try_get_matches().and_then(|mut found| T::from_arg_matches_mut(&mut found));
    found.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Nobody may be there to read it.
            drop(error.print());
            u8::try_from(error.exit_code()).unwrap_or(2)
        }
        _ => {
            eprintln!("{}", told(&error, &command));
            2
        }
    })
}

/// What is wrong with a command line, in words that hold nothing of it but what is known anyway.
fn told(error: &Error, command: &Command) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(all)) => Some(all.join(", ")),
        _ => None,
    };
    // The name of an option or a placeholder, which the program has itself.
    let own = text(ContextKind::InvalidArg).filter(|name| is_known(command, name));
    let meant = text(ContextKind::SuggestedArg).or_else(|| text(ContextKind::SuggestedSubcommand));
    let meant = meant.map_or_else(String::new, |meant| format!("; did you mean '{}'?", meant.escape_debug()));
    let (mut what, mut secret) = (String::new(), false);
    match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::TooManyValues => {
            what = format!("an argument is too much, or not known{meant}");
            secret = true;
        }
        ErrorKind::InvalidSubcommand => what = format!("there is no such command{meant}"),
        ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand => {
            let missing = text(ContextKind::InvalidArg).or_else(|| text(ContextKind::ValidSubcommand));
            what = format!("something is missing: {}", missing.unwrap_or_default());
        }
        ErrorKind::ArgumentConflict => what = "two arguments exclude each other".to_owned(),
        _ => {}
    }
    if what.is_empty() {
        let name = own.map_or_else(|| "an argument".to_owned(), |name| format!("'{name}'"));
        what = format!("what stands for {name} is not taken");
        if let Some(values) = text(ContextKind::ValidValue).filter(|values| !values.is_empty()) {
            what += &format!("; it is one of {values}");
        }
    }
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => format!("\n\n{usage}"),
        _ => String::new(),
    };
    let secret = if secret { format!("\n\n{NEVER_HERE}") } else { String::new() };
    format!("error: {what}{secret}{usage}\n\nFor more information, try '--help'.")
}

/// Whether an argument's form, such as `--format <FORMAT>`, is the program's own.
fn is_known(command: &Command, name: &str) -> bool {
    command.get_arguments().any(|arg| arg.to_string() == name)
        || command.get_subcommands().any(|below| is_known(below, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(mut command: Command, line: &[&str]) -> String {
        command.build();
        let error = command.clone().try_get_matches_from(line).unwrap_err();
        told(&error, &command)
    }

    /// Each command, with its words, and how many arguments it takes.
    fn all(command: &Command, words: &[String], found: &mut Vec<(Vec<String>, usize)>) {
        let positional =
            command.get_positionals().filter(|arg| arg.get_num_args().is_none_or(|range| range.max_values() == 1));
        found.push((words.to_vec(), positional.count()));
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            all(below, &[words, &[below.get_name().to_owned()]].concat(), found);
        }
    }

    #[test]
    fn no_command_repeats_what_it_does_not_understand() {
        const NEEDLE: &str = "hunter2-Needle";
        let mut lines = 0;
        for command in [crate::entry::command(), crate::cli::command()] {
            let mut built = command.clone();
            built.build();
            let mut commands = Vec::new();
            all(&built, &[built.get_name().to_owned()], &mut commands);
            for (words, positional) in commands {
                let strays = [
                    vec![NEEDLE.to_owned(); positional + 1],
                    vec![format!("--{NEEDLE}")],
                    vec![format!("--password={NEEDLE}")],
                    vec![format!("-{NEEDLE}")],
                    vec!["--format".to_owned(), NEEDLE.to_owned()],
                    vec!["--log-level".to_owned(), NEEDLE.to_owned()],
                    vec!["-n".to_owned(), NEEDLE.to_owned()],
                    vec!["--device-has".to_owned(), NEEDLE.to_owned()],
                    vec!["--state".to_owned(), NEEDLE.to_owned()],
                    vec!["--json=".to_owned() + NEEDLE],
                ];
                for stray in strays {
                    let line: Vec<String> = words.iter().cloned().chain(stray).collect();
                    if let Err(error) = built.clone().try_get_matches_from(&line) {
                        let told = told(&error, &built);
                        assert!(!told.contains("Needle") && !told.contains("hunter2"), "{line:?}: {told}");
                        assert!(told.starts_with("error: ") && told.contains("--help"), "{line:?}: {told}");
                        lines += 1;
                    }
                }
            }
        }
        assert!(lines > 300, "{lines}");
    }

    #[test]
    fn what_is_told_still_helps() {
        let ctl = || crate::cli::command();
        for (line, expected) in [
            (&["rotorctl", "secret", "set", "web1/admin", "hunter2"][..], "A secret never stands on the command line"),
            (&["rotorctl", "secret", "set", "web1/admin", "hunter2"], "Usage: rotorctl secret set"),
            (&["rotorctl", "rotate", "web1/admin", "--raeson", "x"], "did you mean '--reason'?"),
            (&["rotorctl", "secret", "shwo"], "did you mean 'show'?"),
            (
                &["rotorctl", "audit", "export", "--format", "yaml"],
                "'--format <FORMAT>' is not taken; it is one of json, cef, csv",
            ),
            (&["rotorctl", "secret", "set"], "something is missing: <ACCOUNT>"),
            (&["rotorctl", "rotate", "web1/admin", "--all"], "exclude each other"),
            (&["rotorctl", "schedule", "next", "nightly", "-n", "many"], "'-n <COUNT>' is not taken"),
        ] {
            let told = refused(ctl(), line);
            assert!(told.contains(expected), "{line:?}: {told}");
        }
    }
}
