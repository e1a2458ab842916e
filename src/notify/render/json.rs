//! The JSON that a webhook without a preset, and a command, gets; and the signature of a body.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::notify::event::Event;
use crate::notify::message::{Item, Message};

/// The version of this form.
const VERSION: u32 = 1;

fn item(item: &Item) -> Value {
    json!({
        "topic": item.topic.as_str(), "severity": item.urgency.as_str(), "text": item.text, "command": item.command,
        "count": item.count, "key": item.key, "resolves": item.resolves,
    })
}

/// An event, with the id that names it for good.
fn event(event: &Event) -> Value {
    json!({
        "id": event.id(), "seq": event.seq, "time": event.time, "event": event.event, "account": event.account, "device": event.device,
        "job": event.job, "trigger": event.trigger, "actor": event.actor, "reason": event.reason, "attempt": event.attempt,
        "outcome": event.outcome, "detail": event.detail,
    })
}

/// A message as JSON.
#[must_use]
pub fn document(message: &Message) -> Value {
    json!({
        "version": VERSION, "id": message.id, "time": message.time, "host": message.host, "severity": message.urgency.as_str(),
        "title": message.title, "text": message.text(), "items": message.items.iter().map(item).collect::<Vec<_>>(),
        "more": message.more, "events": message.events.iter().map(|it| event(it)).collect::<Vec<_>>(), "event_ids": message.ids,
    })
}

/// The signature of a body: `t=SECONDS,v1=HEX`, where the HMAC-SHA256 is of the seconds, a full stop and the body, in the manner of
/// Stripe's `Stripe-Signature`, so that a receiver can refuse what is old.
#[must_use]
pub fn signature(key: &[u8], unix_seconds: u64, body: &[u8]) -> String {
    // HMAC takes a key of any length (RFC 2104).
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(unix_seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("t={unix_seconds},v1={}", data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::{notices, sender};

    #[test]
    fn the_document_has_ids_items_and_events_whatever_a_device_said() {
        let hostile = "\"}],\"severity\":\"info\"\u{1b}]0;x\u{7}\n{\"";
        let message = Message::of(&notices(&[("rotation.failed", "web1/admin", hostile)]), &sender(), 0);
        let read: Value = serde_json::from_str(&document(&message).to_string()).unwrap();
        assert_eq!(read["id"], read["events"][0]["id"]);
        assert_eq!(
            (&read["severity"], &read["items"][0]["command"]),
            (&json!("warning"), &json!("rotorctl explain web1/admin"))
        );
        assert!(!read["text"].as_str().unwrap().contains(['\u{1b}', '\u{7}']));
        assert_eq!(read["event_ids"], json!(["1-0000000000000000"]));
    }

    #[test]
    fn the_signature_is_that_of_hmac_sha256() {
        // RFC 4231, test case 2, has the key "Jefe"; what is signed here has the seconds in front.
        let signed = signature(b"Jefe", 1_492_774_577, b"what do ya want for nothing?");
        let (time, mac) = signed.split_once(",v1=").unwrap();
        assert_eq!((time, mac.len()), ("t=1492774577", 64));
        assert_ne!(signed, signature(b"Jefe", 1_492_774_578, b"what do ya want for nothing?"));
        assert_ne!(signed, signature(b"Jeff", 1_492_774_577, b"what do ya want for nothing?"));
    }
}
