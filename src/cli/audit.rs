//! `rotorctl audit`.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::Failure;
use super::args::AuditCommand;
use super::output::{local, put, safe, say};
use super::progress::{Progress, counted};
use super::remote::done;
use crate::audit::{Exporter, Format, ReadSoFar, verify_files_telling};
use crate::control::{AcceptBody, ArchiveBody, AuditBody, Client, DoneBody, VerifyBody};

pub(super) async fn run(client: &Client, command: AuditCommand, json: bool) -> Result<u8, Failure> {
    match command {
        AuditCommand::Tail { follow, count } => tail(client, follow, count, json).await,
        AuditCommand::Verify { path: Some(path) } => {
            let mut bar = Progress::new();
            let told_of = |read: ReadSoFar| bar.show(|elapsed| of_log(read, elapsed));
            let report = verify_files_telling(&path, None, told_of);
            drop(bar);
            let report = report.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
            if report.ok && report.events == 0 {
                return Err(Failure::usage(format!("{}: there is no event of an audit log here", path.display())));
            }
            Ok(told(
                &VerifyBody { ok: report.ok, events: report.events, first_bad: report.first_bad, why: report.why },
                json,
                Some(&path),
            ))
        }
        AuditCommand::Verify { path: None } => {
            let newest: AuditBody = client.get("/v1/audit", &[("last", "1")]).await?;
            let what = format!("checking {} events", newest.events.last().and_then(seq).unwrap_or(0));
            let report = Progress::new().wait(&what, client.get("/v1/audit/verify", &[])).await;
            let report: VerifyBody = report?;
            Ok(told(&report, json, None))
        }
        AuditCommand::Archive { before } => {
            let body: DoneBody = client.post("/v1/audit/archive", &ArchiveBody { before }).await?;
            done(body, json)
        }
        AuditCommand::Accept { reason } => {
            let body: DoneBody = client.post("/v1/audit/accept", &AcceptBody { reason }).await?;
            done(body, json)
        }
        AuditCommand::Export { format } => {
            let format = Format::parse(&format).ok_or_else(|| Failure::usage("the formats are json, cef and csv"))?;
            let mut exporter = Exporter::new(format);
            let mut last = 0;
            loop {
                let after = last.to_string();
                let body: AuditBody = client.get("/v1/audit", &[("after", &after), ("first", "10000")]).await?;
                let text = exporter.part(&body.events).map_err(|error| Failure::unexpected(error.to_string()))?;
                put!("{text}");
                match body.events.last().and_then(seq) {
                    Some(seq) => last = seq,
                    None => break,
                }
            }
            put!("{}", exporter.end());
            Ok(0)
        }
    }
}

/// How much of a log is checked.
fn of_log(read: ReadSoFar, elapsed: Duration) -> String {
    const MB: u64 = 1_000_000;
    format!("{} events, {}", read.events, counted(read.bytes / MB, read.all_bytes / MB, "MB", elapsed))
}

fn seq(event: &Value) -> Option<u64> {
    event.get("seq").and_then(Value::as_u64)
}

fn told(report: &VerifyBody, json: bool, path: Option<&Path>) -> u8 {
    if json {
        say!(
            "{}",
            serde_json::json!({ "ok": report.ok, "events": report.events, "first_bad": report.first_bad, "why": report.why })
        );
    } else if report.ok {
        let against = if path.is_some() { "" } else { ", and ends with the last that the vault wrote" };
        say!("{} events, the chain is whole{against}", report.events);
    } else {
        let why = report.why.as_deref().unwrap_or_default();
        match report.first_bad {
            Some(seq) => say!("event {seq} is the first that is not as it was written: {}", safe(why)),
            None => say!("the log is not believed: {}", safe(why)),
        }
    }
    u8::from(!report.ok)
}

async fn tail(client: &Client, follow: bool, count: usize, json: bool) -> Result<u8, Failure> {
    let mut body: AuditBody = client.get("/v1/audit", &[("last", &count.to_string())]).await?;
    if json && !follow {
        say!("{}", serde_json::json!({ "events": body.events }));
        return Ok(0);
    }
    let mut last = 0;
    loop {
        for event in &body.events {
            last = seq(event).unwrap_or(last);
            say!("{}", if json { event.to_string() } else { line(event) });
        }
        if !follow {
            return Ok(0);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        body = client.get("/v1/audit", &[("after", &last.to_string()), ("first", "10000")]).await?;
    }
}

pub(super) fn line(event: &Value) -> String {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
    let actor = event.pointer("/actor/name").and_then(Value::as_str).unwrap_or_default();
    let place = if text("account").is_empty() { text("device") } else { text("account") };
    let named =
        |key: &str| Some(text(key)).filter(|it| !it.is_empty()).map(|it| format!("{key} {it}")).unwrap_or_default();
    let (job, attempt) = (named("job"), named("attempt"));
    let reason = Some(text("reason")).filter(|it| !it.is_empty()).map(|it| format!("reason: {it}")).unwrap_or_default();
    let parts = [place, text("trigger"), &job, actor, text("outcome"), text("detail"), &reason, &attempt];
    let shown: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    safe(&format!("{} {:<19} {}", local(event.get("time").and_then(Value::as_str)), text("event"), shown.join(" · ")))
}
