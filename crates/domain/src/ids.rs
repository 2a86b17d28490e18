//! Ids that must not be mixed. They come from the payment alone, so they can be neither lost nor issued twice.

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// Namespace of [`PaymentId`]s: UUIDv5(DNS, "payment.paymint.io"). Never changes: every id follows from it.
const PAYMENT_NAMESPACE: Uuid = Uuid::from_u128(0xe7e4_2413_b8e3_57d0_bdf0_dea2_15c2_76b5);

/// The payment on chain and off: `keccak256(abi.encode(chainId, asset, payer, eip3009Nonce))`.
/// It is `paymentKey` of the token contract, which mints or refunds a key once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaymentKey(pub B256);

impl PaymentKey {
    /// The key of the authorization `nonce` of `payer` for `asset` on chain `chain_id`.
    pub fn new(chain_id: u64, asset: Address, payer: Address, nonce: B256) -> Self {
        let mut words = [0_u8; 128];
        words[..32].copy_from_slice(&U256::from(chain_id).to_be_bytes::<32>());
        words[44..64].copy_from_slice(asset.as_slice());
        words[76..96].copy_from_slice(payer.as_slice());
        words[96..].copy_from_slice(nonce.as_slice());
        Self(keccak256(words))
    }
}

impl fmt::Display for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// UUIDv5 of the [`PaymentKey`]: `paymentQueueId` of the API, the order's id in the ledger, and the id of the mint
/// that the payment owes. One payment, one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaymentId(pub Uuid);

impl PaymentId {
    /// The id of `key`, which never changes.
    pub fn of(key: PaymentKey) -> Self {
        Self(Uuid::new_v5(&PAYMENT_NAMESPACE, key.0.as_slice()))
    }

    /// First hex digit of the id: the order's shard, `0` to `f`.
    pub fn shard(self) -> char {
        let nibble = u32::from(self.0.as_bytes()[0] >> 4);
        char::from_digit(nibble, 16).unwrap_or('0')
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for PaymentId {
    type Err = uuid::Error;

    /// Reads the hyphenated form, as the API prints it, and no other: in a subject one id is one spelling.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Hyphenated>().map(|id| Self(id.into_uuid()))
    }
}

/// A block by height and hash. Decisions are pinned to the hash: a height alone survives no reorg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    /// Height.
    pub number: u64,
    /// Hash of the header.
    pub hash: B256,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::{address, b256};

    #[test]
    fn the_namespace_is_what_it_says() {
        assert_eq!(PAYMENT_NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"payment.paymint.io"));
    }

    #[test]
    fn the_id_follows_from_the_payment_alone() {
        let key = PaymentKey::new(
            84532,
            address!("036CbD53842c5426634e7929541eC2318f3dCF7e"),
            address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
            b256!("07d8e28ef1966a19fd7e94d00d897d6a0409179206396d45745a88a4e0293d42"),
        );
        let id = PaymentId::of(key);
        assert_eq!(id, PaymentId::of(key));
        assert_eq!(id.to_string().parse::<PaymentId>().unwrap(), id);
        assert_eq!(id.to_string().chars().next().unwrap(), id.shard());
        assert_eq!(id.0.get_version_num(), 5);
    }

    /// A promise of the fuzz target `names`, broken until it was written: the other forms of a UUID were read as well.
    #[test]
    fn an_id_is_read_in_its_hyphenated_form_only() {
        let id = Uuid::from_u128(0x15a6_843b_18c6_5781_9d7a_8af7_0e63_7dcd);
        for other in [id.simple().to_string(), id.braced().to_string(), id.urn().to_string(), String::new()] {
            assert!(other.parse::<PaymentId>().is_err(), "{other}");
        }
        assert_eq!(id.to_string().to_uppercase().parse::<PaymentId>().unwrap(), PaymentId(id));
    }
}
