//! Payers with money.

use crate::buyer::Buyer;
use crate::stack::Stack;
use alloy::sol_types::SolCall;
use alloy_primitives::{Bytes, U256};
use chain::abi::UsdcDouble;
use standalone::accounts;
use testkit::eventually;

impl Stack {
    /// A new payer with `usdc` atomic USDC.
    pub async fn buyer(&self, usdc: u64) -> Buyer {
        self.buyers(1, usdc).await.remove(0)
    }

    /// Several new payers, each with `usdc`. A story that halts the chain must create them before.
    pub async fn buyers(&self, count: usize, usdc: u64) -> Vec<Buyer> {
        let buyers: Vec<Buyer> = (0..count).map(|_| Buyer::new()).collect();
        let mut last = None;
        for buyer in &buyers {
            last = Some(self.chain.send(accounts::OWNER, self.shop.asset, funding(buyer, usdc)).await);
        }
        if let Some(last) = last {
            let funded = async || self.chain.receipt(last).await.filter(|receipt| receipt.status());
            eventually("the buyers' money", funded).await;
        }
        buyers
    }

    /// Gives a payer more money.
    pub async fn fund(&self, buyer: &Buyer, usdc: u64) {
        self.chain.transact(accounts::OWNER, self.shop.asset, funding(buyer, usdc)).await;
    }

    /// Like [`Self::fund`], without waiting for the block.
    pub async fn fund_soon(&self, buyer: &Buyer, usdc: u64) {
        self.chain.send(accounts::OWNER, self.shop.asset, funding(buyer, usdc)).await;
    }
}

/// The call that gives `buyer` money. Anybody may mint the test double of USDC.
fn funding(buyer: &Buyer, usdc: u64) -> Bytes {
    UsdcDouble::mintCall { to: buyer.address, amount: U256::from(usdc) }.abi_encode().into()
}
