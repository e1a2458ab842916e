//! What a monitoring system sees: metrics that say what the documentation says, a Prometheus that scrapes the exporter, alerts that
//! fire and that do not, and the line of a Nagios plugin.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use rotord::metrics::{Definition, Kind, Metric};
use serde_json::Value;

use crate::lab::{Place, documented, feed, free_port, wait_for};

/// Nothing listens at the device, so that an attempt fails at once.
const FLEET: &str = "[device.web1]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n\
    host_key = [\"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]\n[account.\"web1/admin\"]\n\
    [account.\"web1/other\"]\n[policy.default]\nattempts = 1\n";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The head and the body of an answer to a GET.
fn answer(mut stream: impl Read + Write, path: &str, accept: &str) -> (String, String) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer}"));
    (head.to_owned(), body.to_owned())
}

pub fn metrics(place: &Place, path: &str, accept: &str) -> String {
    let (head, body) = answer(UnixStream::connect(place.path("socket")).unwrap(), path, accept);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body
}

/// The value of a metric, by its name and labels as they are written.
pub fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

/// The names of all samples of the metrics, in both formats.
fn known_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for metric in Metric::ALL {
        let suffixes: &[&str] = match metric.definition().kind {
            Kind::Counter | Kind::Gauge => &[""],
            Kind::Histogram => &["_bucket", "_sum", "_count"],
            Kind::GaugeHistogram => &["_bucket", "_sum", "_count", "_gsum", "_gcount"],
        };
        names.extend(suffixes.iter().map(|suffix| format!("{}{suffix}", metric.sample_name())));
    }
    names
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_table_of_metrics_is_true() {
    let mut table = "| metric | type | unit | labels | what it means |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for metric in Metric::ALL {
        let Definition { kind, unit, labels, help, per_account, .. } = metric.definition();
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let only = if per_account { " Only with `--per-account`." } else { "" };
        let (name, kind) = (metric.sample_name(), kind.as_str());
        writeln!(table, "| `{name}` | {kind} | {unit} | {} | {help}{only} |", labels.join(", ")).unwrap();
    }
    documented("monitoring.md", "metrics", &(table + "\n"));
}

#[test]
fn the_table_of_events_is_true() {
    let mut table = "| event | what it means |\n| --- | --- |\n".to_owned();
    for kind in rotord::model::EventKind::ALL {
        writeln!(table, "| `{kind}` | {} |", kind.meaning()).unwrap();
    }
    documented("monitoring.md", "kinds", &(table + "\n"));
}

#[test]
fn each_metric_is_one_of_the_table_and_no_account_is_named_unasked() {
    let place = Place::new(FLEET);
    let daemon = place.daemon();
    place.must(&["secret", "set", "web1/admin"], "First-Password-1\n");
    assert_eq!(place.rotate("web1/admin").0, "failed");
    let ended =
        "rotord_attempts_total{kind=\"rotate\",outcome=\"failed\",trigger=\"command\",template=\"linux-passwd\"}";
    let text = wait_for("the accounts to be looked at", || {
        let text = metrics(&place, "/metrics", OPEN_METRICS);
        (value(&text, "rotord_accounts_failing") == Some(1.0)).then_some(text)
    });
    assert_eq!(value(&text, ended), Some(1.0), "{text}");
    assert_eq!(value(&text, "rotord_accounts{state=\"idle\"}"), Some(1.0));
    assert_eq!(value(&text, "rotord_accounts{state=\"new\"}"), Some(1.0));
    assert_eq!(value(&text, "rotord_vault_writable"), Some(1.0));
    assert_eq!(value(&text, "rotord_attempt_duration_seconds_count{kind=\"rotate\"}"), Some(1.0));
    assert!(value(&text, "rotord_vault_commit_seconds_count").unwrap() > 3.0, "{text}");
    assert!(value(&text, "rotord_audit_append_seconds_count").unwrap() > 1.0, "{text}");
    let head = place.json(&["audit", "tail", "-n", "1"]).0["events"][0]["seq"].as_f64();
    assert_eq!(value(&text, "rotord_audit_events_total"), head);
    assert!(text.ends_with("# EOF\n") && !text.contains("web1"), "{text}");
    let named = metrics(&place, "/metrics?per_account=true", "text/plain");
    assert_eq!(value(&named, "rotord_account_state{account=\"web1/admin\",state=\"idle\"}"), Some(1.0));
    let known = known_names();
    let name = Regex::new("^[a-z_]+").unwrap();
    for line in text.lines().chain(named.lines()).filter(|line| !line.starts_with('#')) {
        assert!(known.contains(name.find(line).unwrap().as_str()), "{line}");
    }
    // The readers of both formats that Prometheus has find nothing wrong.
    for text in [named, metrics(&place, "/metrics", "text/plain")] {
        let output = feed(Command::new("promtool").args(["check", "metrics"]), &text);
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.is_empty(), "{told}");
    }
    daemon.stop();
}

#[test]
fn a_scrape_asks_the_vault_nothing() {
    let place = Place::new(FLEET);
    let daemon = place.daemon();
    wait_for("the accounts to be looked at", || value(&metrics(&place, "/metrics", "*/*"), "rotord_accounts_failing"));
    let vault = rusqlite::Connection::open(place.path("state/vault.db")).unwrap();
    vault.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Somebody waits for the vault meanwhile.
    let mut waits = Command::new(env!("CARGO_BIN_EXE_rotorctl"));
    let waits = waits.args(["pause", "--all"]).env("ROTORD_SOCKET", place.path("socket")).stderr(Stdio::null());
    let waits = Running(waits.stdout(Stdio::null()).spawn().unwrap());
    let begun = Instant::now();
    for _ in 0..20 {
        assert!(value(&metrics(&place, "/metrics", "*/*"), "rotord_accounts_failing").is_some());
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    vault.execute_batch("ROLLBACK").unwrap();
    drop(waits);
    daemon.stop();
}

/// A Prometheus that scrapes a port each second, with the alerts of `monitoring/`.
fn prometheus(place: &Place, exporter: u16) -> (Running, u16) {
    let port = free_port();
    let rules = source("monitoring/prometheus/rotord.rules.yml");
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n\
         - {{job_name: rotord, static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]}}\n",
        rules.display()
    );
    std::fs::write(place.path("prometheus.yml"), config).unwrap();
    let process = Command::new("prometheus")
        .arg(format!("--config.file={}", place.path("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", place.path("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(place.path("prometheus.log")).unwrap())
        .spawn()
        .unwrap();
    (Running(process), port)
}

/// What a query finds, where Prometheus answers.
fn query(port: u16, query: &str) -> Option<f64> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let (_, body) = answer(stream, &format!("/api/v1/query?query={encoded}"), "*/*");
    let found: Value = serde_json::from_str(body.split_once('{').map(|(_, rest)| format!("{{{rest}")).as_ref()?)
        .or_else(|_| serde_json::from_str(&body))
        .ok()?;
    found.pointer("/data/result/0/value/1")?.as_str()?.parse().ok()
}

#[test]
fn a_prometheus_scrapes_the_exporter_and_sees_a_daemon_that_is_gone() {
    let place = Place::new(FLEET);
    let daemon = place.daemon();
    let mut exporter = Command::new(env!("CARGO_BIN_EXE_rotorctl"))
        .args(["exporter", "--listen", "127.0.0.1:0"])
        .env("ROTORD_SOCKET", place.path("socket"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(exporter.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let _exporter = Running(exporter);
    let port: u16 = line.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap();
    let get = |path: &str, accept: &str| answer(TcpStream::connect(("127.0.0.1", port)).unwrap(), path, accept);
    let (head, body) = get("/metrics", OPEN_METRICS);
    assert!(head.contains("application/openmetrics-text") && body.ends_with("# EOF\n"), "{head}\n{body}");
    assert!(get("/other", "*/*").0.starts_with("HTTP/1.1 404"));
    let (_prometheus, prometheus) = prometheus(&place, port);
    let new = "rotord_accounts{state=\"new\"}";
    assert_eq!(wait_for("a scrape", || query(prometheus, new)), 2.0);
    assert_eq!(query(prometheus, "count(rotord_build_info)"), Some(1.0));
    daemon.stop();
    assert!(get("/metrics", "*/*").0.starts_with("HTTP/1.1 503"));
    wait_for("the missing daemon to be seen", || query(prometheus, "up{job=\"rotord\"}").filter(|up| *up == 0.0));
    wait_for("the alert", || query(prometheus, "ALERTS{alertname=\"RotordDown\"}"));
    let log = std::fs::read_to_string(place.path("prometheus.log")).unwrap();
    assert!(!log.contains("level=error"), "{log}");
}

#[test]
fn each_alert_fires_and_does_not_fire() {
    let output = Command::new("promtool")
        .args(["test", "rules", "rotord.test.yml"])
        .current_dir(source("monitoring/prometheus"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let rules = std::fs::read_to_string(source("monitoring/prometheus/rotord.rules.yml")).unwrap();
    let tests = std::fs::read_to_string(source("monitoring/prometheus/rotord.test.yml")).unwrap();
    let docs = std::fs::read_to_string(source("docs/monitoring.md")).unwrap();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 15);
    for alert in &alerts {
        for what in ["fires", "does not fire"] {
            assert!(tests.contains(&format!("- name: {alert} {what}\n")), "{alert} {what}");
        }
        assert!(docs.contains(&format!("`{alert}`")), "docs/monitoring.md does not tell of {alert}");
    }
    let commands = rules.lines().filter(|line| line.trim().starts_with("command: ")).count();
    assert_eq!(commands, alerts.len(), "each alert names a command to type");
    // What rules and dashboard ask for is there.
    let dashboard = std::fs::read_to_string(source("monitoring/grafana/rotord.json")).unwrap();
    let (name, known) = (Regex::new(r"rotord_[a-z_]+").unwrap(), known_names());
    for found in name.find_iter(&rules).chain(name.find_iter(&dashboard)) {
        assert!(known.contains(found.as_str()), "{}", found.as_str());
    }
}

/// Says for each document of a list whether it fits a schema: as JSON, what is wrong with each, or null.
const VALIDATE: &str = r#"
import json, sys, jsonschema_rs
validator = jsonschema_rs.Draft202012Validator(json.load(open(sys.argv[1])))
print(json.dumps([next((f"{error.instance_path}: {error.message}" for error in validator.iter_errors(one)), None) for one in json.load(sys.stdin)]))
"#;

#[test]
fn the_dashboard_has_the_shape_that_grafana_documents() {
    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(source("monitoring/grafana/rotord.json")).unwrap()).unwrap();
    // What the schema is to find.
    let slips: [(&str, Value); 8] = [
        ("/panels/0/type", "sta".into()),
        ("/panels/0/gridPos/w", 25.into()),
        ("/panels/0/targets/0/refId", Value::Null),
        ("/panels/0/options/colorMode", "backgrund".into()),
        ("/panels/0/fieldConfig/defaults/thresholds/steps/0/color", 1.into()),
        ("/templating/list/0/type", "data source".into()),
        ("/time", serde_json::json!({"from": "now-24h"})),
        ("/annotations/list/0/iconColor", Value::Null),
    ];
    let mut documents = vec![dashboard.clone()];
    for (place, value) in &slips {
        let mut broken = dashboard.clone();
        *broken.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = value.clone();
        documents.push(broken);
    }
    let mut unknown = dashboard;
    unknown["panels"][0]["titel"] = "x".into();
    documents.push(unknown);
    // The validator that the tests of the API bring along.
    let mut python = Command::new(source("target/schemathesis/bin/python"));
    let python = python.args(["-c", VALIDATE]).arg(source("monitoring/grafana/dashboard.schema.json"));
    let output = feed(python, &serde_json::to_string(&documents).unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Vec<Option<String>> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told[0], None);
    assert!(told.len() == slips.len() + 2 && told[1..].iter().all(Option::is_some), "{told:?}");
}

#[test]
fn each_query_of_the_dashboard_has_an_answer_and_its_picture_shows_each_panel() {
    let folder = tempfile::tempdir().unwrap();
    let drawn = folder.path().join("dashboard.svg");
    let script = source("tests/lab/dashboard.py");
    let done = Command::new("python3").args([script.as_ref(), drawn.as_os_str()]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(source("monitoring/grafana/rotord.json")).unwrap()).unwrap();
    for picture in [drawn, source("docs/dashboard.svg")] {
        let picture = std::fs::read_to_string(picture).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(picture.contains(&format!(">{title}<")), "no {title}; run tests/lab/dashboard.py");
        }
    }
}

#[test]
fn the_dashboard_is_one_that_grafana_reads() {
    let text = std::fs::read_to_string(source("monitoring/grafana/rotord.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36 && dashboard["title"] == "rotord");
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(variables.iter().any(|it| it["type"] == "datasource" && it["name"] == "datasource"));
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut covered = BTreeSet::new();
    for panel in panels {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()) && title.is_string(), "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && panel["datasource"]["uid"] == "${datasource}", "{title}");
        let references: BTreeSet<&str> = targets.iter().map(|it| it["refId"].as_str().unwrap()).collect();
        assert!(references.len() == targets.len() && targets.iter().all(|it| it["expr"].is_string()), "{title}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} is wider than the page");
        for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(covered.insert((x, y)), "{title} lies upon another panel");
        }
    }
    // Each expression is one that Prometheus parses.
    let expressions = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, target) in expressions.enumerate() {
        let expression = target["expr"].as_str().unwrap().replace("$instance", ".*").replace('\'', "''");
        writeln!(rules, "  - record: panel:number{number}\n    expr: '{expression}'").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    let output =
        Command::new("promtool").args(["check", "rules"]).arg(folder.path().join("rules.yml")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_check_is_a_plugin_of_nagios() {
    let place = Place::new(FLEET);
    let run = |args: &[&str]| {
        let output = place.ctl(&[&["check"], args].concat(), "");
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (exit, line) = run(&[]);
    assert!(exit == 2 && line.starts_with("ROTORD CRITICAL - no daemon answers") && !line.contains('|'), "{line}");
    let daemon = place.daemon();
    let fine = "clock_wrong=";
    let (exit, line) = wait_for("the accounts to be looked at", || {
        let (exit, line) = run(&["--critical", fine]);
        line.contains("quarantined=").then_some((exit, line))
    });
    let datum = Regex::new(r"^[a-z_]+=[0-9.]+;[0-9:@~]*;[0-9:@~]*;0;$").unwrap();
    let (text, data) = line.trim_end().split_once(" | ").unwrap();
    assert!((exit, text) == (0, "ROTORD OK - 2 accounts") && line.lines().count() == 1, "{line}");
    assert!(data.split(' ').all(|part| datum.is_match(part)), "{data}");
    place.must(&["secret", "set", "web1/admin"], "First-Password-1\n");
    place.ctl(&["rotate", "web1/admin"], "");
    let line = wait_for("the failure to be seen", || {
        let (exit, line) = run(&["--critical", fine]);
        (exit == 1).then_some(line)
    });
    assert!(line.starts_with("ROTORD WARNING - accounts whose last attempt failed: 1 (rotorctl status) | "), "{line}");
    assert_eq!(run(&["--critical", "clock_wrong=,failing=0"]).0, 2);
    assert_eq!(run(&["--warning", "failing=1", "--critical", fine]).0, 0);
    let (exit, line) = run(&["--warning", "nothing=1"]);
    assert!(exit == 3 && line.starts_with("ROTORD UNKNOWN - "), "{line}");
    daemon.stop();
}
