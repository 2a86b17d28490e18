//! Applies the definitions of `nats/`. They are sent as raw JSON, so that the server refuses a misspelled setting
//! instead of ignoring it. Services never create anything; `ops` and the standalone installation do.

use crate::client::{OWN_API, connect_client, request};
use crate::definitions::{CONSUMERS, LEASES, LEDGER, REPLICAS, Text, compare, definition, same_layout};
use crate::error::ConnectError;
use crate::subjects::STREAM;
use async_nats::Client;
use serde_json::{Value, json};

/// Creates or updates the streams and the ledger's consumers at `url`, as a user of the ledger's account, and then
/// reads them back. Running it again changes nothing.
///
/// # Errors
/// [`ConnectError`]: unreachable, an immutable change, or a definition that did not take effect.
pub async fn provision(url: &str) -> Result<(), ConnectError> {
    let client = connect_client(url).await?;
    for definition in [LEDGER, LEASES] {
        provision_stream(&client, definition).await?;
    }
    for (name, text) in CONSUMERS {
        let wanted = definition(text);
        let body = json!({ "stream_name": STREAM, "config": wanted.config, "action": "" });
        let answer = accepted(request(&client, OWN_API, &format!("CONSUMER.CREATE.{STREAM}.{name}"), body).await?)?;
        compare(&format!("the consumer {name}"), &wanted, answer.get("config").unwrap_or(&Value::Null))?;
    }
    Ok(())
}

async fn provision_stream(client: &Client, definition: Text) -> Result<(), ConnectError> {
    let Text { name, .. } = definition;
    let mut wanted = definition.read();
    let current = request(client, OWN_API, &format!("STREAM.INFO.{name}"), Value::Null).await?;
    // An update does not move stored messages to other subjects. It would only claim that they have this layout.
    if let Some(config) = current.get("config").filter(|_| name == LEDGER.name) {
        same_layout(config)?;
    }
    let verb = if current.get("error").is_some() { "CREATE" } else { "UPDATE" };
    if let Some(replicas) = current.pointer("/config/num_replicas")
        && replicas.as_u64() > wanted.config[REPLICAS].as_u64()
    {
        wanted.config[REPLICAS] = replicas.clone();
    }
    accepted(request(client, OWN_API, &format!("STREAM.{verb}.{name}"), wanted.config.clone()).await?)?;
    let found = request(client, OWN_API, &format!("STREAM.INFO.{name}"), Value::Null).await?;
    compare(&format!("the stream {name}"), &wanted, found.get("config").unwrap_or(&Value::Null))
}

pub(crate) fn accepted(answer: Value) -> Result<Value, ConnectError> {
    match answer.pointer("/error/description") {
        Some(error) => Err(ConnectError::Other(error.to_string())),
        None => Ok(answer),
    }
}
