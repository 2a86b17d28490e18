//! Services that every process needs: configuration from the environment, settings, logs, metrics, health, orderly
//! shutdown.

mod backoff;
mod budget;
mod env;
pub mod failpoint;
mod health;
mod metrics;
mod settings;
mod stop;
mod telemetry;
mod undone;
mod variable;

pub use backoff::Backoff;
pub use budget::DailyBudgets;
pub use env::{ConfigError, Env};
pub use failpoint::{set_test_setting, test_setting};
pub use health::{Health, OldestWork, serve_health};
pub use metrics::{APPENDS, Counter, MESSAGES, REFUSALS, TURNS, metrics_text, turn};
pub use settings::{Settings, SharedSettings, VALIDITY_MAX_S};
pub use stop::{Fatal, STOP_TIMEOUT, join, stop_on_signal, unfailing};
pub use telemetry::telemetry;
pub use tokio_util::sync::CancellationToken;
pub use undone::{Cause, Causes, Undone, causes};
pub use variable::{Form, Unset, Variable, env_example, env_table};
