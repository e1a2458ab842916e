//! The system's clocks, read in one place.

use nix::time::{ClockId, clock_gettime};

use crate::model::{BootId, Moment};

/// Reads both clocks. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: BootId,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock of this boot. Where the kernel names no boot, stamps are compared by the wall clock alone.
    #[must_use]
    pub fn new() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_else(|_| {
            let mut bytes = [0u8; 16];
            // A boot id that nobody shares makes every stamp an earlier boot's: the wall clock decides.
            let _ = getrandom::fill(&mut bytes);
            data_encoding::HEXLOWER.encode(&bytes)
        });
        Self { boot: BootId(boot.trim().to_owned()) }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        let since_boot_ms = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_or(0, |time| time.tv_sec().saturating_mul(1000).saturating_add(time.tv_nsec() / 1_000_000));
        Moment { wall_ms: chrono::Utc::now().timestamp_millis(), boot: self.boot.clone(), since_boot_ms }
    }
}
