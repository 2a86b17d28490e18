//! The loop of a lane on a real server: what a worker that cannot go on keeps.

use domain::event::Purpose;
use domain::examples::SIGNER;
use domain::lane::Rest;
use lanes::{Work, hold};
use ledger::{Ledger, LedgerConfig};
use neighbours::{Nats, NatsOptions, Tools};
use runtime::{CancellationToken, Health, Undone};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A worker whose lane has an impossible history. It holds an `Arc`, so that its end can be seen.
struct Broken(#[allow(dead_code)] Arc<()>);

impl Work for Broken {
    fn rests(&self) -> Option<Rest> {
        None
    }

    async fn turn(&mut self) -> Result<(), Undone> {
        Err(Undone::corrupt("a nonce that was signed for twice"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_an_impossible_history_ends_and_its_lane_stands_still_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let users = ["sys", "ops", "api", "payment-sender", "confirmer", "mint-projector", "read-projector"];
    let variable = |user: &str| format!("NATS_{}_PASSWORD", user.to_uppercase().replace('-', "_"));
    let options = NatsOptions {
        data_dir: dir.path().to_owned(),
        config: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nats/server.conf")),
        environment: users.map(|user| (variable(user), format!("p-{user}"))).into(),
        ..NatsOptions::default()
    };
    let nats = Nats::start(&Tools::locate().unwrap(), options).await.unwrap();
    let url = |user: &str| nats.url().replace("://", &format!("://{user}:p-{user}@"));
    ledger::provision(&url("ops")).await.unwrap();
    let config = LedgerConfig { url: url("payment-sender"), monitor_url: nats.monitor_url() };
    let ledger = Ledger::connect(&config, "/paymint/test").await.unwrap();
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
    let ended = async {
        while !(health.problems().contains_key(&name) && seen.strong_count() == 1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the worker ends");
    assert!(health.problems()[&name].contains("signed for twice"));
    assert!(!holding.is_finished() && other.take().await.unwrap().is_none(), "the lease stays");
    stop.cancel();
    holding.await.unwrap().unwrap();
}
