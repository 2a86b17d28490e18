//! Money that goes back, as its payer and an earlier frontend see it.

use crate::common::rows::Rows;
use crate::common::sse::Reader;
use crate::common::{Answer, Instance, Site};
use domain::event::{Actor, Deferral, RefundReason, RefundRequest, Refunded, WaitReason};
use domain::{OrderEvent, PaymentId, examples};
use serde_json::{Value, json};
use testkit::until;

async fn payment(api: &Instance, id: PaymentId) -> (Answer, Value) {
    let answer = api.get(&format!("/api/payment/{id}")).await;
    let json = answer.json();
    (answer, json)
}

fn asked() -> OrderEvent {
    OrderEvent::RefundRequested(examples::refund_request())
}

fn back() -> OrderEvent {
    OrderEvent::RefundConfirmed(examples::refunded())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_followed_to_its_end_and_out_of_the_chain() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    let paid = site.happens(id, OrderEvent::PaymentConfirmed(examples::proof())).await;
    let (_, before) = payment(&api, id).await;
    assert_eq!((&before["sequence"], &before["refund"]), (&json!(paid), &Value::Null), "nobody has asked");
    let refused = Deferral { reason: WaitReason::Blacklisted, ..examples::deferral() };
    let steps = [
        (asked(), "completed", "refund_requested", Value::Null),
        (OrderEvent::RefundDeferred(1, refused), "completed", "refund_deferred", json!("blacklisted")),
        (OrderEvent::RefundSubmitted(1, examples::submission(9)), "completed", "refunding", Value::Null),
        (OrderEvent::RefundParked(1, examples::parked()), "completed", "refund_parked", json!("inconsistent")),
        (OrderEvent::RefundSubmitted(2, examples::submission(9)), "completed", "refunding", Value::Null),
        (back(), "failed", "refunded", Value::Null),
        (OrderEvent::RefundReverted(1, examples::reversal(9)), "completed", "refunding", Value::Null),
        (OrderEvent::RefundRestored(1, examples::refunded()), "failed", "refunded", Value::Null),
    ];
    for (event, status, state, reason) in steps {
        let sequence = site.happens(id, event).await;
        let (answer, payment) = payment(&api, id).await;
        let queue = api.get(&format!("/api/queue/{id}")).await.json();
        assert_eq!((&payment["status"], &payment["state"]), (&json!(status), &json!(state)));
        assert_eq!((&payment["sequence"], &payment["reason"]), (&json!(sequence), &reason), "{state}");
        assert_eq!(payment["retryAt"].is_string(), state == "refund_deferred");
        // An earlier frontend stops waiting for the units, and never shows them as there.
        assert_eq!((&payment["mintStatus"], &queue["status"]), (&json!("failed"), &json!("failed")), "{state}");
        assert!(payment["mintTxHash"].is_null());
        assert_eq!(payment["result"].is_object(), status == "completed", "{state}");
        for header in ["payment-response", "x-payment-response"] {
            assert_eq!(answer.headers.contains_key(header), status == "completed", "{state}: is it settled?");
        }
        let refund = &payment["refund"];
        assert_eq!((refund, &queue["state"]), (&queue["refund"], &json!(state)));
        assert_eq!((&refund["reason"], &refund["by"]), (&json!("operator"), &json!("alice")));
        assert_eq!(refund["amount"].is_string(), state == "refunded", "{state}");
    }
    let refunded = examples::refunded();
    let (_, payment) = payment(&api, id).await;
    let mut refund = payment["refund"].clone();
    assert!(refund["refundedAt"].take().is_string());
    let expected = json!({
        "reason": "operator",
        "by": "alice",
        "detail": examples::refund_request().detail,
        "txHash": refunded.tx_hash,
        "blockNumber": refunded.block.number,
        "refundedBy": "paymint",
        "amount": "100000",
        "refundedAt": null,
    });
    assert_eq!(refund, expected);
    assert_eq!(payment["txHash"], json!(examples::proof().tx_hash), "the transaction that charged the payer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_around_the_token_that_is_given_back_was_never_settled_by_us() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    // A transaction of ours that did not charge.
    site.happens(id, OrderEvent::PaymentSubmitted(1, examples::submission(7))).await;
    site.happens(id, OrderEvent::PaymentParked(1, examples::parked_payment())).await;
    let request =
        RefundRequest { reason: RefundReason::SoldOut, by: "operator".to_owned(), ..examples::refund_request() };
    site.happens(id, OrderEvent::RefundRequested(request)).await;
    let (answer, asked) = payment(&api, id).await;
    assert_eq!((&asked["state"], &asked["refund"]["reason"]), (&json!("refund_requested"), &json!("sold_out")));
    assert_eq!((&asked["status"], &asked["mintStatus"]), (&json!("completed"), &json!("failed")));
    assert!(!answer.headers.contains_key("payment-response"), "no transaction of ours settled it");
    site.happens(id, back()).await;
    let (answer, back) = payment(&api, id).await;
    assert_eq!(
        (&back["status"], &back["state"], &back["result"]),
        (&json!("failed"), &json!("refunded"), &Value::Null)
    );
    assert!(!answer.headers.contains_key("payment-response"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_who_took_the_money_back_is_shown_the_same_from_the_rows_and_from_the_ledger() {
    let rows = Rows::start().await;
    let without_rows = rows.site.instance(&[]).await;
    let id = rows.api.buy(10, 7).await.id();
    // The payment still waits, as far as the ledger knows.
    rows.site.happens(id, OrderEvent::PaymentDeferred(1, examples::deferral())).await;
    let taken = Refunded { refunded_by: Actor::ThirdParty, ..examples::refunded() };
    rows.site.happens(id, OrderEvent::RefundConfirmed(taken)).await;
    rows.project().await;
    until("both have read it", async || {
        let positions = [payment(&rows.api, id).await.1, payment(&without_rows, id).await.1];
        positions.iter().all(|payment| payment["queuePosition"].is_null())
    })
    .await;
    let (_, shown) = payment(&rows.api, id).await;
    assert_eq!(shown, payment(&without_rows, id).await.1);
    let refund = &shown["refund"];
    assert_eq!((&refund["refundedBy"], &refund["amount"]), (&json!("third_party"), &json!("100000")));
    assert!(refund["reason"].is_null() && refund["by"].is_null() && refund["detail"].is_null(), "nobody decided it");
    assert!(
        shown["reason"].is_null() && shown["detail"].is_null() && shown["retryAt"].is_null(),
        "it waits for nothing"
    );
    let item = rows.api.get(&format!("/queue/item/{id}")).await.json();
    assert_eq!((&item["status"], &item["error_message"]), (&json!("failed"), &json!("refunded")));
    assert!(item["retry_at"].is_null() && item["processed_at"].is_string());

    // The refund falls out of the chain: what the payment waits for is known again.
    rows.site.happens(id, OrderEvent::RefundReverted(1, examples::reversal(9))).await;
    rows.project().await;
    let (_, waits) = payment(&rows.api, id).await;
    assert_eq!((&waits["state"], &waits["reason"]), (&json!("deferred"), &json!("unfunded")));
    assert!(waits["retryAt"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_statistics_count_money_that_goes_back_as_neither_waiting_nor_minted() {
    let rows = Rows::start().await;
    let (asked_for, refunded, paid) =
        (rows.api.buy(10, 1).await.id(), rows.api.buy(10, 2).await.id(), rows.api.buy(10, 3).await.id());
    for id in [asked_for, refunded, paid] {
        rows.site.happens(id, OrderEvent::PaymentConfirmed(examples::proof())).await;
    }
    for id in [asked_for, refunded] {
        rows.site.happens(id, asked()).await;
    }
    rows.site.happens(refunded, back()).await;
    rows.project().await;
    let mints = rows.api.get("/api/queue/stats").await.json();
    assert_eq!(mints["statuses"], json!({ "pending": 1, "processing": 0, "completed": 0, "failed": 2 }));
    assert_eq!((&mints["states"]["refund_requested"], &mints["states"]["refunded"]), (&json!(1), &json!(1)));
    let oldest = rows.database.store.payment(paid).await.unwrap().unwrap().requested_at;
    assert_eq!((&mints["oldestPending"], &mints["uniquePayersPending"]), (&json!(oldest), &json!(1)));
    let payments = rows.api.get("/api/payment/stats").await.json();
    assert_eq!(payments["statuses"], json!({ "pending": 0, "sent": 0, "completed": 2, "failed": 1 }));
    assert_eq!(payments["totals"], json!({ "valueCompleted": "200000", "unitsPaid": "20" }));
    let list = rows.api.get(&format!("/queue/payer/{}", examples::PAYER)).await.json();
    let found: Vec<_> =
        list["requests"].as_array().unwrap().iter().map(|item| (&item["state"], &item["error_message"])).collect();
    let why = |state: &str| json!(format!("{state}: {}", examples::refund_request().detail));
    let expected = [
        (json!("paid"), Value::Null),
        (json!("refunded"), why("refunded")),
        (json!("refund_requested"), why("refund_requested")),
    ];
    assert_eq!(found, expected.iter().map(|(state, message)| (state, message)).collect::<Vec<_>>());
    until("the order that waits for its mint has its place", async || {
        rows.api.get(&format!("/api/payment/{paid}")).await.json()["queuePosition"] == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_told_while_it_happens_and_then_the_stream_ends() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    let mut reader = Reader::open(&api, id, None).await;
    reader.next().await.unwrap();
    let steps = [
        (OrderEvent::PaymentConfirmed(examples::proof()), "paid", "completed", None),
        (asked(), "refund_requested", "completed", Some("operator")),
        (OrderEvent::RefundDeferred(1, examples::deferral()), "refund_deferred", "completed", Some("unfunded")),
        (OrderEvent::RefundSubmitted(1, examples::submission(9)), "refunding", "completed", None),
        (back(), "refunded", "failed", None),
    ];
    for (event, state, status, reason) in steps {
        let (name, sequence) = (event.name(), site.happens(id, event).await);
        let frame = reader.next().await.unwrap();
        assert_eq!((frame.id, frame.event.as_str(), &frame.data["type"]), (sequence, name, &json!(name)));
        assert_eq!((&frame.data["state"], &frame.data["status"]), (&json!(state), &json!(status)));
        assert_eq!(frame.data.get("reason"), reason.map(Value::from).as_ref(), "{name}");
        let has_hash = ["payment.confirmed", "refund.submitted", "refund.confirmed"].contains(&name);
        assert_eq!(frame.data.get("txHash").is_some(), has_hash, "{name}");
    }
    assert_eq!(reader.next().await, None, "nothing can follow");
    let last = site.last_sequence().await;
    let gone = api.events(&format!("?payment={id}"), &[("last-event-id", &last.to_string())]).await;
    assert_eq!(gone.status(), 204, "EventSource stops coming back");
}
