//! The payments with which a payment shares its transaction.
//!
//! A payment that passes the simulation and fails on chain costs us gas, and its payer nothing. Such a payer goes alone, and
//! has a budget of gas for it, so that neither honest payments nor the gas of this service suffer. Payers with code go together:
//! their code may answer differently on chain.

use chain::Address;
use chrono::{DateTime, TimeDelta, Utc};
use domain::event::{Deferral, WaitReason};
use domain::{Order, PaymentId};
use lanes::Item;
use runtime::DailyBudgets;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Gas of a transaction of one payment that fails. Measured: 121,000 for one that succeeds with 64,000 (`contracts/gas`), and
/// one that fails may use 100,000.
pub const GAS_PER_FAILURE: u64 = 160_000;
/// Number of payers, and of their orders, that are remembered, 200 bytes each.
const REMEMBERED: usize = 65_536;
/// The longest time until a payment over its payer's budget is looked at again. The budget may be raised meanwhile.
const LOOK_AGAIN_MAX: TimeDelta = TimeDelta::minutes(10);

/// The gas that payers have burned lately, shared by all lanes of a process.
///
/// Counted from the orders as the ledger tells them: a waiting order names the transactions that it was in, and no waiting order
/// is older than a day. So a process that starts counts those of the orders that still wait.
#[derive(Clone, Debug)]
pub struct Burned(Arc<Mutex<BurnedGas>>);

#[derive(Debug)]
struct BurnedGas {
    budgets: DailyBudgets<Address>,
    /// Number of transactions of each order that are counted.
    counted: HashMap<PaymentId, u32>,
    /// Orders, oldest first.
    orders: VecDeque<PaymentId>,
}

/// The items of a turn by their company.
#[derive(Debug, Default)]
pub struct Companies {
    /// Payments that share a transaction.
    pub ordinary: Vec<Item>,
    /// Payments of accounts with code, which share another one.
    pub with_code: Vec<Item>,
    /// Payments that go alone.
    pub alone: Vec<Item>,
}

impl Default for Burned {
    fn default() -> Self {
        let budgets = DailyBudgets::new(REMEMBERED);
        Self(Arc::new(Mutex::new(BurnedGas { budgets, counted: HashMap::new(), orders: VecDeque::new() })))
    }
}

impl Burned {
    /// Sorts `items`, of which the payers in `code` have code. A payer gains back `per_day` gas in a day.
    pub fn sort(&self, items: Vec<Item>, code: &HashSet<Address>, per_day: u64, now: DateTime<Utc>) -> Companies {
        let mut gas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for item in &items {
            gas.count(item.id, &item.order, per_day, now);
        }
        let mut companies = Companies::default();
        for item in items {
            let payer = item.order.request.payer();
            let company = if has_failed(&item.order) || gas.budgets.owes(payer, per_day, now) {
                &mut companies.alone
            } else if code.contains(&payer) {
                &mut companies.with_code
            } else {
                &mut companies.ordinary
            };
            company.push(item);
        }
        companies
    }

    /// Why a payment of `payer` waits, whose payer has burned too much gas; `None` if there is enough for another failure.
    pub fn over_budget(&self, payer: Address, per_day: u64, now: DateTime<Utc>) -> Option<Deferral> {
        let gas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = TimeDelta::from_std(gas.budgets.wait(payer, GAS_PER_FAILURE, per_day, now)?);
        let retry_at = now + wait.unwrap_or(LOOK_AGAIN_MAX).min(LOOK_AGAIN_MAX);
        let detail = "payments of this payer failed on chain and used up the gas of a day".to_owned();
        Some(Deferral { reason: WaitReason::PayerBudget, detail, retry_at })
    }
}

impl BurnedGas {
    /// Counts the transactions of a waiting order that failed by itself.
    fn count(&mut self, id: PaymentId, order: &Order, per_day: u64, now: DateTime<Utc>) {
        let submitted = order.payment.counts().submitted;
        if submitted == 0 {
            return;
        }
        let before = self.counted.insert(id, submitted);
        if before.is_none() {
            if self.orders.len() == REMEMBERED
                && let Some(oldest) = self.orders.pop_front()
            {
                self.counted.remove(&oldest);
            }
            self.orders.push_back(id);
        }
        let new = submitted.saturating_sub(before.unwrap_or_default());
        if new > 0 && has_failed(order) {
            let gas = GAS_PER_FAILURE.saturating_mul(u64::from(new));
            self.budgets.spend(order.request.payer(), gas, per_day, now);
        }
    }
}

/// Returns whether a waiting payment was in a transaction and failed by itself there.
fn has_failed(order: &Order) -> bool {
    order.payment.counts().submitted > 0 && order.payment.deferral().is_some_and(|why| is_its_own(why.reason))
}

/// Returns whether a payment that waits for `reason` is held up by itself or its payer.
const fn is_its_own(reason: WaitReason) -> bool {
    match reason {
        WaitReason::NotAttempted | WaitReason::SettlementStopped | WaitReason::SoldOut | WaitReason::AssetPaused => {
            false
        }
        WaitReason::Unexplained
        | WaitReason::AuthorizationUsedOrCancelled
        | WaitReason::AuthorizationExpired
        | WaitReason::AuthorizationNotYetValid
        | WaitReason::SignatureRefused
        | WaitReason::Blacklisted
        | WaitReason::Unfunded
        | WaitReason::PayerBudget
        | WaitReason::Unpaid => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chain::B256;
    use domain::order::evolve;
    use domain::{OrderEvent, PaymentKey, PaymentRequest, examples};
    use ledger::Loaded;

    const DAY: u64 = 10 * GAS_PER_FAILURE;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(9)
    }

    /// Order number `n` of a payer, which was in `times` transactions and waits for `reason` after each.
    fn item(payer: Address, n: u64, times: u32, reason: WaitReason) -> Item {
        let mut fields = examples::request().into_fields();
        let authorization = &mut fields.authorization;
        (authorization.from, authorization.nonce) = (payer, B256::left_padding_from(&n.to_be_bytes()));
        fields.payment_key = PaymentKey::new(fields.chain_id, fields.asset, payer, authorization.nonce);
        let request = PaymentRequest::new(fields).unwrap();
        let id = request.id();
        let mut events = vec![OrderEvent::PaymentRequested(Box::new(request))];
        for n in 1..=times {
            events.push(OrderEvent::PaymentSubmitted(n, examples::submission(u64::from(n))));
            events.push(OrderEvent::PaymentDeferred(n, Deferral { reason, ..examples::deferral() }));
        }
        let state = events.iter().fold(None, |order, event| evolve(order, event).unwrap());
        Item::of(id, Loaded { state, version: 1, trace: None, since: now() }).unwrap()
    }

    fn sizes(companies: &Companies) -> [usize; 3] {
        [companies.ordinary.len(), companies.with_code.len(), companies.alone.len()]
    }

    #[test]
    fn what_failed_on_chain_goes_alone_payers_with_code_together_and_what_others_held_up_with_the_rest() {
        use WaitReason::{NotAttempted, SettlementStopped, Unexplained, Unfunded};
        let cases = [(Unexplained, 1), (Unfunded, 1), (NotAttempted, 0), (SettlementStopped, 0)];
        for (reason, alone) in cases {
            let [burner, smart, plain] = [1, 2, 3].map(Address::repeat_byte);
            let items = vec![item(burner, 1, 1, reason), item(smart, 2, 0, reason), item(plain, 3, 0, reason)];
            let companies = Burned::default().sort(items, &HashSet::from([smart]), DAY, now());
            assert_eq!(sizes(&companies), [2 - alone, 1, alone], "{reason:?}");
        }
    }

    #[test]
    fn every_order_of_a_payer_uses_the_same_budget_and_each_failure_counts_once() {
        let (burned, [burner, other]) = (Burned::default(), [1, 2].map(Address::repeat_byte));
        let failed = |n, times| {
            let items = vec![item(burner, n, times, WaitReason::Unexplained), item(other, n, 0, WaitReason::Unfunded)];
            sizes(&burned.sort(items, &HashSet::new(), DAY, now()))
        };
        for (n, times) in [(1, 1), (1, 2), (1, 2), (2, 1), (3, 3), (3, 3)] {
            assert_eq!(failed(n, times), [1, 0, 1]);
        }
        assert_eq!(burned.over_budget(burner, DAY, now()), None, "six of ten");
        assert_eq!(failed(4, 3), [1, 0, 1]);
        assert_eq!(burned.over_budget(burner, DAY, now()), None, "nine of ten");
        assert_eq!(failed(5, 1), [1, 0, 1]);
        let why = burned.over_budget(burner, DAY, now()).unwrap();
        assert_eq!((why.reason, why.retry_at), (WaitReason::PayerBudget, now() + LOOK_AGAIN_MAX));
        assert_eq!(burned.over_budget(other, DAY, now()), None);
        assert_eq!(burned.over_budget(burner, 0, now()), None, "0 is no limit");
        let later = now() + TimeDelta::minutes(144);
        assert_eq!(burned.over_budget(burner, DAY, later), None, "a tenth of a day");
        let new = vec![item(burner, 6, 0, WaitReason::Unfunded)];
        assert_eq!(sizes(&burned.sort(new, &HashSet::new(), DAY, later)), [0, 0, 1], "a new order of a known burner");
    }
}
