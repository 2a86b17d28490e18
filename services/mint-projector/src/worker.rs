//! The worker of one mint lane: asks for a batch, verifies and simulates it, records the transaction and broadcasts it.

use crate::config::Config;
use crate::exposure::Exposure;
use crate::gather::{Ask, Asking, Gathered, Gathering, waits};
use crate::verify::{PaymentVerdict, Receipts};
use chain::{Address, Chain, Key, MintItem, MintResult};
use chrono::Utc;
use domain::event::Purpose;
use domain::event::{Deferral, Minted, ParkReason, Parked, WaitReason};
use domain::lane::Rest;
use domain::order::Command;
use domain::{Order, PaymentId, Purchase, TokenTerms};
use lanes::{Item, SignerLane, TermsCache, Work};
use ledger::{Ledger, LedgerError, Loaded};
use runtime::failpoint::{BATCH_SENT_NOT_ACKED, BATCH_TAKEN_NOT_SIGNED, SKIPPED_MINT_NOT_RECORDED, failpoint};
use runtime::{Backoff, Undone};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::sync::mpsc;
use waits::{Job, OnDuty, Races};

/// Longest pause between two looks after the lane.
const IDLE: Duration = Duration::from_millis(500);

/// The longest wait between two tries of a mint that would be skipped.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Resources that all lanes of this process share.
#[derive(Clone)]
pub struct MintResources {
    pub config: Config,
    pub ledger: Ledger,
    pub chain: Chain,
    pub exposure: Exposure,
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
        match tokio::time::timeout(IDLE, self.asking.next()).await {
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

    /// Pause before a mint that would be skipped is tried again.
    fn retry(&self) -> Duration {
        self.shared.config.settings.now().mint_retry
    }

    /// Handles a batch. However often it is called for one order, it mints once: an order that is in a transaction is
    /// left alone, and the contract skips a payment key that it has seen.
    async fn handle(&mut self, mut batch: Gathered) -> Result<(), Undone> {
        failpoint(BATCH_TAKEN_NOT_SIGNED);
        let gathered = std::mem::take(&mut batch.orders);
        let mut minted = self.mint(batch.token, &batch.jobs, gathered, true).await;
        // If an order has moved on since it was gathered, all are loaded and judged once more.
        if matches!(minted, Err(Undone::Stale)) {
            minted = match self.loaded(&batch.jobs).await {
                // An order that cannot be read is not minted. Its job gets the error in `answer`.
                Ok(loaded) => {
                    let orders = loaded.into_iter().filter_map(|(id, order)| Some((id, order.ok()?))).collect();
                    self.mint(batch.token, &batch.jobs, orders, false).await
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
                batch.jobs.into_iter().for_each(|job| job.hand_back(&error));
                Err(error)
            }
        }
    }

    /// Mints `orders`. `as_gathered` says that they were loaded when they were gathered. A payment that the contract
    /// has minted already must be judged by an order that is loaded now. Otherwise a redelivered message, whose first
    /// delivery is still in hand, would be judged by a state that another batch has changed since.
    async fn mint(
        &mut self,
        token: Address,
        jobs: &[Job],
        orders: HashMap<PaymentId, Loaded<Order>>,
        as_gathered: bool,
    ) -> Result<HashSet<PaymentId>, Undone> {
        let reservation = self.shared.exposure.reserve(owed(jobs, orders)).await?;
        let taken = reservation.taken();
        let sent = self.mint_owed(token, reservation.items, as_gathered).await;
        match &sent {
            Ok(in_ledger) => self.shared.exposure.release(&taken, in_ledger).await,
            Err(Undone::Stale) => self.shared.exposure.release(&taken, &[]).await,
            // It may be in the ledger. It counts against the cap until its payment is final, and may be tried again
            // meanwhile.
            Err(
                Undone::NotYet | Undone::Transient(_) | Undone::Unknown(_) | Undone::Stopped(_) | Undone::Corrupt(_),
            ) => {}
        }
        Ok(sent?.into_iter().collect())
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
                left.into_iter().for_each(|job| job.hand_back(&error));
                return Err(error);
            }
        };
        for job in left {
            match loaded.remove(&job.id) {
                Some(Ok(Loaded { state: Some(order), .. })) if !job.carries(&order, waits) => job.done(),
                Some(Err(error)) => job.fail(error),
                // A second job of one order is judged when it comes again.
                Some(Ok(_)) | None => {
                    let wait = Backoff { first: self.retry(), max: RETRY_MAX }.pause(job.tries.saturating_sub(1));
                    job.later(&self.shared.gathering.carrier, wait);
                }
            }
        }
        Ok(())
    }

    /// Verifies, simulates and sends. Returns the orders in the transaction.
    async fn mint_owed(
        &mut self,
        token: Address,
        owed: Vec<Item>,
        as_gathered: bool,
    ) -> Result<Vec<PaymentId>, Undone> {
        if owed.is_empty() {
            return Ok(Vec::new());
        }
        let Some(terms) = self.terms.of(&self.shared.ledger, token).await? else {
            let why =
                Parked { reason: ParkReason::Inconsistent, detail: format!("the token {token} is not registered") };
            for item in &owed {
                item.record(&self.shared.ledger, Command::ParkMint(why.clone())).await?;
            }
            return Ok(Vec::new());
        };
        let paid = self.paid(owed, &terms).await?;
        if paid.is_empty() {
            return Ok(Vec::new());
        }
        let good = self.mintable(token, paid, as_gathered).await?;
        if good.is_empty() {
            return Ok(Vec::new());
        }
        let call = self.shared.chain.mint_call(token, &entries(&good));
        self.lane.send(call, &good, Command::SubmitMint).await?;
        Ok(good.iter().map(|item| item.id).collect())
    }

    /// Simulates the mints, and returns those that would be minted now. For each mint that the simulation skips, the
    /// reason is recorded. If the simulation reverts as a whole, halves are tried, until the item that causes it stands
    /// alone and is parked.
    ///
    /// # Errors
    /// `Stale`: the orders are `as_gathered` and one of them is minted already. Load them again.
    async fn mintable(&self, token: Address, paid: Vec<Item>, as_gathered: bool) -> Result<Vec<Item>, Undone> {
        let mut good = Vec::with_capacity(paid.len());
        let mut groups = vec![paid];
        while let Some(mut group) = groups.pop() {
            let call = self.shared.chain.mint_call(token, &entries(&group));
            match self.shared.chain.simulate_mint(self.lane.address(), &call).await {
                Ok(results) => {
                    if as_gathered && results.contains(&MintResult::AlreadyMinted) {
                        return Err(Undone::Stale);
                    }
                    for (item, result) in group.into_iter().zip(results) {
                        match result {
                            MintResult::Minted => good.push(item),
                            other => self.skip(&item, token, other).await?,
                        }
                    }
                }
                Err(fails) if fails.is_failed_call() => match group.as_slice() {
                    [] => {}
                    [alone] => {
                        let detail = fails.to_string().chars().take(200).collect();
                        let why = Parked { reason: ParkReason::Unexplained, detail };
                        alone.record(&self.shared.ledger, Command::ParkMint(why)).await?;
                    }
                    [_, _, ..] => {
                        let half = group.split_off(group.len() / 2);
                        groups.extend([half, group]);
                    }
                },
                Err(other) => return Err(other.into()),
            }
        }
        Ok(good)
    }

    /// Loads the orders of `jobs`. Each has a result of its own.
    async fn loaded(&self, jobs: &[Job]) -> Result<HashMap<PaymentId, Result<Loaded<Order>, LedgerError>>, Undone> {
        let ids: Vec<PaymentId> = jobs.iter().map(|job| job.id).collect();
        Ok(self.shared.ledger.load_orders(&ids).await?)
    }

    /// Checks the log pair of each payment on the chain, and returns the items that are paid. A payment that
    /// contradicts the chain is parked. One that the node does not show waits.
    async fn paid(&self, owed: Vec<Item>, terms: &TokenTerms) -> Result<Vec<Item>, Undone> {
        let mut receipts = Receipts::default();
        let mut paid = Vec::with_capacity(owed.len());
        for item in owed {
            let Some(proof) = item.order.payment.done() else { continue };
            match receipts.verify(&self.shared.chain, &item.order.request, proof, terms).await? {
                PaymentVerdict::Paid => paid.push(item),
                PaymentVerdict::NotSeen => tracing::warn!(payment = %item.id, "the node does not show the payment now"),
                PaymentVerdict::Wrong(why) => item.record(&self.shared.ledger, Command::ParkMint(why)).await?,
            }
        }
        Ok(paid)
    }

    /// Records the reason why the contract would skip a mint, according to the simulation.
    async fn skip(&self, item: &Item, token: Address, result: MintResult) -> Result<(), Undone> {
        let park = |reason, detail: &str| Command::ParkMint(Parked { reason, detail: detail.to_owned() });
        let command = match result {
            MintResult::AlreadyMinted => match self.minted_before(item, token).await? {
                Some((minted, true)) => Command::ConfirmMint(minted),
                // Not N blocks deep. It is looked at again when the message is redelivered.
                Some((_, false)) => return Ok(()),
                None => park(ParkReason::MintedElsewhere, "the contract says minted, but no transaction is found"),
            },
            MintResult::AlreadyRefunded => park(ParkReason::AlreadyRefunded, "the contract says refunded"),
            MintResult::OverCap => park(ParkReason::OverCap, "the token's cap is reached"),
            MintResult::BadRecipient => park(ParkReason::BadRecipient, "the token refuses the recipient"),
            MintResult::Refused(code) => park(ParkReason::Unexplained, &format!("the contract answers {code}")),
            MintResult::Minted | MintResult::Unpaid => {
                let detail = "the token has not received enough for it".to_owned();
                let retry_at = Utc::now() + self.retry();
                Command::DeferMint(Deferral { reason: WaitReason::Unpaid, detail, retry_at })
            }
        };
        failpoint(SKIPPED_MINT_NOT_RECORDED);
        item.record(&self.shared.ledger, command).await
    }

    /// The earlier mint of this payment key, and whether it is N blocks deep. Returns `None` if no transaction is
    /// found.
    async fn minted_before(&self, item: &Item, token: Address) -> Result<Option<(Minted, bool)>, Undone> {
        let request = &item.order.request;
        let Purchase::Mint { quantity, .. } = request.purchase;
        let Some((tx_hash, block)) = self.shared.chain.find_mint(token, request.payment_key).await? else {
            return Ok(None);
        };
        let deep = self.shared.chain.is_confirmed(block, self.shared.chain.head().await?).await?;
        Ok(Some((Minted { tx_hash, block, to: request.payer(), quantity }, deep)))
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

/// The entries of the call: one for each payment, whatever its quantity.
fn entries(items: &[Item]) -> Vec<MintItem> {
    items
        .iter()
        .map(|item| {
            let request = &item.order.request;
            let Purchase::Mint { quantity, .. } = request.purchase;
            MintItem { id: item.id, payment_key: request.payment_key, to: request.payer(), quantity }
        })
        .collect()
}
