//! Integration tests of this crate in one executable: a module per subject.
#![allow(clippy::print_stderr, clippy::unwrap_used, missing_docs)]

mod controls;
mod refusals;
