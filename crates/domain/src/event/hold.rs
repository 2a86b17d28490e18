//! A message of an order that was set aside, as the order tells it.

use super::table::EventData;
use serde::{Deserialize, Serialize};

/// A message of an order that a service has given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderHold {
    /// The durable consumer that gave up.
    pub consumer: String,
    /// Sequence of the message in the ledger. A message about a transaction holds several orders.
    pub sequence: u64,
    /// The reason, at most 200 characters.
    pub detail: String,
}

impl EventData for OrderHold {
    fn reason(&self) -> Option<String> {
        Some("held".to_owned())
    }

    fn detail(&self) -> Option<&str> {
        Some(&self.detail)
    }
}
