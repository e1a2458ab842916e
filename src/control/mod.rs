//! The control API: HTTP with JSON over a Unix socket, and its client.
//!
//! The kernel names the caller (`SO_PEERCRED`, see unix(7)); `[access]` of the config says what he may do. Every
//! handler asks for its role first. The OpenAPI document is made from the handlers, at `/v1/openapi.json`.

mod api;
mod auth;
mod browse;
mod browser;
mod callers;
mod client;
mod doctor;
mod document;
mod enroll;
mod events;
mod fleet;
mod gate;
mod import;
mod json;
mod metrics;
mod notify;
mod objects;
mod people;
mod pieces;
pub mod private_key;
mod secrets;
mod server;
mod trust;
mod types;
mod whole;
mod work;

pub use auth::Role;
pub use client::{Client, ClientError};
pub use doctor::{AccountFacts, CheckupBody, CheckupQuery, DeviceFacts, JobFacts};
pub use enroll::{DraftBody, LookBody, LookedBody, NewAccountBody, OfferBody, TriedBody, TryBody};
pub use server::{Socket, bind, serve};
pub use types::*;
