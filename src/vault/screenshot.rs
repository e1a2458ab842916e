//! What a web page looked like when an attempt failed there, as it is kept among the account's secrets.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::model::Secret;

/// Bytes of a picture, at the most: a larger one is not kept.
const MOST: usize = 2 << 20;
/// It is shown for so long, in milliseconds: 30 days.
const SHOWN_MS: i64 = 30 * 86_400_000;

/// The newest one of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screenshot {
    /// The attempt.
    pub attempt: String,
    /// When it was taken, in milliseconds since 1970.
    pub at_ms: i64,
    /// The picture, in base64 of JPEG.
    pub jpeg: String,
}

impl Screenshot {
    /// One of an attempt.
    #[must_use]
    pub fn of(attempt: &str, at_ms: i64, jpeg: &[u8]) -> Self {
        Self { attempt: attempt.to_owned(), at_ms, jpeg: BASE64.encode(jpeg) }
    }

    /// As it is stored; `None` where it is too large.
    #[must_use]
    pub fn to_secret(&self) -> Option<Secret> {
        let text = serde_json::to_string(self).ok()?;
        (text.len() <= MOST).then(|| Secret::new(text))
    }

    /// What was stored; `None` where it is older than it is shown.
    #[must_use]
    pub fn from_secret(kept: &Secret, now_ms: i64) -> Option<Self> {
        let found: Self = serde_json::from_str(kept.expose()).ok()?;
        (now_ms - found.at_ms < SHOWN_MS).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_shown_for_a_month_and_one_too_large_is_not_kept() {
        let picture = Screenshot::of("a-1", 1_000, b"jpeg");
        let kept = picture.to_secret().unwrap();
        assert_eq!(Screenshot::from_secret(&kept, 2_000).unwrap(), picture);
        assert!(Screenshot::from_secret(&kept, 2_000 + SHOWN_MS).is_none());
        assert!(Screenshot::of("a-1", 0, &vec![0; MOST]).to_secret().is_none());
    }
}
