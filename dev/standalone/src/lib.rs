//! standalone: all services in one process, over locally started nats-server, PostgreSQL and anvil.
//!
//! The embedded default: the demo, the small installation, and what the system tests start from. Each service is the
//! same library that its own binary runs.

pub mod accounts;
pub mod demo;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod described;
pub mod endpoints;
pub mod few;
pub mod installation;
pub mod servers;
pub mod services;
pub mod shop;
pub mod users;

pub use installation::{Installation, Options};
pub use servers::{ServerOptions, Servers};
pub use shop::{Places, Shop};
