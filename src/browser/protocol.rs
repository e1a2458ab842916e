//! What the daemon and a browser's helper say to each other, as JSON. The daemon believes nothing that a helper says but what a
//! page could have shown as well.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::Secret;

/// The name by which WebDriver writes an element in JSON (W3C WebDriver, "Elements").
pub const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A text that may hold a secret: it is in the JSON and in no message.
#[derive(Clone)]
pub struct Hidden(pub Secret);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

/// A request with its number.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    pub(super) id: u64,
    pub(super) request: Request,
}

/// The reply to the request of the same number.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) id: u64,
    pub(super) reply: Result<Reply, Trouble>,
}

/// How a browser is to be started.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Setup {
    /// The key of the daemon's end of its connections: base64 of the SHA-256 of the public key.
    pub key: String,
    /// What to send as `User-Agent`; its own where absent.
    pub user_agent: Option<String>,
    /// Bound on the loading of a page, in milliseconds.
    pub page_load_ms: u64,
}

/// What the daemon asks a helper for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Start the browser. Nothing else is asked for before.
    Start(Setup),
    /// Open a page.
    Go {
        /// Its address.
        url: Hidden,
    },
    /// Run a script in the page, or in the frame that was switched to, as the body of a function.
    Script {
        /// The body.
        body: Hidden,
        /// Its arguments.
        arguments: Vec<serde_json::Value>,
        /// One more argument behind them.
        secret: Option<Hidden>,
    },
    /// Type into an element that a script returned.
    Keys {
        /// The element.
        element: String,
        /// What to type.
        keys: Hidden,
    },
    /// Click on an element that a script returned.
    Click {
        /// The element.
        element: String,
    },
    /// Press a key where the focus is.
    Press {
        /// The key, as WebDriver writes it.
        key: char,
    },
    /// Go on in a frame that a script returned; `None`: in the page itself.
    Frame {
        /// The frame's element.
        element: Option<String>,
    },
    /// Answer a script's `alert`, `confirm` or `prompt`.
    Dialog {
        /// Whether with "OK".
        accept: bool,
    },
    /// The text of the dialog that is open.
    DialogText,
    /// The address of the page at hand, as the browser has it.
    Location,
    /// How many windows there are besides the one at hand.
    Windows,
    /// A picture of the page, in JPEG.
    Picture {
        /// Texts that must not be on it. With any, the page is of no use for anything else afterwards.
        blank: Vec<Hidden>,
    },
    /// Get the page ready for a person: no way leads back to the pages before it, and nothing opens another window.
    HandOver,
    /// Empty each field with one of these texts in it. The answer counts the places where one still stands.
    Clear {
        /// The texts.
        secrets: Vec<Hidden>,
        /// Empty every password field too.
        all: bool,
    },
    /// In how many places the page shows one of these texts: what stands in password fields is shown as dots.
    Shows {
        /// The texts.
        secrets: Vec<Hidden>,
    },
    /// What a person does with the pointer in the live view.
    Pointer(Pointer),
    /// What a person types in the live view.
    Key(Key),
}

/// A movement of the pointer, in pixels of the page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pointer {
    /// `move`, `down`, `up` or `wheel`.
    pub action: String,
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
    /// Turns of the wheel, down.
    #[serde(default)]
    pub turn: f64,
    /// Clicks in a row.
    #[serde(default)]
    pub clicks: u32,
}

/// A key of a person.
#[derive(Clone, Serialize, Deserialize)]
pub struct Key {
    /// Its name, as a page hears it: `a`, `Enter`.
    pub key: String,
    /// Where it lies: `KeyA`.
    #[serde(default)]
    pub code: String,
    /// Shift, control and the like: 1 alt, 2 control, 4 meta, 8 shift.
    #[serde(default)]
    pub modifiers: u32,
    /// Its old number.
    #[serde(default)]
    pub number: u32,
    /// Whether it goes down.
    pub down: bool,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What a helper answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Done.
    Done,
    /// The browser runs.
    Started {
        /// Its version.
        version: String,
    },
    /// What the script gave back.
    Value(serde_json::Value),
    /// A text.
    Text(String),
    /// A number.
    Count(usize),
    /// The picture, in base64.
    Picture(String),
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Trouble {
    /// There is no such element.
    #[error("there is no such element")]
    NotFound,
    /// The element takes no click or text: something covers it, or it is hidden or disabled.
    #[error("the element cannot be used: {0}")]
    NotUsable(String),
    /// A script threw.
    #[error("{0}")]
    Script(String),
    /// The page was left while a script ran in it.
    #[error("the page was left meanwhile")]
    Left,
    /// A dialog of the page is open.
    #[error("a dialog of the page is open")]
    DialogOpen,
    /// No dialog is open.
    #[error("no dialog is open")]
    NoDialog,
    /// The page did not load.
    #[error("the page did not load: {0}")]
    NotLoaded(String),
    /// It took too long.
    #[error("the browser did not answer in time")]
    Late,
    /// The browser is gone, or was never there.
    #[error("the browser {0}")]
    Gone(String),
}
