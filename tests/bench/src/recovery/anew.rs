//! From one copy to the other: the read models rebuilt from the ledger (P5), the ledger refilled from its copy (P2). Nobody
//! else works meanwhile.

use read_projector::Config;
use runtime::{CancellationToken, Fatal};
use standalone::Shop;
use std::fs;
use store::{CONNECTIONS, READ_MODELS, Store};
use tokio::time::{Instant, sleep};

use super::{LOOK_INTERVAL, PATIENCE};
use crate::house::House;
use crate::raw::Raw;
use crate::report::{Report, Row};

/// Target of a rebuild, as a multiple of the rate at which events are written at capacity.
const REBUILD_TARGET: f64 = 10.0;
/// Where the read models are rebuilt.
const SCHEMA: &str = "rebuilt";

/// Both, over what was written so far. `live` is how many events a second were written at capacity.
pub async fn run(house: &mut House, live: f64, raw: &Raw, report: &mut Report) -> Result<(), Fatal> {
    let events = house.last_seq().await?;
    let begun = Instant::now();
    rebuild(house, events).await?;
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    let row = Row::new("rebuild: events into rows", rate, "/s").at_least(REBUILD_TARGET * live);
    report.row(row.of(live, "written at capacity").saying(format!("{events} events")));

    lose(house).await?;
    let store = Store::connect(&house.servers.postgres.url(), CONNECTIONS).await?;
    let begun = Instant::now();
    let refilled = ops::refill(&Shop::ledger(&house.servers), &store, None).await?;
    let rate = refilled.events as f64 / begun.elapsed().as_secs_f64();
    let row = Row::new("refill: events into the ledger, checked and compared", rate, "/s");
    report.row(row.of(raw.lazy_publishes, "lazy publishes").saying(format!("{} events", refilled.events)));
    store.close().await;
    if refilled.events != events || !refilled.changed.is_empty() {
        report.violation(format!("refill: {events} events were lost, and this came back: {refilled:?}"));
    }
    Ok(())
}

async fn rebuild(house: &House, last: u64) -> Result<(), Fatal> {
    let ledger = Shop::ledger(&house.servers);
    let database_url = house.servers.postgres.url();
    let store = Store::connect_schema(&database_url, SCHEMA, 1).await?;
    let config = Config { ledger, database_url, schema: Some(SCHEMA.to_owned()), health: None };
    let stop = CancellationToken::new();
    let projector = tokio::spawn(read_projector::run(config, stop.clone()));
    let begun = Instant::now();
    // Before the tables are there, the question fails.
    while !matches!(store.position(READ_MODELS).await, Ok(Some(position)) if position.seq >= last) {
        if projector.is_finished() || begun.elapsed() > PATIENCE {
            return Err(format!("the rows are not rebuilt after {} s", begun.elapsed().as_secs()).into());
        }
        sleep(LOOK_INTERVAL).await;
    }
    stop.cancel();
    projector.await??;
    store.close().await;
    Ok(())
}

/// nats-server starts without its store.
async fn lose(house: &mut House) -> Result<(), Fatal> {
    let nats = &mut house.servers.nats;
    nats.stop().await?;
    fs::remove_dir_all(nats.log_path().with_file_name("store"))?;
    Ok(nats.restart().await?)
}
