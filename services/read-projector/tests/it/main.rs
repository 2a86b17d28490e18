//! Integration tests of this crate in one executable: a module per subject.
#![allow(clippy::unwrap_used, missing_docs)]

mod asyncapi;
#[cfg(feature = "failpoints")]
mod kill;
mod projector;
mod schemas;
