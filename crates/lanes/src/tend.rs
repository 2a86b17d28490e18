//! Looks after transactions that are under way: look at the chain, ask the decider for the next steps, and take them
//! one after the other.
//!
//! Every step that changes something is appended before it is taken, at the version of the lane that was read. Of two
//! workers with the same key the ledger refuses one, and both can only broadcast bytes that are recorded.

use crate::item::Item;
use crate::lane::{SignerLane, behind};
use crate::watch::{ForeignUse, NotTaken};
use chain::{Address, Head, Presence};
use chrono::Utc;
use domain::event::{Deferral, Lost, OpenTx, ParkReason, Parked, Purpose, Submission, WaitReason};
use domain::lane::{CALL_GAS, Fees, Look, NonceStatus, Open, Rest, Step, tend};
use domain::order::Command;
use domain::{BlockRef, Order, PaymentId, SignerEvent};
use ledger::{Batch, LedgerError, Loaded, NewEvent, read_or_impossible};
use runtime::failpoint::{REPLACEMENT_NOT_BROADCAST, failpoint};
use runtime::{Undone, causes};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// If an account can pay for fewer calls than this, the log warns operators while the lane still works.
const LOW_CALLS: u128 = 50;

impl SignerLane {
    /// Looks after transactions that are signed and not settled. Does nothing if it was called a moment ago.
    ///
    /// # Errors
    /// `Transient`, `Stale`: call it again.
    pub async fn tend(&mut self) -> Result<(), Undone> {
        if !self.watch.is_time() {
            return Ok(());
        }
        let head = self.chain.head().await?;
        if self.watch.has_news(head) {
            return self.tend_at(head).await;
        }
        // Nonces that the confirmer has settled since make room for new ones.
        self.refresh().await
    }

    async fn tend_at(&mut self, head: Head) -> Result<(), Undone> {
        self.refresh().await?;
        self.watch.keep(&self.lane);
        let mut look = self.look(head).await?;
        self.unmined.looked(&self.lane, &look.seen);
        let mut steps = tend(&self.lane, &look);
        let mut proof = None;
        if steps.contains(&Step::Rest(Rest::Foreign)) {
            // The lane rests meanwhile. An error delays only the proof.
            proof = self.foreign_use(head, &look).await.unwrap_or_else(|error| {
                tracing::warn!(signer = %self.address(), error = %causes(&error), "the use of a nonce by somebody else is not proven");
                None
            });
            look.final_nonce = proof.as_ref().map_or(0, |proof| proof.nonce);
            steps = tend(&self.lane, &look);
        } else {
            self.watch.read_nonce(None);
        }
        self.rest(&steps, &look)?;
        for step in steps {
            match (step, &proof) {
                (Step::Resend(nonce), _) => self.resend(nonce).await,
                (Step::Replace(nonce, fees), _) => self.replace(nonce, fees).await?,
                (Step::Lose(nonce), Some(proof)) if proof.absent.contains(&nonce) => self.lose(nonce, proof).await?,
                (Step::Skip(to), Some(proof)) => self.skip(to, proof.block).await?,
                (Step::Lose(_) | Step::Skip(_) | Step::Rest(_), _) => {}
            }
        }
        self.watch.looked(head);
        Ok(())
    }

    /// The proof that somebody else used a nonce, once there is one. A node does not have the state of a final block. So the
    /// account's nonce is read after a block that is N deep, and counts when this block is final. A node that lags may have
    /// none of our transactions, so they must be absent in every look until then.
    async fn foreign_use(&mut self, head: Head, look: &Look) -> Result<Option<ForeignUse>, Undone> {
        let of_ours = |status: NonceStatus| matches!(status, NonceStatus::Mined | NonceStatus::Pooled(_));
        let is_absent = |(nonce, status): &(&u64, &NonceStatus)| **nonce < look.nonce && !of_ours(**status);
        let absent: BTreeSet<u64> = look.seen.iter().filter(is_absent).map(|(nonce, _)| *nonce).collect();
        if let Some(foreign) = self.watch.still_absent(&absent).cloned() {
            if foreign.block.number > self.chain.finalized().await?.number {
                return Ok(None);
            }
            let found = self.chain.block_at(foreign.block.number).await?;
            self.watch.read_nonce(None);
            return Ok(found.is_some_and(|found| found.block == foreign.block).then_some(foreign));
        }
        let block = self.chain.confirmed(head).await?.block;
        let nonce = self.chain.nonce_after(self.address(), block).await?;
        // The use of a nonce may not be N deep. Then it is read again.
        let is_there = tend(&self.lane, &Look { final_nonce: nonce, ..look.clone() });
        if !is_there.contains(&Step::Rest(Rest::Foreign)) {
            self.watch.read_nonce(Some(ForeignUse { block, nonce, absent }));
        }
        Ok(None)
    }

    pub(crate) async fn look(&mut self, head: Head) -> Result<Look, Undone> {
        let address = self.address();
        self.watch.begins(head);
        // The nonce is read first. A transaction that is mined afterwards is then seen as mined, and not as a nonce
        // that another sender used.
        let nonce = self.chain.nonce(address).await?;
        let mut seen = BTreeMap::new();
        for (number, open) in self.lane.open.clone() {
            seen.insert(number, self.seen(&open, head, number < nonce).await?);
        }
        let market = self.chain.fees(head).await?;
        self.max_fee_wei = market.max_fee_wei;
        Ok(Look {
            base_fee_wei: head.base_fee_wei,
            market,
            nonce,
            policy: self.chain.config().fees,
            final_nonce: 0,
            balance_wei: self.chain.gas_money(address).await?,
            data_fee_wei: self.chain.data_fee().await?,
            is_short_of_funds: self.watch.is_short_of_funds(),
            seen,
        })
    }

    async fn seen(&mut self, open: &Open, head: Head, is_used: bool) -> Result<NonceStatus, Undone> {
        let latest = open.latest().tx_hash;
        let mut found = Presence::Unknown;
        for tx in open.attempts() {
            match self.chain.presence(tx.tx_hash).await? {
                Presence::Mined => {
                    self.watch.shows(latest);
                    return Ok(NonceStatus::Mined);
                }
                Presence::Pooled if tx.tx_hash == latest => found = Presence::Pooled,
                Presence::Pooled | Presence::Unknown => {}
            }
        }
        if found == Presence::Pooled {
            self.watch.shows(latest);
            return Ok(NonceStatus::Pooled(self.watch.waits(latest, head)));
        }
        // A transaction whose nonce is used waits in no pool.
        let hidden = self.watch.hidden(latest).filter(|_| !is_used);
        Ok(match (self.watch.refusal(latest), hidden) {
            (Some(NotTaken::Underpriced), _) => NonceStatus::Underpriced,
            (Some(NotTaken::TooDear), _) => NonceStatus::TooDear,
            (Some(NotTaken::Funds) | None, Some(blocks)) => NonceStatus::Pooled(blocks),
            (Some(NotTaken::Funds) | None, None) => NonceStatus::Unknown,
        })
    }

    /// Logs the reason when the lane begins to rest, and that it goes on when it does.
    fn rest(&mut self, steps: &[Step], look: &Look) -> Result<(), Undone> {
        let signer = self.address();
        let rests = steps.iter().find_map(|step| match step {
            Step::Rest(why) => Some(*why),
            // The lane rests until the lost nonce is recorded.
            Step::Lose(_) | Step::Skip(_) => Some(Rest::Foreign),
            Step::Resend(_) | Step::Replace(..) => None,
        });
        if rests != self.rests {
            match rests {
                Some(why) => tracing::error!(%signer, %why, "the lane rests"),
                None => tracing::info!(%signer, "the lane goes on"),
            }
        }
        self.rests = rests;
        let call = look.market.max_fee_wei.saturating_mul(CALL_GAS).saturating_add(look.data_fee_wei);
        let is_low = look.balance_wei < call.saturating_mul(LOW_CALLS);
        if is_low && !self.is_low {
            tracing::error!(%signer, balance_wei = look.balance_wei, "the account pays for fewer than {LOW_CALLS} more calls");
        }
        self.is_low = is_low;
        if rests == Some(Rest::Behind) {
            let settled = self.lane.open.keys().next().copied().unwrap_or(self.lane.next_nonce);
            return Err(behind(signer, look.nonce, settled));
        }
        Ok(())
    }

    async fn resend(&mut self, nonce: u64) {
        let Some(tx) = self.lane.open.get(&nonce).map(|open| open.latest().clone()) else { return };
        if self.watch.was_taken(tx.tx_hash) {
            tracing::warn!(signer = %self.address(), nonce, tx = %tx.tx_hash, "the node lost a transaction: sent again");
        }
        if self.watch.is_trouble(tx.tx_hash) {
            self.window.shrink();
        }
        self.broadcast(&tx).await;
    }

    /// Signs a replacement at higher fees. Its bytes are in the ledger before they are sent.
    async fn replace(&mut self, nonce: u64, fees: Fees) -> Result<(), Undone> {
        let Some(open) = self.lane.open.get(&nonce) else { return Ok(()) };
        let tx = self.chain.replace(&self.key, open.latest(), fees)?;
        let (opening, replaced) = self.event(SignerEvent::Replaced(open.next_replacement(), tx.clone()));
        self.write(Batch::led_by(opening).then([replaced])).await?;
        failpoint(REPLACEMENT_NOT_BROADCAST);
        tracing::warn!(signer = %self.address(), nonce, tx = %tx.tx_hash, max_fee_wei = fees.max_fee_wei, "replaced at higher fees");
        self.window.shrink();
        self.broadcast(&tx).await;
        self.refresh().await
    }

    /// Records that another sender used the nonce, and frees the orders of our transaction in the same append.
    async fn lose(&mut self, nonce: u64, proof: &ForeignUse) -> Result<(), Undone> {
        let Some(open) = self.lane.open.get(&nonce) else { return Ok(()) };
        let (tx, block, account_nonce) = (open.latest().clone(), proof.block, proof.nonce);
        tracing::error!(signer = %self.address(), nonce, "the nonce was used by somebody else who has this key");
        let (opening, lost) = self.event(SignerEvent::Lost(Lost { nonce, account_nonce, block }));
        let mut events: Vec<NewEvent> = opening.into_iter().collect();
        for item in waiting_for(&tx, self.address(), self.ledger.load_orders(&tx.items).await?)? {
            events.extend(item.event(freed(&tx, self.address(), &item.order)));
        }
        self.write(Batch::of(events).sealed_by(lost)).await?;
        self.refresh().await
    }

    async fn skip(&mut self, to: u64, block: BlockRef) -> Result<(), Undone> {
        let nonce = self.lane.next_nonce;
        tracing::error!(signer = %self.address(), nonce, to, "nonces were used by somebody else who has this key");
        let (opening, lost) = self.event(SignerEvent::Lost(Lost { nonce, account_nonce: to, block }));
        self.write(Batch::led_by(opening).then([lost])).await?;
        self.refresh().await
    }
}

/// The command that frees an order of `tx`, whose nonce another transaction has used.
fn freed(tx: &OpenTx, signer: Address, order: &Order) -> Command {
    let detail = format!("nonce {} of {signer} was used by another transaction", tx.nonce);
    let is_payment = waits_in(order.payment.submission(), tx, signer);
    let defer = |detail| Deferral { reason: WaitReason::NotAttempted, detail, retry_at: Utc::now() };
    match tx.purpose {
        Purpose::Settle => Command::Defer(defer(detail)),
        Purpose::Mint => Command::DeferMint(defer(detail)),
        // The money is at the token as before, and the token has no record of it.
        Purpose::Operate if is_payment => {
            Command::Park(Parked { reason: ParkReason::PaidAroundToken, detail, tx_hash: None })
        }
        Purpose::Operate => Command::DeferRefund(defer(detail)),
    }
}

/// Returns whether a leg that is in the transaction `leg` waits for the nonce of `tx`.
fn waits_in(leg: Option<&Submission>, tx: &OpenTx, signer: Address) -> bool {
    leg.is_some_and(|to| to.is_for(signer, tx.nonce))
}

/// The loaded orders of `tx` that wait for its nonce.
fn waiting_for(
    tx: &OpenTx,
    signer: Address,
    loaded: HashMap<PaymentId, Result<Loaded<Order>, LedgerError>>,
) -> Result<Vec<Item>, Undone> {
    let mut waiting = Vec::with_capacity(loaded.len());
    for (id, loaded) in loaded {
        // An order of a newer build may wait for this nonce, so the nonce is not given up before this process is upgraded.
        let loaded = match read_or_impossible(loaded)? {
            Ok(loaded) => loaded,
            // One impossible order delays no other. Its own consumer parks it.
            Err(impossible) => {
                tracing::error!(payment = %id, error = %causes(&impossible), "order not freed: its history is impossible");
                continue;
            }
        };
        let Some(item) = Item::of(id, loaded) else {
            // A transaction of ours names the order, so it has events. This read did not find them.
            return Err(Undone::transient(format!("order {id} of {} was not found", tx.tx_hash)));
        };
        let Order { payment, mint, refund, .. } = &item.order;
        let waits = match tx.purpose {
            Purpose::Settle => waits_in(payment.submission(), tx, signer),
            Purpose::Mint => waits_in(mint.submission(), tx, signer),
            Purpose::Operate => {
                [payment.submission(), refund.submission()].iter().any(|leg| waits_in(*leg, tx, signer))
            }
        };
        if waits {
            waiting.push(item);
        }
    }
    Ok(waiting)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::order::{decide, evolve};
    use domain::{OrderEvent, examples};

    fn order(signer: Address, nonce: u64) -> Result<Loaded<Order>, LedgerError> {
        let submission = Submission { signer, nonce, tx_hash: examples::open_tx(nonce).tx_hash };
        let submitted = OrderEvent::PaymentSubmitted(1, submission);
        let order = evolve(Some(Order::requested(examples::request())), &submitted).unwrap();
        Ok(Loaded { state: order, version: 7, ..Loaded::default() })
    }

    /// A process of an older build must not give up a nonce as if an order that it cannot read did not exist.
    #[test]
    fn a_nonce_is_not_given_up_while_an_order_of_it_has_an_event_of_a_newer_build() {
        let (tx, signer) = (examples::open_tx(7), examples::SIGNER);
        let id = |n| PaymentId::of(domain::PaymentKey(chain::B256::with_last_byte(n)));
        let freed = |second: Result<Loaded<Order>, LedgerError>| {
            let items = waiting_for(&tx, signer, [(id(1), order(signer, 7)), (id(2), second)].into())?;
            Ok(items.iter().map(|item| item.id).collect::<Vec<_>>())
        };
        let what = || "an event".to_owned();
        let newer = freed(Err(LedgerError::Newer { what: what(), kind: "io.paymint.payment.split.v1".to_owned() }));
        assert!(matches!(newer, Err(Undone::Unknown(kind)) if kind.to_string().contains("split")));
        assert!(matches!(freed(Ok(Loaded::default())), Err(Undone::Transient(_))));
        for other in [Err(LedgerError::Corrupt { what: what(), source: "twice".into() }), order(signer, 8)] {
            assert_eq!(freed(other).unwrap(), [id(1)]);
        }
    }

    /// The order after `commands`, all of which the decider accepts.
    fn after(commands: impl IntoIterator<Item = Command>) -> Order {
        let requested = Order::requested(examples::request());
        commands.into_iter().fold(requested, |order, command| {
            let event = decide(Some(&order), command).unwrap().unwrap();
            evolve(Some(order), &event).unwrap().unwrap()
        })
    }

    #[test]
    fn an_order_whose_nonce_was_used_elsewhere_waits_again_where_it_waited_before() {
        let paid = || Command::Confirm(examples::proof());
        let ask_back = || Command::RequestRefund(examples::refund_request());
        let in_seven = || examples::submission(7);
        let cases = [
            (Purpose::Settle, vec![Command::Submit(in_seven())], "payment.deferred"),
            (Purpose::Mint, vec![paid(), Command::SubmitMint(in_seven())], "mint.deferred"),
            (
                Purpose::Operate,
                vec![Command::Park(examples::parked_payment()), Command::Submit(in_seven())],
                "payment.parked",
            ),
            (Purpose::Operate, vec![paid(), ask_back(), Command::SubmitRefund(in_seven())], "refund.deferred"),
        ];
        for (purpose, commands, event) in cases {
            let (tx, order) = (OpenTx { purpose, ..examples::open_tx(7) }, after(commands));
            let id = order.request.id();
            let loaded = |order| [(id, Ok(Loaded { state: Some(order), version: 7, ..Loaded::default() }))].into();
            let items = waiting_for(&tx, examples::SIGNER, loaded(order)).unwrap();
            let freed = freed(&tx, examples::SIGNER, &items[0].order);
            let written = decide(Some(&items[0].order), freed).unwrap().unwrap();
            assert_eq!(written.name(), event, "{purpose:?}");
            let elsewhere = OpenTx { nonce: 8, ..tx };
            assert!(waiting_for(&elsewhere, examples::SIGNER, loaded(items[0].order.clone())).unwrap().is_empty());
        }
    }
}
