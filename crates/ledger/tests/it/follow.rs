//! Following the ledger: every event once, in order, whatever happens to the server and whatever publishers write.

use crate::common::{hostile, moved, new};
use domain::{Event, Recorded, examples};
use futures_util::StreamExt;
use ledger::{Batch, Ledger, subject};
use std::time::{Duration, Instant};
use testkit::Broker;

fn others() -> Vec<Event> {
    let of_interest = |event: &Event| matches!(event, Event::Signer(..)) || subject(event).contains(".mint.mint.");
    examples::all().into_iter().filter(of_interest).collect()
}

/// Appends the example events of other types for each number in `lanes`, and returns their subjects. Several calls fill
/// several pages.
async fn fill(ledger: &Ledger, lanes: std::ops::Range<u8>) -> Vec<String> {
    let mut subjects = Vec::new();
    for lane in lanes {
        let events: Vec<Event> = others().into_iter().map(|event| moved(event, lane)).collect();
        subjects.extend(events.iter().map(subject));
        ledger.append(Batch::unordered(events.into_iter().map(new))).await.unwrap();
    }
    subjects
}

async fn subjects(
    news: impl futures_util::Stream<Item = Result<Recorded, ledger::LedgerError>>,
    count: usize,
) -> Vec<String> {
    let read = news.take(count).map(|recorded| recorded.unwrap().message.subject).collect();
    tokio::time::timeout(Duration::from_secs(20), read).await.unwrap()
}

#[tokio::test]
async fn everything_comes_once_and_in_order_across_a_kill_of_the_server() {
    let mut broker = Broker::with_accounts().await;
    let (ops, reader) = (broker.ledger("ops").await, broker.ledger("read-projector").await);
    let mut written = fill(&ops, 1..60).await;
    let mut news = reader.read_from(1).await.unwrap();
    assert_eq!(subjects(&mut news, written.len()).await, written);
    let later = subjects(&mut news, others().len());
    let (later, more) = tokio::join!(later, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        broker.nats.kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        broker.nats.restart().await.unwrap();
        fill(&ops, 60..61).await
    });
    assert_eq!(later, more);
    written.extend(more);
    assert_eq!(subjects(reader.read_from(300).await.unwrap(), 50).await, written[299..349]);
}

#[tokio::test]
async fn a_filter_leaves_out_what_it_does_not_match_and_news_are_only_new() {
    let broker = Broker::with_accounts().await;
    let (ops, api) = (broker.ledger("ops").await, broker.ledger("api").await);
    let written = fill(&ops, 1..20).await;
    let filters = ["signers.*.*.*.mined.settled.*", "orders.*.*.mint.mint.parked.*"].map(str::to_owned).to_vec();
    let wanted = |written: &[String]| -> Vec<String> {
        written
            .iter()
            .filter(|subject| subject.contains(".settled.") || subject.contains(".parked."))
            .cloned()
            .collect()
    };
    let expected = wanted(&written);
    assert_eq!(subjects(api.follow(filters.clone(), false).await.unwrap(), expected.len()).await, expected);
    let news = api.follow(filters, true).await.unwrap();
    let only = api.follow(vec!["orders.>".to_owned()], true).await.unwrap();
    let later = fill(&ops, 20..21).await;
    let began = Instant::now();
    assert_eq!(subjects(news, 2).await, wanted(&later));
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(subjects(only, 4).await.iter().all(|subject| subject.starts_with("orders.")));
}

/// A message may be stored with a status line and with header names of the server. A reader that takes it for an answer
/// of the server would stop reading there. With a stolen password of the api somebody could so stop the read side.
#[tokio::test]
async fn s19_nobody_ends_anothers_reading_by_what_they_write() {
    let broker = Broker::with_accounts().await;
    let (ops, reader) = (broker.ledger("ops").await, broker.ledger("read-projector").await);
    let mut hostile = hostile(&broker);
    let after = fill(&ops, 1..2).await;
    hostile.extend(after);
    assert_eq!(subjects(reader.read_from(1).await.unwrap(), hostile.len()).await, hostile);
    assert_eq!(reader.at(2).await.unwrap().unwrap().subject, hostile[1]);
}
