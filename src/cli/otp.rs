//! `rotorctl otp`: tokens, and the picture by which an authenticator is enrolled.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use data_encoding::BASE64;
use qrcode::{Color, EcLevel, QrCode};

use super::output::{put, say, size};
use super::remote::print;
use super::{Failure, interrupted};
use crate::control::{Client, OtpBody, OtpQuery, SeedBody, ShowBody};
use crate::model::Secret;

/// Goes back to the begin of a line and erases it (ECMA-48, EL).
const ERASED: &str = "\r\u{1b}[K";
/// The light border of a picture in modules. ISO/IEC 18004 wants 4; readers take 2, and so the picture fits into 24 rows.
const QUIET: usize = 2;
/// Lines of words below the picture.
const WORDS: usize = 2;

/// What `otp` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct OtpArgs {
    /// The account, DEVICE/USERNAME.
    pub(crate) account: String,
    /// Why, for the audit log.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Keep showing it, with a countdown.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Wait for the coming one.
    #[arg(long)]
    pub(crate) next: bool,
    /// Put it into the clipboard of the terminal too, through SSH as well (OSC 52; in tmux: set -s set-clipboard on).
    #[arg(long)]
    pub(crate) copy: bool,
    /// Show the seed as a QR code for an authenticator, until Enter is pressed. Whoever sees it can make the codes. It is audited.
    #[arg(long, conflicts_with_all = ["watch", "next", "copy"])]
    pub(crate) qr: bool,
}

pub(super) async fn run(client: &Client, args: OtpArgs, json: bool) -> Result<u8, Failure> {
    if args.qr {
        return enrol(client, ShowBody { account: args.account, reason: args.reason }, json).await;
    }
    if args.copy && clipboard("").is_none() {
        return Err(Failure::usage("--copy needs a terminal, whose clipboard it fills"));
    }
    let query = OtpQuery { account: args.account, next: args.next, reason: args.reason };
    // On a terminal the code stands in one line, in which nothing of it is left at the end.
    let in_place = args.watch && !json && std::io::stdout().is_terminal();
    loop {
        let Some(body) = fetch(client, &query, args.watch).await? else { return Ok(0) };
        let token = body.token.0.expose();
        let copied = args.copy && clipboard(token).is_some();
        let copied = if copied { "  copied" } else { "" };
        if json {
            print(&body)?;
        } else if !in_place {
            say!("{token}  {} s left{copied}", body.seconds_left);
        }
        if !args.watch || count_down(&body, in_place, copied).await.is_none() {
            return Ok(0);
        }
    }
}

/// Asks for a token; `None` where who watches has seen enough.
async fn fetch(client: &Client, query: &OtpQuery, watch: bool) -> Result<Option<OtpBody>, Failure> {
    let waits = std::io::stderr().is_terminal();
    if waits {
        eprint!("{ERASED}waiting for a fresh token…");
    }
    let answer = tokio::select! {
        answer = client.post::<_, OtpBody>("/v1/otp", query) => Some(answer),
        () = interrupted(), if watch => None,
    };
    if waits {
        eprint!("{ERASED}");
    }
    Ok(answer.transpose()?)
}

/// Waits until a token has ended; `None` where who watches has seen enough.
async fn count_down(body: &OtpBody, in_place: bool, copied: &str) -> Option<()> {
    let place = |text: String| {
        if in_place {
            put!("{ERASED}{text}");
            drop(std::io::stdout().flush());
        }
    };
    for left in (1..=body.seconds_left).rev() {
        place(format!("{}  {left} s left{copied}", body.token.0.expose()));
        let goes_on = tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => true,
            () = interrupted() => false,
        };
        if !goes_on {
            place(String::new());
            return None;
        }
    }
    place(String::new());
    Some(())
}

/// Puts a text into the clipboard of the terminal that stdout or stderr is (xterm's OSC 52); `None` where neither is one.
fn clipboard(text: &str) -> Option<()> {
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let mut terminal: Box<dyn Write> = match (stdout.is_terminal(), stderr.is_terminal()) {
        (true, _) => Box::new(stdout),
        (false, true) => Box::new(stderr),
        (false, false) => return None,
    };
    if !text.is_empty() {
        let order = format!("\u{1b}]52;c;{}\u{7}", BASE64.encode(text.as_bytes()));
        terminal.write_all(order.as_bytes()).and_then(|()| terminal.flush()).ok()?;
    }
    Some(())
}

/// Shows a seed to a person with an authenticator.
async fn enrol(client: &Client, asked: ShowBody, json: bool) -> Result<u8, Failure> {
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if !json && !is_terminal {
        return Err(Failure::usage("--qr needs a terminal to show the picture on; --json prints the otpauth:// URI"));
    }
    let body: SeedBody = client.post("/v1/totp/show", &asked).await?;
    if json {
        return print(&body);
    }
    let picture = picture(&body.uri.0)?;
    let (columns, rows) = (picture.first().map_or(0, |line| line.chars().count()), picture.len() + WORDS);
    if size().is_some_and(|size| size.columns < columns || size.rows < rows) {
        return Err(Failure::usage(format!(
            "the picture needs {columns} columns and {rows} rows: make the terminal larger, and ask again"
        )));
    }
    let shown = Shown::begin();
    for line in &picture {
        // Black on white, whatever the colours of the terminal are: many readers take no other.
        put!("\u{1b}[30;107m{line}\u{1b}[0m\r\n");
    }
    put!("{}: scan it with the authenticator, then press Enter.\r\n", body.account);
    drop(std::io::stdout().flush());
    tokio::select! {
        () = entered() => {}
        () = interrupted() => {}
    }
    drop(shown);
    Ok(0)
}

/// The other screen of a terminal (xterm's private mode 1049), of which nothing is left when it ends.
struct Shown;

impl Shown {
    fn begin() -> Self {
        put!("\u{1b}[?1049h\u{1b}[2J\u{1b}[H");
        Self
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        put!("\u{1b}[2J\u{1b}[?1049l");
        drop(std::io::stdout().flush());
    }
}

/// Returns once Enter is pressed. The thread that waits for it ends with the process.
async fn entered() {
    let (sender, pressed) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        drop(std::io::stdin().read_line(&mut String::new()));
        sender.send(())
    });
    drop(pressed.await);
}

/// A QR code as lines of characters, each of which is two modules high.
fn picture(uri: &Secret) -> Result<Vec<String>, Failure> {
    let code = QrCode::with_error_correction_level(uri.expose(), EcLevel::L)
        .map_err(|error| Failure::unexpected(format!("no picture can be made of the seed: {error}")))?;
    let modules = code.width();
    let side = modules + 2 * QUIET;
    let is_dark = |x: usize, y: usize| {
        let (x, y) = (x.wrapping_sub(QUIET), y.wrapping_sub(QUIET));
        x < modules && y < modules && code[(x, y)] == Color::Dark
    };
    let line = |y: usize| {
        let cell = |x: usize| match (is_dark(x, y), is_dark(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        };
        (0..side).map(cell).collect()
    };
    Ok((0..side).step_by(2).map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_read_as_the_seed_that_it_is_of() {
        let uri = "otpauth://totp/web1:admin?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&algorithm=SHA1&digits=6&period=30&issuer=web1";
        let lines = picture(&Secret::new(uri.into())).unwrap();
        assert!(lines.len() + WORDS <= 24 && lines[0].chars().count() <= 80, "{} lines", lines.len());
        let lines: Vec<Vec<char>> = lines.iter().map(|line| line.chars().collect()).collect();
        let scale = 4;
        let mut seen =
            rqrr::PreparedImage::prepare_from_greyscale(lines[0].len() * scale, lines.len() * 2 * scale, |x, y| {
                let (x, y) = (x / scale, y / scale);
                let is_dark = match lines[y / 2][x] {
                    '█' => true,
                    '▀' => y % 2 == 0,
                    '▄' => y % 2 == 1,
                    _ => false,
                };
                if is_dark { 0 } else { 255 }
            });
        let (_, text) = seen.detect_grids()[0].decode().unwrap();
        assert_eq!(text, uri);
    }
}
