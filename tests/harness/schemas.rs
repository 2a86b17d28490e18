//! Validates every event of a story against its published schema.

use auditor::evidence::stream::Message;
use jsonschema::Validator;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Validators by event type, from `schemas/`.
static SCHEMAS: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas");
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let schemas = files.filter_map(|path| {
        let event_type = path.file_name()?.to_str()?.strip_suffix(".json").filter(|name| !name.ends_with("example"))?;
        let schema: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
        Some((event_type.to_owned(), validator))
    });
    schemas.collect()
});

/// Violations of messages that are JSON. The auditor names the messages that are not.
pub fn faults(messages: &[Message]) -> impl Iterator<Item = String> {
    let events =
        messages.iter().filter_map(|message| Some((message, serde_json::from_slice::<Value>(&message.payload).ok()?)));
    events.flat_map(|(message, body)| match SCHEMAS.get(body["type"].as_str().unwrap_or_default()) {
        Some(schema) => schema.iter_errors(&body).map(|e| format!("{}: {e}", message.subject)).collect(),
        None => vec![format!("{}: there is none for {body}", message.subject)],
    })
}
