//! The stock x402 clients, unmodified, as `tools/buy` runs them.

use crate::answers::Answer;
use neighbours::Tools;
use serde_json::Value;
use tokio::process::Command;

/// A generation of stock client.
#[derive(Clone, Copy, Debug)]
pub enum Client {
    /// `@x402/fetch`.
    V2,
    /// `x402-fetch`.
    V1,
}

/// Buys `quantity` at `url` with `key`.
///
/// # Panics
/// Unless the client ends with a 202.
pub async fn buy_with(client: Client, url: &str, key: &str, quantity: u32) -> Answer {
    let script = match client {
        Client::V2 => "buy-v2.mjs",
        Client::V1 => "buy-v1.mjs",
    };
    let tools = Tools::locate().unwrap();
    let script = tools.root().parent().unwrap().join("buy").join(script);
    let mut node = Command::new("node");
    node.arg(script).args([url, key, &quantity.to_string()]).kill_on_drop(true);
    let output = node.output().await.expect("node is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{client:?}: {said}");
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let json = printed["body"].clone();
    let status = u16::try_from(printed["status"].as_u64().unwrap()).unwrap();
    let headers = printed["headers"].as_object().unwrap().iter();
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.as_str().unwrap().parse().unwrap()));
    Answer { status, headers: headers.collect(), text: json.to_string(), json }
}
