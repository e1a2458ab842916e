//! A Debian of its own that systemd boots, for what is installed and what runs as a service (tests/lab/machine.sh).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// The device that a machine is too, where its trial begins with [`DEVICE`].
pub const DEVICE: &str = "bash /source/tests/lab/device.sh\n";

/// One runs at a time: machines that run side by side have the same control groups, and a kill of a unit in one would reach the other's.
static RUNS: Mutex<()> = Mutex::new(());

/// A machine that has not been booted yet: its folder /exchange, that is.
pub struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// With the programs under test in /exchange/target/release, and templates and units beside them as in a copy of the source.
    pub fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        let programs = machine.path("target/release");
        fs::create_dir_all(&programs).unwrap();
        for (name, built) in [("rotord", env!("CARGO_BIN_EXE_rotord")), ("rotorctl", env!("CARGO_BIN_EXE_rotorctl"))] {
            fs::copy(built, programs.join(name)).unwrap();
        }
        for name in ["templates", "systemd"] {
            symlink(Path::new("/source").join(name), machine.path(name)).unwrap();
        }
        machine
    }

    /// A file in its /exchange.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("exchange").join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// What the trial left there; nothing where it left none.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap_or_default()
    }

    /// Boots it and runs a script in it as root, which must end well; returns what the script and rotord said.
    pub fn run(&self, trial: &str) -> String {
        let _alone = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
        self.write("trial", trial);
        let source = env!("CARGO_MANIFEST_DIR");
        let output = Command::new("timeout")
            .args(["--kill-after=10", "600"])
            .arg(Path::new(source).join("tests/lab/machine.sh"))
            .env("DIR", self.folder.path())
            .env("SOURCE", source)
            .output()
            .unwrap();
        let mut log = String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
        for name in ["trial.log", "journal.1", "journal.2"] {
            log.push_str(&format!("\n== {name}\n{}", self.read(name)));
        }
        assert!(output.status.success() && self.read("result").trim() == "0", "{log}");
        log
    }
}
