//! Several providers: one that is unavailable, limited, late or of another chain delays nothing and decides nothing.

use crate::common::{ACCOUNT, Act, Local, Proxy, config, connect, included, mined, transient};
use chain::{Address, B256, Broadcast, Bytes, Chain, ChainError};
use domain::event::{OpenTx, Purpose};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::eventually;
use tokio::net::TcpListener;

#[tokio::test]
async fn f28_one_of_three_away_holds_up_nothing_and_is_checked_before_it_is_used_again() {
    let local = Local::start().await;
    let [one, two] = local.proxies().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let away = format!("http://{address}/s3cret-key");
    let chain = Chain::connect(config(&[&away, &one.url, &two.url], &[])).await.unwrap();
    let hash = mined(&local).await;

    let head = chain.head().await.unwrap();
    assert!(included(&chain, hash).await);
    assert!(chain.is_confirmed(chain.confirmed(head).await.unwrap().block, head).await.unwrap());
    chain.fees(head).await.unwrap();

    let back = Proxy::start(&local.anvil.rpc_url(), TcpListener::bind(address).await.unwrap());
    let asked = eventually("it is asked again", async || {
        chain.fees(head).await.unwrap();
        let asked = back.methods();
        (!asked.is_empty()).then_some(asked)
    });
    assert_eq!(asked.await[0], "eth_chainId", "checked before it is used");
}

#[tokio::test]
async fn f28_with_one_of_two_away_what_steers_goes_on_and_what_decides_waits() {
    let local = Local::start().await;
    let [one, two] = local.proxies().await;
    let chain = connect(&[&one, &two]).await;
    let hash = mined(&local).await;
    let head = chain.head().await.unwrap();
    one.answer(502, None, b"<html>Bad Gateway</html>");
    for _ in 0..4 {
        chain.fees(head).await.unwrap();
        transient(chain.presence(hash).await);
        transient(chain.inclusion(hash).await);
        transient(chain.confirmed(head).await);
        transient(chain.head().await);
        transient(chain.nonce(ACCOUNT).await);
    }
    one.pass();
    eventually("it resumes", async || included(&chain, hash).await.then_some(())).await;
}

#[tokio::test]
async fn f28_one_that_hangs_costs_part_of_a_calls_time_a_few_times_and_takes_nobodys_place() {
    let local = Local::start().await;
    let [hangs, good] = local.proxies().await;
    let chain = connect(&[&hangs, &good]).await;
    hangs.rule(|_, _| Act::Late(Duration::from_secs(60)));
    hangs.calls();
    let start = Instant::now();
    let calls = (0..64).map(|_| chain.gas_money(ACCOUNT));
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(9), "within a call's time: {:?}", start.elapsed());
    let rested = Instant::now();
    chain.gas_money(ACCOUNT).await.unwrap();
    assert!(rested.elapsed() < Duration::from_secs(1), "it rests: {:?}", rested.elapsed());
    // Some of the calls that waited for a permit may get one between the first failure and the third, which begins the
    // rest.
    assert!(hangs.calls().len() <= 32 + 2, "bounded");
    assert!(good.most_under_way() <= 32, "bounded");
}

#[tokio::test]
async fn f29_retry_after_is_honoured_and_the_others_are_asked_instead() {
    let local = Local::start().await;
    let [one, two] = local.proxies().await;
    let chain = connect(&[&one, &two]).await;
    let head = chain.head().await.unwrap();
    one.answer(429, Some(2), b"");
    one.calls();
    for _ in 0..50 {
        chain.fees(head).await.unwrap();
    }
    assert_eq!(one.calls().len(), 1, "no storm");
    let limited = Instant::now();
    let again = eventually("it is asked again", async || one.calls().into_iter().next()).await;
    assert!(again.0 - limited > Duration::from_millis(1_500), "after {:?}", again.0 - limited);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(one.calls().len(), 0, "the probe was refused: it rests again");
    one.pass();
    eventually("it is well again", async || chain.head().await.ok()).await;
}

#[tokio::test]
async fn f29_an_only_provider_gets_the_pause_that_it_asks_for() {
    let local = Local::start().await;
    let only = local.proxy().await;
    let chain = connect(&[&only]).await;
    only.answer(429, Some(1), b"");
    transient(chain.head().await);
    only.calls();
    for _ in 0..20 {
        assert!(transient(chain.head().await).contains("rest"));
    }
    assert_eq!(only.calls().len(), 0);
    only.pass();
    eventually("it is asked again", async || chain.head().await.ok()).await;
}

#[tokio::test]
async fn f29_calls_wait_for_the_rate() {
    let local = Local::start().await;
    let only = local.proxy().await;
    let chain = Chain::connect(config(&[&only.url], &[("RPC_RATE", "10")])).await.unwrap();
    only.calls();
    let start = Instant::now();
    for _ in 0..30 {
        chain.head().await.unwrap();
    }
    assert!(
        start.elapsed() > Duration::from_millis(1_900),
        "ten at once, twenty at ten a second: {:?}",
        start.elapsed()
    );
    assert_eq!(only.calls().len(), 30);
}

#[tokio::test]
async fn f31_answers_that_are_none_are_named_decide_nothing_and_the_next_is_asked() {
    let local = Local::start().await;
    let [one, two] = local.proxies().await;
    let alone = connect(&[&one]).await;
    let head = alone.head().await.unwrap();
    let big = format!(r#"{{"jsonrpc":"2.0","id":ID,"result":"0x{}"}}"#, "0".repeat(9 * 1024 * 1024));
    let cases: [(u16, &str, &str); 8] = [
        (500, "<html>oops</html>", "HTTP 500"),
        (404, "not here", "HTTP 404"),
        (302, "", "HTTP 302"),
        (200, "<html>welcome</html>", "not JSON-RPC: <html>"),
        (200, r#"{"jsonrpc":"2.0","id":ID,"result":"0x"#, "truncated"),
        (200, r#"{"jsonrpc":"2.0","id":77777,"result":"0x1"}"#, "another id"),
        (200, r#"{"jsonrpc":"2.0","id":ID,"result":{"no":"number"}}"#, "not a valid result of the method"),
        (200, &big, "more than 8388608 bytes"),
    ];
    for (status, body, expected) in cases {
        one.answer(status, None, body.as_bytes());
        let cause = transient(alone.fees(head).await);
        assert!(cause.contains(expected), "{status}: {cause}");
        assert!(cause.contains("127.0.0.1"), "it says whose answer it is: {cause}");
        // Connected while the first is well, so that it is the first to be asked.
        one.pass();
        let both = connect(&[&one, &two]).await;
        one.answer(status, None, body.as_bytes());
        both.fees(head).await.unwrap();
    }
    one.pass();
    alone.fees(head).await.unwrap();
}

#[tokio::test]
async fn a_node_without_advice_for_the_tip_gets_the_minimum_and_one_that_fails_gets_none() {
    let local = Local::start().await;
    let only = local.proxy().await;
    let chain = connect(&[&only]).await;
    let head = chain.head().await.unwrap();
    let error = |code: i64| format!(r#"{{"jsonrpc":"2.0","id":ID,"error":{{"code":{code},"message":"no"}}}}"#);
    only.answer(200, None, error(-32_601).as_bytes());
    assert_eq!(chain.fees(head).await.unwrap().priority_fee_wei, 1_000_000);
    only.answer(200, None, error(-32_000).as_bytes());
    assert!(chain.fees(head).await.is_err());
}

#[tokio::test]
async fn payments_one_block_deep_are_for_development_nodes_alone() {
    let local = Local::start().await;
    let node = local.proxy().await;
    for (version, is_development) in
        [("anvil/v1.7.1", true), ("HardhatNetwork/2.26.0/@ethereumjs/vm", true), ("Geth/v1.17.5", false)]
    {
        node.change("web3_clientVersion", move |answer| answer["result"] = json!(version));
        let deep = Chain::connect(config(&[&node.url], &[("CONFIRMATIONS", "2")])).await;
        assert!(deep.is_ok(), "{version}");
        match Chain::connect(config(&[&node.url], &[("CONFIRMATIONS", "1")])).await {
            Ok(_) => assert!(is_development, "{version}"),
            Err(ChainError::Misconfigured(text)) => {
                assert!(!is_development && text.contains("CONFIRMATIONS is 1"), "{version}: {text}");
                assert!(!text.contains("s3cret"), "{text}");
            }
            other => panic!("{version}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn f32_a_false_nonce_decides_nothing() {
    let local = Local::start().await;
    let [one, two] = local.proxies().await;
    let chain = connect(&[&one, &two]).await;
    mined(&local).await;
    assert_eq!(chain.nonce(ACCOUNT).await.unwrap(), 1);
    two.change("eth_getTransactionCount", |answer| answer["result"] = json!("0x63"));
    assert_eq!(chain.nonce(ACCOUNT).await.unwrap(), 1, "one alone invents no use of the key");
    let block = chain.head().await.unwrap().block;
    transient(chain.nonce_after(ACCOUNT, block).await);

    let tx = transaction(&chain).await;
    two.pass();
    assert_eq!(chain.nonce_after(ACCOUNT, block).await.unwrap(), 1);
    let before = chain.block_at(0).await.unwrap().unwrap().block;
    assert_eq!(chain.nonce_after(ACCOUNT, before).await.unwrap(), 0);
    two.rule(|method, _| match method {
        "eth_sendRawTransaction" => {
            let error = r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32000,"message":"nonce too low"}}"#;
            Act::Answer(200, None, error.as_bytes().to_vec())
        }
        _ => Act::Pass,
    });
    assert_eq!(chain.broadcast(&tx).await, Broadcast::Accepted);
    assert_eq!(chain.broadcast(&tx).await, Broadcast::Known);
    let all_asked = eventually("all are handed the bytes", async || {
        two.methods().iter().any(|method| method == "eth_sendRawTransaction").then_some(())
    });
    all_asked.await;
}

/// A transaction of a key that has money.
async fn transaction(chain: &Chain) -> OpenTx {
    let key = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d".parse().unwrap();
    let fees = chain.fees(chain.head().await.unwrap()).await.unwrap();
    let (purpose, target, input) = (Purpose::Settle, Address::ZERO, Bytes::new());
    chain.sign(&key, 0, fees, chain::Call { purpose, target, input, gas_limit: 30_000, items: Vec::new() }).unwrap()
}

/// Where the mempool is public, who sees a settlement there can submit its authorizations around the token.
#[tokio::test]
async fn transactions_go_to_the_private_endpoint_alone_and_it_is_asked_for_its_chain_only() {
    let local = Local::start().await;
    let [public, private] = local.proxies().await;
    let chain = Chain::connect(config(&[&public.url], &[("SEND_URL", &private.url)])).await.unwrap();
    assert_eq!(private.methods(), ["eth_chainId"]);
    assert_eq!(chain.broadcast(&transaction(&chain).await).await, Broadcast::Accepted);
    assert_eq!(private.methods(), ["eth_sendRawTransaction"]);
    assert!(!public.methods().iter().any(|method| method == "eth_sendRawTransaction"));
    private.change("eth_chainId", |answer| answer["result"] = json!("0x1"));
    match Chain::connect(config(&[&public.url], &[("SEND_URL", &private.url)])).await {
        Err(ChainError::Misconfigured(text)) => assert!(text.contains("SEND_URL leads to chain 1"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn f34_who_lags_far_or_goes_back_is_not_asked_and_delays_nothing() {
    let local = Local::start().await;
    let [one, two, stale] = local.proxies().await;
    let chain = connect(&[&stale, &one, &two]).await;
    let old = local.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
    let number = old["number"].clone();
    stale.rule(move |method, params| match method {
        "eth_getBlockByNumber" if params[0] == "latest" => {
            let old = old.clone();
            Act::Change(Box::new(move |answer| answer["result"] = old.clone()))
        }
        "eth_blockNumber" => {
            let number = number.clone();
            Act::Change(Box::new(move |answer| answer["result"] = number.clone()))
        }
        "eth_getTransactionReceipt" => Act::Change(Box::new(|answer| answer["result"] = Value::Null)),
        _ => Act::Pass,
    });
    let hash = mined(&local).await;
    assert!(chain.head().await.unwrap().block.number >= 6, "a little behind: the others' head counts");
    assert!(included(&chain, hash).await, "its null is outvoted");
    local.mine(10).await;
    chain.head().await.unwrap();
    stale.calls();
    assert!(included(&chain, hash).await);
    chain.fees(chain.head().await.unwrap()).await.unwrap();
    assert!(!stale.methods().iter().any(|method| method == "eth_getTransactionReceipt"), "nobody asks who is stale");

    stale.pass();
    eventually("it has caught up", async || {
        chain.inclusion(hash).await.unwrap();
        stale.methods().iter().any(|method| method == "eth_getTransactionReceipt").then_some(())
    })
    .await;
}

#[tokio::test]
async fn f34_a_head_that_nobody_else_has_makes_no_block_deep() {
    let local = Local::start().await;
    let [one, liar] = local.proxies().await;
    let chain = connect(&[&one, &liar]).await;
    let honest = local.rpc("eth_blockNumber", json!([])).await;
    let honest = u64::from_str_radix(honest.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let claims = |ahead: u64| {
        let ahead = format!("0x{:x}", honest + ahead);
        liar.rule(move |method, params| match method {
            "eth_getBlockByNumber" if params[0] == "latest" => {
                let ahead = ahead.clone();
                Act::Change(Box::new(move |answer| answer["result"]["number"] = json!(ahead)))
            }
            _ => Act::Pass,
        });
    };
    claims(5);
    assert_eq!(chain.head().await.unwrap().block.number, honest);
    // With two providers that are far apart, nothing shows which one is right.
    claims(1_000_000);
    transient(chain.head().await);
    liar.pass();
    let head = eventually("what was claimed is forgotten", async || chain.head().await.ok());
    assert_eq!(head.await.block.number, honest);
}

#[tokio::test]
async fn f37_a_provider_of_another_chain_is_refused_by_its_host_also_when_it_comes_back() {
    let local = Local::start().await;
    let [good, wrong] = local.proxies().await;
    let refusal = |answer: Result<Chain, ChainError>| match answer {
        Err(ChainError::Misconfigured(text)) => {
            assert!(!text.contains("s3cret"), "{text}");
            text
        }
        other => panic!("{other:?}"),
    };
    wrong.change("eth_chainId", |answer| answer["result"] = json!("0x1"));
    let text = refusal(Chain::connect(config(&[&good.url, &wrong.url], &[])).await);
    let host = wrong.url.trim_start_matches("http://").trim_end_matches("/s3cret-key");
    assert_eq!(text, format!("CHAIN_ID is 84532, but RPC_URL leads to chain 1 at {host}"));
    wrong.change("eth_call", |answer| answer["result"] = json!(B256::repeat_byte(3)));
    let text = refusal(Chain::connect(config(&[&good.url, &wrong.url], &[])).await);
    assert!(
        text.contains("does not have the EIP-712 domain \"USDC\" version \"2\" at") && text.ends_with(host),
        "{text}"
    );
    let text = refusal(Chain::connect(config(&[&good.url, &good.url], &[])).await);
    assert_eq!(text, "RPC_URL names the same provider twice");

    // Down at the start, of another chain when it answers.
    wrong.answer(503, None, b"");
    let chain = Chain::connect(config(&[&wrong.url, &good.url], &[])).await.unwrap();
    wrong.calls();
    wrong.change("eth_chainId", |answer| answer["result"] = json!("0x1"));
    let mut asked = Vec::new();
    eventually("it is probed twice", async || {
        chain.gas_money(ACCOUNT).await.unwrap();
        transient(chain.head().await);
        asked.extend(wrong.methods());
        (asked.len() >= 2).then_some(())
    })
    .await;
    assert!(asked.iter().all(|method| method == "eth_chainId"), "never used: {asked:?}");
}
