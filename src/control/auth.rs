//! Who calls, and what he may do.

use axum::Json;
use axum::extract::connect_info::Connected;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use tokio::net::UnixListener;

use super::types::ErrorBody;
use crate::audit::Draft;
use crate::daemon::Core;
use crate::model::Actor;
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
    fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Custodian => "custodian",
        }
    }
}

/// The process at the other end, as the kernel names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    uid: Option<u32>,
    gid: u32,
    pid: u32,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self {
            uid: credentials.as_ref().map(tokio::net::unix::UCred::uid),
            gid: credentials.as_ref().map_or(u32::MAX, tokio::net::unix::UCred::gid),
            pid: credentials
                .as_ref()
                .and_then(tokio::net::unix::UCred::pid)
                .and_then(|pid| u32::try_from(pid).ok())
                .unwrap_or(0),
        }
    }
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

    pub(super) fn missing(error: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, body: ErrorBody { error: error.into(), exit: 2 } }
    }

    pub(super) fn busy(error: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, body: ErrorBody { error: error.into(), exit: 1 } }
    }

    pub(super) fn failed(error: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, body: ErrorBody { error: error.into(), exit: 1 } }
    }

    fn denied(error: String) -> Self {
        Self { status: StatusCode::FORBIDDEN, body: ErrorBody { error, exit: 6 } }
    }
}

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::NotFound(what) => Self::missing(what),
            other => Self::failed(other.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

impl Peer {
    /// The caller, if he may act in a role; a refusal goes on record.
    pub(super) async fn require(&self, core: &Core, role: Role) -> Result<Actor, ApiError> {
        let Some(uid) = self.uid else {
            return Err(ApiError::denied("the kernel does not name the caller".into()));
        };
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let actor =
            Actor { uid, name: user.as_ref().map_or_else(|| uid.to_string(), |user| user.name.clone()), pid: self.pid };
        if uid == 0 || uid == nix::unistd::geteuid().as_raw() || self.is_listed(core, role, user.as_ref()) {
            return Ok(actor);
        }
        let error = format!(
            "{} is no {}; an administrator can add the name to [access] of the config",
            actor.name,
            role.name()
        );
        let draft = Draft {
            actor: Some(actor),
            ..Draft::new("access.denied").detail(format!("role {} was needed", role.name()))
        };
        core.audit(draft).await?;
        Err(ApiError::denied(error))
    }

    fn is_listed(&self, core: &Core, role: Role, user: Option<&User>) -> bool {
        let config = core.config();
        let access = &config.access;
        let lists: &[&Vec<String>] = match role {
            Role::Viewer => &[&access.viewer, &access.operator, &access.custodian],
            Role::Operator => &[&access.operator],
            Role::Custodian => &[&access.custodian],
        };
        let groups = self.groups(user);
        lists.iter().flat_map(|list| list.iter()).any(|entry| match entry.strip_prefix('@') {
            Some(group) => groups.iter().any(|name| name == group),
            None => user.is_some_and(|user| user.name == *entry),
        })
    }

    fn groups(&self, user: Option<&User>) -> Vec<String> {
        let mut ids = vec![Gid::from_raw(self.gid)];
        if let Some(name) = user.and_then(|user| std::ffi::CString::new(user.name.as_str()).ok()) {
            ids.extend(getgrouplist(&name, Gid::from_raw(self.gid)).unwrap_or_default());
        }
        ids.into_iter().filter_map(|gid| Group::from_gid(gid).ok().flatten()).map(|group| group.name).collect()
    }
}
