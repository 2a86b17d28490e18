//! Leases on a real server: there is one holder at a time, and a lease is given back or expires.

use domain::event::Purpose;
use domain::examples::SIGNER;
use ledger::Lease;
use std::time::{Duration, Instant};
use testkit::Broker;

async fn lease(broker: &Broker, user: &str, purpose: Purpose, holder: &str) -> Lease {
    broker.ledger(user).await.lease(purpose, SIGNER, holder).await.unwrap()
}

#[tokio::test]
async fn one_holds_a_lease_gives_it_back_or_loses_it_and_knows() {
    let broker = Broker::with_accounts().await;
    let a = lease(&broker, "payment-sender", Purpose::Settle, "a").await;
    let b = lease(&broker, "payment-sender", Purpose::Settle, "b").await;
    let mint = lease(&broker, "mint-projector", Purpose::Mint, "b").await;

    let mut held = a.take().await.unwrap().unwrap();
    assert!(b.take().await.unwrap().is_none(), "taken");
    assert!(mint.take().await.unwrap().is_some(), "another lane");
    assert!(held.renew().await.unwrap());
    held.release().await.unwrap();
    let mut held = b.take().await.unwrap().unwrap();
    assert!(a.take().await.unwrap().is_none(), "given back, and taken by the other at once");

    // An instance that restarts under the same name takes the lease, and the one that had it still renews it.
    let again = lease(&broker, "payment-sender", Purpose::Settle, "b").await.take().await.unwrap();
    assert!(again.is_some() && held.renew().await.unwrap());

    // If nobody renews it, another instance has it within five seconds, and the first one is told.
    let begun = Instant::now();
    while a.take().await.unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(5), "a lease that nobody renews is still taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!held.renew().await.unwrap());
}

#[tokio::test]
async fn f02_leases_survive_a_kill_of_the_server_and_end_with_time() {
    let mut broker = Broker::with_accounts().await;
    let a = lease(&broker, "payment-sender", Purpose::Settle, "a").await;
    let b = lease(&broker, "payment-sender", Purpose::Settle, "b").await;
    let mut held = a.take().await.unwrap().unwrap();
    broker.nats.kill();
    broker.nats.restart().await.unwrap();
    let begun = Instant::now();
    while !held.renew().await.unwrap_or(false) {
        assert!(begun.elapsed() < Duration::from_secs(10), "never renewed");
    }
    assert!(b.take().await.unwrap().is_none());
}
