use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::clock::{Time, Waiting};
use crate::device::{Codes, Risks, Shell, Ssh, Stream};
use crate::dialogue::Values;
use crate::model::{AccountName, BootId, DeviceName};
use crate::policy::Limit;
use crate::totp::Seed;
use crate::vault::{Vault, VaultKey};

/// A clock that stands still unless it is moved.
#[derive(Default)]
struct Still(AtomicI64);

impl Time for Still {
    fn now(&self) -> Moment {
        let ms = self.0.load(Ordering::SeqCst);
        Moment { wall_ms: 1_000_000_000_000 + ms, boot: BootId::of("b"), since_boot_ms: ms }
    }

    fn sleep(&self, _: Duration) -> Waiting<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn look_again(&self) -> Waiting<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// A device that asks nothing, on and on, 25 seconds each time; and whether somebody else had a turn with the seed at each.
struct Endless {
    time: Arc<Still>,
    codes: Codes,
    others: Arc<Mutex<Vec<bool>>>,
}

impl Link for Endless {
    fn ask<'a>(&'a mut self, _: &'a str, ask: Ask) -> Waiting<'a, Result<Reply, String>> {
        Box::pin(async move {
            self.time.0.fetch_add(25_000, Ordering::SeqCst);
            let (other, seed) = (AccountName::parse("other/root").unwrap(), seed());
            let had = tokio::select! {
                biased;
                turn = self.codes.turn(&other, &seed, |_| {}) => turn.is_some(),
                () = std::future::ready(()) => false,
            };
            self.others.lock().unwrap().push(had);
            Ok(match ask {
                Ask::None => {
                    Reply::Failure { methods: Methods { interactive: true, ..Methods::default() }, partial: false }
                }
                _ => Reply::Prompts { context: String::new(), prompts: Vec::new() },
            })
        })
    }

    fn shell(&self) -> Waiting<'_, Result<Box<dyn Shell>, String>> {
        Box::pin(async { Err("no shell".into()) })
    }

    fn tunnel<'a>(&'a self, _: &'a str, _: u16) -> Waiting<'a, Result<Box<dyn Stream>, String>> {
        Box::pin(async { Err("no way through here".into()) })
    }

    fn close(self: Box<Self>) -> Waiting<'static, ()> {
        Box::pin(async {})
    }
}

struct Silent;

impl Watcher for Silent {
    fn step(&self, _: String) {}

    async fn commit_point(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

fn seed() -> Seed {
    Seed::parse("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap()
}

#[tokio::test]
async fn a_device_that_asks_on_and_on_does_not_hold_up_who_shares_the_seed() {
    let folder = tempfile::tempdir().unwrap();
    let key = VaultKey::create(&folder.path().join("key")).unwrap();
    let vault = Vault::open(&folder.path().join("state"), &key).unwrap();
    let time = Arc::new(Still::default());
    // Not at the begin of a step, where a code would have to be waited for.
    time.0.store(5_000, Ordering::SeqCst);
    let clock = Clock::over(time.clone());
    let codes = Codes::new(vault.clone(), clock.clone());
    let on = Transport { wire: Arc::new(Ssh), codes: codes.clone(), risks: Risks::new(vault, clock) };
    let device = Device {
        name: DeviceName::parse("web1").unwrap(),
        host: "192.0.2.1".into(),
        port: 22,
        host_keys: Vec::new(),
        known_hosts: None,
        template_sha256: None,
        template: "t".into(),
        jump: None,
        jump_account: None,
        max_sessions: 1,
        legacy_algorithms: false,
        login_format: LoginFormat::Separate,
        connect_timeout: Duration::from_secs(10),
        fields: BTreeMap::new(),
    };
    let login = Login {
        account: AccountName::parse("web1/root").unwrap(),
        budget: Limit { count: 2, window_ms: 3_900_000 },
        password: None,
        new_password: None,
        seed: Some(seed()),
        key: None,
        format: LoginFormat::Separate,
        prompts: Vec::new(),
        values: Values::default(),
        prove: false,
        probe: false,
    };
    let turn = login.turn(&device, &on, &Silent).await.unwrap_or_else(|error| panic!("{error}"));
    let others = Arc::new(Mutex::new(Vec::new()));
    let mut link = Endless { time, codes, others: others.clone() };
    let ended = log_in(&mut link, &device, &login, turn, &on, &Silent).await;
    assert!(matches!(ended, Err(DeviceError::Broken { .. })), "{ended:?}");
    let others = others.lock().unwrap();
    assert_eq!(others[..5], [false, false, false, true, true], "its turn lasts for a minute, and then for no longer");
}
