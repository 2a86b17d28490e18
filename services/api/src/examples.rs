//! Examples for the description: the example order of `domain::examples`, requested at a reserved address.

use domain::examples as domain_examples;
use x402::{Network, Offer};

/// URL of the service in the examples.
const PUBLIC_URL: &str = "https://mint.example.com";

/// Ten units of the example token on Base Sepolia.
pub(crate) fn offer() -> Offer {
    let terms = domain_examples::terms();
    Offer {
        network: Network::from_chain_id(terms.chain_id),
        asset: terms.asset,
        asset_name: "USDC".to_owned(),
        asset_version: "2".to_owned(),
        pay_to: terms.token,
        amount: 100_000,
        max_timeout_s: 900,
        resource_url: format!("{PUBLIC_URL}/api/mint/{}", terms.token),
        description: format!("10 x {}", terms.symbol),
        mime_type: "application/json".to_owned(),
        payment_identifier: true,
    }
}
