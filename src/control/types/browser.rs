//! Browsers of web devices: live views and what people do in them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::whole_number;

/// Which account, in a body.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContinueBody {
    /// `DEVICE/USERNAME`.
    #[schema(example = "web1/admin")]
    pub account: String,
}

/// A browser that waits for a person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LiveBody {
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// What the person is asked to do.
    pub asked: String,
    /// Until when it is kept: RFC 3339, UTC.
    pub until: String,
}

/// A browser session that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BrowseBody {
    /// `DEVICE/USERNAME`.
    #[schema(example = "wiki/admin")]
    pub account: String,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 1000, pattern = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$")]
    pub reason: Option<String>,
    /// How long it lasts at the most, in seconds.
    #[serde(default = "half_an_hour", deserialize_with = "whole_number")]
    #[schema(minimum = 1, maximum = 28800)]
    pub seconds: u64,
}

fn half_an_hour() -> u64 {
    1800
}

/// A browser session that has begun: it ends when the answer of which this is a line is no longer read.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BrowsingBody {
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// The attempt's id.
    pub attempt: String,
    /// What the person is told.
    pub asked: String,
    /// When it ends at the latest: RFC 3339, UTC.
    pub until: String,
}

/// What a browser shows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LivePicture {
    /// JPEG, in base64.
    pub jpeg: String,
}

/// What a page looked like when an attempt failed there.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ScreenshotBody {
    /// The attempt.
    pub attempt: String,
    /// RFC 3339, UTC.
    pub taken: String,
    /// JPEG, in base64.
    pub jpeg: String,
}

/// Mouse or keys of a person.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum LiveInput {
    /// The mouse, in pixels of the page.
    Pointer {
        /// `move`, `down`, `up` or `wheel`.
        action: String,
        /// From the left.
        x: f64,
        /// From the top.
        y: f64,
        /// Pixels that the wheel turns, down.
        #[serde(default)]
        turn: f64,
        /// Clicks in a row.
        #[serde(default)]
        clicks: u32,
    },
    /// A key.
    Key {
        /// Its name, as a page hears it.
        key: String,
        /// Where it lies.
        #[serde(default)]
        code: String,
        /// 1 alt, 2 control, 4 meta, 8 shift.
        #[serde(default)]
        modifiers: u32,
        /// Its old number.
        #[serde(default)]
        number: u32,
        /// Whether it goes down.
        down: bool,
    },
}

impl std::fmt::Debug for LiveInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LiveInput(..)")
    }
}

/// Mouse or keys, and for which browser.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveInputBody {
    /// `DEVICE/USERNAME`.
    #[schema(example = "web1/admin")]
    pub account: String,
    /// What was done.
    pub input: LiveInput,
}
