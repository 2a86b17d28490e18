//! confirmer: decides the outcome of every signed transaction, once it is N blocks deep. See the library beside it.

use confirmer::{Config, run};
use runtime::{Env, Fatal};

#[tokio::main]
async fn main() -> Result<(), Fatal> {
    runtime::telemetry();
    let config = Config::from_env(&Env::process())?;
    let stop = runtime::stop_on_signal()?;
    run(config, stop).await
}
