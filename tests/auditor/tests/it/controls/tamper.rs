//! Wrongs done to the chain for real: anvil's unlocked and impersonated accounts, its storage and its code.

use crate::controls::bench::Bench;
use crate::controls::strangers;
use alloy::sol_types::SolCall;
use alloy_primitives::{Address, B256, Bytes, U64, U256, hex, keccak256};
use chain::abi::UsdcDouble;
use harness::{DOLLAR, Payment, Stack};
use serde_json::json;
use standalone::accounts::OWNER;

/// Slot of `_used` in UsdcDouble: after paused, totalSupply, _accounts and allowance.
const USED_SLOT: u64 = 4;

/// Slots of a token: counts (units minted 64 | open 64 | withdrawn 128, the first in the lowest bits), and `_records`.
const COUNTS_SLOT: u64 = 0;
const RECORDS_SLOT: u64 = 2;

/// Says to every question that it is so, to every balance that it is enormous, and moves nothing.
const YES: &str = "0x5f3560e01c6370a082311460c81b6001175f5260205ff3";

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

    /// Has units minted, by an account that is no relayer.
    pub async fn mint(&self, keys: &[B256]) {
        let token = self.stack.shop.token.token;
        let before = self.stack.chain.supply_of(token).await;
        self.transact(OWNER, token, strangers::mint_call(keys).to_vec()).await;
        assert!(self.stack.chain.supply_of(token).await > before, "the contract has minted");
    }

    /// Somebody settles a payment that the API has never seen.
    pub async fn settle(&self, payment: &Payment) {
        self.transact(OWNER, payment.terms.token, payment.settle_call().to_vec()).await;
    }

    /// Writes a record that no payment made: one unit for this payer, open.
    pub async fn forge(&self, payer: Address, key: B256) {
        let now = self.stack.chain.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
        let now: U64 = serde_json::from_value(now["timestamp"].clone()).unwrap();
        let payer = U256::from_be_slice(payer.as_slice()) << 96_usize;
        let word = payer | U256::ONE << 64_usize | U256::from(now) << 24_usize | U256::ONE;
        self.write(record_slot(key), word).await;
        self.open_one_more().await;
    }

    /// Changes what the token has recorded.
    pub async fn rewrite(&self, key: B256, change: impl FnOnce(U256) -> U256) {
        let word = self.read(record_slot(key)).await;
        assert!(!word.is_zero(), "the token has a record of {key}");
        self.write(record_slot(key), change(word)).await;
    }

    /// Counts one more unit as open.
    pub async fn open_one_more(&self) {
        let counts = self.read(B256::from(U256::from(COUNTS_SLOT))).await;
        self.write(B256::from(U256::from(COUNTS_SLOT)), counts + (U256::ONE << 64_usize)).await;
    }

    async fn read(&self, slot: B256) -> U256 {
        let params = json!([self.stack.shop.token.token, slot, "latest"]);
        serde_json::from_value(self.stack.chain.rpc("eth_getStorageAt", params).await).unwrap()
    }

    async fn write(&self, slot: B256, word: U256) {
        let params = json!([self.stack.shop.token.token, slot, B256::from(word)]);
        self.stack.chain.rpc("anvil_setStorageAt", params).await;
    }

    /// The asset moves nothing, and says yes to everything, while `doing` runs.
    pub async fn without_money(&self, doing: impl Future<Output = ()>) {
        let (chain, asset) = (&self.stack.chain, self.stack.shop.asset);
        let code = chain.rpc("eth_getCode", json!([asset, "latest"])).await;
        chain.rpc("anvil_setCode", json!([asset, YES])).await;
        doing.await;
        chain.rpc("anvil_setCode", json!([asset, code])).await;
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

    /// Somebody submits a payment to the asset directly.
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
        let unit = self.stack.shop.token.unit;
        self.other_terms(unit / 1_000_000_000_000, self.stack.shop.token.max_units).await;
    }

    /// The token may sell a single unit.
    pub async fn other_limit(&self) {
        self.other_terms(self.stack.shop.token.unit, 1).await;
    }

    /// The terms of the token are part of its code.
    async fn other_terms(&self, unit: u128, max_units: u64) {
        let (chain, token) = (&self.stack.chain, &self.stack.shop.token);
        let code = chain.rpc("eth_getCode", json!([token.token, "latest"])).await;
        let terms = |unit: u128, max: u64| hex::encode(unit.to_be_bytes()) + &hex::encode(max.to_be_bytes());
        let altered = code.as_str().unwrap().replace(&terms(token.unit, token.max_units), &terms(unit, max_units));
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

    /// Settles a payment with a relayer's key, and no service did that.
    pub async fn settle_as(&self, relayer: Address, payment: &Payment) {
        self.transact(relayer, payment.terms.token, payment.settle_call().to_vec()).await;
    }

    /// A transaction with a relayer's key that no service sent.
    pub async fn foreign(&self, relayer: Address) {
        self.transact(relayer, OWNER, Bytes::new().to_vec()).await;
    }
}

/// Where a token has its record of a key.
fn record_slot(key: B256) -> B256 {
    keccak256([key, B256::from(U256::from(RECORDS_SLOT))].concat())
}
