//! Records without an order that wait to be minted. They stand behind every order: they ride at the end of a batch of their
//! token, and get a transaction of their own only after a while, when nothing else is to be sent.

use crate::budget::GasBudget;
use chain::Address;
use chain::token::{LONE_DELIVERY_GAS, PER_DELIVERY_GAS};
use domain::{FoundRecord, PaymentId, PaymentKey};
use runtime::SharedSettings;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A record waits this many times longer for a batch of its token than an order waits for others: 30 s.
const PATIENCE: u32 = 15;

/// The shortest time that counts as the wait of an order.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// After a record was handed to a lane it is left alone this many times longer than an order waits for others: 60 s. If it is
/// not minted by then, it is tried again.
const AGAIN: u32 = 30;

/// The waiting records, shared by the finder and the lanes of this process. The chain and the ledger know all of it.
#[derive(Clone, Debug)]
pub struct FoundPool {
    inner: Arc<Mutex<Inner>>,
    settings: SharedSettings,
}

#[derive(Debug, Default)]
struct Inner {
    records: BTreeMap<Address, BTreeMap<PaymentId, Waiting>>,
    budget: GasBudget,
}

#[derive(Debug)]
struct Waiting {
    record: FoundRecord,
    /// Not handed to a lane before this.
    due: Instant,
}

impl FoundPool {
    /// An empty pool.
    pub fn new(settings: SharedSettings) -> Self {
        Self { inner: Arc::default(), settings }
    }

    /// Forgets every record. What the tokens have cost stays.
    pub fn clear(&self) {
        self.inner().records.clear();
    }

    /// Number of further records of `token` for which its budget has the gas of a mint. The gas of a transaction of their own
    /// is kept back. If finding spent it, nothing that was found would be minted.
    pub fn room(&self, token: Address) -> usize {
        let left = self.inner().budget.left(token, self.per_day(), Instant::now());
        usize::try_from(left.saturating_sub(LONE_DELIVERY_GAS) / PER_DELIVERY_GAS).unwrap_or(usize::MAX)
    }

    /// Takes the gas of `count` mints from the budget of `token`, because so many records were written down.
    pub fn pay(&self, token: Address, count: usize) {
        let gas = PER_DELIVERY_GAS.saturating_mul(u64::try_from(count).unwrap_or(u64::MAX));
        self.inner().budget.spend(token, gas, self.per_day(), Instant::now());
    }

    /// Takes what a transaction costs beside its mints, because it holds nothing but records of `token`.
    pub fn pay_alone(&self, token: Address) {
        self.inner().budget.spend(token, LONE_DELIVERY_GAS, self.per_day(), Instant::now());
    }

    /// Adds a record that is to be minted. One that waits already stays as it is.
    pub fn put(&self, record: FoundRecord) {
        let mut inner = self.inner();
        let of_token = inner.records.entry(record.token).or_default();
        let id = PaymentId::of(record.payment_key);
        of_token.entry(id).or_insert_with(|| Waiting { record, due: Instant::now() });
    }

    /// Removes a record that has ended.
    pub fn remove(&self, token: Address, id: PaymentId) {
        let mut inner = self.inner();
        if let Some(of_token) = inner.records.get_mut(&token) {
            of_token.remove(&id);
            if of_token.is_empty() {
                inner.records.remove(&token);
            }
        }
    }

    /// All waiting records, token by token.
    pub fn waiting(&self) -> Vec<FoundRecord> {
        self.inner().records.values().flat_map(BTreeMap::values).map(|waiting| waiting.record.clone()).collect()
    }

    /// At most `room` keys that are due, for a batch of `token`. They are left alone for a while.
    pub fn riders(&self, token: Address, room: usize) -> Vec<PaymentKey> {
        let (mut inner, now) = (self.inner(), Instant::now());
        let of_token = inner.records.get_mut(&token).into_iter().flat_map(BTreeMap::values_mut);
        let due = of_token.filter(|waiting| waiting.due <= now).take(room);
        due.map(|waiting| {
            waiting.due = now + self.wait(AGAIN);
            waiting.record.payment_key
        })
        .collect()
    }

    /// The token whose records have waited longest, if they have waited long enough for a transaction of their own and its
    /// budget has the gas for one.
    pub fn alone(&self) -> Option<Address> {
        let (inner, now, per_day) = (self.inner(), Instant::now(), self.per_day());
        let oldest = |records: &BTreeMap<PaymentId, Waiting>| records.values().map(|waiting| waiting.due).min();
        let waited = inner.records.iter().filter_map(|(token, records)| Some((oldest(records)?, *token)));
        let patient = waited.filter(|(due, _)| *due + self.wait(PATIENCE) <= now);
        patient
            .filter(|(_, token)| inner.budget.left(*token, per_day, now) >= LONE_DELIVERY_GAS)
            .min()
            .map(|(_, token)| token)
    }

    fn per_day(&self) -> u64 {
        self.settings.now().record_gas_per_day
    }

    fn wait(&self, times: u32) -> Duration {
        self.settings.now().mint_wait_max.max(WAIT_MIN).saturating_mul(times)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::examples;

    fn record(n: u8, token: u8) -> FoundRecord {
        let payment_key = PaymentKey(chain::B256::repeat_byte(n));
        FoundRecord { payment_key, token: Address::repeat_byte(token), ..examples::found_record() }
    }

    #[tokio::test(start_paused = true)]
    async fn records_ride_with_a_batch_and_are_sent_alone_only_after_a_while() {
        let pool = FoundPool::new(SharedSettings::default());
        let [one, other] = [1, 2].map(Address::repeat_byte);
        for (n, token) in [(1, 1), (2, 1), (3, 2)] {
            pool.put(record(n, token));
        }
        assert_eq!(pool.alone(), None, "a batch of its token may come");
        assert_eq!(pool.riders(one, 1).len(), 1, "no more than there is room");
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(pool.riders(one, 9).len(), 1, "what a lane has is left alone");
        assert_eq!((pool.riders(one, 9).len(), pool.alone()), (0, Some(other)));
        pool.remove(other, PaymentId::of(record(3, 2).payment_key));
        assert_eq!(pool.alone(), None);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!((pool.alone(), pool.riders(one, 9).len()), (Some(one), 2), "not minted: tried again");
    }

    fn pool(gas_per_day: u64) -> FoundPool {
        let settings = SharedSettings::default();
        settings.change(|settings| settings.record_gas_per_day = gas_per_day);
        FoundPool::new(settings)
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_over_its_budget_gets_no_transaction_of_its_own_and_holds_up_no_other() {
        let (pool, [one, other]) = (pool(LONE_DELIVERY_GAS + PER_DELIVERY_GAS), [1, 2].map(Address::repeat_byte));
        assert_eq!(pool.room(one), 1);
        pool.pay(one, 1);
        pool.put(record(1, 1));
        pool.pay_alone(one);
        assert_eq!([pool.room(one), pool.room(other)], [0, 1]);
        pool.put(record(2, 2));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(pool.alone(), Some(other));
        assert_eq!(pool.riders(one, 9).len(), 1, "a ride costs nothing more");
    }

    /// A creator who buys from himself has more records than the budget is for. The budget gains a record's gas in a minute.
    #[tokio::test(start_paused = true)]
    async fn finding_leaves_the_gas_with_which_records_that_were_found_are_minted() {
        let (pool, token) = (pool(PER_DELIVERY_GAS * 60 * 24), Address::repeat_byte(1));
        let (mut found, mut minted) = (0_u8, 0);
        for _ in 0..6 * 60 * 24 {
            let room = pool.room(token).min(3);
            pool.pay(token, room);
            for _ in 0..room {
                found = found.wrapping_add(1);
                pool.put(record(found, 1));
            }
            if pool.alone() == Some(token) {
                pool.pay_alone(token);
                let records = pool.riders(token, 100);
                minted += records.len();
                records.into_iter().for_each(|key| pool.remove(token, PaymentId::of(key)));
            }
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        let waiting = pool.waiting().len();
        assert!(minted > 600 && waiting <= 4, "{minted} minted, {waiting} wait");
        assert_eq!(self::pool(LONE_DELIVERY_GAS).room(token), 0, "what could not be minted alone is not found");
    }
}
