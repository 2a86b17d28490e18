//! Proxies of `faults` between the services and their neighbours. The story itself, its auditor and the tools of anvil
//! do not use them.

use crate::process::Service;
use crate::stack::Stack;
use faults::{RpcProxy, TcpProxy};
use std::net::SocketAddr;
use testkit::eventually;

/// Seed of all random choices, so that every run of a story makes equal ones.
const SEED: u64 = 20_260_801;

impl Stack {
    /// Services that are started from now on reach nats-server through the proxy. They reach its monitor directly.
    pub async fn proxy_nats(&mut self) -> TcpProxy {
        let server: SocketAddr = self.servers.nats.url().trim_start_matches("nats://").parse().unwrap();
        let proxy = TcpProxy::before(server).await.unwrap();
        self.set("NATS_URL", &format!("nats://{}", proxy.address()));
        proxy
    }

    /// Services that are started from now on reach PostgreSQL through the proxy.
    pub async fn proxy_postgres(&mut self) -> TcpProxy {
        let port = self.servers.postgres.port();
        let proxy = TcpProxy::before(([127, 0, 0, 1], port).into()).await.unwrap();
        let own = format!(":{}/", proxy.address().port());
        self.set("DATABASE_URL", &self.servers.postgres.url().replace(&format!(":{port}/"), &own));
        proxy
    }

    /// Services that are started from now on reach the node through the proxy.
    pub async fn proxy_node(&mut self) -> RpcProxy {
        let proxy = RpcProxy::before(&[&self.servers.anvil.rpc_url()], SEED).await.unwrap();
        self.set("RPC_URL", &proxy.url());
        proxy
    }

    /// Starts every service that was not started, and waits until each is at work. A service whose neighbour fails
    /// while it starts does not start.
    pub async fn run_all(&mut self) {
        for service in Service::ALL {
            if !self.processes.contains_key(&service.into()) {
                self.run(service).await;
            }
        }
        let lanes = |variable: &str| self.env[variable].split(',').count();
        let claimed = async || {
            let entries = self.stream.all().await;
            let claims = entries.iter().filter(|entry| entry.subject.contains(".claimed.")).count();
            let all: usize = ["SENDER_KEYS", "MINTER_KEYS", "OPERATOR_KEYS"].into_iter().map(lanes).sum();
            (claims >= all).then_some(())
        };
        eventually("every lane is claimed", claimed).await;
        for consumer in ["payment-sender", "confirmer", "confirmer-deferred", "mint-projector", "operator"] {
            let asks = async || {
                let waiting = self.stream.consumer(consumer).await["num_waiting"].as_u64();
                (waiting >= Some(1)).then_some(())
            };
            eventually(&format!("{consumer} waits for messages"), asks).await;
        }
        let projected = async || (self.projected("public").await == self.stream.last_seq().await).then_some(());
        eventually("every event is projected", projected).await;
    }
}
