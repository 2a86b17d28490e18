//! The ledger's record of a run: speed of each step, sizes of the batches, costs.

use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use domain::event::Purpose;
use domain::{Event, OrderEvent, PaymentId, Recorded, SignerEvent};
use futures_util::StreamExt;
use ledger::Ledger;
use runtime::Fatal;
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;

use crate::load::percentile_ms;

/// The steps of an order, by the event that ends each.
pub const STEPS: [&str; 5] = ["requested", "submitted", "confirmed", "mint submitted", "mint confirmed"];

/// The step that ends with the payment N blocks deep.
pub const SETTLED: usize = 2;
/// The last one.
pub const MINTED: usize = STEPS.len() - 1;

/// The transactions of one purpose.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Batches {
    /// Settled ones.
    pub transactions: usize,
    /// Orders in them.
    pub items: usize,
    /// Gas of all of them.
    pub gas: u64,
}

impl Batches {
    /// Orders in one, on average.
    pub fn mean_size(&self) -> f64 {
        self.items as f64 / self.transactions as f64
    }

    /// Gas of one order, on average.
    pub fn gas_per_item(&self) -> f64 {
        self.gas as f64 / self.items as f64
    }
}

/// One step of all orders.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// One of [`STEPS`].
    pub name: &'static str,
    /// Orders that came so far.
    pub count: usize,
    /// First and last, milliseconds since the first order.
    pub window_ms: (i64, i64),
    /// Wait since the step before, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of that wait, milliseconds.
    pub p99_ms: f64,
}

/// A whole run.
#[derive(Debug, Default)]
pub struct History {
    orders: HashMap<PaymentId, [Option<DateTime<Utc>>; STEPS.len()]>,
    signed: HashMap<(Address, u64), (Purpose, usize)>,
    /// When the ledger was told of a settled transaction, and its gas.
    spent: Vec<(DateTime<Utc>, u64)>,
    /// `payment.deferred`, `payment.failed`, `payment.parked`, `mint.deferred`, `mint.parked`, `ops.parked`, replaced and
    /// lost nonces: none, where all is well.
    pub detours: usize,
    /// Settlements.
    pub settle: Batches,
    /// Mints.
    pub mint: Batches,
}

impl History {
    /// Reads the ledger from its beginning up to `last`.
    ///
    /// # Errors
    /// The ledger does not answer, or holds what cannot be read.
    pub async fn read(ledger: &Ledger, last: u64) -> Result<Self, Fatal> {
        let mut history = Self::default();
        let mut events = ledger.read_from(1).await?;
        while let Some(recorded) = events.next().await {
            let recorded = recorded?;
            history.add(&recorded)?;
            if recorded.seq >= last {
                return Ok(history);
            }
        }
        Err("the ledger ended before its last event".into())
    }

    fn add(&mut self, recorded: &Recorded) -> Result<(), Fatal> {
        let event = recorded.event.as_ref().map_err(|e| format!("{}: {e}", recorded.subject))?;
        match event {
            Event::Order(id, event) => {
                let step = match event {
                    OrderEvent::PaymentRequested(_) => 0,
                    OrderEvent::PaymentSubmitted(..) => 1,
                    OrderEvent::PaymentConfirmed(_) => 2,
                    OrderEvent::MintSubmitted(..) => 3,
                    OrderEvent::MintConfirmed(_) => 4,
                    OrderEvent::PaymentDeferred(..)
                    | OrderEvent::PaymentFailed(_)
                    | OrderEvent::PaymentParked(..)
                    | OrderEvent::MintDeferred(..)
                    | OrderEvent::MintParked(..)
                    | OrderEvent::MintRedriven(..)
                    | OrderEvent::RefundRedriven(..)
                    | OrderEvent::OrderHeld(..)
                    | OrderEvent::OrderReleased(..)
                    | OrderEvent::PaymentReverted(..)
                    | OrderEvent::PaymentRestored(..)
                    | OrderEvent::MintReverted(..)
                    | OrderEvent::MintRestored(..)
                    | OrderEvent::RefundRequested(_)
                    | OrderEvent::RefundSubmitted(..)
                    | OrderEvent::RefundDeferred(..)
                    | OrderEvent::RefundParked(..)
                    | OrderEvent::RefundConfirmed(_)
                    | OrderEvent::RefundReverted(..)
                    | OrderEvent::RefundRestored(..) => {
                        self.detours += 1;
                        return Ok(());
                    }
                };
                self.orders.entry(*id).or_default()[step].get_or_insert(recorded.recorded_at);
            }
            Event::Signer(lane, SignerEvent::Signed(tx)) => {
                self.signed.insert((lane.signer, tx.nonce), (tx.purpose, tx.items.len()));
            }
            Event::Signer(lane, SignerEvent::Settled(settled)) => {
                let signed = self.signed.get(&(lane.signer, settled.nonce)).copied();
                self.spent.push((recorded.recorded_at, settled.gas_used));
                let (purpose, items) = signed.ok_or("a settled transaction that nobody signed")?;
                let batches = match purpose {
                    Purpose::Settle => &mut self.settle,
                    Purpose::Mint => &mut self.mint,
                    // Its orders are counted as detours.
                    Purpose::Operate => return Ok(()),
                };
                batches.transactions += 1;
                batches.items += items;
                batches.gas += settled.gas_used;
            }
            Event::Ops(_) => self.detours += 1,
            Event::Signer(
                _,
                SignerEvent::Replaced(..)
                | SignerEvent::Lost(_)
                | SignerEvent::Reverted(..)
                | SignerEvent::Resettled(..),
            ) => self.detours += 1,
            Event::Signer(_, SignerEvent::Claimed(_)) | Event::Token(..) | Event::Record(..) | Event::Key(..) => {}
        }
        Ok(())
    }

    /// Orders that came to the last step.
    pub fn minted(&self) -> usize {
        self.orders.values().filter(|order| order[MINTED].is_some()).count()
    }

    /// Returns `true` if this order was minted.
    pub fn is_minted(&self, id: PaymentId) -> bool {
        self.orders.get(&id).is_some_and(|order| order[MINTED].is_some())
    }

    /// When the order came to `step`.
    pub fn reached(&self, id: PaymentId, step: usize) -> Option<DateTime<Utc>> {
        self.orders.get(&id)?[step]
    }

    /// Gas of the transactions, of any purpose, that were settled from the first time on and before the second.
    pub fn gas(&self, (from, to): (DateTime<Utc>, DateTime<Utc>)) -> u64 {
        self.spent.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, gas)| gas).sum()
    }

    /// Orders that came to `step` from the first time on and before the second.
    pub fn count(&self, step: usize, (from, to): (DateTime<Utc>, DateTime<Utc>)) -> usize {
        self.orders.values().filter(|order| order[step].is_some_and(|at| (from..to).contains(&at))).count()
    }

    /// From the first order to the last mint.
    pub fn elapsed(&self) -> Option<Duration> {
        let first = self.orders.values().filter_map(|order| order[0]).min()?;
        let last = self.orders.values().filter_map(|order| order[MINTED]).max()?;
        (last - first).to_std().ok()
    }

    /// Minted a second, of the `count` orders that were requested last: from the first of these to the last mint.
    pub fn rate_of_last(&self, count: usize) -> f64 {
        let mut requested: Vec<_> = self.orders.values().filter_map(|order| order[0]).collect();
        requested.sort_unstable();
        let first = requested.len().checked_sub(count).and_then(|at| requested.get(at)).copied();
        let last = self.orders.values().filter_map(|order| order[MINTED]).max();
        let elapsed = first.zip(last).and_then(|(first, last)| (last - first).to_std().ok());
        elapsed.map_or(f64::NAN, |elapsed| count as f64 / elapsed.as_secs_f64())
    }

    /// From each order to its mint, sorted.
    pub fn latencies(&self) -> Vec<Duration> {
        self.between(0, MINTED)
    }

    /// Step by step.
    pub fn steps(&self) -> Vec<Step> {
        let Some(begun) = self.orders.values().filter_map(|order| order[0]).min() else { return Vec::new() };
        let step = |(at, name): (usize, &'static str)| {
            let times: Vec<i64> =
                self.orders.values().filter_map(|order| Some((order[at]? - begun).num_milliseconds())).collect();
            let waits = self.between(at.saturating_sub(1), at);
            Step {
                name,
                count: times.len(),
                window_ms: (times.iter().copied().min().unwrap_or(0), times.iter().copied().max().unwrap_or(0)),
                p50_ms: percentile_ms(&waits, 0.5),
                p99_ms: percentile_ms(&waits, 0.99),
            }
        };
        STEPS.into_iter().enumerate().map(step).collect()
    }

    fn between(&self, from: usize, to: usize) -> Vec<Duration> {
        let wait = |order: &[Option<DateTime<Utc>>; STEPS.len()]| (order[to]? - order[from]?).to_std().ok();
        let mut waits: Vec<Duration> = self.orders.values().filter_map(wait).collect();
        waits.sort_unstable();
        waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::PaymentKey;

    /// Orders that are requested at the first second, settled in between, and minted at the second one.
    fn history(orders: &[(i64, i64)]) -> History {
        let at = |second: i64| DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(second);
        let order = |(nth, (requested, minted)): (usize, &(i64, i64))| {
            let id = PaymentId::of(PaymentKey(alloy_primitives::B256::with_last_byte(nth as u8)));
            let (from, to) = (at(*requested), at(*minted));
            (id, [Some(from), None, Some(from + (to - from) / 2), None, Some(to)])
        };
        History { orders: orders.iter().enumerate().map(order).collect(), ..History::default() }
    }

    #[test]
    fn a_rate_is_that_of_the_last_orders_and_not_of_the_warm_up() {
        let history = history(&[(0, 2), (0, 2), (100, 104), (101, 110)]);
        assert_eq!(history.rate_of_last(2), 0.2);
        assert!(history.rate_of_last(5).is_nan());
    }

    #[test]
    fn a_window_counts_what_falls_into_it() {
        let history = history(&[(0, 2), (10, 14), (10, 20)]);
        let window = (
            DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(12),
            DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(20),
        );
        assert_eq!((history.count(SETTLED, window), history.count(MINTED, window)), (2, 1));
    }
}
