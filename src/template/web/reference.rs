//! What each command of web templates means: the one source of the reference's table, of the examples in messages, and of
//! `--explain`.

use crate::template::reference::{Entry, entry};

/// All commands of web templates.
pub const WEB_REFERENCE: &[Entry] = &[
    entry(&["start-at", "get"], "URL", "open the first page", "start-at https://[#HOSTNAME#]/login"),
    entry(
        &["timeout"],
        "MS",
        "bound on each wait in milliseconds, 30000; the device's setting is a floor",
        "timeout 60000",
    ),
    entry(
        &["user-agent", "useragent"],
        "TEXT",
        "sent only where the device says `send_user_agent = true`, since a false one breaks pages",
        "user-agent \"Mozilla/5.0 (X11; Linux x86_64)\"",
    ),
    entry(&["new-action"], "", "go on once the page has loaded and is quiet", "new-action"),
    entry(
        &["fill"],
        "SELECTOR VALUE",
        "empty the field and enter VALUE, with the events of typing",
        "fill #username [#USERNAME#]",
    ),
    entry(
        &["really-fill"],
        "SELECTOR VALUE",
        "the same, key by key",
        "really-fill input[name=password] [#CURRENT_PASSWORD#]",
    ),
    entry(&["click", "really-click"], "SELECTOR", "click, after scrolling to the element", "click button[type=submit]"),
    entry(&["jclick"], "SELECTOR", "click by script, where something covers the element", "jclick #next"),
    entry(&["prop"], "SELECTOR NAME VALUE", "set a property of the element", "prop #save disabled false"),
    entry(
        &["test-location"],
        "TEXT",
        "wait until the page's address matches: a whole URL is its beginning; a TEXT that begins with `/` is the beginning of path and query; another stands anywhere in host and path",
        "test-location /account/",
    ),
    entry(&["set-location"], "URL", "go there; relative to the page's address", "set-location /account/password"),
    entry(
        &["test-selector", "test-visible"],
        "SELECTOR",
        "wait until such an element is there and visible",
        "test-selector #logout",
    ),
    entry(&["test-not-visible"], "SELECTOR", "wait until no such element is visible", "test-not-visible .error"),
    entry(
        &["test-text"],
        "TEXT",
        "wait until the page shows TEXT; white space is folded, case does not matter",
        "test-text \"Password changed\"",
    ),
    entry(&["test-no-text"], "TEXT", "wait until the page does not show TEXT", "test-no-text \"error\""),
    entry(
        &["jscript"],
        "CODE",
        "run CODE in the page, `$` being the page's own; a value `false` or an empty result list fails the line",
        "jscript return document.title != \"Login\"",
    ),
    entry(&["log"], "TEXT", "a step of the record", "log logged in"),
    entry(&["sleep"], "N", "wait, whatever comes: seconds below 100, milliseconds from there on", "sleep 1500"),
    entry(
        &["fill-form"],
        "NAME VALUE",
        "the form client: enter VALUE in the field of this name, hidden ones too",
        "fill-form pwd [#CURRENT_PASSWORD#]",
    ),
    entry(
        &["select-button"],
        "NAME",
        "the form client: the button that the next `submit` presses",
        "select-button \"wp-submit\"",
    ),
    entry(&["submit"], "", "the form client: send the form", "submit"),
    entry(
        &["expect"],
        "TEXT",
        "the form client: wait until TEXT is in the page, also in what style hides",
        "expect \"Profile updated\"",
    ),
    entry(&["choose"], "", "branches begin; the first that comes true is taken", "choose"),
    entry(&["when-selector"], "SELECTOR", "a branch: such an element is visible", "when-selector #otp"),
    entry(&["when-location"], "TEXT", "a branch: the address matches", "when-location /home"),
    entry(&["when-text"], "TEXT", "a branch: the page shows TEXT", "when-text \"code is wrong\""),
    entry(&["end-choose"], "", "branches end", "end-choose"),
    entry(
        &["answer-selector"],
        "SELECTOR",
        "standing: the lines up to `end-answer` run whenever such an element appears while something else is awaited, 10 times at the most",
        "answer-selector #cookie-banner",
    ),
    entry(&["end-answer"], "", "the standing lines end", "end-answer"),
    entry(&["frame"], "SELECTOR", "what follows happens in that frame", "frame iframe#login"),
    entry(&["main-frame"], "", "what follows happens in the page itself again", "main-frame"),
    entry(&["select"], "SELECTOR TEXT", "choose an option by its text or value", "select #domain Local"),
    entry(&["check"], "SELECTOR", "tick a box", "check #accept"),
    entry(&["uncheck"], "SELECTOR", "clear a box", "uncheck #remember"),
    entry(&["press"], "KEY", "press a key where the focus is", "press Enter"),
    entry(&["accept-dialog"], "", "answer a script's `alert` or `confirm` with OK", "accept-dialog"),
    entry(&["dismiss-dialog"], "", "answer it with Cancel", "dismiss-dialog"),
    entry(
        &["ask-person"],
        "\"TEXT\" until-selector SELECTOR",
        "wait until a person has done it in the live view; or `until-location TEXT`",
        "ask-person \"Solve the puzzle\" until-selector #home",
    ),
    entry(
        &["info"],
        "KEY \"VALUE\"",
        "what the template is for, as in terminal templates; `info kind \"web\"` says that it is a web template",
        "info kind \"web\"",
    ),
    entry(
        &["fail"],
        "TEXT",
        "end the run as failed; behind the commit point: the application refuses the new password",
        "fail \"the password is too short\"",
    ),
    entry(
        &["section"],
        "NAME",
        "the lines that follow are of that part: `login`, `change`, `verify`, `reconcile`, `abort`",
        "section login",
    ),
    entry(&["end"], "", "finish", "end"),
];

/// The command of a name.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    WEB_REFERENCE.iter().find(|entry| entry.names.contains(&name))
}
