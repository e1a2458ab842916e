//! Makes the recording of a web template from its run on the real application: pages as they are, secrets as tags.

use rotord::dialogue::web::{Action, PageCall, SNAPSHOT_SCRIPT};
use rotord::model::Secret;
use rotord::recording::{WebDeed, WebSaid};
use rotord::template::tagged_text;
use rotord::template::web::Key;
use serde_json::{Value, json};

use crate::driver::{Driver, Login};

/// What is put down of a run.
#[derive(Default)]
pub struct Scribe {
    pub said: Vec<WebSaid>,
    codes: Vec<String>,
}

impl Scribe {
    fn text(&self, value: &str, login: &Login<'_>) -> rotord::template::Text {
        let mut text = value.replace(login.host, "[#HOSTNAME#]");
        for code in &self.codes {
            text = text.replace(code, "[#TOTP_TOKEN#]");
        }
        for (secret, tag) in
            [(login.fresh, "[#NEW_PASSWORD#]"), (login.current, "[#CURRENT_PASSWORD#]"), (login.user, "[#USERNAME#]")]
        {
            text = text.replace(secret, tag);
        }
        tagged_text(&text).unwrap()
    }

    /// The page as it stands now.
    pub fn page(&mut self, driver: &Driver, login: &Login<'_>) {
        let Ok(page) = driver.script(SNAPSHOT_SCRIPT, &json!(["page", null])) else { return };
        let url = page["url"].as_str().unwrap_or_default();
        if !url.starts_with("http") {
            return;
        }
        let url = self.text(url, login);
        let html = self.text(page["html"].as_str().unwrap_or_default(), login).to_string();
        self.said.push(WebSaid::Page { url, html });
    }

    fn name(driver: &Driver, about: &Value) -> String {
        let element = match about.get("plan") {
            Some(plan) => {
                driver.page("point", &json!({ "plan": plan }), None).ok().map(|found| found["element"].clone())
            }
            None => None,
        };
        let described = driver.script(SNAPSHOT_SCRIPT, &json!(["describe", element])).unwrap_or(Value::Null);
        described["selector"].as_str().filter(|selector| !selector.is_empty()).unwrap_or_default().to_owned()
    }

    fn held(&mut self, selector: String, value: &str, login: &Login<'_>) {
        let value = self.text(value, login);
        self.said.push(WebSaid::Held { selector, value });
    }

    fn did(&mut self, driver: &Driver, login: &Login<'_>, deed: WebDeed) {
        // The page goes before the fields that were filled in it.
        let from = self.said.iter().rposition(|said| !matches!(said, WebSaid::Held { .. })).map_or(0, |at| at + 1);
        let held = self.said.split_off(from);
        self.page(driver, login);
        let mut kept: Vec<WebSaid> = Vec::new();
        for said in held {
            let same = |other: &WebSaid| matches!((other, &said), (WebSaid::Held { selector: a, .. }, WebSaid::Held { selector: b, .. }) if a == b);
            kept.retain(|other| !same(other));
            kept.push(said);
        }
        self.said.extend(kept);
        self.said.push(WebSaid::Did(deed));
    }

    pub fn code(&mut self, code: &str) {
        self.codes.push(code.to_owned());
    }

    /// Puts down what is about to be done.
    pub fn before(&mut self, driver: &Driver, action: &Action, login: &Login<'_>) {
        let clicked = |target: &Value| WebDeed::Clicked(Self::name(driver, &json!({ "plan": target })));
        match action {
            Action::Open { url } => {
                let deed = WebDeed::Opened(self.text(url.expose(), login));
                self.did(driver, login, deed);
            }
            Action::Keys { target, keys } => {
                self.held(Self::name(driver, &json!({ "plan": target })), keys.expose(), login);
            }
            Action::Click { target } => {
                let deed = clicked(&serde_json::to_value(target).unwrap());
                self.did(driver, login, deed);
            }
            Action::Press { key } => {
                let key = Key::names().filter_map(Key::parse).find(|known| known.character() == *key).unwrap();
                self.did(driver, login, WebDeed::Pressed(key));
            }
            Action::Page { call: PageCall { operation, about, secret }, .. } => {
                let value = secret.as_ref().map(Secret::expose).unwrap_or_default().to_owned();
                match *operation {
                    "fill" | "select" => self.held(Self::name(driver, about), &value, login),
                    "check" => {
                        let on = if about["on"] == json!(true) { "on" } else { "off" };
                        self.held(Self::name(driver, about), on, login);
                    }
                    "fill-form" => {
                        self.held(format!("[name={}]", about["name"].as_str().unwrap()), &value, login);
                    }
                    "click" => {
                        let deed = clicked(&about["plan"]);
                        self.did(driver, login, deed);
                    }
                    "submit" => {
                        let name = about["button"].as_str().unwrap();
                        self.did(driver, login, WebDeed::Clicked(format!("[name={name}]")));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}
