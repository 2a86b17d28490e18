//! The loop of a lane on a real server: what a worker that cannot go on keeps.

use domain::event::Purpose;
use domain::examples::SIGNER;
use domain::lane::Rest;
use lanes::{Work, hold};
use runtime::{CancellationToken, Health, OldestWork, Undone};
use std::sync::Arc;
use testkit::{Broker, until};

/// A worker whose lane has an impossible history. It holds an `Arc`, so that its end can be seen.
struct Broken(#[allow(dead_code)] Arc<()>);

impl Work for Broken {
    fn rests(&self) -> Option<Rest> {
        None
    }

    fn oldest(&self) -> Option<OldestWork> {
        None
    }

    async fn turn(&mut self) -> Result<(), Undone> {
        Err(Undone::corrupt("a nonce that was signed for twice"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_an_impossible_history_ends_and_its_lane_stands_still_and_says_so() {
    let broker = Broker::with_accounts().await;
    let ledger = broker.ledger("payment-sender").await;
    let lease = ledger.lease(Purpose::Settle, SIGNER, "first").await.unwrap();
    let other = ledger.lease(Purpose::Settle, SIGNER, "second").await.unwrap();

    let (health, stop, alive) = (Health::default(), CancellationToken::new(), Arc::new(()));
    let seen = Arc::downgrade(&alive);
    let claim = move || {
        let alive = alive.clone();
        async move { Ok(Broken(alive)) }
    };
    // The closure holds the first of the two references, and the worker the second.
    let holding = tokio::spawn(hold(SIGNER, lease, claim, health.clone(), stop.clone()));
    let name = format!("lane {SIGNER}");
    let has_ended = async || health.problems().contains_key(&name) && seen.strong_count() == 1;
    until("the worker ends", has_ended).await;
    assert!(health.problems()[&name].contains("signed for twice"));
    assert!(!holding.is_finished() && other.take().await.unwrap().is_none(), "the lease stays");
    stop.cancel();
    holding.await.unwrap().unwrap();
}

/// Another lane of the process goes on, and an operator finds the reason in `/readyz`.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_finds_an_impossible_history_stands_still_and_does_not_end_the_process() {
    let broker = Broker::with_accounts().await;
    let ledger = broker.ledger("payment-sender").await;
    let lease = ledger.lease(Purpose::Settle, SIGNER, "first").await.unwrap();
    let other = ledger.lease(Purpose::Settle, SIGNER, "second").await.unwrap();
    let (health, stop) = (Health::default(), CancellationToken::new());
    let claim = async || Err::<Broken, _>(Undone::corrupt("a nonce that was signed for twice"));
    let holding = tokio::spawn(hold(SIGNER, lease, claim, health.clone(), stop.clone()));
    let name = format!("lane {SIGNER}");
    until("the lane stands still", async || health.problems().contains_key(&name) || holding.is_finished()).await;
    assert!(!holding.is_finished(), "the process goes on");
    assert!(health.problems()[&name].contains("signed for twice"));
    assert!(other.take().await.unwrap().is_none(), "the lease stays");
    stop.cancel();
    holding.await.unwrap().unwrap();
}
