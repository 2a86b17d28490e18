//! How long it took (A15), and whether what was to go wrong did (A17).

use crate::books::{Books, Order};
use crate::decode::event::Event;
use crate::evidence::Evidence;
use crate::verdict::{Check, Verdict};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// A15: every order has ended, within the bound from its 202, the last healing, what the chain took back last, a
/// person's request for a refund, or, where it expired, its window's end.
pub fn in_time(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A15", "every order has come to its end, in time");
    let bound = TimeDelta::seconds(evidence.run.bounds.terminal_within_s);
    let mut slowest = TimeDelta::zero();
    for (id, order) in &books.orders {
        // From here on it has rested: what was taken back in between had not ended.
        let operator = evidence.run.bounds.operator;
        let is_end = |event: &&Event| books.states.get(&event.seq).is_some_and(|state| state.is_end(operator));
        let Some(ended) = order.events.iter().rev().take_while(is_end).last() else {
            let last = order.events.last().map_or("nothing", |event| event.kind.name);
            check.that(false, || format!("{id} has not ended: its last event is {last}"));
            continue;
        };
        let took = ended.time - since(evidence, books, *id, order);
        slowest = slowest.max(took);
        check.that(took <= bound, || {
            format!("{id} ended after {} s, {} are allowed", took.num_seconds(), bound.num_seconds())
        });
    }
    if !books.orders.is_empty() {
        check.note(format!("the slowest took {} ms", slowest.num_milliseconds()));
    }
    check.verdict("there is no order")
}

/// From when an order's time counts.
fn since(evidence: &Evidence, books: &Books, id: Uuid, order: &Order) -> DateTime<Utc> {
    let requested = order.events.first().map(|event| event.time);
    let expired = order.event("payment.failed").and_then(|failed| {
        let window =
            matches!(failed.data.text("reason").as_deref(), Some("expired" | "unfunded_until_expired" | "sold_out"));
        let ends: i64 = order.ordered.as_ref().filter(|_| window)?.valid_before.try_into().ok()?;
        DateTime::from_timestamp(ends, 0)
    });
    let begun = books.accepted_at.get(&id).copied().or(requested).unwrap_or_default();
    let reversals = order.events.iter().filter(|event| event.kind.name.ends_with(".reverted"));
    let taken_back = reversals.map(|event| event.time).max();
    let by_a_person = |event: &&Event| event.data.text("reason").as_deref() == Some("operator");
    let asked_back = order.event("refund.requested").filter(by_a_person).map(|event| event.time);
    let begins = [Some(begun), evidence.run.healed_at, taken_back, asked_back, expired];
    begins.into_iter().flatten().max().unwrap_or_default()
}

/// A17: every failpoint and fault of the plan has fired as often as planned.
pub fn fired(evidence: &Evidence) -> Verdict {
    let mut check = Check::new("A17", "every fault of the plan has really fired");
    for fault in &evidence.run.faults {
        let counts = evidence.journal.fired.iter().filter(|fired| fired.name == fault.name);
        let fired = counts.fold(0_u64, |sum, fired| sum.saturating_add(fired.count));
        check.that(fired >= fault.at_least, || {
            format!("{} fired {fired} times, {} were planned", fault.name, fault.at_least)
        });
    }
    check.verdict("no fault was planned")
}
