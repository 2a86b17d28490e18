//! Faults that need no transaction: what a client hears.

use crate::rpc::setting::{CHAIN_ID, Heard, Setting, request};
use faults::{ANY, Fault, RpcProxy, Rule};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Size that a client should accept at most, bytes.
const CAP: usize = 8 * 1024 * 1024;

type Check = fn(Option<Heard>) -> bool;

/// A row: what is set, what is asked, what is heard; the same is asked again afterwards, and answered.
fn rows() -> Vec<(&'static str, Fault, Check)> {
    let status = |code, retry_after_s| Fault::Status { code, retry_after_s };
    vec![
        ("F30 request lost", Fault::DropRequest, |heard| heard.is_none()),
        ("F30 answer lost", Fault::DropResponse, |heard| heard.is_none()),
        ("F29 too many", status(429, Some(3)), |heard| {
            heard.is_some_and(|heard| heard.status == 429 && heard.retry_after.as_deref() == Some("3"))
        }),
        ("F31 unavailable", status(503, None), |heard| {
            heard.is_some_and(|heard| heard.status == 503 && heard.retry_after.is_none() && heard.text.is_empty())
        }),
        ("F31 a page", Fault::Html, |heard| {
            heard.is_some_and(|heard| heard.status == 200 && heard.text.starts_with("<!DOCTYPE html>"))
        }),
        ("F31 half of it", Fault::Truncated, |heard| {
            heard.is_some_and(|heard| heard.status == 200 && heard.text.starts_with('{') && heard.json.is_null())
        }),
        ("F31 another's answer", Fault::WrongId, |heard| {
            heard.is_some_and(|heard| heard.json["id"] == 1_007 && heard.json["result"] == "0x14a34")
        }),
        ("F31 too much", Fault::Oversized(CAP + 1), |heard| heard.is_some_and(|heard| heard.text.len() > CAP)),
        ("F37 another chain", Fault::number("0x2105"), |heard| {
            heard.is_some_and(|heard| heard.json == json!({ "jsonrpc": "2.0", "id": 7, "result": "0x2105" }))
        }),
        ("F35 null", Fault::Null, |heard| heard.is_some_and(|heard| heard.json["result"].is_null())),
        ("F32 refused", Fault::nonce_too_low(), |heard| {
            let message = heard.map(|heard| heard.json["error"]["message"].to_string()).unwrap_or_default();
            message.contains("nonce too low")
        }),
    ]
}

#[tokio::test]
async fn f29_f30_f31_f32_f35_f37_each_fault_is_heard_once_and_then_the_node_again() {
    let setting = Setting::new().await;
    for (what, fault, check) in rows() {
        let rule = setting.proxy.set(Rule::on("eth_chainId", fault.clone()).first(1));
        let heard = setting.hear(&request(7, "eth_chainId", json!([]))).await;
        let shown = format!("{heard:?}").chars().take(300).collect::<String>();
        assert!(check(heard), "{what}: {shown}");
        assert_eq!(setting.result("eth_chainId", json!([])).await, format!("{CHAIN_ID:#x}"), "{what}: once");
        assert_eq!(setting.proxy.hits(rule), 1, "{what}");
    }
    assert_eq!(setting.proxy.asked("eth_chainId"), 2 * rows().len() as u64);
}

/// F51, with the node's words for a fee; F30 as a time-out after which it happens all the same.
#[tokio::test]
async fn f30_f51_a_fee_is_what_the_rule_says_and_a_late_answer_is_late() {
    let setting = Setting::new().await;
    let huge = format!("0x8{}", "0".repeat(63));
    for fee in ["0x0", huge.as_str()] {
        let rule = setting.proxy.set(Rule::on("eth_maxPriorityFeePerGas", Fault::number(fee)));
        assert_eq!(setting.result("eth_maxPriorityFeePerGas", json!([])).await, fee);
        setting.proxy.lift(rule);
        assert_ne!(setting.result("eth_maxPriorityFeePerGas", json!([])).await, fee, "lifted");
        assert_eq!(setting.proxy.hits(rule), 1, "a counter outlives its rule");
    }
    let late = Duration::from_millis(300);
    let rule = setting.proxy.set(Rule::on("evm_mine", Fault::Late(late)));
    let begun = Instant::now();
    let early = tokio::time::timeout(late / 3, setting.ask("evm_mine", json!([]))).await;
    assert!(early.is_err(), "who waits less hears nothing");
    setting.ask("evm_mine", json!([])).await;
    assert!(begun.elapsed() > late);
    assert_eq!(setting.proxy.hits(rule), 2);
}

/// The fate of the n-th request is the seed's, and no other rule's.
#[tokio::test]
async fn the_same_seed_strikes_at_the_same_requests() {
    let setting = Setting::with_seed(42).await;
    let again = RpcProxy::before(&[&setting.anvil.rpc_url()], 42).await.unwrap();
    let other = RpcProxy::before(&[&setting.anvil.rpc_url()], 43).await.unwrap();
    let mut fates = Vec::new();
    for proxy in [&setting.proxy, &again, &other] {
        let rule = proxy.set(Rule::on(ANY, Fault::number("0x0")).percent(30));
        let mut fate = Vec::new();
        for _ in 0..100 {
            let body = request(1, "eth_chainId", json!([]));
            let sent = reqwest::Client::new().post(proxy.url()).json(&body).send().await.unwrap();
            fate.push(sent.json::<Value>().await.unwrap()["result"] == "0x0");
        }
        let struck = fate.iter().filter(|struck| **struck).count() as u64;
        assert_eq!(proxy.hits(rule), struck);
        assert!((15..45).contains(&struck), "{struck} of a hundred");
        fates.push(fate);
    }
    assert_eq!(fates[0], fates[1]);
    assert_ne!(fates[0], fates[2]);
}

/// Rules are asked in order, and those that are counted are counted by what they could strike at.
#[tokio::test]
async fn the_first_rule_that_strikes_has_its_way() {
    let setting = Setting::new().await;
    let few = setting.proxy.set(Rule::on("eth_chainId", Fault::number("0x1")).among(1..3));
    let all = setting.proxy.set(Rule::on(ANY, Fault::number("0x2")));
    let mut heard = Vec::new();
    for _ in 0..5 {
        heard.push(setting.result("eth_chainId", json!([])).await);
    }
    assert_eq!(heard, ["0x2", "0x1", "0x1", "0x2", "0x2"]);
    assert_eq!((setting.proxy.hits(few), setting.proxy.hits(all)), (2, 3));
    setting.proxy.heal();
    assert_eq!(setting.result("eth_chainId", json!([])).await, format!("{CHAIN_ID:#x}"));
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order_each_request_by_its_own_rules() {
    let setting = Setting::new().await;
    setting.mine(3).await;
    let batch = json!([
        request(1, "eth_chainId", json!([])),
        request(2, "eth_blockNumber", json!([])),
        request(3, "eth_noSuchMethod", json!([])),
        request(4, "eth_getBalance", json!([crate::rpc::setting::sender(), "latest"])),
    ]);
    let heard = setting.hear(&batch).await.unwrap().json;
    let ids: Vec<_> = heard.as_array().unwrap().iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    assert_eq!((&heard[0]["result"], &heard[1]["result"]), (&json!("0x14a34"), &json!("0x3")));
    assert!(heard[2]["error"]["message"].is_string() && heard[3]["result"].is_string(), "{heard}");

    setting.proxy.set(Rule::on("eth_blockNumber", Fault::Refuse { code: -32_005, message: "slow down".to_owned() }));
    let heard = setting.hear(&batch).await.unwrap().json;
    assert_eq!((&heard[0]["result"], &heard[1]["error"]["code"]), (&json!("0x14a34"), &json!(-32_005)));
    setting.proxy.heal();
    for (fault, is_heard) in [(Fault::DropResponse, false), (Fault::Truncated, true)] {
        let rule = setting.proxy.set(Rule::on("eth_blockNumber", fault.clone()).first(1));
        let heard = setting.hear(&batch).await;
        assert_eq!(heard.is_some(), is_heard, "{fault:?}");
        assert!(heard.is_none_or(|heard| heard.json.is_null() && heard.text.starts_with('[')));
        assert_eq!(setting.proxy.hits(rule), 1);
    }
    assert_eq!(setting.hear(&batch).await.unwrap().json[1]["result"], "0x3");
}

/// F28: the node is gone, and so is every answer.
#[tokio::test]
async fn f28_without_a_node_the_connection_ends() {
    let mut setting = Setting::new().await;
    setting.anvil.kill();
    assert!(setting.hear(&request(1, "eth_chainId", json!([]))).await.is_none());
    setting.anvil.restart().await.unwrap();
    assert_eq!(setting.result("eth_chainId", json!([])).await, "0x14a34");
}
