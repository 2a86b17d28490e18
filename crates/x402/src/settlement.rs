//! The header that tells a payer how a payment ended.
//!
//! There is none while the payment is pending: the 202 goes out without one. `success: true` without a transaction
//! would read as settled, and `success: false` as failed (wire reference, section 1, point 7).

use alloy_primitives::{Address, B256};
use base64::Engine as _;
use serde::Serialize;

use crate::header::{BASE64, PAYMENT_RESPONSE, X_PAYMENT_RESPONSE};
use crate::offer::Network;
use crate::payment::Version;

/// The end of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement<'a> {
    /// The transfer is in this transaction.
    Settled {
        /// Hash of the settling transaction.
        transaction: B256,
    },
    /// The payment failed permanently.
    Failed {
        /// An x402 reason string, such as `invalid_exact_evm_insufficient_balance`.
        reason: &'a str,
    },
}

/// A response header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlementHeader {
    /// `PAYMENT-RESPONSE` or `X-PAYMENT-RESPONSE`.
    pub name: &'static str,
    /// Standard base64, padded.
    pub value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireSettlement<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_reason: Option<&'a str>,
    transaction: String,
    network: String,
    payer: String,
}

/// Builds the header of a settlement in the generation of the payment. `transaction` and `network` are always strings,
/// because null breaks Python's decoder. A v1 payment on a chain without a v1 name, which [`crate::verify`] never
/// accepts, gets the CAIP-2 name.
pub fn settlement_header(
    version: Version,
    settlement: Settlement<'_>,
    network: &Network,
    payer: Address,
) -> SettlementHeader {
    let (error_reason, transaction) = match settlement {
        Settlement::Settled { transaction } => (None, transaction.to_string()),
        Settlement::Failed { reason } => (Some(reason), String::new()),
    };
    let (name, network) = match (version, network.v1_name) {
        (Version::V1, Some(v1_name)) => (X_PAYMENT_RESPONSE, v1_name.to_owned()),
        (Version::V1, None) => (X_PAYMENT_RESPONSE, network.caip2()),
        (Version::V2, _) => (PAYMENT_RESPONSE, network.caip2()),
    };
    let wire = WireSettlement {
        success: error_reason.is_none(),
        error_reason,
        transaction,
        network,
        payer: payer.to_checksum(None),
    };
    let json = serde_json::to_vec(&wire).expect("strings and booleans always serialise");
    SettlementHeader { name, value: BASE64.encode(json) }
}
