//! `rotorctl template record`: one change by hand, kept as a recording and the draft of a template.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Failure;
use super::live::{Page, Words};
use super::output::{safe, say};
use super::remote::{exit_of, print};
use super::templates::NewFiles;
use crate::control::{Client, ClientError, LiveBody, RecordBody, ResultsBody, SecretText, TurnBody, TurnedBody};
use crate::model::Secret;

/// A browser is there within this time.
const STARTS: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const WORDS: Words = Words { button: "Done", over: "The recording is over; this page can be closed." };

/// Turns without output after which the device is taken to wait.
const QUIET: u32 = 2;

/// Lines from stdin, one after the other; closed at its end.
fn typed() -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A line as it is sent: the short forms stand for tags.
fn long_form(line: String) -> Secret {
    Secret::new(match line.trim() {
        "~c" => "[#CURRENT_PASSWORD#]".to_owned(),
        "~n" => "[#NEW_PASSWORD#]".to_owned(),
        "~t" => "[#TOTP_TOKEN#]".to_owned(),
        _ => line,
    })
}

/// Serves the live view of the account's browser beside the conversation, and tells where.
async fn show_browser(client: &Client, account: &str, json: bool) -> Result<(), Failure> {
    let waited = tokio::time::timeout(STARTS, async {
        loop {
            let found: Result<LiveBody, ClientError> = client.get("/v1/browser", &[("account", account)]).await;
            match found {
                Err(ClientError::Refused(body)) if body.exit != 6 => tokio::time::sleep(LOOK_AGAIN).await,
                found => return found,
            }
        }
    });
    let late = |_| Failure::unexpected("the browser did not start in time; 'rotorctl history' has why");
    let page = Page::of(client.clone(), waited.await.map_err(late)??, WORDS).await?;
    if json {
        eprintln!("Open this link once, in a browser on this host: {}", page.link());
    } else {
        say!("Open this link once, in a browser on this host: {}", page.link());
    }
    tokio::spawn(page.serve());
    Ok(())
}

pub(super) async fn run(
    client: &Client,
    name: &str,
    device: String,
    account: Option<String>,
    json: bool,
) -> Result<u8, Failure> {
    let files = NewFiles::of(name)?;
    let stem = Path::new(name).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let begun: TurnedBody = client.post("/v1/template/record", &RecordBody { device, account, name: stem }).await?;
    if let Some(account) = &begun.browser {
        show_browser(client, account, json).await?;
        eprintln!(
            "~o ADDRESS opens a page, ~? tells where the cursor is; what else is typed here goes into the field of the page with the cursor:"
        );
    }
    eprintln!("~c the current password, ~n the new one, ~t a code, ~. when you are done");
    let by_hand = std::io::stdin().is_terminal();
    let mut lines = typed();
    // Turns without output since the device last printed something; `None` where it did not answer the last line yet.
    let mut quiet: Option<u32> = None;
    let mut over = false;
    loop {
        // A script's next line waits until the device is quiet; a person decides that alone.
        let ready = !over && (by_hand || quiet.is_some_and(|turns| turns >= QUIET));
        let line = match ready.then(|| lines.try_recv()) {
            Some(Ok(line)) => Some(line),
            // In a browser the person says so with the button.
            Some(Err(TryRecvError::Disconnected)) if begun.browser.is_some() => None,
            Some(Err(TryRecvError::Disconnected)) => Some("~.".to_owned()),
            Some(Err(TryRecvError::Empty)) | None => None,
        };
        let finish = line.as_deref().is_some_and(|line| line.trim() == "~.");
        over |= finish;
        if line.is_some() {
            quiet = None;
        }
        let line = line.filter(|_| !finish).map(|line| SecretText(long_form(line)));
        let body = TurnBody { session: begun.session.clone(), line, finish };
        let turned: TurnedBody = client.post("/v1/template/record/turn", &body).await?;
        if turned.text.is_empty() {
            quiet = quiet.map(|turns| turns + 1);
        } else {
            quiet = Some(0);
            let shown: String = turned.text.split('\n').map(safe).collect::<Vec<_>>().join("\n");
            eprint!("{shown}");
        }
        let (Some(result), Some(recording), Some(template)) = (turned.result, turned.recording, turned.template) else {
            continue;
        };
        files.write(&template, &recording)?;
        let exit = exit_of(&result.outcome);
        if json {
            print(&ResultsBody { results: vec![result] })?;
        } else {
            say!("\n{}: {} - {}", result.account, result.outcome, safe(&result.detail));
            say!(
                "{name}.recording and {name}.template are written; look at both, then: rotorctl template test {name}.recording"
            );
        }
        return Ok(exit);
    }
}
