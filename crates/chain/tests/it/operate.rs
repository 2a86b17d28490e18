//! Money outside the ordinary way, on a real chain: what an operator of the factory records and returns, and the result that
//! the token gives where it does neither.

use crate::common::shop::{PRICE, Shop};
use crate::common::{ACCOUNT, connect, signed};
use alloy::primitives::U256;
use alloy::sol_types::SolCall;
use chain::abi::UsdcDouble;
use chain::token::{Deed, Delivered, Operated, Record, operate_call, segments};
use chain::{Address, B256, Chain};
use dev_chain::BASE_SEPOLIA_USDC;
use domain::event::{Purpose, WaitReason};
use domain::request::SignatureBytes;
use domain::{Authorization, PaymentRequest};

/// Submits an authorization to USDC directly.
async fn submit(shop: &Shop, auth: &Authorization, signature: &SignatureBytes) {
    let call = UsdcDouble::transferWithAuthorization_1Call {
        from: auth.from,
        to: auth.to,
        value: U256::from(auth.value.0),
        validAfter: U256::from(auth.valid_after),
        validBefore: U256::from(auth.valid_before),
        nonce: auth.nonce,
        v: signature[64],
        r: B256::from_slice(&signature[..32]),
        s: B256::from_slice(&signature[32..64]),
    };
    shop.local.transact(BASE_SEPOLIA_USDC, call.abi_encode().into()).await;
}

/// A payment for `units` of `token` by payer number `who`, submitted around the token.
pub async fn around(shop: &Shop, token: Address, who: u8, units: u32) -> PaymentRequest {
    let request = shop.payment(token, who, units).await;
    submit(shop, &request.authorization, &request.signature).await;
    request
}

/// The results of a deed for payments to one token, first tried and then sent.
pub async fn operate(shop: &Shop, chain: &Chain, deed: Deed, requests: &[&PaymentRequest]) -> Vec<Operated> {
    let token = requests[0].authorization.to;
    let tried = chain.try_operate(ACCOUNT, token, deed, requests).await.unwrap();
    let call = operate_call(token, deed, requests);
    assert_eq!((call.target, call.purpose), (token, Purpose::Operate));
    assert_eq!(call.items, requests.iter().map(|request| request.id()).collect::<Vec<_>>());
    shop.send(&call).await;
    tried
}

async fn record(shop: &Shop, chain: &Chain, request: &PaymentRequest) -> Record {
    shop.records(chain, request.authorization.to, &[request.payment_key]).await[0]
}

async fn held(shop: &Shop, request: &PaymentRequest) -> U256 {
    shop.local.dev.usdc_balance(BASE_SEPOLIA_USDC, request.payer()).await.unwrap()
}

#[tokio::test]
async fn a_payment_around_the_token_is_recorded_or_returned_once_and_a_recorded_one_is_refunded_once() {
    let shop = Shop::open(5).await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let token = shop.tokens[0];
    let (a, b) = (around(&shop, token, 1, 3).await, around(&shop, token, 2, 2).await);
    let (late, unspent) = (around(&shop, token, 3, 1).await, shop.payment(token, 4, 1).await);

    let credited = operate(&shop, &chain, Deed::Credit, &[&a, &b, &late, &unspent]).await;
    assert_eq!(credited, [Operated::Done, Operated::Done, Operated::SoldOut, Operated::NotThere]);
    let Record::Paid(paid) = record(&shop, &chain, &a).await else { panic!("not recorded") };
    assert_eq!((paid.payer, paid.units), (a.payer(), 3));
    assert_eq!([record(&shop, &chain, &late).await, record(&shop, &chain, &unspent).await], [Record::Absent; 2]);
    let again = chain.try_operate(ACCOUNT, token, Deed::Credit, &[&a]).await.unwrap();
    assert_eq!(again, [Operated::Known], "recorded once");

    let returned = operate(&shop, &chain, Deed::GiveBack, &[&late, &unspent, &a]).await;
    assert_eq!(returned, [Operated::Done, Operated::NotThere, Operated::Known]);
    assert!(matches!(record(&shop, &chain, &late).await, Record::GivenBack(_)));
    assert_eq!(held(&shop, &late).await, U256::from(PRICE.0));
    let again = chain.try_operate(ACCOUNT, token, Deed::GiveBack, &[&late]).await.unwrap();
    assert_eq!(again, [Operated::Known], "returned once");

    let refunded = operate(&shop, &chain, Deed::Refund, &[&a, &unspent]).await;
    assert_eq!(refunded, [Operated::Done, Operated::NotThere]);
    assert!(matches!(record(&shop, &chain, &a).await, Record::Refunded(_)));
    assert_eq!(held(&shop, &a).await, U256::from(3 * PRICE.0));
    assert_eq!(shop.deliver(&chain, token, &[b.payment_key]).await, [Delivered::Minted]);
    let ended = chain.try_operate(ACCOUNT, token, Deed::Refund, &[&a, &b]).await.unwrap();
    assert_eq!(ended, [Operated::Known; 2], "refunded before, and minted before");
}

#[tokio::test]
async fn what_an_operator_cannot_return_is_told_apart_and_the_asset_says_why() {
    let shop = Shop::open(9).await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let token = shop.tokens[0];
    let (recorded, outside) = (shop.payment(token, 1, 1).await, around(&shop, token, 2, 1).await);
    shop.pay(&chain, &segments([&recorded])).await;
    for request in [&recorded, &outside] {
        let call = UsdcDouble::blacklistCall { account: request.payer() }.abi_encode();
        shop.local.transact(BASE_SEPOLIA_USDC, call.into()).await;
    }
    let refused = [Operated::AssetRefused];
    assert_eq!(operate(&shop, &chain, Deed::Refund, &[&recorded]).await, refused);
    assert_eq!(operate(&shop, &chain, Deed::GiveBack, &[&outside]).await, refused);
    assert!(matches!(record(&shop, &chain, &recorded).await, Record::Paid(_)), "the record stands");
    assert_eq!(record(&shop, &chain, &outside).await, Record::Absent);
    let (reason, text) = chain.why_not_back(&recorded).await.unwrap();
    assert!(reason == WaitReason::Blacklisted && text.contains("blacklisted"), "{reason:?}: {text}");
    assert_eq!(operate(&shop, &chain, Deed::Credit, &[&outside]).await, [Operated::Done], "units need no transfer");

    // The nonce is spent, for another transfer, and no surplus is left.
    let elsewhere = shop.payment(token, 3, 1).await;
    let (authorization, signature) = signed(3, ACCOUNT, PRICE);
    submit(&shop, &authorization, &signature).await;
    for deed in [Deed::Credit, Deed::GiveBack] {
        let tried = chain.try_operate(ACCOUNT, token, deed, &[&elsewhere]).await.unwrap();
        assert_eq!(tried, [Operated::BeyondSurplus], "{deed:?}");
    }
    let (reason, _) = chain.why_not_back(&elsewhere).await.unwrap();
    assert_eq!(reason, WaitReason::Unexplained, "the asset would pay");
}

#[tokio::test]
async fn an_account_that_is_no_operator_is_refused_as_a_whole() {
    let shop = Shop::open(9).await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let (token, stranger) = (shop.tokens[0], Address::repeat_byte(9));
    let (recorded, outside) = (shop.payment(token, 1, 1).await, around(&shop, token, 2, 1).await);
    shop.pay(&chain, &segments([&recorded])).await;
    for deed in [Deed::Credit, Deed::GiveBack] {
        let refused = chain.try_operate(stranger, token, deed, &[&outside]).await.unwrap_err();
        assert!(refused.is_failed_call(), "{deed:?}: {refused}");
    }
    let refund = chain.try_operate(stranger, token, Deed::Refund, &[&recorded]).await.unwrap();
    assert_eq!(refund, [Operated::BeyondSurplus], "a payer may refund, after a week, so the call as such is allowed");
    assert!(chain.is_operator(shop.factory, ACCOUNT).await.unwrap());
    assert!(!chain.is_operator(shop.factory, stranger).await.unwrap());
    assert!(chain.is_operator(stranger, ACCOUNT).await.is_err(), "no factory there");
}
