//! F53, light: two of every service at the same lanes and the same messages, while one after the other is killed.

use domain::TokenTerms;
use harness::{DOLLAR, Instance, Order, Payment, Service, Stack, StackOptions};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Payments sent before and again after each kill.
const EACH: usize = 3;

/// C29.
const STOP_BOUND: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn f53_two_of_each_service_survive_a_rolling_kill_and_c29_leave_within_ten_seconds_of_sigterm() {
    let mut stack = Stack::start(StackOptions::empty()).await;
    let everyone: Vec<Instance> = Service::ALL.iter().flat_map(|s| [Instance(*s, 0), Instance(*s, 1)]).collect();
    for instance in &everyone {
        stack.run(*instance).await;
    }
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(everyone.len() * EACH * 2 + EACH, DOLLAR).await;
    let payments: Vec<Payment> = buyers.iter().map(|buyer| buyer.pay(&terms, 1)).collect();
    let mut waves = payments.chunks(EACH);

    let mut clients = Clients::of(&stack);
    for instance in &everyone {
        clients.send(waves.next().unwrap());
        stack.kill(*instance);
        clients.send(waves.next().unwrap());
        stack.run(*instance).await;
    }
    clients.all_accepted().await;
    let (last, before) = payments.split_at(payments.len() - EACH);
    let orders: Vec<Order> = last.iter().map(Order::of).collect();
    stack.audit(&orders).await;

    // In the middle of the last ones everybody is asked to leave, and does; who comes after finishes the work.
    for payment in before {
        stack.accept(payment).await;
    }
    let begun = Instant::now();
    for instance in &everyone {
        stack.process(*instance).signal(Signal::SIGTERM);
    }
    for instance in &everyone {
        let status = stack.process(*instance).ended().await;
        assert!(status.success(), "{instance:?} ended with {status}");
        assert!(begun.elapsed() < STOP_BOUND, "{instance:?} took {:?}", begun.elapsed());
    }
    for service in Service::ALL {
        stack.run(service).await;
    }
    stack.audit(&payments.iter().map(Order::of).collect::<Vec<_>>()).await;
}

/// F52: a sender that is stopped in the middle of its work and wakes up after another has done it can only repeat it.
#[tokio::test(flavor = "multi_thread")]
async fn f52_a_zombie_sender_and_a_zombie_minter_wake_up_and_double_nothing() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(8, DOLLAR).await;
    let mut orders = Vec::new();
    for (zombie, buyers) in [Service::PaymentSender, Service::MintProjector].into_iter().zip(buyers.chunks(4)) {
        let successor = Instance(zombie, 1);
        let mut these = Vec::new();
        for buyer in buyers {
            these.push(stack.buy(buyer, 2).await);
        }
        let begun = if zombie == Service::PaymentSender { "payment.requested" } else { "payment.confirmed" };
        stack.until(&these[0], begun).await;
        stack.process(zombie).signal(Signal::SIGSTOP);
        stack.run(successor).await;
        stack.until_ended(&these).await;
        stack.process(zombie).signal(Signal::SIGCONT);
        orders.extend(these);
    }
    stack.audit(&orders).await;
    for zombie in [Service::PaymentSender, Service::MintProjector] {
        assert!(stack.process(zombie).is_running(), "{zombie:?} goes on beside its successor");
    }
}

/// Clients that ask the other instance when one does not answer, always with the same header.
struct Clients {
    http: reqwest::Client,
    terms: TokenTerms,
    urls: [String; 2],
    sent: JoinSet<()>,
}

impl Clients {
    fn of(stack: &Stack) -> Self {
        let terms = stack.shop.token.clone();
        let path = format!("/api/mint/{}", terms.token);
        let urls = [0, 1].map(|nth| stack.url(Instance(Service::Api, nth), &path));
        Self { http: reqwest::Client::new(), terms, urls, sent: JoinSet::new() }
    }

    fn send(&mut self, payments: &[Payment]) {
        for payment in payments {
            let (http, urls) = (self.http.clone(), self.urls.clone());
            let ((name, value), id) = (payment.v2(), payment.id().to_string());
            assert_eq!(payment.terms, self.terms);
            self.sent.spawn(async move {
                for url in urls.iter().cycle() {
                    let request = http.post(url).header(name, &value).body(r#"{"quantity":1}"#);
                    let Ok(response) = request.send().await else { continue };
                    let status = response.status();
                    let Ok(text) = response.text().await else { continue };
                    if status == 503 {
                        continue;
                    }
                    assert!(status == 202 && text.contains(&id), "{status}: {text}");
                    return;
                }
            });
        }
    }

    async fn all_accepted(&mut self) {
        let all = async {
            while let Some(sent) = self.sent.join_next().await {
                sent.unwrap();
            }
        };
        tokio::time::timeout(harness::PATIENCE, all).await.expect("every payment is accepted");
    }
}
