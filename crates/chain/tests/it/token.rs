//! A token that takes its own payments, on a real chain: what is sent is what the contracts read, and what they record
//! is what is read back.

use crate::common::shop::{PRICE, Shop};
use crate::common::{ACCOUNT, Act, connect, transient};
use alloy::primitives::U256;
use alloy::sol_types::SolCall;
use chain::abi::UsdcDouble;
use chain::token::{Delivered, Paid, Record, Segment, Trial, pay_call, payees, segments};
use chain::{Address, B256, Chain, Fees, Key};
use dev_chain::BASE_SEPOLIA_USDC;
use domain::event::{OpenTx, WaitReason};
use domain::{PaymentKey, Purchase};
use serde_json::json;

/// The results of trying all payments, each of which could be tried.
async fn tried(chain: &Chain, segments: &[Segment<'_>]) -> Vec<Trial> {
    chain.try_pay(ACCOUNT, segments).await.into_iter().flat_map(Result::unwrap).collect()
}

#[tokio::test]
async fn payments_to_two_tokens_are_made_in_one_transaction_recorded_and_delivered() {
    let shop = Shop::open(5).await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let [one, two] = shop.tokens;
    let (a, b, c) = (shop.payment(one, 1, 2).await, shop.payment(two, 2, 5).await, shop.payment(one, 3, 3).await);
    let all = segments([&a, &b, &c]);
    let order: Vec<_> = all.iter().flat_map(|part| part.requests.iter().map(|request| request.id())).collect();
    assert_eq!(order, [a.id(), c.id(), b.id()], "those of one token stand together");
    assert_eq!(pay_call(shop.hub, &all).items, order);
    assert_eq!(pay_call(shop.hub, &segments([&a])).target, one, "one token is called directly");
    let key: Key = format!("{:064x}", 7).parse().unwrap();
    let fees = Fees { max_fee_wei: 2, priority_fee_wei: 1 };
    let bytes = |parts: &[Segment<'_>]| chain.sign(&key, 0, fees, pay_call(shop.hub, parts)).unwrap();
    assert_eq!(payees(&bytes(&all)), Some(vec![one, one, two]), "as the signed bytes say");
    assert_eq!(payees(&bytes(&segments([&a, &c]))), Some(vec![one, one]));
    let other = OpenTx { items: vec![a.id()], ..bytes(&all) };
    assert_eq!(payees(&other), None, "the event names another number of payments");
    let recorded = Trial::Result(Paid::Recorded);
    assert_eq!(tried(&chain, &all).await, vec![recorded; 3]);

    let keys = [a.payment_key, c.payment_key];
    assert_eq!(shop.records(&chain, one, &keys).await, [Record::Absent; 2]);
    assert_eq!(shop.pay(&chain, &all).await, [Some(Paid::Recorded); 3]);
    let found = shop.records(&chain, one, &keys).await;
    for (record, request) in found.iter().zip([&a, &c]) {
        let Record::Paid(paid) = record else { panic!("{record:?}") };
        let Purchase::Mint { quantity, .. } = request.purchase;
        assert_eq!((paid.payer, paid.units), (request.payer(), quantity.get()));
        assert!(paid.paid_at > 0);
    }
    assert_eq!(shop.pay(&chain, &all).await, [Some(Paid::Known); 3], "charged once");

    let unknown = PaymentKey(B256::ZERO);
    let tried = chain.try_deliver(ACCOUNT, one, &[a.payment_key, unknown]).await.unwrap();
    assert_eq!(tried, [Delivered::Minted, Delivered::NoRecord]);
    let delivered = shop.deliver(&chain, one, &[a.payment_key, unknown]).await;
    assert_eq!(delivered, [Delivered::Minted, Delivered::NoRecord]);
    assert_eq!(shop.deliver(&chain, one, &[a.payment_key]).await, [Delivered::MintedBefore]);
    let found = shop.records(&chain, one, &keys).await;
    assert!(matches!(found[..], [Record::Minted(_), Record::Paid(_)]), "{found:?}");
    assert_eq!(shop.local.dev.token_balance(one, a.payer()).await.unwrap(), U256::from(20));
}

#[tokio::test]
async fn what_cannot_be_paid_is_told_apart_before_and_after_it_is_sent() {
    let shop = Shop::open(5).await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let token = shop.tokens[0];
    let (good, large) = (shop.payment(token, 1, 3).await, shop.payment(token, 2, 3).await);
    let poor = shop.payment(token, 3, 1).await;
    let burn = UsdcDouble::transferCall { to: ACCOUNT, value: U256::from(PRICE.0) }.abi_encode();
    shop.local.rpc("anvil_impersonateAccount", json!([poor.payer()])).await;
    shop.local.rpc("anvil_setBalance", json!([poor.payer(), "0xde0b6b3a7640000"])).await;
    let input = alloy::primitives::Bytes::from(burn);
    let sent = json!([{ "from": poor.payer(), "to": BASE_SEPOLIA_USDC, "input": input, "gas": "0xf4240" }]);
    shop.local.rpc("eth_sendTransaction", sent).await;
    shop.local.mine(1).await;

    let all = segments([&good, &large, &poor]);
    let tried = tried(&chain, &all).await;
    assert_eq!(tried[..2], [Trial::Result(Paid::Recorded), Trial::Result(Paid::SoldOut)]);
    assert!(matches!(&tried[2], Trial::Refused(WaitReason::Unfunded, _)), "{:?}", tried[2]);
    assert_eq!(shop.pay(&chain, &all).await, [Paid::Recorded, Paid::SoldOut, Paid::Failed].map(Some));
    let keys = [good.payment_key, large.payment_key, poor.payment_key];
    let found = shop.records(&chain, token, &keys).await;
    assert!(matches!(found[..], [Record::Paid(_), Record::Absent, Record::Absent]), "{found:?}");
}

/// The hub tries a segment only if it can get all of its gas, whatever stands before it.
#[tokio::test]
async fn every_segment_of_a_full_transaction_is_attempted_however_the_payments_are_divided() {
    let shop = Shop::open(1000).await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let mut who = 0;
    for first in [1, 99] {
        let mut requests = Vec::new();
        for index in 0..100 {
            who += 1;
            requests.push(shop.payment(shop.tokens[usize::from(index >= first)], who, 1).await);
        }
        assert_eq!(shop.pay(&chain, &segments(&requests)).await, [Some(Paid::Recorded); 100], "{first} first");
    }
}

/// After a reorganisation, or at a node that lags, one of two tokens is not there.
#[tokio::test]
async fn a_token_that_cannot_be_tried_delays_no_other() {
    let shop = Shop::open(5).await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let (good, gone) = (shop.payment(shop.tokens[0], 1, 1).await, shop.payment(Address::repeat_byte(9), 2, 1).await);
    let all = segments([&gone, &good]);
    let [first, second] = chain.try_pay(ACCOUNT, &all).await.try_into().unwrap();
    transient(first);
    assert_eq!(second.unwrap(), [Trial::Result(Paid::Recorded)]);
    assert_eq!(shop.pay(&chain, &all).await, [None, Some(Paid::Recorded)], "nothing is said about the first");
}

/// The token says only that the asset refuses. Why is asked outside the batch, and only the asset can tell.
#[tokio::test]
async fn a_nodes_own_trouble_is_no_reason_of_the_asset_and_every_clients_words_for_a_failed_call_are() {
    let shop = Shop::open(5).await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let request = shop.payment(shop.tokens[0], 1, 1).await;
    let auth = &request.authorization;
    shop.local.rpc("anvil_impersonateAccount", json!([auth.from])).await;
    shop.local.rpc("anvil_setBalance", json!([auth.from, "0xde0b6b3a7640000"])).await;
    let burn = UsdcDouble::transferCall { to: ACCOUNT, value: U256::from(auth.value.0) }.abi_encode();
    let input = alloy::primitives::Bytes::from(burn);
    let sent = json!([{ "from": auth.from, "to": BASE_SEPOLIA_USDC, "input": input, "gas": "0xf4240" }]);
    shop.local.rpc("eth_sendTransaction", sent).await;
    shop.local.mine(1).await;
    let all = segments([&request]);
    assert!(matches!(&tried(&chain, &all).await[0], Trial::Refused(WaitReason::Unfunded, _)));

    let revert = alloy::sol_types::Revert::from("ERC20: transfer amount exceeds balance");
    let data = alloy::primitives::Bytes::from(alloy::sol_types::SolError::abi_encode(&revert));
    let unfunded = Some(WaitReason::Unfunded);
    let cases = [
        (json!({ "code": -32000, "message": "header not found" }), None),
        (json!({ "code": -32000, "message": "missing trie node 8b3e (path )" }), None),
        (json!({ "code": -32002, "message": "No state available for block 0x8b3e" }), None),
        (json!({ "code": -32005, "message": "daily request count exceeded, request rate limited" }), None),
        (json!({ "code": 3, "message": "execution reverted", "data": data }), unfunded),
        (json!({ "code": -32000, "message": "Execution reverted", "data": data }), unfunded),
        (json!({ "code": -32015, "message": "VM execution error.", "data": format!("Reverted {data}") }), unfunded),
        (json!({ "code": -32000, "message": "OutOfGas" }), Some(WaitReason::Unexplained)),
    ];
    for (error, expected) in cases {
        // Connected anew, because a quota makes the provider rest.
        node.pass();
        let chain = connect(&[&node]).await;
        let answer = json!({ "jsonrpc": "2.0", "id": "ID", "error": error }).to_string().replace("\"ID\"", "ID");
        node.rule(move |method, params| {
            // A call without a target asks for the payers' standing.
            let to = params[0]["to"].as_str().map(|to| to.parse::<Address>().unwrap());
            if method == "eth_call" && to.is_none_or(|to| to == BASE_SEPOLIA_USDC) {
                return Act::Answer(200, None, answer.clone().into_bytes());
            }
            Act::Pass
        });
        let found = match tried(&chain, &all).await.remove(0) {
            Trial::Refused(reason, _) => Some(reason),
            Trial::Result(Paid::Failed) => None,
            other => panic!("{error}: {other:?}"),
        };
        assert_eq!(found, expected, "{error}");
    }
}

#[tokio::test]
async fn one_node_alone_neither_invents_nor_hides_a_record() {
    let shop = Shop::open(5).await;
    let [one, liar] = shop.local.proxies().await;
    let chain = connect(&[&one, &liar]).await;
    let token = shop.tokens[0];
    let request = shop.payment(token, 1, 1).await;
    shop.pay(&chain, &segments([&request])).await;
    let keys = [request.payment_key];
    let at = chain.confirmed(chain.head().await.unwrap()).await.unwrap().block;
    assert!(matches!(chain.records(token, &keys, at).await.unwrap()[..], [Record::Paid(_)]));

    let word = |word: U256| {
        json!(alloy::primitives::Bytes::from(chain::abi::MintToken::recordsOfCall::abi_encode_returns(&vec![word])))
    };
    for lie in [U256::ZERO, U256::from(2)] {
        let lie = word(lie);
        liar.change("eth_call", move |answer| answer["result"] = lie.clone());
        transient(chain.records(token, &keys, at).await);
    }
    // A node without the block, and an address without a token, say nothing about the payment.
    liar.rule(|method, _| match method {
        "eth_call" => Act::Answer(
            200,
            None,
            br#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32000,"message":"header not found"}}"#.to_vec(),
        ),
        _ => Act::Pass,
    });
    assert!(chain.records(token, &keys, at).await.is_err());
    liar.pass();
    transient(chain.records(Address::repeat_byte(9), &keys, at).await);
}

/// One call asks about a whole batch, and more than a thousand accounts in parts.
#[tokio::test]
async fn accounts_with_code_are_told_from_others_in_one_call() {
    let shop = Shop::open(5).await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let delegated = Address::repeat_byte(0x77);
    let code = serde_json::json!([delegated, "0xef0100f39fd6e51aad88f6f4ce6ab8827279cfffb92266"]);
    shop.local.rpc("anvil_setCode", code).await;
    let mut accounts: Vec<Address> =
        (0..1_100_u64).map(|n| Address::left_padding_from(&(n + 1_000).to_be_bytes())).collect();
    (accounts[0], accounts[999], accounts[1_050]) = (shop.tokens[0], delegated, shop.hub);
    let expected = [shop.tokens[0], delegated, shop.hub].into();
    assert_eq!(chain.with_code(&accounts).await.unwrap(), expected);
    assert!(
        chain.with_code(&accounts[1..99]).await.unwrap().is_empty() && chain.with_code(&[]).await.unwrap().is_empty()
    );
}
