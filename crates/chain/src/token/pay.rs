//! `MintToken.settle`: packing, trial, and the result byte of each item; of one token directly, of several through the
//! hub.

use crate::abi::next::{Hub, MintToken};
use crate::connect::Chain;
use crate::error::ChainError;
use crate::rpc::Included;
use crate::settle::TIME_MAX;
use crate::sign::Call;
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::{SolCall, SolEvent};
use domain::event::{Purpose, WaitReason};
use domain::request::SignatureBytes;
use domain::{Authorization, PaymentRequest, Purchase};
use futures_util::future::try_join_all;

/// Maximum number of payments in one transaction: 8.3M gas, half of the cap of EIP-7825, and 13 kB of call data.
pub const PAY_BATCH_MAX: usize = 100;

/// Maximum number of tokens in one transaction. Each costs gas of its own.
pub const SEGMENTS_MAX: usize = 20;

/// Gas that one payment may use: what the contracts' README measured for the coldest payment, behind a proxy.
const GAS_PER_ITEM: u64 = 100_000;
/// Expected gas of one payment. Measured: 67k for a good one in a batch of one hundred.
const GAS_EXPECTED_PER_ITEM: u64 = 80_000;
/// Gas of a token beside its items: its first access, its reserve, and the 63/64 check on the last item.
const GAS_PER_SEGMENT: u64 = 80_000 + GAS_PER_ITEM;
/// Gas beside the segments: transaction base, call data, the hub's event.
const GAS_BASE: u64 = 100_000;

/// Call data of one item: from 20, value 8, validAfter 5, validBefore 5, nonce 32, r 32, vs 32.
const ITEM_BYTES: usize = 134;

/// Payments to one token, which stand together in the call data.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    /// The token.
    pub token: Address,
    /// Its payments.
    pub requests: Vec<&'a PaymentRequest>,
}

/// The token's result for an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paid {
    /// Code 0: this call moved the money and recorded it.
    Recorded,
    /// Code 1: the token knows the key already; its record says more.
    Known,
    /// Code 3: too few units are left. No money moved.
    SoldOut,
    /// Code 4: the asset refused. That is not "unpaid": somebody may have submitted the authorization around the token.
    Failed,
    /// Code 5: the batch stopped before this item, or its segment was not run.
    NotAttempted,
    /// Code 6: the item can never be paid. No money moved.
    Impossible,
    /// Code 7: new payments are stopped. No money moved.
    Stopped,
    /// Any other code, which no token of ours gives.
    Unknown(u8),
}

impl Paid {
    const fn of(code: u8) -> Self {
        match code {
            0 => Self::Recorded,
            1 => Self::Known,
            3 => Self::SoldOut,
            4 => Self::Failed,
            5 => Self::NotAttempted,
            6 => Self::Impossible,
            7 => Self::Stopped,
            other => Self::Unknown(other),
        }
    }
}

/// The result of trying one payment on the latest block, without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// The token would give this result, and the asset was not asked why.
    Result(Paid),
    /// The asset would refuse it, with its reason and the node's text.
    Refused(WaitReason, String),
}

/// Groups payments by token, in the order in which the tokens first occur.
pub fn segments<'a>(requests: impl IntoIterator<Item = &'a PaymentRequest>) -> Vec<Segment<'a>> {
    let mut segments: Vec<Segment<'a>> = Vec::new();
    for request in requests {
        let Purchase::Mint { token, .. } = request.purchase;
        match segments.iter_mut().find(|segment| segment.token == token) {
            Some(segment) => segment.requests.push(request),
            None => segments.push(Segment { token, requests: vec![request] }),
        }
    }
    segments
}

/// The call that settles `segments`: of the token itself if there is one, else of the hub. Its items are in the order of
/// the segments.
pub fn pay_call(hub: Address, segments: &[Segment<'_>]) -> Call {
    let first = segments.first().and_then(|segment| segment.requests.first());
    let batch_id = first.map_or(B256::ZERO, |request| request.payment_key.0);
    let gas: u64 = segments.iter().map(gas_of).fold(GAS_BASE, u64::saturating_add);
    let (target, input) = match segments {
        [alone] => (alone.token, settle_input(batch_id, alone)),
        several => (hub, hub_input(batch_id, several)),
    };
    let items = segments.iter().flat_map(|segment| &segment.requests).map(|request| request.id()).collect();
    Call { purpose: Purpose::Settle, target, input, gas_limit: gas, items }
}

impl Chain {
    /// Tries every payment of `segments` on the latest block, as `signer` would send it, and returns the results in
    /// their order. Each token is tried by itself, so a payer who pays two of them with money for one is found out on
    /// chain only. The asset is asked for the reason of each refusal.
    ///
    /// # Errors
    /// `Transient`. `Refused` if a token reverts as a whole.
    pub async fn try_pay(&self, signer: Address, segments: &[Segment<'_>]) -> Result<Vec<Trial>, ChainError> {
        let tried = try_join_all(segments.iter().map(|segment| self.try_segment(signer, segment))).await?;
        Ok(tried.into_iter().flatten().collect())
    }

    async fn try_segment(&self, signer: Address, segment: &Segment<'_>) -> Result<Vec<Trial>, ChainError> {
        let gas = GAS_BASE.saturating_add(gas_of(segment));
        let answer = self.call(Some(signer), segment.token, settle_input(B256::ZERO, segment), Some(gas)).await?;
        let results =
            MintToken::settleCall::abi_decode_returns(&answer).map_err(|e| ChainError::transient("settle", e))?;
        let mut trials = Vec::with_capacity(segment.requests.len());
        for (index, request) in segment.requests.iter().enumerate() {
            trials.push(match results.get(index).map_or(Paid::NotAttempted, |code| Paid::of(*code)) {
                Paid::Failed => {
                    let (reason, text) = self.diagnose(signer, request).await?;
                    Trial::Refused(reason, text)
                }
                result => Trial::Result(result),
            });
        }
        Ok(trials)
    }
}

impl Included {
    /// The result of each item of a settlement. `tokens` has the token of each item, in the order of the call data, so
    /// that those of one token stand together. An item is `NotAttempted` if its token reported nothing: the transaction
    /// or its segment reverted, so nothing of it was paid here.
    pub fn paid(&self, tokens: &[Address]) -> Vec<Paid> {
        let mut results = Vec::with_capacity(tokens.len());
        for segment in tokens.chunk_by(|one, next| one == next) {
            let reported = segment.first().and_then(|token| self.reported(*token));
            match reported.filter(|codes| codes.len() == segment.len()) {
                Some(codes) => results.extend(codes.iter().map(|code| Paid::of(*code))),
                None => results.extend(segment.iter().map(|_| Paid::NotAttempted)),
            }
        }
        results
    }

    /// The result bytes of the one `settle` of `token` in this receipt.
    fn reported(&self, token: Address) -> Option<Bytes> {
        let own = self.logs.iter().filter(|log| log.address() == token);
        own.filter_map(|log| MintToken::Batch::decode_log_data(log.data()).ok()).map(|batch| batch.results).next()
    }
}

fn gas_of(segment: &Segment<'_>) -> u64 {
    let count = u64::try_from(segment.requests.len()).unwrap_or(u64::MAX);
    GAS_EXPECTED_PER_ITEM.saturating_mul(count).saturating_add(GAS_PER_SEGMENT)
}

fn settle_input(batch_id: B256, segment: &Segment<'_>) -> Bytes {
    let mut items = Vec::with_capacity(segment.requests.len() * ITEM_BYTES);
    for request in &segment.requests {
        pack(&mut items, &request.authorization, &request.signature);
    }
    let (gas, none) = (U256::from(GAS_PER_ITEM), Bytes::new());
    MintToken::settleCall { batchId: batch_id, gasPerItem: gas, items: items.into(), signatures: none }
        .abi_encode()
        .into()
}

fn hub_input(batch_id: B256, segments: &[Segment<'_>]) -> Bytes {
    let segments = segments
        .iter()
        .map(|segment| Hub::Segment {
            target: segment.token,
            gas: gas_of(segment),
            data: settle_input(batch_id, segment),
        })
        .collect();
    Hub::runCall { batchId: batch_id, segments }.abi_encode().into()
}

/// Packs one item. The intake keeps times far below [`TIME_MAX`]; a forged time is clamped, and its signature then fails.
fn pack(items: &mut Vec<u8>, auth: &Authorization, signature: &SignatureBytes) {
    let time = |seconds: u64| seconds.min(TIME_MAX).to_be_bytes();
    let mut vs = [0_u8; 32];
    vs.copy_from_slice(&signature[32..64]);
    if signature[64] == 28 {
        vs[0] |= 0x80;
    }
    items.extend_from_slice(auth.from.as_slice());
    items.extend_from_slice(&auth.value.0.to_be_bytes());
    // The top bit says that the payer signed ReceiveWithAuthorization, which a time of ours never has.
    items.extend_from_slice(&time(auth.valid_after.min(TIME_MAX >> 1))[3..]);
    items.extend_from_slice(&time(auth.valid_before)[3..]);
    items.extend_from_slice(auth.nonce.as_slice());
    items.extend_from_slice(&signature[..32]);
    items.extend_from_slice(&vs);
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::examples;

    #[test]
    fn an_item_is_packed_as_the_contract_reads_it() {
        let request = examples::request();
        let mut items = Vec::new();
        pack(&mut items, &request.authorization, &SignatureBytes::repeat_byte(28));
        assert_eq!(items.len(), ITEM_BYTES);
        assert_eq!(&items[20..28], &100_000_u64.to_be_bytes());
        assert_eq!(&items[28..33], &1_799_999_400_u64.to_be_bytes()[3..]);
        assert_eq!(items[102], 28 | 0x80, "v 28 is the top bit of vs");
        let mut forged = request.authorization.clone();
        forged.valid_after = u64::MAX;
        items.clear();
        pack(&mut items, &forged, &SignatureBytes::repeat_byte(28));
        assert_eq!(items[28], 0x7f, "a forged time does not say that another type was signed");
    }

    #[test]
    fn the_largest_batches_fit_a_transaction() {
        let request = examples::request();
        let full = |tokens: usize| -> Vec<Segment<'_>> {
            let each = vec![&request; PAY_BATCH_MAX / tokens];
            (0..tokens).map(|_| Segment { token: examples::TOKEN, requests: each.clone() }).collect()
        };
        for tokens in [1, 2, SEGMENTS_MAX] {
            let gas = pay_call(Address::ZERO, &full(tokens)).gas_limit;
            assert!(gas < 16_777_216, "EIP-7825: {gas} for {tokens} tokens");
        }
    }
}
