//! Reads beside appends, on a ledger with a long past and one with a short past: does a process that starts, mints, or
//! looks at old orders hold up the appends of all others, in a shop where people buy all the time?
//!
//! The server starts anew and cold for each window, because its index of old blocks is what such reads have to load.
//! Appends come at a fixed and modest rate, so that a stall shows in their times. Each kind of window is measured
//! several times, by turns, and compared with the windows in which people only buy: the median of their 99th
//! percentiles. A window in which people only buy and the disk pauses is measured again. Services, chain and PostgreSQL leave
//! the first processor to nats-server and the appends: what is measured is how they hold up the ledger, and not how two
//! processors are shared.

use domain::PaymentId;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use ledger::{Expected, Ledger, NewEvent};
use runtime::Fatal;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::cpu::Snapshot;
use crate::disk::Probe;
use crate::e2e::until_projected;
use crate::house::House;
use crate::limits::Limits;
use crate::load::{self, Load, Pace};
use crate::offer::Offer;
use crate::payers::Payers;
use crate::process::{Services, free_address};
use crate::report::Report;
use crate::sizes::Sizes;

mod batches;
mod business;
mod lanes;
mod orders;
pub mod past;
mod windows;

use business::Business;
use orders::Orders;
use windows::{Window, Windows};

/// Blocks of the chain while the minter works.
const BLOCK_TIME: Duration = Duration::from_secs(1);
/// Appends a second.
const RATE: u32 = 200;
/// Appends and purchases before a window, for two blocks.
const LEAD: Duration = Duration::from_secs(2);
/// A window lasts as long as what happens in it. One in which people only buy lasts so long.
const QUIET: Duration = Duration::from_secs(3);
/// Old streams are asked for again, each time those of other orders, for at least so long.
const STREAMS_MIN: Duration = Duration::from_secs(1);
/// Windows of each kind.
const TURNS: usize = 5;
/// Paid orders that wait when a minter starts, at least: ten full batches of each of its two lanes. The window ends after half
/// of them; with fewer it would hold so few appends that the 99th percentile is the second slowest.
const MINTS: u64 = 2_000;
/// Old streams that are asked for in one window.
const STREAMS: u64 = 100;
/// Events of a minted order, at least.
const HISTORY: usize = 5;
/// Tries to measure one window while the disk does not pause.
const TRIES: usize = 4;
/// The read models of a million events are written within this.
const PROJECTED_WITHIN: Duration = Duration::from_secs(600);
/// Time limit of every other wait.
const PATIENCE: Duration = Duration::from_secs(60);
/// The consumer that holds paid orders until they are minted.
const TO_MINT: &str = "mint-projector";

/// The disturbance beside the appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    ApiStarts,
    MinterWorks,
    OldStreams,
    Everything,
}

impl Beside {
    const ALL: [Self; 5] = [Self::Nothing, Self::ApiStarts, Self::MinterWorks, Self::OldStreams, Self::Everything];

    const fn text(self) -> &'static str {
        match self {
            Self::Nothing => "people only buy",
            Self::ApiStarts => "an api starts",
            Self::MinterWorks => "a minter claims and sends",
            Self::OldStreams => "100 old streams are asked for",
            Self::Everything => "all three happen",
        }
    }

    const fn mints(self) -> bool {
        matches!(self, Self::MinterWorks | Self::Everything)
    }
}

/// Measures appends beside reads on a short and a long ledger, appends by their size, and lanes with a long and a short
/// past.
///
/// # Errors
/// Something does not start, or the ledger refuses an event. A limit of a window that is exceeded is a violation in the
/// report.
pub async fn run(sizes: &Sizes, report: &mut Report) -> Result<(), Fatal> {
    let short = measured("reads-short", sizes.short_past).await?;
    let long = measured("reads", sizes.past).await?;
    windows::figures(&short, &long, report)?;
    batches::run(report).await?;
    lanes::run(sizes.nonces, report).await
}

/// Measures every kind of window, by turns, on a ledger of `events`.
async fn measured(name: &'static str, events: u64) -> Result<Windows, Fatal> {
    println!("reads: a ledger of {events} events, cold");
    let past = Orders::of(events);
    let kept = past::kept(&format!("orders-{events}"), past.events()).await?;
    let mut house = House::start_on(name, BLOCK_TIME, &kept).await?;
    let payers = Payers::new(name, 100)?;
    payers.fund(&house.chain, house.shop.asset).await?;
    house.logs_below("before")?;
    let projector = house.services(&["read-projector"], Limits::NONE).await?;
    let took = until_projected(&house, house.last_seq().await?, PROJECTED_WITHIN).await?;
    println!("  the read models know all of it after {:.0} s", took.as_secs_f64());
    projector.stop().await?;
    house.put_in_background()?;
    let mut found = Windows::new(events);
    for turn in 0..TURNS {
        for (beside, windows) in &mut found.of {
            for again in 0..TRIES {
                if beside.mints() {
                    house.logs_below(&format!("{turn}-{again}-before-{beside:?}"))?;
                    pay(&house, &payers).await?;
                }
                house.logs_below(&format!("{turn}-{again}-{beside:?}"))?;
                let window = window(&mut house, &payers, *beside, past, turn as u64).await?;
                // A pause beside a disturbance counts, because the disturbance may be its cause.
                if *beside != Beside::Nothing || !window.is_spoiled() {
                    windows.push(window);
                    break;
                }
                found.spoiled.push((*beside, window));
            }
        }
    }
    house.end().await;
    Ok(found)
}

/// Makes [`MINTS`] orders that are paid and wait to be minted, by the services themselves. The transactions of earlier
/// mints are settled meanwhile.
async fn pay(house: &House, payers: &Payers) -> Result<(), Fatal> {
    let wanted = to_mint(house).await? + MINTS;
    let services = house.services(&["api", "payment-sender", "confirmer", "read-projector"], Limits::NONE).await?;
    let payments = payers.sign(&house.shop.token, 0, usize::try_from(MINTS)?)?;
    let offer = Offer::ask(house.api, house.shop.token.token).await?;
    let outcome = load::fire(house.api, Load::once(offer.paid(&payments), 64, Pace::Saturated)).await?;
    if let Some(fault) = outcome.fault() {
        return Err(format!("reads: {fault}").into());
    }
    until_to_mint(house, |waiting| waiting >= wanted).await?;
    until_projected(house, house.last_seq().await?, PATIENCE).await?;
    services.stop().await
}

/// Waits until the number of paid orders that are not minted is as wanted.
async fn until_to_mint(house: &House, wanted: impl Fn(u64) -> bool) -> Result<(), Fatal> {
    let waited = timeout(PATIENCE, async {
        while !wanted(to_mint(house).await?) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    });
    waited.await.map_err(|_| format!("the paid orders do not move; see {}", house.logs().display()))?
}

async fn to_mint(house: &House) -> Result<u64, Fatal> {
    let lag = house.ledger.lag(TO_MINT).await?;
    Ok(lag.pending + lag.held)
}

/// Starts the server anew, and times appends while `beside` happens.
async fn window(house: &mut House, payers: &Payers, beside: Beside, past: Orders, turn: u64) -> Result<Window, Fatal> {
    house.restart_cold().await?;
    until_back(&house.ledger).await?;
    let business = Business::begin(house, payers).await?;
    let (stop, stopped) = oneshot::channel();
    let appends = tokio::spawn(append(house.ledger.clone(), stopped));
    tokio::time::sleep(LEAD).await;
    let (disk, cpu, from) = (Probe::start()?, Snapshot::take()?, Instant::now());
    let services = disturb(house, beside, past, turn).await?;
    let (disk, others, to) = (disk.end().await?, cpu.since()?.others_share, Instant::now());
    let _ = stop.send(()); // it ends by itself only with an error, which comes next
    let appended = appends.await??;
    for services in services {
        services.stop().await?;
    }
    business.end().await?;
    let within = appended.into_iter().filter(|(due, _)| (from..to).contains(due));
    let appends: Vec<(Duration, Duration)> = within.map(|(due, took)| (due - from, took)).collect();
    let lasted = to - from;
    let window = Window { appends, lasted, others, disk };
    println!(
        "  {}: {:.1} s, {} appends, p99 {:.1} ms, a write at most {:.1} ms{}",
        beside.text(),
        lasted.as_secs_f64(),
        window.appends.len(),
        window.p99_ms(),
        disk.max_ms,
        if window.is_spoiled() { ": the disk paused" } else { "" }
    );
    Ok(window)
}

/// Does what is to happen, and returns the services that were started for it.
async fn disturb(house: &House, beside: Beside, past: Orders, turn: u64) -> Result<Vec<Services>, Fatal> {
    match beside {
        Beside::Nothing => {
            tokio::time::sleep(QUIET).await;
            Ok(Vec::new())
        }
        Beside::ApiStarts => Ok(vec![another_api(house).await?]),
        Beside::MinterWorks => Ok(vec![mint(house).await?]),
        Beside::OldStreams => {
            let begun = Instant::now();
            for again in 0.. {
                streams(house, past, turn + again * TURNS as u64).await?;
                if begun.elapsed() >= STREAMS_MIN {
                    break;
                }
            }
            Ok(Vec::new())
        }
        Beside::Everything => {
            let api = async {
                let api = another_api(house).await?;
                streams(house, past, turn).await?;
                Ok::<_, Fatal>(api)
            };
            let (api, minter) = tokio::try_join!(api, mint(house))?;
            Ok(vec![api, minter])
        }
    }
}

async fn another_api(house: &House) -> Result<Services, Fatal> {
    house.services_at(free_address()?, &["api"], Limits::NONE).await
}

/// A minter starts, claims its lanes, and sends mints until less than half of [`MINTS`] wait, while more payments are
/// confirmed.
async fn mint(house: &House) -> Result<Services, Fatal> {
    let minter = house.services(&[TO_MINT], Limits::NONE).await?;
    until_to_mint(house, |waiting| waiting < MINTS / 2).await?;
    Ok(minter)
}

/// Asks for the streams of old orders, from all over the past, all at once. Each answers with a whole history.
async fn streams(house: &House, past: Orders, turn: u64) -> Result<(), Fatal> {
    let apart = past.count() / STREAMS;
    let streams = (0..STREAMS).map(|at| stream(house.api, orders::id(at * apart + turn % apart)));
    let told = timeout(PATIENCE, try_join_all(streams)).await.map_err(|_| "reads: an old stream does not end")??;
    match told.iter().filter(|events| **events < HISTORY).count() {
        0 => Ok(()),
        few => Err(format!("reads: {few} old streams did not tell the whole history of their orders").into()),
    }
}

/// Reads the stream of an order to its end. Returns the number of its events.
async fn stream(api: SocketAddr, order: PaymentId) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect(api).await?;
    let request = format!("GET /api/events?payment={order} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().filter(|line| line.starts_with("event:")).count())
}

/// The ledger answers again after the server was away.
async fn until_back(ledger: &Ledger) -> Result<(), Fatal> {
    let back = timeout(PATIENCE, async {
        while ledger.state().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    back.await.map_err(|_| "the ledger does not come back".into())
}

/// Appends [`RATE`] events a second, answered or not, until it is told to stop. A time counts from when its append was
/// due. The events are names of orders, because nothing waits for these; orders that nobody settles would close the
/// api's door.
async fn append(ledger: Ledger, mut stopped: oneshot::Receiver<()>) -> Result<Vec<(Instant, Duration)>, Fatal> {
    let begun = Instant::now();
    let mut waiting = FuturesUnordered::new();
    let mut appended = Vec::new();
    for number in 0_u32.. {
        let due = begun + Duration::from_secs(1) * number / RATE;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due) => break,
                Some(done) = waiting.next() => appended.push(done?),
                _ = &mut stopped => {
                    while let Some(done) = waiting.next().await {
                        appended.push(done?);
                    }
                    return Ok(appended);
                }
            }
        }
        let (ledger, new) =
            (ledger.clone(), NewEvent { event: orders::new_key(), expected: Expected::Absent, trace: None });
        waiting.push(async move {
            let appended = ledger.append(new).await;
            appended.map(|_| (due, due.elapsed())).map_err(Fatal::from)
        });
    }
    Ok(appended)
}
