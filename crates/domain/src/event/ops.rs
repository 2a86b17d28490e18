//! Events that operators must see, and events with which they answer.

use super::table::EventData;
use crate::event_types;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

event_types! {
    /// An event that operators must see.
    pub enum OpsEvent {
        /// A consumer can never handle this message. It is set aside, and other messages go on.
        Parked (ParkedMessage) = "ops.parked",
        /// A person has the message of a parked message handled once more. The number counts this message's redrives.
        Redriven #n (RedrivenMessage) = "ops.redriven",
        /// The ledger is damaged: nothing is signed, decided or accepted from now on. The number counts stops.
        Stopped #n (Stopped) = "ops.stopped",
        /// An operator has ended the stop with this number.
        Resumed #n (Resumed) = "ops.resumed",
    }
}

impl EventData for ParkedMessage {}
impl EventData for RedrivenMessage {}
impl EventData for Stopped {}
impl EventData for Resumed {}

/// A message that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParkedMessage {
    /// The durable consumer that gave up.
    pub consumer: String,
    /// Sequence of the message in the ledger.
    pub sequence: u64,
    /// Subject of the message.
    pub subject: String,
    /// The reason, at most 200 characters.
    pub reason: String,
    /// Number of redrives before; 0 the first time.
    #[serde(default, skip_serializing_if = "is_first")]
    pub redrives: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first(redrives: &u32) -> bool {
    *redrives == 0
}

/// The decision of a person that a message is handled once more, as if it were delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedrivenMessage {
    /// The durable consumer that gave the message up.
    pub consumer: String,
    /// Sequence of the message in the ledger.
    pub sequence: u64,
    /// Name of the person, at most 100 characters.
    pub by: String,
    /// The reason, at most 200 characters.
    pub detail: String,
}

/// The way in which a ledger is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DamageKind {
    /// Another ledger: the stream was deleted and created again.
    Recreated,
    /// Events at the end are lost: the ledger ends before a sequence that was read or acknowledged.
    Truncated,
    /// Events in the middle are missing.
    Hole,
    /// Another event stands where one was read before.
    Altered,
    /// An event is dated earlier than its predecessor.
    ClockBackwards,
}

/// A stop of payouts, and its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stopped {
    /// The damage that was found.
    pub damage: DamageKind,
    /// Creation time of the ledger in which it was found.
    pub incarnation: DateTime<Utc>,
    /// Sequence of the damaged event, or the last sequence of the ledger at that time.
    pub sequence: u64,
    /// Description for operators, at most 200 characters.
    pub detail: String,
}

/// The end of a stop: payouts go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resumed {
    /// Name of the operator.
    pub by: String,
    /// The reason why payouts may go on, at most 200 characters.
    pub detail: String,
}

/// Stops and resumes so far, in the order of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    last: Option<(u32, Stopped)>,
    resumed: bool,
}

impl Stops {
    /// Folds one event. A stop holds until a resume with its number follows, so nobody can resume ahead of time.
    pub fn evolve(self, event: &OpsEvent) -> Self {
        match event {
            OpsEvent::Stopped(n, why) => Self { last: Some((*n, why.clone())), resumed: false },
            OpsEvent::Resumed(n, _) => {
                let resumed = self.resumed || self.last.as_ref().is_some_and(|(last, _)| last == n);
                Self { resumed, ..self }
            }
            OpsEvent::Parked(_) | OpsEvent::Redriven(..) => self,
        }
    }

    /// The current stop, with its number. Returns `None` if payouts are not stopped.
    pub fn standing(&self) -> Option<&(u32, Stopped)> {
        self.last.as_ref().filter(|_| !self.resumed)
    }

    /// Number of the next stop.
    pub fn next(&self) -> u32 {
        self.last.as_ref().map_or(0, |(last, _)| *last).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    #[test]
    fn a_stop_stands_until_it_is_resumed_itself() {
        let stop = |n| OpsEvent::Stopped(n, examples::stopped());
        let resume = |n| OpsEvent::Resumed(n, examples::resumed());
        let cases: [(&str, &[OpsEvent], Option<u32>, u32); 7] = [
            ("nothing", &[], None, 1),
            ("a stop", &[stop(1)], Some(1), 2),
            ("resumed", &[stop(1), resume(1)], None, 2),
            ("stopped anew", &[stop(1), resume(1), stop(2)], Some(2), 3),
            ("an old resume", &[stop(1), stop(2), resume(1)], Some(2), 3),
            ("ahead of time", &[resume(1), resume(2), stop(1)], Some(1), 2),
            ("another number", &[stop(1), resume(2)], Some(1), 2),
        ];
        for (name, events, standing, next) in cases {
            let stops = events.iter().fold(Stops::default(), Stops::evolve);
            assert_eq!(stops.standing().map(|(n, _)| *n), standing, "{name}");
            assert_eq!(stops.next(), next, "{name}");
        }
    }
}
