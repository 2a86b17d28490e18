//! `endpoints.json`: where everything is, written once everything is ready.

use crate::accounts::PAYER_KEY;
use crate::servers::{CHAIN_ID, Servers};
use crate::shop::Shop;
use crate::users;
use runtime::Fatal;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::Path;

/// Where a running installation is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// HTTP API.
    pub api: String,
    /// JSON-RPC of the chain.
    pub rpc: String,
    /// NATS, as ops, with the password.
    pub nats: String,
    /// PostgreSQL, with the password: the file is readable by its owner only.
    pub postgres: String,
    /// EIP-155 id.
    pub chain_id: u64,
    /// The USDC double.
    pub asset: String,
    /// Tokens for sale.
    pub tokens: Vec<String>,
    /// A funded key that is worth nothing elsewhere.
    pub demo_key: String,
}

impl Endpoints {
    /// The endpoints of a running installation.
    pub fn of(servers: &Servers, shop: &Shop, api: SocketAddr) -> Self {
        Self {
            api: format!("http://{api}"),
            rpc: servers.anvil.rpc_url(),
            nats: users::url(&servers.nats, users::OPS),
            postgres: servers.postgres.url(),
            chain_id: CHAIN_ID,
            asset: shop.asset.to_string(),
            tokens: vec![shop.token.token.to_string()],
            demo_key: PAYER_KEY.to_owned(),
        }
    }

    /// Writes the file in one step: whoever sees it sees all of it.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub fn write(&self, path: &Path) -> Result<(), Fatal> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let making = path.with_extension("json.new");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&making)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&making, path)?;
        Ok(())
    }
}
