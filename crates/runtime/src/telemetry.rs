//! Logs: to standard error, by `RUST_LOG`, as text or (`LOG_FORMAT=json`) one JSON object a line.

use tracing_subscriber::EnvFilter;

/// Starts logging for this process. Called twice, the first call stands: tests and the standalone installation do.
pub fn telemetry() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let json = std::env::var("LOG_FORMAT").is_ok_and(|format| format == "json");
    let _ = if json { builder.json().try_init() } else { builder.compact().try_init() };
}
