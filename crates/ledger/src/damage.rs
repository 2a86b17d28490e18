//! Damage: the comparison of a ledger with what was known of it before. Pure: the caller has read both.
//!
//! Nothing here is guessed. A ledger that does not answer is unknown, not damaged. An answer of the server describes
//! one moment, and is compared only with itself and with what was known before the request.

use crate::client::StreamInfo;
use alloy_primitives::{B256, keccak256};
use chrono::{DateTime, TimeDelta, Utc};
use domain::Recorded;
use domain::event::{DamageKind, Stopped};
use std::collections::BTreeMap;

/// How much earlier than its predecessor an event may be dated. Hosts that follow NTP agree within some ten
/// milliseconds, also across a change of leaders. A clock that is set back by hand or by a broken source goes back
/// further.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(1);

/// Maximum length of the description that operators read (`ops.stopped` in `schemas/`).
const DETAIL_CHARS: usize = 200;

/// The way in which the ledger is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Another ledger: the stream was deleted and created again.
    #[error("the ledger was created at {found}, not at {known}: it is another one, and sequences mean something else")]
    Recreated {
        /// The creation time that was known.
        known: DateTime<Utc>,
        /// The creation time of this one.
        found: DateTime<Utc>,
    },
    /// Events at the end are lost.
    #[error(
        "the ledger ends at sequence {last}, but sequence {known} was read from it or acknowledged: events are lost"
    )]
    Truncated {
        /// The highest sequence that was read or acknowledged.
        known: u64,
        /// The last sequence now.
        last: u64,
    },
    /// Events are missing according to the server's own count.
    #[error("the ledger holds {messages} events up to sequence {last}: some are missing")]
    Incomplete {
        /// Number of events that the server has.
        messages: u64,
        /// Number of events that there must be: the last sequence.
        last: u64,
    },
    /// An event that was read or copied before is not there.
    #[error("the event at sequence {sequence} is not in the ledger any more")]
    Hole {
        /// Its sequence.
        sequence: u64,
    },
    /// Another event stands where one was read before.
    #[error("the event at sequence {sequence} is not the one that was read there before")]
    Altered {
        /// Its sequence.
        sequence: u64,
    },
    /// The clock by which the ledger dates events was set back.
    #[error("the event at sequence {sequence} is dated {found}, after one of {known}: the ledger's clock went back")]
    ClockBackwards {
        /// Sequence of the event that is dated too early.
        sequence: u64,
        /// The date of an earlier event.
        known: DateTime<Utc>,
        /// Its date.
        found: DateTime<Utc>,
    },
}

impl Damage {
    /// The event that records this damage, for the ledger that was created at `incarnation` and ends at `last`.
    pub(crate) fn stopped(&self, incarnation: DateTime<Utc>, last: u64) -> Stopped {
        let (damage, sequence) = match self {
            Self::Recreated { .. } => (DamageKind::Recreated, last),
            Self::Truncated { last, .. } => (DamageKind::Truncated, *last),
            Self::Incomplete { last, .. } => (DamageKind::Hole, *last),
            Self::Hole { sequence } => (DamageKind::Hole, *sequence),
            Self::Altered { sequence } => (DamageKind::Altered, *sequence),
            Self::ClockBackwards { sequence, .. } => (DamageKind::ClockBackwards, *sequence),
        };
        Stopped { damage, incarnation, sequence, detail: self.to_string().chars().take(DETAIL_CHARS).collect() }
    }
}

/// The state of the stream in one answer of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamLook {
    pub created: DateTime<Utc>,
    pub messages: u64,
    pub last: u64,
    /// When the last event was stored. Means nothing if the stream is empty.
    pub last_at: DateTime<Utc>,
}

impl From<&StreamInfo> for StreamLook {
    fn from(info: &StreamInfo) -> Self {
        let state = &info.state;
        Self { created: info.created, messages: state.messages, last: state.last_seq, last_at: state.last_ts }
    }
}

/// Hashes of messages, by sequence.
pub(crate) type Prints = BTreeMap<u64, B256>;

/// Hash of subject and body. Headers are left out, because the server adds some of its own to its answers.
pub(crate) fn print(recorded: &Recorded) -> B256 {
    keccak256([recorded.subject.as_bytes(), b"\n", &recorded.payload].concat())
}

/// Checks that the stream as `seen` can be a later state of the stream as it was `before`. `known` is the highest
/// sequence that was read or acknowledged before the look began.
pub(crate) fn judge(before: &StreamLook, known: u64, seen: &StreamLook) -> Result<(), Damage> {
    let known = known.max(before.last);
    if seen.created != before.created {
        return Err(Damage::Recreated { known: before.created, found: seen.created });
    }
    if seen.last < known {
        return Err(Damage::Truncated { known, last: seen.last });
    }
    // Nothing is ever deleted, and sequences begin at 1.
    if seen.messages != seen.last {
        return Err(Damage::Incomplete { messages: seen.messages, last: seen.last });
    }
    if before.last > 0 && seen.last > before.last && seen.last_at < before.last_at - CLOCK_TOLERANCE {
        let (known, found) = (before.last_at, seen.last_at);
        return Err(Damage::ClockBackwards { sequence: seen.last, known, found });
    }
    Ok(())
}

/// Checks that every message that is `remembered` was `found` again unchanged. `found` must cover every message from
/// the first remembered one on.
pub(crate) fn compare(remembered: &Prints, found: &Prints) -> Result<(), Damage> {
    for (sequence, print) in remembered {
        match found.get(sequence) {
            Some(found) if found == print => {}
            Some(_) => return Err(Damage::Altered { sequence: *sequence }),
            None => return Err(Damage::Hole { sequence: *sequence }),
        }
    }
    Ok(())
}

/// Checks that every message from `first` to `last` was `found`.
pub(crate) fn contiguous(found: &Prints, first: u64, last: u64) -> Result<(), Damage> {
    match (first..=last).find(|sequence| !found.contains_key(sequence)) {
        Some(sequence) => Err(Damage::Hole { sequence }),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn a_ledger_that_only_grows_is_whole_and_every_other_one_is_named() {
        let seen = |created, messages, last, last_at| StreamLook {
            created: at(created),
            messages,
            last,
            last_at: at(last_at),
        };
        let before = seen(1, 200, 200, 1_000);
        let cases = [
            ("as it was", before, 0, before, None),
            ("grown", before, 200, seen(1, 300, 300, 1_001), None),
            ("empty, as it was", seen(1, 0, 0, 0), 0, seen(1, 0, 0, 0), None),
            ("its first event", seen(1, 0, 0, 0), 1, seen(1, 1, 1, 50), None),
            ("more since it was asked", before, 250, seen(1, 260, 260, 1_000), None),
            ("a clock within the tolerance", before, 200, seen(1, 201, 201, 999), None),
            ("F13", before, 200, seen(2, 0, 0, 0), Some(DamageKind::Recreated)),
            ("F13, and filled further", before, 200, seen(2, 500, 500, 2_000), Some(DamageKind::Recreated)),
            ("F15 tail lost", before, 200, seen(1, 100, 100, 900), Some(DamageKind::Truncated)),
            ("F15 all lost, numbers kept", before, 200, seen(1, 0, 200, 1_000), Some(DamageKind::Hole)),
            ("F16 an acknowledged event is lost", before, 201, before, Some(DamageKind::Truncated)),
            ("D4 a hole", before, 200, seen(1, 100, 200, 1_000), Some(DamageKind::Hole)),
            ("D4 one more than there are numbers", before, 200, seen(1, 201, 200, 1_000), Some(DamageKind::Hole)),
            ("its clock", before, 200, seen(1, 201, 201, 998), Some(DamageKind::ClockBackwards)),
        ];
        for (name, before, known, seen, expected) in cases {
            let found = judge(&before, known, &seen).err().map(|damage| damage.stopped(at(1), 1));
            assert_eq!(found.as_ref().map(|stopped| stopped.damage), expected, "{name}");
            assert!(found.is_none_or(|stopped| stopped.detail.len() < DETAIL_CHARS), "{name}: a whole sentence");
        }
    }

    #[test]
    fn f14_what_was_read_must_be_read_again() {
        let prints =
            |of: &[(u64, u8)]| of.iter().map(|(seq, byte)| (*seq, B256::repeat_byte(*byte))).collect::<Prints>();
        let remembered = prints(&[(7, 1), (8, 2)]);
        for (name, found, expected) in [
            ("the same", prints(&[(7, 1), (8, 2)]), Ok(())),
            ("and more", prints(&[(7, 1), (8, 2), (9, 3)]), Ok(())),
            ("a hole", prints(&[(7, 1), (9, 3)]), Err(Damage::Hole { sequence: 8 })),
            ("nothing", prints(&[]), Err(Damage::Hole { sequence: 7 })),
            ("another one", prints(&[(7, 1), (8, 3)]), Err(Damage::Altered { sequence: 8 })),
        ] {
            assert_eq!(compare(&remembered, &found), expected, "{name}");
        }
        assert_eq!(compare(&Prints::new(), &remembered), Ok(()));
        for (first, last, expected) in [(7, 8, Ok(())), (7, 9, Err(9)), (6, 8, Err(6)), (1, 0, Ok(()))] {
            let expected = expected.map_err(|sequence| Damage::Hole { sequence });
            assert_eq!(contiguous(&remembered, first, last), expected, "{first} to {last}");
        }
    }
}
