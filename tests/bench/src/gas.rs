//! Gas of a payment and of a mint at batches of 1, 10 and 100: the transactions that the services send, from receipts.
//!
//! Payers keep a balance, the token holds money and has a supply, and each batch has other payers than the one before.

use chain::token::{Delivered, Paid, deliver_call, pay_call, segments};
use chain::{Broadcast, Call, Chain, ChainConfig, Included, Inclusion, Key};
use domain::{PaymentKey, PaymentRequest};
use runtime::{Env, Fatal};
use standalone::accounts::{MINTER_KEYS, SENDER_KEYS};
use standalone::services::environment;
use std::time::{Duration, Instant};

use crate::house::House;
use crate::payers::Payers;
use crate::report::{Report, Row};

/// Blocks come fast: only gas is measured.
const BLOCK_TIME: Duration = Duration::from_millis(200);
/// A transaction is in a block within this.
const INCLUSION_TIMEOUT: Duration = Duration::from_secs(20);
/// Payments in one transaction. The first one gives the token its supply, and is not reported.
const BATCHES: [usize; 4] = [1, 1, 10, 100];
/// Gas of a payment in a batch of one hundred. `contracts/gas` measured 66,400.
const PAID_MAX: f64 = 70_000.0;
/// Gas of a mint to a new holder in a batch of one hundred. `contracts/gas` measured 30,900.
const MINTED_MAX: f64 = 34_000.0;

/// Settles and mints each batch, then mints to the same holders again.
///
/// # Errors
/// A transaction that does not do all that it should: every item is paid, every item is minted.
pub async fn run(report: &mut Report) -> Result<(), Fatal> {
    println!("gas: batches of 1, 10 and 100 from receipts");
    let house = House::start("gas", BLOCK_TIME).await?;
    let variables = environment(&house.servers, &house.shop, house.api);
    let chain = Chain::connect(ChainConfig::from_env(&Env::of(variables))?).await?;
    let payers = Payers::new("gas", BATCHES.iter().sum())?;
    payers.fund(&house.chain, house.shop.asset).await?;
    let (sender, minter): (Key, Key) = (SENDER_KEYS[0].parse()?, MINTER_KEYS[0].parse()?);
    let mut first = 0;
    for (at, size) in BATCHES.into_iter().enumerate() {
        let [new, again] = [(); 2].map(|()| payers.sign(&house.shop.token, first, size));
        first += size;
        let (new, again) = (new?, again?);
        let paid = settle(&chain, &house, &sender, &new).await? as f64 / size as f64;
        let mint_new = mint(&chain, &house, &minter, &new).await? as f64 / size as f64;
        settle(&chain, &house, &sender, &again).await?;
        let mint_again = mint(&chain, &house, &minter, &again).await? as f64 / size as f64;
        if at == 0 {
            continue;
        }
        let name = |what: &str| format!("gas at {size}: {what}");
        let mut paid = Row::new(name("settle, per payment"), paid, "gas");
        let mut minted = Row::new(name("mint, new holder"), mint_new, "gas");
        if size == 100 {
            (paid, minted) = (paid.at_most(PAID_MAX), minted.at_most(MINTED_MAX));
        }
        for row in [paid, minted, Row::new(name("mint, existing holder"), mint_again, "gas")] {
            report.row(row);
        }
    }
    house.end().await;
    Ok(())
}

/// Gas of the transaction that settles `payments`.
async fn settle(chain: &Chain, house: &House, key: &Key, payments: &[PaymentRequest]) -> Result<u64, Fatal> {
    let included = send(chain, key, pay_call(house.shop.hub, &segments(payments))).await?;
    let results = included.paid(&vec![house.shop.token.token; payments.len()]);
    if results.iter().all(|result| *result == Some(Paid::Recorded)) {
        Ok(included.gas_used)
    } else {
        Err(format!("a settlement did not settle everything: {results:?}").into())
    }
}

/// Gas of the transaction that mints the units that they bought.
async fn mint(chain: &Chain, house: &House, key: &Key, payments: &[PaymentRequest]) -> Result<u64, Fatal> {
    let token = house.shop.token.token;
    let keys: Vec<PaymentKey> = payments.iter().map(|payment| payment.payment_key).collect();
    let included = send(chain, key, deliver_call(token, &keys, &[])).await?;
    let results = included.delivered(token);
    if keys.iter().all(|key| results.get(key) == Some(&Delivered::Minted)) {
        Ok(included.gas_used)
    } else {
        Err(format!("a mint did not mint everything: {results:?}").into())
    }
}

/// Signs, sends and waits, as a lane does without its ledger.
async fn send(chain: &Chain, key: &Key, call: Call) -> Result<Included, Fatal> {
    let nonce = chain.nonce(key.address()).await?;
    let fees = chain.fees(chain.head().await?).await?;
    let tx = chain.sign(key, nonce, fees, call)?;
    match chain.broadcast(&tx).await {
        Broadcast::Accepted => {}
        other => return Err(format!("a transaction was not taken: {other:?}").into()),
    }
    let begun = Instant::now();
    while begun.elapsed() < INCLUSION_TIMEOUT {
        if let Inclusion::Included(included) = chain.inclusion(tx.tx_hash).await? {
            return Ok(*included);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("a transaction was not included in time".into())
}
