//! The quotas of one client, and of all clients together: requests per second and open streams.
//!
//! A request that pays nothing still costs something. A request beyond the quota is refused before anything is read or
//! written, with the time at which to come back. The edge limits connections; health routes are not limited.

use edge::{ClientIp, EdgeConfig, NoPermit, Permit, Permits, RequestRates};
use std::sync::Arc;

/// The quotas of this process. Other instances have their own.
pub(crate) struct Quotas {
    pub(crate) rates: RequestRates,
    streams: Arc<Permits>,
}

impl Quotas {
    pub(crate) fn new(edge: &EdgeConfig) -> Self {
        Self { rates: RequestRates::default(), streams: Permits::new(edge.sse_per_ip, edge.sse_max) }
    }

    /// A permit for one more event stream of this client.
    ///
    /// # Errors
    /// [`NoPermit`].
    pub(crate) fn stream(&self, client: ClientIp) -> Result<Permit, NoPermit> {
        self.streams.enter(client)
    }
}
