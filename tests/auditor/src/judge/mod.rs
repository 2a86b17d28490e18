//! The judges: one pure function for each A-id. What they say of nothing is "not applicable", never "green".

mod confirmed;
mod conserved;
mod copy;
mod fates;
mod fold;
mod intake;
mod lanes;
mod legality;
mod mints;
mod models;
mod money;
mod owed;
mod proof;
mod reach;
mod sse;
#[cfg(test)]
mod tests;
mod traces;
mod unordered;

use crate::books::Books;
use crate::evidence::Evidence;
use crate::verdict::{Check, Verdict};

/// Every verdict, in the order of the ids.
pub fn judge(evidence: &Evidence) -> Vec<Verdict> {
    let books = Books::of(evidence);
    vec![
        mints::unpaid(evidence, &books),
        money::charged_twice(evidence, &books),
        conserved::conserved(evidence, &books),
        mints::minted_twice(evidence, &books),
        owed::lost(evidence, &books),
        intake::acknowledged(evidence, &books),
        intake::phantoms(evidence, &books),
        proof::failed_falsely(evidence, &books),
        copy::stream(evidence),
        models::folded(evidence, &books),
        legality::legal(&books),
        lanes::relayers(evidence, &books),
        Check::new("A13", "deployments: code and terms as ordered, one per paid order")
            .verdict("no service deploys yet"),
        sse::streams(evidence, &books),
        reach::in_time(evidence, &books),
        traces::hygiene(evidence),
        reach::fired(evidence),
    ]
}
