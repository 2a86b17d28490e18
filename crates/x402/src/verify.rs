//! A payment against an offer and a time. Cheap checks first, the signature last.

use alloy_primitives::{Address, U256};

use crate::eip712::domain_separator;
use crate::offer::Offer;
use crate::payment::{Accepted, Payment, Transfer};
use crate::rejection::Rejection;
use crate::signature::{SIGNATURE_BYTES, verify_signature};

/// The one value of `extra.assetTransferMethod` that means what its absence means.
const TRANSFER_METHOD: &str = "eip3009";

/// A payment that fits its offer and is signed by its payer, in the one form that goes on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Who pays: `authorization.from`, proven.
    pub payer: Address,
    /// What was signed; the value is the price.
    pub authorization: Transfer,
    /// r, s, v with low s and v 27 or 28.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Holds a payment against the offer: all that can be known without the chain and without the past.
/// Cost: 29 us, of which 27 are the recovery; what fails before it costs nothing to speak of.
///
/// `now_s` is seconds since 1970. `min_window_s` is what settlement may need: less left is refused
/// (the reference takes 6 s, a queue wants 120 and more, D14). `max_window_s` is how far ahead a
/// payment may stay valid (24 h, D2: an archived id can never become payable again).
/// A payment of the offered amount to the offered payee is taken whatever `resource` it echoes: that
/// echo is unsigned. What it buys is the caller's to bind, by its payment key (B43).
/// # Errors
/// A [`Rejection`] with status 402, the first in this order: accepted terms or v1 network, recipient,
/// value, payer, window, form of the signature, signer.
pub fn verify(
    payment: &Payment,
    offer: &Offer,
    now_s: u64,
    min_window_s: u64,
    max_window_s: u64,
) -> Result<Verified, Rejection> {
    match &payment.accepted {
        Some(accepted) => same_terms(accepted, offer)?,
        None if offer.network.v1_name == Some(payment.network.as_str()) => {}
        None => return Err(Rejection::InvalidNetwork),
    }
    let authorization = &payment.authorization;
    if authorization.to != offer.pay_to {
        return Err(Rejection::RecipientMismatch);
    }
    if authorization.value != U256::from(offer.amount) {
        return Err(Rejection::ValueMismatch(payment.version));
    }
    let payer = authorization.from;
    if [offer.pay_to, offer.asset, Address::ZERO].contains(&payer) {
        return Err(Rejection::PayerNotAllowed);
    }
    in_window(authorization.valid_after, authorization.valid_before, now_s, min_window_s, max_window_s)?;
    let domain = domain_separator(&offer.asset_name, &offer.asset_version, offer.network.chain_id, offer.asset);
    let signature = verify_signature(&domain, authorization, &payment.signature)?;
    let authorization = Transfer {
        from: payer,
        to: authorization.to,
        value: offer.amount,
        valid_after: authorization.valid_after,
        valid_before: authorization.valid_before,
        nonce: authorization.nonce,
    };
    Ok(Verified { payer, authorization, signature })
}

/// By meaning, not by JSON: clients drop fields, reorder keys and change the case of addresses.
fn same_terms(accepted: &Accepted, offer: &Offer) -> Result<(), Rejection> {
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
        Some((term, _)) => Err(Rejection::NoMatchingRequirements(term)),
        None => Ok(()),
    }
}

/// `valid_after == now_s` passes, as in the references: the token's strict `>` is asked of a later block.
fn in_window(
    valid_after: u64,
    valid_before: u64,
    now_s: u64,
    min_window_s: u64,
    max_window_s: u64,
) -> Result<(), Rejection> {
    let left_s = valid_before.saturating_sub(now_s);
    // Expired is refused even if the margin is configured as 0: the token's `<` is strict.
    if left_s == 0 || left_s < min_window_s {
        return Err(Rejection::ExpiresTooSoon { left_s, needed_s: min_window_s });
    }
    if valid_after > now_s {
        return Err(Rejection::NotYetValid);
    }
    if left_s > max_window_s {
        return Err(Rejection::ExpiresTooLate { left_s, allowed_s: max_window_s });
    }
    Ok(())
}
