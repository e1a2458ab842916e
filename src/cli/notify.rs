//! `rotorctl notify`.

use super::Failure;
use super::args::NotifyCommand;
use super::output::{local, safe, say, short, table};
use super::remote::{done, print};
use crate::control::{Client, DoneBody, NotifierBody, NotifiersBody, TestBody};

pub(super) async fn run(client: &Client, command: NotifyCommand, json: bool) -> Result<u8, Failure> {
    match command {
        NotifyCommand::Test { name } => {
            let body: DoneBody = client.post("/v1/notify/test", &TestBody { name }).await?;
            done(body, json)
        }
        NotifyCommand::List => {
            let body: NotifiersBody = client.get("/v1/notify", &[]).await?;
            if json {
                return print(&body);
            }
            if body.notifiers.is_empty() {
                say!("Nobody is told of events: the config has no [notify.NAME].");
                return Ok(0);
            }
            say!("{}", listed(&body.notifiers));
            Ok(0)
        }
    }
}

fn listed(notifiers: &[NotifierBody]) -> String {
    let row = |notifier: &NotifierBody| {
        let error = notifier.last_error.as_ref().map_or_else(|| "-".to_owned(), |error| short(&safe(error), 80));
        vec![
            safe(&notifier.name),
            safe(&notifier.kind),
            notifier.backlog.to_string(),
            notifier.dropped.to_string(),
            local(notifier.last_success.as_deref()),
            error,
        ]
    };
    let rows: Vec<Vec<String>> = notifiers.iter().map(row).collect();
    table(&["NAME", "KIND", "BACKLOG", "DROPPED", "LAST SUCCESS", "LAST ERROR"], &rows)
}
