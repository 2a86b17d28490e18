//! Clients of event streams see everything once, whatever happens to the processes that they are connected to (A14).

use harness::{DOLLAR, Frames, Instance, Order, Service, Stack, StackOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SECOND: Instance = Instance(Service::Api, 1);

/// A client like an `EventSource`: it resumes with its last id, at the instances in turn.
struct Client {
    http: reqwest::Client,
    urls: [String; 2],
    query: String,
    done: Arc<AtomicBool>,
}

impl Client {
    /// Reads until it was told that everything has happened, and nothing came any more.
    async fn read(self) -> (Vec<u64>, u32) {
        let (mut seen, mut connections, mut last) = (Vec::new(), 0_u32, None::<u64>);
        loop {
            let url = format!("{}/api/events{}", self.urls[usize::from(connections % 2 == 1)], self.query);
            let request = last.iter().fold(self.http.get(url), |request, last| request.header("Last-Event-ID", *last));
            connections += 1;
            let Ok(response) = request.send().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            if response.status() != 200 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            let mut frames = Frames::of(response);
            while let Some(frame) = frames.try_next(Duration::from_secs(2)).await {
                assert_ne!(frame.event, "reset", "little was missed");
                seen.push(frame.id);
            }
            last = frames.position().or(last);
            if self.done.load(Ordering::Relaxed) && frames.is_quiet() {
                return (seen, connections);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_c27_streams_have_no_gap_and_no_duplicate_while_both_instances_are_killed_in_turn() {
    let options = StackOptions::default().with("OPERATOR_TOKEN", "0123456789abcdef-operator");
    let mut stack = Stack::start(options).await;
    stack.run(SECOND).await;
    let buyers = stack.buyers(4, 4 * DOLLAR).await;
    let urls = [stack.url(Service::Api, ""), stack.url(SECOND, "")];
    let done = Arc::new(AtomicBool::new(false));
    let token = format!("?token={}", stack.shop.token.token);
    let queries: Vec<String> =
        buyers.iter().map(|buyer| format!("?payer={}", buyer.address)).chain([token.clone(), token]).collect();
    let clients: Vec<_> = queries
        .iter()
        .map(|query| {
            let client =
                Client { http: stack.http.clone(), urls: urls.clone(), query: query.clone(), done: Arc::clone(&done) };
            tokio::spawn(client.read())
        })
        .collect();
    // So that every client has a position before anything happens.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut orders: Vec<Order> = Vec::new();
    for round in 0..6 {
        let (dies, lives) = if round % 2 == 0 { (Service::Api.into(), SECOND) } else { (SECOND, Service::Api.into()) };
        for buyer in &buyers {
            let payment = buyer.pay(&stack.shop.token, 1);
            let answer = stack.try_post(lives, &stack.shop.token, 1, payment.v2()).await.unwrap();
            assert_eq!(answer.status, 202, "{answer:?}");
            orders.push(Order::of(&payment));
        }
        stack.kill(dies);
        tokio::time::sleep(Duration::from_millis(300)).await;
        stack.run(dies).await;
    }
    stack.audit(&orders).await;
    done.store(true, Ordering::Relaxed);
    let entries = stack.stream.all().await;
    for (query, client) in queries.iter().zip(clients) {
        let (seen, connections) = client.await.unwrap();
        let of = |order: &&Order| query.starts_with("?token") || query.ends_with(&order.payer.to_string());
        let subjects: Vec<String> = orders.iter().filter(of).map(|order| order.subject("")).collect();
        let all = entries.iter().filter(|entry| subjects.iter().any(|subject| entry.subject.starts_with(subject)));
        let expected: Vec<u64> = all.map(|entry| entry.seq).collect();
        assert_eq!(seen, expected, "{query}");
        assert!(connections > 3, "{query}: {connections} connections");
    }
}
