//! x402 on the wire, v1 and v2, for scheme `exact` on EVM with EIP-3009 authorizations of EOA payers.
//!
//! Pure: no clock (the time is a parameter), no I/O, no async, no log; and no input makes it panic.
//! It refuses to know what is being bought, who has paid before, and what the chain says: a payment
//! that passes [`verify`] is well signed and fits the offer, no more. Balance, spent nonces and code
//! at the payer (ERC-1271, EIP-7702) are for the sender's simulation to find (D12 of `docs/CATALOGUE.md`).
//!
//! The way of one payment: [`payment_required`] makes the offer, [`one_header`] finds the header,
//! [`decode`] reads it, [`verify`] holds it against the offer, [`payment_key`] names it for ever,
//! [`settlement_header`] tells the payer how it ended.
//!
//! Source of the rules: the wire reference, `docs/x402-wire.md`, measured on the stock clients and servers, and its
//! vectors in `vectors/`; where the two differ, the vectors decide. Ids such as B25 are those of `docs/CATALOGUE.md`.

mod decode;
mod eip712;
mod fields;
mod header;
mod offer;
mod payment;
mod rejection;
mod settlement;
mod signature;
mod verify;

/// From header bytes to a [`Payment`]: syntax only, the offer is not known here.
pub use decode::decode;
/// The EIP-712 hashes of a transfer authorization, and the key under which a payment is known.
pub use eip712::{domain_separator, payment_key, transfer_digest};
/// Names and sizes of the headers, and the choice of the one that pays.
pub use header::{
    HeaderName, MAX_HEADER_BYTES, MAX_JSON_DEPTH, PAYMENT_REQUIRED, PAYMENT_RESPONSE, X_PAYMENT_RESPONSE, one_header,
};
/// What is asked for, and the 402 that asks for it in both generations of the protocol.
pub use offer::{Network, Offer, PaymentRequired, payment_required};
/// What a payer sent, decoded and not yet believed.
pub use payment::{Accepted, Authorization, Payment, Transfer, Version};
/// Every way to say no, with reason, code and status.
pub use rejection::Rejection;
/// The header that reports a settlement.
pub use settlement::{Settlement, SettlementHeader, settlement_header};
/// Normal form of a signature and the address that made it.
pub use signature::{SIGNATURE_BYTES, normalise_signature, recover, verify_signature};
/// A payment against an offer and a time.
pub use verify::{Verified, verify};
