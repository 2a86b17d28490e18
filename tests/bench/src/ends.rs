//! Waits until every accepted order has come to its end.

use domain::{Event, OrderEvent, Recorded};
use futures_util::StreamExt;
use runtime::Fatal;
use std::time::Duration;
use tokio::time::{Instant, timeout};

use crate::house::House;
use crate::process::Services;

/// No mint for this long: something is stuck.
const STALL: Duration = Duration::from_secs(45);
/// Events that end an order, successfully or not.
const ENDS: [&str; 3] =
    ["orders.*.*.mint.mint.confirmed", "orders.*.*.mint.payment.failed", "orders.*.*.mint.mint.parked.*"];

/// Follows the ledger from its beginning until as many orders have ended as `load` says were accepted; answers with what
/// `load` does.
///
/// # Errors
/// The load's, a service that has ended, or 45 seconds without another end.
pub async fn until_ended<T>(
    house: &House,
    services: &mut Services,
    load: impl Future<Output = Result<(usize, T), Fatal>>,
) -> Result<T, Fatal> {
    let mut news = house.ledger.follow(ENDS.map(str::to_owned).to_vec(), false).await?;
    let mut load = std::pin::pin!(load);
    let (mut loaded, mut ended) = (None::<(usize, T)>, 0_usize);
    let mut moved = Instant::now();
    while loaded.as_ref().is_none_or(|(accepted, _)| ended < *accepted) {
        tokio::select! {
            done = &mut load, if loaded.is_none() => loaded = Some(done?),
            recorded = timeout(Duration::from_secs(1), news.next()) => match recorded {
                Ok(recorded) => {
                    let recorded = recorded.ok_or("the ledger's news ended")??;
                    explain(&recorded);
                    (ended, moved) = (ended + 1, Instant::now());
                }
                Err(_) if moved.elapsed() > STALL => {
                    let text = format!("{ended} orders have ended, and no further one for {} s", STALL.as_secs());
                    return Err(format!("{text}; see {}", house.logs().display()).into());
                }
                Err(_) => services.check()?,
            },
        }
    }
    loaded.map(|(_, loaded)| loaded).ok_or_else(|| "no load".into())
}

/// An order that ended badly says why.
fn explain(recorded: &Recorded) {
    match &recorded.event {
        Ok(Event::Order(id, OrderEvent::PaymentFailed(failure))) => println!("  {id} failed: {}", failure.detail),
        Ok(Event::Order(id, OrderEvent::MintParked(_, why))) => println!("  {id} parked: {}", why.detail),
        _ => {}
    }
}
