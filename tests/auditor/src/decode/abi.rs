//! Logs and words of the contracts, decoded by hand from contracts/src.

use crate::evidence::chain::Log;
use alloy_primitives::{Address, B256, U256, hex, keccak256};
use std::sync::LazyLock;

/// Getters of the contracts; a test derives the selectors.
pub const DECIMALS: [u8; 4] = hex!("313ce567");
pub const UNIT: [u8; 4] = hex!("907af6c0");
pub const MAX_UNITS: [u8; 4] = hex!("06517a29");
pub const PRICE: [u8; 4] = hex!("a035b1fe");
pub const ASSET: [u8; 4] = hex!("38d52e0f");
pub const TOTAL_SUPPLY: [u8; 4] = hex!("18160ddd");
pub const UNITS_MINTED: [u8; 4] = hex!("f8eabc9d");
pub const OPEN: [u8; 4] = hex!("fcfff16f");
pub const SURPLUS: [u8; 4] = hex!("13888565");
pub const FEE_OWED: [u8; 4] = hex!("1098894b");
const BALANCE_OF: [u8; 4] = hex!("70a08231");
const RECORDS_OF: [u8; 4] = hex!("d2d2e00b");

/// Topics, by the signature that is hashed.
static TRANSFER: LazyLock<B256> = LazyLock::new(|| keccak256("Transfer(address,address,uint256)"));
static USED: LazyLock<B256> = LazyLock::new(|| keccak256("AuthorizationUsed(address,bytes32)"));
static CANCELED: LazyLock<B256> = LazyLock::new(|| keccak256("AuthorizationCanceled(address,bytes32)"));
static BATCH: LazyLock<B256> = LazyLock::new(|| keccak256("Batch(bytes32,bytes)"));
static MINT_BATCH: LazyLock<B256> = LazyLock::new(|| keccak256("MintBatch(bytes32[],bytes)"));
static REFUNDED: LazyLock<B256> = LazyLock::new(|| keccak256("Refunded(bytes32,address,uint256)"));
static CREDITED: LazyLock<B256> = LazyLock::new(|| keccak256("Credited(bytes32,address,uint256,uint256)"));
static GIVEN_BACK: LazyLock<B256> = LazyLock::new(|| keccak256("GivenBack(bytes32,address,uint256)"));
static WITHDRAWN: LazyLock<B256> = LazyLock::new(|| keccak256("Withdrawn(address,address,uint256)"));
static FEE_OWED_LOG: LazyLock<B256> = LazyLock::new(|| keccak256("FeeOwed(uint256)"));
static FEE_SWEPT: LazyLock<B256> = LazyLock::new(|| keccak256("FeeSwept(address,uint256)"));
static TREASURY: LazyLock<B256> = LazyLock::new(|| keccak256("TreasurySet(address,uint256)"));
static CREATED: LazyLock<B256> = LazyLock::new(|| keccak256("TokenCreated(address,address,uint256,bytes32,bytes32)"));

/// The meaning of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Transfer {
        from: Address,
        to: Address,
        value: U256,
    },
    Used {
        from: Address,
        nonce: B256,
    },
    Canceled {
        from: Address,
        nonce: B256,
    },
    /// The end of a settlement.
    Batch,
    MintBatch(Vec<(B256, u8)>),
    Refunded {
        key: B256,
        payer: Address,
        amount: U256,
    },
    Credited {
        key: B256,
        payer: Address,
        units: U256,
        change: U256,
    },
    GivenBack {
        key: B256,
        payer: Address,
        amount: U256,
    },
    Withdrawn {
        to: Address,
        amount: U256,
    },
    FeeOwed {
        amount: U256,
    },
    FeeSwept {
        treasury: Address,
        amount: U256,
    },
    Treasury(Address),
    Created {
        token: Address,
        fee: U256,
    },
}

/// The meaning of `log`, if it is one of ours and well-formed.
pub fn said(log: &Log) -> Option<Said> {
    let topic = log.topics.first()?;
    let address = |at: usize| log.topics.get(at).map(|word| Address::from_word(*word));
    let hash = |at: usize| log.topics.get(at).copied();
    let amount = |at: usize| word(&log.data, at);
    if *topic == *TRANSFER {
        Some(Said::Transfer { from: address(1)?, to: address(2)?, value: amount(0)? })
    } else if *topic == *USED {
        Some(Said::Used { from: address(1)?, nonce: hash(2)? })
    } else if *topic == *CANCELED {
        Some(Said::Canceled { from: address(1)?, nonce: hash(2)? })
    } else if *topic == *BATCH {
        Some(Said::Batch)
    } else if *topic == *MINT_BATCH {
        batch(&log.data).map(Said::MintBatch)
    } else if *topic == *REFUNDED {
        Some(Said::Refunded { key: hash(1)?, payer: address(2)?, amount: amount(0)? })
    } else if *topic == *CREDITED {
        Some(Said::Credited { key: hash(1)?, payer: address(2)?, units: amount(0)?, change: amount(32)? })
    } else if *topic == *GIVEN_BACK {
        Some(Said::GivenBack { key: hash(1)?, payer: address(2)?, amount: amount(0)? })
    } else if *topic == *WITHDRAWN {
        Some(Said::Withdrawn { to: address(2)?, amount: amount(0)? })
    } else if *topic == *FEE_OWED_LOG {
        Some(Said::FeeOwed { amount: amount(0)? })
    } else if *topic == *FEE_SWEPT {
        Some(Said::FeeSwept { treasury: address(1)?, amount: amount(0)? })
    } else if *topic == *TREASURY {
        Some(Said::Treasury(address(1)?))
    } else if *topic == *CREATED {
        Some(Said::Created { token: address(1)?, fee: amount(0)? })
    } else {
        None
    }
}

/// Tokens that `factory` made.
pub fn created(logs: &[Log], factory: Address) -> Vec<Address> {
    let of_factory = logs.iter().filter(|log| log.address == factory);
    of_factory.filter_map(|log| if let Said::Created { token, .. } = said(log)? { Some(token) } else { None }).collect()
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

/// Call data of `recordsOf`.
pub fn records_of(keys: &[B256]) -> Vec<u8> {
    let head = [U256::from(32), U256::from(keys.len())].map(|number| number.to_be_bytes::<32>());
    [&RECORDS_OF[..], head.as_flattened(), keys.concat().as_slice()].concat()
}

/// The words of an `abi.encode(uint256[])`, if there are `count` of them.
pub fn words(data: &[u8], count: usize) -> Option<Vec<U256>> {
    let at = offset(data, 0)?;
    (offset(data, at)? == count).then_some(())?;
    (1..=count).map(|n| word(data, at.checked_add(n.checked_mul(32)?)?)).collect()
}

/// `abi.encode(bytes32[], bytes)`: two offsets, each with a length; as many result bytes as keys.
fn batch(data: &[u8]) -> Option<Vec<(B256, u8)>> {
    let keys = hashes(data, offset(data, 0)?)?;
    let results = bytes(data, offset(data, 32)?)?;
    (keys.len() == results.len()).then(|| keys.into_iter().zip(results.iter().copied()).collect())
}

/// The `bytes32[]` whose length stands at `at`.
pub fn hashes(data: &[u8], at: usize) -> Option<Vec<B256>> {
    let count = offset(data, at)?;
    let begin = at.checked_add(32)?;
    let content = data.get(begin..begin.checked_add(count.checked_mul(32)?)?)?;
    Some(content.chunks_exact(32).map(B256::from_slice).collect())
}

/// The `bytes` whose length stands at `at`.
pub fn bytes(data: &[u8], at: usize) -> Option<&[u8]> {
    let length = offset(data, at)?;
    let begin = at.checked_add(32)?;
    data.get(begin..begin.checked_add(length)?)
}

/// The word at `at`.
pub fn word(data: &[u8], at: usize) -> Option<U256> {
    data.get(at..at.checked_add(32)?).map(U256::from_be_slice)
}

/// The word at `at`, as a position or a length.
pub fn offset(data: &[u8], at: usize) -> Option<usize> {
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
            (MAX_UNITS, "maxUnits()"),
            (PRICE, "price()"),
            (ASSET, "asset()"),
            (TOTAL_SUPPLY, "totalSupply()"),
            (UNITS_MINTED, "unitsMinted()"),
            (OPEN, "open()"),
            (SURPLUS, "surplus()"),
            (FEE_OWED, "feeOwed()"),
            (BALANCE_OF, "balanceOf(address)"),
            (RECORDS_OF, "recordsOf(bytes32[])"),
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

    #[test]
    fn words_are_read_if_there_are_as_many_as_were_asked_for() {
        let data: Vec<u8> = [32_u64, 2, 5, 6].iter().flat_map(|n| U256::from(*n).to_be_bytes::<32>()).collect();
        assert_eq!(words(&data, 2), Some(vec![U256::from(5), U256::from(6)]));
        assert_eq!((words(&data, 1), words(&data, 3), words(&data[..96], 2)), (None, None, None));
    }
}
