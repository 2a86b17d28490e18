//! People who buy: at a steady pace, with everything that people do, and with the patience to ask again.

use crate::house::{FEW, House};
use crate::manner::{MANNERS, Manner};
use alloy::sol_types::SolCall;
use alloy_primitives::{Bytes, U256};
use chain::abi::{MintToken, UsdcDouble};
use domain::PaymentId;
use harness::journal::{now, request_line};
use harness::{Answer, Bill, Buyer, DOLLAR, Order, Payment};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use runtime::VALIDITY_MAX_S;
use serde_json::{Value, json};
use standalone::accounts::OWNER;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Payers with money; each has a few orders under way at a time.
pub const PAYERS: usize = 100;

/// Money of each payer: enough for every order of a long run.
pub const WEALTH: u64 = 20 * DOLLAR;

/// A client gives up after this, and never knows.
const GIVES_UP: Duration = Duration::from_secs(60);

/// The longest that a client waits although it is told to wait longer.
const WAITS_MAX: Duration = Duration::from_secs(3);

/// The clocks of a payer and of the api may differ by this, seconds.
const CLOCKS_S: u64 = 5;

/// `if (tx.gasprice != 0) invalid(); return 0x1626ba7e;`: calls have no gas price, and transactions have one (ERC-1271).
const BURNS_ON_CHAIN: &str = "0x3a15600657fe5b631626ba7e60e01b60005260206000f3";

/// Payments of the penniless and the careless are good for so long.
const SHORT_S: u64 = 25;

/// Purchases after which every process has what it needs once.
const WARM: usize = 40;

/// Between two looks at an order that is to be asked back.
const LOOKS: Duration = Duration::from_millis(100);

/// Between two orders when all that were asked for are made, but not everything has gone wrong yet.
const TRICKLE: Duration = Duration::from_millis(300);

/// The result of the load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sold {
    pub purchases: usize,
    pub accepted: usize,
    pub refused: usize,
    /// No instance answered in time.
    pub unknown: usize,
    /// Refunds that a person asked for, and that were granted.
    pub asked_back: usize,
}

/// The people, and what they do.
pub struct Load {
    house: Arc<House>,
    buyers: Arc<Vec<Buyer>>,
    seed: u64,
    tally: Arc<Tally>,
}

/// How the clients fared so far.
#[derive(Default)]
struct Tally {
    accepted: AtomicUsize,
    refused: AtomicUsize,
    unknown: AtomicUsize,
    asked_back: AtomicUsize,
    /// Payers and payments of [`Manner::Free`].
    free: Mutex<Vec<(Buyer, Payment)>>,
}

impl Load {
    pub fn new(house: Arc<House>, buyers: Arc<Vec<Buyer>>, seed: u64) -> Self {
        Self { house, buyers, seed, tally: Arc::default() }
    }

    /// Plain purchases, after which every process is warm.
    pub async fn warm_up(&self) {
        let plain: JoinSet<()> = (0..WARM).map(|nth| self.purchase(nth, Some(Manner::Plain), false)).collect();
        plain.join_all().await;
    }

    /// `count` purchases, evenly over `time`, then a trickle until `over`. Returns when the last client has its answer,
    /// or has given up.
    pub async fn run(&self, count: usize, time: Duration, over: &AtomicBool) -> Sold {
        let pause = time / u32::try_from(count.max(1)).unwrap();
        let begun = Instant::now();
        let mut purchases = JoinSet::new();
        let mut made = 0;
        while made < count || !over.load(Ordering::Relaxed) {
            purchases.spawn(self.purchase(WARM + made, None, made >= count));
            made += 1;
            if made == count {
                purchases.spawn(self.decides_free_orders());
            }
            let due = if made <= count { pause * u32::try_from(made).unwrap() } else { begun.elapsed() + TRICKLE };
            tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
        }
        while let Some(done) = purchases.join_next().await {
            done.unwrap();
        }
        let number = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        Sold {
            purchases: made,
            accepted: number(&self.tally.accepted),
            refused: number(&self.tally.refused),
            unknown: number(&self.tally.unknown),
            asked_back: number(&self.tally.asked_back),
        }
    }

    /// `count` plain purchases that are accepted.
    pub async fn buys(&self, count: usize) -> Vec<Payment> {
        let mut bought = JoinSet::new();
        for nth in 0..count {
            let client = Client { house: self.house.clone(), first: nth % 2, tally: self.tally.clone() };
            let payment = self.buyers[nth % self.buyers.len()].pay(&self.house.token, 1);
            bought.spawn(async move { client.insists(&payment, None).await.then_some(payment) });
        }
        bought.join_all().await.into_iter().flatten().collect()
    }

    /// Ends the waiting of the free orders: every other payer gets money, the rest cancel. Repeated, it makes good what a
    /// reorganisation took away.
    pub fn decides_free_orders(&self) -> impl Future<Output = ()> + Send + use<> {
        let (house, free) = (self.house.clone(), self.tally.free.lock().unwrap().clone());
        async move {
            for (nth, (buyer, payment)) in free.iter().enumerate() {
                let nonce = payment.transfer.authorization.nonce;
                let call = if nth % 2 == 0 { funding(buyer) } else { buyer.cancellation(&house.token, nonce) };
                house.submit(call).await;
            }
        }
    }

    /// Signs a payment that nobody orders, and that somebody else settles through the token.
    pub async fn settles_unordered(&self) {
        let (terms, buyer) = (&self.house.token, &self.buyers[0]);
        self.house.chain.transact(OWNER, terms.token, buyer.pay(terms, 2).settle_call()).await;
    }

    /// The whole of the `nth` purchase, by the manners that the seed gives it where none are named.
    /// Of the `last` purchases none waits for long.
    fn purchase(&self, nth: usize, manner: Option<Manner>, last: bool) -> impl Future<Output = ()> + Send + use<> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ (u64::try_from(nth).unwrap() << 20));
        let mut left = rng.random_range(0..100_u8);
        let drawn = MANNERS.iter().find(|(_, share)| {
            let is_it = left < *share;
            left = left.saturating_sub(*share);
            is_it
        });
        let manner = manner.or(drawn.map(|(drawn, _)| *drawn)).unwrap_or(Manner::Plain);
        let manner = if last && matches!(manner, Manner::Free | Manner::Burns) { Manner::Plain } else { manner };
        let client = Client { house: self.house.clone(), first: rng.random_range(0..2), tally: self.tally.clone() };
        let buyer = match manner {
            Manner::Penniless | Manner::FundedLate | Manner::Free | Manner::Burns => Buyer::new(),
            Manner::FromHimself => self.house.creator.clone(),
            _ => self.buyers[nth % self.buyers.len()].clone(),
        };
        let (quantity, patience) = (rng.random_range(1..4), Duration::from_millis(rng.random_range(500..6_000)));
        async move { client.does(manner, &buyer, quantity, patience, nth).await }
    }
}

/// One client of the api: it asks one instance, and the other when that does not answer.
#[derive(Clone)]
struct Client {
    house: Arc<House>,
    first: usize,
    tally: Arc<Tally>,
}

impl Client {
    async fn does(&self, manner: Manner, buyer: &Buyer, quantity: u32, patience: Duration, nth: usize) {
        let house = &self.house;
        let bill = Bill::of(&house.token, quantity);
        match manner {
            Manner::Plain => {
                self.insists(&buyer.sign(bill), None).await;
            }
            Manner::FirstGeneration => {
                let payment = buyer.sign(bill);
                self.sends(&payment, payment.v1(), None).await;
            }
            Manner::SentTwice => {
                let payment = buyer.sign(bill);
                let other = Self { first: 1 - self.first, ..self.clone() };
                tokio::join!(self.insists(&payment, None), other.insists(&payment, None));
            }
            Manner::AnewUnderKey => {
                let key = format!("purchase-{nth}");
                self.insists(&buyer.sign(bill), Some(&key)).await;
                tokio::time::sleep(patience).await;
                self.insists(&buyer.pay(&house.token, quantity), Some(&key)).await;
            }
            Manner::Penniless => {
                self.insists(&buyer.sign(bill.lasting(SHORT_S)), None).await;
            }
            Manner::Free => {
                let payment = buyer.sign(bill.lasting(VALIDITY_MAX_S - CLOCKS_S));
                self.tally.free.lock().unwrap().push((buyer.clone(), payment.clone()));
                self.insists(&payment, None).await;
            }
            Manner::Burns => {
                let _ = house.ask("anvil_setCode", json!([buyer.address, BURNS_ON_CHAIN])).await;
                house.fund(funding(buyer)).await;
                self.insists(&buyer.sign(bill.lasting(SHORT_S)), None).await;
            }
            Manner::FromHimself => {
                self.insists(&buyer.pay(&house.own, quantity), None).await;
                tokio::time::sleep(patience).await;
                house.call(house.own.token, MintToken::withdrawCall {}.abi_encode().into()).await;
            }
            Manner::FundedLate => {
                self.insists(&buyer.sign(bill.lasting(2 * SHORT_S)), None).await;
                tokio::time::sleep(patience).await;
                house.fund(funding(buyer)).await;
            }
            Manner::Cancelled => {
                let payment = buyer.sign(bill);
                self.insists(&payment, None).await;
                tokio::time::sleep(patience / 8).await;
                // The story `reorganised` cancels payments that are out of the chain (F41).
                if house.is_reorganised() {
                    return;
                }
                house.submit(buyer.cancellation(&house.token, payment.transfer.authorization.nonce)).await;
            }
            Manner::ThirdParty => {
                let payment = buyer.sign(bill);
                self.insists(&payment, None).await;
                house.call(house.token.token, payment.settle_call()).await;
                tokio::time::sleep(patience / 4).await;
                house.call(house.token.token, Order::of(&payment).mint_call()).await;
            }
            Manner::AroundToken => {
                let payment = buyer.sign(bill);
                self.insists(&payment, None).await;
                house.submit(payment.transfer.call()).await;
            }
            Manner::SettledBefore => {
                let payment = buyer.sign(bill);
                house.call(house.token.token, payment.settle_call()).await;
                self.insists(&payment, None).await;
            }
            Manner::FrontRun => self.is_front_run(&buyer.sign(bill)).await,
            Manner::TakenBefore => match house.few() {
                Some(few) => {
                    // It expires soon if a reorganisation takes the front-run away.
                    let payment = buyer.sign(Bill::of(&few, FEW - 1).lasting(2 * SHORT_S));
                    self.is_front_run(&payment).await;
                    house.call(few.token, buyer.pay(&few, 2).settle_call()).await;
                }
                None => self.is_front_run(&buyer.sign(bill)).await,
            },
            Manner::AskedBack => {
                let payment = buyer.sign(bill);
                if self.insists(&payment, None).await {
                    self.asks_back(payment.id()).await;
                }
            }
            // Two instances may accept the last units at once: one payer is told so when the window closes.
            Manner::Rare => {
                self.insists(&buyer.sign(Bill::of(&house.rare, 4).lasting(2 * SHORT_S)), None).await;
            }
            Manner::Garbled => {
                let payment = buyer.sign(bill);
                let (name, value) = payment.v2();
                self.sends(&payment, (name, value.chars().rev().collect()), None).await;
            }
            Manner::WrongPrice => {
                let cheap = buyer.sign(bill);
                let header = cheap.v2();
                self.sends(&Payment { quantity: quantity + 1, ..cheap }, header, None).await;
            }
        }
    }

    /// Somebody else submits the authorization to USDC before the api sees it.
    async fn is_front_run(&self, payment: &Payment) {
        self.house.submit(payment.transfer.call()).await;
        self.insists(payment, None).await;
    }

    /// A person looks at the order, and asks for the money as soon as it is there and no units are.
    async fn asks_back(&self, id: PaymentId) {
        let begun = Instant::now();
        for url in self.house.urls.iter().cycle() {
            let shown = match self.house.http.get(format!("{url}/api/payment/{id}")).send().await {
                Ok(response) => Answer::of(response).await.map(|answer| answer.json).unwrap_or_default(),
                Err(_) => Value::Null,
            };
            match shown["state"].as_str() {
                Some("minted" | "failed" | "refunded") => return,
                Some("paid" | "payment_parked" | "mint_deferred" | "mint_parked") => {
                    match self.house.ask_back(id).await {
                        Ok(()) => return count(&self.tally.asked_back),
                        Err(said) if said.contains("the units are minted") => return,
                        Err(_) => {}
                    }
                }
                _ if begun.elapsed() > GIVES_UP => return,
                _ => {}
            }
            tokio::time::sleep(LOOKS).await;
        }
    }

    /// Returns true if the order was accepted.
    async fn insists(&self, payment: &Payment, key: Option<&str>) -> bool {
        self.sends(payment, payment.v2(), key).await
    }

    /// Asks until somebody says yes or no; every try is a line of the journal. Returns true for a yes.
    async fn sends(&self, payment: &Payment, header: (&str, String), key: Option<&str>) -> bool {
        let path = format!("/api/mint/{}", payment.terms.token);
        let body = json!({ "quantity": payment.quantity }).to_string();
        let begun = Instant::now();
        let mut url = self.first;
        while begun.elapsed() < GIVES_UP {
            let mut request = self.house.http.post(format!("{}{path}", self.house.urls[url]));
            request = request.header(header.0, &header.1).body(body.clone());
            if let Some(key) = key {
                request = request.header("Idempotency-Key", key);
            }
            let at = now();
            let answer = match request.send().await {
                Ok(response) => Answer::of(response).await.ok(),
                Err(_) => None,
            };
            let told = answer.as_ref().map_or(Value::Null, |it| json!({ "status": it.status, "body": it.text }));
            self.house.journal.line(&request_line(at, &path, (header.0, &header.1), key, &body, told));
            let wait = match answer.as_ref().map(|answer| answer.status) {
                Some(202) => {
                    count(&self.tally.accepted);
                    return true;
                }
                Some(429 | 503) => {
                    let told = answer.and_then(|answer| answer.headers.get("retry-after")?.to_str().ok()?.parse().ok());
                    Duration::from_secs(told.unwrap_or(1)).min(WAITS_MAX)
                }
                None | Some(500..) => Duration::from_millis(200),
                Some(_) => {
                    count(&self.tally.refused);
                    return false;
                }
            };
            tokio::time::sleep(wait).await;
            url = 1 - url;
        }
        count(&self.tally.unknown);
        false
    }
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The call that gives a payer a dollar.
fn funding(buyer: &Buyer) -> Bytes {
    UsdcDouble::mintCall { to: buyer.address, amount: U256::from(DOLLAR) }.abi_encode().into()
}
