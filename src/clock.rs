//! The system's clocks, read and waited for in one place.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::model::{BootId, Moment};

/// A future whose type does not matter.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A source of time. The system's is the only one in the daemon; the simulator has one of its own.
pub trait Time: Send + Sync {
    /// Now.
    fn now(&self) -> Moment;

    /// Waits; on which clock a wait counts is the source's affair.
    fn sleep(&self, time: Duration) -> Waiting<'static, ()>;

    /// Waits until the wall clock is to be looked at again, since it may have been set: no longer than half a minute after
    /// it was.
    fn look_again(&self) -> Waiting<'static, ()>;
}

/// Reads both clocks. It is cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Time>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock(..)")
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// The system's clocks, in this boot. Where the kernel names no boot, stamps are compared by the wall clock alone.
    #[must_use]
    pub fn new() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_else(|_| {
            let mut bytes = [0u8; 16];
            // A boot id that nobody shares makes every stamp an earlier boot's: the wall clock decides.
            let _ = getrandom::fill(&mut bytes);
            data_encoding::HEXLOWER.encode(&bytes)
        });
        Self(Arc::new(System { boot: BootId::of(boot.trim()) }))
    }

    /// A clock over another source.
    #[must_use]
    pub fn over(source: Arc<dyn Time>) -> Self {
        Self(source)
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.0.now()
    }

    /// Waits.
    pub fn sleep(&self, time: Duration) -> Waiting<'static, ()> {
        self.0.sleep(time)
    }

    /// The work's result, or `None` where it took longer than the bound.
    pub async fn within<T>(&self, bound: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            result = work => Some(result),
            // Begun only where the work is not done at once.
            () = async { self.sleep(bound).await } => None,
        }
    }

    /// Waits until the wall clock is to be looked at again, since it may have been set: no longer than half a minute after
    /// it was.
    pub fn look_again(&self) -> Waiting<'static, ()> {
        self.0.look_again()
    }
}

/// What the kernel says of the host's clock (adjtimex(2)).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostClock {
    /// Whether it holds it for synchronised (`STA_UNSYNC`).
    pub synchronised: bool,
    /// By how many seconds it still has to correct it.
    pub offset: f64,
}

/// Whether the kernel holds the host's clock for synchronised; `None` where it does not say.
#[must_use]
pub fn host_is_synchronised() -> Option<bool> {
    host_clock().map(|clock| clock.synchronised)
}

/// What the kernel says of the host's clock; `None` where it says nothing.
#[must_use]
#[allow(unsafe_code)]
pub fn host_clock() -> Option<HostClock> {
    // SAFETY: all of a timex may be zero, and `modes` of zero only reads. The kernel writes no more than the struct.
    let (state, time) = unsafe {
        let mut time: nix::libc::timex = std::mem::zeroed();
        (nix::libc::adjtimex(&raw mut time), time)
    };
    // In nanoseconds or in microseconds.
    let unit = if time.status & nix::libc::STA_NANO == 0 { 1e-6 } else { 1e-9 };
    let offset = i32::try_from(time.offset).map_or(0.0, f64::from) * unit;
    (state >= 0).then_some(HostClock { synchronised: time.status & nix::libc::STA_UNSYNC == 0, offset })
}

/// What to say of a host's clock, by what [`host_is_synchronised`] found.
#[must_use]
pub fn unsynchronised(synchronised: Option<bool>) -> Option<String> {
    let warning = "the kernel says that this host's clock is not synchronised: run an NTP client, or one-time codes will be refused once it drifts";
    (synchronised == Some(false)).then(|| warning.to_owned())
}

struct System {
    boot: BootId,
}

impl Time for System {
    fn now(&self) -> Moment {
        let since_boot_ms = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_or(0, |time| time.tv_sec().saturating_mul(1000).saturating_add(time.tv_nsec() / 1_000_000));
        Moment { wall_ms: chrono::Utc::now().timestamp_millis(), boot: self.boot, since_boot_ms }
    }

    fn sleep(&self, time: Duration) -> Waiting<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn look_again(&self) -> Waiting<'static, ()> {
        self.sleep(Duration::from_secs(30))
    }
}
