//! The judgement of one record: the events that are missing in the ledger. Pure.

use chain::Head;
use chain::token::{Record, RecordTrace};
use domain::{BlockRef, FoundRecord, Order, Purchase, Quantity, RecordEnd, RecordEvent, RecordStage};

/// The moment at which records are read. Nodes keep the states of about 128 blocks, and a final block may be 450 blocks old. So
/// records are read after a younger block.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The block after which they are read. It is N deep.
    pub at: BlockRef,
    /// The last final block.
    pub last: Head,
}

impl Reading {
    /// The last block whose payments may be judged: it is final, and its records are there to be read.
    pub fn searched(&self) -> BlockRef {
        if self.at.number < self.last.block.number { self.at } else { self.last.block }
    }

    fn is_final(&self) -> bool {
        self.at.number <= self.last.block.number
    }
}

/// Everything that is known about a record.
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

/// The consequence of a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// The events that are missing in the ledger, in the order in which they are stored.
    pub events: Vec<RecordEvent>,
    /// The record, if its units are open and no order stands for them.
    pub open: Option<FoundRecord>,
    /// More follows once the block after which it was read is final.
    pub is_early: bool,
}

impl Facts<'_> {
    /// Judges the record. A creation before the last final block stays. An end has no time of its own, so it is
    /// proven only when the block after which it was read is final.
    pub fn judge(&self, reading: &Reading) -> Judgement {
        let RecordTrace { token, key, tx_hash, block } = *self.trace;
        let Some((recorded, quantity)) = self.record.recorded().and_then(|it| Some((it, Quantity::new(it.units)?)))
        else {
            return Judgement::default();
        };
        let found = FoundRecord { payment_key: key, token, payer: recorded.payer, quantity, tx_hash, block };
        let is_new = match self.stage {
            Some(RecordStage::Minted | RecordStage::Returned) => return Judgement::default(),
            Some(RecordStage::Found) => false,
            // An order tells of its own record.
            None if self.order.is_some_and(|order| stands_for(order, &found)) => return Judgement::default(),
            None => true,
        };
        let is_made = reading.is_final() || self.record.was_made_before(&reading.last);
        if is_new && !is_made {
            return Judgement { is_early: true, ..Judgement::default() };
        }
        let end = RecordEnd { token, quantity, block: reading.at };
        let end = match self.record {
            Record::Absent | Record::Paid(_) => None,
            Record::Minted(_) => Some(RecordEvent::Minted(end)),
            Record::Refunded(_) | Record::GivenBack(_) => Some(RecordEvent::Returned(end)),
        };
        let (open, is_early) = (end.is_none().then(|| found.clone()), end.is_some() && !reading.is_final());
        // Nothing is held by a record whose money is back.
        let is_told = is_new && !matches!(end, Some(RecordEvent::Returned(_)));
        let found = is_told.then_some(RecordEvent::Found(found));
        let end = end.filter(|_| reading.is_final() && (is_told || !is_new));
        Judgement { events: found.into_iter().chain(end).collect(), open, is_early }
    }
}

/// Returns whether the record is that of the order. A payer may sign two payments with one nonce: then the order has the id
/// of the record, and is for another token or another number of units.
fn stands_for(order: &Order, found: &FoundRecord) -> bool {
    let Purchase::Mint { token, quantity, .. } = order.request.purchase;
    (token, quantity, order.request.payer()) == (found.token, found.quantity, found.payer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::token::PaymentRecord;
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
        let block = |number| BlockRef { number, hash: B256::repeat_byte(9) };
        let head = |number| Head { block: block(number), parent: B256::ZERO, time: 100, base_fee_wei: 1 };
        let (late, early) = (Reading { at: block(90), last: head(90) }, Reading { at: block(90), last: head(89) });
        let made = |paid_at, units| PaymentRecord { payer: examples::PAYER, units, paid_at };
        let (of, young) = (|units| made(99, units), |units| made(100, units));
        let elsewhere = RecordTrace { token: Address::repeat_byte(9), ..trace };
        let (found, minted, returned) = (RecordStage::Found, RecordStage::Minted, RecordStage::Returned);
        let (ours, none): (Option<&Order>, Option<&Order>) = (Some(&order), None);
        type Events = &'static [&'static str];
        let (is_found, both): (Events, Events) = (&["record.found"], &["record.found", "record.minted"]);
        let (is_minted, is_returned): (Events, Events) = (&["record.minted"], &["record.returned"]);
        let at_once = |events: Events, is_open| ((events, is_open, false), (events, is_open, false));
        let later = |now: Events, events: Events, is_open| ((now, false, true), (events, is_open, false));
        // Before the block of the reading is final, and afterwards: events, whether it is open, whether more follows.
        let cases = [
            ("no record", &trace, Record::Absent, none, None, at_once(&[], false)),
            ("ours", &trace, Record::Paid(of(10)), ours, None, at_once(&[], false)),
            ("ours, minted", &trace, Record::Minted(of(10)), ours, None, at_once(&[], false)),
            ("ours, back", &trace, Record::Refunded(of(10)), ours, None, at_once(&[], false)),
            ("a stranger's", &trace, Record::Paid(of(10)), none, None, at_once(is_found, true)),
            ("a stranger's, made too late", &trace, Record::Paid(young(10)), none, None, later(&[], is_found, true)),
            ("minted by itself", &trace, Record::Minted(of(10)), none, None, later(is_found, both, false)),
            ("made too late, minted", &trace, Record::Minted(young(10)), none, None, later(&[], both, false)),
            ("back before it was found", &trace, Record::Refunded(of(10)), none, None, later(&[], &[], false)),
            ("given back", &trace, Record::GivenBack(of(0)), none, None, at_once(&[], false)),
            ("other units", &trace, Record::Paid(of(5)), ours, None, at_once(is_found, true)),
            ("another token", &elsewhere, Record::Paid(of(10)), ours, None, at_once(is_found, true)),
            ("found before", &trace, Record::Paid(of(10)), none, Some(found), at_once(&[], true)),
            ("found, then ordered", &trace, Record::Minted(of(10)), ours, Some(found), later(&[], is_minted, false)),
            ("found, then back", &trace, Record::Refunded(of(10)), none, Some(found), later(&[], is_returned, false)),
            ("ended as minted", &trace, Record::Minted(of(10)), none, Some(minted), at_once(&[], false)),
            ("ended as returned", &trace, Record::Refunded(of(10)), none, Some(returned), at_once(&[], false)),
        ];
        for (name, trace, record, order, stage, (before, after)) in cases {
            for (reading, expected) in [(early, before), (late, after)] {
                let Judgement { events, open, is_early } = Facts { trace, record, order, stage }.judge(&reading);
                let names: Vec<&str> = events.iter().map(RecordEvent::name).collect();
                assert_eq!((names.as_slice(), open.is_some(), is_early), expected, "{name} at {reading:?}");
            }
        }
    }

    #[test]
    fn blocks_are_searched_that_are_final_and_whose_records_were_there_to_be_read() {
        let block = |number| BlockRef { number, hash: B256::repeat_byte(9) };
        let last = Head { block: block(50), parent: B256::ZERO, time: 1, base_fee_wei: 1 };
        let searched = |at| Reading { at: block(at), last }.searched().number;
        assert_eq!([searched(49), searched(50), searched(51)], [49, 50, 50]);
    }
}
