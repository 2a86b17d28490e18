//! Several providers: a null, a stale or a lying node decides nothing alone, and one that is away holds up nothing.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod common;

use alloy::primitives::{Bytes, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolStruct, eip712_domain};
use chain::abi::{MintToken, UsdcDouble};
use chain::dev::{BASE_SEPOLIA_USDC, NewToken};
use chain::{Address, B256, Broadcast, Chain, ChainError, Evidence, Inclusion, MintItem, MintResult, Presence};
use common::{ACCOUNT, Act, Local, Proxy, config, connect, eventually, transient};
use domain::event::Purpose;
use domain::{Authorization, PaymentId, PaymentKey, Quantity, Usdc};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// A transaction that is three deep.
async fn mined(local: &Local) -> B256 {
    let hash = local.transact(Address::ZERO, Bytes::new()).await;
    local.mine(2).await;
    hash
}

async fn included(chain: &Chain, hash: B256) -> bool {
    matches!(chain.inclusion(hash).await, Ok(Inclusion::Included(found)) if found.succeeded)
}

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
    let start = Instant::now();
    let calls = (0..64).map(|_| chain.gas_money(ACCOUNT));
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(9), "within a call's time: {:?}", start.elapsed());
    let rested = Instant::now();
    chain.gas_money(ACCOUNT).await.unwrap();
    assert!(rested.elapsed() < Duration::from_secs(1), "it rests: {:?}", rested.elapsed());
    assert!(hangs.most_under_way() <= 32 && good.most_under_way() <= 32, "bounded");
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
        (200, r#"{"jsonrpc":"2.0","id":ID,"result":"0x"#, "breaks off"),
        (200, r#"{"jsonrpc":"2.0","id":77777,"result":"0x1"}"#, "another question"),
        (200, r#"{"jsonrpc":"2.0","id":ID,"result":{"no":"number"}}"#, "not what the method answers"),
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
async fn f32_a_false_nonce_decides_nothing() {
    let local = Local::start().await;
    let [one, two] = local.proxies().await;
    let chain = connect(&[&one, &two]).await;
    mined(&local).await;
    assert_eq!(chain.nonce(ACCOUNT).await.unwrap(), 1);
    two.change("eth_getTransactionCount", |answer| answer["result"] = json!("0x63"));
    assert_eq!(chain.nonce(ACCOUNT).await.unwrap(), 1, "one alone invents no use of the key");
    transient(chain.final_nonce(ACCOUNT).await);

    let key = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d".parse().unwrap();
    let fees = chain.fees(chain.head().await.unwrap()).await.unwrap();
    let call = chain::Call {
        purpose: Purpose::Settle,
        target: Address::ZERO,
        input: Bytes::new(),
        gas_limit: 30_000,
        items: Vec::new(),
    };
    let tx = chain.sign(&key, 0, fees, call).unwrap();
    two.pass();
    assert_eq!(chain.final_nonce(ACCOUNT).await.unwrap().1, 0, "not final yet");
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
    // Of two that are far apart nobody can say which one is right.
    claims(1_000_000);
    transient(chain.head().await);
    liar.pass();
    let head = eventually("what was claimed is forgotten", async || chain.head().await.ok());
    assert_eq!(head.await.block.number, honest);
}

#[tokio::test]
async fn f35_a_receipt_and_a_null_decide_nothing() {
    let local = Local::start().await;
    let [one, two] = local.proxies().await;
    let chain = connect(&[&one, &two]).await;
    let hash = mined(&local).await;
    for (first, second) in [(&one, &two), (&two, &one)] {
        first.pass();
        second.change("eth_getTransactionReceipt", |answer| answer["result"] = Value::Null);
        assert!(transient(chain.inclusion(hash).await).contains("do not say the same"));
    }
    one.change("eth_getTransactionReceipt", |answer| answer["result"] = Value::Null);
    two.change("eth_getTransactionReceipt", |answer| answer["result"] = Value::Null);
    assert!(matches!(chain.inclusion(hash).await, Ok(Inclusion::Missing)));
    one.pass();
    two.pass();
    assert!(included(&chain, hash).await);
    two.change("eth_getTransactionByHash", |answer| answer["result"] = Value::Null);
    assert_eq!(chain.presence(hash).await.unwrap(), Presence::Pooled, "somebody has it: it is not lost");
    two.pass();
    assert_eq!(chain.presence(hash).await.unwrap(), Presence::Mined);
    assert_eq!(chain.presence(B256::ZERO).await.unwrap(), Presence::Unknown);
}

#[tokio::test]
async fn f36_a_false_receipt_is_undecided_with_two_and_outvoted_with_three() {
    let local = Local::start().await;
    let [one, two, liar] = local.proxies().await;
    let pair = connect(&[&one, &liar]).await;
    let three = connect(&[&liar, &one, &two]).await;
    let hash = mined(&local).await;
    type Lie = fn(&mut Value);
    let lies: [(&str, Lie); 4] = [
        ("status", |answer| answer["result"]["status"] = json!("0x0")),
        ("block", |answer| answer["result"]["blockHash"] = json!(B256::repeat_byte(7))),
        ("logs", |answer| {
            let (block, tx) = (answer["result"]["blockHash"].clone(), answer["result"]["transactionHash"].clone());
            answer["result"]["logs"] = json!([{
                "address": BASE_SEPOLIA_USDC, "topics": [B256::repeat_byte(1)], "data": "0x", "blockNumber": "0x4",
                "blockHash": block, "transactionHash": tx, "transactionIndex": "0x0", "logIndex": "0x0",
                "removed": false,
            }]);
        }),
        ("another transaction's", |answer| answer["result"]["transactionHash"] = json!(B256::repeat_byte(9))),
    ];
    for (what, lie) in lies {
        liar.change("eth_getTransactionReceipt", lie);
        let undecided = pair.inclusion(hash).await;
        assert!(matches!(undecided, Err(ChainError::Transient { .. })), "{what}: {undecided:?}");
        assert!(included(&three, hash).await, "{what}");
    }
    // Nor does one alone say which block stands where, or when it was.
    let head = three.head().await.unwrap();
    let height = three.confirmed(head).await.unwrap();
    liar.change("eth_getBlockByNumber", |answer| answer["result"]["timestamp"] = json!("0xffffffff"));
    transient(pair.confirmed(head).await);
    transient(pair.is_confirmed(height.block, head).await);
    assert_eq!(three.confirmed(head).await.unwrap(), height);
}

alloy::sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// A payment that stands on the chain, three deep.
async fn paid(local: &Local) -> Authorization {
    let payer: PrivateKeySigner = "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba".parse().unwrap();
    let (from, to, nonce) = (payer.address(), Address::repeat_byte(5), B256::repeat_byte(6));
    let fund = UsdcDouble::mintCall { to: from, amount: U256::from(9) }.abi_encode();
    local.transact(BASE_SEPOLIA_USDC, fund.into()).await;
    let (value, valid_before) = (9, 4_000_000_000);
    let message = TransferWithAuthorization {
        from,
        to,
        value: U256::from(value),
        validAfter: U256::ZERO,
        validBefore: U256::from(valid_before),
        nonce,
    };
    let domain = eip712_domain! {
        name: "USDC", version: "2", chain_id: 84_532, verifying_contract: BASE_SEPOLIA_USDC,
    };
    let signature = payer.sign_hash_sync(&message.eip712_signing_hash(&domain)).unwrap();
    let call = UsdcDouble::transferWithAuthorization_1Call {
        from,
        to,
        value: U256::from(value),
        validAfter: U256::ZERO,
        validBefore: U256::from(valid_before),
        nonce,
        v: 27 + u8::from(signature.v()),
        r: signature.r().into(),
        s: signature.s().into(),
    };
    local.transact(BASE_SEPOLIA_USDC, call.abi_encode().into()).await;
    local.mine(2).await;
    Authorization { from, to, value: Usdc(value), valid_after: 0, valid_before, nonce }
}

#[tokio::test]
async fn f36_one_node_that_hides_a_payment_proves_no_failure_and_one_that_invents_one_pays_nothing() {
    let local = Local::start().await;
    let [one, liar] = local.proxies().await;
    let chain = connect(&[&one, &liar]).await;
    let auth = paid(&local).await;
    let confirmed = chain.confirmed(chain.head().await.unwrap()).await.unwrap();
    assert!(matches!(chain.evidence(&auth, confirmed).await, Ok(Evidence::Paid { .. })));

    let hidden = |method: &str, params: &Value| match method {
        "eth_getLogs" => Act::Change(Box::new(|answer| answer["result"] = json!([]))),
        "eth_call" if params[0]["to"].as_str().is_some() => {
            Act::Change(Box::new(|answer| answer["result"] = json!(B256::ZERO)))
        }
        _ => Act::Pass,
    };
    liar.rule(hidden);
    assert!(transient(chain.evidence(&auth, confirmed).await).contains("do not say the same"));
    // The search of a node that does not have the confirmed block is no search, whoever else says the same.
    let lagging = connect(&[&one]).await;
    one.rule(move |method, params| match method {
        "eth_getBlockByNumber" => Act::Change(Box::new(|answer| answer["result"] = Value::Null)),
        _ => hidden(method, params),
    });
    transient(lagging.evidence(&auth, confirmed).await);
    transient(chain.evidence(&auth, confirmed).await);
    one.pass();

    // Believed alone, refused with another beside it: a payment that is nowhere, made of one that is.
    liar.pass();
    let unused = Authorization { nonce: B256::repeat_byte(8), ..auth.clone() };
    assert_eq!(chain.evidence(&unused, confirmed).await.unwrap(), Evidence::Unused);
    let filter = json!([{ "address": BASE_SEPOLIA_USDC, "fromBlock": "0x0", "topics": [null, null, auth.nonce] }]);
    let logs = forged(&local.rpc("eth_getLogs", filter).await);
    liar.rule(move |method, _| {
        let logs = logs.clone();
        match method {
            "eth_getLogs" => Act::Change(Box::new(move |answer| answer["result"] = logs.clone())),
            "eth_getTransactionReceipt" => Act::Change(Box::new(|answer| *answer = forged(answer))),
            _ => Act::Pass,
        }
    });
    let deceived = connect(&[&liar]).await.evidence(&unused, confirmed).await;
    assert!(matches!(deceived, Ok(Evidence::Paid { .. })), "what the second provider is for: {deceived:?}");
    transient(chain.evidence(&unused, confirmed).await);
}

/// The same, of another nonce.
fn forged(answer: &Value) -> Value {
    let [real, false_one] = [6, 8].map(|byte| B256::repeat_byte(byte).to_string());
    serde_json::from_str(&answer.to_string().replace(&real, &false_one)).unwrap()
}

#[tokio::test]
async fn f36_one_node_alone_skips_no_mint() {
    let local = Local::start().await;
    let [liar, one] = local.proxies().await;
    let terms = NewToken {
        name: "Demo".to_owned(),
        symbol: "DEMO".to_owned(),
        unit: 1,
        max_units: 9,
        unit_price: Usdc(1),
        creator: ACCOUNT,
    };
    let key = PaymentKey(B256::repeat_byte(1));
    let deployed = async {
        let factory = local.dev.factory(ACCOUNT, 0, BASE_SEPOLIA_USDC).await.unwrap();
        local.dev.set_minter(ACCOUNT, factory, ACCOUNT).await.unwrap();
        local.dev.create_token(ACCOUNT, factory, BASE_SEPOLIA_USDC, key, terms).await.unwrap().token
    };
    let mining = async {
        loop {
            local.mine(1).await;
        }
    };
    let token = tokio::select! { token = deployed => token, () = mining => unreachable!() };
    local
        .transact(BASE_SEPOLIA_USDC, UsdcDouble::mintCall { to: token, amount: U256::from(1) }.abi_encode().into())
        .await;

    let chain = connect(&[&liar, &one]).await;
    let (id, quantity) = (PaymentId::of(key), Quantity::new(1).unwrap());
    let call = chain.mint_call(token, &[MintItem { id, payment_key: key, to: Address::repeat_byte(5), quantity }]);
    assert_eq!(chain.simulate_mint(ACCOUNT, &call).await.unwrap(), [MintResult::Minted]);
    let says = |code: u8| json!(Bytes::from(MintToken::batchMintCall::abi_encode_returns(&vec![code].into())));
    let (over_cap, minted) = (says(3), says(0));
    liar.change("eth_call", move |answer| answer["result"] = over_cap.clone());
    transient(chain.simulate_mint(ACCOUNT, &call).await);

    let reverts = r#"{"jsonrpc":"2.0","id":ID,"error":{"code":3,"message":"execution reverted"}}"#;
    let reverting = |method: &str, _: &Value| match method {
        "eth_call" => Act::Answer(200, None, reverts.as_bytes().to_vec()),
        _ => Act::Pass,
    };
    liar.rule(reverting);
    transient(chain.simulate_mint(ACCOUNT, &call).await);
    one.rule(reverting);
    let both = chain.simulate_mint(ACCOUNT, &call).await;
    assert!(matches!(&both, Err(error) if error.is_failed_call()), "{both:?}");
    one.pass();

    // That it would be minted only steers: at worst the transaction says otherwise.
    liar.change("eth_call", move |answer| answer["result"] = minted.clone());
    let unpaid = MintItem { id, payment_key: key, to: Address::repeat_byte(5), quantity: Quantity::new(2).unwrap() };
    let call = chain.mint_call(token, &[unpaid]);
    assert_eq!(chain.simulate_mint(ACCOUNT, &call).await.unwrap(), [MintResult::Minted]);
    liar.pass();
    assert_eq!(chain.simulate_mint(ACCOUNT, &call).await.unwrap(), [MintResult::Unpaid]);
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
    assert!(text.contains("does not sign as \"USDC\" version \"2\" at") && text.ends_with(host), "{text}");
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
