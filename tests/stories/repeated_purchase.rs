//! An application that loses an answer repeats the whole purchase, with a new authorization (D11, S14).

use futures_util::future::join_all;
use harness::{Answer, Buyer, DOLLAR, Instance, Order, Payment, Service, Stack, StackOptions};
use runtime::failpoint::{ORDER_APPEND_NOT_ANSWERED, ORDER_APPENDED_NOT_ACCEPTED, ORDER_CHECKED_NOT_APPENDED};

const SECOND: Instance = Instance(Service::Api, 1);

/// Buys under `key` until it is answered: each try signs anew, and goes to the other instance.
async fn buy_stubbornly(stack: &Stack, buyer: &Buyer, key: &str) -> (Answer, Vec<Payment>) {
    let mut signed = Vec::new();
    for n in 0.. {
        let payment = buyer.pay(&stack.shop.token, 10);
        let api = if n % 2 == 0 { Service::Api.into() } else { SECOND };
        let answer = stack.try_post_under_key(api, &payment, key).await;
        signed.push(payment);
        match answer {
            Ok(answer) if answer.status != 503 => return (answer, signed),
            Ok(_) | Err(_) => {}
        }
        assert!(n < 50, "nobody answers");
    }
    unreachable!("a try ends it")
}

/// The order that was answered, by the authorization that pays for it.
fn order_of(answer: &Answer, signed: &[Payment]) -> Order {
    assert_eq!(answer.status, 202, "{answer:?}");
    Order::of(signed.iter().find(|payment| payment.id() == answer.id()).expect("one of those that were signed"))
}

#[tokio::test(flavor = "multi_thread")]
async fn c01_c02_c03_a_key_makes_one_purchase_of_many_tries_whenever_the_api_dies() {
    for point in [ORDER_CHECKED_NOT_APPENDED, ORDER_APPEND_NOT_ANSWERED, ORDER_APPENDED_NOT_ACCEPTED] {
        let mut stack = Stack::start(StackOptions::default()).await;
        stack.run(SECOND).await;
        stack.kill(Service::Api);
        stack.run_with(Service::Api, &[("PAYMINT_KILL_AT", point.name())]).await;
        let buyer = stack.buyer(DOLLAR).await;
        let (answer, signed) = buy_stubbornly(&stack, &buyer, "order-7").await;
        assert!(signed.len() > 1, "{point}: the first instance died");
        stack.until_killed(Service::Api, point.name()).await;
        let order = order_of(&answer, &signed);
        stack.run(Service::Api).await;
        // Again, by both instances, before and after its end: whatever was signed meanwhile is nobody's.
        for end in ["payment.requested", "mint.confirmed"] {
            stack.until(&order, end).await;
            for api in [Service::Api.into(), SECOND] {
                let payment = buyer.pay(&stack.shop.token, 10);
                let again = stack.try_post_under_key(api, &payment, "order-7").await.unwrap();
                assert_eq!((again.status, again.id()), (202, order.id), "{point}");
            }
        }
        // The auditor finds one order, one charge, and the payer's balance less by one price.
        stack.audit(&[order]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_twenty_applications_that_sign_anew_all_the_time_pay_once_each() {
    let mut stack = Stack::start(StackOptions::default()).await;
    stack.run(SECOND).await;
    let buyers = stack.buyers(20, DOLLAR).await;
    let bought = join_all(buyers.iter().map(async |buyer| {
        let tries = join_all((0..5).map(|_| buy_stubbornly(&stack, buyer, "the-one"))).await;
        let signed: Vec<Payment> = tries.iter().flat_map(|(_, signed)| signed.clone()).collect();
        let order = order_of(&tries[0].0, &signed);
        assert!(tries.iter().all(|(answer, _)| answer.status == 202 && answer.id() == order.id));
        order
    }))
    .await;
    stack.audit(&bought).await;
}
