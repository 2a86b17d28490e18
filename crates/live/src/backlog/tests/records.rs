//! Records without an order, and the units that they take.

use super::units::Shop;
use super::*;

impl Shop {
    /// The units that are left after an event of the record with the id of order `n`, which has five units.
    fn tell_record(&mut self, n: u64, event: &RecordEvent) -> u64 {
        self.0.seq += 1;
        self.0.backlog.apply_record(self.0.seq, id(n), event);
        self.left().unwrap()
    }
}

#[test]
fn a_record_without_an_order_takes_its_units_until_they_are_returned_whether_it_or_its_order_is_first() {
    let found = RecordEvent::Found(examples::found_record());
    let delivered = RecordEvent::Minted(examples::record_end());
    let returned = RecordEvent::Returned(examples::record_end());
    let used = OrderEvent::PaymentFailed(examples::failure());
    let mut shop = Shop::open(0, []);
    assert_eq!((shop.tell_record(1, &found), shop.tell_record(1, &delivered)), (25, 25), "nobody ordered");
    assert_eq!(shop.tell(1, &[requested(), confirmed(), minted()]), [25; 3], "ordered afterwards: counted once");
    assert_eq!(shop.tell(2, &[requested()]), [15]);
    assert_eq!(shop.tell_record(2, &found), 20, "the payer signed two payments with one nonce");
    assert_eq!((shop.tell(2, &[used]), shop.tell_record(2, &returned)), (vec![20], 25));
    assert_eq!(shop.reserve(3), Ok(()));
    assert_eq!(shop.tell_record(3, &found), 20);
    shop.0.backlog.release(id(3));
    assert_eq!(shop.left(), Some(20), "a reservation gives its units back once");
}

#[test]
fn whose_record_was_found_may_order_although_nothing_else_is_left() {
    let mut shop = Shop::open(30, []);
    shop.0.backlog.reset(0, [], BTreeMap::from([(TOKEN, 30)]), [id(1)]);
    assert_eq!((shop.reserve(2), shop.reserve(1), shop.left()), (Err(Excess::Units), Ok(()), Some(0)));
}
