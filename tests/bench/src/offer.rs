//! The api's offer, requested once as a client does, and requests that are prepared from it.

use alloy_primitives::{Address, hex};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::PaymentRequest;
use runtime::Fatal;
use std::net::SocketAddr;

use crate::client::{Connection, header};
use crate::load::Shot;

/// One unit, whatever it costs.
const END: &str = "content-length: 14\r\n\r\n{\"quantity\":1}";

/// A token's offer.
#[derive(Clone)]
pub struct Offer {
    /// Request line and headers that every request begins with.
    start: String,
    /// The terms, which a v2 payment repeats.
    accepted: String,
}

impl Offer {
    /// Asks the api at `api` for its offer for one unit of `token`.
    ///
    /// # Errors
    /// The api does not answer with a 402 and its v2 header.
    pub async fn ask(api: SocketAddr, token: Address) -> Result<Self, Fatal> {
        let start = format!("POST /api/mint/{token:#x} HTTP/1.1\r\nhost: {api}\r\ncontent-type: application/json\r\n");
        let mut connection = Connection::open(api).await?;
        let answer = connection.exchange(format!("{start}{END}").as_bytes()).await?;
        let offer = header(answer.head, "payment-required").filter(|_| answer.status == 402);
        let offer = BASE64_STANDARD.decode(offer.ok_or_else(|| {
            let body = String::from_utf8_lossy(answer.body);
            format!("no offer: {}\n{body}", answer.head)
        })?)?;
        let offer: serde_json::Value = serde_json::from_slice(&offer)?;
        let accepted = offer.pointer("/accepts/0").ok_or("an offer without terms")?.to_string();
        Ok(Self { start, accepted })
    }

    /// The requests that pay straight away.
    pub fn paid(&self, payments: &[PaymentRequest]) -> Vec<Shot> {
        payments.iter().map(|payment| self.with(&self.header(payment), 202, &payment.id().to_string())).collect()
    }

    /// Requests with payments that another key signed.
    pub fn forged(&self, payments: &[PaymentRequest]) -> Vec<Shot> {
        payments.iter().map(|payment| self.with(&self.header(payment), 402, "payment_signer_mismatch")).collect()
    }

    /// No payment: the offer again.
    pub fn unpaid(&self) -> Shot {
        let bytes = format!("{}{END}", self.start).into_bytes();
        Shot { bytes, status: 402, says: "\"accepts\"".to_owned() }
    }

    /// A payment with one character in its middle that is not base64.
    pub fn not_base64(&self, payment: &PaymentRequest) -> Shot {
        let mut text = self.header(payment);
        let middle = text.len() / 2;
        text.replace_range(middle..=middle, "!");
        self.with(&text, 400, "payment_not_base64")
    }

    /// Good base64 of the first half of a payment.
    pub fn not_json(&self, payment: &PaymentRequest) -> Shot {
        let envelope = self.envelope(payment);
        let half = &envelope.as_bytes()[..envelope.len() / 2];
        self.with(&BASE64_STANDARD.encode(half), 400, "payment_not_json")
    }

    fn with(&self, payment_header: &str, status: u16, says: &str) -> Shot {
        let bytes = format!("{}payment-signature: {payment_header}\r\n{END}", self.start).into_bytes();
        Shot { bytes, status, says: says.to_owned() }
    }

    fn header(&self, payment: &PaymentRequest) -> String {
        BASE64_STANDARD.encode(self.envelope(payment))
    }

    /// The v2 envelope.
    fn envelope(&self, payment: &PaymentRequest) -> String {
        format!(r#"{{"x402Version":2,"accepted":{},"payload":{}}}"#, self.accepted, payload(payment))
    }
}

/// The v1 request that pays `payment` at `POST <path>` of another server, which answers 202 and says `says`.
pub fn v1(server: SocketAddr, path: &str, payment: &PaymentRequest, says: &str) -> Shot {
    let envelope =
        format!(r#"{{"x402Version":1,"scheme":"exact","network":"base-sepolia","payload":{}}}"#, payload(payment));
    let header = BASE64_STANDARD.encode(envelope);
    let bytes = format!("POST {path} HTTP/1.1\r\nhost: {server}\r\nx-payment: {header}\r\ncontent-length: 0\r\n\r\n");
    Shot { bytes: bytes.into_bytes(), status: 202, says: says.to_owned() }
}

/// The payload, which is equal in both versions.
fn payload(payment: &PaymentRequest) -> String {
    let auth = &payment.authorization;
    format!(
        r#"{{"signature":"{}","authorization":{{"from":"{:#x}","to":"{:#x}","value":"{}","validAfter":"{}","validBefore":"{}","nonce":"{:#x}"}}}}"#,
        hex::encode_prefixed(payment.signature),
        auth.from,
        auth.to,
        auth.value.0,
        auth.valid_after,
        auth.valid_before,
        auth.nonce,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::examples;
    use x402::{PaymentRejection, decode, one_header};

    /// The header of a request as x402 reads it.
    fn read(shot: &Shot) -> Result<x402::Payment, PaymentRejection> {
        let text = String::from_utf8_lossy(&shot.bytes).into_owned();
        let value = |name: &str| header(&text, name).map(|value| value.as_bytes().to_vec());
        let (v2, v1) = (value("payment-signature"), value("x-payment"));
        let (name, value) = one_header(v2.iter().map(Vec::as_slice), v1.iter().map(Vec::as_slice))?;
        decode(name, value)
    }

    #[test]
    fn a_request_is_refused_for_what_it_is_made_for() -> Result<(), Fatal> {
        let accepted = r#"{"scheme":"exact","network":"eip155:84532"}"#.to_owned();
        let offer = Offer { start: "POST / HTTP/1.1\r\n".to_owned(), accepted };
        let payment = examples::request();
        for shot in [offer.not_base64(&payment), offer.not_json(&payment)] {
            let refused = read(&shot).err().ok_or("read well")?;
            assert_eq!((refused.http_status(), refused.code()), (shot.status, shot.says.as_str()));
        }
        assert_eq!(read(&offer.unpaid()).err(), Some(PaymentRejection::PaymentRequired));
        for shot in offer.forged(std::slice::from_ref(&payment)) {
            assert_eq!(shot.status, 402);
        }
        let paid = v1(([127, 0, 0, 1], 80).into(), "/mint", &payment, "settled");
        assert_eq!(read(&paid).map_err(|e| e.to_string())?.authorization.nonce, payment.authorization.nonce);
        Ok(())
    }
}
