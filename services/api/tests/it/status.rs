//! Where a purchase stands: from the first moment, from the read models and from the ledger alike.

use crate::common::{Instance, Site, project};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::event::{Actor, Minted, PaymentProof};
use domain::{OrderEvent, PaymentId, examples};
use serde_json::{Value, json};
use testkit::{Database, until};

/// The status without the forecasts: each instance makes its own, and they grow older.
async fn payment(api: &Instance, id: PaymentId) -> Value {
    let mut payment = api.get(&format!("/api/payment/{id}")).await.json();
    for forecast in ["queuePosition", "estimatedWaitSeconds"] {
        assert!(payment.as_object_mut().unwrap().remove(forecast).is_some(), "{forecast}");
    }
    payment
}

async fn queue(api: &Instance, id: PaymentId) -> Value {
    api.get(&format!("/api/queue/{id}")).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_right_after_the_202_is_never_404() {
    let site = Site::start().await;
    let database = Database::start().await;
    let api = site.instance(&[("DATABASE_URL", &database.server.url())]).await;
    until("the read models answer", async || api.get("/readyz").await.json()["postgres"] == "ok").await;
    for nonce in 0..20 {
        let accepted = api.buy(10, nonce).await;
        for path in [accepted.header("location").to_owned(), format!("/api/queue/{}", accepted.id())] {
            let answer = api.get(&path).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &json!("pending")), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f40_a_purchase_that_falls_out_of_the_chain_is_shown_as_what_it_is() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    let steps = [
        (OrderEvent::PaymentConfirmed(examples::own_proof()), "completed", "paid", "pending"),
        (OrderEvent::PaymentReverted(1, examples::reversal(7)), "pending", "reverted", "pending"),
        (OrderEvent::PaymentRestored(1, examples::own_proof()), "completed", "paid", "pending"),
        (OrderEvent::MintConfirmed(examples::own_mint()), "completed", "minted", "completed"),
        (OrderEvent::MintReverted(1, examples::reversal(8)), "completed", "minting", "processing"),
        (OrderEvent::MintRestored(1, examples::own_mint()), "completed", "minted", "completed"),
        (OrderEvent::PaymentReverted(2, examples::reversal(7)), "pending", "reverted", "pending"),
        (OrderEvent::PaymentRestored(2, examples::own_proof()), "completed", "minted", "completed"),
    ];
    for (event, status, state, mint) in steps {
        let sequence = site.happens(id, event).await;
        let (payment, queue) = (payment(&api, id).await, queue(&api, id).await);
        assert_eq!((&payment["status"], &payment["state"]), (&json!(status), &json!(state)));
        assert_eq!((&queue["status"], &queue["state"]), (&json!(mint), &json!(state)));
        assert_eq!((&payment["sequence"], payment["result"].is_null()), (&json!(sequence), status != "completed"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_followed_to_its_end() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    let steps = [
        (OrderEvent::PaymentDeferred(1, examples::deferral()), "pending", "deferred", "pending"),
        (OrderEvent::PaymentSubmitted(1, examples::submission(7)), "sent", "settling", "pending"),
        (OrderEvent::PaymentConfirmed(examples::proof()), "completed", "paid", "pending"),
        (OrderEvent::MintSubmitted(1, examples::submission(8)), "completed", "minting", "processing"),
        (OrderEvent::MintParked(1, examples::parked()), "completed", "mint_parked", "failed"),
        (OrderEvent::MintConfirmed(examples::minted()), "completed", "minted", "completed"),
    ];
    for (event, status, state, mint) in steps {
        let sequence = site.happens(id, event).await;
        let (payment, queue) = (payment(&api, id).await, queue(&api, id).await);
        assert_eq!((&payment["status"], &payment["state"]), (&json!(status), &json!(state)));
        assert_eq!((&queue["status"], &queue["state"]), (&json!(mint), &json!(state)));
        assert_eq!(payment["sequence"], sequence);
        assert_eq!(payment["reason"].is_string(), ["deferred", "mint_parked"].contains(&state), "{state}");
    }
    let answer = api.get(&format!("/api/payment/{id}")).await;
    let payment = answer.json();
    assert_eq!(payment["txHash"], json!(examples::proof().tx_hash));
    assert_eq!(
        payment["result"],
        json!({ "queueIds": [id], "tokenAddress": examples::TOKEN, "mintTxHash": examples::minted().tx_hash })
    );
    assert_eq!(queue(&api, id).await["txHash"], json!(examples::minted().tx_hash));
    for (header, network) in [("payment-response", "eip155:84532"), ("x-payment-response", "base-sepolia")] {
        let settled: Value = serde_json::from_slice(&BASE64_STANDARD.decode(answer.header(header)).unwrap()).unwrap();
        let expected = json!({
            "success": true,
            "transaction": examples::proof().tx_hash.to_string(),
            "network": network,
            "payer": examples::PAYER.to_string(),
        });
        assert_eq!(settled, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_around_the_token_waits_for_an_operator_and_says_why() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    site.happens(id, OrderEvent::PaymentParked(1, examples::parked_payment())).await;
    // The process reads the ledger beside us.
    until("it waits for no turn", async || {
        api.get(&format!("/api/payment/{id}")).await.json()["queuePosition"].is_null()
    })
    .await;
    let parked = api.get(&format!("/api/payment/{id}")).await;
    let payment = parked.json();
    assert_eq!((&payment["status"], &payment["state"]), (&json!("pending"), &json!("payment_parked")));
    assert_eq!((&payment["reason"], &payment["mintStatus"]), (&json!("paid_around_token"), &Value::Null));
    assert_eq!(payment["txHash"], json!(examples::parked_payment().tx_hash), "the transaction to look at");
    assert!(payment["queuePosition"].is_null() && payment["result"].is_null() && payment["retryAt"].is_null());
    assert!(!parked.headers.contains_key("payment-response"), "nothing is settled");
    assert_eq!(queue(&api, id).await["status"], "pending");

    // An operator credits it, and somebody has it minted.
    site.happens(id, OrderEvent::PaymentConfirmed(PaymentProof { paid_by: Actor::ThirdParty, ..examples::proof() }))
        .await;
    let paid = self::payment(&api, id).await;
    assert_eq!((&paid["state"], &paid["paidBy"]), (&json!("paid"), &json!("third_party")));
    assert_eq!((&paid["txHash"], &paid["mintedBy"]), (&json!(examples::proof().tx_hash), &Value::Null));
    site.happens(id, OrderEvent::MintConfirmed(Minted { minted_by: Actor::ThirdParty, ..examples::minted() })).await;
    let (minted, queue) = (self::payment(&api, id).await, queue(&api, id).await);
    assert_eq!((&minted["state"], &minted["mintedBy"]), (&json!("minted"), &json!("third_party")));
    assert_eq!((&queue["status"], &queue["mintedBy"]), (&json!("completed"), &json!("third_party")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_a_service_has_given_up_keeps_its_state_and_says_that_it_is_held() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    site.happens(id, OrderEvent::PaymentDeferred(1, examples::deferral())).await;
    let before = payment(&api, id).await;
    site.happens(id, OrderEvent::OrderHeld(1, examples::order_hold())).await;
    until("it waits for no turn", async || payment(&api, id).await["queuePosition"].is_null()).await;
    for held in [payment(&api, id).await, queue(&api, id).await] {
        assert_eq!((&held["state"], &held["reason"]), (&json!("deferred"), &json!("held")));
        assert_eq!((&held["detail"], &held["retryAt"]), (&json!(examples::order_hold().detail), &Value::Null));
    }
    let item = api.get(&format!("/queue/item/{id}")).await.json();
    assert_eq!(item["error_message"], format!("held: {}", examples::order_hold().detail));
    site.happens(id, OrderEvent::OrderReleased(1, examples::redrive())).await;
    let after = payment(&api, id).await;
    assert_eq!((&after["state"], &after["reason"]), (&json!("deferred"), &before["reason"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_payment_owes_no_mint() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    site.happens(id, OrderEvent::PaymentFailed(examples::failure())).await;
    let answer = api.get(&format!("/api/payment/{id}")).await;
    let payment = answer.json();
    assert_eq!((&payment["status"], &payment["reason"]), (&json!("failed"), &json!("expired")));
    assert!(payment["result"].is_null() && payment["txHash"].is_null());
    assert!(!answer.headers.contains_key("payment-response"));
    assert_eq!(queue(&api, id).await["status"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn f21_the_read_models_and_the_ledger_say_the_same_and_either_will_do() {
    let mut site = Site::start().await;
    let mut database = Database::start().await;
    let with_store = site.instance(&[("DATABASE_URL", &database.server.url())]).await;
    let without = site.instance(&[]).await;
    let id = with_store.buy(10, 7).await.id();
    site.happens(id, OrderEvent::PaymentSubmitted(1, examples::submission(7))).await;
    site.happens(id, OrderEvent::PaymentConfirmed(examples::proof())).await;
    project(&site.ledger, &database.store).await;
    until("the read models answer", async || with_store.get("/readyz").await.json()["postgres"] == "ok").await;
    let truth = payment(&without, id).await;
    assert_eq!(truth["state"], "paid");

    site.broker.nats.kill();
    until("the instances notice", async || with_store.get("/readyz").await.status == 503).await;
    assert_eq!(payment(&with_store, id).await, truth, "from Postgres, without the ledger");
    site.broker.nats.restart().await.unwrap();
    until("the instances are back", async || with_store.get("/readyz").await.status == 200).await;
    database.store.close().await;
    database.server.kill();
    assert_eq!(payment(&with_store, id).await, truth, "from the ledger, without Postgres");
    until("it is known", async || with_store.get("/readyz").await.json()["postgres"] != "ok").await;
    assert_eq!(with_store.get("/readyz").await.status, 200, "the money path needs no Postgres");
}
