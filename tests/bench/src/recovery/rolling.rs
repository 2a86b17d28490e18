//! Two of every service, and one process after the other killed all the time: what is minted, beside the same installation
//! left alone (F53).

use runtime::Fatal;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep};

use super::clients::Rhythm;
use super::{RAMP, Stage, minted_per_second};
use crate::cpu::Snapshot;
use crate::disk::Probe;
use crate::process::Services;
use crate::report::{Report, Row};
use crate::sizes::Sizes;

/// Between two kills: each of the ten processes lives for thirty seconds.
const RHYTHM: Duration = Duration::from_secs(3);
/// Target, as a share of the undisturbed rate of mints.
const TARGET: f64 = 0.8;

/// Measures both, one after the other, in one closed loop.
pub async fn run(sizes: &Sizes, report: &mut Report) -> Result<(), Fatal> {
    println!("recovery: two of each service, one process killed every {} s", RHYTHM.as_secs());
    let mut stage = Stage::open("rolling kills", 2, sizes).await?;
    let (cpu, probe) = (Snapshot::take()?, Probe::start()?);
    let clients = stage.clients(Rhythm::Permitted(stage.permits.clone())).await?;
    sleep(RAMP).await;
    let alone = minted_per_second(&stage.watch, sizes.rolling).await?;
    stage.services.check()?;
    let (watch, end) = (&stage.watch, Instant::now() + RHYTHM + sizes.rolling);
    let minted = async {
        sleep(RHYTHM).await;
        minted_per_second(watch, sizes.rolling).await
    };
    let (disturbed, kills) = tokio::try_join!(minted, kill_until(end, &mut stage.services))?;
    let served = clients.end().await?;
    report.usage("rolling kills", &cpu.since()?, probe.end().await?, served.accepted.len());
    report.row(Row::new("rolling kills: minted, two of each service, undisturbed", alone, "/s"));
    let row = Row::new(format!("rolling kills: minted, one killed every {} s", RHYTHM.as_secs()), disturbed, "/s");
    report.row(row.at_least(TARGET * alone).of(alone, "undisturbed").saying(format!("{kills} kills")));
    stage.close(&[served], report).await?.end().await;
    Ok(())
}

/// One after the other, each started again at once. Answers with the number of kills.
async fn kill_until(end: Instant, services: &mut Services) -> Result<usize, Fatal> {
    let mut ticks = interval(RHYTHM);
    let mut kills = 0;
    for at in (0..services.count()).cycle() {
        if ticks.tick().await > end {
            break;
        }
        services.check()?;
        services.kill(at).await?;
        services.start_again(at)?;
        kills += 1;
    }
    Ok(kills)
}
