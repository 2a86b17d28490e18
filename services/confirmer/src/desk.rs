//! Everything that a decision needs: the ledger, the chain, and the news of its head.

use crate::heads::Heads;
use chain::{B256, Chain, Included, Inclusion};
use domain::event::OpenTx;
use domain::order::Command;
use domain::{LaneId, Order, OrderEvent, PaymentId};
use ledger::{Ledger, LedgerError, Loaded};
use runtime::{Health, SharedSettings, Undone};
use std::time::Duration;

/// The resources with which a transaction is decided.
#[derive(Clone)]
pub(crate) struct Desk {
    pub ledger: Ledger,
    pub chain: Chain,
    pub heads: Heads,
    pub health: Health,
    pub settings: SharedSettings,
}

/// The outcome of one item of a transaction.
pub(crate) struct Verdict {
    pub id: PaymentId,
    /// The order, folded. An impossible history is reported and affects no other order.
    pub order: Result<Loaded<Order>, LedgerError>,
    pub command: Command,
}

/// A transaction that is N blocks deep, and its lane.
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

    /// The orders of a transaction, in the order of its items. Each has a result of its own.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer, or an order was not found. Our own transaction names the order, so it
    /// has events, and a read that does not find them proves nothing.
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

    /// True if one of our lanes sent the transaction.
    pub(crate) async fn is_ours(&self, hash: B256) -> Result<bool, Undone> {
        match self.chain.inclusion(hash).await? {
            Inclusion::Included(included) => Ok(self.ledger.is_lane(included.from).await?),
            Inclusion::Missing => Ok(false),
        }
    }
}

/// Logs an alarm if a payment that can never be charged is minted. This is the loss that the exposure cap bounds.
pub(crate) fn alarm_if_lost(id: PaymentId, order: Option<&Order>, event: &OrderEvent) {
    if let OrderEvent::PaymentFailed(failure) = event
        && let Some(order) = order
        && let Some(minted) = order.mint.done()
    {
        let (value, mint) = (order.request.authorization.value, minted.tx_hash);
        tracing::error!(payment = %id, %value, %mint, why = failure.detail, "LOST: minted, and can never be charged");
    }
}
