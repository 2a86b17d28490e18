//! Logs and calls of the contracts, decoded by hand from contracts/src.

use crate::evidence::chain::Log;
use alloy_primitives::{Address, B256, U256, hex, keccak256};
use std::sync::LazyLock;

/// `decimals()`, `unit()`, `price()`, `asset()`, `totalSupply()`; a test derives them.
pub const DECIMALS: [u8; 4] = hex!("313ce567");
pub const UNIT: [u8; 4] = hex!("907af6c0");
pub const PRICE: [u8; 4] = hex!("a035b1fe");
pub const ASSET: [u8; 4] = hex!("38d52e0f");
pub const TOTAL_SUPPLY: [u8; 4] = hex!("18160ddd");
const BALANCE_OF: [u8; 4] = hex!("70a08231");

/// Topics, by what is hashed.
static TRANSFER: LazyLock<B256> = LazyLock::new(|| keccak256("Transfer(address,address,uint256)"));
static USED: LazyLock<B256> = LazyLock::new(|| keccak256("AuthorizationUsed(address,bytes32)"));
static CANCELED: LazyLock<B256> = LazyLock::new(|| keccak256("AuthorizationCanceled(address,bytes32)"));
static MINT_BATCH: LazyLock<B256> = LazyLock::new(|| keccak256("MintBatch(bytes32[],bytes)"));
static REFUNDED: LazyLock<B256> = LazyLock::new(|| keccak256("Refunded(bytes32,address,uint256)"));
static WITHDRAWN: LazyLock<B256> = LazyLock::new(|| keccak256("Withdrawn(address,uint256)"));
static CREATED: LazyLock<B256> = LazyLock::new(|| {
    keccak256("TokenCreated(address,address,bytes32,bytes32,(string,string,uint128,uint64,uint64,address))")
});

/// The meaning of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Transfer { from: Address, to: Address, value: U256 },
    Used { from: Address, nonce: B256 },
    Canceled { from: Address, nonce: B256 },
    MintBatch(Vec<(B256, u8)>),
    Refunded { key: B256, payer: Address, amount: U256 },
    Withdrawn { amount: U256 },
}

/// The meaning of `log`, if it is one of ours and well-formed.
pub fn said(log: &Log) -> Option<Said> {
    let topic = log.topics.first()?;
    let address = |at: usize| log.topics.get(at).map(|word| Address::from_word(*word));
    let nonce = |at: usize| log.topics.get(at).copied();
    if *topic == *TRANSFER {
        Some(Said::Transfer { from: address(1)?, to: address(2)?, value: word(&log.data, 0)? })
    } else if *topic == *USED {
        Some(Said::Used { from: address(1)?, nonce: nonce(2)? })
    } else if *topic == *CANCELED {
        Some(Said::Canceled { from: address(1)?, nonce: nonce(2)? })
    } else if *topic == *MINT_BATCH {
        batch(&log.data).map(Said::MintBatch)
    } else if *topic == *REFUNDED {
        Some(Said::Refunded { key: nonce(1)?, payer: address(2)?, amount: word(&log.data, 0)? })
    } else if *topic == *WITHDRAWN {
        Some(Said::Withdrawn { amount: word(&log.data, 0)? })
    } else {
        None
    }
}

/// Tokens that `factory` made.
pub fn created(logs: &[Log], factory: Address) -> Vec<Address> {
    let of_factory = logs.iter().filter(|log| log.address == factory && log.topics.first() == Some(&*CREATED));
    of_factory.filter_map(|log| log.topics.get(1)).map(|word| Address::from_word(*word)).collect()
}

/// The recipient of a mint, if the log is a transfer from the zero address.
pub fn minted_to(log: &Log) -> Option<Address> {
    match said(log) {
        Some(Said::Transfer { from: Address::ZERO, to, .. }) => Some(to),
        _ => None,
    }
}

/// Call data of `balanceOf`.
pub fn balance_of(account: Address) -> Vec<u8> {
    [BALANCE_OF.as_slice(), account.into_word().as_slice()].concat()
}

/// `abi.encode(bytes32[], bytes)`: two offsets, each with a length; as many result bytes as keys.
fn batch(data: &[u8]) -> Option<Vec<(B256, u8)>> {
    let (keys_at, results_at) = (offset(data, 0)?, offset(data, 32)?);
    let (keys, results) = (offset(data, keys_at)?, offset(data, results_at)?);
    if keys != results {
        return None;
    }
    (0..keys)
        .map(|n| {
            let at = keys_at.checked_add(32)?.checked_add(n.checked_mul(32)?)?;
            let key = data.get(at..at.checked_add(32)?)?;
            let result = data.get(results_at.checked_add(32)?.checked_add(n)?)?;
            Some((B256::from_slice(key), *result))
        })
        .collect()
}

fn word(data: &[u8], at: usize) -> Option<U256> {
    data.get(at..at.checked_add(32)?).map(U256::from_be_slice)
}

fn offset(data: &[u8], at: usize) -> Option<usize> {
    word(data, at)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_those_of_the_signatures() {
        for (selector, signature) in [
            (DECIMALS, "decimals()"),
            (UNIT, "unit()"),
            (PRICE, "price()"),
            (ASSET, "asset()"),
            (TOTAL_SUPPLY, "totalSupply()"),
            (BALANCE_OF, "balanceOf(address)"),
        ] {
            assert_eq!(
                selector,
                keccak256(signature)[..4],
                "{signature} is {}",
                hex::encode(&keccak256(signature)[..4])
            );
        }
    }

    #[test]
    fn a_batch_is_read_item_by_item_and_a_broken_one_not_at_all() {
        let mut data = Vec::new();
        for number in [64_u64, 160, 2] {
            data.extend(U256::from(number).to_be_bytes::<32>());
        }
        data.extend(B256::repeat_byte(7));
        data.extend(B256::repeat_byte(8));
        data.extend(U256::from(2).to_be_bytes::<32>());
        data.extend([0, 5]);
        let read = batch(&data).unwrap();
        assert_eq!(read, vec![(B256::repeat_byte(7), 0), (B256::repeat_byte(8), 5)]);
        for length in 0..data.len() {
            assert_eq!(batch(&data[..length]), None, "{length} bytes");
        }
    }
}
