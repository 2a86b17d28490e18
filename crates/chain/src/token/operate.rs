//! Money outside the ordinary way, by an operator of the factory: payments that went around the token are recorded or
//! returned, and recorded payments are refunded.

use crate::abi::{MintToken, TokenFactory, UsdcDouble};
use crate::authorization::reason_of;
use crate::connect::Chain;
use crate::error::{ChainError, clip};
use crate::rpc::Included;
use crate::sign::Call;
use alloy::primitives::{Address, Bytes, U256};
use alloy::rpc::types::Log;
use alloy::sol_types::{SolCall, SolEvent};
use domain::event::{Purpose, WaitReason};
use domain::{PaymentKey, PaymentRequest, Purchase};
use std::collections::HashMap;

/// Maximum number of payments in one transaction.
pub const OPERATE_BATCH_MAX: usize = 50;

/// Gas limit of one payment. Measured by `contracts/gas`: up to 46k each in a batch of ten.
const GAS_PER_ITEM: u64 = 80_000;
/// The rest: a lone return of money takes 86k.
const GAS_BASE: u64 = 120_000;

/// The three things that only an operator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Records a payment that went around the token. Its units can be minted then.
    Credit,
    /// Returns a payment that went around the token.
    GiveBack,
    /// Returns the money of a recorded payment.
    Refund,
}

/// The result that the token gives for a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operated {
    /// Code 0: done by this call.
    Done,
    /// Codes 1 and 2: the record has moved on before, and says more.
    Known,
    /// Code 3: too few units are left.
    SoldOut,
    /// Code 4: the asset refuses to pay the payer.
    AssetRefused,
    /// Code 5: the nonce is not spent, or the token has no record to refund.
    NotThere,
    /// Code 7: the token holds too little money that belongs to no record.
    BeyondSurplus,
    /// Code 6, or any code that no token of ours gives.
    Impossible(u8),
}

impl Operated {
    const fn of(code: u8) -> Self {
        match code {
            0 => Self::Done,
            1 | 2 => Self::Known,
            3 => Self::SoldOut,
            4 => Self::AssetRefused,
            5 => Self::NotThere,
            7 => Self::BeyondSurplus,
            other => Self::Impossible(other),
        }
    }
}

/// The call that does `deed` for payments to `token`, at most [`OPERATE_BATCH_MAX`]. Only an operator may send it.
pub fn operate_call(token: Address, deed: Deed, requests: &[&PaymentRequest]) -> Call {
    debug_assert!(requests.len() <= OPERATE_BATCH_MAX, "more than one call is meant for");
    let count = u64::try_from(requests.len()).unwrap_or(u64::MAX);
    Call {
        purpose: Purpose::Operate,
        target: token,
        input: input(deed, requests),
        gas_limit: GAS_PER_ITEM.saturating_mul(count).saturating_add(GAS_BASE),
        items: requests.iter().map(|request| request.id()).collect(),
    }
}

impl Chain {
    /// Asks one node whether `account` is an operator of `factory` after the latest block.
    ///
    /// # Errors
    /// `Transient`, or `Refused` if no factory of ours is at the address. Nothing is known.
    pub async fn is_operator(&self, factory: Address, account: Address) -> Result<bool, ChainError> {
        let input = TokenFactory::isOperatorCall { account }.abi_encode();
        let answer = self.call(None, factory, input.into(), None).await?;
        TokenFactory::isOperatorCall::abi_decode_returns(&answer).map_err(|e| ChainError::transient("isOperator", e))
    }

    /// Tries a deed on the latest block of one node, as `signer` would send it. Returns the result of each payment.
    ///
    /// # Errors
    /// `Transient`, or `Refused` if the token reverts as a whole: `signer` is no operator. Nothing is known.
    pub async fn try_operate(
        &self,
        signer: Address,
        token: Address,
        deed: Deed,
        requests: &[&PaymentRequest],
    ) -> Result<Vec<Operated>, ChainError> {
        let operation = "credit, giveBack or refund";
        let call = operate_call(token, deed, requests);
        let answer = self.call(Some(signer), token, call.input, Some(call.gas_limit)).await?;
        // The three calls answer in the same form.
        let results =
            MintToken::refundCall::abi_decode_returns(&answer).map_err(|e| ChainError::transient(operation, e))?;
        if results.len() != requests.len() {
            return Err(ChainError::transient(operation, "the number of results differs from the number of payments"));
        }
        Ok(results.iter().map(|code| Operated::of(*code)).collect())
    }

    /// Asks the asset why it does not pay `request` back, and returns the reason with the node's text.
    ///
    /// # Errors
    /// `Transient` or `Refused`: nothing is known. Only a call that was executed and failed is the asset's word.
    pub async fn why_not_back(&self, request: &PaymentRequest) -> Result<(WaitReason, String), ChainError> {
        let Purchase::Mint { token, .. } = request.purchase;
        let value = U256::from(request.authorization.value.0);
        let input = UsdcDouble::transferCall { to: request.payer(), value }.abi_encode();
        match self.call(Some(token), request.asset, input.into(), None).await {
            Ok(_) => Ok((WaitReason::Unexplained, "the asset would pay it now".to_owned())),
            Err(error) => error.into_reason().map(|text| (reason_of(&text), clip(&text))),
        }
    }
}

impl Included {
    /// The deeds that `token` did in this transaction, by key. A key that is missing had its record before, or was refused: the
    /// receipt does not tell which.
    pub fn operated(&self, token: Address) -> HashMap<PaymentKey, Deed> {
        let deed = |log: &Log| {
            let data = log.data();
            let credited = MintToken::Credited::decode_log_data(data).map(|log| (log.key, Deed::Credit));
            let given = MintToken::GivenBack::decode_log_data(data).map(|log| (log.key, Deed::GiveBack));
            let refunded = MintToken::Refunded::decode_log_data(data).map(|log| (log.key, Deed::Refund));
            credited.or(given).or(refunded).ok().map(|(key, deed)| (PaymentKey(key), deed))
        };
        self.logs.iter().filter(|log| log.address() == token).filter_map(deed).collect()
    }
}

fn input(deed: Deed, requests: &[&PaymentRequest]) -> Bytes {
    match deed {
        Deed::Credit => {
            MintToken::creditCall { credits: requests.iter().map(|request| credit(request)).collect() }.abi_encode()
        }
        Deed::GiveBack => {
            let back = |request: &&PaymentRequest| MintToken::GiveBack {
                payer: request.payer(),
                nonce: request.authorization.nonce,
                amount: u128::from(request.authorization.value.0),
            };
            MintToken::giveBackCall { returns_: requests.iter().map(back).collect() }.abi_encode()
        }
        Deed::Refund => {
            MintToken::refundCall { keys: requests.iter().map(|request| request.payment_key.0).collect() }.abi_encode()
        }
    }
    .into()
}

/// All units of the order. Its value is their price, so there is no change.
fn credit(request: &PaymentRequest) -> MintToken::Credit {
    let Purchase::Mint { quantity, .. } = request.purchase;
    let (payer, nonce) = (request.payer(), request.authorization.nonce);
    MintToken::Credit { payer, nonce, units: quantity.get(), change: 0 }
}
