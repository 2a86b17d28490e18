//! The demo: one real purchase with a stock x402 client, its timeline, and the balance that the chain tells. Its second part
//! is in `few`.

use crate::accounts::{PAYER, PAYER_KEY};
use crate::installation::Installation;
use crate::shop::Shop;
use alloy_primitives::U256;
use chrono::{DateTime, Utc};
use dev_chain::DevChain;
use domain::{Event, OrderEvent, Quantity, Recorded, TokenTerms, Usdc};
use futures_util::StreamExt;
use ledger::Ledger;
use neighbours::Tools;
use runtime::Fatal;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// From the POST to the minted units; blocks come every second or so.
const PURCHASE_TIMEOUT: Duration = Duration::from_secs(60);

/// 0.10 USDC: what both generations of stock clients pay without being configured.
const QUANTITY: u32 = 10;

/// Buys ten units and prints each step as it is written to the ledger.
///
/// # Errors
/// One sentence: the client's own, a payment that failed, or no end in time.
#[allow(clippy::print_stdout)]
pub async fn purchase(installation: &Installation) -> Result<(), Fatal> {
    let ledger = Ledger::connect(&Shop::ledger(&installation.servers), "/paymint/standalone").await?;
    let mut news = ledger.follow(vec!["orders.>".to_owned()], true).await?;
    let token = &installation.shop.token;
    let quantity = Quantity::new(QUANTITY).ok_or("no quantity")?;
    let price = token.unit_price.times(quantity).unwrap_or(Usdc(0));
    println!("\n{PAYER} buys {quantity} {} for {price} with @x402/fetch:\n", token.symbol);
    let mut client = client(installation, token, QUANTITY)?;
    let timeline = Timeline::begin(posted_at(&mut client).await?);
    let mut client = std::pin::pin!(client.wait_with_output());
    let mut answered = false;
    let mut deadline = std::pin::pin!(tokio::time::sleep(PURCHASE_TIMEOUT));
    loop {
        tokio::select! {
            output = &mut client, if !answered => {
                let output = output?;
                answered = true;
                if !output.status.success() {
                    return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
                }
            }
            recorded = news.next() => {
                let recorded = recorded.ok_or("the ledger's news ended")??;
                if step(&timeline, &recorded)? {
                    break;
                }
            }
            () = &mut deadline => return Err(format!("the purchase was not done within {} s", PURCHASE_TIMEOUT.as_secs()).into()),
        }
    }
    let chain = DevChain::connect(&installation.servers.anvil.rpc_url()).await?;
    let balance = chain.token_balance(token.token, PAYER).await?;
    let held = chain.usdc_balance(installation.shop.asset, token.token).await?;
    let units = balance / U256::from(token.unit);
    println!("\nThe chain says: {PAYER} holds {units} {} ({balance} base units);", token.symbol);
    println!("the token {} holds {held} atomic USDC for its creator.", token.token);
    if units == U256::from(QUANTITY) {
        Ok(())
    } else {
        Err(format!("{QUANTITY} units were paid, {units} are there").into())
    }
}

/// Starts the stock client.
fn client(installation: &Installation, token: &TokenTerms, quantity: u32) -> Result<Child, Fatal> {
    let url = format!("http://{}/api/mint/{}", installation.api, token.token);
    Command::new("node")
        .arg(client_script()?)
        .args([&url, PAYER_KEY, &quantity.to_string()])
        .env("BUY_ANNOUNCE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("node cannot be started: {e}").into())
}

/// Buys with the stock client. Returns the status of the last answer and, if the api refuses, its code, such as
/// `422 sold_out`.
///
/// # Errors
/// The client's own sentence, if it prints no answer.
pub(crate) async fn buy(installation: &Installation, token: &TokenTerms, quantity: u32) -> Result<String, Fatal> {
    let output = client(installation, token, quantity)?.wait_with_output().await?;
    let answer = output.stdout.split(|byte| *byte == b'\n').rfind(|line| line.starts_with(b"{\"status\""));
    let answer = answer.ok_or_else(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())?;
    let answer: Value = serde_json::from_slice(answer)?;
    let code = answer["body"]["code"].as_str().unwrap_or_default();
    Ok(format!("{} {code}", answer["status"]).trim_end().to_owned())
}

/// The client's first line tells when it begins to post; without one it says on standard error what is wrong.
async fn posted_at(client: &mut Child) -> Result<DateTime<Utc>, Fatal> {
    let mut line = Vec::new();
    let stdout = client.stdout.as_mut().ok_or("the client has no output")?;
    // Byte by byte: what comes after this line is left for who waits for the client's end.
    while line.last() != Some(&b'\n') && line.len() < 64 {
        match stdout.read_u8().await {
            Ok(byte) => line.push(byte),
            Err(_) => {
                let mut sentence = String::new();
                if let Some(stderr) = client.stderr.as_mut() {
                    stderr.read_to_string(&mut sentence).await?;
                }
                return Err(sentence.trim().to_owned().into());
            }
        }
    }
    let announced: Value = serde_json::from_slice(&line)?;
    let millis = announced.get("postedAt").and_then(Value::as_i64);
    millis.and_then(DateTime::from_timestamp_millis).ok_or_else(|| "the client does not say when it posts".into())
}

/// The lines of a purchase, with milliseconds from its beginning.
pub(crate) struct Timeline {
    begun: DateTime<Utc>,
}

impl Timeline {
    /// Prints the head of the table.
    #[allow(clippy::print_stdout)]
    pub(crate) fn begin(begun: DateTime<Utc>) -> Self {
        println!("  {:>8}  {:>5}  {:<18}  transaction", "ms", "seq", "event");
        Self { begun }
    }

    /// Prints one step.
    #[allow(clippy::print_stdout)]
    pub(crate) fn print(&self, recorded: &Recorded, event: &OrderEvent) {
        let elapsed = (recorded.recorded_at - self.begun).num_milliseconds();
        let hash = event.tx_hash().map_or_else(String::new, |hash| hash.to_string());
        println!("  {elapsed:>8}  {:>5}  {:<18}  {hash}", recorded.seq, event.name());
    }
}

/// Prints one step of the purchase; true at the last one.
fn step(timeline: &Timeline, recorded: &Recorded) -> Result<bool, Fatal> {
    let Ok(Event::Order(_, event)) = &recorded.event else { return Ok(false) };
    match event {
        OrderEvent::PaymentFailed(failure) => return Err(format!("the payment failed: {}", failure.detail).into()),
        OrderEvent::PaymentParked(_, why) => return Err(format!("the payment is parked: {}", why.detail).into()),
        OrderEvent::MintParked(_, why) => return Err(format!("the mint is parked: {}", why.detail).into()),
        _ => {}
    }
    timeline.print(recorded, event);
    Ok(matches!(event, OrderEvent::MintConfirmed(_)))
}

/// `tools/buy/buy-v2.mjs`, beside the tools.
pub fn client_script() -> Result<PathBuf, Fatal> {
    let tools = Tools::locate()?;
    let script = tools.root().parent().map(|dir| dir.join("buy").join("buy-v2.mjs"));
    script.filter(|path| path.exists()).ok_or_else(|| "tools/buy/buy-v2.mjs is missing".into())
}
