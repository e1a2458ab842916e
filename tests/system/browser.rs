//! Web devices: a browser changes a password, and what goes wrong on the way ends in the right state.

use crate::lab::Place;
use crate::site::{FIRST, PERIOD, SEED, Web};

/// The application's template.
const TEMPLATE: &str = r##"start-at https://[#HOSTNAME#]/login
timeout 8000
section login
new-action
fill "#user" [#USERNAME#]
fill "#password" [#CURRENT_PASSWORD#]
click "#go"
new-action
fill "#code" [#TOTP_TOKEN#]
click "#go"
test-selector "#welcome"
section change
set-location /change
new-action
fill "#new" [#NEW_PASSWORD#]
fill "#again" [#NEW_PASSWORD#]
click "#save"
test-text "Your password has been changed"
"##;

/// An application and a daemon's place with its account.
fn place(more: &str) -> (Web, Place) {
    let web = Web::start();
    let place = Place::new("");
    place.configure(&web.section(place.folder.path(), more));
    std::fs::write(place.path("own/site.template"), TEMPLATE).unwrap();
    (web, place)
}

fn store(place: &Place) {
    let rows = format!("account,password,totp\nwiki/alice,{FIRST},otpauth://totp/x?secret={SEED}&period={PERIOD}\n");
    place.must(&["import", "-"], &rows);
}

#[test]
fn a_browser_changes_a_password_and_a_second_profile_proves_it() {
    let (web, place) = place("");
    let daemon = place.daemon();
    store(&place);
    let (outcome, detail, exit) = place.rotate("wiki/alice");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}: {}", place.log());
    let password = place.password("wiki/alice");
    assert_ne!(password, FIRST);
    let site = web.site();
    assert_eq!((site.password.as_str(), site.changes, site.logins, site.replayed), (password.as_str(), 1, 2, false));
    drop(site);
    daemon.stop();
}
