//! Capacity: payments settled a second in a closed loop. Whenever one is settled, another one is sent.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Event, OrderEvent};
use futures_util::StreamExt;
use runtime::Fatal;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::house::House;
use crate::load::{Load, Pace, Shot, fire};
use crate::offer::Offer;
use crate::payers::Payers;

/// Accepted and not yet settled: more than the lanes take at once (2 x 8 x 100), so that they never wait for a payment.
pub const UNDER_WAY: usize = 3_000;
/// Settled a second at most, for the number of payments that are signed beforehand.
const FASTEST: f64 = 1_500.0;
/// Before a window is counted: batches fill, processes have paged in what they need.
pub const RAMP: Duration = Duration::from_secs(5);
/// No event for this long: something is stuck.
const STALL: Duration = Duration::from_secs(30);

/// From, and up to.
pub type Window = (DateTime<Utc>, DateTime<Utc>);

/// The window of counting for a load that begins now.
///
/// # Errors
/// A time of centuries.
pub fn window(time: Duration) -> Result<Window, Fatal> {
    let from = Utc::now() + TimeDelta::from_std(RAMP)?;
    Ok((from, from + TimeDelta::from_std(time)?))
}

/// Settled a second while payments are never short, and how many were accepted meanwhile. Some of these have not ended yet.
/// `load` makes a load of the requests.
///
/// # Errors
/// A payment was not accepted, or nothing moves any more.
pub async fn measure(
    house: &House,
    payers: &Payers,
    offer: &Offer,
    load: impl FnOnce(Vec<Shot>, Pace) -> Load,
    time: Duration,
) -> Result<(f64, usize), Fatal> {
    let count = UNDER_WAY + (FASTEST * (RAMP + time).as_secs_f64()) as usize;
    let payments = payers.sign(&house.shop.token, 0, count)?;
    let permits = Arc::new(Semaphore::new(UNDER_WAY));
    let pace = Pace::Permitted(permits.clone());
    // All events: a filter with wildcards makes the server walk all subjects at every look, which would be measured.
    let mut news = house.ledger.read_from(house.last_seq().await? + 1).await?;
    let (from, to) = window(time)?;
    let load = tokio::spawn(fire(house.api, load(offer.paid(&payments), pace)));
    let mut settled = 0_usize;
    loop {
        let recorded = timeout(STALL, news.next()).await.map_err(|_| "nothing happens any more")?;
        let recorded = recorded.ok_or("the ledger's news ended")??;
        if matches!(recorded.event, Ok(Event::Order(_, OrderEvent::PaymentConfirmed(_)))) {
            permits.add_permits(1);
            settled += usize::from((from..to).contains(&recorded.recorded_at));
        }
        if recorded.recorded_at >= to {
            break;
        }
    }
    permits.close();
    let outcome = load.await??;
    if let Some(fault) = outcome.fault() {
        return Err(format!("in a closed loop: {fault}").into());
    }
    Ok((settled as f64 / time.as_secs_f64(), outcome.hits.len()))
}
