//! Integration tests of this crate in one executable: a module per subject.
#![allow(clippy::float_arithmetic, clippy::unwrap_used, missing_docs)]

mod common;
mod exactly_once;
mod possible;
mod queue;
mod read_models;
mod records;
mod refunds;
