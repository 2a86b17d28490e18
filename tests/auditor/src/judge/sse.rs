//! Events that clients of event streams saw (A14).

use crate::books::Books;
use crate::decode::event::{Aggregate, Event};
use crate::evidence::Evidence;
use crate::evidence::journal::{Filter, Observation, Seen};
use crate::evidence::tables::Row;
use crate::legal::State;
use crate::verdict::{Check, Verdict};
use alloy_primitives::Address;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Rows of payments by id.
type Rows<'a> = BTreeMap<&'a str, &'a Row>;

/// Events of orders by what a client may listen to, each by sequence.
#[derive(Default)]
struct Topics<'a> {
    payments: BTreeMap<Uuid, Vec<&'a Event>>,
    payers: BTreeMap<Address, Vec<&'a Event>>,
    tokens: BTreeMap<Address, Vec<&'a Event>>,
    everything: Vec<&'a Event>,
}

impl<'a> Topics<'a> {
    fn of_all(books: &'a Books) -> Self {
        let mut topics = Self::default();
        for event in &books.events {
            let Aggregate::Order(id) = &event.of else { continue };
            topics.payments.entry(*id).or_default().push(event);
            topics.everything.push(event);
            if let Some(ordered) = books.orders.get(id).and_then(|order| order.ordered.as_ref()) {
                topics.payers.entry(ordered.from).or_default().push(event);
                topics.tokens.entry(ordered.token).or_default().push(event);
            }
        }
        topics
    }

    fn of(&self, filter: &Filter) -> &[&'a Event] {
        let found = match filter {
            Filter::Payment(id) => self.payments.get(id),
            Filter::Payer(payer) => self.payers.get(payer),
            Filter::Token(token) => self.tokens.get(token),
            Filter::Everything => Some(&self.everything),
        };
        found.map_or(&[], Vec::as_slice)
    }
}

/// A14: no client missed an event that was its own, or saw another one; what it saw last is what the rows show.
pub fn streams(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A14", "event streams had no gap, and the last event is the state");
    let rows = evidence.tables.live.get("payment_rows").into_iter().flatten();
    let rows: Rows<'_> = rows.filter_map(|row| Some((text(row.get("id"))?, row))).collect();
    let topics = Topics::of_all(books);
    let mut clients: BTreeMap<&str, Vec<&Observation>> = BTreeMap::new();
    for seen in &evidence.journal.observations {
        clients.entry(&seen.client).or_default().push(seen);
    }
    for (client, mut connections) in clients {
        connections.sort_by_key(|seen| seen.connection);
        let fault = fault(&rows, &books.states, &topics, &connections);
        check.that(fault.is_none(), || format!("{client}: {}", fault.unwrap_or_default()));
    }
    check.verdict("no client of event streams was journalled")
}

fn fault(
    rows: &Rows<'_>,
    states: &BTreeMap<u64, State>,
    topics: &Topics<'_>,
    connections: &[&Observation],
) -> Option<String> {
    let first = connections.first()?;
    if connections.iter().any(|seen| seen.filter != first.filter) {
        return Some("one client, two filters".to_owned());
    }
    let mut by_seq: BTreeMap<u64, &Seen> = BTreeMap::new();
    for connection in connections {
        let mut before = connection.last_event_id.unwrap_or_default();
        for seen in &connection.events {
            if seen.event == "reset" {
                return Some(format!("was told to load anew at {}", seen.id));
            }
            if seen.id <= before {
                return Some(format!("{} came after {before}", seen.id));
            }
            before = seen.id;
            if by_seq.insert(seen.id, seen).is_some_and(|other| other != seen) {
                return Some(format!("{} came twice, and differed", seen.id));
            }
        }
    }
    let own = topics.of(&first.filter);
    let from = match &first.filter {
        // Of one payment a stream holds every event from the first on.
        Filter::Payment(_) => first.last_event_id.map_or(1, |last| last.saturating_add(1)),
        _ => first.last_event_id.map(|last| last.saturating_add(1)).or(by_seq.keys().next().copied())?,
    };
    let stayed = connections.last().is_some_and(|last| last.until_quiet);
    let to = if stayed { u64::MAX } else { by_seq.keys().next_back().copied()? };
    for event in own.iter().filter(|event| (from..=to).contains(&event.seq)) {
        match by_seq.get(&event.seq) {
            None => return Some(format!("missed {} ({})", event.seq, event.subject)),
            Some(seen) if seen.event != event.kind.name => {
                return Some(format!("saw {} as {}, it is {}", event.seq, seen.event, event.kind.name));
            }
            Some(_) => {}
        }
    }
    let for_it: BTreeSet<u64> = own.iter().map(|event| event.seq).collect();
    if let Some(strange) = by_seq.keys().find(|seq| !for_it.contains(seq)) {
        return Some(format!("saw {strange}, which is not for it"));
    }
    if stayed { last(rows, states, own, &by_seq) } else { None }
}

/// A client that stayed to the end has seen the state that each row shows.
fn last(rows: &Rows<'_>, states: &BTreeMap<u64, State>, own: &[&Event], seen: &BTreeMap<u64, &Seen>) -> Option<String> {
    let ends: BTreeMap<&Aggregate, &&Event> =
        own.iter().filter(|event| seen.contains_key(&event.seq)).map(|event| (&event.of, event)).collect();
    ends.into_iter().find_map(|(of, event)| {
        let Aggregate::Order(id) = of else { return None };
        let Some(shown) = rows.get(id.to_string().as_str()) else { return Some(format!("{id} has no row")) };
        let same_seq = text(shown.get("last_seq")) == Some(event.seq.to_string().as_str());
        let same_stage = text(shown.get("stage")) == states.get(&event.seq).map(|state| state.stage());
        (!same_seq || !same_stage).then(|| {
            format!(
                "saw {} last of {id}, the row shows {:?} at {:?}",
                event.seq,
                shown.get("stage"),
                shown.get("last_seq")
            )
        })
    })
}

fn text(value: Option<&Option<String>>) -> Option<&str> {
    value?.as_deref()
}
