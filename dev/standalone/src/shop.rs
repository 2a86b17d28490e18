//! Opens the shop: migrations, the ledger's definitions, the contracts, and a demo token. Every step may be repeated.

use crate::accounts::{OPERATORS, OWNER, PAYER};
use crate::servers::Servers;
use crate::users;
use alloy_primitives::{Address, B256};
use chain::ChainError;
use dev_chain::{BASE_SEPOLIA_USDC, DevChain, NewToken};
use domain::{Event, TokenEvent, TokenTerms, Usdc};
use ledger::{AppendError, Expected, Ledger, LedgerConfig, NewEvent};
use ops::Setup;
use runtime::{ConfigError, Env, Fatal, Variable};

/// CloudEvents source of what is written here.
const SOURCE: &str = "/paymint/standalone";

/// USDC for the demo's payer: 1,000 dollars of play money.
const PLAY_MONEY: Usdc = Usdc(1_000_000_000);

/// The deployed contracts and the token.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The USDC double.
    pub asset: Address,
    /// Serves several tokens in one transaction.
    pub hub: Address,
    /// Creates tokens. Its operator is the operator's lane, and all other seats are [`OWNER`]'s.
    pub factory: Address,
    /// The demo token.
    pub token: TokenTerms,
}

/// Where the servers of a shop are.
#[derive(Clone)]
pub struct Places {
    /// The tables and the ledger's definitions.
    pub setup: Setup,
    /// The monitor of NATS.
    pub nats_monitor_url: String,
    /// JSON-RPC of the development chain.
    pub rpc_url: String,
    /// The EIP-155 id that the chain must have, if one is expected.
    pub chain_id: Option<u64>,
    /// The address that the hub must have, if one is expected.
    pub hub: Option<Address>,
}

impl Places {
    /// Reads `NATS_URL`, `NATS_MONITOR_URL`, `DATABASE_URL`, `DATABASE_SCHEMA`, `RPC_URL`, and, if they are set,
    /// `CHAIN_ID` and `HUB_ADDRESS` to compare them with the chain.
    ///
    /// # Errors
    /// Names the variable and its shape.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            setup: Setup::from_env(env)?,
            nats_monitor_url: env.get(&Variable::required(
                "NATS_MONITOR_URL",
                "http://127.0.0.1:8222",
                "The monitor of NATS, which tells whether an acknowledgement is durable.",
            ))?,
            rpc_url: env.get(&Variable::required(
                "RPC_URL",
                "http://127.0.0.1:8545",
                "JSON-RPC of the development chain.",
            ))?,
            chain_id: env.find(&Variable::optional("CHAIN_ID", "84532", "The EIP-155 id that the chain must have."))?,
            hub: env.find(&Variable::optional(
                "HUB_ADDRESS",
                "0x5FbDB2315678afecb367f032d93F642f64180aa3",
                "The address that the hub must have.",
            ))?,
        })
    }

    fn of(servers: &Servers) -> Self {
        let nats_url = users::url(&servers.nats, users::OPS);
        Self {
            setup: Setup { nats_url, database_url: servers.postgres.url(), database_schema: None },
            nats_monitor_url: servers.nats.monitor_url(),
            rpc_url: servers.anvil.rpc_url(),
            chain_id: None,
            hub: None,
        }
    }
}

impl Shop {
    /// Opens the shop on servers that this process supervises.
    ///
    /// # Errors
    /// Those of [`Shop::open_at`].
    pub async fn open(servers: &Servers, progress: impl FnMut(&str)) -> Result<Self, Fatal> {
        Self::open_at(&Places::of(servers), progress).await
    }

    /// Migrates, provisions, deploys and registers, and tells each step through `progress`. Running it again changes
    /// nothing: what exists stays.
    ///
    /// # Errors
    /// The first step that fails, with the variable that names the server. Running it again continues there.
    pub async fn open_at(places: &Places, mut progress: impl FnMut(&str)) -> Result<Self, Fatal> {
        let chain = named_chain(DevChain::connect(&places.rpc_url).await)?;
        named_chain(chain.must_be_development().await)?;
        if let Some(wanted) = places.chain_id.filter(|wanted| *wanted != chain.chain_id()) {
            return Err(format!("CHAIN_ID is {wanted}, and the chain at RPC_URL is {}", chain.chain_id()).into());
        }
        places.setup.apply(&mut progress).await?;
        progress("deploying the contracts");
        let asset = BASE_SEPOLIA_USDC;
        let (hub, factory) = named_chain(deploy(&chain, asset).await)?;
        if let Some(wanted) = places.hub.filter(|wanted| *wanted != hub) {
            return Err(format!("HUB_ADDRESS is {wanted}, and the hub is at {hub}").into());
        }
        progress("creating the demo token, 0.01 USDC a unit");
        let token = named_chain(chain.create_token(OWNER, factory, asset, demo_token()).await)?;
        let url = places.setup.nats_url.clone();
        let ledger = LedgerConfig { url, monitor_url: places.nats_monitor_url.clone() };
        register(&Ledger::connect(&ledger, SOURCE).await?, &token).await?;
        if named_chain(chain.usdc_balance(asset, PAYER).await)?.is_zero() {
            named_chain(chain.fund_usdc(OWNER, asset, PAYER, PLAY_MONEY).await)?;
        }
        Ok(Self { asset, hub, factory, token })
    }

    /// Returns where the ledger is, for the user `ops`.
    pub fn ledger(servers: &Servers) -> LedgerConfig {
        LedgerConfig { url: users::url(&servers.nats, users::OPS), monitor_url: servers.nats.monitor_url() }
    }
}

/// Deploys the contracts that are missing. Returns hub and factory.
async fn deploy(chain: &DevChain, asset: Address) -> Result<(Address, Address), ChainError> {
    chain.etch_usdc(asset).await?;
    let hub = chain.hub(OWNER, 0).await?;
    Ok((hub, chain.factory(OWNER, 1, asset, hub, OPERATORS[0]).await?))
}

/// The error of the chain with `RPC_URL` in front, unless its text begins with it.
fn named_chain<T>(result: Result<T, ChainError>) -> Result<T, Fatal> {
    result.map_err(|error| {
        let text = error.to_string();
        if text.starts_with("RPC_URL") { text.into() } else { format!("RPC_URL: {text}").into() }
    })
}

/// Writes the token into the catalogue, once.
///
/// # Errors
/// When the ledger does not answer, or holds other terms for it.
pub async fn register(ledger: &Ledger, token: &TokenTerms) -> Result<(), Fatal> {
    if let Some(known) = ledger.token(token.token).await? {
        let same = known == *token;
        return if same { Ok(()) } else { Err(format!("{} is registered with other terms", token.token).into()) };
    }
    let event = Event::Token(token.token, TokenEvent::Registered(Box::new(token.clone())));
    match ledger.append(&[NewEvent { event, expected: Expected::Absent, trace: None }]).await {
        Ok(_) => Ok(()),
        Err(AppendError::WrongVersion) => Err(format!("{} is registered with other terms", token.token).into()),
        // What is there can be read all the same.
        Err(AppendError::Stopped(why)) => {
            tracing::error!(token = %token.token, why, "not registered");
            Ok(())
        }
        Err(other) => Err(other.into()),
    }
}

/// A token for 0.01 USDC a unit, of a million units, created without a fee.
pub fn demo_token() -> NewToken {
    NewToken {
        name: "Demo".to_owned(),
        symbol: "DEMO".to_owned(),
        unit: 1_000_000_000_000_000_000,
        max_units: 1_000_000,
        unit_price: Usdc(10_000),
        creator: OWNER,
        fee: Usdc(0),
        metadata_hash: B256::ZERO,
        salt: B256::ZERO,
    }
}
