//! Tokens beside the demo token.

use crate::servers::mine_fast;
use crate::stack::Stack;
use alloy_primitives::Address;
use dev_chain::NewToken;
use domain::TokenTerms;
use ledger::Ledger;
use standalone::accounts::OWNER;
use standalone::{Shop, shop};

impl Stack {
    /// A token with only ten units. A later buyer is refused and never charged.
    pub async fn rare_token(&self) -> TokenTerms {
        self.another_token("RARE", 10).await
    }

    /// Creates and registers `count` tokens of `units` units each. Blocks come quickly meanwhile.
    pub async fn tokens_of_few(&self, count: usize, units: u64) -> Vec<TokenTerms> {
        let create = async {
            let mut tokens = Vec::with_capacity(count);
            for nth in 0..count {
                tokens.push(self.another_token(&format!("FEW{nth}"), units).await);
            }
            tokens
        };
        tokio::select! {
            tokens = create => tokens,
            () = mine_fast(&self.chain) => unreachable!("mining goes on"),
        }
    }

    /// Creates and registers a token that differs from the demo token in its symbol and in the number of its units.
    pub async fn another_token(&self, symbol: &str, max_units: u64) -> TokenTerms {
        let terms = self.unregistered_token(symbol, max_units).await;
        self.register(&terms).await;
        terms
    }

    /// Creates and registers a token like the demo token that earns for `creator`.
    pub async fn token_by(&self, creator: Address, symbol: &str) -> TokenTerms {
        let terms = self.create(NewToken { creator, symbol: symbol.to_owned(), ..shop::demo_token() }).await;
        self.register(&terms).await;
        terms
    }

    /// Like [`Stack::another_token`], but no service knows the token yet.
    pub async fn unregistered_token(&self, symbol: &str, max_units: u64) -> TokenTerms {
        self.create(NewToken { max_units, symbol: symbol.to_owned(), ..shop::demo_token() }).await
    }

    async fn create(&self, config: NewToken) -> TokenTerms {
        let chain = self.dev_chain().await;
        chain.create_token(OWNER, self.shop.factory, self.shop.asset, config).await.unwrap()
    }

    /// Registers a token in the ledger.
    pub async fn register(&self, terms: &TokenTerms) {
        let ledger = Ledger::connect(&Shop::ledger(&self.servers), "/paymint/standalone").await.unwrap();
        shop::register(&ledger, terms).await.unwrap();
    }
}
