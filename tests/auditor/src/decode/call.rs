//! Call data of what settles, mints, and puts money right: of a token directly, or of several through the hub.

use super::abi::{bytes, hashes, offset, word};
use super::x402::payment_key;
use alloy_primitives::{Address, B256, hex};

/// `settle(bytes32,uint256,bytes,bytes)`, `batchMint(bytes32[])`, `credit((address,bytes32,uint32,uint128)[])`,
/// `giveBack((address,bytes32,uint128)[])`, `refund(bytes32[])`, `run(bytes32,(address,uint64,bytes)[])`; a test
/// derives them.
const SETTLE: [u8; 4] = hex!("4f40813d");
const BATCH_MINT: [u8; 4] = hex!("9090580b");
const CREDIT: [u8; 4] = hex!("6e1dcbcc");
const GIVE_BACK: [u8; 4] = hex!("05e29995");
const REFUND: [u8; 4] = hex!("6023fda5");
const RUN: [u8; 4] = hex!("969971c8");

/// Bytes of one item of `settle`: from 20, value 8, validAfter 5, validBefore 5, nonce 32, r 32, vs 32. A longer
/// signature stands elsewhere in the call; the item is as long.
const ITEM: usize = 134;

/// The functions of a token that a lane calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Settle,
    Mint,
    Credit,
    GiveBack,
    Refund,
}

/// A payment, as a call names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Key(B256),
    /// Payer and nonce.
    By(Address, B256),
}

/// One call of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub token: Address,
    pub deed: Deed,
    /// In the order of the call.
    pub payments: Vec<Named>,
}

impl Deed {
    /// The purpose of the lanes that may call it.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Mint => "mint",
            Self::Credit | Self::GiveBack | Self::Refund => "operate",
        }
    }
}

impl Call {
    /// Keys of its payments on this chain.
    pub fn keys(&self, chain_id: u64, asset: Address) -> impl Iterator<Item = B256> {
        self.payments.iter().map(move |named| match *named {
            Named::Key(key) => key,
            Named::By(payer, nonce) => payment_key(chain_id, asset, payer, nonce),
        })
    }
}

/// The calls of tokens that a transaction to `to` makes, in their order; empty if it makes none that can be read.
pub fn calls(to: Address, input: &[u8], hub: Address) -> Vec<Call> {
    match input.split_first_chunk::<4>() {
        Some((&RUN, data)) if to == hub => segments(data).unwrap_or_default(),
        _ => one(to, input).into_iter().collect(),
    }
}

fn one(token: Address, input: &[u8]) -> Option<Call> {
    let (selector, data) = input.split_first_chunk::<4>()?;
    let keys = || Some(hashes(data, offset(data, 0)?)?.into_iter().map(Named::Key).collect());
    let (deed, payments) = match *selector {
        SETTLE => (Deed::Settle, items(data)?),
        BATCH_MINT => (Deed::Mint, keys()?),
        CREDIT => (Deed::Credit, rows(data, 4)?),
        GIVE_BACK => (Deed::GiveBack, rows(data, 3)?),
        REFUND => (Deed::Refund, keys()?),
        _ => return None,
    };
    Some(Call { token, deed, payments })
}

fn items(data: &[u8]) -> Option<Vec<Named>> {
    let items = bytes(data, offset(data, 64)?)?;
    items.len().is_multiple_of(ITEM).then_some(())?;
    let named = |item: &[u8]| {
        let payer = Address::try_from(item.get(..20)?).ok()?;
        Some(Named::By(payer, B256::try_from(item.get(38..70)?).ok()?))
    };
    items.chunks_exact(ITEM).map(named).collect()
}

/// An array of rows of `width` words, which begin with payer and nonce.
fn rows(data: &[u8], width: usize) -> Option<Vec<Named>> {
    let words = |rows: usize| rows.checked_mul(width)?.checked_mul(32);
    let at = offset(data, 0)?;
    let count = offset(data, at)?;
    let rows = data.get(at.checked_add(32)?..)?.get(..words(count)?)?;
    let named = |row: &[u8]| {
        let payer = Address::from_word(B256::from(word(row, 0)?));
        Some(Named::By(payer, B256::from(word(row, 32)?)))
    };
    rows.chunks_exact(words(1)?).map(named).collect()
}

/// `Hub.run`: an array of `(target, gas, data)`, each at its own offset behind the array's length.
fn segments(data: &[u8]) -> Option<Vec<Call>> {
    let at = offset(data, 32)?;
    let count = offset(data, at)?;
    let heads = data.get(at.checked_add(32)?..)?;
    let mut found = Vec::new();
    for n in 0..count {
        let segment = heads.get(offset(heads, n.checked_mul(32)?)?..)?;
        let target = Address::from_word(B256::from(word(segment, 0)?));
        found.extend(one(target, bytes(segment, offset(segment, 64)?)?));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::sol;
    use alloy::sol_types::SolCall;
    use alloy_primitives::{Bytes, U256};

    sol!(Hub, "../../contracts/artifacts/Hub.json");
    sol!(MintToken, "../../contracts/artifacts/MintToken.json");

    const HUB: Address = Address::repeat_byte(0xbb);

    fn settle(items: &[(u8, u8)]) -> Vec<u8> {
        let item = |(payer, nonce): &(u8, u8)| [vec![*payer; 20], vec![9; 18], vec![*nonce; 32], vec![8; 64]].concat();
        MintToken::settleCall {
            batchId: B256::repeat_byte(1),
            gasPerItem: U256::from(100_000),
            items: items.iter().flat_map(item).collect::<Vec<u8>>().into(),
            signatures: Bytes::from(vec![7; 100]),
        }
        .abi_encode()
    }

    fn settled(token: u8, items: &[(u8, u8)]) -> Call {
        let named = |(payer, nonce): &(u8, u8)| by(*payer, *nonce);
        Call { token: Address::repeat_byte(token), deed: Deed::Settle, payments: items.iter().map(named).collect() }
    }

    fn by(payer: u8, nonce: u8) -> Named {
        Named::By(Address::repeat_byte(payer), B256::repeat_byte(nonce))
    }

    #[test]
    fn calls_are_read_as_the_contracts_encode_them() {
        let token = Address::repeat_byte(1);
        assert_eq!(calls(token, &settle(&[(2, 3), (4, 5)]), HUB), [settled(1, &[(2, 3), (4, 5)])]);
        let keys = vec![B256::repeat_byte(6), B256::repeat_byte(7)];
        let mint = MintToken::batchMintCall { keys: keys.clone() }.abi_encode();
        let named: Vec<Named> = keys.iter().copied().map(Named::Key).collect();
        assert_eq!(calls(token, &mint, HUB), [Call { token, deed: Deed::Mint, payments: named.clone() }]);
        let refund = MintToken::refundCall { keys }.abi_encode();
        assert_eq!(calls(token, &refund, HUB), [Call { token, deed: Deed::Refund, payments: named }]);
        assert_eq!(calls(token, &MintToken::withdrawCall {}.abi_encode(), HUB), []);
        assert_eq!(calls(token, &[], HUB), []);
    }

    #[test]
    fn payments_that_went_around_the_token_are_named_by_payer_and_nonce() {
        let (token, nonce) = (Address::repeat_byte(1), B256::repeat_byte);
        let payments = vec![by(2, 3), by(4, 5)];
        let pays = [(2, 3), (4, 5)].map(|(payer, n)| (Address::repeat_byte(payer), nonce(n)));
        let credits = pays.map(|(payer, nonce)| MintToken::Credit { payer, nonce, units: 7, change: 8 });
        let credit = MintToken::creditCall { credits: credits.to_vec() }.abi_encode();
        let returns = pays.map(|(payer, nonce)| MintToken::GiveBack { payer, nonce, amount: 9 });
        let give_back = MintToken::giveBackCall { returns_: returns.to_vec() }.abi_encode();
        for (deed, input) in [(Deed::Credit, credit), (Deed::GiveBack, give_back)] {
            assert_eq!(calls(token, &input, HUB), [Call { token, deed, payments: payments.clone() }]);
            for length in 0..input.len() {
                assert_eq!(calls(token, &input[..length], HUB), [], "{deed:?}, {length} bytes");
            }
        }
        let call = Call { token, deed: Deed::Credit, payments: vec![by(2, 3), Named::Key(nonce(6))] };
        let key = payment_key(1, HUB, Address::repeat_byte(2), nonce(3));
        assert_eq!(call.keys(1, HUB).collect::<Vec<_>>(), [key, nonce(6)]);
    }

    #[test]
    fn every_call_through_the_hub_is_read_and_a_broken_one_is_none() {
        let segment = |target: u8, data: Vec<u8>| Hub::Segment {
            target: Address::repeat_byte(target),
            gas: 1_000_000,
            data: data.into(),
        };
        let strange = MintToken::withdrawCall {}.abi_encode();
        let segments = vec![segment(1, settle(&[(2, 3)])), segment(8, strange), segment(4, settle(&[(5, 6), (7, 8)]))];
        let run = Hub::runCall { batchId: B256::ZERO, segments }.abi_encode();
        assert_eq!(calls(HUB, &run, HUB), [settled(1, &[(2, 3)]), settled(4, &[(5, 6), (7, 8)])]);
        assert_eq!(calls(Address::repeat_byte(9), &run, HUB), [], "another contract's call of the same form");
        let cut = &run[..run.len() - 200];
        assert_eq!(calls(HUB, cut, HUB), []);
    }
}
