//! Waiting for room: a device that has none for one more session is asked again a while later.

use std::time::Duration;

use super::error::DeviceError;
use super::guards::Guards;
use super::observer::Observer;
use crate::model::AccountName;
use crate::rotation::wait_for_room_ms;

/// Waits for room, of one login after another.
#[derive(Debug, Default)]
pub struct RoomWaits(Vec<Waited>);

/// For room of one account.
#[derive(Debug)]
struct Waited {
    account: AccountName,
    times: usize,
    /// How long before the first wait rotord's own last session of it ended.
    last_own_ms: Option<i64>,
}

impl RoomWaits {
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
        let known = self.0.iter().position(|waited| waited.account == *account);
        let at = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.push(Waited { account: account.clone(), times: 0, last_own_ms });
        }
        let Some(waited) = self.0.get_mut(at) else { return false };
        let Some(ms) = wait_for_room_ms(waited.times, waited.last_own_ms) else { return false };
        waited.times += 1;
        observer.step(format!("{error}; asking again in {} s", ms / 1000));
        tokio::select! {
            biased;
            () = observer.given_up() => false,
            () = on.clock().sleep(Duration::from_millis(ms.unsigned_abs())) => true,
        }
    }
}
