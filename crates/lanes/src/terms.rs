//! Terms of tokens, read once: they never change.

use chain::Address;
use domain::TokenTerms;
use ledger::{Ledger, LedgerError};
use std::collections::HashMap;

/// Terms by token.
#[derive(Clone, Debug, Default)]
pub struct Terms(HashMap<Address, TokenTerms>);

impl Terms {
    /// The token's terms; none where it is not registered.
    ///
    /// # Errors
    /// `Transient` without an answer.
    pub async fn of(&mut self, ledger: &Ledger, token: Address) -> Result<Option<TokenTerms>, LedgerError> {
        if !self.0.contains_key(&token)
            && let Some(terms) = ledger.token(token).await?
        {
            self.0.insert(token, terms);
        }
        Ok(self.0.get(&token).cloned())
    }
}
