//! Broken integrity stops payouts and keeps reads (F13 to F16, D4): whatever is done to the ledger is found within ten
//! seconds, and named; nothing is signed, decided or taken any more, also by who is started again; everything can be read.

use domain::examples;
use harness::{Buyer, DOLLAR, Order, Paymint, Service, Stack, StackOptions, Stream, eventually};
use ledger::{Damage, Ledger};
use runtime::{CancellationToken, Health};
use serde_json::Value;
use standalone::{Shop, accounts};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// From the moment at which the damaged ledger answers.
const FOUND_WITHIN: Duration = Duration::from_secs(10);

/// Watching time for an absence: a transaction that would be signed is signed within a second.
const QUIET: Duration = Duration::from_secs(4);

/// The damage of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    /// Deleted and created again.
    Recreated,
    /// A bit of an old event flips on the disk while the server rests.
    FlippedAtRest,
    /// A bit flips, and the server is killed: it starts with what stands before that.
    FlippedAndKilled,
    /// The end of the last block is torn off.
    Torn,
    /// The store of some minutes ago.
    Restored,
}

/// An order that is minted; one that waits for its payer's money; one that is paid and waits for a minter.
pub(crate) struct Shopping {
    pub minted: Order,
    pub paid: Order,
    pub waiting: Order,
    pub payer: Buyer,
}

async fn struck(strike: Strike, named: &[&str]) {
    let mut stack = Stack::start(StackOptions::default()).await;
    let shopping = go_shopping(&mut stack, strike).await;
    let orders = [&shopping.minted, &shopping.waiting];
    strike.does(&mut stack, &shopping).await;

    let begun = Instant::now();
    for service in [Service::PaymentSender, Service::Confirmer, Service::ReadProjector] {
        eventually("it is named", async || stack.in_the_way_of(service).await["ledger"].as_str().map(drop)).await;
    }
    let api = async || Some(stack.get("/readyz").await.json).filter(|said| said["orders"] == "ledger_broken");
    let ready = eventually("the api takes no order", api).await;
    let stop = eventually("it is written down", async || stack.stream.on("ops.stopped.1").await).await;
    assert!(begun.elapsed() < FOUND_WITHIN, "found after {:?}", begun.elapsed());
    assert!(named.contains(&stop.text("damage")), "{}", stop.body["data"]);
    assert!(ready["ready"] == true && ready["ledger"] != "ok", "{ready}");
    assert!(stack.said(Service::PaymentSender).contains("payouts stop"));

    // Who was not there learns it from the ledger; who was there, when it starts again.
    stack.run(Service::MintProjector).await;
    for service in [Service::PaymentSender, Service::Confirmer, Service::ReadProjector] {
        stack.kill(service);
        stack.run(service).await;
    }
    let (before, last) = (nonces(&stack).await, stack.stream.last_seq().await);
    for service in [Service::PaymentSender, Service::MintProjector, Service::Confirmer, Service::ReadProjector] {
        eventually("it is named again", async || stack.in_the_way_of(service).await["ledger"].as_str().map(drop)).await;
    }
    stack.fund(&shopping.payer, DOLLAR).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(nonces(&stack).await, before, "nothing is signed");
    assert_eq!(stack.stream.last_seq().await, last, "nothing is appended");

    let refused = stack.post(&stack.shop.token, 1, Buyer::new().pay(&stack.shop.token, 1).v2()).await;
    assert_eq!((refused.status, &refused.json["code"]), (503, &Value::from("ledger_broken")), "{refused:?}");
    for order in orders {
        stack.status(order.id).await;
        let list = stack.get(&format!("/queue/payer/{}", order.payer)).await;
        assert_eq!(list.status, 200, "{list:?}");
    }
    for service in Service::ALL {
        assert!(stack.process(service).is_running(), "{service:?}: {}", stack.said(service));
    }
}

pub(crate) async fn go_shopping(stack: &mut Stack, strike: Strike) -> Shopping {
    let buyers = stack.buyers(2, DOLLAR).await;
    let minted = stack.buy(&buyers[0], 2).await;
    stack.until_ended(std::slice::from_ref(&minted)).await;
    if strike == Strike::Restored {
        stack.servers.nats.stop().await.unwrap();
        copy(&store(stack), &older(stack));
        stack.servers.nats.restart().await.unwrap();
        eventually("the api is back", async || (stack.get("/readyz").await.status == 200).then_some(())).await;
    }
    stack.kill(Service::MintProjector);
    let paid = stack.buy(&buyers[1], 2).await;
    stack.until(&paid, "payment.confirmed").await;
    let payer = Buyer::new();
    let waiting = stack.buy(&payer, 2).await;
    stack.until(&waiting, "payment.deferred.1").await;
    let projected = async || (stack.projected("public").await == stack.stream.last_seq().await).then_some(());
    eventually("every event is projected", projected).await;
    Shopping { minted, paid, waiting, payer }
}

impl Strike {
    /// When this returns the server answers again.
    pub(crate) async fn does(self, stack: &mut Stack, shopping: &Shopping) {
        match self {
            Self::Recreated => {
                let answer = stack.stream.ask("STREAM.DELETE.LEDGER", Value::Null).await;
                assert_eq!(answer["success"], true, "{answer}");
                return ledger::provision(&stack.servers.nats.url()).await.unwrap();
            }
            Self::FlippedAtRest => {
                stack.servers.nats.stop().await.unwrap();
                flip(&store(stack), &shopping.minted.subject("payment.confirmed"));
            }
            Self::FlippedAndKilled => {
                stack.servers.nats.kill();
                flip(&store(stack), &shopping.minted.subject("payment.confirmed"));
            }
            Self::Torn => {
                stack.servers.nats.kill();
                let last = blocks(&store(stack)).pop().unwrap();
                let length = fs::metadata(&last).unwrap().len();
                fs::OpenOptions::new().write(true).open(last).unwrap().set_len(length - 40).unwrap();
            }
            Self::Restored => {
                stack.servers.nats.stop().await.unwrap();
                fs::remove_dir_all(store(stack)).unwrap();
                fs::rename(older(stack), store(stack)).unwrap();
            }
        }
        stack.servers.nats.restart().await.unwrap();
    }
}

/// Nonces on chain of the accounts of all lanes.
async fn nonces(stack: &Stack) -> Vec<u64> {
    let mut nonces = Vec::new();
    let keys = accounts::SENDER_KEYS.into_iter().chain(accounts::MINTER_KEYS).chain(accounts::OPERATOR_KEYS);
    for key in keys {
        nonces.push(stack.chain.nonce(Buyer::with_key(key).address).await);
    }
    nonces
}

fn store(stack: &Stack) -> PathBuf {
    stack.dir.path().join("nats/store")
}

fn older(stack: &Stack) -> PathBuf {
    stack.dir.path().join("nats/older")
}

/// The stream's blocks of messages, the oldest first.
fn blocks(store: &Path) -> Vec<PathBuf> {
    let messages = store.join("jetstream/$G/streams/LEDGER/msgs");
    let mut blocks: Vec<PathBuf> = fs::read_dir(messages).unwrap().map(|entry| entry.unwrap().path()).collect();
    blocks.retain(|path| path.extension().is_some_and(|extension| extension == "blk"));
    blocks.sort();
    blocks
}

/// One bit in the body of the message on `subject`, which names it.
fn flip(store: &Path, subject: &str) {
    for block in blocks(store) {
        let mut bytes = fs::read(&block).unwrap();
        if let Some(at) = bytes.windows(subject.len()).rposition(|window| window == subject.as_bytes()) {
            bytes[at] ^= 1;
            return fs::write(block, bytes).unwrap();
        }
    }
    panic!("{subject} is in no block");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f13_a_ledger_that_is_made_anew_stops_payouts_and_keeps_reads() {
    struck(Strike::Recreated, &["recreated"]).await;
}

/// The stream refuses to delete a message; to readers a damaged one is a hole.
#[tokio::test(flavor = "multi_thread")]
async fn f14_d4_a_flipped_bit_stops_payouts_and_keeps_reads() {
    struck(Strike::FlippedAtRest, &["hole", "altered"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f15_d4_a_ledger_that_forgot_its_tail_at_a_flipped_bit_stops_payouts_and_keeps_reads() {
    struck(Strike::FlippedAndKilled, &["truncated", "hole"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f15_a_torn_tail_stops_payouts_and_keeps_reads() {
    struck(Strike::Torn, &["truncated"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f16_an_older_copy_of_the_store_stops_payouts_and_keeps_reads() {
    struck(Strike::Restored, &["truncated"]).await;
}

/// In one process, with a user of the ledger for each service: nobody ends, and nobody is kept from starting.
#[tokio::test(flavor = "multi_thread")]
async fn f13_paymint_run_stays_and_reads_when_its_ledger_is_made_anew() {
    let paymint = Paymint::new().await;
    let (mut process, endpoints) = paymint.start().await;
    let text = |name: &str| endpoints[name].as_str().unwrap().to_owned();
    let buy = format!("{}/api/mint/{}", text("api"), endpoints["tokens"][0].as_str().unwrap());
    let order = harness::buy_with(harness::Client::V2, &buy, &text("demoKey"), 2).await.id();
    let get = async |path: &str| -> Option<Value> {
        let answer = reqwest::get(format!("{}{path}", text("api"))).await.ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    };
    let status = format!("/api/payment/{order}");
    let minted = async || get(&status).await.filter(|shown| shown["state"] == "minted");
    eventually("it is minted, and in the rows", minted).await;

    let ops = Stream::at(&text("nats")).await;
    let answer = ops.ask("STREAM.DELETE.LEDGER", Value::Null).await;
    assert_eq!(answer["success"], true, "{answer}");
    ledger::provision(&text("nats")).await.unwrap();
    let broken = async || get("/readyz").await.filter(|said| said["orders"] == "ledger_broken");
    let begun = Instant::now();
    eventually("the api takes no order", broken).await;
    eventually("it is written down", async || ops.on("ops.stopped.1").await).await;
    assert!(begun.elapsed() < FOUND_WITHIN, "found after {:?}", begun.elapsed());
    tokio::time::sleep(QUIET).await;
    for _ in 0..2 {
        assert!(process.is_running(), "{}", process.said());
        // 503 until the rows can be read, because the ledger has lost the order.
        eventually("the order is shown", minted).await;
        eventually("the api takes no order", broken).await;
        process.terminate().await;
        process = paymint.start().await.0;
    }
    assert!(ops.on("ops.stopped.2").await.is_none());
}

/// A server that is killed again and again under load is not damaged.
#[tokio::test(flavor = "multi_thread")]
async fn f02_a_server_that_is_killed_again_and_again_raises_no_alarm() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(12, DOLLAR).await;
    let mut orders = Vec::new();
    for buyers in buyers.chunks(2) {
        for buyer in buyers {
            orders.push(stack.buy(buyer, 1).await);
        }
        stack.until(&orders[orders.len() - 1], "payment.submitted.1").await;
        stack.servers.nats.kill();
        stack.servers.nats.restart().await.unwrap();
        eventually("orders are taken", async || (stack.get("/readyz").await.json["orders"] == "taken").then_some(()))
            .await;
    }
    stack.audit(&orders).await;
    assert!(stack.stream.on("ops.stopped.1").await.is_none());
    for service in Service::ALL {
        assert!(!stack.said(service).contains("payouts stop"), "{service:?}");
    }
}

/// A stop that somebody wrote is obeyed by all, and ends when a person says so: then what has waited is paid and minted.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_obeyed_until_a_person_resumes_it() {
    let stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    let payer = Buyer::new();
    let mut orders = vec![stack.buy(&buyers[0], 2).await, stack.buy(&payer, 2).await];
    stack.until_ended(&orders[..1]).await;
    stack.until(&orders[1], "payment.deferred.1").await;

    let finder = Ledger::connect(&Shop::ledger(&stack.servers), "/paymint/read-projector").await.unwrap();
    let stop = CancellationToken::new();
    let guard = tokio::spawn(finder.clone().guard(Health::default(), stop.clone()));
    finder.report(Damage::Altered { sequence: 2 });
    let api = async || (stack.get("/readyz").await.json["orders"] == "ledger_broken").then_some(());
    eventually("the api takes no order", api).await;
    for service in [Service::PaymentSender, Service::MintProjector, Service::Confirmer] {
        eventually("it is named", async || stack.in_the_way_of(service).await["ledger"].as_str().map(drop)).await;
    }
    stop.cancel();
    guard.await.unwrap();
    let (before, last) = (nonces(&stack).await, stack.stream.last_seq().await);
    stack.fund(&payer, DOLLAR).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!((nonces(&stack).await, stack.stream.last_seq().await), (before, last), "nothing is signed or written");

    let ops = Ledger::connect(&Shop::ledger(&stack.servers), "/paymint/ops").await.unwrap();
    assert_eq!(ops.resume(examples::resumed()).await.unwrap(), Some(1));
    let taken = async || (stack.get("/readyz").await.json["orders"] == "taken").then_some(());
    eventually("orders are taken", taken).await;
    orders.push(stack.buy(&buyers[1], 2).await);
    stack.audit(&orders).await;
}
