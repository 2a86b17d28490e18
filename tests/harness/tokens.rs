//! Tokens beside the demo token.

use crate::stack::Stack;
use alloy_primitives::B256;
use dev_chain::{DevChain, NewToken};
use domain::{PaymentKey, TokenTerms};
use ledger::Ledger;
use standalone::accounts::OWNER;
use standalone::{Shop, shop};

impl Stack {
    /// A token with only ten units. A later buyer is charged, and the mint is parked.
    pub async fn rare_token(&self) -> TokenTerms {
        let config = NewToken { max_units: 10, symbol: "RARE".to_owned(), ..shop::demo_token() };
        let chain = DevChain::connect(&self.servers.anvil.rpc_url()).await.unwrap();
        let key = PaymentKey(B256::repeat_byte(1));
        let terms = chain.create_token(OWNER, self.shop.factory, self.shop.asset, key, config).await.unwrap();
        let ledger = Ledger::connect(&Shop::ledger(&self.servers), "/paymint/standalone").await.unwrap();
        shop::register(&ledger, &terms).await.unwrap();
        terms
    }
}
