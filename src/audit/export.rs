//! The log in the formats that other systems read.

use chrono::DateTime;
use serde_json::Value;

use crate::model::{EventKind, Outcome};

/// An export format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON document.
    Json,
    /// ArcSight Common Event Format, version 0.
    Cef,
    /// RFC 4180, with a header.
    Csv,
}

impl Format {
    /// Parses `json`, `cef` or `csv`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "json" => Some(Self::Json),
            "cef" => Some(Self::Cef),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// Writes a log that comes in parts in a format.
#[derive(Debug)]
pub struct Exporter {
    format: Format,
    begun: bool,
}

impl Exporter {
    /// Nothing is written yet.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, begun: false }
    }

    /// The next events (parsed lines).
    ///
    /// # Errors
    /// A CSV record could not be made, which plain text never causes.
    pub fn part(&mut self, events: &[Value]) -> Result<String, csv::Error> {
        let first = !std::mem::replace(&mut self.begun, true);
        match self.format {
            Format::Json => {
                let listed: Vec<String> = events.iter().map(Value::to_string).collect();
                let before = if first { "{\"events\":[" } else { "," };
                Ok(if listed.is_empty() && !first { String::new() } else { format!("{before}{}", listed.join(",\n")) })
            }
            Format::Cef => Ok(events.iter().map(|event| cef(event, None) + "\n").collect()),
            Format::Csv => csv_text(events, first),
        }
    }

    /// What stands at the end.
    #[must_use]
    pub fn end(&self) -> &'static str {
        if self.format == Format::Json { "]}\n" } else { "" }
    }
}

const COLUMNS: &[&str] = &[
    "seq", "time", "event", "account", "device", "job", "trigger", "attempt", "outcome", "detail", "reason", "prev",
    "hash",
];

fn text(event: &Value, key: &str) -> String {
    match event.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn actor(event: &Value, key: &str) -> String {
    event.get("actor").map_or_else(String::new, |actor| text(actor, key))
}

fn csv_text(events: &[Value], headed: bool) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if headed {
        writer.write_record(COLUMNS.iter().copied().chain(["actor_uid", "actor_name", "actor_pid"]))?;
    }
    for event in events {
        let columns = COLUMNS.iter().map(|key| text(event, key));
        // A cell that a spreadsheet would take for a formula gets a quote in front.
        let cells = columns
            .chain(["uid", "name", "pid"].map(|key| actor(event, key)))
            .map(|cell| if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell });
        writer.write_record(cells)?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A field of a CEF header: in it `\` and `|` are escaped, and a line does not end.
fn cef_header(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('|', "\\|")
}

/// A value of a CEF extension: in it `\` and `=` are escaped, and line ends are written `\n` and `\r`.
fn cef_value(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r");
    one_line(&escaped)
}

/// The text without control characters and Unicode's own line ends: an event is one line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

/// Milliseconds since 1970 of a time of the log (RFC 3339): CEF knows no other form that has a zone and no words.
fn epoch_ms(event: &Value) -> String {
    let time = event.get("time").and_then(Value::as_str).and_then(|time| DateTime::parse_from_rfc3339(time).ok());
    time.map_or_else(String::new, |time| time.timestamp_millis().to_string())
}

/// How much it matters, from 0 to 10.
fn severity(kind: Option<EventKind>, outcome: Option<Outcome>) -> u8 {
    use EventKind::{AccessDenied, AccountQuarantined, AuditRewritten, HostKeyMismatch, SecretShown};
    match (kind, outcome) {
        (Some(HostKeyMismatch | AccessDenied | AccountQuarantined | AuditRewritten), _)
        | (_, Some(Outcome::Unknown)) => 8,
        (_, Some(Outcome::Failed)) => 5,
        (Some(SecretShown), _) => 4,
        _ => 2,
    }
}

/// An event after "Implementing ArcSight Common Event Format (CEF)", version 25: keys of its dictionary only, custom strings with
/// their labels. Its severity is told by the event where none is given.
#[must_use]
pub fn cef(event: &Value, given: Option<u8>) -> String {
    let name = text(event, "event");
    let severity = given.unwrap_or_else(|| severity(EventKind::parse(&name), Outcome::parse(&text(event, "outcome"))));
    let pairs = [
        ("rt", epoch_ms(event)),
        ("externalId", text(event, "seq")),
        ("duser", text(event, "account")),
        ("dhost", text(event, "device")),
        ("suser", actor(event, "name")),
        ("suid", actor(event, "uid")),
        ("spid", actor(event, "pid")),
        ("outcome", text(event, "outcome")),
        ("reason", text(event, "trigger")),
        ("msg", text(event, "detail")),
    ];
    let labelled =
        [("cs1", "attempt"), ("cs2", "job"), ("cs3", "reason")].map(|(key, label)| (key, label, text(event, label)));
    let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let mut extension: Vec<String> = given.map(|(key, value)| format!("{key}={}", cef_value(&value))).collect();
    for (key, label, value) in labelled.into_iter().filter(|(.., value)| !value.is_empty()) {
        extension.push(format!("{key}Label={label} {key}={}", cef_value(&value)));
    }
    let version = cef_header(env!("CARGO_PKG_VERSION"));
    let name = cef_header(&name);
    format!("CEF:0|rotord|rotord|{version}|{name}|{name}|{severity}|{}", extension.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader of CEF after its guide, made without a look at the writer: seven fields parted by `|`, then keys without a
    /// blank in them, each with an `=`, and values up to the next key. The fields, and the extension by its keys.
    fn read_cef(line: &str) -> (Vec<String>, std::collections::BTreeMap<String, String>) {
        let key = regex::Regex::new(r"(?:^| )([A-Za-z0-9_.]+)=").unwrap();
        let mut fields = vec![String::new()];
        let mut rest = line.chars();
        while fields.len() < 8 {
            match rest.next().expect("a header has seven bars") {
                '\\' => fields.last_mut().unwrap().push(rest.next().expect("an escape is of something")),
                '|' => fields.push(String::new()),
                c => fields.last_mut().unwrap().push(c),
            }
        }
        fields.pop();
        let extension = rest.as_str();
        // An escaped '=' ends no key.
        let masked = extension.replace("\\\\", "\u{1}\u{1}").replace("\\=", "\u{2}\u{2}");
        let found: Vec<_> =
            key.captures_iter(&masked).map(|found| (found.get(0).unwrap(), found.get(1).unwrap())).collect();
        let mut values = std::collections::BTreeMap::new();
        for (index, (whole, name)) in found.iter().enumerate() {
            let end = found.get(index + 1).map_or(extension.len(), |(next, _)| next.start());
            let mut value = String::new();
            let mut raw = extension[whole.end()..end].chars();
            while let Some(c) = raw.next() {
                value.push(match c {
                    '\\' => match raw.next().expect("an escape is of something") {
                        'n' => '\n',
                        'r' => '\r',
                        other => other,
                    },
                    c => c,
                });
            }
            assert!(values.insert(name.as_str().to_owned(), value).is_none(), "{line}");
        }
        (fields, values)
    }

    #[test]
    fn an_event_in_cef_is_read_back_as_it_was() {
        for detail in [
            "x=1\\y\nz",
            "a|b\\|c",
            "step 5, rt=0 cs1=forged",
            "ends with \\",
            "two\r\nlines",
            "= \\= == \\\\",
            "grün, 管理 é",
            "CEF:0|other|x|1|a|a|9|msg=no",
        ] {
            let event = serde_json::json!({
                "seq": 7, "time": "2026-11-30T16:54:48.250Z", "event": "rotation.failed", "account": "web1/CORP\\ad=min",
                "device": "web1", "job": "night=ly", "trigger": "schedule", "attempt": "a-1", "outcome": "failed", "reason": "why=not|",
                "detail": detail, "actor": {"uid": 0, "name": "root", "pid": 1},
            });
            let line = Exporter::new(Format::Cef).part(&[event]).unwrap();
            assert_eq!(line.matches(['\n', '\r']).count(), 1, "{line:?}");
            let (header, values) = read_cef(line.trim_end());
            assert_eq!(header[..3], ["CEF:0", "rotord", "rotord"]);
            assert_eq!(header[4..], ["rotation.failed", "rotation.failed", "5"]);
            let expected = [
                ("cs1", "a-1"),
                ("cs1Label", "attempt"),
                ("cs2", "night=ly"),
                ("cs2Label", "job"),
                ("cs3", "why=not|"),
                ("cs3Label", "reason"),
                ("dhost", "web1"),
                ("duser", "web1/CORP\\ad=min"),
                ("externalId", "7"),
                ("msg", detail),
                ("outcome", "failed"),
                ("reason", "schedule"),
                ("rt", "1796057688250"),
                ("spid", "1"),
                ("suid", "0"),
                ("suser", "root"),
            ];
            assert_eq!(values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn each_custom_field_of_cef_has_its_label_and_what_is_absent_has_neither() {
        let event = serde_json::json!({"seq": 1, "time": "no time", "event": "a|b\\c\nd", "job": null});
        let line = Exporter::new(Format::Cef).part(&[event]).unwrap();
        let (header, values) = read_cef(line.trim_end());
        assert_eq!(header[4], "a|b\\c d");
        assert_eq!(values.keys().collect::<Vec<_>>(), ["externalId"]);
    }

    #[test]
    fn parts_make_one_document() {
        let event = |seq: u64| serde_json::json!({"seq": seq, "event": "e"});
        let whole = |format: Format, parts: &[Vec<Value>]| {
            let mut exporter = Exporter::new(format);
            let text: String = parts.iter().map(|part| exporter.part(part).unwrap()).collect();
            text + exporter.end()
        };
        let parts = [vec![event(1), event(2)], vec![event(3)], Vec::new()];
        let document: Value = serde_json::from_str(&whole(Format::Json, &parts)).unwrap();
        assert_eq!(document["events"].as_array().unwrap().len(), 3);
        assert_eq!(whole(Format::Csv, &parts).lines().count(), 4);
        let empty: Value = serde_json::from_str(&whole(Format::Json, &[Vec::new()])).unwrap();
        assert_eq!(empty, serde_json::json!({"events": []}));
    }

    #[test]
    fn csv_quotes_and_disarms_formulas() {
        let event = serde_json::json!({"seq": 1, "event": "e", "detail": "=1+1,\"x\""});
        let text = Exporter::new(Format::Csv).part(&[event]).unwrap();
        assert!(text.contains("\"'=1+1,\"\"x\"\"\""), "{text}");
    }
}
