//! Faults of what a node says of the chain: heads, views, receipts, logs, reorganisations.

use crate::rpc::setting::{FEE, Setting, Signed, anvil, sender, sign, sign_for};
use faults::{ANY, Fault, Lie, RpcProxy, Rule};
use serde_json::{Value, json};

const NOBODY: &str = "0x0000000000000000000000000000000000000abc";

/// Code that emits an empty log: `LOG0(0, 0)`.
const LOGS_ONCE: &str = "0x60006000a0";

/// Includes transaction `nonce`, and answers with its receipt.
async fn included(setting: &Setting, nonce: u64) -> (Signed, Value) {
    let signed = sign(nonce, FEE, 1);
    setting.send(&signed).await;
    setting.mine(1).await;
    let receipt = setting.direct("eth_getTransactionReceipt", json!([signed.hash])).await;
    assert_eq!(receipt["status"], "0x1");
    (signed, receipt)
}

#[tokio::test]
async fn f34_a_node_that_lags_says_of_blocks_state_receipts_and_logs_what_was_true_then() {
    let setting = Setting::new().await;
    setting.mine(5).await;
    let (signed, receipt) = included(&setting, 0).await;
    setting.mine(1).await;
    // The head is at 7, the transaction in 6, the lagging node at 5.
    let hash = &signed.hash;
    let block = &receipt["blockHash"];
    let asked = [
        ("eth_blockNumber", json!([]), "", json!("0x7"), json!("0x5")),
        ("eth_getBlockByNumber", json!(["latest", false]), "/number", json!("0x7"), json!("0x5")),
        ("eth_getBlockByNumber", json!(["0x6", false]), "/number", json!("0x6"), Value::Null),
        ("eth_getBlockByNumber", json!(["0x4", false]), "/number", json!("0x4"), json!("0x4")),
        ("eth_getBlockByHash", json!([block, false]), "/number", json!("0x6"), Value::Null),
        ("eth_getTransactionCount", json!([sender(), "latest"]), "", json!("0x1"), json!("0x0")),
        ("eth_call", json!([{ "to": NOBODY }]), "", json!("0x"), json!("0x")),
        ("eth_getTransactionReceipt", json!([hash]), "/blockNumber", json!("0x6"), Value::Null),
        ("eth_getTransactionByHash", json!([hash]), "/blockNumber", json!("0x6"), Value::Null),
        ("eth_getTransactionByHash", json!([hash]), "/hash", json!(hash), json!(hash)),
        ("eth_getLogs", json!([{ "fromBlock": "0x6" }]), "", json!([]), json!([])),
        ("eth_chainId", json!([]), "", json!("0x14a34"), json!("0x14a34")),
    ];
    for lags in [false, true, false] {
        let rule = lags.then(|| setting.proxy.set(Rule::on(ANY, Fault::Behind(2))));
        for (method, params, part, now, then) in &asked {
            let result = setting.result(method, params.clone()).await;
            let wanted = if lags { then } else { now };
            assert_eq!(result.pointer(part).unwrap_or(&Value::Null), wanted, "{method} {params}: {lags}");
        }
        if let Some(rule) = rule {
            assert_eq!(setting.proxy.hits(rule), asked.len() as u64 - 1, "all but the chain's id");
            setting.proxy.lift(rule);
        }
    }
    // Its head goes back and forth.
    setting.proxy.set(Rule::on("eth_blockNumber", Fault::Behind(3)).among(1..2));
    let mut heads = Vec::new();
    for _ in 0..3 {
        heads.push(setting.result("eth_blockNumber", json!([])).await);
    }
    assert_eq!(heads, ["0x7", "0x4", "0x7"]);
}

/// F35: two nodes behind one name; the second has not seen the block.
#[tokio::test]
async fn f35_a_receipt_is_there_and_then_null_when_another_node_answers() {
    let setting = Setting::new().await;
    let (other, _dir) = anvil().await;
    let proxy = RpcProxy::before(&[&setting.anvil.rpc_url(), &other.rpc_url()], 1).await.unwrap();
    let setting = setting.through(proxy);
    let (signed, _) = included(&setting, 0).await;
    let rule = setting.proxy.set(Rule::on("eth_getTransactionReceipt", Fault::Upstream(1)).among(1..3));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(!setting.result("eth_getTransactionReceipt", json!([signed.hash])).await.is_null());
    }
    assert_eq!(seen, [true, false, false, true]);
    assert_eq!(setting.proxy.hits(rule), 2);
}

#[tokio::test]
async fn f36_a_receipt_lies_about_its_status_its_logs_or_its_block() {
    let setting = Setting::new().await;
    setting.direct("anvil_setCode", json!(["0x0909090909090909090909090909090909090909", LOGS_ONCE])).await;
    let unknown = sign(7, FEE, 1).hash;
    let signed = sign_with_gas(0);
    setting.send(&signed).await;
    setting.mine(1).await;
    let truth = setting.direct("eth_getTransactionReceipt", json!([signed.hash])).await;
    assert_eq!((&truth["status"], truth["logs"].as_array().map(Vec::len)), (&json!("0x1"), Some(1)), "{truth}");
    for (lie, field) in [(Lie::Status, "status"), (Lie::NoLogs, "logs"), (Lie::BlockHash, "blockHash")] {
        let rule = setting.proxy.set(Rule::on("eth_getTransactionReceipt", Fault::LyingReceipt(lie)).first(1));
        assert!(setting.result("eth_getTransactionReceipt", json!([unknown])).await.is_null(), "no receipt, no lie");
        let told = setting.result("eth_getTransactionReceipt", json!([signed.hash])).await;
        for (name, value) in truth.as_object().unwrap() {
            assert_eq!(told[name] == *value, name != field, "{lie:?}: {name} is {}", told[name]);
        }
        assert_eq!(setting.result("eth_getTransactionReceipt", json!([signed.hash])).await, truth);
        assert_eq!(setting.proxy.hits(rule), 1);
    }
}

#[tokio::test]
async fn the_receipt_of_a_stranger_is_that_of_a_deposit_and_our_own_is_not() {
    let setting = Setting::new().await;
    let (ours, _) = included(&setting, 0).await;
    let theirs = sign(1, FEE, 1);
    setting.direct("eth_sendRawTransaction", json!([theirs.raw])).await;
    setting.mine(1).await;
    let rule = setting.proxy.set(Rule::on("eth_getTransactionReceipt", Fault::Deposits));
    for (hash, kind) in [(&ours.hash, "0x2"), (&theirs.hash, "0x7e")] {
        let told = setting.result("eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!((&told["type"], &told["transactionHash"]), (&json!(kind), &json!(hash)));
    }
    assert!(setting.result("eth_getTransactionReceipt", json!([sign(9, FEE, 1).hash])).await.is_null());
    assert_eq!(setting.proxy.hits(rule), 1);
}

/// Gas enough for a log.
fn sign_with_gas(nonce: u64) -> Signed {
    sign_for(nonce, FEE, 1, 60_000)
}

#[tokio::test]
async fn f49_logs_have_gaps_and_searches_that_are_too_wide_or_too_full_are_refused() {
    let setting = Setting::new().await;
    setting.direct("anvil_setCode", json!(["0x0909090909090909090909090909090909090909", LOGS_ONCE])).await;
    for nonce in 0..8 {
        setting.send(&sign_with_gas(nonce)).await;
        setting.mine(1).await;
    }
    let all = json!([{ "fromBlock": "0x0", "toBlock": "latest" }]);
    let count = async |params: &Value| setting.result("eth_getLogs", params.clone()).await.as_array().map(Vec::len);
    assert_eq!(count(&all).await, Some(8));
    let rule = setting.proxy.set(Rule::on("eth_getLogs", Fault::LogGap));
    for _ in 0..5 {
        assert!(count(&all).await.is_some_and(|found| found < 8));
    }
    assert_eq!(setting.proxy.hits(rule), 5);
    setting.proxy.heal();

    let rule = setting.proxy.set(Rule::on("eth_getLogs", Fault::LogRange(5)));
    for (params, found) in [
        (all.clone(), None),
        (json!([{ "fromBlock": "earliest" }]), None),
        (json!([{ "fromBlock": "0x1", "toBlock": "0x6" }]), None),
        (json!([{ "fromBlock": "0x1", "toBlock": "0x5" }]), Some(5)),
        (json!([{ "fromBlock": "0x6" }]), Some(3)),
    ] {
        assert_eq!(count(&params).await, found, "{params}");
    }
    assert_eq!(setting.proxy.hits(rule), 3);
    let answer = setting.ask("eth_getLogs", all).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("max block range 5"), "{answer}");
    setting.proxy.heal();

    let limit = Fault::LogLimit { blocks: 5, code: -32_005, message: "limit the query to 5 blocks" };
    let rule = setting.proxy.set(Rule::on("eth_getLogs", limit));
    assert_eq!(count(&json!([{ "fromBlock": "0x1", "toBlock": "0x5" }])).await, Some(5));
    let answer = setting.ask("eth_getLogs", json!([{ "fromBlock": "0x1", "toBlock": "0x6" }])).await;
    let expected = json!({ "code": -32_005, "message": "limit the query to 5 blocks" });
    assert_eq!((&answer["error"], setting.proxy.hits(rule)), (&expected, 1));
    setting.proxy.heal();

    let [full, other] = ["0x0909090909090909090909090909090909090909", "0x0808080808080808080808080808080808080808"];
    let rule = setting.proxy.set(Rule::on("eth_getLogs", Fault::LogsOf(full.parse().unwrap())));
    for (of, found) in [(json!(full), None), (json!([other, full]), None), (json!([other]), Some(0))] {
        let params = json!([{ "fromBlock": "0x0", "address": of }]);
        assert_eq!(count(&params).await, found, "{params}");
    }
    assert_eq!((setting.proxy.hits(rule), count(&json!([{ "fromBlock": "0x0" }])).await), (2, Some(8)));
}

#[tokio::test]
async fn an_old_state_is_refused_however_its_block_is_named() {
    let setting = Setting::new().await;
    setting.mine(40).await;
    let of = async |block: &Value| setting.ask("eth_getBalance", json!([NOBODY, block])).await["error"].clone();
    let rule = setting.proxy.set(Rule::on(ANY, Fault::StatesKept(8)));
    let hash = async |number: &str| {
        let block = setting.result("eth_getBlockByNumber", json!([number, false])).await;
        json!({ "blockHash": block["hash"], "requireCanonical": true })
    };
    for kept in [json!("latest"), json!("0x21"), hash("0x21").await] {
        assert_eq!(of(&kept).await, Value::Null, "{kept}");
    }
    for old in [json!("finalized"), json!("0x20"), hash("0x20").await, json!({ "blockNumber": "0x1" })] {
        assert_eq!(of(&old).await["message"], "missing trie node", "{old}");
    }
    assert_eq!(setting.proxy.hits(rule), 4);
}

/// Real nodes do this, and anvil does not.
#[tokio::test]
async fn f38_what_a_reorganisation_takes_away_is_put_back_into_the_pool() {
    let setting = Setting::new().await;
    setting.mine(3).await;
    let (kept, _) = included(&setting, 0).await;
    let (lost, receipt) = included(&setting, 1).await;
    setting.mine(1).await;
    assert_eq!(setting.proxy.reorg(2).await, Ok(1));
    let shown = setting.result("eth_getTransactionByHash", json!([lost.hash])).await;
    assert_eq!((&shown["hash"], &shown["blockHash"]), (&json!(lost.hash), &Value::Null), "in the pool again");
    assert!(!setting.result("eth_getTransactionReceipt", json!([kept.hash])).await.is_null(), "deep enough");
    setting.mine(1).await;
    let again = setting.result("eth_getTransactionReceipt", json!([lost.hash])).await;
    assert_ne!(again["blockHash"], receipt["blockHash"]);
    assert_eq!(again["status"], "0x1");

    // The same when somebody asks for it through the proxy.
    setting.ask("anvil_reorg", json!([1, []])).await;
    let shown = setting.result("eth_getTransactionByHash", json!([lost.hash])).await;
    assert_eq!(shown["hash"], json!(lost.hash));
    assert_eq!(setting.proxy.forwarded().len(), 2, "nothing else was sent through it");
    assert_eq!(setting.result("eth_getBalance", json!([NOBODY, "latest"])).await, "0x0");
}
