//! The events of an order: the payment, and the debt that it pays for.

use super::evidence::{
    Deferral, Minted, Parked, PaymentFailure, PaymentProof, Redrive, RefundRequest, Refunded, Reversal, Submission,
};
use super::hold::OrderHold;
use super::legs::order_events;
use super::table::EventData;
use crate::request::PaymentRequest;

order_events! {
    /// An event of an order: the request, then the steps of its legs. A new leg adds its rows here.
    ///
    /// The events after which a mint is owed are in the queue `owed`, and those after which an operator's lane has work in
    /// the queue `operator`.
    pub enum OrderEvent {
        request {
            /// The order was accepted. The client gets 202.
            PaymentRequested (Box<PaymentRequest>) = "payment.requested",
        }
        beside {
            /// A message of the order was set aside: no service goes on with it. The stage stays what it was.
            OrderHeld #n (OrderHold) = "order.held",
            /// A person has the message of this hold handled once more. The number is that of the hold.
            OrderReleased #n (Redrive) = "order.released",
        }
        Payment(PaymentProof) {
            /// The payment is in a signed settlement transaction, which is broadcast after this event is stored.
            PaymentSubmitted #n (Submission) = "payment.submitted" => Submitted,
            /// The payment would fail now and may succeed later. It waits, visibly, with its reason.
            PaymentDeferred #n (Deferral) = "payment.deferred" => Deferred,
            /// The payer was charged around the token, in a final block. An operator must record the payment or return it.
            PaymentParked #n (Parked) = "payment.parked" in "operator" => Parked,
            /// The token's record of the payment is N blocks deep.
            PaymentConfirmed (PaymentProof) = "payment.confirmed" in "owed" => Confirmed,
            /// The block that showed the record is no longer in the chain. The payment is open again, and nothing is
            /// minted for it.
            PaymentReverted #n (Reversal) = "payment.reverted" => Reverted,
            /// The record is N blocks deep again, perhaps in another block. The number is that of the reversal.
            PaymentRestored #n (PaymentProof) = "payment.restored" in "owed" => Restored,
            /// The payment can never be charged. The proof is in a final block, so this is never taken back.
            PaymentFailed (PaymentFailure) = "payment.failed" => Failed,
        }
        Mint(Minted) {
            /// The mint is in a signed mint transaction.
            MintSubmitted #n (Submission) = "mint.submitted" => Submitted,
            /// The mint cannot be made now, for a reason that may pass.
            MintDeferred #n (Deferral) = "mint.deferred" in "owed" => Deferred,
            /// The mint waits for an operator.
            MintParked #n (Parked) = "mint.parked" => Parked,
            /// A person has the parked mint tried once more. The number is that of the parking.
            MintRedriven #n (Redrive) = "mint.redriven" in "owed" => Redriven,
            /// The units are N blocks deep.
            MintConfirmed (Minted) = "mint.confirmed" => Confirmed,
            /// The block that held the units is no longer in the chain: their transaction is open again.
            MintReverted #n (Reversal) = "mint.reverted" => Reverted,
            /// The units are N blocks deep again. The number is that of the reversal.
            MintRestored #n (Minted) = "mint.restored" => Restored,
        }
        Refund(Refunded) {
            /// The money is to go back to its payer. From now on no lane mints for it.
            RefundRequested (RefundRequest) = "refund.requested" in "operator" => Requested,
            /// The refund is in a signed transaction of an operator's lane.
            RefundSubmitted #n (Submission) = "refund.submitted" => Submitted,
            /// The money cannot go back now, for a reason that may pass.
            RefundDeferred #n (Deferral) = "refund.deferred" in "operator" => Deferred,
            /// The refund waits for a person.
            RefundParked #n (Parked) = "refund.parked" => Parked,
            /// A person has the parked refund tried once more. The number is that of the parking.
            RefundRedriven #n (Redrive) = "refund.redriven" in "operator" => Redriven,
            /// The refund is N blocks deep.
            RefundConfirmed (Refunded) = "refund.confirmed" => Confirmed,
            /// The block that showed the refund is no longer in the chain.
            RefundReverted #n (Reversal) = "refund.reverted" => Reverted,
            /// The refund is N blocks deep again. The number is that of the reversal.
            RefundRestored #n (Refunded) = "refund.restored" => Restored,
        }
    }
}

impl EventData for PaymentRequest {}
