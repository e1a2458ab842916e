//! What stands in a request: its JSON body, or its query. What is wrong with it is told without a value of it, which may be a secret;
//! a key that is not known is an error.

use std::error::Error;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::auth::ApiError;
use super::objects::Objects;
use crate::model::nearest;

/// A body on its way in or out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if request.uri().query().is_some_and(|query| !query.is_empty()) {
            return Err(ApiError::malformed("this path takes its keys in the body, and none in the query"));
        }
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !(kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")) {
            return Err(ApiError::unsupported("the request needs the header 'Content-Type: application/json'"));
        }
        let bytes = axum::body::Bytes::from_request(request, state)
            .await
            .map_err(|_| ApiError::malformed("the body of the request cannot be read"))?;
        match read(&bytes) {
            Ok(body) => Ok(Self(body)),
            Err(Misread::Json(why)) => Err(ApiError::malformed(why)),
            Err(Misread::Other(why)) => Err(ApiError::usage(why)),
        }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The query of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<T>(pub(super) T);

/// No query at all.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                let why = rejection.source().map_or_else(String::new, ToString::to_string);
                Err(ApiError::malformed(format!("the query is not what is taken here: {}", without_values(&why))))
            }
        }
    }
}

/// Why a body is not taken.
enum Misread {
    /// It is no JSON.
    Json(String),
    /// It is, and not what is expected.
    Other(String),
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Misread> {
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Objects(&mut source)).and_then(|value| source.end().map(|()| value));
    value.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        if !error.is_data() {
            return Misread::Json(format!("the body is no JSON: line {line}, column {column}"));
        }
        let why = without_values(&error.to_string());
        Misread::Other(format!("the body is not what is taken here: {why} (line {line}, column {column})"))
    })
}

/// Reads JSON; what is wrong with it is told in words that repeat no value.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    read(bytes).map_err(|(Misread::Json(why) | Misread::Other(why))| why)
}

/// What serde says, without the value that it says it of.
fn without_values(why: &str) -> String {
    let why = why.rsplit_once(" at line ").map_or(why, |(why, _)| why);
    if let Some(unknown) = why.split_once("unknown field `").map(|(_, unknown)| unknown) {
        return unknown_key(unknown);
    }
    if why.starts_with("missing field ") || why.starts_with("duplicate field ") {
        return why.to_owned();
    }
    match why.rsplit_once(", expected ").or_else(|| why.rsplit_once("expected ")) {
        Some((_, expected)) if !expected.contains(['"', '`']) => format!("expected {expected}"),
        _ => "a value of another kind is expected".to_owned(),
    }
}

/// A key that is not known. It is repeated only where it is like a known one: elsewhere it may be a secret that was put in the wrong
/// place.
fn unknown_key(why: &str) -> String {
    let (key, expected) = why.rsplit_once("`, expected ").unwrap_or((why, ""));
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    if known.is_empty() {
        return "it holds a key, and none is taken".to_owned();
    }
    match nearest(key, known.iter().copied()) {
        Some(meant) => format!("unknown key '{}'; did you mean '{meant}'?", key.escape_debug()),
        None => format!("it holds a key that is not known; the keys are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::types::{AccountQuery, ImportBody, ScheduleQuery, SecretBody, WorkBody};

    #[test]
    fn what_is_wrong_with_a_body_is_told_without_a_value_of_it() {
        let secret = |text: &str| parse::<SecretBody>(text.as_bytes()).map(|_| ()).unwrap_err();
        let import = |text: &str| parse::<ImportBody>(text.as_bytes()).map(|_| ()).unwrap_err();
        for (why, expected) in [
            (secret(r#"{"account":"a/b","value":8315927461}"#), "expected a string"),
            (secret(r#"{"account":"a/b","value":["Needle-83159"]}"#), "expected a string"),
            (secret(r#"{"account":"a/b"}"#), "missing field `value`"),
            (secret(r#""Needle-83159""#), "expected an object"),
            (secret(r#" ["a/b", null, "Needle-83159"]"#), "expected an object"),
            (secret(r#"{"account":"a/b","value":"Needle-83159"#), "no JSON: line 1"),
            (secret(r#"{"account":"a/b","Needle-83159":"x"}"#), "the keys are account, field, value"),
            (secret(r#"{"account":"a/b","Needle`, expected `83159":"x"}"#), "the keys are account, field, value"),
            (secret(r#"{"account":"a/b","vlaue":"Needle-83159"}"#), "unknown key 'vlaue'; did you mean 'value'?"),
            (import(r#"{"rows":["Needle-83159, expected nothing"]}"#), "expected"),
            (import(r#"{"rows":[{"line":"Needle-83159","account":"a/b"}]}"#), "expected"),
            (import(r#"{"rows":[{"line":1,"account":"a/b","passwort":"Needle-83159"}]}"#), "did you mean 'password'?"),
        ] {
            assert!(why.contains(expected), "{why}");
            assert!(!why.contains("83159") && !why.contains("Needle"), "{why}");
        }
        let why = parse::<WorkBody>(br#"{"accounts":["a/b"],"dry_run":true}"#).map(|_| ()).unwrap_err();
        assert!(why.contains("the keys are accounts, job, all"), "{why}");
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_query_is_told_too() {
        async fn told<T: DeserializeOwned>(query: &str) -> String {
            let request = axum::http::Request::get(format!("/x?{query}")).body(()).unwrap();
            let (mut parts, ()) = request.into_parts();
            match Query::<T>::from_request_parts(&mut parts, &()).await {
                Ok(_) => "taken".to_owned(),
                Err(error) => String::from_utf8(error.on_the_wire()).unwrap(),
            }
        }
        for (told, expected) in [
            (told::<ScheduleQuery>("job=j&count=3").await, "taken"),
            (told::<ScheduleQuery>("job=j&count=Needle").await, "a value of another kind"),
            (told::<ScheduleQuery>("job=j&cuont=3").await, "did you mean 'count'?"),
            (told::<ScheduleQuery>("count=3").await, "missing field `job`"),
            (
                told::<AccountQuery>("account=a/b&Needle=1").await,
                "it holds a key that is not known; the keys are account",
            ),
            (told::<AccountQuery>("account=a/b&account=Needle").await, "duplicate field `account`"),
            (told::<Nothing>("Needle").await, "it holds a key, and none is taken"),
            (told::<Nothing>("").await, "taken"),
        ] {
            assert!(told.contains(expected) && !told.contains("Needle"), "{told}");
            assert!(told == "taken" || told.starts_with("HTTP/1.1 400 "), "{told}");
        }
    }
}
