//! Tokens and long work on a terminal: the clipboard, the picture for an authenticator, and how far the work is.

use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::access::open_up;
use crate::lab::{Place, wait_for};
use crate::page::OTHER_USER;
use crate::tmux::Tmux;

const FLEET: &str = "[access]\nviewer = [\"nobody\"]\n[device.web1]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n[account.\"web1/admin\"]\n";
const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn place() -> Place {
    let place = Place::new(FLEET);
    open_up(&place);
    place
}

fn ctl(place: &Place, args: &str) -> String {
    format!("{} --socket {} {args}", place.path("rotorctl").display(), place.path("socket").display())
}

#[test]
fn a_token_goes_to_the_clipboard_of_the_terminal_and_nowhere_where_there_is_none() {
    let place = place();
    let _daemon = place.daemon();
    place.must(&["totp", "set", "web1/admin"], &format!("otpauth://totp/x?secret={SEED}&period=3600\n"));
    let none = place.ctl(&["otp", "web1/admin", "--copy"], "");
    assert_eq!(none.status.code(), Some(2), "{}", String::from_utf8_lossy(&none.stderr));
    let tmux = Tmux::new();
    tmux.start("true");
    tmux.run(&["set", "-s", "set-clipboard", "on"]);
    tmux.run(&["respawn-pane", "-k", &ctl(&place, "otp web1/admin --copy; cat")]);
    let screen = tmux.shows("s left  copied");
    let token: String = screen.trim_start().chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(token.len(), 6, "{screen}");
    wait_for("the clipboard", || (tmux.run(&["show-buffer"]) == token).then_some(()));
}

#[test]
fn a_custodian_sees_the_picture_of_a_seed_until_enter_is_pressed_and_it_is_on_record() {
    let place = place();
    let _daemon = place.daemon();
    let missing = place.ctl(&["otp", "web1/admin", "--qr", "--json"], "");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no TOTP seed"), "{missing:?}");
    place.must(&["totp", "set", "web1/admin"], &format!("{SEED}\n"));
    // Neither through a pipe, nor by another role.
    let piped = place.ctl(&["otp", "web1/admin", "--qr"], "");
    assert_eq!((piped.status.code(), piped.stdout.len()), (Some(2), 0));
    let mut command = Command::new(OTHER_USER[0]);
    command.args(&OTHER_USER[1..]).arg(place.path("rotorctl")).args(["otp", "web1/admin", "--qr", "--json"]);
    let refused = command.env("ROTORD_SOCKET", place.path("socket")).output().unwrap();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(6), 0));
    let shown = |place: &Place| -> Vec<Value> {
        let (log, _) = place.json(&["audit", "tail"]);
        let events = log["events"].as_array().unwrap().iter();
        events.filter(|event| event["event"] == "secret.shown").cloned().collect()
    };
    assert_eq!(shown(&place), [Value::Null; 0]);
    let tmux = Tmux::new();
    tmux.start(&ctl(&place, "otp web1/admin --qr --reason 'a new telephone'"));
    let screen = tmux.shows("scan it with the authenticator");
    assert!(screen.lines().filter(|line| line.contains('█')).count() > 15, "{screen}");
    tmux.run(&["send-keys", "Enter"]);
    wait_for("the picture is gone", || (!tmux.run(&["capture-pane", "-p", "-S", "-"]).contains('█')).then_some(()));
    let (uri, exit) = place.json(&["otp", "web1/admin", "--qr"]);
    assert_eq!(exit, 0);
    let uri = uri["uri"].as_str().unwrap();
    let wanted = format!("otpauth://totp/web1:admin?secret={SEED}&algorithm=SHA1&digits=6&period=30&issuer=web1");
    assert_eq!(uri, wanted);
    let events = shown(&place);
    assert_eq!((events.len(), events[0]["reason"].as_str()), (2, Some("a new telephone")), "{events:?}");
    assert!(events[0]["detail"].as_str().unwrap().contains("seed"), "{events:?}");
    let (report, _) = place.json(&["report"]);
    assert_eq!(report["reveals"][0]["what"], "secret.shown: the TOTP seed, for an authenticator", "{report}");
    assert!(!place.log().contains(SEED));
}

#[test]
fn work_on_several_accounts_tells_how_many_are_done_on_a_terminal_and_not_through_a_pipe() {
    // A device that takes connections and says nothing, beside one that refuses them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = place();
    let slow = format!(
        "[device.slow]\naddress = \"{}\"\ntemplate = \"linux-passwd\"\nhost_key = [\"SHA256:{}\"]\n[account.\"slow/admin\"]\n",
        silent.local_addr().unwrap(),
        "A".repeat(43)
    );
    place.configure(&format!("{FLEET}{slow}"));
    let _daemon = place.daemon();
    for account in ["web1/admin", "slow/admin"] {
        place.must(&["secret", "set", account], "pw-1\n");
    }
    let tmux = Tmux::new();
    tmux.start(&ctl(&place, "verify '*'"));
    tmux.shows("1 of 2 accounts");
    // The connection ends, and nobody answers there any more.
    drop(silent);
    let screen = tmux.shows("slow/admin: ");
    let screen = if screen.contains("web1/admin: failed") { screen } else { tmux.shows("web1/admin: failed") };
    assert!(!screen.contains(" of 2 accounts"), "{screen}");
    let piped = place.ctl(&["verify", "*"], "");
    let text = String::from_utf8_lossy(&piped.stderr).into_owned() + &*String::from_utf8_lossy(&piped.stdout);
    assert!(!text.contains(" of 2 accounts") && !text.contains('\u{1b}'), "{text}");
}
