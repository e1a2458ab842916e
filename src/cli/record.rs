//! `rotorctl template record`: one change by hand, kept as a recording and the draft of a template.

use std::io::IsTerminal;
use std::path::Path;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Failure;
use super::output::{safe, say};
use super::remote::{exit_of, print};
use super::templates::NewFiles;
use crate::control::{Client, RecordBody, ResultsBody, SecretText, TurnBody, TurnedBody};
use crate::model::Secret;

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
