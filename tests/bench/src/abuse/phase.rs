//! Some time of honest load: what was sent, what was minted, how often the node was asked.

use chrono::{DateTime, Utc};
use domain::{Event, OrderEvent, PaymentId, PaymentRequest};
use faults::{ANY, RpcProxy};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use ledger::LedgerError;
use runtime::Fatal;
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::capacity::Window;
use crate::history::{History, MINTED};
use crate::house::House;
use crate::load::Outcome;
use crate::process::Services;

/// No mint for this long: the others are not minted any more.
const STALL: Duration = Duration::from_secs(30);

/// One time of honest load.
pub struct Phase {
    pub payments: Vec<PaymentRequest>,
    pub outcome: Outcome,
    /// The attack's own answers.
    pub hostile: Option<Outcome>,
    pub window: Window,
    /// Requests to the node a second, within the window.
    pub calls: f64,
}

impl Phase {
    /// The attack's accepted orders, by index.
    pub fn hostile_hits(&self) -> Vec<usize> {
        let mut hits = self.hostile.as_ref().map_or_else(Vec::new, |outcome| outcome.hits.clone());
        hits.sort_unstable();
        hits
    }

    pub fn seconds(&self) -> f64 {
        (self.window.1 - self.window.0).as_seconds_f64()
    }

    /// Honest orders that were minted within the window.
    pub fn minted(&self, history: &History) -> usize {
        self.accepted().filter(|(id, _)| history.reached(*id, MINTED).is_some_and(|at| self.holds(at))).count()
    }

    /// Honest orders that were accepted and never minted.
    pub fn lost(&self, history: &History) -> usize {
        self.accepted().filter(|(id, _)| !history.is_minted(*id)).count()
    }

    /// From POST to mint, of the orders that were due within the window, sorted. One that was never minted waited until now.
    pub fn latencies(&self, history: &History) -> Vec<Duration> {
        let now = Utc::now();
        let wait = |id, posted: DateTime<Utc>| {
            (history.reached(id, MINTED).unwrap_or(now) - posted).to_std().unwrap_or_default()
        };
        let within = self.accepted().filter(|(_, posted)| self.holds(*posted));
        let mut waits: Vec<Duration> = within.map(|(id, posted)| wait(id, posted)).collect();
        waits.sort_unstable();
        waits
    }

    fn holds(&self, at: DateTime<Utc>) -> bool {
        (self.window.0..self.window.1).contains(&at)
    }

    fn accepted(&self) -> impl Iterator<Item = (PaymentId, DateTime<Utc>)> {
        self.outcome.hits.iter().zip(&self.outcome.posted).map(|(hit, posted)| (self.payments[*hit].id(), *posted))
    }
}

/// Requests to the node a second within `window`, at whose end it returns.
pub async fn calls_in(node: &RpcProxy, window: Window) -> f64 {
    sleep_until(window.0).await;
    let (before, begun) = (node.asked(ANY), Instant::now());
    sleep_until(window.1).await;
    (node.asked(ANY) - before) as f64 / begun.elapsed().as_secs_f64()
}

async fn sleep_until(at: DateTime<Utc>) {
    tokio::time::sleep((at - Utc::now()).to_std().unwrap_or_default()).await;
}

/// The number of orders that have been minted since it began to follow the ledger.
pub struct Minted(watch::Receiver<usize>);

impl Minted {
    /// Counts every order.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn follow(house: &House) -> Result<Self, Fatal> {
        Self::counting(house, |_| true).await
    }

    /// Counts these orders.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn of(house: &House, orders: HashSet<PaymentId>) -> Result<Self, Fatal> {
        Self::counting(house, move |id| orders.contains(&id)).await
    }

    async fn counting(house: &House, counts: impl Fn(PaymentId) -> bool + Send + 'static) -> Result<Self, Fatal> {
        // All events: a filter with wildcards makes the server walk all subjects at every look, which would be measured.
        let from = house.last_seq().await? + 1;
        let mut news: BoxStream<'static, Result<_, LedgerError>> = house.ledger.read_from(from).await?.boxed();
        let (count, counted) = watch::channel(0);
        tokio::spawn(async move {
            while let Some(Ok(recorded)) = news.next().await {
                if let Ok(Event::Order(id, OrderEvent::MintConfirmed(_))) = recorded.event
                    && counts(id)
                {
                    count.send_modify(|count| *count += 1);
                }
                if count.is_closed() {
                    return;
                }
            }
        });
        Ok(Self(counted))
    }

    /// Waits for `wanted` mints in all, or until none comes any more.
    ///
    /// # Errors
    /// A service has ended.
    pub async fn wait_for(&mut self, wanted: usize, services: &mut Services) -> Result<(), Fatal> {
        let mut moved = Instant::now();
        while *self.0.borrow_and_update() < wanted && moved.elapsed() < STALL {
            if let Ok(changed) = tokio::time::timeout(Duration::from_secs(1), self.0.changed()).await {
                changed.map_err(|_| "the ledger's news ended")?;
                moved = Instant::now();
            }
            services.check()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use domain::examples;

    #[test]
    fn an_order_that_is_never_minted_waits_until_now() {
        let now = Utc::now();
        let posted = now - TimeDelta::seconds(20);
        let phase = Phase {
            payments: vec![examples::request()],
            outcome: Outcome { hits: vec![0], posted: vec![posted], ..Outcome::default() },
            hostile: None,
            window: (now - TimeDelta::seconds(30), now),
            calls: 0.0,
        };
        let history = History::default();
        assert_eq!((phase.minted(&history), phase.lost(&history)), (0, 1));
        assert!(phase.latencies(&history)[0] >= Duration::from_secs(20));
    }
}
