//! A consumer that stands still is named with its oldest message and the words of whoever holds it up.

use crate::common::new;
use domain::examples;
use ledger::Answer;
use runtime::{CancellationToken, Health, Undone};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::{Broker, until};

const DURABLE: &str = "payment-sender";

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_message_is_not_answered_names_it_with_its_age_and_reason_until_it_is() {
    let broker = Broker::with_accounts().await;
    let (health, stop) = (Health::default(), CancellationToken::new());
    let inbox = broker.ledger("payment-sender").await.inbox(DURABLE, health.clone()).await.unwrap();
    let inbox = inbox.patient(Duration::from_millis(500));
    let is_answered = Arc::new(AtomicBool::new(false));
    let answered = is_answered.clone();
    let running = tokio::spawn(inbox.run(stop.clone(), 8, move |_| {
        let answered = answered.load(Ordering::Relaxed);
        async move { if answered { Ok(Answer::Done) } else { Err(Undone::transient("the node is on holiday")) } }
    }));
    let seq = broker.ledger("api").await.append(&[new(examples::all().remove(2))]).await.unwrap()[0];
    let part = format!("consumer {DURABLE}");
    let why = || health.problems().get(&part).cloned().unwrap_or_default();
    until("it is named", async || why().contains("the node is on holiday")).await;
    assert!(why().contains(&format!("payment.requested at sequence {seq}, not done for ")), "{}", why());
    is_answered.store(true, Ordering::Relaxed);
    until("it is good again", async || health.problems().is_empty()).await;
    stop.cancel();
    running.await.unwrap();
}
