//! Keeping secrets where they are: no core dumps, no swapping, no other process looking in.

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More open files than these are of no use.
const MOST_DESCRIPTORS: u64 = 16_384;

/// Turns core dumps off, forbids other processes of the same user to look into the memory, and locks it where the
/// limits allow. What is not allowed is told and not fatal.
pub fn harden() {
    // As many descriptors as the limits allow: callers get a part of them alone.
    let more = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard.min(MOST_DESCRIPTORS).max(soft), hard));
    if let Err(error) = more {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!(%error, "core dumps could not be turned off");
    }
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::warn!(%error, "the process could not be made undumpable");
    }
    // Locking all memory under a small limit makes later allocations fail, so it is done only where there is none.
    let unlimited =
        getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft >= 1 << 40) || nix::unistd::geteuid().is_root();
    // Only what is really used: thread stacks and the program's untouched pages need no memory for it (mlockall(2)).
    let on_fault = MlockAllFlags::from_bits_retain(nix::libc::MCL_ONFAULT);
    let flags = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault;
    if !unlimited {
        tracing::info!(
            "memory is not locked: LimitMEMLOCK= is too small; secrets could be swapped out where swap is in use"
        );
    } else if let Err(error) = mlockall(flags) {
        tracing::info!(%error, "memory is not locked; secrets could be swapped out where swap is in use");
    }
}
