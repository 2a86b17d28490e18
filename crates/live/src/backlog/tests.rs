mod crowd;
mod records;
mod sums;
mod units;

use super::*;
use chrono::TimeDelta;
use domain::event::{Deferral, WaitReason};
use domain::{PaymentKey, Quantity, examples};

const TOKEN: Address = examples::TOKEN;

fn id(n: u64) -> PaymentId {
    PaymentId::of(PaymentKey(alloy_primitives::U256::from(n).into()))
}

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::milliseconds(ms)
}

/// Ten units for a payer of its own.
fn buyer(n: u64) -> Bought {
    let account = Address::left_padding_from(&n.to_be_bytes());
    u8::try_from(n).map_or_else(|_| Bought { payer: account, ..payer(0) }, payer)
}

/// Ten units for the `n`th payer.
fn payer(n: u8) -> Bought {
    Bought { payer: Address::repeat_byte(n), token: TOKEN, quantity: Quantity::new(10).unwrap() }
}

const fn unpaid(unpaid: usize) -> OrderLimits {
    OrderLimits { unpaid, units: None }
}

/// Events by name, of order `n`, in the ledger's order.
pub struct Story {
    backlog: Backlog,
    seq: u64,
}

impl Story {
    fn new(rate: u32) -> Self {
        Self { backlog: Backlog::new(rate), seq: 0 }
    }

    fn tell(&mut self, ms: i64, n: u64, event: &OrderEvent) {
        let unknown = OrderFacts { bought: buyer(n), hold: UnitsHold::NONE };
        let facts = self.backlog.known(id(n)).unwrap_or(unknown);
        self.seq += 1;
        self.backlog.apply((self.seq, at(ms)), (id(n), event), facts);
    }

    /// An event of an order that is not remembered. Its history is read before.
    fn tell_of_old(&mut self, n: u64, history: &[OrderEvent], event: &OrderEvent) {
        assert_eq!(self.backlog.known(id(n)), None);
        let hold = history.iter().fold(UnitsHold::NONE, UnitsHold::after);
        self.seq += 1;
        self.backlog.apply((self.seq, at(0)), (id(n), event), OrderFacts { bought: payer(1), hold });
    }

    fn place(&self, ms: i64, n: u64) -> Option<(u32, u32)> {
        self.backlog.place(id(n), Stage::Requested, at(ms)).map(|place| (place.position, place.wait_s))
    }
}

fn requested() -> OrderEvent {
    OrderEvent::PaymentRequested(Box::new(examples::request()))
}

fn waits(n: u32, reason: WaitReason) -> OrderEvent {
    OrderEvent::PaymentDeferred(n, Deferral { reason, ..examples::deferral() })
}

fn submitted() -> OrderEvent {
    OrderEvent::PaymentSubmitted(1, examples::submission(7))
}

fn confirmed() -> OrderEvent {
    OrderEvent::PaymentConfirmed(examples::proof())
}

fn minting() -> OrderEvent {
    OrderEvent::MintSubmitted(1, examples::submission(8))
}

fn minted() -> OrderEvent {
    OrderEvent::MintConfirmed(examples::minted())
}

fn refund_asked() -> OrderEvent {
    OrderEvent::RefundRequested(examples::refund_request())
}

fn refunded() -> OrderEvent {
    OrderEvent::RefundConfirmed(examples::refunded())
}

fn refund_gone(n: u32) -> OrderEvent {
    OrderEvent::RefundReverted(n, examples::reversal(9))
}

/// An order is stored before its event is read here, and its payer follows it from then on.
#[test]
fn an_order_that_is_being_written_is_recent_and_is_not_known_to_be_stored() {
    let mut story = Story::new(10);
    let known = |story: &Story| (story.backlog.has_seen(id(1)), story.backlog.is_recent(id(1)));
    assert_eq!(known(&story), (false, false));
    assert_eq!(story.backlog.reserve(id(1), payer(1), unpaid(1), at(0)), Ok(()));
    assert_eq!(known(&story), (false, true));
    for event in [requested(), submitted(), confirmed(), minting(), minted()] {
        story.tell(0, 1, &event);
        assert_eq!(known(&story), (true, true), "{event:?}");
    }
}

#[test]
fn an_order_moves_up_and_the_wait_is_what_it_took_others() {
    let mut story = Story::new(10);
    for n in 1..=3 {
        story.tell(0, n, &requested());
    }
    // Ten a second, and twice the guess of ten seconds.
    assert_eq!((story.place(0, 1), story.place(0, 3)), (Some((1, 21)), Some((3, 21))));
    story.tell(1_000, 1, &submitted());
    assert_eq!((story.place(1_000, 1), story.place(1_000, 2)), (Some((0, 20)), Some((1, 21))));
    story.tell(3_000, 1, &confirmed());
    assert_eq!(story.place(3_000, 1), Some((1, 10)), "it waits for its mint");
    story.tell(4_000, 1, &minting());
    story.tell(7_000, 1, &minted());
    assert_eq!(story.place(7_000, 1), None, "done");
    // 2 s in a settlement, 4 s from there to the mint; and nothing has moved for 6 s.
    assert_eq!(story.place(7_000, 2), Some((1, 13)));
    story.tell(7_000, 2, &submitted());
    assert_eq!((story.place(7_000, 2), story.place(8_000, 2)), (Some((0, 6)), Some((0, 5))));
}

#[test]
fn f40_what_falls_out_of_the_chain_waits_again_and_what_is_done_stays_done() {
    let reverted = OrderEvent::PaymentReverted(1, examples::reversal(7));
    let restored = OrderEvent::PaymentRestored(1, examples::own_proof());
    let mut story = Story::new(10);
    for event in [requested(), submitted(), confirmed(), reverted.clone()] {
        story.tell(0, 1, &event);
    }
    assert_eq!(story.place(0, 1).map(|(position, _)| position), Some(0), "in its transaction again");
    story.tell(0, 1, &restored);
    assert_eq!(story.place(0, 1).map(|(position, _)| position), Some(1), "it waits for its mint again");
    for event in [minting(), minted(), reverted, restored] {
        story.tell(0, 1, &event);
    }
    assert_eq!(story.place(0, 1), None);
}

#[test]
fn what_waits_for_something_else_than_its_turn_has_no_place() {
    let mut story = Story::new(10);
    let held = [
        OrderEvent::PaymentDeferred(1, examples::deferral()),
        OrderEvent::PaymentParked(1, examples::parked_payment()),
        OrderEvent::MintParked(1, examples::parked()),
        refund_asked(),
        OrderEvent::RefundSubmitted(1, examples::submission(9)),
        OrderEvent::RefundDeferred(1, examples::deferral()),
        OrderEvent::RefundParked(1, examples::parked()),
    ];
    for event in held {
        story.tell(0, 1, &requested());
        story.tell(0, 1, &event);
        assert_eq!(story.place(0, 1), None);
    }
    assert_eq!(story.place(0, 99), None, "unknown");
    story.tell(0, 2, &requested());
    let shown = |stage| story.backlog.place(id(2), stage, at(0)).is_some();
    assert!(shown(Stage::Requested) && !shown(Stage::PaymentParked), "the picture is behind the order");
}

/// A payer can do nothing about an order that a service has given up.
#[test]
fn an_order_that_is_held_has_no_place_and_does_not_count_against_its_payer() {
    let (held, released) =
        (OrderEvent::OrderHeld(1, examples::order_hold()), OrderEvent::OrderReleased(1, examples::redrive()));
    let mut story = Story::new(10);
    story.tell(0, 1, &requested());
    let full = |story: &mut Story| story.backlog.reserve(id(2), payer(1), unpaid(1), at(0));
    assert_eq!(full(&mut story), Err(Excess::Unpaid));
    story.tell(0, 1, &held);
    assert_eq!((story.place(0, 1), full(&mut story)), (None, Ok(())));
    story.backlog.release(id(2));
    story.tell(0, 1, &released);
    assert!(story.place(0, 1).is_some() && full(&mut story).is_err(), "tried once more");
    story.tell(0, 1, &OrderEvent::OrderHeld(2, examples::order_hold()));
    story.tell(0, 1, &submitted());
    assert_eq!(story.place(0, 1).map(|(position, _)| position), Some(0), "it has moved on");
    // What has ended stays ended.
    for event in [OrderEvent::PaymentFailed(examples::failure()), held, released] {
        story.tell(0, 1, &event);
    }
    assert_eq!((story.place(0, 1), full(&mut story)), (None, Ok(())));
}

#[test]
fn only_a_long_line_shows_how_fast_it_moves() {
    let mut story = Story::new(50);
    for second in 0..120 {
        story.tell(second * 1_000, 1, &requested());
        story.tell(second * 1_000 + 500, 1, &submitted());
    }
    assert_eq!(story.backlog.settle.per_1000s(at(120_000)), 50_000, "one a second came, and went");
    for n in 0..3_000 {
        story.tell(200_000, n, &requested());
    }
    for n in 0..2_000 {
        story.tell(200_000 + 5 * i64::try_from(n).unwrap(), n, &submitted());
    }
    let rate = story.backlog.settle.per_1000s(at(210_000));
    assert!((100_000..=200_000).contains(&rate), "200 a second for ten seconds, after 50 that were assumed: {rate}");
    let wait = story.backlog.forecast(Newcomer::Of(TOKEN, None), at(210_000)).settle;
    assert!((5..=10).contains(&wait.as_secs()), "{wait:?}");
}

#[test]
fn a_burst_that_is_gone_within_a_second_shows_the_pace_to_the_next_one() {
    let mut story = Story::new(50);
    for n in 0..320 {
        story.tell(0, n, &requested());
    }
    for n in 0..320 {
        // Four transactions, all within one second.
        story.tell(200 * i64::try_from(n / 80).unwrap() + 100, n, &submitted());
    }
    for n in 400..720 {
        story.tell(10_000, n, &requested());
    }
    let wait = story.backlog.forecast(Newcomer::Of(TOKEN, None), at(10_000)).settle;
    assert!((700..=2_000).contains(&wait.as_millis()), "it took less than a second: {wait:?}");
}

#[test]
fn f46_a_line_that_stands_still_is_a_longer_wait_every_second() {
    let mut story = Story::new(100);
    for n in 0..10 {
        story.tell(0, n, &requested());
    }
    let wait = |seconds: i64| story.backlog.forecast(Newcomer::Of(TOKEN, None), at(seconds * 1_000)).settle.as_secs();
    assert_eq!((wait(0), wait(60), wait(600)), (0, 60, 600));
}

#[test]
fn b42_a_payer_has_so_many_unpaid_orders_and_no_more() {
    let mut story = Story::new(10);
    let reserve = |story: &mut Story, n: u64, who: u8| story.backlog.reserve(id(n), payer(who), unpaid(2), at(0));
    assert_eq!((reserve(&mut story, 1, 1), reserve(&mut story, 2, 1)), (Ok(()), Ok(())));
    assert_eq!(reserve(&mut story, 3, 1), Err(Excess::Unpaid));
    assert_eq!((reserve(&mut story, 1, 1), reserve(&mut story, 4, 2)), (Ok(()), Ok(())), "the same; another payer");
    story.tell(0, 1, &requested());
    assert_eq!(reserve(&mut story, 3, 1), Err(Excess::Unpaid), "a reservation that became an order counts once");
    story.backlog.release(id(2));
    assert_eq!(reserve(&mut story, 3, 1), Ok(()), "one that was not written counts no more");
    story.tell(0, 1, &submitted());
    assert_eq!(reserve(&mut story, 5, 1), Err(Excess::Unpaid), "in a transaction is unpaid");
    story.tell(0, 1, &confirmed());
    assert_eq!(reserve(&mut story, 5, 1), Ok(()), "paid");
    story.backlog.release(id(1));
    assert!(story.place(0, 1).is_some(), "an order is not released");
    story.backlog.expire(at(1));
    assert_eq!((reserve(&mut story, 6, 1), reserve(&mut story, 7, 1)), (Ok(()), Ok(())), "nobody will know");
}

#[test]
fn it_starts_anew_from_the_rows_and_what_came_after_them() {
    let mut story = Story::new(10);
    story.tell(0, 9, &requested());
    assert!(story.backlog.reserve(id(8), payer(3), unpaid(5), at(0)).is_ok());
    let hold = UnitsHold::REQUESTED;
    let open = |step, seq| UnderWay { bought: payer(2), hold, step, is_held: false, seq, since: at(0) };
    let rows = [
        (id(2), open(OrderStep::Requested, 4)),
        (id(1), open(OrderStep::Requested, 3)),
        (id(3), open(OrderStep::Deferred, 5)),
        (id(4), open(OrderStep::Paid, 6)),
    ];
    story.backlog.reset(100, rows, BTreeMap::new(), []);
    assert_eq!(story.backlog.known(id(9)), None);
    assert_eq!(story.backlog.known(id(4)).map(|facts| facts.bought), Some(payer(2)));
    assert_eq!((story.place(0, 1).unwrap().0, story.place(0, 2).unwrap().0), (1, 2));
    story.tell(0, 1, &submitted());
    assert_eq!(story.place(0, 1).unwrap().0, 1, "sequence 2 is in the rows already");
    story.seq = 100;
    story.tell(0, 1, &submitted());
    assert_eq!((story.place(0, 1).unwrap().0, story.place(0, 2).unwrap().0), (0, 1));
    assert_eq!(
        story.backlog.reserve(id(5), payer(2), unpaid(2), at(0)),
        Err(Excess::Unpaid),
        "one requested and one deferred"
    );
    assert_eq!(
        story.backlog.reserve(id(6), payer(3), unpaid(1), at(0)),
        Err(Excess::Unpaid),
        "a reservation outlives it"
    );
}

/// Events that are read again after the rows have them are not looked up order by order.
#[test]
fn whose_an_order_is_that_the_rows_call_done_is_known_from_its_request() {
    let mut story = Story::new(10);
    story.backlog.reset(10, [], BTreeMap::new(), []);
    story.tell(0, 1, &requested());
    assert_eq!(story.backlog.known(id(1)).map(|facts| facts.bought), Some(payer(1)));
    assert_eq!((story.backlog.known(id(2)), story.place(0, 1)), (None, None));
    assert_eq!(
        story.backlog.forecast(Newcomer::Of(TOKEN, None), at(0)),
        Story::new(10).backlog.forecast(Newcomer::Of(TOKEN, None), at(0)),
        "it waits for nothing"
    );
}

#[test]
fn a_parked_payment_is_no_unpaid_order_of_its_payer() {
    let mut story = Story::new(10);
    story.tell(0, 1, &requested());
    assert_eq!(story.backlog.reserve(id(2), payer(1), unpaid(1), at(0)), Err(Excess::Unpaid));
    story.tell(0, 1, &OrderEvent::PaymentParked(1, examples::parked_payment()));
    assert_eq!(story.backlog.reserve(id(2), payer(1), unpaid(1), at(0)), Ok(()));
    story.tell(0, 1, &confirmed());
    assert_eq!(story.place(0, 1).map(|(position, _)| position), Some(1), "an operator credited it: its mint waits");
}

#[test]
fn money_that_goes_back_waits_for_no_mint_even_if_its_payment_falls_out_of_the_chain_and_returns() {
    let reverted = OrderEvent::PaymentReverted(1, examples::reversal(7));
    let restored = OrderEvent::PaymentRestored(1, examples::own_proof());
    let mut story = Story::new(10);
    for event in [requested(), confirmed(), refund_asked(), reverted, restored] {
        story.tell(0, 1, &event);
    }
    // The payer of the second has the money back before its own payment is known to be recorded.
    for event in [requested(), submitted(), refunded(), confirmed()] {
        story.tell(0, 2, &event);
    }
    for event in [requested(), confirmed()] {
        story.tell(0, 3, &event);
    }
    assert_eq!((story.place(0, 1), story.place(0, 2)), (None, None));
    assert_eq!(story.place(0, 3).map(|(position, _)| position), Some(1), "nothing is before it");
    for event in [refund_gone(1), minted()] {
        story.tell(0, 2, &event);
        assert_eq!(story.place(0, 2), None);
    }
}
