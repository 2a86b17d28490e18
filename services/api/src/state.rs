//! The state that the handlers share.

use crate::config::Config;
use crate::error::Problem;
use crate::intake::Intake;
use crate::limits::Quotas;
use crate::queue::snapshot::Snapshot;
use alloy_primitives::B256;
use domain::PaymentId;
use edge::{ClientIp, Permit};
use ledger::Ledger;
use live::{Admission, Catalogue, Follower, Records};
use runtime::{CancellationToken, Settings, SharedSettings};
use std::sync::Arc;

/// The state that the handlers share.
pub(crate) struct Api {
    pub(crate) config: Config,
    pub(crate) settings: SharedSettings,
    /// URL at which clients reach this service, without a slash at the end.
    pub(crate) public_url: String,
    /// Hash of the asset's EIP-712 domain.
    pub(crate) domain_separator: B256,
    pub(crate) ledger: Ledger,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) intake: Intake,
    pub(crate) admission: Arc<Admission>,
    pub(crate) quotas: Quotas,
    pub(crate) records: Arc<Records>,
    pub(crate) snapshot: Snapshot,
    pub(crate) follower: Arc<Follower>,
    pub(crate) stop: CancellationToken,
}

impl Api {
    /// A permit to read the order, if it is none of the latest. In the first moments of a process, which knows none, all count as
    /// such.
    ///
    /// # Errors
    /// `TooManyOldReads`, `Busy`.
    pub(crate) fn old_read(&self, client: ClientIp, id: PaymentId) -> Result<Option<Permit>, Problem> {
        let is_old = self.follower.hub.is_live() && !self.admission.is_recent(id);
        is_old.then(|| self.quotas.old_read(client)).transpose()
    }

    /// The current settings. Each request reads them once.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.now()
    }
}
