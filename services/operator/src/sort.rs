//! The batch of a lane, order by order: what each asks for, and whether that may be done.

use crate::around::{Around, around, fits};
use crate::arrivals::Inflow;
use crate::config::Config;
use crate::deed::{deed, remaining, waits};
use chain::token::Deed;
use chain::{Address, Chain};
use domain::event::{ParkReason, Parked};
use domain::order::Command;
use domain::{BlockRef, Order, PaymentId, Purchase};
use lanes::{Item, TermsCache};
use ledger::{Ledger, Loaded};
use runtime::{Backoff, Health, Undone};
use std::time::Duration;
use waits::Job;

/// Wait of an order that is in another hand, or was not found.
const SOON: Duration = Duration::from_millis(500);

/// The longest wait between two tries.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Resources that all lanes of this process share.
#[derive(Clone)]
pub struct OperateResources {
    pub config: Config,
    pub ledger: Ledger,
    pub chain: Chain,
    pub inflow: Inflow,
    pub health: Health,
}

/// Judges the orders of one lane.
pub(crate) struct Sorter {
    shared: OperateResources,
    terms: TermsCache,
}

/// The next step for an order.
enum Next {
    /// The deed, and the factory of the token.
    Do(Deed, Address, Box<Item>),
    /// Nothing to do: the effect of its message is in the ledger.
    Done,
    Later(Duration),
    Park(Box<Item>, String),
}

/// Orders of one token that ask for the same deed, and their jobs.
pub(crate) struct Group {
    pub token: Address,
    pub factory: Address,
    pub deed: Deed,
    pub items: Vec<Item>,
    pub jobs: Vec<Job>,
}

impl OperateResources {
    /// Pauses between two tries.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff { first: self.config.settings.now().payment_retry, max: RETRY_MAX }
    }
}

impl Sorter {
    pub(crate) fn new(shared: OperateResources) -> Self {
        Self { shared, terms: TermsCache::default() }
    }

    /// Answers the jobs whose orders need no transaction, and puts the others into groups.
    pub(crate) async fn sort(&mut self, batch: Vec<Job>) -> Result<Vec<Group>, Undone> {
        let ids: Vec<PaymentId> = batch.iter().map(|job| job.id).collect();
        let read = async {
            let (ledger, chain) = (&self.shared.ledger, &self.shared.chain);
            let loaded = ledger.load_orders(&ids).await.map_err(Undone::from)?;
            let last = chain.final_head().await?.block;
            let deep = chain.confirmed(chain.head().await?).await?.block;
            Ok((loaded, [last, deep]))
        };
        let (mut loaded, blocks) = match read.await {
            Ok(read) => read,
            Err(error) => {
                batch.into_iter().for_each(|job| job.hand_back(&self.shared.inflow.carrier, &error));
                return Err(error);
            }
        };
        let mut groups: Vec<Group> = Vec::new();
        for job in batch {
            let next = match loaded.remove(&job.id) {
                Some(Ok(order)) => self.next(&job, order, blocks).await,
                Some(Err(error)) => Err(error.into()),
                // A second job of an order that was handled above.
                None => Ok(Next::Later(SOON)),
            };
            match next {
                Ok(Next::Do(deed, factory, item)) => {
                    let token = token_of(&item.order);
                    match groups.iter_mut().find(|group| (group.token, group.deed) == (token, deed)) {
                        Some(group) => {
                            group.items.push(*item);
                            group.jobs.push(job);
                        }
                        None => groups.push(Group { token, factory, deed, items: vec![*item], jobs: vec![job] }),
                    }
                }
                Ok(Next::Done) => job.done(),
                Ok(Next::Later(delay)) => job.later(&self.shared.inflow.carrier, delay),
                Ok(Next::Park(item, why)) => self.park(job, &item, why).await,
                Err(error) => job.fail(&self.shared.inflow.carrier, error),
            }
        }
        Ok(groups)
    }

    /// Judges one order. `last` is a final block, up to which payments around the token are looked for, and `deep` one that
    /// is N deep, whose state the nodes still have.
    async fn next(&mut self, job: &Job, loaded: Loaded<Order>, [last, deep]: [BlockRef; 2]) -> Result<Next, Undone> {
        let Some(item) = Item::of(job.id, loaded).map(Box::new) else { return Ok(Next::Later(SOON)) };
        let order = &item.order;
        if !job.carries(order, waits) {
            return Ok(Next::Done);
        }
        if let Some(wait) = remaining(order) {
            return Ok(Next::Later(wait.min(RETRY_MAX)));
        }
        let again = Next::Later(self.shared.backoff().pause(job.tries));
        let Some(deed) = deed(order) else { return Ok(again) };
        let (token, chain) = (token_of(order), &self.shared.chain);
        let Some(terms) = self.terms.of(&self.shared.ledger, token).await? else {
            return Ok(Next::Park(item, format!("the token {token} is not registered")));
        };
        if let Err(why) = fits(&order.request, &terms, chain.config().asset.address, chain.config().chain_id) {
            return Ok(Next::Park(item, why.to_owned()));
        }
        if deed == Deed::Refund {
            return Ok(Next::Do(deed, terms.factory, item));
        }
        let evidence = chain.evidence(&order.request.authorization, last, deep).await?;
        Ok(match around(&evidence, &terms) {
            Around::Proven => Next::Do(deed, terms.factory, item),
            Around::NotProven => again,
            Around::Refuted(why) => Next::Park(item, why),
        })
    }

    /// Leaves an order to a person: a refund by an event of its own, and a payment that is parked already by a parked
    /// message.
    async fn park(&self, job: Job, item: &Item, why: String) {
        let refund =
            Command::ParkRefund(Parked { reason: ParkReason::Inconsistent, detail: why.clone(), tx_hash: None });
        if item.event(refund.clone()).is_none() {
            return job.park(why);
        }
        match item.record(&self.shared.ledger, refund).await {
            Ok(()) => job.done(),
            Err(error) => job.fail(&self.shared.inflow.carrier, error),
        }
    }
}

fn token_of(order: &Order) -> Address {
    let Purchase::Mint { token, .. } = order.request.purchase;
    token
}
