//! The units that are left: the last ones are sold once, and nobody signs for units that are gone.

use crate::common::rows::Rows;
use crate::common::{Instance, pay};
use domain::event::{Deferral, FailureReason, PaymentFailure, WaitReason};
use domain::{OrderEvent, examples};
use serde_json::{Value, json};
use testkit::until;

/// The demo token has a million units.
const ALL: u32 = 1_000_000;

/// `unitsLeft` of the demo token.
async fn left(api: &Instance) -> Value {
    api.get(&format!("/api/tokens/{}", examples::TOKEN)).await.json()["unitsLeft"].clone()
}

async fn until_left(api: &Instance, units: u32) {
    until("it is known what is left", async || left(api).await == json!(units.to_string())).await;
}

/// A site whose one instance knows what is left.
async fn shop() -> Rows {
    let rows = Rows::start().await;
    rows.project().await;
    until_left(&rows.api, ALL).await;
    rows
}

fn sold_out() -> (u16, String) {
    (422, "sold_out".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_units_are_sold_once_and_who_comes_late_signs_nothing() {
    let shop = shop().await;
    let api = &shop.api;
    let offer = api.mint(400_000, &[]).await.offer();
    let mut payments = tokio::task::JoinSet::new();
    for nonce in 1..=10 {
        let (api, header) = (api.another_client(), pay(&offer, nonce, |_| {}));
        payments.spawn(async move { (api.mint(400_000, &[("payment-signature", &header)]).await, header) });
    }
    let (accepted, refused): (Vec<_>, Vec<_>) =
        payments.join_all().await.into_iter().partition(|(answer, _)| answer.status == 202);
    assert_eq!((accepted.len(), refused.len()), (2, 8));
    assert!(refused.iter().all(|(answer, _)| answer.problem() == sold_out()));
    until_left(api, 200_000).await;
    assert_eq!(api.get("/api/tokens").await.json()["tokens"][0]["unitsLeft"], "200000");

    let before = shop.site.last_sequence().await;
    let unpaid = api.mint(200_001, &[]).await;
    let document = json!({
        "type": "urn:paymint:problem:sold_out",
        "title": "Sold out",
        "status": 422,
        "code": "sold_out",
        "detail": "the token has fewer units left than this; nothing was written",
    });
    assert_eq!((unpaid.problem(), unpaid.json()), (sold_out(), document));
    assert!(!unpaid.headers.contains_key("retry-after") && !unpaid.headers.contains_key("payment-required"));
    assert_eq!(api.mint(200_000, &[]).await.status, 402, "as many as there are");
    assert_eq!(api.mint(ALL + 1, &[]).await.problem(), (422, "quantity_too_large".to_owned()));
    assert_eq!(shop.site.last_sequence().await, before);
    for (answer, header) in &accepted {
        let again = api.mint(400_000, &[("payment-signature", header)]).await;
        assert_eq!((again.status.as_u16(), again.id()), (202, answer.id()), "who was accepted is answered");
    }
}

/// A client that is told 422 gives up, and its order would be minted all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_payment_is_never_told_that_its_token_is_sold_out() {
    let shop = shop().await;
    let api = &shop.api;
    let offer = api.mint(ALL, &[]).await.offer();
    let header = pay(&offer, 1, |_| {});
    let name = ("idempotency-key", "all-of-it");
    let id = api.mint(ALL, &[("payment-signature", &header), name]).await.id();
    shop.site.happens(id, OrderEvent::PaymentConfirmed(examples::proof())).await;
    shop.site.happens(id, OrderEvent::MintConfirmed(examples::minted())).await;
    let path = format!("/api/payment/{id}");
    until("it is minted", async || api.get(&path).await.json()["state"] == "minted").await;

    let unknown = pay(&offer, 2, |_| {});
    assert_eq!(api.mint(ALL, &[("payment-signature", &unknown)]).await.problem(), sold_out());
    let named = api.mint(ALL, &[("payment-signature", &unknown), name]).await;
    assert_eq!((named.status.as_u16(), named.id()), (202, id), "the same purchase by its name");
    // More at once than may look into the ledger: those who are left over are told to come back.
    let mut posts = tokio::task::JoinSet::new();
    for n in 0..200 {
        let (api, header) = (api.another_client(), if n % 4 == 0 { header.clone() } else { unknown.clone() });
        posts
            .spawn(async move { (n % 4 == 0, api.mint(ALL, &[("payment-signature", &header)]).await.status.as_u16()) });
    }
    for (is_known, status) in posts.join_all().await {
        assert!(if is_known { [202, 503] } else { [422, 503] }.contains(&status), "{is_known} {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_fails_or_is_refunded_gives_its_units_back() {
    let shop = shop().await;
    let api = &shop.api;
    let (failed, refunded) = (api.buy(ALL - 10, 1).await.id(), api.buy(10, 2).await.id());
    assert_eq!(api.mint(1, &[]).await.problem(), sold_out());
    shop.site.happens(failed, OrderEvent::PaymentFailed(examples::failure())).await;
    until_left(api, ALL - 10).await;
    assert_eq!(api.mint(ALL - 9, &[]).await.problem(), sold_out());
    shop.site.happens(refunded, OrderEvent::PaymentConfirmed(examples::proof())).await;
    shop.site.happens(refunded, OrderEvent::RefundRequested(examples::refund_request())).await;
    let seen = shop.site.happens(refunded, OrderEvent::RefundSubmitted(1, examples::submission(9))).await;
    until("it is read", async || api.get(&format!("/api/payment/{refunded}")).await.json()["sequence"] == seen).await;
    assert_eq!(left(api).await, json!((ALL - 10).to_string()), "the money is not back yet");
    shop.site.happens(refunded, OrderEvent::RefundConfirmed(examples::refunded())).await;
    until_left(api, ALL).await;
    shop.site.happens(refunded, OrderEvent::RefundReverted(1, examples::reversal(9))).await;
    until_left(api, ALL - 10).await;
    assert_eq!(api.mint(ALL, &[]).await.problem(), sold_out(), "the refund fell out of the chain");
    shop.site.happens(refunded, OrderEvent::RefundRestored(1, examples::refunded())).await;
    until_left(api, ALL).await;
    assert_eq!(api.buy(ALL, 3).await.status, 202);
}

/// A fresh key signs for everything that is left, and has no money.
#[tokio::test(flavor = "multi_thread")]
async fn one_order_without_money_does_not_keep_a_token_from_everybody_else() {
    let shop = shop().await;
    let (api, url) = (&shop.api, shop.database.server.url());
    let empty = api.buy(ALL, 1).await.id();
    assert_eq!(api.mint(1, &[]).await.problem(), sold_out(), "until the sender has tried it");
    let waits = |n, reason| OrderEvent::PaymentDeferred(n, Deferral { reason, ..examples::deferral() });
    shop.site.happens(empty, waits(1, WaitReason::Unfunded)).await;
    until_left(api, ALL).await;
    let bought = api.buy(ALL - 10, 2).await;
    assert_eq!(bought.status, 202);
    // A process that starts reads the rows, and what came after them.
    shop.project().await;
    shop.site.happens(empty, waits(2, WaitReason::SoldOut)).await;
    let again = shop.site.instance(&[("DATABASE_URL", &url)]).await;
    for api in [api, &again] {
        until_left(api, 10).await;
    }
    shop.site.happens(bought.id(), waits(1, WaitReason::AuthorizationUsedOrCancelled)).await;
    shop.site.happens(empty, OrderEvent::PaymentSubmitted(1, examples::submission(7))).await;
    for api in [api, &again] {
        until_left(api, 0).await;
    }
    assert_eq!(again.mint(1, &[]).await.problem(), sold_out(), "it has money now, and is about to be paid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_knows_what_was_sold_before() {
    let shop = shop().await;
    let url = shop.database.server.url();
    let minted = shop.api.buy(ALL - 30, 1).await.id();
    shop.site.happens(minted, OrderEvent::PaymentConfirmed(examples::proof())).await;
    shop.site.happens(minted, OrderEvent::MintConfirmed(examples::minted())).await;
    let (failed, refunded) = (shop.api.buy(5, 2).await.id(), shop.api.buy(5, 6).await.id());
    shop.api.buy(10, 3).await;
    shop.site.happens(refunded, OrderEvent::PaymentConfirmed(examples::proof())).await;
    shop.site.happens(refunded, OrderEvent::RefundRequested(examples::refund_request())).await;
    shop.project().await;
    // The rows do not know of these yet.
    shop.api.buy(10, 4).await;
    shop.site.happens(failed, OrderEvent::PaymentFailed(examples::failure())).await;
    shop.site.happens(refunded, OrderEvent::RefundConfirmed(examples::refunded())).await;
    let again = shop.site.instance(&[("DATABASE_URL", &url)]).await;
    until_left(&again, 10).await;
    assert_eq!(again.mint(11, &[]).await.problem(), sold_out());
    assert_eq!(again.buy(10, 5).await.status, 202);
    assert_eq!(again.mint(1, &[]).await.problem(), sold_out());
}

/// The contract decides which of them is paid, and the other fails without a charge.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_may_both_sell_the_last_units_and_only_the_failed_order_gives_some_back() {
    let shop = shop().await;
    let one = &shop.api;
    // Without rows an instance does not know what was sold, and refuses nobody.
    let two = shop.site.instance(&[]).await;
    assert_eq!(left(&two).await, Value::Null);
    let (first, second) = (one.buy(600_000, 1).await.id(), two.buy(600_000, 2).await.id());
    until_left(one, 0).await;
    assert_eq!((one.mint(1, &[]).await.problem(), two.mint(1, &[]).await.status.as_u16()), (sold_out(), 402));

    shop.site.happens(first, OrderEvent::PaymentConfirmed(examples::proof())).await;
    let why = Deferral { reason: WaitReason::SoldOut, ..examples::deferral() };
    shop.site.happens(second, OrderEvent::PaymentDeferred(1, why)).await;
    let waits = one.get(&format!("/api/payment/{second}")).await.json();
    assert_eq!((&waits["state"], &waits["reason"]), (&json!("deferred"), &json!("sold_out")));
    let failure = PaymentFailure { reason: FailureReason::SoldOut, ..examples::failure() };
    shop.site.happens(second, OrderEvent::PaymentFailed(failure)).await;
    until_left(one, 400_000).await;
    let failed = one.get(&format!("/api/payment/{second}")).await.json();
    assert_eq!((&failed["status"], &failed["reason"]), (&json!("failed"), &json!("sold_out")));
}
