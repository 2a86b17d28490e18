//! api: the door. Takes x402 payments, checks them without asking anybody, writes the order to the ledger, answers 202,
//! and shows how it fares.
//!
//! Between a request and its order in the ledger there is no RPC and no SQL. What is read for a status comes from the
//! read models or, where these are behind or away, from the ledger itself.

mod admission;
mod backlog;
mod body;
mod catalogue;
mod circuit;
mod config;
mod docs;
mod error;
mod events;
mod feed;
mod follower;
mod hub;
mod idempotency;
mod intake;
mod limits;
mod line;
mod mint;
mod news;
mod openapi;
mod queue;
mod records;
mod routes;
mod server;
mod status;
mod tokens;
mod trace;
mod words;

pub use config::{Config, Edge};

use admission::{Admission, Limits};
use alloy_primitives::B256;
use catalogue::Catalogue;
use follower::Follower;
use intake::Intake;
use ledger::Ledger;
use limits::Quotas;
use records::Records;
use runtime::{CancellationToken, Fatal, Health, unfailing};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// CloudEvents source of what this service writes.
const SOURCE: &str = "/paymint/api";

/// What the handlers share.
pub(crate) struct Api {
    pub(crate) config: Config,
    /// Without a slash at the end.
    pub(crate) public_url: String,
    /// EIP-712 domain of the asset.
    pub(crate) domain_separator: B256,
    pub(crate) ledger: Ledger,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) intake: Intake,
    pub(crate) admission: Arc<Admission>,
    pub(crate) quotas: Quotas,
    pub(crate) records: Arc<Records>,
    pub(crate) follower: Arc<Follower>,
    pub(crate) stop: CancellationToken,
}

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
    /// Takes the port and passes the ledger's gate. Clients that connect wait until [`Server::serve`].
    ///
    /// # Errors
    /// The port is taken, or the ledger is not there or not fit: names the variable to change.
    pub async fn start(config: Config, stop: CancellationToken) -> Result<Self, Fatal> {
        let listener = server::listen(config.addr)?;
        let address = listener.local_addr()?;
        let ledger = Ledger::connect(&config.ledger, SOURCE).await?;
        let Config { network, asset, asset_name, asset_version, .. } = &config;
        let limits = Limits {
            lag_max: config.lag_max,
            payer_max: config.payer_in_flight_max,
            window: Duration::from_secs(config.max_timeout_s),
            margin: Duration::from_secs(config.min_window_s),
        };
        let catalogue = Arc::new(Catalogue::new(ledger.clone(), network.chain_id, *asset));
        let follower = Arc::new(Follower::new(ledger.clone(), Arc::clone(&catalogue), config.settle_rate));
        let admission = Arc::new(Admission::new(ledger.clone(), Arc::clone(&follower), limits));
        let records = Arc::new(Records::new(ledger.clone()));
        let api = Api {
            public_url: config.public_url.clone().unwrap_or_else(|| format!("http://{address}")),
            domain_separator: x402::domain_separator(asset_name, asset_version, network.chain_id, *asset),
            catalogue,
            intake: Intake::new(ledger.clone(), Arc::clone(&admission), Arc::clone(&records)),
            admission,
            quotas: Quotas::new(&config.edge),
            records,
            follower,
            ledger,
            stop,
            config,
        };
        Ok(Self { api: Arc::new(api), listener, address })
    }

    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the `stop` that it was started with; requests under way are finished.
    ///
    /// # Errors
    /// A task of its own that panicked.
    pub async fn serve(self) -> Result<(), Fatal> {
        let Self { api, listener, .. } = self;
        let stop = api.stop.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(unfailing(api.ledger.clone().watch(Health::default(), stop.clone())));
        let (one, two, three) = (Arc::clone(&api), Arc::clone(&api), Arc::clone(&api));
        tasks.spawn(unfailing(async move { one.follower.follow(&one.records, one.stop.clone()).await }));
        tasks.spawn(unfailing(async move {
            two.records.watch_store(&two.config.database_url, two.stop.clone()).await;
        }));
        tasks.spawn(unfailing(async move { three.admission.watch(three.stop.clone()).await }));
        tasks.spawn(unfailing(async move {
            let (edge, stop) = (api.config.edge.clone(), api.stop.clone());
            server::serve(listener, routes::router(api), edge, stop).await;
        }));
        runtime::join(tasks, stop).await
    }
}
