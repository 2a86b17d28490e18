//! What every process needs around its work: configuration from the environment, logs, health, an orderly end.
//!
//! Knows no payment, no event, no chain.

mod config;
mod failpoint;
mod health;
mod stop;
mod telemetry;
mod undone;

pub use config::{ConfigError, Env};
pub use failpoint::failpoint;
pub use health::{Health, serve_health};
pub use stop::{Fatal, STOP_TIMEOUT, join, stop_on_signal, unfailing};
pub use telemetry::telemetry;
pub use tokio_util::sync::CancellationToken;
pub use undone::{Cause, Causes, Undone, causes};
