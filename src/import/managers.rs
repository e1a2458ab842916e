//! Exports of password managers as JSON.

use serde::Deserialize;

use super::entry::{Address, Entry, LeftOut, LeftOver, Text, given, password, seed};
use super::{Format, Found, ImportError, malformed};

/// Bitwarden's export (its help centre, "Encrypted export" and "Export vault data"); Vaultwarden's web vault writes the same.
#[derive(Deserialize)]
struct Export {
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    /// 1 is a login, 2 a note, 3 a card, 4 an identity, 5 an SSH key.
    #[serde(rename = "type", default)]
    kind: u64,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    login: Option<Login>,
}

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    uris: Option<Vec<Uri>>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<Text>,
    #[serde(default)]
    totp: Option<Text>,
}

#[derive(Deserialize)]
struct Uri {
    #[serde(default)]
    uri: Option<String>,
}

pub(super) fn bitwarden(text: &str) -> Result<Found, ImportError> {
    let export: Export =
        serde_json::from_str(text).map_err(|error| malformed(Format::Bitwarden, format!("line {}", error.line())))?;
    if export.encrypted {
        return Err(ImportError::Encrypted(
            "in Bitwarden or Vaultwarden, choose Tools, Export vault, and the file format .json without encryption",
        ));
    }
    let mut found = Found::default();
    for (number, item) in (1u64..).zip(export.items) {
        let title = item.name.unwrap_or_default();
        let place = format!("item {number} ({title})");
        let Some(login) = item.login.filter(|_| item.kind == 1) else {
            found.left_out.push(LeftOut::new(&place, LeftOver::Other("it is no login".into())));
            continue;
        };
        let addresses = || login.uris.iter().flatten().filter_map(|uri| Address::parse(uri.uri.as_deref()?));
        let address = addresses().find(|address| !address.is_web).or_else(|| addresses().next());
        match seed(login.totp.as_ref().map_or("", |totp| &**totp)) {
            Ok(totp) => found.entries.push(Entry {
                place,
                number,
                title,
                address,
                user: login.username.as_deref().and_then(given).map(str::to_owned),
                password: login.password.as_ref().and_then(|text| password(text)),
                totp,
                ..Entry::default()
            }),
            Err(why) => found.left_out.push(LeftOut::new(&place, why)),
        }
    }
    Ok(found)
}
