//! A lane in trouble, whose books must be in order all the same. The chain stands still but where it is told to go on.

use crate::controls::load::Journal;
use alloy_primitives::{Address, B256, Bytes};
use harness::{Buyer, Order, Service, Stack, eventually, lane_subject};
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::Duration;

/// The confirmer looks at the head every 50 ms, so a handful of blocks is enough for a mint: none of them final.
const MANY_LOOKS: Duration = Duration::from_millis(500);

/// A base fee that no pooled transaction of ours offers: 120 gwei.
const SPIKE: &str = "0x1bf08eb000";

/// An order whose transaction waits in the pool: its lane, nonce and hash.
async fn pooled(stack: &Stack, journal: &mut Journal, buyer: &Buyer, orders: &mut Vec<Order>) -> (Address, u64, B256) {
    let payment = buyer.pay(&stack.shop.token, 1);
    assert_eq!(journal.buy(stack, &payment, payment.v2(), None, false).await.status, 202);
    let order = Order::of(&payment);
    let submitted = stack.until(&order, "payment.submitted.1").await;
    orders.push(order);
    let hash = submitted.text("txHash").parse().unwrap();
    eventually("the transaction is sent", async || stack.chain.knows(hash).await.then_some(())).await;
    (submitted.text("signer").parse().unwrap(), submitted.body["data"]["nonce"].as_u64().unwrap(), hash)
}

/// A payment and its mint fall out of the chain after both were counted on, and come back (F40).
pub async fn taken_back(stack: &Stack, journal: &mut Journal, buyer: &Buyer, orders: &mut Vec<Order>) {
    pooled(stack, journal, buyer, orders).await;
    let order = orders.last().unwrap();
    let mut blocks = 0;
    while stack.stream.on(&order.subject("mint.confirmed")).await.is_none() {
        stack.chain.mine(1).await;
        blocks += 1;
        tokio::time::sleep(MANY_LOOKS).await;
    }
    stack.chain.reorg(blocks).await;
    for event in ["payment.reverted.1", "mint.reverted.1"] {
        stack.until(order, event).await;
    }
    stack
        .chain
        .mining(async {
            for event in ["payment.restored.1", "mint.restored.1"] {
                stack.until(order, event).await;
            }
        })
        .await;
}

async fn until_there(stack: &Stack, lane: Address, nonce: u64, event: &str) {
    let subject = lane_subject(lane, nonce, event);
    eventually(&subject, async || stack.stream.on(&subject).await).await;
}

/// The base fee jumps: the transaction is replaced at its nonce (F42).
pub async fn replaced(stack: &Stack, journal: &mut Journal, buyer: &Buyer, orders: &mut Vec<Order>) {
    stack.chain.mining(stack.until_quiet(orders)).await;
    let (lane, nonce, _) = pooled(stack, journal, buyer, orders).await;
    stack.chain.rpc("anvil_setNextBlockBaseFeePerGas", json!([SPIKE])).await;
    stack.chain.mine(1).await;
    until_there(stack, lane, nonce, &format!("replaced.{nonce}.1")).await;
    stack.chain.mining(stack.until_quiet(orders)).await;
}

/// Somebody else uses the nonce with the lane's own key: it is given up, and the payment goes out with another (F44).
pub async fn lost(stack: &mut Stack, journal: &mut Journal, buyer: &Buyer, orders: &mut Vec<Order>) {
    let (lane, nonce, hash) = pooled(stack, journal, buyer, orders).await;
    stack.process(Service::PaymentSender).signal(Signal::SIGSTOP);
    stack.chain.drop_from_pool(hash).await;
    assert_eq!(stack.chain.nonce(lane).await, nonce);
    stack.chain.send(lane, Address::repeat_byte(0x77), Bytes::new()).await;
    stack.chain.mine(1).await;
    stack.process(Service::PaymentSender).signal(Signal::SIGCONT);
    // The account's nonce is read now, and counts once that is final.
    stack.chain.mining(until_there(stack, lane, nonce, &format!("lost.{nonce}"))).await;
    stack.chain.mining(stack.until_quiet(orders)).await;
}
