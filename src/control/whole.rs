//! Work that is done as a whole: it goes on where its caller leaves.

use super::auth::ApiError;

/// Does work in a task of its own. A handler is dropped wherever it waits as its caller's connection ends; the task is not.
///
/// # Errors
/// As the work has it.
pub(super) async fn outliving<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(ApiError::failed(error.to_string())))
}
