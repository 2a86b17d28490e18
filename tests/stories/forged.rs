//! Somebody can write to the ledger who is not one of us. Every stage checks again, so a forged event moves nothing.

use alloy_primitives::U256;
use domain::event::PaymentProof;
use domain::order::Command;
use domain::{Event, OrderEvent, order};
use harness::{Buyer, DOLLAR, FINAL, Order, Payment, Service, Stack, StackOptions, eventually};
use ledger::{Expected, Ledger, NewEvent};
use runtime::failpoint::SKIPPED_MINT_NOT_RECORDED;
use standalone::Shop;

pub async fn ledger(stack: &Stack) -> Ledger {
    Ledger::connect(&Shop::ledger(&stack.servers), "/paymint/api").await.unwrap()
}

/// The order as the API would have written it, had it taken this payment.
pub fn requested(payment: &Payment) -> Event {
    let auth = &payment.transfer.authorization;
    let fields = domain::RequestFields {
        payment_key: payment.key(),
        chain_id: payment.terms.chain_id,
        asset: payment.terms.asset,
        authorization: auth.clone(),
        signature: domain::SignatureBytes::new(payment.transfer.signature),
        purchase: domain::Purchase::Mint {
            token: payment.terms.token,
            quantity: domain::Quantity::new(payment.quantity).unwrap(),
            unit_price: payment.terms.unit_price,
        },
    };
    let request = domain::PaymentRequest::new(fields).unwrap();
    Event::Order(payment.id(), OrderEvent::PaymentRequested(Box::new(request)))
}

/// R5: the token has no record of the payment, whatever the ledger says. The mint waits, and is parked once the block of
/// the false proof is final, also if the minter is killed before that is written (C22).
#[tokio::test(flavor = "multi_thread")]
async fn r5_c22_a_forged_confirmation_mints_nothing_and_is_parked_once() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let payer = stack.buyer(DOLLAR).await;
    let honest = stack.buy(&payer, 5).await;
    stack.until(&honest, "mint.confirmed").await;
    let real: PaymentProof = {
        let confirmed = stack.until(&honest, "payment.confirmed").await;
        serde_json::from_value(confirmed.body["data"].clone()).unwrap()
    };

    // Nobody settles meanwhile, so that the forger is first.
    stack.kill(Service::PaymentSender);
    let penniless = Buyer::new();
    let robbed = stack.buy(&penniless, 5).await;
    let ledger = ledger(&stack).await;
    let loaded = ledger.load_order(robbed.id).await.unwrap();
    let event = order::decide(loaded.state.as_ref(), Command::Confirm(real)).unwrap().unwrap();
    let event = Event::Order(robbed.id, event);
    ledger.append(&[NewEvent { event, expected: Expected::Version(loaded.version), trace: None }]).await.unwrap();

    assert_eq!(stack.until(&robbed, "mint.deferred.1").await.text("reason"), "unpaid");
    stack.kill(Service::MintProjector);
    stack.run_with(Service::MintProjector, &[("PAYMINT_KILL_AT", SKIPPED_MINT_NOT_RECORDED.name())]).await;
    stack.chain.mine(FINAL).await;
    stack.until_killed(Service::MintProjector, SKIPPED_MINT_NOT_RECORDED.name()).await;
    assert!(stack.stream.on(&robbed.subject("mint.parked.1")).await.is_none());
    stack.run(Service::MintProjector).await;
    let parked = stack.until(&robbed, "mint.parked.1").await;
    assert_eq!(parked.text("reason"), "inconsistent");
    assert_eq!(stack.chain.tokens_of(robbed.token, penniless.address).await, U256::ZERO);
    stack.run(Service::PaymentSender).await;
    let orders = [honest, robbed.ends(harness::Outcome::Parked("inconsistent"))];
    stack.audit_but(&orders, &[("A02", "charged, says the ledger")]).await;
}

/// R5: a request that was never signed for, or not at this price, is not sent and is set aside.
#[tokio::test(flavor = "multi_thread")]
async fn r5_a_forged_request_is_not_sent_and_is_set_aside() {
    let stack = Stack::start(StackOptions::default()).await;
    let terms = stack.shop.token.clone();
    let victims = stack.buyers(2, DOLLAR).await;
    let ledger = ledger(&stack).await;

    let mut unsigned = victims[0].pay(&terms, 5);
    unsigned.transfer.authorization.nonce = alloy_primitives::B256::repeat_byte(9);
    let mut cheap_terms = terms.clone();
    cheap_terms.unit_price = domain::Usdc(1);
    let cheap = victims[1].pay(&cheap_terms, 5);
    for payment in [&unsigned, &cheap] {
        let event = requested(payment);
        let written = ledger.append(&[NewEvent { event, expected: Expected::Version(0), trace: None }]).await.unwrap();
        let subject = format!("ops.parked.payment-sender-{}", written[0]);
        let set_aside = async || stack.stream.on(&subject).await;
        let set_aside = eventually("the forged request is set aside", set_aside).await;
        assert!(set_aside.text("reason").starts_with("not sent"), "{}", set_aside.body);
        assert!(stack.stream.on(&Order::of(payment).subject("payment.submitted.1")).await.is_none());
    }
    for victim in &victims {
        assert_eq!(stack.chain.usdc_of(terms.asset, victim.address).await, U256::from(DOLLAR));
    }
}
