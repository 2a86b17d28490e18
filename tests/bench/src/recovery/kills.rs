//! SIGKILL, started again at once: how long until the new process has done its first useful work (P3). A minter's time
//! includes the wait for company (`MINT_MAX_WAIT_MS`), a confirmer's the wait for a block.

use chrono::Utc;
use domain::event::Purpose;
use runtime::Fatal;
use std::time::Duration;
use tokio::time::sleep;

use super::clients::Clients;
use super::watch::{Sign, Watch};
use super::{Stage, seconds};
use crate::report::{Report, Row};

/// From the start of the process, seconds.
const TARGET_S: f64 = 2.0;
/// Pause after a kill: messages of the dead process are redelivered after `ack_wait` (5 s).
const CALM: Duration = Duration::from_secs(7);

/// Kills every process of the stage `times` times.
pub async fn run(stage: &mut Stage, clients: &Clients, times: usize, report: &mut Report) -> Result<(), Fatal> {
    sleep(CALM).await;
    for at in 0..stage.services.count() {
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            took.push(stage.kill(at, clients).await?);
            sleep(CALM).await;
            stage.services.check()?;
        }
        took.sort_unstable_by(f64::total_cmp);
        let (median, worst) = (took[(took.len() - 1) / 2], took.last().copied().unwrap_or(f64::NAN));
        let what = format!("recovery: {} killed, to {}", stage.services.name(at), work(stage.services.name(at)));
        report
            .row(Row::new(what, worst, "s").at_most(TARGET_S).saying(format!("worst of {times}, median {median:.2}")));
    }
    Ok(())
}

/// First useful work, in words.
fn work(service: &str) -> &'static str {
    match service {
        "api" => "its first 202",
        "confirmer" => "its first decided transaction",
        "read-projector" => "a position beyond its death",
        _ => "its first signed transaction",
    }
}

impl Stage {
    /// Seconds from the start of the new process to its first useful work.
    async fn kill(&mut self, at: usize, clients: &Clients) -> Result<f64, Fatal> {
        self.services.kill(at).await?;
        // What the dead wrote is at or below this; what the next one reads first is beyond.
        let last = self.house.last_seq().await?;
        let spawned = Utc::now();
        self.services.start_again(at)?;
        let signed = |purpose| move |watch: &Watch| watch.first_signed_by_a_new_claim(last, purpose);
        let worked = match self.services.name(at) {
            "api" => self.watch.until("a 202", |_| clients.first_accepted(0, spawned)).await?,
            "payment-sender" => self.watch.until("a settlement", signed(Purpose::Settle)).await?,
            "mint-projector" => self.watch.until("a batch of mints", signed(Purpose::Mint)).await?,
            "confirmer" => {
                let decided = |watch: &Watch| watch.first(last, spawned, |sign| sign == Sign::Settled);
                self.watch.until("a decided transaction", decided).await?
            }
            _ => self.position_beyond(last).await?,
        };
        Ok(seconds(spawned, worked))
    }
}
