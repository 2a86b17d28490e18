//! The HTTP edge: connections, pace, rates and permits, before a handler sees a request.
//!
//! Knows no payment, no ledger and no error document. What it refuses is an enum; the service turns that into an answer.

mod client;
mod config;
mod paced;
mod permits;
mod rates;
mod server;
mod strict;
mod token;
mod trace;

pub use client::ClientIp;
pub use config::EdgeConfig;
pub use permits::{NoPermit, Permit, Permits};
pub use rates::{RequestRates, TooFast};
pub use server::{listen, serve};
pub use strict::is_unambiguous;
pub use token::{BadToken, BearerToken};
pub use trace::{TRACEPARENT, traceparent};
