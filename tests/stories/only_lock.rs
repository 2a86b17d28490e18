//! The expected version is the only lock (D16): of two who have read the same past, one writes.

use chrono::{TimeDelta, Utc};
use domain::event::Deferral;
use domain::order::Command;
use domain::{Event, Order, PaymentId, examples, order};
use futures_util::future::join_all;
use harness::{DOLLAR, Service, Stack, StackOptions};
use ledger::{AppendError, Batch, Expected, Ledger, Loaded, NewEvent};
use standalone::Shop;

/// The event that `command` makes of the loaded order.
fn event(id: PaymentId, loaded: &Loaded<Order>, command: Command) -> NewEvent {
    let event = order::decide(loaded.state.as_ref(), command).unwrap().unwrap();
    NewEvent { event: Event::Order(id, event), expected: Expected::Version(loaded.version), trace: None }
}

/// An order that nobody works on: no service runs.
async fn some_order(ledger: &Ledger, nonce: u8) -> (PaymentId, Loaded<Order>) {
    let mut request = examples::request().into_fields();
    request.authorization.nonce = alloy_primitives::B256::repeat_byte(nonce);
    let auth = &request.authorization;
    request.payment_key = domain::PaymentKey::new(request.chain_id, request.asset, auth.from, auth.nonce);
    let id = request.id();
    let new = event(id, &Loaded::default(), Command::Request(Box::new(domain::PaymentRequest::new(request).unwrap())));
    ledger.append(&[new]).await.unwrap();
    (id, ledger.load_order(id).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn d16_of_contradicting_events_on_one_past_exactly_one_is_written() {
    let stack = Stack::start(StackOptions::empty()).await;
    let config = Shop::ledger(&stack.servers);
    let writers = join_all((0..4).map(|_| Ledger::connect(&config, "/paymint/confirmer"))).await;
    let writers: Vec<Ledger> = writers.into_iter().map(Result::unwrap).collect();
    for round in 1..=20 {
        let (id, past) = some_order(&writers[0], round).await;
        let commands = [
            Command::Confirm(examples::proof()),
            Command::Fail(examples::failure()),
            Command::Submit(examples::submission(1)),
            Command::Defer(examples::deferral()),
        ];
        let appends = writers.iter().zip(commands).map(|(writer, command)| {
            let new = event(id, &past, command);
            async move { writer.append(&[new]).await }
        });
        let answers = join_all(appends).await;
        let written = answers.iter().filter(|answer| answer.is_ok()).count();
        let refused = answers.iter().filter(|answer| matches!(answer, Err(AppendError::WrongVersion))).count();
        assert_eq!((written, refused), (1, 3), "{answers:?}");
        assert_eq!(writers[0].order_history(id).await.unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d16_a_batch_with_one_stale_expectation_is_refused_whole_and_the_same_append_twice_is_one() {
    let stack = Stack::start(StackOptions::empty()).await;
    let ledger = Ledger::connect(&Shop::ledger(&stack.servers), "/paymint/confirmer").await.unwrap();
    let (fresh, its_past) = some_order(&ledger, 1).await;
    let (moved, its_old_past) = some_order(&ledger, 2).await;
    let moving = event(moved, &its_old_past, Command::Submit(examples::submission(1)));
    let first = ledger.append(moving.clone()).await.unwrap();
    assert_eq!(ledger.append(moving.clone()).await.unwrap(), first, "a retry finds its own first try");

    let last = stack.stream.last_seq().await;
    let good = event(fresh, &its_past, Command::Submit(examples::submission(2)));
    let stale = event(moved, &its_old_past, Command::Defer(examples::deferral()));
    for batch in [[good.clone(), stale.clone()], [stale, good.clone()]] {
        assert!(matches!(ledger.append(Batch::unordered(batch)).await, Err(AppendError::WrongVersion)));
        assert_eq!(stack.stream.last_seq().await, last, "nothing of it is stored");
    }
    assert_eq!(ledger.append(&[good]).await.unwrap(), [last + 1]);
}

/// The sender takes a new order as its message tells it. Of these three, two have moved on before their messages are
/// delivered for the first time, so the ledger refuses the first try, and the second reads them. They wait for a moment,
/// so that no other message makes the first try read them.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_moved_on_before_its_message_came_is_charged_once_and_holds_up_no_other() {
    let mut stack = Stack::start(StackOptions::one_lane_later()).await;
    let ledger = Ledger::connect(&Shop::ledger(&stack.servers), "/paymint/confirmer").await.unwrap();
    let mut orders = Vec::new();
    for buyer in &stack.buyers(3, DOLLAR).await {
        orders.push(stack.buy(buyer, 1).await);
    }
    for order in &orders[..2] {
        let id = order.id.to_string().parse().unwrap();
        let deferral = Deferral { retry_at: Utc::now() + TimeDelta::seconds(3), ..examples::deferral() };
        ledger.append(event(id, &ledger.load_order(id).await.unwrap(), Command::Defer(deferral))).await.unwrap();
    }
    stack.run(Service::PaymentSender).await;
    stack.audit(&orders).await;
}

/// A batch may hold two messages of one order, and a batch may need more than one request to the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_asked_for_twice_among_many_is_folded_once() {
    let stack = Stack::start(StackOptions::empty()).await;
    let ledger = Ledger::connect(&Shop::ledger(&stack.servers), "/paymint/confirmer").await.unwrap();
    let mut ids = Vec::new();
    for nonce in 0..100 {
        ids.push(some_order(&ledger, nonce).await.0);
    }
    ids.push(ids[0]);
    for (id, loaded) in ledger.load_orders(&ids).await.unwrap() {
        assert!(loaded.is_ok(), "{id}: {loaded:?}");
    }
}
