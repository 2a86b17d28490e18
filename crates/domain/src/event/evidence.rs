//! The evidence that the steps of an order's legs carry: the data of its events.

use super::table::{EventData, code};
use crate::ids::BlockRef;
use crate::money::{Quantity, Usdc};
use alloy_primitives::{Address, B256};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

impl EventData for Submission {
    fn tx_hash(&self) -> Option<B256> {
        Some(self.tx_hash)
    }
}

impl EventData for Reversal {
    fn tx_hash(&self) -> Option<B256> {
        Some(self.tx_hash)
    }
}

impl EventData for Deferral {
    fn reason(&self) -> Option<String> {
        code(&self.reason)
    }

    fn detail(&self) -> Option<&str> {
        Some(&self.detail)
    }

    fn retry_at(&self) -> Option<DateTime<Utc>> {
        Some(self.retry_at)
    }
}

impl EventData for Parked {
    fn reason(&self) -> Option<String> {
        code(&self.reason)
    }

    fn detail(&self) -> Option<&str> {
        Some(&self.detail)
    }

    fn tx_hash(&self) -> Option<B256> {
        self.tx_hash
    }
}

impl EventData for PaymentProof {
    fn tx_hash(&self) -> Option<B256> {
        Some(self.tx_hash)
    }
}

impl EventData for PaymentFailure {
    fn reason(&self) -> Option<String> {
        code(&self.reason)
    }

    fn detail(&self) -> Option<&str> {
        Some(&self.detail)
    }

    fn tx_hash(&self) -> Option<B256> {
        self.tx_hash
    }
}

impl EventData for RefundRequest {
    fn reason(&self) -> Option<String> {
        code(&self.reason)
    }

    fn detail(&self) -> Option<&str> {
        Some(&self.detail)
    }
}

impl EventData for Redrive {
    fn detail(&self) -> Option<&str> {
        Some(&self.detail)
    }
}

impl EventData for Refunded {
    fn tx_hash(&self) -> Option<B256> {
        Some(self.tx_hash)
    }
}

impl EventData for Minted {
    fn tx_hash(&self) -> Option<B256> {
        Some(self.tx_hash)
    }
}

/// The transaction that a payment or a mint is in. It is recorded in the stream of its signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Submission {
    /// The lane.
    pub signer: Address,
    /// The lane's nonce.
    pub nonce: u64,
    /// Hash of the signed bytes. Another transaction may have replaced them since, at the same nonce.
    pub tx_hash: B256,
}

/// A transaction that was N blocks deep fell out of the chain. The same bytes are sent again, so the order is open and
/// not failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reversal {
    /// The lane whose transaction it is.
    pub signer: Address,
    /// The lane's nonce.
    pub nonce: u64,
    /// The transaction.
    pub tx_hash: B256,
    /// The block that held it, and that the chain no longer has.
    pub block: BlockRef,
    /// The head when the reorg was seen. At that time another block at that height was N deep.
    pub head: BlockRef,
}

impl Reversal {
    /// The transaction, in the form in which an order names it.
    pub fn submission(&self) -> Submission {
        Submission { signer: self.signer, nonce: self.nonce, tx_hash: self.tx_hash }
    }
}

impl Submission {
    /// Returns `true` if it is this nonce of this lane, whichever of its transactions was signed for it.
    pub fn is_for(&self, signer: Address, nonce: u64) -> bool {
        (self.signer, self.nonce) == (signer, nonce)
    }
}

/// The reason why a payment or mint waits. The codes are stable; tables and the API show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// The payer's balance is below the value.
    Unfunded,
    /// The nonce is used or cancelled on chain. The confirmer finds out which.
    AuthorizationUsedOrCancelled,
    /// The window has closed. The payment is failed once that is final.
    AuthorizationExpired,
    /// The window has not opened yet.
    AuthorizationNotYetValid,
    /// USDC rejects the signature. Most likely the payer is an account with code (ERC-1271, EIP-7702).
    SignatureRefused,
    /// Payer or payee is blacklisted.
    Blacklisted,
    /// USDC is paused.
    AssetPaused,
    /// The batch ran out of gas before this item, or reverted as a whole.
    NotAttempted,
    /// The token has too few units left. Units come back when payments are refunded.
    SoldOut,
    /// Owner or guardian of the token's factory have stopped new payments.
    SettlementStopped,
    /// Payments of this payer failed on chain and used up the gas of a day.
    PayerBudget,
    /// According to the node, the token has no record of the payment.
    Unpaid,
    /// The chain refused it without a reason that we know.
    Unexplained,
}

/// A wait until `retry_at`, after which the order is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deferral {
    /// The reason.
    pub reason: WaitReason,
    /// The chain's answer, at most 200 characters.
    pub detail: String,
    /// The time before which it is not tried again.
    pub retry_at: DateTime<Utc>,
}

/// Cause of an entry in a token's record. Anybody may settle a payment or have it minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// One of our lanes.
    Paymint,
    /// Another sender did the same first.
    ThirdParty,
}

/// Proof of payment: the token's record of it, read after a block that is N deep. The token writes the record in the call
/// that moves the money. The state of the nonce is no proof, because a cancellation sets it as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PaymentProof {
    /// Our transaction that recorded the payment, or that found it recorded. If there is none, the transaction that
    /// charged the payer.
    pub tx_hash: B256,
    /// Its block. If that block falls out of the chain, the proof falls with it.
    pub block: BlockRef,
    /// Unix seconds of the block that recorded the payment.
    pub recorded_at: u64,
    /// The cause of the record.
    pub paid_by: Actor,
}

/// The reason why a payment can never be charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The block is past `validBefore` and the nonce is unused there.
    Expired,
    /// Expired, and the payer had no funds at any try.
    UnfundedUntilExpired,
    /// Expired while the token had too few units left.
    SoldOut,
    /// The payer cancelled the authorization: `AuthorizationCanceled`.
    Cancelled,
    /// The nonce paid for another transfer.
    UsedElsewhere,
}

/// A failure with its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PaymentFailure {
    /// The reason.
    pub reason: FailureReason,
    /// Description for people, at most 200 characters.
    pub detail: String,
    /// The final block at which it was proven.
    pub block: BlockRef,
    /// Unix seconds of that block.
    pub block_time: u64,
    /// The transaction that used or cancelled the nonce, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_hash: Option<B256>,
}

/// The reason why a payment or mint waits for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// Somebody submitted the authorization to the asset directly. The money is at the token, which has no record of it.
    PaidAroundToken,
    /// The event contradicts the token's terms.
    Inconsistent,
    /// Tried too often without a reason that we know.
    Unexplained,
}

/// Waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parked {
    /// Why.
    pub reason: ParkReason,
    /// For people, at most 200 characters.
    pub detail: String,
    /// The transaction that it is about, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_hash: Option<B256>,
}

/// Units minted: the token's record says so after a block that is N deep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Minted {
    /// Our transaction that minted the units, or that found them minted.
    pub tx_hash: B256,
    /// Its block.
    pub block: BlockRef,
    /// The cause of the mint.
    pub minted_by: Actor,
    /// The recipient: the payer.
    pub to: Address,
    /// Units.
    pub quantity: Quantity,
}

/// The reason why money goes back to its payer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundReason {
    /// A person decided so.
    Operator,
    /// The payer was charged around the token, and the payment cannot be recorded: too few units are left.
    SoldOut,
}

/// The decision that the money goes back to its payer, and nothing is minted for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefundRequest {
    /// The reason.
    pub reason: RefundReason,
    /// The author of the decision, at most 100 characters: a person, or the name of a service.
    pub by: String,
    /// For people, at most 200 characters.
    pub detail: String,
}

/// The decision of a person that what was given up is tried once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redrive {
    /// Name of the person, at most 100 characters.
    pub by: String,
    /// The reason, at most 200 characters.
    pub detail: String,
}

/// Money returned: the token's record says so after a block that is N deep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refunded {
    /// Our transaction that returned the money, or that found it returned.
    pub tx_hash: B256,
    /// Its block.
    pub block: BlockRef,
    /// The cause of the refund. A payer may take the money back seven days after the payment.
    pub refunded_by: Actor,
    /// The recipient: the payer.
    pub to: Address,
    /// Atomic USDC.
    pub amount: Usdc,
}
