//! The prediction for another order.

use crate::error::Problem;
use crate::state::Api;
use chrono::Utc;
use live::{Newcomer, whole_seconds};

/// Seconds until the units of an order that arrives now would be minted.
pub(crate) fn wait_of_next(api: &Api) -> u32 {
    whole_seconds(api.admission.forecast(Newcomer::Any, Utc::now()).mint)
}

/// The refusal that a payment would get now; `None` if payments are accepted.
pub(crate) fn refusal(api: &Api) -> Option<Problem> {
    let starting = (!api.catalogue.is_caught_up()).then_some(Problem::StartingUp);
    api.admission.open().err().map(Problem::NotAdmitted).or(starting)
}
