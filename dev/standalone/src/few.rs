//! Two purchases of a token that is sold out, the second part of the demo. A payment that somebody pushes around the token
//! comes back to the cent, and who comes later is refused before signing.

use crate::accounts::{OWNER, PAYER, PUSHED, STRANGER};
use crate::demo::{Timeline, buy};
use crate::installation::Installation;
use crate::shop::{self, Shop};
use alloy_primitives::{Address, B256, U256};
use chrono::Utc;
use dev_chain::{DevChain, NewToken, SignedTransfer};
use domain::{Authorization, Event, OrderEvent, PaymentId, PaymentKey, Quantity, TokenTerms, Usdc};
use futures_util::StreamExt;
use ledger::Ledger;
use neighbours::FINAL;
use runtime::Fatal;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// Units of the token.
const UNITS: u32 = 3;

/// Time that each signature is valid, seconds.
const WINDOW_S: u64 = 900;

/// The longest that a step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Play money of each of the two payers.
const MONEY: Usdc = Usdc(1_000_000);

/// Runs the part, prints each step, and compares the end with what the payers are promised.
///
/// # Errors
/// One sentence: a step that did not happen in time, or an end that is another.
#[allow(clippy::print_stdout)]
pub async fn sold_out(installation: &Installation) -> Result<(), Fatal> {
    let chain = DevChain::connect(&installation.servers.anvil.rpc_url()).await?;
    let asset = installation.shop.asset;
    let terms = open(installation, &chain).await?;
    println!("\nOf {} there are {UNITS} units. {PUSHED} signs for all of them.", terms.symbol);
    println!("Somebody submits the signature to USDC directly, around the token, and a stranger buys all units:\n");
    let before = [chain.usdc_balance(asset, PUSHED).await?, chain.usdc_balance(asset, PAYER).await?];

    let ledger = Ledger::connect(&Shop::ledger(&installation.servers), "/paymint/standalone").await?;
    let mut news = ledger.follow(vec!["orders.>".to_owned()], true).await?;
    let pushed = signed(&chain, &terms, PUSHED).await?;
    chain.transact(STRANGER, Some(asset), pushed.call()).await?;
    let timeline = Timeline::begin(Utc::now());
    let id = order(installation, &terms, &pushed).await?;
    let strangers = order(installation, &terms, &signed(&chain, &terms, STRANGER).await?).await?;
    let mut refused = String::new();
    let back = async {
        while let Some(recorded) = news.next().await {
            let recorded = recorded?;
            let Ok(Event::Order(of, event)) = &recorded.event else { continue };
            if *of == strangers && matches!(event, OrderEvent::PaymentConfirmed(_)) {
                // No unit is left. What was paid around the token becomes final, and the operator's lane may act.
                refused = buy(installation, &terms, 1).await?;
                chain.raw("anvil_mine", (U256::from(FINAL),)).await?;
            }
            if *of != id {
                continue;
            }
            timeline.print(&recorded, event);
            match event {
                OrderEvent::RefundConfirmed(_) => return Ok(()),
                OrderEvent::MintConfirmed(_) => return Err("units were minted, and the money was to come back".into()),
                _ => {}
            }
        }
        Err::<(), Fatal>("the ledger's news ended".into())
    };
    let late = |_| format!("the money was not back within {} s", STEP_TIMEOUT.as_secs());
    timeout(STEP_TIMEOUT, back).await.map_err(late)??;
    let after = [chain.usdc_balance(asset, PUSHED).await?, chain.usdc_balance(asset, PAYER).await?];
    let units = chain.token_balance(terms.token, PUSHED).await?;
    println!("\nNo unit is left for that payment, so the operator's lane has given it back: {PUSHED}");
    println!("had {} atomic USDC before and has {} now, and no units.", before[0], after[0]);
    println!("\n{PAYER} wants one unit, too, and is answered {refused}.");
    println!("Nothing was signed and nothing charged: {} atomic USDC before, {} now.", before[1], after[1]);
    let is_refused = refused == "422 sold_out";
    match (before == after, units.is_zero(), is_refused) {
        (true, true, true) => Ok(()),
        (false, ..) => Err(format!("{before:?} atomic USDC were there before, and {after:?} are there now").into()),
        (_, false, _) => Err(format!("{units} base units were minted for money that went back").into()),
        (.., false) => Err(format!("a purchase of what is sold out was answered with {refused}").into()),
    }
}

/// Creates and registers the token, and gives its two payers play money.
async fn open(installation: &Installation, chain: &DevChain) -> Result<TokenTerms, Fatal> {
    let Shop { asset, factory, .. } = installation.shop;
    let few = NewToken {
        name: "Few".to_owned(),
        symbol: "FEW".to_owned(),
        max_units: u64::from(UNITS),
        ..shop::demo_token()
    };
    // Each from an account of its own: anvil gives one nonce twice to transactions that an account sends concurrently.
    let (terms, (), ()) = tokio::try_join!(
        chain.create_token(OWNER, factory, asset, few),
        chain.fund_usdc(PUSHED, asset, PUSHED, MONEY),
        chain.fund_usdc(STRANGER, asset, STRANGER, MONEY),
    )?;
    let ledger = Ledger::connect(&Shop::ledger(&installation.servers), "/paymint/standalone").await?;
    shop::register(&ledger, &terms).await?;
    Ok(terms)
}

/// A payment of `payer` for all units.
async fn signed(chain: &DevChain, terms: &TokenTerms, payer: Address) -> Result<SignedTransfer, Fatal> {
    let value = Quantity::new(UNITS).and_then(|units| terms.unit_price.times(units)).ok_or("no price")?;
    let now = u64::try_from(Utc::now().timestamp())?;
    let authorization = Authorization {
        from: payer,
        to: terms.token,
        value,
        valid_after: 0,
        valid_before: now + WINDOW_S,
        nonce: B256::new(rand::random()),
    };
    Ok(chain.sign_transfer(terms.asset, authorization).await?)
}

/// Sends the payment to the api, which must accept it. Returns the id of the order.
async fn order(installation: &Installation, terms: &TokenTerms, payment: &SignedTransfer) -> Result<PaymentId, Fatal> {
    let (name, value) = payment.v2_header(terms);
    let url = format!("http://{}/api/mint/{}", installation.api, terms.token);
    let request = reqwest::Client::new().post(url).header(name, value).body(format!("{{\"quantity\":{UNITS}}}"));
    let accepted = async {
        loop {
            let answer = request.try_clone().ok_or("a request cannot be copied")?.send().await?;
            let status = answer.status().as_u16();
            let said: Value = answer.json().await?;
            match status {
                202 => return Ok(()),
                // The api has not read the registration yet, or the first payment, which holds all units until it is tried.
                404 | 422 => tokio::time::sleep(Duration::from_millis(20)).await,
                other => return Err::<(), Fatal>(format!("the order was answered with {other}: {said}").into()),
            }
        }
    };
    timeout(STEP_TIMEOUT, accepted).await.map_err(|_| "the api does not know the token")??;
    let auth = &payment.authorization;
    Ok(PaymentId::of(PaymentKey::new(terms.chain_id, terms.asset, auth.from, auth.nonce)))
}
