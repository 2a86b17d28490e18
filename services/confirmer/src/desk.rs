//! What deciding needs: the ledger, the chain, the news of its head.

use crate::heads::Heads;
use chain::{B256, Chain, Included, Inclusion};
use domain::event::OpenTx;
use domain::order::Command;
use domain::{LaneId, Order, OrderEvent, PaymentId};
use ledger::{Ledger, LedgerError, Loaded};
use runtime::{Health, SharedSettings, Undone};
use std::time::Duration;

/// What deciding one transaction needs.
#[derive(Clone)]
pub(crate) struct Desk {
    pub ledger: Ledger,
    pub chain: Chain,
    pub heads: Heads,
    pub health: Health,
    pub settings: SharedSettings,
}

/// What a transaction says of one of its items.
pub(crate) struct Verdict {
    pub id: PaymentId,
    /// As folded; an impossible past is reported and holds up nobody else.
    pub order: Result<Loaded<Order>, LedgerError>,
    pub command: Command,
}

/// A transaction, deep enough, and who signed it.
pub(crate) struct Mined<'a> {
    pub signer: LaneId,
    pub tx: &'a OpenTx,
    pub included: &'a Included,
}

impl Desk {
    /// Pause before a payment or mint is tried again.
    pub(crate) fn retry(&self) -> Duration {
        self.settings.now().payment_retry
    }

    /// The orders of a transaction, in its order; each is judged alone.
    ///
    /// # Errors
    /// `Neighbour` without an answer, and where an order has no events: our own transaction names it, so its events were
    /// written and were not found now. That is no verdict.
    pub(crate) async fn orders(
        &self,
        tx: &OpenTx,
    ) -> Result<Vec<(PaymentId, Result<Loaded<Order>, LedgerError>)>, Undone> {
        let mut loaded = self.ledger.load_orders(&tx.items).await?;
        let orders: Vec<_> =
            tx.items.iter().map(|id| (*id, loaded.remove(id).unwrap_or_else(|| Ok(Loaded::default())))).collect();
        match orders.iter().find(|(_, loaded)| matches!(loaded, Ok(Loaded { state: None, .. }))) {
            Some((id, _)) => Err(Undone::transient(format!("order {id} of {} was not found", tx.tx_hash))),
            None => Ok(orders),
        }
    }

    /// Whether one of our lanes sent the transaction.
    pub(crate) async fn is_ours(&self, hash: B256) -> Result<bool, Undone> {
        match self.chain.inclusion(hash).await? {
            Inclusion::Included(included) => Ok(self.ledger.is_lane(included.from).await?),
            Inclusion::Missing => Ok(false),
        }
    }
}

/// A payment that can never be charged, and whose mint stands: the loss that the exposure cap bounds (P1b).
pub(crate) fn alarm_if_lost(id: PaymentId, order: Option<&Order>, event: &OrderEvent) {
    if let OrderEvent::PaymentFailed(failure) = event
        && let Some(order) = order
        && let Some(minted) = order.mint.done()
    {
        let (value, mint) = (order.request.authorization.value, minted.tx_hash);
        tracing::error!(payment = %id, %value, %mint, why = failure.detail, "LOST: minted, and can never be charged");
    }
}
