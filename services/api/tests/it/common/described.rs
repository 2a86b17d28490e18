//! Holds answers against `schemas/openapi.json`: what is answered is described, and is what the description says.

use super::Answer;
use serde_json::{Value, json};
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../../../schemas/openapi.json")).unwrap());

/// The committed description.
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// Fails where this answer to this request is not described, or looks otherwise.
pub fn check(method: &str, path: &str, answer: &Answer) {
    let (path, status) = (path.split('?').next().unwrap(), answer.status.as_u16());
    let Some((template, operations)) = document()["paths"].as_object().unwrap().iter().find(|(t, _)| fits(t, path))
    else {
        // Of no operation; the page and the description itself are for people and tools.
        assert!(status == 404 || path.starts_with("/docs") || path == "/openapi.json", "{path}: {answer:?}");
        return;
    };
    let Some(operation) = operations.get(method) else { return assert_eq!(status, 405, "{method} {path}") };
    let at = format!("{method} {template} {status}");
    let response = operation["responses"].get(status.to_string()).unwrap_or_else(|| panic!("{at} is not described"));
    for header in response["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
        // A settlement is told once there is one; who has too many streams is not told when to come back.
        let sometimes = header.ends_with("PAYMENT-RESPONSE") || (status == 429 && header == "Retry-After");
        assert!(sometimes || answer.headers.contains_key(header), "{at}: no {header}");
    }
    let Some(contents) = response["content"].as_object() else { return assert_eq!(answer.text, "", "{at}") };
    let sent = answer.header("content-type").split(';').next().unwrap().to_owned();
    let content = contents.get(&sent).unwrap_or_else(|| panic!("{at}: {sent} is not described"));
    if sent.ends_with("json") {
        conforms(&content["schema"], &answer.json(), &at);
    }
}

/// Fails where this is no `News` of the event stream.
pub fn check_news(news: &Value) {
    conforms(&json!({ "$ref": "#/components/schemas/News" }), news, "News");
}

/// Fails where `value` is not what `schema` says, which may refer to the document's components.
pub fn conforms(schema: &Value, value: &Value, at: &str) {
    let root = json!({ "allOf": [schema], "components": document()["components"] });
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&root).unwrap();
    let errors: Vec<_> = validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{at}: {value}: {errors:?}");
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len() && template.iter().zip(path).all(|(t, p)| t.starts_with('{') || *t == p)
}
