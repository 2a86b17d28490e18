//! Tokens at the head: their terms, their counts, and their records of payments.

use super::rpc::Rpc;
use crate::CannotAudit;
use crate::decode::abi;
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Requests under way.
const IN_FLIGHT: usize = 16;

/// Keys in one call of `recordsOf`: half a million gas, far below what nodes allow.
const PAGE: usize = 200;

/// A token's own state at the head.
#[derive(Clone, Debug, Default)]
pub struct TokenState {
    pub unit: U256,
    pub max_units: U256,
    pub price: U256,
    pub asset: U256,
    pub supply: U256,
    /// Units minted so far, and units that are paid for and neither minted nor refunded.
    pub units_minted: U256,
    pub open: U256,
    /// Atomic units of the asset that belong to no record, and those that are owed to the treasury.
    pub surplus: U256,
    pub fee_owed: U256,
    /// Balances of all recipients and payers.
    pub balances: BTreeMap<Address, U256>,
    /// Records of the keys that are known from anywhere; a key without a record is not there.
    pub records: BTreeMap<B256, Record>,
}

/// A payment as its token recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub payer: Address,
    pub units: U256,
    /// Unix seconds.
    pub paid_at: u64,
    pub state: RecordState,
}

/// The state of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// Paid, and nothing else yet.
    Open,
    Minted,
    Refunded,
    /// Returned without having been recorded before.
    GivenBack,
    /// No state that the contract has.
    Strange,
}

impl Record {
    /// Reads `payer 160 | units 32 | paidAt 40 | unused 16 | state 8`. `None` if there is no record.
    pub fn of(word: U256) -> Option<Self> {
        let low = |shift: usize, mask: u64| (word >> shift).as_limbs()[0] & mask;
        (!word.is_zero()).then(|| Self {
            payer: Address::from_slice(&word.to_be_bytes::<32>()[..20]),
            units: U256::from(low(64, 0xffff_ffff)),
            paid_at: low(24, 0xff_ffff_ffff),
            state: match low(0, 0xff_ffff) {
                1 => RecordState::Open,
                2 => RecordState::Minted,
                3 => RecordState::Refunded,
                4 => RecordState::GivenBack,
                _ => RecordState::Strange,
            },
        })
    }
}

/// Reads one token, after the block `at`.
pub async fn read(
    rpc: &Rpc,
    token: Address,
    holders: &BTreeSet<Address>,
    keys: &BTreeSet<B256>,
    at: &str,
) -> Result<TokenState, CannotAudit> {
    let get = |selector: [u8; 4]| word(rpc, token, selector.to_vec(), at);
    Ok(TokenState {
        unit: get(abi::UNIT).await?,
        max_units: get(abi::MAX_UNITS).await?,
        price: get(abi::PRICE).await?,
        asset: get(abi::ASSET).await?,
        supply: get(abi::TOTAL_SUPPLY).await?,
        units_minted: get(abi::UNITS_MINTED).await?,
        open: get(abi::OPEN).await?,
        surplus: get(abi::SURPLUS).await?,
        fee_owed: get(abi::FEE_OWED).await?,
        balances: balances(rpc, token, holders.iter().copied(), at).await?,
        records: records(rpc, token, keys, at).await?,
    })
}

async fn records(
    rpc: &Rpc,
    token: Address,
    keys: &BTreeSet<B256>,
    at: &str,
) -> Result<BTreeMap<B256, Record>, CannotAudit> {
    let keys: Vec<B256> = keys.iter().copied().collect();
    let mut records = BTreeMap::new();
    for page in keys.chunks(PAGE) {
        let answer = call(rpc, token, abi::records_of(page), at).await?;
        // Where there is no contract, nothing answers, and nothing is recorded.
        if answer.is_empty() {
            continue;
        }
        let words = abi::words(&answer, page.len()).ok_or_else(|| {
            CannotAudit(format!("recordsOf {token}: {} bytes that are no list of words", answer.len()))
        })?;
        records.extend(page.iter().zip(words).filter_map(|(key, word)| Some((*key, Record::of(word)?))));
    }
    Ok(records)
}

/// Balances of `accounts`, as a contract tells them.
pub async fn balances(
    rpc: &Rpc,
    of: Address,
    accounts: impl Iterator<Item = Address>,
    at: &str,
) -> Result<BTreeMap<Address, U256>, CannotAudit> {
    let each = futures_util::stream::iter(accounts)
        .map(|account| async move { Ok((account, word(rpc, of, abi::balance_of(account), at).await?)) });
    each.buffered(IN_FLIGHT).try_collect().await
}

/// The first word that a call answers with; zero where nothing answers.
pub async fn word(rpc: &Rpc, to: Address, input: Vec<u8>, at: &str) -> Result<U256, CannotAudit> {
    let answer = call(rpc, to, input, at).await?;
    Ok(answer.get(..32).map(U256::from_be_slice).unwrap_or_default())
}

async fn call(rpc: &Rpc, to: Address, input: Vec<u8>, at: &str) -> Result<Bytes, CannotAudit> {
    rpc.call("eth_call", json!([{ "to": to, "input": hex::encode_prefixed(input) }, at])).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::uint;

    #[test]
    fn a_record_is_read_as_the_contract_packs_it() {
        let word = uint!(0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_00000007_006b49d200_0000_00_U256);
        let state = |state: u64| Record::of(word | U256::from(state)).unwrap();
        let open = state(1);
        assert_eq!((open.payer, open.units, open.paid_at), (Address::repeat_byte(0xaa), U256::from(7), 1_800_000_000));
        let states = [1, 2, 3, 4, 5, 0x101].map(|number| state(number).state);
        use RecordState::{GivenBack, Minted, Open, Refunded, Strange};
        assert_eq!(states, [Open, Minted, Refunded, GivenBack, Strange, Strange]);
        assert_eq!(Record::of(U256::ZERO), None);
    }
}
