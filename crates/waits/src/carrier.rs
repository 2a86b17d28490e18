//! Waiting orders are carried by time. Their messages are acknowledged, and the index brings each order back when it is
//! due. Orders that another process left behind when it ended are found in the rows of PostgreSQL.

use crate::index::{DueOrder, Index, Party, Waiting};
use crate::pace::Pace;
use crate::queue::near;
use crate::watched::{BEYOND, NewsWatch, Watched};
use chrono::Utc;
use domain::event::WaitReason;
use domain::{Bill, PaymentId};
use ledger::{ACK_WAIT, Answer, Ledger, LedgerError, Outcome, retry};
use runtime::{CancellationToken, Health, OldestWork, Undone, causes};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Store, StoreError, WaitStage};
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout};

/// Time between two turns of [`Carrier::look`].
const TURN: Duration = Duration::from_millis(100);

/// Minimum wait of an order after a lost race or an error.
const AGAIN_MIN: Duration = Duration::from_millis(100);

/// From this number of waiting orders on, every further one stands in line with them, see [`Carrier::is_crowded`].
const CROWD: usize = 100;

/// A message stays with its consumer for this number of deliveries. That outlasts the time after which a lane that cannot send
/// goes off duty, so while a node is down new orders stay in the stream.
const DELIVERIES_MAX: u32 = 3;

/// Maximum number of fresh orders that wait here. They take 5 MB. Further messages keep their places, and those behind them
/// stay in the stream.
const FRESH_MAX: usize = 20_000;

/// If an order has been due for this long and its row has not changed, the process that carried it has gone.
const LEFT_BEHIND: Duration = Duration::from_secs(10);

/// Pause after a pass over the rows, and after a pass that failed.
const PASS_INTERVAL: Duration = Duration::from_secs(10);
const PASS_PAUSE: Duration = Duration::from_secs(2);

/// Rows in one page, and the pause between two pages. A pass over 50,000 waiting orders takes 10 s, during which the
/// connection is mostly idle.
const PAGE: u32 = 1_000;
const PAGE_PAUSE: Duration = Duration::from_millis(200);

/// Time limit of a connection to the database, and of one page.
const PAGE_MAX: Duration = Duration::from_secs(30);

/// A parked order is looked at again after this time. Until then its row does not bring it back with each pass.
const PARKED_PAUSE: Duration = Duration::from_secs(3_600);

/// The waiting orders stand still if one of them has been due for this long. At the slowest pace, twenty looks a second, as
/// many as twelve thousand wait for their look.
const OVERDUE_MAX: Duration = Duration::from_secs(600);

/// The health page names an unknown event type for this long after it was last met.
const UNKNOWN_FORGOTTEN: Duration = Duration::from_secs(60);

/// The pace at which waiting orders are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Number of looks in each tenth of a second. It does not depend on the number of waiting orders.
    pub per_turn: usize,
    /// The largest number of looks in one turn, reached while looks succeed.
    pub per_turn_max: usize,
    /// Maximum number of looks in progress.
    pub in_hand: usize,
}

/// An order that is due. Judge it by the fold of its events, exactly like a message.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// The order.
    pub id: PaymentId,
    /// Keys of the order in the fair queue.
    pub party: Party,
    /// Number of tries so far.
    pub tries: u32,
}

/// The waiting orders of one process for one consumer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Carrier {
    ledger: Ledger,
    durable: &'static str,
    durable_new: &'static str,
    health: Health,
    /// The watch over orders that wait for news.
    pub(crate) kind: Option<NewsWatch>,
    index: Arc<Mutex<Index<Instant>>>,
    /// Wakes [`Carrier::look`] before its next turn.
    wake: Arc<Notify>,
}

impl Carrier {
    /// A carrier with no order yet. An order that is given up is recorded as a parked message of the consumer
    /// `durable`.
    pub fn new(ledger: Ledger, durable: &'static str, health: Health) -> Self {
        let (index, wake) = (Arc::default(), Arc::default());
        Self { ledger, durable, durable_new: durable, health, kind: None, index, wake }
    }

    /// Sets the watch that [`Carrier::watch`] keeps.
    #[must_use]
    pub fn with_watch(self, kind: NewsWatch) -> Self {
        Self { kind: Some(kind), ..self }
    }

    /// Sets the consumer to which the messages of new orders belong, if that is another one.
    #[must_use]
    pub fn with_new_from(self, durable_new: &'static str) -> Self {
        Self { durable_new, ..self }
    }

    /// The answer for a message whose order cannot be handled before `delay` is over. A short delay is left to the
    /// consumer for the first deliveries, unless many orders of its kind wait. Otherwise the index takes the order over, so that no
    /// number of orders that cannot be handled takes up the places of the consumer. It always takes those that it watches.
    pub fn later(&self, waiting: Waiting, tries: u32, delay: Duration) -> Answer {
        let is_crowded = if waiting.is_new { self.index().new_orders() >= CROWD } else { self.is_crowded() };
        if delay < ACK_WAIT && tries <= DELIVERIES_MAX && !is_crowded && waiting.watched.is_none() {
            return Answer::Later(delay);
        }
        self.carry(waiting, tries, delay)
    }

    /// Takes over an order that waits for `delay`, so that its message can be acknowledged. If the process dies
    /// afterwards, the order's row brings it back.
    pub fn carry(&self, waiting: Waiting, tries: u32, delay: Duration) -> Answer {
        let now = Instant::now();
        if delay.is_zero() && waiting.watched.is_none() {
            self.index().put_due(waiting, tries, now);
            self.wake();
        } else {
            self.index().put_watched(waiting, tries, now + delay, until(&waiting, now));
        }
        Answer::Done
    }

    /// True if an order that waits for this reason is watched.
    pub(crate) fn is_watched(&self, reason: Option<WaitReason>) -> bool {
        self.kind.zip(reason).is_some_and(|(kind, reason)| (kind.is_for)(reason))
    }

    /// Says that there is room for new orders, so that they do not wait for the next turn.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// True if new orders wait here that are due. A message that arrives now stands in line behind them.
    pub fn has_fresh(&self) -> bool {
        self.index().fresh() > 0
    }

    /// True if no further new order may wait here.
    pub fn is_full(&self) -> bool {
        self.index().fresh() >= FRESH_MAX
    }

    /// True if many orders wait here already. A further order then stands in line with them, instead of being tried
    /// when its message arrives. This bounds the number of tries per second, also while many orders begin to wait.
    pub fn is_crowded(&self) -> bool {
        self.waiting() >= CROWD
    }

    /// Number of orders that this process carries.
    pub fn waiting(&self) -> usize {
        self.index().len()
    }

    /// Gives orders that come due to `judge`, fairly, until `stop`: new ones while `room` says that so many may come, and
    /// those that something speaks against at a bounded pace. Then waits for the looks in progress.
    pub async fn look<H, F>(&self, stop: CancellationToken, limits: Limits, room: impl Fn() -> usize, judge: H)
    where
        H: Fn(Due) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut pace = Pace::new(limits.per_turn, limits.per_turn_max);
        let mut looks = Looks { tasks: JoinSet::new(), taken: HashMap::new(), paced: 0, unknown: None };
        let mut turn = tokio::time::interval(TURN);
        while !stop.is_cancelled() || !looks.tasks.is_empty() {
            tokio::select! {
                Some(ended) = looks.tasks.join_next_with_id() => {
                    if self.answer(&mut looks, ended).await {
                        pace.won();
                    }
                }
                _ = turn.tick() => {
                    runtime::turn(self.durable);
                    pace.turn();
                    self.forget_unknown(&mut looks);
                    self.health.oldest(&self.part(), self.oldest());
                }
                () = self.wake.notified() => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
            if stop.is_cancelled() || self.ledger.stopped().is_some() {
                continue;
            }
            let paced = limits.in_hand.saturating_sub(looks.paced).min(pace.left());
            let due = self.index().take(Instant::now(), near(), room(), paced);
            for order in due {
                let paced = usize::from(!order.is_fresh());
                pace.spend(paced);
                looks.paced += paced;
                let Waiting { id, party, .. } = order.waiting;
                let task = looks.tasks.spawn(judge(Due { id, party, tries: order.tries }));
                looks.taken.insert(task.id(), order);
            }
        }
        self.health.oldest(&self.part(), None);
    }

    /// The order that came due first and was not looked at.
    fn oldest(&self) -> Option<OldestWork> {
        let index = self.index();
        let (due, id) = index.most_overdue()?;
        let words = format!("due, and not looked at; {} orders wait", index.len());
        Some(OldestWork { what: format!("order {id}"), age: due.elapsed(), words, limit: OVERDUE_MAX })
    }

    /// Takes over orders that wait according to the rows. The first pass takes all of them, later passes only those
    /// that another process left behind. A database that does not answer is asked again until `stop`. Orders that are
    /// in the index already do not depend on it.
    pub async fn follow_rows(self, database_url: String, stage: WaitStage, stop: CancellationToken) {
        let mut store = None;
        let mut is_first = true;
        let mut is_away = false;
        while !stop.is_cancelled() {
            let passed = tokio::select! {
                passed = self.pass(&mut store, &database_url, stage, is_first) => passed,
                () = stop.cancelled() => return,
            };
            let pause = match passed {
                Ok(found) => {
                    if found > 0 {
                        tracing::info!(consumer = self.durable, found, "took over waiting orders from their rows");
                    }
                    (is_first, is_away) = (false, false);
                    PASS_INTERVAL
                }
                Err(error) => {
                    if !is_away {
                        tracing::warn!(consumer = self.durable, error = %causes(&error), "the database does not answer: waiting orders of processes that ended are not taken over now");
                    }
                    is_away = true;
                    // A connection that gave no answer may never give one.
                    store = None;
                    PASS_PAUSE
                }
            };
            tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(pause) => {} }
        }
    }

    /// One pass over the rows; returns how many orders were new to the index.
    async fn pass(
        &self,
        store: &mut Option<Store>,
        url: &str,
        stage: WaitStage,
        is_first: bool,
    ) -> Result<usize, PassError> {
        let store = match store {
            Some(store) => store,
            None => store.insert(within(PAGE_MAX, Store::connect_reader(url, 1)).await?),
        };
        let due_for = if is_first { None } else { Some(LEFT_BEHIND) };
        let (mut after, mut found) = (0, 0);
        loop {
            let page = within(PAGE_MAX, store.waiting(stage, due_for, after, PAGE)).await?;
            let now = Instant::now();
            for row in &page {
                let party = Party { token: row.token, payer: row.payer, deadline: row.valid_before };
                let bill = Bill { payer: row.payer, value: row.value, nonce: row.nonce };
                let watched = Watched { bill, valid_before: row.valid_before };
                let watched = self.is_watched(row.reason).then_some(watched);
                let waiting = Waiting { id: row.id, party, seq: row.last_seq, is_new: row.is_new, watched };
                found += usize::from(self.index().adopt(waiting, now + row.due_in, until(&waiting, now)));
            }
            match page.last() {
                Some(last) if page.len() >= PAGE as usize => after = last.requested_seq,
                _ => return Ok(found),
            }
            if !is_first {
                tokio::time::sleep(PAGE_PAUSE).await;
            }
        }
    }

    /// Applies the answer of a look. Returns true if its order no longer waits although something spoke against it.
    async fn answer(&self, looks: &mut Looks, ended: Result<(Id, Outcome), JoinError>) -> bool {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Err(Undone::transient(error))),
        };
        let Some(order) = looks.taken.remove(&id) else { return false };
        let is_paced = !order.is_fresh();
        looks.paced = looks.paced.saturating_sub(usize::from(is_paced));
        let answer = outcome.unwrap_or_else(|why| {
            match &why {
                Undone::Unknown(kind) => self.meet(looks, order.waiting.id, &kind.to_string()),
                Undone::Transient(_) => {
                    tracing::warn!(payment = %order.waiting.id, error = %causes(&why), "the order cannot be handled now: it waits");
                }
                Undone::Stale | Undone::NotYet | Undone::Stopped(_) | Undone::Corrupt(_) => {}
            }
            retry(&why, order.tries)
        });
        let again = match answer {
            Answer::Done => {
                self.index().done(&order);
                return is_paced;
            }
            Answer::Later(delay) => delay,
            Answer::Park(reason) => match self.park(&order, &reason).await {
                Ok(()) => PARKED_PAUSE,
                Err(error) => {
                    tracing::warn!(payment = %order.waiting.id, error = %causes(&error), "the order could not be parked: it waits");
                    ACK_WAIT
                }
            },
        };
        // Without a pause the order was handed back, and not tried.
        self.index().again(&order, !again.is_zero(), Instant::now() + again.max(AGAIN_MIN));
        false
    }

    /// Parks an order. Its message was acknowledged, so the parked message names the event with which the order began
    /// to wait.
    async fn park(&self, order: &DueOrder, reason: &str) -> Result<(), LedgerError> {
        let Waiting { seq, is_new, .. } = order.waiting;
        let durable = if is_new { self.durable_new } else { self.durable };
        self.ledger.set_aside(durable, seq, reason).await
    }

    fn meet(&self, looks: &mut Looks, id: PaymentId, kind: &str) {
        if looks.unknown.replace(Instant::now()).is_none() {
            tracing::error!(payment = %id, kind, "this build does not know the event type: upgrade this process");
            let why = format!("order {id} waits for a build that knows the event type {kind}: upgrade this process");
            self.health.bad(&self.part(), why);
        }
    }

    fn forget_unknown(&self, looks: &mut Looks) {
        if looks.unknown.is_some_and(|seen| seen.elapsed() > UNKNOWN_FORGOTTEN) {
            looks.unknown = None;
            self.health.good(&self.part());
        }
    }

    fn part(&self) -> String {
        format!("waiting orders of {}", self.durable)
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, Index<Instant>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a watched order is due without any news.
fn until(waiting: &Waiting, now: Instant) -> Option<Instant> {
    let unix_now = u64::try_from(Utc::now().timestamp()).unwrap_or_default();
    let left = |watched: Watched| Duration::from_secs(watched.valid_before.saturating_sub(unix_now));
    waiting.watched.and_then(|watched| now.checked_add(left(watched).saturating_add(BEYOND)))
}

/// The reason why a pass over the rows ended early.
#[derive(Debug, thiserror::Error)]
enum PassError {
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database gave no answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    NoAnswer(Duration),
}

/// Waits for an answer of the database, at most for `limit`.
async fn within<T>(limit: Duration, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, PassError> {
    match timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(PassError::NoAnswer(limit)),
    }
}

/// Looks in progress.
struct Looks {
    tasks: JoinSet<Outcome>,
    taken: HashMap<Id, DueOrder>,
    /// Number of those that the pace bounds.
    paced: usize,
    /// When an event of a newer build was last met.
    unknown: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_database_that_never_answers_is_given_up_after_its_time() {
        let (began, never) = (Instant::now(), std::future::pending::<Result<(), StoreError>>());
        let given_up = timeout(2 * PAGE_MAX, within(PAGE_MAX, never)).await;
        assert!(matches!(given_up, Ok(Err(PassError::NoAnswer(PAGE_MAX)))), "{given_up:?}");
        assert_eq!(began.elapsed(), PAGE_MAX);
    }
}
