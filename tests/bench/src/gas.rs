//! Gas of a payment and of a mint at batches of 1, 10 and 100: the transactions that the services send, from receipts.
//!
//! Payers keep a balance, the token holds money and has a supply, and each batch has other payers than the one before.

use chain::{Broadcast, Call, Chain, ChainConfig, Included, Inclusion, Key, MintItem, MintResult, SettleResult};
use domain::{PaymentRequest, Purchase};
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
            (paid, minted) = (paid.at_most(48_000.0), minted.at_most(50_000.0));
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
    let requests: Vec<&PaymentRequest> = payments.iter().collect();
    let included = send(chain, key, chain.settle_call(house.shop.settlement, &requests)).await?;
    let results = included.settle_results(house.shop.settlement, payments.len());
    match results {
        Some(results) if results.iter().all(|result| *result == SettleResult::Paid) => Ok(included.gas_used),
        other => Err(format!("a settlement did not settle everything: {other:?}").into()),
    }
}

/// Gas of the transaction that mints what they bought.
async fn mint(chain: &Chain, house: &House, key: &Key, payments: &[PaymentRequest]) -> Result<u64, Fatal> {
    let item = |payment: &PaymentRequest| {
        let Purchase::Mint { quantity, .. } = payment.purchase;
        MintItem { id: payment.id(), payment_key: payment.payment_key, to: payment.payer(), quantity }
    };
    let token = house.shop.token.token;
    let items: Vec<MintItem> = payments.iter().map(item).collect();
    let included = send(chain, key, chain.mint_call(token, &items)).await?;
    match included.mint_results(token, items.len()) {
        Some(results) if results.iter().all(|result| *result == MintResult::Minted) => Ok(included.gas_used),
        other => Err(format!("a mint did not mint everything: {other:?}").into()),
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
