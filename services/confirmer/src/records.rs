//! The records of payments: what their tokens say after a block that is N deep.

use crate::desk::{Desk, Orders};
use chain::token::{RECORDS_MAX, Record};
use chain::{Address, Head};
use domain::{BlockRef, Order, PaymentId, PaymentKey, Purchase};
use runtime::Undone;
use std::collections::HashMap;

impl Desk {
    /// The findings about these orders after the block `at`, up to a hundred of a token in one call. Orders that cannot be
    /// read have none.
    ///
    /// # Errors
    /// `Transient`: nothing is known.
    pub(crate) async fn records(&self, orders: &Orders, at: BlockRef) -> Result<HashMap<PaymentId, Finding>, Undone> {
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
                let findings =
                    page.iter().zip(found).map(|(order, record)| (order.request.id(), finding(order, record)));
                records.extend(findings);
            }
        }
        Ok(records)
    }

    /// The finding about one order after the block `at`.
    ///
    /// # Errors
    /// `Transient`: nothing is known.
    pub(crate) async fn record(&self, order: &Order, at: BlockRef) -> Result<Finding, Undone> {
        let Purchase::Mint { token, .. } = order.request.purchase;
        let found = self.chain.records(token, &[order.request.payment_key], at).await?;
        let record = found.into_iter().next().ok_or_else(|| Undone::transient("no record"))?;
        Ok(finding(order, record))
    }
}

/// The token's word about an order. A payer may sign two payments with one nonce, which have one key: the record is of the
/// one that was settled, and the other can never be charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The record is of this order, or there is none.
    Own(Record),
    /// The record is of another payment with the same nonce.
    Another(Record),
}

impl Finding {
    /// The record of this order. A record of another payment says nothing about it.
    pub(crate) fn own(self) -> Record {
        match self {
            Self::Own(record) => record,
            Self::Another(_) => Record::Absent,
        }
    }

    /// Returns whether there is a record that may be newer than the final block `last`, and so may fall out of the chain.
    pub(crate) fn is_newer_than(&self, last: &Head) -> bool {
        let (Self::Own(record) | Self::Another(record)) = self;
        *record != Record::Absent && !record.was_made_before(last)
    }
}

/// Compares the record with the order.
fn finding(order: &Order, record: Record) -> Finding {
    let Purchase::Mint { quantity, .. } = order.request.purchase;
    let is_own = match record {
        Record::Absent => true,
        Record::Paid(it) | Record::Minted(it) | Record::Refunded(it) => {
            it.payer == order.request.payer() && it.units == quantity.get()
        }
        // A payment that was never recorded has no units.
        Record::GivenBack(it) => it.payer == order.request.payer(),
    };
    if is_own { Finding::Own(record) } else { Finding::Another(record) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::token::PaymentRecord;
    use domain::examples;

    #[test]
    fn a_record_of_another_amount_is_of_another_payment() {
        let order = Order::requested(examples::request());
        let Purchase::Mint { quantity, .. } = order.request.purchase;
        let own = PaymentRecord { payer: examples::PAYER, units: quantity.get(), paid_at: 1_800_000_000 };
        let more = PaymentRecord { units: own.units + 1, ..own };
        let none = PaymentRecord { units: 0, ..own };
        let stranger = PaymentRecord { payer: examples::SIGNER, ..own };
        for record in
            [Record::Absent, Record::Paid(own), Record::Minted(own), Record::Refunded(own), Record::GivenBack(none)]
        {
            assert_eq!(finding(&order, record), Finding::Own(record));
        }
        for record in [
            Record::Paid(more),
            Record::Minted(more),
            Record::Refunded(more),
            Record::Paid(stranger),
            Record::GivenBack(stranger),
        ] {
            assert_eq!(finding(&order, record), Finding::Another(record));
        }
    }
}
