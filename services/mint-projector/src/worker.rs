//! The worker of one mint lane: asks for a batch, tries it, records the transaction and broadcasts it.

use crate::asking::{Ask, Asking, Gathered};
use crate::config::Config;
use crate::gather::{Gathering, waits};
use crate::riders::{beside, may_ride};
use chain::token::{DELIVER_BATCH_MAX, Delivered, Record, deliver_call};
use chain::{Address, Chain, Key};
use chrono::Utc;
use domain::event::Purpose;
use domain::event::{Deferral, ParkReason, Parked, WaitReason};
use domain::lane::Rest;
use domain::order::Command;
use domain::{Order, PaymentId, PaymentKey};
use lanes::{Item, SignerLane, TermsCache, Work};
use ledger::{Ledger, LedgerError, Loaded};
use runtime::failpoint::{BATCH_SENT_NOT_ACKED, BATCH_TAKEN_NOT_SIGNED, SKIPPED_MINT_NOT_RECORDED, failpoint};
use runtime::{Backoff, OldestWork, Undone, causes};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::sync::mpsc;
use waits::{Carrier, Job, OnDuty, Races};

/// Longest pause between two looks after the lane.
const IDLE: Duration = Duration::from_millis(500);

/// The longest wait between two tries of a mint that would not be made.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Resources that all lanes of this process share.
#[derive(Clone)]
pub struct MintResources {
    pub config: Config,
    pub ledger: Ledger,
    pub chain: Chain,
    /// Channel on which a lane asks for the next batch.
    pub ask: mpsc::Sender<Ask>,
    pub gathering: Gathering,
}

/// A mint lane at work.
pub struct MintLane {
    lane: SignerLane,
    shared: MintResources,
    terms: TermsCache,
    asking: Asking,
    races: Races,
    on_duty: OnDuty,
}

impl Work for MintLane {
    fn rests(&self) -> Option<Rest> {
        self.lane.rests()
    }

    fn oldest(&self) -> Option<OldestWork> {
        self.lane.oldest()
    }

    async fn turn(&mut self) -> Result<(), Undone> {
        let tended = self.lane.tend().await;
        self.on_duty.follow(tended.is_ok() && self.lane.rests().is_none());
        if tended.is_err() || !self.lane.has_room() {
            self.asking.withdraw();
        }
        tended?;
        if !self.lane.has_room() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(());
        }
        match tokio::time::timeout(IDLE, self.asking.next(self.lane.batch_max(DELIVER_BATCH_MAX))).await {
            Ok(Some(batch)) => self.handle(batch).await,
            // Gathering has stopped, and this worker will stop, too.
            Ok(None) => {
                tokio::time::sleep(IDLE).await;
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }
}

impl MintLane {
    /// Claims the lane of `key`.
    pub async fn claim(shared: MintResources, key: Key) -> Result<Self, Undone> {
        let MintResources { config, ledger, chain, .. } = &shared;
        let lane = SignerLane::claim(ledger.clone(), chain.clone(), key, Purpose::Mint, &config.instance).await?;
        let on_duty = shared.gathering.duty.begin();
        let asking = Asking::new(shared.ask.clone());
        Ok(Self { lane, shared, terms: TermsCache::default(), asking, races: Races::default(), on_duty })
    }

    fn carrier(&self) -> &Carrier {
        &self.shared.gathering.carrier
    }

    /// Pause before a mint that would not be made is tried again.
    fn retry(&self) -> Duration {
        self.shared.config.settings.now().mint_retry
    }

    /// Handles a batch. However often it is called for one order, it mints once: an order that is in a transaction is
    /// left alone, and the contract mints a payment key once.
    async fn handle(&mut self, mut batch: Gathered) -> Result<(), Undone> {
        failpoint(BATCH_TAKEN_NOT_SIGNED);
        let gathered = std::mem::take(&mut batch.orders);
        let mut minted = self.mint(batch.token, owed(&batch.jobs, gathered), &batch.found).await;
        // If an order has moved on since it was gathered, all are loaded and judged once more.
        if matches!(minted, Err(Undone::Stale)) {
            minted = match self.loaded(&batch.jobs).await {
                // An order that cannot be read is not minted. Its job gets the error in `answer`.
                Ok(loaded) => {
                    let orders = loaded.into_iter().filter_map(|(id, order)| Some((id, order.ok()?))).collect();
                    self.mint(batch.token, owed(&batch.jobs, orders), &batch.found).await
                }
                Err(error) => Err(error),
            };
        }
        match minted {
            Ok(sent) => {
                self.races.over();
                failpoint(BATCH_SENT_NOT_ACKED);
                self.answer(batch.jobs, &sent).await
            }
            Err(Undone::Stale) if self.races.lost() => {
                batch.gather_again();
                Ok(())
            }
            Err(error) => {
                batch.jobs.into_iter().for_each(|job| job.hand_back(self.carrier(), &error));
                Err(error)
            }
        }
    }

    /// Answers the jobs of a batch that was handled. The append has put the sent orders into a transaction at the
    /// version that was read, so reading them again would show nothing else. Only the other orders are read again.
    async fn answer(&self, jobs: Vec<Job>, sent: &HashSet<PaymentId>) -> Result<(), Undone> {
        let (done, left): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| sent.contains(&job.id));
        done.into_iter().for_each(Job::done);
        if left.is_empty() {
            return Ok(());
        }
        let mut loaded = match self.loaded(&left).await {
            Ok(loaded) => loaded,
            Err(error) => {
                left.into_iter().for_each(|job| job.hand_back(self.carrier(), &error));
                return Err(error);
            }
        };
        for job in left {
            match loaded.remove(&job.id) {
                Some(Ok(Loaded { state: Some(order), .. })) if !job.carries(&order, waits) => job.done(),
                Some(Err(error)) => job.fail(self.carrier(), error),
                // A second job of one order is judged when it comes again.
                Some(Ok(_)) | None => {
                    let wait = Backoff { first: self.retry(), max: RETRY_MAX }.pause(job.tries.saturating_sub(1));
                    job.later(self.carrier(), wait);
                }
            }
        }
        Ok(())
    }

    /// Tries the mints, defers those that cannot be made, and sends the others, and behind them the records `found` that no
    /// order stands for. Returns the orders in the transaction.
    async fn mint(
        &mut self,
        token: Address,
        owed: Vec<Item>,
        found: &[PaymentKey],
    ) -> Result<HashSet<PaymentId>, Undone> {
        if owed.is_empty() && found.is_empty() {
            return Ok(HashSet::new());
        }
        if self.terms.of(&self.shared.ledger, token).await?.is_none() {
            let detail = format!("the token {token} is not registered");
            let why = Parked { reason: ParkReason::Inconsistent, detail, tx_hash: None };
            for item in &owed {
                item.record(&self.shared.ledger, Command::ParkMint(why.clone())).await?;
            }
            return Ok(HashSet::new());
        }
        let has_orders = !owed.is_empty();
        let ordered: HashSet<PaymentKey> = keys(&owed).into_iter().collect();
        let found = found.iter().copied().filter(|key| !ordered.contains(key)).collect();
        let orders = has_orders.then(|| self.mintable(token, owed));
        let (good, found) = beside(orders, self.open(token, found)).await?;
        let good = good.unwrap_or_default();
        // The budget of the token was asked for a ride, and not for a transaction.
        if good.is_empty() && (found.is_empty() || has_orders) {
            return Ok(HashSet::new());
        }
        self.lane.send(deliver_call(token, &keys(&good), &found), &good, Command::SubmitMint).await?;
        if good.is_empty() {
            self.shared.gathering.pool().pay_alone(token);
        }
        Ok(good.iter().map(|item| item.id).collect())
    }

    /// Those of `found` that would be minted now, and whose money was not asked back. If this cannot be known now, none is:
    /// they come again.
    async fn open(&self, token: Address, found: Vec<PaymentKey>) -> Vec<PaymentKey> {
        if found.is_empty() {
            return found;
        }
        let ids: Vec<PaymentId> = found.iter().copied().map(PaymentId::of).collect();
        let tried = async {
            let orders = async { Ok::<_, Undone>(self.shared.ledger.load_orders(&ids).await?) };
            let results = async { Ok(self.shared.chain.try_deliver(self.lane.address(), token, &found).await?) };
            let (orders, results) = tokio::try_join!(orders, results)?;
            let would_be = found.iter().copied().zip(results).filter(|(_, result)| *result == Delivered::Minted);
            Ok::<_, Undone>(may_ride(would_be.map(|(key, _)| key).collect(), &orders))
        };
        tried.await.unwrap_or_else(|error| {
            tracing::warn!(%token, error = %causes(&error), "records without an order cannot be tried now");
            Vec::new()
        })
    }

    /// The mints of which the token has a record. Those that are minted or refunded already are among them: the
    /// transaction that finds this is how the confirmer learns of it. The others wait.
    async fn mintable(&self, token: Address, owed: Vec<Item>) -> Result<Vec<Item>, Undone> {
        let tried = self.shared.chain.try_deliver(self.lane.address(), token, &keys(&owed)).await;
        let results = match tried {
            Ok(results) => results,
            Err(fails) if fails.is_failed_call() => {
                let detail: String = fails.to_string().chars().take(200).collect();
                for item in &owed {
                    self.defer(item, WaitReason::Unexplained, detail.clone()).await?;
                }
                return Ok(Vec::new());
            }
            Err(other) => return Err(other.into()),
        };
        let (mut good, mut unrecorded) = (Vec::with_capacity(owed.len()), Vec::new());
        for (item, result) in owed.into_iter().zip(results) {
            match result {
                Delivered::Minted | Delivered::MintedBefore | Delivered::MoneyBack => good.push(item),
                Delivered::NoRecord => unrecorded.push(item),
                Delivered::Unknown(code) => {
                    self.defer(&item, WaitReason::Unexplained, format!("the token answers {code}")).await?;
                }
            }
        }
        good.extend(self.recorded(token, unrecorded).await?);
        Ok(good)
    }

    /// The mints, among those of whose payments one node shows no record, of which two providers show one. The others are
    /// deferred or parked: see [`Unrecorded`].
    async fn recorded(&self, token: Address, items: Vec<Item>) -> Result<Vec<Item>, Undone> {
        if items.is_empty() {
            return Ok(items);
        }
        let chain = &self.shared.chain;
        let finalized = chain.finalized().await?.number;
        let confirmed = chain.confirmed(chain.head().await?).await?;
        let records = chain.records(token, &keys(&items), confirmed.block).await?;
        let mut recorded = Vec::new();
        for (item, record) in items.into_iter().zip(records) {
            if record != Record::Absent {
                recorded.push(item);
                continue;
            }
            let paid = item.order.payment.done().map(|proof| proof.block.number);
            let detail = "the token has no record of the payment".to_owned();
            match Unrecorded::of(paid, confirmed.block.number, finalized) {
                Unrecorded::FalseProof => {
                    failpoint(SKIPPED_MINT_NOT_RECORDED);
                    let why = Parked { reason: ParkReason::Inconsistent, detail, tx_hash: None };
                    item.record(&self.shared.ledger, Command::ParkMint(why)).await?;
                }
                Unrecorded::NotYet => self.defer(&item, WaitReason::Unpaid, detail).await?,
            }
        }
        Ok(recorded)
    }

    /// Defers a mint, with a visible reason.
    async fn defer(&self, item: &Item, reason: WaitReason, detail: String) -> Result<(), Undone> {
        let retry_at = Utc::now() + self.retry();
        item.record(&self.shared.ledger, Command::DeferMint(Deferral { reason, detail, retry_at })).await
    }

    /// Loads the orders of `jobs`. Each has a result of its own.
    async fn loaded(&self, jobs: &[Job]) -> Result<HashMap<PaymentId, Result<Loaded<Order>, LedgerError>>, Undone> {
        let ids: Vec<PaymentId> = jobs.iter().map(|job| job.id).collect();
        Ok(self.shared.ledger.load_orders(&ids).await?)
    }
}

/// The orders that these jobs still carry and that are due.
fn owed(jobs: &[Job], mut loaded: HashMap<PaymentId, Loaded<Order>>) -> Vec<Item> {
    let mut owed = Vec::with_capacity(jobs.len());
    for job in jobs {
        let Some(item) = loaded.remove(&job.id).and_then(|order| Item::of(job.id, order)) else { continue };
        let due = item.order.mint.deferral().is_none_or(|why| why.retry_at <= Utc::now());
        if job.carries(&item.order, waits) && due {
            owed.push(item);
        }
    }
    owed
}

/// The meaning of a missing record of a payment that is said to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unrecorded {
    /// The record was read after a block that has the proven one below it, and the proven one is final: the proof is false.
    FalseProof,
    /// The record was read after an older block than the proven one, because the nodes lag. Or the proven block is not final,
    /// and a reorganisation has taken the payment, which is about to be recorded. Or nothing is proven.
    NotYet,
}

impl Unrecorded {
    /// Judges a missing record by three blocks: that of the proof, the one after which the record was `read`, and the newest
    /// final one. The last two come from different answers, and a stale answer can be older than what is final.
    fn of(proven: Option<u64>, read: u64, finalized: u64) -> Self {
        match proven {
            Some(proven) if proven <= read.min(finalized) => Self::FalseProof,
            Some(_) | None => Self::NotYet,
        }
    }
}

fn keys(items: &[Item]) -> Vec<PaymentKey> {
    items.iter().map(|item| item.order.request.payment_key).collect()
}

#[cfg(test)]
mod tests {
    use super::Unrecorded::{self, FalseProof, NotYet};

    #[test]
    fn a_missing_record_proves_something_only_if_it_was_read_behind_a_proven_block_that_is_final() {
        let cases = [
            ("read and final behind the proof", Some(10), 12, 11, FalseProof),
            ("read and final at the proof", Some(10), 10, 10, FalseProof),
            ("the proof is final, and the answer is stale", Some(10), 9, 11, NotYet),
            ("the proof is not final", Some(10), 12, 9, NotYet),
            ("neither", Some(10), 9, 9, NotYet),
            ("no proof", None, 12, 11, NotYet),
        ];
        for (name, proven, read, finalized, expected) in cases {
            assert_eq!(Unrecorded::of(proven, read, finalized), expected, "{name}");
        }
    }
}
