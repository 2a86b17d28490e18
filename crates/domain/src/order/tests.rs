#![allow(clippy::unwrap_used)]
use super::*;
use crate::event::{ParkReason, WaitReason};
use crate::{BlockRef, examples};
use alloy_primitives::B256;

/// Every stage, reached by events that [`decide`] writes.
fn stages() -> Vec<Option<Order>> {
    let paths: Vec<Vec<Command>> = vec![
        vec![],
        vec![request()],
        vec![request(), Command::Defer(examples::deferral())],
        vec![request(), Command::Submit(examples::submission(1))],
        vec![request(), Command::Fail(examples::failure())],
        vec![request(), Command::Park(examples::parked_payment())],
        vec![request(), paid()],
        vec![request(), paid(), Command::SubmitMint(examples::submission(2))],
        vec![request(), paid(), Command::DeferMint(examples::deferral())],
        vec![request(), paid(), Command::ParkMint(examples::parked())],
        vec![request(), paid(), Command::ConfirmMint(examples::own_mint())],
        vec![request(), paid(), ask_back()],
        vec![request(), paid(), ask_back(), Command::SubmitRefund(examples::submission(9))],
        vec![request(), paid(), ask_back(), Command::DeferRefund(examples::deferral())],
        vec![request(), paid(), ask_back(), Command::ParkRefund(examples::parked())],
        vec![request(), paid(), Command::ConfirmRefund(examples::refunded())],
        vec![request(), Command::Park(examples::parked_payment()), ask_back()],
        vec![request(), paid(), revert()],
        vec![request(), paid(), Command::SubmitMint(examples::submission(8)), revert()],
        vec![request(), paid(), Command::ConfirmMint(examples::own_mint()), revert()],
        vec![request(), paid(), ask_back(), revert()],
        vec![request(), paid(), ask_back(), Command::SubmitRefund(examples::submission(9)), revert()],
        vec![request(), paid(), ask_back(), revert(), Command::Defer(examples::deferral())],
        vec![request(), Command::Hold(examples::order_hold())],
        vec![request(), Command::Fail(examples::failure()), Command::Hold(examples::order_hold())],
        vec![request(), paid(), Command::ParkMint(examples::parked()), Command::RedriveMint(examples::redrive())],
    ];
    paths.into_iter().map(|commands| commands.into_iter().fold(None, |order, command| step(order, command).0)).collect()
}

fn request() -> Command {
    Command::Request(Box::new(examples::request()))
}

fn paid() -> Command {
    Command::Confirm(examples::own_proof())
}

fn ask_back() -> Command {
    Command::RequestRefund(examples::refund_request())
}

/// The reversal of the block on which [`paid`] counts.
fn revert() -> Command {
    Command::Revert(examples::reversal(7))
}

fn revert_mint() -> Command {
    Command::RevertMint(examples::reversal(8))
}

/// The stage, and the state of a mint that went ahead of its payment.
fn row(order: Option<&Order>) -> String {
    let Some(order) = order else { return "(none)".to_owned() };
    let ahead = match (order.is_unpaid(), order.mint.state()) {
        (true, _) if order.payment.state() == LegState::Parked && order.stage() != Stage::PaymentParked => {
            ", charged around the token"
        }
        (true, LegState::Submitted | LegState::Reverted) => ", minting",
        (true, LegState::Done) => ", minted",
        (true, _) if order.refund.state() == LegState::Owed => ", refund_requested",
        (true, _) if order.refund.state() == LegState::Submitted => ", refunding",
        _ if order.holds.present().is_some() => ", held",
        _ if order.mint.is_redriven() => ", redriven",
        _ => "",
    };
    format!("{}{ahead}", order.stage().name())
}

/// Commands with new content: other submissions and other reasons than before.
fn commands() -> Vec<Command> {
    let mut other = examples::request().into_fields();
    other.authorization.valid_before += 1;
    let mut why = examples::deferral();
    why.reason = WaitReason::Unexplained;
    let mut parked = examples::parked();
    parked.reason = ParkReason::Unexplained;
    let (refused, given_up) = (why.clone(), parked.clone());
    vec![
        request(),
        Command::Request(Box::new(PaymentRequest::new(other).unwrap())),
        Command::Submit(examples::submission(8)),
        Command::Defer(why.clone()),
        Command::Park(examples::parked_payment()),
        Command::Confirm(examples::proof()),
        Command::Fail(examples::failure()),
        revert(),
        Command::SubmitMint(examples::submission(9)),
        Command::DeferMint(why),
        Command::ParkMint(parked),
        Command::ConfirmMint(examples::minted()),
        revert_mint(),
        ask_back(),
        Command::SubmitRefund(examples::submission(10)),
        Command::DeferRefund(refused),
        Command::ParkRefund(given_up),
        Command::ConfirmRefund(examples::refunded()),
        Command::RevertRefund(examples::reversal(9)),
        Command::RedriveMint(examples::redrive()),
        Command::RedriveRefund(examples::redrive()),
        Command::Hold(OrderHold { consumer: "confirmer".to_owned(), ..examples::order_hold() }),
        Command::Release(examples::redrive()),
    ]
}

/// Commands about the legs. A hold changes none of them.
fn of_legs() -> Vec<Command> {
    commands().into_iter().filter(|command| !matches!(command, Command::Hold(_) | Command::Release(_))).collect()
}

fn step(order: Option<Order>, command: Command) -> (Option<Order>, Result<Option<OrderEvent>, CommandRejection>) {
    let answer = decide(order.as_ref(), command);
    match &answer {
        Ok(Some(event)) => (evolve(order, event).unwrap(), answer),
        _ => (order, answer),
    }
}

/// The table in `table.txt`: one row per stage, one column per command.
#[test]
fn every_stage_answers_every_command_as_the_table_says() {
    let mut table = String::from(
        "| stage | request | request, other order | submit | defer | park | confirm | fail | revert | submit mint | defer mint | park mint | confirm mint | revert mint | ask back | submit refund | defer refund | park refund | confirm refund | revert refund | redrive mint | redrive refund | hold | release |\n",
    );
    table += "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    for order in stages() {
        table += &format!("| {} |", row(order.as_ref()));
        for command in commands() {
            let (_, answer) = step(order.clone(), command);
            let cell = match answer {
                Ok(Some(event)) => event.name().to_owned(),
                Ok(None) => "said already".to_owned(),
                Err(CommandRejection::KeyReusedWithAnotherOrder) => "409".to_owned(),
                Err(CommandRejection::Contradiction) => "contradiction".to_owned(),
                Err(CommandRejection::OutOfOrder { .. }) => "-".to_owned(),
            };
            table += &format!(" {cell} |");
        }
        table += "\n";
    }
    assert_eq!(table, include_str!("table.txt"), "\n{table}");
}

#[test]
fn what_is_said_twice_is_written_once() {
    for order in stages().into_iter().flatten() {
        for command in commands() {
            let (after, first) = step(Some(order.clone()), command.clone());
            if let Ok(Some(_)) = first {
                let (again, second) = step(after.clone(), command.clone());
                // A leg that went ahead of its payment and is deferred or parked is owed afterwards, and the reason is not kept.
                let is_owed = |leg: LegName| {
                    after.as_ref().is_some_and(|after| {
                        let leg = if leg == LegName::Mint { after.mint.state() } else { after.refund.state() };
                        after.is_unpaid() && leg == LegState::Owed
                    })
                };
                let once = match command {
                    Command::DeferMint(_) | Command::ParkMint(_) => is_owed(LegName::Mint),
                    Command::DeferRefund(_) | Command::ParkRefund(_) => is_owed(LegName::Refund),
                    _ => false,
                };
                assert!(second == Ok(None) || (once && second.is_err()), "{} in {}", command.name(), row(Some(&order)));
                assert_eq!(again, after);
            }
        }
    }
}

#[test]
fn an_order_is_never_both_paid_and_failed() {
    for order in stages().into_iter().flatten() {
        let failed = order.stage() == Stage::Failed;
        let confirm = step(Some(order.clone()), Command::Confirm(examples::proof())).1;
        let fail = step(Some(order.clone()), Command::Fail(examples::failure())).1;
        assert!(!(failed && matches!(confirm, Ok(Some(_)))));
        assert!(!(order.payment.done().is_some() && matches!(fail, Ok(Some(_)))));
    }
}

#[test]
fn an_impossible_past_is_refused() {
    assert!(evolve(None, &OrderEvent::PaymentConfirmed(examples::proof())).is_err());
    let requested = step(None, request()).0;
    assert!(evolve(requested.clone(), &OrderEvent::MintConfirmed(examples::minted())).is_err());
    let failed = step(requested, Command::Fail(examples::failure())).0;
    assert!(evolve(failed, &OrderEvent::PaymentConfirmed(examples::proof())).is_err());
}

#[test]
fn repeated_attempts_carry_their_number() {
    let (order, _) = step(None, request());
    let (order, _) = step(order, Command::Submit(examples::submission(1)));
    let (order, _) = step(order, Command::Defer(examples::deferral()));
    let (_, event) = step(order, Command::Submit(examples::submission(2)));
    assert!(matches!(event, Ok(Some(OrderEvent::PaymentSubmitted(2, _)))));
}

#[test]
fn an_unfunded_payment_whose_window_closes_stays_unfunded() {
    let why = |reason| Command::Defer(Deferral { reason, ..examples::deferral() });
    let (order, _) = step(None, request());
    let (order, _) = step(order, why(WaitReason::Unfunded));
    let (order, answer) = step(order, why(WaitReason::AuthorizationExpired));
    assert_eq!(answer, Ok(None), "the confirmer fails it as unfunded until expired");
    let (_, answer) = step(order, why(WaitReason::Blacklisted));
    assert!(matches!(answer, Ok(Some(_))), "another reason is news");
}

/// Promises of the fuzz target `log` that were once broken: a number after the greatest one overflowed, and any other
/// number was accepted.
#[test]
fn b63_a_number_out_of_turn_is_an_impossible_past() {
    let events: [fn(u32) -> OrderEvent; 13] = [
        |n| OrderEvent::PaymentSubmitted(n, examples::submission(1)),
        |n| OrderEvent::PaymentDeferred(n, examples::deferral()),
        |n| OrderEvent::PaymentParked(n, examples::parked_payment()),
        |n| OrderEvent::MintSubmitted(n, examples::submission(2)),
        |n| OrderEvent::MintDeferred(n, examples::deferral()),
        |n| OrderEvent::MintParked(n, examples::parked()),
        |n| OrderEvent::PaymentReverted(n, examples::reversal(7)),
        |n| OrderEvent::PaymentRestored(n, examples::own_proof()),
        |n| OrderEvent::MintReverted(n, examples::reversal(8)),
        |n| OrderEvent::MintRestored(n, examples::own_mint()),
        |n| OrderEvent::MintRedriven(n, examples::redrive()),
        |n| OrderEvent::OrderHeld(n, examples::order_hold()),
        |n| OrderEvent::OrderReleased(n, examples::redrive()),
    ];
    let mut fitted = 0;
    for order in stages().into_iter().flatten() {
        for event in events {
            let next = (0..3).find(|n| evolve(Some(order.clone()), &event(*n)).is_ok());
            fitted += usize::from(next.is_some());
            for n in [0, 1, 2, 3, 7, u32::MAX - 1, u32::MAX] {
                let fits = evolve(Some(order.clone()), &event(n)).is_ok();
                assert_eq!(fits, Some(n) == next, "{} {n} after {}", event(n).name(), order.stage().name());
            }
        }
    }
    assert!(fitted > 10, "{fitted}");
}

/// Thousands of combinations of a payment that is lost and comes back with the ways of its mint. Nothing is written
/// twice, nothing is minted while the payment is open, and a mint is neither forgotten nor repeated.
#[test]
fn f40_whatever_falls_out_of_the_chain_an_order_is_minted_only_while_it_is_paid() {
    let mut tried = 0;
    let mut commands = of_legs();
    commands.extend([paid(), Command::SubmitMint(examples::submission(8)), Command::ConfirmMint(examples::own_mint())]);
    let mut walk = vec![(step(None, request()).0, Vec::new(), 0_u32)];
    while let Some((order, written, depth)) = walk.pop() {
        tried += 1;
        let known = order.as_ref().unwrap();
        for command in &commands {
            let (after, answer) = step(order.clone(), command.clone());
            let Ok(Some(event)) = answer else { continue };
            let now = after.as_ref().unwrap();
            let mut written: Vec<String> = written.clone();
            let name = event.number().map_or(event.name().to_owned(), |n| format!("{}.{n}", event.name()));
            assert!(!written.contains(&name), "{name} twice: {written:?}");
            written.push(name);
            if matches!(event, OrderEvent::MintSubmitted(..)) {
                assert!(known.payment.done().is_some() && known.mint.done().is_none(), "{written:?}");
            }
            if known.mint.done().is_some() && !matches!(event, OrderEvent::MintReverted(..)) {
                assert_eq!(now.mint.done(), known.mint.done(), "{written:?}");
            }
            if depth < 6 {
                walk.push((after, written, depth + 1));
            }
        }
    }
    assert!(tried > 10_000, "{tried}");
}

/// A lane that takes an order that waits for it can send it, and an order that no lane
/// may send has another way out. Either would hold up everybody else in its transaction.
#[test]
fn an_order_that_waits_for_a_lane_can_be_sent_and_any_other_can_end() {
    let mut commands = of_legs();
    commands.extend([paid(), Command::SubmitMint(examples::submission(8)), Command::ConfirmMint(examples::own_mint())]);
    let (mut walk, mut moot) = (vec![(step(None, request()).0, 0_u32)], 0);
    while let Some((order, depth)) = walk.pop() {
        let known = order.as_ref().unwrap();
        let (progress, mint) = (known.progress(), known.mint.state());
        let waits_for = match known.stage() {
            Stage::PaymentParked => Some(LegName::Payment),
            Stage::Requested | Stage::Deferred if known.refund.state() == LegState::Unasked => Some(LegName::Payment),
            Stage::Paid | Stage::MintDeferred => Some(LegName::Mint),
            // The mint of a payment that fell out of the chain falls out, too, and that is recorded first.
            Stage::RefundRequested | Stage::RefundDeferred if mint.is_in_transaction() || mint == LegState::Done => {
                None
            }
            Stage::RefundRequested | Stage::RefundDeferred => Some(LegName::Refund),
            _ => None,
        };
        if let Some(leg) = waits_for {
            assert!(progress.may_submit(leg), "{known:?}");
        }
        if known.stage() == Stage::Deferred && known.refund.state() == LegState::Owed && mint == LegState::Owed {
            assert!(!progress.may_submit(LegName::Payment), "nobody charges for what is to go back");
            assert!(matches!(step(order.clone(), Command::Fail(examples::failure())).1, Ok(Some(_))), "{known:?}");
            moot += 1;
        }
        for (leg, submit) in [
            (LegName::Payment, Command::Submit(examples::submission(20))),
            (LegName::Mint, Command::SubmitMint(examples::submission(20))),
            (LegName::Refund, Command::SubmitRefund(examples::submission(20))),
        ] {
            let is_accepted = matches!(step(order.clone(), submit).1, Ok(Some(_)));
            assert_eq!(progress.may_submit(leg), is_accepted, "{leg:?} of {known:?}");
        }
        if depth < 5 {
            let next = commands.iter().filter_map(|command| match step(order.clone(), command.clone()) {
                (after, Ok(Some(_))) => Some((after, depth + 1)),
                _ => None,
            });
            walk.extend(next);
        }
    }
    assert!(moot > 10, "{moot}");
}

#[test]
fn f40_a_payment_that_comes_back_finds_its_mint_as_it_left_it() {
    let after =
        |commands: Vec<Command>| commands.into_iter().fold(None, |order, command| step(order, command).0).unwrap();
    let submitted = Command::SubmitMint(examples::submission(8));
    let back = after(vec![request(), paid(), submitted.clone(), revert(), paid()]);
    assert_eq!((back.stage(), back.payment.done()), (Stage::Minting, Some(&examples::own_proof())));
    assert_eq!(back.mint.submission().map(|tx| tx.nonce), Some(8));
    let skipped = vec![request(), paid(), submitted, revert(), Command::DeferMint(examples::deferral()), paid()];
    let back = after(skipped);
    assert_eq!(back.stage(), Stage::Paid, "owed again");
    assert!(back.is_carried_by(&OrderEvent::PaymentRestored(1, examples::own_proof())));
    assert!(!back.is_carried_by(&OrderEvent::PaymentConfirmed(examples::own_proof())));
    let minted = vec![request(), paid(), Command::ConfirmMint(examples::own_mint()), revert(), revert_mint(), paid()];
    let back = after(minted);
    assert_eq!(back.mint.submission().map(|tx| tx.nonce), Some(8), "its transaction is open again");
    let (_, again) = step(Some(back), Command::ConfirmMint(examples::own_mint()));
    assert!(matches!(again, Ok(Some(OrderEvent::MintRestored(1, _)))));
}

/// A third leg needs only a type of evidence. Its steps, their numbers and their order are those of every leg.
#[test]
fn a_further_leg_works_without_a_line_of_its_own() {
    #[derive(Clone, Debug, PartialEq)]
    struct Refund(BlockRef);
    impl InBlock for Refund {
        fn place(&self) -> (B256, BlockRef) {
            (examples::submission(7).tx_hash, self.0)
        }
    }
    let done = Refund(examples::reversal(7).block);
    let mut leg = Leg::<Refund>::default();
    for (wish, state) in [
        (Wish::Submit(examples::submission(7)), LegState::Submitted),
        (Wish::Defer(examples::deferral()), LegState::Deferred),
        (Wish::Submit(examples::submission(7)), LegState::Submitted),
        (Wish::Confirm(done.clone()), LegState::Done),
        (Wish::Revert(examples::reversal(7)), LegState::Reverted),
        (Wish::Confirm(done.clone()), LegState::Done),
    ] {
        let step = leg.decide(wish.clone()).unwrap().unwrap();
        let after = leg.progress().after(step.name(), step.number()).unwrap();
        assert_eq!((after.state, leg.progress().after(step.name(), Some(9))), (state, None), "{wish:?}");
        leg.follow(after, Some(step));
        let said_again = leg.decide(wish);
        assert_eq!(said_again, Ok(None));
    }
    assert_eq!(leg.counts(), Counts { submitted: 2, deferred: 1, parked: 0, reverted: 1 });
    assert_eq!(leg.decide(Wish::Park(examples::parked())), Err(LegRefusal::OutOfOrder));
    assert_eq!(leg.decide(Wish::Fail(examples::failure())), Err(LegRefusal::Contradiction));
}

mod held;
