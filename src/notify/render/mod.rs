//! A message in the form that each kind of receiver reads, with whatever could mean something to it taken for text.

pub mod chat;
pub mod json;
pub mod mail;
pub mod syslog;
