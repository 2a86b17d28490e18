//! The definitions of `nats/`, compiled in, and their comparison with the settings of a server.

use crate::error::ConnectError;
use crate::lane_subjects;
use serde_json::Value;

/// A definition of a stream, compiled in.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    pub name: &'static str,
    json: &'static str,
}

impl Text {
    /// Parses the definition. It is compiled in and a test parses it, so this cannot fail at run time.
    pub(crate) fn read(self) -> Definition {
        let mut definition = definition(self.json);
        if let Some(Value::String(layout)) = definition.config.pointer_mut(LAYOUT_POINTER) {
            *layout = lane_subjects::layout(layout);
        }
        definition
    }
}

/// The stream of all events.
pub(crate) const LEDGER: Text = Text { name: "LEDGER", json: include_str!("../../../nats/streams/LEDGER.json") };
/// The stream of leases: which instance works which lane.
pub(crate) const LEASES: Text = Text { name: "LEASES", json: include_str!("../../../nats/streams/LEASES.json") };

/// Every durable consumer. Beside each one stands that of the redrives of what it gave up.
pub(crate) const CONSUMERS: [(&str, &str); 14] = [
    ("payment-sender", include_str!("../../../nats/consumers/payment-sender.json")),
    ("payment-sender-redriven", include_str!("../../../nats/consumers/payment-sender-redriven.json")),
    ("payment-sender-deferred", include_str!("../../../nats/consumers/payment-sender-deferred.json")),
    ("payment-sender-deferred-redriven", include_str!("../../../nats/consumers/payment-sender-deferred-redriven.json")),
    ("confirmer", include_str!("../../../nats/consumers/confirmer.json")),
    ("confirmer-redriven", include_str!("../../../nats/consumers/confirmer-redriven.json")),
    ("confirmer-deferred", include_str!("../../../nats/consumers/confirmer-deferred.json")),
    ("confirmer-deferred-redriven", include_str!("../../../nats/consumers/confirmer-deferred-redriven.json")),
    ("confirmer-watch", include_str!("../../../nats/consumers/confirmer-watch.json")),
    ("confirmer-watch-redriven", include_str!("../../../nats/consumers/confirmer-watch-redriven.json")),
    ("mint-projector", include_str!("../../../nats/consumers/mint-projector.json")),
    ("mint-projector-redriven", include_str!("../../../nats/consumers/mint-projector-redriven.json")),
    ("operator", include_str!("../../../nats/consumers/operator.json")),
    ("operator-redriven", include_str!("../../../nats/consumers/operator-redriven.json")),
];

/// The one setting in which an installation may have more than its definition.
pub(crate) const REPLICAS: &str = "num_replicas";

/// A parsed definition.
pub(crate) struct Definition {
    pub config: Value,
}

/// The stream as `nats/streams` defines it.
pub(crate) fn stream() -> Definition {
    LEDGER.read()
}

/// Parses a definition. All of them are compiled in and a test parses them, so this cannot fail at run time.
pub(crate) fn definition(text: &str) -> Definition {
    Definition { config: serde_json::from_str(text).unwrap_or(Value::Null) }
}

/// The durable consumer as `nats/consumers` defines it.
pub(crate) fn consumer(durable: &str) -> Result<Definition, ConnectError> {
    let found = CONSUMERS.iter().find(|(name, _)| *name == durable);
    found
        .map(|(_, text)| definition(text))
        .ok_or_else(|| ConnectError::Other(format!("nats/ defines no consumer {durable}")))
}

/// The key in the stream's metadata that names the layout of its subjects. A build reads one layout, because stored
/// messages never change their subjects.
const LAYOUT: &str = "io.paymint.layout";
const LAYOUT_POINTER: &str = "/metadata/io.paymint.layout";

/// Refuses a ledger whose subjects have another layout.
pub(crate) fn same_layout(found: &Value) -> Result<(), ConnectError> {
    let layout = |config: &Value| config["metadata"][LAYOUT].as_str().unwrap_or("1").to_owned();
    let (found, needed) = (layout(found), layout(&stream().config));
    if found == needed { Ok(()) } else { Err(ConnectError::OtherLayout { found, needed }) }
}

/// Checks that every setting of the definition is in force. Settings that only the server has are ignored.
pub(crate) fn compare(what: &str, wanted: &Definition, found: &Value) -> Result<(), ConnectError> {
    let Some(keys) = wanted.config.as_object() else { return Ok(()) };
    for (key, value) in keys {
        let actual = found.get(key).unwrap_or(&Value::Null);
        let absent_means_default = actual.is_null() && is_default(value);
        if actual != value
            && !is_within(value, actual)
            && !absent_means_default
            && !is_more_replicas(key, value, actual)
        {
            let difference = format!("{key} is {actual}, not {value}");
            return Err(ConnectError::Drift { what: what.to_owned(), difference });
        }
    }
    Ok(())
}

/// True if every entry of the object `wanted` is in `found`. The server adds entries of its own to `metadata`.
fn is_within(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.iter().all(|(key, value)| found.get(key) == Some(value))
        }
        _ => false,
    }
}

/// True if the installation has more replicas than the definition asks for, which is the minimum of one.
fn is_more_replicas(key: &str, wanted: &Value, found: &Value) -> bool {
    key == REPLICAS && found.as_u64() > wanted.as_u64()
}

/// True for a value that the server leaves out of its answer: false, zero or empty.
fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_i64() == Some(0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subjects::STREAM;

    #[test]
    fn every_definition_reads() {
        assert_eq!(stream().config["name"], STREAM);
        for stream in [LEDGER, LEASES] {
            assert_eq!(stream.read().config["name"], stream.name);
        }
        for (name, text) in CONSUMERS {
            let config = definition(text).config;
            assert_eq!(config["durable_name"], name);
            assert!(config["filter_subject"].is_string() && config["filter_subjects"].is_null(), "{name}: ADR 27");
        }
    }

    #[test]
    fn a_ledger_of_another_layout_is_refused_in_one_sentence() {
        let mut config = stream().config;
        config["metadata"]["_nats.ver"] = "2.15.1".into();
        assert!(same_layout(&config).is_ok() && compare("the stream", &stream(), &config).is_ok());
        config["metadata"][LAYOUT] = "4".into();
        let said = same_layout(&config).map_err(|e| e.to_string());
        assert_eq!(
            said,
            Err("the stream LEDGER was written by another version of Paymint (layout 4, and this build reads layout 3): \
                 start with an empty ledger, or run the version that wrote it"
                .to_owned())
        );
        if let Some(config) = config.as_object_mut() {
            config.remove("metadata");
        }
        assert!(matches!(same_layout(&config), Err(ConnectError::OtherLayout { found, .. }) if found == "1"));
        assert!(compare("the stream", &stream(), &config).is_err());
    }
}
