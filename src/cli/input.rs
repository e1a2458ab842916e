//! Secrets from a prompt without echo, or from stdin; never from the command line.

use std::io::{IsTerminal, Read};

use zeroize::Zeroizing;

use super::Failure;
use crate::control::{ImportRow, SecretText};
use crate::model::{Secret, shown_account};

/// More than this from stdin is no secret.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

pub(super) fn read_stdin() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin()
        .take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("stdin: {error}")))?;
    Ok(text)
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
    let ask = |prompt: String| {
        rpassword::prompt_password(prompt).map(Secret::new).map_err(|error| Failure::usage(error.to_string()))
    };
    let first = ask(format!("{prompt}: "))?;
    if twice && ask(format!("{prompt}, again: "))?.expose() != first.expose() {
        return Err(Failure::usage("the two are not the same; nothing was stored"));
    }
    Ok(SecretText(first))
}

/// A private key from stdin, its passphrase removed.
pub(super) fn private_key() -> Result<SecretText, Failure> {
    use russh::keys::PrivateKey;
    let text = read_stdin()?;
    let wrong = || {
        Failure::usage("stdin holds no private key in OpenSSH's format; 'ssh-keygen -p -f FILE' converts an old one")
    };
    let key = PrivateKey::from_openssh(text.as_bytes()).map_err(|_| wrong())?;
    if !key.is_encrypted() {
        return Ok(SecretText(Secret::new(text.trim_end().to_owned() + "\n")));
    }
    // Stdin is the key, so the passphrase comes from the terminal itself.
    let passphrase = Zeroizing::new(rpassword::prompt_password("Passphrase of the key: ").map_err(|error| {
        Failure::usage(format!("the key is under a passphrase, and no terminal is there to ask for it: {error}"))
    })?);
    let key = key.decrypt(passphrase.as_bytes()).map_err(|_| Failure::usage("the passphrase is wrong"))?;
    let plain = key.to_openssh(Default::default()).map_err(|_| wrong())?;
    Ok(SecretText(Secret::new(plain.to_string())))
}

/// Reads a CSV of secrets; every slip is told with its line, and no value.
pub(crate) fn import_rows(text: &str) -> Result<Vec<ImportRow>, Failure> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::Headers)
        .flexible(true)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let headers = reader.headers().map_err(|error| Failure::usage(error.to_string()))?.clone();
    let place = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
    let Some(account) = place("account") else {
        return Err(Failure::usage("line 1: the header must be account,password,totp"));
    };
    // What stands there is not repeated: in a file without a header it may be a secret.
    let known = |header: &str| ["account", "password", "totp"].iter().any(|name| header.eq_ignore_ascii_case(name));
    if let Some(other) = headers.iter().position(|header| !known(header)) {
        return Err(Failure::usage(format!(
            "line 1: column {} has an unknown name; the header is account,password,totp",
            other + 1
        )));
    }
    let (password, totp) = (place("password"), place("totp"));
    let (mut rows, mut slips) = (Vec::new(), Vec::new());
    let mut seen = std::collections::HashSet::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                slips.push(error.to_string());
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let whole = |column: Option<usize>| column.and_then(|column| record.get(column));
        let value = |column| whole(column).map(str::trim).filter(|value| !value.is_empty());
        let secret = |column| value(column).map(|value| SecretText(Secret::new(value.to_owned())));
        let Some(account) = value(Some(account)) else {
            slips.push(format!("line {line}: the account is missing"));
            continue;
        };
        if record.len() > headers.len() {
            slips.push(format!(
                "line {line}: it has {} fields and the header {}; a value with a comma stands in quotes",
                record.len(),
                headers.len()
            ));
        }
        if !seen.insert(account.to_owned()) {
            slips.push(format!("line {line}: {} stands in it twice", shown_account(account)));
        }
        // Whether the space is a part of it, nobody knows; a password that is not the account's locks it.
        if value(password) != whole(password).filter(|value| !value.trim().is_empty()) {
            slips.push(format!(
                "line {line}: the password begins or ends with a space; take that out, or store the password with 'rotorctl secret set'"
            ));
        }
        let row = ImportRow { line, account: account.to_owned(), password: secret(password), totp: secret(totp) };
        if row.password.is_none() && row.totp.is_none() {
            slips.push(format!("line {line}: neither password nor totp"));
        }
        rows.push(row);
    }
    if slips.is_empty() { Ok(rows) } else { Err(Failure::usage(format!("nothing was stored:\n{}", slips.join("\n")))) }
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
