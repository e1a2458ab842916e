//! The log in the formats that other systems read.

use serde_json::Value;

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
                Ok(if listed.is_empty() && !first { String::new() } else { before.to_owned() + &listed.join(",\n") })
            }
            Format::Cef => Ok(events.iter().map(|event| cef(event) + "\n").collect()),
            Format::Csv => csv_text(events, first),
        }
    }

    /// What stands at the end.
    #[must_use]
    pub fn end(&self) -> &'static str {
        if self.format == Format::Json { "]}\n" } else { "" }
    }
}

const COLUMNS: &[&str] =
    &["seq", "time", "event", "account", "device", "job", "trigger", "attempt", "outcome", "detail", "prev", "hash"];

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
            .map(|cell| if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell });
        writer.write_record(cells)?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cef(event: &Value) -> String {
    let header = |text: String| text.replace('\\', "\\\\").replace('|', "\\|");
    let value = |text: String| text.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n");
    let name = text(event, "event");
    let severity = match (name.as_str(), text(event, "outcome").as_str()) {
        ("host_key.mismatch" | "access.denied", _) | (_, "unknown") => 8,
        (_, "failed") => 5,
        ("secret.shown", _) => 4,
        _ => 2,
    };
    let pairs = [
        ("rt", text(event, "time")),
        ("externalId", text(event, "seq")),
        ("duser", text(event, "account")),
        ("dhost", text(event, "device")),
        ("suser", actor(event, "name")),
        ("suid", actor(event, "uid")),
        ("spid", actor(event, "pid")),
        ("outcome", text(event, "outcome")),
        ("reason", text(event, "trigger")),
        ("cs1", text(event, "attempt")),
        ("msg", text(event, "detail")),
    ];
    let extension: Vec<String> =
        pairs.into_iter().filter(|(_, v)| !v.is_empty()).map(|(key, v)| format!("{key}={}", value(v))).collect();
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "CEF:0|rotord|rotord|{version}|{}|{}|{severity}|{}",
        header(name.clone()),
        header(name),
        extension.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cef_escapes_what_would_break_its_fields() {
        let event = serde_json::json!({"seq": 1, "time": "t", "event": "a|b", "detail": "x=1\\y\nz", "actor": {"uid": 0, "name": "root", "pid": 1}});
        let line = Exporter::new(Format::Cef).part(&[event]).unwrap();
        assert!(
            line.contains("|a\\|b|") && line.contains("msg=x\\=1\\\\y\\nz") && line.contains("suser=root"),
            "{line}"
        );
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
