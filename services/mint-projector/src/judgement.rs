//! The judgement of one record: the events that are missing in the ledger. Pure.

use chain::token::{PaymentRecord, Record, RecordTrace};
use domain::{BlockRef, FoundRecord, Order, Purchase, Quantity, RecordEnd, RecordEvent, RecordStage};

/// Everything that is known about a record, read after one final block.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The payment that made the record.
    pub trace: &'a RecordTrace,
    /// The record.
    pub record: Record,
    /// The order with the id of the payment, if there is one that has not failed.
    pub order: Option<&'a Order>,
    /// The state of the record in the ledger, if it was found before.
    pub stage: Option<RecordStage>,
}

/// The events that are to be written, and the record if it is still to be minted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// In the order in which they are stored.
    pub events: Vec<RecordEvent>,
    /// The record, if its units are open and no order stands for them.
    pub open: Option<FoundRecord>,
}

impl Facts<'_> {
    /// Judges the record, as it is after the final block `at`.
    pub fn judge(&self, at: BlockRef) -> Judgement {
        let Some((recorded, is_open, is_back)) = state(self.record) else { return Judgement::default() };
        let RecordTrace { token, key, tx_hash, block } = *self.trace;
        let Some(quantity) = Quantity::new(recorded.units) else { return Judgement::default() };
        let found = FoundRecord { payment_key: key, token, payer: recorded.payer, quantity, tx_hash, block };
        let mut events = Vec::new();
        match self.stage {
            Some(RecordStage::Minted | RecordStage::Returned) => return Judgement::default(),
            Some(RecordStage::Found) => {}
            // Nothing is held by a record whose money is back, and an order tells of its own record.
            None if is_back || self.order.is_some_and(|order| stands_for(order, &found)) => {
                return Judgement::default();
            }
            None => events.push(RecordEvent::Found(found.clone())),
        }
        let end = RecordEnd { token, quantity, block: at };
        match (is_open, is_back) {
            (true, _) => {}
            (false, true) => events.push(RecordEvent::Returned(end)),
            (false, false) => events.push(RecordEvent::Minted(end)),
        }
        Judgement { events, open: is_open.then_some(found) }
    }
}

/// Returns whether the record is that of the order. A payer may sign two payments with one nonce: then the order has the id
/// of the record, and is for another token or another number of units.
fn stands_for(order: &Order, found: &FoundRecord) -> bool {
    let Purchase::Mint { token, quantity, .. } = order.request.purchase;
    (token, quantity, order.request.payer()) == (found.token, found.quantity, found.payer)
}

/// Returns whether units are held by the record: they are minted, or due.
pub const fn holds(record: Record) -> bool {
    matches!(record, Record::Paid(_) | Record::Minted(_))
}

/// The content of a record, whether its units are open, and whether the money is back. `None` without a record.
const fn state(record: Record) -> Option<(PaymentRecord, bool, bool)> {
    match record {
        Record::Absent => None,
        Record::Paid(recorded) => Some((recorded, true, false)),
        Record::Minted(recorded) => Some((recorded, false, false)),
        Record::Refunded(recorded) | Record::GivenBack(recorded) => Some((recorded, false, true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::{Address, B256};
    use domain::examples;

    #[test]
    fn a_record_is_written_down_unless_an_order_stands_for_it() {
        let order = Order::requested(examples::request());
        let trace = RecordTrace {
            token: examples::TOKEN,
            key: order.request.payment_key,
            tx_hash: B256::repeat_byte(1),
            block: BlockRef { number: 7, hash: B256::repeat_byte(7) },
        };
        let at = BlockRef { number: 90, hash: B256::repeat_byte(9) };
        let of = |units| PaymentRecord { payer: examples::PAYER, units, paid_at: 1 };
        let elsewhere = RecordTrace { token: Address::repeat_byte(9), ..trace };
        let (found, minted, returned) = (RecordStage::Found, RecordStage::Minted, RecordStage::Returned);
        let (ours, none): (Option<&Order>, Option<&Order>) = (Some(&order), None);
        type Case<'a> = (&'a str, &'a RecordTrace, Record, Option<&'a Order>, Option<RecordStage>, &'a [&'a str], bool);
        let cases: [Case<'_>; 14] = [
            ("no record", &trace, Record::Absent, none, None, &[], false),
            ("ours", &trace, Record::Paid(of(10)), ours, None, &[], false),
            ("ours, minted", &trace, Record::Minted(of(10)), ours, None, &[], false),
            ("a stranger's", &trace, Record::Paid(of(10)), none, None, &["record.found"], true),
            ("minted by itself", &trace, Record::Minted(of(10)), none, None, &["record.found", "record.minted"], false),
            ("back before it was found", &trace, Record::Refunded(of(10)), none, None, &[], false),
            ("given back", &trace, Record::GivenBack(of(0)), none, None, &[], false),
            ("other units", &trace, Record::Paid(of(5)), ours, None, &["record.found"], true),
            ("another token", &elsewhere, Record::Paid(of(10)), ours, None, &["record.found"], true),
            ("found before", &trace, Record::Paid(of(10)), none, Some(found), &[], true),
            ("found, then ordered", &trace, Record::Minted(of(10)), ours, Some(found), &["record.minted"], false),
            ("found, then back", &trace, Record::Refunded(of(10)), none, Some(found), &["record.returned"], false),
            ("ended as minted", &trace, Record::Minted(of(10)), none, Some(minted), &[], false),
            ("ended as returned", &trace, Record::Refunded(of(10)), none, Some(returned), &[], false),
        ];
        for (name, trace, record, order, stage, events, is_open) in cases {
            let judged = Facts { trace, record, order, stage }.judge(at);
            let names: Vec<&str> = judged.events.iter().map(RecordEvent::name).collect();
            assert_eq!((names.as_slice(), judged.open.is_some()), (events, is_open), "{name}");
        }
    }
}
