//! operator: moves money outside the ordinary way. See the library beside it.

use operator::{Config, run};
use runtime::{Env, Fatal};

#[tokio::main]
async fn main() -> Result<(), Fatal> {
    runtime::telemetry();
    let config = Config::from_env(&Env::process())?;
    let stop = runtime::stop_on_signal()?;
    run(config, stop).await
}
