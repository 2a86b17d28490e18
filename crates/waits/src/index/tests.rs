use super::*;
use alloy_primitives::B256;
use domain::{Bill, PaymentKey, Usdc};

fn id(n: u64) -> PaymentId {
    PaymentId::of(PaymentKey(B256::left_padding_from(&n.to_be_bytes())))
}

fn party(token: u8, payer: u8) -> Party {
    Party { token: Address::repeat_byte(token), payer: Address::repeat_byte(payer), ..Party::default() }
}

/// An order against which something speaks.
fn waiting(n: u64, party: Party) -> Waiting {
    Waiting { id: id(n), party, seq: n, is_new: false, watched: None }
}

fn ids(taken: &[DueOrder]) -> Vec<PaymentId> {
    taken.iter().map(|order| order.waiting.id).collect()
}

#[test]
fn orders_come_by_due_time_and_none_before_it() {
    let mut index = Index::default();
    for (n, due) in [(1, 30), (2, 10), (3, 20)] {
        index.put(waiting(n, party(1, 1)), 0, due);
    }
    let table = [(9, vec![]), (10, vec![id(2)]), (10, vec![]), (40, vec![id(3), id(1)]), (99, vec![])];
    for (now, expected) in table {
        assert_eq!(ids(&index.take(now, 0, 0, 10)), expected, "at {now}");
    }
    assert_eq!(index.len(), 3, "taken, and not answered");
}

#[test]
fn what_is_due_is_taken_fairly_and_no_more_than_asked_for() {
    let mut index = Index::default();
    (0..100).for_each(|n| index.put(waiting(n, party(1, 1)), 0, n));
    index.put(waiting(200, party(1, 2)), 0, 200);
    index.put_due(waiting(300, party(2, 1)), 0, 0);
    assert_eq!(ids(&index.take(300, 0, 0, 3)), [id(300), id(0), id(200)]);
}

#[test]
fn a_new_order_takes_no_share_of_the_pace_until_it_was_tried_three_times_in_vain() {
    let new = |n| Waiting { is_new: true, ..waiting(n, party(1, 1)) };
    let mut index = Index::default();
    (0..9).for_each(|n| index.put_due(waiting(n, party(1, 1)), 0, 0));
    index.put_due(new(10), 0, 0);
    index.put_due(new(11), 0, 0);
    assert_eq!(index.fresh(), 2);
    assert_eq!(ids(&index.take(0, 0, 1, 1)), [id(10), id(0)]);
    assert_eq!(index.take(0, 0, 0, 99).len(), 8, "the others are out of the way");
    let mut taken = index.take(0, 0, 1, 0)[0];
    for tries in 1..4 {
        index.again(&taken, false, tries);
        assert!(index.take(tries - 1, 0, 1, 0).is_empty(), "not due");
        taken = index.take(tries, 0, 1, 0)[0];
        assert_eq!((taken.waiting.id, taken.tries), (id(11), tries - 1), "handed back, which is no try");
        index.again(&taken, true, tries);
        taken = index.take(tries, 0, 1, 9).pop().unwrap();
    }
    assert_eq!((taken.waiting.id, taken.is_fresh(), index.fresh()), (id(11), false, 0));
    index.put(new(11), 0, 9);
    assert_eq!((index.len(), index.new_orders()), (11, 2));
    index.put(waiting(10, party(1, 1)), 0, 9);
    let taken = index.take(9, 0, 1, 0)[0];
    index.done(&taken);
    assert_eq!((index.len(), index.new_orders()), (10, 0), "one is answered, and something speaks against the other");
}

#[test]
fn a_taken_order_is_out_until_it_is_answered_and_a_late_answer_changes_nothing() {
    let mut index = Index::default();
    let order = waiting(1, party(1, 1));
    index.put(order, 2, 5);
    let taken = index.take(5, 0, 0, 10)[0];
    assert_eq!((taken.tries, taken.waiting), (2, order));
    assert!(!index.adopt(order, 0, None), "it is known, although it is out");
    assert!(index.take(100, 0, 0, 10).is_empty());
    index.again(&taken, true, 20);
    index.done(&taken);
    assert_eq!(index.len(), 1, "an answer is taken once");
    let taken = index.take(20, 0, 0, 10)[0];
    assert_eq!(taken.tries, 3);
    // A message says that it waits anew while the answer about its earlier try is still on its way.
    index.put(order, 0, 30);
    index.done(&taken);
    assert_eq!(ids(&index.take(30, 0, 0, 10)), [id(1)]);
}

#[test]
fn the_order_that_came_due_first_is_overdue_until_it_is_answered() {
    let mut index = Index::default();
    (1..=3).for_each(|n| index.put(waiting(n, party(1, 1)), 0, n));
    assert_eq!(index.most_overdue(), None, "it is looked for");
    let taken = index.take(2, 0, 0, 1)[0];
    assert_eq!(index.most_overdue(), Some((1, id(1))), "it is taken, and not answered");
    index.again(&taken, true, 9);
    assert_eq!(index.most_overdue(), Some((2, id(2))));
    let taken = index.take(3, 0, 0, 1)[0];
    index.done(&taken);
    assert_eq!(index.most_overdue(), Some((3, id(3))));
    index.put(waiting(3, party(1, 1)), 0, 9);
    assert_eq!(index.most_overdue(), None);
}

#[test]
fn an_order_that_is_put_again_has_its_last_due_time_only() {
    let mut index = Index::default();
    let [one, two, three] = [1, 2, 3].map(|n| waiting(n, party(1, 1)));
    index.put(one, 0, 10);
    index.put(one, 0, 30);
    assert!(index.take(29, 0, 0, 10).is_empty());
    assert_eq!(index.take(30, 0, 0, 10).len(), 1);
    // Due twice, and put between: taken once.
    index.put(two, 0, 29);
    index.put(three, 0, 30);
    assert_eq!(index.take(30, 0, 0, 1).len(), 1);
    index.put(three, 0, 31);
    assert_eq!(index.take(31, 0, 0, 10).len(), 1);
}

#[test]
fn fifty_thousand_orders_wait_and_a_new_one_is_taken_in_the_next_round() {
    let mut index = Index::default();
    for n in 0..50_000_u64 {
        let payer = Address::left_padding_from(&(n / 16).to_be_bytes());
        index.put(waiting(n, Party { token: Address::repeat_byte(1), payer, ..Party::default() }), 0, n % 10);
    }
    assert_eq!(index.take(10, 0, 0, 20).len(), 20);
    index.put(waiting(99_999, party(2, 9)), 0, 10);
    assert!(ids(&index.take(10, 0, 0, 20)).contains(&id(99_999)), "another token has its turn");
    assert_eq!(index.len(), 50_001);
}

/// An order that waits for its money.
fn watched(n: u64) -> Waiting {
    let watched = Watched { bill: Bill { payer: Address::ZERO, value: Usdc(1), nonce: B256::ZERO }, valid_before: 0 };
    Waiting { watched: Some(watched), ..waiting(n, party(1, 1)) }
}

#[test]
fn a_watched_order_comes_at_news_or_at_its_end_and_at_no_time_between() {
    let mut index = Index::default();
    (1..=3).for_each(|n| index.put_watched(watched(n), 0, 5, Some(100)));
    index.saw(id(1), true, 4);
    assert!(index.take(99, 0, 9, 9).is_empty(), "its pause was not over, and nobody has news");
    assert_eq!(index.most_overdue(), None);
    index.saw(id(1), false, 99);
    index.saw(id(1), true, 99);
    index.saw(id(2), true, 99);
    let taken = index.take(99, 0, 9, 0);
    assert_eq!((ids(&taken), taken[0].is_fresh()), (vec![id(1)], true), "at once");
    assert_eq!(ids(&index.take(99, 0, 0, 9)), [id(2)], "nothing has changed since it was tried: at the common pace");
    assert_eq!(ids(&index.take(100, 0, 0, 9)), [id(3)]);
    index.again(&taken[0], true, 99);
    index.saw(id(1), true, 99);
    assert!(index.take(99, 0, 9, 9).is_empty(), "it rests anew, and the news is old");
    assert_eq!(ids(&index.take(100, 0, 0, 9)), [id(1)]);
    index.saw(id(1), true, 100);
    assert!(index.take(100, 0, 9, 9).is_empty(), "it is out");
}

#[test]
fn without_a_watch_orders_come_back_at_their_times() {
    let mut index = Index::default();
    (1..=2).for_each(|n| index.put_watched(watched(n), 0, 5 * n, Some(100)));
    assert!(index.take(5, 0, 9, 9).is_empty());
    index.watch(false, 6);
    assert_eq!(ids(&index.take(6, 0, 9, 9)), [id(1)]);
    assert_eq!(ids(&index.take(10, 0, 9, 9)), [id(2)]);
    index.watch(true, 11);
    index.put_watched(watched(3), 0, 12, Some(100));
    assert!(index.take(99, 0, 9, 9).is_empty());
}

#[test]
fn the_watch_goes_round_over_all_that_sleep() {
    let mut index = Index::default();
    (1..=5).for_each(|n| index.put_watched(watched(n), 0, 5, Some(100)));
    index.put(waiting(9, party(1, 1)), 0, 5);
    let page = |index: &Index<u64>, after, max| index.watched(after, max).iter().map(|it| it.id).collect::<Vec<_>>();
    let all = page(&index, None, 9);
    assert_eq!(all.len(), 5, "the sixth is not watched");
    assert_eq!([page(&index, None, 3), page(&index, Some(all[2]), 3)].concat(), all);
    index.take(5, 0, 0, 9);
    index.saw(all[0], true, 5);
    assert_eq!(page(&index, None, 9), all[1..], "it is due");
    index.put(waiting(2, party(1, 1)), 0, 5);
    assert!(!page(&index, None, 9).contains(&id(2)), "it waits for its time now");
}
