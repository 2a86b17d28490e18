//! Shared by the tests: the events that each user writes, and stolen passwords.

use alloy_primitives::{Address, B256};
use domain::event::{Claimed, OpenTx, Purpose, Reversal};
use domain::{Event, IdempotencyKey, LaneId, OpsEvent, PaymentId, PaymentKey, RecordEvent, SignerEvent, examples};
use ledger::{Delivery, Expected, NewEvent, Outcome, event_type};
use runtime::{CancellationToken, Health};
use std::io::{BufRead, BufReader, Write};
use std::time::Duration;
use testkit::Broker;
use tokio::sync::mpsc;

/// Users of services, and the events that each of them writes. A user writes no other event.
pub const WRITES: [(&str, &[&str]); 6] = [
    ("api", &["payment.requested", "key.bound"]),
    (
        "payment-sender",
        &[
            "payment.submitted",
            "payment.deferred",
            "signer.claimed",
            "signer.signed",
            "signer.replaced",
            "signer.lost",
            "order.held",
            "ops.parked",
            "ops.stopped",
        ],
    ),
    (
        "confirmer",
        &[
            "payment.confirmed",
            "payment.failed",
            "payment.deferred",
            "payment.parked",
            "payment.reverted",
            "payment.restored",
            "mint.confirmed",
            "mint.deferred",
            "mint.parked",
            "mint.reverted",
            "mint.restored",
            "refund.deferred",
            "refund.parked",
            "refund.confirmed",
            "refund.reverted",
            "refund.restored",
            "signer.settled",
            "signer.reverted",
            "signer.resettled",
            "order.held",
            "ops.parked",
            "ops.stopped",
        ],
    ),
    (
        "mint-projector",
        &[
            "mint.submitted",
            "mint.deferred",
            "mint.parked",
            "record.found",
            "record.minted",
            "record.returned",
            "signer.claimed",
            "signer.signed",
            "signer.replaced",
            "signer.lost",
            "order.held",
            "ops.parked",
            "ops.stopped",
        ],
    ),
    (
        "operator",
        &[
            "payment.submitted",
            "payment.parked",
            "refund.requested",
            "refund.submitted",
            "refund.deferred",
            "refund.parked",
            "signer.claimed",
            "signer.signed",
            "signer.replaced",
            "signer.lost",
            "order.held",
            "ops.parked",
            "ops.stopped",
        ],
    ),
    ("read-projector", &["ops.stopped"]),
];

/// Connects as somebody who has stolen the password. The receiver yields the server's refusals.
pub async fn thief(broker: &Broker, user: &'static str) -> (async_nats::Client, mpsc::UnboundedReceiver<String>) {
    let (told, refusals) = mpsc::unbounded_channel();
    let client = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), format!("p-{user}"))
        .custom_inbox_prefix(format!("_INBOX_{user}"))
        .request_timeout(Some(Duration::from_millis(500)))
        .event_callback(move |event| {
            let told = told.clone();
            async move {
                if let async_nats::Event::ServerError(error) = event {
                    let _ = told.send(error.to_string());
                }
            }
        })
        .connect(broker.nats.url())
        .await
        .unwrap();
    (client, refusals)
}

/// Publishes, with the api's password, messages that look like answers of the server: a status line and headers of
/// the server. Returns their subjects.
pub fn hostile(broker: &Broker) -> Vec<String> {
    let mut socket = std::net::TcpStream::connect(broker.nats.url().trim_start_matches("nats://")).unwrap();
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
    lines.next().unwrap().unwrap();
    write!(
        socket,
        "CONNECT {{\"user\":\"api\",\"pass\":\"p-api\",\"headers\":true,\"verbose\":false,\"pedantic\":false}}\r\n"
    )
    .unwrap();
    let mut hostile = Vec::new();
    for (n, status) in ["204 EOB", "404 Message Not Found", "408 Request Timeout", "503"].iter().enumerate() {
        let name = format!("orders.0.{n}.mint.payment.requested");
        let header = format!("NATS/1.0 {status}\r\nNats-Sequence: 9\r\nNats-Subject: x\r\n\r\n");
        write!(socket, "HPUB {name} {} {}\r\n{header}{{}}\r\n", header.len(), header.len() + 2).unwrap();
        hostile.push(name);
    }
    write!(socket, "PING\r\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "PONG");
    hostile
}

/// The events that `user` writes, on orders and lanes of its own.
pub fn written_by(user: &str) -> Vec<Event> {
    let (position, names) =
        (1_u8..).zip(WRITES).find(|(_, (name, _))| *name == user).map(|(n, (_, names))| (n, names)).unwrap();
    // A stop would stop the other appends, so it has a test of its own.
    let all = examples::all().into_iter().filter(|event| names.contains(&name(event).as_str()));
    let all = all.filter(|event| name(event) != "ops.stopped");
    all.map(|event| moved(of_purpose(event, purpose_of(user)), position)).collect()
}

/// The purpose of the lanes that `user` works. The confirmer writes about lanes of every purpose.
pub fn purpose_of(user: &str) -> Purpose {
    match user {
        "mint-projector" => Purpose::Mint,
        "operator" => Purpose::Operate,
        _ => Purpose::Settle,
    }
}

/// Turns an event of a lane into that of a lane with this purpose.
pub fn of_purpose(event: Event, purpose: Purpose) -> Event {
    let tx = |tx| OpenTx { purpose, ..tx };
    match event {
        Event::Signer(lane, event) => {
            let event = match event {
                SignerEvent::Claimed(claim) => SignerEvent::Claimed(Claimed { purpose, ..claim }),
                SignerEvent::Signed(signed) => SignerEvent::Signed(tx(signed)),
                SignerEvent::Replaced(n, signed) => SignerEvent::Replaced(n, tx(signed)),
                other => other,
            };
            Event::Signer(LaneId { purpose, ..lane }, event)
        }
        other => other,
    }
}

/// The short name of an event type: `payment.requested` for `io.paymint.payment.requested.v1`.
pub fn name(event: &Event) -> String {
    event_type(event).trim_start_matches("io.paymint.").trim_end_matches(".v1").to_owned()
}

/// Moves an event to another order or lane. A request stays where it is, because it carries the id of its order.
pub fn moved(event: Event, to: u8) -> Event {
    match event {
        Event::Order(id, event) if event.name() == "payment.requested" => Event::Order(id, event),
        Event::Order(_, event) => Event::Order(PaymentId::of(PaymentKey(B256::repeat_byte(to))), event),
        Event::Signer(lane, SignerEvent::Reverted(n, reversal)) => {
            let signer = Address::repeat_byte(to);
            Event::Signer(LaneId { signer, ..lane }, SignerEvent::Reverted(n, Reversal { signer, ..reversal }))
        }
        Event::Signer(lane, event) => Event::Signer(LaneId { signer: Address::repeat_byte(to), ..lane }, event),
        Event::Ops(OpsEvent::Parked(mut parked)) => {
            parked.sequence += u64::from(to);
            Event::Ops(OpsEvent::Parked(parked))
        }
        Event::Ops(OpsEvent::Redriven(n, mut of)) => {
            of.sequence += u64::from(to);
            Event::Ops(OpsEvent::Redriven(n, of))
        }
        Event::Ops(OpsEvent::Stopped(n, why)) => Event::Ops(OpsEvent::Stopped(n + u32::from(to), why)),
        Event::Ops(OpsEvent::Resumed(n, why)) => Event::Ops(OpsEvent::Resumed(n + u32::from(to), why)),
        Event::Key(key, event) => Event::Key(IdempotencyKey { payer: Address::repeat_byte(to), ..key }, event),
        Event::Record(id, event @ RecordEvent::Found(_)) => Event::Record(id, event),
        Event::Record(_, event) => Event::Record(PaymentId::of(PaymentKey(B256::repeat_byte(to))), event),
        token @ Event::Token(..) => token,
    }
}

/// A running consumer loop. Every delivery is reported to the test, and answered by the test's handler.
pub struct Served {
    pub health: Health,
    pub stop: CancellationToken,
    told: mpsc::UnboundedReceiver<Delivery>,
    running: tokio::task::JoinHandle<()>,
}

impl Served {
    /// Serves the consumer `durable` as `user`.
    pub async fn by<F: Future<Output = Outcome> + Send + 'static>(
        broker: &Broker,
        user: &str,
        durable: &'static str,
        handler: impl Fn(Delivery) -> F + Send + Sync + 'static,
    ) -> Self {
        let (health, stop) = (Health::default(), CancellationToken::new());
        let inbox = broker.ledger(user).await.inbox(durable, health.clone()).await.unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        let running = tokio::spawn(inbox.run(stop.clone(), 100, move |delivery| {
            let _ = tell.send(delivery.clone());
            handler(delivery)
        }));
        Self { health, stop, told, running }
    }

    /// The next delivery.
    pub async fn next(&mut self) -> Delivery {
        tokio::time::timeout(Duration::from_secs(20), self.told.recv()).await.unwrap().unwrap()
    }

    /// Deliveries that were reported and that the test has not taken.
    pub fn more(&mut self) -> Vec<Delivery> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }

    /// Ends the loop immediately, like SIGKILL.
    pub fn kill(self) {
        self.running.abort();
    }

    /// Stops the loop, and waits for its end.
    pub async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.running).await.unwrap().unwrap();
    }
}

/// An event to append that expects nothing on its subject.
pub fn new(event: Event) -> NewEvent {
    NewEvent { event, expected: Expected::Absent, trace: None }
}
