//! The environment of every service, and all of them in this process.

use crate::accounts::{MINTER_KEYS, SENDER_KEYS};
use crate::servers::{CHAIN_ID, Servers};
use crate::shop::Shop;
use runtime::{CancellationToken, Env, Fatal};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::task::JoinSet;

/// The variables that the services read, for an installation whose API listens at `api`.
pub fn environment(servers: &Servers, shop: &Shop, api: SocketAddr) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("API_ADDR", api.to_string()),
        ("NATS_URL", servers.nats.url()),
        ("NATS_MONITOR_URL", servers.nats.monitor_url()),
        ("DATABASE_URL", servers.postgres.url()),
        ("RPC_URL", servers.anvil.rpc_url()),
        ("CHAIN_ID", CHAIN_ID.to_string()),
        ("ASSET_ADDRESS", shop.asset.to_string()),
        ("ASSET_NAME", "USDC".to_owned()),
        ("ASSET_VERSION", "2".to_owned()),
        ("CONFIRMATIONS", "1".to_owned()),
        ("SETTLEMENT_ADDRESS", shop.settlement.to_string()),
        ("SENDER_KEYS", SENDER_KEYS.join(",")),
        ("MINTER_KEYS", MINTER_KEYS.join(",")),
    ])
}

/// Runs every service in this process until `stop`; the first to fail stops the others.
///
/// # Errors
/// The first failure, with the service's name.
pub async fn run(environment: &BTreeMap<&'static str, String>, stop: CancellationToken) -> Result<(), Fatal> {
    let env = Env::of(environment.iter().map(|(name, value)| (*name, value.clone())));
    let mut tasks = JoinSet::new();
    tasks.spawn(named("api", api::run(api::Config::from_env(&env)?, stop.clone())));
    tasks.spawn(named("payment-sender", payment_sender::run(payment_sender::Config::from_env(&env)?, stop.clone())));
    tasks.spawn(named("confirmer", confirmer::run(confirmer::Config::from_env(&env)?, stop.clone())));
    tasks.spawn(named("mint-projector", mint_projector::run(mint_projector::Config::from_env(&env)?, stop.clone())));
    tasks.spawn(named("read-projector", read_projector::run(read_projector::Config::from_env(&env)?, stop.clone())));
    runtime::join(tasks, stop).await
}

async fn named(name: &'static str, service: impl Future<Output = Result<(), Fatal>>) -> Result<(), Fatal> {
    service.await.map_err(|error| format!("{name}: {error}").into())
}
