//! The search for records on a real chain, and what strangers can do against it.

use crate::common::shop::{PRICE, Shop};
use crate::common::{ACCOUNT, connect, transient};
use crate::operate::{around, operate};
use alloy::primitives::{Bytes, U256};
use alloy::sol_types::SolCall;
use chain::Address;
use chain::abi::UsdcDouble;
use chain::token::{Deed, RecordTrace, pay_call, segments};
use dev_chain::{BASE_SEPOLIA_USDC, REPEATER, REPEATER_CODE, repeated_in_vain};
use domain::{PaymentKey, PaymentRequest};
use serde_json::json;

/// Most gas of a transaction (EIP-7825).
const GAS_MAX: u64 = 16_777_216;

fn keys(traces: &[RecordTrace]) -> Vec<(Address, PaymentKey)> {
    traces.iter().map(|trace| (trace.token, trace.key)).collect()
}

/// Money that went around the token has no record, unless an operator credits it.
#[tokio::test]
async fn what_can_have_made_a_record_is_found_in_the_logs_and_one_node_alone_does_not_hide_it() {
    let shop = Shop::open(9).await;
    let [one, liar] = shop.local.proxies().await;
    let chain = connect(&[&one, &liar]).await;
    let [token, other] = shop.tokens;
    let recorded = [shop.payment(token, 1, 1).await, shop.payment(token, 2, 2).await, shop.payment(other, 3, 1).await];
    shop.pay(&chain, &segments(&recorded)).await;
    let outside = around(&shop, token, 4, 1).await;
    shop.local.give_usdc(ACCOUNT, PRICE).await;
    let sent = UsdcDouble::transferCall { to: token, value: U256::from(PRICE.0) };
    shop.local.transact(BASE_SEPOLIA_USDC, sent.abi_encode().into()).await;
    shop.local.mine(1).await;
    let before = chain.head().await.unwrap().block;
    operate(&shop, &chain, Deed::Credit, &[&outside]).await;
    let last = chain.head().await.unwrap().block;

    let all = chain.traces(&[token], 0..=last.number, last).await.unwrap();
    let [a, b, credited] = [&recorded[0], &recorded[1], &outside].map(|request| (token, request.payment_key));
    assert_eq!(keys(&all), [a, b, credited]);
    assert!(all.iter().all(|trace| trace.block.number <= last.number) && all[0].tx_hash == all[1].tx_hash);
    assert_eq!(keys(&chain.traces(&[token], 0..=before.number, last).await.unwrap()), [a, b]);
    let both = keys(&chain.traces(&[token, other], 0..=last.number, last).await.unwrap());
    assert_eq!(both, [a, b, (other, recorded[2].payment_key), credited], "each at its own token");
    let block = all[0].block.number;
    let in_block = keys(&chain.block_traces(other, block, last).await.unwrap());
    assert_eq!(in_block, [a, b, both[2]].map(|(_, key)| (other, key)), "its record says which it took");
    let in_block = keys(&chain.block_traces(token, all[2].block.number, last).await.unwrap());
    assert_eq!(in_block, [credited]);

    liar.change("eth_getLogs", |answer| answer["result"] = json!([]));
    assert!(chain.traces(&[token], 0..=last.number, last).await.is_err());
    assert!(chain.block_traces(token, block, last).await.is_err());
}

/// Transfers of nothing to the token, and settlements of nothing. Both cost some thousand gas each.
#[tokio::test]
async fn a_settlement_in_a_block_that_a_stranger_has_filled_is_found_all_the_same() {
    let shop = Shop::open(9).await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let [token, other] = shop.tokens;
    let (hidden, behind) = (shop.payment(token, 1, 1).await, shop.payment(other, 2, 1).await);
    shop.local.rpc("anvil_setCode", json!([REPEATER, REPEATER_CODE])).await;
    let queue = async |to: Address, input: Bytes, gas: u64| {
        let call = json!([{ "from": ACCOUNT, "to": to, "input": input, "gas": format!("{gas:#x}") }]);
        shop.local.rpc("eth_sendTransaction", call).await
    };
    let first = chain.head().await.unwrap().block.number + 1;
    let [transfers, settlements] = repeated_in_vain(BASE_SEPOLIA_USDC, token);
    for input in [vec![transfers; 6], vec![settlements; 12]].concat() {
        queue(REPEATER, input, GAS_MAX).await;
    }
    for request in [&hidden, &behind] {
        let call = pay_call(shop.hub, &segments([request]));
        queue(call.target, call.input, call.gas_limit).await;
        let pause = if request.payment_key == hidden.payment_key { 1 } else { 3 };
        shop.local.mine(pause).await;
    }
    let last = chain.head().await.unwrap().block;
    let found = |request: &PaymentRequest| (request.authorization.to, request.payment_key);

    for (tokens, end) in [(vec![token, other], last.number), (vec![token], first)] {
        let cause = transient(chain.traces(&tokens, first..=end, last).await);
        assert!(cause.contains("more than 8388608 bytes"), "{cause}");
    }
    let traced = chain.block_traces(token, first, last).await.unwrap();
    assert_eq!(keys(&traced), [found(&hidden)]);
    let traced = chain.traces(&[other], first..=last.number, last).await.unwrap();
    assert_eq!(keys(&traced), [found(&behind)]);
}
