//! A recorded page in use: what stands in its fields, and what it answers to the calls of a run. Where a browser runs
//! `dialogue/web/page.js`, this answers in the same words.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::html::{Document, Id};
use crate::dialogue::web::PageCall;
use crate::template::web::Plan;

/// A page shows no more of its text than this, in bytes.
const MOST_TEXT: usize = 20_000;
/// What sends a form.
const SUBMITS: &str = "button:not([type]),button[type=submit],input[type=submit],input[type=image]";
/// Where a page tells what is wrong: as in `page.js`.
const ALERTS: &str = "[role=alert],[aria-live=assertive],.alert,.error,.errors,.errorlist,.error-message,.invalid-feedback,.notice-error,#login_error,.mw-message-box-error,.cdx-message--error,.form-error,.MuiAlert-message,.SnackbarItem-message";

/// White space folded, in lower case.
pub(super) fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// What a call of a run led to in a page.
pub(super) enum Answer {
    /// The answer of the page; nothing else came of it.
    Told(Value),
    /// This element was clicked.
    Clicked(Id),
    /// This form was sent, by this button where it has one.
    Sent { form: Id, button: Option<Id> },
}

/// A page that is shown.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) document: Document,
    /// Its whole address.
    pub(super) url: String,
    /// Another number for each page that is shown.
    pub(super) number: usize,
    /// The frame that was switched to; 0 is the page itself.
    pub(super) frame: Id,
    pub(super) focus: Option<Id>,
    /// What was entered, by field.
    pub(super) values: BTreeMap<Id, String>,
    checked: BTreeMap<Id, bool>,
}

impl Page {
    pub(super) fn new(document: Document, url: String, number: usize) -> Self {
        let (values, checked) = (BTreeMap::new(), BTreeMap::new());
        Self { document, url, number, frame: 0, focus: None, values, checked }
    }

    pub(super) fn title(&self) -> String {
        let title = self.document.below(0).into_iter().find(|id| self.document.get(*id).tag == "title");
        title.map_or_else(String::new, |id| self.document.text_of(id, &|_| true).trim().to_owned())
    }

    /// An element in short, for a person.
    pub(super) fn name_of(&self, id: Id) -> String {
        let element = self.document.get(id);
        let part = |sign: &str, name: &str| element.attribute(name).map(|value| format!("{sign}{value}"));
        let name = || element.attribute("name").map(|name| format!("[name={name}]"));
        format!("{}{}", element.tag, part("#", "id").or_else(name).unwrap_or_default())
    }

    pub(super) fn is_checked(&self, id: Id) -> bool {
        let element = self.document.get(id);
        self.checked.get(&id).copied().unwrap_or(element.has("checked") || element.has("selected"))
    }

    pub(super) fn is_disabled_by_attribute(&self, id: Id) -> bool {
        self.document.get(id).has("disabled")
    }

    pub(super) fn is_disabled(&self, id: Id) -> bool {
        let element = self.document.get(id);
        element.has("disabled") || element.has("readonly") && element.tag != "button"
    }

    fn is_box(&self, id: Id) -> bool {
        matches!(self.document.get(id).attribute("type"), Some("checkbox" | "radio"))
    }

    /// What a field holds: `on` or `off` for a box.
    pub(super) fn value_of(&self, id: Id) -> String {
        if self.is_box(id) {
            return if self.is_checked(id) { "on" } else { "off" }.to_owned();
        }
        let own = || self.document.get(id).attribute("value").unwrap_or_default().to_owned();
        self.values.get(&id).cloned().unwrap_or_else(own)
    }

    /// Fields whose content is another than the page's own.
    pub(super) fn changed(&self) -> Vec<Id> {
        let boxes = self.checked.iter().filter(|(id, on)| self.document.get(**id).has("checked") != **on);
        let mut all: Vec<Id> = boxes.map(|(id, _)| *id).chain(self.values.keys().copied()).collect();
        all.sort_unstable();
        all
    }

    pub(super) fn fill(&mut self, id: Id, value: &str) {
        self.values.insert(id, value.to_owned());
        self.focus = Some(id);
    }

    /// Ticks or clears a box, as a click does.
    pub(super) fn toggle(&mut self, id: Id) {
        if self.is_box(id) {
            let on = !self.is_checked(id);
            self.checked.insert(id, on);
        }
    }

    /// The text that a person sees.
    fn visible_text(&self) -> String {
        let shown = |id: Id| self.document.get(id).tag != "iframe" && self.is_shown(id);
        let text = self.document.text_of(self.frame, &shown);
        let buttons = self.find_css("input[type=submit],input[type=button],input[type=reset]").into_iter();
        let labels = buttons.filter(|id| self.is_shown(*id)).map(|id| self.value_of(id));
        std::iter::once(text).chain(labels).collect::<Vec<_>>().join("\n")
    }

    /// All of its text, also what nobody sees.
    fn markup(&self) -> String {
        let takes = |id: Id| {
            let tag = self.document.get(id).tag.as_str();
            !["script", "style", "template", "noscript", "title", "iframe"].contains(&tag)
        };
        let buttons = self.find_css("input[type=submit],input[type=button]").into_iter().map(|id| self.value_of(id));
        std::iter::once(self.document.text_of(self.frame, &takes)).chain(buttons).collect::<Vec<_>>().join("\n")
    }

    fn challenge(&self) -> Value {
        const KINDS: [(&str, &str, &str); 4] = [
            (
                "reCAPTCHA",
                ".g-recaptcha:not([data-size=invisible]),iframe[src*='recaptcha/api2/anchor'],iframe[src*='recaptcha/enterprise/anchor']",
                "textarea[name=g-recaptcha-response]",
            ),
            (
                "hCaptcha",
                ".h-captcha:not([data-size=invisible]),iframe[src*='hcaptcha.com']",
                "textarea[name=h-captcha-response]",
            ),
            (
                "Turnstile",
                ".cf-turnstile:not([data-size=invisible]),iframe[src*='challenges.cloudflare.com']",
                "input[name=cf-turnstile-response]",
            ),
            (
                "CAPTCHA",
                "input[name*=captcha i]:not([type=hidden]),input[id*=captcha i]:not([type=hidden]),img[src*=captcha i],[data-captcha]",
                "input[name*=captcha i],input[id*=captcha i]",
            ),
        ];
        let there = KINDS.iter().find(|(_, css, _)| self.find_css(css).into_iter().any(|id| self.is_shown(id)));
        let solved = |css: &str| {
            self.find_css(css)
                .into_iter()
                .any(|id| if self.is_box(id) { self.is_checked(id) } else { !self.value_of(id).is_empty() })
        };
        there.map_or(Value::Null, |(kind, _, answer)| json!({ "kind": kind, "solved": solved(answer) }))
    }

    fn holds(&self, condition: &Value) -> bool {
        let shown = |plan: &Value| {
            let plan: Plan = serde_json::from_value(plan.clone()).unwrap_or(Plan(Vec::new()));
            self.find(&plan).into_iter().any(|id| self.is_shown(id))
        };
        let text = |value: &Value| fold(value.as_str().unwrap_or_default());
        let Some((kind, value)) = condition.as_object().and_then(|one| one.iter().next()) else { return false };
        match kind.as_str() {
            "selector" => shown(value),
            "gone" => !shown(value),
            "text" => fold(&self.visible_text()).contains(&text(value)),
            "markup" => {
                let wanted = text(value);
                fold(&self.visible_text()).contains(&wanted) || fold(&self.markup()).contains(&wanted)
            }
            "solved" => self.challenge()["solved"] != json!(false),
            _ => false,
        }
    }

    /// What `look` tells of the page.
    pub(super) fn look(&self, about: &Value) -> Value {
        let conditions = about["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let element = if about.get("plan").is_some() {
            plan(about).and_then(|plan| self.one(&plan)).map(|id| self.described(id))
        } else {
            let name = about["name"].as_str();
            name.and_then(|name| self.field(button(about), name)).map(|id| {
                let mut described = self.described(id);
                described["shown"] = json!(true);
                described["disabled"] = json!(false);
                described
            })
        };
        json!({
            "url": self.url, "title": self.title(), "ready": "complete", "leaving": false,
            "mark": self.number.to_string(), "holds": conditions.iter().map(|one| self.holds(one)).collect::<Vec<_>>(),
            "error": null, "challenge": self.challenge(), "element": element,
        })
    }

    fn described(&self, id: Id) -> Value {
        let element = self.document.get(id);
        let most = element.attribute("maxlength").and_then(|most| most.parse::<usize>().ok()).filter(|most| *most > 0);
        json!({
            "shown": self.is_shown(id) || element.attribute("type") == Some("hidden"),
            "disabled": self.is_disabled(id), "most": most,
        })
    }

    fn survey(&self) -> Value {
        let all = self.find_css("input,select,textarea,button,a[href],iframe,form,[id],[role]");
        let (first, others): (Vec<Id>, Vec<Id>) = all.into_iter().partition(|id| {
            ["input", "select", "textarea", "button", "iframe"].contains(&self.document.get(*id).tag.as_str())
        });
        let elements: Vec<Value> = first.into_iter().chain(others).take(300).map(|id| self.surveyed(id)).collect();
        let said = self.find_css(ALERTS).into_iter().filter(|id| self.is_shown(*id));
        let text_of = |id: Id| self.document.text_of(id, &|id| self.is_shown(id));
        let folded = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut said: Vec<String> = said.map(|id| folded(text_of(id))).filter(|text| !text.is_empty()).collect();
        said.dedup();
        said.truncate(6);
        let mut text = self.visible_text();
        text.truncate((0..=text.len().min(MOST_TEXT)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        json!({ "url": self.url, "title": self.title(), "text": text, "said": said, "elements": elements,
                "error": null, "challenge": self.challenge() })
    }

    fn surveyed(&self, id: Id) -> Value {
        let element = self.document.get(id);
        let own = |name: &str| element.attribute(name).unwrap_or_default().to_owned();
        let label = self.label_of(id).or_else(|| element.attribute("aria-label").map(str::to_owned));
        let label = label.unwrap_or_else(|| own("placeholder"));
        let has_text = ["button", "a", "label", "h1", "h2", "h3"].contains(&element.tag.as_str());
        let text = if has_text { self.document.text_of(id, &|_| true) } else { String::new() };
        json!({
            "tag": element.tag, "id": own("id"), "name": own("name"), "type": own("type"), "classes": own("class"),
            "role": own("role"), "label": fold(&label), "shown": self.is_shown(id),
            "text": text.split_whitespace().collect::<Vec<_>>().join(" "),
        })
    }

    /// The text of an element's label.
    fn label_of(&self, id: Id) -> Option<String> {
        let own = self.document.get(id).attribute("id");
        let labels = self.document.below(0).into_iter().filter(|id| self.document.get(*id).tag == "label");
        let of = |label: &Id| {
            own.is_some() && self.document.get(*label).attribute("for") == own
                || self.document.around(id).any(|around| around == *label)
        };
        labels.into_iter().find(of).map(|label| self.document.text_of(label, &|_| true))
    }

    /// Answers a call of a run.
    pub(super) fn call(&mut self, call: &PageCall) -> Answer {
        let about = &call.about;
        let secret = call.secret.as_ref().map(|secret| secret.expose().to_owned());
        let answer = match call.operation {
            "look" => return Answer::Told(self.look(about)),
            "survey" => return Answer::Told(self.survey()),
            "submit" => return self.submit(about),
            "fill-form" => {
                let value = secret.unwrap_or_default();
                return Answer::Told(self.fill_form(about, &value).unwrap_or_else(|| trouble("missing", "")));
            }
            operation => {
                let Some(found) = plan(about).and_then(|plan| self.one(&plan)) else {
                    return Answer::Told(trouble("missing", ""));
                };
                match operation {
                    "click" => return Answer::Clicked(found),
                    "check" if self.is_checked(found) == (about["on"] == json!(true)) => ok(),
                    "check" => return Answer::Clicked(found),
                    "select" => self.select(found, &secret.unwrap_or_default()),
                    "prop" => self.prop(found, about, secret),
                    _ => {
                        self.fill(found, &secret.unwrap_or_default());
                        ok()
                    }
                }
            }
        };
        Answer::Told(answer)
    }

    fn prop(&mut self, found: Id, about: &Value, secret: Option<String>) -> Value {
        let set = about.get("value").cloned().unwrap_or(Value::Null);
        match about["name"].as_str().unwrap_or_default() {
            "value" => {
                let value = secret.unwrap_or_else(|| set.as_str().map_or_else(|| set.to_string(), str::to_owned));
                self.fill(found, &value);
            }
            "checked" if self.is_checked(found) != (set == json!(true)) => self.toggle(found),
            // What else a property means, only the page's own script knows.
            _ => {}
        }
        ok()
    }

    fn select(&mut self, found: Id, wanted: &str) -> Value {
        let options = self.document.below(found).into_iter().filter(|id| self.document.get(*id).tag == "option");
        let options: Vec<(String, String)> = options
            .map(|id| {
                let text = self.document.text_of(id, &|_| true).trim().to_owned();
                (self.document.get(id).attribute("value").map_or_else(|| text.clone(), str::to_owned), text)
            })
            .collect();
        let is = |(value, text): &&(String, String)| fold(text) == fold(wanted) || value == wanted;
        let part = |(_, text): &&(String, String)| fold(text).contains(&fold(wanted));
        let chosen = options.iter().find(is).or_else(|| options.iter().find(part));
        match chosen.map(|(value, _)| value.clone()) {
            Some(value) => {
                self.fill(found, &value);
                ok()
            }
            None => {
                let all: Vec<String> = options.into_iter().map(|(_, text)| text).collect();
                trouble("option", &all.join(", "))
            }
        }
    }

    // The form client: as in `page.js`.

    fn named(&self, root: Id, name: &str) -> Vec<Id> {
        let controls = self.document.below(root).into_iter().filter(|id| {
            let element = self.document.get(*id);
            ["input", "select", "textarea", "button"].contains(&element.tag.as_str())
                && element.attribute("name") == Some(name)
        });
        controls.collect()
    }

    fn below_form(&self, form: Id, css: &str) -> Vec<Id> {
        self.find_css(css).into_iter().filter(|id| self.document.around(*id).any(|around| around == form)).collect()
    }

    fn button_in(&self, form: Id, name: &str) -> Option<Id> {
        let buttons = self.below_form(form, "button,input[type=submit],input[type=image],input[type=button]");
        buttons.into_iter().find(|id| {
            let element = self.document.get(*id);
            let is = |attribute: &str| element.attribute(attribute) == Some(name);
            is("name") || is("id") || fold(element.attribute("value").unwrap_or_default()) == fold(name)
        })
    }

    fn form_for(&self, button: Option<&str>, names: &[String]) -> Option<Id> {
        let score = |form: Id| {
            let has_button = button.is_some_and(|name| self.button_in(form, name).is_some());
            usize::from(has_button) * 1000 + names.iter().filter(|name| !self.named(form, name).is_empty()).count()
        };
        let scored = self.find_css("form").into_iter().map(|form| (score(form), form));
        // Of equals the first.
        scored.filter(|(points, _)| *points > 0).rev().max_by_key(|(points, _)| *points).map(|(_, form)| form)
    }

    fn fields(&self, button: Option<&str>, name: &str) -> Vec<Id> {
        let form = self.form_for(button, &[name.to_owned()]);
        let found = self.named(form.unwrap_or(self.frame), name);
        if found.is_empty() { self.named(self.frame, name) } else { found }
    }

    fn field(&self, button: Option<&str>, name: &str) -> Option<Id> {
        self.fields(button, name).first().copied()
    }

    fn fill_form(&mut self, about: &Value, value: &str) -> Option<Value> {
        let found = self.fields(button(about), about["name"].as_str().unwrap_or_default());
        let boxes: Vec<Id> = found.iter().copied().filter(|id| self.is_box(*id)).collect();
        if let Some(first) = boxes.first() {
            let wanted = boxes.iter().find(|id| self.document.get(**id).attribute("value") == Some(value));
            let wanted = *wanted.unwrap_or(first);
            if !self.is_checked(wanted) {
                self.toggle(wanted);
            }
            return Some(ok());
        }
        let field = found.iter().find(|id| self.is_shown(**id)).or(found.first()).copied()?;
        self.fill(field, value);
        Some(ok())
    }

    fn submit(&self, about: &Value) -> Answer {
        let names: Vec<String> = about["names"]
            .as_array()
            .map(|all| all.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
            .unwrap_or_default();
        let wanted = button(about);
        let Some(form) = self.form_for(wanted, &names) else { return Answer::Told(trouble("missing", "")) };
        match wanted {
            Some(name) => match self.button_in(form, name) {
                Some(button) => Answer::Sent { form, button: Some(button) },
                None => Answer::Told(trouble("missing", "")),
            },
            None => Answer::Sent { form, button: self.default_button(form) },
        }
    }

    /// The button that sends a form when Enter is pressed in one of its fields.
    pub(super) fn default_button(&self, form: Id) -> Option<Id> {
        self.below_form(form, SUBMITS).first().copied()
    }

    /// The form around an element.
    pub(super) fn form_of(&self, id: Id) -> Option<Id> {
        self.document.around(id).find(|around| self.document.get(*around).tag == "form")
    }
}

/// The plan that a call is about.
pub(super) fn plan(about: &Value) -> Option<Plan> {
    about.get("plan").and_then(|plan| serde_json::from_value(plan.clone()).ok())
}

fn button(about: &Value) -> Option<&str> {
    about.get("button").and_then(Value::as_str)
}

fn ok() -> Value {
    json!({ "ok": true })
}

fn trouble(kind: &str, text: &str) -> Value {
    json!({ "trouble": kind, "text": text })
}
