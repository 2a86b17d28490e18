//! Intake: everything that a payer meets at the door, each part with servers of its own.

use runtime::Fatal;

use crate::report::Report;
use crate::sizes::Sizes;

pub mod audience;
pub mod door;
pub mod events;
pub mod overload;
pub mod peer;

/// All of it.
///
/// # Errors
/// Something does not start. What is answered wrongly is a violation in the report.
pub async fn run(sizes: &Sizes, report: &mut Report) -> Result<(), Fatal> {
    door::run(sizes, report).await?;
    events::run(sizes, report).await?;
    overload::run(sizes, report).await?;
    peer::run(sizes, report).await
}
