//! Integration tests of this crate in one executable: a module per subject.
#![allow(clippy::float_arithmetic, clippy::unwrap_used, missing_docs)]

mod admission;
mod bad_payments;
mod budgets;
mod common;
#[cfg(feature = "failpoints")]
mod crash;
mod docs;
mod edge;
mod events;
mod hygiene;
mod idempotency;
mod intake;
mod limits;
mod offer;
mod pace;
mod process;
mod queue;
mod refunds;
mod status;
mod streams;
mod units;
