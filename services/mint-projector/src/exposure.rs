//! The exposure cap. It bounds the value of units that are minted, or in a mint transaction, while their payments are
//! not final. A reorg deeper than N can make Paymint lose this much and no more.
//!
//! The exposed value is read from the ledger: from the transactions of all mint lanes, also those of other processes.
//! It is kept in memory only. At a start each lane is read backwards to the first transaction in a final block, because
//! everything before that is final. Lanes of one process never exceed the cap together. If another process signs a
//! batch in the same milliseconds, that batch may be missed.

use chain::Chain;
use domain::event::{OpenTx, Purpose};
use domain::{BlockRef, LaneId, Order, PaymentId, SignerEvent, Usdc};
use lanes::Item;
use ledger::{Ledger, LedgerError, Loaded, read_or_impossible};
use runtime::{Health, SharedSettings, Undone, causes};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Number of nonces of a lane that are read together. Since the last batch a lane has usually signed for one.
const NONCES_AT_ONCE: u64 = 2;

/// The cap, and the payments that count against it, for all lanes of this process.
#[derive(Clone)]
pub struct Exposure {
    ledger: Ledger,
    chain: Chain,
    settings: SharedSettings,
    health: Health,
    state: Arc<Mutex<State>>,
}

/// The exposed payments. A payment counts once, however often its mint is tried.
#[derive(Default)]
struct State {
    /// For each mint lane, the first nonce that was not read yet.
    lanes: HashMap<LaneId, u64>,
    exposed: HashMap<PaymentId, Exposed>,
    finalized: u64,
    waiting: bool,
}

/// A payment that is not final, and whose units are minted or in a mint transaction.
#[derive(Clone, Copy, Debug)]
struct Exposed {
    value: Usdc,
    /// The block in which it was charged; `None` while the charge is taken back.
    block: Option<BlockRef>,
    /// True if its mint was read from the ledger. Otherwise it only has reserved room.
    signed: bool,
}

/// Reserved room under the cap.
pub struct Reservation {
    /// The items that may be minted, in the order given.
    pub items: Vec<Item>,
    taken: Vec<PaymentId>,
}

impl Exposure {
    /// A cap with the current `settings`. Nothing has been read yet.
    pub fn new(ledger: Ledger, chain: Chain, settings: SharedSettings, health: Health) -> Self {
        Self { ledger, chain, settings, health, state: Arc::default() }
    }

    /// Reads the exposed payments while the first batch is still being gathered, because a start has more to read than
    /// any later batch. After an error the first batch reads them again.
    pub async fn warm_up(&self) {
        let mut state = self.state.lock().await;
        if let Err(error) = self.catch_up(&mut state).await {
            tracing::warn!(error = %causes(&error), "the exposed payments cannot be read now: the first batch reads them again");
        }
    }

    /// Reserves room for as many of `items` as possible. The others wait, and their messages come again: there is room
    /// as blocks become final, and a payment in a final block needs none.
    ///
    /// # Errors
    /// `Transient`: nothing is reserved, and nothing may be minted.
    pub async fn reserve(&self, items: Vec<Item>) -> Result<Reservation, Undone> {
        let mut state = self.state.lock().await;
        // For each batch, however far below the cap: another process may have used all of the room since the last one.
        self.catch_up(&mut state).await?;
        let (max, mut total) = (self.max(), state.total());
        let (mut fitting, mut taken, mut waiting) = (Vec::with_capacity(items.len()), Vec::new(), 0_usize);
        for item in items {
            let Some(proof) = item.order.payment.done() else { continue };
            let value = item.order.request.authorization.value;
            let is_free = proof.block.number <= state.finalized || state.exposed.contains_key(&item.id);
            let with_it = u128::from(value.0).saturating_add(total);
            if is_free {
                fitting.push(item);
            } else if with_it <= u128::from(max.0) {
                total = with_it;
                state.exposed.insert(item.id, Exposed { value, block: Some(proof.block), signed: false });
                taken.push(item.id);
                fitting.push(item);
            } else {
                waiting += 1;
            }
        }
        self.tell(&mut state, max, total, waiting);
        Ok(Reservation { items: fitting, taken })
    }

    /// Gives back the room of orders that were not `sent`. Not to be called after an append with an unknown outcome,
    /// because its orders may be in the ledger now or later.
    pub async fn release(&self, reservation: &[PaymentId], sent: &[PaymentId]) {
        let mut state = self.state.lock().await;
        for id in reservation.iter().filter(|id| !sent.contains(id)) {
            // Another instance may have signed it in the meantime.
            if state.exposed.get(id).is_some_and(|exposed| !exposed.signed) {
                state.exposed.remove(id);
            }
        }
    }

    /// The current cap.
    fn max(&self) -> Usdc {
        Usdc(self.settings.now().exposure_max_usdc.saturating_mul(1_000_000))
    }

    /// Logs when minting stops at the cap `max`, and when it continues.
    fn tell(&self, state: &mut State, max: Usdc, total: u128, waiting: usize) {
        let exposed = Usdc(u64::try_from(total).unwrap_or(u64::MAX));
        if waiting > 0 {
            let why =
                format!("{exposed} of {max} are minted and not final: at least {waiting} mints wait for finality");
            if !state.waiting {
                tracing::warn!(%exposed, %max, waiting, "minting stops at the exposure cap until blocks are final");
            }
            self.health.bad("exposure", why);
        } else {
            if state.waiting {
                tracing::info!(%exposed, %max, "minting goes on below the exposure cap");
            }
            self.health.good("exposure");
        }
        state.waiting = waiting > 0;
    }

    /// Reads the transactions that were signed since the last look, by any process, and removes payments that have
    /// become final.
    async fn catch_up(&self, state: &mut State) -> Result<(), Undone> {
        let (finalized, lanes) = tokio::join!(self.chain.finalized(), self.ledger.lanes(Purpose::Mint));
        let finalized = finalized?.number;
        for (lane, first) in lanes.map_err(transient)? {
            if !state.lanes.contains_key(&lane) {
                let next = self.read_back(state, lane, first, finalized).await?;
                state.lanes.insert(lane, next);
            }
        }
        for (lane, next) in state.lanes.clone() {
            let next = self.read_on(state, lane, next).await?;
            state.lanes.insert(lane, next);
        }
        if finalized != state.finalized {
            self.leave_out(state, finalized).await?;
            state.finalized = finalized;
        }
        Ok(())
    }

    /// Reads everything that the lane signed from nonce `next` on, and returns the nonce after it. Nonces that another
    /// sender used are left behind by one event, under the first of them.
    async fn read_on(&self, state: &mut State, lane: LaneId, mut next: u64) -> Result<u64, Undone> {
        loop {
            let nonces: Vec<u64> = (next..next.saturating_add(NONCES_AT_ONCE)).collect();
            let mut signed = Vec::new();
            let begins = self.ledger.begins(lane, &nonces).await.map_err(transient)?;
            let before = next;
            for begin in begins {
                match begin {
                    SignerEvent::Signed(tx) => {
                        next = next.max(tx.nonce.saturating_add(1));
                        signed.push(tx);
                    }
                    SignerEvent::Lost(lost) if lost.nonce == next => next = lost.account_nonce,
                    _ => {}
                }
            }
            self.add(state, &signed).await?;
            // Nonces are used in order, so nothing stands behind one without an event.
            if next == before || next < before.saturating_add(NONCES_AT_ONCE) {
                return Ok(next);
            }
        }
    }

    /// Reads the lane's transactions from the latest back to the first that is in a final block, or back to `first`.
    /// Returns the nonce after the latest. Nonces are used in order, so the mints of all earlier nonces, and the
    /// payments for them, are final.
    async fn read_back(&self, state: &mut State, lane: LaneId, first: u64, finalized: u64) -> Result<u64, Undone> {
        let next = self.ledger.next_to_sign(lane).await.map_err(transient)?.unwrap_or(first);
        for nonce in (first..next).rev() {
            let ends = self.ledger.ends_of(lane, nonce).await.map_err(transient)?;
            let used = match ends.last() {
                Some(SignerEvent::Settled(settled) | SignerEvent::Resettled(_, settled)) => Some(settled.block),
                Some(SignerEvent::Lost(lost)) => Some(lost.block),
                _ => None,
            };
            if used.is_some_and(|block| block.number <= finalized) {
                break;
            }
            let signed = self.ledger.signed(lane, &[nonce]).await.map_err(transient)?;
            self.add(state, &signed).await?;
        }
        Ok(next)
    }

    async fn add(&self, state: &mut State, signed: &[OpenTx]) -> Result<(), Undone> {
        let mut unknown = Vec::new();
        for id in signed.iter().flat_map(|tx| &tx.items) {
            match state.exposed.get_mut(id) {
                Some(exposed) => exposed.signed = true,
                None => unknown.push(*id),
            }
        }
        for (id, order) in self.orders(&unknown).await? {
            state.exposed.insert(id, Exposed::of(&order));
        }
        Ok(())
    }

    /// Removes payments that are charged in a final block. If the block at that height is another one now, the order
    /// says where its payment is. While it is in no block, its units are exposed.
    async fn leave_out(&self, state: &mut State, finalized: u64) -> Result<(), Undone> {
        let mut hashes = HashMap::new();
        let mut moved = Vec::new();
        let mut closed = Vec::new();
        for (id, exposed) in &state.exposed {
            match exposed.block {
                None => moved.push(*id),
                Some(block) if block.number <= finalized => {
                    let found = match hashes.entry(block.number) {
                        Entry::Occupied(known) => *known.get(),
                        Entry::Vacant(unread) => {
                            *unread.insert(self.chain.block_at(block.number).await?.map(|found| found.block.hash))
                        }
                    };
                    if found == Some(block.hash) { closed.push(*id) } else { moved.push(*id) }
                }
                Some(_) => {}
            }
        }
        for id in closed {
            state.exposed.remove(&id);
        }
        for (id, order) in self.orders(&moved).await? {
            // A failed payment is a loss that has happened. It is no longer at risk.
            if order.payment.failure().is_some() {
                state.exposed.remove(&id);
            } else {
                state.exposed.insert(id, Exposed::of(&order));
            }
        }
        Ok(())
    }

    async fn orders(&self, ids: &[PaymentId]) -> Result<Vec<(PaymentId, Order)>, Undone> {
        readable(self.ledger.load_orders(ids).await.map_err(transient)?)
    }
}

/// The orders that count. Only an impossible history is left out, because it would stop all minting permanently.
fn readable(loaded: HashMap<PaymentId, Result<Loaded<Order>, LedgerError>>) -> Result<Vec<(PaymentId, Order)>, Undone> {
    let mut orders = Vec::with_capacity(loaded.len());
    for (id, loaded) in loaded {
        match read_or_impossible(loaded).map_err(transient)? {
            Ok(Loaded { state, .. }) => orders.extend(state.map(|order| (id, order))),
            Err(impossible) => {
                tracing::error!(payment = %id, error = %causes(&impossible), "the order cannot be read, so the value that it exposes is unknown");
            }
        }
    }
    Ok(orders)
}

impl Reservation {
    /// Orders for which room was reserved. The room is given back unless they are sent.
    pub fn taken(&self) -> Vec<PaymentId> {
        self.taken.clone()
    }
}

impl State {
    /// Total exposed value. A sum of 64-bit values fits in 128 bits.
    fn total(&self) -> u128 {
        self.exposed.values().map(|exposed| u128::from(exposed.value.0)).sum()
    }
}

impl Exposed {
    fn of(order: &Order) -> Self {
        Self {
            value: order.request.authorization.value,
            block: order.payment.done().map(|proof| proof.block),
            signed: true,
        }
    }
}

/// The exposed payments cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the exposed payments cannot be read")]
struct NotKnown(#[source] LedgerError);

/// Turns an error into a transient one. A lane that cannot be read stops minting until an operator has looked, but ends
/// no process. If an event of a newer build is in the way, the error says so.
fn transient(error: LedgerError) -> Undone {
    match error {
        LedgerError::Newer { .. } => error.into(),
        LedgerError::Transient { .. } | LedgerError::Corrupt { .. } => Undone::transient(NotKnown(error)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::examples;

    /// A process of an older build must not mint as if an order that it cannot read exposed nothing.
    #[test]
    fn the_exposed_value_is_not_known_while_an_order_has_an_event_of_a_newer_build() {
        let id = |n| PaymentId::of(domain::PaymentKey(chain::B256::with_last_byte(n)));
        let order = Order::requested(examples::request());
        let with = |second| {
            let first = Ok(Loaded { state: Some(order.clone()), ..Loaded::default() });
            readable([(id(1), first), (id(2), Err(second))].into())
        };
        let what = || "an event".to_owned();
        let newer = with(LedgerError::Newer { what: what(), kind: "io.paymint.mint.split.v1".to_owned() });
        assert!(matches!(newer, Err(Undone::Unknown(kind)) if kind.to_string().contains("split")));
        assert!(matches!(with(LedgerError::transient("reading", "no answer")), Err(Undone::Transient(_))));
        let orders = with(LedgerError::Corrupt { what: what(), source: "twice".into() }).unwrap();
        assert_eq!(orders, [(id(1), order.clone())]);
    }
}
