//! A story's knowledge of an order, and the end that it expects.

use crate::payment::Payment;
use crate::stream::Entry;
use alloy::sol_types::SolCall;
use alloy_primitives::{Address, B256, Bytes, U256};
use auditor::Sent;
use chain::abi::MintToken;
use domain::event::EventType;
use domain::{OrderEvent, PaymentId, PaymentKey};
use serde_json::Value;
use uuid::Uuid;

/// How an order must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Paid once, minted once.
    Minted,
    /// Never charged, for this reason.
    Failed(&'static str),
    /// Paid, and the mint waits for an operator, for this reason.
    Parked(&'static str),
    /// Charged around the token, for this reason. The payment waits for an operator.
    PaymentParked(&'static str),
    /// The payer has the money back, and no units.
    Refunded,
    /// Not charged yet, for this reason.
    Waiting(&'static str),
}

/// An order that was answered with 202.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: PaymentId,
    pub key: PaymentKey,
    pub payer: Address,
    pub token: Address,
    pub quantity: u32,
    pub value: u64,
    pub nonce: B256,
    /// The signed payment.
    pub sent: Sent,
    pub outcome: Outcome,
    /// True if another account settles the payment.
    pub paid_by_third_party: bool,
    /// True if another account has the units minted.
    pub minted_by_third_party: bool,
}

impl Order {
    /// The order of this payment, which must end as minted.
    pub fn of(payment: &Payment) -> Self {
        let auth = &payment.transfer.authorization;
        Self {
            id: payment.id(),
            key: payment.key(),
            payer: auth.from,
            token: payment.terms.token,
            quantity: payment.quantity,
            value: auth.value.0,
            nonce: auth.nonce,
            sent: Sent {
                from: auth.from,
                to: auth.to,
                value: U256::from(auth.value.0),
                valid_after: U256::from(auth.valid_after),
                valid_before: U256::from(auth.valid_before),
                nonce: auth.nonce,
                signature: payment.transfer.signature.to_vec(),
                identifier: None,
            },
            outcome: Outcome::Minted,
            paid_by_third_party: false,
            minted_by_third_party: false,
        }
    }

    /// The order in the ledger, if another client signed it.
    pub fn read(requested: &Entry) -> Self {
        let data = &requested.body["data"];
        let (auth, purchase) = (&data["authorization"], &data["purchase"]);
        let key = PaymentKey(requested.text("paymentKey").parse().unwrap());
        Self {
            id: PaymentId::of(key),
            key,
            payer: auth["from"].as_str().unwrap().parse().unwrap(),
            token: purchase["token"].as_str().unwrap().parse().unwrap(),
            quantity: u32::try_from(purchase["quantity"].as_u64().unwrap()).unwrap(),
            value: auth["value"].as_str().unwrap().parse().unwrap(),
            nonce: auth["nonce"].as_str().unwrap().parse().unwrap(),
            sent: Sent {
                from: auth["from"].as_str().unwrap().parse().unwrap(),
                to: auth["to"].as_str().unwrap().parse().unwrap(),
                value: decimal(&auth["value"]),
                valid_after: decimal(&auth["validAfter"]),
                valid_before: decimal(&auth["validBefore"]),
                nonce: auth["nonce"].as_str().unwrap().parse().unwrap(),
                signature: requested.text("signature").parse::<Bytes>().unwrap().to_vec(),
                identifier: None,
            },
            outcome: Outcome::Minted,
            paid_by_third_party: false,
            minted_by_third_party: false,
        }
    }

    /// Changes the expected end.
    pub fn ends(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    /// The id of the order, in the auditor's form.
    pub fn uuid(&self) -> Uuid {
        self.id.to_string().parse().unwrap()
    }

    /// Expects that another account's transaction pays the order.
    pub fn paid_by_third_party(self) -> Self {
        Self { paid_by_third_party: true, ..self }
    }

    /// Expects that another account's transaction mints the units.
    pub fn minted_by_third_party(self) -> Self {
        Self { minted_by_third_party: true, ..self }
    }

    /// The call of the token with which anybody may have the units minted, once the payment is recorded.
    pub fn mint_call(&self) -> Bytes {
        MintToken::batchMintCall { keys: vec![self.key.0] }.abi_encode().into()
    }

    /// Subject of the order's event `name`, such as `payment.requested` or `mint.parked.1`.
    pub fn subject(&self, name: &str) -> String {
        let row = OrderEvent::ROWS.iter().find(|row| name.starts_with(row.name));
        let queue = row.and_then(|row| row.queue).map(|queue| format!("{queue}.")).unwrap_or_default();
        format!("orders.{}.{}.mint.{queue}{name}", self.id.shard(), self.id)
    }

    /// Name of the last event that is expected.
    pub fn last_event(&self) -> &'static str {
        match self.outcome {
            Outcome::Minted => "mint.confirmed",
            Outcome::Failed(_) => "payment.failed",
            Outcome::PaymentParked(_) => "payment.parked.1",
            Outcome::Refunded => "refund.confirmed",
            Outcome::Parked(_) => "mint.parked.1",
            Outcome::Waiting(_) => "payment.deferred.1",
        }
    }
}

fn decimal(value: &Value) -> U256 {
    U256::from_str_radix(value.as_str().unwrap(), 10).unwrap()
}
