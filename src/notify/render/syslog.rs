//! A message as a line of syslog (RFC 5424), its text plain or in the Common Event Format.

use crate::audit::cef;
use crate::config::Facility;
use crate::model::Urgency;
use crate::notify::event::Event;
use crate::notify::message::{Message, shortened};

/// Over UDP: what a receiver should take (RFC 5426, 3.2).
const DATAGRAM: usize = 2048;
/// Over TCP and TLS: what a receiver should take (RFC 5425, 4.3.1).
const STREAM: usize = 8192;

/// How long a line may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// That of a datagram.
    Datagram,
    /// That of a stream.
    Stream,
}

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A sentence and a command, the event as structured data.
    Plain,
    /// The Common Event Format.
    Cef,
}

/// The severity of RFC 5424, 6.2.1.
fn severity(urgency: Urgency) -> u8 {
    match urgency {
        Urgency::Critical => 2,
        Urgency::Error => 3,
        Urgency::Warning => 4,
        Urgency::Info => 6,
    }
}

/// The severity of CEF, from 0 to 10.
fn cef_severity(urgency: Urgency) -> u8 {
    match urgency {
        Urgency::Critical => 9,
        Urgency::Error => 7,
        Urgency::Warning => 5,
        Urgency::Info => 2,
    }
}

/// A field of the header: printable ASCII without blanks, so long at the most, `-` for nothing.
fn field(text: &str, most: usize) -> String {
    let field: String = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(most).collect();
    if field.is_empty() { "-".into() } else { field }
}

/// A value of structured data: `"`, `\` and `]` are escaped (RFC 5424, 6.3.3).
fn value(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]")
}

/// The structured data of an event. 32473 is the number that RFC 5612 sets aside for documents and whoever has none.
fn data(id: &str, event: &Event) -> String {
    let mut out = format!("[rotord@32473 id=\"{}\" seq=\"{}\"", value(id), event.seq);
    let pairs = [
        ("account", &event.account),
        ("device", &event.device),
        ("job", &event.job),
        ("trigger", &event.trigger),
        ("attempt", &event.attempt),
        ("outcome", &event.outcome),
    ];
    for (name, text) in pairs {
        if let Some(text) = text {
            out.push_str(&format!(" {name}=\"{}\"", value(text)));
        }
    }
    if let Some(actor) = &event.actor {
        out.push_str(&format!(" actor=\"{}\" uid=\"{}\"", value(&actor.name), actor.uid));
    }
    out + "]"
}

/// The lines of a message: one an event, as a collector counts them; one an item where it has no event.
#[must_use]
pub fn lines(message: &Message, form: Form, facility: Facility, size: Size) -> Vec<String> {
    let most = match size {
        Size::Datagram => DATAGRAM,
        Size::Stream => STREAM,
    };
    let line = |item_text: &str, urgency: Urgency, id: &str, event: &Event| {
        let priority = u16::from(facility.number()) * 8 + u16::from(severity(urgency));
        let head = format!(
            "<{priority}>1 {} {} rotord {} {}",
            field(&event.time, 32),
            field(&message.host, 255),
            std::process::id(),
            field(&event.event, 32)
        );
        let text = match form {
            Form::Plain => format!("{head} {} {}", data(id, event), shortened(item_text, 4000)),
            Form::Cef => {
                let told = Event { detail: Some(item_text.to_owned()), ..event.clone() };
                let line = serde_json::to_value(&told).unwrap_or_default();
                format!("{head} - {}", cef(&line, Some(cef_severity(urgency))))
            }
        };
        cut(text, most)
    };
    let empty = Event::outside("notify.digest", message.time.clone(), "");
    match message.events.as_slice() {
        [event] => {
            let item = message.items.first();
            let text = item.map_or(message.title.clone(), |item| with_command(&item.text, &item.command));
            vec![line(&text, message.urgency, &message.id, event)]
        }
        _ => {
            let each = message.items.iter().enumerate();
            each.map(|(index, item)| {
                let id = format!("{}.{index}", message.id);
                line(&with_command(&item.text, &item.command), item.urgency, &id, &empty)
            })
            .collect()
        }
    }
}

fn with_command(text: &str, command: &str) -> String {
    if command.is_empty() { text.to_owned() } else { format!("{text}; run: {command}") }
}

/// No more than so many bytes, and whole characters.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let mut end = most;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

/// A line with its length in front (RFC 6587, 3.4.1; RFC 5425, 4.3).
#[must_use]
pub fn framed(line: &str) -> Vec<u8> {
    format!("{} {line}", line.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::{notices, sender};

    fn lines_of(detail: &str, form: Form, size: Size) -> Vec<String> {
        let message = Message::single(&notices(&[("rotation.failed", "web1/ad\"m]in\\", detail)])[0], &sender());
        lines(&message, form, Facility::AuthPriv, size)
    }

    #[test]
    fn a_line_is_as_rfc_5424_has_it_whatever_a_device_said() {
        let line = lines_of("x\n<34>1 2026 evil\u{0}]\"", Form::Plain, Size::Stream).remove(0);
        // PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID, then SD-ELEMENTs in which '"', '\\' and ']' are escaped.
        let form = r#"^<(\d{1,3})>1 (\S+) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) ((?:\[[^ =\]"]{1,32}(?: [^ =\]"]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*\])+) (.*)$"#;
        let read = regex::Regex::new(form).unwrap().captures(&line).unwrap_or_else(|| panic!("{line}"));
        assert_eq!((&read[1], &read[3], &read[4], &read[6]), ("84", "bastion1", "rotord", "rotation.failed"));
        assert!(read[7].contains(r#" account="web1/ad\"m\]in\\""#), "{line}");
        assert!(read[8].contains("web1/ad\"m]in\\ was not changed: x <34>1 2026 evil"), "{line}");
        assert!(read[8].contains("; run: rotorctl explain 'web1/ad\"m]in\\'"), "{line}");
        assert!(!line.chars().any(char::is_control));
        assert_eq!(framed("grün"), "5 grün".as_bytes(), "octets are counted, not characters");
    }

    #[test]
    fn a_line_fits_what_a_receiver_takes() {
        for form in [Form::Plain, Form::Cef] {
            let line = lines_of(&"ü".repeat(2000), form, Size::Datagram).remove(0);
            assert!((2040..=2048).contains(&line.len()), "{}", line.len());
            assert!(lines_of(&"ü".repeat(2000), form, Size::Stream)[0].len() > 2048);
        }
    }

    #[test]
    fn cef_stands_behind_the_header_with_its_own_escapes() {
        let line = lines_of("a=b|c\\d", Form::Cef, Size::Stream).remove(0);
        let (_, cef) = line.split_once(" - ").unwrap();
        assert!(
            cef.starts_with("CEF:0|rotord|rotord|") && cef.contains("|rotation.failed|rotation.failed|5|"),
            "{cef}"
        );
        assert!(cef.contains("was not changed: a\\=b|c\\\\d; run: rotorctl explain"), "{cef}");
    }

    #[test]
    fn a_message_without_an_event_of_its_own_is_a_line_an_item() {
        let all = notices(&[("rotation.failed", "web1/a", ""), ("clock.wrong", "", "x")]);
        let folded = lines(&Message::of(&all, &sender(), 0), Form::Plain, Facility::Daemon, Size::Stream);
        assert_eq!(folded.len(), 2);
        assert!(folded[0].starts_with("<27>1 ") && folded[1].starts_with("<28>1 "), "{folded:?}");
    }
}
