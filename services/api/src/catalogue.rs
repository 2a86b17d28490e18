//! What is sold: the tokens of the ledger, in memory, kept up to date by the follower.
//!
//! A token that is not in memory is looked for in the ledger itself: memory may lag, a 404 may not lie.

use crate::error::Problem;
use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use domain::{Event, TokenEvent, TokenTerms};
use ledger::{Ledger, LedgerError, Recorded};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;

/// Looks into the ledger at once: unknown tokens cost us a round trip and the asker nothing.
const LOOKUPS: usize = 16;

/// A token that is sold.
#[derive(Clone, Debug)]
pub(crate) struct Sold {
    pub(crate) terms: TokenTerms,
    /// Sequence of the registration: the order of the list.
    pub(crate) seq: u64,
    pub(crate) since: DateTime<Utc>,
}

pub(crate) struct Catalogue {
    ledger: Ledger,
    chain_id: u64,
    asset: Address,
    tokens: RwLock<HashMap<Address, Arc<Sold>>>,
    caught_up: AtomicBool,
    lookups: Semaphore,
}

impl Catalogue {
    /// Empty; the follower fills it. Only tokens that are paid for with `asset` on `chain_id` are sold.
    pub(crate) fn new(ledger: Ledger, chain_id: u64, asset: Address) -> Self {
        Self {
            ledger,
            chain_id,
            asset,
            tokens: RwLock::default(),
            caught_up: AtomicBool::new(false),
            lookups: Semaphore::new(LOOKUPS),
        }
    }

    /// Whether all tokens that were registered before the start are in memory.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    /// The terms of `token`: from memory, and from the ledger where memory does not have it.
    pub(crate) async fn get(&self, token: Address) -> Result<Arc<Sold>, Problem> {
        if let Some(sold) = self.in_memory(token) {
            return Ok(sold);
        }
        let Ok(_permit) = self.lookups.try_acquire() else {
            return Err(if self.is_caught_up() { Problem::TokenUnknown } else { Problem::StartingUp });
        };
        if !self.ledger.is_connected() {
            return Err(Problem::LedgerAway);
        }
        match self.ledger.token(token).await {
            Ok(Some(terms)) if self.is_sellable(&terms) => Ok(Arc::new(Sold { terms, seq: 0, since: Utc::now() })),
            Ok(_) => Err(Problem::TokenUnknown),
            Err(e) => {
                tracing::warn!(%token, error = %runtime::causes(&e), "the terms of {token} could not be read");
                Err(Problem::LedgerAway)
            }
        }
    }

    /// All tokens, in the order of their registration.
    pub(crate) fn all(&self) -> Vec<Arc<Sold>> {
        let mut all: Vec<_> = self.tokens.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by_key(|sold| sold.seq);
        all
    }

    /// Reads every registration there is.
    ///
    /// # Errors
    /// `Transient` without an answer; what is in memory stays.
    pub(crate) async fn load(&self) -> Result<(), LedgerError> {
        for recorded in self.ledger.registrations().await? {
            self.registered(&recorded);
        }
        if !self.caught_up.swap(true, Ordering::AcqRel) {
            tracing::info!(tokens = self.all().len(), "the catalogue is read");
        }
        Ok(())
    }

    /// One more registration.
    pub(crate) fn registered(&self, recorded: &Recorded) {
        let Recorded { seq, recorded_at, event, .. } = recorded;
        match event {
            Ok(Event::Token(token, TokenEvent::Registered(terms))) if self.is_sellable(terms) => {
                let sold = Arc::new(Sold { terms: (**terms).clone(), seq: *seq, since: *recorded_at });
                self.tokens.write().unwrap_or_else(PoisonError::into_inner).insert(*token, sold);
            }
            Ok(event) => tracing::warn!(seq, ?event, "a token of another chain or asset is not sold here"),
            Err(why) => tracing::warn!(seq, %why, "a registration cannot be read"),
        }
    }

    fn in_memory(&self, token: Address) -> Option<Arc<Sold>> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).get(&token).cloned()
    }

    fn is_sellable(&self, terms: &TokenTerms) -> bool {
        terms.chain_id == self.chain_id && terms.asset == self.asset
    }
}
