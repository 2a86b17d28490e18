//! payment-sender: settles accepted payments on chain. See the library beside it.

use payment_sender::{Config, run};
use runtime::{Env, Fatal};

#[tokio::main]
async fn main() -> Result<(), Fatal> {
    runtime::telemetry();
    let config = Config::from_env(&Env::process())?;
    let stop = runtime::stop_on_signal()?;
    run(config, stop).await
}
