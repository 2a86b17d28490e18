//! What is asked for, and the 402 that asks for it: a v2 header and a v1 body with the same terms, so
//! that every stock client of both generations pays (wire reference, section 1).

use alloy_primitives::Address;
use base64::Engine as _;
use serde::Serialize;
use serde_json::{Value, json};

use crate::decode::{IDENTIFIER_BYTES, SCHEME};
use crate::header::BASE64;

/// v1 names that all stock v1 clients agree on. Left out: story, educhain and skale-base-sepolia, which
/// Python maps to other ids, and what x402 1.2.0 does not know: one unknown name makes x402-fetch 1.x
/// throw for the whole 402. Source: wire reference, section 2.
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

/// A chain under its two names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// EIP-155 id.
    pub chain_id: u64,
    /// The name in v1; `None` where v1 clients know none (31337), then only v2 can pay.
    pub v1_name: Option<&'static str>,
}

impl Network {
    /// The network with this id, under its v1 name if stock v1 clients share one.
    pub fn from_chain_id(chain_id: u64) -> Self {
        let known = V1_NAMES.iter().find(|(id, _)| *id == chain_id);
        Self { chain_id, v1_name: known.map(|(_, name)| *name) }
    }

    /// The name in v2: `eip155:84532`.
    pub fn caip2(&self) -> String {
        format!("eip155:{}", self.chain_id)
    }
}

/// The terms of one resource. One offer per 402: v1 clients refuse the whole for one entry they dislike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Where to pay.
    pub network: Network,
    /// Token contract. Unconfigured clients pay only the chain's canonical USDC.
    pub asset: Address,
    /// The token's EIP-712 name on chain.
    pub asset_name: String,
    /// The token's EIP-712 version on chain.
    pub asset_version: String,
    /// Payee.
    pub pay_to: Address,
    /// The exact price in atomic USDC (6 decimals). Unconfigured clients stop at 100,000 (x402-fetch 1.x)
    /// or at 1,000,000 (@x402 2.27, PyPI 2.25).
    pub amount: u64,
    /// How long the payer's signature shall be valid, in seconds: queue and settlement (300 to 900).
    pub max_timeout_s: u64,
    /// Absolute: v1 TypeScript clients throw on a relative one.
    pub resource_url: String,
    /// For people; may be empty, never absent.
    pub description: String,
    /// Of the answer that is paid for.
    pub mime_type: String,
    /// Whether a payment identifier is honoured. If so the v2 offer says it; v1 has no extensions. It is never
    /// required: stock clients send none.
    pub payment_identifier: bool,
}

/// A 402 in both generations. Add status 402 and `Cache-Control: no-store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRequired {
    /// Value of `PAYMENT-REQUIRED`: standard base64, padded (Python and Rust refuse it unpadded).
    /// Clients echo it, so keep it under 8 KiB: description and URL are the only long parts. With texts of ordinary
    /// length it stays under 2 KiB.
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

/// The 402 for an offer. `error` says why: `Payment required`, or the [`crate::Rejection::reason`] of
/// the payment that was refused.
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

/// The extension as it is offered. Clients echo it, and those that know it add `info.id`. The schema is what the
/// extension asks of every offer; it says what [`crate::decode`] takes.
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

/// Without a v1 name `accepts` is empty: v1 clients then find nothing to pay and say so, where an
/// unknown name would make them throw; v2 clients take the header and never look. Nothing is null and
/// `outputSchema` is absent, because stock v1 clients refuse null.
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
