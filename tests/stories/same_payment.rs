//! One authorization is one payment, however often and in whatever form it comes.

use futures_util::future::join_all;
use harness::{DOLLAR, Order, Stack, StackOptions};

/// B37, B40, B44: a hundred at once, and again in both generations when everything is over.
#[tokio::test(flavor = "multi_thread")]
async fn one_header_sent_a_hundred_times_is_one_payment_with_one_id() {
    let stack = Stack::start(StackOptions::default()).await;
    let buyer = stack.buyer(DOLLAR).await;
    let payment = buyer.pay(&stack.shop.token, 10);
    let terms = &stack.shop.token;

    let answers = join_all((0..100).map(|_| stack.post(terms, 10, payment.v2()))).await;
    for answer in &answers {
        assert_eq!((answer.status, answer.id()), (202, payment.id()), "{answer:?}");
    }
    let order = Order::of(&payment);
    stack.until(&order, "mint.confirmed").await;

    let before = stack.stream.last_seq().await;
    for header in [payment.v2(), payment.v1(), payment.v2()] {
        let answer = stack.post(terms, 10, header).await;
        assert_eq!((answer.status, answer.id()), (202, payment.id()), "{answer:?}");
    }
    stack.audit(&[order]).await;
    let requested = stack.stream.all().await.into_iter().filter(|entry| entry.subject.ends_with("payment.requested"));
    assert_eq!(requested.count(), 1);
    assert!(stack.stream.last_seq().await >= before);
}

/// B37: v1 and v2 of one authorization race each other.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_authorization_as_v1_and_as_v2_at_once_is_one_payment() {
    let stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(10, DOLLAR).await;
    let terms = &stack.shop.token;
    let mut orders = Vec::new();
    for buyer in &buyers {
        let payment = buyer.pay(terms, 3);
        let (v1, v2) = tokio::join!(stack.post(terms, 3, payment.v1()), stack.post(terms, 3, payment.v2()));
        assert_eq!((v1.status, v2.status), (202, 202), "{v1:?} {v2:?}");
        assert_eq!((v1.id(), v2.id()), (payment.id(), payment.id()));
        orders.push(Order::of(&payment));
    }
    stack.audit(&orders).await;
}

/// B38: what was signed pays for one order; beside another one it is refused, and the payer is told which one it was.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_authorization_with_another_quantity_is_refused_with_the_first_id() {
    let stack = Stack::start(StackOptions::default()).await;
    let buyer = stack.buyer(DOLLAR).await;
    let payment = buyer.pay(&stack.shop.token, 10);
    let terms = &stack.shop.token;

    // Before it has paid for anything it only does not fit the price, and nothing is written.
    for header in [payment.v2(), payment.v1()] {
        let answer = stack.post(terms, 20, header).await;
        assert_eq!(answer.status, 402, "{answer:?}");
    }
    let written = stack.stream.all().await;
    assert!(written.iter().all(|entry| !entry.subject.starts_with("orders.")), "lanes may be claimed meanwhile");

    let order = stack.accept(&payment).await;
    let refused_twice = async || {
        for header in [payment.v2(), payment.v1()] {
            let answer = stack.post(terms, 20, header).await;
            assert_eq!((answer.status, answer.id()), (409, order.id), "{answer:?}");
            assert_eq!(answer.json["code"], "payment_key_reused");
        }
    };
    refused_twice().await;
    stack.until(&order, "mint.confirmed").await;
    refused_twice().await;
    stack.audit(std::slice::from_ref(&order)).await;
}
