//! A program that gets a message as JSON on its standard input: without a shell, an environment or rights of the daemon, in bounded
//! time, and with an output of which no more than a little is read.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User};

use super::{Blame, Delivery, Failure};
use crate::notify::event::clean;
use crate::notify::message::{Message, shortened};
use crate::notify::render::json;

/// Bytes that are read of what it prints; then its pipe is closed.
const MOST_OUTPUT: usize = 16 * 1024;
/// How often it is looked at, at the least.
const LOOK: Duration = Duration::from_millis(20);
/// EX_DATAERR of sysexits(3): this message will never be taken.
const NEVER: i32 = 65;

/// Ends a program that nobody waits for any more.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(super) async fn deliver(
    command: &[String],
    user: Option<&str>,
    timeout: Duration,
    messages: &[Message],
) -> Delivery {
    for (taken, message) in messages.iter().enumerate() {
        let cancelled = Cancel(Arc::default());
        let (words, user, cancel) = (command.to_owned(), user.map(str::to_owned), cancelled.0.clone());
        let input = json::document(message).to_string() + "\n";
        let (id, urgency) = (message.id.clone(), message.urgency.as_str());
        let ran = tokio::task::spawn_blocking(move || {
            let child = start(&words, user.as_deref(), &id, urgency)?;
            finish(child, &input, timeout, &cancel)
        });
        if let Err(failure) = ran.await.unwrap_or_else(|error| Err(Failure::again(error.to_string()))) {
            return Delivery::failed(taken, failure);
        }
    }
    Delivery { taken: messages.len(), ..Delivery::default() }
}

fn start(words: &[String], user: Option<&str>, id: &str, urgency: &str) -> Result<Child, Failure> {
    let (program, arguments) = words.split_first().ok_or_else(|| Failure::again("no command is set"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("ROTORD_ID", id)
        .env("ROTORD_SEVERITY", urgency)
        .current_dir("/")
        // A group of its own, which is killed whole.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(name) = user.filter(|_| nix::unistd::geteuid().is_root()) {
        let found = User::from_name(name).ok().flatten();
        let found = found.ok_or_else(|| Failure::again(format!("this host has no user {name}")))?;
        // With another user id the standard library gives up root's groups too.
        command.uid(found.uid.as_raw()).gid(found.gid.as_raw());
    }
    command.spawn().map_err(|error| Failure::again(format!("{program} does not start: {error}")))
}

/// Reads what is there of what a program prints, a little of it in all, and closes the pipe then.
fn drain(pipe: &mut Option<impl Read>, into: &mut Vec<u8>) {
    let mut piece = [0; 4096];
    while let Some(open) = pipe {
        match open.read(&mut piece) {
            Ok(read) if read > 0 && into.len() < MOST_OUTPUT => into.extend(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => *pipe = None,
        }
    }
}

/// Writes what a program takes now; a pipe that is done with is closed.
fn feed(pipe: &mut Option<impl Write>, rest: &mut &[u8]) {
    while let Some(open) = pipe {
        match open.write(rest) {
            Ok(written) if written > 0 => *rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // All is written, or it does not read.
            _ => *pipe = None,
        }
    }
}

/// From now on nothing waits at the pipe.
fn without_waiting<T: AsFd>(pipe: Option<T>) -> Option<T> {
    let pipe = pipe?;
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).ok().map(|_| pipe)
}

fn finish(mut child: Child, input: &str, timeout: Duration, cancel: &AtomicBool) -> Result<(), Failure> {
    let mut stdin = without_waiting(child.stdin.take());
    let (mut stdout, mut stderr) = (without_waiting(child.stdout.take()), without_waiting(child.stderr.take()));
    let (mut rest, mut printed, mut said) = (input.as_bytes(), Vec::new(), Vec::new());
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(1);
    let ended = loop {
        feed(&mut stdin, &mut rest);
        drain(&mut stdout, &mut printed);
        drain(&mut stderr, &mut said);
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < deadline && !cancel.load(Ordering::SeqCst) => std::thread::sleep(pause),
            _ => break None,
        }
        pause = (pause * 2).min(LOOK);
    };
    // Whatever it left behind ends with it.
    if let Ok(id) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
    if ended.is_none() {
        drop(child.wait());
    }
    drain(&mut stderr, &mut said);
    judge(ended, timeout, &String::from_utf8_lossy(&said))
}

fn judge(ended: Option<ExitStatus>, timeout: Duration, said: &str) -> Result<(), Failure> {
    let Some(status) = ended else {
        return Err(Failure::again(format!("it did not end within {} s, and was killed", timeout.as_secs())));
    };
    if status.success() {
        return Ok(());
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or(0)),
    };
    let said = shortened(&clean(said.trim()), 200);
    let why = if said.is_empty() { how } else { format!("{how}: {said}") };
    let blame = if status.code() == Some(NEVER) { Blame::Refused } else { Blame::Receiver };
    Err(Failure { why, blame, after: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, seconds: u64) -> Result<(), Failure> {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        let child = start(&words, None, "1-a", "warning")?;
        finish(child, &"{}\n".repeat(100_000), Duration::from_secs(seconds), &AtomicBool::new(false))
    }

    #[test]
    fn a_program_is_judged_by_how_it_ends() {
        assert_eq!(run("cat > /dev/null", 10), Ok(()));
        assert_eq!(run("exit 0", 10), Ok(()), "it need not read");
        let failed = run("printf 'no \\033[2J way' >&2; exit 3", 10).unwrap_err();
        assert!(failed.why.starts_with("exit status 3: no ") && !failed.why.contains('\u{1b}'), "{failed:?}");
        assert_eq!((failed.blame, run("exit 65", 10).unwrap_err().blame), (Blame::Receiver, Blame::Refused));
        assert!(run("kill -9 $$", 10).unwrap_err().why.contains("signal 9"));
        assert!(start(&["/no/such".into()], None, "", "").unwrap_err().why.contains("does not start"));
    }

    #[test]
    fn a_program_that_never_ends_or_prints_without_end_is_ended_with_all_that_it_started() {
        let begun = Instant::now();
        let failed = run("sleep 1000 & sleep 1000", 1).unwrap_err();
        assert!(failed.why.contains("did not end within 1 s"), "{failed:?}");
        assert_eq!(run("sleep 1000 & exit 0", 10), Ok(()), "what it left behind holds nobody");
        assert_eq!(run("setsid sleep 3 & exit 0", 10), Ok(()), "nor does what left its group");
        // Its pipe is closed, by which yes(1) ends.
        assert_eq!(run("yes; exit 0", 20), Ok(()));
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_program_gets_nothing_of_the_daemon_s_environment() {
        let only = "test \"$(env | grep -cvE '^(PATH|LANG|ROTORD_ID|ROTORD_SEVERITY|PWD|SHLVL|_)=')\" = 0";
        assert_eq!(run(&format!("{only} && test \"$PWD\" = /"), 10), Ok(()));
    }
}
