//! The run as the ledger tells it, and as clients and read models know it.

use super::{ASSET, CHAIN_ID, LANE, PRICE, Pay, TOKEN, World};
use crate::evidence::journal::Request;
use crate::evidence::stream::Message;
use crate::evidence::tables::Row;
use crate::legal::KINDS;
use alloy_primitives::{B256, Bytes, keccak256};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

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
        self.append(subject(pay, name), pay.id().to_string(), kind.event_type, data);
    }

    /// Says that the record of this payment, which this transaction made, was found without an order.
    pub fn tell_found(&mut self, pay: &Pay, tx: B256) {
        let told =
            json!({ "paymentKey": pay.key(), "token": TOKEN, "payer": pay.payer, "quantity": pay.value / PRICE });
        let data = self.proof(tx, &told);
        self.tell_record(pay, "found", &data);
    }

    /// Says that the record of this payment has ended so, as the latest final block shows.
    pub fn tell_end(&mut self, pay: &Pay, name: &str) {
        let number = self.evidence.chain.finalized;
        let block = json!({ "number": number, "hash": self.evidence.chain.block(number).unwrap().hash });
        self.tell_record(pay, name, &json!({ "token": TOKEN, "quantity": pay.value / PRICE, "block": block }));
    }

    fn tell_record(&mut self, pay: &Pay, name: &str, data: &Value) {
        let id = pay.id().to_string();
        self.append(format!("records.{}.{id}.{name}", &id[..1]), id, &format!("record.{name}"), data);
    }

    /// Says that the lane has signed a call of the token, with its first nonce, for these orders.
    pub fn sign(&mut self, purpose: &str, input: &[u8], items: &[Uuid]) {
        let lane = format!("{LANE:x}").replace("0x", "");
        let raw = raw_tx(input);
        let told = json!({ "nonce": 0, "purpose": purpose, "txHash": keccak256(&raw), "rawTx": Bytes::from(raw), "items": items });
        self.append(format!("signers.{lane}.0.{purpose}.signed.0"), lane, "signer.signed", &told);
    }

    /// Replaces a field in the data of an event of this order.
    pub fn retell(&mut self, pay: &Pay, name: &str, field: &str, value: Value) {
        let subject = subject(pay, name);
        let message = self.evidence.stream.found.iter_mut().find(|message| message.subject == subject).unwrap();
        let mut body: Value = serde_json::from_slice(&message.payload).unwrap();
        body["data"][field] = value;
        message.payload = body.to_string().into_bytes();
    }

    /// Lets an event of this order name another transaction as its proof.
    pub fn point(&mut self, pay: &Pay, name: &str, tx: B256) {
        let proof = self.proof(tx, &json!({}));
        for field in ["txHash", "block"] {
            self.retell(pay, name, field, proof[field].clone());
        }
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

    /// Asks for the money back, for this reason.
    pub fn ask_back(&mut self, pay: &Pay, reason: &str) {
        self.say(pay, "refund.requested", &json!({ "reason": reason, "by": "alice", "detail": "no more wanted" }));
    }

    /// Says that the money is back by this transaction.
    pub fn confirm_refund(&mut self, pay: &Pay, tx: B256, refunded_by: &str) {
        let told = json!({ "refundedBy": refunded_by, "to": pay.payer, "amount": pay.value.to_string() });
        let data = self.proof(tx, &told);
        self.say(pay, "refund.confirmed", &data);
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

    /// Lets the read models count so many units of the token as taken.
    pub fn count_taken(&mut self, units: u64) {
        let row = [("token", format!("{TOKEN:#x}")), ("units_taken", units.to_string())];
        let row: Row = row.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect();
        self.evidence.tables.live.insert("token_rows".to_owned(), vec![row]);
    }

    /// Lets the read models show the order in this stage.
    pub fn list(&mut self, pay: &Pay, stage: &str) {
        let row = [("id", pay.id().to_string()), ("stage", stage.to_owned())];
        let row: Row = row.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect();
        self.evidence.tables.live.entry("payment_rows".to_owned()).or_default().push(row);
    }
}

/// Subject of an event of the order of this payment.
pub fn subject(pay: &Pay, name: &str) -> String {
    let kind = KINDS.iter().find(|kind| name.starts_with(kind.name)).unwrap();
    let (id, queue) = (pay.id().to_string(), kind.queue.map(|queue| format!("{queue}.")).unwrap_or_default());
    format!("orders.{}.{id}.mint.{queue}{name}", &id[..1])
}

/// A signed EIP-1559 transaction that calls the token with nonce 0, in which the fees and the signature are nothing.
fn raw_tx(input: &[u8]) -> Vec<u8> {
    let chain_id = [0x82, 0x7a, 0x69];
    let numbers = [0x80; 4];
    let to = [&[0x94][..], TOKEN.as_slice()].concat();
    let input = [header(0x80, input.len()), input.to_vec()].concat();
    let body = [&chain_id[..], &numbers, &to, &[0x80], &input, &[0xc0, 0x80, 0x80, 0x80]].concat();
    [vec![2], header(0xc0, body.len()), body].concat()
}

/// The header of a string (0x80) or list (0xc0) of RLP that is longer than 55 bytes.
fn header(kind: u8, length: usize) -> Vec<u8> {
    let bytes = u16::try_from(length).unwrap().to_be_bytes();
    [&[kind + 55 + 2][..], &bytes].concat()
}

fn at(seconds: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds.cast_signed())
}
