//! Health of a provider: pure, so that every rule is one row of a table.

use std::time::Duration;
use tokio::time::Instant;

/// Consecutive failures after which a provider rests. One or two happen to every provider.
const FAILURES_MAX: u32 = 3;

/// The first rest. Each failed probe doubles it, up to [`REST_MAX`].
const REST_FIRST: Duration = Duration::from_millis(500);

/// The longest rest: a probe every ten seconds costs almost nothing.
const REST_MAX: Duration = Duration::from_secs(10);

/// The longest `Retry-After` that is obeyed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// A provider this many blocks behind the others is not asked: 16 seconds of a chain with blocks every two seconds.
const STALE_BLOCKS: u64 = 8;

/// How long a reported head counts. An older report, true or false, makes no other provider look late.
const TOLD_LATELY: Duration = Duration::from_secs(30);

/// A reported head, and the time of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub number: u64,
    pub at: Instant,
}

/// The kind of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No usable answer.
    Unusable,
    /// The provider asks for a pause, possibly of a given length.
    Limited(Option<Duration>),
    /// The provider must be checked before it is asked: never seen yet, far behind, or of another chain.
    Unfit,
}

/// Health of a provider. `Well`: it is asked. `Resting`: only the probe asks it, until it is well again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProviderHealth {
    Well { failures: u32 },
    Resting { until: Instant, pause: Duration },
}

impl ProviderHealth {
    pub(crate) fn is_well(&self) -> bool {
        matches!(self, Self::Well { .. })
    }

    /// Records an answered call. Only a probe ends a rest.
    pub(crate) fn succeeded(&mut self) {
        if let Self::Well { failures } = self {
            *failures = 0;
        }
    }

    /// Records a failed call, and returns `true` if a rest begins. An only provider does not rest after bad answers,
    /// because there is no other to ask. It rests if it asks for a pause.
    pub(crate) fn failed(&mut self, failure: Failure, alone: bool, now: Instant) -> bool {
        let Self::Well { failures } = self else { return false };
        *failures = failures.saturating_add(1);
        let rests = match failure {
            Failure::Unusable => !alone && *failures >= FAILURES_MAX,
            Failure::Limited(_) | Failure::Unfit => true,
        };
        if rests {
            *self = rest(failure, REST_FIRST, now);
        }
        rests
    }

    /// Records a failed probe and prolongs the rest.
    pub(crate) fn still_unwell(&mut self, failure: Failure, now: Instant) {
        if let Self::Resting { pause, .. } = self {
            *self = rest(failure, pause.saturating_mul(2).min(REST_MAX), now);
        }
    }

    /// Records a successful probe.
    pub(crate) fn recovered(&mut self) {
        *self = Self::Well { failures: 0 };
    }
}

fn rest(failure: Failure, pause: Duration, now: Instant) -> ProviderHealth {
    let asked_for = match failure {
        Failure::Limited(Some(time)) => time.min(RETRY_AFTER_MAX),
        Failure::Limited(None) | Failure::Unusable | Failure::Unfit => Duration::ZERO,
    };
    ProviderHealth::Resting { until: now + asked_for.max(pause), pause }
}

/// The head with which providers are compared. With three or more it is the second highest, so that one liar makes no
/// other look late; with two it is the higher. Resting providers are left out.
fn reference(heads: &[Option<Told>], now: Instant) -> Option<u64> {
    let lately = heads.iter().flatten().filter(|told| now.saturating_duration_since(told.at) <= TOLD_LATELY);
    let mut known: Vec<u64> = lately.map(|told| told.number).collect();
    known.sort_unstable_by(|a, b| b.cmp(a));
    known.get(usize::from(known.len() >= 3)).copied()
}

/// Returns `true` if a provider whose head is `own` lags too far behind `heads`.
pub(crate) fn is_stale(own: u64, heads: &[Option<Told>], now: Instant) -> bool {
    reference(heads, now).is_some_and(|reference| own.saturating_add(STALE_BLOCKS) < reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Failure::{Limited, Unfit, Unusable};

    #[test]
    fn f28_f29_when_a_provider_rests_and_for_how_long() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        let cases: [(&[Failure], bool, Option<Duration>); 10] = [
            (&[Unusable, Unusable], false, None),
            (&[Unusable, Unusable, Unusable], false, Some(REST_FIRST)),
            (&[Unusable, Unusable, Unusable, Unusable], true, None),
            (&[Limited(Some(seconds(7)))], false, Some(seconds(7))),
            (&[Limited(Some(seconds(7)))], true, Some(seconds(7))),
            (&[Limited(Some(seconds(86_400)))], false, Some(RETRY_AFTER_MAX)),
            (&[Limited(Some(seconds(0)))], false, Some(REST_FIRST)),
            (&[Limited(None)], false, Some(REST_FIRST)),
            (&[Unfit], false, Some(REST_FIRST)),
            // While it rests, no call makes the rest shorter or longer: such calls were sent before.
            (&[Limited(Some(seconds(7))), Unusable, Limited(None)], false, Some(seconds(7))),
        ];
        for (failures, alone, expected) in cases {
            let mut health = ProviderHealth::Well { failures: 0 };
            for failure in failures {
                health.failed(*failure, alone, now);
            }
            let found = match health {
                ProviderHealth::Well { .. } => None,
                ProviderHealth::Resting { until, .. } => Some(until - now),
            };
            assert_eq!(found, expected, "{failures:?} alone {alone}");
        }
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut health = ProviderHealth::Well { failures: 0 };
        for _ in 0..10 {
            assert!(!health.failed(Unusable, false, Instant::now()));
            assert!(!health.failed(Unusable, false, Instant::now()));
            health.succeeded();
        }
    }

    #[test]
    fn rests_grow_up_to_a_limit_and_only_a_probe_ends_them() {
        let now = Instant::now();
        let mut health = ProviderHealth::Well { failures: 0 };
        health.failed(Unfit, false, now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            health.succeeded();
            let ProviderHealth::Resting { until, .. } = health else { panic!("a late success ended the rest") };
            pauses.push((until - now).as_millis());
            health.still_unwell(Unusable, now);
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 10_000]);
        health.recovered();
        assert!(health.is_well());
    }

    #[test]
    fn f34_who_lags_is_told_by_the_others() {
        let cases: [(u64, &[Option<u64>], bool); 7] = [
            (100, &[Some(100), Some(108)], false),
            (100, &[Some(100), Some(109)], true),
            (100, &[Some(100), None], false),
            (100, &[None, None], false),
            // One that claims to be far ahead makes no other late if there is a third.
            (100, &[Some(100), Some(101), Some(9_000)], false),
            (100, &[Some(100), Some(120), Some(121)], true),
            (100, &[], false),
        ];
        let now = Instant::now();
        for (own, heads, expected) in cases {
            let told = |at| -> Vec<_> { heads.iter().map(|head| head.map(|number| Told { number, at })).collect() };
            assert_eq!(is_stale(own, &told(now), now), expected, "{own} {heads:?}");
            let later = now + TOLD_LATELY + Duration::from_secs(1);
            assert!(!is_stale(own, &told(now), later), "{own} {heads:?}: no head was reported lately");
        }
    }
}
