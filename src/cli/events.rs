//! `rotorctl events`: what happened, and what happens.

use std::time::Duration;

use chrono::{DateTime, Local, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Utc};
use clap::Args;
use serde_json::Value;

use super::audit::line;
use super::output::{local, safe, say};
use super::{Failure, interrupted};
use crate::config::parse_duration;
use crate::control::{Client, ClientError, StepEvent};

/// How far back it is looked where nobody says.
const USUAL: &str = "24h";
/// How long a daemon that has gone is left alone before it is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Which events.
#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// Go on with events as they come; a daemon that restarts is waited for, and nothing is missed.
    #[arg(short = 'f', long)]
    follow: bool,
    /// Begin so long ago (90m, 24h, 7d), on a day (2026-11-30), or at a time (RFC 3339). Without it: 24h; with -f: now.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only these kinds, parted by commas; globs work, as 'rotation.*'.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only events of these accounts; globs work.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only events of these devices; globs work.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Only events of these jobs; globs work.
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// With -f: the steps of attempts too.
    #[arg(long, requires = "follow")]
    steps: bool,
}

/// A time as a person gives it, in the form that the API takes.
fn since(text: &str, now: DateTime<Utc>) -> Result<String, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "--since {text}: write how long ago (90m, 24h, 7d), a day (2026-11-30) or a time (RFC 3339)"
        ))
    };
    let ago = parse_duration(text).ok().and_then(|ago| TimeDelta::from_std(ago).ok());
    let at = if let Some(ago) = ago {
        now.checked_sub_signed(ago)
    } else if let Ok(day) = text.parse::<NaiveDate>() {
        Local.from_local_datetime(&day.and_time(NaiveTime::MIN)).earliest().map(|at| at.to_utc())
    } else {
        DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
    };
    Ok(at.ok_or_else(wrong)?.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Puts a stream of events together again, line by line.
#[derive(Debug, Default)]
struct Reader {
    id: Option<u64>,
    kind: String,
    data: String,
}

/// An event of the stream.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    /// Its number; a step has none.
    id: Option<u64>,
    data: String,
}

impl Reader {
    /// Takes a line; the event that it ends.
    fn line(&mut self, line: &str) -> Option<Received> {
        if line.is_empty() {
            let ended = std::mem::take(self);
            return (!ended.data.is_empty()).then_some(Received { id: ended.id, data: ended.data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = value.parse().ok(),
            "event" => value.clone_into(&mut self.kind),
            "data" => self.data.push_str(value),
            _ => {}
        }
        None
    }
}

/// An event in a line for a person.
fn shown(received: &Received) -> String {
    if received.id.is_none()
        && let Ok(step) = serde_json::from_str::<StepEvent>(&received.data)
    {
        return safe(&format!("{} {:<19} {} · {}", local(Some(&step.step.at)), "step", step.account, step.step.text));
    }
    serde_json::from_str::<Value>(&received.data).map_or_else(|_| safe(&received.data), |event| line(&event))
}

/// What is asked for, and up to where it was received.
struct Stream<'a> {
    client: &'a Client,
    query: Vec<(&'static str, String)>,
    last: Option<u64>,
    reader: Reader,
}

impl Stream<'_> {
    async fn receive(&mut self, mut take: impl FnMut(Received)) -> Result<(), ClientError> {
        let after = self.last.map(|last| last.to_string());
        let begin = after.as_deref().map(|after| ("after", after));
        let is_begin = |key: &str| key == "since" && after.is_some();
        let asked = self.query.iter().filter(|(key, _)| !is_begin(key)).map(|(key, value)| (*key, value.as_str()));
        let query: Vec<(&str, &str)> = asked.chain(begin).collect();
        let (reader, last) = (&mut self.reader, &mut self.last);
        *reader = Reader::default();
        self.client
            .get_lines("/v1/events", &query, |line| {
                if let Some(received) = reader.line(line) {
                    *last = received.id.or(*last);
                    take(received);
                }
            })
            .await
    }
}

pub(super) async fn run(client: &Client, args: EventsArgs, json: bool) -> Result<u8, Failure> {
    let begin = args.since.or_else(|| (!args.follow).then(|| USUAL.to_owned()));
    let begin = begin.map(|text| since(&text, Utc::now())).transpose()?;
    let mut query: Vec<(&str, String)> = vec![("follow", args.follow.to_string())];
    let asked =
        [("since", begin), ("kind", args.kind), ("account", args.account), ("device", args.device), ("job", args.job)];
    query.extend(asked.into_iter().filter_map(|(key, value)| Some((key, value?))));
    query.extend(args.steps.then(|| ("steps", "true".to_owned())));
    let mut stream = Stream { client, query, last: None, reader: Reader::default() };
    if !args.follow {
        let mut events = Vec::new();
        stream.receive(|received| if json { events.push(received.data) } else { say!("{}", shown(&received)) }).await?;
        if json {
            say!("{{\"events\":[{}]}}", events.join(","));
        }
        return Ok(0);
    }
    tokio::select! {
        failed = follow(&mut stream, json) => Err(failed),
        () = interrupted() => Ok(0),
    }
}

/// Shows events until that cannot go on.
async fn follow(stream: &mut Stream<'_>, json: bool) -> Failure {
    let mut is_told = false;
    let mut was_there = false;
    loop {
        let ended = stream
            .receive(|received| {
                (is_told, was_there) = (false, true);
                say!("{}", if json { received.data.clone() } else { shown(&received) });
            })
            .await;
        match ended {
            Ok(()) | Err(ClientError::Ended { .. }) => was_there = true,
            Err(ClientError::NoDaemon { .. }) if was_there => {}
            Err(error) => return error.into(),
        }
        if !std::mem::replace(&mut is_told, true) {
            eprintln!("rotorctl: the daemon has gone; waiting for it");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_given_as_people_give_it() {
        let now = DateTime::parse_from_rfc3339("2026-11-30T20:15:00Z").unwrap().to_utc();
        for (text, expected) in [
            ("90m", "2026-11-30T18:45:00.000Z"),
            ("24h", "2026-11-29T20:15:00.000Z"),
            ("7d", "2026-11-23T20:15:00.000Z"),
            ("2026-11-30T20:00:00+01:00", "2026-11-30T19:00:00.000Z"),
        ] {
            assert_eq!(since(text, now).unwrap(), expected, "{text}");
        }
        let midnight = Local.with_ymd_and_hms(2026, 11, 30, 0, 0, 0).unwrap().to_utc();
        assert_eq!(since("2026-11-30", now).unwrap(), midnight.to_rfc3339_opts(SecondsFormat::Millis, true));
        for wrong in ["", "yesterday", "24", "2026-13-01", "-1h"] {
            assert_eq!(since(wrong, now).unwrap_err().exit, 2, "{wrong}");
        }
    }

    #[test]
    fn a_stream_is_put_together_event_by_event() {
        let text = ": events\n\nid: 7\nevent: rotation.done\ndata: {\"seq\":7}\n\n: alive\n\nevent: step\ndata: {\"a\":1}\n\nid:8\ndata:{}\n";
        let mut reader = Reader::default();
        let received: Vec<Received> = text.lines().filter_map(|line| reader.line(line)).collect();
        let expected = [(Some(7), "{\"seq\":7}"), (None, "{\"a\":1}")];
        assert_eq!(
            received,
            expected.map(|(id, data)| Received { id, data: data.into() }),
            "one without its end is none"
        );
    }

    #[test]
    fn a_step_is_shown_with_its_account_and_cannot_steer_the_terminal() {
        let data = r#"{"attempt":"a","account":"web1/ada","step":{"at":"2026-11-30T20:15:00Z","text":"said \u001b[2J"},"outcome":null}"#;
        let text = shown(&Received { id: None, data: data.into() });
        assert!(text.contains("step") && text.contains("web1/ada · said") && !text.contains('\u{1b}'), "{text:?}");
    }
}
