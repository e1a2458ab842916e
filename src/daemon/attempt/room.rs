//! Room for an attempt beside the others: passwords that are left alone, seeds, sessions.

use std::collections::BTreeSet;

use super::context::AttemptContext;
use super::shared::{Room, lock};
use crate::daemon::limits::Leases;
use crate::daemon::metrics::WaitsOn;
use crate::daemon::slots::{Slot, Urgency};
use crate::executor::seed_of;
use crate::model::AccountName;
use crate::totp::SeedId;
use crate::vault::Ledger;

impl AttemptContext {
    /// Waits until there is room for this attempt beside the others: its passwords are left alone, and there are seeds and sessions
    /// for it. Given back when dropped; none where the daemon stops meanwhile.
    pub(super) async fn room(&self, urgency: Urgency) -> Option<Room> {
        self.unless_stopping(async {
            let waits = self.core.metrics.waits(WaitsOn::Password);
            let leases = self.leases().await;
            drop(waits);
            let waits = self.core.metrics.waits(WaitsOn::Seed);
            let waiting = |ahead: usize| {
                self.step(format!("waiting: others that share its TOTP seed are at work: {ahead} ahead"));
            };
            let seeds = self.core.limits.seeds(self.seeds().await, waiting).await;
            drop(waits);
            self.room_with(leases, seeds, urgency).await
        })
        .await
    }

    /// Room to log in and to find out which password the account has.
    pub(super) async fn room_to_look(&self, urgency: Urgency) -> Room {
        self.room_with(self.leases().await, Vec::new(), urgency).await
    }

    /// What is begun comes soon to a session: it waits for one before.
    async fn room_with(&self, leases: Leases, seeds: Vec<Slot>, urgency: Urgency) -> Room {
        let sessions = self.sessions(urgency).await;
        *lock(&self.reserved) = Some(sessions);
        Room::new(leases, seeds, self.reserved.clone())
    }

    pub(super) async fn sessions(&self, urgency: Urgency) -> Vec<Slot> {
        let devices = self.config.way_to(&self.account.device);
        let _waits = self.core.metrics.waits(WaitsOn::Session);
        self.core.limits.sessions(&devices, urgency, |told| self.step(told)).await
    }

    /// What is waited for, unless the daemon stops before it comes.
    pub(super) async fn unless_stopping<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.core.stopped() => None,
            came = wait => Some(came),
        }
    }

    /// The seeds of whose codes the logins of this attempt will be asked for.
    async fn seeds(&self) -> Vec<SeedId> {
        let both = BTreeSet::from([&self.account.name, &self.login.name]).into_iter();
        let codes = &self.core.guards.codes;
        let may_be_asked = |name: &&AccountName| [false, true].iter().any(|proves| codes.may_be_asked(name, *proves));
        let asked: Vec<_> = both.filter(may_be_asked).cloned().collect();
        let look = move |tx: &dyn Ledger| {
            let seeds = asked.iter().map(|name| Ok(seed_of(tx, name)?.map(|seed| seed.id())));
            seeds.filter_map(Result::transpose).collect()
        };
        // Where the vault fails now, it is said where the secrets are needed.
        self.core.vault.call(look).await.unwrap_or_default()
    }

    /// The right to use the passwords with which this attempt logs in, and to change that of its account.
    async fn leases(&self) -> Leases {
        let mut used = self.config.jump_accounts(&self.account.device, self.login.name.user());
        used.extend(self.config.jump_accounts(&self.account.device, self.account.name.user()));
        used.push(self.login.name.clone());
        self.core.limits.leases(&self.account.name, &used, |told| self.step(told)).await
    }
}
