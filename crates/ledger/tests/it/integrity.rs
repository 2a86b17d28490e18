//! A process that finds damage records it, and no process appends until an operator has looked (S19, D4, F13 to F16).

use crate::common::{WRITES, moved, new, written_by};
use domain::examples;
use ledger::{AppendError, Damage};
use runtime::{CancellationToken, Health};
use std::time::Duration;
use testkit::{Broker, until};

#[tokio::test]
async fn s19_whoever_pays_out_stops_payouts_for_all_and_ops_resumes_them() {
    let broker = Broker::with_accounts().await;
    let finders = WRITES.iter().filter(|(_, writes)| writes.contains(&"ops.stopped")).map(|(user, _)| *user);
    for (n, user) in (1_u8..).zip(finders) {
        let (finder, other) = (broker.ledger(user).await, broker.ledger("payment-sender").await);
        let (health, stop) = (Health::default(), CancellationToken::new());
        let watching = [
            tokio::spawn(finder.clone().guard(Health::default(), stop.clone())),
            tokio::spawn(other.clone().watch(health.clone(), stop.clone())),
        ];
        finder.report(Damage::Hole { sequence: 7 });
        until("the other is told", async || other.stopped().is_some()).await;
        let event = moved(written_by("payment-sender").remove(0), 100 + n);
        for ledger in [&finder, &other, &broker.ledger("payment-sender").await] {
            let refused = ledger.append(&[new(event.clone())]).await;
            assert!(matches!(&refused, Err(AppendError::Stopped(why)) if why.contains("sequence 7")), "{refused:?}");
        }
        assert!(health.problems()["ledger"].starts_with(&format!("stopped by ops.stopped.{n}: ")), "{user}");

        let ops = broker.ledger("ops").await;
        assert_eq!(ops.resume(examples::resumed()).await.unwrap(), Some(u32::from(n)), "{user}");
        assert_eq!(ops.resume(examples::resumed()).await.unwrap(), None);
        other.until_whole(&CancellationToken::new()).await;
        other.append(&[new(event.clone())]).await.unwrap();
        assert!(finder.stopped().is_some(), "who has found it stays stopped until it is started again");
        // The finding process does not record it a second time.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert!(broker.ledger(user).await.stopped().is_none());
        stop.cancel();
        for task in watching {
            task.await.unwrap();
        }
    }
}

/// F16: after a lost connection the server may have lost events, so the ledger is looked at before anything is sent.
#[tokio::test]
async fn f16_after_a_reconnect_nothing_is_appended_to_a_ledger_that_lost_what_was_acknowledged() {
    let mut broker = Broker::with_accounts().await;
    let ledger = broker.ledger("payment-sender").await;
    let mut events = written_by("payment-sender").into_iter().map(new);
    let mut next = || [events.next().unwrap()];
    ledger.append(&next()).await.unwrap();
    let store = broker.store();
    broker.nats.stop().await.unwrap();
    copy(&store, &store.with_extension("older"));
    broker.nats.restart().await.unwrap();
    ledger.append(&next()).await.unwrap();

    broker.nats.stop().await.unwrap();
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::rename(store.with_extension("older"), &store).unwrap();
    broker.nats.restart().await.unwrap();
    let refused = ledger.append(&next()).await;
    assert!(matches!(&refused, Err(AppendError::Stopped(_))), "{refused:?}");
    assert_eq!(ledger.damage(), Some(&Damage::Truncated { known: 2, last: 1 }));
    assert_eq!(broker.ledger("ops").await.state().await.unwrap().1, 1);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
