//! When the run is over: nothing new in ledger and copy, while the chain goes on.

use super::rpc::Rpc;
use super::stream::Ledger;
use super::tables::Database;
use crate::CannotAudit;
use crate::run::Run;
use alloy_primitives::U64;
use serde_json::json;
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until ledger and copy have stood still for `quietMs` while the chain has gained N blocks.
///
/// # Errors
/// They did not within `waitS`; or one of them does not answer.
pub async fn wait(run: &Run, rpc: &Rpc, ledger: &Ledger, database: &mut Database) -> Result<(), CannotAudit> {
    let quiet = Duration::from_millis(run.bounds.quiet_ms);
    let begun = Instant::now();
    let mut still: Option<((u64, u64), Instant, u64)> = None;
    loop {
        let state = (ledger.last_seq().await?, database.projected(&run.schema).await?);
        let head = rpc.call::<U64>("eth_blockNumber", json!([])).await?.to::<u64>();
        match still {
            Some((before, since, at)) if before == state => {
                if since.elapsed() >= quiet && head >= at.saturating_add(run.confirmations) {
                    return Ok(());
                }
            }
            _ => still = Some((state, Instant::now(), head)),
        }
        if begun.elapsed() > Duration::from_secs(run.bounds.wait_s) {
            let (last, projected) = state;
            return Err(CannotAudit(format!(
                "not quiet after {} s: ledger at {last}, copy at {projected}, chain at {head}",
                run.bounds.wait_s
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}
