//! SIGKILL at a named line: `cargo test -p read-projector --features failpoints`.

use domain::event::Claimed;
use domain::{Event, SignerEvent, examples};
use ledger::{Expected, Ledger, NewEvent};
use runtime::failpoint::ROWS_COMMITTED;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;
use store::READ_MODELS;
use testkit::{Broker, Database, until};
use tokio::process::Command;

#[tokio::test]
async fn c24_killed_after_a_commit_it_goes_on_behind_it() {
    let (broker, database) = tokio::join!(Broker::start(), Database::start());
    let (nats, postgres, store) = (&broker.nats, &database.server, &database.store);
    let ledger = broker.ledger("ops").await;

    let projector = |kill_at: &str| {
        Command::new(env!("CARGO_BIN_EXE_read-projector"))
            .env("NATS_URL", nats.url())
            .env("NATS_MONITOR_URL", nats.monitor_url())
            .env("DATABASE_URL", postgres.url())
            .env("PAYMINT_KILL_AT", kill_at)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    for epoch in 1..=5_u64 {
        let mut doomed = projector(ROWS_COMMITTED.name());
        append(&ledger, u32::try_from(epoch).unwrap()).await;
        let status = tokio::time::timeout(Duration::from_secs(30), doomed.wait()).await.unwrap().unwrap();
        assert_eq!(status.signal(), Some(9), "{status}");
        assert_eq!(store.position(READ_MODELS).await.unwrap().unwrap().seq, epoch, "killed after the commit");
    }
    let _healthy = projector("");
    append(&ledger, 6).await;
    until("the last event is copied", async || store.position(READ_MODELS).await.unwrap().unwrap().seq == 6).await;
    let copy = store.ledger_range(1, 100).await.unwrap();
    assert_eq!(copy.iter().map(|row| row.message.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

async fn append(ledger: &Ledger, epoch: u32) {
    let Some(Event::Signer(signer, SignerEvent::Claimed(claim))) = examples::all().into_iter().nth(1) else {
        panic!("the second example is a claim")
    };
    let event = Event::Signer(signer, SignerEvent::Claimed(Claimed { epoch, ..claim }));
    ledger.append(&[NewEvent { event, expected: Expected::Absent, trace: None }]).await.unwrap();
}
