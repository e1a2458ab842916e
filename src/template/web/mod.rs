//! The language of web templates: text in, a checked template or placed problems out.
//!
//! It shares the lines, quoting, tags and filters of terminal templates, and their problems' codes where these mean the same. The
//! commands are those of the HTTP executor of senhasegura's execution templates (its manual, "Execution plugins syntax", and the
//! public collection `senhasegura/execution-templates`, folder `HTTP`), with additions. What a browser does with them is the business
//! of [`crate::dialogue::web`].

mod ast;
mod check;
mod fix;
mod lint;
mod parse;
mod reference;
mod selector;
#[cfg(test)]
mod tests;

pub use ast::{Clicking, DialogAnswer, Entering, Key, Part, Until, WebCommand, WebLine};
pub(super) use check::check;
pub use check::{Program, Purpose, WebJump, WebTemplate};
pub(super) use parse::parse;
pub use parse::{WEB_COMMANDS, is_web};
pub use reference::WEB_REFERENCE;
pub use selector::{Combinator, Plan, PlanFilter, PlanStep, Selector};
pub(crate) use selector::{Simple, compound};
