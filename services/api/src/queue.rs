//! The queue as the earlier system's frontends know it: `/queue/status`, `/queue/payer/{address}`, `/queue/item/{id}`,
//! and its statistics, `/api/queue/stats` and `/api/payment/stats`.
//!
//! Names and status words of the `/queue/*` answers are the earlier system's; what we add stands beside them in the same
//! snake_case. A list and a count come from the read models and may lag by moments; one item is looked for in the
//! ledger as well.

pub(crate) mod items;
mod place;
pub(crate) mod snapshot;
pub(crate) mod stats;
