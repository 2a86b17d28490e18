//! The base of the system tests: each story has a whole Paymint of real parts, and an independent auditor.
//!
//! A [`Stack`] is nats-server, PostgreSQL and anvil on free ports with every service as a child process of its own, which
//! a story kills, starts again, doubles, or starts with a crash point. A [`Buyer`] is a payer with a key. [`Stack::audit`]
//! hands what is left to the crate `auditor`, which shares no code with the services.
//!
//! Stories wait for a state, never for a time; one bound ends every wait, with a diagnosis.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

mod answers;
mod asking;
mod audit;
mod binaries;
mod buyer;
mod chain;
mod diagnosis;
pub mod journal;
mod lanes;
mod operator;
mod options;
mod order;
mod payers;
mod payment;
mod paymint;
mod ports;
mod process;
mod proxies;
mod schemas;
mod servers;
mod stack;
mod stock;
mod stream;
mod tokens;
mod wire;

pub use answers::{Answer, Frame, Frames};
pub use binaries::binary;
pub use buyer::Buyer;
pub use chain::LocalChain;
pub use lanes::{lane_subject, small_buckets};
pub use neighbours::FINAL;
pub use options::StackOptions;
pub use order::{Order, Outcome};
pub use payment::{Bill, Payment};
pub use paymint::Paymint;
pub use process::{Process, Service};
pub use stack::{Instance, Stack};
pub use stock::{Client, buy_with};
pub use stream::{Entry, Stream};
pub use testkit::{PATIENCE, eventually};
pub use wire::{Loses, Seen, Wire};

/// Atomic USDC in one dollar.
pub const DOLLAR: u64 = 1_000_000;
