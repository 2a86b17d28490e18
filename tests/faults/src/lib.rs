//! faults: what neighbours do wrong, on purpose. Proxies that stand before real servers and misbehave as told.
//!
//! [`TcpProxy`] is for nats-server and PostgreSQL: it cuts, holds, delays, limits, refuses. [`RpcProxy`] is for a node: it
//! knows JSON-RPC, and lies by method. [`NatsProxy`] loses a single message of nats-server. The first two are switched while they run and count how often a fault really hit (A17).
//! Whatever is left to chance follows from a seed: the n-th request that a rule looks at has the same fate in every run.
//!
//! Refuses to know: events, orders, contracts, and what should follow from a fault. Never part of an installation.
#![allow(clippy::unwrap_used)] // a lock that a panic has poisoned ends the test, as it should

mod nats;
mod rpc;
mod tcp;

pub use nats::NatsProxy;
pub use rpc::{ANY, Fault, Lie, RpcProxy, Rule, RuleId, When};
pub use tcp::{Direction, Faults, Hit, TcpProxy, Wire};
