//! Services that every process needs: configuration from the environment, logs, health, orderly shutdown.
//!
//! It knows no payment, event or chain.

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
