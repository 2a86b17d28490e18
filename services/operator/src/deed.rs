//! The deed that an order asks for, and the consequence of trying it. Pure.

use chain::token::{Deed, Operated};
use chrono::Utc;
use domain::Order;
use domain::event::{LegName, ParkReason};
use domain::order::{LegState, Stage};
use std::time::Duration;

/// The consequence of trying a deed for one payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// The payment goes into the transaction. If its record has moved on before, the confirmer learns that from there.
    Send,
    /// Too few units are left: the money goes back instead.
    GoBack,
    /// The asset does not pay the payer, and is asked for the reason.
    AskWhy,
    /// The refund waits, visibly, with this text.
    Defer(String),
    /// The payment stays at the token, and its order as it is.
    Wait(String),
}

/// Returns whether an order waits for an operator's lane.
pub(crate) fn waits(order: &Order) -> bool {
    matches!(order.stage(), Stage::PaymentParked | Stage::RefundRequested | Stage::RefundDeferred)
}

/// The deed that `order` asks for. Returns `None` if there is nothing to do for it now.
pub(crate) fn deed(order: &Order) -> Option<Deed> {
    let is_around = order.payment.parked().is_some_and(|why| why.reason == ParkReason::PaidAroundToken);
    let is_paid = order.payment.state() == LegState::Done;
    let (deed, leg) = match order.stage() {
        Stage::PaymentParked if is_around => (Deed::Credit, LegName::Payment),
        Stage::RefundRequested | Stage::RefundDeferred if is_paid => (Deed::Refund, LegName::Refund),
        Stage::RefundRequested | Stage::RefundDeferred if is_around => (Deed::GiveBack, LegName::Refund),
        _ => return None,
    };
    // A mint that may still be mined ends the record first.
    order.progress().may_submit(leg).then_some(deed)
}

/// Time until a deferred refund may be tried. Returns `None` if the order may be tried now.
pub(crate) fn remaining(order: &Order) -> Option<Duration> {
    let why = order.refund.deferral()?;
    (why.retry_at - Utc::now()).to_std().ok()
}

/// The consequence of `result`, which the token gave for a try of `deed`.
pub(crate) fn consequence(deed: Deed, result: Operated) -> Consequence {
    match (deed, result) {
        (_, Operated::Done | Operated::Known) => Consequence::Send,
        (Deed::Credit, Operated::SoldOut) => Consequence::GoBack,
        (Deed::GiveBack | Deed::Refund, Operated::AssetRefused) => Consequence::AskWhy,
        (Deed::Credit, other) => Consequence::Wait(text(deed, other)),
        (Deed::GiveBack | Deed::Refund, other) => Consequence::Defer(text(deed, other)),
    }
}

fn text(deed: Deed, result: Operated) -> String {
    match (deed, result) {
        (Deed::Refund, Operated::NotThere) => "the token has no record of the payment".to_owned(),
        (_, Operated::NotThere) => "the nonce of the payment is not spent".to_owned(),
        (Deed::Refund, Operated::BeyondSurplus) => "the token lets only an operator refund the payment now".to_owned(),
        (_, Operated::BeyondSurplus) => "the token holds too little money that belongs to no record".to_owned(),
        (_, Operated::AssetRefused) => "the asset refuses to pay the payer".to_owned(),
        (_, Operated::SoldOut) => "too few units are left".to_owned(),
        (_, Operated::Impossible(code)) => format!("the token answers {code}"),
        (_, Operated::Done | Operated::Known) => String::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::examples;
    use domain::order::{Command, decide, evolve};

    /// The order after `commands`, all of which the decider accepts.
    fn after(commands: impl IntoIterator<Item = Command>) -> Order {
        let requested = Order::requested(examples::request());
        commands.into_iter().fold(requested, |order, command| {
            let event = decide(Some(&order), command).unwrap().unwrap();
            evolve(Some(order), &event).unwrap().unwrap()
        })
    }

    #[test]
    fn what_an_order_asks_for_follows_from_its_payment_and_its_refund() {
        let around = || Command::Park(examples::parked_payment());
        let paid = || Command::Confirm(examples::own_proof());
        let ask_back = || Command::RequestRefund(examples::refund_request());
        let credit = || Command::Submit(examples::submission(9));
        let refund = || Command::SubmitRefund(examples::submission(9));
        let defer = || Command::DeferRefund(examples::deferral());
        let mint = || Command::ConfirmMint(examples::own_mint());
        let cases = [
            (vec![], None),
            (vec![Command::Park(examples::parked())], None),
            (vec![around()], Some(Deed::Credit)),
            (vec![around(), credit()], None),
            (vec![around(), credit(), around()], Some(Deed::Credit)),
            (vec![around(), ask_back()], Some(Deed::GiveBack)),
            (vec![around(), ask_back(), refund()], None),
            (vec![around(), ask_back(), refund(), defer()], Some(Deed::GiveBack)),
            (vec![around(), ask_back(), paid()], Some(Deed::Refund)),
            (vec![paid()], None),
            (vec![paid(), ask_back()], Some(Deed::Refund)),
            (vec![paid(), ask_back(), defer()], Some(Deed::Refund)),
            (vec![paid(), ask_back(), refund()], None),
            (vec![paid(), ask_back(), Command::ParkRefund(examples::parked())], None),
            (vec![paid(), ask_back(), Command::ConfirmRefund(examples::refunded())], None),
            (vec![paid(), ask_back(), Command::Revert(examples::reversal(7))], None),
            (vec![paid(), ask_back(), mint()], None),
            (vec![paid(), ask_back(), mint(), Command::RevertMint(examples::reversal(8))], None),
        ];
        for (commands, expected) in cases {
            let names: Vec<_> = commands.iter().map(Command::name).collect();
            let order = after(commands);
            assert_eq!(deed(&order), expected, "{names:?}, {}", order.stage().name());
            assert!(expected.is_none() || waits(&order), "{names:?}");
        }
    }

    #[test]
    fn each_result_of_a_try_has_one_consequence() {
        use Operated::{AssetRefused, BeyondSurplus, Done, Impossible, Known, NotThere, SoldOut};
        let results = [Done, Known, SoldOut, AssetRefused, NotThere, BeyondSurplus, Impossible(6)];
        let names = |deed| {
            results.map(|result| match consequence(deed, result) {
                Consequence::Send => "send",
                Consequence::GoBack => "go back",
                Consequence::AskWhy => "ask why",
                Consequence::Defer(text) if !text.is_empty() => "defer",
                Consequence::Wait(text) if !text.is_empty() => "wait",
                Consequence::Defer(_) | Consequence::Wait(_) => "without a text",
            })
        };
        assert_eq!(names(Deed::Credit), ["send", "send", "go back", "wait", "wait", "wait", "wait"]);
        assert_eq!(names(Deed::GiveBack), ["send", "send", "defer", "ask why", "defer", "defer", "defer"]);
        assert_eq!(names(Deed::Refund), ["send", "send", "defer", "ask why", "defer", "defer", "defer"]);
        let refund = consequence(Deed::Refund, NotThere);
        assert_eq!(refund, Consequence::Defer("the token has no record of the payment".to_owned()));
    }
}
