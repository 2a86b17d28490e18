//! Answering a batch of messages, by what the ledger says of their orders and not by what a caller believes.

use crate::connect::Ledger;
use crate::consume::{Delivery, PROGRESS_INTERVAL};
use crate::error::LedgerError;
use crate::fold::Loaded;
use domain::{Event, OrderEvent, PaymentId};
use futures_util::future::join_all;
use std::time::Duration;

impl Delivery {
    /// The order that the message is about; none for a message of another stream.
    pub fn order(&self) -> Option<(PaymentId, &OrderEvent)> {
        match &self.event {
            Event::Order(id, event) => Some((*id, event)),
            Event::Signer(..) | Event::Token(..) | Event::Key(..) | Event::Ops(_) => None,
        }
    }
}

impl Ledger {
    /// Acknowledges the messages whose effect is in the ledger; those that still carry their order on come again after
    /// `wait`.
    ///
    /// # Errors
    /// `Transient`: nothing was read, and every message comes again after its `wait`.
    pub async fn answer(&self, batch: Vec<Delivery>, wait: impl Fn(&Delivery) -> Duration) -> Result<(), LedgerError> {
        let ids: Vec<PaymentId> = batch.iter().filter_map(|delivery| Some(delivery.order()?.0)).collect();
        let read = self.load_orders(&ids).await;
        let answers = batch.into_iter().map(|delivery| {
            let again = match (&read, delivery.order()) {
                (Ok(loaded), Some((id, event))) => match loaded.get(&id) {
                    Some(Ok(Loaded { state: Some(order), .. })) => order.is_carried_by(event),
                    _ => true,
                },
                (Ok(_), None) => false,
                (Err(_), _) => true,
            };
            let wait = wait(&delivery);
            async move { if again { delivery.nak(wait).await } else { delivery.ack().await } }
        });
        join_all(answers).await;
        read.map(|_| ())
    }
}

/// Nothing was learnt of these: they come again after `pause`.
pub async fn hand_back(batch: Vec<Delivery>, pause: Duration) {
    join_all(batch.into_iter().map(|delivery| delivery.nak(pause))).await;
}

/// Does `work` while reporting progress on the messages that it is done for, so that nobody else is given them.
pub async fn keep<T>(deliveries: &[Delivery], work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(PROGRESS_INTERVAL) => {
                for delivery in deliveries {
                    delivery.progress().await;
                }
            }
        }
    }
}
