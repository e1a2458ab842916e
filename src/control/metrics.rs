//! Metrics, for who scrapes them.

use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::{IntoResponse, Response};

use super::auth::{ApiError, Peer, Role};
use super::json::Query;
use super::types::MetricsQuery;
use crate::daemon::Core;
use crate::metrics::Format;

/// Metrics in the format of OpenMetrics, or of Prometheus where that is not asked for.
#[utoipa::path(get, path = "/metrics", tag = "viewer", params(MetricsQuery),
    responses((status = 200, description = "metrics, as docs/monitoring.md lists them", content_type = "text/plain")))]
pub(super) async fn metrics(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    Query(query): Query<MetricsQuery>,
) -> Result<Response, ApiError> {
    peer.require(&core, Role::Viewer).await?;
    let format = Format::wanted(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    let text = core.metrics_text(format, query.per_account);
    Ok(([("content-type", format.content_type())], text).into_response())
}
