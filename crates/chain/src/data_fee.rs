//! The cost of a transaction beside its gas on a rollup of the OP stack, such as Base: a fee for its data on the base chain, and
//! the operator's fee. Both are taken from the account's balance, and no transaction names them.

use crate::abi::GasPriceOracle;
use crate::connect::{Chain, request};
use crate::error::ChainError;
use crate::rpc::Node;
use alloy::primitives::{Address, U256, address};
use alloy::sol_types::SolCall;
use domain::lane::CALL_GAS;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// The contract of every such chain that tells the fees. Source: the predeploys of the OP stack's specification.
const ORACLE: Address = address!("420000000000000000000000000000000000000F");

/// Size of our largest transaction, bytes, with room for its signature: a hundred payments to twenty tokens. A test of
/// `token::pay` compares it with that call.
pub(crate) const LARGEST_BYTES: u64 = 24_000;

/// The fees follow the base chain's gas price, which moves slowly: an eighth in twelve seconds at most.
const AGE_MAX: Duration = Duration::from_secs(12);

impl Chain {
    /// The cost of our largest transaction beside its gas, wei, as it is now or was seconds ago. 0 on a chain without such
    /// fees.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn data_fee(&self) -> Result<u128, ChainError> {
        let code = || self.nodes.one("eth_getCode", |node: Node| async move { node.code(ORACLE).await });
        let has_oracle =
            self.data_fee.has_oracle.get_or_try_init(|| async { Ok::<_, ChainError>(!code().await?.is_empty()) });
        if !*has_oracle.await? {
            return Ok(0);
        }
        let last = || self.data_fee.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, fee)) = last().filter(|(at, _)| at.elapsed() < AGE_MAX) {
            return Ok(fee);
        }
        let data = GasPriceOracle::getL1FeeUpperBoundCall { unsignedTxSize: U256::from(LARGEST_BYTES) };
        let operator = GasPriceOracle::getOperatorFeeCall { gasUsed: U256::from(CALL_GAS) };
        let fee = self.oracle(&data).await?.saturating_add(self.oracle(&operator).await?);
        *last() = Some((Instant::now(), fee));
        Ok(fee)
    }

    /// One of its answers. 0 if the contract does not have the function: it is of an older version, or another one.
    async fn oracle(&self, call: &impl SolCall) -> Result<u128, ChainError> {
        let request = request(None, ORACLE, call.abi_encode().into(), None);
        let ask = |node: Node| {
            let request = request.clone();
            async move { node.call(&request).await }
        };
        match self.nodes.one("eth_call", ask).await {
            Ok(answer) if answer.len() == 32 => Ok(U256::from_be_slice(&answer).saturating_to()),
            Ok(_) => Ok(0),
            Err(error) if error.is_failed_call() => Ok(0),
            Err(error) => Err(error),
        }
    }
}
