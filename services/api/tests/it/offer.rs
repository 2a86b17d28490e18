//! Answers before anything is written: the offer, and every refusal.

use crate::common::{Site, mint_path};
use domain::{Usdc, examples};
use serde_json::json;
use testkit::until;

const PATH: &str = "/api/mint/0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

#[tokio::test(flavor = "multi_thread")]
async fn b01_without_a_payment_the_offer_is_made_in_both_generations() {
    let site = Site::start().await;
    let api = site.instance(&[("PUBLIC_URL", "https://mint.example.com/")]).await;
    let answer = api.mint(10, &[]).await;
    assert_eq!(answer.status, 402);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    let terms = json!({
        "scheme": "exact",
        "network": "eip155:84532",
        "amount": "100000",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": examples::TOKEN.to_string(),
        "maxTimeoutSeconds": 900,
        "extra": { "name": "USDC", "version": "2" },
    });
    let resource = json!({
        "url": format!("https://mint.example.com{PATH}"),
        "description": "10 x DEMO",
        "mimeType": "application/json",
    });
    let mut offer = answer.offer();
    let extensions = offer["extensions"].take();
    assert_eq!(extensions["payment-identifier"]["info"], json!({ "required": false }));
    let expected = json!({
        "x402Version": 2,
        "error": "Payment required",
        "resource": resource,
        "accepts": [terms],
        "extensions": null,
    });
    assert_eq!(offer, expected);
    let v1 = json!({
        "scheme": "exact",
        "network": "base-sepolia",
        "maxAmountRequired": "100000",
        "resource": resource["url"],
        "description": "10 x DEMO",
        "mimeType": "application/json",
        "payTo": terms["payTo"],
        "maxTimeoutSeconds": 900,
        "asset": terms["asset"],
        "extra": terms["extra"],
    });
    assert_eq!(answer.json(), json!({ "x402Version": 1, "error": "Payment required", "accepts": [v1] }));
    assert!(answer.text.len() <= 1024);
    let empty = api.mint(10, &[("x-payment", "")]).await;
    assert_eq!((empty.status, empty.json()), (answer.status, answer.json()), "B02");
}

#[tokio::test(flavor = "multi_thread")]
async fn b45_a_bad_body_is_refused_by_name() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let mut too_long = vec![b' '; 64 * 1024 + 1];
    too_long[0] = b'{';
    let cases: [(&str, Vec<u8>, u16, &str); 7] = [
        ("empty", vec![], 400, "body_malformed"),
        ("not JSON", b"quantity=10".to_vec(), 400, "body_malformed"),
        ("not UTF-8", vec![b'{', 0xff, b'}'], 400, "body_malformed"),
        ("no quantity", b"{}".to_vec(), 422, "quantity_invalid"),
        ("zero", br#"{"quantity":0}"#.to_vec(), 422, "quantity_invalid"),
        ("over the cap", br#"{"quantity":1000001}"#.to_vec(), 422, "quantity_too_large"),
        ("too long", too_long, 413, "body_too_large"),
    ];
    for (name, body, status, code) in cases {
        assert_eq!(api.post(PATH, &[], body).await.problem(), (status, code.to_owned()), "{name}");
    }
    let gzip = api.post(PATH, &[("content-encoding", "gzip")], r#"{"quantity":1}"#).await;
    assert_eq!(gzip.problem(), (415, "body_encoding_unsupported".to_owned()), "B15");
    // x402-fetch 1.x sends its paid retry as text.
    let text = api.post(PATH, &[("content-type", "text/plain;charset=UTF-8")], r#"{"quantity":1}"#).await;
    assert_eq!((text.status.as_u16(), text.offer()["accepts"][0]["amount"].as_str()), (402, Some("10000")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sold_or_not_there_is_404() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let mut foreign = examples::terms();
    (foreign.token, foreign.chain_id) = (examples::SIGNER, 1);
    site.register(foreign).await;
    for token in ["0x0000000000000000000000000000000000000001", "0x7099", "vitalik.eth", "%00", "..%2ftokens"] {
        let answer = api.post(&format!("/api/mint/{token}"), &[], r#"{"quantity":1}"#).await;
        assert_eq!(answer.problem(), (404, "token_unknown".to_owned()), "{token}");
    }
    let foreign = api.get(&format!("/api/tokens/{}", examples::SIGNER)).await;
    assert_eq!(foreign.problem(), (404, "token_unknown".to_owned()), "another chain's token");
    for path in ["/api/payment/x", "/api/queue/6f0e7e0c-8d0b-5c35-9a57-8f1cb1c15f62", "/api/events?payment=1"] {
        assert_eq!(api.get(path).await.problem(), (404, "payment_unknown".to_owned()), "{path}");
    }
    assert_eq!(api.get("/api/events").await.problem(), (401, "operators_only".to_owned()));
    assert_eq!(api.get("/nowhere").await.problem(), (404, "route_unknown".to_owned()));
    assert_eq!(api.get(&mint_path()).await.problem(), (405, "method_not_allowed".to_owned()), "B46");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_sold_from_the_moment_it_is_registered() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let mut terms = examples::terms();
    (terms.token, terms.unit_price) = (examples::SIGNER, Usdc(10_007));
    site.register(terms).await;
    let answer = api.post(&format!("/api/mint/{}", examples::SIGNER), &[], r#"{"quantity":3}"#).await;
    assert_eq!(answer.offer()["accepts"][0]["amount"], "30021");
    until("it is listed", async || {
        let list = api.get("/api/tokens").await.json();
        list["tokens"].as_array().unwrap().iter().any(|token| token["unitPrice"] == "10007")
    })
    .await;
    let list = api.get("/api/tokens").await.json();
    assert_eq!(list["tokens"][0]["symbol"], "DEMO", "oldest first");
    let one = api.get(&format!("/api/tokens/{}", examples::TOKEN)).await.json();
    assert_eq!((&one["maxUnits"], &one["unit"]), (&json!("1000000"), &json!("1000000000000000000")));
}

#[tokio::test(flavor = "multi_thread")]
async fn b55_browsers_may_pay_from_the_origins_that_are_configured() {
    let site = Site::start().await;
    let (open, closed) =
        (site.instance(&[]).await, site.instance(&[("CORS_ORIGINS", "https://app.example.com")]).await);
    for (api, origin, allowed) in [
        (&open, "https://anywhere.example", Some("*")),
        (&closed, "https://app.example.com", Some("https://app.example.com")),
        (&closed, "https://evil.example", None),
    ] {
        let wanted = "payment-signature,x-payment,content-type,access-control-expose-headers";
        let preflight = api
            .http
            .request(reqwest::Method::OPTIONS, format!("{}{PATH}", api.url))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", wanted);
        let preflight = crate::common::Answer::of(preflight.send().await.unwrap()).await;
        let answer = api.post(PATH, &[("origin", origin)], r#"{"quantity":1}"#).await;
        for answer in [&preflight, &answer] {
            let found = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
            assert_eq!(found, allowed, "{origin}");
        }
        let headers = preflight.header("access-control-allow-headers").to_lowercase();
        assert!(wanted.split(',').all(|name| headers.contains(name)), "{headers}");
        let exposed = answer.header("access-control-expose-headers").to_lowercase();
        assert!(
            ["payment-required", "payment-response", "x-payment-response"].iter().all(|name| exposed.contains(name))
        );
    }
}
