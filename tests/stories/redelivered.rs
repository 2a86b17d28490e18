//! F09: every message is delivered twice or more, because the answer to its first delivery is lost on the wire.

use harness::{DOLLAR, Loses, Service, Stack, StackOptions, Wire};
use std::collections::BTreeSet;

/// Consumers of the straight way, with a part of the subjects that they are sent.
const CONSUMERS: [(&str, &str); 3] =
    [("payment-sender", ".payment.requested"), ("confirmer", ".signed."), ("mint-projector", ".payment.confirmed")];

#[tokio::test(flavor = "multi_thread")]
async fn f09_every_message_comes_twice_and_every_payment_and_mint_happens_once() {
    let mut stack = Stack::start(StackOptions::empty()).await;
    let wire = Wire::before(&stack.servers.nats.url(), Loses::FirstAcks).await;
    stack.set("NATS_URL", &wire.url());
    for service in Service::ALL {
        stack.run(service).await;
    }
    let buyers = stack.buyers(10, DOLLAR).await;
    let mut orders = Vec::new();
    for buyer in &buyers {
        orders.push(stack.buy(buyer, 3).await);
    }
    stack.audit(&orders).await;

    let seen = wire.seen();
    let entries = stack.stream.all().await;
    for (consumer, subjects) in CONSUMERS {
        let sent: BTreeSet<u64> =
            entries.iter().filter(|entry| entry.subject.contains(subjects)).map(|entry| entry.seq).collect();
        assert!(!sent.is_empty());
        for seq in sent {
            let acknowledged = seen.get(&(consumer.to_owned(), seq)).cloned().unwrap_or_default();
            let last = acknowledged.iter().max().copied().unwrap_or_default();
            assert!(last >= 2, "{consumer} answered {seq} on deliveries {acknowledged:?}");
        }
    }
}
