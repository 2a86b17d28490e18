//! Opens the shop: migrations, the ledger's definitions, the contracts, a token to sell. Every step may be repeated.

use crate::accounts::{MINTERS, OWNER, PAYER};
use crate::servers::Servers;
use crate::users;
use alloy_primitives::{Address, B256};
use dev_chain::{BASE_SEPOLIA_USDC, DevChain, NewToken};
use domain::{Event, PaymentKey, TokenEvent, TokenTerms, Usdc};
use ledger::{AppendError, Expected, Ledger, LedgerConfig, NewEvent};
use runtime::Fatal;
use store::{CONNECTIONS, Store};

/// CloudEvents source of what is written here.
const SOURCE: &str = "/paymint/standalone";

/// USDC for the demo's payer: 1,000 dollars of play money.
const PLAY_MONEY: Usdc = Usdc(1_000_000_000);

/// The deployed contracts and the token.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The USDC double.
    pub asset: Address,
    /// Settles payments.
    pub settlement: Address,
    /// Creates tokens.
    pub factory: Address,
    /// The demo token.
    pub token: TokenTerms,
}

impl Shop {
    /// Migrates, provisions, deploys, registers; says each step through `progress`.
    ///
    /// # Errors
    /// The first step that fails. Running it again goes on where it stopped.
    pub async fn open(servers: &Servers, mut progress: impl FnMut(&str)) -> Result<Self, Fatal> {
        progress("migrating the database");
        let store = Store::connect(&servers.postgres.url(), CONNECTIONS).await?;
        store.migrate().await?;
        store.close().await;
        progress("provisioning the ledger from nats/");
        ledger::provision(&users::url(&servers.nats, users::OPS)).await?;
        let chain = DevChain::connect(&servers.anvil.rpc_url()).await?;
        progress("deploying the contracts");
        let asset = BASE_SEPOLIA_USDC;
        chain.etch_usdc(asset).await?;
        let settlement = chain.settlement(OWNER, 0, asset).await?;
        let factory = chain.factory(OWNER, 1, asset).await?;
        for minter in MINTERS {
            chain.set_minter(OWNER, factory, minter).await?;
        }
        progress("creating the demo token, 0.01 USDC a unit");
        let token = chain.create_token(OWNER, factory, asset, PaymentKey(B256::ZERO), demo_token()).await?;
        let ledger = Ledger::connect(&Self::ledger(servers), SOURCE).await?;
        register(&ledger, &token).await?;
        if chain.usdc_balance(asset, PAYER).await?.is_zero() {
            chain.fund_usdc(OWNER, asset, PAYER, PLAY_MONEY).await?;
        }
        Ok(Self { asset, settlement, factory, token })
    }

    /// Where the ledger is, for ops.
    pub fn ledger(servers: &Servers) -> LedgerConfig {
        LedgerConfig { url: users::url(&servers.nats, users::OPS), monitor_url: servers.nats.monitor_url() }
    }
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

/// 0.01 USDC a unit, a million units.
pub fn demo_token() -> NewToken {
    NewToken {
        name: "Demo".to_owned(),
        symbol: "DEMO".to_owned(),
        unit: 1_000_000_000_000_000_000,
        max_units: 1_000_000,
        unit_price: Usdc(10_000),
        creator: OWNER,
    }
}
