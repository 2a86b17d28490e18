//! An anvil, a proxy before it, and a client that takes answers as they come.

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, TxKind, U256, hex};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use faults::RpcProxy;
use neighbours::{Anvil, AnvilOptions, Mining, Tools};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const CHAIN_ID: u64 = 84_532;

/// The first account of the development mnemonic.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// Wei a gas that any block here takes.
pub const FEE: u128 = 10_000_000_000;

pub struct Setting {
    pub proxy: RpcProxy,
    pub anvil: Anvil,
    http: reqwest::Client,
    _dir: TempDir,
}

/// The answer that a client receives.
#[derive(Clone, Debug)]
pub struct Heard {
    pub status: u16,
    pub retry_after: Option<String>,
    pub text: String,
    /// Null when it is not JSON.
    pub json: Value,
}

pub async fn anvil() -> (Anvil, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let options = AnvilOptions {
        data_dir: dir.path().to_owned(),
        block_time: Mining::Manual,
        states_kept: Some(64),
        ..AnvilOptions::default()
    };
    (Anvil::start(&Tools::locate().unwrap(), options).await.unwrap(), dir)
}

impl Setting {
    pub async fn with_seed(seed: u64) -> Self {
        let (anvil, dir) = anvil().await;
        let proxy = RpcProxy::before(&[&anvil.rpc_url()], seed).await.unwrap();
        Self { proxy, anvil, http: reqwest::Client::new(), _dir: dir }
    }

    pub async fn new() -> Self {
        Self::with_seed(1).await
    }

    /// With another proxy.
    pub fn through(self, proxy: RpcProxy) -> Self {
        Self { proxy, ..self }
    }

    /// Through the proxy; none: the connection ended without an answer.
    pub async fn hear(&self, body: &Value) -> Option<Heard> {
        let answer = self.http.post(self.proxy.url()).json(body).send().await.ok()?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let text = answer.text().await.ok()?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Some(Heard { status, retry_after, text, json })
    }

    pub async fn ask(&self, method: &str, params: Value) -> Value {
        self.hear(&request(7, method, params)).await.map_or(Value::Null, |heard| heard.json)
    }

    pub async fn result(&self, method: &str, params: Value) -> Value {
        self.ask(method, params).await["result"].clone()
    }

    /// The message of the error that is answered.
    pub async fn refusal(&self, raw: &str) -> String {
        let answer = self.ask("eth_sendRawTransaction", json!([raw])).await;
        answer["error"]["message"].as_str().unwrap_or_else(|| panic!("accepted: {answer}")).to_owned()
    }

    /// Must be accepted.
    pub async fn send(&self, signed: &Signed) {
        let answer = self.ask("eth_sendRawTransaction", json!([signed.raw])).await;
        assert_eq!(answer["result"], signed.hash, "{answer}");
    }

    /// Past the proxy.
    pub async fn direct(&self, method: &str, params: Value) -> Value {
        let sent = self.http.post(self.anvil.rpc_url()).json(&request(1, method, params)).send().await;
        let answer: Value = sent.unwrap().json().await.unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    pub async fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            self.direct("evm_mine", json!([])).await;
        }
    }
}

pub fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// A transaction that gives nothing to nobody.
#[derive(Clone, Debug)]
pub struct Signed {
    pub raw: String,
    pub hash: String,
}

pub fn sender() -> Address {
    KEY.parse::<PrivateKeySigner>().unwrap().address()
}

pub fn sign(nonce: u64, max_fee_per_gas: u128, max_priority_fee_per_gas: u128) -> Signed {
    sign_for(nonce, max_fee_per_gas, max_priority_fee_per_gas, 21_000)
}

/// With more gas, for a contract at the address that it goes to.
pub fn sign_for(nonce: u64, max_fee_per_gas: u128, max_priority_fee_per_gas: u128, gas_limit: u64) -> Signed {
    let tx = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        to: TxKind::Call(Address::repeat_byte(9)),
        value: U256::ZERO,
        access_list: Default::default(),
        input: Default::default(),
    };
    let signature = KEY.parse::<PrivateKeySigner>().unwrap().sign_hash_sync(&tx.signature_hash()).unwrap();
    let envelope = TxEnvelope::Eip1559(tx.into_signed(signature));
    Signed { raw: hex::encode_prefixed(envelope.encoded_2718()), hash: envelope.tx_hash().to_string() }
}
