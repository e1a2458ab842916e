//! How far long work has come: one line on stderr, where that is a terminal. Nothing of it is left when the work ends.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The line is written anew this often at the most.
const AGAIN: Duration = Duration::from_millis(100);
/// Work that ends before shows nothing.
const QUIET: Duration = Duration::from_millis(500);
/// An estimate needs so much time to be one.
const TRUSTED: Duration = Duration::from_secs(3);
/// Goes back to the begin of a line and erases it (ECMA-48, EL).
const ERASED: &str = "\r\u{1b}[K";

/// The line.
#[derive(Debug)]
pub(super) struct Progress {
    shows: bool,
    begun: Instant,
    written: Option<Instant>,
    on_screen: bool,
}

impl Progress {
    /// A line that shows nothing yet.
    pub(super) fn new() -> Self {
        Self { shows: std::io::stderr().is_terminal(), begun: Instant::now(), written: None, on_screen: false }
    }

    /// Shows a text in place of the one before, unless it is empty. `text` is given the time since the begin.
    pub(super) fn show(&mut self, text: impl FnOnce(Duration) -> String) {
        let elapsed = self.begun.elapsed();
        if !self.shows || elapsed < QUIET || self.written.is_some_and(|written| written.elapsed() < AGAIN) {
            return;
        }
        let text: String = text(elapsed).chars().take(columns().saturating_sub(1)).collect();
        if text.is_empty() {
            return;
        }
        self.written = Some(Instant::now());
        self.on_screen = true;
        write(&format!("{ERASED}{text}"));
    }

    /// Takes the line away, so that something else can be written.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.on_screen) {
            self.written = None;
            write(ERASED);
        }
    }

    /// Waits for something, and shows for how long it has.
    pub(super) async fn wait<T>(self, what: &str, work: impl Future<Output = T>) -> T {
        let bar = RefCell::new(self);
        ticking(&bar, |elapsed| format!("{what}, {}", spoken(elapsed)), work).await
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Waits for something that shows a line too, and shows each second what `text` tells.
pub(super) async fn ticking<T>(
    bar: &RefCell<Progress>,
    text: impl Fn(Duration) -> String,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                bar.borrow_mut().clear();
                return done;
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => bar.borrow_mut().show(&text),
        }
    }
}

fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Where nobody reads stderr, nobody misses the line.
    drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
}

/// How wide the terminal is that stderr is.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr().as_fd());
    size.ok().filter(|size| size.ws_col > 0).map_or(80, |size| usize::from(size.ws_col))
}

/// `12 of 340 accounts, about 3 min left`.
pub(super) fn counted(done: u64, total: u64, what: &str, elapsed: Duration) -> String {
    let left = left(done, total, elapsed).map_or_else(String::new, |left| format!(", about {} left", spoken(left)));
    format!("{done} of {total} {what}{left}")
}

/// How long the rest takes if it goes on as before; `None` while that is no more than a guess.
fn left(done: u64, total: u64, elapsed: Duration) -> Option<Duration> {
    let rest = total.checked_sub(done).filter(|rest| *rest > 0)?;
    if done == 0 || elapsed < TRUSTED {
        return None;
    }
    let millis = elapsed.as_millis().checked_mul(u128::from(rest))? / u128::from(done);
    Some(Duration::from_millis(u64::try_from(millis).ok()?))
}

/// `48 s`, `12 min`, `3 h 20 min`.
pub(super) fn spoken(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_told_once_it_is_one() {
        let told = |done, seconds| counted(done, 340, "accounts", Duration::from_secs(seconds));
        assert_eq!(told(0, 60), "0 of 340 accounts");
        assert_eq!(told(12, 1), "12 of 340 accounts");
        assert_eq!(told(12, 12), "12 of 340 accounts, about 5 min left");
        assert_eq!(told(170, 40), "170 of 340 accounts, about 40 s left");
        assert_eq!(told(1, 60), "1 of 340 accounts, about 5 h 39 min left");
        assert_eq!(told(340, 60), "340 of 340 accounts");
        assert_eq!(told(341, 60), "341 of 340 accounts");
        assert_eq!(left(1, u64::MAX, Duration::from_secs(u64::MAX)), None);
    }
}
