//! The bookmark of the search for records without an order: how far the chain was searched, for which tokens.
//!
//! One message beside the leases, where it may be lost at any time. Without it the search begins at the tokens' creation.

use crate::client::REQUEST_TIMEOUT;
use crate::connect::Ledger;
use crate::error::LedgerError;
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
