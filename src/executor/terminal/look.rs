//! A look at a device whose system is not known yet: its prompt, and the answer to one command that only reads.

use std::time::Duration;

use super::connect::Session;
use super::connector::Shell;
use super::shell::open_shell;
use crate::clock::Clock;
use crate::dialogue::Screen;
use crate::executor::error::DeviceError;
use crate::model::Secret;
use crate::recognition::{Evidence, harmless_command};

/// A device that prints nothing for so long has nothing to print.
const FIRST: Duration = Duration::from_secs(10);
/// One that has printed something and is quiet for so long has shown its prompt.
const QUIET: Duration = Duration::from_millis(1200);
/// More than this is not waited for.
const WHOLE: Duration = Duration::from_secs(20);
/// More bytes than this are not read: what tells of a system stands at the beginning.
const MOST_BYTES: usize = 64 * 1024;
/// The bound on a write.
const WRITE: Duration = Duration::from_secs(5);

/// Opens a shell, waits for its prompt, and sends the harmless command that goes with it, if there is one.
///
/// # Errors
/// The shell did not open.
pub(super) async fn look(session: &Session, clock: &Clock) -> Result<Evidence, DeviceError> {
    let mut shell = open_shell(session, clock).await?;
    let mut screen = Screen::default();
    read_until_quiet(&mut *shell, &mut screen, clock).await;
    let mut evidence =
        Evidence { greeting: session.greeting(), welcome: screen.unread().to_owned(), ..Evidence::default() };
    let Some(command) = harmless_command(evidence.prompt()) else { return Ok(evidence) };
    screen.mark_sent();
    let _ = clock.within(WRITE, shell.send(Secret::new(format!("{command}\n")))).await;
    read_until_quiet(&mut *shell, &mut screen, clock).await;
    evidence.command = Some(command);
    // The echo of the command is no answer.
    let answer = screen.since_sent();
    evidence.answer = answer.strip_prefix(command).unwrap_or(answer).trim_start_matches(['\r', '\n']).to_owned();
    Ok(evidence)
}

/// Feeds the screen until the device is quiet, has closed the session, or has printed enough.
async fn read_until_quiet(shell: &mut dyn Shell, screen: &mut Screen, clock: &Clock) {
    let end = clock.now().since_boot_ms + i64::try_from(WHOLE.as_millis()).unwrap_or(0);
    let (mut read, mut patience) = (0, FIRST);
    while read < MOST_BYTES && clock.now().since_boot_ms < end {
        let Some(Some(bytes)) = clock.within(patience, shell.output()).await else { return };
        read += bytes.len();
        screen.feed(&bytes);
        for reply in screen.take_replies() {
            let _ = clock.within(WRITE, shell.send(Secret::new(reply))).await;
        }
        patience = QUIET;
    }
}
