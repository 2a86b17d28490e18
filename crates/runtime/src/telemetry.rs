//! Logs go to standard error, filtered by `RUST_LOG`, as text or, with `LOG_FORMAT=json`, as one JSON object a line.

use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::prelude::*;

/// Starts logs and counters for this process. Only the first call has an effect.
pub fn telemetry() {
    crate::metrics::install();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn"));
    // The NATS client prints whole messages at TRACE, signatures among them. They are dropped, whatever `RUST_LOG` says.
    let discreet =
        filter_fn(|line| !(line.target().starts_with("async_nats") && *line.level() == tracing::Level::TRACE));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let json = std::env::var("LOG_FORMAT").is_ok_and(|format| format == "json");
    let layer = if json { layer.json().boxed() } else { layer.compact().boxed() };
    let _ = tracing_subscriber::registry().with(filter).with(discreet).with(layer).try_init();
}
