//! api: takes x402 payments over HTTP, writes them to the ledger, and shows how they fare.

use api::Config;
use runtime::{Env, Fatal};

#[tokio::main]
async fn main() -> Result<(), Fatal> {
    runtime::telemetry();
    let config = Config::from_env(&Env::process())?;
    let stop = runtime::stop_on_signal()?;
    api::run(config, stop).await
}
