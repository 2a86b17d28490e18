#![allow(clippy::unwrap_used)]
mod common;
use common::*;
use domain::event::OrderEvent;
use domain::examples;
#[tokio::test]
async fn speed() {
    let database = database().await;
    let mut position = begin(&database.store).await;
    let mut all = vec![registered()];
    let mut ids = vec![];
    for n in 0..4000u32 {
        let mut r = request(1);
        r.authorization.nonce = alloy_primitives::B256::left_padding_from(&n.to_be_bytes());
        r.payment_key = domain::PaymentKey::new(r.chain_id, r.asset, r.authorization.from, r.authorization.nonce);
        ids.push(r.id());
        all.push(order(r.id(), OrderEvent::PaymentRequested(Box::new(r))));
    }
    for e in [
        OrderEvent::PaymentSubmitted(1, examples::submission(7)),
        OrderEvent::PaymentConfirmed(examples::proof()),
        OrderEvent::MintSubmitted(1, examples::submission(8)),
        OrderEvent::MintConfirmed(examples::minted()),
    ] {
        for id in &ids {
            all.push(order(*id, e.clone()));
        }
    }
    let all = entries(1, all);
    let t = std::time::Instant::now();
    for batch in all.chunks(1000) {
        position = database.store.apply(batch, &position).await.unwrap().position;
    }
    eprintln!("{} events in {:?}", all.len(), t.elapsed());
}
