//! The JSON body of a request. What is wrong with one is told without anything that stands in it: it may be a secret.

use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::auth::ApiError;

/// A body on its way in or out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !(kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")) {
            return Err(
                ApiError::usage("the request needs the header 'Content-Type: application/json'").into_response()
            );
        }
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        parse(&bytes).map(Self).map_err(|why| ApiError::usage(why).into_response())
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// Reads JSON; what is wrong with it is told in words that repeat no value.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        if !error.is_data() {
            return format!("the body is no JSON: line {line}, column {column}");
        }
        format!(
            "the body is not what is taken here: {} (line {line}, column {column})",
            without_values(&error.to_string())
        )
    })
}

/// What serde says, without the value that it says it of.
fn without_values(why: &str) -> String {
    let why = why.rsplit_once(" at line ").map_or(why, |(why, _)| why);
    if why.starts_with("missing field ") || why.starts_with("duplicate field ") {
        return why.to_owned();
    }
    match why.rsplit_once(", expected ").or_else(|| why.rsplit_once("expected ")) {
        Some((_, expected)) if !expected.contains(['"', '`']) => format!("expected {expected}"),
        _ => "a value of another kind is expected".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::types::{ImportBody, SecretBody};

    #[test]
    fn what_is_wrong_with_a_body_is_told_without_a_value_of_it() {
        let secret = |text: &str| parse::<SecretBody>(text.as_bytes()).map(|_| ()).unwrap_err();
        let import = |text: &str| parse::<ImportBody>(text.as_bytes()).map(|_| ()).unwrap_err();
        for (why, expected) in [
            (secret(r#"{"account":"a/b","value":8315927461}"#), "expected a string"),
            (secret(r#"{"account":"a/b","value":["Needle-83159"]}"#), "expected a string"),
            (secret(r#"{"account":"a/b"}"#), "missing field `value`"),
            (secret(r#""Needle-83159""#), "expected struct SecretBody"),
            (secret(r#"{"account":"a/b","value":"Needle-83159"#), "no JSON: line 1"),
            (import(r#"{"rows":["Needle-83159, expected nothing"]}"#), "expected"),
            (import(r#"{"rows":[{"line":"Needle-83159","account":"a/b"}]}"#), "expected"),
        ] {
            assert!(why.contains(expected), "{why}");
            assert!(!why.contains("83159") && !why.contains("Needle"), "{why}");
        }
    }
}
