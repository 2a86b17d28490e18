//! A lane with a million transactions beside one with ten: what the ledger takes to check a version, and what a process
//! takes to load and claim the lane. Both lanes are ten transactions into a bucket, so only their pasts differ.

use alloy_primitives::{Address, keccak256};
use domain::event::{OpenTx, Purpose, Settled};
use domain::{BlockRef, Event, LaneId, SignerEvent, examples, lane};
use ledger::{Expected, Ledger, LoadedLane, NewEvent, bucket};
use runtime::Fatal;
use std::time::{Duration, Instant};

use crate::house::scratch;
use crate::load::percentile_ms;
use crate::reads::past;
use crate::report::{Report, Row};

/// Transactions since the beginning of the bucket.
const RECENT: u64 = 10;
/// Measurements of each lane, by turns.
const TURNS: usize = 200;
/// Unmeasured turns before them.
const WARM_UP: usize = 20;
/// A long past may cost this many times a short one.
const RATIO_MAX: f64 = 2.0;

/// Times of one lane.
#[derive(Default)]
struct Times {
    load: Vec<Duration>,
    claim: Vec<Duration>,
    sign: Vec<Duration>,
}

/// Measures both lanes, by turns. The old one has `nonces` transactions, up to full buckets.
///
/// # Errors
/// Something does not start, or the ledger refuses an event.
pub async fn run(nonces: u64, report: &mut Report) -> Result<(), Fatal> {
    let old = begin_of_last_bucket(nonces) + RECENT;
    println!("reads: a lane with {old} transactions, and one with {RECENT}");
    let lanes = [("old", old), ("young", RECENT)].map(|(name, nonces)| (lane_named(name), nonces));
    let events = lanes.into_iter().flat_map(|(id, nonces)| (0..nonces).flat_map(move |nonce| transaction(id, nonce)));
    let kept = past::kept(&format!("lane-{nonces}"), events).await?;
    let dir = scratch()?;
    let data = dir.path().join("nats");
    past::copy(&kept, &data)?;
    let (mut nats, ledger) = past::start(&data).await?;
    let mut times = [Times::default(), Times::default()];
    for turn in 0..WARM_UP + TURNS {
        for ((id, _), times) in lanes.iter().zip(&mut times) {
            let taken = work(&ledger, *id).await?;
            if turn >= WARM_UP {
                times.load.push(taken[0]);
                times.claim.push(taken[1]);
                times.sign.push(taken[2]);
            }
        }
    }
    nats.stop().await?;
    let [old_times, young_times] = times;
    for (what, old_times, young_times) in [
        ("load", old_times.load, young_times.load),
        ("claim", old_times.claim, young_times.claim),
        ("append a signature", old_times.sign, young_times.sign),
    ] {
        let [old_ms, young_ms] = [old_times, young_times].map(|mut times| {
            times.sort_unstable();
            percentile_ms(&times, 0.5)
        });
        let name = format!("reads: p50 to {what}, {old} transactions");
        report.row(Row::new(name, old_ms, "ms").at_most(RATIO_MAX * young_ms).of(young_ms, "ten transactions"));
    }
    Ok(())
}

/// The first nonce of the last bucket that `nonces` transactions reach.
fn begin_of_last_bucket(nonces: u64) -> u64 {
    let last = bucket(nonces);
    let size = (1..).find(|nonce| bucket(*nonce) == 1).unwrap_or(u64::MAX);
    last.saturating_mul(size)
}

fn lane_named(name: &str) -> LaneId {
    LaneId::new(Address::from_word(keccak256(format!("paymint bench lane {name}"))), Purpose::Settle)
}

fn open_tx(nonce: u64) -> OpenTx {
    OpenTx { tx_hash: keccak256(nonce.to_le_bytes()), ..examples::open_tx(nonce) }
}

fn settled(nonce: u64) -> Settled {
    let block = BlockRef { number: 0, hash: keccak256("block") };
    Settled { tx_hash: open_tx(nonce).tx_hash, block, ..examples::settled(nonce) }
}

/// A signed transaction and its end. The first of a bucket stands behind a claim.
fn transaction(id: LaneId, nonce: u64) -> Vec<Event> {
    let opens = nonce.checked_sub(1).is_none_or(|before| bucket(before) != bucket(nonce));
    let claim = opens.then(|| {
        let mut claim = lane::claim(None, id.purpose, examples::CHAIN_ID, "bench", nonce);
        claim.epoch = u32::try_from(bucket(nonce) + 1).unwrap_or(u32::MAX);
        SignerEvent::Claimed(claim)
    });
    let events = [SignerEvent::Signed(open_tx(nonce)), SignerEvent::Settled(settled(nonce))];
    claim.into_iter().chain(events).map(|event| Event::Signer(id, event)).collect()
}

/// Loads the lane, claims it, signs for the next nonce, and ends that. Returns the times of the first three.
async fn work(ledger: &Ledger, id: LaneId) -> Result<[Duration; 3], Fatal> {
    let begun = Instant::now();
    let loaded = ledger.load_lane(id).await?;
    let load = begun.elapsed();
    let claim = lane::claim(loaded.state.as_ref(), id.purpose, examples::CHAIN_ID, "bench", 0);
    let begun = Instant::now();
    append(ledger, id, &loaded, SignerEvent::Claimed(claim)).await?;
    let claimed = begun.elapsed();
    let loaded = ledger.refresh_lane(id, loaded).await?;
    let next = loaded.state.as_ref().ok_or("a lane that was claimed has no state")?.next_nonce;
    let begun = Instant::now();
    append(ledger, id, &loaded, SignerEvent::Signed(open_tx(next))).await?;
    let signed = begun.elapsed();
    let loaded = ledger.refresh_lane(id, loaded).await?;
    append(ledger, id, &loaded, SignerEvent::Settled(settled(next))).await?;
    Ok([load, claimed, signed])
}

async fn append(ledger: &Ledger, id: LaneId, loaded: &LoadedLane, event: SignerEvent) -> Result<(), Fatal> {
    let expected = Expected::Lane(loaded.version.ok_or("a lane of the past has no version")?);
    ledger.append(NewEvent { event: Event::Signer(id, event), expected, trace: None }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_lane_ends_as_far_into_a_bucket_as_the_young_one() {
        let begin = begin_of_last_bucket(1_000_000);
        assert!(begin <= 1_000_000 && bucket(begin) == bucket(begin + RECENT) && bucket(begin) != bucket(begin - 1));
    }
}
