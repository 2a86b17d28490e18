//! A shop of two tokens on a local chain, and payments to them.

use crate::common::{ACCOUNT, Local, signed};
use chain::token::{Delivered, Paid, Record, Segment, deliver_call, pay_call};
use chain::{Address, B256, Chain, Inclusion};
use dev_chain::{BASE_SEPOLIA_USDC, NewToken};
use domain::request::RequestFields;
use domain::{PaymentKey, PaymentRequest, Purchase, Quantity, Usdc};
use serde_json::json;

/// Price of a unit.
pub const PRICE: Usdc = Usdc(3);

/// The contracts, and two tokens. [`ACCOUNT`] has every seat of the factory.
pub struct Shop {
    pub local: Local,
    pub hub: Address,
    pub factory: Address,
    pub tokens: [Address; 2],
}

impl Shop {
    /// Tokens of `max_units` each.
    pub async fn open(max_units: u64) -> Self {
        let local = Local::start().await;
        let deployed = async {
            let hub = local.dev.hub(ACCOUNT, 0).await.unwrap();
            let factory = local.dev.factory(ACCOUNT, 1, BASE_SEPOLIA_USDC, hub, ACCOUNT).await.unwrap();
            let mut tokens = [Address::ZERO; 2];
            for (salt, token) in (1..).zip(&mut tokens) {
                let terms = NewToken {
                    name: "Demo".to_owned(),
                    symbol: "DEMO".to_owned(),
                    unit: 10,
                    max_units,
                    unit_price: PRICE,
                    creator: ACCOUNT,
                    fee: Usdc(0),
                    metadata_hash: B256::ZERO,
                    salt: B256::with_last_byte(salt),
                };
                let created = local.dev.create_token(ACCOUNT, factory, BASE_SEPOLIA_USDC, terms).await;
                *token = created.unwrap().token;
            }
            (hub, factory, tokens)
        };
        let mining = async {
            loop {
                local.mine(1).await;
            }
        };
        let (hub, factory, tokens) = tokio::select! { deployed = deployed => deployed, () = mining => unreachable!() };
        Self { local, hub, factory, tokens }
    }

    /// A payment for `units` of `token` by payer number `who`, who gets money for as many units.
    pub async fn payment(&self, token: Address, who: u8, units: u32) -> PaymentRequest {
        let request = Self::without_money(token, who, units);
        self.local.give_usdc(request.payer(), request.authorization.value).await;
        request
    }

    /// Such a payment of a payer who gets no money.
    pub fn without_money(token: Address, who: u8, units: u32) -> PaymentRequest {
        let quantity = Quantity::new(units).unwrap();
        let (authorization, signature) = signed(who, token, PRICE.times(quantity).unwrap());
        PaymentRequest::new(RequestFields {
            payment_key: PaymentKey::new(84_532, BASE_SEPOLIA_USDC, authorization.from, authorization.nonce),
            chain_id: 84_532,
            asset: BASE_SEPOLIA_USDC,
            authorization,
            signature,
            purchase: Purchase::Mint { token, quantity, unit_price: PRICE },
        })
        .unwrap()
    }

    /// Sends the payments as one of our lanes would, and returns the result of each.
    pub async fn pay(&self, chain: &Chain, segments: &[Segment<'_>]) -> Vec<Option<Paid>> {
        let call = pay_call(self.hub, segments);
        let tokens: Vec<Address> = segments.iter().flat_map(|part| part.requests.iter().map(|_| part.token)).collect();
        let hash = self.send(&call).await;
        match chain.inclusion(hash).await.unwrap() {
            Inclusion::Included(included) => included.paid(&tokens),
            Inclusion::Missing => panic!("not in a block"),
        }
    }

    pub async fn deliver(&self, chain: &Chain, token: Address, keys: &[PaymentKey]) -> Vec<Delivered> {
        let hash = self.send(&deliver_call(token, keys, &[])).await;
        match chain.inclusion(hash).await.unwrap() {
            Inclusion::Included(included) => {
                let results = included.delivered(token);
                assert_eq!(results.len(), keys.len());
                keys.iter().map(|key| results[key]).collect()
            }
            Inclusion::Missing => panic!("not in a block"),
        }
    }

    /// Sends a call from [`ACCOUNT`], and makes it three blocks deep.
    pub async fn send(&self, call: &chain::Call) -> B256 {
        let gas = format!("{:#x}", call.gas_limit);
        let sent = json!([{ "from": ACCOUNT, "to": call.target, "input": call.input, "gas": gas }]);
        let hash = self.local.rpc("eth_sendTransaction", sent).await.as_str().unwrap().parse().unwrap();
        self.local.mine(3).await;
        hash
    }

    pub async fn records(&self, chain: &Chain, token: Address, keys: &[PaymentKey]) -> Vec<Record> {
        let at = chain.confirmed(chain.head().await.unwrap()).await.unwrap();
        chain.records(token, keys, at.block).await.unwrap()
    }
}
