//! Terms of tokens. They never change, so each is read once.

use chain::Address;
use domain::TokenTerms;
use ledger::{Ledger, LedgerError, read_or_impossible};
use runtime::causes;
use std::collections::HashMap;

/// Terms by token, each read once.
#[derive(Clone, Debug, Default)]
pub struct TermsCache(HashMap<Address, TokenTerms>);

impl TermsCache {
    /// The token's terms. Returns `None` if the token is not registered, or if its registration cannot be read. That
    /// stops sales of this token and nothing else.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer. `Newer`: a newer build registered the token.
    pub async fn of(&mut self, ledger: &Ledger, token: Address) -> Result<Option<TokenTerms>, LedgerError> {
        if let Some(terms) = self.0.get(&token) {
            return Ok(Some(terms.clone()));
        }
        let terms = read_or_impossible(ledger.token(token).await)?.unwrap_or_else(|impossible| {
            tracing::error!(%token, error = %causes(&impossible), "the token's registration is unreadable");
            None
        });
        if let Some(terms) = &terms {
            self.0.insert(token, terms.clone());
        }
        Ok(terms)
    }
}
