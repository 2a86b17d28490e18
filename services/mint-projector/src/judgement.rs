//! The judgement of one record: the events that are missing in the ledger. Pure.

use chain::Head;
use chain::token::{Record, RecordTrace};
use domain::{BlockRef, FoundRecord, Order, Purchase, Quantity, RecordEnd, RecordEvent, RecordStage};

/// When records were read. Nodes keep the states of about 128 blocks, and a final block may be 450 blocks old, so records are
/// read after a younger block.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The block after which they were read. It is N deep.
    pub at: BlockRef,
    /// The last final block.
    pub last: Head,
}

impl Reading {
    /// The last block whose payments may be judged: it is final, and its records were there to be read.
    pub fn searched(&self) -> BlockRef {
        if self.at.number < self.last.block.number { self.at } else { self.last.block }
    }

    /// Returns whether a final block shows the record, and its end if it has ended. An end has no time of its own, so it is
    /// proven only when the block after which it was read is final.
    fn proves(&self, record: Record) -> bool {
        let is_open = matches!(record, Record::Paid(_));
        self.at.number <= self.last.block.number || is_open && record.was_made_before(&self.last)
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
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// No final block shows it yet. It is judged when the block after which it was read is final.
    Early,
    /// Everything else.
    Final {
        /// The events that are missing in the ledger, in the order in which they are stored.
        events: Vec<RecordEvent>,
        /// The record, if its units are open and no order stands for them.
        open: Option<FoundRecord>,
    },
}

impl Facts<'_> {
    /// Judges the record.
    pub fn judge(&self, reading: &Reading) -> Judgement {
        let nothing = Judgement::Final { events: Vec::new(), open: None };
        let RecordTrace { token, key, tx_hash, block } = *self.trace;
        let Some((recorded, quantity)) = self.record.recorded().and_then(|it| Some((it, Quantity::new(it.units)?)))
        else {
            return nothing;
        };
        let found = FoundRecord { payment_key: key, token, payer: recorded.payer, quantity, tx_hash, block };
        let is_new = match self.stage {
            Some(RecordStage::Minted | RecordStage::Returned) => return nothing,
            Some(RecordStage::Found) => false,
            // An order tells of its own record.
            None if self.order.is_some_and(|order| stands_for(order, &found)) => return nothing,
            None => true,
        };
        if !reading.proves(self.record) {
            return Judgement::Early;
        }
        let end = RecordEnd { token, quantity, block: reading.at };
        let (end, open) = match self.record {
            Record::Absent | Record::Paid(_) => (None, Some(found.clone())),
            Record::Minted(_) => (Some(RecordEvent::Minted(end)), None),
            // Nothing is held by a record whose money is back.
            Record::Refunded(_) | Record::GivenBack(_) if is_new => return nothing,
            Record::Refunded(_) | Record::GivenBack(_) => (Some(RecordEvent::Returned(end)), None),
        };
        let events = is_new.then_some(RecordEvent::Found(found)).into_iter().chain(end).collect();
        Judgement::Final { events, open }
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
        let (is_found, both): (&[&str], &[&str]) = (&["record.found"], &["record.found", "record.minted"]);
        let at_once = |events: &'static [&'static str], is_open| (Some((events, is_open)), Some((events, is_open)));
        let later = |events: &'static [&'static str], is_open| (None, Some((events, is_open)));
        // What is so before the block of the reading is final, and what is so afterwards. `None`: it is early.
        let cases = [
            ("no record", &trace, Record::Absent, none, None, at_once(&[], false)),
            ("ours", &trace, Record::Paid(of(10)), ours, None, at_once(&[], false)),
            ("ours, minted", &trace, Record::Minted(of(10)), ours, None, at_once(&[], false)),
            ("ours, back", &trace, Record::Refunded(of(10)), ours, None, at_once(&[], false)),
            ("a stranger's", &trace, Record::Paid(of(10)), none, None, at_once(is_found, true)),
            ("a stranger's, made too late", &trace, Record::Paid(young(10)), none, None, later(is_found, true)),
            ("minted by itself", &trace, Record::Minted(of(10)), none, None, later(both, false)),
            ("back before it was found", &trace, Record::Refunded(of(10)), none, None, later(&[], false)),
            ("given back", &trace, Record::GivenBack(of(0)), none, None, at_once(&[], false)),
            ("other units", &trace, Record::Paid(of(5)), ours, None, at_once(is_found, true)),
            ("another token", &elsewhere, Record::Paid(of(10)), ours, None, at_once(is_found, true)),
            ("found before", &trace, Record::Paid(of(10)), none, Some(found), at_once(&[], true)),
            ("found, then ordered", &trace, Record::Minted(of(10)), ours, Some(found), later(&["record.minted"], false)),
            ("found, then back", &trace, Record::Refunded(of(10)), none, Some(found), later(&["record.returned"], false)),
            ("ended as minted", &trace, Record::Minted(of(10)), none, Some(minted), at_once(&[], false)),
            ("ended as returned", &trace, Record::Refunded(of(10)), none, Some(returned), at_once(&[], false)),
        ];
        for (name, trace, record, order, stage, (before, after)) in cases {
            for (reading, expected) in [(early, before), (late, after)] {
                let judged = Facts { trace, record, order, stage }.judge(&reading);
                let said = match &judged {
                    Judgement::Early => None,
                    Judgement::Final { events, open } => {
                        Some((events.iter().map(RecordEvent::name).collect::<Vec<_>>(), open.is_some()))
                    }
                };
                assert_eq!(said, expected.map(|(events, is_open)| (events.to_vec(), is_open)), "{name} at {reading:?}");
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
