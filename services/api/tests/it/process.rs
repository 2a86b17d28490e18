//! Start and end of the service.

use crate::common::{Site, pay};
use api::{Config, Server};
use runtime::CancellationToken;
use std::time::{Duration, Instant};
use testkit::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn start(site: &Site, change: &[(&str, &str)]) -> String {
    let config = Config::from_env(&site.env(change)).unwrap();
    match Server::start(config, CancellationToken::new()).await {
        Ok(_) => panic!("it started"),
        Err(fatal) => fatal.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b82_a_taken_port_is_named_with_the_variable_that_changes_it() {
    let site = Site::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, port) = (taken.local_addr().unwrap().to_string(), taken.local_addr().unwrap().port().to_string());
    let error = start(&site, &[("API_ADDR", &address)]).await;
    assert!(error.contains(&port) && error.contains("API_ADDR"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f01_a_ledger_that_is_not_there_is_named_with_its_variable() {
    let site = Site::start().await;
    let error = start(&site, &[("NATS_URL", "nats://127.0.0.1:9")]).await;
    assert!(error.contains("NATS_URL") && error.contains("127.0.0.1:9"), "{error}");
    let error = start(&site, &[("NATS_MONITOR_URL", "http://127.0.0.1:9")]).await;
    assert!(error.contains("NATS_MONITOR_URL"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c29_a_stop_ends_open_streams_and_answers_what_is_under_way() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    let mut stream = api.http.get(format!("{}/api/events?payment={id}", api.url)).send().await.unwrap();
    stream.chunk().await.unwrap();
    let header = pay(&api.mint(10, &[]).await.offer(), 8, |_| {});
    // A request whose body is not finished when the stop comes.
    let mut socket = tokio::net::TcpStream::connect(api.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\nPAYMENT-SIGNATURE: {header}\r\n\r\n",
        crate::common::mint_path()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(br#"{"quantity":"#).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;

    let began = Instant::now();
    api.stop.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    socket.write_all(b"10}").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    while stream.chunk().await.unwrap().is_some() {}
    tokio::time::timeout(Duration::from_secs(10), api.task).await.unwrap().unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn b08_headers_without_end_are_refused_unread() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let address = api.url.strip_prefix("http://").unwrap();
    for head in [format!("X: {}\r\n", "a".repeat(1 << 20)), "X: a\r\n".repeat(10_000)] {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n");
        let mut answer = [0; 12];
        // The server stops reading: the rest may not be taken.
        let _ = socket.write_all(request.as_bytes()).await;
        let _ = socket.read_exact(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 431") || answer == [0; 12], "{answer:?}");
    }
    assert_eq!(api.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_served_at_the_internal_address_alone_and_hold_no_secret() {
    let site = Site::start().await;
    let internal = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let token = "a-token-of-the-operators";
    let process = site.process(&[("HEALTH_ADDR", &internal), ("OPERATOR_TOKEN", token)]).await;
    let id = process.api.buy(10, 7).await.id();
    let get = async |url: String| {
        let answer = site.http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let metrics = async || get(format!("http://{internal}/metrics")).await.1;
    let turns = async || {
        let text = metrics().await;
        let line =
            text.lines().find_map(|line| line.strip_prefix("paymint_loop_turns_total{loop=\"live.admission\"} "));
        line.and_then(|count| count.parse::<u64>().ok()).unwrap_or_default()
    };
    let before = turns().await;
    until("three more turns", async || turns().await >= before + 3).await;
    let text = metrics().await;
    assert!(text.contains("paymint_ledger_appends_total{outcome=\"stored\"} 1"), "{text}");
    assert!(![token, &id.to_string(), "nats://"].iter().any(|secret| text.contains(secret)), "{text}");
    let (status, shown) = get(format!("http://{internal}/readyz")).await;
    assert_eq!(status, 200, "no service runs, and the api can accept: {shown}");
    assert!(shown.starts_with(&format!("{{\"oldest\":\"orders: order {id}, not done for ")), "{shown}");
    assert!(text.contains("paymint_oldest_work_seconds{part=\"orders\"} "), "{text}");
    assert_eq!(get(format!("{}/metrics", process.api.url)).await.0, 404, "not for the public");
}
