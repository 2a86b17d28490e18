//! Leases decide which instance works a lane now. They are for liveness only: an instance that works a lane without the
//! lease wastes work and breaks nothing, because the versions of the ledger decide and a nonce is signed for once.
//!
//! A lease is one message that expires by itself. Taking and renewing it names the previous message. Its time is
//! measured by the server, so the clocks of the instances do not matter.

use crate::client::{REQUEST_TIMEOUT, request};
use crate::connect::Ledger;
use crate::definitions::{LEASES, compare};
use crate::error::{ConnectError, LedgerError};
use async_nats::HeaderMap;
use domain::event::Purpose;
use runtime::Cause;
use serde_json::{Value, json};
use std::time::Duration;

/// A lease that is not renewed ends after this time, in whole seconds. With it, another instance takes over within five
/// seconds.
const TTL: &str = "3s";

/// How often the holder renews its lease. One renewal may be lost.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(1);

/// The lease of one lane for one instance, held or not.
#[derive(Clone, Debug)]
pub struct Lease {
    ledger: Ledger,
    subject: String,
    holder: String,
}

/// A lease that this instance holds.
#[derive(Debug)]
pub struct Held {
    lease: Lease,
    seq: u64,
}

impl Ledger {
    /// The lease of a lane for the instance named `holder`. An instance that restarts under the same name continues
    /// immediately. Two instances with one name both believe that they hold the lease.
    ///
    /// # Errors
    /// [`ConnectError`]: the stream of leases does not exist, or differs from its definition in `nats/`.
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

impl Ledger {
    /// The message of the stream of leases with this subject: its sequence and its text.
    pub(crate) async fn last_lease(&self, of: &str) -> Result<Option<(u64, String)>, LedgerError> {
        let subject = format!("{}.DIRECT.GET.LEASES", self.api);
        let body = json!({ "last_by_subj": of }).to_string();
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, self.client.request(subject, body.into())).await;
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
}

impl Lease {
    /// The ledger of the lane.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Takes the lease if it is free or is this holder's already. Returns `None` if another instance has it.
    ///
    /// # Errors
    /// `Transient`: the lease may be taken or not; try again.
    pub async fn take(&self) -> Result<Option<Held>, LedgerError> {
        let before = match self.last().await? {
            None => 0,
            Some((seq, holder)) if holder.is_empty() || holder == self.holder => seq,
            Some(_) => return Ok(None),
        };
        let seq = self.write(&self.holder, before).await?;
        Ok(seq.map(|seq| Held { lease: self.clone(), seq }))
    }

    /// The current message: its sequence and its holder. A lease that was given back has an empty holder.
    async fn last(&self) -> Result<Option<(u64, String)>, LedgerError> {
        self.ledger.last_lease(&self.subject).await
    }

    /// Writes the next message behind sequence `before`. Returns `None` if another instance was faster.
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
    /// Renews the lease. Returns false if another instance has it now.
    ///
    /// # Errors
    /// `Transient`: the lease may be renewed or not; try again.
    pub async fn renew(&mut self) -> Result<bool, LedgerError> {
        if let Some(seq) = self.lease.write(&self.lease.holder, self.seq).await? {
            self.seq = seq;
            return Ok(true);
        }
        // It has expired, or an earlier try renewed it and its answer was lost. It is taken again unless another
        // instance has it.
        match self.lease.take().await? {
            Some(Held { seq, .. }) => {
                self.seq = seq;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Gives the lease back. Another instance may take it immediately.
    ///
    /// # Errors
    /// `Transient`: the lease may not be given back, and then expires.
    pub async fn release(self) -> Result<(), LedgerError> {
        self.lease.write("", self.seq).await.map(|_| ())
    }
}

fn transient(cause: impl Into<Cause>) -> LedgerError {
    LedgerError::transient("a lease", cause)
}
