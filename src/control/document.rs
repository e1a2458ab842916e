//! The OpenAPI document, as far as the handlers alone do not tell it: how each path may refuse, and what keys go with one another.

use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi;

#[derive(OpenApi)]
#[openapi(info(
    title = "rotord control API",
    description = "HTTP with JSON over the daemon's Unix socket. The kernel names the caller; [access] of the config says what \
                   he may do. A key that is not described here is refused, in a body as in a query."
))]
struct Heading;

/// What the document begins with.
pub(super) fn heading() -> openapi::OpenApi {
    Heading::openapi()
}

/// How any request may be refused.
const ANY: &[(&str, &str)] = &[
    ("400", "the request cannot be read, or its query has a key or a value that is not taken"),
    ("403", "the caller has not the role that is needed"),
    ("408", "the body did not come in time"),
    ("413", "the body is too large"),
    ("500", "rotord itself failed: its vault or its log"),
    ("503", "too much is under way; try again"),
];

/// How a request with a body may be refused beside that.
const WITH_BODY: &[(&str, &str)] =
    &[("415", "the body is not said to be JSON"), ("422", "the body has a key or a value that is not taken")];

/// What a refusal means where a handler only says that it may come.
const SOME: &[(&str, &str)] = &[
    ("404", "something that the request names is not there"),
    ("409", "how things stand is against it, such as work that is under way, or a device that does not answer"),
];

/// What of a body's keys must be there: one of these, for each kind of body.
fn one_of(schema: &str) -> Option<Value> {
    let some = json!({ "required": ["accounts"], "properties": { "accounts": { "minItems": 1 } } });
    let job = json!({ "required": ["job"], "properties": { "job": { "type": "string" } } });
    let all = json!({ "required": ["all"], "properties": { "all": { "enum": [true] } } });
    match schema {
        "WorkBody" | "Selection" => Some(json!([some, job, all])),
        _ => None,
    }
}

/// The whole document, of what the handlers say.
pub(super) fn whole(document: &openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    for path in members(&mut document["paths"]) {
        for (method, operation) in path.1.as_object_mut().into_iter().flatten() {
            let more = if method == "get" { &[] } else { WITH_BODY };
            for (status, meaning) in ANY.iter().chain(more) {
                operation["responses"][status] = refusal(meaning);
            }
            for (status, meaning) in SOME {
                if operation["responses"].get(status).is_some() {
                    operation["responses"][status] = refusal(meaning);
                }
            }
        }
    }
    for (name, schema) in members(&mut document["components"]["schemas"]) {
        if let Some(any) = one_of(name) {
            schema["anyOf"] = any;
        }
    }
    document
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

fn refusal(meaning: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/ErrorBody" });
    json!({ "description": meaning, "content": { "application/json": { "schema": schema } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_tells_how_it_may_refuse_and_each_body_takes_no_other_key() {
        let document = whole(&super::super::server::described());
        let mut operations = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                operations += 1;
                for status in ["200", "400", "403", "408", "413", "500", "503"] {
                    assert!(operation["responses"][status].is_object(), "{method} {path}: {status}");
                }
                let Some(body) = operation.pointer("/requestBody/content/application~1json/schema/$ref") else {
                    assert_eq!(method, "get", "{path}");
                    continue;
                };
                assert!(
                    operation["responses"]["422"].is_object() && operation["responses"]["415"].is_object(),
                    "{path}"
                );
                let schema = document.pointer(body.as_str().unwrap().trim_start_matches('#')).unwrap();
                assert_eq!(schema["additionalProperties"], false, "{path}: {schema}");
                let reason = &schema["properties"]["reason"];
                assert!(reason.is_null() || reason["maxLength"] == 1000 && reason["pattern"].is_string(), "{path}");
                // What the document allows is taken, and nothing else is.
                let Some(pattern) = reason["pattern"].as_str() else { continue };
                let allowed = regex::Regex::new(pattern).unwrap();
                for text in ["why", "می\u{200c}خواهم", "a\nb", "a\u{9b}b", "a\u{2028}b", "a\u{202e}b", "a\u{2069}b"]
                {
                    let taken = super::super::work::check_reason(Some(text)).is_ok();
                    assert_eq!(allowed.is_match(text), taken, "{path}: {text:?}");
                }
            }
        }
        assert!(operations >= 29 && document["openapi"].as_str().unwrap().starts_with("3."), "{operations}");
        assert_eq!(document["components"]["schemas"]["WorkBody"]["anyOf"].as_array().unwrap().len(), 3);
    }
}
