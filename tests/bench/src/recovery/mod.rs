//! Recovery: how soon work goes on after a process was killed or a server was away (P3), how much of it is done while
//! processes are killed all the time (F53), and how fast one copy of the events is made from the other (P2, P5).
//!
//! Everything is measured under load, because somebody who has nothing to do recovers at once.

mod anew;
mod clients;
mod kills;
mod neighbours;
mod rolling;
mod watch;

use chrono::{DateTime, Utc};
use runtime::Fatal;
use std::sync::Arc;
use std::time::Duration;
use store::{READ_MODELS, Store};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::e2e::{BLOCK_TIME, SERVICES, compare_with_chain};
use crate::history::History;
use crate::house::House;
use crate::limits::Limits;
use crate::offer::Offer;
use crate::payers::Payers;
use crate::process::Services;
use crate::raw;
use crate::report::{Report, Row};
use crate::sizes::Sizes;
use clients::{Clients, Rhythm, Sale, Served};
use watch::Watch;

/// Orders under way in the closed loop: more than all lanes take at once (2 x 16 x 100 settlements, as many mints), and
/// than what is in the hands of a minter that is killed (1,024), which nobody else sees until `ack_wait` is over.
const UNDER_WAY: usize = 8_000;
/// Until all of these are accepted, and the lanes have opened their windows.
const RAMP: Duration = Duration::from_secs(12);
/// Events of its own that are written for each payment.
const EVENTS_EACH: f64 = 5.0;
/// Load as a share of capacity while recovery is measured: a restarted process has work, and room to catch up.
const SHARE: f64 = 1.0 / 3.0;
/// Between two looks at the position.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// A database that has not answered by then is away: it is asked anew.
const POSITION_TIMEOUT: Duration = Duration::from_millis(100);
/// The position moves within this, or the read models stand still.
const PATIENCE: Duration = Duration::from_secs(120);

/// An installation under load.
struct Stage {
    name: &'static str,
    house: House,
    services: Services,
    payers: Arc<Payers>,
    store: Store,
    watch: Watch,
    /// One for each order that has ended, and those that were there at first.
    permits: Arc<Semaphore>,
}

/// Measures kills, neighbours, and rolling kills.
///
/// # Errors
/// Something does not start, or never recovers.
pub async fn run(sizes: &Sizes, report: &mut Report) -> Result<(), Fatal> {
    println!("recovery: all services run, a block a second");
    let raw = raw::measure(sizes).await?;
    report.raw("recovery", &raw);
    let mut stage = Stage::open("recovery", 1, sizes).await?;
    let (capacity, before) = stage.capacity(sizes.calm).await?;
    let row = Row::new("recovery: capacity, minted in a closed loop", capacity, "/s");
    report.row(row.of(raw.lazy_publishes / EVENTS_EACH, "lazy publishes / 5"));
    let clients = stage.clients(Rhythm::PerSecond(capacity * SHARE)).await?;
    kills::run(&mut stage, &clients, sizes.kills, report).await?;
    neighbours::run(&mut stage, capacity, report).await?;
    let served = clients.end().await?;
    let mut house = stage.close(&[before, served], report).await?;
    anew::run(&mut house, capacity * EVENTS_EACH, &raw, report).await?;
    house.end().await;
    rolling::run(sizes, report).await
}

impl Stage {
    /// Starts everything, with so many processes of each service.
    async fn open(name: &'static str, instances: usize, sizes: &Sizes) -> Result<Self, Fatal> {
        let house = House::start(name, BLOCK_TIME).await?;
        let payers = Arc::new(Payers::new(name, sizes.payers)?);
        payers.fund(&house.chain, house.shop.asset).await?;
        let services = house.services(&SERVICES.repeat(instances), Limits::NONE).await?;
        let store = Store::connect(&house.servers.postgres.url(), 2).await?;
        let permits = Arc::new(Semaphore::new(UNDER_WAY));
        let watch = Watch::begin(&house.ledger, 1, permits.clone()).await?;
        Ok(Self { name, house, services, payers, store, watch, permits })
    }

    /// Clients of all of its apis.
    async fn clients(&self, rhythm: Rhythm) -> Result<Clients, Fatal> {
        let terms = self.house.shop.token.clone();
        let offer = Offer::ask(self.house.api, terms.token).await?;
        Ok(Clients::begin(self.services.apis(), Sale { payers: self.payers.clone(), terms, offer }, rhythm))
    }

    /// Mints a second while payments are never short, and what the clients were answered.
    async fn capacity(&mut self, time: Duration) -> Result<(f64, Served), Fatal> {
        let clients = self.clients(Rhythm::Permitted(self.permits.clone())).await?;
        sleep(RAMP).await;
        let rate = minted_per_second(&self.watch, time).await?;
        let served = clients.end().await?;
        self.drain().await?;
        Ok((rate, served))
    }

    /// Waits until every order has ended.
    async fn drain(&mut self) -> Result<(), Fatal> {
        let last = self.house.last_seq().await?;
        let all = |watch: &Watch| {
            let (accepted, ended) = watch.orders();
            (watch.has_read(last) && accepted == ended).then_some(())
        };
        self.watch.until("the end of all orders", all).await?;
        self.services.check()
    }

    /// How far the read models are: waits until the database answers.
    async fn position(&self) -> Result<u64, Fatal> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(Ok(found)) = timeout(POSITION_TIMEOUT, self.store.position(READ_MODELS)).await {
                return Ok(found.map_or(0, |position| position.seq));
            }
            sleep(LOOK_INTERVAL).await;
        }
        Err("the database does not answer".into())
    }

    /// When the read models have come further than `seq`.
    async fn position_beyond(&self, seq: u64) -> Result<DateTime<Utc>, Fatal> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.position().await? > seq {
                return Ok(Utc::now());
            }
            sleep(LOOK_INTERVAL).await;
        }
        Err(format!("the read models are not beyond {seq} after {} s", PATIENCE.as_secs()).into())
    }

    /// Waits for the end of everything, holds ledger and chain against what the clients were `served`, and stops the
    /// services.
    async fn close(mut self, served: &[Served], report: &mut Report) -> Result<House, Fatal> {
        self.drain().await?;
        let last = self.house.last_seq().await?;
        let history = History::read(&self.house.ledger, last).await?;
        self.position_beyond(last - 1).await?;
        let accepted: usize = served.iter().map(|served| served.accepted.len()).sum();
        let (put_off, broken) = served.iter().fold((0, 0), |(a, b), s| (a + s.put_off, b + s.broken));
        let (name, minted) = (self.name, history.minted());
        report.note(format!(
            "{name}: {accepted} accepted; {broken} tries broke off and {put_off} were put off, and were made again; \
             {} events of waiting, failing or parking in the ledger",
            history.detours
        ));
        for wrong in served.iter().flat_map(|served| &served.wrong).take(3) {
            report.violation(format!("{name}: {wrong}"));
        }
        if minted != accepted {
            report.violation(format!("{name}: {accepted} accepted, {minted} minted"));
        }
        compare_with_chain(name, &self.house, &self.payers, accepted, report).await?;
        self.store.close().await;
        self.services.stop().await?;
        Ok(self.house)
    }
}

/// Mints a second, from now on.
async fn minted_per_second(watch: &Watch, time: Duration) -> Result<f64, Fatal> {
    let from = Utc::now();
    let window = (from, from + time);
    sleep(time).await;
    let minted = watch.until("a mint", |watch| watch.minted(window)).await?;
    Ok(minted as f64 / time.as_secs_f64())
}

/// Seconds from the first to the second; none of them where the second was earlier.
fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64().max(0.0)
}
