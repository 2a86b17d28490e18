//! A past of orders: each paid and minted, by transactions of two lanes, in the order in which a running installation
//! writes them. An order's events are spread over those of five rounds.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use domain::event::{Claimed, Minted, OpenTx, PaymentProof, Purpose, Settled, Submission};
use domain::{
    Authorization, BlockRef, Event, IdempotencyKey, IdempotencyKeySource, KeyBound, KeyEvent, LaneId, OrderEvent,
    PaymentId, PaymentKey, PaymentRequest, Purchase, RequestFields, SignerEvent, TokenEvent, TokenTerms, examples,
};

/// Orders in one transaction.
const ITEMS: u64 = 25;
/// Steps of an order, from the request to the mint.
const STEPS: u64 = 5;
/// Events of one round: five for each order, two for each transaction, five keys and one deferral.
const PER_ROUND: u64 = ITEMS * STEPS + 4 + 5 + 1;
/// Bytes of a signed transaction for each order in it.
const BYTES: usize = 300;
/// Tokens that are sold.
const TOKENS: u64 = 100;
/// A process starts, and claims its lane, about every so many transactions.
const CLAIM_EVERY: u64 = 500;

/// The past, by its number of rounds. Each has one settlement and one mint transaction.
#[derive(Clone, Copy, Debug)]
pub struct Orders {
    rounds: u64,
}

impl Orders {
    /// A past of about `events` events.
    pub fn of(events: u64) -> Self {
        Self { rounds: events.div_ceil(PER_ROUND) }
    }

    /// Number of orders.
    pub fn count(self) -> u64 {
        self.rounds * ITEMS
    }

    /// Every event, in order.
    pub fn events(self) -> impl Iterator<Item = Event> {
        let tokens = (0..TOKENS).map(|at| {
            let terms = TokenTerms { token: token(at), ..examples::terms() };
            Event::Token(terms.token, TokenEvent::Registered(Box::new(terms)))
        });
        let ticks = (0..self.rounds + STEPS).flat_map(move |tick| {
            let steps = (0..STEPS).filter_map(move |step| Some((tick.checked_sub(step)?, step)));
            steps.filter(move |(round, _)| *round < self.rounds).flat_map(|(round, step)| events(round, step))
        });
        tokens.chain(ticks)
    }
}

/// The id of an order, by its number.
pub fn id(order: u64) -> PaymentId {
    PaymentId::of(key(order))
}

fn key(order: u64) -> PaymentKey {
    PaymentKey::new(examples::CHAIN_ID, examples::ASSET, payer(order), nonce(order))
}

fn hash(what: &str, number: u64) -> B256 {
    keccak256(format!("paymint bench {what} {number}"))
}

/// Every payer has some ten orders.
fn payer(order: u64) -> Address {
    Address::from_word(hash("payer", order / 10))
}

fn nonce(order: u64) -> B256 {
    hash("nonce", order)
}

fn token(at: u64) -> Address {
    Address::from_word(hash("token", at % TOKENS))
}

fn lane(purpose: Purpose) -> LaneId {
    LaneId::new(Address::from_word(hash("lane", u64::from(purpose == Purpose::Mint))), purpose)
}

/// The first block: final on every chain, so that no service looks for it there.
fn block() -> BlockRef {
    BlockRef { number: 0, hash: B256::repeat_byte(1) }
}

/// The events of one step of all orders of a round.
fn events(round: u64, step: u64) -> Vec<Event> {
    let orders = round * ITEMS..(round + 1) * ITEMS;
    let of_orders = |event: &dyn Fn(u64) -> OrderEvent| -> Vec<Event> {
        orders.clone().map(|order| Event::Order(id(order), event(order))).collect()
    };
    let purpose = if step < 3 { Purpose::Settle } else { Purpose::Mint };
    let submission = Submission { signer: lane(purpose).signer, nonce: round, tx_hash: tx_hash(purpose, round) };
    match step {
        0 => orders.flat_map(requested).collect(),
        1 => [signed(purpose, round), of_orders(&|_| OrderEvent::PaymentSubmitted(1, submission.clone()))].concat(),
        2 => {
            let proof = || PaymentProof { tx_hash: submission.tx_hash, block: block(), ..examples::proof() };
            [of_orders(&|_| OrderEvent::PaymentConfirmed(proof())), vec![settled(purpose, round)]].concat()
        }
        3 => [signed(purpose, round), of_orders(&|_| OrderEvent::MintSubmitted(1, submission.clone()))].concat(),
        _ => {
            let minted =
                |order| Minted { tx_hash: submission.tx_hash, block: block(), to: payer(order), ..examples::minted() };
            [of_orders(&|order| OrderEvent::MintConfirmed(minted(order))), vec![settled(purpose, round)]].concat()
        }
    }
}

/// The request of an order; for some also the name that its payer gave it, or a wait.
fn requested(order: u64) -> Vec<Event> {
    let id = id(order);
    let mut events = vec![request_event(order)];
    if order.is_multiple_of(5) {
        let key = IdempotencyKey::new(payer(order), IdempotencyKeySource::Header, &format!("order {order}"));
        events.push(Event::Key(key, KeyEvent::Bound(KeyBound { payment_id: id })));
    }
    if order.is_multiple_of(ITEMS) {
        events.push(Event::Order(id, OrderEvent::PaymentDeferred(1, examples::deferral())));
    }
    events
}

/// The first event of an order.
pub fn request_event(order: u64) -> Event {
    let request = request(payer(order), token(order), nonce(order));
    Event::Order(id(order), OrderEvent::PaymentRequested(Box::new(request)))
}

/// A name of an order that nobody has given before.
pub fn new_key() -> Event {
    let key = IdempotencyKey { payer: payer(0), digest: B256::from(rand::random::<[u8; 32]>()) };
    Event::Key(key, KeyEvent::Bound(KeyBound { payment_id: id(0) }))
}

fn request(from: Address, token: Address, nonce: B256) -> PaymentRequest {
    let example = examples::request().into_fields();
    let Purchase::Mint { quantity, unit_price, .. } = example.purchase;
    let fields = RequestFields {
        payment_key: PaymentKey::new(example.chain_id, example.asset, from, nonce),
        authorization: Authorization { from, to: token, nonce, ..example.authorization },
        purchase: Purchase::Mint { token, quantity, unit_price },
        ..example
    };
    PaymentRequest::new(fields)
        .unwrap_or_else(|why| unreachable!("key, payee and price are those of the example: {why}"))
}

fn tx_hash(purpose: Purpose, nonce: u64) -> B256 {
    hash(purpose.name(), nonce)
}

/// A signed transaction, behind a claim if a process started just then or a bucket begins.
fn signed(purpose: Purpose, nonce: u64) -> Vec<Event> {
    let items: Vec<PaymentId> = (nonce * ITEMS..(nonce + 1) * ITEMS).map(id).collect();
    let tx = OpenTx {
        purpose,
        tx_hash: tx_hash(purpose, nonce),
        raw_tx: Bytes::from(vec![0x5a; BYTES * items.len()]),
        items,
        ..examples::open_tx(nonce)
    };
    let signed = Event::Signer(lane(purpose), SignerEvent::Signed(tx));
    if !claims(nonce) {
        return vec![signed];
    }
    let epoch = (0..=nonce).filter(|nonce| claims(*nonce)).count();
    let claim = Claimed {
        epoch: u32::try_from(epoch).unwrap_or(u32::MAX),
        purpose,
        chain_id: examples::CHAIN_ID,
        instance: "bench".to_owned(),
        next_nonce: nonce,
        open: nonce.checked_sub(1).into_iter().collect(),
    };
    vec![Event::Signer(lane(purpose), SignerEvent::Claimed(claim)), signed]
}

fn claims(nonce: u64) -> bool {
    nonce.is_multiple_of(CLAIM_EVERY) || ledger::bucket(nonce) != ledger::bucket(nonce - 1)
}

fn settled(purpose: Purpose, nonce: u64) -> Event {
    let settled = Settled { tx_hash: tx_hash(purpose, nonce), block: block(), ..examples::settled(nonce) };
    Event::Signer(lane(purpose), SignerEvent::Settled(settled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn a_past_is_one_that_the_deciders_could_have_written() {
        let past = Orders::of(100_000);
        let (mut subjects, mut orders, mut lanes) = (HashSet::new(), HashMap::new(), HashMap::new());
        let mut count = 0;
        for event in past.events() {
            count += 1;
            assert!(subjects.insert(ledger::subject(&event)));
            match event {
                Event::Order(id, event) => {
                    let before = orders.remove(&id);
                    if let Some(order) = domain::order::evolve(before, &event).expect("a possible order") {
                        orders.insert(id, order);
                    }
                }
                Event::Signer(id, event) => {
                    let before = lanes.remove(&id);
                    if let Some(lane) = domain::lane::evolve(before, &event).expect("a possible lane") {
                        lanes.insert(id, lane);
                    }
                }
                _ => {}
            }
        }
        assert!((100_000..102_000).contains(&count), "{count}");
        assert_eq!(orders.len() as u64, past.count());
        assert!(orders.values().all(|order| order.mint.done().is_some()));
        assert!(lanes.values().all(|lane| lane.open.is_empty()));
    }
}
