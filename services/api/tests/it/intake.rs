//! From a payment to an order in the ledger: once, whatever comes again, and from however many sides.

use crate::common::{Instance, Site, mint_path, pay, payer};
use domain::{Event, OrderEvent, PaymentId, PaymentKey, examples};
use serde_json::json;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use testkit::until;

async fn together(requests: impl IntoIterator<Item = (Door, u32, String)>) -> Vec<crate::common::Answer> {
    let mut tasks = tokio::task::JoinSet::new();
    for ((http, url), quantity, header) in requests {
        tasks.spawn(async move {
            let request = http.post(format!("{url}{}", mint_path())).header("payment-signature", header);
            let request = request.body(json!({ "quantity": quantity }).to_string());
            crate::common::Answer::of(request.send().await.unwrap()).await
        });
    }
    tasks.join_all().await
}

/// A client and an instance's URL.
type Door = (reqwest::Client, String);

fn of(api: &Instance) -> Door {
    (api.http.clone(), api.url.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_written_down_and_answered_202() {
    let site = Site::start().await;
    let api = site.instance(&[("PUBLIC_URL", "https://mint.example.com")]).await;
    let header = pay(&api.mint(10, &[]).await.offer(), 7, |_| {});
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = api.mint(10, &[("payment-signature", &header), ("traceparent", trace)]).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let nonce = [7; 32].into();
    let id = PaymentId::of(PaymentKey::new(84532, examples::ASSET, payer(), nonce));
    assert_eq!(
        answer.json(),
        json!({
            "paymentQueueId": id,
            "quantity": 10,
            "status": "payment_pending",
            "token": examples::TOKEN,
            "payer": examples::PAYER,
            "value": "100000",
            "statusUrl": format!("https://mint.example.com/api/payment/{id}"),
            "queueUrl": format!("https://mint.example.com/api/queue/{id}"),
            "eventsUrl": format!("https://mint.example.com/api/events?payment={id}"),
        })
    );
    assert_eq!(answer.header("location"), format!("/api/payment/{id}"));
    assert_eq!(answer.header("cache-control"), "no-store");
    for settled in ["payment-response", "x-payment-response"] {
        assert!(!answer.headers.contains_key(settled), "clients would read it as settled");
    }
    let history = site.ledger.order_history(id).await.unwrap();
    let Ok(Event::Order(_, OrderEvent::PaymentRequested(_))) = &history[0].event else { panic!("{history:?}") };
    assert_eq!((history.len(), history[0].trace.as_deref()), (1, Some(trace)));
}

#[tokio::test(flavor = "multi_thread")]
async fn b37_one_header_a_hundred_times_at_two_instances_is_one_order() {
    let site = Site::start().await;
    let public = [("PUBLIC_URL", "https://mint.example.com")];
    let (one, two) = (site.instance(&public).await, site.instance(&public).await);
    let before = site.last_sequence().await;
    let header = pay(&one.mint(10, &[]).await.offer(), 7, |_| {});
    let requests = (0..100).map(|n| (if n % 2 == 0 { of(&one) } else { of(&two) }, 10, header.clone()));
    let answers = together(requests).await;
    let distinct: HashSet<_> = answers.iter().map(|answer| (answer.status.as_u16(), answer.text.clone())).collect();
    assert_eq!(distinct.len(), 1, "{distinct:?}");
    assert_eq!(answers[0].status, 202);
    assert_eq!(site.last_sequence().await, before + 1);

    // B44: and after the end.
    let id = answers[0].id();
    site.happens(id, OrderEvent::PaymentConfirmed(examples::proof())).await;
    site.happens(id, OrderEvent::MintConfirmed(examples::minted())).await;
    let again = two.mint(10, &[("payment-signature", &header)]).await;
    assert_eq!((again.status, again.text), (answers[0].status, answers[0].text.clone()));
    assert_eq!(site.last_sequence().await, before + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn b40_the_same_authorization_in_either_generation_is_the_same_order() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let offer = api.mint(10, &[]).await.offer();
    let v2 = pay(&offer, 7, |_| {});
    let mut payment: serde_json::Value =
        serde_json::from_slice(&base64::Engine::decode(&base64::prelude::BASE64_STANDARD, &v2).unwrap()).unwrap();
    let payload = payment["payload"].take();
    let v1 = json!({ "payload": payload, "network": "base-sepolia", "scheme": "exact", "x402Version": 1 });
    let first = api.mint(10, &[("payment-signature", &v2)]).await;
    let second = api.mint(10, &[("x-payment", &crate::common::base64(&v1))]).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (202, 202));
    assert_eq!(first.id(), second.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn b38_the_same_authorization_for_another_order_is_409_with_the_first_id() {
    let site = Site::start().await;
    let mut other = examples::terms();
    other.token = examples::SIGNER;
    site.register(other).await;
    let (one, two) = (site.instance(&[]).await, site.instance(&[]).await);
    let offer = one.mint(10, &[]).await.offer();
    let header = pay(&offer, 7, |_| {});
    let id = one.mint(10, &[("payment-signature", &header)]).await.id();
    let before = site.last_sequence().await;

    let conflict = (409, "payment_key_reused".to_owned());
    let quantity = two.mint(5, &[("payment-signature", &header)]).await;
    assert_eq!((quantity.problem(), quantity.id()), (conflict.clone(), id), "the same header, another quantity");
    let path = format!("/api/mint/{}", examples::SIGNER);
    let token = two.post(&path, &[("payment-signature", &header)], r#"{"quantity":10}"#).await;
    assert_eq!((token.problem(), token.id()), (conflict.clone(), id), "B43: the same header, another token");
    let cheaper = two.mint(5, &[]).await.offer();
    let signed = two.mint(5, &[("payment-signature", &pay(&cheaper, 7, |_| {}))]).await;
    assert_eq!((signed.problem(), signed.id()), (conflict.clone(), id), "the same nonce, signed for another order");
    let window = pay(&offer, 7, |a| a.valid_before -= 100);
    let signed = two.mint(10, &[("payment-signature", &window)]).await;
    assert_eq!((signed.problem(), signed.id()), (conflict, id), "the same nonce, another authorization");
    assert_eq!(site.last_sequence().await, before);
}

/// A 402 would make the client sign, and pay, again.
#[tokio::test(flavor = "multi_thread")]
async fn b44_an_accepted_payment_is_answered_the_same_after_its_window_has_closed() {
    let site = Site::start().await;
    let (lax, strict) = (site.instance(&[]).await, site.instance(&[("MIN_WINDOW_S", "600")]).await);
    let offer = lax.mint(10, &[]).await.offer();
    let header = pay(&offer, 7, |a| a.valid_before -= 500);
    let refused = strict.mint(10, &[("payment-signature", &header)]).await;
    assert_eq!(refused.problem(), (402, "payment_expires_too_soon".to_owned()));
    let accepted = lax.mint(10, &[("payment-signature", &header)]).await;
    let again = strict.mint(10, &[("payment-signature", &header)]).await;
    assert_eq!((accepted.status.as_u16(), again.status.as_u16()), (202, 202));
    assert_eq!(again.id(), accepted.id());
    let another = strict.mint(5, &[("payment-signature", &header)]).await;
    assert_eq!(another.problem(), (409, "payment_key_reused".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_payments_at_once_are_one_order_each() {
    let site = Site::start().await;
    let (one, two) = (site.instance(&[]).await, site.instance(&[]).await);
    let before = site.last_sequence().await;
    let offer = one.mint(1, &[]).await.offer();
    let requests = (0..200_u8).map(|n| (if n % 2 == 0 { of(&one) } else { of(&two) }, 1, pay(&offer, n, |_| {})));
    let answers = together(requests.collect::<Vec<_>>()).await;
    let ids: HashSet<_> = answers.iter().map(|answer| (answer.status.as_u16(), answer.id())).collect();
    assert_eq!(ids.len(), 200);
    assert!(ids.iter().all(|(status, _)| *status == 202));
    assert_eq!(site.last_sequence().await, before + 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn f01_without_the_ledger_a_payment_is_answered_503_and_taken_afterwards() {
    let mut site = Site::start().await;
    let api = site.instance(&[]).await;
    let header = pay(&api.mint(10, &[]).await.offer(), 7, |_| {});
    let id = {
        let accepted = api.buy(1, 8).await;
        assert_eq!(accepted.status, 202);
        accepted.id()
    };
    site.broker.nats.kill();
    until("the instance notices", async || api.get("/readyz").await.status == 503).await;
    let began = Instant::now();
    let answer = api.mint(10, &[("payment-signature", &header)]).await;
    assert_eq!(answer.problem(), (503, "ledger_unavailable".to_owned()));
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(api.mint(10, &[]).await.problem().0, 503, "nobody shall sign what will not be taken");
    assert_eq!(api.get(&format!("/api/payment/{id}")).await.problem().0, 503);
    assert_eq!(api.get("/healthz").await.status, 200);

    site.broker.nats.restart().await.unwrap();
    until("the instance is back", async || api.get("/readyz").await.status == 200).await;
    assert_eq!(api.mint(10, &[("payment-signature", &header)]).await.status, 202);
}

/// F03: the connection stands and nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn f03_a_frozen_ledger_is_answered_503_in_bounded_time_and_the_order_is_still_one() {
    let mut site = Site::start().await;
    let api = site.instance(&[("APPEND_TIMEOUT_MS", "2000")]).await;
    let header = pay(&api.mint(10, &[]).await.offer(), 7, |_| {});
    let before = site.last_sequence().await;
    let pid = site.broker.nats.pid().unwrap().to_string();
    let signal = |name: &str| std::process::Command::new("kill").args([name, &pid]).status().unwrap();
    assert!(signal("-STOP").success());
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    until("it is frozen", async || state().contains(") T ")).await;
    let began = Instant::now();
    let answer = api.mint(10, &[("payment-signature", &header)]).await;
    let took = began.elapsed();
    assert!(signal("-CONT").success());
    assert_eq!(answer.problem(), (503, "ledger_unavailable".to_owned()));
    assert!(took < Duration::from_secs(4), "{took:?}");
    until("the instance is back", async || api.get("/readyz").await.status == 200).await;
    assert_eq!(api.mint(10, &[("payment-signature", &header)]).await.status, 202);
    assert_eq!(site.last_sequence().await, before + 1);
}
