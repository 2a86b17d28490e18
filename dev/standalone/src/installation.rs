//! An installation: servers, shop and services, started in that order and stopped in the reverse one.

use crate::endpoints::Endpoints;
use crate::servers::{ServerOptions, Servers};
use crate::services;
use crate::shop::Shop;
use runtime::{CancellationToken, Fatal};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The API answers within this after its start, or something is wrong.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Limits of the API that the environment of an installation may change: a test asks more often than a person.
const LIMITS: [&str; 13] = [
    "RATE_PER_IP",
    "RATE_TOTAL",
    "SSE_PER_IP",
    "SSE_MAX",
    "MAX_CONNECTIONS_PER_IP",
    "LAG_MAX",
    "PAYER_IN_FLIGHT_MAX",
    "PRICE_MIN",
    "TOKEN_GAS_PER_DAY",
    "WRITE_BYTES_PER_IP",
    "WRITE_BYTES_PER_PAYER",
    "CORS_ORIGINS",
    "OPERATOR_TOKEN",
];

/// A stop in the middle of a start: what has started is ended, and every step may be repeated.
const STOPPED: &str = "stopped before it was ready";

/// The options of an installation.
#[derive(Clone, Debug)]
pub struct Options {
    /// The servers.
    pub servers: ServerOptions,
    /// Where the API listens; a free port when 0.
    pub api_port: u16,
    /// `MINT_MAX_WAIT_MS`: how long a payment waits for company in its mint.
    pub mint_max_wait: Duration,
}

/// All of it, running.
pub struct Installation {
    /// The servers.
    pub servers: Servers,
    /// The deployed contracts and the token.
    pub shop: Shop,
    /// Where the API listens.
    pub api: SocketAddr,
    services: JoinHandle<Result<(), Fatal>>,
    stop: CancellationToken,
}

impl Installation {
    /// Starts everything and waits until the API is ready. A failed start leaves nothing running.
    ///
    /// # Errors
    /// One sentence: a taken port with its variable, a missing tool, a service that does not start.
    pub async fn start(
        options: &Options,
        stop: CancellationToken,
        mut progress: impl FnMut(&str),
    ) -> Result<Self, Fatal> {
        progress("starting nats-server, PostgreSQL and anvil");
        let mut servers = tokio::select! {
            servers = Servers::start(&options.servers) => servers?,
            () = stop.cancelled() => return Err(STOPPED.into()),
        };
        match Self::open(options, &servers, stop.clone(), &mut progress).await {
            Ok((shop, api, services)) => Ok(Self { servers, shop, api, services, stop }),
            Err(error) => {
                stop.cancel();
                servers.stop().await;
                Err(error)
            }
        }
    }

    async fn open(
        options: &Options,
        servers: &Servers,
        stop: CancellationToken,
        mut progress: impl FnMut(&str),
    ) -> Result<(Shop, SocketAddr, JoinHandle<Result<(), Fatal>>), Fatal> {
        let api = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(options.api_port)?));
        let shop = tokio::select! {
            shop = Shop::open(servers, &mut progress) => shop?,
            () = stop.cancelled() => return Err(STOPPED.into()),
        };
        progress("starting api, payment-sender, confirmer, mint-projector, operator and read-projector");
        let mut environment = services::environment(servers, &shop, api);
        environment.insert("MINT_MAX_WAIT_MS", options.mint_max_wait.as_millis().to_string());
        environment.extend(LIMITS.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?))));
        let token = stop.clone();
        let mut services = tokio::spawn(async move { services::run(&environment, token).await });
        tokio::select! {
            ended = &mut services => match ended? {
                Ok(()) => Err(STOPPED.into()),
                Err(error) => Err(error),
            },
            ready = until_ready(api) => ready.map(|()| (shop, api, services)),
        }
    }

    /// Where everything is.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints::of(&self.servers, &self.shop, self.api)
    }

    /// Waits for the stop, or for the first part that ends unasked; then stops everything.
    ///
    /// # Errors
    /// The part that ended.
    pub async fn run(mut self) -> Result<(), Fatal> {
        let ended = tokio::select! {
            ended = &mut self.services => ended?,
            error = self.servers.ended() => Err(error.into()),
            () = self.stop.cancelled() => Ok(()),
        };
        self.end().await;
        ended
    }

    /// Stops services, then servers.
    pub async fn end(mut self) {
        self.stop.cancel();
        if !self.services.is_finished()
            && let Ok(Err(error)) = (&mut self.services).await
        {
            tracing::warn!(%error, "a service ended with an error");
        }
        self.servers.stop().await;
    }
}

/// `wanted`, or a free port when it is 0.
fn free_port(wanted: u16) -> Result<u16, Fatal> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, wanted))
        .map_err(|e| format!("the port {wanted} of the API cannot be used ({e}): PAYMINT_API_PORT changes it"))?;
    Ok(listener.local_addr()?.port())
}

/// Asks `/readyz` until it answers 200.
async fn until_ready(api: SocketAddr) -> Result<(), Fatal> {
    let url = format!("http://{api}/readyz");
    let asked = tokio::time::timeout(READY_TIMEOUT, async {
        while ops::ready(&url).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    asked
        .await
        .map_err(|_| format!("the API at {api} did not become ready within {} s", READY_TIMEOUT.as_secs()).into())
}
