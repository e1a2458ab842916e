//! `rotorctl top`, and `status --watch` on a terminal: the accounts live, with keys.

mod screen;

use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use self::screen::{Screen, Wish};
use super::args::StatusArgs;
use super::{Failure, interrupted, output, status};
use crate::control::{Client, ClientError, ExplainBody, ResultsBody, StatusBody, StepEvent, WorkBody};

/// How often all accounts are looked at.
const AGAIN: Duration = Duration::from_secs(2);
/// A look may take a part of the time of which this is the inverse, at the most.
const SHARE: u32 = 15;
/// How long a key is waited for before it is looked whether the program has ended.
const KEY: Duration = Duration::from_millis(200);

/// What comes in from outside.
enum News {
    Key(KeyEvent),
    /// The size of the terminal is another.
    Resized,
    Accounts(Result<Box<StatusBody>, String>),
    Step(StepEvent),
    Explained(Result<Box<ExplainBody>, String>),
    /// What came of work.
    Told(String),
}

/// Gives the terminal back, however the program ends.
struct Terminal(ratatui::DefaultTerminal);

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

pub(super) async fn run(client: &Client, args: &StatusArgs) -> Result<u8, Failure> {
    // What is wrong with the question is told as by any other command.
    let body = status::fetch(client, args).await?;
    let mut screen = Screen::new(output::color());
    take(&mut screen, body);
    let (inlet, mut news) = mpsc::channel(64);
    let mut terminal = Terminal(ratatui::try_init().map_err(|error| Failure::usage(format!("the terminal: {error}")))?);
    read_keys(inlet.clone());
    hear_steps(client.clone(), inlet.clone());
    let mut tick = interval(AGAIN);
    let (mut looking, mut next_look) = (false, Instant::now());
    let mut begun = Instant::now();
    loop {
        terminal.0.draw(|frame| screen.draw(frame)).map_err(|error| Failure::unexpected(error.to_string()))?;
        let mut look = false;
        tokio::select! {
            () = interrupted() => return Ok(0),
            _ = tick.tick() => look = Instant::now() >= next_look,
            Some(came) = news.recv() => match came {
                News::Key(key) => match screen.key(key) {
                    None => {}
                    Some(Wish::Quit) => return Ok(0),
                    Some(Wish::Look) => look = true,
                    Some(Wish::Explain(account)) => explain(client, account, &inlet),
                    Some(Wish::Rotate(account)) => {
                        screen.tell(format!("rotating {account} …"));
                        work(client, "rotate", account, &inlet);
                    }
                    Some(Wish::Verify(account)) => {
                        screen.tell(format!("verifying {account} …"));
                        work(client, "verify", account, &inlet);
                    }
                },
                News::Resized => {}
                News::Accounts(found) => {
                    looking = false;
                    next_look = Instant::now() + begun.elapsed() * SHARE;
                    match found {
                        Ok(body) => take(&mut screen, *body),
                        Err(why) => screen.tell(why),
                    }
                }
                News::Step(StepEvent { account, step, outcome, .. }) => {
                    screen.step(&account, &step.text);
                    look = outcome.is_some() || next_look <= Instant::now();
                }
                News::Explained(Ok(body)) => screen.explained(&body),
                News::Explained(Err(why)) => screen.tell(why),
                News::Told(text) => {
                    screen.tell(text);
                    look = true;
                }
            },
        }
        if look && !looking {
            (looking, begun) = (true, Instant::now());
            let (client, args, inlet) = (client.clone(), args.clone(), inlet.clone());
            tokio::spawn(async move {
                let found = status::fetch(&client, &args).await;
                let found = found.map(Box::new).map_err(|failure| failure.message);
                drop(inlet.send(News::Accounts(found)).await);
            });
        }
    }
}

/// Shows the accounts, and at the foot what is out of order beside them.
fn take(screen: &mut Screen, body: StatusBody) {
    let StatusBody {
        accounts, config_error, vault_error, escrow_error, clock_warning, logins_held, audit_finding, ..
    } = body;
    let config = config_error.map(|_| "the new config was refused, the old one is in force".to_owned());
    let trouble =
        [vault_error, escrow_error, audit_finding, config, logins_held, clock_warning].into_iter().flatten().next();
    screen.trouble(trouble);
    screen.accounts(accounts);
}

/// Reads keys on a thread of its own, which ends with the program.
fn read_keys(inlet: mpsc::Sender<News>) {
    std::thread::spawn(move || {
        while !inlet.is_closed() {
            match event::poll(KEY).and_then(|is_there| if is_there { event::read().map(Some) } else { Ok(None) }) {
                Ok(Some(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                    for key in pressed(key) {
                        drop(inlet.blocking_send(News::Key(key)));
                    }
                }
                Ok(Some(Event::Resize(..))) => drop(inlet.blocking_send(News::Resized)),
                Ok(_) => {}
                // The terminal is gone.
                Err(_) => return,
            }
        }
    });
}

/// The keys that were pressed. Escape and a key right behind it come as that key with Alt, where a line brings both at once; no key
/// has a meaning of its own with Alt.
fn pressed(key: KeyEvent) -> Vec<KeyEvent> {
    if !key.modifiers.contains(KeyModifiers::ALT) {
        return vec![key];
    }
    vec![KeyEvent::from(KeyCode::Esc), KeyEvent { modifiers: key.modifiers - KeyModifiers::ALT, ..key }]
}

/// Hears each step of each attempt, as long as the daemon runs, and again once it does.
fn hear_steps(client: Client, inlet: mpsc::Sender<News>) {
    tokio::spawn(async move {
        loop {
            let heard = client.get_lines("/v1/events", &[("steps", "true"), ("kind", "daemon.start")], |line| {
                if let Some(step) = line.strip_prefix("data: ").and_then(|data| serde_json::from_str(data).ok()) {
                    // A step that is missed is in the history.
                    drop(inlet.try_send(News::Step(step)));
                }
            });
            drop(heard.await);
            tokio::time::sleep(AGAIN).await;
        }
    });
}

fn explain(client: &Client, account: String, inlet: &mpsc::Sender<News>) {
    let (client, inlet) = (client.clone(), inlet.clone());
    tokio::spawn(async move {
        let body = client.get::<ExplainBody>("/v1/explain", &[("account", &account)]).await;
        let body = body.map(Box::new).map_err(|error| error.to_string());
        drop(inlet.send(News::Explained(body)).await);
    });
}

fn work(client: &Client, what: &'static str, account: String, inlet: &mpsc::Sender<News>) {
    let (client, inlet) = (client.clone(), inlet.clone());
    tokio::spawn(async move {
        let body = WorkBody { accounts: vec![account.clone()], ..WorkBody::default() };
        let done: Result<ResultsBody, ClientError> = client.post(&format!("/v1/{what}"), &body).await;
        let told = match done {
            Ok(results) => {
                let result = results.results.into_iter().find(|result| result.account == account);
                result.map_or_else(String::new, |result| format!("{account}: {} - {}", result.outcome, result.detail))
            }
            Err(error) => error.to_string(),
        };
        drop(inlet.send(News::Told(told)).await);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_and_a_key_at_once_are_two_keys() {
        let alt = KeyEvent::new(KeyCode::Char('r'), KeyModifiers::ALT);
        assert_eq!(pressed(alt), [KeyEvent::from(KeyCode::Esc), KeyEvent::from(KeyCode::Char('r'))]);
        assert_eq!(pressed(KeyEvent::from(KeyCode::Char('r'))), [KeyEvent::from(KeyCode::Char('r'))]);
    }
}
