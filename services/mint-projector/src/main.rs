//! mint-projector: turns confirmed payments into batched mints. See the library beside it.

use mint_projector::{Config, run};
use runtime::{Env, Fatal};

#[tokio::main]
async fn main() -> Result<(), Fatal> {
    runtime::telemetry();
    let config = Config::from_env(&Env::process())?;
    let stop = runtime::stop_on_signal()?;
    run(config, stop).await
}
