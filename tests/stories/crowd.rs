//! Many payers at once.

use futures_util::future::join_all;
use harness::{Service, Stack, StackOptions};
use std::collections::BTreeSet;

const PAYERS: usize = 50;
const EACH: u32 = 4;

/// The auditor finds one transaction a nonce, none reverted; the services' logs show that no node ever refused a nonce.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_payers_with_four_payments_each_are_all_minted_without_a_nonce_clash() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let price = stack.shop.token.unit_price.0;
    let buyers = stack.buyers(PAYERS, price * u64::from(1 + 2 + 3 + EACH)).await;
    let payments: Vec<_> =
        buyers.iter().flat_map(|buyer| (1..=EACH).map(|quantity| buyer.pay(&stack.shop.token, quantity))).collect();
    let orders = join_all(payments.iter().map(|payment| stack.accept(payment))).await;
    stack.audit(&orders).await;

    let entries = stack.stream.all().await;
    let signers = |name: &str| -> BTreeSet<String> {
        let events = entries.iter().filter(|entry| entry.subject.contains(name));
        events.map(|entry| entry.text("signer").to_owned()).collect()
    };
    assert!(signers(".payment.submitted.").len() >= 2, "both lanes settle");
    for service in [Service::PaymentSender, Service::MintProjector] {
        let said = stack.process(service).said();
        for clash in ["known already", "underpriced", "not known", "lost a transaction"] {
            assert!(!said.contains(clash), "{service:?} says {clash:?}:\n{said}");
        }
    }
}
