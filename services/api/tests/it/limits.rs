//! How much one client may ask, and all together; and who counts as one.

use crate::common::{Answer, Instance, Site, mint_path};
use alloy_primitives::U256;
use domain::{PaymentId, PaymentKey};
use std::time::Duration;
use testkit::until;

/// Asks from an address of its own, as a proxy of ours would say.
async fn ask(api: &Instance, client: &str, path: &str) -> Answer {
    let url = format!("{}{path}", api.url);
    let request = if path.starts_with("/api/mint") { api.http.post(url).body("{}") } else { api.http.get(url) };
    Answer::of(request.header("x-forwarded-for", client).send().await.unwrap()).await
}

/// How many of `n` requests were not refused, and the last refusal.
async fn burst(api: &Instance, client: &str, path: &str, n: usize) -> (usize, Option<(u16, String)>) {
    let (mut served, mut refusal) = (0, None);
    for _ in 0..n {
        let answer = ask(api, client, path).await;
        if answer.headers.contains_key("retry-after") {
            assert_eq!(answer.header("retry-after"), "1");
            assert_eq!(answer.header("access-control-allow-origin"), "*", "browsers may read why");
            refusal = Some(answer.problem());
        } else {
            served += 1;
        }
    }
    (served, refusal)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_too_often_is_refused_alone_and_health_is_never() {
    let site = Site::start().await;
    let api = site.instance(&[("RATE_PER_IP", "10"), ("TRUSTED_PROXY_HOPS", "1")]).await;
    for (client, path) in [
        ("203.0.113.1", mint_path()),
        ("203.0.113.2", "/api/tokens".to_owned()),
        ("203.0.113.3", "/nowhere".to_owned()),
    ] {
        let (served, refusal) = burst(&api, client, &path, 60).await;
        assert!((20..55).contains(&served), "{path}: {served}");
        assert_eq!(refusal, Some((429, "rate_limited".to_owned())), "{path}");
    }
    assert_eq!(ask(&api, "203.0.113.4", "/api/tokens").await.status, 200, "another client");
    assert_eq!(burst(&api, "203.0.113.1", "/healthz", 100).await.0, 100);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ask(&api, "203.0.113.2", "/api/tokens").await.status, 200, "Retry-After was true");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_the_ledger_something_is_limited_in_total_and_status_is_not() {
    let site = Site::start().await;
    let api = site.instance(&[("RATE_TOTAL", "10"), ("TRUSTED_PROXY_HOPS", "1")]).await;
    for path in [mint_path(), "/api/events?payment=x".to_owned()] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (mut served, mut refusal) = (0, None);
        for n in 0..60 {
            let (one, refused) = burst(&api, &format!("203.0.113.{n}"), &path, 1).await;
            (served, refusal) = (served + one, refused.or(refusal));
        }
        assert!((10..45).contains(&served), "{path}: {served}");
        assert_eq!(refusal, Some((503, "overloaded".to_owned())), "{path}");
        assert_eq!(burst(&api, "203.0.113.1", "/api/tokens", 100).await.0, 100);
    }
}

/// An order that is not in memory is read from the database or from old blocks of the ledger, and anybody can name one.
#[tokio::test(flavor = "multi_thread")]
async fn reads_of_old_orders_are_bounded_for_each_address_and_those_under_way_are_not() {
    let mut site = Site::start().await;
    let api = site.instance(&[("TRUSTED_PROXY_HOPS", "1")]).await;
    let known = api.buy(10, 7).await.id();
    let seen = async || api.get(&format!("/queue/item/{known}")).await.json()["queue_position"].is_u64();
    until("it is under way", seen).await;
    let old = |n: usize| PaymentId::of(PaymentKey(U256::from(n).into()));
    // Nothing is answered that needs the ledger.
    let pid = site.broker.nats.pid().unwrap().to_string();
    let signal = |name: &str| std::process::Command::new("kill").args([name, &pid]).status().unwrap();
    assert!(signal("-STOP").success());
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let read = |client: &'static str, path: String| {
        let (api, answered) = (api.another_client(), answered.clone());
        tokio::spawn(async move {
            let answer = ask(&api, client, &path).await;
            answered.send((client, answer)).unwrap();
        });
    };
    for n in 0..20 {
        let paths = [format!("/api/payment/{}", old(n)), format!("/api/events?payment={}", old(n))];
        read("2001:db8:1:2::1", paths[n % 2].clone());
    }
    for _ in 0..12 {
        let (_, refused) = answers.recv().await.unwrap();
        assert_eq!(refused.problem(), (429, "too_many_old_reads".to_owned()));
        assert_eq!(refused.header("retry-after"), "3");
    }
    let neighbour = ask(&api, "2001:db8:1:2:ffff::1", &format!("/queue/item/{}", old(99))).await;
    assert_eq!(neighbour.problem().1, "too_many_old_reads", "an address of the same network");
    read("203.0.113.2", format!("/api/payment/{}", old(99)));
    read("2001:db8:1:2::1", format!("/api/payment/{known}"));
    assert!(signal("-CONT").success());
    for _ in 0..10 {
        let (client, answer) = answers.recv().await.unwrap();
        assert_ne!(answer.status, 429, "{client}: {answer:?}");
    }
    until("the places are free", async || {
        ask(&api, "2001:db8:1:2::1", &format!("/api/payment/{}", old(1))).await.status == 404
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b46_x_forwarded_for_is_nobodys_word_without_a_proxy_of_ours() {
    let site = Site::start().await;
    let api = site.instance(&[("RATE_PER_IP", "10")]).await;
    let mut served = 0;
    for n in 0..60 {
        served += burst(&api, &format!("203.0.113.{n}"), "/api/tokens", 1).await.0;
    }
    assert!((15..55).contains(&served), "they are one client: {served}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b52_s18_streams_are_counted_per_client_and_for_all_and_are_free_when_they_end() {
    let site = Site::start().await;
    let api = site.instance(&[("SSE_PER_IP", "2"), ("SSE_MAX", "3"), ("TRUSTED_PROXY_HOPS", "1")]).await;
    let path = format!("/api/events?payment={}", api.buy(10, 7).await.id());
    let open = async |client: &str| {
        let request = api.http.get(format!("{}{path}", api.url)).header("x-forwarded-for", client);
        request.send().await.unwrap()
    };
    let first = open("203.0.113.1").await;
    let second = open("203.0.113.1").await;
    let refused = Answer::of(open("203.0.113.1").await).await;
    assert_eq!(refused.problem(), (429, "too_many_streams".to_owned()));
    let third = open("203.0.113.2").await;
    let refused = Answer::of(open("203.0.113.3").await).await;
    assert_eq!(refused.problem(), (503, "streams_exhausted".to_owned()));
    assert_eq!(refused.header("retry-after"), "3");
    assert!([&first, &second, &third].iter().all(|stream| stream.status() == 200));
    drop(first);
    until("the place is free", async || open("203.0.113.3").await.status() == 200).await;
}
