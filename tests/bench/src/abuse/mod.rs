//! Abuse: five attacks, each beside the same honest load without it.
//!
//! Honest payers buy at half of what can be settled, first alone and then while somebody attacks. Each attack has an
//! installation of its own with the limits that an installation has by default, so the two halves of a comparison meet the
//! same machine some seconds apart. Every connection comes from an address of its own: an attacker with many addresses,
//! whom no limit of one address stops.
//!
//! `BENCH_ABUSE_PERCENT=10` lets each attack last as long with a tenth of its orders, which is not to be quoted.

use domain::PaymentRequest;
use runtime::Fatal;
use std::time::Duration;

use crate::history::History;
use crate::report::{Report, Row};
use crate::sizes::Sizes;

mod arena;
mod attack;
mod figures;
mod phase;

use arena::Arena;
use attack::Attack;
use phase::Minted;

/// The variable that says which share of its orders an attack makes, percent.
const PERCENT: &str = "BENCH_ABUSE_PERCENT";
/// Honest payers get this share of the rate at which they are settled when they are never short.
const HALF: f64 = 0.5;
/// Orders of the flood that become payable, one after the other.
const FUNDED: usize = 5;

/// Measures capacity, and then each attack.
///
/// # Errors
/// Something does not start, or ends.
pub async fn run(sizes: &Sizes, report: &mut Report) -> Result<(), Fatal> {
    let percent = percent()?;
    println!("abuse: all services run, a block a second, attacks of {percent} % of their size");
    if percent < 100 {
        report.note(format!("abuse: attacks of {percent} % of their size, not to be quoted"));
    }
    let mut rate = None;
    for attack in Attack::ALL {
        let mut arena = Arena::open(attack).await?;
        let rate = match rate {
            Some(rate) => rate,
            None => {
                let capacity = arena.capacity(sizes.abused / 2).await?;
                report.row(Row::new("abuse: capacity, settled in a closed loop", capacity, "/s"));
                *rate.insert(HALF * capacity)
            }
        };
        one(attack, &mut arena, rate, sizes, percent, report).await?;
        arena.close().await?;
    }
    Ok(())
}

async fn one(
    attack: Attack,
    arena: &mut Arena,
    rate: f64,
    sizes: &Sizes,
    percent: usize,
    report: &mut Report,
) -> Result<(), Fatal> {
    let name = attack.name();
    println!("abuse, {name}: {rate:.0} honest payments a second");
    let hostile = attack.prepare(arena, sizes, percent).await?;
    let calm = arena.watch(rate, sizes.abused, None).await?;
    let attacked = arena.watch(rate, hostile.lasts.max(sizes.abused), Some(hostile.load)).await?;
    let mut phases = vec![("", attacked)];
    let mut funded = Vec::new();
    if attack == Attack::Flood {
        let waiting: Vec<PaymentRequest> = some(&phases[0].1.hostile_hits(), &hostile.orders);
        let ids = waiting.iter().map(|order| order.id()).collect();
        let mut minted = Minted::of(&arena.house, ids).await?;
        let funding = arena.fund_in_turn(waiting, sizes.abused / u32::try_from(FUNDED + 1)?);
        phases.push((" while they wait", arena.watch(rate, sizes.abused, None).await?));
        funded = funding.await??;
        minted.wait_for(funded.len(), &mut arena.services).await?;
    }
    let history = History::read(&arena.house.ledger, arena.house.last_seq().await?).await?;
    figures::undisturbed(name, &calm, &history, report);
    for (at, phase) in &phases {
        figures::attacked(&format!("{name}{at}"), phase, &calm, &history, report)?;
    }
    if let Some((_, waiting)) = phases.get(1) {
        figures::calls(name, waiting, &calm, report);
        figures::funded(name, &funded, &history, report);
    }
    figures::memory(name, &arena.services.memory()?, report);
    Ok(())
}

/// Some of the accepted orders, from the first to the last.
fn some(accepted: &[usize], orders: &[PaymentRequest]) -> Vec<PaymentRequest> {
    let step = (accepted.len() / FUNDED).max(1);
    accepted.iter().step_by(step).take(FUNDED).filter_map(|at| orders.get(*at).cloned()).collect()
}

/// `BENCH_ABUSE_PERCENT`; 100 without it.
fn percent() -> Result<usize, Fatal> {
    let Some(text) = std::env::var_os(PERCENT) else { return Ok(100) };
    let percent = text.to_str().and_then(|text| text.parse().ok()).filter(|percent| (1..=100).contains(percent));
    percent.ok_or_else(|| format!("{PERCENT} is a number from 1 to 100").into())
}

/// Seconds of a duration, for a rate.
fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::examples;

    #[test]
    fn some_of_many_orders_stand_apart_and_few_are_all() {
        let orders = vec![examples::request(); 20];
        assert_eq!(some(&[0, 4, 8, 12, 16, 19], &orders).len(), FUNDED);
        assert_eq!(some(&[3, 7], &orders).len(), 2);
        assert!(some(&[], &orders).is_empty());
    }
}
