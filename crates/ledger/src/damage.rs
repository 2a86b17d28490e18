//! Damage: whether the ledger still is what it was. Pure: what a look saw is held against what is remembered.
//!
//! Nothing here is guessed. A ledger that does not answer is unknown, and not damaged; a single answer of the server is
//! one moment of it, and is compared only with itself and with what was known before it was asked for.

use crate::client::StreamInfo;
use crate::envelope::Recorded;
use alloy_primitives::{B256, keccak256};
use chrono::{DateTime, TimeDelta, Utc};
use domain::event::{DamageKind, Stopped};
use std::collections::BTreeMap;

/// How far an event may be dated before its predecessor. Hosts that follow NTP agree within some ten milliseconds, also
/// across a change of leaders; a clock that is set back by hand, or by a broken source, is set back by more.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(1);

/// What a person reads of it, at most (`ops.stopped` of `schemas/`).
const DETAIL_CHARS: usize = 200;

/// In which way the ledger is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// F13.
    #[error("the ledger was created at {found}, not at {known}: it is another one, and sequences mean something else")]
    Recreated {
        /// When it was created, as remembered.
        known: DateTime<Utc>,
        /// When this one was.
        found: DateTime<Utc>,
    },
    /// F15, F16.
    #[error(
        "the ledger ends at sequence {last}, but sequence {known} was read from it or acknowledged: events are lost"
    )]
    Truncated {
        /// What was read or acknowledged.
        known: u64,
        /// Where it ends.
        last: u64,
    },
    /// F14, by the server's own count.
    #[error("the ledger holds {messages} events up to sequence {last}: some are missing")]
    Incomplete {
        /// How many there are.
        messages: u64,
        /// How many there must be.
        last: u64,
    },
    /// F14: it was read, or copied, and is not there.
    #[error("the event at sequence {sequence} is not in the ledger any more")]
    Hole {
        /// Where.
        sequence: u64,
    },
    /// F14, F15.
    #[error("the event at sequence {sequence} is not the one that was read there before")]
    Altered {
        /// Where.
        sequence: u64,
    },
    /// The clock by which the ledger dates events.
    #[error("the event at sequence {sequence} is dated {found}, after one of {known}: the ledger's clock went back")]
    ClockBackwards {
        /// Where.
        sequence: u64,
        /// The date of one before it.
        known: DateTime<Utc>,
        /// Its date.
        found: DateTime<Utc>,
    },
}

impl Damage {
    /// As it is written down, of the ledger created at `incarnation` that ends at `last`.
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

/// What one answer of the server says of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamLook {
    pub created: DateTime<Utc>,
    pub messages: u64,
    pub last: u64,
    /// When the last event was stored; meaningless where there is none.
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

/// Subject and body; the server adds headers of its own to its answers.
pub(crate) fn print(recorded: &Recorded) -> B256 {
    keccak256([recorded.subject.as_bytes(), b"\n", &recorded.payload].concat())
}

/// Whether what is `seen` can follow what the last look saw, `before`, where `known` was read or acknowledged before this
/// look began.
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

/// Whether what is `remembered` was `found` again, where every message from the first remembered one on was asked for.
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

/// Whether every message from `first` to `last` was `found`.
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
