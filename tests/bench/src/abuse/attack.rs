//! The attacks: whose orders they are, and how fast these come.

use alloy_primitives::{Bytes, bytes};
use dev_chain::NewToken;
use domain::{PaymentRequest, TokenTerms};
use runtime::{Fatal, VALIDITY_MAX_S};
use standalone::accounts::OWNER;
use standalone::shop;
use std::time::Duration;

use super::arena::Arena;
use super::seconds;
use crate::capacity::RAMP;
use crate::load::{Load, Pace};
use crate::offer::Offer;
use crate::payers::Payers;
use crate::sizes::Sizes;

/// Orders of the flood a second: what one thread of an attacker sends with ease.
const FLOOD_RATE: f64 = 400.0;
/// Wallets that burn gas.
const BURNERS: usize = 50;
/// Orders of these wallets a second: more than each may have under way.
const BURNER_RATE: f64 = 20.0;
/// Orders that the simulation refuses, a second.
const REFUSED_RATE: f64 = 100.0;
/// Orders of the creator who buys from himself, a second.
const CREATOR_RATE: f64 = 100.0;
/// Orders of the crowd at one token, a second.
const CROWD_RATE: f64 = 500.0;
/// Orders of one payer: below what one may have under way by default (16).
const ORDERS_OF_ONE: usize = 8;
/// Connections of an attacker, each from an address of its own.
const CONNECTIONS: usize = 64;
/// The addresses are in 127.2.0.0/16, those of honest payers in 127.1.0.0/16.
const NETWORK: u8 = 2;
/// The clocks of signer and api may differ by this, seconds.
const CLOCKS: u64 = 5;

/// Code of a wallet that knows every signature in a call (gas price 0), and in a transaction burns all the gas that it is
/// given: `if (tx.gasprice != 0) invalid(); return 0x1626ba7e;` (ERC-1271).
const BURNS_ON_CHAIN: Bytes = bytes!("3a15600657fe5b631626ba7e60e01b60005260206000f3");
/// Code of a wallet that knows no signature: STOP.
const KNOWS_NOTHING: Bytes = bytes!("00");

/// One attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Free orders of empty accounts, good for as long as admission accepts.
    Flood,
    /// Payments that pass every simulation and burn gas on chain.
    Burners,
    /// Payments that every simulation refuses: of empty accounts, and of wallets that know no signature.
    Refused,
    /// A creator who buys from himself at the lowest price, with accounts of his own.
    Creator,
    /// Ten thousand good orders of another token.
    Crowd,
}

/// A prepared attack.
pub struct Hostile {
    pub load: Load,
    /// Its orders, in the order of the load's shots.
    pub orders: Vec<PaymentRequest>,
    /// How long the honest load is watched beside it, at least.
    pub lasts: Duration,
}

impl Attack {
    pub const ALL: [Self; 5] = [Self::Flood, Self::Burners, Self::Refused, Self::Creator, Self::Crowd];

    pub fn name(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::Burners => "burners",
            Self::Refused => "refused",
            Self::Creator => "creator",
            Self::Crowd => "crowd",
        }
    }

    /// Signs the orders, and gives their payers what they need.
    ///
    /// # Errors
    /// The node or the api does not answer.
    pub async fn prepare(self, arena: &Arena, sizes: &Sizes, percent: usize) -> Result<Hostile, Fatal> {
        let (house, name) = (&arena.house, self.name());
        let (chain, asset, honest) = (&house.chain, house.shop.asset, &house.shop.token);
        let (count, rate) = (self.count(sizes) * percent / 100, self.rate() * percent as f64 / 100.0);
        let payers = |part: &str, count: usize| Payers::new(&format!("{name} {part}"), count.max(1));
        let few = (count / ORDERS_OF_ONE).max(1);
        let (orders, offer) = match self {
            Self::Flood => {
                let payers = payers("empty", count)?.lasting(VALIDITY_MAX_S - CLOCKS);
                (payers.sign(honest, 0, count)?, arena.offer.clone())
            }
            Self::Burners => {
                let payers = payers("burn", BURNERS)?;
                payers.fund(chain, asset).await?;
                payers.delegate(chain, &BURNS_ON_CHAIN).await?;
                (payers.sign(honest, 0, count)?, arena.offer.clone())
            }
            Self::Refused => {
                let (empty, dumb) = (payers("empty", few)?, payers("dumb", few)?);
                dumb.fund(chain, asset).await?;
                dumb.delegate(chain, &KNOWS_NOTHING).await?;
                let (empty, dumb) = (empty.sign(honest, 0, count / 2)?, dumb.sign(honest, 0, count / 2)?);
                (empty.into_iter().zip(dumb).flat_map(|(one, other)| [one, other]).collect(), arena.offer.clone())
            }
            Self::Creator | Self::Crowd => {
                let payers = payers("buy", few)?;
                payers.fund(chain, asset).await?;
                let token = self.token(arena).await?;
                (payers.sign(&token, 0, count)?, Offer::ask(house.api, token.token).await?)
            }
        };
        let load = Load::once(offer.paid(&orders), CONNECTIONS, Pace::PerSecond(rate)).within_network(NETWORK);
        let lasts = Duration::from_secs_f64(orders.len() as f64 / rate).saturating_sub(RAMP);
        Ok(Hostile { load, orders, lasts })
    }

    /// Orders of the whole attack.
    fn count(self, sizes: &Sizes) -> usize {
        match self {
            Self::Flood => sizes.flood,
            Self::Crowd => sizes.crowd,
            Self::Burners | Self::Refused | Self::Creator => (self.rate() * seconds(RAMP + sizes.abused)) as usize,
        }
    }

    /// Orders a second.
    fn rate(self) -> f64 {
        match self {
            Self::Flood => FLOOD_RATE,
            Self::Burners => BURNER_RATE,
            Self::Refused => REFUSED_RATE,
            Self::Creator => CREATOR_RATE,
            Self::Crowd => CROWD_RATE,
        }
    }

    /// A token of the attacker's own, at the price of the demo token, which is the lowest.
    async fn token(self, arena: &Arena) -> Result<TokenTerms, Fatal> {
        let (house, symbol) = (&arena.house, self.name().to_uppercase());
        let new = NewToken { symbol, ..shop::demo_token() };
        let terms = house.chain.create_token(OWNER, house.shop.factory, house.shop.asset, new).await?;
        shop::register(&house.ledger, &terms).await?;
        Ok(terms)
    }
}
