//! Who is next, when, and whether another one may come. To be replaced by the backlog that the follower keeps: until
//! then no place is known, and the answers say `null`.

use crate::Api;
use crate::error::Problem;
use domain::PaymentId;

/// Where an open order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// 1 = next.
    pub(crate) position: u32,
    /// Seconds until it is minted.
    pub(crate) wait_s: u32,
}

/// The place of order `id`; `None` where it is not known, and for what is minted or failed.
pub(crate) fn place(_: &Api, _: PaymentId) -> Option<Place> {
    None
}

/// The place of who would come now; `None` where it is not known.
pub(crate) fn next(_: &Api) -> Option<Place> {
    None
}

/// Why no payment is taken now: what the POST would be answered. `None`: payments are taken.
pub(crate) fn refusal(api: &Api) -> Option<Problem> {
    if !api.ledger.is_connected() {
        return Some(Problem::LedgerAway);
    }
    (!api.catalogue.is_caught_up()).then_some(Problem::StartingUp)
}
