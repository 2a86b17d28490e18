//! The decoded payment header, in types that cannot be malformed but may still be a lie.

use alloy_primitives::{Address, U256};
use domain::Authorization;

/// Generation of the protocol. One authorization and signature may arrive as either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `X-PAYMENT`, `X-PAYMENT-RESPONSE`, network by name.
    V1,
    /// `PAYMENT-SIGNATURE`, `PAYMENT-RESPONSE`, network as CAIP-2, with an echo of the offer.
    V2,
}

/// A decoded payment header. The scheme is always `exact` with EIP-3009: [`crate::decode`] refuses others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The generation of the header that carried it.
    pub version: Version,
    /// The network as the payer wrote it: a v1 name, or CAIP-2 from `accepted`.
    pub network: String,
    /// The offer that the payer claims to accept. `Some` exactly for v2.
    pub accepted: Option<Accepted>,
    /// The authorization that the payer claims to have signed.
    pub authorization: Authorization,
    /// The signature as sent, of any length: see [`crate::normalise_signature`].
    pub signature: Vec<u8>,
    /// `extensions.payment-identifier.info.id`, 16 to 128 of `[A-Za-z0-9_-]`. `None` if none was sent; stock clients
    /// send none. The payer chooses it, so it must be scoped by payer. It is unsigned, like the echo.
    pub payment_identifier: Option<String>,
}

/// The terms in a v2 `accepted`. Unsigned: they are compared with our offer and never trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// CAIP-2, compared as text: `eip155:084532` is another network.
    pub network: String,
    /// Token contract.
    pub asset: Address,
    /// Payee.
    pub pay_to: Address,
    /// Atomic units.
    pub amount: U256,
    /// `extra.name`, if sent: Python clients send `extra: {}`.
    pub asset_name: Option<String>,
    /// `extra.version`, if sent.
    pub asset_version: Option<String>,
    /// `extra.assetTransferMethod`, if sent.
    pub transfer_method: Option<String>,
}
