//! The records of payments: what their tokens say after a block that is N deep.

use crate::desk::{Desk, Orders};
use chain::Address;
use chain::token::{RECORDS_MAX, Record};
use domain::{BlockRef, Order, PaymentId, PaymentKey, Purchase};
use runtime::Undone;
use std::collections::HashMap;

impl Desk {
    /// The records of these orders after the block `at`, up to a hundred of a token in one call. Orders that cannot be
    /// read have none.
    ///
    /// # Errors
    /// `Transient`: nothing is known.
    pub(crate) async fn records(&self, orders: &Orders, at: BlockRef) -> Result<HashMap<PaymentId, Record>, Undone> {
        let readable = orders.iter().filter_map(|(_, loaded)| loaded.as_ref().ok()?.state.as_ref());
        let mut by_token: HashMap<Address, Vec<&Order>> = HashMap::new();
        for order in readable {
            let Purchase::Mint { token, .. } = order.request.purchase;
            by_token.entry(token).or_default().push(order);
        }
        let mut records = HashMap::with_capacity(orders.len());
        for (token, orders) in by_token {
            for page in orders.chunks(RECORDS_MAX) {
                let keys: Vec<PaymentKey> = page.iter().map(|order| order.request.payment_key).collect();
                let found = self.chain.records(token, &keys, at).await?;
                records.extend(page.iter().zip(found).map(|(order, record)| (order.request.id(), own(order, record))));
            }
        }
        Ok(records)
    }

    /// The record of one order after the block `at`.
    ///
    /// # Errors
    /// `Transient`: nothing is known.
    pub(crate) async fn record(&self, order: &Order, at: BlockRef) -> Result<Record, Undone> {
        let Purchase::Mint { token, .. } = order.request.purchase;
        let found = self.chain.records(token, &[order.request.payment_key], at).await?;
        let record = found.into_iter().next().ok_or_else(|| Undone::transient("no record"))?;
        Ok(own(order, record))
    }
}

/// The record, if it is the payer's. A token computes the key from the payer, so no token of ours has another one.
fn own(order: &Order, record: Record) -> Record {
    let recorded = match record {
        Record::Absent => return record,
        Record::Paid(it) | Record::Minted(it) | Record::Refunded(it) | Record::GivenBack(it) => it,
    };
    if recorded.payer == order.request.payer() {
        return record;
    }
    tracing::error!(payment = %order.request.id(), payer = %recorded.payer, "the record is of another payer: it is ignored");
    Record::Absent
}
