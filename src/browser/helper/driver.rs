//! The requests of the daemon, performed over WebDriver (W3C, "WebDriver", and ChromeDriver's `goog/cdp/execute`).

use std::time::Duration;

use hyper::http::Method;
use serde_json::{Map, Value, json};
use thirtyfour::common::command::FormatRequestData;
use thirtyfour::error::{WebDriverError, WebDriverErrorInner};
use thirtyfour::{Capabilities, RequestData, SessionId, WebDriver};

use super::http::Loopback;
use super::shown::{self, Shown};
use super::{DRIVER_PORT, PROXY_PORT};
use crate::browser::protocol::{ELEMENT, Hidden, Key, Pointer, Reply, Request, Setup, Trouble};

/// What runs in the page.
const PAGE: &str = include_str!("page.js");
/// What runs in the pages of a person.
const SESSION: &str = include_str!("session.js");
/// What runs in each document of a person's before its own scripts.
const WINDOW: &str = include_str!("window.js");
/// The browser of the distribution.
pub(super) const CHROMIUM: &str = "/usr/bin/chromium";
/// What the driver says of a page that was left while a command was under way.
const LEFT: [&str; 5] = [
    "aborted by navigation",
    "Cannot find context with specified id",
    "Execution context was destroyed",
    "Inspected target navigated or closed",
    "frame was detached",
];
/// The picture's quality, of 100: letters stay readable.
const JPEG_QUALITY: u32 = 60;

/// A browser under the driver's control.
pub(super) struct Driver {
    web: WebDriver,
    /// Windows that the browser had of itself.
    windows: usize,
}

/// A command of the driver that the library has no method for.
#[derive(Debug)]
struct Call {
    method: Method,
    path: &'static str,
    body: Option<Value>,
}

impl FormatRequestData for Call {
    fn format_request(&self, session: &SessionId) -> RequestData {
        let request = RequestData::new(self.method.clone(), format!("session/{session}/{}", self.path));
        match &self.body {
            Some(body) => request.add_body(body.clone()),
            None => request,
        }
    }
}

/// The same for one element.
#[derive(Debug)]
struct ElementCall {
    element: String,
    action: &'static str,
    body: Value,
}

impl FormatRequestData for ElementCall {
    fn format_request(&self, session: &SessionId) -> RequestData {
        let path = format!("session/{session}/element/{}/{}", self.element, self.action);
        RequestData::new(Method::POST, path).add_body(self.body.clone())
    }
}

/// The first line of what the driver says, without its stack.
fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(200).collect()
}

fn trouble(error: &WebDriverError) -> Trouble {
    use WebDriverErrorInner as Inner;
    match error.as_inner() {
        Inner::NoSuchElement(_) | Inner::StaleElementReference(_) => Trouble::NotFound,
        Inner::ElementClickIntercepted(info) | Inner::ElementNotInteractable(info) => {
            Trouble::NotUsable(first_line(&info.value.message))
        }
        Inner::JavascriptError(info) | Inner::InvalidArgument(info) | Inner::InvalidElementState(info) => {
            Trouble::Script(first_line(&info.value.message))
        }
        // A page that is left takes the context of its scripts along.
        Inner::UnknownError(info) if LEFT.iter().any(|words| info.value.message.contains(words)) => Trouble::Left,
        Inner::NoSuchFrame(_) => Trouble::NotFound,
        Inner::UnexpectedAlertOpen(_) => Trouble::DialogOpen,
        Inner::NoSuchAlert(_) => Trouble::NoDialog,
        Inner::ScriptTimeout(_) | Inner::WebDriverTimeout(_) | Inner::Timeout(_) => Trouble::Late,
        Inner::InvalidSessionId(info) | Inner::NoSuchWindow(info) => Trouble::Gone(first_line(&info.value.message)),
        Inner::UnknownError(info) if info.value.message.contains("net::ERR_") => {
            let message = &info.value.message;
            let code = message.split("net::").nth(1).unwrap_or(message);
            let end = code.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(code.len());
            Trouble::NotLoaded(code.get(..end).unwrap_or_default().to_owned())
        }
        // An error of the driver's own, which no specification has.
        Inner::NotInSpec(info) | Inner::UnknownError(info) if info.value.message.contains("crashed") => {
            Trouble::Gone("the process of its page crashed, mostly for want of memory".into())
        }
        Inner::UnknownError(info) => Trouble::Gone(format!("failed: {}", first_line(&info.value.message))),
        Inner::NotInSpec(info) => Trouble::Gone(format!("failed: {}", first_line(&info.value.message))),
        _ => Trouble::Gone(format!("failed: {}", first_line(&error.to_string()))),
    }
}

/// What a new session asks for.
fn capabilities(setup: &Setup) -> Capabilities {
    let mut arguments = vec![
        "--headless=new".to_owned(),
        format!("--proxy-server=http://127.0.0.1:{PROXY_PORT}"),
        // The loopback goes by the proxy too: no page reaches the driver.
        "--proxy-bypass-list=<-loopback>".into(),
        "--disable-dev-shm-usage".into(),
        "--disable-gpu".into(),
        "--disable-quic".into(),
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp".into(),
        "--disable-background-networking".into(),
        "--disable-component-update".into(),
        "--disable-sync".into(),
        "--disable-extensions".into(),
        "--no-first-run".into(),
        "--window-size=1280,900".into(),
        "--disable-features=OptimizationHints,MediaRouter,DialMediaRouteProvider,AsyncDns,DnsOverHttps,AutofillServerCommunication,Translate".into(),
    ];
    // The daemon's end of each connection, and no other certificate error. What the daemon connects to, it judges itself.
    arguments.push(format!("--ignore-certificate-errors-spki-list={}", setup.key));
    arguments.extend(setup.user_agent.iter().map(|agent| format!("--user-agent={agent}")));
    let wanted = json!({
        "browserName": "chrome",
        "acceptInsecureCerts": false,
        "pageLoadStrategy": "eager",
        "unhandledPromptBehavior": "ignore",
        "timeouts": { "implicit": 0, "pageLoad": setup.page_load_ms.max(1000), "script": 30_000 },
        "goog:chromeOptions": { "binary": CHROMIUM, "args": arguments, "excludeSwitches": ["disable-popup-blocking"] },
    });
    match wanted {
        Value::Object(map) => map.into(),
        _ => Map::new().into(),
    }
}

impl Driver {
    /// Opens a session: a browser with a profile of its own.
    pub(super) async fn start(setup: &Setup) -> Result<(Self, String), Trouble> {
        let address = format!("http://127.0.0.1:{DRIVER_PORT}");
        let builder = WebDriver::builder(address, capabilities(setup)).client(Loopback);
        let web = builder.await.map_err(|error| trouble(&error))?;
        let version = web.capabilities().get("browserVersion").and_then(Value::as_str).unwrap_or("unknown").to_owned();
        let mut driver = Self { web, windows: 0 };
        let times = json!({ "implicit": 0, "pageLoad": setup.page_load_ms.max(1000), "script": 30_000 });
        driver.post("timeouts", times).await?;
        driver.windows = driver.window_count().await;
        Ok((driver, version))
    }

    async fn call(&self, method: Method, path: &'static str, body: Option<Value>) -> Result<Value, Trouble> {
        let reply = self.web.cmd(Call { method, path, body }).await.map_err(|error| trouble(&error))?;
        reply.value_json().map_err(|error| trouble(&error))
    }

    async fn post(&self, path: &'static str, body: Value) -> Result<Value, Trouble> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn window_count(&self) -> usize {
        let handles = self.call(Method::GET, "window/handles", None).await;
        handles.ok().and_then(|handles| handles.as_array().map(Vec::len)).unwrap_or_default()
    }

    /// Runs a part of [`PAGE`].
    async fn page(&self, part: &str, mut arguments: Vec<Value>) -> Result<Value, Trouble> {
        arguments.insert(0, part.into());
        self.post("execute/sync", json!({ "script": PAGE, "args": arguments })).await
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Result<Value, Trouble> {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    async fn on_element(&self, element: String, action: &'static str, body: Value) -> Result<Reply, Trouble> {
        self.web.cmd(ElementCall { element, action, body }).await.map_err(|error| trouble(&error))?;
        Ok(Reply::Done)
    }

    /// Performs a request.
    pub(super) async fn perform(&self, request: Request) -> Result<Reply, Trouble> {
        match request {
            Request::Start(_) => Err(Trouble::Gone("runs already".into())),
            Request::Go { url } => self.post("url", json!({ "url": url.0.expose() })).await.map(|_| Reply::Done),
            Request::Script { body, mut arguments, secret } => {
                if let Some(secret) = secret {
                    arguments.push(secret.0.expose().into());
                }
                let script = json!({ "script": body.0.expose(), "args": arguments });
                self.post("execute/sync", script).await.map(Reply::Value)
            }
            Request::Keys { element, keys } => {
                self.on_element(element, "value", json!({ "text": keys.0.expose() })).await
            }
            Request::Click { element } => {
                self.page("stay", vec![json!({ ELEMENT: element })]).await?;
                self.on_element(element, "click", json!({})).await
            }
            Request::Press { key } => {
                let key = key.to_string();
                let strokes = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
                let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
                self.post("actions", json!({ "actions": [keyboard] })).await.map(|_| Reply::Done)
            }
            Request::Frame { element } => {
                let id = element.map(|element| json!({ ELEMENT: element }));
                self.post("frame", json!({ "id": id })).await.map(|_| Reply::Done)
            }
            Request::Dialog { accept } => {
                let path = if accept { "alert/accept" } else { "alert/dismiss" };
                self.post(path, json!({})).await.map(|_| Reply::Done)
            }
            Request::DialogText => self.text("alert/text").await,
            Request::Location => self.text("url").await,
            Request::Windows => Ok(Reply::Count(self.window_count().await.saturating_sub(self.windows))),
            Request::Picture { blank } => self.picture(blank.iter().map(|text| text.0.expose()).collect()).await,
            Request::HandOver => self.hand_over().await,
            Request::Clear { secrets, all } => self.clear(&secrets, all).await,
            Request::Shows { secrets } => {
                let secrets: Vec<&str> = secrets.iter().map(|text| text.0.expose()).collect();
                self.shown(&secrets).await.map(|shown| Reply::Count(shown.count()))
            }
            Request::Pointer(pointer) => self.pointer(&pointer).await,
            Request::Key(key) => self.key(&key).await,
        }
    }

    async fn text(&self, path: &'static str) -> Result<Reply, Trouble> {
        let text = self.call(Method::GET, path, None).await?;
        Ok(Reply::Text(text.as_str().unwrap_or_default().to_owned()))
    }

    async fn picture(&self, blank: Vec<&str>) -> Result<Reply, Trouble> {
        if !blank.is_empty() {
            self.post("frame", json!({ "id": null })).await?;
            self.page("blank", vec![json!(blank)]).await?;
            self.hide_trees(&blank).await?;
            // What was cleaned is drawn anew before the picture is taken.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let parameters = json!({ "format": "jpeg", "quality": JPEG_QUALITY });
        let taken = self.devtools("Page.captureScreenshot", parameters).await?;
        // A page may put back what was taken off it.
        if !blank.is_empty() && self.shown(&blank).await?.count() > 0 {
            return Err(Trouble::Script("the page shows a secret again and again: no picture of it is taken".into()));
        }
        Ok(Reply::Picture(taken.get("data").and_then(Value::as_str).unwrap_or_default().to_owned()))
    }

    /// Where the page shows one of these texts, by the browser's own view.
    async fn shown(&self, secrets: &[&str]) -> Result<Shown, Trouble> {
        let document = self.devtools("DOM.getDocument", json!({ "depth": -1, "pierce": true })).await?;
        let root = document.get("root").ok_or_else(|| Trouble::Script("the page was not looked through".into()))?;
        Ok(shown::find(root, secrets))
    }

    /// Hides each element that has one of these texts in a closed shadow tree.
    async fn hide_trees(&self, secrets: &[&str]) -> Result<(), Trouble> {
        for host in self.shown(secrets).await?.hosts {
            for (name, value) in [("style", "display: none !important"), (shown::HIDDEN, "")] {
                let set = json!({ "nodeId": host, "name": name, "value": value });
                self.devtools("DOM.setAttributeValue", set).await?;
            }
        }
        Ok(())
    }

    async fn hand_over(&self) -> Result<Reply, Trouble> {
        self.post("frame", json!({ "id": null })).await?;
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WINDOW })).await?;
        self.post("execute/sync", json!({ "script": WINDOW, "args": [] })).await?;
        // A page before this one may be kept as it was left, with what was entered into it.
        self.devtools("Page.resetNavigationHistory", json!({})).await.map(|_| Reply::Done)
    }

    async fn clear(&self, secrets: &[Hidden], all: bool) -> Result<Reply, Trouble> {
        let secrets: Vec<&str> = secrets.iter().map(|text| text.0.expose()).collect();
        let left = self.post("execute/sync", json!({ "script": SESSION, "args": ["clear", secrets, all] })).await?;
        let left = left.as_u64().and_then(|left| usize::try_from(left).ok());
        let left = left.ok_or_else(|| Trouble::Script("the page was not looked through".into()))?;
        Ok(Reply::Count(left + self.shown(&secrets).await?.count()))
    }

    async fn pointer(&self, pointer: &Pointer) -> Result<Reply, Trouble> {
        let (kind, button) = match pointer.action.as_str() {
            "down" => ("mousePressed", "left"),
            "up" => ("mouseReleased", "left"),
            "wheel" => ("mouseWheel", "none"),
            _ => ("mouseMoved", "none"),
        };
        let clicks = if button == "left" { pointer.clicks.max(1) } else { 0 };
        let parameters = json!({
            "type": kind, "x": pointer.x, "y": pointer.y, "button": button, "clickCount": clicks,
            "deltaX": 0, "deltaY": pointer.turn,
        });
        self.devtools("Input.dispatchMouseEvent", parameters).await.map(|_| Reply::Done)
    }

    async fn key(&self, key: &Key) -> Result<Reply, Trouble> {
        let typed = (key.key.chars().count() == 1 && key.modifiers & 6 == 0).then(|| key.key.clone());
        let typed = if key.key == "Enter" { Some("\r".to_owned()) } else { typed };
        let kind = match (key.down, &typed) {
            (true, Some(_)) => "keyDown",
            (true, None) => "rawKeyDown",
            (false, _) => "keyUp",
        };
        let mut parameters = json!({
            "type": kind, "key": key.key, "code": key.code, "modifiers": key.modifiers,
            "windowsVirtualKeyCode": key.number, "nativeVirtualKeyCode": key.number,
        });
        if let (Some(text), true, Some(map)) = (typed, key.down, parameters.as_object_mut()) {
            map.insert("text".into(), text.into());
        }
        self.devtools("Input.dispatchKeyEvent", parameters).await.map(|_| Reply::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_did_not_load_is_told_by_its_code() {
        let body = json!({ "value": { "error": "unknown error", "message": "unknown error: net::ERR_TUNNEL_CONNECTION_FAILED\n  (Session info: chrome)", "stacktrace": "#0" } });
        let error = WebDriverError::parse(500, body.to_string());
        assert_eq!(trouble(&error), Trouble::NotLoaded("ERR_TUNNEL_CONNECTION_FAILED".into()));
    }

    #[test]
    fn a_page_whose_process_crashed_is_told_as_such() {
        let body = r#"{"value":{"error":"tab crashed","message":"tab crashed\n  (Session info: chrome=150.0.7871.100)","stacktrace":""}}"#;
        let Trouble::Gone(why) = trouble(&WebDriverError::parse(500, body.to_owned())) else { panic!("not gone") };
        assert!(why.contains("crashed"), "{why}");
    }

    #[test]
    fn the_daemons_key_and_no_other_certificate_error_is_let_pass() {
        let setup = Setup { key: "abc=".into(), ..Setup::default() };
        let text = serde_json::to_string(&capabilities(&setup)).unwrap();
        assert!(text.contains("--ignore-certificate-errors-spki-list=abc=\""), "{text}");
        assert_eq!(text.matches("ignore-certificate").count(), 1, "{text}");
    }
}
