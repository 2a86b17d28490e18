//! The tokens that are sold, in memory. The follower keeps them up to date.
//!
//! A token that is not in memory is looked up in the ledger, because memory may lag and the answer must be true.

use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use domain::{Event, Recorded, StoredMessage, TokenEvent, TokenTerms};
use ledger::{Ledger, LedgerError};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;

/// Maximum number of concurrent ledger lookups. An unknown token costs a round trip here, and the client nothing.
const LOOKUPS: usize = 16;

/// A token that is sold.
#[derive(Clone, Debug)]
pub struct Sold {
    /// Its terms.
    pub terms: TokenTerms,
    /// Sequence of its registration, which orders the list.
    pub seq: u64,
    /// Time of its registration.
    pub since: DateTime<Utc>,
}

/// The tokens that are sold.
pub struct Catalogue {
    ledger: Ledger,
    chain_id: u64,
    asset: Address,
    tokens: RwLock<HashMap<Address, Arc<Sold>>>,
    caught_up: AtomicBool,
    lookups: Semaphore,
}

/// Why the terms of a token are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// No token with this address is sold here.
    #[error("no such token is sold here")]
    Unknown,
    /// The registrations have not been read yet.
    #[error("the registrations have not been read yet")]
    StartingUp,
    /// The ledger is unavailable.
    #[error("the ledger is unavailable")]
    LedgerAway,
}

impl Catalogue {
    /// An empty catalogue, which the follower fills. Only tokens that are paid for with `asset` on `chain_id` are sold.
    pub fn new(ledger: Ledger, chain_id: u64, asset: Address) -> Self {
        Self {
            ledger,
            chain_id,
            asset,
            tokens: RwLock::default(),
            caught_up: AtomicBool::new(false),
            lookups: Semaphore::new(LOOKUPS),
        }
    }

    /// Returns true once all tokens that were registered before the start are in memory.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    /// The terms of `token`, from memory or else from the ledger.
    ///
    /// # Errors
    /// [`CatalogueError`]. `Unknown` is final only for the moment: a token may be registered later.
    pub async fn get(&self, token: Address) -> Result<Arc<Sold>, CatalogueError> {
        if let Some(sold) = self.in_memory(token) {
            return Ok(sold);
        }
        let Ok(_permit) = self.lookups.try_acquire() else {
            return Err(if self.is_caught_up() { CatalogueError::Unknown } else { CatalogueError::StartingUp });
        };
        if !self.ledger.is_connected() {
            return Err(CatalogueError::LedgerAway);
        }
        match self.ledger.token(token).await {
            Ok(Some(terms)) if self.is_sellable(&terms) => Ok(Arc::new(Sold { terms, seq: 0, since: Utc::now() })),
            Ok(_) => Err(CatalogueError::Unknown),
            Err(e) => {
                tracing::warn!(%token, error = %runtime::causes(&e), "the terms of {token} could not be read");
                Err(CatalogueError::LedgerAway)
            }
        }
    }

    /// All tokens, in the order of their registration.
    pub fn all(&self) -> Vec<Arc<Sold>> {
        let mut all: Vec<_> = self.tokens.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by_key(|sold| sold.seq);
        all
    }

    /// Reads every registration.
    ///
    /// # Errors
    /// `Transient` without an answer. The tokens in memory stay.
    pub(crate) async fn load(&self) -> Result<(), LedgerError> {
        for recorded in self.ledger.registrations().await? {
            self.registered(&recorded);
        }
        if !self.caught_up.swap(true, Ordering::AcqRel) {
            tracing::info!(tokens = self.all().len(), "the catalogue is read");
        }
        Ok(())
    }

    /// Adds one more registration.
    pub(crate) fn registered(&self, recorded: &Recorded) {
        let StoredMessage { seq, recorded_at, .. } = &recorded.message;
        match &recorded.event {
            Ok(Event::Token(token, TokenEvent::Registered(terms))) if self.is_sellable(terms) => {
                let sold = Arc::new(Sold { terms: (**terms).clone(), seq: *seq, since: *recorded_at });
                self.tokens.write().unwrap_or_else(PoisonError::into_inner).insert(*token, sold);
            }
            Ok(event) => tracing::warn!(seq, ?event, "a token of another chain or asset is not sold here"),
            Err(why) => tracing::warn!(seq, %why, "a registration cannot be read"),
        }
    }

    /// The factory of `token`; `None` if the token is not in memory.
    pub(crate) fn factory(&self, token: Address) -> Option<Address> {
        self.in_memory(token).map(|sold| sold.terms.factory)
    }

    fn in_memory(&self, token: Address) -> Option<Arc<Sold>> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).get(&token).cloned()
    }

    fn is_sellable(&self, terms: &TokenTerms) -> bool {
        terms.chain_id == self.chain_id && terms.asset == self.asset
    }
}
