//! A process that finds damage records it, and no process appends until an operator has looked (S19, D4, F13 to F16).

use crate::common::{House, WRITES, moved, new, written_by};
use domain::examples;
use ledger::{AppendError, Damage};
use runtime::{CancellationToken, Health};
use std::time::Duration;

#[tokio::test]
async fn s19_whoever_pays_out_stops_payouts_for_all_and_ops_resumes_them() {
    let house = House::start().await;
    let finders = WRITES.iter().filter(|(_, writes)| writes.contains(&"ops.stopped")).map(|(user, _)| *user);
    for (n, user) in (1_u8..).zip(finders) {
        let (finder, other) = (house.ledger(user).await, house.ledger("payment-sender").await);
        let (health, stop) = (Health::default(), CancellationToken::new());
        let watching = [
            tokio::spawn(finder.clone().guard(Health::default(), stop.clone())),
            tokio::spawn(other.clone().watch(health.clone(), stop.clone())),
        ];
        finder.report(Damage::Hole { sequence: 7 });
        while other.stopped().is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let event = moved(written_by("payment-sender").remove(0), 100 + n);
        for ledger in [&finder, &other, &house.ledger("payment-sender").await] {
            let refused = ledger.append(&[new(event.clone())]).await;
            assert!(matches!(&refused, Err(AppendError::Stopped(why)) if why.contains("sequence 7")), "{refused:?}");
        }
        assert!(health.problems()["ledger"].starts_with(&format!("stopped by ops.stopped.{n}: ")), "{user}");

        let ops = house.ledger("ops").await;
        assert_eq!(ops.resume(examples::resumed()).await.unwrap(), Some(u32::from(n)), "{user}");
        assert_eq!(ops.resume(examples::resumed()).await.unwrap(), None);
        other.until_whole(&CancellationToken::new()).await;
        other.append(&[new(event.clone())]).await.unwrap();
        assert!(finder.stopped().is_some(), "who has found it stays stopped until it is started again");
        // The finding process does not record it a second time.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert!(house.ledger(user).await.stopped().is_none());
        stop.cancel();
        for task in watching {
            task.await.unwrap();
        }
    }
}

/// F16: after a lost connection the server may have lost events, so the ledger is looked at before anything is sent.
#[tokio::test]
async fn f16_after_a_reconnect_nothing_is_appended_to_a_ledger_that_lost_what_was_acknowledged() {
    let mut house = House::start().await;
    let ledger = house.ledger("payment-sender").await;
    let mut events = written_by("payment-sender").into_iter().map(new);
    let mut next = || [events.next().unwrap()];
    ledger.append(&next()).await.unwrap();
    let store = house.store();
    house.nats.stop().await.unwrap();
    copy(&store, &store.with_extension("older"));
    house.nats.restart().await.unwrap();
    ledger.append(&next()).await.unwrap();

    house.nats.stop().await.unwrap();
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::rename(store.with_extension("older"), &store).unwrap();
    house.nats.restart().await.unwrap();
    let refused = ledger.append(&next()).await;
    assert!(matches!(&refused, Err(AppendError::Stopped(_))), "{refused:?}");
    assert_eq!(ledger.damage(), Some(&Damage::Truncated { known: 2, last: 1 }));
    assert_eq!(house.ledger("ops").await.state().await.unwrap().1, 1);
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
