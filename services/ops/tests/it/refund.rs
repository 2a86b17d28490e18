//! `ops refund` on a real ledger: written once, at the stages at which money may go back, and refused with a reason elsewhere.

use domain::order::{Command, Stage, decide, evolve};
use domain::{Event, Order, OrderEvent, PaymentId, PaymentKey, PaymentRequest, examples};
use ledger::{Expected, Ledger, NewEvent};
use ops::{NotAsked, RefundAsked, refund};
use testkit::Broker;

const WHY: &str = "the buyer wrote to us";

fn request(nth: u8) -> PaymentRequest {
    let mut request = examples::request().into_fields();
    request.authorization.nonce[31] = nth;
    request.payment_key =
        PaymentKey::new(examples::CHAIN_ID, examples::ASSET, examples::PAYER, request.authorization.nonce);
    PaymentRequest::new(request).unwrap()
}

/// Writes an order that has gone through `commands`.
async fn write(ledger: &Ledger, nth: u8, commands: Vec<Command>) -> PaymentId {
    let (request, mut version) = (request(nth), 0);
    let id = request.id();
    let mut order: Option<Order> = None;
    for command in std::iter::once(Command::Request(Box::new(request))).chain(commands) {
        let event = decide(order.as_ref(), command).unwrap().unwrap();
        order = evolve(order, &event).unwrap();
        let (event, expected) = (Event::Order(id, event), Expected::Version(version));
        version = ledger.append(&[NewEvent { event, expected, trace: None }]).await.unwrap()[0];
    }
    id
}

async fn refund_requests(ledger: &Ledger, id: PaymentId) -> Vec<domain::event::RefundRequest> {
    let history = ledger.order_history(id).await.unwrap();
    let events = history.into_iter().filter_map(|recorded| match recorded.event.unwrap() {
        Event::Order(_, OrderEvent::RefundRequested(request)) => Some(request),
        _ => None,
    });
    events.collect()
}

#[tokio::test]
async fn a_refund_is_asked_for_once_at_the_stages_at_which_money_may_go_back() {
    let broker = Broker::with_accounts().await;
    let (ledger, config) = (broker.ledger("ops").await, broker.config("ops"));
    let paid = || Command::Confirm(examples::own_proof());
    let minting = || Command::SubmitMint(examples::submission(8));
    let paths = [
        vec![paid()],
        vec![paid(), Command::DeferMint(examples::deferral())],
        vec![paid(), minting(), Command::ParkMint(examples::parked())],
        vec![Command::Park(examples::parked_payment())],
    ];
    for (nth, commands) in (1..).zip(paths) {
        let id = write(&ledger, nth, commands).await;
        // Two people at the same time, and one of them again.
        let (one, other) = tokio::join!(refund(&config, id, "alice", WHY), refund(&config, id, "bob", WHY));
        let mut both = [one.unwrap(), other.unwrap()];
        both.sort_by_key(|asked| *asked != RefundAsked::Now);
        assert_eq!(both, [RefundAsked::Now, RefundAsked::Before(Stage::RefundRequested)], "{nth}");
        assert_eq!(refund(&config, id, "bob", WHY).await.unwrap(), RefundAsked::Before(Stage::RefundRequested));
        let written = refund_requests(&ledger, id).await;
        assert_eq!(written.len(), 1, "{nth}");
        assert!(["alice", "bob"].contains(&written[0].by.as_str()) && written[0].detail == WHY);
    }
    let refunded = vec![paid(), Command::ConfirmRefund(examples::refunded())];
    let taken = write(&ledger, 9, refunded).await;
    let asked = refund(&config, taken, "alice", WHY).await.unwrap();
    assert_eq!(asked, RefundAsked::Before(Stage::Refunded), "its payer took the money back");
}

#[tokio::test]
async fn a_refund_that_is_not_possible_is_refused_with_the_reason_and_nothing_is_written() {
    let broker = Broker::with_accounts().await;
    let (ledger, config) = (broker.ledger("ops").await, broker.config("ops"));
    let paid = || Command::Confirm(examples::own_proof());
    let settling = || Command::Submit(examples::submission(7));
    let minting = || Command::SubmitMint(examples::submission(8));
    let cases = [
        (vec![], "requested", "not charged yet"),
        (vec![Command::Defer(examples::deferral())], "deferred", "not charged yet"),
        (vec![settling()], "settling", "try again"),
        (vec![settling(), paid(), Command::Revert(examples::reversal(7))], "reverted", "fell out of the chain"),
        (vec![Command::Fail(examples::failure())], "failed", "never charged"),
        (vec![paid(), minting()], "minting", "try again"),
        (vec![paid(), Command::ConfirmMint(examples::minted())], "minted", "the units are minted"),
    ];
    for (nth, (commands, stage, words)) in (1..).zip(cases) {
        let id = write(&ledger, nth, commands).await;
        let refused = refund(&config, id, "alice", WHY).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("the order is {stage}: ")) && refused.contains(words), "{refused}");
        assert_eq!(refund_requests(&ledger, id).await, []);
    }
    let before = ledger.state().await.unwrap();
    let nobody = request(99).id();
    let unknown = refund(&config, nobody, "alice", WHY).await;
    assert!(matches!(unknown, Err(NotAsked::Unknown(id)) if id == nobody), "{unknown:?}");
    for (by, why) in [(" ", WHY), ("alice", ""), ("alice", &"a".repeat(201)), (&"a".repeat(101), WHY)] {
        let refused = refund(&config, nobody, by, why).await;
        assert!(matches!(refused, Err(NotAsked::Text { .. })), "{refused:?}");
    }
    assert_eq!(ledger.state().await.unwrap(), before);
}
