//! confirmer: decides, N blocks deep, what became of every signed transaction. See the library beside it.

use confirmer::{Config, run};
use runtime::{Env, Fatal};

#[tokio::main]
async fn main() -> Result<(), Fatal> {
    runtime::telemetry();
    let config = Config::from_env(&Env::process())?;
    let stop = runtime::stop_on_signal()?;
    run(config, stop).await
}
