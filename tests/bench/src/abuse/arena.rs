//! An installation that is attacked, and its honest payers.

use chrono::{DateTime, Utc};
use domain::PaymentRequest;
use faults::RpcProxy;
use runtime::Fatal;
use std::time::Duration;
use tokio::task::JoinHandle;

use super::attack::Attack;
use super::phase::{Minted, Phase, calls_in};
use crate::capacity::{self, RAMP, window};
use crate::e2e::{BLOCK_TIME, SERVICES};
use crate::house::House;
use crate::limits::Limits;
use crate::load::{Load, Pace, Shot, fire};
use crate::offer::Offer;
use crate::payers::{Payers, give};
use crate::process::Services;

/// Honest payers. Each has a few orders under way, at most.
const PAYERS: usize = 1_000;
/// Their connections, each from an address of its own.
const CONNECTIONS: usize = 256;
/// The addresses are in 127.1.0.0/16.
const NETWORK: u8 = 1;

/// Servers, services and honest payers of one attack.
pub struct Arena {
    pub house: House,
    pub services: Services,
    /// The offer for the token that honest payers buy.
    pub offer: Offer,
    payers: Payers,
    /// Between services and node, where it counts.
    node: RpcProxy,
    /// Payments signed so far.
    signed: usize,
}

impl Arena {
    /// Starts everything, with the limits that an installation has by default.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn open(attack: Attack) -> Result<Self, Fatal> {
        let mut house = House::start(&format!("abuse-{}", attack.name()), BLOCK_TIME).await?;
        let node = RpcProxy::before(&[&house.servers.anvil.rpc_url()], 1).await?;
        house.rpc_url = Some(node.url());
        let payers = Payers::new("honest", PAYERS)?;
        payers.fund(&house.chain, house.shop.asset).await?;
        let services = house.services(&SERVICES, Limits::DEFAULTS).await?;
        let offer = Offer::ask(house.api, house.shop.token.token).await?;
        Ok(Self { house, services, offer, payers, node, signed: 0 })
    }

    /// Settled a second while payments are never short. Returns when all of these are minted.
    ///
    /// # Errors
    /// Nothing moves any more.
    pub async fn capacity(&mut self, time: Duration) -> Result<f64, Fatal> {
        let mut minted = Minted::follow(&self.house).await?;
        let (rate, accepted) = capacity::measure(&self.house, &self.payers, &self.offer, honest, time).await?;
        minted.wait_for(accepted, &mut self.services).await?;
        Ok(rate)
    }

    /// Honest payments at `rate` a second for the ramp and `time`, beside `attack` if there is one. Returns when all that were
    /// accepted are minted, or none is any more.
    ///
    /// # Errors
    /// A service has ended.
    pub async fn watch(&mut self, rate: f64, time: Duration, attack: Option<Load>) -> Result<Phase, Fatal> {
        let count = (rate * (RAMP + time).as_secs_f64()) as usize;
        let payments = self.payers.sign(&self.house.shop.token, self.signed, count)?;
        self.signed += count;
        let load = honest(self.offer.paid(&payments), Pace::PerSecond(rate));
        let mut minted = Minted::of(&self.house, payments.iter().map(|payment| payment.id()).collect()).await?;
        let window = window(time)?;
        let hostile = attack.map(|load| tokio::spawn(fire(self.house.api, load)));
        let outcome = tokio::spawn(fire(self.house.api, load));
        let calls = calls_in(&self.node, window).await;
        let outcome = outcome.await??;
        minted.wait_for(outcome.hits.len(), &mut self.services).await?;
        let hostile = match hostile {
            Some(hostile) => Some(hostile.await??),
            None => None,
        };
        Ok(Phase { payments, outcome, hostile, window, calls })
    }

    /// Makes one order after the other payable, with `pause` before each. The result has the time of each.
    pub fn fund_in_turn(&self, orders: Vec<PaymentRequest>, pause: Duration) -> JoinHandle<Result<Vec<Funded>, Fatal>> {
        let (chain, asset) = (self.house.chain.clone(), self.house.shop.asset);
        tokio::spawn(async move {
            let mut funded = Vec::with_capacity(orders.len());
            for order in orders {
                tokio::time::sleep(pause).await;
                give(&chain, asset, order.authorization.from).await?;
                funded.push((order, Utc::now()));
            }
            Ok(funded)
        })
    }

    /// Stops everything.
    ///
    /// # Errors
    /// A service does not end well.
    pub async fn close(self) -> Result<(), Fatal> {
        self.services.stop().await?;
        self.house.end().await;
        Ok(())
    }
}

/// An order that became payable, and when.
pub type Funded = (PaymentRequest, DateTime<Utc>);

fn honest(shots: Vec<Shot>, pace: Pace) -> Load {
    Load::once(shots, CONNECTIONS, pace).within_network(NETWORK)
}
