//! Applies the definitions of `nats/`: raw JSON, sent as it is, so that a typing error is refused and not dropped.
//! Services never create anything; `ops` and the standalone installation do.

use crate::client::{OWN_API, connect_client, request, stream_info};
use crate::definitions::{CONSUMERS, REPLICAS, compare, definition, stream};
use crate::error::ConnectError;
use crate::subjects::STREAM;
use serde_json::{Value, json};

/// Creates or updates the stream and its consumers at `url`, as a user of the
/// ledger's account, then reads them back. Running it again changes nothing.
///
/// # Errors
/// [`ConnectError`]: unreachable, an immutable change, or a definition that did not take effect.
pub async fn provision(url: &str) -> Result<(), ConnectError> {
    let client = connect_client(url).await?;
    let mut wanted = stream();
    let current = request(&client, OWN_API, &format!("STREAM.INFO.{STREAM}"), Value::Null).await?;
    let verb = if current.get("error").is_some() { "CREATE" } else { "UPDATE" };
    if let Some(replicas) = current.pointer("/config/num_replicas")
        && replicas.as_u64() > wanted.config[REPLICAS].as_u64()
    {
        wanted.config[REPLICAS] = replicas.clone();
    }
    accepted(request(&client, OWN_API, &format!("STREAM.{verb}.{STREAM}"), wanted.config.clone()).await?)?;
    compare("the stream LEDGER", &wanted, &stream_info(&client, OWN_API).await?.config)?;
    for (name, text) in CONSUMERS {
        let wanted = definition(text);
        let body = json!({ "stream_name": STREAM, "config": wanted.config, "action": "" });
        let answer = accepted(request(&client, OWN_API, &format!("CONSUMER.CREATE.{STREAM}.{name}"), body).await?)?;
        compare(&format!("the consumer {name}"), &wanted, answer.get("config").unwrap_or(&Value::Null))?;
    }
    Ok(())
}

fn accepted(answer: Value) -> Result<Value, ConnectError> {
    match answer.pointer("/error/description") {
        Some(error) => Err(ConnectError::Other(error.to_string())),
        None => Ok(answer),
    }
}
