//! read-projector: projects every event of the ledger into PostgreSQL, exactly once.

use read_projector::Config;

#[tokio::main]
async fn main() -> Result<(), runtime::Fatal> {
    runtime::telemetry();
    let config = Config::from_env(&runtime::Env::process())?;
    let stop = runtime::stop_on_signal()?;
    read_projector::run(config, stop).await
}
