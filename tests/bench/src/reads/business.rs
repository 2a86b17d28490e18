//! A shop in which people buy all the time, at a modest rate.

use runtime::Fatal;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::house::House;
use crate::limits::Limits;
use crate::load::{self, Load, Pace};
use crate::offer::Offer;
use crate::payers::Payers;
use crate::process::Services;

/// Purchases a second.
const PURCHASES: u32 = 100;
/// Purchases in one window at most.
const PURCHASES_MAX: usize = 2_000;

/// Purchases, one after the other, and the services that settle them. Nothing mints.
pub struct Business {
    services: Services,
    permits: Arc<Semaphore>,
    load: JoinHandle<Result<load::Outcome, Fatal>>,
}

impl Business {
    /// Begins to buy.
    ///
    /// # Errors
    /// A service does not start.
    pub async fn begin(house: &House, payers: &Payers) -> Result<Self, Fatal> {
        let services = house.services(&["api", "payment-sender", "confirmer", "read-projector"], Limits::NONE).await?;
        let shots = Offer::ask(house.api, house.shop.token.token).await?;
        let shots = shots.paid(&payers.sign(&house.shop.token, 0, PURCHASES_MAX)?);
        let permits = Arc::new(Semaphore::new(0));
        let pace = Pace::Permitted(permits.clone());
        let load = tokio::spawn(load::fire(house.api, Load::once(shots, 16, pace)));
        let ticking = permits.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) / PURCHASES);
            while !ticking.is_closed() {
                tick.tick().await;
                ticking.add_permits(1);
            }
        });
        Ok(Self { services, permits, load })
    }

    /// Ends it.
    ///
    /// # Errors
    /// A purchase was refused, or a service does not stop.
    pub async fn end(self) -> Result<(), Fatal> {
        self.permits.close();
        if let Some(fault) = self.load.await??.fault() {
            return Err(format!("reads: {fault}").into());
        }
        self.services.stop().await
    }
}
