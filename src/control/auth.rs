//! Who calls, and what he may do.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};

use super::people::Person;
use super::types::ErrorBody;
use super::work::check_reason;
use crate::config::Access;
use crate::daemon::{Asked, Core};
use crate::model::{AccountName, Actor};
use crate::vault::VaultError;

/// What a caller may do. Root and the daemon's own user may do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Status, history, audit.
    Viewer,
    /// Rotate, verify, pause.
    Operator,
    /// Secrets, tokens, keys.
    Custodian,
}

impl Role {
    /// Its name in `[access]`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Custodian => "custodian",
        }
    }
}

/// The process at the other end, as the kernel names it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) pid: u32,
    /// The user and the groups that this is.
    pub(super) person: Arc<Person>,
}

/// Whether a user may do everything: root and the daemon's own.
pub(super) fn is_privileged(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    body: ErrorBody,
}

impl ApiError {
    pub(super) fn usage(error: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, body: ErrorBody { error: error.into(), exit: 2 } }
    }

    /// What cannot even be read.
    pub(super) fn malformed(error: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, body: ErrorBody { error: error.into(), exit: 2 } }
    }

    /// A body of another kind than JSON.
    pub(super) fn unsupported(error: impl Into<String>) -> Self {
        Self { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, body: ErrorBody { error: error.into(), exit: 2 } }
    }

    pub(super) fn too_large(error: impl Into<String>) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, body: ErrorBody { error: error.into(), exit: 2 } }
    }

    pub(super) fn too_slow(error: impl Into<String>) -> Self {
        Self { status: StatusCode::REQUEST_TIMEOUT, body: ErrorBody { error: error.into(), exit: 2 } }
    }

    pub(super) fn method(error: impl Into<String>) -> Self {
        Self { status: StatusCode::METHOD_NOT_ALLOWED, body: ErrorBody { error: error.into(), exit: 2 } }
    }

    /// What is asked for is well formed, and something that it needs is not so.
    pub(super) fn unmet(error: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, body: ErrorBody { error: error.into(), exit: 2 } }
    }

    /// A device, or the log, does not do its part.
    pub(super) fn unreached(error: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, body: ErrorBody { error: error.into(), exit: 1 } }
    }

    /// A refusal by HTTP itself, which knows its status alone.
    pub(super) fn of_http(status: StatusCode) -> Self {
        let error = match status {
            StatusCode::URI_TOO_LONG => "the path of the request is too long",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "the head of the request is too large",
            _ => "this is no request of HTTP/1.1",
        };
        Self { status, body: ErrorBody { error: error.into(), exit: 2 } }
    }

    pub(super) fn missing(error: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, body: ErrorBody { error: error.into(), exit: 2 } }
    }

    /// Something stands against it for now: an attempt is at work on the account, or there is nothing to do.
    pub(super) fn conflict(error: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, body: ErrorBody { error: error.into(), exit: 3 } }
    }

    pub(super) fn busy(error: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, body: ErrorBody { error: error.into(), exit: 1 } }
    }

    pub(super) fn failed(error: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, body: ErrorBody { error: error.into(), exit: 1 } }
    }

    pub(super) fn denied(error: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, body: ErrorBody { error: error.into(), exit: 6 } }
    }

    /// What is said, for an answer that has begun.
    pub(super) fn into_body(self) -> ErrorBody {
        self.body
    }

    /// The whole answer as it goes over the wire, for who is answered before his request is read.
    pub(super) fn on_the_wire(&self) -> Vec<u8> {
        // What cannot fail here would leave the answer without its words.
        let body = serde_json::to_string(&self.body).unwrap_or_default();
        format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.status,
            body.len()
        )
        .into_bytes()
    }
}

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::NotFound(what) => Self::missing(what),
            VaultError::Refused(why) => Self::conflict(why),
            other => Self::failed(other.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let again = [(RETRY_AFTER, "1")];
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => (self.status, again, Json(self.body)).into_response(),
            _ => (self.status, Json(self.body)).into_response(),
        }
    }
}

impl Peer {
    /// The caller, as he stands on record.
    pub(super) fn actor(&self) -> Actor {
        Actor { uid: self.uid, name: self.person.name.clone(), pid: self.pid }
    }

    /// The caller, if he may act in a role; a refusal goes on record.
    pub(super) async fn require(&self, core: &Core, role: Role) -> Result<Actor, ApiError> {
        self.require_for(core, role, None, None).await
    }

    /// The same, where it is told what for: an account by its name, and a reason in the caller's words.
    pub(super) async fn require_for(
        &self,
        core: &Core,
        role: Role,
        account: Option<&str>,
        reason: Option<&str>,
    ) -> Result<Actor, ApiError> {
        let actor = self.actor();
        let config = core.config();
        if is_privileged(self.uid) || lists(&config.access, role).iter().any(|list| self.person.is_in(list)) {
            return Ok(actor);
        }
        // What is no account goes on nobody's record.
        let account = account.and_then(|name| AccountName::parse(name).ok());
        let account = account.filter(|name| config.accounts.contains_key(name));
        let reason = reason.filter(|reason| check_reason(Some(reason)).is_ok()).map(str::to_owned);
        core.refused_access(&actor, role.name(), Asked { account, reason }).await?;
        Err(ApiError::denied(format!(
            "{} is no {}; an administrator can add the name to [access] of the config",
            actor.name,
            role.name()
        )))
    }

    /// The roles in which the caller may act.
    pub(super) fn roles(&self, access: &Access) -> Vec<Role> {
        let may =
            |role: &Role| is_privileged(self.uid) || lists(access, *role).iter().any(|list| self.person.is_in(list));
        [Role::Viewer, Role::Operator, Role::Custodian].into_iter().filter(may).collect()
    }

    /// Whether the caller has any role at all.
    pub(super) fn has_a_role(&self, access: &Access) -> bool {
        is_privileged(self.uid) || lists(access, Role::Viewer).iter().any(|list| self.person.is_in(list))
    }
}

/// The lists of those who may act in a role.
fn lists(access: &Access, role: Role) -> Vec<&[String]> {
    match role {
        Role::Viewer => vec![&access.viewer, &access.operator, &access.custodian],
        Role::Operator => vec![&access.operator],
        Role::Custodian => vec![&access.custodian],
    }
}
