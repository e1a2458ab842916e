//! A terminal, as tmux has it: what stands on its screen, and keys that are pressed.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::lab::wait_for;

/// A terminal of tmux in which a command runs.
pub struct Tmux(String);

impl Drop for Tmux {
    fn drop(&mut self) {
        drop(Command::new("tmux").args(["-L", &self.0, "kill-server"]).output());
    }
}

impl Tmux {
    /// One with a server of its own, which has no terminal yet.
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        Self(format!("rotord-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)))
    }

    /// Runs a line of the shell on a terminal of 110 columns and 30 rows. The terminal stays when it has ended.
    pub fn start(&self, line: &str) {
        self.run(&["new-session", "-d", "-x", "110", "-y", "30", &format!("{line}; cat")]);
    }

    pub fn run(&self, args: &[&str]) -> String {
        let output = Command::new("tmux").args(["-L", &self.0, "-f", "/dev/null"]).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn shows(&self, text: &str) -> String {
        wait_for(&format!("{text} on the screen"), || {
            Some(self.run(&["capture-pane", "-p"])).filter(|screen| screen.contains(text))
        })
    }
}
