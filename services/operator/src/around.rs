//! The lane's own check of a payment before money moves: that the order is one for a token of ours, and that the payer was
//! charged around that token. Pure.

use chain::{Address, Evidence};
use domain::{PaymentRequest, Purchase, TokenTerms};

/// The judgement of a payment that is said to have gone around its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    /// The payer was charged around the token, in a final block.
    Proven,
    /// Nothing is proven yet.
    NotProven,
    /// The payer was not charged around the token, or only a person can tell. Holds a sentence.
    Refuted(String),
}

/// Judges `evidence`, which was found in final blocks. The fee of a token leaves the same trace as a payment around it, and
/// is paid in the block that creates the token, or before.
pub(crate) fn around(evidence: &Evidence, terms: &TokenTerms) -> Around {
    match evidence {
        Evidence::Paid { block, .. } if block.number > terms.block.number => Around::Proven,
        Evidence::Paid { tx_hash, .. } => Around::Refuted(format!(
            "{tx_hash} paid the token before it existed, perhaps its fee: a person must decide"
        )),
        Evidence::Cancelled { tx_hash, .. } => Around::Refuted(format!("{tx_hash} cancelled the authorization")),
        Evidence::UsedElsewhere { tx_hash, .. } => {
            Around::Refuted(format!("{tx_hash} used the nonce for another transfer"))
        }
        Evidence::Unused | Evidence::NotFoundYet => Around::NotProven,
    }
}

/// Checks `request` against the registered terms of its token. Our api writes no request that fails this check. A record
/// of too many units for the money would take what others have paid.
///
/// # Errors
/// The first disagreement, as a sentence.
pub(crate) fn fits(
    request: &PaymentRequest,
    terms: &TokenTerms,
    asset: Address,
    chain_id: u64,
) -> Result<(), &'static str> {
    let Purchase::Mint { token, unit_price, .. } = request.purchase;
    if (request.chain_id, request.asset) != (chain_id, asset) || (terms.chain_id, terms.asset) != (chain_id, asset) {
        return Err("the payment is of another chain or asset");
    }
    if token != terms.token || unit_price != terms.unit_price {
        return Err("the price is not the price of the token");
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chain::B256;
    use domain::{BlockRef, Usdc, examples};

    #[test]
    fn only_a_payment_after_the_creation_of_its_token_went_around_it() {
        let terms = examples::terms();
        let tx_hash = B256::with_last_byte(2);
        let at = |number| BlockRef { number, hash: B256::with_last_byte(3) };
        let (before, created, after) = (at(terms.block.number - 1), at(terms.block.number), at(terms.block.number + 1));
        let refuted = |words: &'static str| {
            move |judged: &Around| match judged {
                Around::Refuted(why) => why.contains(words) && why.contains(&tx_hash.to_string()),
                Around::Proven | Around::NotProven => false,
            }
        };
        assert_eq!(around(&Evidence::Paid { tx_hash, block: after }, &terms), Around::Proven);
        for block in [before, created] {
            assert!(refuted("fee")(&around(&Evidence::Paid { tx_hash, block }, &terms)), "{block:?}");
        }
        assert!(refuted("cancelled")(&around(&Evidence::Cancelled { tx_hash, block: after }, &terms)));
        assert!(refuted("another transfer")(&around(&Evidence::UsedElsewhere { tx_hash, block: after }, &terms)));
        for nothing in [Evidence::Unused, Evidence::NotFoundYet] {
            assert_eq!(around(&nothing, &terms), Around::NotProven, "{nothing:?}");
        }
    }

    /// Ten units for the price of one would be nine units out of the surplus of others.
    #[test]
    fn a_forged_request_is_neither_recorded_nor_returned() {
        let (request, terms) = (examples::request(), examples::terms());
        let check = |terms: &TokenTerms, asset, chain_id| fits(&request, terms, asset, chain_id);
        assert_eq!(check(&terms, examples::ASSET, 84_532), Ok(()));
        let dearer = TokenTerms { unit_price: Usdc(100_000), ..terms.clone() };
        let other = TokenTerms { token: examples::PAYER, ..terms.clone() };
        assert!(check(&dearer, examples::ASSET, 84_532).unwrap_err().contains("price"));
        assert!(check(&other, examples::ASSET, 84_532).is_err());
        assert!(check(&terms, examples::PAYER, 84_532).unwrap_err().contains("asset"));
        assert!(check(&terms, examples::ASSET, 8_453).is_err());
    }
}
