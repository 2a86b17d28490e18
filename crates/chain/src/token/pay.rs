//! `MintToken.settle`: packing, and the result byte of each item; of one token directly, of several through the
//! hub.

use crate::abi::{Hub, MintToken};
use crate::authorization;
use crate::rpc::Included;
use crate::sign::Call;
use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::eip2718::Decodable2718;
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::{SolCall, SolEvent};
use domain::event::{OpenTx, Purpose};
use domain::{PaymentId, PaymentRequest, Purchase};

/// Maximum number of payments in one transaction. To one token they take 8.3M gas, to [`SEGMENTS_MAX`] tokens 12.6M, of
/// the 16,777,216 of EIP-7825; call data is 13 kB.
pub const PAY_BATCH_MAX: usize = 100;

/// Maximum number of tokens in one transaction. Each costs gas of its own.
pub const SEGMENTS_MAX: usize = 20;

/// Gas that one payment may use: the setting of `contracts/`, which measured 64,000 for the first payment of a token.
pub(super) const GAS_PER_ITEM: u64 = 100_000;
/// Expected gas of one payment. Measured: 67k for a good one in a batch of one hundred.
const GAS_EXPECTED_PER_ITEM: u64 = 80_000;
/// Gas of a token beside its items: its first access, its reserve, and the 63/64 check on the last item.
const GAS_PER_SEGMENT: u64 = 80_000 + GAS_PER_ITEM;
/// Gas beside the segments: transaction base, and the call data of one token's payments as far as the expected gas of
/// items does not cover it.
pub(super) const GAS_BASE: u64 = 100_000;
/// Gas that the hub keeps back for each segment (`Hub.RESERVE_GAS`), and its own work.
const HUB_PER_SEGMENT: u64 = 25_000;
/// Gas for the call data of one item through the hub: 134 bytes at 16 gas.
const HUB_PER_ITEM: u64 = 2_200;

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
    /// Code 5: the batch stopped before this item.
    NotAttempted,
    /// Code 6: the item can never be paid. No money moved.
    Impossible,
    /// Code 7: new payments are stopped, and nothing was looked at. A known key gets this code as well.
    Stopped,
    /// Any other code, which no token of ours gives.
    Unknown(u8),
}

impl Paid {
    pub(super) const fn of(code: u8) -> Self {
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
/// the segments, at most [`PAY_BATCH_MAX`] of at most [`SEGMENTS_MAX`] tokens. Its gas is enough for the last segment
/// also if all before it use up theirs.
pub fn pay_call(hub: Address, segments: &[Segment<'_>]) -> Call {
    let items: Vec<PaymentId> =
        segments.iter().flat_map(|segment| &segment.requests).map(|request| request.id()).collect();
    debug_assert!(items.len() <= PAY_BATCH_MAX && segments.len() <= SEGMENTS_MAX, "more than fits a transaction");
    let first = segments.first().and_then(|segment| segment.requests.first());
    let batch_id = first.map_or(B256::ZERO, |request| request.payment_key.0);
    let (target, input, gas) = match segments {
        [alone] => (alone.token, settle_input(batch_id, alone), gas_of(alone)),
        several => (hub, hub_input(batch_id, several), several.iter().map(hub_gas_of).fold(0, u64::saturating_add)),
    };
    Call { purpose: Purpose::Settle, target, input, gas_limit: gas.saturating_add(GAS_BASE), items }
}

/// The token of each payment in a settlement transaction, in the order of its items, read from its signed bytes. `None` if
/// they are no call that [`pay_call`] makes, or one of another number of payments.
pub fn payees(tx: &OpenTx) -> Option<Vec<Address>> {
    let envelope = TxEnvelope::decode_2718(&mut tx.raw_tx.as_ref()).ok()?;
    let calls = match Hub::runCall::abi_decode(envelope.input()) {
        Ok(run) => run.segments.into_iter().map(|segment| (segment.target, segment.data)).collect(),
        Err(_) => vec![(tx.target, envelope.input().clone())],
    };
    let mut payees = Vec::with_capacity(tx.items.len());
    for (token, input) in calls {
        let call = MintToken::settleCall::abi_decode(&input).ok()?;
        payees.extend(vec![token; call.items.len() / ITEM_BYTES]);
    }
    (payees.len() == tx.items.len()).then_some(payees)
}

impl Included {
    /// The result of each item of a settlement. `tokens` has the token of each item, in the order of the call data, so
    /// that those of one token stand together. `None`: the token reported nothing in this receipt, because the
    /// transaction or its segment reverted or was not run. That says nothing about the payment; its record does.
    pub fn paid(&self, tokens: &[Address]) -> Vec<Option<Paid>> {
        let mut results = Vec::with_capacity(tokens.len());
        for segment in tokens.chunk_by(|one, next| one == next) {
            let reported = segment.first().and_then(|token| self.reported(*token));
            match reported.filter(|codes| codes.len() == segment.len()) {
                Some(codes) => results.extend(codes.iter().map(|code| Some(Paid::of(*code)))),
                None => results.extend(segment.iter().map(|_| None)),
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

pub(super) fn gas_of(segment: &Segment<'_>) -> u64 {
    GAS_EXPECTED_PER_ITEM.saturating_mul(count(segment)).saturating_add(GAS_PER_SEGMENT)
}

/// Gas that the hub must have left before `segment`, so that it gives the segment all of [`gas_of`]. EIP-150: a call gets
/// 63/64 of what is left.
fn hub_gas_of(segment: &Segment<'_>) -> u64 {
    let call = gas_of(segment);
    let beside = HUB_PER_ITEM.saturating_mul(count(segment)).saturating_add(HUB_PER_SEGMENT);
    call.saturating_add(call / 63).saturating_add(beside)
}

fn count(segment: &Segment<'_>) -> u64 {
    u64::try_from(segment.requests.len()).unwrap_or(u64::MAX)
}

pub(super) fn settle_input(batch_id: B256, segment: &Segment<'_>) -> Bytes {
    let mut items = Vec::with_capacity(segment.requests.len() * ITEM_BYTES);
    for request in &segment.requests {
        items.extend_from_slice(request.authorization.from.as_slice());
        authorization::pack(&mut items, &request.authorization, &request.signature);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_fee::LARGEST_BYTES;
    use domain::examples;
    use domain::lane::CALL_GAS;

    #[test]
    fn an_item_begins_with_its_payer_and_has_no_payee() {
        let request = examples::request();
        let one = Segment { token: examples::TOKEN, requests: vec![&request] };
        let call = MintToken::settleCall::abi_decode(&settle_input(B256::ZERO, &one)).unwrap();
        assert_eq!(call.items.len(), ITEM_BYTES);
        assert_eq!(&call.items[..20], request.authorization.from.as_slice());
        assert_eq!(&call.items[20..28], &100_000_u64.to_be_bytes());
    }

    #[test]
    fn the_largest_batches_fit_a_transaction() {
        let request = examples::request();
        let full = |tokens: usize| -> Vec<Segment<'_>> {
            let each = vec![&request; PAY_BATCH_MAX / tokens];
            (0..tokens).map(|_| Segment { token: examples::TOKEN, requests: each.clone() }).collect()
        };
        for tokens in [1, 2, SEGMENTS_MAX] {
            let call = pay_call(Address::ZERO, &full(tokens));
            // A signature and the fields of a transaction take less than 200 bytes.
            assert!(call.input.len() as u64 + 200 <= LARGEST_BYTES, "{} bytes for {tokens} tokens", call.input.len());
            let gas = call.gas_limit;
            assert!(gas < 16_777_216, "EIP-7825: {gas} for {tokens} tokens");
            assert!(u128::from(gas) <= CALL_GAS, "a lane that may sign cannot pay {gas} for {tokens} tokens");
        }
    }
}
