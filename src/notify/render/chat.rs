//! The payloads of Slack, Mattermost, Teams and PagerDuty.

use serde_json::{Value, json};

use crate::config::Preset;
use crate::model::Urgency;
use crate::notify::message::{Item, Message, shortened};

/// Slack: a section's text has 3000 characters at the most (Block Kit reference, section block).
const SLACK_TEXT: usize = 2900;
/// Mattermost: a post has 16383 characters at the most; longer ones are cut, or refused by old servers.
const MATTERMOST_TEXT: usize = 16_000;
/// Teams: a message is refused from 28 KB on (limits of incoming webhooks).
const TEAMS_TEXT: usize = 1000;
/// PagerDuty: `summary` has 1024 characters at the most, `dedup_key` 255 (Events API v2).
const SUMMARY: usize = 1000;
const DEDUP_KEY: usize = 255;

/// The bodies of the requests that tell a message: one, but for PagerDuty, where each item is an alert of its own.
#[must_use]
pub fn bodies(preset: Preset, message: &Message, routing_key: &str) -> Vec<Value> {
    match preset {
        Preset::Json => vec![super::json::document(message)],
        Preset::Slack => vec![slack(message)],
        Preset::Mattermost => vec![json!({ "username": "rotord", "text": mattermost(message) })],
        Preset::Teams => vec![teams(message)],
        Preset::PagerDuty => message.items.iter().flat_map(|item| pagerduty(message, item, routing_key)).collect(),
    }
}

fn sign(urgency: Urgency) -> &'static str {
    match urgency {
        Urgency::Info => ":information_source:",
        Urgency::Warning => ":warning:",
        Urgency::Error => ":red_circle:",
        Urgency::Critical => ":rotating_light:",
    }
}

/// Slack's mrkdwn has links and mentions in `<` and `>`, and entities behind `&`; those three alone are escaped (Formatting text for
/// app surfaces). `*`, `_`, `~` and backquotes only change how text looks; a backquote would end the command's own.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('`', "'")
}

fn slack(message: &Message) -> Value {
    let mut blocks = Vec::new();
    for item in &message.items {
        let command =
            if item.command.is_empty() { String::new() } else { format!("\n`{}`", slack_text(&item.command)) };
        let text = shortened(&slack_text(&item.text), SLACK_TEXT.saturating_sub(command.chars().count()));
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": format!("{} {text}{command}", sign(item.urgency)) } }));
    }
    let more = if message.more > 0 { format!(" · and {} more", message.more) } else { String::new() };
    let foot = format!("rotord on {}{more} · {}", slack_text(&message.host), message.id);
    blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": foot }] }));
    json!({ "text": slack_text(&message.title), "blocks": blocks })
}

/// Markdown's own characters get a backslash, and the `@` and `#` of mentions and of hashtags too, so that text stays text.
fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            // A mention needs its '@' right before a word: a word joiner (U+2060) parts them.
            '@' => out.push_str("@\u{2060}"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '!' | '|' | '<' | '>' | '~'
            | ':' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A command in Markdown: between two backquotes more than it has itself.
fn markdown_command(command: &str) -> String {
    if command.is_empty() { String::new() } else { format!("  \n`` {} ``", command.replace("``", "''")) }
}

fn mattermost(message: &Message) -> String {
    let mut text = format!("**rotord on {}**", markdown(&message.host));
    for item in &message.items {
        text.push_str(&format!(
            "\n- {} {}{}",
            sign(item.urgency),
            markdown(&item.text),
            markdown_command(&item.command)
        ));
    }
    if message.more > 0 {
        text.push_str(&format!("\n- and {} more", message.more));
    }
    shortened(&text, MATTERMOST_TEXT)
}

/// An Adaptive Card, in the envelope that Teams' Workflows take ("When a Teams webhook request is received"). A `TextBlock` reads some
/// Markdown; a `RichTextBlock` with `TextRun`s reads none.
fn teams(message: &Message) -> Value {
    let run = |text: &str, more: Value| {
        let mut run = json!({ "type": "TextRun", "text": shortened(text, TEAMS_TEXT) });
        if let (Some(run), Some(more)) = (run.as_object_mut(), more.as_object()) {
            run.extend(more.clone());
        }
        json!({ "type": "RichTextBlock", "inlines": [run] })
    };
    let mut body = vec![run(&format!("rotord on {}", message.host), json!({ "weight": "Bolder", "size": "Medium" }))];
    for item in &message.items {
        let color = match item.urgency {
            Urgency::Info => "Default",
            Urgency::Warning => "Warning",
            Urgency::Error | Urgency::Critical => "Attention",
        };
        body.push(run(&item.text, json!({ "color": color })));
        if !item.command.is_empty() {
            body.push(run(&item.command, json!({ "fontType": "Monospace" })));
        }
    }
    if message.more > 0 {
        body.push(run(&format!("and {} more", message.more), json!({})));
    }
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
        "fallbackText": message.title, "body": body,
    });
    json!({ "type": "message", "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card }] })
}

/// An alert of PagerDuty's Events API v2; or, of what ends troubles, the resolve of the alert of each.
fn pagerduty(message: &Message, item: &Item, routing_key: &str) -> Vec<Value> {
    let dedup_key = |key: &str| format!("rotord/{}/{key}", message.host).chars().take(DEDUP_KEY).collect::<String>();
    let resolve =
        |key: &String| json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key(key) });
    if item.ends() {
        return item.resolves.iter().map(resolve).collect();
    }
    vec![json!({
        "routing_key": routing_key, "event_action": "trigger", "dedup_key": dedup_key(&item.key), "client": "rotord",
        "payload": {
            "summary": shortened(&item.text, SUMMARY), "source": message.host, "severity": item.urgency.as_str(), "timestamp": message.time,
            "component": "rotord", "class": item.topic.as_str(),
            "custom_details": { "command": item.command, "count": item.count, "id": message.id },
        },
    })]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::{notices, sender};

    const HOSTILE: &str =
        "<!channel> <https://evil.example|log in> & @all #x [y](https://evil.example) `rm` **b** | :boom: ```";

    fn hostile() -> Message {
        Message::of(
            &notices(&[("rotation.failed", "web1/admin", HOSTILE), ("account.quarantined", "web1/b`c", "")]),
            &sender(),
            0,
        )
    }

    #[test]
    fn slack_gets_no_markup_of_a_device() {
        let body = slack(&hostile());
        let text = body["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(text.contains("&lt;!channel&gt; &lt;https://evil.example|log in&gt; &amp; @all"), "{text}");
        assert_eq!(text.matches('`').count(), 2, "the command alone is code: {text}");
        assert!(text.ends_with("\n`rotorctl explain web1/admin`"));
        assert!(body["text"].as_str().unwrap().starts_with("web1/b'c is in quarantine"), "{body}");
        let long = Message::of(&notices(&[("rotation.failed", "web1/admin", &"&".repeat(2000))]), &sender(), 0);
        let text = slack(&long)["blocks"][0]["text"]["text"].as_str().unwrap().to_owned();
        assert!(text.chars().count() < 3000 && text.ends_with('`'), "{}", text.chars().count());
    }

    #[test]
    fn mattermost_gets_no_markup_and_no_mention_of_a_device() {
        let text = mattermost(&hostile());
        assert!(!text.contains("@all") && text.contains("@\u{2060}all"), "{text}");
        for markup in ["](", "**b**", "`rm`", ":boom:", "<!channel"] {
            assert!(!text.contains(markup), "{markup}: {text}");
        }
        assert!(text.contains("`` rotorctl explain 'web1/b`c' ``"), "{text}");
        assert_eq!(bodies(Preset::Mattermost, &hostile(), "")[0]["text"], text);
    }

    #[test]
    fn teams_gets_a_card_of_plain_runs() {
        let body = teams(&hostile());
        let attachment = &body["attachments"][0];
        assert_eq!(
            (&body["type"], &attachment["contentType"]),
            (&json!("message"), &json!("application/vnd.microsoft.card.adaptive"))
        );
        let card = &attachment["content"];
        assert_eq!(card["type"], "AdaptiveCard");
        for block in card["body"].as_array().unwrap() {
            assert_eq!(
                (&block["type"], &block["inlines"][0]["type"]),
                (&json!("RichTextBlock"), &json!("TextRun")),
                "{block}"
            );
        }
    }

    #[test]
    fn pagerduty_gets_an_alert_an_item_and_its_resolve_by_the_same_key() {
        let events =
            [("account.quarantined", "web1/admin", ""), ("clock.wrong", "", "x"), ("rotation.done", "web1/admin", "")];
        let all = bodies(Preset::PagerDuty, &Message::of(&notices(&events), &sender(), 0), "KEY");
        assert_eq!(all.len(), 3);
        let trigger = all.iter().find(|body| body["payload"]["class"] == "quarantine").unwrap();
        assert_eq!((&trigger["event_action"], &trigger["routing_key"]), (&json!("trigger"), &json!("KEY")));
        assert_eq!(
            (&trigger["payload"]["severity"], &trigger["payload"]["source"]),
            (&json!("critical"), &json!("bastion1"))
        );
        assert_eq!(trigger["dedup_key"], "rotord/bastion1/quarantine/web1/admin");
        let resolve: Vec<_> = all.iter().filter(|body| body["event_action"] == "resolve").collect();
        assert_eq!(resolve.len(), 1);
        assert_eq!(resolve[0]["dedup_key"], trigger["dedup_key"], "{all:?}");
        let long = Message::of(
            &notices(&[("rotation.failed", &format!("web1/{}", "x".repeat(256)), &"y".repeat(3000))]),
            &sender(),
            0,
        );
        let alert = &bodies(Preset::PagerDuty, &long, "KEY")[0];
        assert!(alert["payload"]["summary"].as_str().unwrap().chars().count() <= 1024);
        assert!(alert["dedup_key"].as_str().unwrap().chars().count() <= 255);
    }
}
