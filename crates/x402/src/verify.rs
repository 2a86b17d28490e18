//! Verifies a payment against an offer and a time. Cheap checks run first, the signature last.

use alloy_primitives::{Address, U256};
use domain::Authorization;

use crate::eip712::domain_separator;
use crate::offer::Offer;
use crate::payment::{Accepted, Payment};
use crate::rejection::PaymentRejection;
use crate::signature::{SIGNATURE_BYTES, verify_signature};

/// The only value of `extra.assetTransferMethod` that means the same as its absence.
const TRANSFER_METHOD: &str = "eip3009";

/// A payment that fits its offer and is signed by its payer, in the form that goes on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The payer: `authorization.from`, proven by the signature.
    pub payer: Address,
    /// The signed authorization. Its value is the price.
    pub authorization: Authorization,
    /// r, s, v with low s and v 27 or 28.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Verifies a payment against the offer: everything that can be known without the chain and without the past. Cost: 29
/// us, of which 27 are the recovery. A payment that fails an earlier check costs almost nothing.
///
/// `now_s` is seconds since 1970. `min_window_s` is the time that settlement may need: less is refused. The reference
/// server takes 6 s; a queue needs 120 or more, because a queued payment must outlive the queue. `max_window_s` is how
/// far ahead a payment may stay valid (24 h): no archived id can become payable again.
/// The echoed `resource` is ignored, because it is unsigned. The caller binds the payment to the purchase, by its
/// payment key.
/// # Errors
/// A [`PaymentRejection`] with status 402, the first in this order: accepted terms or v1 network, recipient, value, payer,
/// window, form of the signature, signer.
pub fn verify(
    payment: &Payment,
    offer: &Offer,
    now_s: u64,
    min_window_s: u64,
    max_window_s: u64,
) -> Result<Verified, PaymentRejection> {
    match &payment.accepted {
        Some(accepted) => same_terms(accepted, offer)?,
        None if offer.network.v1_name == Some(payment.network.as_str()) => {}
        None => return Err(PaymentRejection::InvalidNetwork),
    }
    let authorization = &payment.authorization;
    if authorization.to != offer.pay_to {
        return Err(PaymentRejection::RecipientMismatch);
    }
    if authorization.value.0 != offer.amount {
        return Err(PaymentRejection::ValueMismatch(payment.version));
    }
    let payer = authorization.from;
    if [offer.pay_to, offer.asset, Address::ZERO].contains(&payer) {
        return Err(PaymentRejection::PayerNotAllowed);
    }
    in_window(authorization.valid_after, authorization.valid_before, now_s, min_window_s, max_window_s)?;
    let domain = domain_separator(&offer.asset_name, &offer.asset_version, offer.network.chain_id, offer.asset);
    let signature = verify_signature(&domain, authorization, &payment.signature)?;
    Ok(Verified { payer, authorization: authorization.clone(), signature })
}

/// Compares the terms by meaning, not as JSON: clients drop fields, reorder keys and change the case of addresses.
fn same_terms(accepted: &Accepted, offer: &Offer) -> Result<(), PaymentRejection> {
    let absent_or = |sent: &Option<String>, ours: &str| sent.as_deref().is_none_or(|s| s == ours);
    let terms = [
        ("network", accepted.network == offer.network.caip2()),
        ("asset", accepted.asset == offer.asset),
        ("payTo", accepted.pay_to == offer.pay_to),
        ("amount", accepted.amount == U256::from(offer.amount)),
        ("extra.name", absent_or(&accepted.asset_name, &offer.asset_name)),
        ("extra.version", absent_or(&accepted.asset_version, &offer.asset_version)),
        ("extra.assetTransferMethod", absent_or(&accepted.transfer_method, TRANSFER_METHOD)),
    ];
    match terms.into_iter().find(|(_, same)| !same) {
        Some((term, _)) => Err(PaymentRejection::NoMatchingRequirements(term)),
        None => Ok(()),
    }
}

/// Checks the validity window. `valid_after == now_s` passes, as in the reference servers: the token's strict `>`
/// applies to a later block.
fn in_window(
    valid_after: u64,
    valid_before: u64,
    now_s: u64,
    min_window_s: u64,
    max_window_s: u64,
) -> Result<(), PaymentRejection> {
    let left_s = valid_before.saturating_sub(now_s);
    // An expired payment is refused even if the margin is configured as 0: the token's `<` is strict.
    if left_s == 0 || left_s < min_window_s {
        return Err(PaymentRejection::ExpiresTooSoon { left_s, needed_s: min_window_s });
    }
    if valid_after > now_s {
        return Err(PaymentRejection::NotYetValid);
    }
    if left_s > max_window_s {
        return Err(PaymentRejection::ExpiresTooLate { left_s, allowed_s: max_window_s });
    }
    Ok(())
}
