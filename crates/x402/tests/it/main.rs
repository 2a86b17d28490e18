//! Integration tests of this crate in one executable: a module per subject.
#![allow(clippy::unwrap_used, missing_docs)]

mod bad_inputs;
mod common;
mod never_panics;
mod payment_identifier;
mod same_payment;
mod vectors;
