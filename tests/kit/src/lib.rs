//! testkit: what the integration tests of several crates share. Servers of their own, a payer's signature, and waiting.
//! A test that cannot have its servers fails at once, so everything here panics instead of returning an error.
#![allow(clippy::unwrap_used, missing_docs)]

mod broker;
mod cluster;
mod database;
mod sign;
mod watch;

pub use broker::Broker;
pub use cluster::Cluster;
pub use database::Database;
pub use sign::{address_of, sign_digest};
pub use watch::{PATIENCE, eventually, until};
