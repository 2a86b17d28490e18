//! When, and whether, another order may come.

use crate::Api;
use crate::error::Problem;
use crate::line::whole_seconds;
use chrono::Utc;

/// Seconds until the units of who comes now would be minted.
pub(crate) fn wait_of_next(api: &Api) -> u32 {
    whole_seconds(api.admission.forecast(Utc::now()).mint)
}

/// Why no payment is taken now: what the POST would be answered. `None`: payments are taken.
pub(crate) fn refusal(api: &Api) -> Option<Problem> {
    let starting = (!api.catalogue.is_caught_up()).then_some(Problem::StartingUp);
    api.admission.open().err().map(Problem::NotAdmitted).or(starting)
}
