//! The units that orders hold.

use super::*;

/// Ten units for each order, and 30 in all.
pub struct Shop(pub Story);

impl Shop {
    pub fn open(taken: u64, rows: impl IntoIterator<Item = (PaymentId, UnderWay)>) -> Self {
        let mut story = Story::new(10);
        story.backlog.reset(0, rows, BTreeMap::from([(TOKEN, taken)]), []);
        Self(story)
    }

    pub fn reserve(&mut self, n: u64) -> Result<(), Excess> {
        self.0.backlog.reserve(id(n), payer(1), OrderLimits { unpaid: 100, units: Some(30) }, at(0))
    }

    pub fn left(&self) -> Option<u64> {
        self.0.backlog.units_left(TOKEN, 30)
    }

    /// The units that are left after each of `events` of order `n`.
    pub fn tell(&mut self, n: u64, events: &[OrderEvent]) -> Vec<u64> {
        let told = |event| {
            self.0.tell(0, n, event);
            self.left().unwrap()
        };
        events.iter().map(told).collect()
    }
}

#[test]
fn the_last_units_are_reserved_once_and_what_was_not_written_gives_them_back() {
    let mut shop = Shop::open(10, []);
    assert_eq!((shop.reserve(1), shop.reserve(2), shop.reserve(3)), (Ok(()), Ok(()), Err(Excess::Units)));
    assert_eq!(shop.reserve(1), Ok(()), "the same order takes nothing more");
    shop.0.backlog.release(id(2));
    assert_eq!((shop.left(), shop.reserve(3), shop.left()), (Some(10), Ok(()), Some(0)));
    assert_eq!(shop.tell(1, &[requested()]), [0], "it became an order, and counts once");
    shop.0.backlog.release(id(1));
    assert_eq!(shop.left(), Some(0), "an order is not released");
    shop.0.backlog.expire(at(1));
    assert_eq!(shop.left(), Some(10), "of the third nobody will know");
    assert_eq!(shop.tell(3, &[requested()]), [0], "but if it comes, it counts");
}

#[test]
fn units_are_held_from_the_request_until_the_payment_fails_or_the_money_is_back() {
    let parked = OrderEvent::MintParked(1, examples::parked());
    let reverted = |n| OrderEvent::PaymentReverted(n, examples::reversal(7));
    let restored = |n| OrderEvent::PaymentRestored(n, examples::own_proof());
    let mut shop = Shop::open(0, []);
    let failed = OrderEvent::PaymentFailed(examples::failure());
    assert_eq!(shop.tell(1, &[requested(), submitted(), failed]), [20, 20, 30]);
    let (sent, back_again) =
        (OrderEvent::RefundSubmitted(1, examples::submission(9)), OrderEvent::RefundRestored(1, examples::refunded()));
    assert_eq!(shop.tell(2, &[requested(), confirmed(), refund_asked(), sent, refunded()]), [20, 20, 20, 20, 30]);
    assert_eq!(shop.tell(2, &[reverted(1), restored(1)]), [30, 30], "the money is back all the same");
    assert_eq!(
        shop.tell(2, &[refund_gone(1), back_again, refund_gone(2), minted()]),
        [20, 30, 20, 20],
        "minted after all"
    );
    let gone = OrderEvent::MintReverted(1, examples::reversal(8));
    assert_eq!(shop.tell(2, &[gone, reverted(2), restored(2), minted()]), [20; 4], "a minted order keeps its units");
    assert_eq!(shop.tell(3, &[requested(), confirmed(), parked]), [10; 3], "an operator may still have it minted");
    assert_eq!(shop.tell(3, &[refunded()]), [20], "its payer took the money back");
}

/// A new account without money signs for all that is left.
#[test]
fn an_order_without_money_holds_no_units_once_it_has_been_tried() {
    let mut shop = Shop::open(0, []);
    let whole = [1, 2, 3].map(|n| (shop.reserve(n), shop.tell(n, &[requested()])));
    assert_eq!(whole.map(|(taken, left)| (taken, left[0])), [(Ok(()), 20), (Ok(()), 10), (Ok(()), 0)]);
    assert_eq!(shop.reserve(4), Err(Excess::Units), "until the sender has tried them");
    for n in [1, 2, 3] {
        shop.tell(n, &[waits(1, WaitReason::Unfunded)]);
    }
    assert_eq!((shop.left(), shop.reserve(4), shop.reserve(1)), (Some(30), Ok(()), Ok(())));
    assert_eq!(shop.tell(4, &[requested(), submitted(), confirmed(), minted()]), [20; 4], "somebody else buys");
    assert_eq!(shop.tell(1, &[submitted(), confirmed()]), [10; 2], "funded after all: taken again");
    let failed = OrderEvent::PaymentFailed(examples::failure());
    assert_eq!(shop.tell(2, &[waits(2, WaitReason::SoldOut), failed]), [10; 2], "given back once");
    assert_eq!(shop.tell(3, &[submitted(), waits(2, WaitReason::NotAttempted)]), [0; 2], "sent again immediately");
    assert_eq!(shop.tell(3, &[waits(3, WaitReason::SignatureRefused), confirmed()]), [10, 0], "settled by somebody");
}

#[test]
fn a_restart_goes_on_from_the_units_in_the_rows() {
    let hold = UnitsHold::REQUESTED;
    let (bought, step) = (payer(1), OrderStep::GoingBack);
    let going_back = UnderWay { bought, hold, step, is_held: false, seq: 1, since: at(0) };
    let mut shop = Shop::open(20, [(id(1), going_back)]);
    assert_eq!((shop.left(), shop.reserve(2), shop.reserve(3)), (Some(10), Ok(()), Err(Excess::Units)));
    assert_eq!(shop.tell(1, &[refunded()]), [10], "its units were taken, and no longer");
    shop.0.tell_of_old(9, &[requested(), confirmed(), refunded()], &refund_gone(1));
    assert_eq!(shop.left(), Some(0), "an order that the rows call finished takes its units again");
    shop.0.backlog.reset(100, [], BTreeMap::from([(TOKEN, 10)]), []);
    assert_eq!(shop.left(), Some(10), "a reservation outlives it");
    shop.0.backlog.clear(200);
    assert_eq!((shop.left(), shop.reserve(3)), (None, Ok(())), "nobody is refused before the rows are read");
    shop.0.backlog.reset(200, [], BTreeMap::new(), []);
    assert_eq!(shop.left(), Some(10), "both reservations count");
    assert_eq!(shop.0.backlog.units_left(examples::SIGNER, 7), Some(7), "a token without orders");
}
