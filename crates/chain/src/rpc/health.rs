//! Whether a provider is asked: pure, so that every rule is a line of a table.

use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row after which a provider rests. One or two happen to the best.
const FAILURES_MAX: u32 = 3;

/// The first rest; doubled as long as the provider is found unwell, up to [`REST_MAX`].
const REST_FIRST: Duration = Duration::from_millis(500);

/// A probe every ten seconds costs nobody anything.
const REST_MAX: Duration = Duration::from_secs(10);

/// The longest `Retry-After` that is obeyed: who asks for more is probed after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// A provider this many blocks behind the others lags too far to be asked anything: 16 seconds of a chain with blocks
/// every two.
const STALE_BLOCKS: u64 = 8;

/// What a provider has said of its head counts this long: nobody is late for what somebody said a while ago, true or not.
const TOLD_LATELY: Duration = Duration::from_secs(30);

/// A head, and when it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub number: u64,
    pub at: Instant,
}

/// How badly a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No usable answer.
    Unusable,
    /// It asks for a pause, perhaps of this length.
    Limited(Option<Duration>),
    /// It must not be asked before it was checked: never seen yet, far behind, or of another chain.
    Unfit,
}

/// Well: asked. Resting: not asked, by anybody, until a probe finds it well again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Well { failures: u32 },
    Resting { until: Instant, pause: Duration },
}

impl Health {
    pub(crate) fn is_well(&self) -> bool {
        matches!(self, Self::Well { .. })
    }

    /// A call was answered. Only a probe ends a rest.
    pub(crate) fn succeeded(&mut self) {
        if let Self::Well { failures } = self {
            *failures = 0;
        }
    }

    /// A call failed; true when a rest begins with it. An only provider is not rested for bad answers, since there is
    /// nobody to ask instead; when it asks for a pause it gets one.
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

    /// The probe went wrong: on with the rest, longer.
    pub(crate) fn still_unwell(&mut self, failure: Failure, now: Instant) {
        if let Self::Resting { pause, .. } = self {
            *self = rest(failure, pause.saturating_mul(2).min(REST_MAX), now);
        }
    }

    /// The probe went well.
    pub(crate) fn recovered(&mut self) {
        *self = Self::Well { failures: 0 };
    }
}

fn rest(failure: Failure, pause: Duration, now: Instant) -> Health {
    let asked_for = match failure {
        Failure::Limited(Some(time)) => time.min(RETRY_AFTER_MAX),
        Failure::Limited(None) | Failure::Unusable | Failure::Unfit => Duration::ZERO,
    };
    Health::Resting { until: now + asked_for.max(pause), pause }
}

/// The head that the others are held against: with three or more the second highest, so that one that lies makes nobody
/// look late; with two the higher. Those who rest have none.
fn reference(heads: &[Option<Told>], now: Instant) -> Option<u64> {
    let lately = heads.iter().flatten().filter(|told| now.saturating_duration_since(told.at) <= TOLD_LATELY);
    let mut known: Vec<u64> = lately.map(|told| told.number).collect();
    known.sort_unstable_by(|a, b| b.cmp(a));
    known.get(usize::from(known.len() >= 3)).copied()
}

/// Whether a provider whose head is `own` lags too far behind `heads`.
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
            // While it rests, nothing makes the rest shorter or longer: those calls were on their way before.
            (&[Limited(Some(seconds(7))), Unusable, Limited(None)], false, Some(seconds(7))),
        ];
        for (failures, alone, expected) in cases {
            let mut health = Health::Well { failures: 0 };
            for failure in failures {
                health.failed(*failure, alone, now);
            }
            let found = match health {
                Health::Well { .. } => None,
                Health::Resting { until, .. } => Some(until - now),
            };
            assert_eq!(found, expected, "{failures:?} alone {alone}");
        }
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut health = Health::Well { failures: 0 };
        for _ in 0..10 {
            assert!(!health.failed(Unusable, false, Instant::now()));
            assert!(!health.failed(Unusable, false, Instant::now()));
            health.succeeded();
        }
    }

    #[test]
    fn rests_grow_up_to_a_limit_and_only_a_probe_ends_them() {
        let now = Instant::now();
        let mut health = Health::Well { failures: 0 };
        health.failed(Unfit, false, now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            health.succeeded();
            let Health::Resting { until, .. } = health else { panic!("a late success ended the rest") };
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
            // One that claims to be far ahead makes nobody late, where a third one is there.
            (100, &[Some(100), Some(101), Some(9_000)], false),
            (100, &[Some(100), Some(120), Some(121)], true),
            (100, &[], false),
        ];
        let now = Instant::now();
        for (own, heads, expected) in cases {
            let told = |at| -> Vec<_> { heads.iter().map(|head| head.map(|number| Told { number, at })).collect() };
            assert_eq!(is_stale(own, &told(now), now), expected, "{own} {heads:?}");
            let later = now + TOLD_LATELY + Duration::from_secs(1);
            assert!(!is_stale(own, &told(now), later), "{own} {heads:?}: nobody has said anything lately");
        }
    }
}
