//! `rotorctl browse`: a browser that is logged in, for a person who never sees the password.

use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use super::live::{Page, Words};
use super::output::{local, safe, say};
use super::remote::exit_of;
use super::{Failure, interrupted};
use crate::control::{
    BrowseBody, BrowsingBody, Client, ContinueBody, DoneBody, ErrorBody, LiveBody, ProgressBody, ResultBody,
};

const WORDS: Words = Words { button: "End the session", over: "The session is over; this page can be closed." };
/// The daemon closes the browser within this time.
const CLOSES: Duration = Duration::from_secs(30);

/// What the daemon tells of a session.
enum Told {
    Step(ProgressBody),
    Opened(BrowsingBody),
    Ended(ResultBody),
    Failed(ErrorBody),
}

impl Told {
    /// What a line says; nothing where it is one that only shows that the daemon is there.
    fn of(line: &str) -> Option<Self> {
        let opened = serde_json::from_str(line).map(Self::Opened);
        let ended = opened.or_else(|_| serde_json::from_str(line).map(Self::Ended));
        let step = ended.or_else(|_| serde_json::from_str(line).map(Self::Step));
        step.or_else(|_| serde_json::from_str(line).map(Self::Failed)).ok()
    }
}

pub(super) async fn run(client: Client, asked: BrowseBody, json: bool) -> Result<u8, Failure> {
    let (sender, mut told) = unbounded_channel();
    let tell = move |line: &str| {
        if let Some(told) = Told::of(line) {
            // Whoever asked is there as long as this is read.
            drop(sender.send(told));
        }
    };
    let lines = client.post_lines("/v1/browse", &asked, tell);
    tokio::pin!(lines);
    let mut is_read = false;
    let opened = loop {
        tokio::select! {
            biased;
            news = told.recv() => match news {
                Some(Told::Step(step)) => eprintln!("{} {}", local(Some(&step.step.at)), safe(&step.step.text)),
                Some(Told::Opened(opened)) => break opened,
                Some(Told::Ended(result)) => return ended(&result),
                Some(Told::Failed(body)) => return Err(Failure { message: body.error, exit: body.exit }),
                None => return Err(Failure::unexpected("the daemon told nothing of the session")),
            },
            read = &mut lines, if !is_read => {
                read?;
                is_read = true;
            }
            () = interrupted() => return Ok(0),
        }
    };
    let account = opened.account.clone();
    let live = LiveBody { account: opened.account.clone(), asked: opened.asked.clone(), until: opened.until.clone() };
    let page = Page::of(client.clone(), live, WORDS).await?;
    if json {
        let BrowsingBody { account, attempt, until, .. } = &opened;
        say!("{}", serde_json::json!({ "account": account, "attempt": attempt, "until": until, "link": page.link() }));
    } else {
        say!("{}: {}, until {}", safe(&account), safe(&opened.asked), local(Some(&opened.until)));
        say!("Open this link once, in a browser on this host: {}", page.link());
    }
    let ending = async {
        interrupted().await;
        let ended: Result<DoneBody, _> =
            client.post("/v1/browser/continue", &ContinueBody { account: account.clone() }).await;
        // Where the daemon does not answer, hanging up ends it.
        if ended.is_ok() {
            tokio::time::sleep(CLOSES).await;
        }
    };
    let over = async {
        loop {
            match told.recv().await {
                Some(Told::Ended(result)) => return Ok(result),
                Some(Told::Failed(body)) => return Err(Failure { message: body.error, exit: body.exit }),
                Some(_) => {}
                None => return Err(Failure::unexpected("the daemon told nothing of the session's end")),
            }
        }
    };
    let result = tokio::select! {
        biased;
        result = over => result?,
        read = &mut lines => {
            read?;
            match timeout(CLOSES, told.recv()).await {
                Ok(Some(Told::Ended(result))) => result,
                _ => return Err(Failure::unexpected("the daemon told nothing of the session's end")),
            }
        }
        served = page.serve() => return served.map(|()| 0),
        () = ending => return Ok(0),
    };
    if !json {
        say!("The session is over: {}", safe(&result.detail));
    }
    ended(&result)
}

fn ended(result: &ResultBody) -> Result<u8, Failure> {
    match exit_of(&result.outcome) {
        0 => Ok(0),
        exit => Err(Failure { message: format!("{}: {}", result.account, result.detail), exit }),
    }
}
