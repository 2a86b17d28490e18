//! The sender's own check of a payment before money moves, against its signature and the token's terms. That key, payee
//! and price agree with each other holds for every [`PaymentRequest`].

use chain::Asset;
use domain::{PaymentRequest, Purchase, TokenTerms};

/// The reason why a recorded request is not sent. Our api does not write such a request, so somebody else did. It is
/// parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forged {
    /// Another chain or asset than ours.
    OtherAsset,
    /// The price differs from the token's price.
    Price,
    /// The signature is not by the payer.
    Signature,
}

/// Checks `request` against the token's registered terms and its own signature.
///
/// # Errors
/// The first disagreement.
pub fn recheck(request: &PaymentRequest, terms: &TokenTerms, asset: &Asset, chain_id: u64) -> Result<(), Forged> {
    if request.chain_id != chain_id || request.asset != asset.address {
        return Err(Forged::OtherAsset);
    }
    let Purchase::Mint { token, unit_price, .. } = &request.purchase;
    if *token != terms.token || *unit_price != terms.unit_price {
        return Err(Forged::Price);
    }
    let separator = x402::domain_separator(&asset.name, &asset.version, chain_id, asset.address);
    match x402::verify_signature(&separator, &request.authorization, request.signature.as_slice()) {
        Ok(normalised) if normalised == request.signature.0 => Ok(()),
        Ok(_) | Err(_) => Err(Forged::Signature),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::request::Inconsistent;
    use domain::{Usdc, examples};

    fn asset() -> Asset {
        Asset { address: examples::ASSET, name: "USDC".to_owned(), version: "2".to_owned() }
    }

    /// B23, B25, B34 and B36 again, behind the API: a forged event moves no money.
    #[test]
    fn a_forged_request_is_not_sent() {
        let good = examples::request();
        let terms = examples::terms();
        let mut cheap = good.clone().into_fields();
        cheap.authorization.value = Usdc(1);
        let mut half_price = terms.clone();
        half_price.unit_price = Usdc(5_000);
        let check =
            |request: &PaymentRequest, terms: &TokenTerms, chain_id| recheck(request, terms, &asset(), chain_id);
        assert_eq!(PaymentRequest::new(cheap), Err(Inconsistent::Price), "no such request exists");
        assert_eq!(check(&good, &half_price, 84532), Err(Forged::Price));
        assert_eq!(check(&good, &terms, 8453), Err(Forged::OtherAsset));
        assert_eq!(check(&good, &terms, 84532), Err(Forged::Signature), "the example's signature is no signature");
    }
}
