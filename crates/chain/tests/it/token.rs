//! A token that takes its own payments, on a real chain: what is sent is what the contracts read, and what they record
//! is what is read back.

use crate::common::{ACCOUNT, Act, Local, connect, transient};
use alloy::primitives::U256;
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolStruct, eip712_domain};
use chain::abi::UsdcDouble;
use chain::token::{Delivered, Paid, Record, Segment, Trial, deliver_call, pay_call, segments};
use chain::{Address, B256, Chain, Inclusion};
use dev_chain::{BASE_SEPOLIA_USDC, NewToken};
use domain::event::WaitReason;
use domain::request::{RequestFields, SignatureBytes};
use domain::{Authorization, PaymentKey, PaymentRequest, Purchase, Quantity, Usdc};
use serde_json::json;

const PRICE: Usdc = Usdc(3);

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

/// The contracts, and two tokens of five units each.
struct Shop {
    local: Local,
    hub: Address,
    tokens: [Address; 2],
}

impl Shop {
    async fn open() -> Self {
        let local = Local::start().await;
        let deployed = async {
            let hub = local.dev.hub(ACCOUNT, 0).await.unwrap();
            let factory = local.dev.token_factory(ACCOUNT, 1, BASE_SEPOLIA_USDC, hub).await.unwrap();
            let mut tokens = [Address::ZERO; 2];
            for (salt, token) in (1..).zip(&mut tokens) {
                let terms = NewToken {
                    name: "Demo".to_owned(),
                    symbol: "DEMO".to_owned(),
                    unit: 10,
                    max_units: 5,
                    unit_price: PRICE,
                    creator: ACCOUNT,
                };
                let salt = B256::with_last_byte(salt);
                *token = local.dev.deploy_token(ACCOUNT, factory, salt, terms).await.unwrap();
            }
            (hub, tokens)
        };
        let mining = async {
            loop {
                local.mine(1).await;
            }
        };
        let (hub, tokens) = tokio::select! { deployed = deployed => deployed, () = mining => unreachable!() };
        Self { local, hub, tokens }
    }

    /// A payment for `units` of `token` by payer number `who`, who gets money for as many units.
    async fn payment(&self, token: Address, who: u8, units: u32) -> PaymentRequest {
        let payer = PrivateKeySigner::from_bytes(&B256::with_last_byte(who)).unwrap();
        let (from, nonce) = (payer.address(), B256::repeat_byte(who));
        let quantity = Quantity::new(units).unwrap();
        let value = PRICE.times(quantity).unwrap();
        let fund = UsdcDouble::mintCall { to: from, amount: U256::from(value.0) }.abi_encode();
        self.local.transact(BASE_SEPOLIA_USDC, fund.into()).await;
        let valid_before = 4_000_000_000;
        let message = TransferWithAuthorization {
            from,
            to: token,
            value: U256::from(value.0),
            validAfter: U256::ZERO,
            validBefore: U256::from(valid_before),
            nonce,
        };
        let domain = eip712_domain! {
            name: "USDC", version: "2", chain_id: 84_532, verifying_contract: BASE_SEPOLIA_USDC,
        };
        let signed = payer.sign_hash_sync(&message.eip712_signing_hash(&domain)).unwrap();
        let mut signature = SignatureBytes::from_slice(&signed.as_bytes());
        signature[64] = 27 + u8::from(signed.v());
        PaymentRequest::new(RequestFields {
            payment_key: PaymentKey::new(84_532, BASE_SEPOLIA_USDC, from, nonce),
            chain_id: 84_532,
            asset: BASE_SEPOLIA_USDC,
            authorization: Authorization { from, to: token, value, valid_after: 0, valid_before, nonce },
            signature,
            purchase: Purchase::Mint { token, quantity, unit_price: PRICE },
        })
        .unwrap()
    }

    /// Sends the payments as one of our lanes would, and returns the result of each.
    async fn pay(&self, chain: &Chain, segments: &[Segment<'_>]) -> Vec<Paid> {
        let call = pay_call(self.hub, segments);
        let tokens: Vec<Address> = segments.iter().flat_map(|part| part.requests.iter().map(|_| part.token)).collect();
        let hash = self.send(&call).await;
        match chain.inclusion(hash).await.unwrap() {
            Inclusion::Included(included) => included.paid(&tokens),
            Inclusion::Missing => panic!("not in a block"),
        }
    }

    async fn deliver(&self, chain: &Chain, token: Address, keys: &[PaymentKey]) -> Vec<Delivered> {
        let hash = self.send(&deliver_call(token, keys)).await;
        match chain.inclusion(hash).await.unwrap() {
            Inclusion::Included(included) => included.delivered(token, keys).unwrap(),
            Inclusion::Missing => panic!("not in a block"),
        }
    }

    async fn send(&self, call: &chain::Call) -> B256 {
        let gas = format!("{:#x}", call.gas_limit);
        let sent = json!([{ "from": ACCOUNT, "to": call.target, "input": call.input, "gas": gas }]);
        let hash = self.local.rpc("eth_sendTransaction", sent).await.as_str().unwrap().parse().unwrap();
        self.local.mine(3).await;
        hash
    }

    async fn records(&self, chain: &Chain, token: Address, keys: &[PaymentKey]) -> Vec<Record> {
        let at = chain.confirmed(chain.head().await.unwrap()).await.unwrap();
        chain.records(token, keys, at.block).await.unwrap()
    }
}

#[tokio::test]
async fn payments_to_two_tokens_are_made_in_one_transaction_recorded_and_delivered() {
    let shop = Shop::open().await;
    let node = shop.local.proxy().await;
    let chain = connect(&[&node]).await;
    let [one, two] = shop.tokens;
    let (a, b, c) = (shop.payment(one, 1, 2).await, shop.payment(two, 2, 5).await, shop.payment(one, 3, 3).await);
    let all = segments([&a, &b, &c]);
    let order: Vec<_> = all.iter().flat_map(|part| part.requests.iter().map(|request| request.id())).collect();
    assert_eq!(order, [a.id(), c.id(), b.id()], "those of one token stand together");
    assert_eq!(pay_call(shop.hub, &all).items, order);
    assert_eq!(pay_call(shop.hub, &segments([&a])).target, one, "one token is called directly");
    let recorded = Trial::Result(Paid::Recorded);
    assert_eq!(chain.try_pay(ACCOUNT, &all).await.unwrap(), vec![recorded; 3]);

    let keys = [a.payment_key, c.payment_key];
    assert_eq!(shop.records(&chain, one, &keys).await, [Record::Absent; 2]);
    assert_eq!(shop.pay(&chain, &all).await, [Paid::Recorded; 3]);
    let found = shop.records(&chain, one, &keys).await;
    for (record, request) in found.iter().zip([&a, &c]) {
        let Record::Paid(paid) = record else { panic!("{record:?}") };
        let Purchase::Mint { quantity, .. } = request.purchase;
        assert_eq!((paid.payer, paid.units), (request.payer(), quantity.get()));
        assert!(paid.paid_at > 0);
    }
    assert_eq!(shop.pay(&chain, &all).await, [Paid::Known; 3], "charged once");

    let unknown = PaymentKey(B256::ZERO);
    let delivered = shop.deliver(&chain, one, &[a.payment_key, unknown]).await;
    assert_eq!(delivered, [Delivered::Minted, Delivered::NoRecord]);
    assert_eq!(shop.deliver(&chain, one, &[a.payment_key]).await, [Delivered::MintedBefore]);
    let found = shop.records(&chain, one, &keys).await;
    assert!(matches!(found[..], [Record::Minted(_), Record::Paid(_)]), "{found:?}");
    assert_eq!(shop.local.dev.token_balance(one, a.payer()).await.unwrap(), U256::from(20));
}

#[tokio::test]
async fn what_cannot_be_paid_is_told_apart_before_and_after_it_is_sent() {
    let shop = Shop::open().await;
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
    let tried = chain.try_pay(ACCOUNT, &all).await.unwrap();
    assert_eq!(tried[..2], [Trial::Result(Paid::Recorded), Trial::Result(Paid::SoldOut)]);
    assert!(matches!(&tried[2], Trial::Refused(WaitReason::Unfunded, _)), "{:?}", tried[2]);
    assert_eq!(shop.pay(&chain, &all).await, [Paid::Recorded, Paid::SoldOut, Paid::Failed]);
    let keys = [good.payment_key, large.payment_key, poor.payment_key];
    let found = shop.records(&chain, token, &keys).await;
    assert!(matches!(found[..], [Record::Paid(_), Record::Absent, Record::Absent]), "{found:?}");
}

#[tokio::test]
async fn one_node_alone_neither_invents_nor_hides_a_record() {
    let shop = Shop::open().await;
    let [one, liar] = shop.local.proxies().await;
    let chain = connect(&[&one, &liar]).await;
    let token = shop.tokens[0];
    let request = shop.payment(token, 1, 1).await;
    shop.pay(&chain, &segments([&request])).await;
    let keys = [request.payment_key];
    let at = chain.confirmed(chain.head().await.unwrap()).await.unwrap().block;
    assert!(matches!(chain.records(token, &keys, at).await.unwrap()[..], [Record::Paid(_)]));

    let word = |word: U256| {
        json!(alloy::primitives::Bytes::from(chain::abi::next::MintToken::recordsOfCall::abi_encode_returns(&vec![
            word
        ])))
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
