//! The records of a token: what it says about payments.

use crate::abi::MintToken;
use crate::connect::{Chain, request};
use crate::error::ChainError;
use crate::rpc::{Head, Node};
use alloy::eips::BlockId;
use alloy::primitives::{Address, Bytes, U256};
use alloy::sol_types::SolCall;
use domain::{BlockRef, PaymentKey};

/// Maximum number of records in one call: a page of call data of 3 kB, and 260,000 gas, far below what nodes allow.
pub const RECORDS_MAX: usize = 100;

/// A payment as its token recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentRecord {
    /// The payer, who gets the units or the money.
    pub payer: Address,
    /// Units; 0 if the payment was returned without having been recorded.
    pub units: u32,
    /// The time of the block that made the record, Unix seconds.
    pub paid_at: u64,
}

/// The answer of a token about a payment key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// The token does not know the key.
    Absent,
    /// Paid. Units are due, and anybody may have them minted.
    Paid(PaymentRecord),
    /// The units are minted.
    Minted(PaymentRecord),
    /// The payer has the price of the units back.
    Refunded(PaymentRecord),
    /// A payment that went around the token was returned to its payer.
    GivenBack(PaymentRecord),
}

impl Record {
    /// Reads a word: payer 160 | units 32 | paidAt 40 | unused 16 | state 8. `None` if no token of ours writes it.
    fn of(word: U256) -> Option<Self> {
        let bytes: [u8; 32] = word.to_be_bytes();
        let (payer, rest) = bytes.split_first_chunk::<20>()?;
        let (units, rest) = rest.split_first_chunk::<4>()?;
        let (paid_at, rest) = rest.split_first_chunk::<5>()?;
        let recorded = PaymentRecord {
            payer: Address::from(payer),
            units: u32::from_be_bytes(*units),
            paid_at: paid_at.iter().fold(0, |time, byte| time << 8 | u64::from(*byte)),
        };
        match rest {
            [0, 0, 0] if word.is_zero() => Some(Self::Absent),
            [0, 0, 1] => Some(Self::Paid(recorded)),
            [0, 0, 2] => Some(Self::Minted(recorded)),
            [0, 0, 3] => Some(Self::Refunded(recorded)),
            [0, 0, 4] => Some(Self::GivenBack(recorded)),
            _ => None,
        }
    }

    /// Its content. `None` if the token does not know the key.
    pub const fn recorded(&self) -> Option<PaymentRecord> {
        match self {
            Self::Absent => None,
            Self::Paid(recorded) | Self::Minted(recorded) | Self::Refunded(recorded) | Self::GivenBack(recorded) => {
                Some(*recorded)
            }
        }
    }

    /// Returns whether the record is older than the block `last`, and so was made before it. If `last` is final, no
    /// reorganisation can undo that, also if the record was read after a later block. Its end may still be undone. Blocks may
    /// have one time in common, so a record of the time of `last` may be of a later block.
    pub fn was_made_before(&self, last: &Head) -> bool {
        self.recorded().is_some_and(|recorded| recorded.paid_at < last.time)
    }
}

impl Chain {
    /// Returns what `token` says about each of `keys` (at most [`RECORDS_MAX`]) after the block `at`, in their order.
    /// Several providers must agree. Ask after a block that is N deep: what a shallower one says may be undone.
    ///
    /// # Errors
    /// `Transient`: nothing is known. Also if a node does not have the block, or no token of ours is at the address
    /// there.
    pub async fn records(&self, token: Address, keys: &[PaymentKey], at: BlockRef) -> Result<Vec<Record>, ChainError> {
        debug_assert!(keys.len() <= RECORDS_MAX, "more than one call is meant for");
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let input = MintToken::recordsOfCall { keys: keys.iter().map(|key| key.0).collect() }.abi_encode();
        let request = request(None, token, input.into(), None);
        let (block, count) = (BlockId::hash_canonical(at.hash), keys.len());
        let ask = |node: Node| {
            let request = request.clone();
            async move { read(&node.call_after(&request, block).await?, count).map(Some) }
        };
        let agreed = self.nodes.agreed("recordsOf", ask).await?;
        agreed.ok_or_else(|| ChainError::transient("recordsOf", "no record"))
    }
}

fn read(answer: &Bytes, count: usize) -> Result<Vec<Record>, ChainError> {
    let unusable = |cause: &str| ChainError::transient("recordsOf", cause.to_owned());
    let words = MintToken::recordsOfCall::abi_decode_returns(answer).map_err(|e| unusable(&e.to_string()))?;
    if words.len() != count {
        return Err(unusable("the number of records differs from the number of keys"));
    }
    words.into_iter().map(|word| Record::of(word).ok_or_else(|| unusable("a record of no known form"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::{B256, uint};

    #[test]
    fn a_word_is_read_as_the_contract_writes_it_and_other_words_are_refused() {
        let recorded = PaymentRecord { payer: Address::repeat_byte(0xaa), units: 7, paid_at: 1_800_000_000 };
        let word = uint!(0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_00000007_006b49d200_0000_00_U256);
        let state = |state: u64| Record::of(word | U256::from(state));
        assert_eq!(Record::of(U256::ZERO), Some(Record::Absent));
        assert_eq!(state(0), None, "a payer without a state");
        assert_eq!(state(1), Some(Record::Paid(recorded)));
        assert_eq!(state(2), Some(Record::Minted(recorded)));
        assert_eq!(state(3), Some(Record::Refunded(recorded)));
        assert_eq!(state(4), Some(Record::GivenBack(recorded)));
        assert_eq!(state(5), None);
        assert_eq!(state(0x101), None, "a bit that is not used");
    }

    #[test]
    fn a_record_was_made_before_a_block_only_if_it_is_older() {
        let record = |paid_at| Record::Minted(PaymentRecord { payer: Address::ZERO, units: 1, paid_at });
        let block = BlockRef { number: 9, hash: B256::ZERO };
        let last = Head { block, parent: B256::ZERO, time: 100, base_fee_wei: 1 };
        let made = [99, 100, 101].map(|paid_at| record(paid_at).was_made_before(&last));
        assert_eq!((made, Record::Absent.was_made_before(&last)), ([true, false, false], false));
    }
}
