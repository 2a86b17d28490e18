//! The x402 wire format, v1 and v2, for scheme `exact` on EVM with EIP-3009 authorizations of EOA payers.
//!
//! Pure: no clock (the time is a parameter), no I/O, no async, no log. No input makes it panic.
//! This crate does not know what is bought, who has paid before, or what the chain says. A payment that passes
//! [`verify`] is correctly signed and fits the offer, no more. Balance, used nonces and code at the payer's address
//! (ERC-1271, EIP-7702) are found by the sender's simulation: USDC asks the payer's code, if there is any, instead of
//! the curve.
//!
//! The way of one payment: [`payment_required`] makes the offer, [`one_header`] finds the header, [`decode`] parses it,
//! [`verify`] compares it with the offer, [`payment_key`] gives it its permanent name, and [`settlement_header`] tells
//! the payer how it ended.
//!
//! Source of the rules: the wire reference, `docs/x402-wire.md`, measured on the stock clients and servers, and its
//! vectors in `vectors/`. Where the two differ, the vectors decide.

mod decode;
mod eip712;
mod fields;
mod header;
mod limits;
mod offer;
mod payment;
mod rejection;
mod settlement;
mod signature;
mod verify;

/// Parses header bytes into a [`Payment`]: syntax only, the offer is not known here.
pub use decode::decode;
/// The EIP-712 hashes of a transfer authorization, and the key under which a payment is known.
pub use eip712::{domain_separator, payment_key, transfer_digest};
/// Names and sizes of the headers, and the choice of the one that pays.
pub use header::{HeaderName, PAYMENT_REQUIRED, PAYMENT_RESPONSE, X_PAYMENT_RESPONSE, one_header};
pub use limits::{MAX_HEADER_BYTES, MAX_JSON_DEPTH};
/// The offered terms, and the 402 that offers them in both generations of the protocol.
pub use offer::{Network, Offer, PaymentRequired, payment_required};
/// A payer's header, decoded and not yet verified.
pub use payment::{Accepted, Payment, Version};
/// Every reason for a refusal, with its x402 reason, code and status.
pub use rejection::PaymentRejection;
/// The header that reports a settlement.
pub use settlement::{Settlement, SettlementHeader, settlement_header};
/// Normal form of a signature and the address that made it.
pub use signature::{SIGNATURE_BYTES, normalise_signature, recover, verify_signature};
/// Verification of a payment against an offer and a time.
pub use verify::{Verified, verify};
