//! Everything that settles money needs two providers: a null, or a node that lies, decides nothing alone.

use crate::common::{Act, Local, connect, evidence, included, mined, paid, transient};
use chain::{B256, ChainError, Evidence, Inclusion, Presence};
use dev_chain::BASE_SEPOLIA_USDC;
use domain::Authorization;
use serde_json::{Value, json};

#[tokio::test]
async fn f35_a_receipt_and_a_null_decide_nothing() {
    let local = Local::start().await;
    let [one, two] = local.proxies().await;
    let chain = connect(&[&one, &two]).await;
    let hash = mined(&local).await;
    for (first, second) in [(&one, &two), (&two, &one)] {
        first.pass();
        second.change("eth_getTransactionReceipt", |answer| answer["result"] = Value::Null);
        assert!(transient(chain.inclusion(hash).await).contains("disagree"));
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
    // A single one cannot place a block, or date it, either.
    let head = three.head().await.unwrap();
    let height = three.confirmed(head).await.unwrap();
    liar.change("eth_getBlockByNumber", |answer| answer["result"]["timestamp"] = json!("0xffffffff"));
    transient(pair.confirmed(head).await);
    transient(pair.is_confirmed(height.block, head).await);
    assert_eq!(three.confirmed(head).await.unwrap(), height);
}

#[tokio::test]
async fn f36_one_node_that_hides_a_payment_proves_no_failure_and_one_that_invents_one_pays_nothing() {
    let local = Local::start().await;
    let [one, liar] = local.proxies().await;
    let chain = connect(&[&one, &liar]).await;
    let auth = paid(&local).await;
    let confirmed = chain.confirmed(chain.head().await.unwrap()).await.unwrap();
    assert!(matches!(evidence(&chain, &auth, confirmed).await, Ok(Evidence::Paid { .. })));

    let hidden = |method: &str, params: &Value| match method {
        "eth_getLogs" => Act::Change(Box::new(|answer| answer["result"] = json!([]))),
        "eth_call" if params[0]["to"].as_str().is_some() => {
            Act::Change(Box::new(|answer| answer["result"] = json!(B256::ZERO)))
        }
        _ => Act::Pass,
    };
    liar.rule(hidden);
    assert!(transient(evidence(&chain, &auth, confirmed).await).contains("disagree"));
    // A node that does not have the confirmed block says nothing, even if another node says the same.
    let lagging = connect(&[&one]).await;
    one.rule(|method, params| match method {
        "eth_call" if params[1]["blockHash"].is_string() => {
            let error = r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32000,"message":"header not found"}}"#;
            Act::Answer(200, None, error.as_bytes().to_vec())
        }
        _ => Act::Pass,
    });
    assert!(evidence(&lagging, &auth, confirmed).await.is_err());
    assert!(evidence(&chain, &auth, confirmed).await.is_err());
    one.pass();

    // One node alone is believed, and refused beside another: it claims a payment that does not exist, made of one that
    // does.
    liar.pass();
    let unused = Authorization { nonce: B256::repeat_byte(8), ..auth.clone() };
    assert_eq!(evidence(&chain, &unused, confirmed).await.unwrap(), Evidence::Unused);
    let filter = json!([{ "address": BASE_SEPOLIA_USDC, "fromBlock": "0x0", "topics": [null, null, auth.nonce] }]);
    let logs = forged(&local.rpc("eth_getLogs", filter).await);
    liar.rule(move |method, params| {
        let logs = logs.clone();
        match method {
            "eth_call" if params[1]["blockHash"].is_string() => {
                Act::Change(Box::new(|answer| answer["result"] = json!(B256::with_last_byte(1))))
            }
            "eth_getLogs" => Act::Change(Box::new(move |answer| answer["result"] = logs.clone())),
            "eth_getTransactionReceipt" => Act::Change(Box::new(|answer| *answer = forged(answer))),
            _ => Act::Pass,
        }
    });
    let deceived = evidence(&connect(&[&liar]).await, &unused, confirmed).await;
    assert!(matches!(deceived, Ok(Evidence::Paid { .. })), "what the second provider is for: {deceived:?}");
    transient(evidence(&chain, &unused, confirmed).await);
}

/// The node's answer about the real payment, changed so that it claims a payment with another nonce.
fn forged(answer: &Value) -> Value {
    let [real, false_one] = [6, 8].map(|byte| B256::repeat_byte(byte).to_string());
    serde_json::from_str(&answer.to_string().replace(&real, &false_one)).unwrap()
}

/// A failure is decided at the final head (R2): one provider alone cannot make a block final or change its time.
#[tokio::test]
async fn f36_r2_one_node_makes_no_block_final_and_gives_it_no_other_time() {
    let local = Local::start().await;
    local.mine(20).await;
    let [one, liar] = local.proxies().await;
    let chain = connect(&[&one, &liar]).await;
    let (head, last) = (chain.head().await.unwrap(), chain.final_head().await.unwrap());
    assert_eq!(last.block.number + 16, head.block.number);
    let (number, hash) = (format!("{:#x}", head.block.number), head.block.hash);
    liar.rule(move |method, params| match (method, params[0].as_str()) {
        ("eth_getBlockByNumber", Some("finalized")) => {
            let number = number.clone();
            Act::Change(Box::new(move |answer| {
                answer["result"]["number"] = json!(number);
                answer["result"]["hash"] = json!(hash);
            }))
        }
        _ => Act::Pass,
    });
    assert_eq!(connect(&[&liar]).await.finalized().await.unwrap(), head.block, "believed alone");
    assert_eq!(chain.final_head().await.unwrap(), last);
    liar.rule(|method, _| match method {
        "eth_getBlockByNumber" => Act::Change(Box::new(|answer| answer["result"]["timestamp"] = json!("0xffffffff"))),
        _ => Act::Pass,
    });
    transient(chain.final_head().await);
}
