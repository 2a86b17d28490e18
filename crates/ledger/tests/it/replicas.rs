//! Three replicas: an append waits out the election of a leader, and ends in time where there is none to be elected.

use crate::common::{moved, new};
use domain::{Event, examples};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::iter;
use ledger::{AppendError, GroupCommit, Ledger, NewEvent};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::{Cluster, until};

/// The promised time of an append, and some more for a busy machine.
const PROMISED: Duration = Duration::from_secs(9);
const BUSY: Duration = Duration::from_secs(1);

/// Appends of each writer, and how many of them run at a time.
const EACH: u8 = 40;
const AT_A_TIME: usize = 20;

/// Either of the two ways to append.
enum Writer {
    Alone(Box<Ledger>),
    Together(GroupCommit),
}

impl Writer {
    async fn append(&self, event: &NewEvent) -> Result<(), AppendError> {
        match self {
            Self::Alone(ledger) => ledger.append(event.clone()).await.map(|_| ()),
            Self::Together(commit) => commit.append(event.clone()).await,
        }
    }

    /// Appends, and returns how long that took. An election may take longer than an append waits. Then the append has
    /// waited for all of its time, and is repeated.
    async fn appended(&self, event: NewEvent) -> Duration {
        let begun = Instant::now();
        let first = self.append(&event).await;
        let lasted = begun.elapsed();
        if let Err(error) = first {
            assert!(matches!(error, AppendError::Unknown(_)), "{error:?} after {lasted:?}");
            assert!(lasted + BUSY > PROMISED, "given up after {lasted:?}: {error:?}");
            self.append(&event).await.unwrap();
        }
        lasted
    }
}

fn key(payer: u8) -> NewEvent {
    let key = examples::all().into_iter().find(|event| matches!(event, Event::Key(..))).unwrap();
    new(moved(key, payer))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_waits_out_an_election_and_is_unknown_in_time_where_no_leader_can_be_elected() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let (second, third) = ((leader + 1) % 3, (leader + 2) % 3);
    // One process must connect to another server, and the others miss answers only.
    let (near, far) = (cluster.ledger(leader).await, cluster.ledger(second).await);
    let commit = GroupCommit::start(cluster.ledger(third).await);
    let begin = far.state().await.unwrap().1;
    let writers = [Writer::Alone(Box::new(near)), Writer::Alone(Box::new(far.clone())), Writer::Together(commit)];

    let stored = AtomicUsize::new(0);
    let all = (0_u8..).zip(&writers).map(|(n, writer)| {
        let events = (1..=EACH).map(move |payer| key(n * EACH + payer));
        let appended = iter(events).map(|event| async {
            let lasted = writer.appended(event).await;
            stored.fetch_add(1, Ordering::Relaxed);
            lasted
        });
        appended.buffer_unordered(AT_A_TIME).collect::<Vec<Duration>>()
    });
    let killed = async {
        until("appends run", async || stored.load(Ordering::Relaxed) >= 10).await;
        cluster.servers[leader].kill();
    };
    let (lasted, ()) = tokio::join!(join_all(all), killed);
    let longest = lasted.concat().into_iter().max().unwrap();
    assert!(longest > Duration::from_secs(1), "no append met the election: {longest:?}");
    assert!(longest < PROMISED + BUSY, "{longest:?}");
    assert_eq!(far.state().await.unwrap().1 - begin, u64::from(EACH) * 3, "each is stored once");

    cluster.servers[third].kill();
    let ended = join_all((200..=220_u8).map(|payer| {
        let (writer, event) = (&writers[usize::from(payer) % writers.len()], key(payer));
        async move {
            let begun = Instant::now();
            (writer.append(&event).await, begun.elapsed())
        }
    }));
    for (outcome, lasted) in ended.await {
        assert!(matches!(outcome, Err(AppendError::Unknown(_))), "{outcome:?}");
        assert!(lasted < PROMISED + BUSY, "{lasted:?}");
    }
}
