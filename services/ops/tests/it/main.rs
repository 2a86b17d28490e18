//! Integration tests of this crate in one executable: a module per subject.
#![allow(clippy::unwrap_used, missing_docs)]

mod parked;
mod refill;
mod refund;
