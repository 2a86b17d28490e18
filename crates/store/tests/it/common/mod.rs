//! Shared by the tests: events to fill the tables with.

use alloy_primitives::B256;
use chrono::{DateTime, Duration, Utc};
use domain::event::{OrderEvent, TokenEvent};
use domain::{Event, PaymentId, PaymentKey, PaymentRequest, Recorded, StoredMessage, examples};
use store::{Position, READ_MODELS, Store};

pub fn incarnation() -> DateTime<Utc> {
    at(0)
}

/// `seconds` after the beginning, with more digits than Postgres keeps.
pub fn at(seconds: u64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_799_999_500, 123_456_789).unwrap() + Duration::seconds(i64::try_from(seconds).unwrap())
}

pub async fn begin(store: &Store) -> Position {
    store.open(READ_MODELS, incarnation()).await.unwrap()
}

/// `event` as it would come from the ledger at `seq`.
pub fn recorded(seq: u64, event: Event) -> Recorded {
    let message = StoredMessage {
        seq,
        subject: format!("test.{seq}"),
        headers: (!seq.is_multiple_of(3)).then(|| format!("Content-Type: application/{seq}\r\n").into_bytes()),
        payload: format!("{{\"seq\":{seq}}}").into_bytes().into(),
        recorded_at: at(seq),
    };
    Recorded { message, event: Ok(event), trace: None }
}

/// `events` from sequence `first` on.
pub fn history(first: u64, events: impl IntoIterator<Item = Event>) -> Vec<Recorded> {
    (first..).zip(events).map(|(seq, event)| recorded(seq, event)).collect()
}

pub fn order(id: PaymentId, event: OrderEvent) -> Event {
    Event::Order(id, event)
}

pub fn registered() -> Event {
    Event::Token(examples::TOKEN, TokenEvent::Registered(Box::new(examples::terms())))
}

/// The `n`th request: the example with another nonce.
pub fn request(n: u8) -> PaymentRequest {
    request_with(B256::repeat_byte(n))
}

/// The example with this nonce.
pub fn request_with(nonce: B256) -> PaymentRequest {
    let mut request = examples::request().into_fields();
    request.authorization.nonce = nonce;
    let authorization = &request.authorization;
    request.payment_key = PaymentKey::new(request.chain_id, request.asset, authorization.from, authorization.nonce);
    PaymentRequest::new(request).unwrap()
}

/// One order from its request to its units.
pub fn minted_order(n: u8) -> (PaymentId, Vec<Event>) {
    let request = request(n);
    let id = request.id();
    let events = [
        OrderEvent::PaymentRequested(Box::new(request)),
        OrderEvent::PaymentSubmitted(1, examples::submission(7)),
        OrderEvent::PaymentConfirmed(examples::proof()),
        OrderEvent::MintSubmitted(1, examples::submission(8)),
        OrderEvent::MintConfirmed(examples::minted()),
    ];
    (id, events.map(|event| order(id, event)).into())
}
