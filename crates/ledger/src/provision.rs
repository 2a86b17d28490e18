//! Applies the definitions of `nats/`: raw JSON, sent as it is, so that a typing error is refused and not dropped.
//! Services never create anything; `ops` and the standalone installation do.

use crate::connect::connect_client;
use crate::error::ConnectError;
use crate::gate::{compare, stream_info};
use crate::subjects::STREAM;
use async_nats::{Client, HeaderMap};
use serde_json::{Value, json};

/// The server refuses a definition that it does not understand in full.
const REQUIRED_API_LEVEL: &str = "5";

const STREAM_JSON: &str = include_str!("../../../nats/streams/LEDGER.json");
const CONSUMERS: [(&str, &str); 6] = [
    ("payment-sender", include_str!("../../../nats/consumers/payment-sender.json")),
    ("payment-sender-deferred", include_str!("../../../nats/consumers/payment-sender-deferred.json")),
    ("confirmer", include_str!("../../../nats/consumers/confirmer.json")),
    ("confirmer-deferred", include_str!("../../../nats/consumers/confirmer-deferred.json")),
    ("mint-projector", include_str!("../../../nats/consumers/mint-projector.json")),
    ("mint-projector-deferred", include_str!("../../../nats/consumers/mint-projector-deferred.json")),
];

/// A definition as committed.
pub(crate) struct Definition {
    pub config: Value,
}

/// The stream as `nats/streams` defines it.
pub(crate) fn stream() -> Definition {
    definition(STREAM_JSON)
}

/// The definitions are compiled in and read by a test, so that this cannot fail at run time.
fn definition(text: &str) -> Definition {
    Definition { config: serde_json::from_str(text).unwrap_or(Value::Null) }
}

/// Creates or updates the stream and its consumers at `url`, then reads them back. Running it again changes nothing.
///
/// # Errors
/// [`ConnectError`]: unreachable, an immutable change, or a definition that did not take effect.
pub async fn provision(url: &str) -> Result<(), ConnectError> {
    let client = connect_client(url).await?;
    let wanted = stream();
    let current = request(&client, &format!("STREAM.INFO.{STREAM}"), Value::Null).await?;
    let verb = if current.get("error").is_some() { "CREATE" } else { "UPDATE" };
    accepted(request(&client, &format!("STREAM.{verb}.{STREAM}"), wanted.config.clone()).await?)?;
    compare("the stream LEDGER", &wanted, &stream_info(&client).await?.config)?;
    for (name, text) in CONSUMERS {
        let wanted = definition(text);
        let body = json!({ "stream_name": STREAM, "config": wanted.config, "action": "" });
        let answer = accepted(request(&client, &format!("CONSUMER.CREATE.{STREAM}.{name}"), body).await?)?;
        compare(&format!("the consumer {name}"), &wanted, answer.get("config").unwrap_or(&Value::Null))?;
    }
    Ok(())
}

/// One request to the JetStream API.
pub(crate) async fn request(client: &Client, api: &str, body: Value) -> Result<Value, ConnectError> {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Required-Api-Level", REQUIRED_API_LEVEL);
    let payload = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let message = client
        .request_with_headers(format!("$JS.API.{api}"), headers, payload.into())
        .await
        .map_err(|e| ConnectError::Other(format!("{api}: {e}")))?;
    serde_json::from_slice(&message.payload).map_err(|e| ConnectError::Other(format!("{api}: {e}")))
}

fn accepted(answer: Value) -> Result<Value, ConnectError> {
    match answer.pointer("/error/description") {
        Some(error) => Err(ConnectError::Other(error.to_string())),
        None => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_reads() {
        assert_eq!(stream().config["name"], STREAM);
        for (name, text) in CONSUMERS {
            assert_eq!(definition(text).config["durable_name"], name);
        }
    }
}
