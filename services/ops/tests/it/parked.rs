//! `ops parked` on a real ledger: what waits is named, and is redriven once however many people say so.

use alloy_primitives::B256;
use domain::order::{Command, Stage, decide, evolve};
use domain::{Event, OpsEvent, Order, PaymentId, PaymentKey, PaymentRequest, examples};
use ledger::{Expected, Ledger, NewEvent};
use ops::{NotRedriven, ParkedName, RedriveAsked, parked_list, parked_show, redrive};
use testkit::Broker;

const WHY: &str = "the token is registered now";

/// Writes order number `nth`, which has gone through `commands`. Returns its id and the sequence of its first event.
async fn write(ledger: &Ledger, nth: u8, commands: Vec<Command>) -> (PaymentId, u64) {
    let mut fields = examples::request().into_fields();
    fields.authorization.nonce = B256::with_last_byte(nth);
    let nonce = fields.authorization.nonce;
    fields.payment_key = PaymentKey::new(examples::CHAIN_ID, examples::ASSET, examples::PAYER, nonce);
    let request = PaymentRequest::new(fields).unwrap();
    let (id, mut order, mut version, mut first) = (request.id(), None::<Order>, 0, 0);
    for command in std::iter::once(Command::Request(Box::new(request))).chain(commands) {
        let event = decide(order.as_ref(), command).unwrap().unwrap();
        order = evolve(order, &event).unwrap();
        let (event, expected) = (Event::Order(id, event), Expected::Version(version));
        version = ledger.append(&[NewEvent { event, expected, trace: None }]).await.unwrap()[0];
        first = if first == 0 { version } else { first };
    }
    (id, first)
}

fn paid() -> Command {
    Command::Confirm(examples::own_proof())
}

#[tokio::test]
async fn a_message_that_was_set_aside_is_listed_and_redriven_once_by_two_people() {
    let broker = Broker::with_accounts().await;
    let (ledger, config) = (broker.ledger("ops").await, broker.config("ops"));
    assert_eq!(parked_list(&config).await.unwrap(), []);
    let (id, seq) = write(&ledger, 1, vec![]).await;
    let (moved_on, other) = write(&ledger, 2, vec![]).await;
    for seq in [seq, other] {
        broker
            .ledger("payment-sender")
            .await
            .set_aside("payment-sender", seq, "the token is not registered")
            .await
            .unwrap();
    }
    // Its order goes on by itself.
    let loaded = ledger.load_order(moved_on).await.unwrap();
    let event = decide(loaded.state.as_ref(), Command::Defer(examples::deferral())).unwrap().unwrap();
    let (event, expected) = (Event::Order(moved_on, event), Expected::Version(loaded.version));
    ledger.append(&[NewEvent { event, expected, trace: None }]).await.unwrap();

    let items = parked_list(&config).await.unwrap();
    let name: ParkedName = format!("payment-sender-{seq}").parse().unwrap();
    assert_eq!(items.iter().map(|item| &item.name).collect::<Vec<_>>(), [&name]);
    let shown = parked_show(&config, &name).await.unwrap();
    assert_eq!(shown, items[0]);
    assert!(shown.orders[0].0 == id && shown.orders[0].1.starts_with("requested, the token"), "{shown}");

    let (one, two) = tokio::join!(redrive(&config, &name, "alice", WHY), redrive(&config, &name, "bob", WHY));
    let mut both = [one.unwrap(), two.unwrap()];
    both.sort_by_key(|asked| *asked == RedriveAsked::Before);
    assert_eq!(both, [RedriveAsked::Now(format!("ops.redriven.payment-sender.{seq}.1")), RedriveAsked::Before]);
    assert_eq!(redrive(&config, &name, "carol", WHY).await.unwrap(), RedriveAsked::Before);
    let written = ledger.between(1, 50).await.unwrap();
    let redrives = written.iter().filter(|it| matches!(it.event, Ok(Event::Ops(OpsEvent::Redriven(..))))).count();
    assert_eq!(redrives, 1);
    let order = ledger.load_order(id).await.unwrap().state.unwrap();
    assert_eq!((order.stage(), order.holds.present()), (Stage::Requested, None));
    assert_eq!(parked_list(&config).await.unwrap(), []);
    assert_eq!(parked_show(&config, &name).await.unwrap().redrives.len(), 1);
}

#[tokio::test]
async fn a_parked_leg_is_listed_with_what_may_be_done_and_owed_again_where_the_money_is_there() {
    let broker = Broker::with_accounts().await;
    let (ledger, config) = (broker.ledger("ops").await, broker.config("ops"));
    let park = || Command::ParkMint(examples::parked());
    let ask_back = || Command::RequestRefund(examples::refund_request());
    let (mint, _) = write(&ledger, 1, vec![paid(), park()]).await;
    let (refund, _) = write(&ledger, 2, vec![paid(), ask_back(), Command::ParkRefund(examples::parked())]).await;
    let (around, _) = write(&ledger, 3, vec![Command::Park(examples::parked_payment())]).await;
    let (minted, _) = write(&ledger, 4, vec![paid(), park(), Command::ConfirmMint(examples::minted())]).await;
    let (gone, _) = write(&ledger, 5, vec![paid(), park(), Command::Revert(examples::reversal(7))]).await;
    let (back, _) = write(&ledger, 6, vec![paid(), park(), ask_back()]).await;
    let listed: Vec<_> = parked_list(&config).await.unwrap().into_iter().map(|it| (it.name, it.what)).collect();
    let leg = |id, what: &str| (ParkedName::Leg(id), what.to_owned());
    assert_eq!(listed.len(), 3, "{listed:?}");
    for expected in [leg(mint, "mint_parked"), leg(refund, "refund_parked"), leg(around, "payment_parked")] {
        assert!(listed.contains(&expected), "{listed:?}");
    }
    for (id, event, stage) in
        [(mint, "mint.redriven.1", Stage::Paid), (refund, "refund.redriven.1", Stage::RefundRequested)]
    {
        let name = ParkedName::Leg(id);
        let asked = redrive(&config, &name, "alice", WHY).await.unwrap();
        assert!(matches!(&asked, RedriveAsked::Now(written) if written.ends_with(event)), "{asked:?}");
        assert_eq!(redrive(&config, &name, "bob", WHY).await.unwrap(), RedriveAsked::Before);
        assert_eq!(ledger.load_order(id).await.unwrap().state.unwrap().stage(), stage);
    }
    let before = ledger.state().await.unwrap();
    for (id, words) in
        [(around, "the service operator"), (minted, "are minted"), (gone, "is parked"), (back, "goes back")]
    {
        let refused = redrive(&config, &ParkedName::Leg(id), "alice", WHY).await.unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    let nothing = redrive(&config, &ParkedName::Message("payment-sender".to_owned(), 99), "alice", WHY).await;
    assert!(matches!(nothing, Err(NotRedriven::Unknown(_))), "{nothing:?}");
    let bad = redrive(&config, &ParkedName::Leg(mint), " ", WHY).await;
    assert!(matches!(bad, Err(NotRedriven::Text { name: "by", .. })), "{bad:?}");
    assert_eq!(ledger.state().await.unwrap(), before);
}
