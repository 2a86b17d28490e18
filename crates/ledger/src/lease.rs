//! Leases: which instance works a lane now. For liveness only. Whoever works a lane without its lease wastes work and
//! breaks nothing: the ledger's versions decide, and a nonce is signed for once.
//!
//! A lease is one message that expires by itself; taking and renewing it names the message before. Times are the
//! server's, so clocks of instances do not matter (F54).

use crate::client::{REQUEST_TIMEOUT, request};
use crate::connect::Ledger;
use crate::definitions::{LEASES, compare};
use crate::error::{ConnectError, LedgerError};
use async_nats::HeaderMap;
use domain::event::Purpose;
use runtime::Cause;
use serde_json::{Value, json};
use std::time::Duration;

/// A lease that is not renewed ends after this. Whole seconds; another instance takes over within five (L6, F52).
const TTL: &str = "3s";

/// How often its holder renews it: two may be lost.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(1);

/// The right to work a lane, held or not.
#[derive(Clone, Debug)]
pub struct Lease {
    ledger: Ledger,
    subject: String,
    holder: String,
}

/// A lease in hand.
#[derive(Debug)]
pub struct Held {
    lease: Lease,
    seq: u64,
}

impl Ledger {
    /// The lease of a lane for `holder`: the name of this instance. Who restarts under the same name goes on at once;
    /// two that run under one name both believe that they hold it.
    ///
    /// # Errors
    /// [`ConnectError`]: no stream of leases, or another than `nats/` defines.
    pub async fn lease(
        &self,
        purpose: Purpose,
        signer: impl std::fmt::LowerHex,
        holder: &str,
    ) -> Result<Lease, ConnectError> {
        let info = request(&self.client, self.api, "STREAM.INFO.LEASES", Value::Null).await?;
        compare("the stream LEASES", &LEASES.read(), info.get("config").unwrap_or(&Value::Null))?;
        let signer = format!("{signer:x}");
        let subject = format!("leases.{}.{}", purpose.name(), signer.trim_start_matches("0x"));
        Ok(Lease { ledger: self.clone(), subject, holder: holder.to_owned() })
    }
}

impl Lease {
    /// The ledger whose lanes these are.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Takes it where it is free, or this holder's already; none where somebody else has it.
    ///
    /// # Errors
    /// `Transient`: it may be taken, or not; try again.
    pub async fn take(&self) -> Result<Option<Held>, LedgerError> {
        let before = match self.last().await? {
            None => 0,
            Some((seq, holder)) if holder.is_empty() || holder == self.holder => seq,
            Some(_) => return Ok(None),
        };
        let seq = self.write(&self.holder, before).await?;
        Ok(seq.map(|seq| Held { lease: self.clone(), seq }))
    }

    /// The message that stands: sequence and holder. Nobody holds what is given back: its holder is empty.
    async fn last(&self) -> Result<Option<(u64, String)>, LedgerError> {
        let subject = format!("{}.DIRECT.GET.LEASES", self.ledger.api);
        let body = json!({ "last_by_subj": self.subject }).to_string();
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, self.ledger.client.request(subject, body.into())).await;
        let answer = answer.map_err(transient)?.map_err(transient)?;
        let headers = answer.headers.unwrap_or_default();
        match (answer.status.map(|status| status.as_u16()), headers.get("Nats-Sequence")) {
            (None, Some(seq)) => {
                let seq = seq.as_str().parse().map_err(transient)?;
                Ok(Some((seq, String::from_utf8_lossy(&answer.payload).into_owned())))
            }
            (Some(404), _) => Ok(None),
            (status, _) => Err(transient(format!("direct get answers {status:?}"))),
        }
    }

    /// Writes behind `before`; none where somebody was quicker.
    async fn write(&self, holder: &str, before: u64) -> Result<Option<u64>, LedgerError> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-TTL", TTL);
        headers.insert("Nats-Expected-Last-Subject-Sequence", before.to_string());
        let sent = self.ledger.client.request_with_headers(self.subject.clone(), headers, holder.to_owned().into());
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, sent).await;
        let answer = answer.map_err(transient)?.map_err(transient)?;
        let answer: Value = serde_json::from_slice(&answer.payload).map_err(transient)?;
        match (answer.get("seq").and_then(Value::as_u64), answer.pointer("/error/err_code").and_then(Value::as_u64)) {
            (Some(seq), None) => Ok(Some(seq)),
            (_, Some(10071 | 10164)) => Ok(None),
            _ => Err(transient(answer.to_string())),
        }
    }
}

impl Held {
    /// Holds it for another while. False: somebody else has it now.
    ///
    /// # Errors
    /// `Transient`: it may be renewed, or not; try again.
    pub async fn renew(&mut self) -> Result<bool, LedgerError> {
        if let Some(seq) = self.lease.write(&self.lease.holder, self.seq).await? {
            self.seq = seq;
            return Ok(true);
        }
        // Expired, or renewed by a try whose answer was lost: taken again, unless somebody else has it.
        match self.lease.take().await? {
            Some(Held { seq, .. }) => {
                self.seq = seq;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Gives it back: another instance may take it at once.
    ///
    /// # Errors
    /// `Transient`: then it expires.
    pub async fn release(self) -> Result<(), LedgerError> {
        self.lease.write("", self.seq).await.map(|_| ())
    }
}

fn transient(cause: impl Into<Cause>) -> LedgerError {
    LedgerError::transient("a lease", cause)
}
