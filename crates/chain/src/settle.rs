//! `Settlement.settleBatch`: packing, simulation, and the result byte of each item.

use crate::abi::Settlement;
use crate::authorization;
use crate::connect::Chain;
use crate::error::ChainError;
use crate::rpc::Included;
use crate::sign::Call;
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::{SolCall, SolEvent};
use domain::event::Purpose;
use domain::event::WaitReason;
use domain::request::SignatureBytes;
use domain::{Authorization, PaymentId, PaymentRequest};

/// Maximum number of authorizations in one transaction: 4.8M gas, a third of the cap of EIP-7825, and 15 kB of call
/// data.
pub const SETTLE_BATCH_MAX: usize = 100;

/// Gas that one authorization may use. An all-cold first transfer takes about 62k.
const GAS_PER_ITEM: u64 = 120_000;
/// Expected gas of one item. Measured: below 48k for a good item in a batch of one hundred, up to 58k for a failed one.
const GAS_EXPECTED_PER_ITEM: u64 = 65_000;
/// Gas beside the items: transaction base, call data head, the contract's own reserve and its 63/64 check on the last
/// item.
const GAS_BASE: u64 = 100_000 + GAS_PER_ITEM;

/// Call data of one item: from 20, to 20, value 8, validAfter 5, validBefore 5, nonce 32, r 32, vs 32.
const ITEM_BYTES: usize = 154;

/// The contract's result for an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleResult {
    /// Code 0: this call moved the money.
    Paid,
    /// Code 4: the call failed. That is not "unpaid": somebody else may have submitted the authorization.
    CallFailed,
    /// Code 5: the batch stopped before this item.
    NotAttempted,
}

/// The result of simulating one item on the latest block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Simulated {
    /// The payment would succeed.
    Pays,
    /// The payment would fail, with its reason and the node's text.
    Fails(WaitReason, String),
}

impl Chain {
    /// The call that settles `requests` through the contract at `settlement`.
    pub fn settle_call(&self, settlement: Address, requests: &[&PaymentRequest]) -> Call {
        let items: Vec<PaymentId> = requests.iter().map(|request| request.id()).collect();
        let count = u64::try_from(requests.len()).unwrap_or(u64::MAX);
        let batch_id = requests.first().map_or(B256::ZERO, |request| request.payment_key.0);
        Call {
            purpose: Purpose::Settle,
            target: settlement,
            input: settle_input(batch_id, requests),
            gas_limit: GAS_EXPECTED_PER_ITEM.saturating_mul(count).saturating_add(GAS_BASE),
            items,
        }
    }

    /// Simulates `call` on the latest block, as `signer` would send it, and returns the result of each item. For each
    /// failing item USDC is asked for the reason.
    ///
    /// # Errors
    /// `Transient`. `Refused` if the contract itself reverts.
    pub async fn simulate_settle(
        &self,
        signer: Address,
        call: &Call,
        requests: &[&PaymentRequest],
    ) -> Result<Vec<Simulated>, ChainError> {
        let answer = self.call(Some(signer), call.target, call.input.clone(), Some(call.gas_limit)).await?;
        let results = Settlement::settleBatchCall::abi_decode_returns(&answer)
            .map_err(|e| ChainError::transient("settleBatch", e))?;
        let mut simulated = Vec::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            simulated.push(match results.get(index).copied() {
                Some(0) => Simulated::Pays,
                Some(5) | None => Simulated::Fails(WaitReason::NotAttempted, "out of gas in simulation".to_owned()),
                Some(_) => {
                    let (reason, text) = self.refusal(signer, request, GAS_PER_ITEM * 2).await?;
                    Simulated::Fails(reason, text)
                }
            });
        }
        Ok(simulated)
    }
}

impl Included {
    /// The result of each of `count` items, from the contract's `Batch` event in this receipt. `None` if there is no
    /// such event, because the transaction reverted.
    pub fn settle_results(&self, settlement: Address, count: usize) -> Option<Vec<SettleResult>> {
        let batch = self
            .logs
            .iter()
            .filter(|log| log.address() == settlement)
            .find_map(|log| Settlement::Batch::decode_log_data(log.data()).ok())?;
        (batch.results.len() == count).then(|| {
            batch
                .results
                .iter()
                .map(|code| match code {
                    0 => SettleResult::Paid,
                    5 => SettleResult::NotAttempted,
                    _ => SettleResult::CallFailed,
                })
                .collect()
        })
    }
}

fn settle_input(batch_id: B256, requests: &[&PaymentRequest]) -> Bytes {
    let mut items = Vec::with_capacity(requests.len() * ITEM_BYTES);
    for request in requests {
        pack(&mut items, &request.authorization, &request.signature);
    }
    let call =
        Settlement::settleBatchCall { batchId: batch_id, gasPerItem: U256::from(GAS_PER_ITEM), items: items.into() };
    call.abi_encode().into()
}

fn pack(items: &mut Vec<u8>, auth: &Authorization, signature: &SignatureBytes) {
    items.extend_from_slice(auth.from.as_slice());
    items.extend_from_slice(auth.to.as_slice());
    authorization::pack(items, auth, signature);
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::examples;

    #[test]
    fn an_item_begins_with_payer_and_payee() {
        let request = examples::request();
        let mut items = Vec::new();
        pack(&mut items, &request.authorization, &SignatureBytes::repeat_byte(28));
        assert_eq!(items.len(), ITEM_BYTES);
        assert_eq!(&items[..20], request.authorization.from.as_slice());
        assert_eq!(&items[20..40], request.authorization.to.as_slice());
    }

    #[test]
    fn the_batch_of_one_hundred_fits_a_transaction() {
        const { assert!(GAS_BASE + GAS_EXPECTED_PER_ITEM * 100 < 16_777_216, "EIP-7825") };
    }
}
