//! Orders that a service has given up, and legs that are tried once more.

use super::*;

/// A hold says nothing about the legs, and ends with their next step or with a release.
#[test]
fn a_held_order_goes_on_as_before_and_is_held_until_it_moves_or_is_released() {
    let other = OrderHold { consumer: "confirmer".to_owned(), ..examples::order_hold() };
    for order in stages().into_iter().flatten().filter(|order| order.holds.present().is_none()) {
        let (held, event) = step(Some(order.clone()), Command::Hold(examples::order_hold()));
        let Ok(Some(event @ OrderEvent::OrderHeld(1, _))) = event else { panic!("{event:?}") };
        let now = held.clone().unwrap();
        assert_eq!((now.stage(), Stage::after(&event)), (order.stage(), None));
        assert_eq!(now.holds.present(), Some(&examples::order_hold()));
        for command in of_legs() {
            let (after, answer) = step(held.clone(), command.clone());
            assert_eq!(answer, step(Some(order.clone()), command).1);
            assert_eq!(after.unwrap().holds.present().is_some(), !matches!(answer, Ok(Some(_))));
        }
        let (by_both, second) = step(held.clone(), Command::Hold(other.clone()));
        assert!(matches!(second, Ok(Some(OrderEvent::OrderHeld(2, _)))));
        let (free, released) = step(by_both, Command::Release(examples::redrive()));
        assert!(matches!(released, Ok(Some(OrderEvent::OrderReleased(2, _)))));
        assert_eq!(step(free.clone(), Command::Release(examples::redrive())).1, Ok(None), "nothing is held");
        let again = step(free, Command::Hold(examples::order_hold())).1;
        assert!(matches!(again, Ok(Some(OrderEvent::OrderHeld(3, _)))), "{again:?}");
    }
}

/// A parked leg that a person has tried once more is owed, and one message carries it: that of the decision.
#[test]
fn a_redriven_mint_is_owed_once_more_and_carried_by_its_redrive() {
    let parked = vec![request(), paid(), Command::ParkMint(examples::parked())];
    let redrive = || Command::RedriveMint(examples::redrive());
    let after = |commands: Vec<Command>| commands.into_iter().fold(None, |order, command| step(order, command).0);
    let (owed, event) = step(after(parked.clone()), redrive());
    let owed = owed.unwrap();
    assert_eq!(owed.stage(), Stage::Paid);
    let event = event.unwrap().unwrap();
    assert!(owed.is_carried_by(&event) && !owed.is_carried_by(&OrderEvent::PaymentConfirmed(examples::own_proof())));
    // Without the payment it is owed as any other mint.
    let back = after([parked.clone(), vec![redrive(), revert(), paid()]].concat()).unwrap();
    assert!(back.is_carried_by(&OrderEvent::PaymentRestored(1, examples::own_proof())) && !back.is_carried_by(&event));
    // Money that is to go back, or that is gone, buys nothing.
    for gone in [ask_back(), revert()] {
        let (_, refused) = step(after([parked.clone(), vec![gone]].concat()), redrive());
        assert!(matches!(refused, Err(CommandRejection::OutOfOrder { .. })), "{refused:?}");
    }
    let twice = [parked, vec![redrive(), Command::ParkMint(examples::parked()), redrive()]].concat();
    let twice = after(twice).unwrap();
    assert!(twice.is_carried_by(&OrderEvent::MintRedriven(2, examples::redrive())) && !twice.is_carried_by(&event));
}
