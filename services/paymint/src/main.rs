//! paymint: runs one service, or with the feature `dev` a whole installation. See the library beside it.

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use paymint::Service;
use runtime::{Env, Fatal};

/// The allocator of the api: with glibc's, a third of the time of a request goes into allocations.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(name = "paymint", version, about = "Pay USDC over x402, get tokens minted")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    #[command(flatten)]
    Service(Service),
    /// Starts everything on free ports, buys ten units of a token and of one that is sold out, prints the timelines, and
    /// stops.
    #[cfg(feature = "dev")]
    Demo,
    /// Starts everything and stays up; data are kept.
    #[cfg(feature = "dev")]
    Run(paymint::Run),
    /// Prepares servers that run already: tables, ledger, and on a development chain the contracts and a demo token.
    /// Running it again changes nothing. It reads NATS_URL, NATS_MONITOR_URL, DATABASE_URL and RPC_URL.
    #[cfg(feature = "dev")]
    Setup,
}

#[tokio::main]
async fn main() -> Result<(), Fatal> {
    let arguments = Arguments::parse();
    runtime::telemetry();
    let stop = runtime::stop_on_signal()?;
    match arguments.verb {
        Verb::Service(service) => service.run(&Env::process(), stop).await,
        #[cfg(feature = "dev")]
        Verb::Demo => paymint::demo(stop).await,
        #[cfg(feature = "dev")]
        Verb::Run(options) => paymint::run(options, stop).await,
        #[cfg(feature = "dev")]
        Verb::Setup => paymint::setup(&Env::process()).await,
    }
}
