//! A small load with everything that can happen to a purchase, and its journal.

use crate::controls::{strangers, trouble};
use alloy_primitives::hex;
use harness::journal::{fired_line, now, request_line};
use harness::{Answer, Buyer, Frames, Instance, Order, Outcome, Payment, Service, Stack, eventually};
use serde_json::{Value, json};
use standalone::accounts::OWNER;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Number of plain purchases.
const ORDERS: usize = 30;

/// Number of purchases after which the processes are warm.
const WARM: usize = 14;

/// After the load has ended, a client that receives nothing for this long has received everything.
const SILENCE: Duration = Duration::from_millis(700);

/// Lines of the journal.
#[derive(Clone, Debug, Default)]
pub struct Journal(pub Vec<Value>);

impl Journal {
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.text()).unwrap();
    }

    /// The journal as the auditor reads it.
    pub fn text(&self) -> String {
        self.0.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Sends a purchase and records it. With `lost` it is recorded as if its answer had never come.
    pub async fn buy(
        &mut self,
        stack: &Stack,
        payment: &Payment,
        header: (&str, String),
        key: Option<&str>,
        lost: bool,
    ) -> Answer {
        let path = format!("/api/mint/{}", payment.terms.token);
        let body = json!({ "quantity": payment.quantity }).to_string();
        let mut request =
            stack.http.post(stack.url(Service::Api, &path)).header(header.0, &header.1).body(body.clone());
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let at = now();
        let answer = Answer::of(request.send().await.unwrap()).await.unwrap();
        let told = json!({ "status": answer.status, "body": answer.text });
        self.0.push(request_line(at, &path, (header.0, &header.1), key, &body, if lost { Value::Null } else { told }));
        answer
    }
}

/// Facts about the load that the controls need.
pub struct Load {
    pub journal: Journal,
    /// An order that was accepted, cancelled by its payer, and failed by proof.
    pub cancelled: Payment,
    /// An order that was paid around the token, and is parked.
    pub around: Payment,
    /// Orders that others had a hand in, or whose money went back.
    pub touched: strangers::Touched,
    /// A payment that strangers settled and had minted, and that nobody ordered.
    pub unordered: Payment,
    /// The first order, paid and minted by us.
    pub first: Order,
    /// A payer with money and without an open order.
    pub idle: Buyer,
}

/// Makes purchases of all kinds: both generations of headers, keys, repetitions, lost answers, refused payments and
/// cancelled ones. In the middle payment-sender is killed. Then one nonce is replaced, one order is taken back by a
/// reorg, and one nonce is lost. Strangers settle, mint and pay around the token, with our orders and without. Our
/// operator credits and returns, and is away at the end.
pub async fn run(stack: &mut Stack, buyers: &[Buyer]) -> Load {
    let mut journal = Journal::default();
    let token = stack.shop.token.clone();
    let clients = [
        ("of-the-token", json!({ "token": token.token }), format!("?token={}", token.token)),
        ("of-a-payer", json!({ "payer": buyers[0].address }), format!("?payer={}", buyers[0].address)),
    ];
    let mut listeners = Vec::new();
    for (name, filter, query) in clients {
        listeners.push(Listener::open(stack, name, filter, query).await);
    }
    let processes = Service::ALL.map(Instance::from);
    let mut orders = Vec::new();
    for n in 0..ORDERS {
        let payment = buyers[n % 5].pay(&token, u32::try_from(1 + n % 3).unwrap());
        let header = if n % 2 == 0 { payment.v2() } else { payment.v1() };
        let key = format!("purchase-{n}");
        let key = (n % 4 == 0).then_some(key.as_str());
        let answer = journal.buy(stack, &payment, header, key, n % 7 == 6).await;
        assert_eq!((answer.status, answer.id()), (202, payment.id()), "{answer:?}");
        orders.push(Order::of(&payment));
        if n % 10 == 3 {
            let again = journal.buy(stack, &payment, payment.v2(), None, false).await;
            assert_eq!(again.id(), answer.id());
        }
        if n == WARM {
            // Every process has allocated by now what it needs once.
            stack.until_quiet(&orders).await;
            journal.0.extend(stack.samples(&processes, "baseline"));
        }
        if n == 8 {
            // The application starts again: a new authorization under the old key.
            let anew = buyers[n % 5].pay(&token, payment.quantity);
            let same = journal.buy(stack, &anew, anew.v2(), key, false).await;
            assert_eq!((same.status, same.id()), (202, answer.id()), "{same:?}");
            stack.kill(Service::PaymentSender);
            stack.run(Service::PaymentSender).await;
            journal.0.push(fired_line("kill payment-sender", 1));
        }
    }
    stack.until_quiet(&orders).await;
    journal.0.extend(stack.samples(&processes, "after"));
    // Signed for another price, so it is refused.
    let cheap = buyers[0].pay(&token, 1);
    let (name, value) = cheap.v2();
    let refused = Payment { quantity: 2, ..cheap };
    let answer = journal.buy(stack, &refused, (name, value), None, false).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    let cancelled = buyers[4].pay(&token, 1);
    let call = buyers[4].cancellation(&token, cancelled.transfer.authorization.nonce);
    stack.chain.halt().await;
    stack.chain.mining(stack.chain.transact(OWNER, token.asset, call)).await;
    let answer = journal.buy(stack, &cancelled, cancelled.v2(), None, false).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    orders.push(Order::of(&cancelled).ends(Outcome::Failed("cancelled")));
    trouble::replaced(stack, &mut journal, &buyers[1], &mut orders).await;
    trouble::taken_back(stack, &mut journal, &buyers[3], &mut orders).await;
    trouble::lost(stack, &mut journal, &buyers[2], &mut orders).await;
    stack.appoint_owner().await;
    let touched = strangers::with_orders(stack, &mut journal, buyers, &mut orders).await;
    let unordered = strangers::without_orders(stack, &buyers[6]).await;
    let around = strangers::left_alone(stack, &mut journal, &buyers[4]).await;
    rebuild(stack).await;
    let first = orders[0].id;
    let filter = json!({ "payment": first });
    listeners.push(Listener::open(stack, "of-a-payment", filter, format!("?payment={first}")).await);
    for listener in listeners {
        journal.0.push(listener.heard().await);
    }
    let (first, idle) = (orders.swap_remove(0), buyers[5].clone());
    Load { journal, cancelled, around, touched, unordered, first, idle }
}

/// Builds the read models from sequence 1 beside the live ones. Nothing is quiet now: an order waits for an operator.
async fn rebuild(stack: &mut Stack) {
    let rebuild = Instance(Service::ReadProjector, 1);
    stack.run_with(rebuild, &[("DATABASE_SCHEMA", "rebuilt")]).await;
    for schema in ["public", "rebuilt"] {
        let done = async || (stack.projected(schema).await == stack.stream.last_seq().await).then_some(());
        eventually("every event is projected", done).await;
    }
    stack.kill(rebuild);
}

/// A client of an event stream that reads all the time.
struct Listener {
    name: &'static str,
    filter: Value,
    ended: Arc<AtomicBool>,
    events: JoinHandle<Vec<Value>>,
}

impl Listener {
    async fn open(stack: &Stack, name: &'static str, filter: Value, query: String) -> Self {
        let url = stack.url(Service::Api, &format!("/api/events{query}"));
        let mut frames = Frames::of(stack.http.get(url).send().await.unwrap());
        let ended = Arc::new(AtomicBool::new(false));
        let all = Arc::clone(&ended);
        let events = tokio::spawn(async move {
            let mut events = Vec::new();
            loop {
                let over = all.load(Ordering::Relaxed);
                match frames.try_next(SILENCE).await {
                    Some(frame) => events.push(json!({ "id": frame.id, "event": frame.event, "data": frame.data })),
                    None if over || !frames.is_quiet() => return events,
                    None => {}
                }
            }
        });
        Self { name, filter, ended, events }
    }

    /// Everything that the client has received when the load is over, as a line of the journal.
    async fn heard(self) -> Value {
        self.ended.store(true, Ordering::Relaxed);
        let events = self.events.await.unwrap();
        assert!(!events.is_empty(), "{} has heard nothing", self.name);
        json!({
            "kind": "sse", "client": self.name, "connection": 1, "filter": self.filter, "lastEventId": null,
            "events": events, "untilQuiet": true,
        })
    }
}

/// A line of the journal that says 202 for a payment that was never sent.
pub fn never_sent(payment: &Payment) -> Value {
    let (name, value) = payment.v2();
    let answer = json!({ "paymentQueueId": payment.id() }).to_string();
    let body = json!({ "quantity": payment.quantity }).to_string();
    let path = format!("/api/mint/{}", hex::encode_prefixed(payment.terms.token));
    request_line(now(), &path, (name, &value), None, &body, json!({ "status": 202, "body": answer }))
}
