//! `[device.NAME]` sections.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::build::{Named, Reference};
use super::table::Table;
use super::{Device, Endpoint, Library, SshEndpoint, web};
use crate::dialogue::LoginFormat;
use crate::model::{AccountName, DeviceName};

/// Keys that only a web device has.
pub(super) const ONLY_WEB: [&str; 7] =
    ["url", "allow_hosts", "ca_file", "tls_sha256", "park_for", "send_user_agent", "timeout"];

/// Kinds of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ssh,
    Web,
}

pub(super) type Devices<'a> = BTreeMap<DeviceName, (Arc<Device>, Option<Reference<'a>>)>;

pub(super) fn devices<'a>(named: Named<'a, &'a DeTable<'a>>, library: &Library, base: &Path) -> Devices<'a> {
    let mut devices = BTreeMap::new();
    for (text, (table, report, span)) in named {
        let table = Table::new(table, span.clone(), format!("[device.{text}]"), report);
        match DeviceName::parse(&text) {
            Ok(name) => {
                let (device, jump) = device(table, name.clone(), library, base);
                devices.insert(name, (Arc::new(device), jump));
            }
            Err(error) => report.error(span, "C005", error.to_string()),
        }
    }
    devices
}

fn device<'a>(
    mut table: Table<'a>,
    name: DeviceName,
    library: &Library,
    base: &Path,
) -> (Device, Option<Reference<'a>>) {
    let report = table.report;
    let kind = table.parsed("kind", |text| match text {
        "ssh" => Ok(Kind::Ssh),
        "web" => Ok(Kind::Web),
        _ => Err("a device is of kind \"ssh\" or \"web\"".to_owned()),
    });
    let kind = kind.map_or(Kind::Ssh, |(kind, _)| kind);
    let (endpoint, jump) = match kind {
        Kind::Ssh => {
            for key in ONLY_WEB {
                if !table.has(key) {
                    continue;
                }
                report.error(table.span.clone(), "C005", format!("'{key}' is for a device with kind = \"web\""));
                table.ignore(key);
            }
            let (endpoint, jump) = ssh(&mut table, base);
            (Endpoint::Ssh(Arc::new(endpoint)), jump)
        }
        Kind::Web => (Endpoint::Web(Arc::new(web::endpoint(&mut table, base))), None),
    };
    let (template, pin) = template_of(&mut table, kind, library);
    let device = Device {
        name,
        endpoint,
        template,
        template_sha256: pin,
        max_sessions: table.size("max_sessions", 1, 1000).unwrap_or(1),
        fields: table.fields(),
    };
    table.finish();
    (device, jump.map(|span| Reference { report, span, key: "jump" }))
}

/// The template's name, and its hash where it is pinned.
fn template_of(table: &mut Table<'_>, kind: Kind, library: &Library) -> (String, Option<String>) {
    let report = table.report;
    let template = table.string("template");
    let found = template.as_ref().map(|(name, span)| (library.find(name), span));
    match &found {
        None => table.missing("template", if kind == Kind::Web { "\"mediawiki\"" } else { "\"linux-passwd\"" }),
        Some((Err(message), span)) => report.error((*span).clone(), "C007", message.clone()),
        Some((Ok(entry), span)) => {
            let is_web = entry.template.as_ref().map(|template| template.web().is_some());
            match (kind, is_web) {
                (Kind::Ssh, Some(true)) => report.error(
                    (*span).clone(),
                    "C005",
                    "this is a template for a browser; set kind = \"web\" and url, or name another template",
                ),
                (Kind::Web, Some(false)) => report.error(
                    (*span).clone(),
                    "C005",
                    "this is a template for a terminal; a device with kind = \"web\" needs one for a browser",
                ),
                _ => {}
            }
        }
    }
    let found = found.and_then(|(found, _)| found.ok()?.template.clone());
    let pin = table.string("template_sha256");
    if let (Some((wanted, span)), Some(found)) = (&pin, found)
        && !wanted.eq_ignore_ascii_case(found.sha256())
    {
        let message = format!(
            "the template is another one than was pinned: it has {}; look at what changed, then pin that or put the old one back",
            found.sha256()
        );
        report.error(span.clone(), "C012", message);
    }
    (template.map(|(name, _)| name).unwrap_or_default(), pin.map(|(pin, _)| pin))
}

/// The keys of a device over SSH, and where its `jump` stands.
fn ssh(table: &mut Table<'_>, base: &Path) -> (SshEndpoint, Option<std::ops::Range<usize>>) {
    let report = table.report;
    let address = table.parsed("address", parse_address);
    if address.is_none() && table.string("address").is_none() {
        table.missing("address", "\"192.0.2.10:22\"");
    }
    let (host, port) = address.map_or((String::new(), 22), |(address, _)| address);
    let host_keys = table.strings("host_key").unwrap_or_default();
    for (key, span) in &host_keys {
        if key.strip_prefix("SHA256:").is_none_or(|hash| hash.trim_end_matches('=').len() != 43) {
            report.error(
                span.clone(),
                "C005",
                "a host key is given by its fingerprint, \"SHA256:\" and 43 characters; 'rotorctl trust' shows it",
            );
        }
    }
    let known_hosts = table.path("known_hosts", base).map(|(file, span)| {
        if !file.is_file() {
            report.warning(span, "C009", "this file does not exist, so no key in it is trusted");
        }
        file
    });
    let jump = table.name("jump", |text| DeviceName::parse(text).map_err(|error| error.to_string()));
    let jump_account = table.name("jump_account", |text| AccountName::parse(text).map_err(|error| error.to_string()));
    let endpoint = SshEndpoint {
        host,
        port,
        host_keys: host_keys.into_iter().map(|(key, _)| key.trim_end_matches('=').to_owned()).collect(),
        known_hosts,
        jump: jump.as_ref().map(|(name, _)| name.clone()),
        jump_account: jump_account.map(|(name, _)| name),
        legacy_algorithms: table.boolean("legacy_algorithms"),
        login_format: table
            .parsed("login_format", |text| {
                LoginFormat::parse(text).ok_or_else(|| format!("the formats are {}", LoginFormat::NAMES.join(", ")))
            })
            .map_or(LoginFormat::Separate, |(format, _)| format),
        connect_timeout: table
            .duration("connect_timeout")
            .unwrap_or(Duration::from_secs(5))
            .max(Duration::from_secs(1)),
    };
    (endpoint, jump.map(|(_, span)| span))
}

fn parse_address(text: &str) -> Result<(String, u16), String> {
    let wrong = || {
        format!(
            "\"{}\" is no address; write HOST:PORT, such as \"192.0.2.10:22\" or \"[2001:db8::1]:22\"",
            text.escape_debug()
        )
    };
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
        (host, rest.strip_prefix(':').unwrap_or(if rest.is_empty() { "22" } else { "" }))
    } else {
        text.rsplit_once(':').unwrap_or((text, "22"))
    };
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:-_%".contains(c);
    if host.is_empty() || !host.chars().all(plain) || (host.contains(':') && !text.starts_with('[')) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}
