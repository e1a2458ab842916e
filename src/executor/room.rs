//! Waiting for room: a device that has none for one more session is asked again a while later.

use std::time::Duration;

use super::error::DeviceError;
use super::guards::Guards;
use super::observer::Observer;
use crate::model::AccountName;
use crate::rotation::wait_for_room_ms;

/// Waits for room, of one login after another.
#[derive(Debug, Default)]
pub struct RoomWaits {
    waited: Vec<Waited>,
    before_change: bool,
}

/// For room of one account.
#[derive(Debug)]
struct Waited {
    account: AccountName,
    times: usize,
    /// How long before the first wait rotord's own last session of it ended.
    last_own_ms: Option<i64>,
}

impl RoomWaits {
    /// Those of a change that has sent nothing yet.
    #[must_use]
    pub fn before_change() -> Self {
        Self { waited: Vec::new(), before_change: true }
    }

    /// Waits where the error tells that a device has no room for a session of the account and may have some soon. Returns whether to
    /// try again. Nothing is held meanwhile but what the caller holds, and it ends once no login is begun any more.
    pub async fn again(
        &mut self,
        error: &DeviceError,
        account: &AccountName,
        last_own_ms: Option<i64>,
        on: &Guards,
        observer: &dyn Observer,
    ) -> bool {
        if !error.lacks_room() {
            return false;
        }
        let known = self.waited.iter().position(|waited| waited.account == *account);
        let at = known.unwrap_or(self.waited.len());
        if known.is_none() {
            self.waited.push(Waited { account: account.clone(), times: 0, last_own_ms });
        }
        let Some(waited) = self.waited.get_mut(at) else { return false };
        let Some(ms) = wait_for_room_ms(waited.times, waited.last_own_ms, self.before_change) else { return false };
        waited.times += 1;
        observer.step(format!("{error}; asking again in {} s", ms / 1000));
        tokio::select! {
            biased;
            () = observer.given_up() => false,
            () = on.clock().sleep(Duration::from_millis(ms.unsigned_abs())) => true,
        }
    }
}
