//! The pages by the rules of axe-core, which judges them as people meet them who hear a page, or work without a mouse.

use serde_json::Value;

use crate::page::{Browser, Demo};

/// The pages of the demo, and what is done there before they are judged.
const PAGES: [(&str, &str); 15] = [
    ("", ""),
    ("accounts", ""),
    ("accounts?q=nobody", ""),
    ("accounts?device=web1&sort=-changed", ""),
    ("account?name=edge-fw/admin", "for (const it of document.querySelectorAll('details')) it.open = true"),
    ("account?name=mail/archive", ""),
    ("devices", ""),
    ("device?name=web1", ""),
    ("jobs", "for (const it of document.querySelectorAll('details')) it.open = true"),
    ("templates", ""),
    ("template?name=linux-passwd", ""),
    ("audit?check=1", ""),
    ("health", ""),
    ("work", ""),
    ("no-such-page", ""),
];

/// What axe-core finds: the rule, and the elements.
fn violations(browser: &Browser, axe: &str) -> Vec<String> {
    let script = format!(
        "{axe}\naxe.run(document).then((found) => done(found.passes.length > 10 ? found.violations : [{{ id: 'too few rules', nodes: [] }}]), (error) => done([{{ id: String(error), nodes: [] }}]));"
    );
    let found = browser.run_until_done(&script);
    let told = |rule: &Value| {
        let nodes =
            rule["nodes"].as_array().unwrap().iter().map(|node| format!("{} {}", node["html"], node["failureSummary"]));
        format!("{} ({}): {}", rule["id"], rule["help"], nodes.collect::<Vec<_>>().join("; "))
    };
    found.as_array().unwrap().iter().map(told).collect()
}

#[test]
fn axe_finds_nothing_on_any_page_light_or_dark_wide_or_narrow() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/axe/axe.min.js");
    let axe = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; tests/run has it installed", file.display()));
    let demo = Demo::start();
    let browser = Browser::start();
    browser.open(&demo.link);
    browser.until("document.querySelector('h1')?.textContent === 'Overview'");
    // The work of the demo's begin ends, and one is begun here, so that all kinds of states are there.
    browser.open(&format!("{}account?name=edge-fw/admin", demo.base()));
    browser.until("document.querySelector('.timeline .o-failed')");
    browser.open(&format!("{}accounts?q=web2", demo.base()));
    browser.until("document.querySelector('input[name=all]')");
    browser.run("document.querySelector('input[name=all]').click(); document.querySelector('.bulk button[value=verify]').click()");
    browser.until("document.querySelector('.confirm button')");
    let mut found = Vec::new();
    let mut judge = |name: &str| {
        for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 420)] {
            browser.wish(scheme);
            browser.size(width, 900);
            found.extend(
                violations(&browser, &axe).into_iter().map(|told| format!("{name}, {scheme}, {width}: {told}")),
            );
        }
    };
    judge("confirm");
    browser.run("document.querySelector('.confirm button').click()");
    browser.until("document.querySelector('progress')");
    for (path, before) in PAGES {
        browser.open(&format!("{}{path}", demo.base()));
        browser.until("document.readyState === 'complete' && document.querySelector('h1')");
        browser.run(before);
        judge(path);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(browser.refused_by_policy(), [""; 0]);
}
