//! api: takes x402 payments over HTTP, writes them to the ledger, and shows their progress.

use api::Config;
use mimalloc::MiMalloc;
use runtime::{Env, Fatal};

/// The allocator. A request makes a few hundred small allocations. With glibc's allocator they take a third of its
/// time, and glibc does not give memory back.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Fatal> {
    runtime::telemetry();
    let config = Config::from_env(&Env::process())?;
    let stop = runtime::stop_on_signal()?;
    api::run(config, stop).await
}
