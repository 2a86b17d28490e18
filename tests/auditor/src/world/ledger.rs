//! The run as the ledger tells it, and as clients and read models know it.

use super::{ASSET, CHAIN_ID, PRICE, Pay, TOKEN, World};
use crate::evidence::journal::Request;
use crate::evidence::stream::Message;
use crate::evidence::tables::Row;
use crate::legal::KINDS;
use alloy_primitives::{B256, Bytes};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

impl World {
    /// Registers the token.
    pub(super) fn register(&mut self) {
        let token = format!("{TOKEN:x}").replace("0x", "");
        let terms = json!({ "token": TOKEN, "unit": super::UNIT.to_string(), "maxUnits": "100", "unitPrice": PRICE.to_string() });
        self.append(format!("tokens.a3.{token}.registered"), token, "token.registered", &terms);
    }

    /// Appends an event.
    fn append(&mut self, subject: String, of: String, event_type: &str, data: &Value) {
        let body = json!({
            "specversion": "1.0", "id": subject, "type": format!("io.paymint.{event_type}.v1"), "source": "/test",
            "subject": of, "data": data,
        });
        let stream = &mut self.evidence.stream;
        stream.last_seq += 1;
        stream.messages += 1;
        stream.found.push(Message {
            seq: stream.last_seq,
            subject,
            headers: Some(b"Content-Type: application/cloudevents+json\r\n".to_vec()),
            payload: body.to_string().into_bytes(),
            time: at(stream.last_seq),
        });
    }

    /// Appends an event of the order of this payment, such as `payment.parked.1`.
    pub fn say(&mut self, pay: &Pay, name: &str, data: &Value) {
        let kind = KINDS.iter().find(|kind| name.starts_with(kind.name)).unwrap();
        let (id, queue) = (pay.id().to_string(), kind.queue.map(|queue| format!("{queue}.")).unwrap_or_default());
        self.append(format!("orders.{}.{id}.mint.{queue}{name}", &id[..1]), id, kind.event_type, data);
    }

    /// Orders with this payment: a request that is answered with 202, and its event.
    pub fn order(&mut self, pay: &Pay) {
        let (sent, quantity) = (pay.sent(), pay.value / PRICE);
        self.say(
            pay,
            "payment.requested",
            &json!({
                "paymentKey": pay.key(), "chainId": CHAIN_ID, "asset": ASSET, "signature": Bytes::from(sent.signature.clone()),
                "authorization": {
                    "from": pay.payer, "to": TOKEN, "value": pay.value.to_string(), "validAfter": "0",
                    "validBefore": sent.valid_before.to_string(), "nonce": pay.nonce,
                },
                "purchase": { "token": TOKEN, "quantity": quantity, "unitPrice": PRICE.to_string() },
            }),
        );
        self.evidence.journal.requests.push(Request {
            line: 1,
            at: at(0),
            token: Some(TOKEN),
            quantity: Some(quantity),
            payment: None,
            sent: Some(sent),
            idempotency_key: None,
            answered_at: Some(at(0)),
            status: Some(202),
            answered_id: Some(pay.id()),
        });
    }

    /// Says that the payment is confirmed by this transaction.
    pub fn confirm(&mut self, pay: &Pay, tx: B256, paid_by: &str) {
        let recorded_at = self.record(pay).paid_at;
        let data = self.proof(tx, &json!({ "recordedAt": recorded_at, "paidBy": paid_by }));
        self.say(pay, "payment.confirmed", &data);
    }

    /// Says that the mint is confirmed by this transaction.
    pub fn confirm_mint(&mut self, pay: &Pay, tx: B256, minted_by: &str) {
        let told = json!({ "mintedBy": minted_by, "to": pay.payer, "quantity": pay.value / PRICE });
        let data = self.proof(tx, &told);
        self.say(pay, "mint.confirmed", &data);
    }

    /// Lets the payment's window close, and says that it has failed for this reason, at a final block.
    pub fn expire(&mut self, pay: &Pay, reason: &str) {
        self.block();
        let chain = &mut self.evidence.chain;
        let last = chain.blocks.last_mut().unwrap();
        last.time = super::BEGIN + 900;
        let told = json!({
            "reason": reason, "block": { "number": chain.head, "hash": last.hash }, "blockTime": last.time,
        });
        self.say(pay, "payment.failed", &told);
    }

    /// The data of an event that names this transaction and its block.
    pub fn proof(&self, hash: B256, with: &Value) -> Value {
        let chain = &self.evidence.chain;
        let number = chain.txs.iter().find(|tx| tx.hash == hash).unwrap().block;
        let mut data =
            json!({ "txHash": hash, "block": { "number": number, "hash": chain.block(number).unwrap().hash } });
        data.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        data
    }

    /// Lets the read models show the order in this stage.
    pub fn list(&mut self, pay: &Pay, stage: &str) {
        let row = [("id", pay.id().to_string()), ("stage", stage.to_owned())];
        let row: Row = row.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect();
        self.evidence.tables.live.entry("payment_rows".to_owned()).or_default().push(row);
    }
}

fn at(seconds: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds.cast_signed())
}
