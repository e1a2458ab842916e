//! What a device says during a login besides its questions: banners, texts of rounds without prompts, the reason with which
//! it hangs up. It is quoted in whatever error ends the login, masked and bounded.

use crate::dialogue::{is_account_level, is_full};
use crate::executor::error::DeviceError;
use crate::model::{Masker, Secret};

/// Characters that are quoted, and that are kept of each half.
const MOST_QUOTED: usize = 400;
const MOST_KEPT: usize = 16 * 1024;
const MOST_LINES: usize = 20;
/// What stands for a seed.
const HIDDEN: &str = "********";

/// A device's words.
#[derive(Debug, Default)]
pub(super) struct Heard {
    masker: Masker,
    before: String,
    after: String,
}

impl Heard {
    pub(super) fn new(masker: Masker) -> Self {
        Self { masker, ..Self::default() }
    }

    /// A secret that the device may say from now on.
    pub(super) fn mask(&mut self, secret: &Secret) {
        self.masker.add(secret);
    }

    /// Something was said; `after` the first secret was sent, or before.
    pub(super) fn add(&mut self, text: &str, after: bool) {
        // A notice that comes with each round says nothing of what was sent since it was first there.
        let fresh = |line: &&str| !after || !self.before.lines().any(|said| said.trim() == line.trim());
        let text = text.lines().filter(fresh).collect::<Vec<_>>().join("\n");
        let kept = if after { &mut self.after } else { &mut self.before };
        if text.trim().is_empty() || kept.len() + text.len() > MOST_KEPT || kept.trim_end().ends_with(text.trim()) {
            return;
        }
        kept.push_str(&text);
        kept.push('\n');
    }

    /// A text on one line, masked, and then at most `most` characters of its end.
    pub(super) fn shown(&self, text: &str, most: usize) -> String {
        self.masker.shown_end(&without_seeds(text), MOST_LINES, most)
    }

    /// What it said that may explain an end: after the secrets, or else before them.
    fn telling(&self) -> &str {
        if self.after.is_empty() { &self.before } else { &self.after }
    }

    fn quoted(&self, why: String) -> String {
        let said = self.shown(self.telling(), MOST_QUOTED);
        if said.is_empty() || why.contains(&said) { why } else { format!("{why}; the device says «{said}»") }
    }

    /// The error with the device's words; another one, where they tell that nothing was judged.
    pub(super) fn explain(&self, error: DeviceError, secret_sent: bool) -> DeviceError {
        // What stands in a banner at each login is no verdict on this one.
        let verdict = if secret_sent { &self.after } else { self.telling() };
        match error {
            DeviceError::Refused { account, .. } | DeviceError::HungUp { account, .. } if is_account_level(verdict) => {
                DeviceError::NotNow { account, why: self.shown(verdict, MOST_QUOTED), no_room: is_full(verdict) }
            }
            DeviceError::Refused { account, why, with_code } => {
                DeviceError::Refused { account, why: self.quoted(why), with_code }
            }
            DeviceError::HungUp { account, why } => DeviceError::HungUp { account, why: self.quoted(why) },
            DeviceError::Broken { device, when, why } => DeviceError::Broken { device, when, why: self.quoted(why) },
            error => error,
        }
    }
}

/// A text without the seeds that a device makes up and shows: «Your new secret key is: …». No masker knows them.
fn without_seeds(text: &str) -> String {
    let is_base32 =
        |word: &str| word.len() >= 16 && word.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7' | b'='));
    let hidden = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '=');
        if is_base32(bare) || word.contains("otpauth://") { HIDDEN.to_owned() } else { word.to_owned() }
    };
    let line = |line: &str| {
        let lower = line.to_lowercase();
        let tells = ["secret", "seed", "key", "otpauth"].iter().any(|word| lower.contains(word));
        if tells { line.split(' ').map(hidden).collect::<Vec<_>>().join(" ") } else { line.to_owned() }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_that_comes_with_each_round_is_no_verdict() {
        let refused =
            || DeviceError::Refused { account: "web1/admin".into(), why: "password or code".into(), with_code: true };
        let notice = "Who is not permitted to log in from this network is reported.\n";
        let mut heard = Heard::default();
        heard.add(notice, false);
        heard.add(&format!("Second step\n{notice}"), true);
        assert!(matches!(heard.explain(refused(), true), DeviceError::Refused { .. }));
        heard.add("You are not permitted to log in from this host.", true);
        assert!(matches!(heard.explain(refused(), true), DeviceError::NotNow { .. }));
    }

    #[test]
    fn a_seed_that_the_device_makes_up_is_on_no_record() {
        let heard = Heard::default();
        let text = "Your new secret key is: JBSWY3DPEHPK3PXP\notpauth://totp/x?secret=JBSWY3DPEHPK3PXP\nScan it now.";
        let shown = heard.shown(text, 300);
        assert!(!shown.contains("JBSWY3DP") && shown.contains("Scan it now."), "{shown}");
        assert_eq!(heard.shown("UNAUTHORISEDACCESSISPROHIBITED", 300), "UNAUTHORISEDACCESSISPROHIBITED");
    }
}
