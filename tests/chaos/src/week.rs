//! The last week of a run: everything is healed, and nobody mints. A person returns the money of some, others take theirs
//! back, and the rest has its units when the minter works again.
//!
//! The clock of the chain moves when no authorization is under way, so that none expires.

use crate::house::House;
use crate::load::Load;
use harness::{Order, Payment, Service};
use std::time::{Duration, Instant};

/// Payers of each of the three kinds.
const EACH: usize = 4;

/// After this time a payer may take back what is paid and not minted.
const REFUND_AFTER_S: u64 = 7 * 24 * 3_600;

/// The longest that a step may take. Nothing is wrong any more.
const WITHIN: Duration = Duration::from_secs(60);

/// Lets the week pass. When this returns, the minter starts again.
pub async fn pass(house: &House, load: &Load) {
    house.hold(Service::MintProjector).await;
    if let Err(why) = without_minter(house, load).await {
        house.found(format!("in the week without a minter: {why}"));
    }
    house.release();
}

async fn without_minter(house: &House, load: &Load) -> Result<(), String> {
    let bought = load.buys(3 * EACH).await;
    if bought.len() != 3 * EACH {
        return Err(format!("of {} purchases {} were accepted", 3 * EACH, bought.len()));
    }
    until(house, &bought, "payment.confirmed").await?;
    let (asked, others) = bought.split_at(EACH);
    for payment in asked {
        house.ask_back(payment.id()).await?;
    }
    until(house, asked, "refund.confirmed").await?;
    house.chain.pass_time(REFUND_AFTER_S + 1).await;
    for payment in others.iter().take(EACH) {
        let payer = payment.transfer.authorization.from;
        house.chain.transact_as(payer, house.token.token, payment.refund_call()).await;
    }
    Ok(())
}

/// Waits until the ledger has this event of each order.
async fn until(house: &House, payments: &[Payment], event: &str) -> Result<(), String> {
    let stream = house.stack.lock().await.stream.clone();
    let begun = Instant::now();
    for payment in payments {
        let subject = Order::of(payment).subject(event);
        while stream.on(&subject).await.is_none() {
            if begun.elapsed() > WITHIN {
                return Err(format!("still no {subject} after {} s", WITHIN.as_secs()));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}
