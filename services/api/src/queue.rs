//! The queue as the earlier system's frontends know it: `/queue/status`, `/queue/payer/{address}`, `/queue/item/{id}`,
//! and its statistics, `/api/queue/stats` and `/api/payment/stats`.
//!
//! Names and status words of the `/queue/*` answers are those of the earlier system. Fields that Paymint adds stand
//! beside them in the same snake_case. Lists and counts come from the read models and may lag by moments. A single item
//! is also looked up in the ledger.

pub(crate) mod items;
mod place;
pub(crate) mod snapshot;
pub(crate) mod stats;
