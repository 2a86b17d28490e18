//! Errors of a client on the wire: each is answered as this table says, nothing is written, and no other client is
//! affected.

use crate::common::raw::{Raw, Said};
use crate::common::{Instance, Site, mint_path};

/// The state of the connection afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Kept,
    Closed,
}
use Then::{Closed, Kept};

/// The request, the status (0: the connection is closed without an answer), the problem's code, and the end of the
/// connection. Answers of hyper itself have no code.
type Case = (String, u16, &'static str, Then);

async fn try_all(site: &Site, api: &Instance, cases: Vec<Case>) {
    let before = site.last_sequence().await;
    let mut wrong = Vec::new();
    for (request, status, code, then) in cases {
        let mut raw = Raw::to(api).await;
        raw.send(&request).await;
        let said = raw.hear_for(request.split(' ').next().unwrap()).await;
        assert!(said.body.len() <= 1024, "{} bytes: {said:?}", said.body.len());
        assert!(!said.head.contains("evil") && !said.body.contains("evil"), "nothing is echoed: {said:?}");
        let ours = said.status() != 0 && said.header("vary").is_some();
        assert!(!ours || said.header("cache-control") == Some("no-store"), "{said:?}");
        let found = (said.status(), said.code(), if raw.is_open().await { Kept } else { Closed });
        if found != (status, code.to_owned(), then) {
            let shown: String = request.chars().take(200).collect();
            wrong.push(format!("{shown:?}\n  expected {:?}\n  found    {found:?}", (status, code, then)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(site.last_sequence().await, before, "nothing was written");
    assert_eq!(api.get("/readyz").await.status, 200);
}

/// A purchase with these header lines and this body.
fn post(lines: &str, body: &str) -> String {
    format!("POST {} HTTP/1.1\r\nHost: x\r\n{lines}\r\n{body}", mint_path())
}

fn sized(lines: &str, body: &str) -> String {
    post(&format!("{lines}Content-Length: {}\r\n", body.len()), body)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// A request line, with good headers.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: x\r\n\r\n")
}

const BODY: &str = r#"{"quantity":10}"#;

#[tokio::test(flavor = "multi_thread")]
async fn b45_a_body_is_what_its_length_says_and_one_json_object_or_it_is_refused() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let padded = |length: usize| format!("{BODY}{}", " ".repeat(length - BODY.len()));
    let smuggled = format!("0\r\n\r\n{}", get("/smuggled"));
    let mut cases = vec![
        (sized("", BODY), 402, "", Kept),
        (sized("", ""), 400, "body_malformed", Kept),
        (post("", ""), 400, "body_malformed", Kept),
        (sized("", &padded(64 * 1024)), 402, "", Kept),
        (sized("", &padded(64 * 1024 + 1)), 413, "body_too_large", Kept),
        (sized("Content-Encoding: gzip\r\n", BODY), 415, "body_encoding_unsupported", Kept),
        (sized("", r#"{"quantity":0}"#), 422, "quantity_invalid", Kept),
        (sized("", r#"{"quantity":-1}"#), 422, "quantity_invalid", Kept),
        (sized("", r#"{"quantity":1e18}"#), 422, "quantity_invalid", Kept),
        (sized("", r#"{"quantity":1000001}"#), 422, "quantity_too_large", Kept),
        // Chunks.
        (post("Transfer-Encoding: chunked\r\n", "f\r\n{\"quantity\":10}\r\n0\r\n\r\n"), 402, "", Kept),
        (post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400, "body_malformed", Kept),
        (post("Transfer-Encoding: chunked\r\n", "zz\r\n"), 400, "body_malformed", Closed),
        (post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"), 400, "body_malformed", Closed),
        (post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 400, "request_malformed", Closed),
        (post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400, "request_malformed", Closed),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            400,
            "request_malformed",
            Closed,
        ),
        (post("Transfer-Encoding: chunked, identity\r\n", BODY), 400, "", Closed),
        (post("Transfer-Encoding: xchunked\r\n", BODY), 400, "", Closed),
        // Two lengths, or one of two kinds. What is smuggled in behind is not read as a request.
        (post("Content-Length: 15\r\nContent-Length: 16\r\n", BODY), 400, "", Closed),
        (post("Content-Length: 15\r\nContent-Length: 15\r\n", BODY), 402, "", Kept),
        (post("Content-Length: 15, 15\r\n", BODY), 400, "", Closed),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 15\r\n", &smuggled), 400, "body_malformed", Closed),
        (post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &smuggled), 400, "body_malformed", Closed),
    ];
    for length in ["-1", "+15", "0x0f", "15 16", "", "18446744073709551616"] {
        cases.push((post(&format!("Content-Length: {length}\r\n"), BODY), 400, "", Closed));
    }
    // Parsed whatever it says it is: x402-fetch 1.x sends its paid retry as text.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "evil", "*/*"] {
        cases.push((sized(&format!("Content-Type: {kind}\r\n"), BODY), 402, "", Kept));
    }
    try_all(&site, &api, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b45_a_path_leads_nowhere_but_where_it_says() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let cases = vec![
        (get("/api/mint/../tokens"), 404, "route_unknown", Kept),
        (get("/api/tokens/../tokens"), 404, "route_unknown", Kept),
        (get("/api/tokens/..%2ftokens"), 404, "token_unknown", Kept),
        (get("/api/tokens/%2e%2e"), 404, "token_unknown", Kept),
        (get("/api/tokens/%00"), 404, "token_unknown", Kept),
        (get("/api/tokens/%ff"), 404, "token_unknown", Kept),
        (get("/api/payment/%00"), 404, "payment_unknown", Kept),
        (get("/api/queue/%ff"), 404, "payment_unknown", Kept),
        (get("//api/tokens"), 404, "route_unknown", Kept),
        (get("/api/tokens/"), 404, "route_unknown", Kept),
        (get("/API/tokens"), 404, "route_unknown", Kept),
        (get("/api/events?payment=%00"), 404, "payment_unknown", Kept),
        (get("/api/events?payment=%ff&payment=2"), 400, "events_filter_invalid", Kept),
        (get("/healthz?a=%"), 200, "", Kept),
        (get("/healthz\0"), 400, "", Closed),
        (get(&format!("/{}", "a".repeat(60_000))), 404, "route_unknown", Kept),
        (get(&format!("/{}", "a".repeat(65_535))), 414, "", Closed),
    ];
    try_all(&site, &api, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b46_what_is_no_request_of_ours_is_refused_and_changes_nothing() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let mint = mint_path();
    let hosts = |lines: &str| format!("GET /healthz HTTP/1.1\r\n{lines}\r\n");
    let with = |lines: &str| format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
    let mut cases = vec![
        // Methods.
        (line(&format!("TRACE {mint} HTTP/1.1")), 405, "method_not_allowed", Kept),
        (line(&format!("PUT {mint} HTTP/1.1")), 405, "method_not_allowed", Kept),
        (line(&format!("BREW {mint} HTTP/1.1")), 405, "method_not_allowed", Kept),
        (line(&format!("HEAD {mint} HTTP/1.1")), 405, "", Kept),
        (line(&format!("OPTIONS {mint} HTTP/1.1")), 200, "", Kept),
        (line("OPTIONS * HTTP/1.1"), 200, "", Kept),
        (line("CONNECT evil.example:443 HTTP/1.1"), 400, "request_malformed", Closed),
        (line("HEAD /healthz HTTP/1.1"), 200, "", Kept),
        (line("HEAD /readyz HTTP/1.1"), 200, "", Kept),
        (line("POST /healthz HTTP/1.1"), 405, "method_not_allowed", Kept),
        (line("G@T /healthz HTTP/1.1"), 400, "", Closed),
        // Forms of the target. The absolute one must be taken (RFC 9112, section 3.2.2); its host is nobody's affair.
        (line("GET http://evil.example/healthz HTTP/1.1"), 200, "", Kept),
        (line("GET * HTTP/1.1"), 404, "route_unknown", Kept),
        (line("GET healthz HTTP/1.1"), 400, "request_malformed", Closed),
        // Host.
        (hosts(""), 400, "request_malformed", Closed),
        (hosts("Host: x\r\nHost: x\r\n"), 400, "request_malformed", Closed),
        (hosts("Host: x\r\nHost: evil.example\r\n"), 400, "request_malformed", Closed),
        (hosts("Host: a b\r\n"), 400, "request_malformed", Closed),
        (hosts("Host: user@x\r\n"), 400, "request_malformed", Closed),
        (hosts("Host: http://x/\r\n"), 400, "request_malformed", Closed),
        (hosts("Host:\r\n"), 200, "", Kept),
        (hosts("Host: [::1]:4021\r\n"), 200, "", Kept),
        (hosts("Host: evil.example\r\n"), 200, "", Kept),
        // Versions.
        ("GET /healthz HTTP/1.0\r\n\r\n".to_owned(), 200, "", Closed),
        ("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(), 200, "", Kept),
        ("POST /healthz HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400, "", Closed),
        (line("GET /healthz HTTP/2.0"), 400, "", Closed),
        (line("GET /healthz HTTP/1.2"), 400, "", Closed),
        (line("GET /healthz"), 400, "", Closed),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 0, "", Closed),
        (with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"), 200, "", Kept),
        (with("Connection: Upgrade\r\nUpgrade: websocket\r\n"), 200, "", Kept),
        // Header lines.
        (with("a b: c\r\n"), 400, "", Closed),
        (with("a : c\r\n"), 400, "", Closed),
        (with("a: b\r\n c\r\n"), 400, "", Closed),
        (with("a\r\n"), 400, "", Closed),
        (with("a: \0\r\n"), 400, "", Closed),
        (with("Expect: evil\r\n"), 200, "", Kept),
        (with("Connection: close\r\n"), 200, "", Closed),
        (with(&"a: b\r\n".repeat(99)), 200, "", Kept),
        (with(&"a: b\r\n".repeat(100)), 431, "", Closed),
    ];
    for name in ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-URL"] {
        cases.push((sized(&format!("{name}: evil.example\r\n"), BODY), 402, "", Kept));
    }
    try_all(&site, &api, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b46_a_405_says_what_is_allowed() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let asked = async |request: String| -> Said {
        let mut raw = Raw::to(&api).await;
        raw.send(&request).await;
        raw.hear_for(request.split(' ').next().unwrap()).await
    };
    for (method, path, allowed) in [
        ("PUT", mint_path().as_str(), "POST"),
        ("HEAD", &mint_path(), "POST"),
        ("POST", "/api/tokens", "GET,HEAD"),
        ("DELETE", "/api/payment/x", "GET,HEAD"),
        ("POST", "/api/events", "GET,HEAD"),
        ("POST", "/readyz", "GET,HEAD"),
    ] {
        let said = asked(line(&format!("{method} {path} HTTP/1.1"))).await;
        assert_eq!((said.status(), said.header("allow")), (405, Some(allowed)), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b55_events_are_for_those_who_get_them_and_for_the_origins_that_are_configured() {
    let site = Site::start().await;
    let api = site.instance(&[("CORS_ORIGINS", "https://app.example.com")]).await;
    let id = api.buy(10, 7).await.id();
    let path = format!("/api/events?payment={id}");
    // Whatever is accepted: an EventSource sends text/event-stream, others */* or nothing.
    for accept in ["*/*", "text/event-stream", "text/html", "application/json"] {
        let request = api.http.get(format!("{}{path}", api.url)).header("accept", accept);
        let response = request.header("origin", "https://evil.example").send().await.unwrap();
        assert_eq!(response.status(), 200, "{accept}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(!response.headers().contains_key("access-control-allow-origin"), "no page of theirs may read it");
    }
    let mut raw = Raw::to(&api).await;
    raw.send(line(&format!("HEAD {path} HTTP/1.1"))).await;
    assert_eq!(raw.hear_for("HEAD").await.status(), 200);
    assert!(raw.is_open().await, "there is no body");
    let post = api.post(&path, &[], "").await;
    assert_eq!(post.problem(), (405, "method_not_allowed".to_owned()));
}
