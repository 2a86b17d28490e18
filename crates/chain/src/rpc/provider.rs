//! One provider: its limits, its health, and the probe that ends its rest.

use crate::asset::Asset;
use crate::rpc::health::{Failure, ProviderHealth, Told, is_stale};
use crate::rpc::http::Http;
use crate::rpc::url::RpcUrl;
use crate::rpc::wire::{self, Fault, Refusal};
use alloy::primitives::{B256, Bytes, U64};
use alloy::sol_types::SolCall;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Maximum number of concurrent calls to one provider, so that a hanging provider takes no capacity from the others.
const IN_FLIGHT_MAX: usize = 32;

/// Time limit of each call of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The requirements that a provider must meet.
#[derive(Clone, Debug)]
pub(crate) struct ProviderRequirements {
    /// The variable that names the provider.
    pub variable: &'static str,
    pub chain_id: u64,
    /// The asset that it must serve, with the EIP-712 domain separator as computed here. `None` if it is for sending only.
    pub asset: Option<(Asset, B256)>,
}

/// The reason why a provider is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// No usable answer, and the kind of the failure.
    Silent(String, Failure),
    /// Another chain or another asset: a mistake in the configuration.
    Wrong(String),
    /// Far behind the others.
    Stale(String),
}

impl Unfit {
    fn failure(&self) -> Failure {
        match self {
            Self::Silent(_, failure) => *failure,
            Self::Wrong(_) | Self::Stale(_) => Failure::Unfit,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Silent(text, _) | Self::Wrong(text) | Self::Stale(text) => text,
        }
    }
}

/// The head that each provider reported last. `None` for resting providers.
pub(crate) type ProviderHeads = Arc<Mutex<Vec<Option<Told>>>>;

/// A provider.
#[derive(Debug)]
pub(crate) struct Provider {
    index: usize,
    /// `true` if it is the only configured provider.
    alone: bool,
    url: RpcUrl,
    terms: ProviderRequirements,
    http: Http,
    ids: AtomicU64,
    rate: Option<DefaultDirectRateLimiter>,
    places: Semaphore,
    health: Mutex<ProviderHealth>,
    heads: ProviderHeads,
}

impl Provider {
    pub(crate) fn new(
        (index, url): (usize, RpcUrl),
        http: Http,
        rate: u32,
        terms: ProviderRequirements,
        heads: ProviderHeads,
    ) -> Self {
        let alone = lock(&heads).len() == 1;
        let rate = NonZeroU32::new(rate).map(|rate| RateLimiter::direct(Quota::per_second(rate)));
        let health = Mutex::new(ProviderHealth::Well { failures: 0 });
        let (ids, places) = (AtomicU64::new(0), Semaphore::new(IN_FLIGHT_MAX));
        Self { index, alone, url, terms, http, ids, rate, places, health, heads }
    }

    /// The place in the configuration, from 0.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The host, for logs and errors.
    pub(crate) fn name(&self) -> String {
        self.url.to_string()
    }

    pub(crate) fn is_well(&self) -> bool {
        lock(&self.health).is_well()
    }

    /// Asks within `patience`, which includes waiting for the rate limit and for a permit. Fails if the provider rests.
    /// Updates its health.
    pub(crate) async fn ask<T: DeserializeOwned>(
        self: &Arc<Self>,
        method: &'static str,
        params: impl Serialize,
        patience: Duration,
    ) -> Result<Result<T, Refusal>, String> {
        let deadline = Instant::now() + patience;
        let waiting = async {
            if let Some(rate) = &self.rate {
                rate.until_ready().await;
            }
            self.places.acquire().await
        };
        // This wait is caused by our own limits and says nothing about the provider.
        let Ok(Ok(_place)) = tokio::time::timeout_at(deadline, waiting).await else {
            return Err(format!(
                "{}: no call was possible within {} ms: too many are under way",
                self.url,
                patience.as_millis()
            ));
        };
        if !self.is_well() {
            return Err(format!("{} is resting after failures", self.url));
        }
        let answer = tokio::time::timeout_at(deadline, self.exchange(method, params)).await;
        let answer = answer.unwrap_or(Err(Fault::Late(patience))).and_then(|answer| match answer {
            Ok(raw) => typed(&raw).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        });
        match answer {
            Ok(answer) => {
                lock(&self.health).succeeded();
                Ok(answer)
            }
            Err(fault) => {
                let why = format!("{}: {fault}", self.url);
                self.failed(failure(&fault), &why);
                Err(why)
            }
        }
    }

    async fn exchange(&self, method: &str, params: impl Serialize) -> Result<Result<Box<RawValue>, Refusal>, Fault> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        wire::ask(&self.http, &self.url, id, method, params).await
    }

    /// Stops the use of this provider until it has passed a check.
    pub(crate) fn unfit(self: &Arc<Self>, why: &Unfit) {
        let failure = match why.failure() {
            Failure::Limited(retry_after) => Failure::Limited(retry_after),
            Failure::Unusable | Failure::Unfit => Failure::Unfit,
        };
        self.failed(failure, why.text());
    }

    fn failed(self: &Arc<Self>, failure: Failure, why: &str) {
        if lock(&self.health).failed(failure, self.alone, Instant::now()) {
            tracing::warn!(provider = %self.url, why, "the provider rests");
            self.set_head(None);
            tokio::spawn(probe(Arc::downgrade(self)));
        }
    }

    /// Records the provider's latest block. Returns `false` if the block is below the one that was reported before the
    /// question was asked; it is then ignored until the provider has caught up with itself. If it is far below, the
    /// provider rests and the earlier report is forgotten. An only provider is always believed.
    pub(crate) fn is_onward(self: &Arc<Self>, number: u64, asked: Instant) -> bool {
        if self.alone {
            return true;
        }
        let now = Instant::now();
        let before = {
            let mut heads = lock(&self.heads);
            let before = heads.get(self.index).copied().flatten();
            let own = before.map_or(number, |before| before.number.max(number));
            if let Some(head) = heads.get_mut(self.index) {
                *head = Some(Told { number: own, at: now });
            }
            // Answers to two concurrent questions may overtake each other, which is no step back.
            before.filter(|before| before.at < asked)
        };
        if is_stale(number, &[before], now) {
            self.unfit(&Unfit::Stale(format!("{}: its latest block went back to {number}", self.url)));
        }
        before.is_none_or(|before| number >= before.number)
    }

    /// Compares the provider's latest block with the heads of the others. Returns `false` if it lags far; it rests from
    /// then on.
    pub(crate) fn keeps_up(self: &Arc<Self>, number: u64) -> bool {
        let stale = !self.alone && is_stale(number, &lock(&self.heads), Instant::now());
        if stale {
            self.unfit(&Unfit::Stale(format!("{}: its latest block is {number}, far behind", self.url)));
        }
        !stale
    }

    fn set_head(&self, head: Option<Told>) {
        if let Some(own) = lock(&self.heads).get_mut(self.index) {
            *own = head;
        }
    }

    /// Checks the chain id, the asset's EIP-712 domain, and that the provider does not lag. Ignores health, which
    /// depends on the result.
    pub(crate) async fn check(&self) -> Result<(), Unfit> {
        let ProviderRequirements { variable, chain_id, asset } = &self.terms;
        let found = self.probe_for::<U64>("eth_chainId", json!([])).await?.to::<u64>();
        if found != *chain_id {
            let text = format!("CHAIN_ID is {chain_id}, but {variable} leads to chain {found} at {}", self.url);
            return Err(Unfit::Wrong(text));
        }
        let Some((asset, separator)) = asset else { return Ok(()) };
        let input = Bytes::from(crate::abi::UsdcDouble::DOMAIN_SEPARATORCall {}.abi_encode());
        let call = json!([{ "to": asset.address, "input": input }, "latest"]);
        if self.probe_for::<Bytes>("eth_call", call).await?.as_ref() != separator.as_slice() {
            return Err(Unfit::Wrong(format!(
                "ASSET_ADDRESS, ASSET_NAME, ASSET_VERSION: the contract at {} does not have the EIP-712 domain {:?} version {:?} at {}",
                asset.address, asset.name, asset.version, self.url
            )));
        }
        if !self.alone {
            let head = self.probe_for::<U64>("eth_blockNumber", json!([])).await?.to::<u64>();
            if is_stale(head, &lock(&self.heads), Instant::now()) {
                return Err(Unfit::Stale(format!("{}: its latest block is {head}, far behind", self.url)));
            }
            self.set_head(Some(Told { number: head, at: Instant::now() }));
        }
        Ok(())
    }

    async fn probe_for<T: DeserializeOwned>(&self, method: &str, params: serde_json::Value) -> Result<T, Unfit> {
        let answer = tokio::time::timeout(PROBE_TIMEOUT, self.exchange(method, params)).await;
        let answer = answer.unwrap_or(Err(Fault::Late(PROBE_TIMEOUT)));
        let answer = answer.and_then(|answer| match answer {
            Ok(raw) => typed(&raw),
            Err(refusal) => Err(Fault::Shape(refusal.to_string())),
        });
        answer.map_err(|fault| {
            let failure = failure(&fault);
            Unfit::Silent(format!("{method}: {}: {fault}", self.url), failure)
        })
    }
}

/// Probes a resting provider (half-open circuit breaker): no other call reaches it meanwhile. Ends with the rest or
/// with the provider.
async fn probe(provider: Weak<Provider>) {
    loop {
        let until = match provider.upgrade().map(|provider| lock(&provider.health).clone()) {
            Some(ProviderHealth::Resting { until, .. }) => until,
            Some(ProviderHealth::Well { .. }) | None => return,
        };
        tokio::time::sleep_until(until).await;
        let Some(provider) = provider.upgrade() else { return };
        match provider.check().await {
            Ok(()) => {
                tracing::info!(provider = %provider.url, "the provider is well again");
                return lock(&provider.health).recovered();
            }
            Err(unfit) => {
                if let Unfit::Wrong(why) = &unfit {
                    tracing::error!(provider = %provider.url, why, "the provider is not used");
                }
                lock(&provider.health).still_unwell(unfit.failure(), Instant::now());
            }
        }
    }
}

fn failure(fault: &Fault) -> Failure {
    match fault {
        Fault::Limited(retry_after) => Failure::Limited(*retry_after),
        Fault::Unreachable(_)
        | Fault::Late(_)
        | Fault::Status(_)
        | Fault::TooLarge
        | Fault::Truncated
        | Fault::NotJson(_)
        | Fault::WrongId
        | Fault::Shape(_)
        | Fault::Busy(_) => Failure::Unusable,
    }
}

fn typed<T: DeserializeOwned>(raw: &RawValue) -> Result<T, Fault> {
    serde_json::from_str(raw.get()).map_err(|e| Fault::Shape(crate::error::clip(&e.to_string())))
}

/// Locks a mutex. Poisoning is ignored: no holder panics, and the content is consistent at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
