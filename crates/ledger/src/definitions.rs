//! The definitions of `nats/`, compiled in, and how they compare with what a server has.

use crate::error::ConnectError;
use serde_json::Value;

/// A definition as compiled in.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    pub name: &'static str,
    json: &'static str,
}

impl Text {
    /// Compiled in and read by a test, so that this cannot fail at run time.
    pub(crate) fn read(self) -> Definition {
        definition(self.json)
    }
}

/// Every event.
pub(crate) const LEDGER: Text = Text { name: "LEDGER", json: include_str!("../../../nats/streams/LEDGER.json") };
/// Who works which lane.
pub(crate) const LEASES: Text = Text { name: "LEASES", json: include_str!("../../../nats/streams/LEASES.json") };

pub(crate) const CONSUMERS: [(&str, &str); 8] = [
    ("payment-sender", include_str!("../../../nats/consumers/payment-sender.json")),
    ("payment-sender-deferred", include_str!("../../../nats/consumers/payment-sender-deferred.json")),
    ("confirmer", include_str!("../../../nats/consumers/confirmer.json")),
    ("confirmer-deferred", include_str!("../../../nats/consumers/confirmer-deferred.json")),
    ("confirmer-watch", include_str!("../../../nats/consumers/confirmer-watch.json")),
    ("mint-projector", include_str!("../../../nats/consumers/mint-projector.json")),
    ("mint-projector-deferred", include_str!("../../../nats/consumers/mint-projector-deferred.json")),
    ("mint-projector-restored", include_str!("../../../nats/consumers/mint-projector-restored.json")),
];

/// The one key in which an installation may go beyond its definition.
pub(crate) const REPLICAS: &str = "num_replicas";

/// A definition as committed.
pub(crate) struct Definition {
    pub config: Value,
}

/// The stream as `nats/streams` defines it.
pub(crate) fn stream() -> Definition {
    LEDGER.read()
}

/// The definitions are compiled in and read by a test, so that this cannot fail at run time.
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

/// Every key of the definition must be in force; what the server adds is its own business.
pub(crate) fn compare(what: &str, wanted: &Definition, found: &Value) -> Result<(), ConnectError> {
    let Some(keys) = wanted.config.as_object() else { return Ok(()) };
    for (key, value) in keys {
        let actual = found.get(key).unwrap_or(&Value::Null);
        let absent_means_default = actual.is_null() && is_default(value);
        if actual != value && !absent_means_default && !is_more_replicas(key, value, actual) {
            let difference = format!("{key} is {actual}, not {value}");
            return Err(ConnectError::Drift { what: what.to_owned(), difference });
        }
    }
    Ok(())
}

/// `nats/` asks for one replica, the least there is; an installation may have more.
fn is_more_replicas(key: &str, wanted: &Value, found: &Value) -> bool {
    key == REPLICAS && found.as_u64() > wanted.as_u64()
}

/// The server leaves out what is false, zero or empty.
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
            assert_eq!(definition(text).config["durable_name"], name);
        }
    }
}
