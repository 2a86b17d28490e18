#![allow(clippy::unwrap_used)]
use super::*;
use crate::event::ParkReason;
use crate::examples;

/// Every stage, reached by events that [`decide`] writes.
fn stages() -> Vec<Option<Order>> {
    let paths: Vec<Vec<Command>> = vec![
        vec![],
        vec![request()],
        vec![request(), Command::Defer(examples::deferral())],
        vec![request(), Command::Submit(examples::submission(1))],
        vec![request(), Command::Fail(examples::failure())],
        vec![request(), Command::Confirm(examples::proof())],
        vec![request(), Command::Confirm(examples::proof()), Command::SubmitMint(examples::submission(2))],
        vec![request(), Command::Confirm(examples::proof()), Command::DeferMint(examples::deferral())],
        vec![request(), Command::Confirm(examples::proof()), Command::ParkMint(examples::parked())],
        vec![request(), Command::Confirm(examples::proof()), Command::ConfirmMint(examples::minted())],
    ];
    paths.into_iter().map(|commands| commands.into_iter().fold(None, |order, command| step(order, command).0)).collect()
}

fn request() -> Command {
    Command::Request(Box::new(examples::request()))
}

/// News that was not said before: other submissions, other reasons.
fn commands() -> Vec<Command> {
    let mut other = examples::request();
    other.authorization.valid_before += 1;
    let mut why = examples::deferral();
    why.reason = WaitReason::Unexplained;
    let mut parked = examples::parked();
    parked.reason = ParkReason::Unexplained;
    vec![
        request(),
        Command::Request(Box::new(other)),
        Command::Submit(examples::submission(8)),
        Command::Defer(why.clone()),
        Command::Confirm(examples::proof()),
        Command::Fail(examples::failure()),
        Command::SubmitMint(examples::submission(9)),
        Command::DeferMint(why),
        Command::ParkMint(parked),
        Command::ConfirmMint(examples::minted()),
    ]
}

fn step(order: Option<Order>, command: Command) -> (Option<Order>, Result<Option<OrderEvent>, Rejection>) {
    let answer = decide(order.as_ref(), command);
    match &answer {
        Ok(Some(event)) => (evolve(order, event).unwrap(), answer),
        _ => (order, answer),
    }
}

/// The table of docs/ARCHITECTURE.md: a row a stage, a column a command.
#[test]
fn every_stage_answers_every_command_as_the_table_says() {
    let mut table = String::from(
        "| stage | request | request, other order | submit | defer | confirm | fail | submit mint | defer mint | park mint | confirm mint |\n",
    );
    table += "|---|---|---|---|---|---|---|---|---|---|---|\n";
    for order in stages() {
        let stage = order.as_ref().map_or("(none)", |order| order.stage.name());
        table += &format!("| {stage} |");
        for command in commands() {
            let (_, answer) = step(order.clone(), command);
            let cell = match answer {
                Ok(Some(event)) => event.name().to_owned(),
                Ok(None) => "said already".to_owned(),
                Err(Rejection::KeyReusedWithAnotherOrder) => "409".to_owned(),
                Err(Rejection::Contradiction) => "contradiction".to_owned(),
                Err(Rejection::OutOfOrder { .. }) => "-".to_owned(),
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
                assert_eq!(second, Ok(None), "{} in {}", command.name(), order.stage.name());
                assert_eq!(again, after);
            }
        }
    }
}

#[test]
fn an_order_is_never_both_paid_and_failed() {
    for order in stages().into_iter().flatten() {
        let failed = matches!(order.stage, Stage::Failed(_));
        let confirm = step(Some(order.clone()), Command::Confirm(examples::proof())).1;
        let fail = step(Some(order.clone()), Command::Fail(examples::failure())).1;
        assert!(!(failed && matches!(confirm, Ok(Some(_)))));
        assert!(!(order.stage.proof().is_some() && matches!(fail, Ok(Some(_)))));
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

/// A promise of the fuzz target `log`, broken until it was written: behind the greatest number came an overflow, and any
/// other number was believed.
#[test]
fn b63_a_number_out_of_turn_is_an_impossible_past() {
    let events: [fn(u32) -> OrderEvent; 5] = [
        |n| OrderEvent::PaymentSubmitted(n, examples::submission(1)),
        |n| OrderEvent::PaymentDeferred(n, examples::deferral()),
        |n| OrderEvent::MintSubmitted(n, examples::submission(2)),
        |n| OrderEvent::MintDeferred(n, examples::deferral()),
        |n| OrderEvent::MintParked(n, examples::parked()),
    ];
    let mut fitted = 0;
    for order in stages().into_iter().flatten() {
        for event in events {
            let next = (0..3).find(|n| evolve(Some(order.clone()), &event(*n)).is_ok());
            fitted += usize::from(next.is_some());
            for n in [0, 1, 2, 3, 7, u32::MAX - 1, u32::MAX] {
                let fits = evolve(Some(order.clone()), &event(n)).is_ok();
                assert_eq!(fits, Some(n) == next, "{} {n} after {}", event(n).name(), order.stage.name());
            }
        }
    }
    assert!(fitted > 10, "{fitted}");
}
