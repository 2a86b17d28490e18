//! Connections to nats-server and PostgreSQL that are slow, cut, or dead on one side: nothing lost, nothing twice.

use faults::{Faults, Hit, TcpProxy, Wire};
use futures_util::future::join_all;
use harness::{DOLLAR, Order, Payment, Service, Stack, StackOptions, eventually};
use std::time::{Duration, Instant};

/// A connection that works again is used again within this.
const RESUMES: Duration = Duration::from_secs(5);

/// The API answers a payment by then, whatever its ledger does: its own patience, and a busy machine's.
const DEADLINE: Duration = Duration::from_secs(12);

/// F06: three intervals of pings, and a busy machine's time.
const NOTICED: Duration = Duration::from_secs(11);

/// Every service, behind a wire to nats-server.
async fn behind_a_wire() -> (Stack, TcpProxy) {
    let mut stack = Stack::start(StackOptions::empty()).await;
    let wire = stack.proxy_nats().await;
    stack.run_all().await;
    (stack, wire)
}

fn slow(each_way: u64) -> Faults {
    let wire = Wire { delay: Duration::from_millis(each_way / 2), ..Wire::default() };
    Faults { up: wire, down: wire, ..Faults::default() }
}

/// Until a payment is accepted, the client asks again with the same header. Each answer comes in time and is a 202 or
/// a 503.
async fn insist(stack: &Stack, payment: &Payment) -> Order {
    loop {
        let begun = Instant::now();
        let answer = stack.post(&payment.terms, payment.quantity, payment.v2()).await;
        assert!(begun.elapsed() < DEADLINE, "{:?}: {answer:?}", begun.elapsed());
        match answer.status {
            202 => return Order::of(payment),
            503 => tokio::time::sleep(Duration::from_millis(100)).await,
            _ => panic!("{answer:?}"),
        }
    }
}

/// F04: from 50 ms a question to two seconds.
#[tokio::test(flavor = "multi_thread")]
async fn f04_a_slow_ledger_slows_payments_down_and_loses_none() {
    let (stack, wire) = behind_a_wire().await;
    let buyers = stack.buyers(9, DOLLAR).await;
    let mut orders = Vec::new();
    let phases = [(50, "mint.confirmed"), (500, "payment.requested"), (2_000, "payment.requested")];
    for ((round_trip_ms, reached), buyers) in phases.into_iter().zip(buyers.chunks(3)) {
        let before = wire.hits(Hit::Delayed);
        wire.set(slow(round_trip_ms));
        let payments: Vec<Payment> = buyers.iter().map(|buyer| buyer.pay(&stack.shop.token, 2)).collect();
        orders.extend(join_all(payments.iter().map(|payment| insist(&stack, payment))).await);
        stack.until(orders.last().unwrap(), reached).await;
        assert!(wire.hits(Hit::Delayed) > before, "{round_trip_ms} ms");
    }
    wire.heal();
    stack.audit(&orders).await;
}

/// F05: the ledger has stored it, and its answer dies with the connection. It is read back, and is the same payment.
#[tokio::test(flavor = "multi_thread")]
async fn f05_c02_an_acknowledgement_that_is_cut_off_after_the_append_is_no_second_payment() {
    let (stack, wire) = behind_a_wire().await;
    let buyers = stack.buyers(3, DOLLAR).await;
    let payments: Vec<Payment> = buyers.iter().map(|buyer| buyer.pay(&stack.shop.token, 2)).collect();
    // What the server says stays under way until the connection is cut.
    let mute = Wire { delay: Duration::from_secs(60), ..Wire::default() };
    wire.set(Faults { down: mute, ..Faults::default() });
    let cut = async {
        for payment in &payments {
            stack.until(&Order::of(payment), "payment.requested").await;
        }
        wire.heal();
        wire.cut();
    };
    let (orders, ()) = tokio::join!(join_all(payments.iter().map(|payment| insist(&stack, payment))), cut);
    assert!(wire.hits(Hit::Cut) >= 5, "every service has lost its connection");
    for payment in &payments {
        assert_eq!(stack.accept(payment).await.id, payment.id(), "and once more");
    }
    stack.audit(&orders).await;
}

/// F06: nobody is told that the connections are dead. They are given up after two pings without answer, and made anew.
#[tokio::test(flavor = "multi_thread")]
async fn f06_connections_that_are_dead_on_one_side_are_noticed_and_replaced() {
    let (stack, wire) = behind_a_wire().await;
    let buyers = stack.buyers(4, DOLLAR).await;
    let mut orders = vec![stack.buy(&buyers[0], 2).await];
    stack.until(&orders[0], "payment.submitted.1").await;
    let dead = wire.connections();
    for number in 0..usize::try_from(dead).unwrap() {
        wire.set_for(number, Faults { hold: true, ..Faults::default() });
    }
    let begun = Instant::now();
    let noticed = async || (wire.connections() >= 2 * dead).then(|| begun.elapsed());
    let payments: Vec<Payment> = buyers[1..].iter().map(|buyer| buyer.pay(&stack.shop.token, 2)).collect();
    let accepted = join_all(payments.iter().map(|payment| insist(&stack, payment)));
    let (more, noticed) = tokio::join!(accepted, eventually("everybody has a connection again", noticed));
    orders.extend(more);
    assert!(noticed < NOTICED && wire.hits(Hit::Held) > 0, "{noticed:?}");
    stack.audit(&orders).await;
}

/// F18: cut again and again, then away for a while; when it is back, everybody goes on.
#[tokio::test(flavor = "multi_thread")]
async fn f18_wires_that_are_cut_again_and_again_lose_and_double_nothing_and_work_goes_on_at_once() {
    let (stack, wire) = behind_a_wire().await;
    let buyers = stack.buyers(8, DOLLAR).await;
    let payments: Vec<Payment> = buyers.iter().map(|buyer| buyer.pay(&stack.shop.token, 2)).collect();
    let cuts = async {
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            wire.cut();
        }
    };
    let (mut orders, ()) = tokio::join!(join_all(payments[..4].iter().map(|payment| insist(&stack, payment))), cuts);
    assert!(wire.hits(Hit::Cut) > 20);

    wire.set(Faults { refuse: true, ..Faults::default() });
    wire.cut();
    let noticed = async || (stack.get("/readyz").await.status == 503).then_some(());
    eventually("the api notices", noticed).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = stack.stream.last_seq().await;
    wire.heal();
    let begun = Instant::now();
    let more = async {
        orders.extend(join_all(payments[4..].iter().map(|payment| insist(&stack, payment))).await);
        stack.until(&orders[4], "payment.submitted.1").await;
    };
    more.await;
    assert!(begun.elapsed() < RESUMES, "{:?} until sender and api were at work again", begun.elapsed());
    assert!(stack.stream.last_seq().await > before && wire.hits(Hit::Refused) > 0);
    stack.audit(&orders).await;
}

/// F21, F23: what PostgreSQL does to its connections costs no payment anything, and the api answers from the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn f21_f23_whatever_happens_to_postgres_payments_go_on_and_are_shown_in_time() {
    let mut stack = Stack::start(StackOptions::empty()).await;
    let wire = stack.proxy_postgres().await;
    stack.run_all().await;
    let buyers = stack.buyers(4, DOLLAR).await;
    let mut orders = vec![stack.buy(&buyers[0], 2).await];
    stack.until_quiet(&orders).await;

    let refused = Faults { refuse: true, ..Faults::default() };
    let held = Faults { hold: true, ..Faults::default() };
    for (what, faults, buyer) in [("refused", refused, &buyers[1]), ("held", held, &buyers[2])] {
        wire.set(faults);
        if what == "refused" {
            wire.cut();
        }
        orders.push(stack.buy(buyer, 2).await);
        shown_in_time(&stack, orders.last().unwrap(), what).await;
        wire.heal();
        stack.until_quiet(&orders).await;
    }
    assert!(wire.hits(Hit::Refused) > 0 && wire.hits(Hit::Held) > 0);

    // F23: somebody holds the table.
    let mut somebody = stack.tables.begin().await.unwrap();
    sqlx::query("LOCK TABLE payments IN ACCESS EXCLUSIVE MODE").execute(&mut *somebody).await.unwrap();
    orders.push(stack.buy(&buyers[3], 2).await);
    shown_in_time(&stack, orders.last().unwrap(), "locked").await;
    somebody.rollback().await.unwrap();
    stack.audit(&orders).await;
}

/// C25: the projector loses the database after so many bytes of its answers, wherever in a transaction that is. It asks
/// for its position before it does anything again.
#[tokio::test(flavor = "multi_thread")]
async fn c25_a_projector_that_is_cut_off_at_any_byte_projects_everything_once() {
    let mut stack = Stack::start(StackOptions::empty()).await;
    stack.run(Service::Api).await;
    let wire = stack.proxy_postgres().await;
    stack.run_all().await;
    let buyers = stack.buyers(5, DOLLAR).await;
    let mut orders = Vec::new();
    for (cut_after, buyer) in [1, 20, 60, 130, 240].into_iter().zip(&buyers) {
        let cuts = wire.hits(Hit::Cut);
        let fatal = Wire { cut_after: Some(cut_after), ..Wire::default() };
        wire.set(Faults { down: fatal, ..Faults::default() });
        orders.push(stack.buy(buyer, 1).await);
        let cut = async || (wire.hits(Hit::Cut) > cuts).then_some(());
        eventually(&format!("it is cut off after {cut_after} bytes"), cut).await;
        wire.heal();
    }
    stack.audit(&orders).await;
}

/// Minted, and the api says so, in bounded time.
async fn shown_in_time(stack: &Stack, order: &Order, what: &str) {
    stack.until(order, "mint.confirmed").await;
    let begun = Instant::now();
    assert_eq!(stack.status(order.id).await["state"], "minted", "{what}");
    assert!(begun.elapsed() < RESUMES, "{what}: {:?}", begun.elapsed());
}
