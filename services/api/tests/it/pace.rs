//! Clients that take their time, or all the places: they are cut, others are served. Limits are set short here.

use crate::common::raw::Raw;
use crate::common::{Site, mint_path};
use std::time::{Duration, Instant};
use testkit::until;
use tokio::io::AsyncWriteExt;

const PROMPT: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

/// Asserts that it was neither too early nor too late, for a busy machine.
#[track_caller]
fn assert_about(found: Duration, expected_ms: u64) {
    let expected = Duration::from_millis(expected_ms);
    assert!(found + Duration::from_millis(50) > expected && found < expected + Duration::from_secs(2), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b48_s17_a_connection_is_cut_when_its_request_does_not_come() {
    let site = Site::start().await;
    let limits = [
        ("FIRST_BYTE_TIMEOUT_MS", "400"),
        ("HEADERS_TIMEOUT_MS", "800"),
        ("IDLE_TIMEOUT_MS", "1600"),
        // A connection that was cut leaves its place: there are but two, and a pool in `common` may hold one.
        ("MAX_CONNECTIONS", "2"),
    ];
    let api = site.instance(&limits).await;
    let began = Instant::now();
    let mut silent = Raw::to(&api).await;
    silent.until_closed().await;
    assert_about(began.elapsed(), 400);

    let mut slow = Raw::to(&api).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    let mut sent = 0;
    for byte in PROMPT.replace("\r\n\r\n", &format!("\r\nX: {}", "a".repeat(1000))).bytes() {
        // A byte now and then keeps nobody alive.
        if slow.0.write_all(&[byte]).await.is_err() {
            break;
        }
        sent += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_about(began.elapsed(), 800);
    assert!(sent > 10, "{sent}");

    let mut idle = Raw::to(&api).await;
    for _ in 0..3 {
        assert!(idle.is_open().await);
        tokio::time::sleep(Duration::from_millis(1000)).await;
    }
    assert!(idle.is_open().await, "an answer starts the time anew");
    assert_about(idle.until_closed().await, 1600);

    let mut second = Raw::to(&api).await;
    assert!(second.is_open().await);
    second.send(&PROMPT[..10]).await;
    assert_about(second.until_closed().await, 800);

    // A head that begins in the same packet as the request before it.
    let mut pipelined = Raw::to(&api).await;
    pipelined.send(format!("{PROMPT}{}", &PROMPT[..10])).await;
    assert_eq!(pipelined.hear().await.status(), 200);
    assert_about(pipelined.until_closed().await, 1600);
    assert_eq!(api.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn b45_b46_a_body_that_does_not_come_is_408_and_the_end() {
    let site = Site::start().await;
    let api = site.instance(&[("BODY_TIMEOUT_MS", "1500")]).await;
    let before = site.last_sequence().await;
    let head = |lines: &str| format!("POST {} HTTP/1.1\r\nHost: x\r\n{lines}\r\n", mint_path());
    let cases = [
        (head("Content-Length: 15\r\n"), 0),
        (head("Transfer-Encoding: chunked\r\n"), 200),
        (head("Content-Length: 15\r\nExpect: 100-continue\r\n"), 0),
    ];
    let api = &api;
    let tried = cases.map(|(head, pause_ms)| async move {
        let mut raw = Raw::to(api).await;
        let began = Instant::now();
        let is_continued = head.contains("100-continue");
        raw.send(head).await;
        if is_continued {
            assert_eq!(raw.hear().await.status(), 100);
        }
        while pause_ms > 0 && began.elapsed() < Duration::from_millis(1200) {
            raw.send("1\r\n \r\n").await;
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        let said = raw.hear().await;
        assert_eq!((said.status(), said.code().as_str()), (408, "body_too_slow"));
        assert_about(began.elapsed(), 1500);
        assert!(!raw.is_open().await);
    });
    futures_util::future::join_all(tried).await;
    assert_eq!(site.last_sequence().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn b48_s18_a_client_that_does_not_read_is_dropped() {
    let site = Site::start().await;
    let api = site.instance(&[("WRITE_TIMEOUT_MS", "1000"), ("MAX_CONNECTIONS", "2")]).await;
    // The other place is held by the pool of the client in `common`.
    let mut deaf = Raw::to(&api).await;
    // Requests without end: the answers fill the buffers between us, then our requests do. The service has megabytes of
    // requests to answer after the last that is taken, which takes a busy machine seconds. Its default limit is 30 s.
    let many = "GET /api/tokens HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let mut last = Instant::now();
    while tokio::time::timeout(Duration::from_secs(20), deaf.0.write_all(many.as_bytes())).await.unwrap().is_ok() {
        last = Instant::now();
    }
    assert!(last.elapsed() > Duration::from_millis(950), "{:?}", last.elapsed());
    assert!(Raw::to(&api).await.is_open().await, "its place is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn b48_one_client_with_1500_connections_does_not_keep_others_out() {
    let site = Site::start().await;
    let api = site.instance(&[("MAX_CONNECTIONS_PER_IP", "200")]).await;
    let mut greedy = Vec::new();
    for _ in 0..1500 {
        greedy.push(Raw::from(&api, "127.0.0.2").await);
    }
    // Let the service see them all.
    let began = Instant::now();
    assert!(Raw::to(&api).await.is_open().await, "another client");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let mut open = 0;
    for raw in &mut greedy {
        open += usize::from(raw.is_open().await);
    }
    assert_eq!(open, 200);
    drop(greedy);
    until("the places are free", async || Raw::from(&api, "127.0.0.2").await.is_open().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b48_above_the_total_clients_wait_and_are_then_served() {
    let site = Site::start().await;
    let api = site.instance(&[("MAX_CONNECTIONS", "3"), ("IDLE_TIMEOUT_MS", "60000")]).await;
    // A third is held by the pool of the client in `common`.
    let (mut one, mut two) = (Raw::to(&api).await, Raw::to(&api).await);
    assert!(one.is_open().await && two.is_open().await);
    let mut third = Raw::to(&api).await;
    let waits = tokio::time::timeout(Duration::from_millis(500), third.is_open()).await;
    assert!(waits.is_err(), "connected by the kernel, not served");
    drop(one);
    assert_eq!(third.hear().await.status(), 200, "what was sent meanwhile is answered");
    assert!(two.is_open().await);
}
