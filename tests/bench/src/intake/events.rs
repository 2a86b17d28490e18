//! Event streams: what an idle one costs, and how soon news arrive.
//!
//! Only the api runs. The events that the other services would write are written here, through the same `ledger` crate;
//! an event counts as written when its append has been acknowledged.

use domain::{Event, OrderEvent, PaymentId, PaymentRequest, examples};
use ledger::{Batch, Expected, Ledger, NewEvent};
use runtime::Fatal;
use serde_json::json;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::house::House;
use crate::intake::audience::{Audience, Heard, status};
use crate::limits::Limits;
use crate::load::{self, Load, Pace, percentile_ms};
use crate::offer::Offer;
use crate::payers::Payers;
use crate::report::{Report, Row};
use crate::sizes::Sizes;

/// Nothing is sent to the chain.
const BLOCK_TIME: Duration = Duration::from_secs(2);
/// Streams before the measured ones: code is paged in.
const WARM_UP: usize = 50;
/// Idle streams lie for so long before the api is weighed.
const REST: Duration = Duration::from_secs(2);
/// All idle streams together, of 2,000; megabytes of a million bytes.
const IDLE_MB: f64 = 60.0;
/// From the acknowledged append to the listener (P10).
const NEWS_MS: f64 = 250.0;
/// Orders whose events are written in one append, as a settlement of 100 is.
const BATCH: usize = 100;
/// Between two of these: 500 events a second, about what an installation settles and mints.
const BATCH_PAUSE: Duration = Duration::from_millis(200);
/// Between two events on the one stream that everybody listens to: ten a second, each to a thousand.
const ONE_PAUSE: Duration = Duration::from_millis(100);
/// Orders of the one payer.
const ONE_ORDERS: usize = 50;
/// The last news arrive within this.
const LAST_NEWS: Duration = Duration::from_secs(3);

/// Events that an order gets here, in this order.
type Steps = &'static [fn(&PaymentRequest) -> OrderEvent];

const STEPS: Steps = &[
    |_| OrderEvent::PaymentSubmitted(1, examples::submission(0)),
    |_| OrderEvent::PaymentConfirmed(examples::proof()),
    |_| OrderEvent::MintSubmitted(1, examples::submission(1)),
];

/// Measures all three.
///
/// # Errors
/// Something does not start, or the ledger refuses an event. Missing news are violations in the report.
pub async fn run(sizes: &Sizes, report: &mut Report) -> Result<(), Fatal> {
    println!("events: {} idle streams, {} with news", sizes.idle, sizes.watched);
    let house = House::start("events", BLOCK_TIME).await?;
    let services = house.services(&["api"], Limits::NONE).await?;
    let many = Payers::new("events", sizes.idle)?.sign(&house.shop.token, 0, sizes.idle)?;
    let one = Payers::new("one", 1)?.sign(&house.shop.token, 0, ONE_ORDERS)?;
    let offer = Offer::ask(house.api, house.shop.token.token).await?;
    for payments in [&many, &one] {
        let outcome = load::fire(house.api, Load::once(offer.paid(payments), 64, Pace::Saturated)).await?;
        if let Some(fault) = outcome.fault() {
            return Err(format!("events: {fault}").into());
        }
    }
    // Anew, so that streams do not get the memory that the orders have left.
    services.stop().await?;
    let mut services = house.services(&["api"], Limits::NONE).await?;

    let paths = |payments: &[PaymentRequest]| -> Vec<String> {
        payments.iter().map(|payment| format!("/api/events?payment={}", payment.id())).collect()
    };
    Audience::gather(house.api, paths(&many[..WARM_UP])).await?.leave().await?;
    let before = services.resident_kib("api")?;
    let idle = Audience::gather(house.api, paths(&many)).await?;
    tokio::time::sleep(REST).await;
    let cost = services.resident_kib("api")?.saturating_sub(before) as f64 * 1_024.0;
    idle.leave().await?;
    services.check()?;
    let row = Row::new(format!("events, {} idle streams: memory of the api", sizes.idle), cost / 1e6, "MB");
    let row = row.at_most(IDLE_MB * sizes.idle as f64 / 2_000.0);
    report.row(row.saying(format!("{:.1} kB each", cost / 1e3 / sizes.idle as f64)));

    let watched = &many[..sizes.watched];
    let audience = Audience::gather(house.api, paths(watched)).await?;
    let written = write(&house.ledger, watched, BATCH, BATCH_PAUSE).await?;
    let heard = audience.leave().await?;
    services.check()?;
    let listeners = heard.iter().zip(watched).map(|(heard, payment)| (heard, vec![payment.id()]));
    news("an order each", listeners.collect(), &written, report)?;

    one_payer(sizes, &house, &one, report).await?;
    services.stop().await?;
    house.end().await;
    Ok(())
}

/// Everybody listens to all orders of one payer.
async fn one_payer(sizes: &Sizes, house: &House, orders: &[PaymentRequest], report: &mut Report) -> Result<(), Fatal> {
    let payer = orders.first().ok_or("no orders")?.payer();
    let path = format!("/api/events?payer={payer:#x}");
    if status(house.api, &path).await? != 200 {
        report.note("events: one payer's stream was not measured: this api has no /api/events?payer=");
        return Ok(());
    }
    let audience = Audience::gather(house.api, vec![path; sizes.watched]).await?;
    let written = write(&house.ledger, orders, 1, ONE_PAUSE).await?;
    let heard = audience.leave().await?;
    let ids: Vec<PaymentId> = orders.iter().map(|order| order.id()).collect();
    news("all of one payer's orders", heard.iter().map(|heard| (heard, ids.clone())).collect(), &written, report)
}

/// Appended events by sequence: the order, and the time of the acknowledgement.
type Written = HashMap<u64, (PaymentId, Instant)>;

/// Writes every step of every order, `batch` orders at a time.
async fn write(ledger: &Ledger, orders: &[PaymentRequest], batch: usize, pause: Duration) -> Result<Written, Fatal> {
    let ids: Vec<PaymentId> = orders.iter().map(|order| order.id()).collect();
    let mut versions = HashMap::new();
    for (id, loaded) in ledger.load_orders(&ids).await? {
        versions.insert(id, loaded?.version);
    }
    let mut written = Written::new();
    for step in STEPS {
        for some in orders.chunks(batch) {
            let new = |order: &PaymentRequest| {
                let version = versions.get(&order.id()).copied().unwrap_or(0);
                let event = Event::Order(order.id(), step(order));
                NewEvent { event, expected: Expected::Version(version), trace: None }
            };
            let events: Vec<NewEvent> = some.iter().map(new).collect();
            let sequences = ledger.append(Batch::unordered(events)).await?;
            let acked = Instant::now();
            for (order, sequence) in some.iter().zip(sequences) {
                versions.insert(order.id(), sequence);
                written.insert(sequence, (order.id(), acked));
            }
            tokio::time::sleep(pause).await;
        }
    }
    tokio::time::sleep(LAST_NEWS).await;
    Ok(written)
}

/// Every listener has heard every event of its orders once, in their order; and how long that took.
fn news(
    what: &str,
    listeners: Vec<(&Heard, Vec<PaymentId>)>,
    written: &Written,
    report: &mut Report,
) -> Result<(), Fatal> {
    let count = listeners.len();
    let mut took = Vec::new();
    let mut wrong = 0_usize;
    for (heard, ids) in listeners {
        let mut due: Vec<u64> =
            written.iter().filter(|(_, (id, _))| ids.contains(id)).map(|(sequence, _)| *sequence).collect();
        due.sort_unstable();
        let mut news = Vec::new();
        for (sequence, at) in heard {
            if let Some((_, acked)) = written.get(sequence) {
                news.push(*sequence);
                took.push(at.saturating_duration_since(*acked));
            }
        }
        wrong += usize::from(news != due);
    }
    if wrong > 0 {
        report.violation(format!("events, {what}: {wrong} of {count} listeners missed news, or heard some twice"));
    }
    took.sort_unstable();
    let name = |figure: &str| format!("events, {count} listeners, {what}: {figure}");
    report.row(Row::new(name("p50 from ack to listener"), percentile_ms(&took, 0.5), "ms"));
    report.row(Row::new(name("p99 from ack to listener"), percentile_ms(&took, 0.99), "ms").at_most(NEWS_MS));
    let shares = [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| percentile_ms(&took, share));
    report.detail(&format!("events, {what}"), json!({ "latenciesMs": shares, "events": took.len() }))
}
