//! The bytes that one address and one payer may write in a day.
//!
//! An order costs nothing: its authorization may be of an empty account. Its events are kept permanently, so somebody who sends
//! orders without end would fill the ledger, and then no order is accepted at all.

use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use edge::ClientIp;
use runtime::{DailyBudgets, REFUSALS, Settings};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes of an order as it is stored, with subject and headers. Measured: 1,399.
pub(crate) const ORDER_BYTES: u64 = 1_500;
/// Bytes of the event of one of its names, stored in the same way. Measured: 965.
const NAME_BYTES: u64 = 1_000;
/// Number of addresses, and of payers, that are remembered, 100 bytes each.
const REMEMBERED: usize = 131_072;
/// Longest wait that a refusal tells.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// The budgets of this process. Other instances have their own, and a restart gives fresh ones.
pub(crate) struct WriteBudgets(Mutex<Inner>);

struct Inner {
    clients: DailyBudgets<ClientIp>,
    payers: DailyBudgets<Address>,
}

/// The address or the payer has used up its budget. It may come back after so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WroteTooMuch {
    pub(crate) retry_after_s: u64,
}

impl Default for WriteBudgets {
    fn default() -> Self {
        Self(Mutex::new(Inner { clients: DailyBudgets::new(REMEMBERED), payers: DailyBudgets::new(REMEMBERED) }))
    }
}

impl WriteBudgets {
    /// Checks that `client`, and `payer` if it is known, may write `bytes`. Uses up nothing.
    ///
    /// # Errors
    /// [`WroteTooMuch`].
    pub(crate) fn check(
        &self,
        client: ClientIp,
        payer: Option<Address>,
        bytes: u64,
        settings: &Settings,
        now: DateTime<Utc>,
    ) -> Result<(), WroteTooMuch> {
        let inner = self.inner();
        let of_client = inner.clients.wait(client, bytes, settings.bytes_per_client_day, now);
        let of_payer = payer.and_then(|payer| inner.payers.wait(payer, bytes, settings.bytes_per_payer_day, now));
        match of_client.max(of_payer) {
            None => Ok(()),
            Some(wait) => {
                REFUSALS.add(&["write_budget"]);
                Err(WroteTooMuch { retry_after_s: wait.min(LONGEST_WAIT).as_secs().saturating_add(1) })
            }
        }
    }

    /// Counts `bytes` that were written, or may have been.
    pub(crate) fn wrote(&self, client: ClientIp, payer: Address, bytes: u64, settings: &Settings, now: DateTime<Utc>) {
        let mut inner = self.inner();
        inner.clients.spend(client, bytes, settings.bytes_per_client_day, now);
        inner.payers.spend(payer, bytes, settings.bytes_per_payer_day, now);
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of this number of names.
pub(crate) fn names_bytes(names: usize) -> u64 {
    NAME_BYTES.saturating_mul(u64::try_from(names).unwrap_or(u64::MAX))
}
