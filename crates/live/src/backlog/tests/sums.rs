//! The units that are left: the same by the events, by the rows, and by the rows with the events behind them.

use super::*;
use crate::follower::open_of;
use domain::order::{LegState, Progress};
use domain::{Event, Recorded, StoredMessage};
use std::sync::LazyLock;
use store::{OpenOrder, PaymentView, Stamp, project};

/// Units of the token.
const MAX: u64 = 1_000;
/// Orders of a story, of ten units each.
const ORDERS: u64 = 12;
/// Steps of a story, most of which some order takes.
const STEPS: usize = 300;

/// A row of numbers that look random.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn of<T: Clone>(&mut self, some: &[T]) -> T {
        some[self.below(some.len())].clone()
    }
}

/// An event of an order, or of a record with the id of one.
#[derive(Clone)]
enum Told {
    Order(OrderEvent),
    Record(RecordEvent),
}

/// An event that fits the numbers of `progress`. Most do not fit its states.
fn any_event(chance: &mut Chance, Progress { payment, mint, refund, hold }: Progress) -> OrderEvent {
    use OrderEvent as E;
    let (tx, gone) = (examples::submission, examples::reversal);
    let reason = chance.of(&[
        WaitReason::Unfunded,
        WaitReason::AuthorizationUsedOrCancelled,
        WaitReason::NotAttempted,
        WaitReason::SoldOut,
        WaitReason::AssetPaused,
        WaitReason::Unexplained,
    ]);
    chance.of(&[
        E::PaymentSubmitted(payment.counts.submitted + 1, tx(7)),
        waits(payment.counts.deferred + 1, reason),
        waits(payment.counts.deferred + 1, reason),
        E::PaymentParked(payment.counts.parked + 1, examples::parked_payment()),
        confirmed(),
        E::PaymentReverted(payment.counts.reverted + 1, gone(7)),
        E::PaymentRestored(payment.counts.reverted, examples::own_proof()),
        E::PaymentFailed(examples::failure()),
        E::OrderHeld(hold.count + 1, examples::order_hold()),
        E::OrderReleased(hold.count, examples::redrive()),
        E::MintSubmitted(mint.counts.submitted + 1, tx(8)),
        minted(),
        E::MintReverted(mint.counts.reverted + 1, gone(8)),
        E::MintRestored(mint.counts.reverted, examples::own_mint()),
        refund_asked(),
        E::RefundSubmitted(refund.counts.submitted + 1, tx(9)),
        refunded(),
        E::RefundReverted(refund.counts.reverted + 1, gone(9)),
        E::RefundRestored(refund.counts.reverted, examples::refunded()),
    ])
}

/// The rows of a token's orders and records.
#[derive(Clone, Default)]
struct Rows {
    orders: BTreeMap<u64, PaymentView>,
    /// True while the record holds its five units.
    records: BTreeMap<u64, bool>,
}

impl Rows {
    /// Folds an event. Returns false if no decider would have written it.
    fn apply(&mut self, n: u64, seq: u64, told: &Told) -> bool {
        match told {
            Told::Order(event) => {
                let stamp = Stamp { seq, recorded_at: at(0) };
                let row = project(self.orders.get(&n), of(n), event, stamp);
                row.map(|row| self.orders.insert(n, row)).is_ok()
            }
            Told::Record(event) => match (self.records.get(&n), event) {
                (None, RecordEvent::Found(_)) => self.records.insert(n, true).is_none(),
                (Some(true), RecordEvent::Returned(_)) => self.records.insert(n, false).is_some(),
                _ => false,
            },
        }
    }

    fn taken(&self) -> u64 {
        let orders = self.orders.iter().filter(|(n, row)| row.hold().holds() && !self.records.contains_key(*n)).count();
        let records = self.records.values().filter(|holds| **holds).count();
        u64::try_from(10 * orders + 5 * records).unwrap()
    }

    fn open(&self) -> impl Iterator<Item = (PaymentId, UnderWay)> {
        self.orders.values().filter_map(|row| open_of(&open_row(row), at(0)))
    }

    fn is_open(&self, n: u64) -> bool {
        self.orders.get(&n).is_some_and(|row| open_of(&open_row(row), at(0)).is_some())
    }
}

fn open_row(row: &PaymentView) -> OpenOrder {
    OpenOrder {
        id: row.id,
        payer: row.payer,
        token: row.token,
        quantity: row.quantity,
        goes_back: row.refund_state != LegState::Unasked,
        stage: row.stage,
        is_held: row.held_by.is_some(),
        hold: row.hold(),
        requested_seq: row.requested_seq,
        paid_seq: row.paid_seq,
    }
}

/// The request of order `n`.
fn request(n: u64) -> domain::PaymentRequest {
    let mut request = examples::request().into_fields();
    request.authorization.nonce = alloy_primitives::U256::from(n).into();
    let authorization = &request.authorization;
    request.payment_key = PaymentKey::new(request.chain_id, request.asset, authorization.from, authorization.nonce);
    domain::PaymentRequest::new(request).unwrap()
}

fn of(n: u64) -> PaymentId {
    static IDS: LazyLock<Vec<PaymentId>> = LazyLock::new(|| (0..ORDERS).map(|n| request(n).id()).collect());
    IDS[usize::try_from(n).unwrap()]
}

/// A story that could be, with the rows after each event.
fn story(seed: u64) -> Vec<(u64, Told, Rows)> {
    let (mut chance, mut rows, mut events) = (Chance(seed), Rows::default(), Vec::new());
    for _ in 0..STEPS {
        let n = u64::try_from(chance.below(usize::try_from(ORDERS).unwrap())).unwrap();
        let record = [RecordEvent::Found(examples::found_record()), RecordEvent::Returned(examples::record_end())];
        // A record is found beside an order only if the order is not its own: it is neither paid nor minted.
        let is_unpaid = rows.orders.get(&n).is_none_or(|row| row.paid_at.is_none() && row.minted_at.is_none());
        let told = match (rows.orders.get(&n), chance.below(20)) {
            (_, 0) if is_unpaid => Told::Record(chance.of(&record)),
            (None, _) => Told::Order(OrderEvent::PaymentRequested(Box::new(request(n)))),
            (Some(row), _) => Told::Order(any_event(&mut chance, row.progress())),
        };
        let seq = u64::try_from(events.len()).unwrap() + 1;
        if rows.apply(n, seq, &told) {
            events.push((n, told, rows.clone()));
        }
    }
    events
}

/// An event with its sequence, as the ledger tells it.
fn recorded(seq: u64, n: u64, event: &OrderEvent) -> Recorded {
    let message =
        StoredMessage { seq, subject: String::new(), headers: None, payload: bytes::Bytes::new(), recorded_at: at(0) };
    Recorded { message, event: Ok(Event::Order(of(n), event.clone())), trace: None }
}

/// Tells a picture the events behind `position`, as the follower does: an order that it does not know is read from the
/// ledger.
fn follow(backlog: &mut Backlog, events: &[(u64, Told, Rows)], position: usize) {
    for (seq, (n, told, _)) in (1_u64..).zip(events).skip(position) {
        match told {
            Told::Record(event) => backlog.apply_record(seq, of(*n), event),
            Told::Order(event) => {
                let history = || {
                    let orders = (1_u64..).zip(events).filter_map(|(seq, (of, told, _))| match told {
                        Told::Order(event) if of == n => Some(recorded(seq, *n, event)),
                        _ => None,
                    });
                    OrderFacts::before(seq, &orders.collect::<Vec<_>>()).unwrap()
                };
                let facts = backlog.known(of(*n)).unwrap_or_else(history);
                backlog.apply((seq, at(0)), (of(*n), event), facts);
            }
        }
    }
}

#[test]
fn whatever_happens_the_units_are_the_same_by_events_by_rows_and_after_a_restart() {
    let (mut waited, mut came_back) = (0, 0);
    for seed in 0..60 {
        let events = story(seed);
        let last = &events.last().unwrap().2;
        let mut live = Backlog::new(10);
        live.reset(0, [], BTreeMap::new(), []);
        for position in 0..events.len() {
            let before = live.units_left(TOKEN, MAX).unwrap();
            follow(&mut live, &events[..=position], position);
            let (n, told, rows) = &events[position];
            let left = live.units_left(TOKEN, MAX).unwrap();
            assert_eq!(left, MAX - rows.taken(), "seed {seed}, event {position}");
            waited += u32::from(left > before && rows.is_open(*n));
            came_back += u32::from(left < before && !matches!(told, Told::Order(OrderEvent::PaymentRequested(_))));
        }
        // Another process starts at some position, with what the rows have there, and reads the rest.
        for position in (0..events.len()).step_by(11) {
            let rows = &events[position].2;
            let mut started = Backlog::new(10);
            let taken = BTreeMap::from([(TOKEN, rows.taken())]);
            let position = position + 1;
            started.reset(u64::try_from(position).unwrap(), rows.open(), taken, rows.records.keys().map(|n| of(*n)));
            follow(&mut started, &events, position);
            assert_eq!(started.units_left(TOKEN, MAX), Some(MAX - last.taken()), "seed {seed}, from {position} on");
        }
    }
    assert!(waited > 300 && came_back > 300, "units went to and fro: {waited}, {came_back}");
}
