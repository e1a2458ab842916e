//! The daemon is killed at random moments of its work on real servers, and connections are cut at any byte; by itself
//! everything converges, and another SSH client logs in with what the vault says.
//!
//! KILLS sets how many kills there are in all (100 where it is not set).

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rotord::demo::PasswdShell;

use crate::lab::{Lab, Place, STEP, wait_for};
use crate::scripted::with_shell;

/// Kills of one vault: as many refused logins an hour are allowed, and a login that a kill cut off counts as one.
const KILLS_A_VAULT: usize = 9;
const LABS: usize = 6;

fn kills() -> usize {
    std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

/// Numbers from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).unwrap()
    }
}

/// One vault: some kills, then rest, then the proof. The passwords go on to the next one.
fn one_vault(lab: &Lab, passwords: &mut HashMap<String, String>, random: &mut Random) -> usize {
    let policy = "[policy.default]\nfailed_logins_per_hour = 10\n";
    let place = Place::new(&(lab.sections("lab", "linux-passwd", "max_sessions = 12") + policy));
    let users: Vec<&String> = lab.accounts.iter().map(|(user, ..)| user).collect();
    let mut daemon = place.daemon();
    let mut csv = "account,password,totp\n".to_owned();
    for (user, _, seed) in &lab.accounts {
        csv.push_str(&format!("lab/{user},\"{}\",otpauth://totp/x?secret={seed}&period={STEP}\n", passwords[user]));
    }
    place.must(&["import", "-"], &csv);
    let mut killed = 0;
    for _ in 0..KILLS_A_VAULT {
        let names: Vec<String> = (0..4).map(|_| format!("lab/{}", users[random.below(users.len())])).collect();
        let args: Vec<&str> = ["rotate", "--no-wait"].into_iter().chain(names.iter().map(String::as_str)).collect();
        place.ctl(&args, "");
        // The moment is what is random here; nothing is waited for.
        std::thread::sleep(Duration::from_millis(random.number() % 3_000));
        daemon.kill();
        killed += 1;
        daemon = place.daemon();
    }
    let rests = || {
        let (status, _) = place.json(&["status"]);
        let accounts = status["accounts"].as_array().unwrap().clone();
        accounts
            .iter()
            .all(|account| account["state"] == "idle" || account["state"] == "quarantined")
            .then_some(accounts)
    };
    let accounts = wait_for("a state of rest", rests);
    for account in accounts {
        assert_eq!(account["state"], "idle", "nobody was locked out: {account}");
        assert!(account["changes_24h"].as_u64().unwrap() <= 2, "{account}");
    }
    let (verified, _) = place.json(&["audit", "verify"]);
    assert_eq!(verified["ok"], true, "{verified}");
    for user in users {
        passwords.insert(user.clone(), place.password(&format!("lab/{user}")));
    }
    std::thread::scope(|scope| {
        for (user, password) in &*passwords {
            scope.spawn(move || {
                assert!(lab.ssh_accepts(user, password), "the vault's password of {user} is the device's")
            });
        }
    });
    daemon.stop();
    // A code that this vault sent is not sent by the next one, which does not know of it.
    let step = crate::lab::unix_now() / STEP;
    wait_for("the next step", || (crate::lab::unix_now() / STEP > step + 1).then_some(()));
    killed
}

fn a_share_of_kills(seed: u64) {
    // Six servers hash passwords on two cores: a code may be judged many steps after it was sent.
    let lab = Lab::with("user1 user2 user3 user4 user5 user6 user7 user8", &[("WINDOW", "17")]);
    let mut passwords: HashMap<String, String> =
        lab.accounts.iter().map(|(user, password, _)| (user.clone(), password.clone())).collect();
    let mut random = Random(seed);
    let mut killed = 0;
    while killed < kills().div_ceil(LABS) {
        killed += one_vault(&lab, &mut passwords, &mut random);
    }
    println!("{killed} kills, no password lost, no cap exceeded, no account locked");
}

#[test]
fn random_kills_lose_nothing_share_1() {
    a_share_of_kills(1);
}

#[test]
fn random_kills_lose_nothing_share_2() {
    a_share_of_kills(2);
}

#[test]
fn random_kills_lose_nothing_share_3() {
    a_share_of_kills(3);
}

#[test]
fn random_kills_lose_nothing_share_4() {
    a_share_of_kills(4);
}

#[test]
fn random_kills_lose_nothing_share_5() {
    a_share_of_kills(5);
}

#[test]
fn random_kills_lose_nothing_share_6() {
    a_share_of_kills(6);
}

/// What becomes of a connection at the limit of a proxy.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// Both ends learn that it is over.
    Cut,
    /// Nobody learns anything: what the server says is lost, and the connection stays open.
    Silence,
}

/// Carries bytes to a server until so many have come back, `u64::MAX` for always.
fn proxy(to: u16, limit: Arc<AtomicU64>, then: Then) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", to))) else { return };
            let carry = |mut from: TcpStream, mut into: TcpStream, limit: Option<Arc<AtomicU64>>| {
                std::thread::spawn(move || {
                    let mut buffer = [0; 256];
                    while let Ok(length) = from.read(&mut buffer) {
                        let mut length = length;
                        if let Some(limit) = &limit {
                            let left = limit.load(Ordering::SeqCst);
                            if left < u64::MAX {
                                length = length.min(usize::try_from(left).unwrap());
                                limit.store(left - length as u64, Ordering::SeqCst);
                            }
                        }
                        if length == 0 && then == Then::Silence && limit.is_some() {
                            while from.read(&mut buffer).is_ok_and(|length| length > 0) {}
                            loop {
                                std::thread::park();
                            }
                        }
                        if length == 0 || into.write_all(&buffer[..length]).is_err() {
                            break;
                        }
                    }
                    drop(from.shutdown(Shutdown::Both));
                    drop(into.shutdown(Shutdown::Both));
                })
            };
            carry(client.try_clone().unwrap(), server.try_clone().unwrap(), None);
            carry(server, client, Some(limit.clone()));
        }
    });
    port
}

#[test]
fn a_connection_cut_at_any_byte_leaves_no_doubt() {
    // A rotation's two connections bring about 9,000 bytes back; they are cut here and there.
    let cuts: Vec<u64> = (0..16).map(|n| 300 + n * 577).collect();
    std::thread::scope(|scope| {
        for share in cuts.chunks(4) {
            scope.spawn(move || share.iter().for_each(|cut| cut_at(*cut)));
        }
    });
}

fn cut_at(bytes: u64) {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let limit = Arc::new(AtomicU64::new(u64::MAX));
    let port = proxy(scripted.device.address.port(), limit.clone(), Then::Cut);
    let sections = crate::scripted::sections(&scripted.device, "linux-passwd")
        .replace(&scripted.device.address.to_string(), &format!("127.0.0.1:{port}"));
    scripted.place.configure(&(sections + "[policy.default]\nfailed_logins_per_hour = 10\n"));
    let daemon = scripted.place.daemon();
    scripted.import();
    limit.store(bytes, Ordering::SeqCst);
    drop(scripted.place.rotate("dev/admin"));
    limit.store(u64::MAX, Ordering::SeqCst);
    // A person need not wait for the minute after which rotord looks again by itself.
    wait_for(&format!("rest after a cut at byte {bytes}"), || {
        drop(scripted.place.ctl(&["verify", "dev/admin"], ""));
        (scripted.place.state("dev/admin") == "idle").then_some(())
    });
    assert_eq!(scripted.place.password("dev/admin"), scripted.held(), "cut at byte {bytes}");
    assert_eq!(scripted.device.state().replays, 0);
    daemon.stop();
}

#[test]
fn a_half_open_connection_is_given_up_and_the_password_is_found_out() {
    let lab = Lab::start("user1 user2 user3 user4");
    // In the handshake, in the login, while the password changes, and in the login that proves it.
    let places = [600, 2_000, 3_060, 4_000];
    let limits: Vec<Arc<AtomicU64>> = places.iter().map(|_| Arc::new(AtomicU64::new(u64::MAX))).collect();
    let sections = limits.iter().enumerate().map(|(n, limit)| {
        let port = proxy(lab.port, limit.clone(), Then::Silence);
        let user = &lab.accounts[n].0;
        format!(
            "[device.d{n}]\naddress = \"127.0.0.1:{port}\"\nhost_key = [\"{}\"]\ntemplate = \"linux-passwd\"\n[account.\"d{n}/{user}\"]\n",
            lab.fingerprint
        )
    });
    let place = Place::new(&(sections.collect::<String>() + "[policy.default]\nfailed_logins_per_hour = 10\n"));
    let daemon = place.daemon();
    for (n, (user, password, seed)) in lab.accounts.iter().enumerate() {
        let row =
            format!("account,password,totp\nd{n}/{user},{password},otpauth://totp/x?secret={seed}&period={STEP}\n");
        place.must(&["import", "-"], &row);
    }
    std::thread::scope(|scope| {
        for (n, (limit, at)) in limits.iter().zip(places).enumerate() {
            let (user, _, _) = &lab.accounts[n];
            let (place, lab) = (&place, &lab);
            scope.spawn(move || {
                let account = format!("d{n}/{user}");
                limit.store(at, Ordering::SeqCst);
                let (outcome, detail, _) = place.rotate(&account);
                println!("silence after {at} bytes: {outcome}, {detail}");
                assert_eq!(limit.load(Ordering::SeqCst), 0, "{account}: it never came so far");
                assert_ne!(outcome, "done", "{account}");
                limit.store(u64::MAX, Ordering::SeqCst);
                wait_for(&format!("{account} at rest"), || {
                    drop(place.ctl(&["verify", &account], ""));
                    (place.state(&account) == "idle").then_some(())
                });
                assert!(lab.ssh_accepts(user, &place.password(&account)), "{account}");
            });
        }
    });
    daemon.stop();
}
