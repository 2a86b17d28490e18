//! Daily budgets and the lowest price: who is refused, that others are not, and that the accepted are answered.

use crate::common::rows::Rows;
use crate::common::{Answer as Heard, Instance, Site, pay};
use alloy_primitives::Address;
use domain::{OrderEvent, TokenTerms, Usdc, examples};
use serde_json::json;
use testkit::until;

/// Asks for an offer of a unit of `token`.
async fn ask(api: &Instance, token: Address) -> Heard {
    api.post(&format!("/api/mint/{token}"), &[], r#"{"quantity":1}"#).await
}

fn terms(token: u8, price: u64) -> TokenTerms {
    TokenTerms { token: Address::repeat_byte(token), unit_price: Usdc(price), ..examples::terms() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_below_the_lowest_price_is_not_offered_and_its_earlier_orders_are_answered() {
    let site = Site::start().await;
    for (token, price) in [(0x71, 9_999), (0x72, 10_000)] {
        site.register(terms(token, price)).await;
    }
    let api = site.instance(&[]).await;
    let header = pay(&api.mint(1, &[]).await.offer(), 1, |_| {});
    let id = api.mint(1, &[("payment-signature", &header)]).await.id();
    let refused = ask(&api, Address::repeat_byte(0x71)).await;
    let document = json!({
        "type": "urn:paymint:problem:price_too_low",
        "title": "Price too low",
        "status": 422,
        "code": "price_too_low",
        "detail": "the price of this token is below the lowest one that is sold here; nothing was written",
    });
    assert_eq!((refused.problem(), refused.json()), ((422, "price_too_low".to_owned()), document));
    assert!(!refused.headers.contains_key("retry-after") && !refused.headers.contains_key("payment-required"));
    assert_eq!(ask(&api, Address::repeat_byte(0x72)).await.status, 402);
    let list = api.get("/api/tokens").await.json();
    assert_eq!(list["tokens"].as_array().unwrap().len(), 2, "it is not listed: {list}");

    // Another instance has a higher floor.
    let dear = site.instance(&[("PRICE_MIN", "10001")]).await;
    assert_eq!(dear.mint(1, &[]).await.problem().1, "price_too_low");
    let again = dear.mint(1, &[("payment-signature", &header)]).await;
    assert_eq!((again.status.as_u16(), again.id()), (202, id), "who was accepted is answered");
    let before = site.last_sequence().await;
    let new = pay(&api.mint(1, &[]).await.offer(), 2, |_| {});
    assert_eq!(dear.mint(1, &[("payment-signature", &new)]).await.problem().1, "price_too_low");
    assert_eq!(site.last_sequence().await, before);
}

/// A creator who buys from himself has the gas of three purchases in a day.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_used_up_its_gas_is_not_offered_and_others_are_also_after_a_restart() {
    let rows = Rows::start().await;
    let (site, url) = (&rows.site, rows.database.server.url());
    site.register(terms(0x72, 10_000)).await;
    let three = [("TOKEN_GAS_PER_DAY", "300000"), ("DATABASE_URL", url.as_str())];
    let api = site.instance(&three).await;
    let offer = api.mint(1, &[]).await.offer();
    let headers: Vec<String> = (1..=4).map(|nonce| pay(&offer, nonce, |_| {})).collect();
    let mut ids = Vec::new();
    for header in &headers[..3] {
        ids.push(api.mint(1, &[("payment-signature", header)]).await.id());
    }
    for (nonce, id) in (1..).zip(&ids) {
        assert_eq!(ask(&api, examples::TOKEN).await.status, 402, "{nonce}");
        let seen = site.happens(*id, OrderEvent::PaymentSubmitted(1, examples::submission(nonce))).await;
        let path = format!("/api/payment/{id}");
        until("it is read", async || api.get(&path).await.json()["sequence"] == seen).await;
    }
    let is_closed = async |api: &Instance| {
        until("the budget is used up", async || ask(api, examples::TOKEN).await.status == 503).await;
        let unpaid = ask(api, examples::TOKEN).await;
        let signed = api.mint(1, &[("payment-signature", &headers[3])]).await;
        for refused in [unpaid, signed] {
            assert_eq!(refused.problem(), (503, "token_budget".to_owned()));
            assert!((3_600..=5_400).contains(&refused.header("retry-after").parse::<u64>().unwrap()), "{refused:?}");
        }
        assert_eq!(ask(api, Address::repeat_byte(0x72)).await.status, 402, "another token");
        let again = api.mint(1, &[("payment-signature", &headers[0])]).await;
        assert_eq!((again.status.as_u16(), again.id()), (202, ids[0]), "who was accepted is answered");
    };
    let before = site.last_sequence().await;
    is_closed(&api).await;
    assert_eq!(api.get("/readyz").await.json()["orders"], "taken", "other tokens are sold");

    // A new process computes it from the rows, and from what came after them.
    rows.project().await;
    let again = site.instance(&three).await;
    let knows = async || !again.get(&format!("/api/tokens/{}", examples::TOKEN)).await.json()["unitsLeft"].is_null();
    until("it has read the rows", knows).await;
    is_closed(&again).await;
    assert_eq!(site.last_sequence().await, before);
    let unlimited = site.instance(&[("TOKEN_GAS_PER_DAY", "0")]).await;
    assert_eq!(ask(&unlimited, examples::TOKEN).await.status, 402);
}

/// The header of a proxy of ours, which says who sends.
const FROM: &str = "x-forwarded-for";

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_has_written_its_bytes_is_refused_alone_and_the_accepted_are_answered() {
    let site = Site::start().await;
    let api = site.instance(&[("WRITE_BYTES_PER_IP", "4500"), ("TRUSTED_PROXY_HOPS", "1")]).await;
    let offer = api.mint(1, &[(FROM, "203.0.113.1")]).await.offer();
    let headers: Vec<String> = (1..=5).map(|nonce| pay(&offer, nonce, |_| {})).collect();
    let mut ids = Vec::new();
    for (host, header) in (1..).zip(&headers[..3]) {
        let from = format!("2001:db8:1:2::{host}");
        let answer = api.mint(1, &[("payment-signature", header), (FROM, &from)]).await;
        ids.push((answer.status.as_u16() == 202).then(|| answer.id()).unwrap());
    }
    let before = site.last_sequence().await;
    let neighbour = "2001:db8:1:2:ffff::1";
    let unpaid = api.mint(1, &[(FROM, neighbour)]).await;
    let signed = api.mint(1, &[("payment-signature", &headers[3]), (FROM, neighbour)]).await;
    let known = [("payment-signature", headers[0].as_str()), ("idempotency-key", "one-more"), (FROM, neighbour)];
    let named = api.mint(1, &known).await;
    for refused in [unpaid, signed, named] {
        assert_eq!(refused.problem(), (429, "write_budget".to_owned()));
        assert!((1..=3_601).contains(&refused.header("retry-after").parse::<u64>().unwrap()), "{refused:?}");
    }
    for (header, id) in headers.iter().zip(&ids) {
        let again = api.mint(1, &[("payment-signature", header), (FROM, neighbour)]).await;
        assert_eq!((again.status.as_u16(), again.id()), (202, *id), "who was accepted is answered");
    }
    assert_eq!(site.last_sequence().await, before);
    let other = api.mint(1, &[("payment-signature", &headers[4]), (FROM, "203.0.113.1")]).await;
    assert_eq!(other.status, 202, "another address");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_that_has_written_its_bytes_is_refused_whatever_its_address_is() {
    let site = Site::start().await;
    let api = site.instance(&[("WRITE_BYTES_PER_PAYER", "3000"), ("TRUSTED_PROXY_HOPS", "1")]).await;
    let offer = api.mint(1, &[]).await.offer();
    for nonce in 1..=4 {
        let (header, from) = (pay(&offer, nonce, |_| {}), format!("203.0.113.{nonce}"));
        let answer = api.mint(1, &[("payment-signature", &header), (FROM, &from)]).await;
        let is_refused = answer.status == 429 && answer.problem().1 == "write_budget";
        assert_eq!(is_refused, nonce > 2, "{nonce}: {answer:?}");
    }
    assert_eq!(api.mint(1, &[]).await.status, 402, "the address may order for others");
}

/// The longest header, and both names.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_takes_no_more_bytes_than_are_counted() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let offer = api.mint(1_000_000, &[]).await.offer();
    let (before, key) = (site.last_sequence().await, "k".repeat(128));
    let header = pay(&offer, 255, |auth| auth.valid_after = 1_000_000_000);
    let sent = [("payment-signature", header.as_str()), ("idempotency-key", key.as_str())];
    assert_eq!(api.mint(1_000_000, &sent).await.status, 202);
    let stored = site.ledger.between(before + 1, before + 2).await.unwrap();
    let bytes = |nth: usize| {
        let message = &stored[nth].message;
        message.subject.len() + message.headers.as_ref().map_or(0, |headers| headers.len()) + message.payload.len()
    };
    let (name, order) = (bytes(0), bytes(1));
    assert!((1_200..=1_500).contains(&order) && (800..=1_000).contains(&name), "order {order}, name {name}");
}
