//! The bookmark of the search for records without an order: how far the chain was searched, for which tokens.
//!
//! One message beside the leases, where it may be lost at any time. Without it the search begins at the tokens' creation.

use crate::client::REQUEST_TIMEOUT;
use crate::connect::Ledger;
use crate::error::LedgerError;
use domain::Recorded;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The account of a lane has 40 digits, so no lease has this name.
const SUBJECT: &str = "leases.mint.bookmark";

/// Everything up to here is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bookmark {
    /// Up to this block every record without an order was found and has ended.
    pub block: u64,
    /// The tokens for which this is true: those that were registered up to this sequence.
    pub registered: u64,
}

impl Ledger {
    /// The bookmark. `None` if there is none, or if it belongs to another ledger or cannot be read.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer.
    pub async fn bookmark(&self) -> Result<Option<Bookmark>, LedgerError> {
        let found = self.last_lease(SUBJECT).await?;
        let kept = found.and_then(|(_, text)| serde_json::from_str::<Kept>(&text).ok());
        Ok(kept.filter(|kept| kept.ledger == self.incarnation().to_rfc3339()).map(|kept| kept.bookmark))
    }

    /// Every registration of a token, and the sequence up to which none is missing. They are read part by part, so one that
    /// is stored meanwhile can be missing although a later one is there.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer.
    pub async fn registrations_so_far(&self) -> Result<(Vec<Recorded>, u64), LedgerError> {
        let (_, stored) = self.state().await?;
        let registrations = self.registrations().await?;
        let up_to = complete_up_to(stored, registrations.iter().map(|recorded| recorded.seq));
        Ok((registrations, up_to))
    }

    /// Replaces the bookmark.
    ///
    /// # Errors
    /// `Transient`: it may be replaced or not.
    pub async fn keep_bookmark(&self, bookmark: Bookmark) -> Result<(), LedgerError> {
        let transient = |cause: runtime::Cause| LedgerError::transient("the bookmark", cause);
        let kept = Kept { ledger: self.incarnation().to_rfc3339(), bookmark };
        let text = serde_json::to_string(&kept).map_err(|e| transient(e.into()))?;
        let sent = tokio::time::timeout(REQUEST_TIMEOUT, self.client.request(SUBJECT, text.into())).await;
        let answer = sent.map_err(|e| transient(e.into()))?.map_err(|e| transient(e.into()))?;
        let answer: Value = serde_json::from_slice(&answer.payload).map_err(|e| transient(e.into()))?;
        match answer.get("seq") {
            Some(_) => Ok(()),
            None => Err(transient(answer.to_string().into())),
        }
    }
}

/// The message.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Creation time of the ledger. Sequences of another ledger mean nothing in this one.
    ledger: String,
    bookmark: Bookmark,
}

/// The newest of the registrations `found`, which were read after the ledger had `stored` as its last sequence, or that
/// sequence if it is lower. Other events behind the newest registration change nothing, and so move no bookmark.
fn complete_up_to(stored: u64, found: impl Iterator<Item = u64>) -> u64 {
    found.max().unwrap_or(0).min(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The registration with sequence 8 was stored in a part that was read already, and the one with 9 in a later part.
    #[test]
    fn a_registration_that_was_stored_during_the_read_does_not_count_as_known() {
        assert_eq!(complete_up_to(7, [3, 5, 9].into_iter()), 7);
        assert_eq!(complete_up_to(20, [3, 5, 9].into_iter()), 9);
        assert_eq!(complete_up_to(20, std::iter::empty()), 0);
    }
}
