//! The browser and its driver, as the distribution installs them. Nothing is ever downloaded.

use std::path::Path;
use std::process::{Command, Stdio};

/// The driver.
pub const DRIVER: &str = "/usr/bin/chromedriver";
/// The browser's own program, behind its start script.
const BROWSER: &str = "/usr/bin/chromium";
const INSTALL: &str = "install the packages chromium and chromium-driver of the distribution";
/// Programs that isolate it, and the package that each is in.
const TOOLS: [(&str, &str); 3] = [("unshare", "util-linux"), ("setpriv", "util-linux"), ("ip", "iproute2")];

/// Which programs there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The version of the browser.
    pub browser: Option<String>,
    /// The version of the driver.
    pub driver: Option<String>,
    /// Missing tools, each with its package.
    pub missing: Vec<(&'static str, &'static str)>,
}

impl Programs {
    /// Looks for them on this host.
    #[must_use]
    pub fn find() -> Self {
        let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
        let there = |name: &str| folders.iter().any(|folder| Path::new(folder).join(name).is_file());
        Self {
            browser: version_of(BROWSER),
            driver: version_of(DRIVER),
            missing: TOOLS.into_iter().filter(|(name, _)| !there(name)).collect(),
        }
    }

    /// Their versions, where they can be used together.
    ///
    /// # Errors
    /// What is missing or does not fit, and what to install.
    pub fn usable(&self) -> Result<(&str, &str), String> {
        if let Some((name, package)) = self.missing.first() {
            return Err(format!("the program {name} is missing: install the package {package}"));
        }
        let browser = self.browser.as_deref().ok_or_else(|| format!("{BROWSER} is missing: {INSTALL}"))?;
        let driver = self.driver.as_deref().ok_or_else(|| format!("{DRIVER} is missing: {INSTALL}"))?;
        let major = |version: &str| version.split('.').next().unwrap_or_default().to_owned();
        if major(browser) != major(driver) {
            return Err(format!(
                "{BROWSER} has version {browser} and {DRIVER} has version {driver}: {INSTALL} in the same version"
            ));
        }
        Ok((browser, driver))
    }
}

/// Whether browser and driver are there.
///
/// # Errors
/// What is missing, and what to install.
pub(super) fn installed() -> Result<(), String> {
    let missing = [BROWSER, DRIVER].into_iter().find(|program| !Path::new(program).is_file());
    missing.map_or(Ok(()), |program| Err(format!("{program} is missing: {INSTALL}")))
}

/// The version that a program says it has.
fn version_of(program: &str) -> Option<String> {
    if !Path::new(program).is_file() {
        return None;
    }
    let mut command = Command::new(program);
    command.arg("--version").env_clear().envs([("PATH", "/usr/bin:/bin"), ("HOME", "/nonexistent")]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    version_in(&String::from_utf8_lossy(&output.stdout))
}

fn version_in(text: &str) -> Option<String> {
    let is_version = |word: &&str| word.split('.').count() > 2 && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.split_whitespace().find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(browser: &str, driver: &str) -> Programs {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Programs { browser: some(browser), driver: some(driver), missing: Vec::new() }
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_named_with_the_package() {
        assert!(programs("156.0.1.2", "156.0.1.9").usable().is_ok());
        let why = programs("156.0.1.2", "").usable().unwrap_err();
        assert!(why.contains("/usr/bin/chromedriver is missing") && why.contains("chromium-driver"), "{why}");
        let why = programs("", "156.0.1.2").usable().unwrap_err();
        assert!(why.contains("/usr/bin/chromium is missing"), "{why}");
        let why = programs("157.0.1.2", "156.0.1.2").usable().unwrap_err();
        assert!(why.contains("157.0.1.2") && why.contains("156.0.1.2") && why.contains("same version"), "{why}");
        let without = Programs { missing: vec![("ip", "iproute2")], ..programs("1.2.3", "1.2.3") };
        assert!(without.usable().unwrap_err().contains("iproute2"));
    }

    #[test]
    fn a_version_is_found_in_what_the_programs_say() {
        assert_eq!(version_in("Chromium 156.0.8078.114 built on Debian").unwrap(), "156.0.8078.114");
        assert_eq!(version_in("ChromeDriver 156.0.8078.114 (ea19f97-refs/branch-heads)").unwrap(), "156.0.8078.114");
        assert!(version_in("no version here").is_none());
    }
}
