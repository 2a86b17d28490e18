//! Wrongs done to the chain for real: anvil's unlocked and impersonated accounts, its storage and its code.

use crate::controls::bench::Bench;
use alloy::sol_types::SolCall;
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use chain::abi::{MintToken, TokenFactory, UsdcDouble};
use harness::{DOLLAR, Payment, Stack};
use serde_json::json;
use standalone::accounts::OWNER;

/// Slot of `_used` in UsdcDouble: after paused, totalSupply, _accounts and allowance.
const USED_SLOT: u64 = 4;

/// Three logs, all of their topics and the last one's data from the call data: `(topic, topic, topic)`, the same again,
/// and `(topic, topic, topic, word)`.
const EMITTER: &str =
    "0x60403560203560003560006000a360a03560803560603560006000a3610120356000526101003560e03560c03560206000a300";

/// One hand on the chain.
pub struct Tamper<'a> {
    pub stack: &'a Stack,
    pub bench: &'a Bench,
}

impl Tamper<'_> {
    /// Remembers the chain; what is done afterwards is undone by [`Tamper::undo`].
    pub async fn remember(&self) -> String {
        self.stack.chain.rpc("evm_snapshot", json!([])).await.as_str().unwrap().to_owned()
    }

    pub async fn undo(&self, snapshot: String) {
        let undone = self.stack.chain.rpc("evm_revert", json!([snapshot])).await;
        assert_eq!(undone, true);
    }

    /// A transaction of an unlocked account, mined.
    pub async fn transact(&self, from: Address, to: Address, input: Vec<u8>) {
        self.bench.mining(self.stack.chain.transact(from, to, input.into())).await;
    }

    /// Mints a unit of the demo token for `keys` to `to`, by a minter that is no relayer, and for money that came by
    /// itself: the contract alone would refuse it.
    pub async fn mint(&self, to: Address, keys: &[B256]) {
        let token = self.stack.shop.token.token;
        let allow = TokenFactory::setMinterCall { account: OWNER, allowed: true }.abi_encode();
        self.transact(OWNER, self.stack.shop.factory, allow).await;
        self.gift(token).await;
        let (to, quantities) = (vec![to; keys.len()], vec![1; keys.len()]);
        let mint = MintToken::batchMintCall { to, quantities, paymentKeys: keys.to_vec() }.abi_encode();
        let before = self.stack.chain.supply_of(token).await;
        self.transact(OWNER, token, mint).await;
        assert!(self.stack.chain.supply_of(token).await > before, "the contract has minted");
    }

    /// A dollar for `account` that no payment brought.
    pub async fn gift(&self, account: Address) {
        let gift = UsdcDouble::mintCall { to: account, amount: U256::from(DOLLAR) }.abi_encode();
        self.transact(OWNER, self.stack.shop.asset, gift).await;
    }

    /// `account` sends a cent of the asset away, whoever holds its key.
    pub async fn spend(&self, account: Address) {
        for (method, params) in [
            ("anvil_impersonateAccount", json!([account])),
            ("anvil_setBalance", json!([account, "0xde0b6b3a7640000"])),
        ] {
            self.stack.chain.rpc(method, params).await;
        }
        let spend = UsdcDouble::transferCall { to: OWNER, value: U256::from(DOLLAR / 100) }.abi_encode();
        self.transact(account, self.stack.shop.asset, spend).await;
    }

    /// Somebody submits a payment that the API may never have seen.
    pub async fn submit(&self, payment: &Payment) {
        self.transact(OWNER, self.stack.shop.asset, payment.transfer.call().to_vec()).await;
    }

    /// The asset itself lies: it says that two nonces of `payer` were used, and tells of one transfer.
    pub async fn one_transfer_for_two(&self, payer: Address, nonces: [B256; 2], value: u64) {
        let (chain, asset) = (&self.stack.chain, self.stack.shop.asset);
        let code = chain.rpc("eth_getCode", json!([asset, "latest"])).await;
        chain.rpc("anvil_setCode", json!([asset, EMITTER])).await;
        let used = keccak256("AuthorizationUsed(address,bytes32)");
        let transfer = keccak256("Transfer(address,address,uint256)");
        let words = [
            [used, payer.into_word(), nonces[0]],
            [used, payer.into_word(), nonces[1]],
            [transfer, payer.into_word(), self.stack.shop.token.token.into_word()],
        ];
        let mut input = words.concat().concat();
        input.extend(U256::from(value).to_be_bytes::<32>());
        self.transact(OWNER, asset, input).await;
        chain.rpc("anvil_setCode", json!([asset, code])).await;
    }

    /// The token's unit is a millionth of a millionth of what it was.
    pub async fn other_decimals(&self) {
        let (chain, token) = (&self.stack.chain, &self.stack.shop.token);
        let code = chain.rpc("eth_getCode", json!([token.token, "latest"])).await;
        let unit = |unit: u128| hex::encode(unit.to_be_bytes());
        let altered = code.as_str().unwrap().replace(&unit(token.unit), &unit(token.unit / 1_000_000_000_000));
        assert_ne!(altered, code);
        chain.rpc("anvil_setCode", json!([token.token, altered])).await;
    }

    /// The asset forgets that a nonce was used or cancelled.
    pub async fn forget(&self, payer: Address, nonce: B256) {
        let outer = keccak256([payer.into_word(), B256::from(U256::from(USED_SLOT))].concat());
        let slot = keccak256([nonce, outer].concat());
        let params = json!([self.stack.shop.asset, slot, B256::ZERO]);
        self.stack.chain.rpc("anvil_setStorageAt", params).await;
    }

    /// A transaction with a relayer's key that no service sent.
    pub async fn foreign(&self, relayer: Address) {
        self.transact(relayer, OWNER, Bytes::new().to_vec()).await;
    }
}
