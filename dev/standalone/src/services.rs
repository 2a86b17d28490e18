//! The environment of every service, and all of them in this process.

use crate::accounts::{MINTER_KEYS, OPERATOR_KEYS, SENDER_KEYS};
use crate::servers::{CHAIN_ID, Servers};
use crate::shop::Shop;
use crate::users;
use runtime::{CancellationToken, Env, Fatal};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::task::JoinSet;

/// `NATS_URL` of each service, as [`environment`] holds it for [`of`].
const LEDGER_URLS: [(&str, &str); 6] = [
    ("api", "NATS_URL_API"),
    ("payment-sender", "NATS_URL_PAYMENT_SENDER"),
    ("confirmer", "NATS_URL_CONFIRMER"),
    ("mint-projector", "NATS_URL_MINT_PROJECTOR"),
    ("operator", "NATS_URL_OPERATOR"),
    ("read-projector", "NATS_URL_READ_PROJECTOR"),
];

/// The variables that the services read, for an installation whose API listens at `api`. `NATS_URL` is that of ops;
/// what a service is given is [`of`] this.
pub fn environment(servers: &Servers, shop: &Shop, api: SocketAddr) -> BTreeMap<&'static str, String> {
    let mut environment = BTreeMap::from([
        ("API_ADDR", api.to_string()),
        ("NATS_URL", users::url(&servers.nats, users::OPS)),
        ("NATS_MONITOR_URL", servers.nats.monitor_url()),
        ("DATABASE_URL", servers.postgres.url()),
        ("RPC_URL", servers.anvil.rpc_url()),
        ("CHAIN_ID", CHAIN_ID.to_string()),
        ("ASSET_ADDRESS", shop.asset.to_string()),
        ("ASSET_NAME", "USDC".to_owned()),
        ("ASSET_VERSION", "2".to_owned()),
        ("CONFIRMATIONS", "1".to_owned()),
        ("HUB_ADDRESS", shop.hub.to_string()),
        ("SENDER_KEYS", SENDER_KEYS.join(",")),
        ("MINTER_KEYS", MINTER_KEYS.join(",")),
        ("OPERATOR_KEYS", OPERATOR_KEYS.join(",")),
    ]);
    environment.extend(LEDGER_URLS.map(|(service, variable)| (variable, users::url(&servers.nats, service))));
    environment
}

/// The part of `environment` for one service: only its own user of the ledger.
pub fn of<K: Ord + Clone + Borrow<str>>(service: &str, environment: &BTreeMap<K, String>) -> BTreeMap<K, String> {
    let own = LEDGER_URLS.iter().find(|(name, _)| *name == service).and_then(|(_, own)| environment.get(*own));
    let given = environment.iter().filter(|(name, _)| LEDGER_URLS.iter().all(|(_, url)| (*name).borrow() != *url));
    given
        .map(|(name, value)| {
            let value = if name.borrow() == "NATS_URL" { own.unwrap_or(value) } else { value };
            (name.clone(), value.clone())
        })
        .collect()
}

/// Runs every service in this process until `stop`; the first to fail stops the others.
///
/// # Errors
/// The first failure, with the service's name.
pub async fn run(environment: &BTreeMap<&'static str, String>, stop: CancellationToken) -> Result<(), Fatal> {
    let env = |service| Env::of(of(service, environment));
    let mut tasks = JoinSet::new();
    tasks.spawn(named("api", api::run(api::Config::from_env(&env("api"))?, stop.clone())));
    tasks.spawn(named(
        "payment-sender",
        payment_sender::run(payment_sender::Config::from_env(&env("payment-sender"))?, stop.clone()),
    ));
    tasks.spawn(named("confirmer", confirmer::run(confirmer::Config::from_env(&env("confirmer"))?, stop.clone())));
    tasks.spawn(named(
        "mint-projector",
        mint_projector::run(mint_projector::Config::from_env(&env("mint-projector"))?, stop.clone()),
    ));
    tasks.spawn(named("operator", operator::run(operator::Config::from_env(&env("operator"))?, stop.clone())));
    tasks.spawn(named(
        "read-projector",
        read_projector::run(read_projector::Config::from_env(&env("read-projector"))?, stop.clone()),
    ));
    runtime::join(tasks, stop).await
}

async fn named(name: &'static str, service: impl Future<Output = Result<(), Fatal>>) -> Result<(), Fatal> {
    service.await.map_err(|error| format!("{name}: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s19_a_service_is_given_its_own_user_and_nobody_elses() {
        let mut all: BTreeMap<String, String> =
            LEDGER_URLS.iter().map(|(service, variable)| ((*variable).to_owned(), format!("as {service}"))).collect();
        all.insert("NATS_URL".to_owned(), "as ops".to_owned());
        all.insert("CHAIN_ID".to_owned(), "84532".to_owned());
        for (service, _) in LEDGER_URLS {
            let given = of(service, &all);
            assert_eq!((given.len(), given["NATS_URL"].as_str()), (2, format!("as {service}").as_str()));
        }
    }
}
