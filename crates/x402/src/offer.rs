//! The offered terms, and the 402 that offers them: a v2 header and a v1 body with the same terms, so that every stock
//! client of both generations can pay (wire reference, section 1).

use alloy_primitives::Address;
use base64::Engine as _;
use serde::Serialize;
use serde_json::{Value, json};

use crate::decode::{IDENTIFIER_BYTES, SCHEME};
use crate::header::BASE64;

/// The v1 names on which all stock v1 clients agree. Left out: story, educhain and skale-base-sepolia, which Python
/// maps to other ids, and names that x402 1.2.0 does not know. One unknown name makes x402-fetch 1.x throw for the
/// whole 402. Source: wire reference, section 2.
const V1_NAMES: [(u64, &str); 12] = [
    (8453, "base"),
    (84532, "base-sepolia"),
    (137, "polygon"),
    (80002, "polygon-amoy"),
    (43114, "avalanche"),
    (43113, "avalanche-fuji"),
    (1329, "sei"),
    (1328, "sei-testnet"),
    (2741, "abstract"),
    (11124, "abstract-testnet"),
    (4689, "iotex"),
    (3338, "peaq"),
];

/// A chain and its two names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// EIP-155 id.
    pub chain_id: u64,
    /// The v1 name. `None` if v1 clients have no name for the chain (31337): then only v2 can pay.
    pub v1_name: Option<&'static str>,
}

impl Network {
    /// The network with this id, and its v1 name if stock v1 clients agree on one.
    pub fn from_chain_id(chain_id: u64) -> Self {
        let known = V1_NAMES.iter().find(|(id, _)| *id == chain_id);
        Self { chain_id, v1_name: known.map(|(_, name)| *name) }
    }

    /// The v2 name: `eip155:84532`.
    pub fn caip2(&self) -> String {
        format!("eip155:{}", self.chain_id)
    }
}

/// The terms of one resource. A 402 carries one offer, because v1 clients reject the whole 402 for one entry that they
/// cannot use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The chain on which to pay.
    pub network: Network,
    /// The asset's contract. Clients without configuration pay only the chain's canonical USDC.
    pub asset: Address,
    /// The token's EIP-712 name on chain.
    pub asset_name: String,
    /// The token's EIP-712 version on chain.
    pub asset_version: String,
    /// Payee.
    pub pay_to: Address,
    /// The exact price in atomic USDC (6 decimals). Clients without configuration pay at most 100,000 (x402-fetch 1.x)
    /// or 1,000,000 (@x402 2.27, PyPI 2.25).
    pub amount: u64,
    /// Validity of the payer's signature, in seconds. It covers queue and settlement (300 to 900).
    pub max_timeout_s: u64,
    /// Absolute URL of the resource. v1 TypeScript clients throw on a relative one.
    pub resource_url: String,
    /// A description for people. May be empty, never absent.
    pub description: String,
    /// MIME type of the resource.
    pub mime_type: String,
    /// True if a payment identifier is honoured. The v2 offer then says so; v1 has no extensions. It is never required,
    /// because stock clients send none.
    pub payment_identifier: bool,
}

/// A 402 in both generations. The caller adds status 402 and `Cache-Control: no-store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRequired {
    /// Value of `PAYMENT-REQUIRED`: standard base64, padded (Python and Rust clients refuse unpadded text). Clients
    /// echo it, so it must stay under 8 KiB. Only description and URL can be long. With texts of ordinary length it
    /// stays under 2 KiB.
    pub header_value: String,
    /// The v1 body, `application/json`.
    pub body: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireRequired<'a> {
    #[serde(rename = "x402Version")]
    version: u8,
    error: &'a str,
    resource: WireResource<'a>,
    accepts: [WireRequirements<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireResource<'a> {
    url: &'a str,
    description: &'a str,
    mime_type: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireRequirements<'a> {
    scheme: &'a str,
    network: String,
    amount: String,
    asset: String,
    pay_to: String,
    max_timeout_seconds: u64,
    extra: WireExtra<'a>,
}

#[derive(Serialize)]
struct WireExtra<'a> {
    name: &'a str,
    version: &'a str,
}

/// Builds the 402 for an offer. `error` gives the reason: `Payment required`, or the [`crate::PaymentRejection::reason`] of
/// the refused payment.
pub fn payment_required(offer: &Offer, error: &str) -> PaymentRequired {
    let required = WireRequired {
        version: 2,
        error,
        resource: WireResource {
            url: &offer.resource_url,
            description: &offer.description,
            mime_type: &offer.mime_type,
        },
        accepts: [WireRequirements {
            scheme: SCHEME,
            network: offer.network.caip2(),
            amount: offer.amount.to_string(),
            asset: offer.asset.to_checksum(None),
            pay_to: offer.pay_to.to_checksum(None),
            max_timeout_seconds: offer.max_timeout_s,
            extra: WireExtra { name: &offer.asset_name, version: &offer.asset_version },
        }],
        extensions: offer.payment_identifier.then(payment_identifier),
    };
    let header = serde_json::to_vec(&required).expect("strings and integers always serialise");
    PaymentRequired { header_value: BASE64.encode(header), body: v1_body(offer, error) }
}

/// The extension as it is offered. Clients echo it, and clients that know it add `info.id`. The extension requires a
/// schema in every offer; this one describes what [`crate::decode`] accepts.
fn payment_identifier() -> Value {
    json!({
        "payment-identifier": {
            "info": { "required": false },
            "schema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {
                    "required": { "type": "boolean" },
                    "id": {
                        "type": "string",
                        "minLength": IDENTIFIER_BYTES.start(),
                        "maxLength": IDENTIFIER_BYTES.end(),
                        "pattern": "^[a-zA-Z0-9_-]+$",
                    },
                },
                "required": ["required"],
            },
        },
    })
}

/// The v1 body of a 402.
///
/// Without a v1 name `accepts` is empty. v1 clients then report that there is nothing to pay, whereas an unknown name
/// would make them throw. v2 clients use the header and ignore the body. No field is null and `outputSchema` is absent,
/// because stock v1 clients refuse null.
fn v1_body(offer: &Offer, error: &str) -> Value {
    let entry = |network| {
        json!({
            "scheme": SCHEME,
            "network": network,
            "maxAmountRequired": offer.amount.to_string(),
            "resource": offer.resource_url,
            "description": offer.description,
            "mimeType": offer.mime_type,
            "payTo": offer.pay_to.to_checksum(None),
            "maxTimeoutSeconds": offer.max_timeout_s,
            "asset": offer.asset.to_checksum(None),
            "extra": { "name": offer.asset_name, "version": offer.asset_version },
        })
    };
    let accepts: Vec<Value> = offer.network.v1_name.map(entry).into_iter().collect();
    json!({ "x402Version": 1, "error": error, "accepts": accepts })
}
