//! The quotas of one client, and of all clients together: requests per second and open streams.
//!
//! A request that pays nothing still costs something. A request beyond the quota is refused before anything is read or
//! written, with the time at which to come back. The edge limits connections; health routes are not limited.

use crate::error::Problem;
use edge::{ClientIp, EdgeConfig, NoPermit, Permit, Permits, RequestRates};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Concurrent reads of orders that are not in memory, of one client and of all. Such an order is read from the database or,
/// one at a time, from blocks that the ledger has to load from disk. A browser opens six connections to a host.
const OLD_READS_PER_CLIENT: NonZeroUsize = NonZeroUsize::new(8).unwrap();
const OLD_READS: NonZeroUsize = NonZeroUsize::new(128).unwrap();

/// The quotas of this process. Other instances have their own.
pub(crate) struct Quotas {
    pub(crate) rates: RequestRates,
    streams: Arc<Permits>,
    old_reads: Arc<Permits>,
}

impl Quotas {
    pub(crate) fn new(edge: &EdgeConfig) -> Self {
        Self {
            rates: RequestRates::default(),
            streams: Permits::new(edge.sse_per_ip, edge.sse_max),
            old_reads: Permits::new(OLD_READS_PER_CLIENT, OLD_READS),
        }
    }

    /// A permit for one more event stream of this client.
    ///
    /// # Errors
    /// [`NoPermit`].
    pub(crate) fn stream(&self, client: ClientIp) -> Result<Permit, NoPermit> {
        self.streams.enter(client)
    }

    /// A permit to read one more order that is not in memory.
    ///
    /// # Errors
    /// `TooManyOldReads`, or `Busy` if all clients together read too many.
    pub(crate) fn old_read(&self, client: ClientIp) -> Result<Permit, Problem> {
        self.old_reads.enter(client).map_err(|refused| match refused {
            NoPermit::Client => Problem::TooManyOldReads,
            NoPermit::All => Problem::Busy,
        })
    }
}
