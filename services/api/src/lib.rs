//! api: takes x402 payments, checks them without asking any other server, writes the order to the ledger, answers 202,
//! and shows the state of the order.
//!
//! Between a request and its order in the ledger there is no RPC and no SQL. A status comes from the read models or, if
//! these lag or do not answer, from the ledger.

mod address;
mod body;
mod config;
mod docs;
mod error;
mod events;
mod examples;
mod idempotency;
mod intake;
mod layers;
mod limits;
mod mint;
mod openapi;
mod queue;
mod routes;
mod state;
mod status;
mod tokens;
mod writes;

pub use config::Config;

use config::ADDR_VARIABLE;
use intake::Intake;
use ledger::Ledger;
use limits::Quotas;
use live::{Admission, Catalogue, Follower, Records};
use queue::snapshot::Snapshot;
use runtime::{CancellationToken, Fatal, Health, SharedSettings, serve_health, unfailing};
use state::Api;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// CloudEvents source of the events that this service writes.
const SOURCE: &str = "/paymint/api";

/// Pause between two reports of the oldest order.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The service, listening and connected to the ledger.
pub struct Server {
    api: Arc<Api>,
    listener: TcpListener,
    address: SocketAddr,
}

/// Runs the service until `stop`.
///
/// # Errors
/// [`Fatal`] when it cannot start: names the variable to change.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Fatal> {
    let server = tokio::select! {
        server = Server::start(config, stop.clone()) => server?,
        () = stop.cancelled() => return Ok(()),
    };
    tracing::info!(address = %server.address, "listening on http://{}", server.address);
    server.serve().await
}

impl Server {
    /// Takes the port and passes the gate of the ledger. Clients that connect wait until [`Server::serve`].
    ///
    /// # Errors
    /// The port is taken, or the ledger is unavailable or unfit: names the variable to change.
    pub async fn start(config: Config, stop: CancellationToken) -> Result<Self, Fatal> {
        let listener = edge::listen(config.addr, ADDR_VARIABLE)?;
        let address = listener.local_addr()?;
        let ledger = Ledger::connect(&config.ledger, SOURCE).await?;
        let Config { network, asset, asset_name, asset_version, .. } = &config;
        let settings = SharedSettings::new(config.settings.clone());
        let catalogue = Arc::new(Catalogue::new(ledger.clone(), network.chain_id, *asset));
        let follower =
            Arc::new(Follower::new(ledger.clone(), Arc::clone(&catalogue), config.settle_rate, settings.clone()));
        let admission = Arc::new(Admission::new(ledger.clone(), Arc::clone(&follower), settings.clone()));
        let records = Arc::new(Records::new(ledger.clone()));
        let (admitted, read) = (Arc::clone(&admission), Arc::clone(&records));
        let api = Api {
            public_url: config.public_url.clone().unwrap_or_else(|| format!("http://{address}")),
            domain_separator: x402::domain_separator(asset_name, asset_version, network.chain_id, *asset),
            catalogue,
            intake: Intake::new(ledger.clone(), admitted, read, config.append_timeout, settings.clone()),
            admission,
            quotas: Quotas::new(&config.edge),
            records,
            snapshot: Snapshot::default(),
            follower,
            ledger,
            stop,
            settings,
            config,
        };
        Ok(Self { api: Arc::new(api), listener, address })
    }

    /// Address on which it listens, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the `stop` of [`Server::start`], then finishes the requests in progress.
    ///
    /// # Errors
    /// A task that panicked, or the address of the metrics is taken.
    pub async fn serve(self) -> Result<(), Fatal> {
        let Self { api, listener, .. } = self;
        let stop = api.stop.clone();
        let health = Health::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_health(api.config.health, health.clone(), stop.clone()));
        tasks.spawn(unfailing(report_oldest(Arc::clone(&api), health.clone())));
        tasks.spawn(unfailing(api.ledger.clone().watch(health, stop.clone())));
        let (one, two, three) = (Arc::clone(&api), Arc::clone(&api), Arc::clone(&api));
        tasks.spawn(unfailing(async move { one.follower.follow(&one.records, one.stop.clone()).await }));
        tasks.spawn(unfailing(async move {
            two.records.watch_store(&two.config.database_url, two.stop.clone()).await;
        }));
        tasks.spawn(unfailing(async move { three.admission.watch(three.stop.clone()).await }));
        tasks.spawn(unfailing(async move {
            let (edge, stop) = (api.config.edge.clone(), api.stop.clone());
            edge::serve(listener, routes::router(api), edge, stop).await;
        }));
        runtime::join(tasks, stop).await
    }
}

/// Reports the oldest order to `/readyz` and `/metrics` of the internal address until the process stops.
async fn report_oldest(api: Arc<Api>, health: Health) {
    while !api.stop.is_cancelled() {
        health.oldest("orders", api.follower.oldest());
        tokio::select! { () = api.stop.cancelled() => {}, () = tokio::time::sleep(REPORT_INTERVAL) => {} }
    }
}
