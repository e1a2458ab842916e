//! How long a login waits for a device that has no room for one more session: some free the slot of a session only a while after its
//! end, and allow one session for each user.

/// So long after its own last session of the account a device may be about to free the slot of that one, in milliseconds.
const FREED_LATE_MS: i64 = 180_000;

/// The waits after such a session. Together they outlast what terminal servers, bastions and PAM are known to take.
const WAITS_MS: [i64; 5] = [5_000, 10_000, 20_000, 30_000, 30_000];

/// So many of them where a change waits that has sent nothing yet: it is made as well at its next try, and who asked for it is told
/// within a minute that the device has no room.
const WAITS_BEFORE_A_CHANGE: usize = 3;

/// The wait where nothing tells of a session of its own: somebody else has the slot, and may go on.
const ONE_WAIT_MS: i64 = 15_000;

/// In how many milliseconds a login is made again at a device that had no room, after so many waits of the same login before;
/// `None` where it fails, and is tried again like one at a device that does not answer. `last_own_ms` tells how long before the first
/// of these waits rotord's own last session of the account ended: 0 where one was open. `before_change` tells that it is for a change
/// that has sent nothing yet.
#[must_use]
pub fn wait_for_room_ms(waited: usize, last_own_ms: Option<i64>, before_change: bool) -> Option<i64> {
    match last_own_ms {
        _ if before_change && waited >= WAITS_BEFORE_A_CHANGE => None,
        Some(ago) if ago <= FREED_LATE_MS => WAITS_MS.get(waited).copied(),
        _ => (waited == 0).then_some(ONE_WAIT_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_freed_late_is_waited_for_and_no_longer_than_that_takes() {
        for (why, waited, own, expected) in [
            ("its own session is open", 0, Some(0), Some(5_000)),
            ("its own session has just ended", 0, Some(100), Some(5_000)),
            ("a device may take longer", 1, Some(100), Some(10_000)),
            ("and longer", 2, Some(100), Some(20_000)),
            ("and longer", 4, Some(100), Some(30_000)),
            ("but not for ever", 5, Some(100), None),
            ("a session of some minutes ago", 0, Some(180_000), Some(5_000)),
            ("one of long ago has been freed", 0, Some(600_000), Some(15_000)),
            ("so somebody else has the slot", 1, Some(600_000), None),
            ("nobody knows of a session", 0, None, Some(15_000)),
            ("so it is asked once more", 1, None, None),
        ] {
            assert_eq!(wait_for_room_ms(waited, own, false), expected, "{why}: {waited} {own:?}");
            let expected = expected.filter(|_| waited < WAITS_BEFORE_A_CHANGE);
            assert_eq!(wait_for_room_ms(waited, own, true), expected, "before a change, {why}: {waited} {own:?}");
        }
        assert!((60_000..180_000).contains(&WAITS_MS.iter().sum::<i64>()));
        assert!((30_000..45_000).contains(&WAITS_MS.iter().take(WAITS_BEFORE_A_CHANGE).sum::<i64>()));
    }
}
