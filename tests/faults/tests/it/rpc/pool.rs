//! Faults and rules of a node's pool.

use crate::rpc::setting::{FEE, Setting, sender, sign};
use faults::{Fault, Rule};
use serde_json::{Value, json};

const SEND: &str = "eth_sendRawTransaction";

async fn nonce(setting: &Setting) -> Value {
    setting.direct("eth_getTransactionCount", json!([sender(), "latest"])).await
}

/// F33, and who pays a tenth more replaces. anvil alone would let one wei more replace.
#[tokio::test]
async fn f33_a_replacement_pays_a_tenth_more_on_both_fees_or_is_refused() {
    let setting = Setting::new().await;
    let rule = setting.proxy.set(Rule::on(SEND, Fault::StrictPool));
    let tip = 1_000_000_000;
    let first = sign(0, FEE, tip);
    setting.send(&first).await;
    let tenth = |fee: u128| fee + fee / 10;
    for (fee, tip, what) in [
        (FEE + 1, tip + 1, "one wei"),
        (tenth(FEE), tip, "the cap alone"),
        (FEE, tenth(tip), "the tip alone"),
        (tenth(FEE) - 1, tenth(tip), "not quite"),
        (FEE / 2, tip / 2, "less"),
    ] {
        assert_eq!(setting.refusal(&sign(0, fee, tip).raw).await, "replacement transaction underpriced", "{what}");
    }
    assert_eq!(setting.refusal(&first.raw).await, "already known");
    let second = sign(0, tenth(FEE), tenth(tip));
    setting.send(&second).await;
    assert_eq!(setting.proxy.hits(rule), 6);

    setting.mine(1).await;
    assert_eq!(setting.direct("eth_getTransactionReceipt", json!([second.hash])).await["status"], "0x1");
    assert!(setting.direct("eth_getTransactionReceipt", json!([first.hash])).await.is_null());
    assert_eq!(setting.refusal(&first.raw).await, "nonce too low: next nonce 1, tx nonce 0");
}

/// Sixteen an account, gaps among them, which wait until they are filled. What the node lost may come again.
#[tokio::test]
async fn f45_sixteen_transactions_of_an_account_fit_and_a_gap_is_kept_until_it_is_filled() {
    let setting = Setting::new().await;
    setting.proxy.set(Rule::on(SEND, Fault::StrictPool));
    for nonce in 1..4 {
        setting.send(&sign(nonce, FEE, 1)).await;
    }
    setting.mine(1).await;
    assert_eq!(nonce(&setting).await, "0x0", "they wait");
    setting.send(&sign(0, FEE, 1)).await;
    setting.mine(1).await;
    assert_eq!(nonce(&setting).await, "0x4");

    for nonce in 4..20 {
        setting.send(&sign(nonce, FEE, 1)).await;
    }
    assert_eq!(setting.refusal(&sign(20, FEE, 1).raw).await, "txpool is full");
    let lost = sign(19, FEE, 1);
    assert_eq!(setting.refusal(&lost.raw).await, "already known");
    setting.direct("anvil_dropTransaction", json!([lost.hash])).await;
    setting.send(&lost).await;
    setting.mine(1).await;
    setting.send(&sign(20, FEE, 1)).await;
    setting.mine(1).await;
    assert_eq!(nonce(&setting).await, "0x15");
}

#[tokio::test]
async fn f43_a_swallowed_transaction_is_accepted_and_forgotten() {
    let setting = Setting::new().await;
    let rule = setting.proxy.set(Rule::on(SEND, Fault::Swallow).first(1));
    let signed = sign(0, FEE, 1);
    setting.send(&signed).await;
    assert!(setting.result("eth_getTransactionByHash", json!([signed.hash])).await.is_null());
    setting.mine(1).await;
    assert_eq!(nonce(&setting).await, "0x0");
    assert_eq!((setting.proxy.hits(rule), setting.proxy.forwarded().len()), (1, 0));
    setting.send(&signed).await;
    setting.mine(1).await;
    assert_eq!(nonce(&setting).await, "0x1");
    assert_eq!(setting.proxy.forwarded()[0].to_string(), signed.raw);
}

/// F45: everybody waits behind a transaction that looks pending and goes nowhere.
#[tokio::test]
async fn f45_a_withheld_transaction_looks_pending_and_later_nonces_wait_behind_it() {
    let setting = Setting::new().await;
    let rule = setting.proxy.set(Rule::on(SEND, Fault::Withhold).first(1));
    let (first, second) = (sign(0, FEE, 1), sign(1, FEE, 1));
    setting.send(&first).await;
    setting.send(&second).await;
    setting.mine(2).await;
    assert_eq!(nonce(&setting).await, "0x0");
    let shown = setting.result("eth_getTransactionByHash", json!([first.hash])).await;
    let sender = sender().to_string().to_lowercase();
    assert_eq!((&shown["hash"], &shown["from"]), (&json!(first.hash), &json!(sender)));
    assert!(shown["blockHash"].is_null() && shown["nonce"] == "0x0", "{shown}");
    assert!(setting.direct("eth_getTransactionByHash", json!([first.hash])).await.is_null(), "no node has it");
    // Who sends the same again, or fills the gap with another, is not withheld.
    setting.send(&first).await;
    setting.mine(1).await;
    assert_eq!(nonce(&setting).await, "0x2");
    assert_eq!(setting.proxy.hits(rule), 1);
    setting.proxy.heal();
}

/// F33, F45: the pool that withholds one wants its tenth all the same.
#[tokio::test]
async fn f33_f45_a_withheld_transaction_is_replaced_at_the_price_of_one_that_waits() {
    let setting = Setting::new().await;
    setting.proxy.set(Rule::on(SEND, Fault::StrictPool));
    let withheld = setting.proxy.set(Rule::on(SEND, Fault::Withhold).first(1));
    let tip = 1_000_000_000;
    let first = sign(0, FEE, tip);
    setting.send(&first).await;
    assert_eq!(setting.refusal(&first.raw).await, "already known");
    assert_eq!(setting.refusal(&sign(0, FEE + 1, tip + 1).raw).await, "replacement transaction underpriced");
    setting.send(&sign(0, FEE * 2, tip * 2)).await;
    setting.mine(1).await;
    assert_eq!((nonce(&setting).await, setting.proxy.hits(withheld)), (json!("0x1"), 1));
}

/// F32 and F30 of a transaction: refused though good, and accepted though nobody is told.
#[tokio::test]
async fn f30_f32_an_answer_to_a_transaction_says_nothing_of_what_became_of_it() {
    let setting = Setting::new().await;
    setting.proxy.set(Rule::on(SEND, Fault::nonce_too_low()).first(1));
    setting.proxy.set(Rule::on(SEND, Fault::DropResponse).first(1));
    let signed = sign(0, FEE, 1);
    assert!(setting.refusal(&signed.raw).await.starts_with("nonce too low"));
    assert!(setting.proxy.forwarded().is_empty());
    assert_eq!(setting.ask(SEND, json!([signed.raw])).await, Value::Null);
    assert_eq!(setting.proxy.forwarded().len(), 1);
    setting.mine(1).await;
    assert_eq!(nonce(&setting).await, "0x1");
}
