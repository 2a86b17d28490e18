//! The blows and their order: a pure function of the seed.

use crate::blow::{ALL, Blow, Track};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// Between two steps, milliseconds: long enough for work to be under way again, short enough to meet what is not over.
const PAUSE_MS: std::ops::Range<u64> = 300..1_500;

/// Duration of a step beside its own time: processes start, servers come back.
const OVERHEAD: Duration = Duration::from_millis(1_500);

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub blow: Blow,
    /// After the step before it.
    pub pause: Duration,
    /// How long the fault stands, where it is one that stands.
    pub lasts: Duration,
    /// Other random choices: instance, provider, depth, pass.
    pub dice: u64,
}

impl Step {
    /// A number below `sides`.
    pub fn roll(&self, sides: u64) -> u64 {
        self.dice % sides
    }
}

/// Two things go wrong at a time: one with our own processes, one with a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub processes: Vec<Step>,
    pub neighbours: Vec<Step>,
}

impl Plan {
    /// Every blow once, in the seed's order; of each track as many as fit into `time`. Where some are named, those alone,
    /// again and again.
    pub fn of(seed: u64, time: Duration, only: &[String]) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut track = |track| {
            let is_wanted = |blow: &Blow| only.is_empty() || only.contains(&blow.to_string());
            let mut blows: Vec<Blow> =
                ALL.into_iter().filter(|blow| blow.track() == track && is_wanted(blow)).collect();
            blows.shuffle(&mut rng);
            let rounds = if only.is_empty() { blows.len() } else { usize::MAX };
            let mut left = time;
            let steps = blows.into_iter().cycle().take(rounds).map(|blow| {
                let (least, most) = blow.lasts_ms();
                let lasts = Duration::from_millis(rng.random_range(least..=most));
                let pause = Duration::from_millis(rng.random_range(PAUSE_MS));
                Step { blow, pause, lasts, dice: rng.random() }
            });
            let fits = |step: &Step| {
                left = left.saturating_sub(step.pause + step.lasts + OVERHEAD);
                !left.is_zero()
            };
            steps.take_while(fits).collect()
        };
        Self { processes: track(Track::Processes), neighbours: track(Track::Neighbours) }
    }

    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.processes.iter().chain(&self.neighbours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_is_a_plan_and_another_seed_is_another() {
        let minutes = Duration::from_secs(600);
        assert_eq!(Plan::of(7, minutes, &[]), Plan::of(7, minutes, &[]));
        assert_ne!(Plan::of(7, minutes, &[]), Plan::of(8, minutes, &[]));
    }

    #[test]
    fn a_run_of_four_minutes_has_every_blow_and_a_short_one_has_some_of_both_tracks() {
        for seed in 0..50 {
            let whole = Plan::of(seed, Duration::from_secs(240), &[]);
            let names: BTreeSet<String> = whole.steps().map(|step| step.blow.to_string()).collect();
            assert_eq!(names.len(), ALL.len(), "seed {seed}");
            let short = Plan::of(seed, Duration::from_secs(60), &[]);
            assert!(short.processes.len() >= 5 && short.neighbours.len() >= 5, "seed {seed}");
        }
    }
}
