//! Writes down the records of a token that no order stands for, and which of them have ended, and keeps the pool in step.

use crate::judgement::{Facts, Judgement, Reading};
use crate::pool::FoundPool;
use chain::Address;
use chain::token::{Record, RecordTrace};
use domain::{Event, FoundRecord, Order, PaymentId, RecordEvent, RecordStage};
use ledger::{AppendError, Batch, Expected, Ledger, NewEvent};
use runtime::Undone;
use std::cmp::Reverse;
use std::collections::HashMap;

/// A record, and what made it.
pub type Traced = (RecordTrace, Record);

/// The writer of records without an order.
#[derive(Clone)]
pub struct RecordWriter {
    pub ledger: Ledger,
    /// Records that are to be minted.
    pub pool: FoundPool,
}

/// Records that were judged, and are to be judged again.
#[derive(Debug, Default, PartialEq)]
pub struct Left {
    /// Those that are not final yet, and whether the ledger knows them.
    pub early: Vec<(Traced, bool)>,
    /// Those for which the budget of the token is not enough.
    pub unpaid: Vec<Traced>,
}

/// The records that a judgement is needed for, the largest first. If a budget is not enough for all of a page, many small
/// records keep no large one out. A trace without a record is left out, before anybody asks the ledger about it.
pub fn recorded(traces: &[RecordTrace], records: Vec<Record>) -> Vec<Traced> {
    let mut recorded: Vec<Traced> =
        traces.iter().copied().zip(records).filter(|(_, record)| units(*record) > 0).collect();
    recorded.sort_by_key(|(_, record)| Reverse(units(*record)));
    recorded
}

/// Units that the record holds or has held.
pub fn units(record: Record) -> u32 {
    record.recorded().map_or(0, |recorded| recorded.units)
}

impl RecordWriter {
    /// Judges the records of `token` and writes down what is missing. After an error nothing is written or all is, and the
    /// budget is as it was. Writing it again is harmless.
    ///
    /// # Errors
    /// `Stale`: another writer was first. Otherwise the ledger did not answer.
    pub async fn write(&self, token: Address, records: &[Traced], reading: &Reading) -> Result<Left, Undone> {
        let ids: Vec<PaymentId> = records.iter().map(|(trace, _)| PaymentId::of(trace.key)).collect();
        let stages = self.ledger.found_records(&ids).await?;
        let new: Vec<PaymentId> = ids.into_iter().filter(|id| !stages.contains_key(id)).collect();
        let orders = self.ledger.unfailed(&new).await?;
        let Plan { founds, ends, open, left } = plan(records, &stages, &orders, self.pool.room(token), reading);
        let found = founds.len();
        self.append(founds, ends).await?;
        self.pool.pay(token, found);
        for (id, open) in open {
            match open {
                Some(record) => self.pool.put(record),
                None => self.pool.remove(token, id),
            }
        }
        Ok(left)
    }

    async fn append(&self, founds: Vec<NewEvent>, ends: Vec<NewEvent>) -> Result<(), Undone> {
        if founds.is_empty() && ends.is_empty() {
            return Ok(());
        }
        let (found, ended) = (founds.len(), ends.len());
        match self.ledger.append(Batch::led_by(founds).then(ends)).await {
            Ok(_) => {
                tracing::info!(found, ended, "records without an order");
                Ok(())
            }
            Err(AppendError::WrongVersion) => Err(Undone::Stale),
            Err(other) => Err(other.into()),
        }
    }
}

/// Everything that one append holds, and what is so once it is stored.
#[derive(Debug, Default)]
struct Plan {
    founds: Vec<NewEvent>,
    ends: Vec<NewEvent>,
    /// For each judged record its entry in the pool; `None` for one that is not to be minted.
    open: Vec<(PaymentId, Option<FoundRecord>)>,
    left: Left,
}

/// Plans the events for `records`, with at most `room` new ones. The ends of known records cost nothing.
fn plan(
    records: &[Traced],
    stages: &HashMap<PaymentId, RecordStage>,
    orders: &HashMap<PaymentId, Option<Order>>,
    room: usize,
    reading: &Reading,
) -> Plan {
    let mut plan = Plan::default();
    for traced @ (trace, record) in records {
        let id = PaymentId::of(trace.key);
        let order = orders.get(&id).and_then(Option::as_ref);
        let stage = stages.get(&id).copied();
        let Judgement { events, open, is_early } = Facts { trace, record: *record, order, stage }.judge(reading);
        let is_new = matches!(events.first(), Some(RecordEvent::Found(_)));
        if is_new && plan.founds.len() >= room {
            plan.left.unpaid.push(*traced);
            continue;
        }
        if is_early {
            plan.left.early.push((*traced, is_new || stage.is_some()));
        }
        for event in events {
            // An order that is requested at this moment would stand for the record.
            let is_free = is_new && !orders.contains_key(&id);
            let expected = if is_free { Expected::Version(0) } else { Expected::Absent };
            let list = if matches!(event, RecordEvent::Found(_)) { &mut plan.founds } else { &mut plan.ends };
            list.push(NewEvent { event: Event::Record(id, event), expected, trace: None });
        }
        plan.open.push((id, open));
    }
    plan
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chain::token::{LONE_DELIVERY_GAS, PER_DELIVERY_GAS, PaymentRecord};
    use chain::{B256, Head};
    use domain::{BlockRef, PaymentKey, examples};
    use runtime::SharedSettings;
    use testkit::Broker;

    /// Read after the final block 90.
    const LATE: Reading = {
        let at = BlockRef { number: 90, hash: B256::repeat_byte(9) };
        Reading { at, last: Head { block: at, parent: B256::ZERO, time: 100, base_fee_wei: 1 } }
    };

    fn trace(n: u8) -> RecordTrace {
        let block = BlockRef { number: 7, hash: B256::repeat_byte(7) };
        RecordTrace {
            token: examples::TOKEN,
            key: PaymentKey(B256::repeat_byte(n)),
            tx_hash: B256::repeat_byte(1),
            block,
        }
    }

    fn of(units: u32) -> PaymentRecord {
        PaymentRecord { payer: examples::PAYER, units, paid_at: 1 }
    }

    fn id(n: u8) -> PaymentId {
        PaymentId::of(trace(n).key)
    }

    fn pool(records: u64) -> FoundPool {
        let settings = SharedSettings::default();
        settings.change(|settings| settings.record_gas_per_day = LONE_DELIVERY_GAS + PER_DELIVERY_GAS * records);
        FoundPool::new(settings)
    }

    #[test]
    fn the_ledger_is_asked_only_about_records() {
        let traces: Vec<RecordTrace> = (1..=6).map(trace).collect();
        let records = vec![
            Record::Absent,
            Record::Paid(of(1)),
            Record::Minted(of(5)),
            Record::GivenBack(of(0)),
            Record::Refunded(of(2)),
            Record::Paid(of(9)),
        ];
        let recorded = recorded(&traces, records);
        let keys: Vec<PaymentKey> = recorded.iter().map(|(trace, _)| trace.key).collect();
        assert_eq!(keys, [6, 3, 5, 2].map(|n| trace(n).key), "the largest first");
    }

    #[test]
    fn a_small_budget_goes_to_the_largest_records_and_known_ones_end_all_the_same() {
        let traces: Vec<RecordTrace> = (1..=4).map(trace).collect();
        let records = vec![Record::Paid(of(1)), Record::Paid(of(7)), Record::Paid(of(3)), Record::Minted(of(1))];
        let stages = HashMap::from([(id(4), RecordStage::Found)]);
        let plan = plan(&recorded(&traces, records), &stages, &HashMap::new(), 1, &LATE);
        let found: Vec<&Event> = plan.founds.iter().map(|new| &new.event).collect();
        assert!(matches!(found[..], [Event::Record(one, _)] if *one == id(2)), "{found:?}");
        assert_eq!((plan.ends.len(), plan.left.unpaid.len(), plan.left.early.len()), (1, 2, 0));
        let open: Vec<_> = plan.open.iter().map(|(id, open)| (*id, open.is_some())).collect();
        assert_eq!(open, [(id(2), true), (id(4), false)], "the others are judged again later");
    }

    /// A record that has ended is nothing for a lane, although its end may fall out of the chain.
    #[test]
    fn what_is_not_final_is_left_and_is_not_minted_meanwhile() {
        let early = Reading { at: BlockRef { number: 91, ..LATE.at }, ..LATE };
        let traces: Vec<RecordTrace> = (1..=3).map(trace).collect();
        let records = vec![Record::Paid(of(1)), Record::Minted(of(2)), Record::Minted(of(3))];
        let (records, stages) = (recorded(&traces, records), HashMap::from([(id(3), RecordStage::Found)]));
        let plan = plan(&records, &stages, &HashMap::new(), 1, &early);
        let left: Vec<_> = plan.left.early.iter().map(|((trace, _), is_known)| (trace.key, *is_known)).collect();
        assert_eq!(left, [(trace(3).key, true), (trace(2).key, true)]);
        let open: Vec<_> = plan.open.iter().map(|(id, open)| (*id, open.is_some())).collect();
        assert_eq!(
            (plan.founds.len(), plan.ends.len(), plan.left.unpaid.len()),
            (1, 0, 1),
            "two are new, one is paid for"
        );
        assert_eq!(open, [(id(3), false), (id(2), false)]);
    }

    /// An account of another service may not write records.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_not_stored_costs_nothing_and_what_is_stored_costs_once() {
        let broker = Broker::with_accounts().await;
        let pool = pool(3);
        let records = recorded(&[trace(1), trace(2)], vec![Record::Paid(of(1)), Record::Paid(of(2))]);
        let stranger = RecordWriter { ledger: broker.ledger("payment-sender").await, pool: pool.clone() };
        assert!(stranger.write(examples::TOKEN, &records, &LATE).await.is_err());
        assert_eq!((pool.room(examples::TOKEN), pool.waiting().len()), (3, 0));

        let writer = RecordWriter { ledger: broker.ledger("mint-projector").await, pool: pool.clone() };
        for _ in 0..2 {
            assert_eq!(writer.write(examples::TOKEN, &records, &LATE).await.unwrap(), Left::default());
            assert_eq!((pool.room(examples::TOKEN), pool.waiting().len()), (1, 2));
        }
    }
}
