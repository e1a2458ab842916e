//! Habits of pages that a web template meets: each ends in the right state.

use crate::lab::Place;
use crate::site::{FIRST, TEMPLATE, Web, rows};

/// Rotates the account of an application with these habits: outcome, detail, exit status; and the application.
fn rotate(template: &str, habits: impl FnOnce(&mut crate::site::Site)) -> ((String, String, i32), Web, Place) {
    let (result, web, place, _) = rotate_and_read(template, habits);
    (result, web, place)
}

/// The same, and the password that is in the vault then.
fn rotate_and_read(
    template: &str,
    habits: impl FnOnce(&mut crate::site::Site),
) -> ((String, String, i32), Web, Place, String) {
    let web = Web::start();
    habits(&mut web.site());
    let place = Place::new("");
    let pinned = format!("tls_sha256 = [\"{}\"]", web.fingerprint);
    let section = web.section(place.folder.path(), &pinned).replace("ca_file = \"authority.pem\"\n", "");
    place.configure(&section);
    std::fs::write(place.path("own/site.template"), template).unwrap();
    let daemon = place.daemon();
    place.must(&["import", "-"], &rows());
    let result = place.rotate("wiki/alice");
    let stored = place.password("wiki/alice");
    daemon.stop();
    (result, web, place, stored)
}

#[test]
fn a_dialogue_of_a_page_ends_the_run_where_no_line_answers_it_and_is_answered_where_one_does() {
    let ((outcome, detail, exit), web, place) =
        rotate(TEMPLATE, |site| site.extra = "<script>alert('Mind the gap')</script>".into());
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}: {}", place.log());
    assert!(detail.contains("Mind the gap") && detail.contains("accept-dialog"), "{detail}");
    let site = web.site();
    assert_eq!((site.changes, site.password.as_str()), (0, FIRST));
}

#[test]
fn new_windows_frames_of_others_and_what_never_loads_do_not_keep_a_change_from_being_made() {
    let extra = "<script>window.open('/home')</script><iframe src=https://elsewhere.example/></iframe><iframe srcdoc='<input id=user>'></iframe><img src=/never><script>setInterval(() => { document.body.dataset.tick = Date.now(); }, 20)</script>";
    let ((outcome, detail, exit), web, place) = rotate(TEMPLATE, |site| site.extra = extra.into());
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}: {}", place.log());
    let site = web.site();
    assert_eq!((site.changes, site.replayed), (1, false));
}

#[test]
fn a_text_of_success_that_is_there_on_failure_too_does_not_make_a_change_done() {
    let ((outcome, detail, exit), web, place) = rotate(TEMPLATE, |site| {
        site.extra = "<p>Your password has been changed</p>".into();
        site.strict = true;
    });
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}: {}", place.log());
    let site = web.site();
    assert_eq!((site.changes, site.password.as_str()), (0, FIRST));
}

#[test]
fn a_form_that_refuses_the_code_ends_the_run_before_anything_changes() {
    let ((outcome, detail, exit), web, place) = rotate(TEMPLATE, |site| site.refuses_codes = true);
    // Whoever refuses a login twice may have another password by now.
    assert_eq!((outcome.as_str(), exit), ("unknown", 5), "{detail}: {}", place.log());
    assert!(detail.contains("Invalid token"), "{detail}");
    let site = web.site();
    assert_eq!((site.changes, site.password.as_str(), site.replayed), (0, FIRST, false));
    assert!((1..=2).contains(&site.refused), "{} codes were refused", site.refused);
}

#[test]
fn a_page_that_asks_for_a_password_by_http_gets_none() {
    let ((outcome, detail, exit), web, place) = rotate(TEMPLATE, |site| site.asks_by_http = true);
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}: {}", place.log());
    assert!(detail.contains("by HTTP authentication (status 401), which rotord does not answer"), "{detail}");
    let site = web.site();
    assert_eq!((site.changes, site.has_credentials, site.asked.is_empty()), (0, false, false), "{detail}");
}

#[test]
fn forms_in_an_open_shadow_tree_are_filled_in_and_those_in_a_closed_one_are_told_of() {
    let ((outcome, detail, exit), web, place, stored) = rotate_and_read(TEMPLATE, |site| site.shadow = Some("open"));
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}: {}", place.log());
    assert_eq!((stored != FIRST, &web.site().password), (true, &stored));
    let ((outcome, detail, exit), web, place) = rotate(TEMPLATE, |site| site.shadow = Some("closed"));
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}: {}", place.log());
    assert!(detail.contains("closed shadow tree"), "{detail}");
    let site = web.site();
    assert_eq!((site.changes, site.password.as_str()), (0, FIRST));
}

#[test]
fn section_abort_clears_up_where_a_change_fails_before_its_commit_point_and_only_there() {
    let template = format!("{TEMPLATE}section abort\nset-location /logout\ntest-selector \"#user\"\n");
    let left = |web: &Web| web.site().asked.iter().filter(|path| *path == "/logout").count();
    let ((outcome, detail, exit), web, place) = rotate(&template, |site| site.renamed = true);
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}: {}", place.log());
    assert!(detail.contains("there is input#new_password"), "what went wrong is told, and not what followed: {detail}");
    assert_eq!((left(&web), web.site().changes), (1, 0), "{}", place.log());
    // Nobody was logged in.
    let ((outcome, _, _), web, _place) = rotate(&template, |site| site.asks_by_http = true);
    assert_eq!((outcome.as_str(), left(&web)), ("failed", 0));
    // Behind the commit point a login decides.
    let ((outcome, _, _), web, _place) = rotate(&template, |site| site.strict = true);
    assert_eq!((outcome.as_str(), left(&web)), ("failed", 0));
    let ((outcome, detail, exit), web, place) = rotate(&template, |_| {});
    assert_eq!((outcome.as_str(), exit, left(&web)), ("done", 0, 0), "{detail}: {}", place.log());
}

#[test]
fn a_file_in_place_of_a_page_is_not_kept_and_what_it_means_is_found_out_by_login() {
    let ((outcome, detail, exit), web, place) = rotate(TEMPLATE, |site| site.login_by_file = true);
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}: {}", place.log());
    assert_eq!(web.site().changes, 0);
    let ((outcome, detail, exit), web, place, stored) = rotate_and_read(TEMPLATE, |site| site.changes_by_file = true);
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}: {}", place.log());
    let site = web.site();
    assert_eq!((site.changes, site.password.as_str()), (1, stored.as_str()));
}

#[test]
fn a_service_worker_that_says_that_all_is_well_proves_nothing() {
    let ((outcome, detail, exit), web, place, stored) =
        rotate_and_read(TEMPLATE, |site| (site.worker, site.lies) = (true, true));
    assert_ne!((outcome.as_str(), exit), ("done", 0), "{detail}: {}", place.log());
    let site = web.site();
    assert!(site.asked.iter().any(|path| path == "/sw.js"), "{:?}", site.asked);
    assert_eq!((site.changes, site.password.as_str()), (0, FIRST));
    assert_eq!(stored, FIRST, "{detail}");
}

#[test]
fn a_login_that_leads_to_another_host_ends_the_run_before_anything_changes() {
    let ((outcome, detail, exit), web, place) =
        rotate(TEMPLATE, |site| site.leads_to = Some("https://elsewhere.example/home".into()));
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}: {}", place.log());
    assert!(detail.contains("elsewhere.example"), "{detail}");
    let site = web.site();
    assert_eq!((site.changes, site.password.as_str()), (0, FIRST));
}
