//! Whole installations on one machine: with servers that this process starts itself, or as a setup of servers that run
//! already.

use runtime::{CancellationToken, Env, Fatal};
use standalone::demo::{client_script, purchase};
use standalone::few::sold_out;
use standalone::servers::Ports;
use standalone::{Installation, Options, Places, ServerOptions, Shop};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Block time of the local chain.
const BLOCK_TIME: Duration = Duration::from_millis(500);

/// Options of an installation that stays up.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// Where everything is kept.
    #[arg(long, env = "PAYMINT_DATA", default_value = ".paymint")]
    data: PathBuf,
    /// Port of the API.
    #[arg(long, env = "PAYMINT_API_PORT", default_value_t = 4021)]
    api_port: u16,
    /// Port of the chain's JSON-RPC.
    #[arg(long, env = "PAYMINT_CHAIN_PORT", default_value_t = 4022)]
    chain_port: u16,
    /// Port of NATS.
    #[arg(long, env = "PAYMINT_NATS_PORT", default_value_t = 4023)]
    nats_port: u16,
    /// Port of the NATS monitor.
    #[arg(long, env = "PAYMINT_NATS_MONITOR_PORT", default_value_t = 4024)]
    nats_monitor_port: u16,
    /// Port of PostgreSQL.
    #[arg(long, env = "PAYMINT_POSTGRES_PORT", default_value_t = 4025)]
    postgres_port: u16,
}

/// Starts an installation on free ports, buys ten units of a token, buys of a token that is sold out, prints the timelines,
/// and stops.
///
/// # Errors
/// The installation does not start, or a purchase ends in another way than it must.
pub async fn demo(stop: CancellationToken) -> Result<(), Fatal> {
    let data = tempfile::tempdir()?;
    let options = Options {
        servers: ServerOptions {
            data_dir: data.path().to_owned(),
            ports: None,
            keep_chain: false,
            durable: true,
            block_time: BLOCK_TIME,
        },
        api_port: 0,
        mint_max_wait: Duration::from_millis(200),
    };
    let installation = Installation::start(&options, stop.clone(), say).await?;
    let purchases = async {
        purchase(&installation).await?;
        sold_out(&installation).await
    };
    let bought = tokio::select! {
        bought = purchases => bought,
        () = stop.cancelled() => Err("stopped before the purchases were done".into()),
    };
    installation.end().await;
    bought
}

/// Starts an installation and keeps it up until `stop`. The data directory is used by one installation at a time.
///
/// # Errors
/// The installation does not start, or one of its parts ends by itself.
pub async fn run(run: Run, stop: CancellationToken) -> Result<(), Fatal> {
    std::fs::create_dir_all(&run.data)
        .map_err(|e| format!("PAYMINT_DATA: {} cannot be made: {e}", run.data.display()))?;
    let _alone = alone(&run.data)?;
    let endpoints_file = run.data.join("endpoints.json");
    let _ = std::fs::remove_file(&endpoints_file);
    let options = Options {
        servers: ServerOptions {
            data_dir: run.data.clone(),
            ports: Some(Ports {
                chain: run.chain_port,
                nats: run.nats_port,
                nats_monitor: run.nats_monitor_port,
                postgres: run.postgres_port,
            }),
            keep_chain: true,
            durable: true,
            block_time: BLOCK_TIME,
        },
        api_port: run.api_port,
        mint_max_wait: Duration::from_secs(2),
    };
    let installation = Installation::start(&options, stop, say).await?;
    let endpoints = installation.endpoints();
    endpoints.write(&endpoints_file)?;
    say(&format!("ready:\n{}", serde_json::to_string_pretty(&endpoints)?));
    let buy = client_script()?;
    let token = endpoints.tokens.first().map_or("", String::as_str);
    say(&format!("buy with:\n  node {} {}/api/mint/{token} {} 10", buy.display(), endpoints.api, endpoints.demo_key));
    let ended = installation.run().await;
    let _ = std::fs::remove_file(&endpoints_file);
    ended
}

/// Prepares servers that run already: tables, ledger, contracts, a demo token. Running it again changes nothing.
///
/// # Errors
/// The variable that is missing or wrong, the server that refuses, or a chain that is no development chain.
pub async fn setup(env: &Env) -> Result<(), Fatal> {
    let shop = Shop::open_at(&Places::from_env(env)?, say).await?;
    say(&format!("hub {}, factory {}", shop.hub, shop.factory));
    say(&format!("ready: {} is for sale at {}", shop.token.symbol, shop.token.token));
    Ok(())
}

/// Locks a data directory, which one installation may use at a time. The lock ends with the process.
fn alone(data: &Path) -> Result<File, Fatal> {
    let lock = File::create(data.join("lock"))?;
    lock.try_lock().map_err(|e| format!("PAYMINT_DATA: {} is in use by another paymint ({e})", data.display()))?;
    Ok(lock)
}

/// Progress, for people.
#[allow(clippy::print_stdout)]
fn say(step: &str) {
    println!("{step}");
}
