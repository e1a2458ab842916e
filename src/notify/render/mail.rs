//! A message as an e-mail: plain text, one paragraph an item.

use crate::notify::message::{Message, shortened};

/// The subject: one line. Long ones are cut, as a line of a head has 998 characters at the most (RFC 5322, 2.1.1).
#[must_use]
pub fn subject(message: &Message) -> String {
    shortened(&format!("[rotord {}] {}: {}", message.host, message.urgency, message.title), 150)
}

/// The body. No line of it is that of another mail: lines are bounded, and what a device said has no line end.
#[must_use]
pub fn body(message: &Message) -> String {
    let mut out = String::new();
    for item in &message.items {
        out.push_str(&wrapped(&format!("{}: {}.", item.urgency.as_str().to_uppercase(), item.text)));
        if !item.command.is_empty() {
            out.push_str(&format!("    {}\n", item.command));
        }
        out.push('\n');
    }
    if message.more > 0 {
        out.push_str(&format!("And {} more: rotorctl audit tail\n\n", message.more));
    }
    out.push_str(&format!("-- \nrotord on {}, {}, message {}\n", message.host, message.time, message.id));
    out
}

/// Lines of 76 characters, as far as there are blanks; none has more than 900.
fn wrapped(text: &str) -> String {
    let (mut out, mut width) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > 76 {
            out.push('\n');
            width = 0;
        } else if width > 0 {
            out.push(' ');
            width += 1;
        }
        for (index, c) in word.chars().enumerate() {
            if index > 0 && index % 900 == 0 {
                out.push('\n');
            }
            out.push(c);
        }
        width += length;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::{notices, sender};

    #[test]
    fn what_a_device_said_begins_no_line_of_the_mail_but_as_text() {
        let hostile = format!("x\r\n.\r\nRCPT TO:<evil@example.org>\r\nSubject: forged {}", "y".repeat(1900));
        let message = Message::of(&notices(&[("rotation.failed", "web1/admin", &hostile)]), &sender(), 0);
        let (subject, body) = (subject(&message), body(&message));
        assert!(!subject.contains(['\r', '\n']) && subject.chars().count() <= 150, "{subject}");
        assert!(!body.contains('\r') && body.lines().all(|line| line.len() < 990), "{body}");
        assert!(body.starts_with("WARNING: web1/admin was not changed: x  . "), "{body}");
        assert!(body.contains("\n    rotorctl explain web1/admin\n"), "{body}");
        assert!(body.lines().all(|line| line != "."));
    }
}
