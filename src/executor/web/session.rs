//! One browser at a device: what a run asks for is done in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::{self, Browser, ELEMENT, Hidden, Reply, Request, Untrusted};
use crate::config::WebEndpoint;
use crate::dialogue::web::{Action, Observation, PAGE_SCRIPT, PageCall, SNAPSHOT_SCRIPT, Trouble};
use crate::model::Secret;
use crate::template::web::{DialogAnswer, Plan};

/// An answer is there so long after the page's own bound at the latest.
const BEYOND: Duration = Duration::from_secs(20);
/// Where the frame at hand comes from: one without an address of its own has that of the page around it.
const WHERE: &str = "return [location.protocol, window.origin];";

/// A browser, and what it may be shown.
pub(super) struct Session {
    browser: Arc<Browser>,
    endpoint: Arc<WebEndpoint>,
    page_load: Duration,
    entered: AtomicUsize,
}

impl Session {
    pub(super) fn new(browser: Arc<Browser>, endpoint: Arc<WebEndpoint>, page_load: Duration) -> Self {
        Self { browser, endpoint, page_load, entered: AtomicUsize::new(0) }
    }

    /// How often a value was handed to the browser to be entered: what is refused before does not count.
    pub(super) fn entered(&self) -> usize {
        self.entered.load(Ordering::Relaxed)
    }

    pub(super) fn browser(&self) -> &Arc<Browser> {
        &self.browser
    }

    /// Does what a run asks of the browser itself; codes, the commit point and people are others' business.
    pub(super) async fn perform(&self, action: &Action) -> Observation {
        let done = match action {
            Action::Open { url } => self.open(url).await,
            Action::Page { call, .. } => self.page(call).await,
            Action::Keys { target, keys } => self.keys(target, keys).await,
            Action::Click { target } => self.click(target).await,
            Action::Press { key } => self.ask(Request::Press { key: *key }).await.map(|_| Observation::Done),
            Action::Script { body } => self.script(body).await,
            Action::Frame { target } => self.frame(target.as_ref()).await,
            Action::Dialog { answer } => {
                let accept = *answer == DialogAnswer::Accept;
                self.ask(Request::Dialog { accept }).await.map(|_| Observation::Done)
            }
            _ => Ok(Observation::Done),
        };
        match (done, self.untrusted()) {
            // Another device than the one on record stands at the other end of some connection: the run ends, whatever the page shows.
            (_, Some(untrusted)) if untrusted.own => Observation::Trouble(Trouble::Certificate(untrusted.why)),
            (Err(trouble), _) => Observation::Trouble(trouble),
            (Ok(done), _) => done,
        }
    }

    /// A certificate that was not trusted on one of the browser's connections, first of all that of the device itself.
    fn untrusted(&self) -> Option<Untrusted> {
        self.browser.untrusted().into_iter().max_by_key(|untrusted| untrusted.own)
    }

    fn note_entered(&self) {
        self.entered.fetch_add(1, Ordering::Relaxed);
    }

    async fn ask(&self, request: Request) -> Result<Reply, Trouble> {
        let loads = matches!(request, Request::Go { .. });
        let error = match self.browser.call(request, self.page_load + BEYOND).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        Err(match error {
            browser::Trouble::NotFound => Trouble::Missing,
            browser::Trouble::NotUsable(why) => Trouble::NotInteractable(why),
            browser::Trouble::Script(why) => Trouble::Threw(why),
            browser::Trouble::DialogOpen => Trouble::Dialog(self.dialog_text().await),
            browser::Trouble::NoDialog => Trouble::NoDialog,
            browser::Trouble::NotLoaded(code) => match self.untrusted() {
                Some(untrusted) => Trouble::Certificate(untrusted.why),
                None => not_loaded(&code, &self.endpoint.authority()),
            },
            browser::Trouble::Late if loads => Trouble::Page("it did not load in time".into()),
            // A page that is loading holds the script up: whoever looks again has a bound of his own.
            browser::Trouble::Late | browser::Trouble::Left => Trouble::Left,
            browser::Trouble::Gone(why) => Trouble::Gone(why),
        })
    }

    async fn dialog_text(&self) -> String {
        match self.browser.call(Request::DialogText, BEYOND).await {
            Ok(Reply::Text(text)) => text,
            _ => String::new(),
        }
    }

    async fn open(&self, url: &Secret) -> Result<Observation, Trouble> {
        self.note_entered();
        self.ask(Request::Go { url: Hidden(url.clone()) }).await.map(|_| Observation::Done)
    }

    /// Runs the script for pages, with the secret last where there is one.
    async fn run_in_page(&self, operation: &str, about: Value, secret: Option<Secret>) -> Result<Value, Trouble> {
        let mut arguments = vec![operation.into(), about];
        if secret.is_none() {
            arguments.push(Value::Null);
        }
        let body = Hidden(Secret::new(PAGE_SCRIPT.to_owned()));
        match (self.ask(Request::Script { body, arguments, secret: secret.map(Hidden) }).await?, self.untrusted()) {
            // The browser shows a page of its own in place of one whose connection was cut off.
            (Reply::Value(value), Some(untrusted)) if !value["error"].is_null() => {
                Err(Trouble::Certificate(untrusted.why))
            }
            (Reply::Value(value), _) => Ok(value),
            _ => Err(Trouble::Left),
        }
    }

    /// What a recording needs of the page.
    pub(super) async fn snapshot(&self, operation: &str, about: Value) -> Result<Value, Trouble> {
        let body = Hidden(Secret::new(SNAPSHOT_SCRIPT.to_owned()));
        match self.ask(Request::Script { body, arguments: vec![operation.into(), about], secret: None }).await? {
            Reply::Value(value) => Ok(value),
            _ => Err(Trouble::Left),
        }
    }

    async fn page(&self, call: &PageCall) -> Result<Observation, Trouble> {
        if call.secret.is_some() {
            self.guard().await?;
            self.note_entered();
        }
        self.run_in_page(call.operation, call.about.clone(), call.secret.clone()).await.map(Observation::Result)
    }

    /// What `look` finds.
    pub(super) async fn look(&self, about: &Value) -> Result<Value, Trouble> {
        self.run_in_page("look", about.clone(), None).await
    }

    async fn point(&self, plan: &Plan, empty: bool) -> Result<String, Trouble> {
        let found = self.run_in_page("point", json!({ "plan": plan, "empty": empty }), None).await?;
        let element = found.get("element").and_then(|element| element.get(ELEMENT)).and_then(Value::as_str);
        element.map(str::to_owned).ok_or(Trouble::Missing)
    }

    async fn keys(&self, target: &Plan, keys: &Secret) -> Result<Observation, Trouble> {
        self.guard().await?;
        let element = self.point(target, true).await?;
        self.note_entered();
        self.ask(Request::Keys { element, keys: Hidden(keys.clone()) }).await.map(|_| Observation::Done)
    }

    async fn click(&self, target: &Plan) -> Result<Observation, Trouble> {
        let element = self.point(target, false).await?;
        self.ask(Request::Click { element }).await.map(|_| Observation::Done)
    }

    async fn script(&self, body: &Secret) -> Result<Observation, Trouble> {
        self.guard().await?;
        self.note_entered();
        let request = Request::Script { body: Hidden(body.clone()), arguments: Vec::new(), secret: None };
        match self.ask(request).await? {
            Reply::Value(value) => Ok(Observation::Result(value)),
            _ => Err(Trouble::Left),
        }
    }

    async fn frame(&self, target: Option<&Plan>) -> Result<Observation, Trouble> {
        let element = match target {
            Some(plan) => Some(self.point(plan, false).await?),
            None => None,
        };
        self.ask(Request::Frame { element }).await.map(|_| Observation::Done)
    }

    /// Nothing is entered into a page of another host than those that the config has, or into one of the browser's own; nor once a
    /// connection to the device showed another certificate than it may have.
    async fn guard(&self) -> Result<(), Trouble> {
        let body = Hidden(Secret::new(WHERE.to_owned()));
        let reply = self.ask(Request::Script { body, arguments: Vec::new(), secret: None }).await?;
        let Reply::Value(value) = reply else { return Err(Trouble::Left) };
        let part = |at: usize| value.get(at).and_then(Value::as_str).unwrap_or_default();
        if let Some(untrusted) = self.untrusted().filter(|untrusted| untrusted.own) {
            return Err(Trouble::Certificate(untrusted.why));
        }
        may_enter(part(0), part(1), &self.endpoint)
    }

    /// A picture of the page without these texts.
    pub(super) async fn picture(&self, blank: &[Secret]) -> Option<Vec<u8>> {
        let blank: Vec<Hidden> = blank.iter().cloned().map(Hidden).collect();
        // Without a text to take off it, what stands in password fields still has to go.
        let blank = if blank.is_empty() { vec![Hidden(Secret::new(String::new()))] } else { blank };
        match self.browser.call(Request::Picture { blank }, BEYOND).await {
            Ok(Reply::Picture(text)) => data_encoding::BASE64.decode(text.as_bytes()).ok(),
            _ => None,
        }
    }
}

fn not_loaded(code: &str, authority: &str) -> Trouble {
    if code.starts_with("ERR_CERT") || code.starts_with("ERR_SSL") {
        return Trouble::Certificate(format!("the browser does not trust the certificate: {code}"));
    }
    match code {
        "ERR_TUNNEL_CONNECTION_FAILED" => Trouble::Blocked(format!(
            "the page lies at a host that cannot be reached, or is neither {authority} nor one of allow_hosts"
        )),
        _ => Trouble::Page(code.to_owned()),
    }
}

/// Whether something may be entered into a page of this origin.
fn may_enter(protocol: &str, origin: &str, endpoint: &WebEndpoint) -> Result<(), Trouble> {
    if protocol == "chrome-error:" {
        return Err(Trouble::Left);
    }
    let (scheme, rest) = origin.split_once("://").unwrap_or(("", ""));
    let rest = rest.to_ascii_lowercase();
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(0)),
        _ => (rest.as_str(), if scheme == "http" { 80 } else { 443 }),
    };
    let host = host.trim_matches(['[', ']']);
    let known = endpoint.allowed().iter().any(|allowed| allowed.host == host && allowed.port == port);
    let secured = scheme == "https" || scheme == "http" && endpoint.scheme == "http";
    if known && secured {
        return Ok(());
    }
    let what = if rest.is_empty() { protocol.to_owned() } else { format!("{scheme}://{rest}") };
    Err(Trouble::Blocked(format!("{what}: nothing is entered into a page of it; allow_hosts does not have it")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::browser::Trust;

    fn endpoint(scheme: &'static str) -> WebEndpoint {
        WebEndpoint {
            url: format!("{scheme}://wiki.example:8443/"),
            scheme,
            host: "wiki.example".into(),
            port: 8443,
            address: None,
            allow_hosts: vec![("sso.example".into(), 443)],
            trust: Trust::System,
            ca_file: None,
            park_for: Duration::ZERO,
            send_user_agent: false,
            timeout: Duration::ZERO,
        }
    }

    #[test]
    fn a_secret_is_entered_into_pages_of_the_device_and_its_allowed_hosts_alone() {
        let secured = endpoint("https");
        for (protocol, origin, allowed) in [
            ("https:", "https://wiki.example:8443", true),
            ("https:", "https://WIKI.example:8443", true),
            ("about:", "https://wiki.example:8443", true),
            ("https:", "https://sso.example", true),
            ("http:", "http://wiki.example:8443", false),
            ("https:", "https://wiki.example", false),
            ("https:", "https://evil.example", false),
            ("https:", "https://wiki.example.evil.example:8443", false),
            ("data:", "null", false),
            ("chrome-error:", "null", false),
            ("file:", "file://", false),
        ] {
            assert_eq!(may_enter(protocol, origin, &secured).is_ok(), allowed, "{protocol} {origin}");
        }
        assert!(may_enter("http:", "http://wiki.example:8443", &endpoint("http")).is_ok());
    }

    #[test]
    fn a_certificate_and_a_host_that_is_not_allowed_are_told_apart_from_a_page_that_does_not_load() {
        assert!(matches!(not_loaded("ERR_CERT_DATE_INVALID", "w"), Trouble::Certificate(_)));
        assert!(matches!(not_loaded("ERR_TUNNEL_CONNECTION_FAILED", "w"), Trouble::Blocked(_)));
        assert!(matches!(not_loaded("ERR_EMPTY_RESPONSE", "w"), Trouble::Page(_)));
    }
}
