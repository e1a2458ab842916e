//! What every page has: its frame, its rows, and the one door through which it leaves.

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use chrono_tz::Tz;

use super::fields::{Fields, query};
use super::rows::Seen;
use super::state::App;
use super::words::{When, grouped};
use crate::control::ClientError;
use crate::model::printable_lines;

/// The scripts, styles and pictures that a page may use: its own, and nothing in its text (CSP Level 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'self'";

/// Headers of every answer.
pub(super) fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With no-referrer a browser would send its forms with "Origin: null" (Fetch standard, append a request Origin header).
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

/// A request that was let in: its fields, and the token of its session.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub(super) fields: Arc<Fields>,
    pub(super) token: Arc<str>,
    /// Whether a script asks, which reads JSON.
    pub(super) wants_json: bool,
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum PageError {
    /// The daemon said no, or does not answer.
    Daemon(ClientError),
    /// There is no such page.
    Missing,
    /// The page cannot be made.
    Broken,
}

impl From<ClientError> for PageError {
    fn from(error: ClientError) -> Self {
        Self::Daemon(error)
    }
}

impl From<askama::Error> for PageError {
    fn from(_: askama::Error) -> Self {
        Self::Broken
    }
}

impl PageError {
    fn told(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::Missing => (StatusCode::NOT_FOUND, "There is no such page", String::new()),
            Self::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "The page cannot be made", String::new()),
            Self::Daemon(error) => match error {
                ClientError::Refused(body) if body.exit == 6 => {
                    (StatusCode::FORBIDDEN, "You may not do this", body.error.clone())
                }
                ClientError::Refused(body) => (StatusCode::CONFLICT, "The daemon did not do this", body.error.clone()),
                error => (StatusCode::BAD_GATEWAY, "The daemon does not answer", error.to_string()),
            },
        }
    }

    /// As a page, or as JSON for a script.
    pub(super) fn answer(&self, base: &str, wants_json: bool) -> Response {
        let (status, title, text) = self.told();
        if wants_json {
            let text = if text.is_empty() { title.to_owned() } else { text };
            return (status, json(&serde_json::json!({ "error": printable_lines(&text) }))).into_response();
        }
        problem(status, title, &text, base)
    }
}

/// An answer for a script.
pub(super) fn json(value: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

#[derive(Template)]
#[template(path = "../src/web/pages/problem.html")]
struct Problem<'a> {
    title: &'a str,
    text: &'a str,
    /// Empty for somebody who may not know it.
    base: &'a str,
}

/// A page that says why there is none.
pub(super) fn problem(status: StatusCode, title: &str, text: &str, base: &str) -> Response {
    match page(&Problem { title, text, base }) {
        Ok(page) => (status, page).into_response(),
        Err(_) => status.into_response(),
    }
}

/// Makes a page. Nothing of it can steer a browser or turn the direction of writing, wherever a text comes from: what could has a
/// sign in its place. Markup is escaped by the templates.
pub(super) fn page(template: &impl Template) -> Result<Response, PageError> {
    let text = printable_lines(&template.render()?);
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response())
}

/// What stands around every page.
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) here: &'static str,
    pub(super) base: String,
    /// This page's own address, for links within it.
    pub(super) path: String,
    pub(super) token: String,
    pub(super) user: String,
    pub(super) role: String,
    pub(super) operator: bool,
    pub(super) custodian: bool,
    pub(super) version: String,
    pub(super) zone: String,
    pub(super) attention: usize,
    pub(super) answers: bool,
    pub(super) flash: String,
}

impl Frame {
    pub(super) fn new(app: &App, visit: &Visit, here: &'static str, title: impl Into<String>) -> Self {
        let me = app.me();
        let has = |role: &str| me.roles.iter().any(|known| known == role);
        let roles: Vec<&str> = me.roles.iter().map(String::as_str).filter(|role| *role != "viewer").collect();
        Self {
            title: title.into(),
            here,
            base: app.guard.base().to_owned(),
            path: here.to_owned(),
            token: visit.token.to_string(),
            user: me.user.clone(),
            role: if roles.is_empty() { "viewer".to_owned() } else { roles.join(", ") },
            operator: has("operator"),
            custodian: has("custodian"),
            version: me.version.clone(),
            zone: me.timezone.clone(),
            attention: app.fleet().iter().filter(Seen::needs_a_person).count(),
            answers: app.answers(),
            flash: match visit.fields.text("done") {
                "pause" => "Scheduled work is paused.",
                "resume" => "Scheduled work is resumed.",
                "ack" => "The warning is taken off.",
                "resolve" => "It is on record which password the device has.",
                _ => "",
            }
            .to_owned(),
        }
    }

    pub(super) fn at(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    pub(super) fn nav(&self) -> [(&'static str, &'static str, &'static str); 7] {
        [
            ("overview", "Overview", "./"),
            ("accounts", "Accounts", "accounts"),
            ("devices", "Devices", "devices"),
            ("jobs", "Jobs", "jobs"),
            ("templates", "Templates", "templates"),
            ("audit", "Audit", "audit"),
            ("health", "Health", "health"),
        ]
    }
}

/// The sign and the word of a state, so that neither colour nor shape alone tells it.
pub(super) fn badge(state: &str) -> String {
    let mark = match state {
        "idle" => "●",
        "new" => "○",
        "paused" => "‖",
        "uncertain" => "?",
        "quarantined" => "!",
        _ => "▸",
    };
    format!("<span class=\"badge b-{state}\"><span aria-hidden=\"true\">{mark}</span> {state}</span>")
}

impl When {
    /// As HTML: how near it is, and the whole of it for who points at it.
    pub(super) fn html(&self) -> String {
        if !self.is_some() {
            return "<span class=\"none\">–</span>".to_owned();
        }
        format!("<time datetime=\"{}\" title=\"{}\">{}</time>", self.utc, self.full, self.near)
    }

    /// As HTML: the whole of it.
    pub(super) fn html_full(&self) -> String {
        format!("<time datetime=\"{}\" title=\"{}\">{}</time>", self.utc, self.near, self.full)
    }
}

/// Where an account's page is.
pub(super) fn account_link(name: &str) -> String {
    format!("account?{}", query(&[("name", name)]))
}

/// Where a device's page is.
pub(super) fn device_link(name: &str) -> String {
    format!("device?{}", query(&[("name", name)]))
}

/// An account in a table.
pub(super) struct RowView {
    pub(super) name: String,
    pub(super) link: String,
    pub(super) state: &'static str,
    pub(super) since: When,
    pub(super) changed: When,
    pub(super) next: When,
    pub(super) used: u8,
    pub(super) cap: u8,
    pub(super) overdue: bool,
    pub(super) paused: bool,
    pub(super) note: String,
}

impl RowView {
    pub(super) fn new(seen: &Seen<'_>, zone: Tz) -> Self {
        let now = Utc::now().timestamp();
        let first = |text: &str| text.lines().next().unwrap_or_default().chars().take(300).collect::<String>();
        let note = match (seen.error(), seen.warning()) {
            ("", "") => String::new(),
            ("", warning) => format!("warning: {}", first(warning)),
            (error, _) => first(error),
        };
        Self {
            name: seen.name().to_owned(),
            link: account_link(seen.name()),
            state: seen.state(),
            since: When::at(seen.since(), now, zone),
            changed: When::at(seen.last_change(), now, zone),
            next: When::at(seen.next_run(), now, zone),
            used: seen.row.changes,
            cap: seen.row.cap,
            overdue: seen.is_overdue(),
            paused: seen.is_paused(),
            note: super::words::in_zone(&note, zone),
        }
    }

    pub(super) fn badge(&self) -> String {
        badge(self.state)
    }

    /// Whether nothing is wrong enough for a person.
    pub(super) fn is_calm(&self) -> bool {
        !matches!(self.state, "quarantined" | "uncertain")
    }
}

/// A state and how many are in it.
pub(super) struct Chip {
    pub(super) state: &'static str,
    pub(super) count: String,
}

impl Chip {
    pub(super) fn badge(&self) -> String {
        badge(self.state)
    }

    /// Those of some counts that are not empty.
    pub(super) fn of(counts: &[usize]) -> Vec<Self> {
        let states = crate::control::STATES.into_iter().zip(counts);
        states.filter(|(_, count)| **count > 0).map(|(state, count)| Self { state, count: grouped(*count) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Template)]
    #[template(source = "<p title=\"{{ text }}\">{{ text }}</p>\n", ext = "html")]
    struct Hostile<'a> {
        text: &'a str,
    }

    #[tokio::test]
    async fn hostile_text_is_shown_as_text() {
        let text = "<script>alert(1)</script>\"' onx=\u{1b}[2J\u{202e}evil\u{2066}\u{200b}\u{7}";
        let response = page(&Hostile { text }).unwrap();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let html = String::from_utf8(body.to_vec()).unwrap();
        assert!(!html.contains("<script") && !html.contains("\"'") && html.ends_with("</p>\n"), "{html}");
        assert!(html.chars().all(|c| c == '\n' || !c.is_control() && !crate::model::is_unseen(c)), "{html:?}");
        assert!(html.contains('\u{241b}') && html.contains("script"), "{html}");
    }

    #[test]
    fn each_answer_has_the_headers_that_guard_it() {
        let response = guarded(StatusCode::OK.into_response());
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[header::REFERRER_POLICY], "same-origin");
    }

    #[test]
    fn a_page_that_is_missing_or_refused_says_so_with_its_status() {
        let denied = crate::control::ErrorBody { error: "no operator".into(), exit: 6 };
        let error = PageError::Daemon(ClientError::Refused(denied));
        assert_eq!(error.answer("b", false).status(), StatusCode::FORBIDDEN);
        assert_eq!(error.answer("b", true).status(), StatusCode::FORBIDDEN);
        assert_eq!(PageError::Missing.answer("b", false).status(), StatusCode::NOT_FOUND);
    }
}
