//! Integration tests of this crate in one executable.
#![allow(clippy::unwrap_used, missing_docs)]

mod hold;
