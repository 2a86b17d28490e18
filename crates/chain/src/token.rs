//! A token that takes its own payments: settling through it, its records, and delivering what they owe.
//!
//! The record of a payment, read after a block that is N deep, is the evidence that it was charged, minted or refunded,
//! whoever caused it. The contracts are described in `contracts`.

mod deliver;
mod operate;
mod pay;
mod records;
mod trace;
mod trial;

pub use deliver::{DELIVER_BATCH_MAX, Delivered, LONE_DELIVERY_GAS, PER_DELIVERY_GAS, deliver_call};
pub use operate::{Deed, OPERATE_BATCH_MAX, Operated, operate_call};
pub use pay::{PAY_BATCH_MAX, Paid, SEGMENTS_MAX, Segment, pay_call, payees, segments};
pub use records::{PaymentRecord, RECORDS_MAX, Record};
pub use trace::{RecordTrace, TRACED_TOKENS_MAX};
pub use trial::Trial;
