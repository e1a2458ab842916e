//! Secrets from a prompt without echo, or from stdin; never from the command line.

use std::collections::HashSet;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Failure;
use crate::control::private_key::{plain, read, unlock};
use crate::control::{ImportRow, SecretText};
use crate::files;
use crate::import::records::{Record, records};
use crate::model::{Secret, shown_account};

/// More than this from stdin is no secret.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// All of stdin as text, without a byte-order mark at its head.
pub(super) fn read_stdin() -> Result<Zeroizing<String>, Failure> {
    read_text(std::io::stdin(), "stdin")
}

/// A file that secrets come from, as a message may name it: what is given for its name may be what should have come from it, and is
/// repeated only where there is such a file, or its name ends as files' names do.
pub(super) fn told(file: &Path) -> String {
    let text = file.display().to_string();
    let ends = file.extension().and_then(|end| end.to_str());
    let ends = ends.is_some_and(|end| end.len() <= 5 && end.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if file.exists() || ends && !text.contains(':') { text } else { "the file".to_owned() }
}

/// A file's bytes, or those of stdin.
pub(super) fn bytes_of(file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if file == Path::new("-") {
        return read_bytes(std::io::stdin(), "stdin");
    }
    let name = told(file);
    read_bytes(File::open(file).map_err(|error| Failure::usage(format!("{name}: {error}")))?, &name)
}

/// A file's text, which may come through a pipe, without a byte-order mark at its head.
pub(super) fn read_file(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let name = told(file);
    read_text(File::open(file).map_err(|error| Failure::usage(format!("{name}: {error}")))?, &name)
}

fn read_bytes(source: impl Read, name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let fail = |why: String| Failure::usage(format!("{name}: {why}"));
    let mut bytes = Zeroizing::new(Vec::new());
    source.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MOST_BYTES {
        return Err(fail(format!("more than {MOST_BYTES} bytes")));
    }
    Ok(bytes)
}

fn read_text(source: impl Read, name: &str) -> Result<Zeroizing<String>, Failure> {
    text_of(read_bytes(source, name)?, name)
}

/// Bytes as text, without a byte-order mark at its head.
pub(super) fn text_of(mut bytes: Zeroizing<Vec<u8>>, name: &str) -> Result<Zeroizing<String>, Failure> {
    let fail = |why: String| Failure::usage(format!("{name}: {why}"));
    let text = Zeroizing::new(files::text_of(std::mem::take(&mut *bytes)).map_err(|error| fail(error.to_string()))?);
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), |text| Zeroizing::new(text.to_owned())))
}

/// One secret line: asked for twice on a terminal where it cannot be seen to be right.
pub(super) fn secret(prompt: &str, twice: bool) -> Result<SecretText, Failure> {
    if !std::io::stdin().is_terminal() {
        let text = read_stdin()?;
        let mut lines = text.lines();
        let line = lines.next().unwrap_or_default();
        // Who answers the two questions of a terminal, answers them here too.
        if !lines.all(|again| twice && again == line) {
            return Err(Failure::usage("stdin holds more than one line; a secret is one line"));
        }
        return Ok(SecretText(Secret::new(line.to_owned())));
    }
    let ask = |prompt: String| ask_unseen(&prompt).map(Secret::new).map_err(|error| Failure::usage(error.to_string()));
    let first = ask(format!("{prompt}: "))?;
    if twice && ask(format!("{prompt}, again: "))?.expose() != first.expose() {
        return Err(Failure::usage("the two are not the same; nothing was stored"));
    }
    Ok(SecretText(first))
}

/// Asks at the terminal. Its echo is off before the question is shown: who answers at once, as a program does, is not shown either.
fn ask_unseen(prompt: &str) -> std::io::Result<String> {
    let terminal = File::open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let mut quiet = before.clone();
    quiet.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&terminal, SetArg::TCSANOW, &quiet)?;
    let answer = rpassword::prompt_password(prompt);
    tcsetattr(&terminal, SetArg::TCSANOW, &before)?;
    answer
}

/// A private key from stdin, its passphrase removed.
pub(super) fn private_key() -> Result<SecretText, Failure> {
    let text = read_stdin()?;
    if let Some(key) = read(&text).map_err(Failure::usage)? {
        return Ok(SecretText(plain(&key).map_err(Failure::usage)?));
    }
    // Stdin is the key, so the passphrase comes from the terminal itself.
    let passphrase = Zeroizing::new(ask_unseen("Passphrase of the key: ").map_err(|error| {
        Failure::usage(format!("the key is under a passphrase, and no terminal is there to ask for it: {error}"))
    })?);
    let key = unlock(&text, &passphrase).map_err(Failure::usage)?;
    Ok(SecretText(plain(&key).map_err(Failure::usage)?))
}

/// The columns of an import, by their places in the header.
struct Columns {
    account: usize,
    password: Option<usize>,
    totp: Option<usize>,
    count: usize,
}

impl Columns {
    /// What stands in the header is not repeated: in a file without one it may be a secret.
    fn of(header: &Record) -> Result<Self, Failure> {
        const NAMES: [&str; 3] = ["account", "password", "totp"];
        let wrong = |why: String| Failure::usage(format!("line {}: {why}", header.line));
        let names: Vec<String> = header.fields.iter().map(|field| field.trim().to_ascii_lowercase()).collect();
        let [account, password, totp] = NAMES.map(|name| names.iter().position(|given| given == name));
        let parted = [';', '\t', '|']
            .into_iter()
            .find(|part| names.len() == 1 && names[0].split(*part).any(|name| NAMES.contains(&name.trim())));
        if let Some(part) = parted {
            let part = if part == '\t' { "a tab".to_owned() } else { format!("'{part}'") };
            return Err(wrong(format!("the columns are parted by {part}; save the table as CSV with commas")));
        }
        let account = account.ok_or_else(|| wrong("the header must be account,password,totp".into()))?;
        if let Some(other) = names.iter().position(|name| !NAMES.contains(&name.as_str())) {
            return Err(wrong(format!(
                "column {} has an unknown name; the header is account,password,totp",
                other + 1
            )));
        }
        if names.len() != [Some(account), password, totp].iter().flatten().count() {
            return Err(wrong("a column stands in the header twice".into()));
        }
        Ok(Self { account, password, totp, count: names.len() })
    }
}

/// Reads a CSV of secrets; every slip is told with its line, and no value.
pub(crate) fn import_rows(text: &str) -> Result<Vec<ImportRow>, Failure> {
    let (records, slip) = records(text.trim_start_matches('\u{feff}'));
    let mut records = records.iter().filter(|record| !record.is_blank());
    let mut slips = Vec::new();
    let mut rows = Vec::new();
    match (records.next(), &slip) {
        (Some(header), _) => {
            let columns = Columns::of(header)?;
            let mut seen = HashSet::new();
            for record in records {
                row(record, &columns, &mut seen, &mut slips).into_iter().for_each(|row| rows.push(row));
            }
        }
        (None, None) => return Err(Failure::usage("line 1: the header must be account,password,totp")),
        (None, Some(_)) => {}
    }
    slips.extend(slip);
    if slips.is_empty() { Ok(rows) } else { Err(Failure::usage(format!("nothing was stored:\n{}", slips.join("\n")))) }
}

/// A record as a row, and what is wrong with it.
fn row(record: &Record, columns: &Columns, seen: &mut HashSet<String>, slips: &mut Vec<String>) -> Option<ImportRow> {
    let line = record.line;
    let mut slip = |what: String| slips.push(format!("line {line}: {what}"));
    let whole = |column: Option<usize>| column.and_then(|column| record.fields.get(column)).map(|field| field.as_str());
    let value = |column| whole(column).map(str::trim).filter(|value| !value.is_empty());
    let secret = |column| value(column).map(|value| SecretText(Secret::new(value.to_owned())));
    let Some(account) = value(Some(columns.account)) else {
        slip("the account is missing".into());
        return None;
    };
    if record.fields.len() > columns.count {
        slip(format!(
            "it has {} fields and the header {}; a value with a comma stands in quotes",
            record.fields.len(),
            columns.count
        ));
    }
    if !seen.insert(account.to_owned()) {
        slip(format!("{} stands in it twice", shown_account(account)));
    }
    // Whether the space is a part of it, nobody knows; a password that is not the account's locks it.
    if value(columns.password) != whole(columns.password).filter(|value| !value.trim().is_empty()) {
        slip(
            "the password begins or ends with a space; take that out, or store the password with 'rotorctl secret set'"
                .into(),
        );
    }
    let row =
        ImportRow { line, account: account.to_owned(), password: secret(columns.password), totp: secret(columns.totp) };
    if row.password.is_none() && row.totp.is_none() {
        slip("neither password nor totp".into());
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_is_read_in_any_column_order_and_with_quotes() {
        let rows =
            import_rows("totp, account ,password\nGEZD, web1/a ,\"p,\"\"w\"\n,web1/b,x y\n AB ,web1/c, \n").unwrap();
        assert_eq!([&rows[0].account, &rows[2].account], ["web1/a", "web1/c"]);
        assert_eq!(rows[1].password.as_ref().unwrap().0.expose(), "x y");
        assert_eq!((rows[2].totp.as_ref().unwrap().0.expose(), rows[2].password.is_none()), ("AB", true));
        assert_eq!(rows[0].password.as_ref().unwrap().0.expose(), "p,\"w");
        assert!(rows[1].totp.is_none());
    }

    #[test]
    fn a_mark_of_the_byte_order_and_rows_of_nothing_are_no_part_of_a_csv() {
        let rows = import_rows("\u{feff}\"account\",\"password\"\r\n\r\nweb1/a,x\r\n,,\r\n \r\n").unwrap();
        assert_eq!((rows.len(), rows[0].line), (1, 3));
        for (bytes, expected) in [
            (b"\xef\xbb\xbfx\n".as_slice(), Ok("x\n")),
            (b"x\xef\xbb\xbf", Ok("x\u{feff}")),
            (b"b\xfcro", Err("stdin: it is not UTF-8")),
            (b"\xff\xfex\0", Err("UTF-16")),
        ] {
            match (read_text(bytes, "stdin"), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(*text, expected),
                (Err(failure), Err(expected)) => assert!(failure.message.contains(expected), "{}", failure.message),
                (found, _) => panic!("{bytes:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_header_that_is_none_is_told_without_what_stands_in_it() {
        for (text, expected) in [
            ("", "line 1: the header must be"),
            ("web1/a,hunter2,\n", "line 1: the header must be"),
            ("account;password\nweb1/a;hunter2\n", "parted by ';'"),
            ("account\tpassword\nweb1/a\thunter2\n", "parted by a tab"),
            ("account,hunter2\n", "column 2 has an unknown name"),
            ("account,password,password\nweb1/a,hunter2,x\n", "twice"),
            ("account,\"password\nweb1/a,hunter2\n", "never closed"),
        ] {
            let error = import_rows(text).unwrap_err().message;
            assert!(error.contains(expected) && !error.contains("hunter2"), "{text:?}: {error}");
        }
    }

    #[test]
    fn quotes_that_do_not_fit_are_told_with_their_line_beside_other_slips() {
        let error = import_rows("account,password\n,x\nweb1/a,\"\"hunter2\"\nweb1/b,y\n").unwrap_err().message;
        assert!(error.contains("line 2: the account is missing"), "{error}");
        assert!(error.contains("line 3: something stands behind a closing quote"), "{error}");
        assert!(error.contains("nothing was stored") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_password_with_a_space_at_an_end_is_not_stored_without_it() {
        for password in [" hunter2", "hunter2 ", "\"hunter2 \""] {
            let error = import_rows(&format!("account,password\nweb1/a,{password}\n")).unwrap_err().message;
            assert!(error.contains("line 2: the password begins or ends with a space"), "{error}");
            assert!(!error.contains("hunter2"));
        }
    }

    #[test]
    fn all_slips_are_told_with_their_line_and_no_value() {
        let error = import_rows("account,password\n,hunter2\nweb1/a,\nweb1/a,x,y\n").unwrap_err().message;
        for expected in [
            "line 2: the account",
            "line 3: neither",
            "line 4: it has 3",
            "line 4: account 'web1/a' stands in it twice",
        ] {
            assert!(error.contains(expected), "{error}");
        }
        assert!(!error.contains("hunter2"));
    }
}
