//! Call data of what settles and mints: of a token directly, or of several through the hub.

use super::abi::{bytes, hashes, offset, word};
use alloy_primitives::{Address, B256, hex};

/// `settle(bytes32,uint256,bytes,bytes)`, `batchMint(bytes32[])`, `run(bytes32,(address,uint64,bytes)[])`; a test
/// derives them.
const SETTLE: [u8; 4] = hex!("4f40813d");
const BATCH_MINT: [u8; 4] = hex!("9090580b");
const RUN: [u8; 4] = hex!("969971c8");

/// Bytes of one item of `settle`: from 20, value 8, validAfter 5, validBefore 5, nonce 32, r 32, vs 32. A longer
/// signature stands elsewhere in the call; the item is as long.
const ITEM: usize = 134;

/// One call of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Payer and nonce of every item.
    Settle {
        token: Address,
        items: Vec<(Address, B256)>,
    },
    Mint {
        token: Address,
        keys: Vec<B256>,
    },
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
    match *selector {
        SETTLE => {
            let items = bytes(data, offset(data, 64)?)?;
            items.len().is_multiple_of(ITEM).then_some(())?;
            let items = items.chunks_exact(ITEM).map(|item| {
                let payer = Address::try_from(item.get(..20)?).ok()?;
                Some((payer, B256::try_from(item.get(38..70)?).ok()?))
            });
            Some(Call::Settle { token, items: items.collect::<Option<_>>()? })
        }
        BATCH_MINT => Some(Call::Mint { token, keys: hashes(data, offset(data, 0)?)? }),
        _ => None,
    }
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
        let items = items.iter().map(|(payer, nonce)| (Address::repeat_byte(*payer), B256::repeat_byte(*nonce)));
        Call::Settle { token: Address::repeat_byte(token), items: items.collect() }
    }

    #[test]
    fn calls_are_read_as_the_contracts_encode_them() {
        let token = Address::repeat_byte(1);
        assert_eq!(calls(token, &settle(&[(2, 3), (4, 5)]), HUB), [settled(1, &[(2, 3), (4, 5)])]);
        let keys = vec![B256::repeat_byte(6), B256::repeat_byte(7)];
        let mint = MintToken::batchMintCall { keys: keys.clone() }.abi_encode();
        assert_eq!(calls(token, &mint, HUB), [Call::Mint { token, keys }]);
        assert_eq!(calls(token, &MintToken::withdrawCall {}.abi_encode(), HUB), []);
        assert_eq!(calls(token, &[], HUB), []);
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
