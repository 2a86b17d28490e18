//! api: takes x402 payments over HTTP, writes them to the ledger, and shows how they fare.

use api::Config;
use mimalloc::MiMalloc;
use runtime::{Env, Fatal};

/// A request is a few hundred small allocations: a third of its time with glibc's, which also keeps what it was given.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Fatal> {
    runtime::telemetry();
    let config = Config::from_env(&Env::process())?;
    let stop = runtime::stop_on_signal()?;
    api::run(config, stop).await
}
