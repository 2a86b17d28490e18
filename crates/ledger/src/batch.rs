//! Batches: events that are appended together, in an order that a broken batch cannot turn into a loss.
//!
//! An append is all or nothing. One exception was seen (nats-server 2.15.1, once): a server whose byte limit was set
//! while it committed a batch kept the beginning and refused the rest. So the order within a batch matters, and a batch
//! of several kinds of events can only be built in one of two ways:
//!
//! - [`Batch::led_by`]: events that others depend on stand first, such as the bytes of a transaction before the orders
//!   in it, or a key before its order. If only the bytes are stored, the confirmer still finds the payments, while
//!   orders without bytes would wait permanently.
//! - [`Batch::of`]: the event that says that all is done stands last.

use crate::lane::LaneVersion;
use domain::Event;

/// The condition under which the ledger accepts an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The last sequence of the event's order is still the one that was folded; 0 if the order has no event. The order of a
    /// record is the one with its id.
    Version(u64),
    /// The event's own subject is empty. For events that depend on no other event.
    Absent,
    /// The event's lane still has this version. The event may be in another bucket than the version.
    Lane(LaneVersion),
    /// The event's key has no events at all, for any purpose. For the first claim.
    Unclaimed,
}

/// An event to append.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The event.
    pub event: Event,
    /// Condition under which it is accepted.
    pub expected: Expected,
    /// W3C trace context of the order, passed on to the event.
    pub trace: Option<String>,
}

/// Events to append, all or none of them.
#[derive(Clone, Debug)]
pub struct Batch(Vec<NewEvent>);

/// The beginning of a batch. [`Batch::led_by`] makes one.
#[derive(Debug)]
pub struct Led(Vec<NewEvent>);

/// A batch without its last event. [`Batch::of`] makes one.
#[derive(Debug)]
pub struct Unsealed(Vec<NewEvent>);

impl Batch {
    /// Begins a batch with the events that the rest of it depends on.
    pub fn led_by(first: impl IntoIterator<Item = NewEvent>) -> Led {
        Led(first.into_iter().collect())
    }

    /// Begins a batch with the events that must be stored before [`Unsealed::sealed_by`] says that all is done.
    pub fn of(events: impl IntoIterator<Item = NewEvent>) -> Unsealed {
        Unsealed(events.into_iter().collect())
    }

    /// A batch of events that do not depend on each other.
    pub fn unordered(events: impl IntoIterator<Item = NewEvent>) -> Self {
        Self(events.into_iter().collect())
    }

    /// The events, in the order in which they are stored.
    pub fn events(&self) -> &[NewEvent] {
        &self.0
    }

    /// Joins several batches, one behind the other, into one append.
    pub(crate) fn joined<'a>(batches: impl IntoIterator<Item = &'a Self>) -> Self {
        Self(batches.into_iter().flat_map(|batch| batch.0.iter().cloned()).collect())
    }
}

impl Led {
    /// Adds the events that depend on the beginning.
    pub fn then(self, rest: impl IntoIterator<Item = NewEvent>) -> Batch {
        let Self(mut events) = self;
        events.extend(rest);
        Batch(events)
    }
}

impl Unsealed {
    /// Adds the event that says that all is done.
    pub fn sealed_by(self, last: NewEvent) -> Batch {
        let Self(mut events) = self;
        events.push(last);
        Batch(events)
    }
}

impl From<NewEvent> for Batch {
    fn from(event: NewEvent) -> Self {
        Self(vec![event])
    }
}

impl From<&[NewEvent; 1]> for Batch {
    fn from(events: &[NewEvent; 1]) -> Self {
        Self(events.to_vec())
    }
}

impl From<&Self> for Batch {
    fn from(batch: &Self) -> Self {
        batch.clone()
    }
}
