//! `rotorctl report`: the auditor's report, into a file or to stdout.

use std::io::IsTerminal;

use super::Failure;
use super::args::ReportArgs;
use super::local::write_new;
use super::output::{put, say};
use super::remote::print;
use crate::control::Client;
use crate::web::Report;

pub(super) async fn run(client: &Client, args: &ReportArgs, json: bool) -> Result<u8, Failure> {
    if args.html.is_none() && !args.csv && !json {
        return Err(Failure::usage("say how: --html FILE, --csv or --json"));
    }
    let shows = std::io::stderr().is_terminal();
    let gathered = Report::gather(client, (args.from, args.to), |events| {
        if shows {
            eprint!("\r\u{1b}[K{events} events of the audit log read");
        }
    })
    .await;
    if shows {
        eprint!("\r\u{1b}[K");
    }
    let report = gathered?.map_err(Failure::usage)?;
    if let Some(file) = &args.html {
        let page = report.html().map_err(|error| Failure::unexpected(error.to_string()))?;
        write_new(file, page.as_bytes())?;
        if !json && !args.csv {
            say!("The report is in {}.", file.display());
        }
    }
    if json {
        return print(&report);
    }
    if args.csv {
        put!("{}", report.csv().map_err(|error| Failure::unexpected(error.to_string()))?);
    }
    Ok(0)
}
