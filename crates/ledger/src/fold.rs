//! Loading: read the history of an order or a lane, fold it, remember its version.

use crate::connect::Ledger;
use crate::envelope::{Recorded, Undecodable};
use crate::error::LedgerError;
use crate::subjects::{
    CLAIMS, REGISTRATIONS, after_settled_filters, claims_filter, key_subject, lost_subject, order_filter,
    replaced_filter, settled_subject, signatures_filter, signed_subject, signer_filter, token_subject,
};
use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use domain::event::{Claimed, OpenTx};
use domain::{
    Event, IdempotencyKey, KeyEvent, Lane, Order, PaymentId, SignerEvent, TokenEvent, TokenTerms, lane, order,
};
use runtime::Cause;
use std::collections::HashMap;

/// A folded aggregate and the version that an append must name.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// What the events say; none where there are none.
    pub state: Option<T>,
    /// Last sequence of the aggregate; 0 where there are none.
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

/// What the ledger says of a nonce, beside its first signature.
#[derive(Clone, Debug)]
pub enum Nonce {
    /// Under way, with what replaced the first transaction, in order.
    Open(Vec<OpenTx>),
    /// Settled or lost. Either is appended together with the outcome of every item, so there is nothing left to decide.
    Ended,
}

impl Ledger {
    /// One order with its version.
    ///
    /// # Errors
    /// `Corrupt` when its past is impossible; `Transient` without an answer.
    pub async fn load_order(&self, id: PaymentId) -> Result<Loaded<Order>, LedgerError> {
        self.load_orders(&[id]).await?.remove(&id).unwrap_or_else(|| Ok(Loaded::default()))
    }

    /// Many orders in one round trip. Each is judged alone: one impossible past does not stop the others.
    ///
    /// # Errors
    /// `Transient` without an answer.
    pub async fn load_orders(
        &self,
        ids: &[PaymentId],
    ) -> Result<HashMap<PaymentId, Result<Loaded<Order>, LedgerError>>, LedgerError> {
        let filters: Vec<String> = ids.iter().map(|id| order_filter(*id)).collect();
        let mut loaded: HashMap<_, _> = ids.iter().map(|id| (*id, Ok(Loaded::default()))).collect();
        for recorded in self.last_per_subject(&filters).await? {
            let Some(id) = order_of(&recorded) else { continue };
            if let Some(slot) = loaded.get_mut(&id) {
                let before = std::mem::replace(slot, Ok(Loaded::default()));
                *slot = before.and_then(|before| fold_order(before, &recorded));
            }
        }
        Ok(loaded)
    }

    /// Every event of one order, by sequence: what a payer's page shows.
    ///
    /// # Errors
    /// `Transient` without an answer.
    pub async fn order_history(&self, id: PaymentId) -> Result<Vec<Recorded>, LedgerError> {
        self.last_per_subject(&[order_filter(id)]).await
    }

    /// A lane from its latest claim on.
    ///
    /// # Errors
    /// `Corrupt` when somebody else wrote to it; `Transient` without an answer.
    pub async fn load_lane(&self, signer: Address) -> Result<Loaded<Lane>, LedgerError> {
        let Some(recorded) = self.last(&claims_filter(signer)).await? else { return Ok(Loaded::default()) };
        let Ok(Event::Signer(_, SignerEvent::Claimed(claim))) = &recorded.event else {
            return Err(corrupt(&recorded, "not a claim"));
        };
        // What was replaced since the claim is read below.
        let open = self.attempts(signer, &claim.open, recorded.seq).await?;
        let state = Some(lane::resume(claim, open));
        let lane = Loaded { state, version: recorded.seq, trace: None, since: recorded.recorded_at };
        self.refresh_lane(signer, lane).await
    }

    /// Whether the account is a lane: somebody has claimed it.
    ///
    /// # Errors
    /// `Transient` without an answer.
    pub async fn is_lane(&self, account: Address) -> Result<bool, LedgerError> {
        Ok(self.last(&claims_filter(account)).await?.is_some())
    }

    /// The lane with what has been written since it was folded.
    ///
    /// # Errors
    /// As [`Ledger::load_lane`].
    pub async fn refresh_lane(&self, signer: Address, mut lane: Loaded<Lane>) -> Result<Loaded<Lane>, LedgerError> {
        let from = lane.version + 1;
        for recorded in self.range(&signer_filter(signer), from).await? {
            let Ok(Event::Signer(_, event)) = &recorded.event else {
                return Err(corrupt(&recorded, "not a signer event"));
            };
            lane.state = lane::evolve(lane.state, event).map_err(|e| corrupt(&recorded, e))?;
            lane.version = recorded.seq;
        }
        if let Some(state) = lane.state.as_mut().filter(|state| !state.reopened.is_empty()) {
            let nonces: Vec<u64> = state.reopened.iter().copied().collect();
            lane::reopen(state, self.attempts(signer, &nonces, lane.version).await?);
        }
        Ok(lane)
    }

    /// The transactions that were signed for these nonces of a lane, as far as there are any.
    ///
    /// # Errors
    /// `Corrupt` when one cannot be read; `Transient` without an answer.
    pub async fn signed(&self, signer: Address, nonces: &[u64]) -> Result<Vec<OpenTx>, LedgerError> {
        let subjects: Vec<String> = nonces.iter().map(|nonce| signed_subject(signer, *nonce)).collect();
        let stored = if subjects.is_empty() { vec![] } else { self.last_per_subject(&subjects).await? };
        stored
            .iter()
            .map(|recorded| match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Signed(tx))) => Ok(tx.clone()),
                _ => Err(corrupt(recorded, "not a signed transaction")),
            })
            .collect()
    }

    /// Every transaction that was signed for these nonces of a lane up to sequence `until`: for each nonce the first, and
    /// what replaced it, in order.
    ///
    /// # Errors
    /// As [`Ledger::signed`].
    pub async fn attempts(&self, signer: Address, nonces: &[u64], until: u64) -> Result<Vec<OpenTx>, LedgerError> {
        let of = |nonce: &u64| [signed_subject(signer, *nonce), replaced_filter(signer, *nonce)];
        let subjects: Vec<String> = nonces.iter().flat_map(of).collect();
        let stored = if subjects.is_empty() { vec![] } else { self.last_per_subject(&subjects).await? };
        stored
            .iter()
            .filter(|recorded| recorded.seq <= until)
            .map(|recorded| match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Signed(tx) | SignerEvent::Replaced(_, tx))) => Ok(tx.clone()),
                _ => Err(corrupt(recorded, "not a signed transaction")),
            })
            .collect()
    }

    /// Claims of all lanes from sequence `from` on, each with its own sequence.
    ///
    /// # Errors
    /// `Transient` without an answer.
    pub async fn claims_from(&self, from: u64) -> Result<Vec<(Address, Claimed, u64)>, LedgerError> {
        let claims = self.range(CLAIMS, from).await?;
        Ok(claims
            .into_iter()
            .filter_map(|recorded| match recorded.event {
                Ok(Event::Signer(signer, SignerEvent::Claimed(claim))) => Some((signer, claim, recorded.seq)),
                // Whose lane that is refuses it: nobody can sign there.
                _ => None,
            })
            .collect())
    }

    /// The latest nonce that a lane has signed for.
    ///
    /// # Errors
    /// `Corrupt` when the event cannot be read; `Transient` without an answer.
    pub async fn last_signed(&self, signer: Address) -> Result<Option<u64>, LedgerError> {
        match self.last(&signatures_filter(signer)).await? {
            None => Ok(None),
            Some(recorded) => match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Signed(tx))) => Ok(Some(tx.nonce)),
                _ => Err(corrupt(&recorded, "not a signed transaction")),
            },
        }
    }

    /// What became of a nonce: settled or lost, and since then perhaps reverted and resettled, time and again. By sequence; the
    /// last one is what holds.
    ///
    /// # Errors
    /// `Corrupt` when one cannot be read; `Transient` without an answer.
    pub async fn ends_of(&self, signer: Address, nonce: u64) -> Result<Vec<SignerEvent>, LedgerError> {
        let mut filters = vec![settled_subject(signer, nonce), lost_subject(signer, nonce)];
        filters.extend(after_settled_filters(signer, nonce));
        let stored = self.last_per_subject(&filters).await?;
        stored
            .into_iter()
            .map(|recorded| match recorded.event {
                Ok(Event::Signer(_, event)) => Ok(event),
                _ => Err(corrupt(&recorded, "not the end of a nonce")),
            })
            .collect()
    }

    /// What became of the signature for a nonce.
    ///
    /// # Errors
    /// `Corrupt` when an event cannot be read; `Transient` without an answer.
    pub async fn nonce(&self, signer: Address, nonce: u64) -> Result<Nonce, LedgerError> {
        let (settled, lost) = (settled_subject(signer, nonce), lost_subject(signer, nonce));
        let mut replacements = Vec::new();
        for recorded in self.last_per_subject(&[settled, lost, replaced_filter(signer, nonce)]).await? {
            match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Settled(_) | SignerEvent::Lost(_))) => return Ok(Nonce::Ended),
                Ok(Event::Signer(_, SignerEvent::Replaced(_, tx))) => replacements.push(tx.clone()),
                _ => return Err(corrupt(&recorded, "not an event of a nonce")),
            }
        }
        Ok(Nonce::Open(replacements))
    }

    /// Every registration of a token, by sequence.
    ///
    /// # Errors
    /// `Transient` without an answer.
    pub async fn registrations(&self) -> Result<Vec<Recorded>, LedgerError> {
        self.range(REGISTRATIONS, 1).await
    }

    /// One order with its version, and for each of `keys` the order that it names, in one round trip.
    ///
    /// # Errors
    /// `Corrupt` when an event cannot be read; `Transient` without an answer.
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

    /// A token's terms, once it is registered.
    ///
    /// # Errors
    /// `Corrupt` when the event cannot be read; `Transient` without an answer.
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

/// The order that a subject belongs to, readable or not.
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

/// What stands at `recorded` cannot be built on, because of `why`; or a newer build wrote it.
fn corrupt(recorded: &Recorded, why: impl Into<Cause>) -> LedgerError {
    let what = format!("{} at sequence {}", recorded.subject, recorded.seq);
    match recorded.event.as_ref().err().and_then(Undecodable::newer) {
        Some(kind) => LedgerError::Newer { what, kind: kind.to_owned() },
        None => LedgerError::Corrupt { what, source: why.into() },
    }
}
