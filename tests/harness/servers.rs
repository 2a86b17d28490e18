//! The servers of a stack, before its first service runs.

use crate::chain::LocalChain;
use crate::options::StackOptions;
use neighbours::{Anvil, AnvilOptions, Mining, Nats, NatsOptions, Postgres, PostgresOptions, Tools};
use standalone::{Servers, Shop, services};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;

/// Blocks that `anvil_reorg` can go back.
const STATES_KEPT: u32 = 64;

/// Starts the servers like `standalone`, but allowed to lose data in a loss of power, and able to reorganise the chain.
pub async fn start_servers(dir: &TempDir, block_time: Duration) -> Servers {
    let tools = Tools::locate().unwrap();
    let at = |name: &str| dir.path().join(name);
    let nats = NatsOptions { data_dir: at("nats"), ..NatsOptions::default() };
    let postgres = PostgresOptions { data_dir: at("postgres"), durable: false, ..PostgresOptions::default() };
    let anvil = AnvilOptions {
        data_dir: at("chain"),
        block_time: Mining::Interval(block_time),
        states_kept: Some(STATES_KEPT),
        ..AnvilOptions::default()
    };
    let started =
        tokio::try_join!(Nats::start(&tools, nats), Postgres::start(&tools, postgres), Anvil::start(&tools, anvil));
    let (nats, postgres, anvil) = started.unwrap_or_else(|e| panic!("{e}"));
    Servers { nats, postgres, anvil }
}

/// Makes blocks quickly while the shop is opened, which takes several blocks.
pub async fn mine_fast(chain: &LocalChain) {
    loop {
        chain.mine(1).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The environment of every service. Waits that exist for the comfort of people are short here.
pub fn environment(
    servers: &Servers,
    shop: &Shop,
    api: SocketAddr,
    options: &StackOptions,
) -> BTreeMap<String, String> {
    let quick = [
        ("MINT_MAX_WAIT_MS", "100"),
        ("SENDER_LINGER_MS", "50"),
        ("PAYMENT_RETRY_MS", "200"),
        ("MINT_RETRY_MS", "200"),
        ("HEAD_POLL_MS", "50"),
        // All payers of a story are at one address.
        ("RATE_PER_IP", "0"),
        ("RATE_TOTAL", "0"),
        ("WRITE_BYTES_PER_IP", "0"),
        ("RUST_LOG", "info,async_nats=warn,sqlx=warn"),
    ];
    let mut env: BTreeMap<String, String> =
        services::environment(servers, shop, api).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    env.extend(quick.map(|(name, value)| (name.to_owned(), value.to_owned())));
    env.insert("CONFIRMATIONS".to_owned(), options.confirmations.to_string());
    env.extend(options.env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    env
}
