//! Requests of a story to the API, and its looks at orders in the ledger.

use crate::answers::{Answer, Frames};
use crate::buyer::Buyer;
use crate::journal;
use crate::order::Order;
use crate::payment::Payment;
use crate::process::Service;
use crate::stack::{Instance, Stack};
use crate::stream::Entry;
use domain::{PaymentId, TokenTerms};
use serde_json::{Value, json};
use testkit::eventually;

impl Stack {
    /// A URL at an instance of the API.
    pub fn url(&self, instance: impl Into<Instance>, path: &str) -> String {
        format!("http://{}{path}", self.api[instance.into().1])
    }

    pub async fn get(&self, path: &str) -> Answer {
        let response = self.http.get(self.url(Service::Api, path)).send().await.unwrap();
        Answer::of(response).await.unwrap()
    }

    /// The obstacles that the first process of a service, other than the api, reports. `null` while it reports nothing.
    pub async fn in_the_way_of(&self, service: Service) -> Value {
        let url = format!("http://{}/readyz", self.health[&service.into()]);
        match self.http.get(url).send().await {
            Ok(answer) => Answer::of(answer).await.map_or(Value::Null, |answer| answer.json),
            Err(_) => Value::Null,
        }
    }

    /// Asks for `quantity` units of `terms` with this payment header.
    ///
    /// # Errors
    /// No answer. The payment may have been accepted nevertheless.
    pub async fn try_post(
        &self,
        api: impl Into<Instance>,
        terms: &TokenTerms,
        quantity: u32,
        (name, value): (&str, String),
    ) -> Result<Answer, reqwest::Error> {
        self.send(api.into(), terms, quantity, (name, value), None).await
    }

    /// Sends a request, and records request and answer for the auditor.
    async fn send(
        &self,
        api: Instance,
        terms: &TokenTerms,
        quantity: u32,
        (name, value): (&str, String),
        key: Option<&str>,
    ) -> Result<Answer, reqwest::Error> {
        let path = format!("/api/mint/{}", terms.token);
        let body = json!({ "quantity": quantity }).to_string();
        let mut request = self.http.post(self.url(api, &path)).header(name, &value).body(body.clone());
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let at = journal::now();
        let answer = async { Answer::of(request.send().await?).await }.await;
        let told = answer.as_ref().map(|answer| json!({ "status": answer.status, "body": answer.text }));
        let line = journal::request_line(at, &path, (name, &value), key, &body, told.unwrap_or_default());
        self.sent.lock().unwrap().push(line);
        answer
    }

    /// Sends a payment as v2 under an `Idempotency-Key`.
    ///
    /// # Errors
    /// See [`Stack::try_post`].
    pub async fn try_post_under_key(
        &self,
        api: impl Into<Instance>,
        payment: &Payment,
        key: &str,
    ) -> Result<Answer, reqwest::Error> {
        self.send(api.into(), &payment.terms, payment.quantity, payment.v2(), Some(key)).await
    }

    pub async fn post(&self, terms: &TokenTerms, quantity: u32, header: (&str, String)) -> Answer {
        self.try_post(Service::Api, terms, quantity, header).await.unwrap()
    }

    /// Sends a payment as v2, which must be accepted.
    pub async fn accept(&self, payment: &Payment) -> Order {
        let answer = self.post(&payment.terms, payment.quantity, payment.v2()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.id(), payment.id());
        Order::of(payment)
    }

    /// `buyer` buys `quantity` units of the demo token.
    pub async fn buy(&self, buyer: &Buyer, quantity: u32) -> Order {
        self.accept(&buyer.pay(&self.shop.token, quantity)).await
    }

    /// `GET /api/payment/{id}`.
    pub async fn status(&self, id: PaymentId) -> Value {
        let answer = self.get(&format!("/api/payment/{id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json
    }

    /// The event stream of a payment, from the beginning or after `last_event_id`.
    pub async fn events(&self, id: PaymentId, last_event_id: Option<u64>) -> Frames {
        Frames::of(self.ask_for_events(id, last_event_id).await)
    }

    /// The HTTP status for a client that resumes a stream after its last event.
    pub async fn events_after_the_end(&self, id: PaymentId, last_event_id: u64) -> u16 {
        self.ask_for_events(id, Some(last_event_id)).await.status().as_u16()
    }

    async fn ask_for_events(&self, id: PaymentId, last_event_id: Option<u64>) -> reqwest::Response {
        let mut request = self.http.get(self.url(Service::Api, &format!("/api/events?payment={id}")));
        if let Some(last) = last_event_id {
            request = request.header("Last-Event-ID", last);
        }
        request.send().await.unwrap()
    }

    /// Waits until the event `name` of `order` is in the ledger.
    ///
    /// # Panics
    /// Immediately if the order has ended in another way.
    pub async fn until(&self, order: &Order, name: &str) -> Entry {
        let what = format!("{name} of {} ", order.id);
        let look = async || {
            let found = self.stream.on(&order.subject(name)).await;
            if found.is_none() && name != "payment.failed" {
                let failed = self.stream.on(&order.subject("payment.failed")).await;
                assert!(failed.is_none(), "{what}: the payment failed: {}", failed.unwrap().body["data"]);
            }
            found
        };
        eventually(&what, look).await
    }

    /// Waits until each order has its expected end.
    pub async fn until_ended(&self, orders: &[Order]) {
        for order in orders {
            self.until(order, order.last_event()).await;
        }
    }

    /// Every event of an order, by sequence.
    pub async fn history(&self, order: &Order) -> Vec<Entry> {
        let prefix = order.subject("");
        self.stream.all().await.into_iter().filter(|entry| entry.subject.starts_with(&prefix)).collect()
    }
}
