//! Everything that a decision needs: the ledger, the chain, and the news of its head.

use crate::heads::HeadReceiver;
use chain::{Address, B256, Chain, Evidence, Head, Included};
use domain::event::{OpenTx, Purpose, Submission};
use domain::order::Command;
use domain::{BlockRef, Event, LaneId, Order, OrderEvent, PaymentId};
use ledger::{Impossible, Ledger, LedgerError, Loaded, read_or_impossible};
use runtime::{Health, SharedSettings, Undone};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// The resources with which a transaction is decided.
#[derive(Clone)]
pub(crate) struct Desk {
    pub ledger: Ledger,
    pub chain: Chain,
    pub heads: HeadReceiver,
    pub health: Health,
    pub settings: SharedSettings,
}

/// The outcome of one item of a transaction.
pub(crate) struct ItemVerdict {
    pub id: PaymentId,
    /// The order, folded. An impossible history is reported and affects no other order.
    pub order: Result<Loaded<Order>, Impossible>,
    /// A command for each leg that is decided. All of them are decided by the order as it was.
    pub commands: Vec<Command>,
}

/// The orders of a transaction, in the order of its items.
pub(crate) type Orders = Vec<(PaymentId, Result<Loaded<Order>, Impossible>)>;

/// A transaction that is N blocks deep, and its lane.
pub(crate) struct Mined<'a> {
    pub lane: LaneId,
    pub tx: &'a OpenTx,
    pub included: &'a Included,
}

/// The legs of an order that wait for one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Legs {
    /// The payment does.
    pub charges: bool,
    /// The mint does.
    pub mints: bool,
    /// The refund does.
    pub returns: bool,
}

impl Mined<'_> {
    /// The legs of `order` that wait for this transaction. After a reorganisation a leg waits for the transaction that found
    /// it done before, whatever that transaction was sent for.
    pub(crate) fn legs(&self, order: &Order) -> Legs {
        let is_here = |leg: Option<&Submission>| leg.is_some_and(|to| to.is_for(self.lane.signer, self.tx.nonce));
        Legs {
            charges: is_here(order.payment.submission()),
            mints: is_here(order.mint.submission()),
            returns: is_here(order.refund.submission()),
        }
    }

    /// The transaction and its block, as the evidence of a leg names them.
    pub(crate) fn place(&self) -> (B256, BlockRef) {
        (self.tx.tx_hash, self.included.block)
    }
}

impl Desk {
    /// Pause before a payment or refund is tried again.
    pub(crate) fn retry(&self) -> Duration {
        self.settings.now().payment_retry
    }

    /// Pause before a mint is tried again.
    pub(crate) fn mint_retry(&self) -> Duration {
        self.settings.now().mint_retry
    }

    /// The orders of a transaction, in the order of its items. Each has a result of its own.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer, or an order was not found. `Unknown`: an order has an event of a newer
    /// build, so nothing of the transaction is decided before this process is upgraded.
    pub(crate) async fn orders(&self, tx: &OpenTx) -> Result<Orders, Undone> {
        readable(tx, self.ledger.load_orders(&tx.items).await?)
    }

    /// The transaction of ours that charged the payer, with its block, by the logs of the asset. `None` if it is not ours.
    pub(crate) async fn charged_by_us(
        &self,
        order: &Order,
        confirmed: Head,
    ) -> Result<Option<(B256, BlockRef)>, Undone> {
        let deep = confirmed.block;
        match self.chain.evidence(&order.request.authorization, deep, deep).await? {
            Evidence::Paid { tx_hash, block } => Ok(self.is_ours(order, tx_hash).await?.then_some((tx_hash, block))),
            Evidence::NotFoundYet => Err(Undone::NotYet),
            Evidence::Cancelled { .. } | Evidence::UsedElsewhere { .. } | Evidence::Unused => Ok(None),
        }
    }

    /// True if the ledger has this transaction, signed at a nonce that the order was submitted with. The account that sent
    /// it proves nothing: whoever has a lane's key can send what the ledger does not know, and what is not watched.
    pub(crate) async fn is_ours(&self, order: &Order, hash: B256) -> Result<bool, Undone> {
        let history = self.ledger.order_history(order.request.id()).await?;
        let submitted: HashSet<(Address, u64)> = history
            .iter()
            .filter_map(|recorded| match &recorded.event {
                Ok(Event::Order(_, OrderEvent::PaymentSubmitted(_, to))) => Some((to.signer, to.nonce)),
                _ => None,
            })
            .collect();
        for (signer, nonce) in submitted {
            let lane = LaneId::new(signer, Purpose::Settle);
            if self.ledger.attempts(lane, &[nonce], u64::MAX).await?.iter().any(|tx| tx.tx_hash == hash) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The loaded orders of a transaction, in the order of its items. Only an impossible history may be left out of a
/// decision.
fn readable(tx: &OpenTx, mut loaded: HashMap<PaymentId, Result<Loaded<Order>, LedgerError>>) -> Result<Orders, Undone> {
    let order = |id: &PaymentId| match loaded.remove(id).map(read_or_impossible).transpose()? {
        Some(Ok(Loaded { state: None, .. })) | None => {
            // Our own transaction names the order, so it has events. A read that does not find them proves nothing.
            Err(Undone::transient(format!("order {id} of {} was not found", tx.tx_hash)))
        }
        Some(order) => Ok((*id, order)),
    };
    tx.items.iter().map(order).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::{PaymentKey, examples};

    fn id(n: u8) -> PaymentId {
        PaymentId::of(PaymentKey(B256::with_last_byte(n)))
    }

    fn good() -> Result<Loaded<Order>, LedgerError> {
        Ok(Loaded { state: Some(Order::requested(examples::request())), version: 7, ..Loaded::default() })
    }

    fn newer() -> Result<Loaded<Order>, LedgerError> {
        Err(LedgerError::Newer { what: "an event".to_owned(), kind: "io.paymint.payment.split.v1".to_owned() })
    }

    fn corrupt() -> Result<Loaded<Order>, LedgerError> {
        Err(LedgerError::Corrupt { what: "an event".to_owned(), source: "twice confirmed".into() })
    }

    /// A process of an older build must not act as if an order that it cannot read did not exist.
    #[test]
    fn a_transaction_with_an_order_of_a_newer_build_is_not_decided_and_one_with_an_impossible_order_is() {
        let tx = OpenTx { items: vec![id(1), id(2)], ..examples::open_tx(7) };
        let read = |second: Option<Result<Loaded<Order>, LedgerError>>| {
            let first = (id(1), good());
            readable(&tx, [first].into_iter().chain(second.map(|second| (id(2), second))).collect())
        };
        assert!(matches!(read(Some(newer())), Err(Undone::Unknown(kind)) if kind.to_string().contains("split")));
        assert!(matches!(read(None), Err(Undone::Transient(_))));
        assert!(matches!(read(Some(Ok(Loaded::default()))), Err(Undone::Transient(_))));
        let orders = read(Some(corrupt())).unwrap();
        assert_eq!(
            orders.iter().map(|(id, order)| (*id, order.is_ok())).collect::<Vec<_>>(),
            [(id(1), true), (id(2), false)]
        );
    }
}
