//! The standing of many payers in one call.

use crate::common::shop::Shop;
use crate::common::{ACCOUNT, Act, connect};
use crate::evidence::refusal;
use chain::token::{Trial, segments};
use chain::{Address, B256, BILLS_MAX, BillStanding};
use domain::event::WaitReason;
use domain::{Bill, Usdc};

fn standing(is_funded: bool, is_used: bool) -> Option<BillStanding> {
    Some(BillStanding { is_funded, is_used })
}

#[tokio::test]
async fn one_call_tells_who_has_the_money_and_whose_nonce_is_used() {
    let shop = Shop::open(5).await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let (paid, unpaid) = (shop.payment(shop.tokens[0], 1, 1).await, shop.payment(shop.tokens[0], 2, 1).await);
    shop.pay(&chain, &segments([&paid])).await;
    let (paid, unpaid) = (Bill::of(&paid), Bill::of(&unpaid));
    let stranger = Bill { payer: Address::repeat_byte(9), ..unpaid };
    let dear = Bill { value: Usdc(unpaid.value.0 + 1), ..unpaid };
    let other_nonce = Bill { nonce: B256::repeat_byte(7), ..paid };
    let bills = [paid, unpaid, stranger, dear, other_nonce, Bill { value: Usdc(0), ..stranger }];
    let expected = [
        standing(false, true),
        standing(true, false),
        standing(false, false),
        standing(false, false),
        standing(false, false),
        standing(true, false),
    ];
    node.methods();
    assert_eq!(chain.standings(&bills).await.unwrap(), expected);
    let at = chain.confirmed(chain.head().await.unwrap()).await.unwrap();
    assert_eq!(chain.standings_after(&bills, at.block).await.unwrap(), expected);
    assert_eq!(chain.standings(&[]).await.unwrap(), []);
    let many = vec![bills[1]; BILLS_MAX];
    node.methods();
    assert_eq!(chain.standings(&many).await.unwrap(), vec![expected[1]; BILLS_MAX]);
    assert_eq!(node.methods(), ["eth_call"]);
}

/// A hundred payers without money cost a trial, and one call for their reasons.
#[tokio::test]
async fn payers_without_money_are_found_by_one_call_and_the_others_are_asked_for_one_by_one() {
    let shop = Shop::open(5).await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let token = shop.tokens[0];
    let mut requests = vec![shop.payment(token, 1, 1).await];
    requests.extend((2..5).map(|who| Shop::without_money(token, who, 1)));
    requests.push(shop.payment(token, 5, 1).await);
    let all = segments(&requests);
    let reasons = async || {
        let trials = chain.try_pay(ACCOUNT, &all).await.pop().unwrap().unwrap();
        let reason = |trial: &Trial| match trial {
            Trial::Refused(reason, _) => Some(*reason),
            Trial::Result(_) => None,
        };
        trials.iter().map(reason).collect::<Vec<_>>()
    };
    let unfunded = Some(WaitReason::Unfunded);
    let expected = [None, unfunded, unfunded, unfunded, None];
    node.methods();
    assert_eq!(reasons().await, expected);
    assert_eq!(node.methods(), ["eth_call"; 2]);
    // A node that runs no call without a target.
    node.rule(|method, params| match method {
        "eth_call" if params[0]["to"].is_null() => refusal(-32602, "missing to"),
        _ => Act::Pass,
    });
    assert_eq!(reasons().await, expected);
    assert_eq!(node.methods().len(), 2 + 3);
}
