//! Loading: reads the history of an order, folds it, and remembers its version. Also reads the events of tokens and
//! idempotency keys.

use crate::connect::Ledger;
use crate::error::LedgerError;
use crate::subjects::{
    failed_subject, key_subject, order_filter, order_repeats, order_singles, record_filter, registrations_filter,
    request_subject, token_subject,
};
use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use domain::{
    Event, IdempotencyKey, KeyEvent, Order, OrderEvent, PaymentId, RecordStage, Recorded, TokenEvent, TokenTerms,
    Undecodable, order, record,
};
use runtime::Cause;
use std::collections::HashMap;

/// A folded order, and the version that an append to it must name.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// State after the events; `None` if there are none.
    pub state: Option<T>,
    /// Sequence of the last event; 0 if there is none.
    pub version: u64,
    /// Trace context of the first event.
    pub trace: Option<String>,
    /// When the first event was stored.
    pub since: DateTime<Utc>,
}

impl<T> Default for Loaded<T> {
    fn default() -> Self {
        Self { state: None, version: 0, trace: None, since: DateTime::UNIX_EPOCH }
    }
}

/// Event numbers of an order that are asked for together.
const NUMBERS_AT_ONCE: usize = 20;

impl Ledger {
    /// Loads one order with its version.
    ///
    /// # Errors
    /// `Corrupt`: its history is impossible. `Transient`: the ledger did not answer.
    pub async fn load_order(&self, id: PaymentId) -> Result<Loaded<Order>, LedgerError> {
        self.load_orders(&[id]).await?.remove(&id).unwrap_or_else(|| Ok(Loaded::default()))
    }

    /// Loads many orders, a few in each request. Each has a result of its own, so an impossible history of one does not
    /// affect the others.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer.
    pub async fn load_orders(
        &self,
        ids: &[PaymentId],
    ) -> Result<HashMap<PaymentId, Result<Loaded<Order>, LedgerError>>, LedgerError> {
        let mut loaded: HashMap<_, _> = ids.iter().map(|id| (*id, Ok(Loaded::default()))).collect();
        for recorded in self.histories(ids).await? {
            let Some(id) = order_of(&recorded) else { continue };
            if let Some(slot) = loaded.get_mut(&id) {
                let before = std::mem::replace(slot, Ok(Loaded::default()));
                *slot = before.and_then(|before| fold_order(before, &recorded));
            }
        }
        Ok(loaded)
    }

    /// The orders as their requests left them. An order whose request is not found or cannot be read is left out.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer.
    pub async fn requested(&self, ids: &[PaymentId]) -> Result<HashMap<PaymentId, Loaded<Order>>, LedgerError> {
        let subjects: Vec<String> = ids.iter().map(|id| request_subject(*id)).collect();
        let requests = self.last_per_subject(&subjects).await?;
        let order = |recorded: &Recorded| Some((order_of(recorded)?, fold_order(Loaded::default(), recorded).ok()?));
        Ok(requests.iter().filter_map(order).collect())
    }

    /// Those of these orders that exist, as their requests left them. `None` for an order that has failed, or whose request
    /// cannot be read.
    ///
    /// # Errors
    /// `Newer`: a newer build wrote one of them. `Transient`: the ledger did not answer.
    pub async fn unfailed(&self, ids: &[PaymentId]) -> Result<HashMap<PaymentId, Option<Order>>, LedgerError> {
        let subjects: Vec<String> = ids.iter().flat_map(|id| [request_subject(*id), failed_subject(*id)]).collect();
        let mut orders = HashMap::new();
        // The request of an order stands before its failure.
        for recorded in self.last_per_subject(&subjects).await? {
            let Some(id) = order_of(&recorded) else { continue };
            let order = match &recorded.event {
                Ok(Event::Order(_, OrderEvent::PaymentRequested(request))) => {
                    Some(Order::requested((**request).clone()))
                }
                Err(why) if why.newer().is_some() => return Err(corrupt(&recorded, why.clone())),
                Ok(_) | Err(_) => None,
            };
            orders.insert(id, order);
        }
        Ok(orders)
    }

    /// The states of these records without an order. One without events is left out. Nothing can be written behind an event
    /// that cannot be read, so such a record counts as ended.
    ///
    /// # Errors
    /// `Newer`: a newer build wrote one of the events. `Transient`: the ledger did not answer.
    pub async fn found_records(&self, ids: &[PaymentId]) -> Result<HashMap<PaymentId, RecordStage>, LedgerError> {
        let filters: Vec<String> = ids.iter().copied().map(record_filter).collect();
        let mut stages = HashMap::new();
        for recorded in self.last_per_subject(&filters).await? {
            let Some(id) = order_of(&recorded) else { continue };
            let stage = match &recorded.event {
                Ok(Event::Record(_, event)) => record::evolve(stages.get(&id).copied(), event).ok(),
                Err(why) if why.newer().is_some() => return Err(corrupt(&recorded, why.clone())),
                Ok(_) | Err(_) => None,
            };
            if stage.is_none() {
                tracing::error!(
                    subject = recorded.subject,
                    "a record without an order is left alone: its history is impossible"
                );
            }
            stages.insert(id, stage.unwrap_or(RecordStage::Returned));
        }
        Ok(stages)
    }

    /// Every event of one order, in order of sequence, as the page of a payer shows it.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer.
    pub async fn order_history(&self, id: PaymentId) -> Result<Vec<Recorded>, LedgerError> {
        self.histories(&[id]).await
    }

    /// Every event of these orders, in order of sequence.
    async fn histories(&self, ids: &[PaymentId]) -> Result<Vec<Recorded>, LedgerError> {
        let filters: Vec<String> = ids.iter().map(|id| order_filter(*id)).collect();
        let (mut found, too_many) = self.found(0, &filters).await?;
        for id in ids.iter().filter(|id| too_many.contains(&order_filter(**id))) {
            found.extend(self.long_history(*id).await?);
        }
        found.sort_by_key(|recorded| recorded.seq);
        Ok(found)
    }

    /// Every event of an order that has more events than the server returns for one request, because it was tried again
    /// and again. Repeated events carry numbers, counted from 1 without a gap.
    ///
    /// It takes many requests. What is stored meanwhile is left out, because a later request could find an event whose
    /// predecessor an earlier one has missed.
    async fn long_history(&self, id: PaymentId) -> Result<Vec<Recorded>, LedgerError> {
        let last = self.last_match(&order_filter(id)).await?.map_or(0, |last| last.seq);
        let mut found = self.last_per_subject(&order_singles(id)).await?;
        for first in (1..).step_by(NUMBERS_AT_ONCE) {
            let numbers = (first..).take(NUMBERS_AT_ONCE);
            let subjects: Vec<String> = numbers.flat_map(|n| order_repeats(id, n)).collect();
            let some = self.last_per_subject(&subjects).await?;
            if some.is_empty() {
                break;
            }
            found.extend(some);
        }
        found.retain(|recorded| recorded.seq <= last);
        Ok(found)
    }

    /// Every registration of a token, in order of sequence. Finds them by their subjects, some shards at a time. A
    /// shard may have 1,024 tokens.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer.
    pub async fn registrations(&self) -> Result<Vec<Recorded>, LedgerError> {
        let shards: Vec<String> = (0..=u8::MAX).map(registrations_filter).collect();
        self.last_per_subject(&shards).await
    }

    /// Loads one order with its version, and for each of `keys` the order that it names, in one round trip.
    ///
    /// # Errors
    /// `Corrupt`: an event cannot be read. `Transient`: the ledger did not answer.
    pub async fn order_and_keys(
        &self,
        id: PaymentId,
        keys: &[IdempotencyKey],
    ) -> Result<(Loaded<Order>, Vec<Option<PaymentId>>), LedgerError> {
        let subjects: Vec<String> = keys.iter().map(|key| key_subject(*key)).collect();
        let filters: Vec<String> = subjects.iter().cloned().chain([order_filter(id)]).collect();
        let (mut order, mut named) = (Loaded::default(), vec![None; keys.len()]);
        for recorded in self.last_per_subject(&filters).await? {
            match subjects.iter().position(|subject| *subject == recorded.subject) {
                None => order = fold_order(order, &recorded)?,
                Some(index) => named[index] = Some(named_by(&recorded)?),
            }
        }
        Ok((order, named))
    }

    /// The terms of a token. Returns `None` if the token is not registered.
    ///
    /// # Errors
    /// `Corrupt`: the event cannot be read. `Transient`: the ledger did not answer.
    pub async fn token(&self, token: Address) -> Result<Option<TokenTerms>, LedgerError> {
        match self.last(&token_subject(token)).await? {
            None => Ok(None),
            Some(recorded) => match recorded.event {
                Ok(Event::Token(_, TokenEvent::Registered(terms))) => Ok(Some(*terms)),
                _ => Err(corrupt(&recorded, "not a token event")),
            },
        }
    }
}

/// The order that a key names, from the event of the key.
fn named_by(recorded: &Recorded) -> Result<PaymentId, LedgerError> {
    match &recorded.event {
        Ok(Event::Key(_, KeyEvent::Bound(bound))) => Ok(bound.payment_id),
        _ => Err(corrupt(recorded, "not the event of a key")),
    }
}

/// The order that a subject belongs to, whether or not the event can be read.
fn order_of(recorded: &Recorded) -> Option<PaymentId> {
    recorded.subject.split('.').nth(2)?.parse().ok()
}

fn fold_order(mut loaded: Loaded<Order>, recorded: &Recorded) -> Result<Loaded<Order>, LedgerError> {
    let event = match &recorded.event {
        Ok(Event::Order(_, event)) => event,
        Ok(_) => return Err(corrupt(recorded, "not an order event")),
        Err(why) => return Err(corrupt(recorded, why.clone())),
    };
    if loaded.version == 0 {
        loaded.since = recorded.recorded_at;
        loaded.trace.clone_from(&recorded.trace);
    }
    loaded.state = order::evolve(loaded.state, event).map_err(|e| corrupt(recorded, e))?;
    loaded.version = recorded.seq;
    Ok(loaded)
}

/// The error for an event that nothing can be built on, because of `why`. If a newer build wrote the event, the error
/// says that instead.
pub(crate) fn corrupt(recorded: &Recorded, why: impl Into<Cause>) -> LedgerError {
    let what = format!("{} at sequence {}", recorded.subject, recorded.seq);
    match recorded.event.as_ref().err().and_then(Undecodable::newer) {
        Some(kind) => LedgerError::Newer { what, kind: kind.to_owned() },
        None => LedgerError::Corrupt { what, source: why.into() },
    }
}
