//! Wrongs, one at a time: each turns its check red, with the words for it.

mod charges;
mod ends;
mod mints;
mod money;
mod records;
mod refunds;

use super::{good, verdict};
use crate::evidence::tokens::{Record, RecordState};
use crate::verdict::Outcome;
use crate::world::{Pay, STRANGER, World};
use alloy_primitives::U256;

type Wrong = (&'static str, fn(&mut World), &'static str, &'static str);

/// A payment that the good run does not have.
fn new() -> Pay {
    Pay::new(20, 1)
}

/// The payment of the payer with this number in the good run.
fn old(n: u8) -> Pay {
    Pay::new(n, 1 + u64::from(n) % 3)
}

fn found(wrongs: &[Wrong]) {
    for (wrong, hand, id, words) in wrongs {
        let mut world = good();
        hand(&mut world);
        world.rest();
        let verdict = verdict(&world, id);
        let has = verdict.findings.iter().any(|finding| finding.contains(words));
        assert!(has && verdict.outcome == Outcome::Red, "{wrong}: no {words:?} in {id}: {:?}", verdict.findings);
    }
}

/// Writes a record that no payment made, and mints it.
fn forge(world: &mut World) {
    let at = world.evidence.chain.blocks.last().unwrap().time;
    let payer = new().payer;
    let record = Record { payer, units: U256::ONE, paid_at: at, state: RecordState::Open };
    world.token().records.insert(new().key(), record);
    world.mint(STRANGER, &[new()]);
}
