//! People with money.

use crate::buyer::Buyer;
use crate::stack::Stack;
use crate::watch::eventually;
use alloy::sol_types::SolCall;
use alloy_primitives::{Bytes, U256};
use chain::abi::UsdcDouble;
use standalone::accounts;

impl Stack {
    /// Somebody new with `usdc` atomic USDC.
    pub async fn buyer(&self, usdc: u64) -> Buyer {
        self.buyers(1, usdc).await.remove(0)
    }

    /// Several of them, each with `usdc`. Who has halted the chain lets them in before.
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

    /// More money for somebody.
    pub async fn fund(&self, buyer: &Buyer, usdc: u64) {
        self.chain.transact(accounts::OWNER, self.shop.asset, funding(buyer, usdc)).await;
    }

    /// Like [`Self::fund`], without waiting for the block.
    pub async fn fund_soon(&self, buyer: &Buyer, usdc: u64) {
        self.chain.send(accounts::OWNER, self.shop.asset, funding(buyer, usdc)).await;
    }
}

/// The call that gives `buyer` money: anybody may mint the double.
fn funding(buyer: &Buyer, usdc: u64) -> Bytes {
    UsdcDouble::mintCall { to: buyer.address, amount: U256::from(usdc) }.abi_encode().into()
}
